"""Learning-rate and batch-size schedules as callbacks for any skorch net.

Every callback here works on a plain :class:`skorch.NeuralNetClassifier` with its stock
``DataLoader`` as well as on :class:`skclr.CLRLeNetClassifier`, and writes what it does to
``net.history``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch.utils.data import Subset

from skclr import schedules
from skclr._process import isolated_generators

__all__ = [
    "BatchAccuracy",
    "BatchDoubling",
    "CyclicLR",
    "GradientNoiseScale",
    "LRHalving",
    "LRRangeTest",
    "LRSchedule",
    "OneCycleLR",
    "StopTraining",
]

_RATES_AT_ONCE = 512
_LARGEST_RATE = np.finfo(np.float32).max
_POLICIES = {
    "triangular": schedules.triangular,
    "triangular2": schedules.triangular2,
    "exp_range": schedules.exp_range,
}


class StopTraining(KeyboardInterrupt):
    """Raised by a callback to end training early, with what was learned kept.

    It derives from `KeyboardInterrupt` because that is the one exception that
    :meth:`skorch.NeuralNet.partial_fit` takes as a wish to stop.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from skorch.callbacks import Callback
    >>> from torch import nn
    >>> from skclr.callbacks import StopTraining
    >>> class StopAfterTwoEpochs(Callback):
    ...     def on_epoch_end(self, net, **kwargs):
    ...         if len(net.history) == 2:
    ...             raise StopTraining
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, max_epochs=5, train_split=None,
    ...     callbacks=[StopAfterTwoEpochs], verbose=0)
    >>> net = net.fit(np.zeros((8, 4), "float32"), np.arange(8) % 2)
    >>> len(net.history)
    2
    """


class LRSchedule(Callback):
    """Set the learning rate of every update from a function of the iteration.

    Parameters
    ----------
    schedule : callable
        ``schedule(iteration) -> learning rate``. The iteration is an int, 0 for the first
        update, and goes on counting when training is resumed with ``partial_fit``.
    event_name : str, default="event_lr"
        The name under which each update's rate stands in ``net.history``, in the row of its
        batch.

    Attributes
    ----------
    iteration_ : int
        The number of updates begun so far.

    Raises
    ------
    ValueError
        When training begins and the schedule's first rate is not a finite number >= 0; during
        training when a later one is not.

    See Also
    --------
    CyclicLR : The cyclical policies.
    OneCycleLR : One cycle over the whole training.
    LRHalving : Halve the rate every few epochs.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import LRSchedule
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, batch_size=20, max_epochs=1, train_split=None,
    ...     callbacks=[LRSchedule(lambda iteration: 0.1 / (1 + iteration))], verbose=0)
    >>> _ = net.fit(X, y)
    >>> [round(rate, 3) for rate in net.history[-1, "batches", :, "event_lr"]]
    [0.1, 0.05, 0.033]
    """

    def __init__(self, schedule: Callable[[int], float], event_name: str = "event_lr"):
        self.schedule = schedule
        self.event_name = event_name

    def initialize(self):
        """Forget the progress of an earlier training."""
        self.iteration_ = 0
        return self

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Take up the count where the history left it, and check the schedule."""
        self.iteration_ = _n_updates(net.history)
        self._begin(net)

    def _begin(self, net):
        self._set_rate(net, self._checked(self.schedule(self.iteration_), self.iteration_))

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        """Set the rate of the update that follows, and record it."""
        if not training:
            return
        rate = self._next_rate(net)
        self._set_rate(net, rate)
        first = rate if np.ndim(rate) == 0 else rate[0]
        net.history.record_batch(self.event_name, float(first))
        self.iteration_ += 1

    def _next_rate(self, net):
        return self._checked(self.schedule(self.iteration_), self.iteration_)

    @staticmethod
    def _checked(rate, iteration):
        try:
            number = float(rate)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(
                f"The schedule gave {rate!r} as the learning rate of iteration {iteration}; "
                "a finite number >= 0 is needed."
            )
        return number

    @staticmethod
    def _set_rate(net, rate):
        if np.max(rate) > _LARGEST_RATE:
            raise ValueError(f"The learning rate {np.max(rate):.3g} is too large for float32.")
        groups = net.optimizer_.param_groups
        rates = [rate] * len(groups) if np.ndim(rate) == 0 else rate
        for group, value in zip(groups, rates, strict=True):
            group["lr"] = float(value)


class _TabledLR(LRSchedule):
    """A schedule whose shape is laid out in epochs: evaluated ahead for many updates at once.

    Within an epoch of n updates, update i of epoch e is at iteration ``e * n + i``. So a training
    that goes on with another batch size or another number of samples keeps its place in the cycle.
    """

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        """Return the rate of each of these iterations, shape (n,) or (n, n_groups)."""
        raise NotImplementedError

    def initialize(self):
        super().initialize()
        self.iterations_per_epoch_ = None
        self.table_ = None
        return self

    def _begin(self, net):
        self.iterations_per_epoch_ = 1  # the boundaries are checked before any data is seen
        self.table_ = None
        self._check_parameters()
        self.iterations_per_epoch_ = None

    def _check_parameters(self):
        self.rates(np.arange(1))

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Lay the schedule over the epoch that begins."""
        self.iterations_per_epoch_ = _iterations_per_epoch(net, dataset_train)
        self.place_ = self._first_iteration(net)
        self.table_ = None

    def _first_iteration(self, net):
        return (len(net.history) - 1) * self.iterations_per_epoch_

    def _next_rate(self, net):
        if self.table_ is None or self.row_ == len(self.table_):
            self.table_ = np.asarray(
                self.rates(np.arange(self.place_, self.place_ + _RATES_AT_ONCE))
            )
            self.row_ = 0
        rate = self.table_[self.row_]
        self.row_ += 1
        self.place_ += 1
        return rate


class CyclicLR(_TabledLR):
    r"""Cyclical learning rates: up from `base_lr` to `max_lr` and down again, over and over.

    With :math:`s` the step size in iterations, the rate of iteration :math:`t` is

    .. math:: base + (max - base)\,\max(0, 1 - |t/s - 2c + 1|)\;scale, \qquad
              c = \lfloor 1 + t/(2s) \rfloor

    where scale is 1 for ``"triangular"``, :math:`1/2^{c-1}` for ``"triangular2"`` and
    :math:`gamma^t` for ``"exp_range"`` (Smith 2017, section 3.1).

    Parameters
    ----------
    policy : {"triangular", "triangular2", "exp_range"}, default="triangular"
        How the amplitude develops: constant, halved after each cycle, or decaying by `gamma`
        with each iteration.
    base_lr, max_lr : float or sequence of float, default=1e-3 and 0.1
        The boundaries; a sequence holds one value for each parameter group of the optimizer.
    step_size : float, default=5
        Half a cycle, in the unit that `step_unit` names.
    step_unit : {"epoch", "iteration"}, default="epoch"
        The unit of `step_size`. In epochs the cycle keeps its length whatever the batch size.
    gamma : float, default=1.0
        The factor of ``"exp_range"``, per iteration, in (0, 1].
    scale_fn : callable or None, default=None
        A scale of one's own in place of the policy's: called with an array of cycle numbers
        (1, 1, ..., 2, ...) or of iterations, see `scale_mode`, returns an array of factors.
    scale_mode : {"cycle", "iterations"}, default="cycle"
        What `scale_fn` is a function of.
    cycle_momentum : bool, default=False
        Whether the momentum (beta1 of an Adam) moves the other way, from `max_momentum` at
        `base_lr` to `base_momentum` at `max_lr`.
    base_momentum, max_momentum : float, default=0.85 and 0.95
        The boundaries of the momentum.
    event_name : str, default="event_lr"
        The name of the rate in ``net.history``, one value a batch. The momentum, when it is
        cycled, is recorded beside it as ``event_momentum``.

    Raises
    ------
    ValueError
        When training begins: an unknown policy, ``base_lr >= max_lr``, a step size <= 0, a number
        of boundaries that is not that of the parameter groups, or an optimizer that has no
        momentum to cycle.

    See Also
    --------
    skclr.schedules.cyclical : The same as a pure function, without any training.

    Notes
    -----
    Training resumed with ``partial_fit`` goes on where the cycle was left; in epochs, at the next
    whole one where an epoch was cut short.

    References
    ----------
    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
    arXiv:1506.01186.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import CyclicLR
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, batch_size=30, max_epochs=4, train_split=None,
    ...     callbacks=[CyclicLR(base_lr=0.1, max_lr=0.5, step_size=1)], verbose=0)
    >>> _ = net.fit(X, y)
    >>> [round(float(r), 2) for r in np.ravel(net.history[:, "batches", :, "event_lr"])]
    [0.1, 0.3, 0.5, 0.3, 0.1, 0.3, 0.5, 0.3]
    """

    def __init__(
        self,
        policy: str = "triangular",
        base_lr: float | Sequence[float] = 1e-3,
        max_lr: float | Sequence[float] = 0.1,
        step_size: float = 5,
        step_unit: str = "epoch",
        gamma: float = 1.0,
        scale_fn: Callable[[np.ndarray], np.ndarray] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = False,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        event_name: str = "event_lr",
    ):
        self.policy = policy
        self.base_lr = base_lr
        self.max_lr = max_lr
        self.step_size = step_size
        self.step_unit = step_unit
        self.gamma = gamma
        self.scale_fn = scale_fn
        self.scale_mode = scale_mode
        self.cycle_momentum = cycle_momentum
        self.base_momentum = base_momentum
        self.max_momentum = max_momentum
        self.event_name = event_name

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Check the boundaries against the optimizer."""
        if self.scale_fn is None and self.policy not in _POLICIES:
            raise ValueError(
                f"policy must be one of {sorted(_POLICIES)} or come with a scale_fn, "
                f"got {self.policy!r}."
            )
        if self.step_unit not in ("epoch", "iteration"):
            raise ValueError(f"step_unit must be 'epoch' or 'iteration', got {self.step_unit!r}.")
        n_groups = len(net.optimizer_.param_groups)
        for name in ("base_lr", "max_lr"):
            value = getattr(self, name)
            if np.ndim(value) == 1 and len(value) != n_groups:
                raise ValueError(
                    f"{name} has {len(value)} values, but the optimizer has {n_groups} "
                    "parameter groups."
                )
        if self.cycle_momentum and not {"momentum", "betas"} & net.optimizer_.defaults.keys():
            raise ValueError(
                f"cycle_momentum=True needs an optimizer with a momentum or betas, and "
                f"{type(net.optimizer_).__name__} has neither."
            )
        super().on_train_begin(net, X, y, **kwargs)

    def _check_parameters(self):
        if not isinstance(self.step_size, Real):
            raise ValueError(f"step_size must be a number above 0, got {self.step_size!r}.")
        super()._check_parameters()
        if self.cycle_momentum and not 0 <= self.base_momentum < self.max_momentum < 1:
            raise ValueError(
                "base_momentum and max_momentum must be numbers with 0 <= base_momentum < "
                f"max_momentum < 1, got {self.base_momentum!r} and {self.max_momentum!r}."
            )

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Lay the schedule over the epoch that begins."""
        if self.step_unit == "epoch":
            super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        else:
            self.place_, self.table_ = self.iteration_, None

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        """Return the rate of each of these iterations.

        Parameters
        ----------
        iterations : ndarray of int of shape (n,)
            Updates, counted from 0 over all epochs.

        Returns
        -------
        ndarray of shape (n,), or (n, n_groups) where the boundaries are sequences
            Learning rates.
        """
        if np.ndim(self.base_lr) == 0 and np.ndim(self.max_lr) == 0:
            return self._cycle(iterations, self.base_lr, self.max_lr)
        pairs = np.broadcast(np.asarray(self.base_lr), np.asarray(self.max_lr))
        return np.column_stack([self._cycle(iterations, float(b), float(m)) for b, m in pairs])

    def _cycle(self, iterations, base, maximum):
        step_size = self.step_size
        if self.step_unit == "epoch":
            step_size = step_size * self.iterations_per_epoch_
        bounds = {"base_lr": base, "max_lr": maximum, "step_size": step_size}
        if self.scale_fn is not None:
            return schedules.cyclical(
                iterations, scale_fn=self.scale_fn, scale_mode=self.scale_mode, **bounds
            )
        if self.policy == "exp_range":
            bounds["gamma"] = self.gamma
        return _POLICIES[self.policy](iterations, **bounds)

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        """Set rate and momentum of the update that follows, and record them."""
        if training and self.cycle_momentum:
            self._set_momentum(net)
        super().on_batch_begin(net, batch, training, **kwargs)

    def _momenta(self, iterations):
        span = self._cycle(iterations, self.base_momentum, self.max_momentum) - self.base_momentum
        return self.max_momentum - span

    def _set_momentum(self, net):
        momentum = float(self._momenta(np.array([self.place_]))[0])
        for group in net.optimizer_.param_groups:
            if "momentum" in group:
                group["momentum"] = momentum
            else:
                group["betas"] = (momentum, *group["betas"][1:])
        net.history.record_batch("event_momentum", momentum)


class OneCycleLR(_TabledLR):
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
    ):
        self.max_lr = max_lr
        self.pct_start = pct_start
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.event_name = event_name

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Begin a cycle over ``net.max_epochs`` epochs."""
        self.epochs_before_ = len(net.history)
        self.max_epochs_ = max(net.max_epochs, 1)
        super().on_train_begin(net, X, y, **kwargs)

    def _first_iteration(self, net):
        return (len(net.history) - 1 - self.epochs_before_) * self.iterations_per_epoch_

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


class LRHalving(_TabledLR):
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
    ):
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
        When training begins and a parameter is out of its range.

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
    ):
        self.batch_size = batch_size
        self.factor = factor
        self.every = every
        self.max_batch_size = max_batch_size

    def initialize(self):
        """Forget an earlier training."""
        self.batch_size_ = None
        self.growing_ = None
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
        self.growing_.batch_size = self.batch_size_at(epoch)
        return len(self.growing_)

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Check the sizes, and be there when the net builds its training iterator."""
        self.batch_size_at(0)
        own = net.iterator_train
        # a training that failed before its first epoch may have left our stand-in behind
        own = own.own if isinstance(own, _GrowingIterator) else own
        self.growing_ = _GrowingIterator(own, partial(setattr, net, "iterator_train", own))
        net.iterator_train = self.growing_

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Set the size of the epoch that begins, and record it."""
        self.batch_size_ = self.growing_.batch_size = self.batch_size_at(len(net.history) - 1)
        net.history.record("batch_size", self.batch_size_)

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Make sure that it was our iterator that the epoch went through."""
        if not self.growing_.n_passes:
            raise RuntimeError(
                "BatchDoubling had no effect: another callback took the net's training iterator "
                "before the first epoch."
            )

    def on_train_end(self, net, X=None, y=None, **kwargs):
        """Let go of the data."""
        if self.growing_ is not None:  # an error may have come before our on_train_begin
            net.iterator_train = self.growing_.own
        self.growing_ = None

    def __getstate__(self):
        return vars(self) | {"growing_": None}  # the data of a training that failed stay behind


class _GrowingIterator:
    """A training iterator that is built anew when its batch size changes.

    It is called once, as skorch calls ``iterator_train``, and iterated over once an epoch.
    """

    def __init__(self, own, put_back):
        self.own = own
        self._put_back = put_back
        self.batch_size = None
        self._iterator = None

    def __call__(self, dataset, **kwargs):
        self._put_back()
        self._dataset, self._kwargs = dataset, kwargs
        self._iterator = None
        self.n_passes = 0
        return self

    def __getstate__(self):
        return {"own": self.own}

    def __setstate__(self, state):
        self.__init__(state["own"], bool)

    def _current(self):
        if self._iterator is None or self._built_with != self.batch_size:
            kwargs = dict(self._kwargs)
            if self.batch_size is not None:
                kwargs["batch_size"] = self.batch_size
            self._iterator = self.own(self._dataset, **kwargs)
            self._built_with = self.batch_size
        return self._iterator

    def __iter__(self):
        self.n_passes += 1
        return iter(self._current())

    def __len__(self):
        return len(self._current())


class LRRangeTest(Callback):
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
        When training begins and a parameter is out of its range.

    See Also
    --------
    skclr.lr_range_test : Several sweeps on clones of an estimator, and what range they suggest.

    Notes
    -----
    The net that is swept is of no further use: give this callback to a clone.

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
        mode: str = "exp",
        smoothing: float = 0.9,
        diverge_factor: float | None = 4.0,
        event_name: str = "event_lr",
    ):
        self.min_lr = min_lr
        self.max_lr = max_lr
        self.n_iter = n_iter
        self.mode = mode
        self.smoothing = smoothing
        self.diverge_factor = diverge_factor
        self.event_name = event_name

    def initialize(self):
        """Forget an earlier sweep."""
        self.lrs_, self.losses_, self.smoothed_losses_ = [], [], []
        self.stopped_ = None
        return self

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Check the parameters and begin a sweep."""
        self.check()
        self.initialize()
        self.best_, self.average_ = math.inf, 0.0
        self.sweep_ = None

    def check(self):
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

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Lay out the rates before the first epoch."""
        if self.sweep_ is None:
            n_iter = self.n_iter or net.max_epochs * _iterations_per_epoch(net, dataset_train)
            space = np.geomspace if self.mode == "exp" else np.linspace
            self.sweep_ = space(self.min_lr, self.max_lr, max(n_iter, 2)).tolist()

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        """Set the rate of the update that follows, and record it."""
        if not training:
            return
        rate = self.sweep_[len(self.lrs_)]
        for group in net.optimizer_.param_groups:
            group["lr"] = rate
        self.lrs_.append(rate)
        net.history.record_batch(self.event_name, rate)

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        """Smooth and record the loss; stop when the sweep is over."""
        if not training:
            return
        loss = net.history[-1]["batches"][-1]["train_loss"]
        self.average_ = self.smoothing * self.average_ + (1 - self.smoothing) * loss
        smoothed = self.average_ / (1 - self.smoothing ** len(self.lrs_))
        self.losses_.append(loss)
        self.smoothed_losses_.append(smoothed)
        net.history.record_batch("smoothed_loss", smoothed)
        self.best_ = min(self.best_, smoothed)
        self.stopped_ = self._reason(smoothed)
        if self.stopped_:
            raise StopTraining(f"the learning-rate sweep is over: {self.stopped_}")

    def _reason(self, smoothed):
        if not math.isfinite(smoothed):
            return "not finite"
        if self.diverge_factor is not None and smoothed > self.diverge_factor * self.best_:
            return "diverged"
        return "end" if len(self.lrs_) == len(self.sweep_) else None


class BatchAccuracy(Callback):
    """Count the right answers batch by batch, and record their share for each epoch.

    Unlike an accuracy from :class:`skorch.callbacks.EpochScoring` it keeps no predictions and no
    targets until the epoch's end, and works on class indices, whatever the labels are.

    Parameters
    ----------
    name : str, default="valid_acc"
        The name in ``net.history``, one value an epoch. Whether it is the best so far stands
        beside it, as in skorch, as ``valid_acc_best``.
    on_train : bool, default=False
        Whether the batches of training are counted (as the network was when it saw them) instead
        of those of validation.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import BatchAccuracy
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, max_epochs=5, train_split=None,
    ...     callbacks=[BatchAccuracy("train_acc", on_train=True)], verbose=0)
    >>> len(net.fit(X, y).history[:, "train_acc"])
    5
    """

    def __init__(self, name: str = "valid_acc", on_train: bool = False):
        self.name = name
        self.on_train = on_train

    def initialize(self):
        """Forget the best of an earlier training."""
        self.best_ = -math.inf
        return self

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Begin to count."""
        self.right_ = self.seen_ = 0

    def on_batch_end(self, net, batch=None, training=None, y_pred=None, **kwargs):
        """Count a batch."""
        if training != self.on_train:
            return
        scores = y_pred[0] if isinstance(y_pred, tuple) else y_pred
        targets = batch[1]
        self.right_ += (scores.detach().argmax(1) == targets.to(scores.device)).sum().item()
        self.seen_ += len(targets)

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Record the share of right answers."""
        if not self.seen_:
            return
        share = self.right_ / self.seen_
        net.history.record(self.name, share)
        net.history.record(f"{self.name}_best", share > self.best_)
        self.best_ = max(self.best_, share)


def _n_updates(history: Sequence[dict[str, Any]] | None) -> int:
    """Return the number of updates that a history holds."""
    return sum("train_loss" in row for epoch in history or () for row in epoch["batches"])


def _iterations_per_epoch(net, dataset_train) -> int:
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


class GradientNoiseScale(Callback):
    r"""Measure after each epoch from which batch size on a doubling stops paying.

    With :math:`G` the gradient of the training loss and :math:`\Sigma` the covariance of the
    gradients of single samples, the simple noise scale is

    .. math:: B_\text{simple} = \operatorname{tr}(\Sigma) / |G|^2 .

    The gradient of a batch much smaller than that is mostly noise: twice the batch then makes an
    update worth nearly twice as much. That of a batch much larger is all but the true gradient,
    and twice the batch makes twice the work for the same update.

    From the mean :math:`|G_b|^2` of the squared norms of the gradients of :math:`n` small batches
    of :math:`b` samples, and the squared norm :math:`|G_B|^2` of their mean, the gradient of all
    :math:`B = n b` samples,

    .. math::

        |\mathcal{G}|^2 = \frac{B |G_B|^2 - b |G_b|^2}{B - b}, \qquad
        \mathcal{S} = \frac{|G_b|^2 - |G_B|^2}{1/b - 1/B}

    are unbiased estimates of :math:`|G|^2` and :math:`\operatorname{tr}(\Sigma)`.

    Parameters
    ----------
    batch_size : int, default=64
        Samples in a small batch, :math:`b`.
    n_batches : int, default=32
        Small batches in each measurement, :math:`n`; at least 2.
    smoothing : float, default=0.0
        In [0, 1): both estimates are averaged over the epochs, each epoch counting this many times
        as much as the one after it, before they are divided. 0: each epoch stands for itself.
    name : str, default="noise_scale"
        The name of the noise scale in ``net.history``, in samples, one value an epoch; infinite
        where :math:`|G|^2` is too small to be told from 0. The two unsmoothed estimates stand
        beside it as ``squared_gradient`` and ``gradient_variance``.

    Raises
    ------
    ValueError
        When training begins and a parameter is out of its range, or when the first epoch ends and
        the training data have no length.

    See Also
    --------
    BatchDoubling : Grows the batch size.
    skclr.displays.BatchSizeDisplay : Draws the noise scale beside the batch size.

    Notes
    -----
    The samples are drawn with replacement, so that the estimates are of the loss on the training
    data, as the epoch has left the network. Gradients are those of training: augmented, with
    dropout, without weight decay. Training itself goes on as if nothing had been measured:
    gradients, buffers such as the averages of batch normalization, modes and the generators are
    put back bit by bit.

    A measurement costs the gradients of ``n_batches * batch_size`` samples, by default those of
    2,048. That is enough to tell a noise scale of up to about as many; one much larger comes out
    uncertain, at times infinite. To average over epochs or seeds, average the two estimates and
    divide afterwards: a mean of ratios is biased upwards.

    With batch normalization, where the gradient of a batch is no mean over its samples, the
    result is an approximation.

    References
    ----------
    S. McCandlish, J. Kaplan, D. Amodei and the OpenAI Dota Team, "An Empirical Model of
    Large-Batch Training", 2018, appendix A.1, arXiv:1812.06162.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import GradientNoiseScale
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, max_epochs=3, train_split=None,
    ...     callbacks=[GradientNoiseScale(batch_size=10)], verbose=0)
    >>> [scale > 0 for scale in net.fit(X, y).history[:, "noise_scale"]]
    [True, True, True]
    """

    def __init__(
        self,
        batch_size: int = 64,
        n_batches: int = 32,
        smoothing: float = 0.0,
        name: str = "noise_scale",
    ):
        self.batch_size = batch_size
        self.n_batches = n_batches
        self.smoothing = smoothing
        self.name = name

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Check the parameters."""
        for name, least in (("batch_size", 1), ("n_batches", 2)):
            value = getattr(self, name)
            if not (isinstance(value, Integral) and value >= least):
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
        if not (isinstance(self.smoothing, Real) and 0 <= self.smoothing < 1):
            raise ValueError(f"smoothing must be in [0, 1), got {self.smoothing!r}.")

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Measure, and record."""
        squared_gradient, variance = self._estimates(net, dataset_train)
        net.history.record("squared_gradient", squared_gradient)
        net.history.record("gradient_variance", variance)
        measured = [epoch for epoch in net.history if "squared_gradient" in epoch]
        weights = self.smoothing ** np.arange(len(measured), dtype=float)[::-1]
        signal, noise = (
            float(weights @ [epoch[part] for epoch in measured])
            for part in ("squared_gradient", "gradient_variance")
        )
        net.history.record(self.name, noise / signal if signal > 0 else math.inf)

    def _estimates(self, net, dataset):
        """Return the estimates of the squared norm of the gradient and of its variance."""
        parameters = [p for _, p in net.get_all_learnable_params() if p.requires_grad]
        small, total = 0.0, 0.0
        with isolated_generators(device=net.device):  # what is drawn here, training draws again
            seed = (int(torch.randint(2**31, ())) + len(net.history)) % 2**31
        with isolated_generators(seed, device=net.device), _untouched(net, parameters):
            for batch in self._batches(net, dataset):
                for parameter in parameters:
                    parameter.grad = None
                net.train_step_single(batch)
                gradient = torch.cat([_flat_gradient(p) for p in parameters])
                small += gradient.square().sum().item() / self.n_batches
                total = total + gradient
        big = (total / self.n_batches).square().sum().item()
        n, b = self.n_batches, self.batch_size
        return (n * big - small) / (n - 1), b * n * (small - big) / (n - 1)

    def _batches(self, net, dataset):
        """Return small batches of samples drawn with replacement, from the net's own iterator."""
        try:
            drawn = torch.randint(len(dataset), (self.n_batches * self.batch_size,))
        except TypeError:
            raise ValueError(
                "GradientNoiseScale draws samples by their number, which takes training data with "
                f"a length; {type(dataset).__name__} has none."
            ) from None
        kwargs = net.get_params_for("iterator_train")
        kwargs = {name: value for name, value in kwargs.items() if name not in _ORDER_OF_BATCHES}
        return net.iterator_train(
            Subset(dataset, drawn.tolist()), batch_size=self.batch_size, **kwargs
        )


# what an iterator goes by to choose the samples of a batch
_ORDER_OF_BATCHES = frozenset(
    ["batch_size", "shuffle", "sampler", "batch_sampler", "generator", "drop_last"]
)


@contextmanager
def _untouched(net, parameters) -> Iterator[None]:
    """Put gradients, buffers and modes back as they were."""
    roots = [getattr(net, f"{name}_") for name in net._modules + net._criteria]
    parts = [part for root in roots if isinstance(root, torch.nn.Module) for part in root.modules()]
    gradients = [parameter.grad for parameter in parameters]
    modes = [part.training for part in parts]
    buffers = [
        (part, name, buffer, buffer.clone())
        for part in parts
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
        with torch.no_grad():
            for part, name, buffer, value in buffers:
                part._buffers[name] = buffer.copy_(value)


def _flat_gradient(parameter):
    """Return the gradient as a vector of doubles; zeros where the loss does not depend on it."""
    gradient = parameter.grad
    if gradient is None:
        gradient = torch.zeros_like(parameter)
    return gradient.detach().to_dense().reshape(-1).double()
