"""torch's default dtype and default device, and networks in other dtypes than float32."""

import pickle

import numpy as np
import pytest
import torch
from classifiers import Flat, lenet, quick, weights
from numpy.testing import assert_allclose, assert_array_equal

from skclr import CLRLeNetClassifier, compare_schedules, lr_range_test
from skclr.augmentation import RandomShiftFlip


@pytest.fixture
def default_dtype():
    before = torch.get_default_dtype()
    yield torch.set_default_dtype
    torch.set_default_dtype(before)


@pytest.fixture
def default_device():
    before = torch.get_default_device()
    yield torch.set_default_device
    torch.set_default_device(before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("augmentation", [None, RandomShiftFlip()])
def test_a_network_learns_and_predicts_in_the_default_dtype(
    two_classes, default_dtype, dtype, augmentation
):
    X, y = two_classes
    default_dtype(dtype)
    clf = lenet(max_epochs=4, augmentation=augmentation).fit(X, y, X_val=X, y_val=y)
    assert clf.module_.conv1.weight.dtype == dtype
    probabilities = clf.predict_proba(X)
    assert clf.score(X, y) > 0.8

    default_dtype(torch.float32)
    assert_array_equal(clf.predict_proba(X), probabilities)
    assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), probabilities)
    assert clf.partial_fit(X, y).score(X, y) > 0.8
    assert clf.module_.conv1.weight.dtype == dtype


def test_a_network_of_the_default_dtype_goes_on_under_another(two_classes, default_dtype):
    X, y = two_classes
    clf = lenet(max_epochs=2).fit(X, y)
    expected = clf.predict_proba(X)
    default_dtype(torch.float64)
    assert_array_equal(clf.predict_proba(X), expected)
    assert clf.partial_fit(X, y).module_.conv1.weight.dtype == torch.float32


def test_training_in_float64_is_that_in_float32_with_more_digits(two_classes, default_dtype):
    X, y = two_classes
    start = {k: v.double() for k, v in lenet().fit(X, y).module_.state_dict().items()}

    class Started(type(lenet().fit(X, y).module_)):
        def reset_parameters(self):
            self.load_state_dict(start)

    in_float32 = weights(lenet(module=Started).fit(X, y))
    default_dtype(torch.float64)
    in_float64 = weights(lenet(module=Started).fit(X, y))
    assert in_float64.dtype == np.float64
    assert_allclose(in_float64, in_float32, atol=1e-3)


def test_a_network_that_is_itself_of_another_dtype_is_given_images_of_it(two_classes):
    class Double(Flat):
        def __init__(self, in_channels=1, n_classes=10):
            super().__init__(in_channels, n_classes)
            self.double()

    X, y = two_classes
    assert quick(module=Double).fit(X, y).predict_proba(X).dtype == np.float64


def test_a_fitted_network_may_be_converted(two_classes):
    X, y = two_classes
    clf = lenet(max_epochs=2).fit(X, y)
    expected = clf.predict_proba(X)
    clf.module_.double()
    assert_allclose(clf.predict_proba(X), expected, atol=1e-5)
    clf.module_.bfloat16()
    assert_allclose(clf.predict_proba(X), expected, atol=0.1)


def test_ranges_are_measured_in_the_default_dtype(fashion, default_dtype):
    default_dtype(torch.float64)
    X, y = fashion
    clf = lenet(base_lr="auto", max_lr="auto").fit(X, y)
    assert clf.base_lr_ < clf.max_lr_
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda X, y: lenet().fit(X, y),
        lambda X, y: lenet().partial_fit(X, y),
        lambda X, y: lr_range_test(lenet(), X, y),
        lambda X, y: compare_schedules({"one": lenet()}, X, y, X, y),
    ],
    ids=["fit", "partial_fit", "range test", "comparison"],
)
def test_a_default_device_without_values_is_refused_in_one_sentence(
    two_classes, default_device, call
):
    X, y = two_classes
    sentence = r"torch.set_default_device\('meta'\) is in effect, and tensors there have no values"
    with torch.device("meta"), pytest.raises(ValueError, match=sentence):
        call(X, y)
    default_device("meta")
    with pytest.raises(ValueError, match=sentence):
        call(X, y)


def test_a_device_without_values_is_refused_in_one_sentence(two_classes):
    with pytest.raises(ValueError, match=r"^device='meta': tensors there have no values"):
        CLRLeNetClassifier(device="meta").fit(*two_classes)


def test_the_default_device_changes_no_prediction(two_classes, default_device):
    X, y = two_classes
    clf = lenet().fit(X, y)
    expected = clf.predict_proba(X)
    default_device("meta")
    assert_array_equal(clf.predict_proba(X), expected)
    assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), expected)
    with pytest.raises(ValueError, match="no values"):
        clf.partial_fit(X, y)
    assert_array_equal(clf.predict_proba(X), expected)
