"""Digests of a candidate and of the data, by which a store knows its comparison again.

They hold the names of modules, classes and functions among the parameters: what is moved under
another public name makes every store of before one of another comparison.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch

# parameters that change nothing in a run of a comparison, which sets them
_WITHOUT_INFLUENCE = frozenset({"verbose", "random_state", "warm_start"})


def fingerprint(candidate: Any) -> str:
    """Return a digest of a candidate's parameters, the same in every process."""
    return hashlib.sha256(_described(candidate).encode()).hexdigest()[:16]


def data_digest(data: Iterable[Any]) -> str:
    """Return a digest of arrays, data frames and tensors, the same in every process."""
    return joblib.hash([_as_array(part) for part in data])


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
        return {name: part for name, part in given.items() if name not in _WITHOUT_INFLUENCE}
    return getattr(value, "__dict__", None) or (
        {} if " at 0x" in repr(value) else {"repr": repr(value)}
    )


def _as_array(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
