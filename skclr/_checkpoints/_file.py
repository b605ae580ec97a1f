"""The file of a checkpoint: locked, and replaced in one step or left as it is."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from skclr.exceptions import CheckpointWarning


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside, flush it to the disk, and put it in its place in one step.

    A reader, and whoever comes after a crash, finds the new file or the former one.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
    with suppress(OSError):  # let the name last as well, where a folder can be told to
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class CheckpointFile:
    """A file that one process writes, again and again, and that is whole at any moment.

    It is written under another name, flushed to the disk and put in place in one step. Where that
    fails, what was there stays, one warning says so, and the next call tries again.

    Parameters
    ----------
    path : Path
        Of the file. Its lock, an empty file, and the file to come lie beside it, hidden.

    Attributes
    ----------
    is_written_here : bool
        Whether this process writes it, and not another one of the same training.
    """

    is_written_here = True

    def __init__(self, path: Path):
        self.path = path
        self._has_warned = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from writing, or raise RuntimeError where another one does."""
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RuntimeError(
                f"checkpoint={str(self.path)!r}: another training is writing this file. Wait for "
                "its end, or name another file; trainings side by side, as those of a search, "
                "take a folder."
            ) from None
        except (OSError, NotImplementedError) as error:
            self._warn(error)
        try:
            yield
        finally:
            lock.release()

    def read(self) -> bytes | None:
        """Return what the file holds; None where there is none."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, data: bytes) -> bool:
        """Put a new file in place of the old one; return whether that could be done."""
        try:
            write_whole(self.path, data)
        except OSError as error:
            self._warn(error)
            return False
        return True

    def _warn(self, error: Exception) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        kept = "The last one stays." if self.path.exists() else "There is none yet."
        warnings.warn(
            f"The checkpoint {self.path} could not be written ({error}). {kept} The training goes "
            "on, and each checkpoint is tried again.",
            CheckpointWarning,
            stacklevel=2,
        )
