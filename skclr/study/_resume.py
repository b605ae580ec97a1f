"""A study that was stopped, read from its folder."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from skclr._sweeps import read_sweeps
from skclr.comparison import ScheduleComparison
from skclr.exceptions import RangeTestWarning
from skclr.range_test import read_candidates, read_range
from skclr.study._findings import RUNS, Study
from skclr.study._folder import CHECKPOINTS, STATE

# what two studies have in common that are one
_TOLD_BY = ("data", "n_train", "n_test", "n_classes", "epochs", "doubling_epochs", "seed", "engine",
            "digest", "skclr", "torch", "numba")  # fmt: skip


_PATIENCE = 600.0  # seconds


def holds_study(output: Path) -> bool:
    """Tell whether a folder holds a study that can be gone on with."""
    return (output / STATE).exists()


def read_study(output: Path, settings: Mapping[str, Any]) -> Study:
    """Return a study as far as it was finished.

    Parameters
    ----------
    output : Path
        Its folder.
    settings : mapping
        Those of the study that is to go on.

    Raises
    ------
    ValueError
        If the folder holds a study with other settings, or its files cannot be read.
    """
    try:
        state = json.loads((output / STATE).read_text(encoding="utf-8"))
        state = {"engine": "torch", **state}  # as it was before there was another one
        finished = [str(part) for part in state["finished"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{output / STATE} does not say what the study is: {error!r}.") from None
    other = [
        f"{name} is {state.get(name)} there and {settings[name]} here"
        for name in _TOLD_BY
        if state.get(name) != settings[name]
    ]
    if other:
        raise ValueError(
            f"{output} holds another study: {', '.join(other)}. It is left as it is; give another "
            "folder, or --force (force=True) to overwrite it."
        )
    _wait_for_trainings(output / CHECKPOINTS)
    study = Study(output, {**settings, "started": state.get("started", settings["started"])})
    for part in finished:
        try:
            _take_up(study, part)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"{output}: the tables of {part!r}, which was finished, cannot be read "
                f"({type(error).__name__}: {error}). --force (force=True) begins anew."
            ) from None
    study.finished = finished
    return study


def _wait_for_trainings(checkpoints: Path) -> None:
    """Wait for processes that have outlived the one that was killed, until they end by themselves.

    They end with the training that they are at, of which they hold the file.
    """
    for lock in sorted(checkpoints.glob(".*.lock")):
        try:
            with FileLock(lock, timeout=_PATIENCE):
                pass
        except Timeout:
            raise ValueError(
                f"A process of the study in {checkpoints.parent} is still training, and has been "
                f"for {_PATIENCE:g} seconds. Try again when it has ended."
            ) from None


def _take_up(study: Study, part: str) -> None:
    if part == "sweep":
        lrs, losses, smoothed = _curves(study.output / "lr_sweep.csv")
        with warnings.catch_warnings():  # it has been warned of
            warnings.simplefilter("ignore", RangeTestWarning)
            study.sweep = read_range(read_sweeps(lrs, losses, smoothed))
    elif part == "candidates":
        lrs, losses, _ = _curves(study.output / "lr_candidates.csv")
        study.candidates = read_candidates(lrs, losses[0])
    elif part == "comparison":
        study.comparison = ScheduleComparison.from_csv(study.output / "comparison.csv")
    elif part in RUNS:
        study.histories[part] = _table(study.output / f"{part}.csv")
        study.rates[part] = _table(study.output / f"{part}_iterations.csv")
        summary, reports = (
            _table(study.output / f"{name}.csv") for name in ("summary", "classification_reports")
        )
        rows = summary[summary["run"] == part]
        study.summary = pd.concat([study.summary, rows], ignore_index=True)
        own = reports[reports["run"] == part].drop(columns="run")
        study.reports[part] = own.reset_index(drop=True)


def _curves(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rates, and losses and smoothed losses with a row a repeat."""
    table = _table(path)
    shape = table["repeat"].nunique(), -1
    lrs, losses, smoothed = (
        table[name].to_numpy(float).reshape(shape) for name in ("lr", "loss", "smoothed_loss")
    )
    return lrs[0], losses, smoothed


def _table(path: Path) -> pd.DataFrame:
    """Return a table with every bit of its numbers, which Python reads back as it wrote them."""
    texts = pd.read_csv(path, dtype=str, keep_default_na=False)
    return pd.DataFrame({name: _values(texts[name]) for name in texts})


def _values(texts: Iterable[str]) -> list[Any]:
    for number in (int, float):
        try:
            return [number(text) if text or number is int else math.nan for text in texts]
        except ValueError:
            continue
    return list(texts)
