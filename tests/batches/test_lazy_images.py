import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from torch.utils.data import Dataset, Subset

from skclr import batches
from skclr.batches import ImageDataset, opened


class OneByOne(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.full((1, 2, 2), index, np.uint8), index % 2


NAMES = ["BatchIterator", "ImageDataset", "ImagePreparation", "_LazyImages", "_Rows", "_Samples"]


@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_finds_every_class_in_the_package_itself(name):
    known = getattr(batches, name)
    assert known.__module__ == "skclr.batches"
    assert pickle.loads(pickle.dumps(known)) is known
    assert pickle.loads(f"cskclr.batches\n{name}\n.".encode()) is known


@pytest.mark.parametrize(
    "dataset",
    [OneByOne(), Subset(ImageDataset(np.arange(16).reshape(4, 1, 2, 2)), [3, 1])],
    ids=["one by one", "rows of an array"],
)
def test_images_not_yet_read_can_be_pickled(dataset):
    images, _ = opened(dataset)
    again = pickle.loads(pickle.dumps(images))
    assert again.shape == images.shape
    assert_array_equal(again[:], images[:])
