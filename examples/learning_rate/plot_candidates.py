"""
Ten candidates
==============

The plainest way to find a learning rate: take ten of them, train a fresh
network for a few epochs with each, and compare. It sees less than a range test,
and answers another question, so it is worth seeing both beside each other.
"""

# %%
# Ten rates, two epochs each
# --------------------------
# The rates are spread evenly over ten powers of ten, from 1e-9 to 10. All ten
# networks begin with the same weights and see the images in the same order;
# only the rate differs. Half of the images are enough to see it.

import matplotlib.pyplot as plt

from skclr import (
    CLRLeNetClassifier,
    load_fashion_mnist_sample,
    lr_candidates_test,
    lr_range_test,
)

X, y = load_fashion_mnist_sample(return_X_y=True)
X, y = X[:3000], y[:3000]
clf = CLRLeNetClassifier()
candidates = lr_candidates_test(clf, X, y, epochs=2, random_state=0)
candidates.to_frame()[["lr", "loss"]]

# %%
# A sweep, to compare
# -------------------
# What the range test asks is how the loss reacts to a rate at which a network
# trains for a moment; what the candidates ask is how far one gets with a rate
# that stays.

sweep = lr_range_test(clf, X, y, random_state=0)
print(f"candidates: best rate {candidates.max_lr:.2g}")
print(f"sweep:      base_lr {sweep.base_lr:.2g}, max_lr {sweep.max_lr:.2g}")

# %%
# What to see
# -----------
# On the left each point is a network of its own. Half of the candidates are
# spent on rates at which hardly anything happens, two on rates that destroy the
# training (the crosses at the upper edge), and few are left where it matters.
# On the right the sweeps have looked at every rate in between, for about as many
# updates altogether. Their floor lies further to the right: a rate that a network
# survives for a few updates is higher than one that it can live with for
# epochs. That is why the upper boundary of a cycle, which is visited and left
# again, may be higher than the best constant rate.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
candidates.plot(ax=left)
sweep.plot(ax=right)
left.set_title("ten candidates, 2 epochs each")
right.set_title(f"{len(sweep.losses)} sweeps over {len(sweep.lrs)} rates")
plt.show()
