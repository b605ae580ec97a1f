"""What scikit-learn promises its users about an estimator."""

import inspect
import math

import numpy as np
import pytest
import skorch
import torch
from classifiers import Flat, lenet
from sklearn.base import is_classifier
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from skclr import CLRLeNetClassifier, LeNet5
from skclr.augmentation import RandomShiftFlip
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


# ---------------------------------------------------------------- scikit-learn's own checks


class DoubleLeNet5(LeNet5):
    """LeNet-5 in double precision."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(in_channels=in_channels, n_classes=n_classes)
        self.double()


def expected_failures(estimator):
    name = "check_sample_weight_equivalence_on_dense_data"
    if estimator.augmentation is not None or estimator.validation_fraction is not None:
        return {name: "each copy of a sample is augmented, or held out, by itself"}
    if estimator.module is not DoubleLeNet5:
        return {name: "it compares seven digits, which single precision does not have"}
    return {}


@parametrize_with_checks(
    [
        CLRLeNetClassifier(),
        *(CLRLeNetClassifier(schedule=schedule) for schedule in SCHEDULES),
        CLRLeNetClassifier(validation_fraction=0.2),
        CLRLeNetClassifier(class_weight="balanced"),
        CLRLeNetClassifier(module=DoubleLeNet5),
        CLRLeNetClassifier(schedule="cosine", batch_schedule="doubling"),
        CLRLeNetClassifier(batch_schedule="noise"),
        # a flip would exchange the two features of scikit-learn's data, and the classes with them
        CLRLeNetClassifier(augmentation=RandomShiftFlip(flip=False)),
    ],
    expected_failed_checks=expected_failures,
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
    "schedule": ["sawtooth", "None", 1],
    "base_lr": [0, -1.0, math.inf, math.nan, "auto?", None],
    "max_lr": [0, -1.0, math.inf, math.nan, "auto?", None],
    "step_size": [0, -1, math.inf, math.nan, "2", None],
    "gamma": [0, 1.01, -0.5, math.nan, "1"],
    "cycle_factor": [0.9, -1, "2", None],
    "warmup": [-0.5, "1", None],
    "batch_size": [0, -1, 1.5, "64", None],
    "max_batch_size": [0, -1, 1.5, "64", None],
    "batch_schedule": ["tripling", "None", 64, [64, 128]],
    "momentum": [1, -0.1, math.nan, "0", None],
    "weight_decay": [-0.1, math.inf, math.nan, "0", None],
    "max_epochs": [0, -1, 1.5, "1", None],
    "augmentation": ["flip", 1],
    "image_size": [0, -1, 1.5, "32", None, [32, 32]],
    "standardize": [None, "yes", 2],
    "validation_fraction": [0, 1, -0.1, math.nan, "0.2", 5],
    "class_weight": ["balance", 1, [1, 2]],
    "random_state": ["0", -1, 0.5, np.random.default_rng(0)],
    "warm_start": [None, "yes", 2],
    "checkpoint": [1, b"file"],
    "checkpoint_every": [0, -1, math.inf, "1", None],
    "distributed": [None, "yes", 2],
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
        {"max_batch_size": 10**30, "batch_schedule": "noise"},
        {"batch_schedule": lambda epoch: 10**30},
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
        "schedule": None,
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
