"""
Training with cyclical learning rates
=====================================

The rate goes up and down between two boundaries, over and over, and the loss
with it. What does that look like, when should one stop, and what has the
network learned in the end?
"""

# %%
# Three cycles
# ------------
# Half a cycle takes two epochs, so twelve epochs are three cycles. Smith's rule
# (2017, section 3.2): half a cycle of two to ten epochs, and stop at the end of
# a cycle, where the rate is low. A fifth of the images is held out, to be
# looked at after each epoch; it takes no part in training.

import matplotlib.pyplot as plt
from sklearn.metrics import classification_report

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample
from skclr.displays import HistoryDisplay

train = load_fashion_mnist_sample()
test = load_fashion_mnist_sample(subset="test")

clf = CLRLeNetClassifier(
    schedule="triangular",
    base_lr=0.001,
    max_lr=0.1,
    step_size=2,
    max_epochs=12,
    validation_fraction=0.2,
    random_state=0,
)
clf.fit(train.data, train.target)
history = clf.history_frame()
history[["epoch", "train_loss", "valid_loss", "valid_acc", "lr"]].round(4).iloc[3::4]

# %%
# Those are the three ends of a cycle.
#
# Loss and accuracy
# -----------------
# What to see: training and validation agree at first. Within a cycle the
# validation curve is worst while the rate is high, around the epochs 2, 6 and
# 10, and best where the rate is low, after the epochs 4, 8 and 12. That is no
# instability but the point of the method: with long steps the network leaves
# sharp valleys of the loss, with short ones it settles. Judge such a training
# at the ends of its cycles. In the last cycle the two losses part: the network
# begins to learn its training images by heart, and a fourth cycle would not
# help much.

HistoryDisplay.from_estimator(clf)
plt.show()

# %%
# Beside the rate
# ---------------
# The same, iteration by iteration, with the rate below. The history has a row
# for each update.

updates = clf.history_frame("batch")
smooth = updates["train_loss"].rolling(25, center=True).mean()

fig, (above, below) = plt.subplots(
    2,
    1,
    sharex=True,
    figsize=(7, 5),
    height_ratios=[2, 1],
    layout="constrained",
)
above.plot(updates["iteration"], updates["train_loss"], alpha=0.3, label="each batch")
above.plot(updates["iteration"], smooth, color="tab:blue", label="mean of 25 batches")
above.set(ylabel="training loss", ylim=(0, 1.2))
above.legend()
below.plot(updates["iteration"], updates["lr"], color="tab:red")
below.set(ylabel="learning rate", xlabel="iteration (updates)", ylim=(0, None))
plt.show()

# %%
# The report
# ----------
# On the test images, by scikit-learn's own function.

predicted = clf.predict(test.data)
print(classification_report(test.target, predicted, target_names=test.target_names))
