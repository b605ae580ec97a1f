"""What callbacks have in common that do something where a cycle of the schedule ends."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback, LRScheduler

from skclr._history import count_updates
from skclr.callbacks._batch_size_setter import iterations_per_epoch
from skclr.callbacks._cycles import Cycles
from skclr.callbacks._lr_schedule import EpochLRSchedule
from skclr.callbacks._optimizer_rates import updates_of
from skclr.callbacks._rate_callback import RateSetter


def cycles_of(net: NeuralNet) -> Cycles | None:
    """Return the cycles of a net's schedule; None where it has none that is known."""
    schedules = [item for _, item in net.callbacks_ if isinstance(item, EpochLRSchedule)]
    return next(filter(None, (schedule._cycles() for schedule in schedules)), None)


def schedules_of(net: NeuralNet) -> str:
    """Return what sets the learning rate of a net, in words."""
    setters = [item for _, item in net.callbacks_ if isinstance(item, (RateSetter, LRScheduler))]
    return ", ".join(type(item).__name__ for item in setters) or "no callback"


class CycleEnds(Callback):
    """Base of callbacks that do something after the last update of each cycle.

    The place in the cycles is read off the history: in epochs of as many batches as the epoch under
    way has, or in updates.
    """

    cycles_: Any = None
    per_epoch_ = 1  # batches
    updates_ = 0  # over all epochs
    updates_before_ = 0  # that the optimizer had made when the batch began

    def _settled_cycles(self, net: NeuralNet) -> Cycles:
        """Return the cycles of a training, or raise ValueError."""
        raise NotImplementedError

    def _at_end_of_cycle(self, net: NeuralNet) -> None:
        """Do what follows the last update of a cycle."""
        raise NotImplementedError

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Find the cycles."""
        self.cycles_ = self._settled_cycles(net)

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Find the place in the cycles."""
        if self.cycles_.unit == "epoch":
            self.per_epoch_ = iterations_per_epoch(net, dataset_train)
        self.updates_ = count_updates(net.history)

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Begin to watch for the update."""
        if training:
            updates = updates_of(net.optimizer_)
            self.updates_before_ = updates.number if updates else 0

    def on_batch_end(
        self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """See whether a cycle has ended."""
        if not training:
            return
        updates = updates_of(net.optimizer_)
        n_updates = updates.number - self.updates_before_ if updates else 1
        if self.cycles_.unit == "epoch":
            before, place = self._epochs(net, -1), self._epochs(net)
        else:
            before, place = self.updates_, self.updates_ + n_updates
        self.updates_ += n_updates
        if self.cycles_.ended_by(place) > self.cycles_.ended_by(before):
            self._at_end_of_cycle(net)

    def _epochs(self, net: NeuralNet, n_batches: int = 0) -> float:
        """Return the epochs of training so far, and so many batches."""
        n_batches += len(net.history[-1]["batches"])
        return len(net.history) - 1 + n_batches / self.per_epoch_
