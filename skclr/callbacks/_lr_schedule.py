"""Learning rates as a function of the update, and of the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from skorch import NeuralNet

from skclr._history import count_updates
from skclr.callbacks._batch_size_setter import iterations_per_epoch
from skclr.callbacks._cycles import Cycles
from skclr.callbacks._rate_callback import RateSetter

_RATES_AT_ONCE = 512


class LRSchedule(RateSetter):
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
        The number of updates made so far.

    Raises
    ------
    ValueError
        When training begins and the schedule's first rate is not a finite number >= 0; during
        training when a later one is not. When another callback sets the rate too: before training
        where it is one of skorch's or torch's schedulers or one of this package, otherwise as soon
        as it is seen.

    See Also
    --------
    CyclicLR : The cyclical policies.
    OneCycleLR : One cycle over the whole training.
    LRHalving : Halve the rate every few epochs.

    Notes
    -----
    What follows is true of every callback of this package that sets the learning rate.

    The rate that the net was built with (``lr`` or ``optimizer__lr``) gives way to the schedule's.
    A parameter group with a rate of its own keeps its ratio to it: with ``lr=0.1`` and
    ``optimizer__param_groups=[("conv*", {"lr": 0.01})]`` those weights learn at a tenth of the
    schedule's rate, and with 0 not at all. The history shows the rate of the first group that has
    none of its own.

    An iteration is a step of the optimizer. Where gradients are accumulated over several batches,
    a batch without a step has no rate in the history, and ``n_updates`` 0 in its place. Schedules
    whose shape is laid out in epochs go by batches, so that an epoch keeps its length.

    A last batch that is smaller than the others counts as they do: its update is made at the full
    rate, from few samples. A ``DataLoader`` makes one where the batch size does not divide the
    data; ``iterator_train__drop_last=True`` leaves it out, and
    ``iterator_train=BatchIterator, iterator_train__even=True`` spreads its samples over the epoch
    (:class:`skclr.batches.BatchIterator`).

    A sweep (:class:`LRRangeTest`) takes the place of a schedule beside it.

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

    gives_way = True

    def initialize(self) -> LRSchedule:
        """Forget the progress of an earlier training."""
        self.iteration_ = 0
        return self

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Check the schedule, and that nothing else sets the rate."""
        super().on_train_begin(net, X, y, **kwargs)
        self.iteration_ = count_updates(net.history)
        self._check_schedule()

    def _check_schedule(self) -> None:
        self._next_rate()

    def _take_up(self, net: NeuralNet) -> None:
        super()._take_up(net)
        self.iteration_ = count_updates(net.history)

    def _next_rate(self) -> float | np.ndarray:
        return self._checked(self.schedule(self.iteration_), self.iteration_)

    def _after_batch(self, net: NeuralNet, n_updates: int) -> None:
        self.iteration_ += n_updates

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

    table_start_ = 0  # the iteration of the table's first row; pickles of before have none

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        """Return the rate of each of these iterations, shape (n,) or (n, n_groups)."""
        raise NotImplementedError

    def _cycles(self) -> Cycles | None:
        """Return its cycles, where it has any that end before the training does."""
        return None

    def initialize(self) -> EpochLRSchedule:
        """Forget the progress of an earlier training."""
        super().initialize()
        self.iterations_per_epoch_ = 1
        self.table_: np.ndarray | None = None
        self.table_start_ = self.place_ = 0
        return self

    def _check_schedule(self) -> None:
        self.iterations_per_epoch_ = 1  # the boundaries are checked before any data is seen
        self.table_ = None
        self._check_parameters()

    def _check_parameters(self) -> None:
        self.rates(np.arange(1))

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Lay the schedule over the epoch that begins."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        if not self.idle_:
            self.table_ = None
            self._lay_out(net, dataset_train)

    def _lay_out(self, net: NeuralNet, dataset_train: Any) -> None:
        self.iterations_per_epoch_ = iterations_per_epoch(net, dataset_train)
        self.place_ = self._first_iteration(net)

    def _first_iteration(self, net: NeuralNet) -> int:
        return (len(net.history) - 1) * self.iterations_per_epoch_

    def _next_rate(self) -> float | np.ndarray:
        row = self.place_ - self.table_start_
        if self.table_ is None or row >= len(self.table_):
            self.table_start_, row = self.place_, 0
            ahead = np.arange(self.place_, self.place_ + _RATES_AT_ONCE)
            self.table_ = np.asarray(self.rates(ahead))
        return self.table_[row]

    def _after_batch(self, net: NeuralNet, n_updates: int) -> None:
        super()._after_batch(net, n_updates)
        self.place_ += self._places_in_batch(n_updates)

    def _places_in_batch(self, n_updates: int) -> int:
        """Return how far a batch goes: laid out in epochs, by one, whatever its updates."""
        return 1
