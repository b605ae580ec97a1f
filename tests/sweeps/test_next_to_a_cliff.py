"""Small networks with ReLU, which die for good a little above the rates that suit them."""

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skclr import lr_range_test
from skclr.callbacks import CyclicLR


def cancer_net():
    return nn.Sequential(
        nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
    )


def wine_net():
    return nn.Sequential(
        nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(),
        nn.Linear(32, 3),
    )  # fmt: skip


def net(module, batch_size, **params):
    return NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, optimizer__momentum=0.9, batch_size=batch_size,
        iterator_train__shuffle=True, train_split=None, verbose=0, **params,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("load", "n", "module", "batch_size"),
    [(load_breast_cancer, 400, cancer_net, 16), (load_wine, 120, wine_net, 8)],
)
def test_no_training_collapses_at_the_measured_range(load, n, module, batch_size, seed):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype("float32")
    X, X_test, y, y_test = train_test_split(X, y, train_size=n, random_state=0, stratify=y)
    found = lr_range_test(net(module, batch_size), X, y, random_state=seed)
    cycle = CyclicLR(base_lr=found.max_lr / 20, max_lr=found.max_lr, step_size=8)
    for training in range(4):
        torch.manual_seed(training)
        trained = net(module, batch_size, max_epochs=16, callbacks=[("clr", cycle)]).fit(X, y)
        assert trained.score(X_test, y_test) > 0.88
