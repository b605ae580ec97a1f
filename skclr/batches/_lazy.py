"""Data sets opened as arrays whose images are read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import TensorDataset

from skclr.batches._arrays import as_array, channels_first
from skclr.batches._labelled import LabelledSamples
from skclr.batches._labels import indices_of, is_in_memory, is_part, labels_in, part_of
from skclr.batches._objects import image_key, pixels_of

_ONE_SIZE = (
    " Give the data set a transform that makes them one size, such as "
    "torchvision.transforms.v2.Resize((64, 64)), and one number of channels."
)


def opened(dataset: Any, *, labelled: bool = True) -> tuple[Any, np.ndarray | None]:
    """Return images and labels of a data set, without reading the images.

    Parameters
    ----------
    dataset : Dataset or sequence of samples
        Of the map style, with a sample ``(image, label)``, ``(image,)`` or ``image``, or a dict of
        which one value is an image: torchvision's, Hugging Face's, a ``TensorDataset``, skorch's, a
        :class:`ImageDataset`, or a ``Subset``, ``ConcatDataset`` or skorch ``SliceDataset`` of
        these.
    labelled : bool, default=True
        Whether labels are wanted, for which every sample may have to be made.

    Returns
    -------
    images : array-like of shape (n_samples, ...)
        The array that the data set holds, or one that reads samples when they are asked for.
    labels : ndarray of shape (n_samples,) or None
        Of ``dataset.targets`` or of a column where these are the labels of the samples, as a
        sample of each of a few classes tells; else read from all samples. None where a sample is
        an image alone.

    Raises
    ------
    TypeError
        If the data set cannot be indexed, or its samples are dicts that do not tell which of
        their values is the image, or the label.
    ValueError
        If the data set has no samples.
    """
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise TypeError(
            f"A data set must have a length and take an index; {type(dataset).__name__} does not."
        )
    if not len(dataset):
        raise ValueError(
            f"Found array with 0 sample(s) in the data set, of type {type(dataset).__name__}, "
            "while a minimum of 1 is required."
        )
    return _images_in(dataset), labels_in(dataset) if labelled else None


def _images_in(dataset: Any) -> Any:
    if isinstance(dataset, LabelledSamples):
        return _images_in(dataset.encoded)
    if is_part(dataset):
        whole = _images_in(dataset.dataset)
        return _Rows(whole if is_lazy(whole) else channels_first(whole), indices_of(dataset))
    if is_in_memory(dataset):
        images = dataset.tensors[0] if isinstance(dataset, TensorDataset) else dataset.X
        return images if is_lazy(images) else as_array(images)
    return _Samples(dataset)


def is_lazy(images: Any) -> bool:
    """Tell whether these are images that `opened` has not read yet."""
    return isinstance(images, _LazyImages)


def array_behind(images: Any) -> Any:
    """Return the array that images are taken from: themselves, unless they are some of another."""
    while isinstance(images, _Rows):
        images = images._images
    return images


class _LazyImages:
    """Images that are read when they are asked for, to be indexed like an array by many indices."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        images = self._read(index)
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise ValueError("Input X contains NaN or infinity, in the images of a data set.")
        return images

    def _read(self, index: Any) -> np.ndarray:
        raise NotImplementedError


class _Rows(_LazyImages):
    """Some of the images of an array."""

    def __init__(self, images: Any, indices: np.ndarray):
        super().__init__((len(indices), *images.shape[1:]), images.dtype)
        self._images = images
        self._indices = indices

    def _read(self, index: Any) -> np.ndarray:
        return self._images[self._indices[index]]


class _Samples(_LazyImages):
    """The images of a data set that gives them one by one."""

    def __init__(self, dataset: Any):
        sample = dataset[0]
        if isinstance(sample, Mapping):
            self._place: Any = image_key(sample)
        else:
            self._place = 0 if isinstance(sample, (tuple, list)) and len(sample) else None
        self._dataset = dataset
        first = channels_first(np.stack(self._read_each([0])))
        super().__init__((len(dataset), *first.shape[1:]), first.dtype)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"_place": 0} | state)  # pickles of 0.1.0 have none

    def _read_each(self, indices: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        return [self._image(int(index)) for index in indices]

    def _image(self, index: int) -> np.ndarray:
        sample = self._dataset[index]
        if isinstance(sample, (tuple, list, Mapping)) and self._place is not None:
            sample = part_of(sample, self._place, index)
        return pixels_of(sample, f"The image of sample {index}")

    def _read(self, index: Any) -> np.ndarray:
        read = self._read_each(index)
        try:
            images = channels_first(np.stack(read))
        except ValueError as error:
            reason = str(error).rstrip(".")
            raise ValueError(
                f"The images of the data set do not go together: {reason}.{_ONE_SIZE}"
            ) from error
        if images.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"The images of the data set have shapes {self.shape[1:]} and {images.shape[1:]}."
                f"{_ONE_SIZE}"
            )
        return images
