"""A batch size as a function of the epoch."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

from skorch import NeuralNet

from skclr.callbacks._batch_size_setter import BatchSizeSetter

# nobody trains that long, but a limit of epochs may be set where a callback ends the training
_MOST_CHECKED_AHEAD = 100_000


class BatchSizeSchedule(BatchSizeSetter):
    """Set the batch size of every epoch from a function of the epoch.

    Parameters
    ----------
    function : callable
        ``function(epoch) -> batch size``. The epoch is an int, 0 for the first one, and goes on
        counting when training is resumed with ``partial_fit``. The size is in samples: an integer
        of at least 1, of Python or NumPy, or a float that is whole.

    Attributes
    ----------
    batch_size_ : int
        The size of the current epoch. It also stands in ``net.history`` as ``batch_size``, one
        value an epoch.

    Raises
    ------
    ValueError
        When training begins and the size of one of its epochs is no integer of at least 1, or is
        larger than the data where such a batch is left out (``drop_last``), or another callback
        sets the batch size too.

    See Also
    --------
    skclr.BatchDoubling : The size multiplied at regular intervals.
    skclr.callbacks.NoiseDoubling : The size doubled where a measurement says that it pays.
    skclr.callbacks.LRSchedule : The same for the learning rate.
    skclr.schedules.batch_steps : Sizes in steps, to be used with :func:`functools.partial`.

    Notes
    -----
    What follows is true of every callback of this package that sets the batch size.

    skorch builds its training iterator once, before the first epoch, with ``net.batch_size``. The
    callback stands in for ``net.iterator_train`` at that one moment, and builds the iterator anew,
    with the net's own class and arguments, whenever the size changes. The net's parameters,
    ``batch_size`` included, are left as they are.

    Where a size does not divide the data, the last batch of the epoch is smaller, as the net's
    iterator makes it, and its update is made at the full rate. ``iterator_train__drop_last=True``
    leaves it out; :class:`skclr.batches.BatchIterator` with ``iterator_train__even=True``, the
    default of :class:`skclr.CLRLeNetClassifier`, makes batches of almost equal size. A size beyond
    that of the training data makes one batch of them all, an update an epoch; the history shows
    the size that was asked for. With ``drop_last`` there would be no update, which is refused.

    A schedule of the learning rate that is laid out in epochs keeps its place and its length
    whatever the batch size; one in iterations counts updates, of which a larger batch makes fewer.

    The function is called several times for an epoch, for all of them before the first one, so it
    has to give the same answer each time.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import BatchSizeSchedule
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, max_epochs=4, train_split=None,
    ...     callbacks=[BatchSizeSchedule(lambda epoch: 10 + 5 * epoch)], verbose=0)
    >>> _ = net.fit(X, y)
    >>> net.history[:, ("batch_size", "train_batch_count")]
    [(10, 6), (15, 4), (20, 3), (25, 3)]
    """

    def __init__(self, function: Callable[[int], int]) -> None:
        self.function = function

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
        return batch_size_of(self.function, epoch)

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
        return len(self._iterator_with(self.batch_size_at(epoch)))

    def first_batch_size(self) -> int:
        """Return the size that a training from new weights begins with.

        Returns
        -------
        int
            Samples in a batch.
        """
        return self.batch_size_at(0)

    def _size_now(self, net: NeuralNet) -> int:
        return self.batch_size_at(len(net.history) - 1)

    def _iterations_ahead(self, net: NeuralNet, n_epochs: int) -> int:
        first = len(net.history) - 1
        numbers = [self.iterations_at(first + epoch) for epoch in range(n_epochs)]
        self._iterator_now(net)  # the epoch that begins has its size again
        return sum(numbers)

    def _check_ahead(self, net: NeuralNet) -> None:
        n_samples = self._n_samples()
        n_epochs = min(net.max_epochs, _MOST_CHECKED_AHEAD)
        for epoch in range(len(net.history) - 1, self.n_before_ + n_epochs):
            batch_size = self.batch_size_at(epoch)
            if batch_size > n_samples > 0:
                self._check_makes_batches(epoch, batch_size)

    def _check(self, net: NeuralNet) -> None:
        if not callable(self.function):
            raise ValueError(
                f"function must be a function of the epoch, got {self.function!r}; for batches of "
                "one size, give the net a batch_size."
            )
        check_batch_sizes(self.function, len(net.history), net.max_epochs)


def check_batch_sizes(function: Callable[[int], Any], first: int, n_epochs: int) -> None:
    """Raise ValueError where a function of the epoch gives no batch size for one of these."""
    for epoch in range(first, first + min(n_epochs, _MOST_CHECKED_AHEAD)):
        batch_size_of(function, epoch)


def batch_size_of(function: Callable[[int], Any], epoch: int) -> int:
    """Return what a function of the epoch gives, an integer of at least 1, or raise ValueError."""
    given = function(epoch)
    number = given.item() if getattr(given, "ndim", None) == 0 else given  # of NumPy or torch
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
        raise ValueError(
            f"The schedule gave {given!r} as the batch size of epoch {epoch}, counted from 0; an "
            "integer of at least 1 is needed."
        )
    return int(number)
