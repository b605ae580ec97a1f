"""Learning rates over a whole training, and one cycle among them."""

from __future__ import annotations

from typing import Any

import numpy as np
from skorch import NeuralNet

from skclr import schedules
from skclr.callbacks._lr_schedule import EpochLRSchedule


class WholeTrainingLR(EpochLRSchedule):
    """Base of schedules that span the ``net.max_epochs`` epochs of one call."""

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Begin anew, over ``net.max_epochs`` epochs."""
        self.max_epochs_ = max(net.max_epochs, 1)
        super().on_train_begin(net, X, y, **kwargs)

    def _take_up(self, net: NeuralNet) -> None:
        super()._take_up(net)
        self.epochs_before_ = len(net.history) - 1

    def _first_iteration(self, net: NeuralNet) -> int:
        return (len(net.history) - 1 - self.epochs_before_) * self.iterations_per_epoch_


class OneCycleLR(WholeTrainingLR):
    """One cycle over the whole training: up to `max_lr`, then down to almost nothing.

    The cycle spans the ``net.max_epochs`` epochs of one call of ``fit`` or ``partial_fit``;
    a further call runs a further cycle.

    Parameters
    ----------
    max_lr : float, default=0.1
        The highest rate.
    pct_start : float, default=0.3
        The part of the cycle that rises.
    div_factor : float, default=25.0
        The first rate is ``max_lr / div_factor``.
    final_div_factor : float, default=1e4
        The last rate is the first one divided by this.
    event_name : str, default="event_lr"
        The name of the rate in ``net.history``, one value a batch.

    Raises
    ------
    ValueError
        When training begins and a parameter is out of its range.

    See Also
    --------
    skclr.schedules.one_cycle : The same as a pure function.

    References
    ----------
    L. N. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
    Large Learning Rates", arXiv:1708.07120.

    Examples
    --------
    >>> from skclr.callbacks import OneCycleLR
    >>> OneCycleLR(max_lr=0.1).pct_start
    0.3
    """

    def __init__(
        self,
        max_lr: float = 0.1,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        event_name: str = "event_lr",
    ) -> None:
        self.max_lr = max_lr
        self.pct_start = pct_start
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.event_name = event_name

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        """Return the rate of each of these iterations.

        Parameters
        ----------
        iterations : ndarray of int of shape (n,)
            Updates, counted from the beginning of the cycle.

        Returns
        -------
        ndarray of shape (n,)
            Learning rates.
        """
        return schedules.one_cycle(
            iterations,
            max_lr=self.max_lr,
            # a cycle of two updates is the shortest that has a rise and a fall
            total_steps=max(self.max_epochs_ * self.iterations_per_epoch_, 2),
            pct_start=self.pct_start,
            div_factor=self.div_factor,
            final_div_factor=self.final_div_factor,
        )
