"""What callbacks of the batch size have in common: one sets it, and the iterator is built anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

from skclr.callbacks._stand_in import IteratorStandIn


class BatchSizeSetter(Callback):
    """Base of callbacks that set the batch size of each epoch, and that nothing else may.

    skorch builds its training iterator once, before the first epoch, with ``net.batch_size``. Such
    a callback stands in for ``net.iterator_train`` at that one moment, and builds the iterator
    anew, with the net's own class and arguments, whenever the size changes. The net's parameters,
    ``batch_size`` included, are left as they are.
    """

    def initialize(self) -> BatchSizeSetter:
        """Forget an earlier training."""
        self.batch_size_: int | None = None
        self.growing_: Any = None  # the iterator of the training under way
        self.n_before_ = 0  # epochs, ahead of it
        return self

    def first_batch_size(self) -> int:
        """Return the size that a training from new weights begins with.

        Returns
        -------
        int
            Samples in a batch.
        """
        raise NotImplementedError

    def _size_now(self, net: NeuralNet) -> int:
        """Return the size of the epoch that has just begun, the last one of the history."""
        raise NotImplementedError

    def _check(self, net: NeuralNet) -> None:
        """Raise ValueError where a parameter is not valid, before any training."""

    def _iterator_now(self, net: NeuralNet) -> Any:
        """Return the training iterator of the epoch that has just begun.

        It has a length where the net's own iterator has one.
        """
        return self._iterator_with(self._size_now(net))

    def _iterator_with(self, batch_size: int) -> Any:
        self._check_effect(self.growing_.is_in_use)
        self.growing_.batch_size = batch_size
        return self.growing_

    def _iterations_ahead(self, net: NeuralNet, n_epochs: int) -> int:
        """Return the number of updates in so many epochs from the one that has just begun.

        Where nobody knows what the sizes will be, it is that with the present one.
        """
        return n_epochs * len(self._iterator_now(net))

    def _check_ahead(self, net: NeuralNet) -> None:
        """Raise ValueError where an epoch to come would make no update, before the first one."""
        self._check_makes_batches(len(net.history) - 1, self._size_now(net))

    def _check_makes_batches(self, epoch: int, batch_size: int) -> None:
        if self._makes_batches(batch_size):
            return
        raise ValueError(
            f"The batch size of epoch {epoch}, counted from 0, is {batch_size}, more than there "
            "are samples to train on, and drop_last leaves such a batch out: the epoch would make "
            "no update. Let the size stay below, or set iterator_train__drop_last=False."
        )

    def _n_samples(self) -> int:
        """Return how many samples are trained on; 0 where nobody knows."""
        dataset = self.growing_.dataset
        return len(dataset) if hasattr(dataset, "__len__") else 0

    def _makes_batches(self, batch_size: int) -> bool:
        """Tell whether the net's iterator makes a batch of this size, as far as that is known."""
        try:
            return len(self._iterator_with(batch_size)) > 0
        except TypeError:  # it has no length
            return True

    def _check_effect(self, is_in_use: Any) -> None:
        if not is_in_use:
            raise RuntimeError(
                f"{type(self).__name__} had no effect: another callback took the net's training "
                "iterator before the first epoch."
            )

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Check the sizes, and be there when the net builds its training iterator."""
        setters = [
            (name, item) for name, item in net.callbacks_ if isinstance(item, BatchSizeSetter)
        ]
        if len(setters) > 1:
            named = " and ".join(f"{type(item).__name__} ({name!r})" for name, item in setters)
            raise ValueError(
                f"The batch size is set by {len(setters)} callbacks, {named}. Keep one of them; "
                "beside it CLRLeNetClassifier takes batch_schedule=None and any schedule but "
                "'batch_doubling'."
            )
        self._check(net)
        self.n_before_ = len(net.history)
        own = net.iterator_train
        # a training that failed before its first epoch may have left our stand-in behind
        own = own.own if isinstance(own, _GrowingIterator) else own
        self.growing_ = _GrowingIterator(own, partial(setattr, net, "iterator_train", own))
        net.iterator_train = self.growing_

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Set the size of the epoch that begins, and record it."""
        self._check_effect(self.growing_.is_in_use)
        if not self.growing_.n_passes:
            self._check_ahead(net)
        self.batch_size_ = self.growing_.batch_size = self._size_now(net)
        net.history.record("batch_size", self.batch_size_)

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Make sure that it was our iterator that the epoch went through."""
        self._check_effect(self.growing_.n_passes)

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Let go of the data."""
        if self.growing_ is not None:  # an error may have come before our on_train_begin
            net.iterator_train = self.growing_.own
        self.growing_ = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"growing_": None}  # the data of a training that failed stay behind


class _GrowingIterator(IteratorStandIn):
    """A training iterator that is built anew when its batch size changes.

    It is called once, as skorch calls ``iterator_train``, and iterated over once an epoch.
    """

    def __init__(self, own: Callable[..., Any], put_back: Callable[[], Any]) -> None:
        super().__init__(own)
        self._put_back = put_back
        self.batch_size: int | None = None
        self._iterator: Any = None
        self._built_with: int | None = None
        self.is_in_use = False  # since the net has called for its iterator
        self.n_passes = 0

    def __call__(self, dataset: Any, **kwargs: Any) -> _GrowingIterator:
        self._put_back()
        self.dataset, self._kwargs = dataset, kwargs
        self._iterator = None
        self.is_in_use, self.n_passes = True, 0
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"own": self.own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _GrowingIterator.__init__(self, state["own"], put_back=bool)

    def _current(self) -> Any:
        if self._iterator is None or self._built_with != self.batch_size:
            kwargs = dict(self._kwargs)
            if self.batch_size is not None:
                kwargs["batch_size"] = self.batch_size
            self._iterator = self.own(self.dataset, **kwargs)
            self._built_with = self.batch_size
        return self._iterator

    def __iter__(self) -> Iterator[Any]:
        self.n_passes += 1
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())


def batch_size_setter(net: NeuralNet) -> BatchSizeSetter | None:
    """Return the callback that sets the batch size of a net, if there is one."""
    return next((item for _, item in net.callbacks_ if isinstance(item, BatchSizeSetter)), None)


def iterations_per_epoch(net: NeuralNet, dataset_train: Any) -> int:
    """Return the number of updates in the epoch that begins."""
    setter = batch_size_setter(net)
    if setter is None:
        iterator = net.get_iterator(dataset_train, training=True)
    else:
        iterator = setter._iterator_now(net)
    try:
        return len(iterator)
    except TypeError:
        raise ValueError(
            "The training iterator has no length, so an epoch has no known number of updates; "
            "give the callback its length in iterations (step_unit='iteration', n_iter=...)."
        ) from None


def iterations_ahead(net: NeuralNet, dataset_train: Any, n_epochs: int) -> float:
    """Return the number of updates in so many epochs from the one that begins.

    Infinite where the training iterator has no length.
    """
    setter = batch_size_setter(net)
    try:
        if setter is None:
            return n_epochs * len(net.get_iterator(dataset_train, training=True))
        return setter._iterations_ahead(net, n_epochs)
    except TypeError:
        return math.inf
