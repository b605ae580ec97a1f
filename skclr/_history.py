"""What a skorch history holds: updates, epochs, and tables of both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

_MEASURED = ("train_loss", "train_acc", "valid_loss", "valid_acc")


def train_rows(epoch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an epoch that are batches of training."""
    return [row for row in epoch["batches"] if "train_loss" in row]


def updates_in(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return the number of updates in each batch of training: 1, unless it says otherwise."""
    return [row.get("n_updates", 1) for row in rows]


def count_updates(history: Iterable[Mapping[str, Any]] | None) -> int:
    """Return the number of updates that a history holds."""
    return sum(sum(updates_in(train_rows(epoch))) for epoch in history or ())


def begins_with(history: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a history begins with all epochs of another one, by the losses of batches."""
    losses, others = (
        [[repr(float(row["train_loss"])) for row in train_rows(epoch)] for epoch in epochs]
        for epochs in (history, other)
    )
    return losses[: len(others)] == others


def last_lr(epoch: Mapping[str, Any]) -> float:
    """Return the learning rate of an epoch's last update, NaN where none was recorded."""
    rows = [row for row in train_rows(epoch) if row.get("n_updates", 1)]
    return float(rows[-1].get("event_lr", math.nan)) if rows else math.nan


def epoch_frame(history: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row an epoch."""
    rows = [
        {
            "epoch": epoch["epoch"],
            **{name: epoch.get(name, math.nan) for name in _MEASURED},
            "lr": last_lr(epoch),
            "batch_size": epoch["batch_size"],
            "n_updates": sum(updates_in(train_rows(epoch))),
            "dur": epoch.get("dur", math.nan),
        }
        for epoch in history
    ]
    columns = ["epoch", *_MEASURED, "lr", "batch_size", "n_updates", "dur"]
    return pd.DataFrame(rows, columns=columns)


def batch_frame(history: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row a batch of training, with the update that it is a part of, counted from 0."""
    rows = [(epoch["epoch"], row) for epoch in history for row in train_rows(epoch)]
    values = [
        (number, row.get("event_lr", math.nan), row["train_batch_size"], row["train_loss"])
        for number, row in rows
    ]
    frame = pd.DataFrame(values, columns=["epoch", "lr", "batch_size", "train_loss"])
    n_updates = np.array(updates_in(row for _, row in rows), dtype=int)
    frame.insert(1, "iteration", np.cumsum(n_updates) - n_updates)
    return frame
