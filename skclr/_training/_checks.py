"""What would fail after an epoch or two, told before the first update."""

from __future__ import annotations

from typing import Any

import skorch
import torch
from skorch.callbacks import BatchScoring, EpochScoring, LRScheduler, Unfreezer
from torch import nn

# what an epoch of the history has, and may have, besides the names that callbacks tell
_ALWAYS_RECORDED = ("epoch", "lr", "batch_size")
_SOMETIMES_RECORDED = ("dur", "event_lr", "train_batch_count", "valid_batch_count",
                       "squared_gradient", "gradient_variance", "event_average")  # fmt: skip


def check_monitors(net: skorch.NeuralNet, *, validates: bool) -> None:
    """Raise ValueError where a callback goes by what will not be in the history."""
    callbacks = dict(net.callbacks_)
    measured, known = {"valid_loss", "valid_acc"}, set(_ALWAYS_RECORDED)
    for callback in callbacks.values():
        if isinstance(callback, (EpochScoring, BatchScoring)) and not callback.on_train:
            measured.add(callback.name_)
        names = [getattr(callback, name, None) for name in ("name", "name_", "event_name")]
        known |= {name for name in names if isinstance(name, str)}
    # a class or a function of one's own may record anything
    all_known = all(
        type(part).__module__.partition(".")[0] in ("skorch", "skclr")
        and not callable(getattr(part, "scoring", None))
        for part in (net, *callbacks.values())
    )
    for name, callback in callbacks.items():
        monitor = getattr(callback, "monitor", None)
        if not isinstance(monitor, str) or not _goes_by_monitor(callback):
            continue
        value = monitor.removesuffix("_best")
        if not validates and value in measured:
            raise ValueError(
                f"The callback {name!r} goes by {monitor!r}, and there are no validation data. "
                "Hold samples out with validation_fraction, or give X_val and y_val to fit."
            )
        if all_known and value not in known.union(_SOMETIMES_RECORDED):
            raise ValueError(
                f"The callback {name!r} goes by {monitor!r}, which nothing writes into the "
                f"history. What is there: {', '.join(sorted(known))}."
            )


def _goes_by_monitor(callback: Any) -> bool:
    """Tell whether a callback looks at its monitor; an LRScheduler does with one policy alone."""
    if not isinstance(callback, LRScheduler):
        return True
    return getattr(callback.policy, "__name__", callback.policy) == "ReduceLROnPlateau"


def check_unfreezing(net: skorch.NeuralNet) -> None:
    """Raise ValueError where weights begin to learn later, and the optimizer cannot take it."""
    moments = [part.at for _, part in net.callbacks_ if isinstance(part, Unfreezer)]
    # skorch makes a function of the number of an epoch, counted from 1
    later = any(getattr(at, "keywords", {}).get("epoch", at) != 1 for at in moments)
    if later and any(
        isinstance(net.optimizer_, torch.optim.SGD) and group.get("fused") and group["momentum"]
        for group in net.optimizer_.param_groups
    ):
        raise ValueError(
            "torch's fused SGD with momentum fails where weights begin to learn after the first "
            "update, as by Unfreezer: leave optimizer__fused out."
        )


def check_probabilities(criterion: nn.Module, answer: Any, loss: torch.Tensor) -> None:
    """Raise ValueError where a loss is not finite since scores are no probabilities."""
    if not isinstance(criterion, nn.NLLLoss):
        return
    if loss.is_cuda and torch.cuda.is_current_stream_capturing():  # there are no numbers yet
        return
    if torch.isfinite(loss).all():
        return
    scores = answer[0] if isinstance(answer, tuple) else answer
    if (scores < 0).any():
        raise ValueError(
            "With torch.nn.NLLLoss skorch takes the logarithm of what the network returns, so that "
            "has to be probabilities, and some of it is negative. Let the module return logits and "
            "leave criterion out, which is torch.nn.CrossEntropyLoss then; or let it end in a "
            "softmax, not a log_softmax."
        )
