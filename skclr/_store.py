"""The runs of a comparison, kept in two CSV files."""

from __future__ import annotations

import hashlib
import math
import os
import types
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch

MEASURES = ("test_accuracy", "test_loss", "train_loss", "gap", "seconds")  # they vary with the seed
COUNTS = ("epochs", "updates", "samples")
_WHAT_A_RUN_IS = {"candidate": "str", "seed": "int64"}
_RUN_COLUMNS = {
    **_WHAT_A_RUN_IS,
    "status": "str",
    **dict.fromkeys(MEASURES, "float64"),
    **dict.fromkeys(COUNTS, "int64"),
    "initial_weights": "str",
    "error": "str",
}
_MARKS = {"parameters": "str", "data": "str"}  # what a store was made with
_EPOCH_COLUMNS = {
    **_WHAT_A_RUN_IS,
    "epoch": "int64",
    "lr": "float64",
    "batch_size": "int64",
    "updates": "int64",
    "train_loss": "float64",
    "test_loss": "float64",
    "test_accuracy": "float64",
    "seconds": "float64",
    "noise_scale": "float64",
    "squared_gradient": "float64",
    "gradient_variance": "float64",
}
_OF_NO_INFLUENCE = frozenset({"verbose", "random_state", "warm_start"})  # on a run of a comparison


class RunStore:
    """The runs of a comparison so far, and the two CSV files that hold them, if any.

    Both files are written anew with each run, the epochs first, and put in place in one step: a
    reader, and whoever comes after a crash, finds every run whole or not at all. Runs that another
    process wrote meanwhile are kept.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.plan: list[tuple[str, int]] = []
        self.rows: dict[tuple[str, int], dict] = {}
        self.epochs: dict[tuple[str, int], list[dict]] = {}
        self.marks: dict[str, dict[str, str]] = {}
        self._version = None  # of the file that this store has read or written last

    @property
    def epochs_path(self) -> Path:
        """Where the epochs are kept."""
        return self.path.with_name(f"{self.path.stem}-epochs{self.path.suffix}")

    def open(self, candidates, plan, data) -> None:
        """Take up what the files hold, or refuse it; without files, begin them."""
        self.plan = plan
        if self.path is None:
            return
        digest = joblib.hash([_as_array(part) for part in data])
        self.marks = {
            name: {"parameters": fingerprint(candidate), "data": digest}
            for name, candidate in candidates.items()
        }
        if not self.path.parent.is_dir():
            raise ValueError(f"store={str(self.path)!r}: there is no folder {self.path.parent}.")
        if self.path.exists():
            self._take_up()
        elif self.epochs_path.exists():
            raise ValueError(
                f"{self.epochs_path} exists without {self.path}, to which it would belong. "
                "Move it away, or name another store."
            )
        self._write()

    def read(self) -> RunStore:
        """Read both files."""
        runs = self._read(self.path, {**_RUN_COLUMNS, **_MARKS})
        epochs = self._read(self.epochs_path, _EPOCH_COLUMNS)
        self.rows = {(row["candidate"], row["seed"]): row for row in runs.to_dict("records")}
        self.epochs = {run: [] for run in self.rows}
        for row in epochs.to_dict("records"):
            if (row["candidate"], row["seed"]) in self.rows:
                self.epochs[row["candidate"], row["seed"]].append(row)
        return self

    @staticmethod
    def _read(path, columns):
        try:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)[list(columns)]
            for name, dtype in columns.items():
                if dtype == "float64":  # Python reads back every bit that it wrote
                    frame[name] = [float(text) if text else math.nan for text in frame[name]]
            return frame.astype(columns)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(
                f"{path} is no store of compare_schedules ({error}). It is left as it is; name "
                "another one."
            ) from error

    def _take_up(self):
        """Add the runs that the files hold, or refuse files of another comparison."""
        there = RunStore(self.path)
        there.plan, there.marks = self.plan, self.marks
        there.read()._check()
        self.rows = there.rows | self.rows
        self.epochs = there.epochs | self.epochs

    def _check(self):
        """Raise unless every run is one of this comparison."""
        seeds = list(dict.fromkeys(seed for _, seed in self.plan))
        for (name, seed), row in self.rows.items():
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
                f"{self.path} belongs to another comparison: it holds {reason}. It is left as it "
                "is; name another store, or compare what it was made with."
            )

    def add(self, row, epochs) -> None:
        """Take in a run, and write it down."""
        run = row["candidate"], row["seed"]
        self.rows[run] = row | self.marks.get(row["candidate"], {})
        self.epochs[run] = epochs
        self._write()

    def _write(self):
        """Put the runs in the order of the plan, and both files in place."""
        if self._version is not None and self._version != self._version_there():
            self._take_up()
        order = [run for run in self.plan if run in self.rows]
        self.rows = {run: self.rows[run] for run in order}
        self.epochs = {run: self.epochs[run] for run in order}
        if self.path is None:
            return
        _replace(self.epochs_path, self._epochs_frame())
        _replace(self.path, _typed(self.rows.values(), {**_RUN_COLUMNS, **_MARKS}))
        self._version = self._version_there()

    def _version_there(self):
        try:
            found = os.stat(self.path)
        except FileNotFoundError:  # somebody moved it away: it is written anew
            return self._version
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _epochs_frame(self):
        rows = [row for epochs in self.epochs.values() for row in epochs]
        return _typed(rows, _EPOCH_COLUMNS)

    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return a table of the runs, and one of their epochs."""
        return _typed(self.rows.values(), _RUN_COLUMNS), self._epochs_frame()


def _typed(rows, columns):
    return pd.DataFrame(list(rows), columns=list(columns)).astype(columns)


def _replace(path, frame):
    new = path.with_name(f".{path.name}.new")
    with open(new, "w", newline="") as file:
        frame.to_csv(file, index=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


# ---------------------------------------------------------------- what a candidate is


def fingerprint(candidate):
    """Return a digest of a candidate's parameters, the same in every process."""
    return hashlib.sha256(_described(candidate).encode()).hexdigest()[:16]


def _described(value, depth=0):
    """Return a text that tells a parameter from another one, and holds no address in memory."""
    if depth > 20:  # what refers to itself has been told by now
        return type(value).__qualname__
    tell = partial(_described, depth=depth + 1)
    if value is None or isinstance(value, (str, bytes, bool)):
        return repr(value)
    if isinstance(value, (int, float, complex, np.generic)):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, types.CodeType):
        return f"{value.co_code!r}{tell(value.co_consts)}{value.co_names}"
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        own = [value.__code__, value.__defaults__, value.__kwdefaults__, cells]
        return f"{value.__module__}.{value.__qualname__}{tell(own)}"
    if isinstance(value, types.MethodType):
        return tell([value.__func__, value.__self__])
    if isinstance(value, (type, types.BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, partial):
        return tell(["partial", value.func, value.args, value.keywords])
    if isinstance(value, (np.ndarray, torch.Tensor, pd.DataFrame, pd.Series)):
        return joblib.hash(_as_array(value))
    if isinstance(value, torch.nn.Module):
        return f"{type(value).__qualname__}{value!r}{tell(value.state_dict())}"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{tell(k)}:{tell(v)}" for k, v in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(tell, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(map(tell, value))) + "}"
    return tell(type(value)) + tell(_parameters(value))


def _parameters(value):
    """Return what makes an object: its parameters, or all its attributes."""
    if hasattr(value, "get_params"):
        given = value.get_params(deep=False)
        return {name: part for name, part in given.items() if name not in _OF_NO_INFLUENCE}
    return getattr(value, "__dict__", None) or (
        {} if " at 0x" in repr(value) else {"repr": repr(value)}
    )


def _as_array(value):
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
