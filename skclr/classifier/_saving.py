"""What stands in the header of a saved model, and what pickles of before become."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from skclr._process import GeneratorStates
from skclr._training import Boundaries, PredictionState, TrainingState
from skclr.batches import InputShape

_ENTRY = "skclr"  # the name of ours in the header of a file of safetensors
_NOT_OURS = (KeyError, TypeError, ValueError, OverflowError, RecursionError, AttributeError,
             safetensors.SafetensorError)  # fmt: skip
_LIKE_THE_WEIGHTS = frozenset(
    ["momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum"]
)  # in the state of torch's optimizers
_LONGEST_HEADER = 100_000_000  # bytes, as in the format


def to_safetensors(
    prediction: PredictionState, training: TrainingState, weights: Mapping[str, torch.Tensor]
) -> bytes:
    """Return a file of safetensors that holds weights and, as text, what else a prediction needs.

    A digest of it all tells a file whose bytes have changed.
    """
    described = _described(prediction, training)
    described["digest"] = _digest(described, weights)
    state = {name: part.contiguous() for name, part in weights.items()}
    return safetensors.torch.save(state, metadata={_ENTRY: json.dumps(described)})


def _digest(described: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> str:
    others = {name: value for name, value in described.items() if name != "digest"}
    found = hashlib.sha256(json.dumps(others, sort_keys=True).encode())
    for name in sorted(weights):
        part = weights[name].detach().cpu().contiguous()
        found.update(f"{name} {part.dtype} {tuple(part.shape)}".encode())
        found.update(part.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _described(prediction: PredictionState, training: TrainingState) -> dict[str, Any]:
    classes = prediction.classes
    names = prediction.input_shape.feature_names
    return {
        "classes": (classes.astype(str) if classes.dtype.kind in "mMS" else classes).tolist(),
        "classes_dtype": classes.dtype.str,
        "image_shape": list(prediction.input_shape.image_shape),
        "n_features_in": prediction.input_shape.n_features,
        "feature_names_in": [] if names is None else names.tolist(),
        "base_lr": training.boundaries.base_lr,
        "max_lr": training.boundaries.max_lr,
        "split_seed": training.split_seed,
        "pixel_mean": _listed(prediction.pixel_mean),
        "pixel_std": _listed(prediction.pixel_std),
    }


def _listed(array):
    return None if array is None else array.tolist()


def from_safetensors(
    data: bytes, file: Any
) -> tuple[PredictionState, TrainingState, dict[str, torch.Tensor]]:
    """Return what `to_safetensors` wrote, or raise ValueError.

    Every value is checked: the file may come from anybody.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        if not 0 < length <= min(len(data) - 8, _LONGEST_HEADER):
            raise ValueError("its header is not whole")
        header = json.loads(data[8 : 8 + length])
        described = json.loads(header["__metadata__"][_ENTRY])
        weights = safetensors.torch.load(data)
        if "digest" in described and described["digest"] != _digest(described, weights):
            raise ValueError("its bytes have changed since it was written")
        return *_checked(described), weights
    except _NOT_OURS as error:
        raise ValueError(
            f"{file} is no file of CLRLeNetClassifier.save_params(use_safetensors=True): {error!r}."
        ) from None


def check_weights(weights: Mapping[str, torch.Tensor], module: nn.Module) -> None:
    """Raise ValueError unless these are the weights of a network, and no others.

    The network need not have memory for its weights: a file that claims to be of a larger one than
    it holds is refused before any is taken.
    """
    found = {name: part.shape for name, part in weights.items()}
    needed = {name: part.shape for name, part in module.state_dict().items()}
    if found != needed:
        other = sorted(name for name in {*found, *needed} if found.get(name) != needed.get(name))
        raise ValueError(
            "What was to be loaded does not fit this net: the file and the network differ in "
            f"{', '.join(other[:5])}."
        )


def check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError unless what an optimizer has loaded is of its kind and of these weights.

    torch looks at neither, and its fused optimizers then write beyond the end of a buffer.
    """
    for group in optimizer.param_groups:
        missing = sorted(optimizer.defaults.keys() - group.keys())
        if missing:
            raise ValueError(f"the file is of an optimizer without {', '.join(missing)}")
        for part in group["params"]:
            for name, value in optimizer.state.get(part, {}).items():
                if name in _LIKE_THE_WEIGHTS and getattr(value, "shape", part.shape) != part.shape:
                    raise ValueError(
                        f"{name} of the optimizer has the shape {tuple(value.shape)}, its weights "
                        f"{tuple(part.shape)}"
                    )


def keep_own_implementation(optimizer: torch.optim.Optimizer) -> None:
    """Compute as this optimizer was made to, whatever the one did whose state it has loaded."""
    for group in optimizer.param_groups:
        for name in ("foreach", "fused"):
            if name in optimizer.defaults:
                group[name] = optimizer.defaults[name]


def _checked(described):
    image_shape = tuple(described["image_shape"])
    if not (
        len(image_shape) == 3
        and all(_is_count(side) for side in image_shape)
        and image_shape[0] in (1, 3)
    ):
        raise ValueError(f"image_shape={image_shape}")
    n_features = described["n_features_in"]
    if not _is_count(n_features):
        raise ValueError(f"n_features_in={n_features!r}")
    side = math.isqrt(n_features - 1) + 1  # of the square that a row is padded to
    if n_features != math.prod(image_shape) and image_shape != (1, side, side):
        raise ValueError(f"image_shape={image_shape} and n_features_in={n_features}")
    names = described["feature_names_in"]
    if names and not (len(names) == n_features and all(isinstance(name, str) for name in names)):
        raise ValueError("feature_names_in")
    mean = _statistics(described["pixel_mean"], image_shape[0])
    std = _statistics(described["pixel_std"], image_shape[0])
    if (mean is None) != (std is None) or (std is not None and not (std > 0).all()):
        raise ValueError("pixel_mean and pixel_std")
    seed = described.get("split_seed")
    if not (seed is None or (_is_count(seed + 1) and seed < 2**32)):
        raise ValueError(f"split_seed={seed!r}")
    shape = InputShape(n_features, image_shape, np.array(names, dtype=object) if names else None)
    boundaries = Boundaries(*(_rate(described[name]) for name in ("base_lr", "max_lr")))
    return (
        PredictionState(_classes(described), shape, mean, std),
        TrainingState(boundaries=boundaries, split_seed=seed),
    )


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40


def _classes(described):
    values, name = described["classes"], described["classes_dtype"]
    if not (isinstance(values, list) and isinstance(name, str) and len(values) >= 2):
        raise ValueError("classes")
    dtype = np.dtype(name)
    longest = max((len(value) for value in values if isinstance(value, str)), default=0)
    if dtype.kind not in "biufUSOmM" or dtype.itemsize > max(16, 4 * longest):
        raise ValueError(f"classes_dtype={name!r}")
    classes = np.array(values, dtype=dtype)
    if classes.ndim != 1 or not np.array_equal(np.unique(classes), classes):
        raise ValueError("classes")
    return classes


def _statistics(values, n_channels):
    if values is None:
        return None
    array = np.array(values, dtype=np.float64)
    if array.shape != (n_channels,) or not np.isfinite(array).all():
        raise ValueError("pixel_mean and pixel_std")
    return array


def _rate(value):
    if value is None:
        return None
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise ValueError(f"a learning rate of {value!r}")
    return float(value)


def upgraded(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a pickled classifier in the form of today.

    Version 0.1 kept what was fitted in many attributes, which stand in two values today.
    """
    old = dict(state)
    if not old.keys() & {"classes_inferred_", "_generators", "_used"}:
        return old
    optimizer = old.get("optimizer_")
    if optimizer is not None and "optimizer__fused" not in old:
        optimizer.defaults["fused"] = None  # it was set unasked, and takes no gradient that is late
        keep_own_implementation(optimizer)
    for name in ("_prepare", "_compiled_for", "_whole", "_shared", "_trained"):
        old.pop(name, None)
    shape = InputShape(
        old.pop("n_features_in_", 0),
        tuple(old.pop("image_shape_", ())),
        old.pop("feature_names_in_", None),
    )
    mean, std = old.pop("pixel_mean_", None), old.pop("pixel_std_", None)
    if "classes_inferred_" in old:
        old["_prediction"] = PredictionState(old.pop("classes_inferred_"), shape, mean, std)
    generators = old.pop("_generators", None)
    used = {name.rstrip("_"): value for name, value in old.pop("_used", {}).items()}
    old["_training"] = TrainingState(
        generators=None if generators is None else GeneratorStates.of(*generators),
        split_seed=old.pop("_split_seed", None),
        boundaries=Boundaries(
            old.pop("base_lr_", None), old.pop("max_lr_", None), old.pop("lr_range_", None)
        ),
        parameters=used,
    )
    return old
