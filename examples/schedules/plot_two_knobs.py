"""
Two knobs: learning rate and batch size at once
===============================================

`schedule` moves the learning rate, `batch_schedule` the batch size, each by
itself. The rate keeps its place in epochs, however few updates a growing batch
leaves to one.
"""

# %%
# Three ways to grow
# ------------------
# The same cosine of the rate beside a batch that is doubled every two epochs,
# one that is doubled when the gradient's noise scale says that it pays, and a
# ramp of one's own: at the third epoch four times as large, at the sixth one and
# a half times.

from functools import partial

import matplotlib.pyplot as plt
import pandas as pd

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample, schedules
from skclr.displays import BatchSizeDisplay, ScheduleDisplay

X, y = load_fashion_mnist_sample(return_X_y=True)
X_test, y_test = load_fashion_mnist_sample(subset="test", return_X_y=True)

ramp = partial(schedules.batch_steps, milestones=[2, 5], batch_size=32, factor=[4, 1.5])
growths = {"doubling": "doubling", "noise": "noise", "a ramp": ramp}
trained = {
    name: CLRLeNetClassifier(
        schedule="cosine",
        batch_schedule=growth,
        base_lr=0.001,
        max_lr=0.05,
        batch_size=32,
        max_batch_size=512,
        step_size=2,
        max_epochs=8,
        random_state=0,
    ).fit(X[:3000], y[:3000], X_val=X_test, y_val=y_test)
    for name, growth in growths.items()
}

# %%
# Both in one picture
# -------------------
# What to see: the line of the rate is a cosine over the epochs on the upper
# axis, in each of the three. Over the updates on the lower axis it is squeezed
# where the batch is large: the epochs are as many, and shorter.

fig, axes = plt.subplots(3, 1, figsize=(7, 10), layout="constrained")
for ax, (name, clf) in zip(axes, trained.items(), strict=True):
    ScheduleDisplay.from_estimator(clf, name=name, ax=ax)
    ax.set_title(name)
plt.show()

# %%
# What was measured
# -----------------
# The noise scale rises as the network learns. The batch is doubled after an
# epoch in which it was at least twice the batch: an update of the larger batch
# is then worth one and a half of those before, or more.

BatchSizeDisplay.from_estimator(trained["noise"])
plt.show()

# %%
# Where they get to
# -----------------
# A single seed decides nothing: ask
# :func:`skclr.compare_schedules` (:doc:`plot_compare_schedules`). A grid takes
# both knobs: ``{"schedule": [...], "batch_schedule": [None, "doubling",
# "noise"]}``.

rows = {
    name: {
        "last batch size": clf.history_frame()["batch_size"].iloc[-1],
        "updates": clf.history_frame()["n_updates"].sum(),
        "training loss": clf.history_frame()["train_loss"].iloc[-1],
        "test accuracy": clf.score(X_test, y_test),
    }
    for name, clf in trained.items()
}
pd.DataFrame(rows).T.round({"training loss": 3, "test accuracy": 3})
