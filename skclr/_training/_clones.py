"""Trainings of clones, from which a sweep or a comparison learns something."""

from __future__ import annotations

import inspect
from typing import Any

import skorch
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter
from skorch.callbacks import GradientNormClipping, ParamMapper

from skclr._process import (
    flushable_streams,
    isolated_generators,
    one_thread,
    watched_interrupts,
)
from skclr._progress import Ticker
from skclr._training._net import ImageClassifier
from skclr.batches import labels_beside
from skclr.callbacks import BatchSizeSetter

# these change what an update does, or only watch
_KEPT_CALLBACKS = (GradientNormClipping, ParamMapper, Ticker)


def check_net(estimator: Any, sample_weight: Any = None) -> None:
    """Raise TypeError unless the estimator is one that skorch trains, and takes weights if any."""
    if not isinstance(estimator, skorch.NeuralNet):
        raise TypeError(
            f"estimator must be a CLRLeNetClassifier or a skorch net, got {estimator!r}."
        )
    if sample_weight is not None and not _takes_weights(estimator):
        raise TypeError(
            f"sample_weight was given, and {type(estimator).__name__}.fit has no such parameter."
        )


def _takes_weights(estimator):
    """Tell whether `fit` has weights by name, or is one that may take them among any others."""
    if has_fit_parameter(estimator, "sample_weight"):
        return True
    kinds = {parameter.kind for parameter in inspect.signature(estimator.fit).parameters.values()}
    is_skorchs = type(estimator).fit.__module__.partition(".")[0] == "skorch"
    return inspect.Parameter.VAR_KEYWORD in kinds and not is_skorchs


def labels_for(estimator: skorch.NeuralNet, X: Any, y: Any) -> Any:
    """Return the labels for trainings of a net; a plain skorch net finds those of a data set."""
    return labels_beside(X, y) if isinstance(estimator, ImageClassifier) else y


def fit_clone(
    estimator: skorch.NeuralNet,
    callbacks: list,
    max_epochs: int,
    X: Any,
    y: Any,
    seed: int,
    *,
    sample_weight: Any = None,
    checkpoint: Any = None,
) -> skorch.NeuralNet:
    """Fit a clone on all samples, with these callbacks in place of its own schedule and callbacks.

    Its own callbacks that clip gradients, freeze parameters or show progress stay, and where one
    sets the batch size, its first size does. It is written down where `checkpoint` says.
    """
    own = estimator.callbacks if isinstance(estimator.callbacks, list) else []
    kept = [item for item in own if isinstance(_without_name(item), _KEPT_CALLBACKS)]
    net = clone(estimator).set_params(
        callbacks=[*kept, *callbacks],
        max_epochs=max_epochs,
        verbose=0,
        warm_start=False,
        **_first_batch_size(estimator, own),
    )
    if hasattr(net, "without_schedule"):
        net.without_schedule()
    else:
        net.set_params(train_split=None)
    if checkpoint is not None:
        net.set_params(checkpoint=checkpoint)
    if "random_state" in net.get_params(deep=False):
        net.set_params(random_state=seed)
    known = {name for name, _ in net._uniquely_named_callbacks()}
    for name in [name for name in vars(net) if name.startswith("callbacks__")]:
        if name.split("__")[1] not in known:  # of a callback that was left out
            del vars(net)[name]
    with isolated_generators(seed, device=net.device), one_thread():
        fit_passing_on_interrupts(net, X, y, sample_weight)
    return net


def _first_batch_size(estimator: skorch.NeuralNet, callbacks: list) -> dict[str, int]:
    """Return the parameters by which a net has the first size of a callback that sets it."""
    for item in callbacks:
        callback = _without_name(item)
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, BatchSizeSetter):
            continue
        name = item[0] if isinstance(item, tuple) else kind.__name__
        given = estimator.get_params_for(f"callbacks__{name}")
        made = kind(**given) if callback is kind else clone(callback)
        made.set_params(**given)  # which returns nothing
        names = {"batch_size", "iterator_train__batch_size"} & {"batch_size", *vars(estimator)}
        return dict.fromkeys(names, made.first_batch_size())
    return {}


def fit_passing_on_interrupts(
    net: skorch.NeuralNet, X: Any, y: Any, sample_weight: Any = None
) -> None:
    """Fit, and pass on a Ctrl-C, which a plain skorch net takes for the end of training."""
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    with watched_interrupts() as interrupts, flushable_streams():
        net.fit(X, y, **weights)
    interrupts.pass_on()


def _without_name(item: Any) -> Any:
    """Return a callback of a list in which some are given with a name."""
    return item[1] if isinstance(item, tuple) else item
