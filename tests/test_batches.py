import numpy as np
import pytest
import skorch.dataset
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, Subset, TensorDataset
from torchvision.transforms.v2.functional import pad, resize

from skclr.batches import BatchIterator, ImageDataset, ImagePreparation, pixel_statistics

N = 23


def _images():
    return np.random.RandomState(0).randint(0, 256, (N, 1, 5, 4)).astype(np.uint8)


def _datasets():
    images, targets = _images(), np.arange(N) % 3
    tensors = torch.from_numpy(images), torch.from_numpy(targets)
    return {
        "ImageDataset": ImageDataset(images, targets),
        "ImageDataset without targets": ImageDataset(images),
        "ImageDataset of rows": ImageDataset(images.reshape(N, -1), targets),
        "skorch Dataset": skorch.dataset.Dataset(images, targets),
        "skorch Dataset of tensors": skorch.dataset.Dataset(*tensors),
        "skorch Dataset without y": skorch.dataset.Dataset(images),
        "TensorDataset": TensorDataset(*tensors),
        "Subset": Subset(TensorDataset(*tensors), [5, 3, 9, 0, 22, 3, 7]),
        "Subset of images": Subset(ImageDataset(images, targets), np.arange(20, 3, -2)),
        "Subset of a skorch Dataset": Subset(skorch.dataset.Dataset(images, targets), range(3, 15)),
        "Subset of a Subset": Subset(Subset(TensorDataset(*tensors), range(22, 2, -2)), [4, 0, 8]),
        "Subset by a tensor": Subset(TensorDataset(*tensors), torch.tensor([4, 0, 8])),
        "empty": ImageDataset(images[:0], targets[:0]),
    }


def assert_same_batches(actual, expected):
    actual, expected = list(actual), list(expected)
    assert len(actual) == len(expected)
    for own, stock in zip(actual, expected, strict=True):
        assert len(own) == len(stock) == 2
        for own_part, stock_part in zip(own, stock, strict=True):
            assert own_part.dtype == stock_part.dtype
            assert_array_equal(own_part.numpy(), stock_part.numpy())


# ---------------------------------------------------------------- BatchIterator


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 7, 23, 100])
@pytest.mark.parametrize("name", _datasets())
def test_batches_are_those_of_the_data_loader(name, batch_size, drop_last):
    dataset = _datasets()[name]
    params = {"batch_size": batch_size, "drop_last": drop_last}
    own = BatchIterator(dataset, **params)
    stock = DataLoader(dataset, **params)
    assert_same_batches(own, stock)
    assert len(own) == len(stock)


@pytest.mark.parametrize("name", _datasets())
def test_a_generator_determines_the_order(name):
    dataset = _datasets()[name]
    if len(dataset) == 0:
        assert list(BatchIterator(dataset, shuffle=True)) == []
        return

    def epochs(seed):
        iterator = BatchIterator(
            dataset, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(seed)
        )
        return [torch.cat([x.flatten(1) for x, _ in iterator]).numpy() for _ in range(2)]

    state = torch.get_rng_state()
    first, second = epochs(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert_array_equal([first, second], epochs(0))
    assert not np.array_equal(first, second)
    rows = torch.cat([x.flatten(1) for x, _ in BatchIterator(dataset)]).numpy()
    for epoch in (first, second):  # every sample once, in another order
        assert not np.array_equal(epoch, rows)
        assert_array_equal(epoch[np.lexsort(epoch.T)], rows[np.lexsort(rows.T)])


def test_the_order_without_a_generator_is_drawn_from_torchs_global_one():
    dataset = _datasets()["ImageDataset"]
    iterator = BatchIterator(dataset, batch_size=4, shuffle=True)
    torch.manual_seed(0)
    first = list(iterator)
    torch.manual_seed(0)
    assert_same_batches(iterator, first)
    torch.manual_seed(0)
    order = torch.randperm(N)
    assert_array_equal(np.concatenate([y for _, y in first]), (np.arange(N) % 3)[order])


def test_samples_and_targets_stay_together_when_shuffled():
    images = np.arange(N, dtype=np.float32)[:, None]
    for x, y in BatchIterator(ImageDataset(images, np.arange(N)), 5, shuffle=True):
        assert_array_equal(x[:, 0], y)


def test_an_order_drawn_by_the_data_loader_covers_the_same_samples():
    dataset = _datasets()["TensorDataset"]
    sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(0))
    stock = torch.cat([x for x, _ in DataLoader(dataset, 4, sampler=sampler)])
    own = torch.cat([x for x, _ in BatchIterator(dataset, 4, shuffle=True)])
    assert_array_equal(np.sort(own.numpy(), axis=0), np.sort(stock.numpy(), axis=0))


class Counting(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index, 0


@pytest.mark.parametrize("dataset", [Counting(), Subset(Counting(), [0, 1]), [1, 2, 3]])
def test_a_data_set_that_cannot_be_indexed_by_a_batch_is_refused(dataset):
    with pytest.raises(TypeError, match=r"Counting|list"):
        BatchIterator(dataset)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_is_at_least_one(batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        BatchIterator(_datasets()["TensorDataset"], batch_size=batch_size)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_plain_skorch_net_learns_the_same_with_either_iterator(table, as_tensor):
    X, y = table
    X, y = (torch.from_numpy(X), torch.from_numpy(y)) if as_tensor else (X, y)
    nets = []
    for iterator in (BatchIterator, DataLoader):
        torch.manual_seed(0)
        nets.append(
            NeuralNetClassifier(
                nn.Linear,
                module__in_features=4,
                module__out_features=2,
                criterion=nn.CrossEntropyLoss,
                iterator_train=iterator,
                iterator_valid=iterator,
                batch_size=7,
                verbose=0,
                max_epochs=3,
            ).fit(X, y)
        )
    own, stock = nets
    assert_array_equal(own.module_.weight.detach(), stock.module_.weight.detach())
    assert own.history[:, "valid_loss"] == stock.history[:, "valid_loss"]


# ---------------------------------------------------------------- arrays of every kind


def _arrays():
    whole = np.random.RandomState(0).randint(0, 200, (N, 1, 6, 4))
    read_only = whole.astype(np.uint8)
    read_only.flags.writeable = False
    return {
        "read-only": read_only,
        "Fortran order": np.asfortranarray(whole.astype(np.float32)),
        "negative strides": whole.astype(np.int16)[::-1, :, ::-1, ::-1],
        "every second": np.repeat(whole, 2, axis=3).astype(np.uint8)[..., ::2],
        "channels last": np.moveaxis(np.moveaxis(whole, 1, 3).copy().astype(np.uint8), 3, 1),
        "broadcast": np.broadcast_to(whole[:1].astype(np.uint8), whole.shape),
        "big-endian int": whole.astype(">i4"),
        "big-endian float": whole.astype(">f8"),
        "bool": whole > 100,
        "int8": (whole - 100).astype(np.int8),
        "uint16": whole.astype(np.uint16) * 300,
        "uint32": whole.astype(np.uint32) * 20_000_000,
        "uint64": whole.astype(np.uint64),
        "float16": whole.astype(np.float16),
        "longdouble": whole.astype(np.longdouble),
        "rows": whole.reshape(N, -1),
    }


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", _arrays())
@pytest.mark.filterwarnings("error")
def test_pixels_of_every_array_arrive_as_they_are(kind, shuffle):
    array = _arrays()[kind]
    kept = array.copy()
    iterator = BatchIterator(ImageDataset(array, np.arange(N)), batch_size=5, shuffle=shuffle)
    for images, targets in iterator:
        assert isinstance(images, torch.Tensor)
        expected = array[targets.numpy()]
        assert images.shape == expected.shape
        assert_array_equal(images.double().numpy(), expected.astype(np.float64))
    assert_array_equal(array, kept)


@pytest.mark.parametrize("kind", _arrays())
@pytest.mark.filterwarnings("error")
def test_single_samples_come_as_in_any_data_set(kind):
    array = _arrays()[kind]
    dataset = ImageDataset(array, np.arange(N) * 2)
    image, target = dataset[3]
    assert image.shape == array.shape[1:]
    assert_array_equal(image.double().numpy(), array[3].astype(np.float64))
    assert target == 6
    assert len(dataset) == N


@pytest.mark.parametrize("kind", _arrays())
def test_every_array_is_prepared_to_the_same_float_images(kind):
    array = _arrays()[kind]
    prepare = ImagePreparation((1, 6, 4), [3.5], [7.25])
    images, _ = ImageDataset(array)[np.arange(N)]
    as_double = torch.from_numpy(array.astype(np.float64))
    assert prepare(images).dtype == torch.float32
    assert_allclose(prepare(images), prepare(as_double), rtol=1e-5, atol=1e-5)


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


# ---------------------------------------------------------------- ImagePreparation


def _random(shape, dtype=np.uint8, n=3):
    images = np.random.RandomState(0).randint(0, 256, (n, *shape))
    return torch.from_numpy(images.astype(dtype))


def test_images_of_28_x_28_are_padded_by_two_zeros_all_around():
    images = _random((1, 28, 28))
    prepared = ImagePreparation((1, 28, 28))(images)
    assert_array_equal(prepared, pad(images, [2, 2, 2, 2]).float())


def test_digits_of_8_x_8_are_enlarged_four_times():
    images = _random((1, 8, 8))
    prepared = ImagePreparation((1, 8, 8))(images)
    assert_array_equal(prepared, np.kron(images.numpy(), np.ones((4, 4))))


@pytest.mark.parametrize(
    ("shape", "factor"),
    [
        ((1, 1), 32),
        ((2, 2), 16),
        ((3, 3), 10),
        ((5, 7), 4),
        ((10, 3), 3),
        ((16, 16), 2),
        ((16, 9), 2),
        ((17, 17), 1),
        ((1, 32), 1),
        ((31, 30), 1),
        ((32, 32), 1),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_are_enlarged_by_the_largest_whole_factor_and_centred(shape, factor, channels):
    images = _random((channels, *shape))
    prepared = ImagePreparation((channels, *shape))(images).numpy()
    assert prepared.shape == (3, channels, 32, 32)

    enlarged = np.kron(images.numpy(), np.ones((factor, factor)))
    height, width = enlarged.shape[2:]
    assert 32 - factor * max(shape) < max(shape)
    top, left = (32 - height) // 2, (32 - width) // 2
    assert_array_equal(prepared[:, :, top : top + height, left : left + width], enlarged)
    assert prepared.sum() == enlarged.sum()  # and zeros around


@pytest.mark.parametrize("shape", [(33, 33), (64, 64), (40, 64), (100, 37), (32, 64), (5, 200)])
@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_are_resized_with_antialiasing_in_proportion(shape, channels):
    images = _random((channels, *shape), np.float32)
    prepared = ImagePreparation((channels, *shape))(images)
    assert prepared.shape == (3, channels, 32, 32)

    height, width = (max(1, round(side * 32 / max(shape))) for side in shape)
    top, left = (32 - height) // 2, (32 - width) // 2
    middle = prepared[:, :, top : top + height, left : left + width]
    assert_allclose(middle, resize(images, [height, width], antialias=True), atol=1e-3)
    assert prepared.sum() == pytest.approx(middle.sum().item(), rel=1e-5)

    by_pillow = Image.fromarray(images[0, 0].numpy()).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    assert_allclose(middle[0, 0], np.asarray(by_pillow), atol=0.01)


def test_a_large_image_is_not_merely_sampled():
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 255
    assert_allclose(ImagePreparation((1, 64, 64))(stripes), 127.5, atol=40)


@pytest.mark.parametrize(("length", "side"), [(1, 1), (2, 2), (4, 2), (5, 3), (783, 28), (785, 29)])
def test_rows_are_padded_with_zeros_to_the_next_square(length, side):
    rows = _random((length,))
    prepared = ImagePreparation((1, side, side))(rows)
    square = F.pad(rows, (0, side**2 - length)).view(-1, 1, side, side)
    assert_array_equal(prepared, ImagePreparation((1, side, side))(square))
    assert prepared.sum() == rows.sum() * (32 // side) ** 2


def test_each_channel_is_standardized_by_its_own_statistics():
    images = _random((3, 32, 32))
    mean, std = [10.0, 100.0, 200.0], [1.0, 50.0, 255.0]
    prepared = ImagePreparation((3, 32, 32), mean, std)(images)
    expected = (images.numpy() - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    assert_allclose(prepared, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (20, 11), (48, 20)])
def test_padding_is_zero_before_it_is_standardized(shape):
    images = _random((1, *shape), np.float32)
    raw = ImagePreparation((1, *shape))(images)
    prepared = ImagePreparation((1, *shape), [77.0], [31.0])(images)
    assert_allclose(prepared, (raw - 77) / 31, atol=1e-5)


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (50, 40), (32, 32)])
def test_pixels_from_0_to_255_and_from_0_to_1_are_the_same_when_standardized(shape):
    images = _random((1, *shape), n=20)
    unit = images.numpy() / 255
    expected = ImagePreparation((1, *shape), *pixel_statistics(images.numpy()))(images)
    for dtype in (np.float32, np.float64):
        scaled = unit.astype(dtype)
        prepare = ImagePreparation((1, *shape), *pixel_statistics(scaled))
        assert_allclose(prepare(torch.from_numpy(scaled)), expected, atol=1e-5)


@pytest.mark.parametrize("offset", [10**9, -(10**9), 2**40])
@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize("shape", [(32, 32), (16, 16), (64, 64)])
def test_pixels_far_from_zero_keep_their_digits(shape, dtype, offset):
    images = np.random.RandomState(0).randint(0, 256, (20, 1, *shape)).astype(dtype)
    far = images + dtype(offset)
    near = ImagePreparation((1, *shape), *pixel_statistics(images))(torch.from_numpy(images))
    prepare = ImagePreparation((1, *shape), *pixel_statistics(far))
    assert_allclose(prepare(torch.from_numpy(far)), near, atol=1e-4)


def test_int32_beyond_the_digits_of_float32_is_kept():
    images = torch.tensor([2**30, 2**30 + 1], dtype=torch.int32).repeat(512).view(1, 1, 32, 32)
    prepared = ImagePreparation((1, 32, 32), [2.0**30], [1.0])(images)
    assert_array_equal(prepared.flatten()[:2], [0, 1])


@pytest.mark.parametrize("shape", [(32, 32), (28, 28), (8, 8), (40, 40)])
@pytest.mark.parametrize("statistics", [(None, None), ([3.0], [2.0])])
def test_prepared_images_are_a_copy(shape, statistics):
    images = _random((1, *shape), np.float32)
    kept = images.clone()
    ImagePreparation((1, *shape), *statistics)(images).zero_()
    assert torch.equal(images, kept)


def test_an_image_does_not_depend_on_its_batch():
    images = _random((1, 45, 30), n=9)
    prepare = ImagePreparation((1, 45, 30), [128.0], [64.0])
    assert_allclose(prepare(images)[4:5], prepare(images[4:5]), atol=1e-6)


# ---------------------------------------------------------------- pixel_statistics


@pytest.mark.parametrize("kind", _arrays())
def test_statistics_are_those_of_numpy(kind):
    array = _arrays()[kind]
    mean, std = pixel_statistics(array)
    as_double = array.astype(np.float64)
    assert_allclose([mean, std], [[as_double.mean()], [as_double.std()]], rtol=1e-12)


@pytest.mark.parametrize("indices", [None, np.array([4, 0, 19]), np.arange(3)])
def test_statistics_are_taken_by_channel_over_the_samples_that_count(indices):
    images = _random((3, 7, 5), n=20).numpy() * np.array([1, 2, 3]).reshape(3, 1, 1)
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
