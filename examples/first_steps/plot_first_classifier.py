"""
A first classifier in ten lines
===============================

LeNet-5 learns to tell ten kinds of clothes apart. The ten lines are those of
any scikit-learn classifier: load, construct, fit, score. What is new is one
word, `schedule`: how the learning rate moves while the network trains.
"""

# %%
# The ten lines
# -------------
# The data are real images of Fashion-MNIST, 6,000 to learn from and 1,000 to be
# tested with, and come with the library. The rate follows a single cycle: it
# climbs to `max_lr` in the first third of the training and then falls to almost
# nothing. An int as `random_state` makes the result the same on each run.

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample

train = load_fashion_mnist_sample()
test = load_fashion_mnist_sample(subset="test")

clf = CLRLeNetClassifier(schedule="one_cycle", max_lr=0.1, max_epochs=8, random_state=0)
clf.fit(train.data, train.target)
print(f"{clf.score(test.data, test.target):.1%} of the test images are recognised")

# %%
# What the network makes of an image
# ----------------------------------
# A classifier is more than its score. For ten test images, one of each class,
# the bars show how the network spreads its belief over the classes: blue for
# the right class, orange for the others. Look for images whose bars are shared
# out. A shirt is hard to tell from a top, a coat or a pullover at this size,
# and the network knows that it does not know; a trouser or a bag leaves it in
# no doubt.

import matplotlib.pyplot as plt
import numpy as np

shown = [np.flatnonzero(test.target == label)[3] for label in clf.classes_]
probabilities = clf.predict_proba(test.data[shown])

fig, axes = plt.subplots(
    4, 5, figsize=(10, 7.2), height_ratios=[1, 1.1] * 2, layout="constrained"
)
for i, (image, label) in enumerate(
    zip(test.data[shown], test.target[shown], strict=True)
):
    row, column = 2 * (i // 5), i % 5
    picture, bars = axes[row, column], axes[row + 1, column]
    picture.imshow(image, cmap="gray_r")
    picture.set(title=test.target_names[label], xticks=[], yticks=[])
    colors = ["tab:blue" if k == label else "tab:orange" for k in clf.classes_]
    bars.barh(test.target_names, probabilities[i], color=colors)
    bars.set(xlim=(0, 1), xticks=[0, 1])
    bars.invert_yaxis()
    if column:
        bars.set_yticks([])
fig.suptitle("Ten test images, and the probability of each class")
plt.show()
