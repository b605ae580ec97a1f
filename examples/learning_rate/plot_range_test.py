"""
The range test, and how to read it
==================================

Which learning rates work? One sweep answers: the rate rises from update to
update, from far too low to far too high, and the loss is watched (Smith 2017,
section 3.3). A sweep of about 200 updates takes a second or so here, and saves a
search over rates.
"""

# %%
# Ten sweeps
# ----------
# One sweep is a matter of luck: it depends on its initial weights and on which
# image comes when. ``lr_range_test`` makes two over all rates and then as many
# over those at which the loss moves as take the updates of three more, each with
# a seed of its own, on clones of the classifier, which itself is not changed.
# The answer holds both boundaries and the curves.

import matplotlib.pyplot as plt

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample, lr_range_test

X, y = load_fashion_mnist_sample(return_X_y=True)
X_test, y_test = load_fashion_mnist_sample(subset="test", return_X_y=True)

found = lr_range_test(CLRLeNetClassifier(), X, y, random_state=0)
print(f"base_lr = {found.base_lr:.2g}, max_lr = {found.max_lr:.2g}")

# %%
# How to read the picture
# -----------------------
# From left to right: a level stretch, where the rate is too low to learn
# anything in so few updates; a fall, at whose beginning `base_lr` belongs; a
# floor, where learning is fastest; and a rise behind it, where the steps have
# become so long that they destroy what was learned. `max_lr` belongs before
# that rise. The thin lines are the sweeps, the band reaches from the lowest to
# the highest: where it is wide, a boundary is uncertain by as much. The gap in
# the thick line is where the narrower sweeps, with new networks, join in.

found.plot()
plt.show()

# %%
# Rules that others use
# ---------------------
# Each library reads such a curve with a rule of its own. They are all here, as
# functions of rates and losses, and their answers stand in ``suggestions``.
# Most answer with a single rate for a training at a constant rate, not with a
# range for a cycle; they lie far apart.

for rule, rate in sorted(found.suggestions.items(), key=lambda item: item[1]):
    print(f"{rule:>14}: {rate:.2g}")

# %%
# What a wrong boundary costs
# ---------------------------
# Five classifiers, three epochs each, that differ in `max_lr` alone: the
# measured one, and others below and above it. What to see: below the measured
# rate what is lost is time, since the network learns more slowly. Three times
# the rate is as good here, since the answer keeps a distance from the rise, for
# networks whose rise is abrupt. At ten times the accuracy breaks down, and more
# epochs would not bring it back.

factors = [0.1, 0.3, 1, 3, 10]
accuracy = []
for factor in factors:
    clf = CLRLeNetClassifier(
        schedule="triangular",
        base_lr=found.base_lr,
        max_lr=factor * found.max_lr,
        step_size=1.5,
        max_epochs=3,
        random_state=0,
    )
    accuracy.append(clf.fit(X, y).score(X_test, y_test))

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
colors = ["tab:green" if factor == 1 else "tab:gray" for factor in factors]
bars = ax.bar([f"{factor:g} x" for factor in factors], accuracy, color=colors)
ax.bar_label(bars, fmt="%.2f")
ax.set(
    xlabel=f"max_lr, as a multiple of the measured {found.max_lr:.2g}",
    ylabel="test accuracy after 3 epochs",
    ylim=(0, 1),
)
plt.show()
