"""The boundaries of the learning rate: given, or measured before the training."""

from __future__ import annotations

import warnings
from collections.abc import Collection, MutableMapping
from typing import Any

from sklearn.base import clone
from torch.utils.data import Dataset

from skclr._process import draw_seed, isolated_generators
from skclr._sweeps import measure_sweeps
from skclr.batches import opened, weights_in
from skclr.exceptions import RangeTestWarning
from skclr.range_test import LRRangeResult, read_range

AUTO = "auto"


def check_boundaries(base_lr: Any, max_lr: Any) -> None:
    """Raise ValueError unless the lower boundary is below the upper one."""
    if base_lr is None or max_lr is None or base_lr >= max_lr:
        raise ValueError(
            f"base_lr must be below max_lr, got base_lr={base_lr!r} and max_lr={max_lr!r}."
        )


def measure_range(
    estimator: Any,
    train: Dataset,
    needed: Collection[str],
    known: MutableMapping[int, Any] | None = None,
) -> LRRangeResult:
    """Return a range test on the training data, or raise ValueError where it finds no boundary.

    Parameters
    ----------
    estimator : CLRLeNetClassifier
        Whose clones are swept.
    train : Dataset
        The training data; weights that they have are those of the classes already.
    needed : collection of str
        The names of the boundaries that have to be found.
    known : mapping or None, default=None
        Sweeps that were made before; those that are made are added.
    """
    images, labels = opened(train)
    if labels is None:
        raise ValueError("A range test needs labels, and the training data have none.")
    if estimator.class_weight is not None:
        estimator = clone(estimator).set_params(class_weight=None)
    with isolated_generators(device=estimator.device):  # the weights to come are those without it
        seed = draw_seed()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RangeTestWarning)
        found = read_range(
            measure_sweeps(
                estimator,
                images,
                labels,
                sample_weight=weights_in(train),
                random_state=seed,
                verbose=estimator.verbose,
                known=known,
            )
        )
    for name in sorted(needed):
        if getattr(found, name) is None:
            reasons = " ".join(str(warning.message) for warning in caught)
            raise ValueError(
                f"No {name} could be measured; give it as a number, or look at lr_range_test. "
                f"{reasons}"
            )
    return found
