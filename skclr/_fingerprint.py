"""Digests of parameters and of data, by which a file knows its comparison or training again.

They hold the names of modules, classes and functions among the parameters: what is moved under
another public name makes every store of before one of another comparison.
"""

from __future__ import annotations

import hashlib
import inspect
import types
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback, ParamMapper

# parameters that change nothing in a run of a comparison, which sets them, or in any training
_WITHOUT_INFLUENCE = frozenset(
    {"verbose", "random_state", "warm_start", "checkpoint", "checkpoint_every", "distributed"}
)
_LONGEST_TEXT = 60  # of a parameter that is shown as it is
_ROWS_AT_ONCE = 4096
# stores of before these parameters knew no others than these values
_NEWER = {
    "cycle_factor": 1.0,
    "warmup": 0.0,
    "image_size": 32,
    "class_weight": None,
    "batch_schedule": None,
}


def fingerprint(candidate: Any) -> str:
    """Return a digest of a candidate's parameters, the same in every process."""
    return hashlib.sha256(_described(candidate).encode()).hexdigest()[:16]


def data_digest(data: Iterable[Any]) -> str:
    """Return a digest of arrays, data frames and tensors, the same in every process."""
    return joblib.hash([_as_array(part) for part in data])


def parameter_texts(candidate: Any) -> dict[str, str]:
    """Return each parameter as a short text, a digest where it is a long one.

    Callbacks that say of themselves that they `only_watch` a training are left out.
    """
    given = _parameters(candidate)
    if isinstance(given.get("callbacks"), list):
        given = {**given, "callbacks": [_as_constructed(item) for item in given["callbacks"]]}
    return {name: _shortened(_described(value)) for name, value in given.items()}


def _as_constructed(item: Any) -> Any:
    """Return what a callback was constructed with: a training may have changed its attributes."""
    name, callback = item if isinstance(item, tuple) else (None, item)
    if not isinstance(callback, Callback):
        return item
    given = {key: getattr(callback, key, None) for key in constructor_names(callback)}
    if isinstance(callback, ParamMapper):  # which replaces its parameters when it is initialized
        at, patterns = given.get("at"), given.get("patterns")
        is_own = getattr(given.get("schedule"), "__self__", None) is callback
        given["schedule"] = None if is_own else given.get("schedule")
        given["at"] = at.keywords["epoch"] if isinstance(at, partial) else at
        given["patterns"] = patterns if isinstance(patterns, (list, tuple)) else [patterns]
    return name, type(callback), given


def constructor_names(callback: Callback) -> list[str]:
    """Return the names of what a callback is constructed with."""
    return list(inspect.signature(type(callback)).parameters)


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_TEXT and text.isprintable():
        return text
    return f"#{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def rows_digest(rows: Any) -> str:
    """Return a digest of an array, read piece by piece: a memory map need not fit in memory."""
    found = hashlib.blake2b(f"{rows.dtype.str} {tuple(rows.shape)}".encode(), digest_size=8)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        piece = np.ascontiguousarray(rows[start : start + _ROWS_AT_ONCE])
        if piece.dtype.hasobject:
            found.update(repr(piece.tolist()).encode())
        else:
            found.update(piece.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _described(value: Any, depth: int = 0) -> str:
    """Return a text that tells a parameter from another one, and holds no address in memory."""
    if depth > 20:  # what refers to itself has been told by now
        return type(value).__qualname__
    tell = partial(_described, depth=depth + 1)
    if value is None or isinstance(value, (str, bytes, bool)):
        return repr(value)
    if isinstance(value, (int, float, complex, np.generic)):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, types.CodeType):
        return f"{value.co_code!r}{tell(value.co_consts)}{value.co_names}"
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        own = [value.__code__, value.__defaults__, value.__kwdefaults__, cells]
        return f"{value.__module__}.{value.__qualname__}{tell(own)}"
    if isinstance(value, types.MethodType):
        return tell([value.__func__, value.__self__])
    if isinstance(value, (type, types.BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, partial):
        return tell(["partial", value.func, value.args, value.keywords])
    if isinstance(value, (np.ndarray, torch.Tensor, pd.DataFrame, pd.Series)):
        return joblib.hash(_as_array(value))
    if isinstance(value, torch.nn.Module):
        return f"{type(value).__qualname__}{value!r}{tell(value.state_dict())}"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{tell(k)}:{tell(v)}" for k, v in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(tell, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(map(tell, value))) + "}"
    return tell(type(value)) + tell(_parameters(value))


def _parameters(value: Any) -> Mapping[str, Any]:
    """Return what makes an object: its parameters, or all its attributes."""
    if hasattr(value, "get_params"):
        given = value.get_params(deep=False)
        return {
            name: _without_watchers(part) if name == "callbacks" else part
            for name, part in given.items()
            if name not in _WITHOUT_INFLUENCE and not (name in _NEWER and part == _NEWER[name])
        }
    return getattr(value, "__dict__", None) or (
        {} if " at 0x" in repr(value) else {"repr": repr(value)}
    )


def _without_watchers(callbacks: Any) -> Any:
    if not isinstance(callbacks, list):
        return callbacks
    kept = [
        item
        for item in callbacks
        if not getattr(item[-1] if isinstance(item, tuple) else item, "only_watches", False)
    ]
    return kept or None


def _as_array(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
