"""
The shapes of all schedules
===========================

A schedule is a function of the iteration: one call gives the rates of a whole
training, without any training. All of them take the same words, `base_lr`,
`max_lr` and `step_size`, in the units of the papers: rates, and iterations from
the lower boundary to the upper one.
"""

# %%
# One call each
# -------------
# Twenty epochs of 94 iterations, as on 6,000 images in batches of 64; half a
# cycle takes two and a half epochs. ``batch_doubling`` is the odd one out: what
# it gives for each epoch is a batch size.

import matplotlib.pyplot as plt
import numpy as np

from skclr import schedules
from skclr.displays import ScheduleDisplay

n_epochs, per_epoch = 20, 94
t = np.arange(n_epochs * per_epoch)
cycle = {"base_lr": 0.001, "max_lr": 0.1, "step_size": 2.5 * per_epoch}

rates = {
    "triangular": schedules.triangular(t, **cycle),
    "triangular2": schedules.triangular2(t, **cycle),
    "exp_range": schedules.exp_range(t, gamma=0.9995, **cycle),
    "one_cycle": schedules.one_cycle(t, max_lr=0.1, total_steps=len(t)),
    "lr_halving": schedules.lr_halving(t, max_lr=0.1, step_size=2.5 * per_epoch),
    "cosine": schedules.cosine(t, max_lr=0.1, total_steps=len(t), warmup=2 * per_epoch),
    "cosine_restarts": schedules.cosine_restarts(
        t, max_lr=0.1, step_size=20 / 7 * per_epoch, factor=2
    ),
}

# %%
# Eight pictures
# --------------
# What to see:
#
# - `triangular` goes up and down between the same boundaries, for as long as
#   one likes.
# - `triangular2` halves the height of each cycle: the later ones are for
#   settling down.
# - `exp_range` lets the height decay with each iteration, by `gamma`.
# - `one_cycle` spends the whole training on a single cycle, and ends at almost
#   nothing; it has to know how long the training will be.
# - `lr_halving` only ever goes down, in steps.
# - `cosine` falls once, slowly at first and at last; here after two epochs of
#   warmup.
# - `cosine_restarts` falls again and again, each time in twice as many
#   iterations; it ends low only where its last fall is whole.
# - `batch_doubling` leaves the rate alone and doubles the batch, so each epoch
#   has half the updates of the one before. In epochs it is the mirror image of
#   `lr_halving`; in updates it is short.

fig, axes = plt.subplots(4, 2, figsize=(9, 12), layout="constrained")
for ax, (name, rate) in zip(axes.ravel(), rates.items(), strict=False):
    ScheduleDisplay(t, rate, iterations_per_epoch=per_epoch).plot(ax=ax)
    ax.set_title(name)

epochs = np.arange(n_epochs)
sizes = schedules.batch_doubling(
    epochs, batch_size=64, step_size=2.5, max_batch_size=4096
)
updates = np.ceil(6000 / sizes).astype(int)
ScheduleDisplay(
    np.arange(updates.sum()),
    np.full(updates.sum(), 0.1),
    batch_size=np.repeat(sizes, updates),
    iterations_per_epoch=updates,
).plot(ax=axes[3, 1])
axes[3, 1].set_title("batch_doubling")
plt.show()

# %%
# A schedule of one's own
# -----------------------
# Any function of the iteration will do as `schedule` of the classifier or of
# :class:`skclr.callbacks.LRSchedule`, and ``cyclical`` takes a scale of one's
# own. Here the peaks fall like one over the number of the cycle.

own = schedules.cyclical(t, scale_fn=lambda cycle: 1 / cycle, **cycle)
display = ScheduleDisplay(
    t, own, iterations_per_epoch=per_epoch, name="1 / cycle"
).plot()
display.figure_.set_size_inches(6.4, 3.2)
plt.show()
