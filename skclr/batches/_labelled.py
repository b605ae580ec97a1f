"""The data sets of a training as callbacks get them: with labels, as in `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
import skorch.dataset
from skorch.utils import data_from_dataset
from torch.utils.data import Subset

from skclr.batches._dataset import ImageDataset
from skclr.batches._weights import weights_in


class LabelledSamples(skorch.dataset.Dataset):
    """Images with labels as in `fit`, where a training has class indices and weights.

    Parameters
    ----------
    encoded : ImageDataset or Subset of one
        What is trained on or validated with.
    """

    def __init__(self, encoded: Any):
        self.encoded = encoded

    @property
    def X(self) -> Any:
        """The images."""
        return data_from_dataset(self.encoded)[0]

    @property
    def y(self) -> Any:
        """The labels."""
        return _labels_of(self.encoded)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("encoded", "targets", "weights"):
            raise AttributeError(f"{type(self).__name__} has no {name}.")
        return getattr(self.encoded, name)

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        image, target = self.encoded[index][:2]
        classes = _source_of(self.encoded).classes
        return image, target if classes is None else classes[np.asarray(target)]


def for_callbacks(dataset: Any, *, indices_are_labels: bool) -> Any:
    """Return a data set of a training with labels in its samples; anything else as it is."""
    if not isinstance(_source_of(dataset), ImageDataset):
        return dataset
    if indices_are_labels and weights_in(dataset) is None:
        return dataset
    return LabelledSamples(dataset)


def for_training(dataset: Any) -> Any:
    """Return what `for_callbacks` was given, a part of it where this is a part."""
    if isinstance(dataset, LabelledSamples):
        return dataset.encoded
    if isinstance(dataset, Subset) and isinstance(_source_of(dataset), LabelledSamples):
        return Subset(for_training(dataset.dataset), dataset.indices)
    return dataset


def _source_of(dataset: Any) -> Any:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def _labels_of(dataset: Any) -> Any:
    if isinstance(dataset, Subset):
        return _labels_of(dataset.dataset)[np.asarray(dataset.indices)]
    return dataset.y
