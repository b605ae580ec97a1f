"""The columns of a comparison's two tables: one of its runs, one of their epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

MEASURES = ("test_accuracy", "test_loss", "train_loss", "gap", "seconds")  # they vary with the seed
COUNTS = ("epochs", "updates", "samples")
NOISE_MEASURES = ("noise_scale", "squared_gradient", "gradient_variance")
_KEY = {"candidate": "str", "seed": "int64"}
RUN_COLUMNS = {
    **_KEY,
    "status": "str",
    **dict.fromkeys(MEASURES, "float64"),
    **dict.fromkeys(COUNTS, "int64"),
    "initial_weights": "str",
    "error": "str",
}
EPOCH_COLUMNS = {
    **_KEY,
    "epoch": "int64",
    "lr": "float64",
    "batch_size": "int64",
    "updates": "int64",
    "train_loss": "float64",
    "test_loss": "float64",
    "test_accuracy": "float64",
    "seconds": "float64",
    **dict.fromkeys(NOISE_MEASURES, "float64"),
}


def typed_frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a table with these columns, of these types."""
    return pd.DataFrame(list(rows), columns=list(columns)).astype(dict(columns))
