"""Cosines of the learning rate, one over a whole training or one after the other."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from skorch import NeuralNet

from skclr import schedules
from skclr.callbacks._cycles import Cycles
from skclr.callbacks._lr_schedule import EpochLRSchedule
from skclr.callbacks._one_cycle import WholeTrainingLR


class CosineLR(WholeTrainingLR):
    """Half a cosine over the whole training: the rate falls once, slowly at first and at last.

    It spans the ``net.max_epochs`` epochs of one call of ``fit`` or ``partial_fit``; a further call
    falls again.

    Parameters
    ----------
    max_lr : float, default=0.1
        The highest rate.
    base_lr : float, default=0.0
        Where the fall ends.
    warmup : float, default=0
        Epochs of a climb along a line from `base_lr` to `max_lr` before the fall; fewer than
        ``net.max_epochs``.
    event_name : str, default="event_lr"
        The name of the rate in ``net.history``, one value a batch.

    Raises
    ------
    ValueError
        When training begins and a parameter is out of its range.

    See Also
    --------
    CosineRestartsLR : The same fall again and again.
    skclr.schedules.cosine : The same as a pure function.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
    arXiv:1608.03983.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import CosineLR
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, batch_size=30, max_epochs=3, train_split=None,
    ...     callbacks=[CosineLR(max_lr=0.4, warmup=1)], verbose=0)
    >>> _ = net.fit(X, y)
    >>> [round(float(r), 2) for r in np.ravel(net.history[:, "batches", :, "event_lr"])]
    [0.0, 0.2, 0.4, 0.34, 0.2, 0.06]
    """

    def __init__(
        self,
        max_lr: float = 0.1,
        base_lr: float = 0.0,
        warmup: float = 0,
        event_name: str = "event_lr",
    ) -> None:
        self.max_lr = max_lr
        self.base_lr = base_lr
        self.warmup = warmup
        self.event_name = event_name

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Check the parameters against the number of epochs."""
        check_warmup(self.warmup, max(net.max_epochs, 1))
        super().on_train_begin(net, X, y, **kwargs)

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        """Return the rate of each of these iterations.

        Parameters
        ----------
        iterations : ndarray of int of shape (n,)
            Updates, counted from the beginning of the fall.

        Returns
        -------
        ndarray of shape (n,)
            Learning rates.
        """
        return schedules.cosine(
            iterations,
            max_lr=self.max_lr,
            base_lr=self.base_lr,
            total_steps=self.max_epochs_ * self.iterations_per_epoch_,
            warmup=self.warmup * self.iterations_per_epoch_,
        )


def check_warmup(warmup: float, max_epochs: int) -> None:
    """Raise ValueError unless the fall after a warmup has epochs left."""
    if not (isinstance(warmup, Real) and 0 <= warmup < max_epochs):
        raise ValueError(
            "warmup must be a number of epochs, 0 or more and less than "
            f"max_epochs={max_epochs!r}, got {warmup!r}."
        )


class CosineRestartsLR(EpochLRSchedule):
    """Half cosines one after the other: the rate falls, jumps back up, and falls again.

    Parameters
    ----------
    max_lr : float, default=0.1
        Where each cycle begins.
    base_lr : float, default=0.0
        Where each cycle ends.
    step_size : float, default=5
        Epochs in the first cycle.
    factor : float, default=1.0
        What the length of a cycle is multiplied by for the next; 1 or more.
    warmup : float, default=0
        Epochs of a climb along a line from `base_lr` to `max_lr` before the first cycle.
    event_name : str, default="event_lr"
        The name of the rate in ``net.history``, one value a batch.

    Raises
    ------
    ValueError
        When training begins and a parameter is out of its range.

    See Also
    --------
    CosineLR : One fall over the whole training.
    skclr.schedules.cosine_restarts : The same as a pure function.

    Notes
    -----
    Training resumed with ``partial_fit`` goes on where the cycle was left, at the next whole epoch
    where one was cut short.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
    arXiv:1608.03983.

    Examples
    --------
    >>> from skclr.callbacks import CosineRestartsLR
    >>> CosineRestartsLR(max_lr=0.1, step_size=2, factor=2).factor
    2
    """

    def __init__(
        self,
        max_lr: float = 0.1,
        base_lr: float = 0.0,
        step_size: float = 5,
        factor: float = 1.0,
        warmup: float = 0,
        event_name: str = "event_lr",
    ) -> None:
        self.max_lr = max_lr
        self.base_lr = base_lr
        self.step_size = step_size
        self.factor = factor
        self.warmup = warmup
        self.event_name = event_name

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        """Return the rate of each of these iterations.

        Parameters
        ----------
        iterations : ndarray of int of shape (n,)
            Updates, counted from 0 over all epochs.

        Returns
        -------
        ndarray of shape (n,)
            Learning rates.
        """
        return schedules.cosine_restarts(
            iterations,
            max_lr=self.max_lr,
            base_lr=self.base_lr,
            step_size=self.step_size * self.iterations_per_epoch_,
            factor=self.factor,
            warmup=self.warmup * self.iterations_per_epoch_,
        )

    def _cycles(self) -> Cycles:
        return Cycles(self.step_size, factor=self.factor, offset=self.warmup)
