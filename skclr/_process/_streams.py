"""Standard output and standard error, which a process need not have."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


@contextmanager
def flushable_streams() -> Iterator[None]:
    """Let nowhere stand in for a standard stream that is missing, closed or full.

    skorch flushes standard output after each epoch, joblib both before it starts a process, and
    without them, as under ``pythonw`` or in a service, that fails.
    """
    with ExitStack() as stack:
        for redirect, stream in ((redirect_stdout, sys.stdout), (redirect_stderr, sys.stderr)):
            if not _can_be_flushed(stream):
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect(nowhere))
        yield


def _can_be_flushed(stream: TextIO | None) -> bool:
    if stream is None:
        return False
    try:
        stream.flush()
    except (OSError, ValueError):
        return False
    return True
