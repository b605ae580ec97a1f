"""The whole study in one call, from the data to the report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

import skclr
from skclr._fingerprint import data_digest
from skclr._process import flushable_streams
from skclr._progress import progress
from skclr.datasets import fetch_fashion_mnist, load_fashion_mnist_sample
from skclr.lenet import check_engine
from skclr.study._findings import Study
from skclr.study._folder import claim_folder, clear_checkpoints, clear_leftovers, write_state
from skclr.study._page import write_report
from skclr.study._pictures import draw_pictures
from skclr.study._questions import (
    CANDIDATE_EPOCHS,
    COMPARED_SEEDS,
    REPEATS,
    Images,
    compare,
    compared_epochs,
    measure_range,
    train_all,
)
from skclr.study._resume import holds_study, read_study

_EPOCHS = {"sample": 20, "full": 50}


def run(
    output: str | os.PathLike = "skclr-study",
    *,
    data: str | tuple = "sample",
    epochs: int | None = None,
    seed: int = 0,
    n_jobs: int | None = -1,
    engine: str = "torch",
    force: bool = False,
    resume: bool = False,
    verbose: int = 0,
) -> Study:
    """Run the whole study and write its pictures, tables and report to a folder.

    Parameters
    ----------
    output : path, default="skclr-study"
        The folder; it is made if need be.
    data : {"sample", "full"} or tuple, default="sample"
        The shipped sample of Fashion-MNIST, the full set, or ``(X_train, y_train, X_test, y_test)``
        with images of 0..255 as uint8 or 0..1 as floats.
    epochs : int or None, default=None
        Epochs of a run of CLR: five cycles. Batch doubling goes through eight sizes in four fifths
        of them. None: 20 for the sample, 50, as published, for the full set. Rate halving and batch
        doubling are compared over three seeds in at most 5 epochs.
    seed : int, default=0
        Determines everything but the seconds.
    n_jobs : int or None, default=-1
        Trainings at the same time, as in joblib; the results do not depend on it.
    engine : {"torch", "numba"}, default="torch"
        What computes the network, see :class:`~skclr.lenet.LeNet5`. Numbers differ as those of two
        seeds do: the bits are others, and what the augmentation draws.
    force : bool, default=False
        Whether a study that the folder already holds is overwritten.
    resume : bool, default=False
        Whether one that was stopped goes on where it was, in the middle of a training if need be;
        a folder that holds none begins one. All that comes out is that of a study that was never
        stopped.
    verbose : int, default=0
        Whether progress is shown on stderr.

    Returns
    -------
    study : Study
        All that was measured; the same stands in the files.

    Raises
    ------
    FileExistsError
        If the folder holds a study, or a file of one's own under a name that a study needs, and
        neither `force` nor `resume` is given.
    ValueError
        If a parameter is not valid, or the study to be resumed is another one.
    ImportError
        If `engine` is ``"numba"`` and numba is not installed or told to compile nothing.
    OSError
        If the full set is not found and cannot be downloaded.
    DivergenceError, KeyboardInterrupt
        Passed on after the report of the parts that were finished has been written.

    Examples
    --------
    >>> import tempfile
    >>> from skclr.datasets import load_fashion_mnist_sample
    >>> from skclr import study
    >>> X, y = load_fashion_mnist_sample(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = study.run(folder, data=(X[:300], y[:300], X[300:400], y[300:400]), epochs=1)
    >>> found.finished[:2]
    ['sweep', 'candidates']
    """
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs!r}.")
    check_engine(engine, torch.nn.Tanh())
    name = data if isinstance(data, str) else "own"
    images = _load(data)
    epochs = epochs or _EPOCHS.get(name, 20)
    output = Path(output)
    settings = _settings(name, images, epochs, seed, engine)
    if resume and not force and holds_study(output):
        study = read_study(output, settings)
    else:
        claim_folder(output, force)
        study = Study(output, settings)
    write_state(study, "running")
    candidate_epochs = min(CANDIDATE_EPOCHS, epochs)
    measuring = REPEATS + 10 * candidate_epochs
    training = 2 * epochs + 2 * _doubling_epochs(epochs)
    comparing = 2 * COMPARED_SEEDS * compared_epochs(epochs)
    total = measuring + training + comparing
    try:
        with progress(total, show=bool(verbose)) as bar, flushable_streams():
            measure_range(study, images, candidate_epochs, n_jobs, bar)
            bar.stage("training", measuring)
            train_all(study, images, n_jobs, bar)
            bar.stage("comparing over seeds", measuring + training)
            compare(study, images, n_jobs, bar)
            bar.stage("done", total)
    except BaseException as stopped:
        _finish(study, _state_after(stopped))
        raise
    _finish(study, "finished")
    return study


def _load(data: str | tuple) -> Images:
    if not isinstance(data, str):
        if len(data) != 4:
            raise ValueError(
                f"data must be (X_train, y_train, X_test, y_test), got {len(data)} parts."
            )
        X, y, X_test, y_test = (np.asarray(part) for part in data)
    else:
        if data not in _EPOCHS:
            raise ValueError(f"data must be one of {sorted(_EPOCHS)}, got {data!r}.")
        load = load_fashion_mnist_sample if data == "sample" else fetch_fashion_mnist
        X, y = load(subset="train", return_X_y=True)
        X_test, y_test = load(subset="test", return_X_y=True)
    return _scaled(X), y, _scaled(X_test), y_test


def _scaled(X):
    """Return pixels from 0 to 1, as in the published run."""
    if X.dtype == np.uint8:
        return (X / np.float32(255)).astype(np.float32)
    if not np.issubdtype(X.dtype, np.floating):
        raise ValueError(f"Images must be uint8, 0..255, or floats, 0..1, got {X.dtype}.")
    return X


def _settings(name: str, images: Images, epochs: int, seed: int, engine: str) -> dict[str, Any]:
    X, y, X_test, _ = images
    return {
        "data": name,
        "n_train": len(X),
        "n_test": len(X_test),
        "n_classes": len(np.unique(y)),
        "epochs": epochs,
        "doubling_epochs": _doubling_epochs(epochs),
        "seed": seed,
        "engine": engine,
        "digest": data_digest(images),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "skclr": skclr.__version__,
        "torch": torch.__version__,
        "numba": importlib.metadata.version("numba") if engine == "numba" else None,
        "python": platform.python_version(),
        "cores": joblib.cpu_count(),
    }


def _doubling_epochs(epochs):
    """Return the epochs that eight batch sizes take, at least one each."""
    return max(8, round(0.8 * epochs))


def _finish(study, state):
    """Draw and write; a picture that cannot be drawn keeps back no answer."""
    try:
        draw_pictures(study)
    except BaseException as stopped:
        if state == "finished":
            state = _state_after(stopped)
        raise
    finally:
        clear_leftovers(study.output)
        if state == "finished":
            clear_checkpoints(study.output)
        write_state(study, state)
        write_report(study, state)


def _state_after(stopped):
    return "interrupted" if isinstance(stopped, KeyboardInterrupt) else "failed"
