import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import ndimage

from skclr.augmentation import RandomShiftFlip

ORDER = {"nearest": 0, "bilinear": 1}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def ramp(n, height, width, dtype=torch.float64):
    """Images whose pixel at (i, j) says where it comes from: i in one channel, j in the other."""
    rows = torch.arange(height, dtype=dtype)[:, None].expand(height, width)
    columns = torch.arange(width, dtype=dtype)[None, :].expand(height, width)
    return torch.stack([rows, columns]).expand(n, 2, height, width).contiguous()


def moves(augment, n, size=40, seed=0):
    """Measure by how much each image was moved down and right, and whether it was flipped.

    Read off the pixels in the middle, which no border has touched.
    """
    middle = size // 2
    images = augment(ramp(n, size, size), generator=seeded(seed))
    down = middle - images[:, 0, middle, middle]
    step = images[:, 1, middle, middle + 1] - images[:, 1, middle, middle]
    flipped = step < 0
    column = images[:, 1, middle, middle]
    right = middle - torch.where(flipped, size - 1 - column, column)
    return down.numpy(), right.numpy(), flipped.numpy()


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize(
    ("shape", "shift"), [((20, 1, 32, 32), 0.1), ((20, 3, 40, 40), 0.3), ((20, 2, 40, 40), 0.45)]
)
def test_images_are_those_that_scipy_shifts_one_by_one(interpolation, shape, shift):
    n, _, size, _ = shape
    augment = RandomShiftFlip(shift=shift, interpolation=interpolation)
    images = torch.rand(shape, generator=seeded(1), dtype=torch.float64)

    ours = augment(images, generator=seeded(7)).numpy()

    down, right, flipped = moves(augment, n, size=size, seed=7)
    for image, result, by, flip in zip(
        images.numpy(), ours, np.stack([down, right], axis=1), flipped, strict=True
    ):
        source = image[:, :, ::-1] if flip else image
        expected = ndimage.shift(source, (0, *by), order=ORDER[interpolation], mode="nearest")
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_height_and_width_may_differ_and_each_has_its_own_reach(interpolation):
    augment = RandomShiftFlip(shift=0.25, flip=False, interpolation=interpolation)
    moved = augment(ramp(2000, 40, 12), generator=seeded())
    assert moved.shape == (2000, 2, 40, 12)
    down = 20 - moved[:, 0, 20, 6]
    right = 6 - moved[:, 1, 20, 6]
    assert 9 < down.abs().max() <= 10
    assert 2.9 < right.abs().max() <= 3


def test_bilinear_shifts_are_uniform_up_to_the_limit_in_each_direction():
    down, right, _ = moves(RandomShiftFlip(shift=0.1), n=4000)
    for by in (down, right):
        assert np.abs(by).max() <= 4
        quartiles = np.quantile(by, [0.0, 0.25, 0.5, 0.75, 1.0])
        np.testing.assert_allclose(quartiles, [-4, -2, 0, 2, 4], atol=0.25)
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.06


def test_nearest_shifts_are_whole_pixels_up_to_the_limit():
    down, right, _ = moves(RandomShiftFlip(shift=0.1, interpolation="nearest"), n=4000)
    for by in (down, right):
        assert set(by) == {-4, -3, -2, -1, 0, 1, 2, 3, 4}
        # The two ends collect half of the draws that a pixel inside collects.
        assert np.mean(by == 0) == pytest.approx(1 / 8, abs=0.03)
        assert np.mean(by == 4) == pytest.approx(1 / 16, abs=0.03)


def test_half_of_the_images_are_flipped_whatever_their_shift():
    down, right, flipped = moves(RandomShiftFlip(), n=4000)
    assert flipped.mean() == pytest.approx(0.5, abs=0.04)
    assert flipped[down > 0].mean() == pytest.approx(0.5, abs=0.05)
    assert flipped[right > 0].mean() == pytest.approx(0.5, abs=0.05)


def test_without_flip_no_image_is_flipped():
    _, _, flipped = moves(RandomShiftFlip(flip=False), n=500)
    assert not flipped.any()


def test_without_shift_images_are_only_flipped():
    images = torch.rand(100, 1, 8, 8)
    augmented = RandomShiftFlip(shift=0)(images, generator=seeded())
    kept = (augmented == images).all(dim=(1, 2, 3))
    flipped = (augmented == images.flip(3)).all(dim=(1, 2, 3))
    assert (kept | flipped).all()
    assert 20 < flipped.sum() < 80


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_without_shift_and_flip_the_batch_is_the_same_in_a_new_tensor(interpolation):
    images = torch.rand(10, 3, 8, 9)
    augmented = RandomShiftFlip(shift=0, flip=False, interpolation=interpolation)(images)
    assert torch.equal(augmented, images)
    assert augmented.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_input_is_left_as_it_is(interpolation):
    images = torch.rand(10, 1, 8, 8)
    before = images.clone()
    augmented = RandomShiftFlip(interpolation=interpolation)(images)
    augmented.zero_()
    assert torch.equal(images, before)


def test_each_image_of_a_batch_gets_its_own_draw():
    images = torch.rand(1, 1, 16, 16).expand(50, 1, 16, 16)
    augmented = RandomShiftFlip()(images, generator=seeded())
    assert len({image.numpy().tobytes() for image in augmented}) == 50


def test_channels_of_an_image_move_together():
    images = torch.rand(20, 1, 16, 16).expand(20, 3, 16, 16)
    augmented = RandomShiftFlip()(images, generator=seeded())
    assert torch.equal(augmented[:, 0], augmented[:, 1])
    assert torch.equal(augmented[:, 0], augmented[:, 2])


def test_same_generator_state_gives_the_same_batch_and_another_seed_another():
    images, augment = torch.rand(10, 1, 16, 16), RandomShiftFlip()
    first = augment(images, generator=seeded(3))
    assert torch.equal(augment(images, generator=seeded(3)), first)
    assert not torch.equal(augment(images, generator=seeded(4)), first)


def test_own_generator_leaves_the_global_one_alone():
    before = torch.random.get_rng_state()
    RandomShiftFlip()(torch.rand(10, 1, 16, 16, generator=seeded()), generator=seeded())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_global_generator_is_the_default():
    images = torch.rand(10, 1, 16, 16)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = RandomShiftFlip()(images)
    assert torch.equal(RandomShiftFlip()(images, generator=seeded(3)), first)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_all_images_get_the_draws_of_a_batch_of_the_same_size_whatever_their_dtype(interpolation):
    augment = RandomShiftFlip(interpolation=interpolation)
    images = torch.rand(10, 1, 16, 16, dtype=torch.float64)
    expected = augment(images, generator=seeded())
    for dtype, tolerance in [(torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)]:
        ours = augment(images.to(dtype), generator=seeded())
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=tolerance)


def test_channels_last_and_sliced_batches_give_the_same_images():
    images = torch.rand(20, 3, 16, 16)
    expected = RandomShiftFlip()(images[::2], generator=seeded())
    batch = images[::2].contiguous(memory_format=torch.channels_last)
    assert torch.equal(RandomShiftFlip()(batch, generator=seeded()), expected)


def test_values_stay_within_those_of_the_image():
    images = torch.rand(200, 1, 16, 16) * 3 - 1
    augmented = RandomShiftFlip(shift=0.9)(images, generator=seeded())
    assert (augmented.amax((1, 2, 3)) <= images.amax((1, 2, 3)) + 1e-6).all()
    assert (augmented.amin((1, 2, 3)) >= images.amin((1, 2, 3)) - 1e-6).all()


def test_empty_batch_stays_empty():
    assert RandomShiftFlip()(torch.rand(0, 1, 8, 8)).shape == (0, 1, 8, 8)


def test_representation_is_the_expression_that_makes_it():
    augment = RandomShiftFlip(shift=0.2, flip=False, interpolation="nearest")
    assert repr(augment) == "RandomShiftFlip(shift=0.2, flip=False, interpolation='nearest')"
    assert eval(repr(augment)) == augment


def test_equal_by_value_and_so_are_its_copies():
    augment = RandomShiftFlip(shift=0.2)
    assert augment == RandomShiftFlip(shift=0.2)
    assert augment != RandomShiftFlip(shift=0.3)
    assert hash(augment) == hash(RandomShiftFlip(shift=0.2))
    assert copy.deepcopy(augment) == augment
    assert pickle.loads(pickle.dumps(augment)) == augment


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"shift": 1}, r"shift must be a number in \[0, 1\), got 1\."),
        ({"shift": -0.1}, r"shift must be a number in \[0, 1\), got -0.1\."),
        ({"shift": float("nan")}, r"shift must be a number in \[0, 1\), got nan\."),
        ({"shift": (0, 0.1)}, r"shift must be a number in \[0, 1\), got \(0, 0.1\)\."),
        ({"flip": "no"}, r"flip must be True or False, got 'no'\."),
        (
            {"interpolation": "cubic"},
            r"interpolation must be 'bilinear' or 'nearest', got 'cubic'\.",
        ),
    ],
)
def test_wrong_parameters_are_answered_in_one_sentence(params, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RandomShiftFlip(**params)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 1, 1, 8, 8)])
def test_batch_without_four_dimensions_is_refused(shape):
    with pytest.raises(ValueError, match="images must have shape"):
        RandomShiftFlip()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("images", "given"),
    [
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "torch.uint8"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.complex64), "torch.complex64"),
        (np.zeros((2, 1, 8, 8)), "ndarray"),
    ],
)
def test_batch_that_is_no_floating_tensor_is_refused(images, given):
    with pytest.raises(TypeError, match=f"tensor of floating dtype, got {given}"):
        RandomShiftFlip()(images)
