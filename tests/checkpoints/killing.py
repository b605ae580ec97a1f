"""Trainings that are stopped at one of their checkpoints, and what two of them have in common."""

import os
import signal
from unittest import mock

import numpy as np
import pytest
import torch

from skclr import CLRLeNetClassifier
from skclr._checkpoints import CheckpointFile

SECONDS = ("dur",)
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a copy of this process")


def killed_at(n, train):
    """Train in a process that is killed as soon as its n-th checkpoint has been written.

    Return how many it had written by then, less than n where it came to its end.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            count = len(pipe.read())
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), status
        return count
    write, written = CheckpointFile.write, []

    def counted(self, data):
        done = write(self, data)
        written.append(os.write(writer, b"."))
        if len(written) == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    status = 1
    try:
        with mock.patch.object(CheckpointFile, "write", counted):
            train()
        status = 0
    finally:
        os._exit(status)


def small(**params):
    given = {"max_epochs": 3, "batch_size": 32, "step_size": 1, "random_state": 0}
    return CLRLeNetClassifier(**(given | params))


def rows(history):
    """Return a history without its seconds, epochs and batches."""
    return [{key: epoch[key] for key in epoch if key not in SECONDS} for epoch in history]


def assert_same(actual, expected, X):
    """Raise unless two classifiers are the same, bit for bit."""
    assert rows(actual.history_) == rows(expected.history_)
    for mine, theirs in zip(rows(actual.history_), rows(expected.history_), strict=True):
        assert [type(v) for v in mine.values()] == [type(v) for v in theirs.values()]
    mine, theirs = actual.module_.state_dict(), expected.module_.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in {*mine, *theirs})
    np.testing.assert_array_equal(actual.predict_proba(X), expected.predict_proba(X))
    assert_same_values(actual.optimizer_.state_dict(), expected.optimizer_.state_dict())
    for part in ("torch", "numpy", "python"):
        states = [getattr(clf._training.generators, part) for clf in (actual, expected)]
        np.testing.assert_equal(*states)


def assert_same_values(actual, expected):
    assert type(actual) is type(expected)
    if isinstance(actual, dict):
        assert list(actual) == list(expected)
        for key in actual:
            assert_same_values(actual[key], expected[key])
    elif isinstance(actual, (list, tuple)):
        assert len(actual) == len(expected)
        for mine, theirs in zip(actual, expected, strict=True):
            assert_same_values(mine, theirs)
    elif isinstance(actual, torch.Tensor):
        assert torch.equal(actual, expected)
    else:
        assert actual == expected
