"""Groups of processes on this machine, forked from this one, and what comes out of each."""

import hashlib
import io
import os
import pickle
import select
import signal
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.distributed as dist

from skclr import CLRLeNetClassifier

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the processes of a group")
LONGEST = 600  # seconds, after which a group is held to wait for ever


class End(NamedTuple):
    """How a process ended: with a value or an error, after so many seconds, and what it printed."""

    value: Any
    error: BaseException | None
    seconds: float
    printed: str


def in_group(n, function, set_up=None):
    """Return the end of ``function(rank)`` in each of n processes of a group.

    One that was killed has None for an end. The group is set up by a file, or by
    ``set_up(rank)``.
    """
    with tempfile.TemporaryDirectory() as folder:
        readers, children = [], []
        for rank in range(n):
            reader, writer = os.pipe()
            child = os.fork()
            if not child:
                _run(rank, function, set_up or partial(by_file, n, folder), writer)
            os.close(writer)
            readers.append(reader)
            children.append(child)
        try:
            ends = _read_all(readers)
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    return ends


def by_file(n, folder, rank):
    """Set up the group of n processes."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=n)


def _run(rank, function, set_up, writer):
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    printed = io.StringIO()
    value = error = None
    began = time.monotonic()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            set_up(rank)
            value = function(rank)
    except BaseException as caught:
        error = caught
    seconds = time.monotonic() - began
    try:
        try:
            data = pickle.dumps(End(value, error, seconds, printed.getvalue()))
        except Exception:  # as pytest's own errors
            error = AssertionError(f"{type(error).__name__}: {error}")
            data = pickle.dumps(End(None, error, seconds, printed.getvalue()))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(data)
    finally:
        os._exit(0)


def _read_all(readers):
    parts = {reader: [] for reader in readers}
    left, deadline = set(readers), time.monotonic() + LONGEST
    while left:
        ready, _, _ = select.select(list(left), [], [], max(0, deadline - time.monotonic()))
        assert ready, f"after {LONGEST} seconds, {len(left)} processes have not ended"
        for reader in ready:
            part = os.read(reader, 1 << 16)
            parts[reader].append(part)
            if not part:
                left.discard(reader)
                os.close(reader)
    joined = [b"".join(parts[reader]) for reader in readers]
    return [pickle.loads(data) if data else None for data in joined]


def values(ends):
    """Return what the processes returned; raise what one of them has raised."""
    for end in ends:
        assert end is not None, "a process was killed"
        if end.error is not None:
            raise end.error
    return [end.value for end in ends]


def small(**params):
    """Return a classifier that is trained in a moment."""
    given = {"max_epochs": 2, "batch_size": 350, "step_size": 0.5, "random_state": 0}
    return CLRLeNetClassifier(**(given | params))


def bits(clf, X):
    """Return digests of all that a training leaves behind, but for its seconds."""
    state = clf.module_.state_dict()
    epochs = [{key: epoch[key] for key in epoch if key != "dur"} for epoch in clf.history_]
    return {
        "weights": _digest([value.numpy() for value in state.values()]),
        "optimizer": _digest(_plain(clf.optimizer_.state_dict())),
        "history": _digest(repr(epochs)),
        "generators": _digest(clf._training.generators),
        "predictions": _digest(clf.predict_proba(X)),
        "boundaries": _digest([clf.base_lr_, clf.max_lr_]),
    }


def _plain(value):
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return [(key, _plain(part)) for key, part in value.items()]
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _digest(value):
    return hashlib.sha256(pickle.dumps(value)).hexdigest()[:16]


def sample_file(folder: Path, X):
    """Write images to a file, and return its path."""
    path = folder / "images.npy"
    np.save(path, X)
    return path
