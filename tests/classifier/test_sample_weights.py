"""Weights of samples and of classes: what they do to a training and to what is measured of it."""

import numpy as np
import pandas as pd
import pytest
import torch
from classifiers import NAMES, Flat, Spy, lenet, quick, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_sample_weight
from skorch.callbacks import EpochScoring
from torch import nn
from torch.utils.data import Dataset

from skclr import (
    CLRLeNetClassifier,
    GradientNoiseScale,
    compare_schedules,
    lr_candidates_test,
    lr_range_test,
)

SOME = np.random.RandomState(0).uniform(0.1, 3, 400)
COUNTS = np.random.RandomState(1).randint(0, 4, 400)


class Double(Flat):
    """In double precision nothing that is compared here differs by rounding alone."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(in_channels, n_classes)
        self.double()


# ---------------------------------------------------------------- the loss


@pytest.mark.parametrize("batch_size", [50, 400])
def test_an_update_goes_along_the_gradient_of_the_weighted_mean_of_the_batch(fashion, batch_size):
    X, y = fashion
    begun = quick(module=Double).initialize()
    clf = quick(
        module=Double,
        schedule="constant",
        batch_size=batch_size,
        standardize=False,
        iterator_train__shuffle=False,
    ).fit(X, y, SOME)
    state = [value.clone().requires_grad_() for value in begun.module_.state_dict().values()]
    optimizer = torch.optim.SGD(state, lr=0.01, momentum=0.9)
    images = torch.zeros(400, 32, 32, dtype=torch.float64)
    images[:, 2:30, 2:30] = torch.from_numpy(X)
    for part in torch.arange(400).split(batch_size):
        scores = nn.functional.linear(images[part].flatten(1), *state)
        losses = nn.functional.cross_entropy(scores, torch.from_numpy(y)[part], reduction="none")
        shares = torch.from_numpy(SOME)[part] / SOME[part].sum()
        optimizer.zero_grad()
        (losses @ shares).backward()
        optimizer.step()
    assert_allclose(weights(clf), torch.cat([part.detach().flatten() for part in state]))


def test_the_weight_of_a_class_is_that_of_torch(fashion):
    X, y = fashion
    of_classes = np.arange(1.0, 11)
    params = {"standardize": False, "max_epochs": 2, "batch_size": 300}
    clf = lenet(class_weight=dict(enumerate(of_classes)), **params).fit(X, y)
    own = lenet(criterion__weight=torch.from_numpy(of_classes).float(), **params).fit(X, y)
    assert_allclose(weights(clf), weights(own), atol=1e-5)


def test_a_criterion_that_sums_gets_the_sum_of_weighted_losses(fashion):
    params = {"module": Double, "schedule": "constant", "batch_size": 100}
    mean = quick(**params, max_lr=1e-3).fit(*fashion, SOME)
    total = quick(**params, max_lr=1e-5, criterion__reduction="sum").fit(*fashion, SOME)
    assert_allclose(weights(total), weights(mean))
    assert_allclose(
        total.history_frame()["train_loss"], 100 * mean.history_frame()["train_loss"], rtol=1e-6
    )


@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.parametrize("batch_size", [64, 400])
def test_the_number_of_threads_changes_no_bit(fashion, n_threads, batch_size):
    found = []
    for n in (1, n_threads):
        torch.set_num_threads(n)
        try:
            clf = lenet(batch_size=batch_size).fit(*fashion, SOME)
        finally:
            torch.set_num_threads(1)
        found.append(weights(clf))
    assert_array_equal(*found)


# ---------------------------------------------------------------- counting samples


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"validation_fraction": 0.25},
        {"class_weight": "balanced"},
        {"max_lr": "auto", "base_lr": "auto", "max_epochs": 1},
        {"iterator_train": torch.utils.data.DataLoader},
        {"standardize": False, "schedule": "batch_doubling"},
    ],
    ids=str,
)
def test_a_weight_of_zero_is_a_sample_that_is_not_there(fashion, params):
    X, y = fashion
    there = COUNTS > 0
    params = {"max_lr": 0.05, "batch_size": 50} | params
    clf = quick(**params).fit(X, NAMES[y], COUNTS)
    other = quick(**params).fit(X[there], NAMES[y[there]], COUNTS[there])
    assert_array_equal(weights(clf), weights(other))
    measured = ["train_loss", "train_acc", "valid_loss", "valid_acc"]
    assert_array_equal(clf.history_frame()[measured], other.history_frame()[measured])
    assert clf.base_lr_ == other.base_lr_


def test_a_sample_of_weight_zero_is_not_read_to_train_on(fashion):
    X, y = fashion

    class OneByOne(Dataset):
        targets = y
        read = set()

        def __len__(self):
            return len(X)

        def __getitem__(self, index):
            self.read.add(index)
            return X[index], y[index]

    data = OneByOne()
    clf = quick(validation_fraction=0.2).fit(data, sample_weight=COUNTS)
    looked_at = set(range(32))  # at most, to tell the form of the images
    assert data.read - looked_at == set(np.flatnonzero(COUNTS)) - looked_at
    expected = quick(validation_fraction=0.2).fit(X, y, COUNTS)
    assert_array_equal(weights(clf), weights(expected))


@pytest.mark.parametrize("alike", [1, 0.3, np.ones(400), np.full(400, 7)], ids=str)
def test_weights_that_are_all_alike_are_none(fashion, alike):
    given = np.broadcast_to(alike, 400)
    expected = lenet(validation_fraction=0.2).fit(*fashion)
    clf = lenet(validation_fraction=0.2).fit(*fashion, given)
    assert_array_equal(weights(clf), weights(expected))
    balanced = lenet(validation_fraction=0.2, class_weight="balanced").fit(*fashion)
    assert_array_equal(weights(balanced), weights(expected))  # 40 of each class


@pytest.mark.parametrize("factor", [1e-300, 0.01, 1e300])
def test_only_the_ratios_of_weights_matter(fashion, factor):
    clf = quick(module=Double).fit(*fashion, SOME)
    other = quick(module=Double).fit(*fashion, SOME * factor)
    assert_allclose(weights(other), weights(clf))


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_a_whole_number_is_as_many_copies_where_a_batch_holds_them_all(fashion, call):
    X, y = fashion
    params = {"module": Double, "batch_size": 1000, "max_epochs": 3, "class_weight": "balanced"}
    clf = getattr(quick(**params), call)(X, y, sample_weight=COUNTS)
    copies = getattr(quick(**params), call)(X.repeat(COUNTS, axis=0), y.repeat(COUNTS))
    assert_allclose(weights(clf), weights(copies), rtol=1e-6, atol=1e-12)
    assert_allclose(clf.pixel_mean_, copies.pixel_mean_)
    assert_allclose(clf.pixel_std_, copies.pixel_std_)
    measured = ["train_loss", "train_acc"]
    assert_allclose(clf.history_frame()[measured], copies.history_frame()[measured])


def test_weights_of_classes_are_weights_of_their_samples(fashion):
    X, y = fashion
    X, y = X[y < 3][15:], NAMES[y[y < 3][15:]]
    given = {"t-shirt": 2, "trouser": 0.5, "pullover": 3}
    as_samples = [given[label] for label in y]
    clf = quick(class_weight=given).fit(X, y)
    assert_array_equal(weights(clf), weights(quick().fit(X, y, as_samples)))
    of_more = {"boot": 100} | given | {7: "much"}
    assert_array_equal(weights(quick(class_weight=of_more).fit(X, y)), weights(clf))
    balanced = quick(class_weight="balanced").fit(X, y)
    as_samples = compute_sample_weight("balanced", y)
    assert_array_equal(weights(balanced), weights(quick().fit(X, y, as_samples)))
    both = quick(class_weight=given).fit(X, y, as_samples)
    product = as_samples * [given[label] for label in y]
    assert_allclose(weights(both), weights(quick().fit(X, y, product)), atol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, 5], dtype=np.uint8),
        np.array([False, True]),
        np.array(["a", "b"]),
        np.array(["a", "b"], dtype=object),
        np.array([-1.0, 1.0]),
    ],
    ids=lambda labels: f"{labels.dtype}",
)
def test_a_dict_is_looked_up_by_labels_of_any_kind(two_classes, labels):
    X, y = two_classes
    y = labels[(y == 9).astype(int)]
    clf = quick(class_weight={labels[0]: 1, labels[1]: 3}).fit(X, y)
    plain = quick(class_weight=dict(zip(labels.tolist(), [1, 3], strict=True))).fit(X, y)
    by_sample = quick().fit(X, y, np.where(y == labels[1], 3, 1))
    assert_array_equal(weights(clf), weights(by_sample))
    assert_array_equal(weights(plain), weights(by_sample))


@pytest.mark.parametrize("kind", [list, pd.Series, torch.as_tensor, np.float32, lambda w: w[::-1]])
def test_weights_come_in_any_form_and_stay_as_they_are(two_classes, kind):
    given = np.random.RandomState(0).randint(1, 5, 60)
    shown = kind(given)
    clf = quick().fit(*two_classes, sample_weight=shown)
    expected = quick().fit(*two_classes, sample_weight=np.asarray(shown, dtype=float).tolist())
    assert_array_equal(weights(clf), weights(expected))
    assert_array_equal(np.asarray(shown), np.asarray(kind(given)))


# ---------------------------------------------------------------- what is measured


def test_the_history_has_weighted_means(fashion):
    X, y = fashion
    given = {"X_val": X[:100], "y_val": NAMES[y[:100]], "sample_weight_val": SOME[:100]}
    clf = quick(module=Double, iterator_valid__batch_size=30).fit(
        X[100:], NAMES[y[100:]], SOME[100:], **given
    )
    proba, labels = clf.predict_proba(X[:100]), NAMES[y[:100]]
    epoch = clf.history_frame().iloc[-1]
    loss = log_loss(labels, proba, sample_weight=SOME[:100], labels=clf.classes_)
    assert_allclose(epoch["valid_loss"], loss)
    accuracy = accuracy_score(labels, clf.predict(X[:100]), sample_weight=SOME[:100])
    assert_allclose(epoch["valid_acc"], accuracy)
    assert_allclose(clf.score(X[:100], labels, SOME[:100]), accuracy)


def test_held_out_samples_keep_their_weights_and_those_of_their_class(fashion):
    X, y = fashion
    of_classes = dict(enumerate(range(1, 11)))
    clf = quick(module=Double, validation_fraction=0.25, class_weight=of_classes).fit(X, y, SOME)
    _, held_out = train_test_split(
        np.arange(400), test_size=0.25, stratify=y, random_state=clf._training.split_seed
    )
    given = SOME[held_out] * (y[held_out] + 1)
    epoch = clf.history_frame().iloc[-1]
    proba = clf.predict_proba(X[held_out])
    assert_allclose(epoch["valid_loss"], log_loss(y[held_out], proba, sample_weight=given))
    right = clf.predict(X[held_out]) == y[held_out]
    assert_allclose(epoch["valid_acc"], np.average(right, weights=given))


def test_callbacks_get_pairs_and_the_weights_beside_them(fashion):
    X, y = fashion
    spy = Spy()
    scores = EpochScoring("accuracy", name="plain", on_train=True, lower_is_better=False)
    noise = GradientNoiseScale(batch_size=8, n_batches=2)
    clf = quick(callbacks=[("spy", spy), ("plain", scores), ("noise", noise)], batch_size=100)
    clf.fit(X, NAMES[y], SOME)
    batches = dict(clf.callbacks_)["spy"].training_
    images, labels = batches[0]
    assert_array_equal(labels, clf.classes_[batches[0].targets])
    assert len(images) == 100
    found = np.sort(np.concatenate([batch.weights for batch in batches]))
    assert_allclose(found, np.sort(SOME) / SOME.mean())
    assert clf.history[-1, "plain"] > 0
    assert clf.history[-1, "noise_scale"] > 0


def test_range_tests_weigh_as_the_training_does(fashion):
    X, y = fashion
    there = COUNTS > 0
    sweep = {"n_iter": 60, "n_repeats": 1, "random_state": 0}
    found = lr_range_test(quick(), X, y, sample_weight=COUNTS, **sweep)
    other = lr_range_test(quick(), X[there], y[there], sample_weight=COUNTS[there], **sweep)
    assert_array_equal(found.losses, other.losses)
    assert (found.losses != lr_range_test(quick(), X, y, **sweep).losses).any()
    rates = {"lrs": [1e-3, 1e-2], "epochs": 1, "random_state": 0}
    found = lr_candidates_test(quick(), X, y, sample_weight=COUNTS, **rates)
    other = lr_candidates_test(quick(), X[there], y[there], sample_weight=COUNTS[there], **rates)
    assert_array_equal(found.losses, other.losses)


def test_boundaries_are_measured_with_the_weights_of_classes_once(fashion):
    X, y = fashion
    of_classes = dict(enumerate(range(1, 11)))
    params = {"base_lr": "auto", "max_lr": "auto"}
    clf = quick(class_weight=of_classes, **params).fit(X, y)
    by_sample = quick(**params).fit(X, y, y + 1)
    assert_array_equal(clf.lr_range_.losses, by_sample.lr_range_.losses)
    assert_array_equal(weights(clf), weights(by_sample))


def test_a_comparison_judges_every_sample_alike(fashion):
    X, y = fashion
    candidates = {"weighted": quick(class_weight={label: 1 + label for label in range(10)})}
    runs = compare_schedules(candidates, X[:300], y[:300], X[300:], y[300:], seeds=1).runs
    clf = candidates["weighted"].fit(X[:300], y[:300])
    assert runs["status"].tolist() == ["ok"]
    loss = log_loss(y[:300], clf.predict_proba(X[:300]))
    assert_allclose(runs["train_loss"][0], loss, rtol=1e-5)


# ---------------------------------------------------------------- going on


def test_weights_may_change_from_call_to_call(fashion):
    X, y = fashion
    clf = quick(class_weight="balanced", warm_start=True).fit(X, y, SOME)
    clf.set_params(class_weight=None).partial_fit(X, y)
    other = quick().fit(X, y, SOME).partial_fit(X, y)
    assert len(clf.history) == 2
    assert_array_equal(clf.classes_, other.classes_)
    clf.partial_fit(X[y < 5], y[y < 5], sample_weight=SOME[y < 5])
    assert clf.predict_proba(X).shape == (400, 10)


def test_classes_that_were_told_need_no_sample_of_weight(fashion):
    X, y = fashion
    clf = quick(class_weight="balanced", batch_size=8)
    clf.partial_fit(X[y < 2], y[y < 2], classes=range(10), sample_weight=y[y < 2])
    assert_array_equal(clf.classes_, np.arange(10))
    assert (clf.predict(X) == 1).all()


def test_a_class_without_weight_is_a_class_all_the_same(fashion):
    X, y = fashion
    clf = quick(max_epochs=2).fit(X, y, y > 0)
    assert_array_equal(clf.classes_, np.arange(10))
    assert not (clf.predict(X) == 0).any()


def test_the_logarithm_of_a_probability_is_finite_where_that_is_zero(two_classes):
    X, y = two_classes
    clf = CLRLeNetClassifier(module=Flat, max_lr=1e3, standardize=False, random_state=0)
    clf.fit(X, y)
    proba, logarithms = clf.predict_proba(X), clf.predict_log_proba(X)
    assert (proba == 0).any()
    assert np.isfinite(logarithms).all()
    likely = proba > 1e-30
    assert_allclose(logarithms[likely], np.log(proba[likely]), atol=1e-6)
    halved = clf.set_params(predict_nonlinearity=lambda scores: torch.softmax(scores / 2, -1))
    with np.errstate(divide="ignore"):
        assert_array_equal(halved.predict_log_proba(X), np.log(halved.predict_proba(X)))
