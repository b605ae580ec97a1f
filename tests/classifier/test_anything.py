"""Anything gives a fitted model or an error with a sentence."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from classifiers import Flat, global_states
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from torch import nn

from skclr import CLRLeNetClassifier, LeNet5
from skclr.augmentation import RandomShiftFlip
from skclr.callbacks import CyclicLR

SCHEDULES = [
    "constant", "triangular", "triangular2", "exp_range", "one_cycle", "lr_halving", "cosine",
    "cosine_restarts",
    "batch_doubling",
]  # fmt: skip


def _tenth(iteration):
    return 0.1


def quick(**params):
    return CLRLeNetClassifier(
        **({"module": Flat, "max_epochs": 2, "max_lr": 0.01, "random_state": 0} | params)
    )


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
    before = global_states()
    fitted = answer(clf.fit, X, y)
    after = global_states()
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
