"""The sweep of a learning-rate range test, on the net that it is given to."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from skorch import NeuralNet

from skclr.callbacks._batch_size_setter import iterations_per_epoch
from skclr.callbacks._rate_callback import RateSetter
from skclr.callbacks._stop import SweepEnded


class LRRangeTest(RateSetter):
    r"""Raise the learning rate from update to update and watch the loss.

    The rate of update :math:`i` of :math:`n` is :math:`min\,(max/min)^{i/(n-1)}` (``"exp"``) or
    :math:`min + (max-min)\,i/(n-1)` (``"linear"``). The loss is smoothed by an exponential moving
    average, corrected for its start:
    :math:`a_i = \beta a_{i-1} + (1-\beta) l_i`, :math:`s_i = a_i / (1-\beta^{i+1})`.
    Training stops when the sweep is through, when the smoothed loss is `diverge_factor` times its
    best, or when the loss is not finite.

    Parameters
    ----------
    min_lr, max_lr : float, default=1e-7 and 10.0
        Where the sweep begins and ends.
    n_iter : int or None, default=None
        The number of updates in the sweep. None: all the updates of ``net.max_epochs`` epochs.
        The net must be told enough epochs (``max_epochs``) for it.
    mode : {"exp", "linear"}, default="exp"
        Equal ratios or equal differences between the rates.
    smoothing : float, default=0.9
        :math:`\beta`, in [0, 1); 0 does not smooth.
    diverge_factor : float or None, default=4.0
        Stop when the smoothed loss is this many times its best. None: only when it is not finite.
    event_name : str, default="event_lr"
        The name of the rate in ``net.history``, one value a batch; the smoothed loss stands beside
        it as ``smoothed_loss``.

    Attributes
    ----------
    lrs_, losses_, smoothed_losses_ : list of float
        Rate, loss and smoothed loss of each update made.
    stopped_ : {"end", "diverged", "not finite", None}
        Why the sweep ended; None while it has not, or where the epochs did not suffice.

    Raises
    ------
    ValueError
        When training begins and a parameter is out of its range, or another callback sets the rate
        too (a schedule of this package gives way). With ``n_iter=None``, when a batch makes no
        update.

    See Also
    --------
    skclr.lr_range_test : Several sweeps on clones of an estimator, and what range they suggest.

    Notes
    -----
    The net that is swept is of no further use: give this callback to a clone.

    An update is a step of the optimizer. Where gradients are accumulated over several batches,
    the loss of an update is the mean of its batches' losses. Parameter groups with a rate of their
    own keep its ratio to the sweep's, see :class:`skclr.callbacks.LRSchedule`.

    A last batch that is smaller than the others is swept like any other, at the full rate and with
    a loss of its own few samples, and at a high rate one of them can end the sweep. Leave it out
    with ``iterator_train__drop_last=True``, as :func:`skclr.lr_range_test` does by itself.

    References
    ----------
    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3,
    arXiv:1506.01186.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import LRRangeTest
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, batch_size=20, max_epochs=2, train_split=None,
    ...     callbacks=[("sweep", LRRangeTest(min_lr=1e-4, max_lr=10, n_iter=6))], verbose=0)
    >>> sweep = dict(net.fit(X, y).callbacks_)["sweep"]
    >>> [float(f"{rate:.1e}") for rate in sweep.lrs_]
    [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0]
    >>> sweep.stopped_
    'end'
    """

    def __init__(
        self,
        min_lr: float = 1e-7,
        max_lr: float = 10.0,
        n_iter: int | None = None,
        mode: Literal["exp", "linear"] = "exp",
        smoothing: float = 0.9,
        diverge_factor: float | None = 4.0,
        event_name: str = "event_lr",
    ) -> None:
        self.min_lr = min_lr
        self.max_lr = max_lr
        self.n_iter = n_iter
        self.mode = mode
        self.smoothing = smoothing
        self.diverge_factor = diverge_factor
        self.event_name = event_name

    def initialize(self) -> LRRangeTest:
        """Forget an earlier sweep."""
        self.lrs_: list[float] = []
        self.losses_: list[float] = []
        self.smoothed_losses_: list[float] = []
        self.stopped_: str | None = None
        return self

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Check the parameters and begin a sweep."""
        super().on_train_begin(net, X, y, **kwargs)
        self.check()
        self.initialize()
        self.best_, self.average_ = math.inf, 0.0
        self.sweep_: list[float] = []
        self.losses_of_update_: list[float] = []  # those of the batches since the last update

    def check(self) -> None:
        """Raise ValueError where a parameter is out of its range."""
        if self.mode not in ("exp", "linear"):
            raise ValueError(f"mode must be 'exp' or 'linear', got {self.mode!r}.")
        for name in ("min_lr", "max_lr", "smoothing", "diverge_factor"):
            value = getattr(self, name)
            if not (isinstance(value, Real) or (name == "diverge_factor" and value is None)):
                raise ValueError(f"{name} must be a number, got {value!r}.")
        if not (self.n_iter is None or isinstance(self.n_iter, Integral)):
            raise ValueError(f"n_iter must be None or an integer, got {self.n_iter!r}.")
        if not (0 < self.min_lr < self.max_lr < math.inf):
            raise ValueError(
                "min_lr and max_lr must be finite, with 0 < min_lr < max_lr, got "
                f"min_lr={self.min_lr!r} and max_lr={self.max_lr!r}."
            )
        if self.n_iter is not None and self.n_iter < 2:
            raise ValueError(f"n_iter must be None or at least 2, got {self.n_iter!r}.")
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing must be in [0, 1), got {self.smoothing!r}.")
        if self.diverge_factor is not None and not self.diverge_factor > 1:
            raise ValueError(f"diverge_factor must be None or > 1, got {self.diverge_factor!r}.")

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Lay out the rates before the first epoch."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        if not self.sweep_:
            n_iter = self.n_iter or net.max_epochs * iterations_per_epoch(net, dataset_train)
            space: Callable[..., np.ndarray] = np.geomspace if self.mode == "exp" else np.linspace
            self.sweep_ = space(self.min_lr, self.max_lr, max(n_iter, 2)).tolist()

    def _next_rate(self) -> float:
        return self.sweep_[len(self.lrs_)]

    def _after_batch(self, net: NeuralNet, n_updates: int) -> None:
        """Smooth and record the loss; stop when the sweep is over."""
        self.losses_of_update_.append(net.history[-1]["batches"][-1]["train_loss"])
        if not n_updates:
            if self.n_iter is None:
                raise ValueError(
                    "A batch made no update, as where gradients are accumulated, so the number of "
                    "updates in the sweep is not that of batches: give it as n_iter."
                )
            return
        self.lrs_.append(self._next_rate())
        losses, self.losses_of_update_ = self.losses_of_update_, []
        loss = losses[0] if len(losses) == 1 else float(np.mean(losses))
        self.average_ = self.smoothing * self.average_ + (1 - self.smoothing) * loss
        smoothed = self.average_ / (1 - self.smoothing ** len(self.lrs_))
        self.losses_.append(loss)
        self.smoothed_losses_.append(smoothed)
        net.history.record_batch("smoothed_loss", smoothed)
        self.best_ = min(self.best_, smoothed)
        self.stopped_ = self._reason(smoothed)
        if self.stopped_:
            raise SweepEnded(f"the learning-rate sweep is over: {self.stopped_}")

    def _reason(self, smoothed: float) -> str | None:
        if not math.isfinite(smoothed):
            return "not finite"
        if self.diverge_factor is not None and smoothed > self.diverge_factor * self.best_:
            return "diverged"
        return "end" if len(self.lrs_) == len(self.sweep_) else None
