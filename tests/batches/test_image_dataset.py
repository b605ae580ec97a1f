import numpy as np
import pytest
import torch
from inputs_for_batches import N, arrays
from numpy.testing import assert_array_equal

from skclr.batches import BatchIterator, ImageDataset


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", arrays())
@pytest.mark.filterwarnings("error")
def test_pixels_of_every_array_arrive_as_they_are(kind, shuffle):
    array = arrays()[kind]
    kept = array.copy()
    iterator = BatchIterator(ImageDataset(array, np.arange(N)), batch_size=5, shuffle=shuffle)
    for images, targets in iterator:
        assert isinstance(images, torch.Tensor)
        expected = array[targets.numpy()]
        assert images.shape == expected.shape
        assert_array_equal(images.double().numpy(), expected.astype(np.float64))
    assert_array_equal(array, kept)


@pytest.mark.parametrize("kind", arrays())
@pytest.mark.filterwarnings("error")
def test_single_samples_come_as_in_any_data_set(kind):
    array = arrays()[kind]
    dataset = ImageDataset(array, np.arange(N) * 2)
    image, target = dataset[3]
    assert image.shape == array.shape[1:]
    assert_array_equal(image.double().numpy(), array[3].astype(np.float64))
    assert target == 6
    assert len(dataset) == N


def test_memory_maps_stay_on_disk_but_for_the_batch(tmp_path, monkeypatch):
    whole = np.random.RandomState(0).randint(0, 256, (N, 1, 28, 28)).astype(np.uint8)
    np.save(tmp_path / "images.npy", whole)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    read = []
    original = np.memmap.__getitem__

    def watched(self, index):
        part = original(self, index)
        read.append(len(part))
        return part

    monkeypatch.setattr(np.memmap, "__getitem__", watched)
    dataset = ImageDataset(mapped, np.arange(N))
    assert isinstance(dataset.images, np.memmap)
    for shuffle in (False, True):
        for images, targets in BatchIterator(dataset, batch_size=5, shuffle=shuffle):
            assert_array_equal(images.numpy(), whole[targets.numpy()])
    assert max(read) == 5
