"""The folder of a study: the files in it, and how far the study is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd

from skclr._checkpoints import write_whole
from skclr.study._findings import RUNS, Study

STATE = "study.json"
# what the store of the comparison leaves when its process is ended: its lock, and a half-written
# table
_LEFTOVERS = (".comparison.csv.lock", ".comparison.csv.new", ".comparison-epochs.csv.new")
CHECKPOINTS = ".checkpoints"  # of the trainings of a study that is not finished
PICTURES = (
    "lr_sweep",
    "lr_candidates",
    "schedule",
    "clr_training",
    "batch_doubling",
    "comparison",
)


def claim_folder(output: Path, force: bool) -> None:
    """Make the folder, or say why it cannot be had."""
    if output.exists() and not output.is_dir():
        raise FileExistsError(f"{output} is not a folder.")
    taken = [name for name in file_names() if (output / name).exists()]
    if taken and not force:
        raise FileExistsError(
            f"{output} already holds a study ({taken[0]} and others); give another folder, or "
            "--resume (resume=True) to go on with it, or --force (force=True) to overwrite it."
        )
    output.mkdir(parents=True, exist_ok=True)
    if force:
        taken += _LEFTOVERS
        clear_checkpoints(output)
    for name in taken:
        (output / name).unlink(missing_ok=True)


def clear_leftovers(output: Path) -> None:
    """Remove the hidden files of the comparison's store, to which nobody writes any more."""
    taken = [f".{name}.new" for name in file_names()]  # half-written, by a process that was killed
    for name in [*_LEFTOVERS, *taken]:
        (output / name).unlink(missing_ok=True)


def clear_checkpoints(output: Path) -> None:
    """Remove the checkpoints of the trainings, of which none is left to do."""
    shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)


def write_table(study: Study, name: str, table: pd.DataFrame) -> None:
    """Write a table of a study, whole or not at all."""
    write_whole(study.output / f"{name}.csv", table.to_csv(index=False).encode())


def file_names() -> list[str]:
    """Return the names of all files that a finished study has written."""
    tables = ["lr_sweep", "lr_candidates", "summary", "classification_reports"]
    tables += ["comparison", "comparison-epochs"]
    tables += [f"{run}{suffix}" for run in RUNS for suffix in ("", "_iterations")]
    reports = [f"classification_report_{run}.txt" for run in RUNS]
    return [
        STATE,
        "report.html",
        *(f"{name}.csv" for name in tables),
        *(f"{name}.png" for name in PICTURES),
        *reports,
    ]


def mark_finished(study: Study, part: str) -> None:
    """Note that a part of the study is done, in the study and in its folder."""
    study.finished.append(part)
    write_state(study, "running")


def write_state(study: Study, state: str) -> None:
    """Write what the study is, how far it is, and the boundaries that it has measured."""
    found = {}
    if study.sweep is not None:
        found = {"base_lr": study.sweep.base_lr, "max_lr": study.sweep.max_lr}
    text = json.dumps(
        {**study.settings, "state": state, "finished": study.finished, **found}, indent=2
    )
    write_whole(study.output / STATE, f"{text}\n".encode())
