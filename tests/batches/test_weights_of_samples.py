import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.class_weight import compute_class_weight
from torch.utils.data import DataLoader, Subset

from skclr.batches import BatchIterator, ImageDataset, mean_one, weights_in, weights_of_classes

WEIGHTS = np.arange(1.0, 8)


@pytest.fixture
def dataset():
    images = np.arange(7, dtype=np.uint8).repeat(4).reshape(7, 1, 2, 2)
    return ImageDataset(images, np.arange(7), weights=WEIGHTS)


@pytest.mark.parametrize("iterator", [BatchIterator, DataLoader])
def test_weights_come_third_in_a_batch(dataset, iterator):
    batches = list(iterator(Subset(dataset, [6, 2, 0]), batch_size=2))
    assert [len(batch) for batch in batches] == [3, 3]
    images, targets, weights = batches[0]
    assert images.shape == (2, 1, 2, 2)
    assert_array_equal(targets, [6, 2])
    assert_array_equal(weights, [7, 3])
    assert weights.dtype == torch.float64


def test_weights_of_a_part_of_a_part_are_found(dataset):
    assert_array_equal(weights_in(dataset), WEIGHTS)
    assert_array_equal(weights_in(Subset(Subset(dataset, [6, 2, 0]), [2, 0])), [1, 7])
    assert weights_in(Subset(ImageDataset(dataset.images), [0])) is None


def test_the_mean_over_what_is_used_is_one():
    assert_allclose(mean_one(WEIGHTS, None), WEIGHTS / 4)
    assert_allclose(mean_one(WEIGHTS, np.array([1, 3])), [0, 2 / 3, 0, 4 / 3, 0, 0, 0])
    assert mean_one(np.array([2.0, 0, 2, 5]), np.array([0, 2])) is None
    assert mean_one(None, np.array([0, 2])) is None


def test_weights_of_any_size_keep_a_finite_mean_and_none_is_lost():
    found = mean_one(np.array([1e308, 1e308, 1e-308, 1e300]), None)
    assert_allclose(found.mean(), 1)
    assert (found > 0).all()


@pytest.mark.parametrize("sample_weight", [None, np.array([1.0, 2, 0, 3, 1])])
def test_balanced_weights_are_those_of_scikit_learn(sample_weight):
    targets = np.array([0, 0, 1, 1, 2])
    found = weights_of_classes("balanced", np.array(["a", "b", "c"]), targets, sample_weight)
    counts = np.ones(5, int) if sample_weight is None else sample_weight.astype(int)
    copies = targets.repeat(counts)
    assert_allclose(found, compute_class_weight("balanced", classes=np.arange(3), y=copies))


def test_a_class_that_does_not_occur_takes_nothing_from_the_others():
    found = weights_of_classes("balanced", np.arange(4), np.array([0, 0, 0, 2]), None)
    assert_allclose(found[[0, 2]], [4 / (2 * 3), 4 / (2 * 1)])
