"""Arrays and tensors in one layout: channels first, and memory shared where it can be."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

_TORCH_DTYPES = frozenset(  # what torch.from_numpy takes in every supported version
    ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
)


def channels_first(X: np.ndarray) -> np.ndarray:
    """Return rows as they are, and images as (n, channels, height, width)."""
    if X.ndim == 2:
        return X
    if X.ndim == 3:
        return X[:, np.newaxis]
    if X.ndim == 4 and X.shape[1] in (1, 3):
        return X
    if X.ndim == 4 and X.shape[3] in (1, 3):
        return np.moveaxis(X, 3, 1)
    raise ValueError(
        "Expected rows (n, n_features) or images (n, h, w), (n, channels, h, w) or "
        f"(n, h, w, channels) with 1 or 3 channels, got an array of shape {X.shape}."
    )


def from_torch(tensor: Any) -> Any:
    """Return a tensor as an array that shares its memory; anything else as it is."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def as_array(values: Any) -> np.ndarray:
    """Return an array, a tensor or a sequence as an array, without a copy where it can be."""
    return from_torch(values) if isinstance(values, torch.Tensor) else np.asanyarray(values)


def as_tensor(array: Any) -> torch.Tensor:
    """Return an array as a tensor, without a copy where torch can share it."""
    if isinstance(array, torch.Tensor):
        return array
    array = np.asarray(array)
    if not is_of_torch(array.dtype):
        array = array.astype(np.float64)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)


@functools.cache  # the name of a dtype takes NumPy longer than the rest of a batch
def is_of_torch(dtype: np.dtype) -> bool:
    """Tell whether torch takes arrays of this dtype as they are."""
    return dtype.name in _TORCH_DTYPES and dtype.isnative
