"""The parameters: which there are, what they may be, and how a subclass adds its own."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import Callback, InputShapeSetter

from skclr.batches import sides_of
from skclr.classifier._schedule import BATCH_SCHEDULES, SCHEDULES
from skclr.lenet import LeNet5, engine_of

_INSTEAD = {  # of parameters of skorch's
    "lr": " Set max_lr, and schedule='constant' or None.",
    "train_split": " Hold samples out with validation_fraction, or give X_val and y_val to fit.",
}
_FROM_ONE = Interval(Integral, 1, None, closed="left")
_ABOVE_ZERO = Interval(Real, 0, np.inf, closed="neither")

CONSTRAINTS: dict[str, list] = {
    "module": [callable],
    "schedule": [StrOptions(set(SCHEDULES)), callable, None],
    "base_lr": [_ABOVE_ZERO, StrOptions({"auto"})],
    "max_lr": [_ABOVE_ZERO, StrOptions({"auto"})],
    "step_size": [_ABOVE_ZERO],
    "gamma": [Interval(Real, 0, 1, closed="right")],
    "cycle_factor": [Interval(Real, 1, None, closed="left")],
    "warmup": [Interval(Real, 0, None, closed="left")],
    "batch_size": [_FROM_ONE],
    "max_batch_size": [_FROM_ONE],
    "batch_schedule": [StrOptions(set(BATCH_SCHEDULES)), callable, None],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "weight_decay": [Interval(Real, 0, np.inf, closed="left")],
    "max_epochs": [_FROM_ONE],
    "augmentation": [callable, None],
    "image_size": [_FROM_ONE, tuple],
    "standardize": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "checkpoint": [str, os.PathLike, None],
    "checkpoint_every": [_ABOVE_ZERO],
    "distributed": ["boolean"],
    "callbacks": [list, StrOptions({"disable"}), None],
    "device": [str, torch.device, None],
    "compile": ["boolean"],
    "verbose": ["verbose"],
    "criterion": [callable],
    "optimizer": [callable],
    "iterator_train": [callable],
    "iterator_valid": [callable],
    "predict_nonlinearity": [callable, StrOptions({"auto"}), None],
    "use_caching": ["boolean", StrOptions({"auto"})],
    "torch_load_kwargs": [dict, None],
}


class SignatureOfInit:
    """The parameters of a class: those of its ``__init__``, and those that it passes upwards.

    scikit-learn takes every name in a class's signature for a parameter. Where an ``__init__`` ends
    in ``**kwargs``, the parameters of the next class that has one belong to it too, up to the class
    that holds this descriptor.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._last = owner

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        found: dict[str, inspect.Parameter] = {}
        takes_positions = True
        for cls in owner.__mro__:
            if "__init__" not in vars(cls):
                continue
            _, *own = inspect.signature(vars(cls)["__init__"]).parameters.values()
            kinds = {parameter.kind for parameter in own}
            for parameter in own:
                if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    continue
                if not takes_positions:
                    parameter = parameter.replace(kind=parameter.KEYWORD_ONLY)
                found.setdefault(parameter.name, parameter)
            takes_positions = takes_positions and inspect.Parameter.VAR_POSITIONAL in kinds
            if cls is self._last or inspect.Parameter.VAR_KEYWORD not in kinds:
                break
        return inspect.Signature(sorted(found.values(), key=lambda parameter: parameter.kind))


def check_names(
    names: Iterable[str], prefixes: Iterable[str], estimator: str, error: type[Exception]
) -> None:
    """Raise unless each name begins with a prefix of a part of the net and a double underscore."""
    known = {*prefixes, "module", "criterion", "optimizer"}
    for name in names:
        prefix, _, rest = name.partition("__")
        if not rest or prefix not in known:
            raise error(f"{estimator} has no parameter {name!r}.{_INSTEAD.get(name, '')}")


def check_image_size(size: Any, module: Any) -> None:
    """Raise ValueError unless this is a size of images, and that of LeNet-5 where it is used."""
    if sides_of(size, "image_size") != (32, 32) and LeNet5 in (module, type(module)):
        raise ValueError(
            f"image_size={size!r}, but LeNet5 takes images of 32 x 32 pixels alone: give a module "
            "of your own with it."
        )


def check_device(device: torch.device | str | None, *, distributed: bool = False) -> None:
    """Raise ValueError unless torch knows this device, finds it and keeps numbers on it."""
    try:
        kind = torch.device(device or "cpu").type
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is none that torch knows: {error}") from None
    if kind == "meta":
        raise ValueError(f"device={device!r}: tensors there have no values. Give another device.")
    check_default_device()
    if distributed:
        check_device_of_group(device)
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}, but torch finds no CUDA device here.")
    if kind != "cpu":
        try:
            torch.zeros(1, device=device)
        except Exception as error:  # of whatever kind the device's part of torch raises
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"device={device!r}, but torch cannot compute there: {reason}"
            ) from error


def check_engine(net: Any) -> None:
    """Raise ValueError where LeNet-5 would not be computed by the engine that it is given."""
    if engine_of(net) != "numba":
        return
    if torch.device(net.device or "cpu").type != "cpu":
        raise ValueError(
            f"engine='numba' computes on the CPU, and device is {net.device!r}: leave one "
            "of the two out."
        )
    if net.compile:
        raise ValueError(
            "compile=True has torch compile its own operations, and engine='numba' takes "
            "others: leave one of the two out."
        )


def check_device_of_group(device: torch.device | str | None) -> None:
    """Raise ValueError unless a training on this device can be shared by several processes."""
    if torch.device(device or "cpu").type != "cpu":
        raise ValueError(
            f"device={device!r}: with distributed=True all processes compute on the CPU. Leave the "
            "device out, or set distributed=False."
        )


def check_bases(estimator: type) -> None:
    """Raise TypeError for a class whose bases do not work together."""
    if any(base.__module__ == "skorch.hf" and base.__name__ == "AccelerateMixin"
           for base in estimator.__mro__):  # fmt: skip
        raise TypeError(
            f"{estimator.__name__}: AccelerateMixin puts a step of its own in the place of this "
            "classifier's, without augmentation and without pieces. To train on several processes, "
            "leave the mixin out, set distributed=True and start the program by torchrun."
        )


def check_default_device() -> None:
    """Raise ValueError where torch makes tensors without values unless it is told otherwise."""
    if torch.get_default_device().type == "meta":
        raise ValueError(
            "torch.set_default_device('meta') is in effect, and tensors there have no values. "
            "Set it to 'cpu' before calling a classifier."
        )


def check_callback(item: Any) -> None:
    """Raise ValueError unless this is a skorch callback, or a pair of a name and one."""
    callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
    if callback is InputShapeSetter or (
        isinstance(callback, InputShapeSetter) and callback.input_dim_fn is None
    ):
        raise ValueError(
            "InputShapeSetter reads X.shape, and callbacks are given a data set here: give it an "
            "input_dim_fn, or let the module have in_channels and n_classes, which are filled in "
            "without it."
        )
    if callback is None or isinstance(callback, Callback):
        return
    if not (isinstance(callback, type) and issubclass(callback, Callback)):
        raise ValueError(
            "callbacks must hold skorch callbacks, or pairs of a name and a callback, "
            f"got {item!r}."
        )
