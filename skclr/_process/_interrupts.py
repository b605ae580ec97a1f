"""Ctrl-C, told from a callback's wish to stop by the signal that it is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """The exceptions that the signal of Ctrl-C has raised since it has been watched for."""

    def __init__(self) -> None:
        self._raised: list[BaseException] = []

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
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield interrupts
        return

    def note(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as exception:
            interrupts.add(exception)
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # else somebody has set one of their own
            signal.signal(signal.SIGINT, handler)
