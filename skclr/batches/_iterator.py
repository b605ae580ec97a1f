"""The iterator over a data set in whole batches, with no Python per sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import skorch.dataset
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from skclr.batches._arrays import as_tensor
from skclr.batches._dataset import ImageDataset
from skclr.batches._labelled import for_training
from skclr.batches._labels import gives_as


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
        Samples in a batch. Where they do not divide the data set, the last batch of an epoch is
        smaller, unless `even` or `drop_last` is set.
    shuffle : bool, default=False
        Whether each epoch goes through the samples in a new random order.
    generator : torch.Generator or None, default=None
        Where the order is drawn from; None is torch's global generator.
    drop_last : bool, default=False
        Whether a last batch that is too small is left out.
    even : bool, default=False
        Whether an epoch's samples are spread evenly over its batches: as many as they would be,
        none larger than `batch_size`, and of sizes that differ by at most one sample. With
        `drop_last` every batch is whole, and there is nothing to spread.

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
    >>> [x.tolist() for x, y in BatchIterator(data, batch_size=4, even=True)]
    [[0, 1], [2, 3, 4]]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        drop_last: bool = False,
        even: bool = False,
    ):
        if not (isinstance(batch_size, (int, np.integer)) and batch_size >= 1):
            raise ValueError(f"batch_size must be an integer of at least 1, got {batch_size!r}.")
        dataset = for_training(dataset)
        source, indices = source_of(dataset)
        if not isinstance(source, (ImageDataset, skorch.dataset.Dataset, TensorDataset)):
            raise TypeError(
                f"BatchIterator cannot index a {type(source).__name__} by a whole batch; "
                "use torch.utils.data.DataLoader for it."
            )
        self.dataset: Any = dataset  # torch declares no length for its data sets
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.generator = generator
        self.drop_last = drop_last
        self.even = even
        self._source = source
        self._indices = indices

    def __len__(self) -> int:
        n_batches = len(self.dataset) / self.batch_size
        return math.floor(n_batches) if self.drop_last else math.ceil(n_batches)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        order = self._indices
        if self.shuffle:
            drawn = torch.randperm(len(self.dataset), generator=self.generator).numpy()
            order = drawn if order is None else order[drawn]
        on_device = getattr(self._source, "on_device", None)
        if on_device is not None and order is not None:
            order = on_device.order(order)  # the whole of it at once
        for batch in self._batches():
            yield self._fetch(batch if order is None else order[batch])

    def _batches(self) -> Iterator[slice]:
        """Return where each batch lies in the order of the epoch."""
        n_samples, n_batches = len(self.dataset), len(self)
        for place in range(n_batches):
            if self.even and not self.drop_last:
                yield slice(n_samples * place // n_batches, n_samples * (place + 1) // n_batches)
            else:
                yield slice(place * self.batch_size, (place + 1) * self.batch_size)

    def _fetch(self, index: Any) -> tuple[torch.Tensor, ...]:
        on_device = getattr(self._source, "on_device", None)
        if on_device is not None:
            return on_device[index]
        x, y, *weights = map(as_tensor, self._source[index])
        if not isinstance(self._source, ImageDataset) and getattr(self._source, "y", y) is None:
            y = y.expand(len(x), 1)  # skorch has a single zero for targets that there are not
        return x, y, *weights


def source_of(dataset: Any) -> tuple[Any, np.ndarray | None]:
    """Return the data set behind a ``Subset``, and which of its samples are meant; None: all."""
    indices = None
    while gives_as(dataset, Subset):
        own = np.asarray(dataset.indices)
        indices = own if indices is None else own[indices]
        dataset = dataset.dataset
    return dataset, indices
