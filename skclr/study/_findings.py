"""What a study finds, as one value, and what was published before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from skclr.comparison import ScheduleComparison
from skclr.range_test import LRRangeResult

PUBLISHED_RANGE = (1e-5, 1e-2)
SMALLEST_BATCH, LARGEST_BATCH = 32, 4096
HALVING, DOUBLING = "rate halving", "batch doubling"
RUNS = {
    "clr_measured": "CLR between the measured boundaries",
    "clr_published": "CLR with the published settings",
    "doubling_measured": "Batch doubling at the measured l_max",
    "doubling_published": "Batch doubling with the published settings",
}


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
        if self.sweep is None or self.sweep.base_lr is None or self.sweep.max_lr is None:
            return PUBLISHED_RANGE
        return self.sweep.base_lr, self.sweep.max_lr


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
    with (files("skclr.study") / "data" / f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def usable_comparison(study: Study) -> ScheduleComparison | None:
    """Return the comparison over seeds if at least one of its trainings came to its end."""
    comparison = study.comparison
    if comparison is None or not (comparison.runs["status"] == "ok").any():
        return None
    return comparison
