"""The labels of a data set, read without making its images where that is possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import skorch.dataset
from skorch.helper import SliceDataset
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from skclr.batches._arrays import as_array, from_torch
from skclr.batches._dataset import ImageDataset
from skclr.batches._labelled import LabelledSamples
from skclr.batches._objects import label_key

_TOLD_IN = ("targets", "labels")  # of torchvision's data sets
_CLASSES_LOOKED_AT = 8


def gives_as(dataset: Any, kind: type) -> bool:
    """Tell whether a data set is of a kind, and of no subclass that gives other samples."""
    names = ("__getitem__", "transform")
    return isinstance(dataset, kind) and all(
        getattr(type(dataset), name, None) is getattr(kind, name, None) for name in names
    )


def is_part(dataset: Any) -> bool:
    """Tell whether this gives samples of another data set, by a list of their indices."""
    is_slice = gives_as(dataset, SliceDataset) and dataset.idx == 0
    return is_slice or gives_as(dataset, Subset)


def indices_of(dataset: Any) -> np.ndarray:
    """Return the indices of the samples that a part of a data set gives."""
    is_slice = isinstance(dataset, SliceDataset)
    return np.asarray(dataset.indices_ if is_slice else dataset.indices, dtype=np.int64)


def is_in_memory(dataset: Any) -> bool:
    """Tell whether a data set holds an array of images and one of labels."""
    kinds = (skorch.dataset.Dataset, TensorDataset)
    return isinstance(dataset, ImageDataset) or any(gives_as(dataset, kind) for kind in kinds)


def labels_in(dataset: Any, indices: np.ndarray | None = None) -> np.ndarray | None:
    """Return the labels of a data set, None where its samples have none.

    Parameters
    ----------
    dataset : Dataset or sequence of samples
        Of the map style.
    indices : ndarray of shape (n_samples,) or None, default=None
        The samples that count; None: all of them.
    """
    if isinstance(dataset, SliceDataset) or is_part(dataset):
        own = indices_of(dataset)
        return labels_in(dataset.dataset, own if indices is None else own[indices])
    if isinstance(dataset, LabelledSamples):
        labels = dataset.y
    elif is_in_memory(dataset):
        tensors = dataset.tensors if isinstance(dataset, TensorDataset) else (None, dataset.y)
        labels = tensors[1] if len(tensors) > 1 and tensors[1] is not None else None
        labels = None if labels is None else as_array(labels)
    elif gives_as(dataset, ConcatDataset):
        labels = _concatenated([labels_in(part) for part in dataset.datasets if len(part)])
    else:
        return _told_or_read(dataset, indices)
    return labels if labels is None or indices is None else labels[indices]


def given_labels(y: Any) -> Any:
    """Return labels as they were given; of a tensor or of a skorch `SliceDataset` as an array."""
    if not isinstance(y, SliceDataset):
        return from_torch(y)
    if gives_as(y, SliceDataset) and len(y) and y.idx == _place_of_label(y.dataset[y.indices_[0]]):
        return labels_in(y.dataset, indices_of(y))
    return np.asarray(y)


def part_of(sample: Any, place: Any, index: int) -> Any:
    """Return a part of a sample, or raise ValueError where it has none in that place."""
    try:
        return sample[place]
    except (KeyError, IndexError, TypeError):
        raise ValueError(
            f"Sample {index} of the data set has no {place!r}, as the first has."
        ) from None


def _concatenated(parts: list[np.ndarray | None]) -> np.ndarray | None:
    known = [labels for labels in parts if labels is not None]
    if len(known) < len(parts):
        return None
    kinds = {labels.dtype.kind in "OUS" for labels in known}
    if len(kinds) > 1:
        raise ValueError(
            "The parts of the data set have labels of several kinds, numbers in one and names in "
            "another."
        )
    return np.concatenate(known)


def _told_or_read(dataset: Any, indices: np.ndarray | None) -> np.ndarray | None:
    if not len(dataset):
        return None
    first = dataset[0]
    place = _place_of_label(first)
    for told in _told(dataset, place):
        if _are_of_samples(told, dataset, place):
            return told if indices is None else told[indices]
    if place is None or part_of(first, place, 0) is None:
        return None
    wanted = range(len(dataset)) if indices is None else indices.tolist()
    labels = [part_of(dataset[index], place, index) for index in wanted]
    return np.array([from_torch(label) for label in labels])


def _place_of_label(sample: Any) -> Any:
    if isinstance(sample, Mapping):
        return label_key(sample)
    return 1 if isinstance(sample, (tuple, list)) and len(sample) > 1 else None


def _told(dataset: Any, place: Any) -> Iterable[np.ndarray]:
    """Yield what may be the labels, told without making a sample."""
    transform = getattr(dataset, "target_transform", None)
    told: list[Any] = [getattr(dataset, name, None) for name in _TOLD_IN]
    # a Hugging Face data set has columns, unless a function makes its samples
    columns, form = getattr(dataset, "column_names", None), getattr(dataset, "format", None)
    is_custom = isinstance(form, Mapping) and form.get("type") == "custom"
    if isinstance(columns, (list, tuple)) and place in columns and not is_custom:
        told.append(dataset[place])
    for values in told:
        if not (hasattr(values, "__len__") and hasattr(values, "__getitem__")):
            continue
        if len(values) != len(dataset) or isinstance(values, (str, bytes, Mapping)):
            continue
        labels = as_array(values if hasattr(values, "dtype") else list(values))
        if transform is not None:
            labels = np.array([from_torch(transform(label)) for label in labels.tolist()])
        if labels.ndim == 1:
            yield labels


def _are_of_samples(told: np.ndarray, dataset: Any, place: Any) -> bool:
    """Tell whether a sample of each of a few classes has the label that is told of it."""
    if place is None:  # a sample is an image alone
        return True
    first = {label: index for index, label in reversed(list(enumerate(told.tolist())))}
    return all(
        np.array_equal(from_torch(part_of(dataset[index], place, index)), told[index])
        for index in sorted(first.values())[:_CLASSES_LOOKED_AT]
    )
