"""Ctrl-C, told from a callback's wish to stop by the signal that it is.

So is SIGTERM, where somebody has given it a handler that raises, as ``python -m skclr`` has.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType


class Interrupts:
    """The exceptions that the signal of Ctrl-C has raised since it has been watched for.

    Attributes
    ----------
    may_wait : bool
        Whether the next signal is noted and does nothing, until `raise_waiting` is called; a
        second one does not wait.
    """

    def __init__(self) -> None:
        self._raised: list[BaseException] = []
        self._waiting: Callable[[], None] | None = None
        self.may_wait = False

    @property
    def is_waiting(self) -> bool:
        """Whether a signal has come that has done nothing yet."""
        return self._waiting is not None

    @property
    def have_come(self) -> bool:
        """Whether a signal has raised something, or is going to."""
        return bool(self._raised) or self.is_waiting

    def handle(self, act: Callable[[], None]) -> None:
        """Do what a signal is to do, now or later, and note what that raises."""
        if self.may_wait and not self.is_waiting:
            self._waiting = act
            return
        self._waiting = None
        try:
            act()
        except BaseException as exception:
            self.add(exception)
            raise

    def raise_waiting(self) -> None:
        """Do now what a signal was to do that has come since, if one has."""
        if self._waiting is not None:
            self.handle(self._waiting)

    def add(self, exception: BaseException) -> None:
        """Note what a handler of the signal has raised."""
        self._raised.append(exception)

    def caused(self, exception: BaseException | None) -> bool:
        """Tell whether the signal raised this exception, or one that it was raised from."""
        while exception is not None:
            if any(exception is raised for raised in self._raised):
                return True
            exception = exception.__cause__ or exception.__context__
        return False

    def pass_on(self) -> None:
        """Raise the first of them, where the code in between has swallowed it."""
        if self._raised:
            raise self._raised[0]


@contextmanager
def watched_interrupts() -> Iterator[Interrupts]:
    """Watch for the signal of Ctrl-C, and let its handler do what it does.

    skorch has callbacks end a training with the exception that Ctrl-C raises, and swallows both.
    In a thread other than the main one, which no signal reaches, and where the signal has no
    handler in Python, nothing is noted.
    """
    interrupts = Interrupts()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.enter_context(_watched(number, interrupts))
        yield interrupts
        interrupts.raise_waiting()


@contextmanager
def _watched(signal_number: int, interrupts: Interrupts) -> Iterator[None]:
    handler = signal.getsignal(signal_number)
    if not callable(handler):
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.handle(partial(handler, number, frame))

    signal.signal(signal_number, note)
    try:
        yield
    finally:
        if signal.getsignal(signal_number) is note:  # else somebody has set one of their own
            signal.signal(signal_number, handler)
