"""Trainings that end early, and input that none begins with."""

import math
import pickle
import signal

import numpy as np
import pytest
import torch
import torch._inductor.config
from classifiers import NAMES, Spy, lenet, quick, weights
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from torch import nn

from skclr import DivergenceError

# ---------------------------------------------------------------- trainings that end early


class Interrupting:
    """An augmentation during which somebody presses Ctrl-C, or an error occurs."""

    def __init__(self, iteration, error=KeyboardInterrupt):
        self.left, self.error = iteration, error

    def __call__(self, images):
        self.left -= 1
        if self.left == 0 and self.error is KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
        if self.left == 0:
            raise self.error
        return images


def test_an_interrupt_is_passed_on_and_the_model_is_of_use(two_classes):
    X, y = two_classes
    clf = lenet(max_epochs=9, augmentation=Interrupting(12))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, NAMES[y])
    assert len(clf.history_frame("batch")) == 11
    assert clf.history_frame()["n_updates"].tolist() == [4, 4, 3]
    assert clf.score(X, NAMES[y]) > 0.5
    assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), clf.predict_proba(X))
    clf.partial_fit(X, NAMES[y])
    assert len(clf.history_frame()) == 3 + 9


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_training_that_goes_on_after_an_error_is_reproducible_too(two_classes, error):
    def interrupted_and_resumed():
        clf = lenet(max_epochs=2, augmentation=Interrupting(3, error))
        with pytest.raises(error):
            clf.fit(*two_classes)
        return weights(clf.partial_fit(*two_classes))

    torch.manual_seed(1)
    first = interrupted_and_resumed()
    torch.manual_seed(2)
    assert_array_equal(interrupted_and_resumed(), first)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_generators_and_threads_are_put_back_after_an_error(two_classes, error):
    torch.set_num_threads(2)
    try:
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
        with pytest.raises(error):
            lenet(augmentation=Interrupting(3, error)).fit(*two_classes)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert_array_equal(np.random.get_state()[1], numpy_state[1])
    finally:
        torch.set_num_threads(1)


def test_divergence_stops_training_at_that_batch_and_says_where(two_classes):
    X, y = two_classes
    losses = []

    class Late(nn.CrossEntropyLoss):
        def forward(self, y_pred, y_true):
            losses.append(super().forward(y_pred, y_true))
            return losses[-1] * (math.inf if len(losses) == 7 else 1)

    clf = lenet(criterion=Late, schedule=lambda t: 0.01 + 0.001 * t, max_epochs=5)
    with pytest.raises(DivergenceError, match="max_lr") as caught:
        clf.fit(X, y)
    error = caught.value
    assert len(losses) == 7
    assert (error.epoch, error.iteration) == (2, 6)
    assert error.lr == pytest.approx(0.016)
    for part in ("epoch 2", "iteration 6", "0.016", "range test"):
        assert part in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert isinstance(error, ValueError)


def test_a_rate_that_is_far_too_high_is_reported(fashion):
    X, y = fashion
    clf = lenet(max_lr=1e6, schedule="constant", module__activation=nn.ReLU, max_epochs=5)
    with pytest.raises(DivergenceError, match=r"learning rate 1e\+06"):
        clf.fit(X, y)


# ---------------------------------------------------------------- wrong input


def _nan(X):
    X = X / 255
    X[3, 4, 5] = np.nan
    return X


WRONG_PARAMETERS = [
    ({"base_lr": 0.2, "max_lr": 0.1}, r"base_lr.*0\.2.*max_lr=0\.1"),
    ({"base_lr": 0.1, "max_lr": 0.1}, "base_lr"),
    ({"base_lr": 0.2, "max_lr": 0.1, "schedule": "one_cycle"}, "base_lr"),
    ({"base_lr": 0.2, "max_lr": 0.1, "schedule": "lr_halving"}, "base_lr"),
    ({"base_lr": -0.1}, "base_lr"),
    ({"base_lr": math.nan}, "base_lr"),
    ({"base_lr": math.inf}, "base_lr"),
    ({"max_lr": -0.1}, "max_lr"),
    ({"max_lr": 0}, "max_lr"),
    ({"max_lr": math.nan}, "max_lr"),
    ({"max_lr": math.inf}, "max_lr"),
    ({"schedule": "sawtooth"}, "schedule.*triangular.*sawtooth"),
    ({"step_size": 0}, "step_size"),
    ({"step_size": -2}, "step_size"),
    ({"step_size": math.nan}, "step_size"),
    ({"batch_schedule": "tripling"}, "batch_schedule(?=.*doubling)(?=.*noise).*tripling"),
    ({"batch_schedule": lambda epoch: epoch}, "gave 0 as the batch size of epoch 0"),
    ({"batch_schedule": "noise", "schedule": "batch_doubling"}, "batch_schedule has to be None"),
    (
        {"schedule": "batch_doubling", "batch_size": 64, "max_batch_size": 32},
        "max_batch_size.*32.*64",
    ),
]


@pytest.mark.parametrize(("params", "message"), WRONG_PARAMETERS, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_wrong_parameters_are_named_before_training(two_classes, params, message, method):
    spy = Spy()
    clf = lenet(callbacks=[spy], **params)
    with pytest.raises(ValueError, match=message) as caught:
        getattr(clf, method)(*two_classes)
    assert spy.training_ == []
    assert "\n" not in str(caught.value)
    with pytest.raises(NotFittedError):
        clf.predict(two_classes[0])


WRONG_DATA = [
    (lambda X, y: (X[:0], y[:0]), "0 sample"),
    (lambda X, y: (np.zeros((60, 0)), y), "0 feature"),
    (lambda X, y: (np.zeros((60, 0, 5)), y), "0 feature|empty|shape"),
    (lambda X, y: (np.zeros((60, 1, 5, 0)), y), "0 feature|empty|shape"),
    (lambda X, y: (_nan(X), y), "NaN"),
    (lambda X, y: (np.where(X == 0, np.inf, X), y), "infinity"),
    (lambda X, y: (X, np.ones(60)), "1 class"),
    (lambda X, y: (X, y[:-1]), "inconsistent"),
    (lambda X, y: (X, None), "y"),
    (lambda X, y: (X, y + 0.5), "continuous"),
    (lambda X, y: (X, np.where(y == 1, np.nan, y)), "NaN"),
    (lambda X, y: (X, np.column_stack([y, y])), "1d|shape"),
    (lambda X, y: (X[:, 0, 0], y), r"1D|shape \(60,\)|2D"),
    (lambda X, y: (np.zeros((60, 2, 28, 28)), y), r"1 or 3 channels.*\(60, 2, 28, 28\)"),
    (lambda X, y: (np.zeros((60, 1, 1, 28, 28)), y), r"\(60, 1, 1, 28, 28\)"),
    (lambda X, y: (X + 1j, y), "[Cc]omplex"),
    (lambda X, y: (np.full((60, 4), "a"), y), "could not convert|numeric|dtype"),
    (lambda X, y: (np.full((60, 4, 4), "a"), y), "could not convert|numeric|dtype"),
    (lambda X, y: (None, y), "X|None|array"),
    (lambda X, y: (5, y), "array|5"),
]


@pytest.mark.parametrize(("make", "message"), WRONG_DATA)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_wrong_data_are_named_before_training(two_classes, make, message, method):
    spy = Spy()
    clf = lenet(callbacks=[spy])
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(*make(*two_classes))
    assert spy.training_ == []
    with pytest.raises(NotFittedError):
        clf.predict(two_classes[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X: X[:, 1:], r"\(1, 27, 28\).*\(1, 28, 28\)"),
        (lambda X: X.transpose(0, 2, 1)[:, :14].reshape(60, 14, 28), r"\(1, 14, 28\)"),
        (lambda X: X.reshape(60, 14, 56), r"\(1, 14, 56\).*\(1, 28, 28\)"),
        (lambda X: np.stack([X] * 3, axis=1), r"\(3, 28, 28\).*\(1, 28, 28\)"),
        (lambda X: X.reshape(60, -1)[:, 1:], "783 features.*784"),
        (_nan, "NaN"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[0, 0], "1D"),
        (lambda X: X[:, None, None], "shape"),
    ],
)
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_wrong_images_are_named_in_prediction(two_classes, make, message, method):
    X, y = two_classes
    clf = quick().fit(X, y)
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(make(X))


def test_images_for_rows_of_another_length_are_told_apart_from_padding(two_classes):
    X, y = two_classes
    clf = quick().fit(X.reshape(60, -1)[:, :780], y)  # padded to 28 x 28
    with pytest.raises(ValueError, match=r"784.*780|780.*784"):
        clf.predict(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
def test_prediction_needs_a_fit(two_classes, method):
    X, y = two_classes
    with pytest.raises(NotFittedError):
        getattr(quick(), method)(*((X, y) if method == "score" else (X,)))
    assert not hasattr(quick(), "classes_")
