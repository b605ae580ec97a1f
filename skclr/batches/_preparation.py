"""Batches of images of any size and dtype made standardized float images of one size."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

_Sum: TypeAlias = "Callable[[np.ndarray, np.ndarray | None], np.ndarray]"  # by channel

_WIDE_DTYPES = (torch.int32, torch.int64, torch.float64)  # float32 would cut their digits


class ImagePreparation:
    """Turn a batch of images of any size and dtype into standardized float images.

    A smaller image is enlarged by the largest whole factor that fits and zero-padded around, a
    larger one is resized with antialiasing, its proportions kept; a row of a table is first
    zero-padded to the next square.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width of the images that come in.
    mean, std : array-like of shape (channels,), or None
        What is subtracted and divided by, a value a channel; None leaves the pixels as they are.
    size : int or tuple of int, default=32
        Height and width of the images that go out, as one number where they are alike.

    Raises
    ------
    ValueError
        If `size` is neither a positive integer nor a pair of them.

    Examples
    --------
    >>> import torch
    >>> from skclr.batches import ImagePreparation
    >>> prepare = ImagePreparation((1, 28, 28), mean=[127.5], std=[127.5])
    >>> images = prepare(torch.full((1, 1, 28, 28), 255, dtype=torch.uint8))
    >>> images.shape, images[0, 0, 16, :4].tolist()
    (torch.Size([1, 1, 32, 32]), [-1.0, -1.0, 1.0, 1.0])
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        mean: Any = None,
        std: Any = None,
        size: int | tuple[int, int] = 32,
    ):
        sides_of(size)
        self.image_shape = image_shape
        self.mean = None if mean is None else _per_channel(mean)
        self.std = None if std is None else _per_channel(std)
        self.size = size
        self._placed: tuple[torch.device, torch.dtype] | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images as float32 of shape (n, channels, height, width) of `size`."""
        channels, height, width = self.image_shape
        tall, wide = sides_of(self.size)
        if images.ndim == 2:
            images = F.pad(images, (0, height * width - images.shape[1]))
            images = images.view(-1, channels, height, width)
        factor = min(tall // height, wide // width)
        if factor < 1:
            images = self._shrink(images)
        elif factor > 1:
            images = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        return self._standardize(self._padded(images))

    def _shrink(self, images: torch.Tensor) -> torch.Tensor:
        return self._resized(
            images.to(torch.float64 if images.dtype in _WIDE_DTYPES else torch.float32)
        )

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        shape = self._shrunk_shape(*images.shape[2:])
        return F.interpolate(images, size=shape, mode="bilinear", antialias=True)

    def _shrunk_shape(self, height: int, width: int) -> list[int]:
        tall, wide = sides_of(self.size)
        scale = min(tall / height, wide / width)
        return [max(1, round(height * scale)), max(1, round(width * scale))]

    def _exact_dtype(self, images: torch.Tensor) -> torch.dtype:
        """Return the dtype in which images are standardized."""
        is_wide = self.mean is not None and images.dtype in _WIDE_DTYPES
        return torch.float64 if is_wide else torch.float32

    def _padded(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images in the middle of float ones, in one pass over memory."""
        dtype = self._exact_dtype(images)
        n, channels, height, width = images.shape
        tall, wide = sides_of(self.size)
        if (height, width) == (tall, wide):
            return images.to(dtype, copy=True)
        padded = images.new_zeros((n, channels, tall, wide), dtype=dtype)
        top, left = (tall - height) // 2, (wide - width) // 2
        padded[:, :, top : top + height, left : left + width] = images
        return padded

    def _standardize(self, images: torch.Tensor) -> torch.Tensor:
        if self.mean is None or self.std is None:
            return images
        place = images.device, images.dtype
        if place != self._placed:
            self._there = self.mean.to(*place), self.std.to(*place)
            self._placed = place
        mean, std = self._there
        return images.sub_(mean).div_(std).to(torch.float32)


def sides_of(size: Any, name: str = "size") -> tuple[int, int]:
    """Return height and width, or raise ValueError unless both are positive integers.

    Parameters
    ----------
    size : int or tuple of int
        Both as one number, or a pair of them.
    name : str, default="size"
        What to call it in the message.
    """
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2 or not all(map(_is_positive_integer, sides)):
        raise ValueError(
            f"{name} must be a positive integer, or a tuple of two, height and width, got {size!r}."
        )
    return int(sides[0]), int(sides[1])


def _is_positive_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


def _per_channel(values: Any) -> torch.Tensor:
    # a copy, on the CPU whatever torch's default device is
    return torch.from_numpy(np.array(values, dtype=np.float64)).view(1, -1, 1, 1)


def pixel_statistics(
    images: np.ndarray, indices: np.ndarray | None = None, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the pixels of each channel, in float64.

    Parameters
    ----------
    images : ndarray of shape (n, n_features) or (n, channels, height, width)
        Read in pieces, so that a memory map stays on disk.
    indices : ndarray of shape (n_used,) or None, default=None
        The images that count; None: all of them.
    weights : ndarray of shape (n,) or None, default=None
        As how many images each of them counts; their mean over those that count is one.

    Returns
    -------
    mean, std : ndarray of shape (channels,)
        For rows of a table, one channel. Where all pixels are alike, the standard deviation is
        given as 1.
    """
    indices = np.arange(len(images)) if indices is None else indices
    n_channels = 1 if images.ndim == 2 else images.shape[1]
    rows = max(1, 2**17 // max(1, math.prod(images.shape[1:])))
    pieces = [indices[start : start + rows] for start in range(0, len(indices), rows)]

    def total(*functions: _Sum) -> np.ndarray:
        sums = np.zeros((len(functions), n_channels))
        for piece in pieces:
            values = np.asarray(images[piece], dtype=np.float64).reshape(len(piece), n_channels, -1)
            own = None if weights is None else weights[piece]
            sums += [function(values, own) for function in functions]
        return sums

    n_pixels = len(indices) * math.prod(images.shape[1:]) / n_channels
    exact = weights is None and images.dtype.kind in "bui" and images.dtype.itemsize <= 2
    if exact:  # sums without rounding: one pass will do
        sums, squares = total(_sum, _sum_of_squares)
        mean = sums / n_pixels
        std = np.sqrt(np.maximum(0, squares / n_pixels - mean**2))
    else:
        mean = total(_sum)[0] / n_pixels
        centre = mean[:, np.newaxis]
        squares = total(lambda values, own: _sum_of_squares(values - centre, own))[0]
        std = np.sqrt(squares / n_pixels)
    if not (np.isfinite(mean) & np.isfinite(std)).all():
        raise ValueError("X has values too large for a mean and a standard deviation in float64.")
    return mean, np.where(std > 10 * np.finfo(np.float64).eps * np.abs(mean), std, 1.0)


def _sum(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    if weights is None:
        return values.sum(axis=(0, 2))
    return np.einsum("n,nc->c", weights, values.sum(axis=2))


def _sum_of_squares(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    if weights is None:
        return np.einsum("ncp,ncp->c", values, values)
    return np.einsum("n,nc->c", weights, np.einsum("ncp,ncp->nc", values, values))
