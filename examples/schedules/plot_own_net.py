"""
The callbacks on a net of one's own
===================================

The schedules do not need this library's classifier. They are callbacks, and
work on any skorch net, with PyTorch's stock ``DataLoader``. Here a multilayer
perceptron in plain skorch gets a range test, a cyclical rate and a growing
batch.
"""

# %%
# A net of plain skorch
# ---------------------
# Nothing here comes from skclr but the images, of which a third is enough.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochScoring
from torch import nn

from skclr import (
    BatchDoubling,
    CyclicLR,
    LRRangeTest,
    load_fashion_mnist_sample,
    lr_range_test,
)

X, y = load_fashion_mnist_sample(return_X_y=True)
X_test, y_test = load_fashion_mnist_sample(subset="test", return_X_y=True)
X, y = X[:2000].astype(np.float32) / 255, y[:2000]
X_test = X_test.astype(np.float32) / 255


class Perceptron(nn.Sequential):
    def __init__(self, n_hidden=128):
        super().__init__(
            nn.Flatten(),
            nn.Linear(784, n_hidden),
            nn.ReLU(),
            nn.Linear(n_hidden, 10),
        )


net = NeuralNetClassifier(
    Perceptron,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.SGD,
    optimizer__momentum=0.9,
    batch_size=64,
    max_epochs=8,
    iterator_train__shuffle=True,
    callbacks=[
        ("train_acc", EpochScoring("accuracy", on_train=True, name="train_acc"))
    ],
    train_split=None,
    verbose=0,
)

# %%
# Which rates work for it
# -----------------------
# :func:`skclr.lr_range_test` takes any skorch classifier and leaves it as it
# is.

found = lr_range_test(net, X, y, min_lr=1e-5, n_iter=150, n_repeats=2, random_state=0)
print(f"base_lr = {found.base_lr:.2g}, max_lr = {found.max_lr:.2g}")

# %%
# The same sweep, once, as a callback in a training: for when more than the
# answer is of interest, or the net is trained by code of one's own.

sweep = LRRangeTest(min_lr=1e-5, max_lr=10, n_iter=150)
torch.manual_seed(0)
swept = clone(net).set_params(callbacks=[("sweep", sweep)]).fit(X, y)
print("the sweep ended:", dict(swept.callbacks_)["sweep"].stopped_)

# %%
# Three schedules
# ---------------
# ``set_params`` gives a clone of the net a callback, so a search can choose
# between them as well. The random numbers of a plain skorch net are torch's, so
# it is seeded before each training.

schedules = {
    "constant": None,
    "cyclical": CyclicLR(
        "triangular2",
        base_lr=found.base_lr,
        max_lr=found.max_lr,
        step_size=2,
        step_unit="epoch",
    ),
    "growing batch": BatchDoubling(batch_size=64, every=2, max_batch_size=512),
}

histories = {}
for name, schedule in schedules.items():
    torch.manual_seed(0)
    callbacks = [
        *net.callbacks,
        *([("schedule", schedule)] if schedule else []),
    ]
    trained = clone(net).set_params(lr=found.max_lr / 3, callbacks=callbacks).fit(X, y)
    histories[name] = trained.history
    print(f"{name:>14}: test accuracy {trained.score(X_test, y_test):.3f}")

# %%
# What to see
# -----------
# The callbacks write what they do to skorch's history: the rate of each update as
# ``event_lr``, the batch size of each epoch as ``batch_size``. On the left the three
# losses: the cyclical one goes down in steps, each while its rate comes down, and the
# other two level off.

fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for name, history in histories.items():
    axes[0].plot(history[:, "epoch"], history[:, "train_loss"], marker="o", label=name)
rates = np.ravel(histories["cyclical"][:, "batches", :, "event_lr"])
axes[1].plot(rates, color="tab:orange")
sizes = histories["growing batch"][:, "batch_size"]
axes[2].step(range(1, len(sizes) + 1), sizes, where="mid", color="tab:green")
axes[0].set(
    xlabel="epoch",
    ylabel="training loss",
    yscale="log",
    title="three trainings",
)
axes[1].set(xlabel="iteration", ylabel="learning rate", title="cyclical")
axes[2].set(
    xlabel="epoch",
    ylabel="batch size",
    title="growing batch",
    yticks=sorted(set(sizes)),
)
axes[0].legend()
plt.show()
