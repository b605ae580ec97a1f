"""What the pictures are given, as arrays and tables that can be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def read_history(estimator: Any, level: str) -> pd.DataFrame:
    """Return the history_frame of a fitted classifier."""
    if not hasattr(estimator, "history_frame"):
        raise TypeError(
            "estimator must be a CLRLeNetClassifier, whose history_frame is read, "
            f"got {type(estimator).__name__}."
        )
    return estimator.history_frame(level)


def as_vector(
    values: ArrayLike, name: str, n: int | None = None, of: str | None = None
) -> np.ndarray:
    """Return values as floats of shape (n,), of any length where n is None."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must be 1-dimensional and not empty, got shape {array.shape}.")
    if n is not None and len(array) != n:
        raise ValueError(f"{name} must hold a value for each of the {n} {of}, got {len(array)}.")
    return array


def as_repeats(values: ArrayLike, name: str, n: int, of: str) -> np.ndarray:
    """Return values as floats of shape (n_repeats, n); one repeat may be given as (n,)."""
    array = np.atleast_2d(np.asarray(values, dtype=float))
    if array.ndim != 2 or not len(array) or array.shape[1] != n:
        raise ValueError(
            f"{name} must have shape ({n},) or (n_repeats, {n}), a value for each of {of}, "
            f"got {np.shape(values)}."
        )
    return array


def check_positive(array: np.ndarray, name: str) -> np.ndarray:
    """Return the array; raise ValueError if a value is not finite and above 0."""
    if not (np.isfinite(array) & (array > 0)).all():
        bad = array[~(np.isfinite(array) & (array > 0))][0]
        raise ValueError(f"{name} must be finite and above 0, got {bad:g}.")
    return array
