"""A schedule by its name: which boundaries it needs, and the callbacks that carry it out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from skorch.callbacks import Callback

from skclr.callbacks import (
    BatchDoubling,
    BatchSizeSchedule,
    CosineLR,
    CosineRestartsLR,
    CyclicLR,
    LRHalving,
    LRRecorder,
    LRSchedule,
    NoiseDoubling,
    OneCycleLR,
    batch_size_of,
    check_batch_sizes,
    constant_lr,
)
from skclr.callbacks import check_warmup as check_warmup

SCHEDULES = (
    "constant",
    "triangular",
    "triangular2",
    "exp_range",
    "one_cycle",
    "lr_halving",
    "cosine",
    "cosine_restarts",
    "batch_doubling",
)
BATCH_SCHEDULES = ("doubling", "noise")


_AT_MAX_LR = ("constant", "batch_doubling", None)


def needed_boundaries(schedule: str | Callable | None) -> set[str]:
    """Return the names of the boundaries that a schedule uses."""
    if callable(schedule):
        return set()
    return {"max_lr"} if schedule in _AT_MAX_LR else {"base_lr", "max_lr"}


def schedule_callbacks(
    schedule: str | Callable | None,
    boundary: Callable[[str], float],
    *,
    step_size: float,
    gamma: float,
    cycle_factor: float,
    warmup: float,
) -> list[tuple[str, Callback]]:
    """Return the callbacks of a schedule of the learning rate, with their names.

    Parameters
    ----------
    schedule : str, callable or None
        As in the classifier.
    boundary : callable
        Gives a boundary by its name, one of `needed_boundaries`.
    step_size, gamma, cycle_factor, warmup : float
        As in the classifier.
    """
    if schedule is None:
        return [("lr_schedule", LRRecorder())]
    if callable(schedule):
        return [("lr_schedule", LRSchedule(schedule))]
    top = boundary("max_lr")
    if schedule in ("constant", "batch_doubling"):
        return [("lr_schedule", LRSchedule(partial(constant_lr, top)))]
    base = boundary("base_lr")
    if schedule == "one_cycle":
        return [("lr_schedule", OneCycleLR(top, div_factor=top / base))]
    if schedule == "lr_halving":
        return [("lr_schedule", LRHalving(top, step_size, base))]
    if schedule == "cosine":
        return [("lr_schedule", CosineLR(top, base, warmup))]
    if schedule == "cosine_restarts":
        return [("lr_schedule", CosineRestartsLR(top, base, step_size, cycle_factor, warmup))]
    return [("lr_schedule", CyclicLR(schedule, base, top, step_size, gamma=gamma))]


def batch_schedule_callbacks(
    batch_schedule: str | Callable | None,
    *,
    step_size: float,
    batch_size: int,
    max_batch_size: int,
) -> list[tuple[str, Callback]]:
    """Return the callback of a schedule of the batch size, with its name; none without one.

    Parameters
    ----------
    batch_schedule : str, callable or None
        As in the classifier.
    step_size, batch_size, max_batch_size : float or int
        As in the classifier.
    """
    if batch_schedule is None:
        return []
    setter: Callback
    if callable(batch_schedule):
        setter = BatchSizeSchedule(batch_schedule)
    elif batch_schedule == "noise":
        setter = NoiseDoubling(batch_size, max_batch_size)
    else:
        setter = BatchDoubling(batch_size, every=step_size, max_batch_size=max_batch_size)
    return [("batch_schedule", setter)]


def batch_schedule_of(schedule: Any, batch_schedule: Any) -> Any:
    """Return the schedule of the batch size, that for which "batch_doubling" is short included."""
    return "doubling" if schedule == "batch_doubling" else batch_schedule


def check_batch_schedule(net: Any) -> None:
    """Raise ValueError where the parameters of a classifier give no batch size, or two of them."""
    if net.schedule == "batch_doubling" and net.batch_schedule is not None:
        raise ValueError(
            "schedule='batch_doubling' is short for schedule='constant' with "
            "batch_schedule='doubling', so beside it batch_schedule has to be None, "
            f"got {net.batch_schedule!r}."
        )
    grows = isinstance(batch_schedule_of(net.schedule, net.batch_schedule), str)
    if grows and net.max_batch_size < net.batch_size:
        raise ValueError(
            "max_batch_size must be at least batch_size, got "
            f"max_batch_size={net.max_batch_size!r} and batch_size={net.batch_size!r}."
        )
    if net.batch_schedule is not None and "iterator_train__batch_size" in vars(net):
        raise ValueError(
            f"iterator_train__batch_size={net.iterator_train__batch_size!r} would have no effect, "
            "since batch_schedule sets the batch size: leave one of them out."
        )
    if callable(net.batch_schedule):
        check_batch_sizes(net.batch_schedule, 0, net.max_epochs)


def first_batch_size(net: Any) -> int:
    """Return the batch size with which a classifier begins to train from new weights."""
    return batch_size_of(net.batch_schedule, 0) if callable(net.batch_schedule) else net.batch_size
