"""The study: which rates work, how CLR trains between them, and what growing the batch does.

``python -m skclr`` is its command line.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import classification_report, log_loss

import skclr
from skclr._progress import progress
from skclr.augmentation import RandomShiftFlip
from skclr.classifier import CLRLeNetClassifier
from skclr.comparison import ScheduleComparison, compare_schedules
from skclr.datasets import fetch_fashion_mnist, load_fashion_mnist_sample
from skclr.range_test import LRRangeResult, lr_candidates_test, lr_range_test

__all__ = ["Study", "run"]

PUBLISHED_RANGE = (1e-5, 1e-2)
SMALLEST_BATCH, LARGEST_BATCH = 32, 4096
_CANDIDATE_EPOCHS = 5
_REPEATS = 3
HALVING, DOUBLING = "rate halving", "batch doubling"
_COMPARED_EPOCHS = 5
_COMPARED_SIZES = 5  # 64, 128, ..., 1024
_COMPARED_SEEDS = 3
_EPOCHS = {"sample": 20, "full": 50}
_RUNS = {
    "clr_measured": "CLR between the measured boundaries",
    "clr_published": "CLR with the published settings",
    "doubling_measured": "Batch doubling at the measured l_max",
    "doubling_published": "Batch doubling with the published settings",
}
_STATE = "study.json"


@dataclass
class Study:
    """What a study has found so far.

    Parameters
    ----------
    output : Path
        The folder of its files.
    settings : dict
        Data, epochs, seed and versions.
    sweep, candidates : LRRangeResult or None
        The two answers to the first question.
    histories : dict of str to DataFrame
        A row an epoch for each run of training, by its name.
    rates : dict of str to DataFrame
        A row an iteration for each of them.
    reports : dict of str to DataFrame
        Precision, recall and F1 of each class.
    comparison : ScheduleComparison or None
        Rate halving and batch doubling through the same noise scale, with three seeds each.
    summary : DataFrame
        A row for each run of training.
    finished : list of str
        The parts that are done.

    Examples
    --------
    >>> from pathlib import Path
    >>> from skclr.study import Study
    >>> Study(Path("skclr-study"), {"data": "sample"}).finished
    []
    """

    output: Path
    settings: dict[str, Any]
    sweep: LRRangeResult | None = None
    candidates: LRRangeResult | None = None
    histories: dict[str, pd.DataFrame] = field(default_factory=dict)
    rates: dict[str, pd.DataFrame] = field(default_factory=dict)
    reports: dict[str, pd.DataFrame] = field(default_factory=dict)
    comparison: ScheduleComparison | None = None
    summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    finished: list[str] = field(default_factory=list)

    @property
    def boundaries(self) -> tuple[float, float]:
        """What CLR moves between: the measured boundaries, or the published ones."""
        measured = self.sweep.base_lr, self.sweep.max_lr
        return PUBLISHED_RANGE if None in measured else measured


def run(
    output: str | os.PathLike = "skclr-study",
    *,
    data: str | tuple = "sample",
    epochs: int | None = None,
    seed: int = 0,
    n_jobs: int | None = -1,
    force: bool = False,
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
    force : bool, default=False
        Whether a study that the folder already holds is overwritten.
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
        `force` is not given.
    ValueError
        If a parameter is not valid.
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
    name = data if isinstance(data, str) else "own"
    images = _load(data)
    epochs = epochs or _EPOCHS.get(name, 20)
    output = Path(output)
    _claim(output, force)
    settings = _settings(name, images, epochs, seed)
    study = Study(output, settings)
    _note_state(study, "running")
    candidate_epochs = min(_CANDIDATE_EPOCHS, epochs)
    measuring = _REPEATS + 10 * candidate_epochs
    training = 2 * epochs + 2 * _doubling_epochs(epochs)
    comparing = 2 * _COMPARED_SEEDS * _compared_epochs(epochs)
    total = measuring + training + comparing
    try:
        with progress(total, show=bool(verbose)) as bar:
            _measure_range(study, images, candidate_epochs, n_jobs, bar)
            bar.stage("training", measuring)
            _train_all(study, images, n_jobs, bar)
            bar.stage("comparing over seeds", measuring + training)
            _compare(study, images, n_jobs, bar)
            bar.stage("done", total)
    except BaseException as stopped:
        _finish(study, "interrupted" if isinstance(stopped, KeyboardInterrupt) else "failed")
        raise
    _finish(study, "finished")
    return study


def published(name: str) -> pd.DataFrame:
    """Return a table of the published run.

    Parameters
    ----------
    name : {"lr_finder", "clr_training", "batch_doubling", "classification_reports"}
        Which one.

    Returns
    -------
    table : DataFrame
        As it was published: one run each, on a laptop, in Keras.

    Examples
    --------
    >>> from skclr.study import published
    >>> float(published("clr_training")["test_accuracy"].iloc[-1])
    0.8977
    """
    with (files("skclr") / "published" / f"{name}.csv").open() as file:
        return pd.read_csv(file)


# ---------------------------------------------------------------- before


def _load(data):
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


def _claim(output, force):
    """Make the folder, or say why it cannot be had."""
    if output.exists() and not output.is_dir():
        raise FileExistsError(f"{output} is not a folder.")
    taken = [name for name in _file_names() if (output / name).exists()]
    if taken and not force:
        raise FileExistsError(
            f"{output} already holds a study ({taken[0]} and others); give another folder, or "
            "--force (force=True) to overwrite it."
        )
    output.mkdir(parents=True, exist_ok=True)
    for name in taken:
        (output / name).unlink()


def _file_names():
    tables = ["lr_sweep", "lr_candidates", "summary", "classification_reports"]
    tables += ["comparison", "comparison-epochs"]
    tables += [f"{run}{suffix}" for run in _RUNS for suffix in ("", "_iterations")]
    pictures = ["lr_sweep", "lr_candidates", "schedule", "clr_training", "batch_doubling"]
    pictures += ["comparison"]
    reports = [f"classification_report_{run}.txt" for run in _RUNS]
    return [
        _STATE,
        "report.html",
        *(f"{name}.csv" for name in tables),
        *(f"{name}.png" for name in pictures),
        *reports,
    ]


def _settings(name, images, epochs, seed):
    X, y, X_test, _ = images
    return {
        "data": name,
        "n_train": len(X),
        "n_test": len(X_test),
        "n_classes": len(np.unique(y)),
        "epochs": epochs,
        "doubling_epochs": _doubling_epochs(epochs),
        "seed": seed,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "skclr": skclr.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": joblib.cpu_count(),
    }


def _doubling_epochs(epochs):
    """Return the epochs that eight batch sizes take, at least one each."""
    return max(8, round(0.8 * epochs))


def _compared_epochs(epochs):
    return min(_COMPARED_EPOCHS, epochs)


# ---------------------------------------------------------------- the three questions


def _estimator(seed, ticker, **parameters):
    """Return the published set-up: pixels from 0 to 1, augmented, SGD with momentum, batch 64."""
    return CLRLeNetClassifier(
        standardize=False,
        augmentation=RandomShiftFlip(),
        random_state=seed,
        callbacks=[("ticker", ticker)],
        **parameters,
    )


def _measure_range(study, images, candidate_epochs, n_jobs, bar):
    X, y, *_ = images
    seed = study.settings["seed"]
    bar.stage("sweeping the learning rate", 0)
    once = bar.ticker(per_epoch=0, per_training=1)
    study.sweep = lr_range_test(
        _estimator(seed, once), X, y, n_repeats=_REPEATS, random_state=seed, n_jobs=n_jobs
    )
    study.sweep.to_frame().to_csv(study.output / "lr_sweep.csv", index=False)
    _done(study, "sweep")
    bar.stage("ten candidates", _REPEATS)
    study.candidates = lr_candidates_test(
        _estimator(seed, bar.ticker()),
        X,
        y,
        epochs=candidate_epochs,
        random_state=seed,
        n_jobs=n_jobs,
    )
    study.candidates.to_frame().to_csv(study.output / "lr_candidates.csv", index=False)
    _done(study, "candidates")


def _train_all(study, images, n_jobs, bar):
    epochs, seed = study.settings["epochs"], study.settings["seed"]
    clr = {"schedule": "triangular", "step_size": epochs / 10, "max_epochs": epochs}
    doubling = {
        "schedule": "batch_doubling",
        "batch_size": SMALLEST_BATCH,
        "max_batch_size": LARGEST_BATCH,
        "step_size": study.settings["doubling_epochs"] / 8,
        "max_epochs": study.settings["doubling_epochs"],
    }
    low, high = PUBLISHED_RANGE
    parameters = {
        "clr_measured": clr | {"base_lr": study.boundaries[0], "max_lr": study.boundaries[1]},
        "clr_published": clr | {"base_lr": low, "max_lr": high},
        "doubling_measured": doubling | {"max_lr": study.boundaries[1]},
        "doubling_published": doubling | {"max_lr": high},
    }
    trained = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        joblib.delayed(_train)(name, _estimator(seed, bar.ticker(), **own), images)
        for name, own in parameters.items()
    )
    for name, outcome in trained:
        _keep(study, name, outcome, images)


def _train(name, estimator, images):
    X, y, X_test, y_test = images
    began = time.perf_counter()
    estimator.fit(X, y, X_val=X_test, y_val=y_test)
    seconds = time.perf_counter() - began
    proba = estimator.predict_proba(X_test)
    return name, {
        "history": estimator.history_frame(),
        "iterations": estimator.history_frame("batch"),
        "seconds": seconds,
        "y_pred": estimator.classes_[proba.argmax(axis=1)],
        "test_loss": log_loss(y_test, proba, labels=estimator.classes_),
    }


def _keep(study, name, outcome, images):
    """Write down what a run of training found."""
    y_test = images[3]
    history = outcome["history"]
    study.histories[name], study.rates[name] = history, outcome["iterations"]
    history.to_csv(study.output / f"{name}.csv", index=False)
    outcome["iterations"].to_csv(study.output / f"{name}_iterations.csv", index=False)

    labels = None
    if study.settings["data"] != "own":
        labels = load_fashion_mnist_sample(subset="test").target_names
    text, table = (
        classification_report(
            y_test, outcome["y_pred"], target_names=labels, zero_division=0, output_dict=as_table
        )
        for as_table in (False, True)
    )
    path = study.output / f"classification_report_{name}.txt"
    path.write_text(f"{_RUNS[name]}\n\n{text}")
    accuracy = float(np.mean(y_test == outcome["y_pred"]))
    table.pop("accuracy", None)
    study.reports[name] = pd.DataFrame(table).T.rename_axis("class").reset_index()
    reports = pd.concat(study.reports, names=["run"]).reset_index(level=0)
    reports.to_csv(study.output / "classification_reports.csv", index=False)

    row = {
        "run": name,
        "description": _RUNS[name],
        "epochs": len(history),
        "updates": int(history["n_updates"].sum()),
        "seconds": outcome["seconds"],
        "train_loss": history["train_loss"].iloc[-1],
        "test_loss": outcome["test_loss"],
        "test_accuracy": accuracy,
    }
    rows = [*study.summary.to_dict("records"), row]
    order = list(_RUNS)
    rows.sort(key=lambda row: order.index(row["run"]))
    study.summary = pd.DataFrame(rows)
    study.summary.to_csv(study.output / "summary.csv", index=False)
    _done(study, name)


def _compare(study, images, n_jobs, bar):
    """Halve the rate, or double the batch, in the same epochs, from the same initial weights."""
    epochs, seed = _compared_epochs(study.settings["epochs"]), study.settings["seed"]
    last = 2 ** (_COMPARED_SIZES - 1)
    # the highest rate at which a short sweep still learns is no rate to stay at
    max_lr = study.boundaries[1] / 2
    parameters = {
        HALVING: {"schedule": "lr_halving", "base_lr": max_lr / last},
        DOUBLING: {"schedule": "batch_doubling", "max_batch_size": 64 * last},
    }
    study.comparison = compare_schedules(
        {
            name: _estimator(
                seed,
                bar.ticker(),
                max_lr=max_lr,
                batch_size=64,
                step_size=epochs / _COMPARED_SIZES,
                max_epochs=epochs,
                **own,
            )
            for name, own in parameters.items()
        },
        *images,
        seeds=[(seed + i) % 2**32 for i in range(_COMPARED_SEEDS)],
        n_jobs=n_jobs,
        store=study.output / "comparison.csv",
    )
    _done(study, "comparison")


# ---------------------------------------------------------------- after


def _done(study, part):
    study.finished.append(part)
    _note_state(study, "running")


def _finish(study, state):
    from skclr._report import draw_pictures, write_report

    draw_pictures(study)
    _note_state(study, state)
    write_report(study, state)


def _note_state(study, state):
    found = {}
    if study.sweep is not None:
        found = {"base_lr": study.sweep.base_lr, "max_lr": study.sweep.max_lr}
    text = json.dumps(
        {**study.settings, "state": state, "finished": study.finished, **found}, indent=2
    )
    (study.output / _STATE).write_text(text + "\n")
