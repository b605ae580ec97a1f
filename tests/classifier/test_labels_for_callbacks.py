"""Callbacks get labels as in fit, and probabilities come from logits, whatever the criterion."""

import pickle

import numpy as np
import pytest
import torch
from classifiers import NAMES, Flat, lenet, quick
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import accuracy_score, f1_score, make_scorer
from skorch.callbacks import BatchScoring, Callback, Checkpoint, EarlyStopping, EpochScoring
from torch import nn
from torch.utils.data import DataLoader, Subset

from skclr import GradientNoiseScale
from skclr.exceptions import PixelScaleWarning

KINDS = {
    "from 1": lambda y: y + 1,
    "strings": lambda y: NAMES[y],
    "floats": lambda y: y * 10.0,
    "bools": lambda y: y > 4,
    "objects": lambda y: NAMES[y].astype(object),
}


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_batches_compare_labels(fashion, kind, cached):
    X, y = fashion[0], KINDS[kind](fashion[1])
    scoring = BatchScoring("accuracy", name="by_batch", use_caching=cached)
    clf = lenet(validation_fraction=0.25, max_epochs=2, callbacks=[scoring]).fit(X, y)
    recorded = clf.history[:, "by_batch"]
    assert_allclose(recorded, clf.history_frame()["valid_acc"])
    assert max(recorded) > 1.5 / len(set(y.tolist()))


@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_epochs_are_the_same_cached_or_not(fashion, kind):
    X, y = fashion[0], KINDS[kind](fashion[1])
    scores = [
        (name, EpochScoring("f1_macro", name=name, use_caching=name == "cached"))
        for name in ("cached", "uncached")
    ]
    clf = lenet(validation_fraction=0.25, max_epochs=2, callbacks=scores).fit(X, y)
    assert_allclose(clf.history[:, "cached"], clf.history[:, "uncached"])


@pytest.mark.parametrize("cached", [True, False])
def test_a_scorer_may_name_the_label_that_it_looks_for(two_classes, cached):
    X, y = two_classes
    scorer = make_scorer(f1_score, pos_label="trouser")
    scoring = EpochScoring(scorer, name="f1", use_caching=cached)
    clf = lenet(validation_fraction=0.25, max_epochs=3, callbacks=[scoring]).fit(X, NAMES[y])
    assert clf.history[-1, "f1"] > 0.5


def test_a_callback_sees_the_labels_of_fit_in_every_hook(two_classes):
    X, y = two_classes
    seen = {}

    class Look(Callback):
        def on_batch_begin(self, net, batch=None, **kwargs):
            seen.setdefault("begin", batch[1])

        def on_grad_computed(self, net, named_parameters, batch=None, **kwargs):
            seen.setdefault("gradient", batch[1])

        def on_batch_end(self, net, batch=None, **kwargs):
            seen.setdefault("end", batch[1])

    quick(callbacks=[Look()]).fit(X, NAMES[y])
    assert set(seen) == {"begin", "gradient", "end"}
    for labels in seen.values():
        assert set(labels) == {"trouser", "boot"}


def test_labels_that_are_indices_come_as_they_are(fashion):
    seen = []

    class Look(Callback):
        def on_batch_end(self, net, batch=None, **kwargs):
            seen.append(batch[1])

    quick(callbacks=[Look()]).fit(*fashion)
    assert all(isinstance(labels, torch.Tensor) for labels in seen)


class FocalLoss(nn.Module):
    """A criterion of one's own, on logits."""

    def forward(self, scores, targets):
        loss = nn.functional.cross_entropy(scores, targets, reduction="none")
        return ((1 - torch.exp(-loss)) ** 2 * loss).mean()


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss, FocalLoss, nn.MultiMarginLoss])
@pytest.mark.parametrize("trimmed", [False, True])
def test_probabilities_are_probabilities_whatever_the_criterion(two_classes, criterion, trimmed):
    X, y = two_classes
    clf = quick(criterion=criterion).fit(X, y)
    before = clf.predict_proba(X)
    if trimmed:
        clf.trim_for_prediction()
    proba = clf.predict_proba(X)
    assert_array_equal(proba, before)
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert (proba >= 0).all()


class Probabilities(Flat):
    """Gives probabilities, as torch's NLLLoss wants them in skorch."""

    def forward(self, images):
        return super().forward(images).softmax(dim=1)


@pytest.mark.parametrize("trimmed", [False, True])
def test_with_nll_loss_the_network_gives_the_probabilities(two_classes, trimmed):
    X, y = two_classes
    clf = quick(module=Probabilities, criterion=nn.NLLLoss, max_epochs=3).fit(X, y)
    scores = clf.forward(X).numpy()
    if trimmed:
        clf.trim_for_prediction()
    assert_array_equal(clf.predict_proba(X), scores)
    assert accuracy_score(y, clf.predict(X)) > 0.5


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping(),
        EarlyStopping(monitor="valid_acc"),
        Checkpoint(),
        [("f1", EpochScoring("f1_macro", name="f1")), ("stop", EarlyStopping(monitor="f1"))],
    ],
)
def test_a_callback_without_its_validation_data_is_named_before_training(two_classes, callback):
    callbacks = callback if isinstance(callback, list) else [callback]
    trained = []

    class Look(Callback):
        def on_batch_begin(self, net, **kwargs):
            trained.append(1)

    clf = quick(callbacks=[*callbacks, Look()])
    with pytest.raises(ValueError, match="validation_fraction"):
        clf.fit(*two_classes)
    assert not trained
    assert not hasattr(clf, "classes_")


def test_a_split_of_skorch_is_refused_with_what_to_give_instead():
    with pytest.raises(TypeError, match="validation_fraction"):
        quick(train_split=None)


def test_the_rate_is_printed_with_the_rest(two_classes, capfd):
    quick(verbose=1, schedule="constant", max_lr=0.0125).fit(*two_classes)
    header, _, line = capfd.readouterr().out.splitlines()[:3]
    assert "lr" in header.split()
    assert "0.0125" in line


def test_pixels_of_another_scale_are_warned_of(fashion, recwarn):
    X, y = fashion
    clf = quick().fit(X, y)
    with pytest.warns(PixelScaleWarning, match="from 0 to 255"):
        clf.predict(X / 255)
    recwarn.clear()
    for alike in (X, X[:1], np.zeros_like(X[:3]), X * 0.5, X.astype(float)):
        clf.predict(alike)
    assert not [warning for warning in recwarn if warning.category is PixelScaleWarning]
    with pytest.warns(PixelScaleWarning):
        quick().fit(X / 255, y).predict_proba(X)


class OfDataSets(Callback):
    """Note what the data sets of a training give."""

    def on_train_begin(self, net, X, y, **kwargs):
        self.n_, self.y_ = len(X), y

    def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
        self.samples_ = [label for _, label in dataset_valid]
        self.part_ = [label for _, label in Subset(dataset_valid, range(3))]
        self.accuracy_ = np.mean(net.predict(dataset_valid) == np.array(self.samples_))
        self.score_ = net.score(dataset_valid)
        batch = next(iter(net.get_iterator(dataset_train, training=True)))
        self.loss_ = float(net.train_step_single(batch)["loss"])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [*KINDS, "indices"])
def test_samples_of_the_data_sets_have_labels_and_can_be_trained_on(fashion, kind, weighted):
    X, y = fashion[0], KINDS.get(kind, np.array)(fashion[1])
    weights = np.linspace(0.5, 2, len(y)) if weighted else None
    seen, scoring = OfDataSets(), EpochScoring("accuracy", name="whole", use_caching=False)
    noise = GradientNoiseScale(n_batches=2)
    clf = lenet(validation_fraction=0.25, callbacks=[seen, scoring, noise])
    clf.fit(X, y, sample_weight=weights)
    seen = dict(clf.callbacks_)["OfDataSets"]
    assert set(np.array(seen.samples_).tolist()) <= set(y.tolist())
    assert_array_equal(np.array(seen.part_), np.array(seen.samples_[:3]))
    assert seen.accuracy_ == pytest.approx(seen.score_) == pytest.approx(clf.history[-1, "whole"])
    if not weighted:
        assert seen.accuracy_ == pytest.approx(clf.history[-1, "valid_acc"])
    assert len(seen.y_) == seen.n_ == 0.75 * len(y)
    assert set(seen.y_.tolist()) == set(y.tolist())
    assert np.isfinite(seen.loss_)


@pytest.mark.parametrize("fraction", [None, 0.25])
def test_data_sets_of_a_training_can_be_taken_anywhere(fashion, fraction):
    X, y = fashion[0], np.where(fashion[1] == 9, 10, fashion[1])  # all but one are indices

    class Elsewhere(Callback):
        def on_train_end(self, net, X, **kwargs):
            batches = list(DataLoader(X, batch_size=50))
            self.labels_ = torch.cat([labels for _, labels in batches]).numpy()
            self.images_ = torch.cat([images for images, _ in batches]).numpy()
            self.score_ = net.score(X)
            self.copy_ = pickle.loads(pickle.dumps(X))
            self.other_ = quick().fit(X)

    seen = Elsewhere()
    clf = quick(validation_fraction=fraction, callbacks=[seen], class_weight="balanced").fit(X, y)
    seen = dict(clf.callbacks_)["Elsewhere"]
    assert set(seen.labels_.tolist()) == set(y.tolist()) == set(seen.other_.classes_.tolist())
    images = seen.images_[:, 0] if seen.images_.ndim == 4 else seen.images_
    assert seen.score_ == pytest.approx(np.mean(clf.predict(images) == seen.labels_))
    assert_array_equal(seen.copy_.y, seen.labels_)


def test_pixels_of_another_scale_in_validation_data_are_warned_of(fashion):
    X, y = fashion
    with pytest.warns(PixelScaleWarning, match="from 0 to 255"):
        quick().fit(X[:300], y[:300], X_val=X[300:] / 255, y_val=y[300:])


def test_going_on_with_pixels_of_another_scale_is_warned_of(fashion, recwarn):
    X, y = fashion
    clf = quick().fit(X, y, X_val=X[:50], y_val=y[:50])
    clf.partial_fit(X[:200], y[:200])
    assert not [warning for warning in recwarn if warning.category is PixelScaleWarning]
    with pytest.warns(PixelScaleWarning):
        clf.partial_fit(X / 255, y)
    with pytest.warns(PixelScaleWarning):
        clf.set_params(warm_start=True).fit(X / 255, y)
