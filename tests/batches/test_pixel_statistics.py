import numpy as np
import pytest
from inputs_for_batches import arrays
from numpy.testing import assert_allclose

from skclr.batches import mean_one, pixel_statistics


@pytest.mark.parametrize("kind", arrays())
def test_statistics_are_those_of_numpy(kind):
    array = arrays()[kind]
    mean, std = pixel_statistics(array)
    as_double = array.astype(np.float64)
    assert_allclose([mean, std], [[as_double.mean()], [as_double.std()]], rtol=1e-12)


@pytest.mark.parametrize("indices", [None, np.array([4, 0, 19]), np.arange(3)])
def test_statistics_are_taken_by_channel_over_the_samples_that_count(indices):
    images = np.random.RandomState(0).randint(0, 256, (20, 3, 7, 5)).astype(np.uint8) * np.array(
        [1, 2, 3]
    ).reshape(3, 1, 1)
    mean, std = pixel_statistics(images, indices)
    used = images if indices is None else images[indices]
    assert_allclose(mean, used.mean(axis=(0, 2, 3)))
    assert_allclose(std, used.std(axis=(0, 2, 3)))


def test_statistics_keep_their_digits_far_from_zero():
    images = 1e9 + np.random.RandomState(0).rand(5000, 1, 28, 28)
    _, std = pixel_statistics(images)
    assert_allclose(std, (images - 1e9).std(), rtol=1e-6)


@pytest.mark.parametrize("value", [0, 7, 1e9, 0.1])
def test_the_standard_deviation_of_pixels_that_are_alike_is_given_as_one(value):
    mean, std = pixel_statistics(np.full((50, 1, 28, 28), value))
    assert_allclose(mean, value)
    assert std == 1


def test_statistics_of_a_memory_map_are_read_in_pieces(tmp_path, monkeypatch):
    whole = np.random.RandomState(0).randint(0, 256, (6000, 1, 28, 28)).astype(np.uint8)
    np.save(tmp_path / "images.npy", whole)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    read = []
    original = np.memmap.__getitem__

    def watched(self, index):
        part = original(self, index)
        read.append(part.size)
        return part

    monkeypatch.setattr(np.memmap, "__getitem__", watched)
    mean, std = pixel_statistics(mapped)
    assert max(read) < whole.size / 2
    assert_allclose([mean, std], [[whole.mean()], [whole.std()]], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("indices", [None, np.array([4, 0, 19, 7])])
def test_a_weight_counts_an_image_so_many_times(dtype, indices):
    images = np.random.RandomState(0).randint(0, 256, (20, 3, 7, 5)).astype(dtype)
    counts = np.arange(1, 21)
    used = np.arange(20) if indices is None else indices
    weights = mean_one(counts, indices)
    copies = images[used].repeat(counts[used], axis=0)
    assert_allclose(pixel_statistics(images, indices, weights), pixel_statistics(copies))


@pytest.mark.parametrize("value", [0, 7, 1e9, 0.1])
def test_pixels_that_are_alike_are_so_with_weights_too(value):
    weights = mean_one(np.random.RandomState(0).uniform(0, 9, 3000), None)
    mean, std = pixel_statistics(np.full((3000, 1, 8, 8), value), None, weights)
    assert_allclose(mean, value)
    assert std == 1
