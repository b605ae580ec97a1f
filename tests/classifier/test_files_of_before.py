"""Pickles and files that version 0.1.0 wrote; data_of_before/README.txt says with which calls."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from classifiers import in_a_fresh_process
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.utils.fixes import parse_version
from torch import nn

from skclr import (
    CLRLeNetClassifier,
    GradientNoiseScale,
    LRRangeResult,
    ScheduleComparison,
    compare_schedules,
)
from skclr.augmentation import RandomShiftFlip

pytestmark = pytest.mark.skipif(
    parse_version(np.__version__) < parse_version("2.0")
    or parse_version(pd.__version__) < parse_version("3.0"),
    reason="pickles of NumPy 2 and pandas 3 open in these and newer ones",
)

FOLDER = Path(__file__).parent / "data_of_before"
TRAINED = [
    "exp_range",
    "constant",
    "batch_doubling",
    "measured_range",
    "named_columns",
    "callbacks",
]
PREDICTING = [*TRAINED, "loaded"]
DISPLAYS = [
    "LRRangeDisplay", "ScheduleDisplay", "HistoryDisplay", "BatchSizeDisplay", "ComparisonDisplay",
]  # fmt: skip


def unpickled(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return pickle.loads((FOLDER / f"{name}.pickle").read_bytes())


def with_batches_of_before(clf):
    """Let the last batch of an epoch be smaller than the others, as it was in 0.1.0."""
    return clf.set_params(iterator_train__even=False)


def copied(clf):
    return pickle.loads(pickle.dumps(clf))


def probabilities(name):
    with np.load(FOLDER / "probabilities.npz") as kept:
        return kept[name]


def data_of(name):
    X, y = load_digits(return_X_y=True)
    X, y = X[y < 3][:60], y[y < 3][:60]
    if name not in ("named_columns", "loaded"):
        return X.reshape(-1, 8, 8), y
    columns = pd.DataFrame(X.astype(np.uint8), columns=[f"pixel_{i}" for i in range(64)])
    return columns, np.array(["zero", "one", "two"])[y]


def assert_same_history(actual, name):
    expected = pd.read_csv(FOLDER / f"{name}.csv")
    pd.testing.assert_frame_equal(actual, expected, rtol=1e-12, check_dtype=False)


def test_pickles_open_where_nothing_else_has_been_imported():
    code = (
        "import pathlib, pickle, sys, warnings\n"
        "warnings.simplefilter('error', UserWarning)\n"
        "for path in sys.argv[1:]:\n"
        "    print(type(pickle.loads(pathlib.Path(path).read_bytes())).__name__)\n"
    )
    paths = sorted(FOLDER.glob("*.pickle"))
    assert len(paths) == 11
    expected = [type(unpickled(path.stem)).__name__ for path in paths]
    assert in_a_fresh_process(code, *paths) == expected


@pytest.mark.parametrize("name", PREDICTING)
@pytest.mark.parametrize("again", [lambda clf: clf, copied], ids=["opened", "pickled again"])
def test_it_predicts_what_it_predicted(name, again):
    X, y = data_of(name)
    clf = again(unpickled(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert_allclose(clf.predict_proba(X), probabilities(name), atol=1e-6)
    assert_array_equal(clf.classes_, np.unique(y))
    assert_array_equal(clf.predict(X), np.unique(y)[probabilities(name).argmax(1)])


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("again", [lambda clf: clf, copied], ids=["opened", "pickled again"])
def test_it_keeps_its_history(name, again):
    assert_same_history(again(unpickled(name)).history_frame(), name)


@pytest.mark.parametrize("name", PREDICTING)
@pytest.mark.parametrize("again", [lambda clf: clf, copied], ids=["opened", "pickled again"])
def test_its_training_goes_on_as_it_would_have(name, again):
    X, y = data_of(name)
    clf = with_batches_of_before(again(unpickled(name)))
    n_epochs = len(clf.history_)
    clf.partial_fit(X, y)
    assert_allclose(clf.predict_proba(X), probabilities(f"{name}_continued"), atol=1e-5)
    assert len(clf.history_) == n_epochs + clf.max_epochs
    assert_array_equal(copied(clf).predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize("name", [*PREDICTING, "unfitted"])
@pytest.mark.parametrize("again", [lambda clf: clf, copied], ids=["opened", "pickled again"])
@pytest.mark.filterwarnings("ignore::skclr.exceptions.RangeTestWarning")
def test_it_can_be_fitted_anew(name, again):
    X, y = data_of(name)
    clf = with_batches_of_before(again(unpickled(name))).fit(X, y)
    if name != "measured_range":  # sweeps of today take whole batches only
        assert_allclose(clf.predict_proba(X), probabilities(f"{name}_refitted"), atol=1e-5)
    assert clf.score(X, y) > 0.9
    assert_array_equal(copied(clf).predict_proba(X), clf.predict_proba(X))


def test_it_keeps_its_parameters_and_what_it_has_seen():
    clf = unpickled("exp_range")
    assert (clf.schedule, clf.validation_fraction, clf.batch_size) == ("exp_range", 0.2, 8)
    assert (clf.base_lr_, clf.max_lr_) == (0.001, 0.1)
    assert (clf.n_features_in_, clf.image_shape_) == (64, (1, 8, 8))
    assert clf.pixel_mean_.shape == clf.pixel_std_.shape == (1,)
    named = unpickled("named_columns")
    assert_array_equal(named.feature_names_in_, [f"pixel_{i}" for i in range(64)])
    assert unpickled("measured_range").pixel_mean_ is None


def test_one_that_was_not_fitted_still_is_not():
    clf = unpickled("unfitted")
    assert clf.max_lr == 0.05
    with pytest.raises(NotFittedError):
        clf.predict(data_of("unfitted")[0])


def test_a_measured_range_is_kept():
    clf, result = unpickled("measured_range"), unpickled("range_result")
    assert isinstance(result, LRRangeResult)
    assert (clf.base_lr_, clf.max_lr_) == (result.base_lr, result.max_lr)
    assert_array_equal(clf.lr_range_.losses, result.losses)
    assert len(result.to_frame()) == result.losses.size


def test_a_file_of_safetensors_makes_a_classifier():
    X, _ = data_of("named_columns")
    module = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 3))
    clf = CLRLeNetClassifier(module, random_state=0)
    clf.load_params(f_params=FOLDER / "named_columns.safetensors", use_safetensors=True)
    assert_allclose(clf.predict_proba(X), probabilities("named_columns"), atol=1e-6)
    assert list(clf.classes_) == ["one", "two", "zero"]
    assert_array_equal(clf.feature_names_in_, X.columns)


def test_a_comparison_is_the_one_in_its_store():
    comparison = unpickled("comparison")
    stored = ScheduleComparison.from_csv(FOLDER / "store.csv")
    pd.testing.assert_frame_equal(comparison.runs, stored.runs)
    pd.testing.assert_frame_equal(comparison.history, stored.history)
    pd.testing.assert_frame_equal(comparison.summary, stored.summary)


def test_a_comparison_goes_on_from_its_store_and_trains_what_is_missing_alone(tmp_path):
    for file in FOLDER.glob("store*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    X, y = data_of("constant")
    noise = ("noise", GradientNoiseScale())
    candidates = {
        "halving": CLRLeNetClassifier(
            schedule="lr_halving", max_epochs=1, batch_size=16, callbacks=[noise]
        ),
        "doubling": CLRLeNetClassifier(
            schedule="batch_doubling",
            max_lr=0.01,
            max_epochs=1,
            batch_size=16,
            augmentation=RandomShiftFlip(),
        ),
    }
    comparison = compare_schedules(
        candidates, X[:40], y[:40], X[40:], y[40:], seeds=3, store=tmp_path / "store.csv"
    )
    old = comparison.runs[comparison.runs["seed"] < 2]  # its seconds too: they were not trained
    pd.testing.assert_frame_equal(old, ScheduleComparison.from_csv(FOLDER / "store.csv").runs)
    assert list(comparison.runs["seed"]) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_display_is_drawn_again(name):
    display = unpickled("displays")[name]
    assert type(display).__name__ == name
    drawn = display.plot()
    axes = np.atleast_1d(drawn.axes_ if hasattr(drawn, "axes_") else drawn.ax_)
    assert all(ax.has_data() for ax in axes)
