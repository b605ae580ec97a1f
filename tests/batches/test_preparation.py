import numpy as np
import pytest
import torch
import torch.nn.functional as F
from inputs_for_batches import N, arrays
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torchvision.transforms.v2.functional import pad, resize

from skclr.batches import ImageDataset, ImagePreparation, pixel_statistics


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


@pytest.mark.parametrize("size", [1, 2, 31, 48, 224, (20, 60), (60, 20), (7, 100)])
@pytest.mark.parametrize("shape", [(1, 1), (9, 5), (28, 28), (48, 48), (100, 37), (37, 100)])
def test_images_of_any_size_fill_as_much_of_any_other_as_their_proportions_let_them(size, shape):
    images = _random((1, *shape), np.float32)
    prepared = ImagePreparation((1, *shape), size=size)(images)
    tall, wide = size if isinstance(size, tuple) else (size, size)
    assert prepared.shape == (3, 1, tall, wide)

    ratio = min(tall / shape[0], wide / shape[1])
    if ratio >= 1:
        middle = torch.from_numpy(np.kron(images, np.ones((int(ratio), int(ratio)), np.float32)))
    else:
        sides = [max(1, round(side * ratio)) for side in shape]
        middle = resize(images, sides, antialias=True)
    height, width = middle.shape[2:]
    top, left = (tall - height) // 2, (wide - width) // 2
    around = [left, top, wide - width - left, tall - height - top]
    assert_allclose(prepared, pad(middle, around), atol=1e-3)


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


@pytest.mark.parametrize("kind", arrays())
def test_every_array_is_prepared_to_the_same_float_images(kind):
    array = arrays()[kind]
    prepare = ImagePreparation((1, 6, 4), [3.5], [7.25])
    images, _ = ImageDataset(array)[np.arange(N)]
    as_double = torch.from_numpy(array.astype(np.float64))
    assert prepare(images).dtype == torch.float32
    assert_allclose(prepare(images), prepare(as_double), rtol=1e-5, atol=1e-5)
