"""What stands in the header of a saved model, and what pickles of before become."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from skclr._checkpoints import NOT_OURS, pack, unpack
from skclr._process import GeneratorStates
from skclr._training import Boundaries, PredictionState, TrainingState
from skclr.batches import InputShape

_ENTRY = "skclr"  # the name of ours in the header of a file of safetensors
# parameters that pickles of before do not have
_DEFAULTS_OF_NEWER = {
    "cycle_factor": 1.0,
    "warmup": 0.0,
    "image_size": 32,
    "class_weight": None,
    "batch_schedule": None,
    "distributed": False,
}


def to_safetensors(
    prediction: PredictionState, training: TrainingState, weights: Mapping[str, torch.Tensor]
) -> bytes:
    """Return a file of safetensors that holds weights and, as text, what else a prediction needs.

    A digest of it all tells a file whose bytes have changed.
    """
    return pack(_ENTRY, _described(prediction, training), weights)


def _described(prediction: PredictionState, training: TrainingState) -> dict[str, Any]:
    classes = prediction.classes
    names = prediction.input_shape.feature_names
    sample_shape = prediction.input_shape.sample_shape
    return {
        "classes": (classes.astype(str) if classes.dtype.kind in "mMS" else classes).tolist(),
        "classes_dtype": classes.dtype.str,
        "image_shape": list(prediction.input_shape.image_shape),
        "image_size": list(prediction.image_size),
        "n_features_in": prediction.input_shape.n_features,
        "feature_names_in": [] if names is None else names.tolist(),
        "sample_shape": None if sample_shape is None else list(sample_shape),
        "dtype": prediction.input_shape.dtype,
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
        described, weights = unpack(_ENTRY, data)
        return *_checked(described), weights
    except NOT_OURS as error:
        raise ValueError(
            f"{file} is no file of CLRLeNetClassifier.save_params(use_safetensors=True): {error!r}."
        ) from None


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
    shape = InputShape(
        n_features,
        image_shape,
        np.array(names, dtype=object) if names else None,
        *_form(described, n_features, image_shape),
    )
    boundaries = Boundaries(*(_rate(described[name]) for name in ("base_lr", "max_lr")))
    return (
        PredictionState(_classes(described), shape, mean, std, _size(described)),
        TrainingState(boundaries=boundaries, split_seed=seed),
    )


def _form(described, n_features, image_shape):
    """Return shape and dtype of a sample as it came; files of version 0.1.0 tell neither."""
    sample_shape, dtype = described.get("sample_shape"), described.get("dtype")
    if sample_shape is None and dtype is None:
        return None, None
    channels, *sides = image_shape
    forms = [[n_features], sides, [channels, *sides], [*sides, channels]]
    if sample_shape not in forms or math.prod(sample_shape) != n_features:
        raise ValueError(f"sample_shape={sample_shape}")
    if not isinstance(dtype, str) or np.dtype(dtype).kind not in "biuf":
        raise ValueError(f"dtype={dtype!r}")
    return tuple(map(int, sample_shape)), np.dtype(dtype).name


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40


def _size(described):
    size = described.get("image_size", [32, 32])  # files of before have none
    if not (isinstance(size, list) and len(size) == 2 and all(map(_is_count, size))):
        raise ValueError(f"image_size={size!r}")
    return tuple(size)


def _classes(described):
    values, name = described["classes"], described["classes_dtype"]
    if not (isinstance(values, list) and isinstance(name, str) and len(values) >= 2):
        raise ValueError("classes")
    dtype = np.dtype(name)
    longest = max((len(value) for value in values if isinstance(value, str)), default=0)
    # text may have room for longer labels than there are, but not for a memory full
    is_huge = dtype.itemsize > max(16, 4 * longest) and dtype.itemsize * len(values) > 2**20
    if dtype.kind not in "biufUSOmM" or is_huge:
        raise ValueError(f"classes_dtype={name!r}")
    classes = np.array(values, dtype=dtype)
    if classes.ndim != 1 or not np.array_equal(np.unique(classes), classes):
        raise ValueError("classes")
    return classes


def _statistics(values, n_channels):
    if values is None:
        return None
    array = np.array(values, dtype=np.float64)
    largest = np.finfo(np.float32).max  # images are of that precision
    if array.shape != (n_channels,) or not (np.abs(array) <= largest).all():
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
    old = _DEFAULTS_OF_NEWER | dict(state)
    training = old.get("_training")
    if training is not None and training.parameters:  # of which no change is to take effect
        known = _DEFAULTS_OF_NEWER | dict(training.parameters)
        old["_training"] = replace(training, parameters=known)
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
        parameters={name: old[name] for name in _DEFAULTS_OF_NEWER} | used,
    )
    return old
