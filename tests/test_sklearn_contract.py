"""What scikit-learn promises its users about an estimator, and its tools with ours inside."""

import copy
import functools
import hashlib
import inspect
import io
import math
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import skorch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import FitFailedWarning, NotFittedError
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
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from skclr import CLRLeNetClassifier, DivergenceError, LeNet5
from skclr.augmentation import RandomShiftFlip
from skclr.callbacks import CyclicLR

SCHEDULES = [
    "constant", "triangular", "triangular2", "exp_range", "one_cycle", "lr_halving",
    "batch_doubling",
]  # fmt: skip


class Flat(nn.Module):
    """A linear classifier, for tests in which the network does not matter."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__()
        self.linear = nn.Linear(in_channels * 32 * 32, n_classes)

    def forward(self, images):
        return self.linear(images.flatten(1))


def quick(**params):
    return CLRLeNetClassifier(
        **({"module": Flat, "max_epochs": 2, "max_lr": 0.01, "random_state": 0} | params)
    )


def lenet(**params):
    return CLRLeNetClassifier(**({"max_epochs": 1, "batch_size": 16, "random_state": 0} | params))


def rows(X):
    return X.reshape(len(X), -1)


# ---------------------------------------------------------------- scikit-learn's own checks


@parametrize_with_checks(
    [
        CLRLeNetClassifier(),
        *(CLRLeNetClassifier(schedule=schedule) for schedule in SCHEDULES),
        CLRLeNetClassifier(validation_fraction=0.2),
        # a flip would exchange the two features of scikit-learn's data, and the classes with them
        CLRLeNetClassifier(augmentation=RandomShiftFlip(flip=False)),
    ]
)
def test_scikit_learn_finds_nothing_amiss(estimator, check):
    check(estimator)


def test_all_of_this_while_it_is_a_skorch_net():
    clf = CLRLeNetClassifier()
    assert isinstance(clf, skorch.NeuralNetClassifier)
    assert is_classifier(clf)
    first, *others = inspect.signature(CLRLeNetClassifier).parameters.values()
    assert first.name == "module"
    assert {param.kind for param in others} == {inspect.Parameter.KEYWORD_ONLY}


# ---------------------------------------------------------------- parameters


WRONG_VALUES = {
    "module": ["LeNet5", None],
    "schedule": ["sawtooth", None, 1],
    "base_lr": [0, -1.0, math.inf, math.nan, "auto?", None],
    "max_lr": [0, -1.0, math.inf, math.nan, "auto?", None],
    "step_size": [0, -1, math.inf, math.nan, "2", None],
    "gamma": [0, 1.01, -0.5, math.nan, "1"],
    "batch_size": [0, -1, 1.5, "64", None],
    "max_batch_size": [0, -1, 1.5, "64", None],
    "momentum": [1, -0.1, math.nan, "0", None],
    "weight_decay": [-0.1, math.inf, math.nan, "0", None],
    "max_epochs": [0, -1, 1.5, "1", None],
    "augmentation": ["flip", 1],
    "standardize": [None, "yes", 2],
    "validation_fraction": [0, 1, -0.1, math.nan, "0.2", 5],
    "random_state": ["0", -1, 0.5, np.random.default_rng(0)],
    "warm_start": [None, "yes", 2],
    "callbacks": ["print", 1, CyclicLR()],
    "device": [1],
    "compile": [None, "yes", 2],
    "verbose": ["yes", None, -1],
    "criterion": ["mse", None],
    "optimizer": ["SGD", None],
    "iterator_train": ["DataLoader", None],
    "iterator_valid": ["DataLoader", None],
    "predict_nonlinearity": ["softmax", 1],
    "use_caching": [None, "yes"],
    "torch_load_kwargs": [1, "weights_only"],
}


def test_every_parameter_has_its_constraints_and_its_wrong_values():
    names = set(inspect.signature(CLRLeNetClassifier).parameters)
    assert set(CLRLeNetClassifier._parameter_constraints) == names
    assert set(WRONG_VALUES) == names


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG_VALUES.items() for value in values],
    ids=lambda value: repr(value)[:20],
)
def test_a_wrong_value_is_answered_with_the_allowed_ones(two_classes, name, value):
    clf = quick(**{name: value})
    with pytest.raises(InvalidParameterError, match=rf"'{name}' parameter of CLRLeNetClassifier"):
        clf.fit(*two_classes)
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "nowhere"),
        ("callbacks", [3]),
        ("callbacks", [("name", 3)]),
        ("module", int),
        ("optimizer", int),
        ("criterion", int),
        ("iterator_train", int),
        ("iterator_valid", int),
    ],
    ids=repr,
)
def test_a_value_of_the_right_type_that_is_of_no_use_is_answered_too(two_classes, name, value):
    with pytest.raises((TypeError, ValueError), match=r"\w+ \w+"):
        quick(**{"validation_fraction": 0.2, name: value}).fit(*two_classes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named(two_classes):
    with pytest.raises(ValueError, match="cuda"):
        quick(device="cuda").fit(*two_classes)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda images: images.numpy(),
        lambda images: images.to(torch.int32),
        lambda images: images.double(),
        lambda images: None,
    ],
    ids=["array", "integers", "double", "None"],
)
def test_an_augmentation_that_returns_something_else_is_named(two_classes, wrong):
    with pytest.raises((TypeError, ValueError), match="augmentation"):
        lenet(augmentation=wrong).fit(*two_classes)


@pytest.mark.parametrize(
    "params",
    [
        {"batch_size": 10**30},
        {"max_batch_size": 10**30, "schedule": "batch_doubling", "step_size": 0.01},
        {"step_size": 1e-300},
        {"step_size": 1e300},
        {"gamma": 1e-300},
        {"base_lr": 1e-300},
        {"base_lr": 1e-300, "schedule": "one_cycle"},
        {"base_lr": 1e-320, "schedule": "lr_halving", "step_size": 1e-3},
        {"validation_fraction": 0.95},
        {"random_state": 2**32 - 1},
    ],
    ids=str,
)
def test_extreme_values_within_the_constraints_are_taken(two_classes, params):
    clf = quick(**params).fit(*two_classes)
    assert np.isfinite(clf.predict_proba(two_classes[0])).all()


def test_parameters_stay_as_they_were_given(two_classes):
    params = {
        "base_lr": np.float32(0.001),
        "batch_size": np.int64(16),
        "callbacks": [("cyclic", CyclicLR(step_size=1))],
        "random_state": np.random.RandomState(0),
        "module__activation": nn.ReLU,
    }
    clf = lenet(**params)
    clf.fit(*two_classes)
    assert all(getattr(clf, name) is value for name, value in params.items())


def test_the_representation_shows_what_was_set_and_nothing_else():
    assert repr(CLRLeNetClassifier()) == "CLRLeNetClassifier()"
    clf = CLRLeNetClassifier(max_lr=0.3, optimizer__nesterov=True)
    assert repr(clf) == "CLRLeNetClassifier(max_lr=0.3, optimizer__nesterov=True)"


# ---------------------------------------------------------------- randomness


def draws_everywhere(images):
    """An augmentation that asks the generators of torch, NumPy and Python."""
    shift = random.random() + np.random.random()
    return images + 0.1 * torch.randn_like(images) + 0.01 * shift


def randomly_trained(random_state):
    return lenet(random_state=random_state, augmentation=draws_everywhere, validation_fraction=0.2)


def bits(clf, X):
    return hashlib.sha256(clf.predict_proba(X).tobytes()).hexdigest()


def test_an_int_gives_the_same_bits_each_time(two_classes):
    X, y = two_classes
    first = bits(randomly_trained(7).fit(X, y), X)
    clf = randomly_trained(7)
    assert bits(clf.fit(X, y), X) == first
    assert bits(clf.fit(X, y), X) == first
    assert bits(randomly_trained(8).fit(X, y), X) != first


def test_a_random_state_instance_goes_on_from_fit_to_fit(two_classes):
    X, y = two_classes
    clf = randomly_trained(np.random.RandomState(7))
    first, second = bits(clf.fit(X, y), X), bits(clf.fit(X, y), X)
    assert first != second
    again = randomly_trained(np.random.RandomState(7))
    assert [bits(again.fit(X, y), X), bits(again.fit(X, y), X)] == [first, second]


def test_none_draws_on_the_generator_of_numpy(two_classes):
    X, y = two_classes
    kept = np.random.get_state()
    try:
        clf = randomly_trained(None)
        np.random.seed(7)
        first, second = bits(clf.fit(X, y), X), bits(clf.fit(X, y), X)
        assert first != second
        np.random.seed(7)
        assert bits(clf.fit(X, y), X) == first
    finally:
        np.random.set_state(kept)


def _global_states():
    numpy_state = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (numpy_state[1].tobytes(), *numpy_state[2:]),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
    }


@pytest.mark.parametrize("random_state", [0, np.random.RandomState(0), None], ids=str)
def test_global_generators_are_left_alone(two_classes, random_state):
    X, y = two_classes
    before = _global_states()
    clf = randomly_trained(random_state).fit(X, y)
    clf.partial_fit(X, y)
    clf.predict(X)
    clf.set_params(module__activation=nn.ReLU)
    after = _global_states()
    changed = {name for name in before if before[name] != after[name]}
    # None means NumPy's own generator to scikit-learn, and so it is drawn from
    assert changed == ({"numpy"} if random_state is None else set())


@pytest.mark.parametrize("n_threads", [2, 4])
def test_the_number_of_threads_does_not_matter_and_is_left_alone(fashion, n_threads):
    X, y = fashion
    expected = bits(randomly_trained(0).set_params(batch_size=200).fit(X, y), X)
    torch.set_num_threads(n_threads)
    try:
        clf = randomly_trained(0).set_params(batch_size=200).fit(X, y)
        assert bits(clf, X) == expected
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(1)


def in_a_fresh_process(code, *args):
    """Run Python code elsewhere, with other threads and another hash seed; return what it says."""
    root = Path(__file__).parents[1]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONHASHSEED": "123",
        "OMP_NUM_THREADS": "2",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


TRAIN_AND_TELL = """
import hashlib, sys
import numpy as np
from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip
data = np.load(sys.argv[1])
X, y = data["X"], data["y"]
clf = CLRLeNetClassifier(max_epochs=2, random_state=7, augmentation=RandomShiftFlip(),
                         validation_fraction=0.2).fit(X, y)
print(hashlib.sha256(clf.predict_proba(X).tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_bits(fashion, tmp_path):
    X, y = fashion
    np.savez(tmp_path / "data.npz", X=X, y=y)
    clf = CLRLeNetClassifier(
        max_epochs=2, random_state=7, augmentation=RandomShiftFlip(), validation_fraction=0.2
    )
    expected = bits(clf.fit(X, y), X)
    assert in_a_fresh_process(TRAIN_AND_TELL, tmp_path / "data.npz") == [expected]


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
    "schedule": ["triangular", "batch_doubling"],
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
        search = GridSearchCV(quick(), GRID_WITH_CALLBACKS, cv=3, n_jobs=n_jobs, refit=False)
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


# ---------------------------------------------------------------- saving


def _by_joblib(clf):
    file = io.BytesIO()
    joblib.dump(clf, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "pickle": lambda clf: pickle.loads(pickle.dumps(clf)),
    "joblib": _by_joblib,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("schedule", [*SCHEDULES, functools.partial(max, 0.01)], ids=str)
def test_a_copy_predicts_and_learns_on_bit_for_bit(two_classes, copied, schedule):
    X, y = two_classes
    clf = lenet(schedule=schedule, augmentation=RandomShiftFlip(), validation_fraction=0.2)
    if callable(schedule):
        clf.set_params(schedule=_tenth)
    clf.fit(X, y)
    other = copied(clf)
    assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    pd.testing.assert_frame_equal(other.history_frame(), clf.history_frame())
    assert_array_equal(
        other.partial_fit(X, y).predict_proba(X), clf.partial_fit(X, y).predict_proba(X)
    )
    assert_array_equal(copied(lenet()).fit(X, y).predict(X), lenet().fit(X, y).predict(X))


def _tenth(iteration):
    return 0.1


def test_a_copy_holds_no_images(fashion):
    X, y = fashion
    few = len(pickle.dumps(quick(batch_size=50, validation_fraction=0.5).fit(X[:100], y[:100])))
    many = len(pickle.dumps(quick(batch_size=200, validation_fraction=0.5).fit(X, y)))
    assert many < few + 1000


LABELS = {
    "int": lambda y: y,
    "str": lambda y: np.where(y == 1, "trouser", "stövel"),
    "object": lambda y: np.where(y == 1, "trouser", "boot").astype(object),
    "bool": lambda y: y == 1,
    "float": lambda y: y.astype(float),
    "date": lambda y: np.where(y == 1, "2020-01-01", "2021-01-01").astype("datetime64[D]"),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("standardize", [True, False])
def test_safetensors_make_a_classifier_of_a_new_one(two_classes, tmp_path, kind, standardize):
    X, y = two_classes
    labels = LABELS[kind](y)
    clf = lenet(standardize=standardize, max_lr=0.01).fit(X, labels)
    clf.save_params(f_params=tmp_path / "model.safetensors", use_safetensors=True)
    loaded = lenet(standardize=standardize)
    loaded.load_params(f_params=tmp_path / "model.safetensors", use_safetensors=True)
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    assert_array_equal(loaded.predict(X), clf.predict(X))
    assert loaded.classes_.dtype == clf.classes_.dtype
    with pytest.raises(ValueError, match="shape"):
        loaded.predict(X[:, 1:])


def test_safetensors_remember_the_names_of_columns(two_classes, tmp_path):
    X, y = two_classes
    frame = pd.DataFrame(rows(X), columns=[f"pixel{i}" for i in range(784)])
    clf = quick().fit(frame, y)
    file = io.BytesIO()
    clf.save_params(f_params=file, use_safetensors=True)
    file.seek(0)
    loaded = quick()
    loaded.load_params(f_params=file, use_safetensors=True)
    assert_array_equal(loaded.feature_names_in_, clf.feature_names_in_)
    assert_array_equal(loaded.predict(frame), clf.predict(frame))


def test_a_loaded_classifier_learns_on(two_classes, tmp_path):
    X, y = two_classes
    lenet().fit(X, y).save_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # has nothing to say
        loaded = lenet()
        loaded.load_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
        results.append(bits(loaded.partial_fit(X, y), X))
        assert len(loaded.history_frame()) == 1
    assert results[0] == results[1]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x05\0\0\0\0\0\0\0{}   ", b"\xff" * 100])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="no file of CLRLeNetClassifier"):
        lenet().load_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)


def test_there_is_nothing_to_save_before_fit(tmp_path):
    with pytest.raises(NotFittedError):
        lenet().save_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
    assert list(tmp_path.iterdir()) == []


LOAD_AND_TELL = """
import hashlib, sys
import numpy as np
from skclr import CLRLeNetClassifier
def refuse(event, args):
    assert event != "pickle.find_class", "a pickle was read"
X = np.load(sys.argv[2])["X"]
clf = CLRLeNetClassifier()
sys.addaudithook(refuse)
clf.load_params(f_params=sys.argv[1], use_safetensors=True)
print(hashlib.sha256(clf.predict_proba(X).tobytes()).hexdigest(), clf.predict(X)[0])
"""


@pytest.mark.slow
def test_safetensors_predict_the_same_bits_in_a_fresh_process_without_a_pickle(fashion, tmp_path):
    X, y = fashion
    names = np.array([f"class{label}" for label in y])
    clf = lenet().fit(X, names)
    clf.save_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
    np.savez(tmp_path / "data.npz", X=X)
    told = in_a_fresh_process(LOAD_AND_TELL, tmp_path / "m.safetensors", tmp_path / "data.npz")
    assert told == [bits(clf, X), clf.predict(X)[0]]


# ---------------------------------------------------------------- anything at all


DTYPES = ["u1", "f4", "f8", "i8", "?", "i1", "u2", "u8", ">i4", ">f8", "f2", "g"]
WRONG_DTYPES = ["c16", "U3", "O", "M8[s]", "V4"]


@st.composite
def some_images(draw, wrong):
    if wrong and draw(st.booleans()):
        return draw(st.sampled_from([None, "images", 3, {}, [], [[1, 2], [3]], object()]))
    n = draw(st.integers(6, 12))
    side = st.integers(1, 9) | st.sampled_from([28, 32, 33, 40])
    height, width = draw(side), draw(side)
    shapes = [
        (n, height),
        (n, height * width),
        (n, height, width),
        (n, 1, height, width),
        (n, 3, height, width),
        (n, height, width, 1),
        (n, height, width, 3),
    ]
    if wrong:
        shapes += [(n, 2, height, width), (n, 1, 1, height, width), (n,), (), (0, height)]
        shapes += [(n, 0), (n, 0, width), (n, height, 0), (n, 3, 0, 0), (1, height)]
    dtype = draw(st.sampled_from(DTYPES + WRONG_DTYPES * wrong))
    values = np.random.RandomState(draw(st.integers(0, 5))).randint(
        0, 256, draw(st.sampled_from(shapes))
    )
    X = np.array(values).astype("i8" if dtype in ("M8[s]", "V4") else "u1").astype(dtype)
    if X.size and np.dtype(dtype).kind == "f":
        kind = draw(
            st.sampled_from(["plain", "zero", "huge", "tiny", "far"] + ["nan", "inf"] * wrong)
        )
        if kind in ("nan", "inf"):
            X.flat[draw(st.integers(0, X.size - 1))] = float(kind)
        elif kind == "huge":
            X *= np.finfo(X.dtype).max / 300
        elif kind == "tiny":
            X *= np.finfo(X.dtype).tiny
        elif kind == "far":
            X += X.dtype.type(3e4)
        elif kind == "zero":
            X[...] = 0
    form = draw(st.sampled_from(["array", "list", "frame", "tensor", "Fortran"]))
    if form == "tensor" and dtype in ("u1", "f4", "f8", "i8", "?", "f2"):
        return torch.from_numpy(X)
    if form == "frame" and X.ndim == 2:
        return pd.DataFrame(X)
    if form == "list":
        return X.tolist()
    return np.asfortranarray(X) if form == "Fortran" else X


@st.composite
def some_labels(draw, n, wrong):
    if wrong:
        n = max(0, n + draw(st.integers(-1, 1)))
    labels = np.arange(n) % draw(st.sampled_from([2, 2, 3] + [1, 20] * wrong))
    kinds = [
        labels,
        labels.astype(str),
        labels.astype(object),
        np.array([f"é{label}" for label in labels], dtype=object),
        labels > 0,
        labels.astype(float),
        labels.astype("u1"),
        labels.astype("M8[D]"),
        labels.tolist(),
        labels[:, None],
        pd.Series(labels.astype(str), index=np.arange(n)[::-1]),
        pd.Series(labels).astype("category"),
        torch.from_numpy(labels),
    ]
    if wrong:
        kinds += [
            labels.astype(bytes),
            labels * 0.37,
            labels + 1j,
            labels.astype(float) * np.nan,
            np.stack([labels, labels], axis=1),
            np.where(labels == 0, None, "a"),
            None,
            "labels",
        ]
    return draw(st.sampled_from(kinds))


GOOD_PARAMETERS = {
    "module": [Flat, LeNet5],
    "schedule": [*SCHEDULES, _tenth],
    "base_lr": [1e-3, 1e-8, 1e-300],
    "max_lr": [0.1, 0.01, 1, 1e10, 1e38, 1e300],
    "step_size": [1, 0.5, 2.5, 1e-9, 1e9],
    "gamma": [1, 0.9, 1e-9],
    "batch_size": [1, 4, 64],
    "max_batch_size": [64, 100, 4096, 10**20],
    "momentum": [0, 0.9, 0.999],
    "weight_decay": [0, 1e-4, 10, 1e30],
    "max_epochs": [1, 2, 3],
    "augmentation": [None, RandomShiftFlip(), torch.zeros_like],
    "standardize": [True, False],
    "validation_fraction": [None, 0.4, 0.5],
    "random_state": [0, None, 2**32 - 1],
    "warm_start": [True, False],
    "callbacks": [None, "disable", [], [CyclicLR()]],
    "device": ["cpu", None],
    "predict_nonlinearity": ["auto"],
    "optimizer__nesterov": [False],
    "callbacks__print_log": [None],
}
WRONG_PARAMETERS = {
    "module": [int, None, nn.Linear, nn.Flatten(), len],
    "schedule": ["", None, len, str, math.sin],
    "base_lr": [0, 1e9, math.nan, "a", None, [0.1]],
    "max_lr": [0, -1, math.inf, "auto!", None],
    "step_size": [0, math.nan, "1", None],
    "gamma": [0, 2, None],
    "batch_size": [0, 2.0, None, 10**20],
    "max_batch_size": [0, 1, "a"],
    "momentum": [1, None],
    "weight_decay": [-1, None],
    "max_epochs": [0, 1.5, "1", None],
    "augmentation": [len, str, "flip"],
    "standardize": [None],
    "validation_fraction": [0, 1, 0.001, "a"],
    "random_state": [-1, "a", 0.5],
    "warm_start": [None],
    "callbacks": ["a", [3], [CyclicLR(gamma="")]],
    "device": ["nowhere", "cpu:x", 3],
    "optimizer": [torch.optim.Adam, int, None, "SGD"],
    "criterion": [int, nn.CTCLoss, None],
    "predict_nonlinearity": ["a", 3],
    "optimizer__nesterov": ["yes", None],
    "module__activation": ["relu", int, nn.ReLU(), nn.ReLU],
    "callbacks__nothing": [None, 3],
}


@st.composite
def some_parameters(draw, wrong):
    good = {name: st.sampled_from(values) for name, values in GOOD_PARAMETERS.items()}
    params = draw(st.fixed_dictionaries({}, optional=good))
    if wrong:
        name = draw(st.sampled_from(sorted(WRONG_PARAMETERS)))
        params[name] = draw(st.sampled_from(WRONG_PARAMETERS[name]))
    return params


def answer(function, *args, **kwargs):
    """Return what a function returns, or its error if it is one that a user may get."""
    try:
        return function(*args, **kwargs)
    except (ValueError, TypeError, NotFittedError) as caught:
        error = caught
    assert len(str(error).split()) > 2, f"not a sentence: {error!r}"
    return error


def length(X):
    shape = getattr(X, "shape", None)
    if shape is not None:
        return shape[0] if len(shape) else 0
    return len(X) if hasattr(X, "__len__") else 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_anything_gives_a_fitted_model_or_an_error_with_a_sentence(data):
    wrong = data.draw(st.sampled_from([None, None, None, "params", "X", "y"]), "wrong")
    params = data.draw(some_parameters(wrong == "params"), "params")
    X = data.draw(some_images(wrong == "X"), "X")
    y = data.draw(some_labels(length(X), wrong == "y"), "y")
    clf = CLRLeNetClassifier(**params)
    before = _global_states()
    fitted = answer(clf.fit, X, y)
    after = _global_states()
    allowed = {"numpy"} if params.get("random_state") is None else set()
    assert {name for name in before if before[name] != after[name]} <= allowed
    if isinstance(fitted, Exception):
        answer(clf.predict, X)
        return

    assert fitted is clf
    n = length(X)
    proba = clf.predict_proba(X)
    assert proba.shape == (n, len(clf.classes_))
    assert np.isfinite(proba).all()
    assert_allclose(proba.sum(axis=1), 1, atol=1e-4)
    predicted = clf.predict(X)
    assert predicted.shape == (n,)
    assert np.isin(predicted, clf.classes_).all()
    other = answer(clf.predict, data.draw(some_images(True), "another X"))
    assert isinstance(other, (Exception, np.ndarray))
    again = answer(clf.partial_fit, X, y)
    assert again is clf or isinstance(again, Exception)
    assert_array_equal(pickle.loads(pickle.dumps(clf)).predict(X), clf.predict(X))
