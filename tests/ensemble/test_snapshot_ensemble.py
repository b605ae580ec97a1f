"""The ensemble of a training's low points: its members, its answers, and scikit-learn's tools."""

import gc
import pickle
import signal
import weakref

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from ensembles import NAMES, cyclic, plain
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch import NeuralNetBinaryClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, LRScheduler
from torch import nn

from skclr import CLRLeNetClassifier, LeNet5, SnapshotEnsemble
from skclr.callbacks import (
    BatchDoubling,
    CosineRestartsLR,
    CycleAverage,
    CyclicLR,
    Resume,
    StopTraining,
)
from skclr.exceptions import PixelScaleWarning


class DoubleLeNet5(LeNet5):
    """LeNet-5 in double precision."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(in_channels=in_channels, n_classes=n_classes)
        self.double()


def restarting(**params):
    given = {"schedule": "cosine_restarts", "step_size": 1, "max_epochs": 4, "random_state": 0}
    return SnapshotEnsemble(CLRLeNetClassifier(**given, **params), n_members=2)


def expected_failures(ensemble):
    name = "check_sample_weight_equivalence_on_dense_data"
    if ensemble.estimator.module is not DoubleLeNet5:
        return {name: "it compares seven digits, which single precision does not have"}
    return {}


@parametrize_with_checks(
    [
        SnapshotEnsemble(cyclic(max_epochs=2)),
        SnapshotEnsemble(cyclic(max_epochs=2, callbacks="disable")),
        restarting(),
        restarting(module=DoubleLeNet5),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_finds_nothing_amiss(estimator, check):
    check(estimator)


# ---------------------------------------------------------------- members


@pytest.mark.parametrize("n_members", [None, 1, 3, 4])
def test_members_are_trainings_that_ended_there(fashion, n_members):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic(), n_members).fit(X, y)
    n = n_members or 4
    ended = [cyclic(max_epochs=epochs).fit(X, y) for epochs in range(5 - n, 5)]
    for member, clf in zip(ensemble.members_, ended, strict=True):
        assert all(torch.equal(member[k], v) for k, v in clf.module_.state_dict().items())
    expected = np.mean([clf.predict_proba(X).astype(float) for clf in ended], axis=0)
    proba = ensemble.predict_proba(X)
    assert proba.dtype == np.float32
    assert_allclose(proba, expected, rtol=1e-6)
    assert_array_equal(ensemble.predict(X), ended[-1].classes_[expected.argmax(1)])


def test_the_net_is_left_as_its_training_has_left_it(fashion):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic(max_epochs=3, step_size=1)).fit(X, y)
    alone = cyclic(max_epochs=3, step_size=1).fit(X, y)
    for _ in range(2):
        assert_array_equal(ensemble.estimator_.predict_proba(X), alone.predict_proba(X))
        ensemble.predict_proba(X)
    assert ensemble.estimator_.get_params()["callbacks"] is None
    assert [name for name, _ in ensemble.estimator_.callbacks_] == [n for n, _ in alone.callbacks_]


def test_an_average_beside_it_takes_the_same_low_points(fashion):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic(callbacks=[CycleAverage()])).fit(X, y)
    for name, value in ensemble.estimator_.module_.state_dict().items():
        mean = torch.stack([member[name] for member in ensemble.members_]).mean(0)
        torch.testing.assert_close(value, mean, rtol=1e-5, atol=1e-6)


def test_members_are_weights_and_no_nets(fashion):
    ensemble = SnapshotEnsemble(cyclic(max_epochs=8)).fit(*fashion)
    one = SnapshotEnsemble(cyclic(max_epochs=8), 1).fit(*fashion)
    n_bytes = sum(part.numel() * part.element_size() for part in ensemble.members_[0].values())
    more = len(pickle.dumps(ensemble)) - len(pickle.dumps(one))
    assert 7 * n_bytes <= more < 7 * (n_bytes + 4096)


def test_the_data_are_let_go(fashion):
    class Kept(np.ndarray):
        pass

    X, y = fashion
    X = X.view(Kept)
    reference = weakref.ref(X)
    ensemble = SnapshotEnsemble(cyclic(callbacks=[CycleAverage()])).fit(X, y)
    del X
    gc.collect()
    assert reference() is None
    assert ensemble.members_


# ---------------------------------------------------------------- any net, any data


SCHEDULES = {
    "epochs": ([CyclicLR(step_size=0.5)], 4),
    "updates": ([CyclicLR(step_size=3, step_unit="iteration")], 4),
    "falls": ([CosineRestartsLR(step_size=1, factor=1.5)], 2),
    "a growing batch": (
        [BatchDoubling(10, every=2), CyclicLR(step_size=3, step_unit="iteration")], 3
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SCHEDULES)
def test_any_skorch_classifier_has_members(table, case):
    X, y = table
    callbacks, n_cycles = SCHEDULES[case]
    ensemble = SnapshotEnsemble(plain(*callbacks)).fit(X, y)
    assert len(ensemble.members_) == n_cycles
    logits = [X @ own["weight"].numpy().T + own["bias"].numpy() for own in ensemble.members_]
    expected = np.mean([torch.softmax(torch.tensor(one), 1).numpy() for one in logits], axis=0)
    assert_allclose(ensemble.predict_proba(X), expected, rtol=1e-5)
    assert len(SnapshotEnsemble(plain(*callbacks), n_cycles).fit(X, y).members_) == n_cycles
    with pytest.raises(ValueError, match=f"only {n_cycles} low points"):
        SnapshotEnsemble(plain(*callbacks), n_cycles + 1).fit(X, y)


@pytest.mark.parametrize("threshold", [None, 0.1, 0.5, 0.7, 1])
def test_a_binary_classifier_of_skorch_has_its_threshold(table, threshold):
    X, y = table
    given = {} if threshold is None else {"threshold": threshold}
    net = NeuralNetBinaryClassifier(
        nn.Linear, module__in_features=4, module__out_features=1, max_epochs=2, train_split=None,
        callbacks=[CyclicLR(step_size=0.5)], verbose=0, **given,
    )  # fmt: skip
    ensemble = SnapshotEnsemble(net).fit(X, y.astype(np.float32))
    proba = ensemble.predict_proba(X)
    assert proba.shape == (60, 2)
    expected = proba[:, 1] > (threshold or 0.5)
    assert_array_equal(ensemble.predict(X), expected)
    assert ensemble.score(X, y) == np.mean(expected == y)
    alone = SnapshotEnsemble(net, n_members=1).fit(X, y.astype(np.float32))
    assert_array_equal(alone.predict(X), alone.estimator_.predict(X))


def test_resume_stays_the_last_of_the_callbacks(table, tmp_path):
    X, y = table

    def train():
        net = plain(CyclicLR(step_size=0.5), Resume(tmp_path / "a"))
        return SnapshotEnsemble(net, 2).fit(X, y)

    first = train()
    assert_array_equal(train().predict_proba(X), first.predict_proba(X))


@pytest.mark.parametrize("labels", [NAMES, np.arange(10) * 3 - 5, np.arange(10.0)])
def test_any_labels(fashion, labels):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic()).fit(X, labels[y])
    assert_array_equal(ensemble.classes_, np.unique(labels))
    assert ensemble.score(X, labels[y]) > 0.5
    assert ensemble.predict(X).dtype == labels.dtype


def test_a_data_frame_with_names(fashion):
    X, y = fashion
    frame = pd.DataFrame(X.reshape(400, -1)).rename(columns=str)
    ensemble = SnapshotEnsemble(cyclic()).fit(frame, pd.Series(y))
    assert ensemble.n_features_in_ == 784
    assert_array_equal(ensemble.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        ensemble.predict(frame.rename(columns={"0": "other"}))


def test_a_data_set_with_labels_and_validation_data(fashion):
    X, y = fashion
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(X[:, None]), torch.from_numpy(y))
    ensemble = SnapshotEnsemble(cyclic()).fit(dataset, X_val=X[:50], y_val=y[:50])
    expected = SnapshotEnsemble(cyclic()).fit(X, y)
    assert_array_equal(ensemble.predict_proba(dataset), expected.predict_proba(X))
    assert len(ensemble.estimator_.history[:, "valid_acc"]) == 4


def test_other_pixels_are_warned_of_once(fashion):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic()).fit(X, y)
    with pytest.warns(PixelScaleWarning) as caught:
        ensemble.predict_proba(X / 255)
    assert len(caught) == 1


# ---------------------------------------------------------------- callbacks that are left out


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"schedule": "cosine_restarts", "step_size": 1},
        {"batch_schedule": "doubling", "step_size": 1},
        {"max_lr": "auto"},
        {"validation_fraction": 0.2},
    ],
    ids=str,
)
def test_callbacks_that_are_disabled_do_not_run(fashion, capsys, params):
    X, y = fashion
    clf = cyclic(callbacks="disable", verbose=1, **params)
    ensemble = SnapshotEnsemble(clf).fit(X, y)
    assert capsys.readouterr().out == ""
    found, alone = ensemble.estimator_, clone(clf).fit(X, y)
    assert found.history.to_list() == alone.history.to_list()
    assert [name for name, _ in found.callbacks_] == [name for name, _ in alone.callbacks_]
    assert found.callbacks == "disable"
    assert found.get_params().keys() == alone.get_params().keys()
    assert vars(found).keys() == vars(alone).keys()
    loud = SnapshotEnsemble(cyclic(verbose=0, **params)).fit(X, y)
    assert_array_equal(ensemble.predict_proba(X), loud.predict_proba(X))
    assert "train_loss" in loud.estimator_.history[-1]
    for other in (pickle.loads(pickle.dumps(ensemble)), clone(ensemble).fit(X, y)):
        assert other.estimator_.callbacks == "disable"
        assert_array_equal(other.predict_proba(X), ensemble.predict_proba(X))


def test_a_disabled_training_goes_on_with_its_members(fashion, tmp_path):
    X, y = fashion
    clf = cyclic(callbacks="disable", checkpoint=tmp_path / "training.safetensors")
    first = SnapshotEnsemble(clf).fit(X, y)
    again = SnapshotEnsemble(clf).fit(X, y)
    assert len(again.members_) == 4
    assert_array_equal(again.predict_proba(X), first.predict_proba(X))


def test_a_plain_net_without_callbacks_has_no_cycles(table):
    net = plain().set_params(callbacks__print_log=None)
    net.callbacks = "disable"
    with pytest.raises(ValueError, match=r"schedule \(no callback\) has none"):
        SnapshotEnsemble(net).fit(*table)


@pytest.mark.parametrize("wrong", ["print", CyclicLR()], ids=["name", "callback"])
def test_callbacks_of_another_kind_are_refused_as_by_the_estimator(fashion, wrong):
    with pytest.raises(InvalidParameterError, match="'callbacks' parameter of CLRLeNetClassifier"):
        SnapshotEnsemble(cyclic(callbacks=wrong)).fit(*fashion)


# ---------------------------------------------------------------- logarithms


def test_the_logarithm_is_that_of_the_mean(fashion):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic()).fit(X, y)
    found = ensemble.predict_log_proba(X)
    assert found.dtype == np.float32
    assert_allclose(found, np.log(ensemble.predict_proba(X)), rtol=1e-5, atol=1e-6)
    alone = SnapshotEnsemble(cyclic(), n_members=1).fit(X, y)
    assert_array_equal(alone.predict_log_proba(X), alone.estimator_.predict_log_proba(X))


@pytest.mark.filterwarnings("error")
def test_the_logarithm_is_finite_where_those_of_the_members_are(fashion):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic(max_lr=1e3, standardize=False)).fit(X, y)
    assert (ensemble.predict_proba(X) == 0).any()
    assert np.isfinite(ensemble.predict_log_proba(X)).all()


@pytest.mark.filterwarnings("error")
def test_the_logarithm_of_zero_is_taken_without_a_warning(fashion, table):
    X, y = table
    ensemble = SnapshotEnsemble(plain(CyclicLR(step_size=0.5))).fit(X, y)
    far = X * np.float32(1e6)
    with np.errstate(divide="ignore"):
        expected = np.log(ensemble.predict_proba(far))
    assert np.isneginf(expected).any()
    assert_array_equal(ensemble.predict_log_proba(far), expected)
    images, labels = fashion
    other = cyclic(max_lr=1e3, standardize=False, predict_nonlinearity=softmax)
    assert np.isneginf(SnapshotEnsemble(other).fit(images, labels).predict_log_proba(images)).any()


def softmax(scores):
    return torch.softmax(scores, -1)


# ---------------------------------------------------------------- scikit-learn's tools


def test_search_and_pipeline(fashion):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic())
    grid = {"estimator__max_lr": [0.002, 0.02], "n_members": [2, None]}
    search = GridSearchCV(ensemble, grid, cv=2).fit(X, NAMES[y])
    assert search.best_estimator_.estimator_.max_lr == search.best_params_["estimator__max_lr"]
    pipeline = make_pipeline(FunctionTransformer(), clone(ensemble)).fit(X, NAMES[y])
    assert_array_equal(pipeline.predict_proba(X), ensemble.fit(X, NAMES[y]).predict_proba(X))


def test_pickle_skops_and_clone(fashion):
    X, y = fashion
    ensemble = SnapshotEnsemble(CLRLeNetClassifier(step_size=0.5, max_epochs=2, random_state=0))
    expected = ensemble.fit(X, y).predict_proba(X)
    assert_array_equal(pickle.loads(pickle.dumps(ensemble)).predict_proba(X), expected)
    data = skops.io.dumps(ensemble)
    trusted = skops.io.get_untrusted_types(data=data)
    assert_array_equal(skops.io.loads(data, trusted=trusted).predict_proba(X), expected)
    again = clone(ensemble)
    assert not hasattr(again, "estimator_")
    assert_array_equal(again.fit(X, y).predict_proba(X), expected)


# ---------------------------------------------------------------- ends and errors


def test_n_members_is_a_number(fashion):
    for wrong in (0, -1, 1.5, "2", np.nan):
        with pytest.raises(InvalidParameterError, match="'n_members' parameter of Snapshot"):
            SnapshotEnsemble(cyclic(), wrong).fit(*fashion)


@pytest.mark.parametrize("wrong", [LogisticRegression(), None, CLRLeNetClassifier])
def test_an_estimator_of_another_kind_is_refused(fashion, wrong):
    with pytest.raises(TypeError, match="estimator must be a CLRLeNetClassifier or a skorch net"):
        SnapshotEnsemble(wrong).fit(*fashion)


def test_a_regressor_is_refused(table):
    with pytest.raises(TypeError, match="must be a classifier"):
        SnapshotEnsemble(NeuralNetRegressor(nn.Linear)).fit(*table)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: cyclic(schedule="one_cycle"), "OneCycleLR"),
        (lambda: cyclic(schedule="constant"), "LRSchedule"),
        (lambda: cyclic(schedule=None), "no callback"),
        (lambda: cyclic(schedule=None, callbacks=[LRScheduler("StepLR", step_size=1)]),
         "LRScheduler"),
    ],
)  # fmt: skip
def test_a_schedule_without_cycles_is_named(fashion, make, told):
    ensemble = SnapshotEnsemble(make())
    with pytest.raises(ValueError, match=rf"schedule \({told}\) has none: train with"):
        ensemble.fit(*fashion)
    assert not hasattr(ensemble, "classes_")


class Counting(Callback):
    n_updates = 0

    def on_batch_begin(self, net, **kwargs):
        Counting.n_updates += 1


@pytest.mark.parametrize(
    ("params", "n_members", "n_cycles"),
    [({}, 5, 4), ({"step_size": 3}, None, 0), ({"max_epochs": 1, "step_size": 0.4}, 2, 1)],
)
def test_too_few_cycles_are_told_before_the_first_update(fashion, params, n_members, n_cycles):
    ensemble = SnapshotEnsemble(cyclic(callbacks=[Counting], **params), n_members)
    Counting.n_updates = 0
    with pytest.raises(ValueError, match=f"has only {n_cycles} low points"):
        ensemble.fit(*fashion)
    assert Counting.n_updates == 0
    assert not hasattr(ensemble, "classes_")


def test_a_failed_call_leaves_the_ensemble_of_before(fashion):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic()).fit(X, y)
    expected = ensemble.predict_proba(X)
    with pytest.raises(ValueError, match="low points"):
        ensemble.set_params(n_members=9).fit(X[:200], y[:200])
    assert_array_equal(ensemble.predict_proba(X), expected)


class Ending(Callback):
    def __init__(self, epoch, kind=StopTraining):
        self.epoch = epoch
        self.kind = kind

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            if self.kind is not None:
                raise self.kind
            signal.raise_signal(signal.SIGINT)


def test_a_training_that_is_ended_early_has_the_members_so_far(fashion):
    ensemble = SnapshotEnsemble(cyclic(callbacks=[Ending(2)]), n_members=3).fit(*fashion)
    assert len(ensemble.members_) == 2


def test_a_training_that_ends_before_its_first_low_point_is_an_error(fashion):
    ensemble = SnapshotEnsemble(cyclic(step_size=1, callbacks=[Ending(1)]))
    with pytest.raises(RuntimeError, match="before the first low point"):
        ensemble.fit(*fashion)
    assert not hasattr(ensemble, "classes_")


def test_ctrl_c_keeps_the_members_so_far_and_is_passed_on(fashion):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic(callbacks=[Ending(2, None)]))
    with pytest.raises(KeyboardInterrupt):
        ensemble.fit(X, y)
    assert len(ensemble.members_) == 2
    assert ensemble.score(X, y) > 0.5


def test_nothing_is_predicted_before_fit(fashion):
    ensemble = SnapshotEnsemble(cyclic())
    for method in (ensemble.predict, ensemble.predict_proba, ensemble.predict_log_proba):
        with pytest.raises(NotFittedError):
            method(fashion[0])
    assert not any(hasattr(ensemble, name) for name in ("members_", "n_features_in_", "classes_"))
