"""A learning rate that is halved every few epochs."""

from __future__ import annotations

import numpy as np

from skclr import schedules
from skclr.callbacks._lr_schedule import EpochLRSchedule


class LRHalving(EpochLRSchedule):
    r"""Divide the rate by `factor` every few epochs, the mirror image of doubling the batch.

    Parameters
    ----------
    max_lr : float, default=0.1
        The rate at the beginning.
    every : float, default=5
        The epochs at each rate.
    base_lr : float, default=0.0
        The rate does not fall below this.
    factor : float, default=2.0
        What the rate is divided by.
    event_name : str, default="event_lr"
        The name of the rate in ``net.history``, one value a batch.

    Raises
    ------
    ValueError
        When training begins and a parameter is out of its range.

    See Also
    --------
    BatchDoubling : Moves the batch size instead.
    skclr.schedules.lr_halving : The same as a pure function.

    References
    ----------
    S. L. Smith, P.-J. Kindermans, C. Ying and Q. V. Le, "Don't Decay the Learning Rate, Increase
    the Batch Size", ICLR 2018, arXiv:1711.00489.

    Examples
    --------
    >>> from skclr.callbacks import LRHalving
    >>> LRHalving(max_lr=0.1, every=2).every
    2
    """

    def __init__(
        self,
        max_lr: float = 0.1,
        every: float = 5,
        base_lr: float = 0.0,
        factor: float = 2.0,
        event_name: str = "event_lr",
    ) -> None:
        self.max_lr = max_lr
        self.every = every
        self.base_lr = base_lr
        self.factor = factor
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
        return schedules.lr_halving(
            iterations,
            max_lr=self.max_lr,
            base_lr=self.base_lr,
            step_size=self.every * self.iterations_per_epoch_,
            factor=self.factor,
        )
