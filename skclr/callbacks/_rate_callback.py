"""What callbacks of the learning rate have in common: one sets it, and the history shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import skorch.callbacks
from skorch import NeuralNet
from skorch.callbacks import Callback

from skclr.callbacks._optimizer_rates import (
    LEAVE_IT,
    accept_rates,
    check_untouched,
    rates_of,
    settle_ratios,
    shown_rate,
    torch_schedulers,
    updates_of,
    write_rate,
)


class RateObserver(Callback):
    """Base of callbacks that record the learning rate of each update.

    An update is a step of the optimizer. A batch without one, as where gradients are accumulated,
    has no rate in the history, and ``n_updates`` 0 in its place.
    """

    event_name: str
    placed_ = False  # whether the first epoch of this training has begun
    idle_ = False  # whether another callback does the work
    per_group_ = False  # whether each group is given a rate
    updates_before_ = 0  # that the optimizer had made when the batch began

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Get ready; the place is read when the first epoch begins.

        Until then other callbacks may load a history and an optimizer.
        """
        self.placed_ = False

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Take up the training where the history has left it."""
        if self.placed_ or self.idle_:
            return
        self._take_up(net)
        self.placed_ = True

    def _take_up(self, net: NeuralNet) -> None:
        settle_ratios(net)

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Begin to watch for the update."""
        if training and not self.idle_:
            updates = updates_of(net.optimizer_)
            self.updates_before_ = updates.number if updates else 0

    def on_batch_end(
        self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Record the rate of the update, if there was one."""
        if not training or self.idle_:
            return
        updates = updates_of(net.optimizer_)
        n_updates = updates.number - self.updates_before_ if updates else 1
        rates = updates.rates if updates and n_updates else rates_of(net.optimizer_)
        self._check_used(net, rates)
        if n_updates:
            shown = rates[0] if self.per_group_ else shown_rate(net.optimizer_, rates)
            net.history.record_batch(self.event_name, shown)
        if n_updates != 1:
            net.history.record_batch("n_updates", n_updates)
        self._after_batch(net, n_updates)

    def _check_used(self, net: NeuralNet, rates: tuple[float, ...]) -> None:
        """Raise where these are not the rates that were meant."""

    def _after_batch(self, net: NeuralNet, n_updates: int) -> None:
        """Do what follows a batch in which so many updates were made."""


class RateSetter(RateObserver):
    """Base of callbacks that set the learning rate of each update, and that nothing else may."""

    gives_way = False  # to a sweep of the rate

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Raise ValueError where another callback sets the rate too."""
        super().on_train_begin(net, X, y, **kwargs)
        kinds = (RateSetter, skorch.callbacks.LRScheduler)
        others = [(name, item) for name, item in net.callbacks_ if isinstance(item, kinds)]
        others.pop([item is self for _, item in others].index(True))  # it may be there twice
        self.idle_ = self.gives_way and any(
            isinstance(item, RateSetter) and not item.gives_way for _, item in others
        )
        for name, item in others:
            if isinstance(item, RateSetter) and item.gives_way != self.gives_way:
                continue
            raise ValueError(
                f"The learning rate is set twice, by {type(self).__name__} and by "
                f"{type(item).__name__} ({name!r}). {LEAVE_IT}"
            )

    def _take_up(self, net: NeuralNet) -> None:
        for name, scheduler in torch_schedulers(net):
            raise ValueError(
                f"The learning rate is set twice, by {type(self).__name__} and by torch's "
                f"{scheduler} in the callback {name!r}. {LEAVE_IT}"
            )
        super()._take_up(net)

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Set the rate of the update that follows."""
        if training and not self.idle_:
            super().on_batch_begin(net, batch, training, **kwargs)
            rate = self._next_rate()
            self.per_group_ = isinstance(rate, np.ndarray)
            write_rate(net, rate)

    def _next_rate(self) -> float | np.ndarray:
        """Return the rate of the update that follows, or one for each parameter group."""
        raise NotImplementedError

    def _check_used(self, net: NeuralNet, rates: tuple[float, ...]) -> None:
        check_untouched(net, rates)

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Raise ValueError where something else has set the rate after the last update."""
        if self.placed_ and not self.idle_:
            check_untouched(net)


class LRRecorder(RateObserver):
    """Record the learning rate of each update, which other callbacks and the optimizer set.

    It leaves that to a callback of this package that sets the rate.

    Parameters
    ----------
    event_name : str, default="event_lr"
        The name of the rate in ``net.history``, one value an update.
    """

    def __init__(self, event_name: str = "event_lr") -> None:
        self.event_name = event_name

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """See whether another callback records the rate."""
        super().on_train_begin(net, X, y, **kwargs)
        self.idle_ = any(isinstance(callback, RateSetter) for _, callback in net.callbacks_)

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Leave the rates as the beginning of a schedule that may come."""
        if not self.idle_ and self.placed_:
            accept_rates(net)
