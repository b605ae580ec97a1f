"""A schedule by its name: which boundaries it needs, and the callbacks that carry it out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from skorch.callbacks import Callback

from skclr.callbacks import (
    BatchDoubling,
    CosineLR,
    CosineRestartsLR,
    CyclicLR,
    LRHalving,
    LRRecorder,
    LRSchedule,
    OneCycleLR,
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
    batch_size: int,
    max_batch_size: int,
) -> list[tuple[str, Callback]]:
    """Return the callbacks of a schedule, with their names.

    Parameters
    ----------
    schedule : str, callable or None
        As in the classifier.
    boundary : callable
        Gives a boundary by its name, one of `needed_boundaries`.
    step_size, gamma, cycle_factor, warmup, batch_size, max_batch_size : float or int
        As in the classifier.
    """
    if schedule is None:
        return [("lr_schedule", LRRecorder())]
    if callable(schedule):
        return [("lr_schedule", LRSchedule(schedule))]
    top = boundary("max_lr")
    if schedule in ("constant", "batch_doubling"):
        constant = LRSchedule(partial(constant_lr, top))
        if schedule == "constant":
            return [("lr_schedule", constant)]
        doubling = BatchDoubling(batch_size, every=step_size, max_batch_size=max_batch_size)
        return [("batch_schedule", doubling), ("lr_schedule", constant)]
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
