"""The boundaries of the learning rate: given, or measured before the training."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

from torch.utils.data import Dataset

from skclr._process import draw_seed, isolated_generators
from skclr.batches import opened
from skclr.exceptions import RangeTestWarning
from skclr.range_test import LRRangeResult, lr_range_test

AUTO = "auto"


def check_boundaries(base_lr: Any, max_lr: Any) -> None:
    """Raise ValueError unless the lower boundary is below the upper one."""
    if base_lr is None or max_lr is None or base_lr >= max_lr:
        raise ValueError(
            f"base_lr must be below max_lr, got base_lr={base_lr!r} and max_lr={max_lr!r}."
        )


def measure_range(estimator: Any, train: Dataset, needed: Collection[str]) -> LRRangeResult:
    """Return a range test on the training data, or raise ValueError where it finds no boundary.

    Parameters
    ----------
    estimator : CLRLeNetClassifier
        Whose clones are swept.
    train : Dataset
        The training data.
    needed : collection of str
        The names of the boundaries that have to be found.
    """
    images, labels = opened(train)
    if labels is None:
        raise ValueError("A range test needs labels, and the training data have none.")
    with isolated_generators(device=estimator.device):  # the weights to come are those without it
        seed = draw_seed()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RangeTestWarning)
        found = lr_range_test(
            estimator, images, labels, random_state=seed, verbose=estimator.verbose
        )
    for name in sorted(needed):
        if getattr(found, name) is None:
            reasons = " ".join(str(warning.message) for warning in caught)
            raise ValueError(
                f"No {name} could be measured; give it as a number, or look at lr_range_test. "
                f"{reasons}"
            )
    return found
