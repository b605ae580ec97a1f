"""The losses of single samples, and what their weights make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from skclr.lenet import has_hooks

_REDUCTIONS: dict[Any, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": torch.Tensor.mean,
    "sum": torch.Tensor.sum,
}


def is_plain_cross_entropy(criterion: Any) -> bool:
    """Tell whether a criterion is the mean of the cross-entropy of samples, and no more."""
    return (
        type(criterion) is nn.CrossEntropyLoss
        and criterion.reduction == "mean"
        and criterion.weight is None
        and criterion.label_smoothing == 0
        and criterion.ignore_index < 0
        and not has_hooks(criterion)
    )


def check_weighable(criterion: Any) -> None:
    """Raise ValueError unless a criterion tells the loss of each sample, and weighs none itself."""
    name = type(criterion).__name__
    if getattr(criterion, "reduction", None) not in _REDUCTIONS:
        raise ValueError(
            f"The criterion {name} cannot take sample_weight or class_weight: it needs an "
            "attribute `reduction`, 'mean' or 'sum', and to return the loss of each sample where "
            "that is set to 'none', as torch's losses do."
        )
    if getattr(criterion, "weight", None) is not None:
        raise ValueError(
            f"The weight of the criterion {name} cannot go with sample_weight or class_weight: "
            "give class_weight={label: weight, ...} in place of criterion__weight."
        )
    if getattr(criterion, "ignore_index", -1) >= 0:
        raise ValueError(
            f"The ignore_index of the criterion {name} cannot go with sample_weight or "
            "class_weight: a class of weight 0 is ignored too."
        )


@contextmanager
def each_sample(criterion: Any) -> Iterator[None]:
    """Let a criterion return the loss of each sample."""
    reduction = criterion.reduction
    criterion.reduction = "none"
    try:
        yield
    finally:
        criterion.reduction = reduction


def weighted(losses: torch.Tensor, weights: torch.Tensor, reduction: str) -> torch.Tensor:
    """Return the mean, or the sum, of losses times weights.

    Parameters
    ----------
    losses, weights : Tensor of shape (n,)
        Of each sample.
    reduction : {"mean", "sum"}
        Of the criterion. The mean is over the number of samples, whatever their weights are.

    Raises
    ------
    ValueError
        If the losses are not those of each sample.
    """
    if losses.shape != weights.shape:
        raise ValueError(
            "With sample_weight or class_weight, the criterion (or get_loss) must return the loss "
            f"of each sample where its `reduction` is 'none': the shape {tuple(weights.shape)}, "
            f"and not {tuple(losses.shape)}."
        )
    return _REDUCTIONS[reduction](losses * weights.to(losses.device, losses.dtype))
