"""Weights that come by way of scikit-learn's tools, and of a checkpoint."""

import pickle

import numpy as np
import pytest
import sklearn
from classifiers import NAMES, lenet, quick, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback

SOME = np.random.RandomState(0).uniform(0.1, 3, 400)


@pytest.fixture
def _routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def rows(fashion):
    X, y = fashion
    return X.reshape(len(X), -1), NAMES[y]


def test_a_search_takes_the_weights_of_each_fold(fashion):
    X, y = fashion
    folds = list(StratifiedKFold(2).split(X, y))
    search = GridSearchCV(quick(), {"max_lr": [0.005, 0.01]}, cv=folds, error_score="raise")
    search.fit(X, y, sample_weight=SOME)
    train, test = folds[0]
    by_hand = quick(max_lr=0.01).fit(X[train], y[train], SOME[train])
    # newer versions of scikit-learn score with the weights, too
    scores = [by_hand.score(X[test], y[test], given) for given in (None, SOME[test])]
    assert search.cv_results_["split0_test_score"][1] in scores
    refitted = clone(search.best_estimator_).fit(X, y, SOME)
    assert_array_equal(weights(search.best_estimator_), weights(refitted))


@pytest.mark.usefixtures("_routing")
def test_weights_are_routed_to_where_they_are_asked_for(fashion):
    X, y = fashion
    clf = quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    assert clone(clf).set_partial_fit_request(sample_weight=False) is not clf
    (train, test), *_ = folds = list(StratifiedKFold(2).split(X, y))
    given = {"sample_weight": SOME}
    found = cross_validate(clf, X, y, cv=folds, params=given, error_score="raise")
    by_hand = quick().fit(X[train], y[train], SOME[train])
    assert found["test_score"][0] == by_hand.score(X[test], y[test], SOME[test])
    fit_alone = quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
    search = GridSearchCV(fit_alone, {"max_lr": [0.01]}, cv=folds, error_score="raise")
    search.fit(X, y, **given)
    assert search.cv_results_["split0_test_score"][0] == by_hand.score(X[test], y[test])


def test_a_pipeline_passes_weights_on(fashion):
    X, y = fashion
    pipeline = make_pipeline(FunctionTransformer(np.negative), quick())
    pipeline.fit(X, y, clrlenetclassifier__sample_weight=SOME)
    assert_array_equal(weights(pipeline[-1]), weights(quick().fit(-X, y, SOME)))


def test_weights_of_classes_can_be_searched(fashion):
    grid = {"class_weight": [None, "balanced", {label: 1 + label for label in range(10)}]}
    search = GridSearchCV(quick(), grid, cv=2, error_score="raise").fit(*fashion)
    assert search.cv_results_["mean_test_score"].shape == (3,)
    copied = pickle.loads(pickle.dumps(search.best_estimator_))
    assert copied.class_weight == search.best_params_["class_weight"]


def test_a_fold_may_lack_a_class_that_has_a_weight(fashion):
    X, y = fashion
    X, y = X[y < 3], NAMES[y[y < 3]]
    folds = [(np.flatnonzero(y != name), np.flatnonzero(y != name)) for name in NAMES[:3]]
    clf = quick(class_weight={"t-shirt": 1, "trouser": 2, "pullover": 5})
    found = cross_validate(clf, X, y, cv=folds, error_score="raise", return_estimator=True)
    for (train, _), fitted in zip(folds, found["estimator"], strict=True):
        given = {label: clf.class_weight[label] for label in np.unique(y[train])}
        expected = quick(class_weight=given).fit(X[train], y[train])
        assert_array_equal(weights(fitted), weights(expected))


def test_boosting_weighs_what_the_classifiers_before_got_wrong(fashion):
    X, y = rows(fashion)
    ensemble = AdaBoostClassifier(quick(), n_estimators=3, random_state=0).fit(X, y)
    assert len(ensemble.estimators_) == 3
    assert set(ensemble.predict(X)) <= set(NAMES)
    alone = ensemble.estimators_[0].score(X, y)
    assert ensemble.score(X, y) > 0.5
    assert np.all(ensemble.estimator_errors_ < 0.9)
    assert alone > 0.5


def test_bags_of_samples_come_as_weights(fashion):
    X, y = rows(fashion)
    bag = BaggingClassifier(quick(), n_estimators=2, random_state=0).fit(X, y)
    counts = np.bincount(bag.estimators_samples_[0], minlength=len(X))
    by_hand = clone(bag.estimators_[0]).fit(X, y, counts)
    assert_array_equal(weights(bag.estimators_[0]), weights(by_hand))


@pytest.mark.parametrize("ensemble", [True, False])
def test_probabilities_are_calibrated_with_weights(fashion, ensemble):
    X, y = rows(fashion)
    calibrated = CalibratedClassifierCV(quick(), cv=2, ensemble=ensemble)
    proba = calibrated.fit(X, y, sample_weight=SOME).predict_proba(X)
    assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    plain = CalibratedClassifierCV(quick(), cv=2, ensemble=ensemble).fit(X, y)
    assert (proba != plain.predict_proba(X)).any()


def test_a_vote_passes_weights_on(fashion):
    X, y = rows(fashion)
    vote = VotingClassifier([("one", quick()), ("two", quick(max_lr=0.005))], voting="soft")
    vote.fit(X, y, sample_weight=SOME)
    assert vote.score(X, y, sample_weight=SOME) > 0.5


# ---------------------------------------------------------------- checkpoints


class Killed(Callback):
    """End the training in its second epoch, as nothing else does."""

    def __init__(self, batch=3):
        self.batch = batch

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        self.batch = -1

    def on_batch_begin(self, net, training=None, **kwargs):
        rows = net.history[-1]["batches"]
        if training and len(net.history) == 2 and len(rows) == self.batch:
            raise MemoryError


def test_a_training_with_weights_goes_on_with_the_same_bits(fashion, tmp_path):
    params = {"class_weight": "balanced", "max_epochs": 3, "validation_fraction": 0.2}
    params |= {"batch_size": 64}
    expected = lenet(**params).fit(*fashion, SOME)
    params |= {"checkpoint": tmp_path / "a", "checkpoint_every": 0.3}
    with pytest.raises(MemoryError):
        lenet(**params, callbacks=[Killed()]).fit(*fashion, SOME)
    clf = lenet(**params, callbacks=[Killed()]).fit(*fashion, SOME)
    assert_array_equal(weights(clf), weights(expected))
    measured = ["train_loss", "train_acc", "valid_loss", "valid_acc"]
    assert_array_equal(clf.history_frame()[measured], expected.history_frame()[measured])


def test_the_checkpoint_of_other_weights_is_refused(fashion, tmp_path):
    X, y = fashion
    clf = quick(checkpoint=tmp_path / "a").fit(X, y, SOME)
    before = (tmp_path / "a").read_bytes()
    for other in (None, SOME[::-1], np.ones(400)):
        with pytest.raises(ValueError, match="the weights of the training samples are others"):
            clone(clf).fit(X, y, other)
    with pytest.raises(ValueError, match="class_weight is not set there and 'balanced' here"):
        clone(clf).set_params(class_weight="balanced").fit(X, y, SOME)
    valid = {"X_val": X, "y_val": y, "sample_weight_val": SOME}
    with pytest.raises(ValueError, match="the weights of the validation samples are others"):
        clone(clf).fit(X, y, SOME, **valid)
    assert (tmp_path / "a").read_bytes() == before
    again = clone(clf).fit(X, y, SOME.tolist())
    assert_array_equal(weights(again), weights(clf))
