"""The data of one call of `fit`: images with labels and, maybe, weights, and parts of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from torch.utils.data import Dataset, Subset

from skclr.batches import ImageDataset, mean_one


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images, class indices and weights, all of them checked.

    Parameters
    ----------
    images : array-like of shape (n, n_features) or (n, channels, height, width)
        Any that `ImageDataset` takes.
    targets : ndarray of int of shape (n,)
        Class indices.
    classes : ndarray of shape (n_classes,)
        The label of each index.
    sample_weight : ndarray of shape (n,) or None
        Weights of the samples.
    class_weight : ndarray of shape (n_classes,) or None
        Weights of the classes.
    """

    images: Any
    targets: np.ndarray
    classes: np.ndarray
    sample_weight: np.ndarray | None = None
    class_weight: np.ndarray | None = None

    @cached_property
    def weights(self) -> np.ndarray | None:
        """The weights of the samples times those of their classes; None without any."""
        if self.class_weight is None:
            return self.sample_weight
        of_classes = (self.class_weight / self.class_weight.max())[self.targets]
        if self.sample_weight is None:
            return of_classes
        return self.sample_weight / self.sample_weight.max() * of_classes

    def present(self) -> np.ndarray | None:
        """Return the indices of the samples that weigh more than 0; None where all do."""
        if self.weights is None or self.weights.all():
            return None
        return np.flatnonzero(self.weights)

    def check_present(self, name: str, *, needs_two_classes: bool) -> None:
        """Raise ValueError where too few samples weigh more than 0.

        Parameters
        ----------
        name : str
            Of the labels, for messages.
        needs_two_classes : bool
            Whether there have to be samples of two classes.
        """
        present = self.present()
        if present is None:
            return
        labels = self.classes[np.unique(self.targets[present])].tolist()
        if not labels:
            raise ValueError(f"Every sample of {name} has a weight of zero, by its class.")
        if needs_two_classes and len(labels) < 2:
            raise ValueError(
                "There must be at least two classes, and but for a sample_weight or class_weight "
                f"of zero {name} has 1 class: {labels}."
            )

    def part(self, indices: np.ndarray | None) -> Dataset:
        """Return some of the samples, or all, with weights whose mean over these is one.

        Weights that are all alike are left out.
        """
        weights = mean_one(self.weights, indices)
        whole: Dataset = ImageDataset(self.images, self.targets, self.classes, weights)
        return whole if indices is None else Subset(whole, cast(Any, indices))

    def described(self, suffix: str = "") -> dict[str, Any]:
        """Return what tells these data from others, by name."""
        parts = {"X": self.images, "y": self.targets, "sample_weight": self.sample_weight}
        return {f"{name}{suffix}": part for name, part in parts.items() if part is not None}
