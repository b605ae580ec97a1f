"""Weights of samples: checked, those of the classes multiplied in, and brought to a mean of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_array
from torch.utils.data import Subset

from skclr.batches._arrays import from_torch


def check_sample_weight(
    sample_weight: Any, n_samples: int | None, name: str = "sample_weight"
) -> np.ndarray:
    """Return the weights of samples in float64, or raise ValueError.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,)
        What was given: finite numbers of at least 0, one of them above.
    n_samples : int or None
        How many there have to be; None: somebody else looks at that.
    name : str, default="sample_weight"
        What to call them in messages.
    """
    try:
        weights = check_array(
            from_torch(sample_weight),
            dtype=np.float64,
            ensure_2d=False,
            allow_nd=True,
            ensure_min_samples=0,
            ensure_all_finite=False,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from None
    expected = "n" if n_samples is None else n_samples
    if weights.ndim != 1 or len(weights) != (n_samples or len(weights)):
        raise ValueError(
            f"{name} must have a weight for each sample, the shape ({expected},), and has the "
            f"shape {weights.shape}."
        )
    _check_values(weights, name)
    return weights


def weights_of_classes(
    class_weight: Any,
    classes: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray | None,
) -> np.ndarray | None:
    """Return the weight of each class, None where they have none, or raise ValueError.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        What was given: weights by label, at least one for each class; or as much as makes up for
        how often each occurs.
    classes : ndarray of shape (n_classes,)
        The labels.
    targets : ndarray of int of shape (n,)
        Class indices.
    sample_weight : ndarray of shape (n,) or None
        As how many samples each of them counts.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, Mapping):
        return _weights_by_label(class_weight, classes)
    counts = np.bincount(targets, weights=sample_weight, minlength=len(classes)).astype(float)
    found = counts > 0
    weights = np.ones(len(classes))
    weights[found] = counts.sum() / (found.sum() * counts[found])
    return weights


def mean_one(weights: np.ndarray | None, indices: np.ndarray | None) -> np.ndarray | None:
    """Return weights whose mean over some samples is one; None where these are all alike.

    Parameters
    ----------
    weights : ndarray of shape (n,) or None
        Of all samples.
    indices : ndarray of int or None
        The samples that are used, each of a weight above 0; None: all of them. The others get 0.
    """
    if weights is None:
        return None
    used = weights if indices is None else weights[indices]
    if (used == used[0]).all():
        return None
    # neither an infinite sum, nor a batch in which nothing is left
    scaled = np.maximum(used / used.max(), np.finfo(np.float64).tiny)
    scaled *= len(scaled) / scaled.sum()
    if indices is None:
        return scaled
    placed = np.zeros(len(weights))
    placed[indices] = scaled
    return placed


def weights_in(dataset: Any) -> np.ndarray | None:
    """Return the weights of the samples of a data set, None where it has none."""
    if isinstance(dataset, Subset):
        whole = weights_in(dataset.dataset)
        return None if whole is None else whole[np.asarray(dataset.indices)]
    return getattr(dataset, "weights", None)


def _weights_by_label(class_weight, classes):
    missing = [label not in class_weight for label in classes]
    if any(missing):
        others = [label for label in class_weight if label not in set(classes)]
        misspelt = f" Its labels {_plain(others)} are not among them." if others else ""
        raise ValueError(
            f"class_weight has no weight for {classes[missing].tolist()}: give each of the classes "
            f"{classes.tolist()} one; 1 leaves a class as it is.{misspelt}"
        )
    values = [class_weight[label] for label in classes]
    return check_sample_weight(values, len(classes), "class_weight")


def _plain(labels):
    return [label.item() if isinstance(label, np.generic) else label for label in labels]


def _check_values(weights, name):
    if not np.isfinite(weights).all():
        raise ValueError(f"{name} must be finite, and has NaN or infinity.")
    if (weights < 0).any():
        raise ValueError(
            f"{name} must not be negative, and has {weights.min():g}; a weight of 0 leaves out."
        )
    if not weights.any():
        raise ValueError(f"{name} must not be zero everywhere: nothing would count then.")
