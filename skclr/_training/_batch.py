"""A batch in the forms in which the step, skorch and callbacks want it."""

from __future__ import annotations

from typing import Any

import torch

from skclr._training._state import PredictionState
from skclr.batches import as_tensor


class LabelledBatch(tuple):
    """A batch as callbacks get it: images, and labels as in `fit` in place of class indices.

    Attributes
    ----------
    targets : Tensor of int64 of shape (n,)
        The class indices.
    weights : Tensor of float64 of shape (n,) or None
        The weights of the samples, where they have some.
    """

    targets: torch.Tensor
    weights: torch.Tensor | None = None

    @classmethod
    def of(cls, batch: Any, state: PredictionState | None) -> Any:
        """Return a batch of images and class indices with labels, anything else as it is."""
        if state is None or (len(batch) == 2 and state.labels_are_indices):
            return batch
        if len(batch) not in (2, 3):
            return batch
        images, targets, *weights = batch
        labelled = cls((images, _labels_of(targets, state)))
        labelled.targets = targets
        if weights:
            (labelled.weights,) = weights
        return labelled


def _labels_of(targets: torch.Tensor, state: PredictionState) -> Any:
    if state.labels_are_indices:
        return targets
    labels = state.classes[targets.cpu().numpy()]
    return as_tensor(labels) if labels.dtype.kind in "biuf" else labels


def without_weights(batch: Any) -> Any:
    """Return a batch as skorch knows it, a pair; anything else as it is."""
    is_weighted = isinstance(batch, (tuple, list)) and len(batch) == 3
    return batch[:2] if is_weighted else batch
