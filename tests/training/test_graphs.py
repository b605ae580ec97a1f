"""Which updates are recorded, and that recorded ones are the same: rehearsed without a GPU.

A rehearsal computes anew where a GPU launches what it has recorded, from the same places in memory
and into the same. tests/training/test_gpu.py has the same trainings on a GPU.
"""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from trainings_to_record import TRAININGS, KeepGradients, WatchGraphs, numbers_of, trained

from skclr import CLRLeNetClassifier, LeNet5
from skclr._training import _graphs


class Rehearsal:
    """Stands in for what captures computations."""

    def __init__(self, device):
        pass

    def __call__(self, compute):
        outcome = compute()

        def launch():
            with torch.enable_grad():
                again = compute()
            for place, value in zip(outcome, again, strict=True):
                place.copy_(value)

        return outcome, launch


@pytest.fixture
def rehearsed(monkeypatch):
    monkeypatch.setattr(_graphs, "Captures", Rehearsal)
    monkeypatch.setattr(_graphs, "has_graphs", lambda device: True)
    monkeypatch.setattr(_graphs, "_TIMES_BEFORE", 2)


@pytest.mark.parametrize("name", TRAININGS)
def test_recorded_updates_change_no_bit(fashion, name, request):
    plain, none = trained(*fashion, *TRAININGS[name])
    request.getfixturevalue("rehearsed")
    recorded, n_launches = trained(*fashion, *TRAININGS[name])
    assert none == 0
    assert n_launches > 5
    assert str(numbers_of(recorded)) == str(numbers_of(plain))
    for own, other in zip(recorded.module_.parameters(), plain.module_.parameters(), strict=True):
        assert torch.equal(own, other)
    assert_array_equal(recorded.predict_proba(fashion[0]), plain.predict_proba(fashion[0]))


def test_a_form_of_batch_is_recorded_when_it_has_come_a_few_times(fashion, rehearsed):
    _, n_launches = trained(*fashion, {"max_epochs": 1}, {})
    assert n_launches == 13 - 2 * 2  # batches of 30 and of 31 samples


def test_recordings_outlast_an_epoch_and_end_with_the_training(fashion, rehearsed):
    clf, n_launches = trained(*fashion, {"max_epochs": 3}, {})
    assert n_launches == 3 * 13 - 2 * 2
    assert clf._graphs is None
    clf.partial_fit(*fashion)
    assert dict(clf.callbacks_)["WatchGraphs"].n_launches_ == n_launches


def test_the_recordings_that_are_kept_are_few(fashion, rehearsed, monkeypatch):
    monkeypatch.setattr(_graphs, "_MOST_AT_ONCE", 1)
    graphs = []

    class Count(Callback):
        def on_epoch_end(self, net, **kwargs):
            graphs.append(len(net._graphs._recordings))

    sizes = {"batch_size": 90, "max_epochs": 4, "callbacks": [Count()]}
    trained(*fashion, sizes | {"iterator_train__even": False}, {})
    assert graphs[-1] == 1


def test_gradients_and_scores_that_callbacks_keep_stay_as_they_were(fashion, request):
    kept = []
    for _ in range(2):
        keep = KeepGradients()
        trained(*fashion, {"callbacks": [keep]}, {})
        kept.append([tensor.detach().clone() for tensor in keep.gradients_ + keep.scores_])
        request.getfixturevalue("rehearsed")
    assert len(kept[0]) == len(kept[1]) > 100
    assert all(torch.equal(own, other) for own, other in zip(*kept, strict=True))


def test_gradients_are_added_up_where_a_step_of_ones_own_does(fashion, request):
    class Accumulating(CLRLeNetClassifier):
        def train_step(self, batch, **fit_params):
            step = self.train_step_single(batch, **fit_params)
            if len(self.history[-1]["batches"]) % 2 == 0:
                self.optimizer_.step()
                self.optimizer_.zero_grad()
            return step

    weights = []
    for _ in range(2):
        watch = WatchGraphs()
        clf = Accumulating(max_epochs=3, batch_size=32, random_state=0, callbacks=[watch])
        clf.fit(*fashion)
        weights.append(torch.cat([p.detach().flatten() for p in clf.module_.parameters()]))
        request.getfixturevalue("rehearsed")
    assert watch.n_launches_ > 5
    assert torch.equal(*weights)


def test_hooks_that_come_in_the_middle_of_an_epoch_are_called(fashion, rehearsed):
    calls = []

    class Hook(Callback):
        def on_batch_begin(self, net, training=None, **kwargs):
            if training and (len(net.history), len(net.history[-1]["batches"])) == (1, 10):
                net.module_.fc1.register_forward_hook(lambda *args: calls.append(1))

    _, n_launches = trained(*fashion, {"max_epochs": 1, "callbacks": [Hook()]}, {})
    assert n_launches == 10 - 1 - 2 * 2
    assert len(calls) >= 13 - 9


def test_a_recording_that_fails_is_told_of_and_leaves_no_trace(fashion, request, monkeypatch):
    plain, _ = trained(*fashion, *TRAININGS["shifts and flips"])
    request.getfixturevalue("rehearsed")

    def fail(self, compute):
        compute()
        raise RuntimeError("operation not permitted when stream is capturing.")

    monkeypatch.setattr(Rehearsal, "__call__", fail)
    with pytest.warns(RuntimeWarning, match="could not be recorded as a CUDA graph: operation not"):
        clf, n_launches = trained(*fashion, *TRAININGS["shifts and flips"])
    assert n_launches == 0
    assert str(numbers_of(clf)) == str(numbers_of(plain))


# ---------------------------------------------------------------- what is recorded


def step_of(X, y, **parameters):
    """Return the step of a training with these parameters."""
    steps = []

    class Look(Callback):
        def on_batch_end(self, net, training=None, **kwargs):
            steps.append(net._step)

    clf = CLRLeNetClassifier(max_epochs=1, random_state=0, callbacks=[Look()], **parameters)
    clf.fit(X, y)
    return steps[0]


def dense(*layers):
    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 10), *layers)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, True),
        ({"module": dense()}, True),
        ({"module": dense(nn.Softmax(1)), "criterion": nn.NLLLoss}, True),
        ({"module": LeNet5(activation=nn.ReLU)}, True),
        ({"module": dense(nn.Dropout(0.1))}, False),
        ({"module": nn.Sequential(nn.BatchNorm2d(1), dense())}, False),
        ({"module__activation": nn.RReLU}, False),
        ({"criterion__reduction": "sum", "base_lr": 1e-5, "max_lr": 1e-4}, False),
        ({"criterion__weight": torch.ones(10)}, False),
        ({"module": nn.Sequential(nn.Flatten(), weight_norm(nn.Linear(1024, 10)))}, False),
    ],
)
def test_recorded_is_what_depends_on_its_input_alone(fashion, rehearsed, parameters, expected):
    X, y = fashion
    assert _graphs.can_be_recorded(step_of(X[:100], y[:100], **parameters)) is expected


def test_a_loss_of_ones_own_is_not_recorded(fashion, rehearsed):
    class Own(CLRLeNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            return super().get_loss(y_pred, y_true, *args, **kwargs)

    watch = WatchGraphs()
    Own(max_epochs=1, batch_size=32, callbacks=[watch]).fit(*fashion)
    assert watch.n_launches_ == 0


def test_on_the_cpu_nothing_is_recorded(fashion, monkeypatch):
    monkeypatch.setattr(_graphs, "_TIMES_BEFORE", 0)
    _, n_launches = trained(*fashion, {}, {})
    assert n_launches == 0
    assert not _graphs.can_be_recorded(step_of(*fashion))


class Pickler(Callback):
    """Pickles the net at the end of each epoch."""

    def on_epoch_end(self, net, **kwargs):
        self.net_ = pickle.dumps(net)

    def __getstate__(self):
        return {}


def test_no_recording_goes_into_a_pickle(fashion, rehearsed):
    pickler = Pickler()
    clf, _ = trained(*fashion, {"callbacks": [pickler]}, {})
    loaded = pickle.loads(pickler.net_)
    assert loaded._graphs is None
    assert np.array_equal(loaded.predict(fashion[0]), clf.predict(fashion[0]))
