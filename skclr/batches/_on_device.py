"""Images kept on a GPU for the length of a training, in the dtype in which they came."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from skclr.batches._arrays import as_tensor, is_of_torch
from skclr.batches._dataset import ImageDataset
from skclr.batches._iterator import source_of
from skclr.batches._lazy import array_behind

_PART_OF_FREE_MEMORY = 4
_BYTES_AT_ONCE = 2**26


class ImagesOnDevice:
    """Images, class indices and weights in the memory of a device, to be indexed there.

    Parameters
    ----------
    images, targets : Tensor
        As in an `ImageDataset`.
    weights : Tensor or None
        The weights of the samples, which then come third in each batch.
    """

    def __init__(self, images: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None):
        self.images = images
        self._parts = [part for part in (images, targets, weights) if part is not None]

    def order(self, indices: np.ndarray) -> torch.Tensor:
        """Return indices on the device, or raise IndexError: there, a wrong one ends it all."""
        n = len(self.images)
        if len(indices) and not (-n <= indices.min() and indices.max() < n):
            raise IndexError(f"An index is out of range for {n} images.")
        return torch.from_numpy(np.ascontiguousarray(indices)).to(self.images.device)

    def __getitem__(self, index: slice | torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(part[index] for part in self._parts)


@contextmanager
def kept_on_device(device: torch.device, datasets: Iterable[Dataset]) -> Iterator[None]:
    """Have batches of these data sets indexed on a GPU meanwhile, where that can be.

    It can where the images are an array in main memory, and those of all of them take no more than
    a quarter of the memory that is free on the device. Others are read as they were, and so are
    all of them where the device is no GPU of CUDA's.

    Parameters
    ----------
    device : torch.device
        Where batches are computed.
    datasets : iterable of Dataset
        An `ImageDataset`, or a ``Subset`` of one; others are left as they are.
    """
    kept: list[ImageDataset] = []
    try:
        if device.type == "cuda":
            kept.extend(_keep(device, datasets, free_memory(device) // _PART_OF_FREE_MEMORY))
        yield
    finally:
        for source in kept:
            source.on_device = None


def free_memory(device: torch.device) -> int:
    """Return how many bytes are free on a GPU."""
    return torch.cuda.mem_get_info(device)[0]


def _keep(
    device: torch.device, datasets: Iterable[Dataset], n_bytes: int
) -> Iterator[ImageDataset]:
    """Give each data set that fits its copy, and yield it; those of the same images share one."""
    copies: dict[int, torch.Tensor] = {}
    for dataset in datasets:
        source, _ = source_of(dataset)
        if not _can_be_kept(source) or source.on_device is not None:
            continue
        images = source.images
        if id(images) not in copies:
            n_bytes -= _size_of(images)
            if n_bytes < 0:
                return
            try:
                copies[id(images)] = _copied(images, device)
            except torch.cuda.OutOfMemoryError:  # another program has taken it meanwhile
                return
        weights = None if source.weights is None else as_tensor(source.weights).to(device)
        targets = as_tensor(source.targets).to(device)
        source.on_device = ImagesOnDevice(copies[id(images)], targets, weights)
        yield source


def _can_be_kept(source: Any) -> bool:
    """Tell whether this is a data set of labelled images that lie in main memory."""
    if not isinstance(source, ImageDataset) or source.targets is None or not len(source):
        return False
    array = array_behind(source.images)
    return type(array) is np.ndarray and is_of_torch(array.dtype) and not _is_on_disk(array)


def _is_on_disk(array: Any) -> bool:
    """Tell whether an array is a view of a memory map."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def _size_of(images: Any) -> int:
    return math.prod(images.shape) * images.dtype.itemsize


def _copied(images: Any, device: torch.device) -> torch.Tensor:
    """Return images on the device; a part at a time, so that main memory holds no second copy."""
    n = len(images)
    n_at_once = max(1, _BYTES_AT_ONCE * n // max(1, _size_of(images)))
    first = as_tensor(images[:1])
    copied = torch.empty((n, *first.shape[1:]), dtype=first.dtype, device=device)
    for start in range(0, n, n_at_once):
        part = slice(start, start + n_at_once)
        copied[part] = as_tensor(images[part]).to(device)
    return copied
