"""What makes it a skorch net: callbacks, parts, parameters, printing."""

import copy
import pickle
import shutil
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch
import torch._inductor.config
from classifiers import NAMES, Flat, lenet, quick, rates, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    Unfreezer,
)
from torch import nn
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader

from skclr import CLRLeNetClassifier, LeNet5
from skclr.callbacks import LRRangeTest

# ---------------------------------------------------------------- skorch's parts


class FrozenAtFirst(LeNet5):
    """LeNet-5 whose first convolution does not learn."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(in_channels, n_classes)
        self.conv1.requires_grad_(False)


def test_a_score_of_ones_own_works_with_names_for_labels(fashion):
    X, y = fashion
    scoring = EpochScoring("f1_macro", name="f1", lower_is_better=False)
    on_train = EpochScoring("accuracy", name="own_acc", on_train=True, lower_is_better=False)
    clf = lenet(max_epochs=2, validation_fraction=0.25, callbacks=[scoring, on_train])
    clf.fit(X, NAMES[y])
    assert len(clf.history[:, "f1"]) == 2
    assert clf.history[:, "own_acc"] == pytest.approx(clf.history[:, "train_acc"])


def test_a_score_without_caching_is_the_same(fashion):
    X, y = fashion
    cached, computed = (
        EpochScoring("accuracy", name=f"caching_{use}", lower_is_better=False, use_caching=use)
        for use in (True, False)
    )
    clf = lenet(max_epochs=2, validation_fraction=0.25, callbacks=[cached, computed])
    clf.fit(X, NAMES[y])
    assert clf.history[:, "caching_False"] == pytest.approx(clf.history[:, "caching_True"])
    assert clf.history[:, "valid_acc"] == pytest.approx(clf.history[:, "caching_True"])


def test_a_checkpoint_keeps_the_best_weights(fashion, tmp_path):
    X, y = fashion
    checkpoint = Checkpoint(monitor="valid_acc_best", dirname=tmp_path, load_best=True)
    clf = lenet(max_epochs=5, max_lr=0.3, validation_fraction=0.25, callbacks=[checkpoint])
    clf.fit(X, NAMES[y])
    assert (tmp_path / "params.pt").exists()
    best = clf.history_frame()["valid_acc"].max()
    copied = clone(clf).set_params(callbacks=None, max_epochs=1).fit(X, NAMES[y])
    copied.load_params(f_params=tmp_path / "params.pt")
    assert_array_equal(copied.predict_proba(X), clf.predict_proba(X))
    assert 0 < best <= 1


def test_files_that_another_training_has_written_are_named(fashion, tmp_path):
    X, y = fashion
    other = quick().fit(X[y < 3], y[y < 3])

    class Meanwhile(Callback):
        def on_epoch_end(self, net, **kwargs):
            other.save_params(f_params=tmp_path / "params.pt")

    checkpoint = Checkpoint(monitor="valid_acc_best", dirname=tmp_path, load_best=True)
    clf = quick(validation_fraction=0.2, callbacks=[checkpoint, Meanwhile()])
    with pytest.raises(ValueError, match="a dirname of its own"):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize("safe", [False, True])
def test_weights_that_fit_but_are_of_another_training_are_not_taken_for_the_best(
    fashion, tmp_path, safe
):
    X, y = fashion

    def checkpoint():
        files = {"f_optimizer": None, "f_criterion": None, "use_safetensors": safe}
        return Checkpoint("valid_acc_best", dirname=tmp_path, load_best=True, **files)

    class Meanwhile(Callback):
        def on_epoch_end(self, net, **kwargs):
            other = quick(max_lr=0.02, validation_fraction=0.2, callbacks=[checkpoint()])
            other.fit(X, y)

    clf = quick(validation_fraction=0.2, callbacks=[checkpoint(), Meanwhile()])
    with pytest.raises(ValueError, match=r"of another training.*a dirname of its own"):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")
    # one after the other, and on purpose, they may
    clf = quick(validation_fraction=0.2, callbacks=[checkpoint()], max_epochs=2).fit(X, y)
    clf.partial_fit(X, y)
    again = quick(max_lr=0.02, validation_fraction=0.2).fit(X, y)
    again.load_params(checkpoint=dict(clf.callbacks_)["Checkpoint"], use_safetensors=safe)
    assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize("stale", [False, True])
def test_what_ends_a_training_is_not_hidden_by_files_of_before(fashion, tmp_path, error, stale):
    def checkpoint():
        return Checkpoint("valid_acc_best", dirname=tmp_path, load_best=True)

    class Ends(Callback):
        def on_batch_end(self, net, training=None, **kwargs):
            raise error

    if stale:
        quick(validation_fraction=0.2, callbacks=[checkpoint()]).fit(*fashion)
    clf = quick(validation_fraction=0.2, callbacks=[checkpoint(), Ends()], max_lr=0.02)
    if isinstance(error, KeyboardInterrupt):  # skorch's wish to stop
        with suppress(Exception):
            clf.fit(*fashion)
    else:
        with pytest.raises(RuntimeError, match="boom"):
            clf.fit(*fashion)


def test_an_error_at_the_end_comes_out_while_another_one_is_handled(two_classes):
    class FailsAtTheEnd(Callback):
        def on_train_end(self, net, **kwargs):
            raise RuntimeError("at the end")

    try:
        raise LookupError
    except LookupError:
        with pytest.raises(RuntimeError, match="at the end"):
            quick(callbacks=[FailsAtTheEnd()]).fit(*two_classes)


def test_the_best_weights_are_known_where_callbacks_round_what_is_recorded(fashion, tmp_path):
    class Rounds(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("train_loss", round(net.history[-1, "train_loss"], 1))

    checkpoint = Checkpoint("valid_acc_best", dirname=tmp_path, load_best=True)
    clf = quick(validation_fraction=0.2, callbacks=[checkpoint, Rounds()], max_epochs=3)
    assert clf.fit(*fashion).score(*fashion) > 0.5


def test_early_stopping_ends_training_and_keeps_the_model(fashion):
    X, y = fashion
    stopping = EarlyStopping(monitor="train_loss", patience=2, threshold=10, threshold_mode="abs")
    clf = lenet(max_epochs=20, callbacks=[stopping])
    try:
        clf.fit(X, NAMES[y])
    except KeyboardInterrupt:  # it would end all the tests
        pytest.fail("skorch's wish to stop came out as a keyboard interrupt")
    assert len(clf.history) == 3
    assert set(clf.predict(X)) <= set(NAMES)


def test_a_sweep_of_rates_runs_on_the_classifier(two_classes):
    sweep = LRRangeTest(1e-5, 1e-1, n_iter=10)
    clf = lenet(max_epochs=3, schedule="constant", callbacks=[sweep]).fit(*two_classes)
    assert_allclose(rates(clf), np.geomspace(1e-5, 1e-1, 10))
    assert len(clf.history_frame("batch")) == 10


def test_without_callbacks_the_schedule_still_runs_and_each_batch_is_recorded(two_classes):
    X, y = two_classes
    params = {"schedule": "triangular", "max_epochs": 2, "step_size": 1}
    bare = lenet(callbacks="disable", **params).fit(X, y)
    full = lenet(**params).fit(X, y)
    assert_array_equal(weights(bare), weights(full))
    columns = ["epoch", "iteration", "lr", "batch_size", "train_loss"]
    pd.testing.assert_frame_equal(bare.history_frame("batch")[columns],
                                  full.history_frame("batch")[columns])  # fmt: skip
    assert bare.history_frame()["n_updates"].tolist() == [4, 4]
    doubling = lenet(callbacks="disable", schedule="batch_doubling", step_size=1, max_epochs=2)
    assert doubling.fit(X, y).history_frame()["batch_size"].tolist() == [16, 32]


def test_another_network_is_trained_in_its_place(two_classes):
    X, y = two_classes
    clf = quick(max_epochs=5).fit(X, y)
    assert isinstance(clf.module_, Flat)
    assert clf.module_.linear.out_features == 2
    assert clf.score(X, y) > 0.9


def test_a_network_without_parameters_of_the_data_is_built_as_it_is(two_classes):
    def network(width=5):
        return nn.Sequential(nn.Flatten(), nn.Linear(1024, width), nn.Tanh(), nn.Linear(width, 2))

    clf = quick(module=network, module__width=7).fit(*two_classes)
    assert clf.module_[1].out_features == 7


def test_a_network_given_as_an_instance_is_copied_and_stays_untrained(two_classes):
    X, y = two_classes
    torch.manual_seed(5)
    given = LeNet5(n_classes=2)
    before = copy.deepcopy(given.state_dict())
    clf = lenet(module=given, max_epochs=2).fit(X, y)
    assert clf.module is given
    assert clf.module_ is not given
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    assert not np.array_equal(
        weights(clf), torch.cat([value.flatten() for value in before.values()])
    )

    untouched = lenet(module=given, schedule=lambda iteration: 0.0).fit(X, y)
    assert all(torch.equal(v, before[k]) for k, v in untouched.module_.state_dict().items())
    assert_array_equal(weights(clone(clf).fit(X, y)), weights(clf))


@pytest.mark.parametrize("n_outputs", [2, 12])
def test_a_network_whose_outputs_are_not_the_classes_is_named(fashion, n_outputs):
    X, y = fashion
    with pytest.raises(ValueError, match=rf"{n_outputs}.*10|10.*{n_outputs}"):
        lenet(module=LeNet5(n_classes=n_outputs)).fit(X, y)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_weights_may_be_frozen_at_first_and_learn_later(two_classes, momentum):
    freezing = [Freezer("conv1*"), Unfreezer("conv1*", at=3)]
    clf = lenet(max_epochs=2, momentum=momentum, callbacks=freezing).fit(*two_classes)
    before = clf.module_.conv1.weight.clone()
    clf.partial_fit(*two_classes)
    assert not torch.equal(clf.module_.conv1.weight, before)
    assert len(clf.history) == 4


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_weights_that_are_freed_between_trainings_learn_on(two_classes, optimizer):
    clf = lenet(module=FrozenAtFirst, optimizer=optimizer, max_lr=1e-2).fit(*two_classes)
    before = clf.module_.conv1.weight.clone()
    clf.module_.conv1.requires_grad_(True)
    clf.partial_fit(*two_classes)
    assert not torch.equal(clf.module_.conv1.weight, before)


def test_another_optimizer_takes_what_it_knows(two_classes):
    X, y = two_classes
    clf = lenet(optimizer=torch.optim.Adam, max_lr=0.01, weight_decay=0.1, max_epochs=5)
    clf.fit(X, y)
    group = clf.optimizer_.param_groups[0]
    assert group["weight_decay"] == 0.1
    assert "momentum" not in group
    assert clf.score(X, y) > 0.9
    group = lenet(optimizer=torch.optim.RMSprop, momentum=0.3, max_lr=2e-3).fit(X, y)
    assert group.optimizer_.param_groups[0]["momentum"] == 0.3


def test_an_explicit_parameter_of_the_optimizer_comes_first(two_classes):
    clf = quick(momentum=0.9, optimizer__momentum=0.3, optimizer__dampening=0.1).fit(*two_classes)
    group = clf.optimizer_.param_groups[0]
    assert (group["momentum"], group["dampening"]) == (0.3, 0.1)


def test_stock_data_loader_gives_the_same_model_bit_for_bit_without_shuffling(two_classes):
    X, y = two_classes
    own = lenet(iterator_train__shuffle=False, iterator_train__even=False).fit(X, y)
    stock = lenet(
        iterator_train=DataLoader, iterator_train__shuffle=False, iterator_valid=DataLoader
    ).fit(X, y)
    assert_array_equal(weights(stock), weights(own))
    assert_array_equal(stock.predict_proba(X), own.predict_proba(X))


DOUBLE_UNDERSCORE = {
    "module__activation": nn.ReLU,
    "optimizer__nesterov": True,
    "callbacks__print_log": None,
    "criterion__label_smoothing": 0.1,
    "iterator_train__drop_last": True,
}


def test_parameters_with_a_double_underscore_take_effect(two_classes):
    clf = lenet(verbose=1, **DOUBLE_UNDERSCORE).fit(*two_classes)
    assert isinstance(clf.module_.activation, nn.ReLU)
    assert clf.optimizer_.param_groups[0]["nesterov"]
    assert "print_log" not in dict(clf.callbacks_)
    assert clf.criterion_.label_smoothing == 0.1
    assert clf.history_frame()["n_updates"].tolist() == [3]


def test_the_activation_may_be_a_class_or_a_module(two_classes):
    X, _ = two_classes
    expected = lenet(module__activation=nn.ReLU).fit(*two_classes).predict_proba(X)
    clf = lenet(module__activation=nn.ReLU())
    for given in (clf, clone(clf), lenet().fit(*two_classes).set_params(**clf.get_params(False))):
        assert_array_equal(given.fit(*two_classes).predict_proba(X), expected)


def test_parameters_with_a_double_underscore_survive_clone_and_pickle(two_classes):
    clf = lenet(**DOUBLE_UNDERSCORE)
    fitted = clone(clf).fit(*two_classes)
    for copied in (clone(clf), clone(fitted), pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        params = copied.get_params(deep=False)
        assert {name: params[name] for name in DOUBLE_UNDERSCORE} == DOUBLE_UNDERSCORE
        copied.fit(*two_classes)
        assert_array_equal(weights(copied), weights(fitted))
        assert "print_log" not in dict(copied.callbacks_)


def test_parameters_with_a_double_underscore_can_be_set_before_and_after_fit(two_classes):
    expected = weights(lenet(**DOUBLE_UNDERSCORE).fit(*two_classes))
    before = lenet().set_params(**DOUBLE_UNDERSCORE)
    after = lenet().fit(*two_classes).set_params(**DOUBLE_UNDERSCORE)
    for clf in (before, after):
        params = clf.get_params(deep=False)
        assert {name: params[name] for name in DOUBLE_UNDERSCORE} == DOUBLE_UNDERSCORE
        assert_array_equal(weights(clf.fit(*two_classes)), expected)


@pytest.mark.parametrize("fitted", [False, True])
def test_parameters_are_told_as_they_were_given(two_classes, fitted):
    clf = lenet(**DOUBLE_UNDERSCORE)
    if fitted:
        clf.fit(*two_classes)
    params = clf.get_params()
    assert {name: params[name] for name in DOUBLE_UNDERSCORE} == DOUBLE_UNDERSCORE


@pytest.mark.parametrize("fitted", [False, True])
def test_an_equal_estimator_is_built_from_all_parameters(two_classes, fitted):
    clf = lenet(**DOUBLE_UNDERSCORE)
    expected = weights(clone(clf).fit(*two_classes))
    if fitted:
        clf.fit(*two_classes)
    for other in (CLRLeNetClassifier(**clf.get_params()), lenet().set_params(**clf.get_params())):
        assert_array_equal(weights(other.fit(*two_classes)), expected)
        assert rates(other.set_params(schedule="constant").fit(*two_classes)).min() == 0.1


def test_parameters_with_a_double_underscore_can_be_searched(two_classes):
    grid = {
        "module__activation": [nn.Tanh, nn.ReLU],
        "optimizer__nesterov": [False, True],
        "callbacks__print_log": [None],
    }
    search = GridSearchCV(lenet(), grid, cv=2, error_score="raise").fit(*two_classes)
    assert search.best_estimator_.get_params()["module__activation"] in (nn.Tanh, nn.ReLU)


def test_an_optimizer_parameter_set_on_a_fitted_net_holds_for_partial_fit(two_classes):
    clf = quick(schedule="constant").fit(*two_classes)
    clf.set_params(optimizer__weight_decay=0.25).partial_fit(*two_classes)
    assert clf.optimizer_.param_groups[0]["weight_decay"] == 0.25


@pytest.mark.parametrize("name", ["lr", "train_split", "module_activation", "epochs", "foo__bar"])
def test_unknown_parameters_are_refused_at_once(name):
    with pytest.raises(TypeError, match=name):
        CLRLeNetClassifier(**{name: 1})
    with pytest.raises(ValueError, match=name):
        CLRLeNetClassifier().set_params(**{name: 1})


@pytest.mark.parametrize(
    "params",
    [
        {"callbacks__nothing": None},
        {"callbacks__nothing__lr": 1},
        {"module__colour": 3},
        {"optimizer__speed": 3},
        {"criterion__speed": 3},
    ],
)
def test_parameters_that_a_part_does_not_have_are_named_in_fit(two_classes, params):
    (name,) = params
    with pytest.raises((TypeError, ValueError), match=name.rpartition("__")[2]):
        lenet(**params).fit(*two_classes)


def test_parameters_of_the_schedule_callback_can_be_set_by_name(two_classes):
    clf = lenet(
        schedule="triangular", callbacks__lr_schedule__cycle_momentum=True, max_epochs=2
    ).fit(*two_classes)
    assert "event_momentum" in clf.history[0]["batches"][0]


def test_weights_are_saved_and_loaded_as_in_skorch(two_classes, tmp_path):
    X, y = two_classes
    clf = lenet(max_epochs=2).fit(X, y)
    clf.save_params(f_params=tmp_path / "weights.pt", f_history=tmp_path / "history.json")
    other = lenet(random_state=1).fit(X, y)
    other.load_params(f_params=tmp_path / "weights.pt", f_history=tmp_path / "history.json")
    assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    pd.testing.assert_frame_equal(other.history_frame(), clf.history_frame())


def test_a_compiled_network_is_the_same_model(two_classes):
    X, y = two_classes
    plain = lenet().fit(X, y)
    compiled = lenet(compile=True, compile__backend="eager").fit(X, y)
    assert_allclose(compiled.predict_proba(X), plain.predict_proba(X), atol=1e-4)
    assert list(compiled.module_.state_dict()) == list(plain.module_.state_dict())
    assert type(compiled.module_) is LeNet5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_code_makes_the_same_update_for_all_sizes_of_a_batch(fashion):
    X, y = fashion
    torch._dynamo.reset()  # what other tests have compiled is none of its business
    counters.clear()
    params = {"schedule": "batch_doubling", "step_size": 1, "batch_size": 40, "max_lr": 0.02}
    plain = lenet(**params, max_epochs=4).fit(X, y)
    compiled = lenet(**params, max_epochs=4, compile=True).fit(X, y)
    assert_allclose(weights(compiled), weights(plain), atol=1e-5)
    assert_allclose(compiled.predict_proba(X[:300]), plain.predict_proba(X[:300]), atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 2  # one that trains and one that predicts


def test_a_missing_compiler_is_told_in_words(fashion, monkeypatch):
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "no-such-compiler"))
    monkeypatch.setattr(torch._inductor.config, "force_disable_caches", True)
    torch._dynamo.reset()
    clf = lenet(compile=True)
    with pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler .* Nothing has been trained"):
        clf.fit(*fashion)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), None])
def test_the_device_may_be_given_in_any_form(two_classes, device):
    X, y = two_classes
    assert_array_equal(weights(lenet(device=device).fit(X, y)), weights(lenet().fit(X, y)))


# ---------------------------------------------------------------- printing


def test_nothing_is_printed_unless_asked_for(two_classes, capfd):
    lenet(validation_fraction=0.2).fit(*two_classes).predict(two_classes[0])
    assert capfd.readouterr() == ("", "")


def test_a_line_an_epoch_is_printed_where_it_is_asked_for(two_classes, capfd):
    lenet(verbose=1, max_epochs=3).fit(*two_classes)
    assert len(capfd.readouterr().out.splitlines()) >= 3
