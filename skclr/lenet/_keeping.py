"""Functions that numba compiles once, and keeps on disk until their code changes."""

from __future__ import annotations

import contextlib
import warnings
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache


class _Kept(FunctionCache):
    """What numba keeps on disk: where it cannot be read or written, functions are compiled anew."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # which a damaged file may raise any of
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:  # of the disk, or of a damaged file
            warnings.warn(
                "What numba has compiled cannot be kept on disk, and each process will compile it "
                f"anew ({error}). Set NUMBA_CACHE_DIR to a folder with space.",
                stacklevel=2,
            )


def compiler_of(*files: str) -> Callable[[Callable], Any]:
    """Return a decorator: its functions are compiled, and run without Python's lock.

    It compiles at the first call. What is kept on disk goes by its name, with a checksum: by itself
    numba would look at the date of a function's file alone, and at none that this imports.

    Parameters
    ----------
    *files : str
        All that the code of the functions comes from.
    """

    @cache
    def checksum():
        return f"{zlib.crc32(b''.join(Path(file).read_bytes() for file in files)):08x}"

    def compiled(function: Callable) -> Any:
        dispatcher = numba.njit(function, nogil=True, error_model="numpy")
        with contextlib.suppress(RuntimeError, OSError):  # no folder to write to, or no source:
            function.__qualname__ += f"_{checksum()}"  # each process compiles
            dispatcher.enable_caching()
            dispatcher._cache = _Kept(function)
        return dispatcher

    return compiled
