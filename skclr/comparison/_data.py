"""The data of a comparison: arrays, or data sets that bring their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch.dataset import get_len

from skclr._checkpoints import places_looked_at
from skclr._process import isolated_generators
from skclr.batches import is_dataset, labels_beside


class ComparedData(NamedTuple):
    """Training and test data; labels that plain skorch nets take from a data set are None."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any

    def with_labels(self) -> ComparedData:
        """Return the data with the labels of data sets beside them, read once for all trainings."""
        y, y_test = self.y, self.y_test
        if is_dataset(self.X):
            y = labels_beside(self.X, y)
        if is_dataset(self.X_test):
            y_test = labels_beside(self.X_test, y_test, "y_test")
        return self._replace(y=y, y_test=y_test)

    def check(self) -> None:
        """Raise ValueError unless there are labels, as many as there are images."""
        parts = [(self.X, self.y, "X", "y"), (self.X_test, self.y_test, "X_test", "y_test")]
        for images, labels, name, name_of_labels in parts:
            if images is None:
                raise ValueError(f"{name} is None: a comparison needs training and test data.")
            if labels is None and not is_dataset(images):
                raise ValueError(
                    f"{name} has no labels: give them as {name_of_labels}, or a data set that has "
                    "them."
                )
            n_samples = len(images) if is_dataset(images) else get_len(images)
            if labels is not None and n_samples != len(labels):
                raise ValueError(
                    f"{name} has {n_samples} samples, and {len(labels)} labels belong to it."
                )


def looked_at(part: Any) -> Any:
    """Return what tells data from others: arrays as they are, and some samples of a data set."""
    if not is_dataset(part):
        return part
    with isolated_generators(0):  # of which a data set may draw
        return [len(part), *(_plain(part[int(place)]) for place in places_looked_at(len(part)))]


def _plain(value: Any) -> Any:
    """Return a sample of arrays in place of tensors and of images of PIL."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    return np.asarray(value) if hasattr(value, "__array_interface__") else value
