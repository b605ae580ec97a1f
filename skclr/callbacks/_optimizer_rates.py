"""The learning rate in an optimizer: written for each update, and read off what it used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from skorch import NeuralNet

from skclr._history import count_updates

LEAVE_IT = (
    "Keep one of them: leave that callback out, or give CLRLeNetClassifier schedule=None, which "
    "leaves the rate to callbacks and optimizer."
)

_LARGEST_RATE = float(np.finfo(np.float32).max)
# Kept in the parameter groups, and so saved with the optimizer's state, as torch's schedulers keep
# their "initial_lr": a group's rate as a multiple of the schedule's, and its rate as last written.
_RATIO, _WRITTEN = "lr_ratio", "scheduled_lr"


class Updates(NamedTuple):
    """How many updates an optimizer has made, and the rates of its groups in the last of them."""

    number: int
    rates: tuple[float, ...]


_updates: WeakKeyDictionary[Any, Updates] = WeakKeyDictionary()


def updates_of(optimizer: Any) -> Updates | None:
    """Return what updates an optimizer has made since it was first asked for, by a hook.

    None where it cannot be told, since the optimizer is not one of torch's.
    """
    if optimizer not in _updates:
        if not hasattr(optimizer, "_optimizer_step_post_hooks"):
            return None
        optimizer.register_step_post_hook(_count_update)
        _updates[optimizer] = Updates(0, ())
    return _updates[optimizer]


def _count_update(optimizer: Any, args: Any, kwargs: Any) -> None:
    number = _updates[optimizer].number if optimizer in _updates else 0
    _updates[optimizer] = Updates(number + 1, rates_of(optimizer))


def rates_of(optimizer: Any) -> tuple[float, ...]:
    """Return the rates that the groups of an optimizer have."""
    return tuple(float(group["lr"]) for group in optimizer.param_groups)


def shown_rate(optimizer: Any, rates: tuple[float, ...]) -> float:
    """Return the rate that stands for all: of the first group that has none of its own."""
    of_schedule = [
        rate
        for rate, group in zip(rates, optimizer.param_groups, strict=True)
        if group.get(_RATIO, 1.0) == 1
    ]
    return (of_schedule or list(rates))[0]


def settle_ratios(net: NeuralNet) -> None:
    """Find out which groups have a rate of their own, and keep its ratio to the net's rate.

    A rate that a schedule has written is no group's own.
    """
    groups = net.optimizer_.param_groups
    if any("param_groups" in group for group in groups):
        raise ValueError(
            "skorch does not divide the parameters of an optimizer anew: optimizer__param_groups "
            "takes effect where it is set before the net is initialized."
        )
    if all(_is_as_written(group) for group in groups):
        return
    reference = float(net.get_params_for("optimizer").get("lr", net.lr))
    # an optimizer without our marks that was used before may hold any schedule's rates
    is_of_others = not any(_WRITTEN in group for group in groups) and count_updates(net.history)
    given = _given_rates(net, reference) if is_of_others else [float(g["lr"]) for g in groups]
    for group, own in zip(groups, given, strict=True):
        if _is_as_written(group):
            continue
        group[_RATIO] = _ratio(own, reference)
        group[_WRITTEN] = float(group["lr"])


def _is_as_written(group: dict[str, Any]) -> bool:
    return _WRITTEN in group and float(group["lr"]) == group[_WRITTEN]


def _given_rates(net: NeuralNet, reference: float) -> list[float]:
    """Return the rates of the groups as the net's parameters have them."""
    named = net.get_all_learnable_params()
    (given,), _ = net.get_params_for_optimizer("optimizer", named)
    rates = [float(group.get("lr", reference)) for group in given]
    n_groups = len(net.optimizer_.param_groups)
    return rates if len(rates) == n_groups else [reference] * n_groups


def _ratio(own: float, reference: float) -> float:
    if own == reference:
        return 1.0
    if reference == 0:
        raise ValueError(
            f"A parameter group has the learning rate {own:.3g}, and the net 0: to keep their "
            "ratio under a schedule, the net needs a rate above 0 (lr, or optimizer__lr)."
        )
    return own / reference


def write_rate(net: NeuralNet, rate: float | np.ndarray) -> None:
    """Write the schedule's rate, or one for each group, to the optimizer; groups keep ratios."""
    largest = np.max(rate) if isinstance(rate, np.ndarray) else rate
    if largest > _LARGEST_RATE:
        raise ValueError(f"The learning rate {largest:.3g} is too large for float32.")
    if not all(_WRITTEN in group for group in net.optimizer_.param_groups):
        settle_ratios(net)
    check_untouched(net)
    groups = net.optimizer_.param_groups
    ratios = [group[_RATIO] for group in groups]
    if isinstance(rate, np.ndarray):
        if any(ratio == 0 and value != 0 for ratio, value in zip(ratios, rate, strict=True)):
            raise ValueError(
                "base_lr or max_lr holds a rate for each parameter group, and a group has the lr "
                "0: either it learns or it does not."
            )
        rates = [float(value) for value in rate]
    else:
        rates = [float(rate) * ratio for ratio in ratios]
    for group, value in zip(groups, rates, strict=True):
        group["lr"] = group[_WRITTEN] = value


def check_untouched(net: NeuralNet, used: tuple[float, ...] | None = None) -> None:
    """Raise ValueError where the optimizer has, or has used, other rates than were written."""
    groups = [group for group in net.optimizer_.param_groups if _WRITTEN in group]
    written = tuple(group[_WRITTEN] for group in groups)
    found = tuple(float(group["lr"]) for group in groups) if used is None else used
    for own, other in zip(written, found, strict=False):
        if own != other:
            raise ValueError(
                f"The learning rate is set twice, to {own:.6g} by a schedule and to {other:.6g} by "
                f"something else, such as another callback. {LEAVE_IT}"
            )


def accept_rates(net: NeuralNet) -> None:
    """Take the rates that the optimizer has for those of a schedule, and not for groups' own."""
    for group in net.optimizer_.param_groups:
        group[_WRITTEN] = float(group["lr"])


def torch_schedulers(net: NeuralNet) -> Iterator[tuple[str, str]]:
    """Yield each callback that holds one of torch's schedulers of this optimizer, and its name."""
    kinds = (torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    for name, callback in net.callbacks_:
        for value in vars(callback).values():
            if isinstance(value, kinds) and value.optimizer is net.optimizer_:
                yield name, type(value).__name__
