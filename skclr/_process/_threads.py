"""The threads of torch: one for a training, the others for the pieces of its batches."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Protocol, TypeVar

import torch

from skclr._process._turns import process_lock

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
_helpers: _Helpers | None = None


class Crew(Protocol):
    """Who can be served by other threads, in code that does without Python's lock."""

    @property
    def n_serving(self) -> int:
        """How many serve, or are on their way."""

    def expect_one(self) -> None:
        """Count one who is on the way to `serve`."""

    def serve(self) -> None:
        """Take part until dismissed, or until there has been nothing to do for a while."""

    def dismiss(self) -> None:
        """Have those who serve return."""

    def forget(self) -> None:
        """Count on nobody any more: all who were asked have left."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread, so that no bit depends on how many there are.

    The others, if it had more, wait for what `side_by_side` gives them, or for whom `enlist` has
    them serve.
    """
    global _helpers
    with process_lock:
        outer, n_threads = _helpers, torch.get_num_threads()
        torch.set_num_threads(1)
        helpers = _helpers = outer or _Helpers(n_threads - 1)
        try:
            yield
        finally:
            if outer is None:
                helpers.close()
            _helpers = outer
            torch.set_num_threads(n_threads)


def side_by_side(function: Callable[[_Item], _Answer], items: Sequence[_Item]) -> list[_Answer]:
    """Return ``[function(item) for item in items]``, computed by all threads of torch.

    Each call computes with one thread, and the answers come in the order of the items: no bit
    depends on the number of threads. `function` must draw no random numbers. Outside of
    `one_thread`, in another thread than the one that is in it, and within another call of this, it
    is called in turn.
    """
    helpers = _helpers
    if helpers is None or len(items) < 2 or not helpers.can_help:
        return [function(item) for item in items]
    return helpers.map(function, items)


def enlist(crew: Crew, n: int) -> None:
    """Have up to `n` of the other threads serve a crew, without waiting for them.

    Where `side_by_side` calls in turn, none is enlisted. When there are items for them, and at the
    end of `one_thread`, they are dismissed.
    """
    if _helpers is not None and _helpers.can_help:
        _helpers.enlist(crew, n)


class _Helpers:
    """Threads beside the one that a training runs in, started when there is something to do."""

    def __init__(self, n_helpers: int):
        self._n = n_helpers
        self._owner, self._process = threading.get_ident(), os.getpid()
        self._are_busy = False
        self._threads: list[threading.Thread] = []
        # the fastest way to hand something to a thread
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._crew: Crew | None = None
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()

    @property
    def can_help(self) -> bool:
        """Whether the caller is the thread that they are there for, and they have nothing to do."""
        return (
            threading.get_ident() == self._owner
            and not self._are_busy
            and os.getpid() == self._process  # else this is a fork of it, which has no threads
        )

    def map(self, function, items):
        n_helping = min(self._n, len(items) - 1)
        answers = [None] * len(items)
        places = iter(range(len(items)))
        with_gradients = torch.is_grad_enabled()

        def work():
            with torch.set_grad_enabled(with_gradients):
                for place in places:  # whoever is free takes the next
                    answers[place] = function(items[place])

        def work_and_tell():
            outcome = None
            try:
                work()
            except BaseException as error:
                outcome = error
            self._outcomes.put(outcome)

        self._dismiss()
        self._start(n_helping)
        self._are_busy = True
        for _ in range(n_helping):
            self._tasks.put(work_and_tell)
        try:
            work()
        finally:
            errors = [self._outcomes.get() for _ in range(n_helping)]
            self._are_busy = False
        for error in filter(None, errors):
            raise error
        return answers

    def enlist(self, crew, n):
        n = min(n, self._n)
        with contextlib.suppress(RuntimeError):  # the system has no more threads: then without
            self._start(n)
        self._crew = crew
        for _ in range(min(n, len(self._threads)) - crew.n_serving):
            crew.expect_one()
            self._tasks.put(crew.serve)

    def _dismiss(self):
        if self._crew is not None:
            self._crew.dismiss()

    def _start(self, n):
        while len(self._threads) < n:
            thread = threading.Thread(target=self._serve, name="skclr", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self):
        torch.set_num_threads(1)
        while (task := self._tasks.get()) is not None:
            task()
            del task  # and with it what it was given to work on

    def close(self):
        self._dismiss()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        if self._crew is not None:
            self._crew.forget()  # who was expected when Ctrl-C came may never have been asked
