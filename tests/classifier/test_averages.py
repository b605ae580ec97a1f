"""CycleAverage in the classifier: its data, threads, compiled code, files and failed calls."""

import pickle
import shutil
import signal

import numpy as np
import pytest
import skops.io
import torch
from classifiers import NAMES, lenet, quick, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback
from torch import nn

from skclr import compare_schedules
from skclr.callbacks import CycleAverage

SCHEDULES = ["triangular", "triangular2", "exp_range", "cosine_restarts"]


def averaging(make=lenet, **params):
    given = {"schedule": "triangular", "step_size": 0.5, "max_epochs": 3}
    return make(**(given | {"callbacks": [CycleAverage()]} | params))


def average_of(clf):
    return dict(clf.callbacks_)["CycleAverage"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_cyclical_schedule_has_low_points(two_classes, schedule):
    clf = averaging(schedule=schedule).fit(*two_classes)
    n_cycles = 6 if schedule == "cosine_restarts" else 3
    assert average_of(clf).n_averaged_ == n_cycles


@pytest.mark.parametrize(
    "schedule", ["constant", "one_cycle", "lr_halving", "cosine", "batch_doubling", None]
)
def test_another_schedule_is_named_before_training(two_classes, schedule):
    clf = averaging(schedule=schedule)
    with pytest.raises(ValueError, match="none that it knows: train with CyclicLR"):
        clf.fit(*two_classes)
    assert not hasattr(clf, "classes_")
    clf = averaging(schedule=schedule, callbacks__CycleAverage__cycle_length=1)
    assert average_of(clf.fit(*two_classes)).n_averaged_ == 3


def test_any_number_of_threads_gives_the_same_bits(fashion):
    X, y = fashion
    found = []
    for n_threads in (1, 2, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        try:
            clf = averaging(batch_size=100, validation_fraction=0.2).fit(X, y)
        finally:
            torch.set_num_threads(before)
        found.append(weights(clf))
    assert_array_equal(found[1], found[0])
    assert_array_equal(found[2], found[0])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_networks_are_averaged_too(fashion):
    X, y = fashion
    torch._dynamo.reset()
    params = {"batch_size": 100, "validation_fraction": 0.2, "max_epochs": 4}
    plain = averaging(**params).fit(X, y)
    compiled = averaging(**params, compile=True).fit(X, y)
    assert_allclose(weights(compiled), weights(plain), atol=1e-5)
    assert_allclose(compiled.history[:, "valid_loss"], plain.history[:, "valid_loss"], rtol=1e-4)


def test_any_labels_a_search_and_a_pipeline(two_classes):
    X, y = two_classes
    pipeline = make_pipeline(FunctionTransformer(), averaging(quick))
    grid = {"clrlenetclassifier__callbacks__CycleAverage__start": [0, 2]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, NAMES[y])
    assert search.score(X, NAMES[y]) > 0.9


def test_boundaries_are_measured_by_sweeps_without_an_average(fashion):
    clf = averaging(max_lr="auto", base_lr="auto", batch_size=50, max_epochs=2).fit(*fashion)
    assert average_of(clf).n_averaged_ == 2


def test_a_comparison_judges_the_average(two_classes):
    X, y = two_classes
    found = compare_schedules({"raw": averaging(callbacks=None), "average": averaging()},
                              X[:40], y[:40], X[40:], y[40:], seeds=1)  # fmt: skip
    for name, callbacks in (("raw", None), ("average", [CycleAverage()])):
        clf = averaging(callbacks=callbacks, random_state=0).fit(X[:40], y[:40])
        proba = clf.predict_proba(X[40:])
        loss = -np.log(proba[np.arange(20), np.searchsorted(clf.classes_, y[40:])]).mean()
        row = found.runs.set_index("candidate").loc[name]
        assert row["test_loss"] == pytest.approx(loss, rel=1e-4)


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 20}, {"step_size": 1}, {"momentum": 0.5}, {"schedule": "cosine_restarts"}],
    ids=str,
)
def test_changed_parameters_leave_the_raw_weights_those_that_are_gone_on_with(two_classes, change):
    def train(callbacks):
        clf = averaging(callbacks=callbacks).fit(*two_classes)
        return clf.set_params(**change).partial_fit(*two_classes)

    averaged, plain = train([CycleAverage()]), train(None)
    raw = average_of(averaged).raw_.states["module_"]
    assert all(torch.equal(raw[k], v) for k, v in plain.module_.state_dict().items())


class FailingLater(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 5:
            raise OSError("no space left")


def test_a_call_that_fails_leaves_average_and_raw_weights(two_classes):
    clf = averaging(callbacks=[CycleAverage(), FailingLater()]).fit(*two_classes)
    before, expected = weights(clf), pickle.loads(pickle.dumps(clf))
    with pytest.raises(OSError, match="no space"):
        clf.partial_fit(*two_classes)
    assert_array_equal(weights(clf), before)
    assert average_of(clf).n_averaged_ == 3
    for one in (clf, expected):
        one.set_params(max_epochs=1).partial_fit(*two_classes)
    assert_array_equal(weights(clf), weights(expected))
    assert average_of(clf).n_averaged_ == 4


class PressingCtrlC(Callback):
    def on_batch_end(self, net, training=None, **kwargs):
        if training and len(net.history) == 3:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_leaves_the_average_and_is_passed_on(two_classes):
    clf = averaging(callbacks=[CycleAverage(), PressingCtrlC()])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*two_classes)
    assert_array_equal(weights(clf), weights(averaging(max_epochs=2).fit(*two_classes)))


def test_warm_start_goes_on_from_the_raw_weights(two_classes):
    clf = averaging(warm_start=True).fit(*two_classes).fit(*two_classes)
    assert_array_equal(weights(clf), weights(averaging(max_epochs=6).fit(*two_classes)))


# ---------------------------------------------------------------- files


class Normalized(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(32 * 32, 16), nn.BatchNorm1d(16), nn.Linear(16, n_classes)
        )

    def forward(self, images):
        return self.layers(images)


def test_pickle_skops_and_clone(two_classes):
    X, y = two_classes
    clf = averaging(max_epochs=2).fit(X, NAMES[y])
    data = skops.io.dumps(clf)
    trusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith(("skclr.", "skorch.", "torch.", "builtins.print", "functools"))
               for name in trusted)  # fmt: skip
    expected = weights(averaging(max_epochs=4).fit(X, NAMES[y]))
    for again in (skops.io.loads(data, trusted=trusted), pickle.loads(pickle.dumps(clf)), clf):
        assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    for again in (skops.io.loads(data, trusted=trusted), pickle.loads(pickle.dumps(clf)), clf):
        assert_array_equal(weights(again.partial_fit(X, NAMES[y])), expected)
    again = clone(clf).fit(X, NAMES[y])
    assert_array_equal(weights(again), weights(averaging(max_epochs=2).fit(X, NAMES[y])))


def test_a_model_file_holds_the_average(two_classes, tmp_path):
    X, y = two_classes
    clf = averaging(module=Normalized).fit(X, y)
    clf.save_params(f_params=tmp_path / "a.safetensors", use_safetensors=True)
    loaded = averaging(module=Normalized)
    loaded.load_params(f_params=tmp_path / "a.safetensors", use_safetensors=True)
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


def test_half_precision_is_averaged_and_pickled(two_classes):
    X, y = two_classes

    class Brief(Normalized):
        def __init__(self, n_classes=10):
            super().__init__(n_classes)
            self.bfloat16()

    average = CycleAverage()
    brief = averaging(module=Brief, max_lr=0.01, callbacks=[average]).fit(X, y)
    assert all(part.dtype == torch.bfloat16 for part in brief.module_.parameters())
    again = pickle.loads(pickle.dumps(average))
    assert all(
        torch.equal(own, again.average_.states["module_"][name])
        for name, own in average.average_.states["module_"].items()
    )
