"""What the C library does with memory that is free again."""

from __future__ import annotations

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h
_KEPT, _AT_ONCE, _LARGE = 2**28, 2**24, 2**25  # bytes
_SETTINGS = {
    "MALLOC_TRIM_THRESHOLD_": (_M_TRIM_THRESHOLD, _KEPT),
    "MALLOC_MMAP_THRESHOLD_": (_M_MMAP_THRESHOLD, _LARGE),
    "MALLOC_TOP_PAD_": (_M_TOP_PAD, _AT_ONCE),
}


def keep_memory() -> bool:
    """Have glibc keep up to 256 MiB that are free, in this process, from now on.

    Else it gives the memory of large tensors back to the system and gets it anew, page by page, in
    each update. What the user has set in the environment stays as it is. It cannot be undone, so
    it is for processes that are there for a training.

    Returns
    -------
    bool
        Whether it does: another C library has other ways.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _SETTINGS):
        return False
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(option, value) for option, value in _SETTINGS.values()])
