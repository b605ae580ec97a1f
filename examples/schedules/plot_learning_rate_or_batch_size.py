"""
Learning rate or batch size: the experiment
===========================================

Does growing the batch do what lowering the learning rate does (Smith, Kindermans, Ying
and Le 2018)? Here is the answer for LeNet-5 on all of Fashion-MNIST, from several seeds
and with its uncertainty: yes, to 0.3 points of test accuracy, with a third of the
updates. What counts is that the noise is lowered; how it is lowered hardly does.

This page reads the results that one command has left in ``docs/data`` of the
repository::

    python benchmarks/learning_rate_or_batch_size.py \
        --store docs/data/learning_rate_or_batch_size.csv
"""

# %%
# The candidates
# --------------
# All have the same number of epochs, the same highest rate, and for each seed the same
# initial weights and order of images. The first two are mirror images: one divides the
# rate by two, the other doubles the batch, in the same epochs, so that both pass
# through the same noise scale, which is the rate over the batch size. A constant rate
# is the control; two forms of CLR and one-cycle stand beside them.

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from skclr import ScheduleComparison
from skclr.displays import BatchSizeDisplay

here = Path.cwd()
store = next(
    folder / "docs" / "data" / "learning_rate_or_batch_size.csv"
    for folder in (here, *here.parents)
    if (folder / "docs" / "data").is_dir()
)
comparison = ScheduleComparison.from_csv(store)

history = comparison.history
by_epoch = history[history["seed"] == history["seed"].min()].pivot(
    index="epoch", columns="candidate", values=["lr", "batch_size"]
)
mirror = ["lr_halving", "batch_doubling"]
changes = by_epoch.loc[:, [(c, name) for c in ("lr", "batch_size") for name in mirror]]
changes[~changes.duplicated()]

# %%
# The table
# ---------
# Means over the seeds; accuracy and loss on the 10,000 test images, and the training
# loss without augmentation, all of them with the final weights. The gap is test loss
# less training loss. Seconds are those of training alone, two trainings at a time on
# two cores.

summary = comparison.summary
measures = ["test_accuracy", "test_loss", "train_loss", "gap", "updates", "seconds"]
summary[["n_runs", "n_failed", *measures]].round(
    {
        "test_accuracy": 4,
        "test_loss": 3,
        "train_loss": 3,
        "gap": 3,
        "updates": 0,
        "seconds": 0,
    }
)

# %%
# With 95 % intervals of the means:

pd.DataFrame(
    {
        measure: [
            f"{row[measure]:.4f} "
            f"({row[f'{measure}_low']:.4f} to {row[f'{measure}_high']:.4f})"
            for _, row in summary.iterrows()
        ]
        for measure in ("test_accuracy", "test_loss", "gap")
    },
    index=summary.index,
)

# %%
# The differences to halving the rate, seed by seed, with the p-value of the paired
# t-test and the same value corrected for the number of candidates by Holm's method:

comparison.differences().round(4)

# %%
# The answer
# ----------

for name in comparison.candidates[1:]:
    print(comparison.in_words(name), end="\n\n")

# %%
# Each seed is a point. On the right-hand side, look whether an interval leaves out
# zero.

comparison.plot()
plt.show()

# %%
# The way there
# -------------
# Test accuracy against the epoch: the line is the mean over the seeds, the band reaches
# from the lowest to the highest. The two mirror images lie on one another: they settle
# in the same steps. The control, whose noise is never lowered, goes on jumping, and
# stays below. CLR falls back whenever its rate rises, and is as good as the others
# where it ends, at the low point of a cycle.

fig, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
for name, color in zip(
    comparison.candidates,
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    strict=False,
):
    by_seed = history[history["candidate"] == name].pivot(
        index="epoch", columns="seed", values="test_accuracy"
    )
    ax.fill_between(
        by_seed.index, by_seed.min(axis=1), by_seed.max(axis=1), color=color, alpha=0.2
    )
    ax.plot(by_seed.index, by_seed.mean(axis=1), color=color, label=name)
ax.set(xlabel="epoch", ylabel="test accuracy")
ax.set_ylim(history.loc[history["epoch"] > 2, "test_accuracy"].quantile(0.01), None)
ax.legend()
plt.show()

# %%
# Loss, accuracy and noise scale against the batch size
# ------------------------------------------------------
# What batch doubling does in all seeds together. In the lowest panel is the gradient's
# own noise scale, measured by :class:`skclr.GradientNoiseScale`: as long as the batch
# (dashed) is well below it, a doubling pays. Here it rises as the network learns, about
# as fast as the batch, and stays above it.

BatchSizeDisplay.from_comparison(comparison, "batch_doubling")
plt.show()

# %%
# The noise scale of a single measurement is uncertain. Over the seeds, both of its
# parts are averaged before they are divided, which is less biased than a mean of
# ratios:

parts = history.groupby(["candidate", "epoch"])[
    ["gradient_variance", "squared_gradient"]
].mean()
scale = (parts["gradient_variance"] / parts["squared_gradient"]).unstack("candidate")
scale[comparison.candidates].iloc[:: max(1, len(scale) // 6)].round(0)
