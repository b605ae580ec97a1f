"""Averages and ensembles of a training that is killed are those of one that was not."""

import numpy as np
import pytest
import torch
from killing import assert_same, can_fork, killed_at, small
from torch import nn

from skclr import SnapshotEnsemble
from skclr.callbacks import CycleAverage

pytestmark = can_fork


class Normalized(nn.Sequential):
    def __init__(self, n_classes=10):
        super().__init__(
            nn.Flatten(), nn.Linear(32 * 32, 8), nn.BatchNorm1d(8), nn.Linear(8, n_classes)
        )


@pytest.fixture
def data(fashion):
    X, y = fashion
    return X[:160], y[:160]


@pytest.mark.parametrize("validation_fraction", [None, 0.2])
@pytest.mark.parametrize("step_size", [0.5, 0.7])
def test_an_average_goes_on(data, tmp_path, step_size, validation_fraction):
    def train(**given):
        given |= {"step_size": step_size, "validation_fraction": validation_fraction}
        clf = small(module=Normalized, callbacks=[CycleAverage()], schedule="triangular", **given)
        return clf.fit(*data).partial_fit(*data)

    expected = train()
    for n in (2, 5, 8, 11, 14, 17):
        file = str(tmp_path / f"{n}.safetensors")
        given = {"checkpoint": file, "checkpoint_every": 0.3}
        assert killed_at(n, lambda given=given: train(**given)) == n
        actual = train(**given)
        assert_same(actual, expected, data[0])
        raw, other = (dict(clf.callbacks_)["CycleAverage"].raw_ for clf in (actual, expected))
        assert all(
            torch.equal(own, other.states["module_"][name])
            for name, own in raw.states["module_"].items()
        )


def test_a_finished_average_is_loaded(data, tmp_path):
    def train():
        clf = small(callbacks=[CycleAverage()], step_size=0.5, checkpoint=str(tmp_path / "a"))
        return clf.fit(*data)

    first, file = train(), (tmp_path / "a").read_bytes()
    assert_same(train(), first, data[0])
    assert (tmp_path / "a").read_bytes() == file


def test_the_members_of_an_ensemble_go_on(data, tmp_path):
    X, y = data

    def train(**given):
        clf = small(schedule="cosine_restarts", step_size=0.7, **given)
        return SnapshotEnsemble(clf, n_members=3).fit(X, y)

    expected = train().predict_proba(X)
    for n in (2, 4, 6, 9):
        file = str(tmp_path / f"{n}.safetensors")
        given = {"checkpoint": file, "checkpoint_every": 0.3}
        assert killed_at(n, lambda given=given: train(**given)) == n
        np.testing.assert_array_equal(train(**given).predict_proba(X), expected)
        np.testing.assert_array_equal(train(**given).predict_proba(X), expected)  # as finished
