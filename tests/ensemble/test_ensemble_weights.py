"""Weights of samples on their way through the ensemble, and through scikit-learn's tools."""

import numpy as np
import pytest
import sklearn
import torch
from ensembles import NAMES, cyclic, plain
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, VotingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import has_fit_parameter
from skorch import NeuralNetClassifier
from torch import nn

from skclr import SnapshotEnsemble
from skclr.callbacks import CyclicLR

SOME = np.random.RandomState(0).uniform(0.1, 3, 400)


@pytest.fixture
def _routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def asking(**params):
    """Return an ensemble that asks for weights to fit with."""
    return SnapshotEnsemble(cyclic(**params)).set_fit_request(sample_weight=True)


def assert_same_members(found, expected):
    assert len(found.members_) == len(expected.members_)
    for one, other in zip(found.members_, expected.members_, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------- fit


FORMS = {
    "by name": lambda ensemble, X, y: ensemble.fit(X, y, sample_weight=SOME),
    "by place": lambda ensemble, X, y: ensemble.fit(X, y, SOME),
    "a list": lambda ensemble, X, y: ensemble.fit(X, y, SOME.tolist()),
    "a data set": lambda ensemble, X, y: ensemble.fit(
        torch.utils.data.TensorDataset(torch.from_numpy(X[:, None]), torch.from_numpy(y)),
        sample_weight=SOME,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_members_are_trainings_with_the_weights(fashion, form):
    X, y = fashion
    ensemble = FORMS[form](SnapshotEnsemble(cyclic()), X, y)
    by_hand = [cyclic(max_epochs=epochs).fit(X, y, SOME) for epochs in range(1, 5)]
    for member, clf in zip(ensemble.members_, by_hand, strict=True):
        state = clf.module_.state_dict()
        assert all(torch.equal(member[name], value) for name, value in state.items())
    unweighted = SnapshotEnsemble(cyclic()).fit(X, y)
    assert (ensemble.predict_proba(X) != unweighted.predict_proba(X)).any()


def test_no_weights_are_none_at_all(fashion, table):
    found = SnapshotEnsemble(cyclic()).fit(*fashion, sample_weight=None)
    assert_same_members(found, SnapshotEnsemble(cyclic()).fit(*fashion))
    assert SnapshotEnsemble(plain(CyclicLR(step_size=0.5))).fit(*table, None).members_


def test_weights_go_with_those_of_validation_data(fashion):
    X, y = fashion
    valid = {"X_val": X[:50], "y_val": y[:50], "sample_weight_val": SOME[:50]}
    ensemble = SnapshotEnsemble(cyclic()).fit(X, y, SOME, **valid)
    alone = cyclic().fit(X, y, SOME, **valid)
    assert ensemble.estimator_.history[:, "valid_loss"] == alone.history[:, "valid_loss"]


@pytest.mark.parametrize(
    ("wrong", "words"), [(SOME[1:], "shape"), (-SOME, "negative"), (SOME * 0, "zero")]
)
def test_weights_that_are_not_valid_leave_the_ensemble_as_it_was(fashion, wrong, words):
    X, y = fashion
    ensemble = SnapshotEnsemble(cyclic()).fit(X, y)
    expected = ensemble.predict_proba(X)
    with pytest.raises(ValueError, match=words):
        ensemble.fit(X, y, wrong)
    assert_array_equal(ensemble.predict_proba(X), expected)


def test_a_net_that_takes_no_weights_is_named_before_any_training(table):
    ensemble = SnapshotEnsemble(plain(CyclicLR(step_size=0.5)))
    with pytest.raises(TypeError, match=r"NeuralNetClassifier\.fit has no such parameter"):
        ensemble.fit(*table, sample_weight=SOME[:60])
    assert not hasattr(ensemble, "classes_")


class Weighted(NeuralNetClassifier):
    """A net of skorch's that keeps the weights it is fitted with."""

    def fit(self, X, y=None, sample_weight=None):
        self.given_ = sample_weight
        return super().fit(X, y)


def test_a_net_of_skorch_that_takes_weights_is_given_them(table):
    net = Weighted(
        nn.Linear, module__in_features=4, module__out_features=2, max_epochs=1, verbose=0,
        train_split=None, criterion=nn.CrossEntropyLoss, callbacks=[CyclicLR(step_size=0.5)],
    )  # fmt: skip
    assert SnapshotEnsemble(net).fit(*table, SOME[:60]).estimator_.given_ is not None
    assert SnapshotEnsemble(net).fit(*table).estimator_.given_ is None


# ---------------------------------------------------------------- without routing


def test_it_is_seen_that_weights_are_taken():
    assert has_fit_parameter(SnapshotEnsemble(cyclic()), "sample_weight")


def test_searches_and_pipelines_pass_weights_on(fashion):
    X, y = fashion
    by_hand = SnapshotEnsemble(cyclic(max_lr=0.02)).fit(X, y, SOME)
    grid = {"estimator__max_lr": [0.02]}
    search = GridSearchCV(SnapshotEnsemble(cyclic()), grid, cv=2, error_score="raise")
    assert_same_members(search.fit(X, y, sample_weight=SOME).best_estimator_, by_hand)
    pipeline = make_pipeline(FunctionTransformer(), SnapshotEnsemble(cyclic(max_lr=0.02)))
    pipeline.fit(X, y, snapshotensemble__sample_weight=SOME)
    assert_same_members(pipeline[-1], by_hand)


def test_boosting_bagging_voting_and_calibration_give_weights(fashion):
    X, y = fashion
    X, y = X.reshape(400, -1), NAMES[y]
    boosted = AdaBoostClassifier(SnapshotEnsemble(cyclic()), n_estimators=2, random_state=0)
    assert boosted.fit(X, y).score(X, y) > 0.5
    bag = BaggingClassifier(SnapshotEnsemble(cyclic()), n_estimators=2, random_state=0).fit(X, y)
    counts = np.bincount(bag.estimators_samples_[0], minlength=len(X))
    assert_same_members(bag.estimators_[0], clone(bag.estimators_[0]).fit(X, y, counts))
    vote = VotingClassifier([("one", SnapshotEnsemble(cyclic()))], voting="soft")
    vote.fit(X, y, sample_weight=SOME)
    by_hand = SnapshotEnsemble(cyclic()).fit(X, np.unique(y, return_inverse=True)[1], SOME)
    assert_same_members(vote.estimators_[0], by_hand)
    calibrated = CalibratedClassifierCV(SnapshotEnsemble(cyclic()), cv=2)
    weighted = calibrated.fit(X, y, sample_weight=SOME).predict_proba(X)
    assert (weighted != clone(calibrated).fit(X, y).predict_proba(X)).any()


# ---------------------------------------------------------------- with routing


@pytest.mark.usefixtures("_routing")
@pytest.mark.parametrize("score", [True, False])
def test_folds_are_trained_and_scored_with_the_weights_that_were_asked_for(fashion, score):
    X, y = fashion
    (train, test), *_ = folds = list(StratifiedKFold(2).split(X, y))
    ensemble = asking().set_score_request(sample_weight=score)
    found = cross_validate(
        ensemble, X, y, cv=folds, params={"sample_weight": SOME}, return_estimator=True
    )
    by_hand = SnapshotEnsemble(cyclic()).fit(X[train], y[train], SOME[train])
    assert_same_members(found["estimator"][0], by_hand)
    expected = accuracy_score(
        y[test], by_hand.predict(X[test]), sample_weight=SOME[test] if score else None
    )
    assert found["test_score"][0] == expected


@pytest.mark.usefixtures("_routing")
def test_a_search_and_a_pipeline_in_it_train_with_the_weights(fashion):
    X, y = fashion
    by_hand = SnapshotEnsemble(cyclic(max_lr=0.02)).fit(X, y, SOME)
    ensemble = asking().set_score_request(sample_weight=True)
    pipeline = make_pipeline(FunctionTransformer(), ensemble)
    for estimator, name in [(ensemble, ""), (pipeline, "snapshotensemble__")]:
        grid = {f"{name}estimator__max_lr": [0.02]}
        search = GridSearchCV(estimator, grid, cv=2, error_score="raise")
        best = search.fit(X, y, sample_weight=SOME).best_estimator_
        assert_same_members(best[-1] if name else best, by_hand)
    alone = clone(pipeline).set_params(snapshotensemble__estimator__max_lr=0.02)
    assert_same_members(alone.fit(X, y, sample_weight=SOME)[-1], by_hand)


FITS = {
    "folds": lambda ensemble, X, y: cross_validate(
        ensemble, X, y, cv=2, params={"sample_weight": SOME}
    ),
    "search": lambda ensemble, X, y: GridSearchCV(ensemble, {"n_members": [1]}, cv=2).fit(
        X, y, sample_weight=SOME
    ),
    "pipeline": lambda ensemble, X, y: make_pipeline(FunctionTransformer(), ensemble).fit(
        X, y, sample_weight=SOME
    ),
}


@pytest.mark.usefixtures("_routing")
@pytest.mark.parametrize("requested", [True, False, None])
@pytest.mark.parametrize("kind", FITS)
def test_a_request_of_the_estimator_alone_loses_no_weights(fashion, kind, requested):
    clf = cyclic()
    if requested is not None:
        clf.set_fit_request(sample_weight=requested).set_score_request(sample_weight=requested)
    with pytest.raises(UnsetMetadataPassedError, match="SnapshotEnsemble"):
        FITS[kind](SnapshotEnsemble(clf), *fashion)


@pytest.mark.usefixtures("_routing")
def test_weights_that_are_declined_are_not_used(fashion):
    X, y = fashion
    (train, _), *_ = folds = list(StratifiedKFold(2).split(X, y))
    ensemble = SnapshotEnsemble(cyclic()).set_fit_request(sample_weight=False)
    ensemble.set_score_request(sample_weight=True)
    found = cross_validate(
        ensemble, X, y, cv=folds, params={"sample_weight": SOME}, return_estimator=True
    )
    assert_same_members(found["estimator"][0], SnapshotEnsemble(cyclic()).fit(X[train], y[train]))
