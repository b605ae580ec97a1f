"""Threads that take their parts of what another computes, without Python in between."""

from __future__ import annotations

import struct
from types import ModuleType

import numpy as np

# looks for a task, with a rest after each: a part of a millisecond. To wait for the next batch, in
# 1 ms and more, would keep a core busy that others may want
_PATIENCE = 20_000


class Crew:
    """The tasks of a thread, and those who share them.

    Others `serve` it: they look for tasks until they are dismissed, or none has come for a while.
    A task is done without them where there are none, or where they come too late.

    Parameters
    ----------
    compiled : module
        The compiled functions.
    """

    def __init__(self, compiled: ModuleType):
        self._compiled = compiled
        self._task = np.zeros(compiled.SIZE_OF_TASK, np.int64)
        self._n_asked = 0
        self.expect_one()
        self.serve(0)  # which has it compiled, once and here

    def expect_one(self) -> None:
        """Count one who is on the way to `serve`, and let those who do stay."""
        self._n_asked += 1
        self._task[self._compiled.DISMISSED] = 0

    @property
    def n_serving(self) -> int:
        """How many serve, or are on their way."""
        return self._n_asked - int(self._task[self._compiled.GONE])

    @property
    def n_served(self) -> int:
        """How many places of tasks have been taken by others."""
        return int(self._task[self._compiled.SERVED])

    def serve(self, patience: int = _PATIENCE) -> None:
        """Take places of tasks, until dismissed or until nothing has come for a while."""
        self._compiled.work(self._task, 0, patience)

    def dismiss(self) -> None:
        """Have those who serve return."""
        self._task[self._compiled.DISMISSED] = 1

    def forget(self) -> None:
        """Count on nobody any more, whoever was expected."""
        self._n_asked = int(self._task[self._compiled.GONE])

    def describe(self, *numbers: int) -> None:
        """Write down what the next tasks are about: all numbers after their kind."""
        place = (self._compiled.KIND + 1) * self._task.itemsize
        struct.pack_into(f"={len(numbers)}q", self._task.data, place, *numbers)

    def share(self, kind: int, n_places: int) -> None:
        """Do a task at each of its places, with whoever serves."""
        self._task[self._compiled.KIND] = kind
        self._compiled.work(self._task, n_places, 0)

    @property
    def met_no_class(self) -> bool:
        """Whether a target of the last task was none of the classes."""
        return bool(self._task[self._compiled.ODD])
