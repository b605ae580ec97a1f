"""
Comparing schedules over several seeds
======================================

Train twice with different seeds, and the accuracy differs though nothing else did. So
one run of each of two schedules does not tell which one is better.
:func:`skclr.compare_schedules` trains every candidate with every seed, and tells what
the differences are worth.
"""

# %%
# One call
# --------
# Candidates are classifiers with names; the others are compared with the first one.
# With the same seed they all begin with the same weights and see the images in the same
# order, so that what chance does to all of them alike cancels in their differences. A
# training that diverges is a row, too, and no reason to stop. With `store="runs.csv"`
# each run would be written down as soon as it is done, and the same call would go on
# from there after an interruption.

import matplotlib.pyplot as plt

from skclr import (
    CLRLeNetClassifier,
    GradientNoiseScale,
    compare_schedules,
    load_fashion_mnist_sample,
)
from skclr.displays import BatchSizeDisplay

X, y = load_fashion_mnist_sample(return_X_y=True)
X_test, y_test = load_fashion_mnist_sample(subset="test", return_X_y=True)
X, y = X[:1200], y[:1200]

common = {
    "base_lr": 0.05 / 8,
    "max_lr": 0.05,
    "step_size": 1.5,
    "max_batch_size": 64 * 8,
    "max_epochs": 6,
    "callbacks": [("noise_scale", GradientNoiseScale(n_batches=16))],
}
comparison = compare_schedules(
    {
        name: CLRLeNetClassifier(schedule=name, **common)
        for name in ("lr_halving", "batch_doubling", "constant")
    },
    X,
    y,
    X_test,
    y_test,
    seeds=4,
    n_jobs=2,
)
comparison.runs[
    ["candidate", "seed", "test_accuracy", "gap", "updates", "samples"]
].round(4)

# %%
# What the seeds have in common
# -----------------------------
# The summary has the mean of each measure with its 95 % interval, and the paired
# difference in test accuracy to the first candidate, with the p-value of a paired
# t-test and the same value corrected for the number of candidates by Holm's method.

columns = [
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
    "train_loss",
    "updates",
]
comparison.summary[columns].round(4)

# %%
comparison.differences().round(4)

# %%
# Or in words. "Matches within" names the farther end of the interval: a larger
# difference is unlikely.

for name in ("batch_doubling", "constant"):
    print(comparison.in_words(name))

# %%
# Look at the right-hand side first: does an interval leave out zero? It can be shorter
# than those on the left, which also hold what a seed does to all candidates alike.

comparison.plot()
plt.show()

# %%
# From which batch size on does a doubling stop paying?
# ------------------------------------------------------
# :class:`skclr.GradientNoiseScale` estimates it after each epoch: below the noise
# scale, a batch of twice the size makes an update worth nearly twice as much; far above
# it, the extra samples are wasted. What to see: the noise scale rises as the network
# learns, which is why a growing batch makes sense.

BatchSizeDisplay.from_comparison(comparison, "batch_doubling")
plt.show()
