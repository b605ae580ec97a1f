"""
The low points of a training
============================

Under a cyclical schedule the network settles at the end of each cycle, and
leaves again when the rate climbs. Where do these low points lie, what is
between them, and what are their average and their ensemble worth?
"""

# %%
# Three low points
# ----------------
# Twelve epochs are three cycles of four. :class:`~skclr.SnapshotEnsemble` keeps
# the weights at their ends, and :class:`~skclr.callbacks.CycleAverage` among
# the callbacks averages the same weights: all of it is one training.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import log_loss
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from skclr import CLRLeNetClassifier, SnapshotEnsemble, load_fashion_mnist_sample
from skclr.callbacks import CycleAverage

X, y = load_fashion_mnist_sample(return_X_y=True)
X_test, y_test = load_fashion_mnist_sample(subset="test", return_X_y=True)

clf = CLRLeNetClassifier(
    schedule="triangular",
    base_lr=0.001,
    max_lr=0.1,
    step_size=2,
    max_epochs=12,
    callbacks=[CycleAverage()],
    random_state=0,
)
ensemble = SnapshotEnsemble(clf).fit(X, y)
net = ensemble.estimator_  # holds the average
shapes = list(ensemble.members_[0])  # a tensor for each name


def as_vector(state):
    return parameters_to_vector([state[name] for name in shapes])


low_points = [as_vector(member) for member in ensemble.members_]
average = as_vector(net.module_.state_dict())

# %%
# What they are worth
# -------------------
# On the test images. One training of one seed tells little of which is better;
# the end of this page compares them over seeds.


def judge(proba):
    wrong = (net.classes_[proba.argmax(1)] != y_test).mean()
    return f"error {wrong:.3f}, loss {log_loss(y_test, proba):.3f}"


probabilities = {"the average": net.predict_proba(X_test)}
probabilities["the ensemble"] = ensemble.predict_proba(X_test)
for number, point in enumerate(low_points, start=1):
    vector_to_parameters(point, net.module_.parameters())
    probabilities[f"low point {number}"] = net.predict_proba(X_test)
for name, proba in probabilities.items():
    print(f"{name:>12}: {judge(proba)}")

# %%
# The plane through the three
# ---------------------------
# Three networks, as points in the space of all weights, span a plane, as in
# figure 1 of Izmailov and others (2018). Each place in it is a network of its
# own, and its loss can be computed: here of 1,000 training and of the 1,000
# test images.

across = low_points[1] - low_points[0]
across = across / across.norm()
up = low_points[2] - low_points[0]
up = up - (up @ across) * across
up = up / up.norm()


def coordinates(point):
    away = point - low_points[0]
    return float(away @ across), float(away @ up)


places = np.array([coordinates(point) for point in [*low_points, average]])
low, high = places.min(axis=0), places.max(axis=0)
margin = 0.6 * (high - low).max()
xs = np.linspace(low[0] - margin, high[0] + margin, 15)
ys = np.linspace(low[1] - margin, high[1] + margin, 15)

losses = {"training loss": np.empty((15, 15)), "test loss": np.empty((15, 15))}
data = {
    "training loss": (X[:1000], y[:1000]),
    "test loss": (X_test[:1000], y_test[:1000]),
}
for row, b in enumerate(ys):
    for column, a in enumerate(xs):
        point = low_points[0] + float(a) * across + float(b) * up
        vector_to_parameters(point, net.module_.parameters())
        for name, (images, labels) in data.items():
            losses[name][row, column] = log_loss(labels, net.predict_proba(images))

# %%
# What to see
# -----------
# On the left training goes downhill: each low point lies lower than the one
# before, and the way leads on beyond the third. On the right, on images that
# the network has not seen, there is no such way: the lowest part of the basin
# holds all three, the first and the third at its rim, the average inside. Where
# the two pictures differ like that, an average can be better than the last
# network; whether it is, and by how much, the numbers above tell. And there is
# no ridge between the three: else the mean of their weights would be no good
# network.

fig, axes = plt.subplots(1, 2, figsize=(10, 4.6), sharey=True, layout="constrained")
for ax, (name, loss) in zip(axes, losses.items(), strict=True):
    levels = np.geomspace(loss.min(), loss.max(), 15)
    filled = ax.contourf(xs, ys, loss, levels=levels, cmap="viridis_r")
    ax.contour(xs, ys, loss, levels=levels, colors="white", linewidths=0.4)
    ax.plot(*places[:3].T, "o-", color="black", markersize=8, linewidth=1)
    for number, place in enumerate(places[:3], start=1):
        ax.annotate(f"  {number}", place, fontsize=12)
    ax.plot(*places[3], "*", color="tab:red", markersize=16, label="average")
    ax.set(title=name, xlabel="distance along the first two", aspect="equal")
    fig.colorbar(filled, ax=ax, format="%.2f")
axes[0].set_ylabel("distance towards the third")
axes[0].legend(loc="upper left")
plt.show()

# %%
# The raw weights go on
# ---------------------
# The average is what is left in the net; the weights that training goes on with
# are kept beside it, and ``partial_fit`` goes on from these: here by one more
# cycle, after which four low points are in the average. (What was moved for the
# picture is put back first.)

vector_to_parameters(average, net.module_.parameters())
net.set_params(max_epochs=4).partial_fit(X, y)
print(sum(net.history[:, "event_average"]), "low points:", end=" ")
print(judge(net.predict_proba(X_test)))

# %%
# Over seeds, on four tasks
# -------------------------
# ``python benchmarks/averages.py`` trains five seeds of each of four tasks, with
# two kinds of cycle, and ``docs/data`` of the repository has what it found. A dot
# is what the average or the ensemble differs from the last weights of the same
# training, the mean over the seeds, with its 95 % interval: to the right is
# better in both pictures. The loss is lower almost everywhere; the accuracy
# hardly differs, and by how much, chance decides on most tasks.

from pathlib import Path

import pandas as pd
from scipy import stats

here = Path.cwd()
runs = next(
    pd.read_csv(folder / "docs" / "data" / "averages.csv")
    for folder in (here, *here.parents)
    if (folder / "docs" / "data").is_dir()
)
fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
titles = {"accuracy": "test accuracy gained", "loss": "test loss saved"}
cases = list(runs.groupby(["task", "schedule"], sort=False))
for ax, (measure, title) in zip(axes, titles.items(), strict=True):
    sign = 1 if measure == "accuracy" else -1
    for color, method in (("tab:blue", "average"), ("tab:orange", "ensemble")):
        gains = []
        for _, own in cases:
            table = own.pivot(index="seed", columns="method", values=measure)
            gains.append(sign * (table[method] - table["last"]))
        means = [gain.mean() for gain in gains]
        half = [stats.t.ppf(0.975, len(gain) - 1) * gain.sem() for gain in gains]
        rows = np.arange(len(cases)) + (0.12 if method == "ensemble" else -0.12)
        ax.errorbar(means, rows, xerr=half, fmt="o", color=color, label=method)
    ax.axvline(0, color="0.5", linewidth=1)
    ax.set_xlabel(title)
names = [
    f"{task}, {schedule.removesuffix('_restarts')}" for (task, schedule), _ in cases
]
axes[0].set_yticks(range(len(cases)), names)
axes[0].invert_yaxis()
axes[0].legend(loc="lower right")
plt.show()
