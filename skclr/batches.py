"""Whole batches of images: no Python per sample, no copy of the data set.

Images stay in the dtype and the layout in which they came, memory-mapped ones on disk, and become
float images of 32 x 32 pixels batch by batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import skorch.dataset
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset, Subset, TensorDataset

__all__ = ["BatchIterator", "ImageDataset", "ImagePreparation"]

_TORCH_DTYPES = frozenset(  # what torch.from_numpy takes in every supported version
    ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
)
_WIDE_DTYPES = (torch.int32, torch.int64, torch.float64)  # float32 would cut their digits


class ImageDataset(skorch.dataset.Dataset):
    """Images and class indices, to be indexed by whole batches.

    Parameters
    ----------
    images : ndarray of shape (n_samples, n_features) or (n_samples, channels, height, width)
        In any real dtype; a memory map stays on disk.
    targets : ndarray of int64 of shape (n_samples,) or None, default=None
        Class indices. None: zeros take their place in each batch.
    classes : ndarray of shape (n_classes,) or None, default=None
        The label of each index.

    Attributes
    ----------
    X, y : ndarray
        Images and labels, where skorch's scoring callbacks look for them.

    Examples
    --------
    >>> import numpy as np
    >>> from skclr.batches import ImageDataset
    >>> data = ImageDataset(np.zeros((5, 1, 28, 28), np.uint8), np.arange(5))
    >>> images, targets = data[np.array([4, 0])]
    >>> images.shape, targets.tolist()
    (torch.Size([2, 1, 28, 28]), [4, 0])
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray | None = None,
        classes: np.ndarray | None = None,
    ):
        self.images = images
        self.targets = targets
        self.classes = classes

    @property
    def X(self) -> np.ndarray:
        """The images."""
        return self.images

    @property
    def y(self) -> np.ndarray | None:
        """The labels, or the class indices where no labels were given."""
        return self.targets if self.classes is None else self.classes[self.targets]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index) -> tuple[Any, Any]:
        if isinstance(index, (int, np.integer)):
            images, targets = self[np.array([index])]
            return images[0], targets[0]
        images = self.images[index]
        if self.targets is None:
            targets = torch.zeros(len(images), dtype=torch.int64)
        else:
            targets = _as_tensor(self.targets[index])
        return _as_tensor(images), targets


class BatchIterator:
    """Iterate over a data set in whole batches, with one indexing operation each.

    A drop-in for torch's ``DataLoader`` in any skorch net (``iterator_train=BatchIterator,
    iterator_train__shuffle=True``) whose data are arrays or tensors.

    Parameters
    ----------
    dataset : Dataset
        A :class:`ImageDataset`, a :class:`skorch.dataset.Dataset` of an array or tensor, a
        ``TensorDataset``, or a ``Subset`` of one of these.
    batch_size : int, default=1
        Samples in a batch; the last one of an epoch may be smaller.
    shuffle : bool, default=False
        Whether each epoch goes through the samples in a new random order.
    generator : torch.Generator or None, default=None
        Where the order is drawn from; None is torch's global generator.
    drop_last : bool, default=False
        Whether a last batch that is too small is left out.

    Raises
    ------
    TypeError
        If the data set is not one of those named, and so cannot be indexed by a whole batch.
    ValueError
        If the batch size is less than 1.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> from skclr.batches import BatchIterator
    >>> data = TensorDataset(torch.arange(5), torch.arange(5) % 2)
    >>> [x.tolist() for x, y in BatchIterator(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        drop_last: bool = False,
    ):
        if not (isinstance(batch_size, Integral) and batch_size >= 1):
            raise ValueError(f"batch_size must be an integer of at least 1, got {batch_size!r}.")
        whole, indices = dataset, None
        while isinstance(whole, Subset):
            own = np.asarray(whole.indices)
            indices = own if indices is None else own[indices]
            whole = whole.dataset
        if not isinstance(whole, (ImageDataset, skorch.dataset.Dataset, TensorDataset)):
            raise TypeError(
                f"BatchIterator cannot index a {type(whole).__name__} by a whole batch; "
                "use torch.utils.data.DataLoader for it."
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.generator = generator
        self.drop_last = drop_last
        self._whole = whole
        self._indices = indices

    def __len__(self) -> int:
        n_batches = len(self.dataset) / self.batch_size
        return math.floor(n_batches) if self.drop_last else math.ceil(n_batches)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = self._indices
        if self.shuffle:
            drawn = torch.randperm(len(self.dataset), generator=self.generator).numpy()
            order = drawn if order is None else order[drawn]
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield self._fetch(batch if order is None else order[batch])

    def _fetch(self, index):
        x, y = map(_as_tensor, self._whole[index])
        if not isinstance(self._whole, ImageDataset) and getattr(self._whole, "y", y) is None:
            y = y.expand(len(x), 1)  # skorch has a single zero for targets that there are not
        return x, y


class _LazyImages:
    """Images that are read when they are asked for, to be indexed like an array by many indices."""

    def __init__(self, shape, dtype):
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self):
        return len(self.shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        images = self._read(index)
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise ValueError("Input X contains NaN or infinity, in the images of a data set.")
        return images


class _Rows(_LazyImages):
    """Some of the images of an array."""

    def __init__(self, images, indices):
        super().__init__((len(indices), *images.shape[1:]), images.dtype)
        self._images = images
        self._indices = indices

    def _read(self, index):
        return self._images[self._indices[index]]


class _Samples(_LazyImages):
    """The images of a data set that gives them one by one."""

    def __init__(self, dataset):
        first = self._channels_first(dataset, [0])
        super().__init__((len(dataset), *first.shape[1:]), first.dtype)
        self._dataset = dataset

    @staticmethod
    def _channels_first(dataset, indices):
        images = [dataset[int(index)] for index in indices]
        images = [image[0] if isinstance(image, (tuple, list)) else image for image in images]
        return channels_first(np.stack([np.asarray(image) for image in images]))

    def _read(self, index):
        try:
            images = self._channels_first(self._dataset, index)
        except ValueError as error:
            raise ValueError(f"The images of the data set do not go together: {error}") from error
        if images.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"The images of the data set have shapes {self.shape[1:]} and {images.shape[1:]}."
            )
        return images


def is_lazy(images: Any) -> bool:
    """Tell whether these are images that `opened` has not read yet."""
    return isinstance(images, _LazyImages)


def opened(dataset: Dataset, *, labelled: bool = True) -> tuple[Any, np.ndarray | None]:
    """Return images and labels of a data set, without reading the images.

    Parameters
    ----------
    dataset : Dataset
        Of the map style, with a sample ``(image, label)`` or ``image``: torchvision's, a
        ``TensorDataset``, skorch's, a :class:`ImageDataset`, or a ``Subset`` of one of these.
    labelled : bool, default=True
        Whether labels are wanted, for which every sample may have to be made.

    Returns
    -------
    images : array-like of shape (n_samples, ...)
        The array that the data set holds, or one that reads samples when they are asked for.
    labels : ndarray of shape (n_samples,) or None
        Of ``dataset.targets`` where it has them, else read from the samples; None where a sample
        is an image alone.

    Raises
    ------
    TypeError
        If the data set cannot be indexed.
    """
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise TypeError(
            f"A data set must have a length and take an index; {type(dataset).__name__} does not."
        )
    if isinstance(dataset, Subset):
        images, labels = opened(dataset.dataset, labelled=labelled)
        indices = np.asarray(dataset.indices)
        rows = _Rows(images if is_lazy(images) else channels_first(images), indices)
        return rows, None if labels is None else labels[indices]
    if isinstance(dataset, (ImageDataset, skorch.dataset.Dataset)):
        images, labels = dataset.X, dataset.y
    elif isinstance(dataset, TensorDataset):
        images, labels = (*dataset.tensors, None)[:2]
    else:
        return _Samples(dataset), _labels(dataset) if labelled else None
    return _as_array(images), None if labels is None else _as_array(labels)


def _labels(dataset):
    targets = getattr(dataset, "targets", None)
    known = targets is not None and len(targets) == len(dataset)
    if known and getattr(dataset, "target_transform", None) is None:
        return _as_array(targets)
    if not isinstance(dataset[0], (tuple, list)):
        return None
    return np.array([dataset[index][1] for index in range(len(dataset))])


def _as_array(values):
    return from_torch(values) if isinstance(values, torch.Tensor) else np.asanyarray(values)


def from_torch(tensor: Any) -> Any:
    """Return a tensor as an array that shares its memory; anything else as it is."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def channels_first(X: np.ndarray) -> np.ndarray:
    """Return rows as they are, and images as (n, channels, height, width)."""
    if X.ndim == 2:
        return X
    if X.ndim == 3:
        return X[:, np.newaxis]
    if X.ndim == 4 and X.shape[1] in (1, 3):
        return X
    if X.ndim == 4 and X.shape[3] in (1, 3):
        return np.moveaxis(X, 3, 1)
    raise ValueError(
        "Expected rows (n, n_features) or images (n, h, w), (n, channels, h, w) or "
        f"(n, h, w, channels) with 1 or 3 channels, got an array of shape {X.shape}."
    )


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
    size : int, default=32
        Height and width of the images that go out.

    Examples
    --------
    >>> import torch
    >>> from skclr.batches import ImagePreparation
    >>> prepare = ImagePreparation((1, 28, 28), mean=[127.5], std=[127.5])
    >>> images = prepare(torch.full((1, 1, 28, 28), 255, dtype=torch.uint8))
    >>> images.shape, images[0, 0, 16, :4].tolist()
    (torch.Size([1, 1, 32, 32]), [-1.0, -1.0, 1.0, 1.0])
    """

    def __init__(self, image_shape: tuple[int, int, int], mean=None, std=None, size: int = 32):
        self.image_shape = image_shape
        self.mean = None if mean is None else _per_channel(mean)
        self.std = None if std is None else _per_channel(std)
        self.size = size
        self._placed = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images as float32 of shape (n, channels, size, size)."""
        channels, height, width = self.image_shape
        if images.ndim == 2:
            images = F.pad(images, (0, height * width - images.shape[1]))
            images = images.view(-1, channels, height, width)
        if max(height, width) > self.size:
            images = self._shrink(images)
        elif 2 * max(height, width) <= self.size:
            factor = self.size // max(height, width)
            images = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        return self._standardize(self._padded(images))

    def _shrink(self, images):
        height, width = images.shape[2:]
        scale = self.size / max(height, width)
        shape = [max(1, round(height * scale)), max(1, round(width * scale))]
        wide = images.to(torch.float64 if images.dtype in _WIDE_DTYPES else torch.float32)
        return F.interpolate(wide, size=shape, mode="bilinear", antialias=True)

    def _padded(self, images):
        """Return the images in the middle of float ones, in one pass over memory."""
        dtype = torch.float32
        if self.mean is not None and images.dtype in _WIDE_DTYPES:
            dtype = torch.float64
        n, channels, height, width = images.shape
        if height == width == self.size:
            return images.to(dtype, copy=True)
        padded = images.new_zeros((n, channels, self.size, self.size), dtype=dtype)
        top, left = (self.size - height) // 2, (self.size - width) // 2
        padded[:, :, top : top + height, left : left + width] = images
        return padded

    def _standardize(self, images):
        if self.mean is None:
            return images
        mean, std = self._statistics(images.device, images.dtype)
        return images.sub_(mean).div_(std).to(torch.float32)

    def _statistics(self, device, dtype):
        if (device, dtype) != self._placed:
            self._there = self.mean.to(device, dtype), self.std.to(device, dtype)
            self._placed = device, dtype
        return self._there


def pixel_statistics(
    images: np.ndarray, indices: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the pixels of each channel, in float64.

    Parameters
    ----------
    images : ndarray of shape (n, n_features) or (n, channels, height, width)
        Read in pieces, so that a memory map stays on disk.
    indices : ndarray of shape (n_used,) or None, default=None
        The images that count; None: all of them.

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

    def total(*functions):
        sums = np.zeros((len(functions), n_channels))
        for piece in pieces:
            values = np.asarray(images[piece], dtype=np.float64).reshape(len(piece), n_channels, -1)
            sums += [function(values) for function in functions]
        return sums

    n_pixels = len(indices) * math.prod(images.shape[1:]) / n_channels
    if images.dtype.kind in "bui" and images.dtype.itemsize <= 2:  # exact sums: one pass will do
        sums, squares = total(_sum, _sum_of_squares)
        mean = sums / n_pixels
        std = np.sqrt(np.maximum(0, squares / n_pixels - mean**2))
    else:
        mean = total(_sum)[0] / n_pixels
        centre = mean[:, np.newaxis]
        std = np.sqrt(total(lambda values: _sum_of_squares(values - centre))[0] / n_pixels)
    if not (np.isfinite(mean) & np.isfinite(std)).all():
        raise ValueError("X has values too large for a mean and a standard deviation in float64.")
    return mean, np.where(std > 10 * np.finfo(np.float64).eps * np.abs(mean), std, 1.0)


def _sum(values):
    return values.sum(axis=(0, 2))


def _sum_of_squares(values):
    return np.einsum("ncp,ncp->c", values, values)


def _per_channel(values):
    return torch.as_tensor(np.asarray(values, dtype=np.float64)).view(1, -1, 1, 1)


def _as_tensor(array):
    """Return an array as a tensor, without a copy where torch can share it."""
    if isinstance(array, torch.Tensor):
        return array
    array = np.asarray(array)
    if array.dtype.name not in _TORCH_DTYPES or not array.dtype.isnative:
        array = array.astype(np.float64)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)
