"""No update of the classifier is made from a few samples that were left over."""

from functools import partial

import numpy as np
import pytest
from torch.utils.data import DataLoader

from skclr import CLRLeNetClassifier, lr_range_test
from skclr.batches import BatchIterator


def sizes_of_epochs(clf):
    batches = [epoch["batches"] for epoch in clf.history_]
    return [[row["train_batch_size"] for row in epoch if "train_loss" in row] for epoch in batches]


PARAMS = [
    {},
    {"schedule": "batch_doubling", "batch_size": 16, "max_batch_size": 128, "step_size": 1},
    {"schedule": "one_cycle"},
    {"schedule": None},
    {"validation_fraction": 0.2},
    {"iterator_train__batch_size": 50},
    {"iterator_train__shuffle": False},
    {"iterator_train": partial(BatchIterator)},
]


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("n", [65, 129, 257, 300])
def test_batches_of_an_epoch_differ_by_at_most_one_sample(fashion, params, n):
    X, y = (part[:n] for part in fashion)
    given = {"base_lr": 0.001, "max_lr": 0.05, "max_epochs": 3, "random_state": 0} | params
    clf = CLRLeNetClassifier(**given).fit(X, y)
    nominal = clf.history_[:, "batch_size"]
    for sizes, size in zip(sizes_of_epochs(clf), nominal, strict=True):
        assert len(sizes) == -(-sum(sizes) // size)  # as many as ever
        assert max(sizes) - min(sizes) <= 1
    clf.partial_fit(X, y)
    assert max(sizes_of_epochs(clf)[-1]) - min(sizes_of_epochs(clf)[-1]) <= 1


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"iterator_train__even": False}, [64, 64, 2]),
        ({"iterator_train__drop_last": True}, [64, 64]),
        ({"iterator_train": DataLoader}, [64, 64, 2]),
        ({"iterator_train": DataLoader, "iterator_train__drop_last": True}, [64, 64]),
    ],
)
def test_batches_are_those_that_the_user_asks_for(fashion, params, expected):
    X, y = (part[:130] for part in fashion)
    clf = CLRLeNetClassifier(base_lr=0.001, max_lr=0.05, max_epochs=1, **params).fit(X, y)
    assert sizes_of_epochs(clf) == [expected]


def test_one_image_more_does_not_cost_the_accuracy(fashion):
    X, y = fashion
    scores = {
        n: np.mean(
            [
                CLRLeNetClassifier(random_state=seed).fit(X[:n], y[:n]).score(X[300:], y[300:])
                for seed in range(4)
            ]
        )
        for n in (256, 257)
    }
    assert scores[257] > scores[256] - 0.05


def test_one_image_more_does_not_move_the_range(fashion):
    X, y = fashion
    found = [
        lr_range_test(CLRLeNetClassifier(), X[:n], y[:n], random_state=0).max_lr for n in (128, 129)
    ]
    assert 0.5 < found[1] / found[0] < 2
