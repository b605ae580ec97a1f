"""Batches that grow every few epochs, and how many of them an epoch has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

from skclr import schedules
from skclr.callbacks._stand_in import IteratorStandIn

_NO_EFFECT = (
    "BatchDoubling had no effect: another callback took the net's training iterator before the "
    "first epoch."
)


class BatchDoubling(Callback):
    """Grow the batch size every few epochs, up to a limit.

    Parameters
    ----------
    batch_size : int, default=32
        The size in the first epochs, in samples.
    factor : float, default=2
        What the size is multiplied by.
    every : float, default=5
        The epochs at each size.
    max_batch_size : int, default=4096
        The size does not grow beyond this.

    Attributes
    ----------
    batch_size_ : int
        The size of the current epoch. It also stands in ``net.history`` as ``batch_size``, one
        value an epoch.

    Raises
    ------
    ValueError
        When training begins and a parameter is out of its range, or another callback doubles the
        batch size too.

    See Also
    --------
    skclr.callbacks.LRHalving : The mirror image, which moves the learning rate.
    skclr.schedules.batch_doubling : The same as a pure function.

    Notes
    -----
    skorch builds its training iterator once, before the first epoch, with ``net.batch_size``.
    This callback stands in for ``net.iterator_train`` at that one moment, and builds the iterator
    anew, with the net's own class and arguments, whenever the size changes. The net's parameters,
    ``batch_size`` included, are left as they are.

    Where a size does not divide the data, the last batch of the epoch is smaller, as the net's
    iterator makes it, and its update is made at the full rate. ``iterator_train__drop_last=True``
    leaves it out; :class:`skclr.batches.BatchIterator` with ``iterator_train__even=True``, the
    default of :class:`skclr.CLRLeNetClassifier`, makes batches of almost equal size.

    References
    ----------
    S. L. Smith, P.-J. Kindermans, C. Ying and Q. V. Le, "Don't Decay the Learning Rate, Increase
    the Batch Size", ICLR 2018, arXiv:1711.00489.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import BatchDoubling
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, max_epochs=4, train_split=None,
    ...     callbacks=[BatchDoubling(batch_size=10, every=1, max_batch_size=40)], verbose=0)
    >>> _ = net.fit(X, y)
    >>> net.history[:, ("batch_size", "train_batch_count")]
    [(10, 6), (20, 3), (40, 2), (40, 2)]
    """

    def __init__(
        self,
        batch_size: int = 32,
        factor: float = 2,
        every: float = 5,
        max_batch_size: int = 4096,
    ) -> None:
        self.batch_size = batch_size
        self.factor = factor
        self.every = every
        self.max_batch_size = max_batch_size

    def initialize(self) -> BatchDoubling:
        """Forget an earlier training."""
        self.batch_size_: int | None = None
        self.growing_: Any = None  # the iterator of the training under way
        return self

    def batch_size_at(self, epoch: int) -> int:
        """Return the batch size of an epoch.

        Parameters
        ----------
        epoch : int
            Counted from 0.

        Returns
        -------
        int
            Samples in a batch.
        """
        return int(
            schedules.batch_doubling(
                epoch,
                batch_size=self.batch_size,
                step_size=self.every,
                max_batch_size=self.max_batch_size,
                factor=self.factor,
            )
        )

    def iterations_at(self, epoch: int) -> int:
        """Return the number of updates in an epoch of the training under way.

        Parameters
        ----------
        epoch : int
            Counted from 0.

        Returns
        -------
        int
            Updates.
        """
        if not self.growing_.is_in_use:
            raise RuntimeError(_NO_EFFECT)
        self.growing_.batch_size = self.batch_size_at(epoch)
        return len(self.growing_)

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Check the sizes, and be there when the net builds its training iterator."""
        names = [name for name, callback in net.callbacks_ if isinstance(callback, BatchDoubling)]
        if len(names) > 1:
            raise ValueError(
                f"The batch size is set by {len(names)} BatchDoubling callbacks, {names}. Keep one "
                "of them; beside it CLRLeNetClassifier takes any schedule but 'batch_doubling'."
            )
        self.batch_size_at(0)
        own = net.iterator_train
        # a training that failed before its first epoch may have left our stand-in behind
        own = own.own if isinstance(own, _GrowingIterator) else own
        self.growing_ = _GrowingIterator(own, partial(setattr, net, "iterator_train", own))
        net.iterator_train = self.growing_

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Set the size of the epoch that begins, and record it."""
        if not self.growing_.is_in_use:
            raise RuntimeError(_NO_EFFECT)
        self.batch_size_ = self.growing_.batch_size = self.batch_size_at(len(net.history) - 1)
        net.history.record("batch_size", self.batch_size_)

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Make sure that it was our iterator that the epoch went through."""
        if not self.growing_.n_passes:
            raise RuntimeError(_NO_EFFECT)

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
        self._dataset, self._kwargs = dataset, kwargs
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
            self._iterator = self.own(self._dataset, **kwargs)
            self._built_with = self.batch_size
        return self._iterator

    def __iter__(self) -> Iterator[Any]:
        self.n_passes += 1
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())


def iterations_per_epoch(net: NeuralNet, dataset_train: Any) -> int:
    """Return the number of updates in the epoch that begins."""
    growing = next((cb for _, cb in net.callbacks_ if isinstance(cb, BatchDoubling)), None)
    try:
        if growing is not None:
            return growing.iterations_at(len(net.history) - 1)
        return len(net.get_iterator(dataset_train, training=True))
    except TypeError:
        raise ValueError(
            "The training iterator has no length, so an epoch has no known number of updates; "
            "give the callback its length in iterations (step_unit='iteration', n_iter=...)."
        ) from None


def iterations_ahead(net: NeuralNet, dataset_train: Any, n_epochs: int) -> float:
    """Return the number of updates in so many epochs from the one that begins.

    Infinite where the training iterator has no length.
    """
    growing = next((cb for _, cb in net.callbacks_ if isinstance(cb, BatchDoubling)), None)
    first = len(net.history) - 1
    try:
        if growing is None:
            return n_epochs * len(net.get_iterator(dataset_train, training=True))
        numbers = [growing.iterations_at(first + epoch) for epoch in range(n_epochs)]
        growing.iterations_at(first)  # the epoch that begins has its size again
    except TypeError:
        return math.inf
    return sum(numbers)
