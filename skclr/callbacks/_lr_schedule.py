"""Learning rates as a function of the update, and of the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from skorch import NeuralNet
from skorch.callbacks import Callback

from skclr._history import count_updates
from skclr.callbacks._batch_doubling import iterations_per_epoch

_RATES_AT_ONCE = 512
_LARGEST_RATE = np.finfo(np.float32).max


class LRSchedule(Callback):
    """Set the learning rate of every update from a function of the iteration.

    Parameters
    ----------
    schedule : callable
        ``schedule(iteration) -> learning rate``. The iteration is an int, 0 for the first
        update, and goes on counting when training is resumed with ``partial_fit``.
    event_name : str, default="event_lr"
        The name under which each update's rate stands in ``net.history``, in the row of its
        batch.

    Attributes
    ----------
    iteration_ : int
        The number of updates begun so far.

    Raises
    ------
    ValueError
        When training begins and the schedule's first rate is not a finite number >= 0; during
        training when a later one is not.

    See Also
    --------
    CyclicLR : The cyclical policies.
    OneCycleLR : One cycle over the whole training.
    LRHalving : Halve the rate every few epochs.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import LRSchedule
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, batch_size=20, max_epochs=1, train_split=None,
    ...     callbacks=[LRSchedule(lambda iteration: 0.1 / (1 + iteration))], verbose=0)
    >>> _ = net.fit(X, y)
    >>> [round(rate, 3) for rate in net.history[-1, "batches", :, "event_lr"]]
    [0.1, 0.05, 0.033]
    """

    def __init__(self, schedule: Callable[[int], float], event_name: str = "event_lr") -> None:
        self.schedule = schedule
        self.event_name = event_name

    def initialize(self) -> LRSchedule:
        """Forget the progress of an earlier training."""
        self.iteration_ = 0
        return self

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Take up the count where the history left it, and check the schedule."""
        self.iteration_ = count_updates(net.history)
        self._begin(net)

    def _begin(self, net: NeuralNet) -> None:
        self._set_rate(net, self._checked(self.schedule(self.iteration_), self.iteration_))

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Set the rate of the update that follows, and record it."""
        if not training:
            return
        rate = self._next_rate()
        self._set_rate(net, rate)
        first = rate[0] if isinstance(rate, np.ndarray) else rate
        net.history.record_batch(self.event_name, float(first))
        self.iteration_ += 1

    def _next_rate(self) -> float | np.ndarray:
        """Return the rate of the update that follows, or one for each parameter group."""
        return self._checked(self.schedule(self.iteration_), self.iteration_)

    @staticmethod
    def _checked(rate: Any, iteration: int) -> float:
        try:
            number = float(rate)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(
                f"The schedule gave {rate!r} as the learning rate of iteration {iteration}; "
                "a finite number >= 0 is needed."
            )
        return number

    @staticmethod
    def _set_rate(net: NeuralNet, rate: float | np.ndarray) -> None:
        if np.max(rate) > _LARGEST_RATE:
            raise ValueError(f"The learning rate {np.max(rate):.3g} is too large for float32.")
        groups = net.optimizer_.param_groups
        rates = rate if isinstance(rate, np.ndarray) else [rate] * len(groups)
        for group, value in zip(groups, rates, strict=True):
            group["lr"] = float(value)


def constant_lr(rate: float, iteration: int) -> float:
    """Return the rate, whatever the iteration.

    ``partial(constant_lr, rate)`` is a schedule that can be pickled.
    """
    return rate


class EpochLRSchedule(LRSchedule):
    """A schedule whose shape is laid out in epochs: evaluated ahead for many updates at once.

    Within an epoch of n updates, update i of epoch e is at iteration ``e * n + i``. So a training
    that goes on with another batch size or another number of samples keeps its place in the cycle.
    """

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        """Return the rate of each of these iterations, shape (n,) or (n, n_groups)."""
        raise NotImplementedError

    def initialize(self) -> EpochLRSchedule:
        """Forget the progress of an earlier training."""
        super().initialize()
        self.iterations_per_epoch_ = 1
        self.table_: np.ndarray | None = None
        self.row_ = self.place_ = 0
        return self

    def _begin(self, net: NeuralNet) -> None:
        self.iterations_per_epoch_ = 1  # the boundaries are checked before any data is seen
        self.table_ = None
        self._check_parameters()

    def _check_parameters(self) -> None:
        self.rates(np.arange(1))

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Lay the schedule over the epoch that begins."""
        self.iterations_per_epoch_ = iterations_per_epoch(net, dataset_train)
        self.place_ = self._first_iteration(net)
        self.table_ = None

    def _first_iteration(self, net: NeuralNet) -> int:
        return (len(net.history) - 1) * self.iterations_per_epoch_

    def _next_rate(self) -> float | np.ndarray:
        if self.table_ is None or self.row_ == len(self.table_):
            self.table_ = np.asarray(
                self.rates(np.arange(self.place_, self.place_ + _RATES_AT_ONCE))
            )
            self.row_ = 0
        rate = self.table_[self.row_]
        self.row_ += 1
        self.place_ += 1
        return rate
