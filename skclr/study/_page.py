"""The page of a study: its questions, pictures, answers and tables in one file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from skclr.study._findings import Study, published
from skclr.study._folder import PICTURES
from skclr.study._words import answer_batch_size, answer_clr, answer_range

_DATA = {"sample": "a sample of Fashion-MNIST", "full": "Fashion-MNIST"}
_CLR_RUNS = {"clr_measured": "measured boundaries", "clr_published": "published settings"}


def write_report(study: Study, state: str) -> None:
    """Write report.html: the questions, the pictures, the answers, the tables."""
    environment = Environment(
        loader=PackageLoader("skclr.study", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("_report.html.jinja").render(
        settings=study.settings,
        data=_DATA.get(study.settings["data"], "the data given"),
        state=state,
        finished=study.finished,
        pictures={
            name: _embedded(path)
            for name in PICTURES
            if (path := study.output / f"{name}.png").exists()
        },
        about_range=answer_range(study),
        about_clr=answer_clr(study),
        about_batch_size=answer_batch_size(study),
        classes=_class_table(study),
        runs=_run_table(study),
    )
    (study.output / "report.html").write_text(page, encoding="utf-8")


def _embedded(path: Path) -> str:
    """Return a picture as an address that holds it whole, so that the page needs no other file."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _class_table(study: Study) -> dict[str, list] | None:
    """Return precision, recall and F1 of each class, for the runs of CLR side by side."""
    reports = {
        title: study.reports[run].set_index("class").drop(columns="support")
        for run, title in _CLR_RUNS.items()
        if run in study.reports
    }
    if not reports:
        return None
    if study.settings["data"] != "own":
        table = published("classification_reports")
        clr = table[table["run"].str.startswith("CLR")].drop(columns="run")
        reports["published run"] = clr.set_index("class").rename(columns={"f1": "f1-score"})
    beside = pd.concat(reports, axis=1)
    return {
        "groups": [(title, report.shape[1]) for title, report in reports.items()],
        "columns": list(beside.columns.get_level_values(1)),
        "rows": [
            [row[0], *("" if pd.isna(score) else f"{score:.2f}" for score in row[1:])]
            for row in beside.itertuples()
        ],
    }


def _run_table(study: Study) -> dict[str, list] | None:
    """Return the last values of all runs, and of those published."""
    if study.summary.empty:
        return None
    own = study.summary.drop(columns="run").rename(columns={"description": "run"})
    rows = [
        _last_values("CLR, as published", published("clr_training")),
        _last_values("Batch doubling, as published", published("batch_doubling")),
    ]
    both = pd.concat([own, pd.DataFrame(rows)], ignore_index=True)
    return {
        "columns": list(both.columns),
        "rows": [
            [f"{value:.4g}" if isinstance(value, float) else value for value in row]
            for row in both.itertuples(index=False)
        ],
    }


def _last_values(name: str, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "run": name,
        "epochs": len(table),
        "updates": table["steps"].sum(),
        "seconds": table["seconds"].sum(),
        "train_loss": table["train_loss"].iloc[-1],
        "test_loss": table["test_loss"].iloc[-1],
        "test_accuracy": table["test_accuracy"].iloc[-1],
    }
