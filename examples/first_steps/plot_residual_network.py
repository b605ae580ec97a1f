"""
A residual network on larger images
===================================

LeNet-5 sees 32 x 32 pixels. A network of one's own may see any size, which is
a parameter like the others: ``image_size``. Here a small residual network
reads an eye chart in colour, printed on photographs, and how small the signs
may be depends on the size of the images that it is given.
"""

# %%
# An eye chart on photographs
# ---------------------------
# Landolt's ring is the sign of eye tests: a ring with a gap, and the question
# is on which side the gap is. The rings are of all sizes and in any place, in
# a colour that differs from what is behind it, and the photographs behind them
# come with scikit-learn. All images are 64 x 64 pixels, in colour.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip

SIDE = 64
SIDES = np.array(["right", "below", "left", "above"])
rng = np.random.default_rng(0)
photographs = load_sample_images().images


def ring(radius, side):
    """Return how much of each pixel a ring covers, and where it is at random."""
    row, column = rng.uniform(radius + 1, SIDE - radius - 1, size=2)
    down, right = np.mgrid[:SIDE, :SIDE] - np.array([row, column])[:, None, None]
    along, across = [(right, down), (down, right), (-right, down), (-down, right)][side]
    stroke = 0.4 * radius  # a fifth of the diameter, and so is the gap
    distance = np.abs(np.hypot(down, right) - (radius - stroke / 2))
    gap = np.where(along > 0, np.abs(across), SIDE)
    inside = np.minimum(stroke / 2 - distance, gap - stroke / 2)
    return np.clip(inside + 0.5, 0, 1)[..., None]


def eye_chart(n):
    images, sides = np.empty((n, SIDE, SIDE, 3), np.uint8), rng.integers(4, size=n)
    radii = rng.uniform(6, 24, size=n)
    for place, (side, radius) in enumerate(zip(sides, radii, strict=True)):
        photograph = photographs[rng.integers(len(photographs))]
        top, left = (rng.integers(length - SIDE) for length in photograph.shape[:2])
        behind = photograph[top : top + SIDE, left : left + SIDE].astype(float)
        colour = (behind.mean((0, 1)) + rng.uniform(80, 176, size=3)) % 256
        cover = ring(radius, side)
        images[place] = (1 - cover) * behind + cover * colour
    return images, SIDES[sides], radii


X, y, _ = eye_chart(1600)
X_test, y_test, radii = eye_chart(600)

# %%
# A residual network
# ------------------
# Each block adds to what comes in rather than replacing it. The mean over all
# places before the last layer makes the network one for images of any size,
# and ``in_channels`` and ``n_classes`` are filled in by the classifier.


class Block(nn.Module):
    def __init__(self, channels, more):
        super().__init__()
        self.wider = nn.Conv2d(channels, more, 1, stride=2, bias=False)
        self.change = nn.Sequential(
            nn.Conv2d(channels, more, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(more),
            nn.ReLU(),
            nn.Conv2d(more, more, 3, padding=1, bias=False),
            nn.BatchNorm2d(more),
        )

    def forward(self, images):
        return nn.functional.relu(self.wider(images) + self.change(images))


class ResidualNetwork(nn.Sequential):
    def __init__(self, in_channels=3, n_classes=4):
        super().__init__(
            nn.Conv2d(in_channels, 8, 5, stride=2, padding=2),
            Block(8, 16),
            Block(16, 32),
            Block(32, 64),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, n_classes),
        )


# %%
# Three sizes
# -----------
# The images are the same, and so is the network; what differs is to how many
# pixels they are brought. A flip would turn "left" into "right", so there is
# none.

classifiers = {}
for size in (16, 32, 64):
    began = time.perf_counter()
    classifiers[size] = CLRLeNetClassifier(
        ResidualNetwork,
        image_size=size,
        schedule="one_cycle",
        max_lr=0.2,
        batch_size=32,
        max_epochs=12,
        augmentation=RandomShiftFlip(shift=0.1, flip=False),
        random_state=0,
    ).fit(X, y)
    accuracy = classifiers[size].score(X_test, y_test)
    seconds = time.perf_counter() - began
    print(f"{size} x {size}: {accuracy:.3f} right, in {seconds:.0f} seconds")

# %%
# What to see
# -----------
# Above, rings from large to small, and what the network on 64 x 64 pixels says of
# them. Below, how many of each kind are read rightly. A gap is a fifth of a ring's
# diameter: brought to 16 x 16, that of the largest ring is two pixels wide, of
# which the first layer makes one, and the network can but guess. With each doubling
# of the size, rings of half the diameter become legible.

fig = plt.figure(figsize=(8.6, 6.2), layout="constrained")
top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.6])
shown = np.argsort(radii)[:: -len(radii) // 7][:7]
said = classifiers[64].predict(X_test[shown])
for ax, image, word, right in zip(
    top.subplots(1, 7), X_test[shown], said, y_test[shown], strict=True
):
    ax.imshow(image)
    ax.set(xticks=[], yticks=[])
    ax.set_title(word, color="black" if word == right else "tab:red")

ax = bottom.subplots()
edges = np.linspace(12, 48, 7)
middles = (edges[1:] + edges[:-1]) / 2
kinds = np.digitize(2 * radii, edges[1:-1])
for (size, clf), marker in zip(classifiers.items(), "so^", strict=True):
    is_right = clf.predict(X_test) == y_test
    values = [is_right[kinds == kind].mean() for kind in range(len(middles))]
    ax.plot(middles, 100 * np.array(values), marker=marker, label=f"{size} x {size}")
ax.axhline(25, color="gray", linestyle=":", label="by guessing")
ax.set(
    xlabel="diameter of the ring (pixels of 64)",
    ylabel="read rightly (%)",
    ylim=(0, 102),
)
ax.legend(title="image_size")
plt.show()
