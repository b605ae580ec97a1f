"""The net whose training is shared by several processes, of which the first one speaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from skorch.callbacks import Callback, EpochTimer

from skclr._checkpoints import (
    CheckpointFile,
    beginning_digest,
    differences,
    places_looked_at,
    training_identity,
)
from skclr._process import AgreedInterrupts, Group, Interrupts, find_group
from skclr._training._engine import PiecewiseNet
from skclr._training._exchange import WHOLE, GradientExchange, digest_of
from skclr._training._network import in_turn
from skclr._training._step import TrainingStep


class GroupedNet(PiecewiseNet):
    """A net that, if `distributed`, is trained by all processes of torch's process group."""

    distributed: bool = False  # pickles of before have it not
    callbacks_: list[tuple[str, Callback]]

    _group: Group | None = None  # in a call of several processes

    @property
    def _is_silent(self) -> bool:
        """Whether another process writes and shows what there is to be written and shown."""
        return self._group is not None and self._group.rank > 0

    @contextmanager
    def _in_group(self) -> Iterator[None]:
        """Take part in a training of several processes, where this net is to be trained by them."""
        group = find_group() if self.distributed in (True,) else None
        if group is None:
            yield
            return
        outer, self._group = self._group, group
        try:
            with group.together():
                yield
        finally:
            self._group = outer

    def _agreed_seed(self, data: Mapping[str, Any], n_calls: int, new: bool) -> int | None:
        """Return the seed of a new training, the same in all processes.

        Raises
        ------
        ValueError
            If the processes are about to train something else each.
        """
        seed = self._drawn_seed() if new else None
        if self._group is None:
            return seed
        given = self.random_state
        told = {
            "random_state": str(given) if isinstance(given, Integral) else None,
            "beginning": None if new else beginning_digest(self, self._training.generators),
            "checkpoint": "set" if getattr(self, "checkpoint", None) is not None else None,
        }
        looked_at = {name: _looked_at(part) for name, part in data.items()}
        identity = training_identity(self, looked_at, call=n_calls, **told)
        everyone = self._group.gather("begin a training", (identity, seed))
        for rank, (other, _) in enumerate(everyone):
            words = differences(everyone[0][0], other)
            if words:
                raise ValueError(
                    f"With distributed=True all processes train the same, and process {rank} has "
                    f"another training than process 0: {', '.join(words)}, where here is process "
                    f"{rank} and there is process 0."
                )
        return everyone[0][1]

    def _new_step(self) -> TrainingStep:
        step = super()._new_step()
        if self._group is None:
            return step
        if not step.cuts:
            raise ValueError(WHOLE)
        step.exchange = GradientExchange(
            self._group,
            step.network.side_by_side if step.shares else in_turn,
            step.parameters,
            may_draw=not step.shares,
            weights=digest_of(self.module_.state_dict().values()),
        )
        return step

    def _check_last_update(self, train: Any) -> None:
        super()._check_last_update(train)
        if self._group is not None:  # all that the first process writes has been written by now
            self._group.meet("have trained its last epoch")

    @contextmanager
    def _heard_by_all(self, interrupts: Interrupts) -> Iterator[Any]:
        """Let an interrupt of one process be one of all, and let one process speak."""
        group = self._group
        if group is None:
            yield interrupts
            return
        outer, group.interrupts = group.interrupts, AgreedInterrupts(interrupts)
        callbacks = self.callbacks_
        if self._is_silent:
            self.callbacks_ = [pair for pair in callbacks if not _speaks(pair[1])]
        try:
            yield group.interrupts
        finally:
            group.interrupts = outer
            self.callbacks_ = callbacks


class GroupFile(CheckpointFile):
    """A checkpoint that the first process of a group reads for all, and alone writes.

    Parameters
    ----------
    path : Path
        Of the file, which other processes need not be able to read.
    group : Group
        The processes.
    """

    def __init__(self, path: Path, group: Group):
        super().__init__(path)
        self._group = group
        self.is_written_here = group.rank == 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from writing, or raise RuntimeError where another one does."""
        if not self.is_written_here:
            yield
            return
        with super().locked():
            yield

    def read(self) -> bytes | None:
        """Return what the file holds, in all processes; None where there is none."""
        data = super().read() if self.is_written_here else None
        return self._group.from_first("read a checkpoint", data)


def _looked_at(part: Any) -> Any:
    """Return of a memory map a few samples: other processes read it at the same time."""
    return np.asarray(part[places_looked_at(len(part))]) if isinstance(part, np.memmap) else part


def _speaks(callback: Callback) -> bool:
    """Tell whether a callback shows or logs a training, as skorch's loggers do."""
    modules = {cls.__module__ for cls in type(callback).__mro__}
    return "skorch.callbacks.logging" in modules and not isinstance(callback, EpochTimer)
