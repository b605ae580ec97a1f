"""The states of callbacks: of this package's and skorch's, and of those that tell theirs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from skorch.callbacks import Callback, EpochTimer

from skclr._checkpoints._values import Tensors, decode, encode
from skclr._fingerprint import constructor_names

# Made anew when a training begins, or of no influence on what follows.
_MADE_ANEW = frozenset(
    {
        "X_indexing_", "callback_", "checkpoint_", "epoch_start_time_", "first_batch_",
        "first_iteration_", "growing_", "keys_ignored_", "name_", "pbar_", "policy_", "scoring_",
        "table_", "y_indexing_",
    }
)  # fmt: skip
_KNOWN_OF_SKORCH = frozenset(
    {
        "BatchScoring", "Checkpoint", "EarlyStopping", "EpochScoring", "EpochTimer", "Freezer",
        "GradientNormClipping", "Initializer", "InputShapeSetter", "LRScheduler", "LoadInitState",
        "ParamMapper", "PassthroughScoring", "PrintLog", "ProgressBar", "TrainEndCheckpoint",
        "Unfreezer",
    }
)  # fmt: skip


def encode_callback(callback: Callback, name: str, tensors: Tensors) -> tuple[Any, bool]:
    """Return the state of a callback as values of JSON, and whether it is known to be whole.

    One with ``state_dict`` and ``load_state_dict`` tells its state itself.
    """
    if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict"):
        try:
            return {"state_dict": encode(callback.state_dict(), name, tensors)}, True
        except TypeError as error:
            raise TypeError(
                f"The state_dict of the callback {name!r} cannot be written to a checkpoint: "
                f"{error}. It may hold numbers, texts, arrays, tensors, and lists and dicts of "
                "these."
            ) from None
    if not _is_known(callback):
        return {}, not _has_state(callback)
    tree: dict[str, Any] = {}
    whole = True
    for key, value in vars(callback).items():
        if not key.endswith("_") or key.startswith("_") or key in _MADE_ANEW:
            continue
        is_part = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
        form = "parts" if is_part else "values"
        try:
            state = value.state_dict() if is_part else value
            tree.setdefault(form, {})[key] = encode(state, f"{name}/{key}", tensors)
        except TypeError:
            whole = False
    if isinstance(callback, EpochTimer) and callback.epoch_start_time_ is not None:
        tree["elapsed"] = time.time() - callback.epoch_start_time_
    return tree, whole


def _is_known(callback: Callback) -> bool:
    kind = type(callback)
    package = kind.__module__.partition(".")[0]
    return package == "skclr" or (package == "skorch" and kind.__name__ in _KNOWN_OF_SKORCH)


def _has_state(callback: Callback) -> bool:
    """Tell whether a callback holds anything besides its parameters, or logs to somewhere."""
    is_logger = type(callback).__module__.partition(".")[0] == "skorch"
    return is_logger or bool(vars(callback).keys() - set(constructor_names(callback)))


def decode_callback(tree: Mapping[str, Any], tensors: Tensors) -> dict[str, Any]:
    """Return the state that `encode_callback` found, or raise ValueError and its like."""
    return {
        "state_dict": decode(tree.get("state_dict"), tensors),
        "values": dict(decode(tree.get("values", {}), tensors)),
        "parts": dict(decode(tree.get("parts", {}), tensors)),
        "elapsed": None if tree.get("elapsed") is None else float(tree["elapsed"]),
    }


def load_callback(callback: Callback, state: Mapping[str, Any]) -> None:
    """Give a callback the state that another one like it had."""
    if state["state_dict"] is not None:
        if hasattr(callback, "load_state_dict"):
            callback.load_state_dict(state["state_dict"])
        return
    if not _is_known(callback):
        return
    for key, value in state["values"].items():
        if key.endswith("_") and not key.startswith("_") and key not in _MADE_ANEW:
            setattr(callback, key, value)
    for key, value in state["parts"].items():
        part: Any = getattr(callback, key, None)
        if hasattr(part, "load_state_dict"):
            part.load_state_dict(value)
    if state["elapsed"] is not None and isinstance(callback, EpochTimer):
        callback.epoch_start_time_ = time.time() - state["elapsed"]
