"""scikit-learn's searches and tools with ours inside."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from classifiers import Flat, lenet
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, classification_report
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from torch import nn

from skclr import CLRLeNetClassifier, DivergenceError
from skclr.callbacks import CyclicLR

SCHEDULES = [
    "constant", "triangular", "triangular2", "exp_range", "one_cycle", "lr_halving", "cosine",
    "cosine_restarts",
    "batch_doubling",
]  # fmt: skip


def quick(**params):
    return CLRLeNetClassifier(
        **({"module": Flat, "max_epochs": 2, "max_lr": 0.01, "random_state": 0} | params)
    )


def rows(X):
    return X.reshape(len(X), -1)


# ---------------------------------------------------------------- searches


def test_schedules_and_ranges_can_be_searched(fashion):
    X, y = fashion
    grid = [
        {"schedule": ["triangular", "one_cycle", "batch_doubling"], "max_lr": [0.05, 0.1]},
        {"schedule": ["constant"], "max_lr": [1e-5]},
    ]
    search = GridSearchCV(lenet(max_epochs=4), grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["max_lr"] > 1e-5
    assert search.best_estimator_.get_params()["schedule"] == search.best_params_["schedule"]
    assert search.score(X, y) > 0.4
    assert np.argmin(search.cv_results_["mean_test_score"]) == 6


GRID_WITH_CALLBACKS = {
    "schedule": [None],
    "batch_size": [16, 32],
    "callbacks": [None, [("cyclic", CyclicLR(base_lr=1e-4, max_lr=0.02, step_size=1))]],
    "callbacks__train_acc__name": ["train_acc", "share"],
}


def test_parameters_of_callbacks_can_be_searched(two_classes):
    search = GridSearchCV(quick(), GRID_WITH_CALLBACKS, cv=2, error_score="raise")
    assert search.fit(*two_classes).cv_results_["mean_test_score"].shape == (8,)
    assert callable(GRID_WITH_CALLBACKS["callbacks"][1][0][1].on_train_begin)
    assert not hasattr(GRID_WITH_CALLBACKS["callbacks"][1][0][1], "iteration_")  # cloned for it


@pytest.mark.slow
def test_two_jobs_find_the_same_scores_as_one(two_classes):
    found = []
    for n_jobs in (1, 2):
        search = GridSearchCV(
            quick(schedule=None), GRID_WITH_CALLBACKS, cv=3, n_jobs=n_jobs, refit=False
        )
        search.fit(*two_classes)
        found.append([search.cv_results_[f"split{i}_test_score"] for i in range(3)])
    assert_array_equal(found[0], found[1])


def test_rates_can_be_searched_at_random(two_classes):
    search = RandomizedSearchCV(
        quick(),
        {"max_lr": loguniform(2e-3, 1e-1), "schedule": SCHEDULES, "step_size": [1, 1.5, 2]},
        n_iter=6,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(*two_classes)
    assert search.best_score_ > 0.8


@pytest.mark.parametrize("resource", ["n_samples", "max_epochs"])
def test_candidates_can_be_halved_on_samples_or_on_epochs(fashion, resource):
    X, y = fashion
    resources = {"max_resources": 4, "min_resources": 1} if resource == "max_epochs" else {}
    search = HalvingGridSearchCV(
        quick(),
        {"max_lr": [1e-6, 0.01, 0.02], "schedule": ["exp_range", "one_cycle"]},
        resource=resource,
        cv=2,
        factor=2,
        random_state=0,
        error_score="raise",
        **resources,
    )
    search.set_params(estimator__base_lr=1e-7)
    search.fit(X, y)
    assert search.n_iterations_ > 1
    assert search.best_params_["max_lr"] > 1e-6


def test_a_candidate_that_diverges_gets_the_error_score_and_the_search_goes_on(fashion):
    X, y = fashion
    clf = lenet(schedule="constant", module__activation=nn.ReLU, max_epochs=3)
    grid = {"max_lr": [0.05, 1e6, 0.1]}
    with pytest.warns(FitFailedWarning, match="DivergenceError"):
        search = GridSearchCV(clf, grid, cv=2, error_score=-1.0).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[1] == -1
    assert (scores[[0, 2]] > 0.1).all()
    assert search.best_params_["max_lr"] != 1e6

    with pytest.raises(DivergenceError):
        GridSearchCV(clf, grid, cv=2, error_score="raise").fit(X, y)


def test_the_last_update_may_diverge_as_little_as_any_other(two_classes):
    X, y = two_classes
    clf = quick(weight_decay=1e30, batch_size=60)  # finite losses, then infinite weights
    with pytest.raises(DivergenceError, match="epoch 2, at iteration 1"):
        clf.fit(X, y)


@pytest.mark.parametrize("params", [{"schedule": "constant"}, {"schedule": lambda t: 1e300}])
def test_a_rate_that_no_float32_can_hold_is_refused(two_classes, params):
    with pytest.raises(ValueError, match=r"1e\+300"):
        quick(max_lr=1e300, **params).fit(*two_classes)


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="no wider floats")
def test_pixels_that_no_double_can_hold_are_refused(two_classes):
    X, y = two_classes
    with pytest.raises(ValueError, match=r"infinity|too large") as caught:
        quick().fit(X * np.longdouble("1e4000"), y)
    assert not isinstance(caught.value, DivergenceError)


# ---------------------------------------------------------------- the rest of the table


def test_a_pipeline_may_stand_before_it(two_classes):
    X, y = two_classes
    pipeline = make_pipeline(FunctionTransformer(rows), MinMaxScaler(), lenet(max_epochs=4))
    assert pipeline.fit(X, y).score(X, y) > 0.9
    pipeline.set_params(clrlenetclassifier__schedule="one_cycle").fit(X, y)
    assert pipeline[-1].schedule == "one_cycle"
    grid = {"clrlenetclassifier__max_lr": [0.05, 0.1], "minmaxscaler": ["passthrough"]}
    assert GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y).best_score_ > 0.5


def test_a_column_transformer_may_stand_before_it(two_classes):
    X, y = two_classes
    frame = pd.DataFrame(rows(X), columns=[f"pixel{i}" for i in range(784)])
    halves = ColumnTransformer(
        [
            ("upper", "passthrough", list(frame.columns[:392])),
            ("lower", MinMaxScaler(feature_range=(0, 255)), list(frame.columns[392:])),
        ]
    ).set_output(transform="pandas")
    pipeline = Pipeline([("columns", halves), ("clf", lenet(max_epochs=4))]).fit(frame, y)
    assert pipeline.score(frame, y) > 0.9
    assert len(pipeline["clf"].feature_names_in_) == 784


def test_several_metrics_are_cross_validated_at_once(two_classes):
    X, y = two_classes
    names = np.where(y == 1, "trouser", "boot")
    scoring = ["accuracy", "f1_macro", "neg_log_loss", "roc_auc", "average_precision"]
    scores = cross_validate(
        quick(), X, y == 1, cv=3, scoring=scoring, return_train_score=True, error_score="raise"
    )
    assert all(np.isfinite(scores[f"test_{name}"]).all() for name in scoring)
    named = cross_validate(
        quick(), X, names, cv=3, scoring=["accuracy", "neg_log_loss", "roc_auc"],
        error_score="raise",
    )  # fmt: skip
    assert_array_equal(named["test_accuracy"], scores["test_accuracy"])


def test_cross_val_predict_predicts_each_sample_by_a_model_that_did_not_see_it(fashion):
    X, y = fashion
    folds = StratifiedKFold(3)
    proba = cross_val_predict(quick(), X, y, cv=folds, method="predict_proba")
    assert proba.shape == (400, 10)
    train, test = next(folds.split(X, y))
    assert_array_equal(quick().fit(X[train], y[train]).predict_proba(X[test]), proba[test])


def test_learning_curve(fashion):
    X, y = fashion
    sizes, _, scores = learning_curve(
        quick(max_epochs=4), X, y, train_sizes=[0.2, 1.0], cv=3, error_score="raise"
    )
    assert sizes.tolist() == [53, 266]
    assert scores[1].mean() > scores[0].mean()


def test_permutation_importance_finds_the_pixel_that_decides():
    X = np.random.RandomState(0).rand(200, 9)
    y = (X[:, 4] > 0.5).astype(int)
    clf = quick(max_epochs=20).fit(X, y)
    importance = permutation_importance(clf, X, y, n_repeats=3, random_state=0)
    assert importance.importances_mean.argmax() == 4


def test_probabilities_can_be_calibrated(two_classes):
    X, y = two_classes
    calibrated = CalibratedClassifierCV(quick(), cv=2).fit(rows(X), y)
    proba = calibrated.predict_proba(rows(X))
    assert_allclose(proba.sum(axis=1), 1)
    assert calibrated.score(rows(X), y) > 0.8


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_it_votes(two_classes, voting):
    X, y = two_classes
    names = np.where(y == 1, "trouser", "boot")
    members = [("one", quick()), ("two", quick(random_state=1)), ("lr", LogisticRegression(C=1e-6))]
    assert VotingClassifier(members, voting=voting).fit(rows(X), names).score(rows(X), names) > 0.8


def test_it_is_stacked(two_classes):
    X, y = two_classes
    members = [("one", quick()), ("two", quick(schedule="one_cycle"))]
    stack = StackingClassifier(members, LogisticRegression(), cv=2).fit(rows(X), y)
    assert stack.score(rows(X), y) > 0.8


def test_one_against_the_rest(fashion):
    X, y = fashion
    some = y < 3
    clf = OneVsRestClassifier(quick(max_epochs=4)).fit(rows(X[some]), y[some])
    assert len(clf.estimators_) == 3
    assert clf.score(rows(X[some]), y[some]) > 0.6


def test_a_classification_report_names_the_classes(two_classes):
    X, y = two_classes
    names = np.where(y == 1, "trouser", "boot")
    clf = quick().fit(X, names)
    report = classification_report(names, clf.predict(X), output_dict=True)
    assert report["accuracy"] == clf.score(X, names) == accuracy_score(names, clf.predict(X))
    assert {"trouser", "boot"} <= set(report)


def test_a_confusion_matrix_is_drawn_from_it(two_classes):
    from matplotlib import pyplot as plt

    X, y = two_classes
    names = np.where(y == 1, "trouser", "boot")
    display = ConfusionMatrixDisplay.from_estimator(quick().fit(X, names), X, names)
    assert display.confusion_matrix.sum() == 60
    assert display.display_labels.tolist() == ["boot", "trouser"]
    plt.close(display.figure_)


def test_it_works_with_metadata_routing(two_classes):
    X, y = two_classes
    expected = cross_val_score(quick(), X, y, cv=3)
    with sklearn.config_context(enable_metadata_routing=True):
        assert_array_equal(cross_val_score(quick(), X, y, cv=3, error_score="raise"), expected)
        search = GridSearchCV(quick(), {"max_lr": [0.01, 0.02]}, cv=2, error_score="raise")
        assert search.fit(X, y).best_score_ > 0.5
        clf = quick().fit(X, y)
        clf.partial_fit(X, y)
        assert clf.score(X, y) > 0.5
        pipeline = make_pipeline(FunctionTransformer(rows), quick()).fit(X, y)
        assert_array_equal(pipeline.predict(X), quick().fit(X, y).predict(X))


def test_validation_data_are_routed_through_a_search(two_classes):
    X, y = two_classes
    with sklearn.config_context(enable_metadata_routing=True):
        clf = quick().set_fit_request(X_val=True, y_val=True)
        search = GridSearchCV(clf, {"max_lr": [0.01, 0.02]}, cv=2, error_score="raise")
        search.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    frame = search.best_estimator_.history_frame()
    assert frame["valid_loss"].notna().all()


def test_a_notebook_shows_it(two_classes):
    html = lenet(max_lr=0.2)._repr_html_()
    assert "CLRLeNetClassifier" in html
    assert "max_lr" in html
    assert "fitted" in quick().fit(*two_classes)._repr_html_().lower()
