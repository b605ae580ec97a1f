"""
Doubling the batch instead of halving the rate
==============================================

An update moves the weights by the learning rate times a gradient that was
estimated from one batch. Halve the rate or double the batch: the noise in the
weights falls by the same factor (Smith, Kindermans, Ying and Le 2018). But
twice the batch means half the updates. Do both get equally far?
"""

# %%
# Two trainings
# -------------
# Same weights at the start, same images, nine epochs. One halves the rate every
# one and a half epochs, the other keeps the rate and doubles the batch at the
# same moments.

import matplotlib.pyplot as plt
import pandas as pd

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample
from skclr.displays import BatchSizeDisplay

X, y = load_fashion_mnist_sample(return_X_y=True)
X_test, y_test = load_fashion_mnist_sample(subset="test", return_X_y=True)

common = {
    "base_lr": 1e-4,
    "max_lr": 0.05,
    "batch_size": 32,
    "step_size": 1.5,
    "max_epochs": 9,
}
trained = {
    name: CLRLeNetClassifier(schedule=name, random_state=0, **common).fit(
        X, y, X_val=X_test, y_val=y_test
    )
    for name in ("lr_halving", "batch_doubling")
}

rows = {
    name: {
        "last rate": clf.history_frame()["lr"].iloc[-1],
        "last batch size": clf.history_frame()["batch_size"].iloc[-1],
        "updates": clf.history_frame()["n_updates"].sum(),
        "training loss": clf.history_frame()["train_loss"].iloc[-1],
        "test accuracy": clf.score(X_test, y_test),
    }
    for name, clf in trained.items()
}
pd.DataFrame(rows).T.round({"last rate": 4, "training loss": 3, "test accuracy": 3})

# %%
# Side by side
# ------------
# What to see: over epochs the two curves run close together, though one of them
# moves the rate and the other the batch. Over updates they part: doubling the
# batch gets there in fewer of them. On a GPU, or on many machines, where a
# large batch takes hardly longer than a small one, that is time saved. On a CPU
# an epoch costs about the same in either way.

fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for (name, clf), style in zip(trained.items(), ("-o", "--s"), strict=True):
    history = clf.history_frame()
    axes[0].plot(history["epoch"], history["train_loss"], style, label=name)
    axes[1].plot(
        history["n_updates"].cumsum(), history["train_loss"], style, label=name
    )
axes[0].set(xlabel="epoch", ylabel="training loss")
axes[1].set(xlabel="updates")
axes[0].legend()
plt.show()

# %%
# Loss against batch size
# -----------------------
# The picture of the study: the training loss of each epoch over the size of its
# batch. As long as the line falls from one size to the next, a doubling pays.
# Below it, the accuracy on the test images: where that line is level while the
# loss still falls, the network is learning by heart.

BatchSizeDisplay.from_estimator(trained["batch_doubling"])
plt.show()
