"""One progress bar for trainings that run in several processes."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from skorch import NeuralNet
from skorch.callbacks import Callback
from tqdm.auto import tqdm

_SECONDS_BETWEEN_LOOKS = 0.2


class Ticker(Callback):
    """Tell a progress bar, in whatever process, how far a training is.

    Parameters
    ----------
    path : str or None, default=None
        The file that `progress` made; None does nothing.
    per_epoch, per_training : float, default=1.0 and 0.0
        How far the end of an epoch, and of the whole training, moves the bar.
    """

    only_watches = True  # and is no part of what a training is told by

    def __init__(self, path: str | None = None, per_epoch: float = 1.0, per_training: float = 0.0):
        self.path = path
        self.per_epoch = per_epoch
        self.per_training = per_training

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Tick."""
        self._tick(self.per_epoch)

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Tick."""
        self._tick(self.per_training)

    def _tick(self, amount: float) -> None:
        if self.path is None or not amount:
            return
        with suppress(OSError):  # the bar has closed, is on another machine, or the disk is full
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(file, "w") as ticks:  # lines this short are appended whole
                ticks.write(f"{amount}\n")


class Progress:
    """A bar that moves with the ticks in a file; without a bar, nothing."""

    def __init__(self, bar: tqdm | None = None, path: str | None = None):
        self._bar = bar
        self._path = path
        self._read = 0
        self._lock = threading.Lock()

    def ticker(self, **amounts: float) -> Ticker:
        """Return a callback that moves this bar."""
        return Ticker(self._path, **amounts)

    def stage(self, name: str, begins_at: float) -> None:
        """Name what is being done from here on; what came before may have ended early."""
        if self._bar is not None:
            self.look()
            self._bar.set_description(name)
            self._bar.update(max(0, begins_at - self._bar.n))

    def look(self) -> None:
        """Move the bar to where the trainings are."""
        if self._bar is None or self._path is None:
            return
        # the file may have been cleaned away, or be cut short by a full disk
        with self._lock, suppress(OSError, ValueError), open(self._path) as file:
            file.seek(self._read)
            lines = file.read()
            self._read = file.tell()
            ahead = sum(float(line) for line in lines.split())
            self._bar.update(min(ahead, self._bar.total - self._bar.n))


class _ForgivingStream:
    """A stream that drops what it cannot write: no training fails for want of its bar."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(AttributeError, OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(AttributeError, OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def progress(total: float, unit: str = "epochs", *, show: bool = True) -> Iterator[Progress]:
    """Show a bar of so many units on stderr, with the time left.

    Where there is no stderr, nothing is shown; without a folder for temporary files, the bar moves
    with the stages alone.
    """
    stream = sys.stderr  # None without a console, as in a service or under pythonw
    if not show or stream is None or getattr(stream, "closed", False):
        yield Progress()
        return
    path = _make_tick_file()
    done = threading.Event()
    counted = f"{{n:.0f}}/{{total:.0f}} {unit} [{{elapsed}}<{{remaining}}]"
    shape = "{desc}{percentage:3.0f}%|{bar}| " + counted
    on_terminal = hasattr(stream, "isatty") and stream.isatty()
    pause = 0.1 if on_terminal else 10  # seconds; a log needs no more
    with tqdm(
        total=total,
        bar_format=shape,
        mininterval=pause,
        file=_ForgivingStream(stream),
        dynamic_ncols=True,
    ) as bar:
        shown = Progress(bar, path)

        def watch() -> None:
            while not done.wait(_SECONDS_BETWEEN_LOOKS):
                shown.look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield shown
        finally:
            done.set()
            watcher.join()
            shown.look()
            if path is not None:
                with suppress(OSError):
                    os.unlink(path)


def _make_tick_file() -> str | None:
    """Return the path of an empty file, or None where none can be made."""
    try:
        handle, path = tempfile.mkstemp(prefix="skclr-progress-")
    except OSError:
        return None
    os.close(handle)
    return path
