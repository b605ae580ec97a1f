"""Cyclical learning rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import Any, Literal

import numpy as np
from skorch import NeuralNet

from skclr import schedules
from skclr.callbacks._batch_size_setter import batch_size_setter
from skclr.callbacks._cycles import Cycles
from skclr.callbacks._lr_schedule import EpochLRSchedule

_POLICIES: dict[str, Callable[..., Any]] = {
    "triangular": schedules.triangular,
    "triangular2": schedules.triangular2,
    "exp_range": schedules.exp_range,
}


class CyclicLR(EpochLRSchedule):
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
        The boundaries; a sequence holds one value for each parameter group of the optimizer, in
        place of rates that the groups were built with.
    step_size : float, default=5
        Half a cycle, in the unit that `step_unit` names.
    step_unit : {"epoch", "iteration"}, default="epoch"
        The unit of `step_size`. In epochs the cycle keeps its length whatever the batch size.
    gamma : float, default=1.0
        The factor of ``"exp_range"``, per iteration (per batch, with `step_unit` "epoch"), in
        (0, 1]. Beside a growing batch the batches that have been made count, of which later epochs
        have fewer.
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
    whole one where an epoch was cut short. A smaller last batch counts as an update like any other,
    see :class:`skclr.callbacks.LRSchedule`.

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

    decayed_ = 0  # batches before the epoch, beyond those that epochs like it would have had

    def __init__(
        self,
        policy: str = "triangular",
        base_lr: float | Sequence[float] = 1e-3,
        max_lr: float | Sequence[float] = 0.1,
        step_size: float = 5,
        step_unit: Literal["epoch", "iteration"] = "epoch",
        gamma: float = 1.0,
        scale_fn: Callable[[np.ndarray], np.ndarray] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = False,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        event_name: str = "event_lr",
    ) -> None:
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

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
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

    def _check_parameters(self) -> None:
        self.decayed_ = 0
        if not isinstance(self.step_size, Real):
            raise ValueError(f"step_size must be a number above 0, got {self.step_size!r}.")
        super()._check_parameters()
        if self.cycle_momentum and not 0 <= self.base_momentum < self.max_momentum < 1:
            raise ValueError(
                "base_momentum and max_momentum must be numbers with 0 <= base_momentum < "
                f"max_momentum < 1, got {self.base_momentum!r} and {self.max_momentum!r}."
            )

    def _lay_out(self, net: NeuralNet, dataset_train: Any) -> None:
        if self.step_unit == "iteration":
            self.place_ = self.iteration_
            return
        super()._lay_out(net, dataset_train)
        if batch_size_setter(net) is not None:
            # the place of an epoch is that among epochs of its own length, but decay does not
            # become undone where batches grow and epochs have fewer of them
            n_now = self.iterations_per_epoch_
            made = [epoch.get("train_batch_count", n_now) for epoch in list(net.history)[:-1]]
            self.decayed_ = sum(made) - self.place_

    def _cycles(self) -> Cycles:
        return Cycles(2 * self.step_size, self.step_unit)

    def _places_in_batch(self, n_updates: int) -> int:
        return 1 if self.step_unit == "epoch" else n_updates

    def rates(self, iterations: np.ndarray) -> np.ndarray:
        """Return the rate of each of these iterations.

        Parameters
        ----------
        iterations : ndarray of int of shape (n,)
            Updates, counted from 0 over all epochs; with `step_unit` "epoch" and a batch that
            grows, as many for each epoch before as for the present one.

        Returns
        -------
        ndarray of shape (n,), or (n, n_groups) where the boundaries are sequences
            Learning rates.
        """
        if np.ndim(self.base_lr) == 0 and np.ndim(self.max_lr) == 0:
            return self._cycle(iterations, self.base_lr, self.max_lr)
        pairs = np.broadcast(np.asarray(self.base_lr), np.asarray(self.max_lr))
        return np.column_stack([self._cycle(iterations, float(b), float(m)) for b, m in pairs])

    def _cycle(self, iterations: np.ndarray, base: Any, maximum: Any) -> np.ndarray:
        step_size = self.step_size
        if self.step_unit == "epoch":
            step_size = step_size * self.iterations_per_epoch_
        bounds = {"base_lr": base, "max_lr": maximum, "step_size": step_size}
        scale_fn, scale_mode = self.scale_fn, self.scale_mode
        if scale_fn is None and self.policy == "exp_range" and self.decayed_:
            scale_fn, scale_mode = partial(np.power, self.gamma), "iterations"
        if scale_fn is not None:
            scale = scale_fn if scale_mode == "cycle" else partial(self._scale, scale_fn)
            return schedules.cyclical(iterations, scale_fn=scale, scale_mode=scale_mode, **bounds)
        if self.policy == "exp_range":
            bounds["gamma"] = self.gamma
        return _POLICIES[self.policy](iterations, **bounds)

    def _scale(self, scale_fn: Callable[[Any], Any], iterations: Any) -> Any:
        return scale_fn(iterations + self.decayed_)

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Set rate and momentum of the update that follows."""
        if training and self.cycle_momentum and not self.idle_:
            self._set_momentum(net)
        super().on_batch_begin(net, batch, training, **kwargs)

    def _momenta(self, iterations: np.ndarray) -> np.ndarray:
        span = self._cycle(iterations, self.base_momentum, self.max_momentum) - self.base_momentum
        return self.max_momentum - span

    def _set_momentum(self, net: NeuralNet) -> None:
        momentum = float(self._momenta(np.array([self.place_]))[0])
        for group in net.optimizer_.param_groups:
            if "momentum" in group:
                group["momentum"] = momentum
            else:
                group["betas"] = (momentum, *group["betas"][1:])
        net.history.record_batch("event_momentum", momentum)
