"""Values of Python as values of JSON and tensors, and back, each of the type that it was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Tensors = dict[str, Tensor]

_PLAIN = (bool, int, float, str)
_COLUMNS = {bool: "bool", float: "float64", int: "int64"}
_FEWEST_IN_COLUMN = 8


def encode(value: Any, name: str, tensors: Tensors) -> Any:
    """Return a value as one of JSON; tensors and arrays are added to `tensors`.

    Raises
    ------
    TypeError
        If it holds anything but numbers, texts, arrays, tensors and containers of these.
    """
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Tensor):
        return {"is": "tensor", "name": _keep(value, name, tensors)}
    if isinstance(value, np.generic):
        if value.dtype.kind not in "biufU":
            raise TypeError(f"{name} holds a {value.dtype}")
        return {"is": "scalar", "dtype": value.dtype.str, "value": value.item()}
    if isinstance(value, np.ndarray):
        return _encoded_array(value, name, tensors)
    if isinstance(value, Mapping):
        keys = list(value)
        if all(type(key) is str for key in keys) and "is" not in value:
            return {key: encode(value[key], f"{name}/{key}", tensors) for key in keys}
        pairs = [[encode(key, f"{name}/key", tensors),
                  encode(value[key], f"{name}/{key}", tensors)] for key in keys]  # fmt: skip
        return {"is": "dict", "items": pairs}
    if isinstance(value, (list, tuple, set, frozenset)):
        return _encoded_items(value, name, tensors)
    raise TypeError(f"{name} holds a {type(value).__name__}")


def _keep(value: Tensor, name: str, tensors: Tensors) -> str:
    name = name if name not in tensors else f"{name}/{len(tensors)}"
    # no two may share memory in a file, and what is written must not change meanwhile
    tensors[name] = value.detach().to("cpu", copy=True).contiguous()
    return name


def _encoded_array(value: np.ndarray, name: str, tensors: Tensors) -> Any:
    if value.dtype.kind == "U":
        return {"is": "strings", "items": value.tolist()}
    if value.dtype.kind not in "biufcmM":
        raise TypeError(f"{name} holds an array of {value.dtype}")
    raw = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
    return {
        "is": "array",
        "name": _keep(raw, name, tensors),
        "dtype": value.dtype.str,
        "shape": list(value.shape),
    }


def _encoded_items(value: Any, name: str, tensors: Tensors) -> Any:
    items: Any = value if isinstance(value, (list, tuple)) else sorted(value, key=repr)
    column = encode_column(items, name, tensors) if len(items) >= _FEWEST_IN_COLUMN else None
    if column is None:
        column = [encode(item, f"{name}/{i}", tensors) for i, item in enumerate(items)]
    kind = next(kind for kind in _CONTAINERS if isinstance(value, _CONTAINERS[kind]))
    if kind == "list" and isinstance(column, list):
        return column
    return {"is": kind, "items": column}


_CONTAINERS: dict[str, type] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


def encode_column(values: Sequence[Any], name: str, tensors: Tensors) -> Any:
    """Return numbers of one type as an array, None where they are anything else."""
    kinds = set(map(type, values))
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    numpys = issubclass(kind, np.generic) and kind is not np.str_
    if not (numpys or kind in _COLUMNS):
        return None
    try:
        array = np.array(values) if numpys else np.array(values, dtype=_COLUMNS[kind])
    except OverflowError:
        return None
    if array.dtype.kind not in "biuf":
        return None
    return {
        "is": "column",
        "of": "numpy" if numpys else "python",
        "values": _encoded_array(array, name, tensors),
    }


def decode(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return what `encode` was given, or raise ValueError, KeyError or TypeError."""
    if tree is None or type(tree) in _PLAIN:
        return tree
    if isinstance(tree, list):
        return [decode(item, tensors) for item in tree]
    if "is" not in tree:
        return {key: decode(item, tensors) for key, item in tree.items()}
    kind = tree["is"]
    if kind == "tensor":
        return tensors[tree["name"]].clone()
    if kind == "dict":
        return {decode(key, tensors): decode(item, tensors) for key, item in tree["items"]}
    if kind == "scalar":
        return _decoded_scalar(tree)
    if kind == "strings":
        return np.array(tree["items"], dtype=str)
    if kind == "array":
        return _decoded_array(tree, tensors)
    if kind == "column":
        values = _decoded_array(tree["values"], tensors)
        return list(values) if tree["of"] == "numpy" else values.tolist()
    return _CONTAINERS[kind](decode(tree["items"], tensors))


def _decoded_scalar(tree: Mapping[str, Any]) -> Any:
    dtype = np.dtype(tree["dtype"])
    if dtype.kind == "U":
        return np.str_(tree["value"])
    if dtype.kind not in "biuf":
        raise ValueError(f"a number of {dtype}")
    return dtype.type(tree["value"])


def _decoded_array(tree: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> np.ndarray:
    dtype, raw = np.dtype(tree["dtype"]), tensors[tree["name"]]
    shape = tuple(tree["shape"])
    whole = all(type(side) is int and side >= 0 for side in shape)
    if dtype.kind not in "biufcmM" or not whole or raw.dtype is not torch.uint8:
        raise ValueError(f"an array of {dtype}")
    if raw.numel() != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {shape} and {raw.numel()} bytes")
    return np.frombuffer(raw.numpy().tobytes(), dtype).reshape(shape).copy()
