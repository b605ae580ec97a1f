"""
Where the network looks, and where it goes wrong
================================================

A score tells how often a network is wrong, not how. Three pictures tell more:
which classes it mixes up, which mistakes it makes with confidence, and which
part of an image it goes by.
"""

# %%
# Which classes are mixed up
# --------------------------
# Each row of the confusion matrix is a true class, each column what the network
# said. A good network has a dark diagonal. What to look for are the dark
# squares beside it, and whether they come in pairs: a pair, such as shirt and
# top, is a boundary that the network cannot see in 28 x 28 pixels, a single one
# is a bias towards one of the two.

# sphinx_gallery_thumbnail_number = 3
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay, classification_report

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample

train = load_fashion_mnist_sample()
test = load_fashion_mnist_sample(subset="test")
clf = CLRLeNetClassifier(schedule="one_cycle", max_epochs=10, random_state=0)
clf.fit(train.data, train.target)

predicted = clf.predict(test.data)
display = ConfusionMatrixDisplay.from_predictions(
    test.target,
    predicted,
    display_labels=test.target_names,
    normalize="true",
    values_format=".0%",
    cmap="Blues",
    colorbar=False,
    xticks_rotation=45,
    text_kw={"fontsize": 8},
)
display.figure_.set_size_inches(6.4, 6.4)
display.ax_.set_title("Of each class, what the network took it for")
plt.tight_layout()

# %%
# The same in numbers, from scikit-learn as well: precision is how often the
# network is right when it names a class, recall how many of the class it finds.

print(classification_report(test.target, predicted, target_names=test.target_names))

# %%
# Mistakes made with confidence
# -----------------------------
# Of all wrong answers, these are the ones that the network was surest of. Some
# are mistakes that a person would make too, and a few labels are open to doubt:
# no schedule helps there.

probability = clf.predict_proba(test.data)
wrong = np.flatnonzero(predicted != test.target)
surest = wrong[np.argsort(-probability[wrong].max(axis=1))][:10]

fig, axes = plt.subplots(2, 5, figsize=(10, 5.2), layout="constrained")
for ax, i in zip(axes.ravel(), surest, strict=True):
    ax.imshow(test.data[i], cmap="gray_r")
    said, true = (
        test.target_names[predicted[i]],
        test.target_names[test.target[i]],
    )
    ax.set_title(f"said {said} ({probability[i].max():.0%})\nis {true}", fontsize=10)
    ax.set(xticks=[], yticks=[])

# %%
# Where it looks
# --------------
# A square of 7 x 7 pixels is blanked, in each place in turn, and the network is
# asked again. Where its belief in the true class falls, it was looking. Each
# image is one that it recognises; that fall is painted over it in red.
#
# What to see: of some images nothing turns red. No single part matters there;
# the network would know them by any half. Others, above all what has sleeves,
# hang on many places: cover the line of a zip or the edge of a collar, and a
# coat becomes a pullover or a shirt. These are the classes that the confusion
# matrix showed in its darker squares.


def belief_lost(image, label, size=7, step=3):
    """Return how far the probability of `label` falls for a blank square."""
    places = range(0, 28 - size + 1, step)
    covered = np.repeat(image[None], len(places) ** 2, axis=0)
    squares = [(slice(i, i + size), slice(j, j + size)) for i in places for j in places]
    for copy, square in zip(covered, squares, strict=True):
        copy[square] = 0
    lost = (
        clf.predict_proba(image[None])[0, label] - clf.predict_proba(covered)[:, label]
    )
    total, times = np.zeros((28, 28)), np.zeros((28, 28))
    for square, value in zip(squares, lost, strict=True):
        total[square] += max(value, 0)
        times[square] += 1
    return total / times


right = [np.flatnonzero((test.target == k) & (predicted == k))[0] for k in clf.classes_]
fig, axes = plt.subplots(2, 5, figsize=(10, 4.6), layout="constrained")
for ax, i in zip(axes.ravel(), right, strict=True):
    lost = belief_lost(test.data[i], test.target[i])
    ax.imshow(test.data[i], cmap="gray_r", alpha=0.7)
    heat = ax.imshow(
        lost, cmap="Reds", vmin=0, vmax=0.5, alpha=np.clip(lost / 0.25, 0, 0.8)
    )
    ax.set(title=test.target_names[test.target[i]], xticks=[], yticks=[])
scale = plt.cm.ScalarMappable(norm=heat.norm, cmap=heat.cmap)
fig.colorbar(scale, ax=axes, label="belief lost when hidden", shrink=0.8)
plt.show()
