"""The runs of a comparison, kept in two CSV files that several processes may write to."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from skclr._checkpoints import write_whole
from skclr._fingerprint import data_digest, fingerprint
from skclr.comparison._data import looked_at
from skclr.comparison._tables import EPOCH_COLUMNS, RUN_COLUMNS, typed_frame

LOCK_TIMEOUT = 60.0  # seconds; a write takes a fraction of one
_MARKS = {"parameters": "str", "data": "str"}  # what a store was made with


class RunStore:
    """The runs of a comparison so far, and the two CSV files that hold them, if any.

    For a store ``runs.csv``, ``runs-epochs.csv`` and the hidden ``.runs.csv.lock`` lie beside it.

    Both files are written anew with each run, the epochs first, and put in place in one step: a
    reader, and whoever comes after a crash, finds every run whole or not at all. Runs that another
    process has written are kept: reading, merging and writing happen under a lock. The lock file
    is empty and stays where it is, since whoever waits for it would be left with a file that is
    gone. It can be deleted when nobody writes.
    """

    def __init__(self, path: str | os.PathLike | None):
        self.path = None if path is None else Path(path)
        self.plan: list[tuple[str, int]] = []
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        self.epochs: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self.marks: dict[str, dict[str, str]] = {}

    def open(
        self,
        candidates: Mapping[str, Any],
        plan: Sequence[tuple[str, int]],
        data: Sequence[Any],
    ) -> None:
        """Take up what the files hold, or refuse it; without files, begin them."""
        self.plan = list(plan)
        if self.path is None:
            return
        digest = data_digest(map(looked_at, data))
        self.marks = {
            name: {"parameters": fingerprint(candidate), "data": digest}
            for name, candidate in candidates.items()
        }
        if not self.path.parent.is_dir():
            raise ValueError(f"store={str(self.path)!r}: there is no folder {self.path.parent}.")
        with _locked(self.path):
            beside = _epochs_path(self.path)
            if beside.exists() and not self.path.exists():
                raise ValueError(
                    f"{beside} exists without {self.path}, to which it would belong. "
                    "Move it away, or name another store."
                )
            self._merge_and_write(self.path)

    def read(self) -> RunStore:
        """Read both files, the runs first: the epochs of each were written before it."""
        if self.path is not None:
            runs = _read(self.path, {**RUN_COLUMNS, **_MARKS})
            epochs = _read(_epochs_path(self.path), EPOCH_COLUMNS)
            self.rows = {(row["candidate"], row["seed"]): row for row in runs.to_dict("records")}
            self.epochs = {run: [] for run in self.rows}
            for row in epochs.to_dict("records"):
                if (row["candidate"], row["seed"]) in self.rows:
                    self.epochs[row["candidate"], row["seed"]].append(row)
        return self

    def add(self, row: dict[str, Any], epochs: list[dict[str, Any]]) -> None:
        """Take in a run, and write it down."""
        run = row["candidate"], row["seed"]
        self.rows[run] = row | self.marks.get(row["candidate"], {})
        self.epochs[run] = epochs
        if self.path is None:
            self._sort()
        else:
            with _locked(self.path):
                self._merge_and_write(self.path)

    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return a table of the runs, and one of their epochs."""
        epochs = (row for rows in self.epochs.values() for row in rows)
        return typed_frame(self.rows.values(), RUN_COLUMNS), typed_frame(epochs, EPOCH_COLUMNS)

    def _merge_and_write(self, path: Path) -> None:
        """Add the runs that the files hold, or refuse those of another comparison; write all."""
        if path.exists():  # else nobody has written yet, or somebody moved it away
            there = RunStore(path).read()
            self._check(path, there.rows)
            self.rows = there.rows | self.rows
            self.epochs = there.epochs | self.epochs
        self._sort()
        _replace(_epochs_path(path), self.frames()[1])
        _replace(path, typed_frame(self.rows.values(), {**RUN_COLUMNS, **_MARKS}))

    def _check(self, path: Path, rows: Mapping[tuple[str, int], Mapping[str, Any]]) -> None:
        """Raise unless every run is one of this comparison."""
        seeds = list(dict.fromkeys(seed for _, seed in self.plan))
        for (name, seed), row in rows.items():
            if name not in self.marks:
                reason = f"a candidate {name!r}, which is not among {list(self.marks)}"
            elif row["data"] != self.marks[name]["data"]:
                reason = "runs on other data"
            elif row["parameters"] != self.marks[name]["parameters"]:
                reason = f"runs of {name!r} with other parameters"
            elif seed not in seeds:
                reason = f"a run with seed {seed}, which is not among {seeds}"
            else:
                continue
            raise ValueError(
                f"{path} belongs to another comparison: it holds {reason}. It is left as it "
                "is; name another store, or compare what it was made with."
            )

    def _sort(self) -> None:
        """Put the runs in the order of the plan."""
        order = [run for run in self.plan if run in self.rows]
        self.rows = {run: self.rows[run] for run in order}
        self.epochs = {run: self.epochs[run] for run in order}


def _epochs_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-epochs{path.suffix}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing to a store."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_TIMEOUT)
    try:
        lock.acquire()
    except Timeout as error:
        raise TimeoutError(
            f"{path} could not be written: another process has held {lock.lock_file} for "
            f"{LOCK_TIMEOUT:g} seconds. Runs that are in the store are kept. Try again when that "
            "process has ended; if there is none, delete the lock file."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _read(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)[list(columns)]
        for name, dtype in columns.items():
            if dtype == "float64":  # Python reads back every bit that it wrote
                frame[name] = [float(text) if text else math.nan for text in frame[name]]
        return frame.astype(dict(columns))
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is no store of compare_schedules ({error}). It is left as it is; name "
            "another one."
        ) from error


def _replace(path: Path, frame: pd.DataFrame) -> None:
    """Write a table beside a file, and put it in its place in one step."""
    write_whole(path, frame.to_csv(index=False).encode())
