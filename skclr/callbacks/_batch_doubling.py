"""Batches that grow every few epochs."""

from __future__ import annotations

from skorch import NeuralNet

from skclr import schedules
from skclr.callbacks._batch_schedule import BatchSizeSchedule


class BatchDoubling(BatchSizeSchedule):
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
        When training begins and a parameter is out of its range, or another callback sets the
        batch size too.

    See Also
    --------
    skclr.callbacks.LRHalving : The mirror image, which moves the learning rate.
    skclr.callbacks.BatchSizeSchedule : Any function of the epoch.
    skclr.callbacks.NoiseDoubling : Doubles where a measurement says that it pays.
    skclr.schedules.batch_doubling : The same as a pure function.

    Notes
    -----
    It is a :class:`skclr.callbacks.BatchSizeSchedule` of :func:`skclr.schedules.batch_doubling`,
    and what is said there of the iterator, of sizes that do not divide the data and of those
    beyond it holds here.

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

    def _check(self, net: NeuralNet) -> None:
        self.batch_size_at(0)
