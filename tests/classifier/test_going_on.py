"""Held-out samples, trainings that go on, and what is set between them."""

import pickle

import numpy as np
import pytest
import torch
import torch._inductor.config
from classifiers import NAMES, Spy, lenet, quick, rates, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skclr._sweeps import measure_sweeps

# ---------------------------------------------------------------- validation


def _rows(batches):
    return np.concatenate([np.asarray(images).reshape(len(images), -1) for images, _ in batches])


def _numbered(n):
    """Return tiny images, each with its own number in it, and four classes in equal parts."""
    X = np.zeros((n, 2, 2), np.int32)
    X[:, 0, 0] = np.arange(n)
    return X, np.arange(n) % 4


def test_validation_data_are_held_out_by_class_and_never_trained_on():
    X, y = _numbered(100)
    spy = Spy()
    clf = quick(validation_fraction=0.2, max_epochs=3, callbacks=[spy]).fit(X, y)
    trained, held_out = (set(_rows(b)[:, 0].tolist()) for b in (spy.training_, spy.validation_))
    assert trained | held_out == set(range(100))
    assert not trained & held_out
    assert_array_equal(np.bincount(y[sorted(held_out)]), [5, 5, 5, 5])
    assert len(held_out) == 20
    assert_allclose(clf.pixel_mean_, X[sorted(trained)].mean())
    assert_allclose(clf.pixel_std_, X[sorted(trained)].std())


def _held_out(clf, X, y):
    spy = Spy()
    clf.set_params(callbacks=[spy]).fit(X, y)
    return sorted(_rows(spy.validation_)[:, 0].tolist())


def test_the_held_out_samples_depend_on_random_state_alone():
    X, y = _numbered(100)
    clf = quick(validation_fraction=0.2)
    first = _held_out(clf, X, y)
    torch.manual_seed(123)
    assert _held_out(clone(clf), X, y) == first
    assert _held_out(clone(clf).set_params(random_state=1), X, y) != first


@pytest.mark.parametrize("again", ["partial_fit", "warm_start"])
def test_the_same_samples_stay_held_out_when_training_goes_on(again):
    X, y = _numbered(100)
    spy = Spy()
    clf = quick(validation_fraction=0.2, warm_start=again == "warm_start", callbacks=[spy])
    clf.fit(X, y)
    (clf.fit if again == "warm_start" else clf.partial_fit)(X, y)
    trained, held_out = (set(_rows(b)[:, 0].tolist()) for b in (spy.training_, spy.validation_))
    assert not trained & held_out


def test_validation_data_can_be_given(fashion):
    X, y = fashion
    clf = lenet(max_epochs=2).fit(X[:300], NAMES[y[:300]], X_val=X[300:], y_val=NAMES[y[300:]])
    last = clf.history_frame().iloc[-1]
    expected = log_loss(NAMES[y[300:]], clf.predict_proba(X[300:]), labels=clf.classes_)
    assert last["valid_loss"] == pytest.approx(expected, rel=1e-4)
    assert last["valid_acc"] == pytest.approx(clf.score(X[300:], NAMES[y[300:]]))


def test_validation_data_do_not_change_the_model(fashion):
    X, y = fashion
    without = lenet(max_epochs=2).fit(X[:300], y[:300])
    with_them = lenet(max_epochs=2).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert_array_equal(weights(with_them), weights(without))


@pytest.mark.parametrize(
    ("validation", "params", "message"),
    [
        (lambda X, y: {"X_val": X}, {}, "X_val and y_val"),
        (lambda X, y: {"y_val": y}, {}, "X_val and y_val"),
        (
            lambda X, y: {"X_val": X, "y_val": y},
            {"validation_fraction": 0.2},
            "validation_fraction",
        ),
        (lambda X, y: {"X_val": X[:, 1:], "y_val": y}, {}, r"\(1, 27, 28\)"),
        (lambda X, y: {"X_val": X, "y_val": y[1:]}, {}, "inconsistent"),
        (lambda X, y: {"X_val": X, "y_val": y + 1}, {}, "y_val"),
        (lambda X, y: {"X_val": X / np.nan, "y_val": y}, {}, "NaN"),
        (lambda X, y: {"X_val": X[:0], "y_val": y[:0]}, {}, "0 sample"),
        (lambda X, y: {}, {"validation_fraction": 0.001}, "test_size"),
        (lambda X, y: {}, {"validation_fraction": 0.999}, "train_size|train set"),
    ],
)
def test_wrong_validation_data_are_named_before_training(two_classes, validation, params, message):
    X, y = two_classes
    with np.errstate(all="ignore"):
        kwargs = validation(X, y)
    spy = Spy()
    with pytest.raises(ValueError, match=message):
        quick(callbacks=[spy], **params).fit(X, y, **kwargs)
    assert spy.training_ == []


# ---------------------------------------------------------------- training that goes on


CYCLICAL = ["constant", "triangular", "triangular2", "exp_range", "lr_halving", "batch_doubling"]


@pytest.mark.parametrize("schedule", CYCLICAL)
@pytest.mark.parametrize("augmentation", [None, "noise"])
def test_two_epochs_and_two_more_are_four_bit_for_bit(two_classes, schedule, augmentation):
    X, y = two_classes
    params = {"schedule": schedule, "step_size": 1.5, "gamma": 0.99}
    if augmentation:
        params["augmentation"] = lambda images: images + torch.randn_like(images)
    four = lenet(max_epochs=4, **params).fit(X, y)

    resumed = lenet(max_epochs=2, **params).fit(X, y)
    torch.rand(5)  # the global generator has nothing to say
    resumed.partial_fit(X, y)
    warm = lenet(max_epochs=2, warm_start=True, **params).fit(X, y).fit(X, y)
    pickled = pickle.loads(pickle.dumps(lenet(max_epochs=2, **params | {"augmentation": None})))
    for clf in (resumed, warm):
        assert_array_equal(weights(clf), weights(four))
        assert_array_equal(rates(clf), rates(four))
        assert clf.history_frame()["epoch"].tolist() == [1, 2, 3, 4]
    if not augmentation:
        pickled = pickle.loads(pickle.dumps(pickled.fit(X, y))).partial_fit(X, y)
        assert_array_equal(weights(pickled), weights(four))


def test_training_goes_on_bit_for_bit_with_held_out_data_too(two_classes):
    X, y = two_classes
    four = lenet(max_epochs=4, validation_fraction=0.2).fit(X, y)
    resumed = lenet(max_epochs=2, validation_fraction=0.2).fit(X, y).partial_fit(X, y)
    assert_array_equal(weights(resumed), weights(four))


def test_one_cycle_begins_again_in_partial_fit(two_classes):
    X, y = two_classes
    clf = lenet(schedule="one_cycle", max_epochs=2).fit(X, y).partial_fit(X, y)
    half = len(rates(clf)) // 2
    assert_array_equal(rates(clf)[:half], rates(clf)[half:])


def test_fit_begins_anew(two_classes):
    X, y = two_classes
    clf = lenet().fit(X, y)
    once = weights(clf)
    clf.fit(X, y)
    assert_array_equal(weights(clf), once)
    assert len(clf.history_frame()) == 1


def test_a_cold_fit_may_have_other_images_and_other_labels(two_classes, fashion):
    clf = lenet().fit(*two_classes)
    X, y = fashion
    clf.fit(X[:, 2:-2], NAMES[y])
    assert clf.image_shape_ == (1, 24, 28)
    assert clf.predict_proba(X[:, 2:-2]).shape == (400, 10)


def test_partial_fit_can_be_the_first_call_and_be_told_all_classes(fashion):
    X, y = fashion
    some = np.isin(y, (0, 1))
    clf = quick().partial_fit(X[some], y[some], classes=np.arange(10))
    assert_array_equal(clf.classes_, np.arange(10))
    clf.partial_fit(X, y)
    assert clf.predict_proba(X).shape == (400, 10)
    assert clf.history_frame()["epoch"].tolist() == [1, 2]


def test_partial_fit_takes_a_batch_of_a_single_class(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    clf.partial_fit(X[y == 1], y[y == 1])
    assert len(clf.history_frame()) == 2


@pytest.mark.parametrize("schedule", ["triangular", "one_cycle", "batch_doubling"])
def test_partial_fit_takes_another_number_of_samples(fashion, schedule):
    X, y = fashion
    clf = quick(schedule=schedule, batch_size=32).fit(X, y)
    clf.partial_fit(X[:50], y[:50])
    assert clf.history_frame()["n_updates"].tolist() == [13, 2]


def test_partial_fit_refuses_labels_that_fit_did_not_see(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    before = weights(clf)
    with pytest.raises(ValueError, match=r"classes \[1, 9\].*\[2\]"):
        clf.partial_fit(X, np.where(y == 1, 2, y))
    assert_array_equal(weights(clf), before)


def test_partial_fit_refuses_images_of_another_shape(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    with pytest.raises(ValueError, match=r"\(1, 27, 28\).*\(1, 28, 28\)"):
        clf.partial_fit(X[:, 1:], y)
    assert len(clf.history_frame()) == 1


# ---------------------------------------------------------------- what is set between trainings


@pytest.mark.parametrize("go_on", ["partial_fit", "warm_start"])
def test_what_is_set_between_trainings_takes_effect_and_keeps_the_weights(two_classes, go_on):
    clf = lenet(max_lr=0.05, base_lr=0.01, schedule="triangular", warm_start=True, step_size=1)
    clf.fit(*two_classes)
    before = weights(clf)
    clf.set_params(schedule="constant", max_lr=1e-30, momentum=0.1, batch_size=30)
    (clf.fit if go_on == "warm_start" else clf.partial_fit)(*two_classes)
    assert set(rates(clf)[4:]) == {1e-30}
    assert clf.optimizer_.param_groups[0]["momentum"] == 0.1
    assert clf.history_frame()["n_updates"].tolist() == [4, 2]
    assert_allclose(weights(clf), before, atol=1e-6)


def test_callbacks_set_between_trainings_are_called(two_classes):
    clf, spy = lenet().fit(*two_classes), Spy()
    clf.set_params(callbacks=[spy]).partial_fit(*two_classes)
    assert len(spy.training_) == 4


def test_a_callback_put_into_the_list_between_trainings_is_called(two_classes):
    callbacks, spy = [], Spy()
    clf = lenet(callbacks=callbacks).fit(*two_classes)
    clf.callbacks.append(spy)
    clf.partial_fit(*two_classes)
    assert len(spy.training_) == 4


def test_a_schedule_set_between_trainings_may_grow_the_batch(two_classes):
    clf = lenet().fit(*two_classes)
    clf.set_params(schedule="batch_doubling", step_size=1, max_batch_size=32)
    assert clf.partial_fit(*two_classes).history_frame()["batch_size"].tolist() == [16, 32]


def test_the_history_tells_the_batch_size_that_was_used(two_classes):
    clf = lenet().fit(*two_classes).set_params(batch_size=7)
    assert clf.history_frame()["batch_size"].tolist() == [16]


def test_an_epoch_without_a_batch_is_an_error(two_classes):
    with pytest.raises(ValueError, match="no batch"):
        lenet(batch_size=64, iterator_train__drop_last=True).fit(*two_classes)


def test_other_classes_are_refused_when_training_goes_on(two_classes):
    clf = lenet().partial_fit(*two_classes, classes=[1, 9])
    clf.partial_fit(*two_classes, classes=[9, 1])
    with pytest.raises(ValueError, match=r"classes=\[1, 2, 9\].*\[1, 9\]"):
        clf.partial_fit(*two_classes, classes=[1, 2, 9])


# ---------------------------------------------------------------- boundaries that are measured


@pytest.mark.slow
def test_automatic_boundaries_are_those_of_a_range_test_and_are_kept(fashion):
    X, y = fashion
    clf = lenet(base_lr="auto", max_lr="auto", schedule="triangular", step_size=0.5).fit(X, y)
    assert (clf.base_lr_, clf.max_lr_) == (clf.lr_range_.base_lr, clf.lr_range_.max_lr)
    assert rates(clf).min() == pytest.approx(clf.base_lr_)
    assert rates(clf).max() == pytest.approx(clf.max_lr_, rel=0.1)
    measured = clf.lr_range_
    assert clf.partial_fit(X, y).lr_range_ is measured
    assert_array_equal(weights(clone(clf).fit(X, y).partial_fit(X, y)), weights(clf))


@pytest.mark.slow
def test_one_boundary_may_be_measured_in_a_pipeline_and_a_grid(fashion):
    X, y = fashion
    pipeline = make_pipeline(FunctionTransformer(), lenet(max_lr="auto", base_lr=1e-4))
    grid = {"clrlenetclassifier__max_lr": ["auto", 0.01]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.slow
def test_held_out_samples_have_no_part_in_the_measurement(fashion, monkeypatch):
    seen = []

    def spied(estimator, X, y, **kwargs):
        seen.append(len(X))
        return measure_sweeps(estimator, X, y, **kwargs)

    monkeypatch.setattr("skclr.classifier._boundaries.measure_sweeps", spied)
    lenet(max_lr="auto", validation_fraction=0.25).fit(*fashion)
    assert seen == [300]


def test_a_boundary_that_cannot_be_measured_is_named_before_training(two_classes):
    X, _ = two_classes
    noise = np.random.RandomState(0).randint(2, size=60)
    spy = Spy()
    clf = lenet(max_lr="auto", callbacks=[spy])
    with pytest.raises(ValueError, match=r"No max_lr could be measured.*give it as a number"):
        clf.fit(np.zeros_like(X), noise)
    assert not spy.training_


@pytest.mark.slow
def test_only_the_boundary_that_a_schedule_needs_has_to_be_found(fashion):
    clf = lenet(base_lr="auto", max_lr=0.01, schedule=lambda iteration: 0.01).fit(*fashion)
    assert clf.base_lr_ is None
    clf.set_params(schedule="constant", max_lr="auto").fit(*fashion)
    assert clf.max_lr_ > 0


@pytest.mark.slow
def test_a_measured_range_travels_with_the_weights(fashion, tmp_path):
    clf = lenet(max_lr="auto").fit(*fashion)
    clf.save_params(f_params=tmp_path / "model", use_safetensors=True)
    loaded = lenet(max_lr="auto")
    loaded.load_params(f_params=tmp_path / "model", use_safetensors=True)
    assert loaded.max_lr_ == clf.max_lr_
    assert_array_equal(loaded.predict_proba(fashion[0]), clf.predict_proba(fashion[0]))
