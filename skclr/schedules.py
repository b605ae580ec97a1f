r"""Learning rate and batch size as pure functions of training progress.

Every schedule is a function ``f(t, *, ...)``: `t` is an iteration (one update of the weights,
counted from 0), or a whole array of them, and the answer has its shape. A picture of a schedule is
therefore one call, and so is a test of it. This module knows NumPy and nothing of training.

The cyclical policies are those of [1]_, the single cycle is that of [2]_, the growing batch that of
[3]_, and the cosines are those of [4]_.

References
----------
.. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
   `arXiv:1506.01186 <https://arxiv.org/abs/1506.01186>`_.
.. [2] L. N. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
   Large Learning Rates", 2018, `arXiv:1708.07120 <https://arxiv.org/abs/1708.07120>`_.
.. [3] S. L. Smith, P.-J. Kindermans, C. Ying and Q. V. Le, "Don't Decay the Learning Rate,
   Increase the Batch Size", ICLR 2018, `arXiv:1711.00489 <https://arxiv.org/abs/1711.00489>`_.
.. [4] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR
   2017, `arXiv:1608.03983 <https://arxiv.org/abs/1608.03983>`_.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "batch_doubling",
    "batch_steps",
    "cosine",
    "cosine_restarts",
    "cyclical",
    "exp_range",
    "lr_halving",
    "one_cycle",
    "triangular",
    "triangular2",
]


def cyclical(
    t: ArrayLike,
    *,
    base_lr: float,
    max_lr: float,
    step_size: float,
    step_size_down: float | None = None,
    scale_fn: Callable[[Any], Any] | None = None,
    scale_mode: Literal["cycle", "iterations"] = "cycle",
) -> Any:
    r"""Cyclical learning rate: a triangle between two boundaries, its amplitude scaled.

    .. math::

        \eta(t) = \eta_\text{base} + (\eta_\text{max} - \eta_\text{base}) \, \Lambda(t) \, s,
        \qquad
        \Lambda(t) = \min\left( \frac{x}{r}, \frac{1 - x}{1 - r} \right)

    where :math:`S = S_\text{up} + S_\text{down}` is the length of a cycle,
    :math:`c = \lfloor 1 + t / S \rfloor` the number of the cycle, :math:`x = 1 + t / S - c` the
    position in it, :math:`r = S_\text{up} / S` where it peaks, and :math:`s` is ``scale_fn(c)`` or
    ``scale_fn(t)``.

    Parameters
    ----------
    t : int, float or array-like
        Iterations, counted from 0.
    base_lr : float
        Lower boundary; 0 or more.
    max_lr : float
        Upper boundary; more than `base_lr`.
    step_size : float
        Iterations from `base_lr` up to `max_lr`: half a cycle, unless `step_size_down` is given.
    step_size_down : float, default=None
        Iterations from `max_lr` back to `base_lr`; `step_size` when None.
    scale_fn : callable, default=None
        Factor of the amplitude. It is called once, with all cycle numbers (or iterations) as a
        float array of the shape of `t`, a NumPy scalar for a scalar `t`, so it must work element
        by element as NumPy's functions do. None keeps the whole amplitude.
    scale_mode : {"cycle", "iterations"}, default="cycle"
        What `scale_fn` is a function of: the number of the cycle, counted from 1, or the iteration.

    Returns
    -------
    float or ndarray of float
        Learning rates, in the shape of `t`.

    Raises
    ------
    ValueError
        If an iteration is negative or not finite, or if a parameter is out of its range.

    See Also
    --------
    triangular : The whole amplitude in every cycle.
    triangular2 : The amplitude halved in each cycle.
    exp_range : The amplitude decays in each iteration.

    Notes
    -----
    Section 3 of [1]_, where the length of both halves is the same. The rates are those of
    ``torch.optim.lr_scheduler.CyclicLR``, whose `scale_fn` is called with one number at a time.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
       `arXiv:1506.01186 <https://arxiv.org/abs/1506.01186>`_.

    Examples
    --------
    Each cycle climbs to a third of the one before:

    >>> from skclr.schedules import cyclical
    >>> cyclical([0, 2, 4, 6, 8], base_lr=0.0, max_lr=0.9, step_size=2,
    ...          scale_fn=lambda cycle: 3 ** (1 - cycle))
    array([0. , 0.9, 0. , 0.3, 0. ])
    """
    step_size_down = step_size if step_size_down is None else step_size_down
    _check_boundaries(base_lr, max_lr)
    _check_positive("step_size", step_size)
    _check_positive("step_size_down", step_size_down)
    if scale_fn is not None and not callable(scale_fn):
        raise ValueError(f"scale_fn must be a callable or None, got {scale_fn!r}.")
    if scale_mode not in ("cycle", "iterations"):
        raise ValueError(f"scale_mode must be 'cycle' or 'iterations', got {scale_mode!r}.")
    iterations = _check_progress(t)

    cycle_length = float(step_size) + float(step_size_down)
    peak = step_size / cycle_length
    # Written with torch's sums in torch's order: rounding decides which cycle its first and last
    # iterations belong to.
    cycle = np.floor(1 + iterations / cycle_length)
    position = 1.0 + iterations / cycle_length - cycle
    triangle = np.where(position <= peak, position / peak, (position - 1) / (peak - 1))
    amplitude = (max_lr - base_lr) * triangle
    if scale_fn is not None:
        amplitude = amplitude * scale_fn(cycle if scale_mode == "cycle" else iterations)
    return _as_given(base_lr + amplitude)


def triangular(
    t: ArrayLike,
    *,
    base_lr: float,
    max_lr: float,
    step_size: float,
    step_size_down: float | None = None,
) -> Any:
    r"""Triangular learning rate: up and down between two boundaries, the same in every cycle.

    .. math::

        \eta(t) = \eta_\text{base} + (\eta_\text{max} - \eta_\text{base}) \max(0, 1 - x),
        \qquad
        x = \left| \frac{t}{S} - 2 c + 1 \right|,
        \qquad
        c = \left\lfloor 1 + \frac{t}{2 S} \right\rfloor

    with :math:`S` the step size.

    Parameters
    ----------
    t : int, float or array-like
        Iterations, counted from 0.
    base_lr : float
        Lower boundary; 0 or more.
    max_lr : float
        Upper boundary; more than `base_lr`.
    step_size : float
        Iterations from `base_lr` up to `max_lr`: half a cycle, unless `step_size_down` is given.
    step_size_down : float, default=None
        Iterations from `max_lr` back to `base_lr`; `step_size` when None.

    Returns
    -------
    float or ndarray of float
        Learning rates, in the shape of `t`.

    Raises
    ------
    ValueError
        If an iteration is negative or not finite, or if a parameter is out of its range.

    Notes
    -----
    The code in section 3.1 of [1]_; mode ``"triangular"`` of
    ``torch.optim.lr_scheduler.CyclicLR``.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
       `arXiv:1506.01186 <https://arxiv.org/abs/1506.01186>`_.

    Examples
    --------
    >>> from skclr.schedules import triangular
    >>> triangular([0, 1, 2, 3, 4, 5], base_lr=0.1, max_lr=0.5, step_size=2)
    array([0.1, 0.3, 0.5, 0.3, 0.1, 0.3])
    """
    return cyclical(
        t, base_lr=base_lr, max_lr=max_lr, step_size=step_size, step_size_down=step_size_down
    )


def triangular2(
    t: ArrayLike,
    *,
    base_lr: float,
    max_lr: float,
    step_size: float,
    step_size_down: float | None = None,
) -> Any:
    r"""Triangular learning rate whose amplitude is halved in each cycle.

    .. math::

        \eta(t) = \eta_\text{base}
        + (\eta_\text{max} - \eta_\text{base}) \max(0, 1 - x) \, 2^{1 - c}

    with :math:`x` and the number of the cycle :math:`c` as in :func:`triangular`.

    Parameters
    ----------
    t : int, float or array-like
        Iterations, counted from 0.
    base_lr : float
        Lower boundary; 0 or more.
    max_lr : float
        Upper boundary of the first cycle; more than `base_lr`.
    step_size : float
        Iterations from `base_lr` up to the peak: half a cycle, unless `step_size_down` is given.
    step_size_down : float, default=None
        Iterations from the peak back to `base_lr`; `step_size` when None.

    Returns
    -------
    float or ndarray of float
        Learning rates, in the shape of `t`.

    Raises
    ------
    ValueError
        If an iteration is negative or not finite, or if a parameter is out of its range.

    Notes
    -----
    Section 3.1 of [1]_; mode ``"triangular2"`` of ``torch.optim.lr_scheduler.CyclicLR``.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
       `arXiv:1506.01186 <https://arxiv.org/abs/1506.01186>`_.

    Examples
    --------
    >>> from skclr.schedules import triangular2
    >>> triangular2([0, 2, 4, 6, 8, 10], base_lr=0.0, max_lr=0.4, step_size=2)
    array([0. , 0.4, 0. , 0.2, 0. , 0.1])
    """
    return cyclical(
        t,
        base_lr=base_lr,
        max_lr=max_lr,
        step_size=step_size,
        step_size_down=step_size_down,
        scale_fn=lambda cycle: 2.0 ** (1 - cycle),
        scale_mode="cycle",
    )


def exp_range(
    t: ArrayLike,
    *,
    base_lr: float,
    max_lr: float,
    step_size: float,
    gamma: float,
    step_size_down: float | None = None,
) -> Any:
    r"""Triangular learning rate whose amplitude decays in each iteration.

    .. math::

        \eta(t) = \eta_\text{base}
        + (\eta_\text{max} - \eta_\text{base}) \max(0, 1 - x) \, \gamma^t

    with :math:`x` as in :func:`triangular`.

    Parameters
    ----------
    t : int, float or array-like
        Iterations, counted from 0.
    base_lr : float
        Lower boundary; 0 or more.
    max_lr : float
        Upper boundary before any decay; more than `base_lr`.
    step_size : float
        Iterations from `base_lr` up to the peak: half a cycle, unless `step_size_down` is given.
    gamma : float
        Factor of the amplitude per iteration, in (0, 1]; at 1 this is :func:`triangular`.
    step_size_down : float, default=None
        Iterations from the peak back to `base_lr`; `step_size` when None.

    Returns
    -------
    float or ndarray of float
        Learning rates, in the shape of `t`.

    Raises
    ------
    ValueError
        If an iteration is negative or not finite, or if a parameter is out of its range.

    Notes
    -----
    Section 3.1 of [1]_, which lets both boundaries decay; here the lower one stands and the
    amplitude decays, as in mode ``"exp_range"`` of ``torch.optim.lr_scheduler.CyclicLR``.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017,
       `arXiv:1506.01186 <https://arxiv.org/abs/1506.01186>`_.

    Examples
    --------
    >>> from skclr.schedules import exp_range
    >>> exp_range([0, 1, 2, 3], base_lr=0.0, max_lr=1.0, step_size=1, gamma=0.9)
    array([0.   , 0.9  , 0.   , 0.729])
    """
    if not (_is_finite_real(gamma) and 0 < gamma <= 1):
        raise ValueError(f"gamma must be a number in (0, 1], got {gamma!r}.")
    return cyclical(
        t,
        base_lr=base_lr,
        max_lr=max_lr,
        step_size=step_size,
        step_size_down=step_size_down,
        scale_fn=lambda iteration: gamma**iteration,
        scale_mode="iterations",
    )


def one_cycle(
    t: ArrayLike,
    *,
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    three_phase: bool = False,
) -> Any:
    r"""One-cycle learning rate: a single climb to `max_lr`, then down far below the start.

    From :math:`\eta_0 = \eta_\text{max} / d` the rate climbs to :math:`\eta_\text{max}` and falls
    to :math:`\eta_\text{end} = \eta_0 / d_\text{end}`. Between the rates :math:`a` and :math:`b` of
    a phase that spans the iterations :math:`[t_a, t_b]`, with
    :math:`p = (t - t_a) / (t_b - t_a)`,

    .. math::

        \eta(t) = b + \frac{a - b}{2} \left( 1 + \cos \pi p \right)
        \quad \text{("cos")}, \qquad
        \eta(t) = a + (b - a) \, p
        \quad \text{("linear")}.

    Of :math:`T` iterations and the share :math:`q` (`pct_start`), the climb ends at
    :math:`q T - 1` and the descent at :math:`T - 1`. With three phases the descent is symmetric to
    the climb, back to :math:`\eta_0` at :math:`2 q T - 2`, and the rest is spent from there down to
    :math:`\eta_\text{end}`.

    Parameters
    ----------
    t : int, float or array-like
        Iterations, counted from 0. From the last one, ``total_steps - 1``, on the rate stays.
    max_lr : float
        The highest rate; positive.
    total_steps : int
        Iterations in the whole of training.
    pct_start : float, default=0.3
        Share of the iterations spent climbing, in [0, 1].
    div_factor : float, default=25.0
        The first rate is ``max_lr / div_factor``; positive.
    final_div_factor : float, default=1e4
        The last rate is ``max_lr / div_factor / final_div_factor``; positive.
    anneal_strategy : {"cos", "linear"}, default="cos"
        Shape of each phase.
    three_phase : bool, default=False
        Whether the descent pauses at the first rate, as the paper has it.

    Returns
    -------
    float or ndarray of float
        Learning rates, in the shape of `t`.

    Raises
    ------
    ValueError
        If an iteration is negative or not finite, or if a parameter is out of its range.

    Notes
    -----
    The "1cycle" policy of [1]_ in the form of ``torch.optim.lr_scheduler.OneCycleLR``, which raises
    beyond the last iteration, where this function stays at the last rate.

    References
    ----------
    .. [1] L. N. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
       Large Learning Rates", 2018, `arXiv:1708.07120 <https://arxiv.org/abs/1708.07120>`_.

    Examples
    --------
    >>> from skclr.schedules import one_cycle
    >>> one_cycle([0, 1, 2, 4, 6, 7], max_lr=1.0, total_steps=7, pct_start=3 / 7, div_factor=10,
    ...           final_div_factor=10, anneal_strategy="linear").round(4)
    array([0.1  , 0.55 , 1.   , 0.505, 0.01 , 0.01 ])
    """
    _check_positive("max_lr", max_lr)
    _check_positive_integer("total_steps", total_steps)
    if not (_is_finite_real(pct_start) and 0 <= pct_start <= 1):
        raise ValueError(f"pct_start must be a number in [0, 1], got {pct_start!r}.")
    _check_positive("div_factor", div_factor)
    _check_positive("final_div_factor", final_div_factor)
    if anneal_strategy not in ("cos", "linear"):
        raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}.")
    iterations = np.minimum(_check_progress(t), total_steps - 1)

    first_lr = max_lr / div_factor
    last_lr = first_lr / final_div_factor
    climbed = float(pct_start * total_steps) - 1
    if three_phase:
        ends = [climbed, float(2 * pct_start * total_steps) - 2, total_steps - 1]
        rates = [first_lr, max_lr, first_lr, last_lr]
    else:
        ends = [climbed, total_steps - 1]
        rates = [first_lr, max_lr, last_lr]

    starts = [0.0, *ends[:-1]]
    phases = [
        _anneal(iterations, start, end, a, b, anneal_strategy)
        for start, end, a, b in zip(starts, ends, rates[:-1], rates[1:], strict=True)
    ]
    lr = np.select([iterations <= end for end in ends[:-1]], phases[:-1], default=phases[-1])
    return _as_given(lr)


def _anneal(
    t: np.ndarray, start: float, end: float, a: float, b: float, anneal_strategy: str
) -> np.ndarray:
    """Move from rate `a` at iteration `start` to rate `b` at iteration `end`."""
    progress = (t - start) / (end - start) if end != start else np.ones_like(t)
    if anneal_strategy == "linear":
        return (b - a) * progress + a
    return b + (a - b) / 2.0 * (np.cos(np.pi * progress) + 1)


def lr_halving(
    t: ArrayLike,
    *,
    max_lr: float,
    step_size: float,
    base_lr: float = 0.0,
    factor: float = 2.0,
) -> Any:
    r"""Step decay: the learning rate divided by `factor` at regular intervals.

    .. math::

        \eta(t) = \max\left( \eta_\text{base},\;
        \eta_\text{max} \, f^{-\lfloor t / S \rfloor} \right)

    Parameters
    ----------
    t : int, float or array-like
        Iterations, counted from 0.
    max_lr : float
        The first rate; more than `base_lr`.
    step_size : float
        Iterations at each rate, :math:`S`.
    base_lr : float, default=0.0
        The rate never falls below this; 0 or more.
    factor : float, default=2.0
        What the rate is divided by, :math:`f`; more than 1.

    Returns
    -------
    float or ndarray of float
        Learning rates, in the shape of `t`.

    Raises
    ------
    ValueError
        If an iteration is negative or not finite, or if a parameter is out of its range.

    See Also
    --------
    batch_doubling : The same fall of the gradient noise, by batch size instead of learning rate.

    Examples
    --------
    >>> from skclr.schedules import lr_halving
    >>> lr_halving([0, 4, 5, 10, 15], max_lr=0.8, step_size=5, base_lr=0.15)
    array([0.8 , 0.8 , 0.4 , 0.2 , 0.15])
    """
    _check_boundaries(base_lr, max_lr)
    _check_positive("step_size", step_size)
    _check_factor(factor)
    halvings = np.floor(_check_progress(t) / step_size)
    return _as_given(np.maximum(max_lr * float(factor) ** -halvings, base_lr))


def cosine(
    t: ArrayLike,
    *,
    max_lr: float,
    total_steps: int,
    base_lr: float = 0.0,
    warmup: float = 0,
) -> Any:
    r"""Half a cosine: the learning rate falls once, slowly at first and at last.

    .. math::

        \eta(t) = \eta_\text{base} + \frac{\eta_\text{max} - \eta_\text{base}}{2}
        \left( 1 + \cos \pi \frac{t - W}{T - W} \right),

    after a climb along the line from :math:`\eta_\text{base}` at iteration 0 to
    :math:`\eta_\text{max}` at iteration :math:`W`.

    Parameters
    ----------
    t : int, float or array-like
        Iterations, counted from 0. From :math:`T` on the rate stays at `base_lr`.
    max_lr : float
        The highest rate; more than `base_lr`.
    total_steps : int
        Iterations in the whole of training, :math:`T`.
    base_lr : float, default=0.0
        Where the fall ends; 0 or more.
    warmup : float, default=0
        Iterations of the climb, :math:`W`; 0 or more, and less than `total_steps`.

    Returns
    -------
    float or ndarray of float
        Learning rates, in the shape of `t`.

    Raises
    ------
    ValueError
        If an iteration is negative or not finite, or if a parameter is out of its range.

    See Also
    --------
    cosine_restarts : The same fall again and again.

    Notes
    -----
    Without a warmup the rates are those of ``torch.optim.lr_scheduler.CosineAnnealingLR``, which
    rises again beyond the last iteration.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
       ICLR 2017, `arXiv:1608.03983 <https://arxiv.org/abs/1608.03983>`_.

    Examples
    --------
    >>> from skclr.schedules import cosine
    >>> cosine([0, 2, 4, 6, 8, 10], max_lr=1.0, total_steps=8, warmup=2).round(4)
    array([0.  , 1.  , 0.75, 0.25, 0.  , 0.  ])
    """
    _check_boundaries(base_lr, max_lr)
    _check_positive_integer("total_steps", total_steps)
    _check_warmup(warmup, "total_steps", total_steps)
    iterations = np.minimum(_check_progress(t), total_steps)
    share = (iterations - warmup) / (total_steps - warmup)
    return _as_given(_warmed_up(iterations, share, base_lr, max_lr, warmup))


def cosine_restarts(
    t: ArrayLike,
    *,
    max_lr: float,
    step_size: float,
    base_lr: float = 0.0,
    factor: float = 1.0,
    warmup: float = 0,
) -> Any:
    r"""Half cosines one after the other: the learning rate falls, jumps back up, and falls again.

    The cycle that begins at :math:`t_i` has the length :math:`T_i`, and in it

    .. math::

        \eta(t) = \eta_\text{base} + \frac{\eta_\text{max} - \eta_\text{base}}{2}
        \left( 1 + \cos \pi \frac{t - t_i}{T_i} \right), \qquad T_{i+1} = f \, T_i.

    The first begins at :math:`t_0 = W`, after a climb along the line from
    :math:`\eta_\text{base}` at iteration 0 to :math:`\eta_\text{max}`.

    Parameters
    ----------
    t : int, float or array-like
        Iterations, counted from 0.
    max_lr : float
        Where each cycle begins; more than `base_lr`.
    step_size : float
        Iterations in the first cycle, :math:`T_0`; positive.
    base_lr : float, default=0.0
        Where each cycle ends; 0 or more.
    factor : float, default=1.0
        What the length of a cycle is multiplied by for the next, :math:`f`; 1 or more.
    warmup : float, default=0
        Iterations of the climb, :math:`W`; 0 or more.

    Returns
    -------
    float or ndarray of float
        Learning rates, in the shape of `t`.

    Raises
    ------
    ValueError
        If an iteration is negative or not finite, or if a parameter is out of its range.

    See Also
    --------
    cosine : One fall over a whole training.

    Notes
    -----
    "SGDR" [1]_. Without a warmup and for whole numbers the rates are those of
    ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``; a factor may be any number here.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
       ICLR 2017, `arXiv:1608.03983 <https://arxiv.org/abs/1608.03983>`_.

    Examples
    --------
    >>> from skclr.schedules import cosine_restarts
    >>> cosine_restarts([0, 1, 2, 4, 6], max_lr=1.0, step_size=2, factor=2)
    array([1. , 0.5, 1. , 0.5, 1. ])
    """
    _check_boundaries(base_lr, max_lr)
    _check_positive("step_size", step_size)
    if not (_is_finite_real(factor) and factor >= 1):
        raise ValueError(f"factor must be a finite number, 1 or more, got {factor!r}.")
    _check_warmup(warmup)
    iterations = _check_progress(t)
    share = _share_of_cycle(np.maximum(iterations - warmup, 0) / step_size, float(factor))
    return _as_given(_warmed_up(iterations, share, base_lr, max_lr, warmup))


def _share_of_cycle(progress: np.ndarray, factor: float) -> np.ndarray:
    """Return the share of its cycle that each place has behind it, in lengths of the first."""
    if factor == 1:
        return np.maximum(progress - np.floor(progress * (1 + 1e-12)), 0)

    def start_of(cycle: np.ndarray) -> np.ndarray:
        return (factor**cycle - 1) / (factor - 1)

    with np.errstate(over="ignore"):  # the cycle after the last may begin beyond all numbers
        cycle = np.floor(np.log1p(progress * (factor - 1)) / math.log(factor))
        reached = progress * (
            1 + 1e-12
        )  # a restart that rounding puts just behind a place is at it
        cycle += start_of(cycle + 1) <= reached
        cycle -= start_of(cycle) > reached
        return np.maximum(progress - start_of(cycle), 0) / factor**cycle


def _warmed_up(
    t: np.ndarray, share: np.ndarray, base_lr: float, max_lr: float, warmup: float
) -> np.ndarray:
    """Return the rates of a line up to iteration `warmup`, and of a half cosine after it."""
    fall = base_lr + (max_lr - base_lr) * (1 + np.cos(np.pi * share)) / 2
    if not warmup:
        return fall
    return np.where(t < warmup, base_lr + (max_lr - base_lr) * (t / warmup), fall)


def _check_warmup(warmup: Any, name: str = "", limit: float = math.inf) -> None:
    if not (_is_finite_real(warmup) and 0 <= warmup < limit):
        below = f" and less than {name}, {limit!r}" if name else ""
        raise ValueError(f"warmup must be a finite number, 0 or more{below}, got {warmup!r}.")


def batch_doubling(
    t: ArrayLike,
    *,
    batch_size: int = 32,
    step_size: float = 5,
    max_batch_size: int = 4096,
    factor: float = 2,
) -> Any:
    r"""Batch size multiplied by `factor` at regular intervals, up to a limit.

    .. math::

        B(t) = \min\left( B_\text{max},\;
        \left\lfloor B_0 \, f^{\lfloor t / S \rfloor} \right\rfloor \right)

    Parameters
    ----------
    t : int, float or array-like
        Epochs, counted from 0.
    batch_size : int, default=32
        Images per batch at the start, :math:`B_0`.
    step_size : float, default=5
        Epochs at each size, :math:`S`.
    max_batch_size : int, default=4096
        Where the growth stops, :math:`B_\text{max}`; `batch_size` or more.
    factor : float, default=2
        What the size is multiplied by, :math:`f`; more than 1.

    Returns
    -------
    int or ndarray of int
        Batch sizes, in the shape of `t`.

    Raises
    ------
    ValueError
        If an epoch is negative or not finite, or if a parameter is out of its range.

    See Also
    --------
    batch_steps : The size multiplied at epochs of one's own.
    lr_halving : The learning rate falls instead.

    Notes
    -----
    At learning rate :math:`\eta` on :math:`N` examples the scale of the noise in the gradient is
    :math:`g = \eta (N / B - 1) \approx \eta N / B` (section 2 of [1]_). As long as :math:`B \ll N`,
    doubling the batch size does to the noise what halving the rate does, with half the updates.

    References
    ----------
    .. [1] S. L. Smith, P.-J. Kindermans, C. Ying and Q. V. Le, "Don't Decay the Learning Rate,
       Increase the Batch Size", ICLR 2018, `arXiv:1711.00489 <https://arxiv.org/abs/1711.00489>`_.

    Examples
    --------
    >>> from skclr.schedules import batch_doubling
    >>> batch_doubling([0, 4, 5, 10, 35, 40])
    array([  32,   32,   64,  128, 4096, 4096])
    """
    _check_batch_sizes(batch_size, max_batch_size)
    _check_positive("step_size", step_size)
    _check_factor(factor)
    epochs = _check_progress(t)

    factor = min(factor, 2 * max_batch_size)  # Reaches the limit at once, and can't overflow.
    max_batch_size = min(max_batch_size, 2**62)
    batch_size = min(batch_size, max_batch_size)
    enough = math.ceil(math.log(max_batch_size / batch_size) / math.log(factor)) + 1
    doublings = np.minimum(np.floor(epochs / step_size), enough)
    distinct, which = np.unique(doublings, return_inverse=True)
    exact = [min(max_batch_size, batch_size * factor ** int(k)) for k in distinct]
    return _as_given(_whole_sizes(exact)[which].reshape(epochs.shape))


def batch_steps(
    t: ArrayLike,
    *,
    milestones: ArrayLike,
    batch_size: int = 32,
    factor: float | Sequence[float] = 2,
    max_batch_size: int = 4096,
) -> Any:
    r"""Batch size multiplied by a factor at each of a few epochs, up to a limit.

    .. math::

        B(t) = \min\left( B_\text{max},\;
        \left\lfloor B_0 \prod_{i:\, m_i \le t} f_i \right\rfloor \right)

    Parameters
    ----------
    t : int, float or array-like
        Epochs, counted from 0.
    milestones : array-like of float of shape (n,)
        The epochs :math:`m_i` from which on the size is larger, ascending.
    batch_size : int, default=32
        Images per batch at the start, :math:`B_0`.
    factor : float or sequence of float of length n, default=2
        What the size is multiplied by at each milestone, or at each of them, :math:`f_i`; more
        than 1.
    max_batch_size : int, default=4096
        Where the growth stops, :math:`B_\text{max}`; `batch_size` or more.

    Returns
    -------
    int or ndarray of int
        Batch sizes, in the shape of `t`.

    Raises
    ------
    ValueError
        If an epoch is negative or not finite, or if a parameter is out of its range.

    See Also
    --------
    batch_doubling : The size multiplied at regular intervals.

    Notes
    -----
    The ramp of section 5.1 of [1]_, where the batch grows by a factor of five at the epochs at
    which the rate would have been divided by it. It is to the batch size what
    ``torch.optim.lr_scheduler.MultiStepLR`` is to the rate.

    References
    ----------
    .. [1] S. L. Smith, P.-J. Kindermans, C. Ying and Q. V. Le, "Don't Decay the Learning Rate,
       Increase the Batch Size", ICLR 2018, `arXiv:1711.00489 <https://arxiv.org/abs/1711.00489>`_.

    Examples
    --------
    >>> from skclr.schedules import batch_steps
    >>> batch_steps([0, 59, 60, 120, 160], milestones=[60, 120, 160], batch_size=128, factor=5,
    ...             max_batch_size=5000)
    array([ 128,  128,  640, 3200, 5000])
    >>> batch_steps([0, 2, 6], milestones=[2, 6], batch_size=64, factor=[4, 1.5])
    array([ 64, 256, 384])
    """
    _check_batch_sizes(batch_size, max_batch_size)
    steps = _check_milestones(milestones)
    given: Any = [factor] * len(steps) if np.ndim(factor) == 0 else factor
    factors: list[float] = list(given)
    if len(factors) != len(steps):
        raise ValueError(
            f"factor must be a number, or one for each of the {len(steps)} milestones, "
            f"got {len(factors)}."
        )
    for each in factors:
        _check_factor(each)
    epochs = _check_progress(t)

    limit = min(int(max_batch_size), 2**62)
    exact: list[float] = [min(int(batch_size), limit)]
    for each in factors:
        exact.append(min(limit, exact[-1] * min(each, 2 * limit)))
    return _as_given(_whole_sizes(exact)[np.searchsorted(steps, epochs, side="right")])


def _check_milestones(milestones: ArrayLike) -> np.ndarray:
    try:
        steps = np.asarray(milestones, dtype=float)
    except (TypeError, ValueError):
        steps = np.empty((0, 0))
    if not (steps.ndim == 1 and np.isfinite(steps).all() and (np.diff(steps, prepend=0) > 0).all()):
        raise ValueError(
            f"milestones must be finite epochs greater than 0, ascending, got {milestones!r}."
        )
    return steps


def _whole_sizes(exact: list[float]) -> np.ndarray:
    # The inner rounding keeps 100 * 1.15 from being 114.
    return np.array([math.floor(round(size, 6)) for size in exact], dtype=np.int64)


def _check_progress(t: ArrayLike) -> np.ndarray:
    progress = np.asarray(t, dtype=float)
    outside = progress[~(np.isfinite(progress) & (progress >= 0))]
    if outside.size:
        raise ValueError(f"t must be finite and 0 or more, got {outside.flat[0]!s}.")
    return progress


def _as_given(values: np.ndarray) -> Any:
    """Return a Python number for a scalar, and arrays as they are."""
    return values.item() if np.ndim(values) == 0 else values


def _is_finite_real(value: Any) -> bool:
    if isinstance(value, np.number):  # it would take the limit to its own, smaller range
        return isinstance(value, Real) and bool(np.isfinite(value))
    if not isinstance(value, Real):
        return False
    magnitude: Any = abs(value)
    return bool(magnitude <= sys.float_info.max)


def _check_boundaries(base_lr: Any, max_lr: Any) -> None:
    if not (_is_finite_real(base_lr) and base_lr >= 0):
        raise ValueError(f"base_lr must be a finite number, 0 or more, got {base_lr!r}.")
    _check_positive("max_lr", max_lr)
    if base_lr >= max_lr:
        raise ValueError(
            f"base_lr must be less than max_lr, got base_lr={base_lr!r} and max_lr={max_lr!r}."
        )


def _check_positive(name: str, value: Any) -> None:
    if not (_is_finite_real(value) and value > 0):
        raise ValueError(f"{name} must be a finite number greater than 0, got {value!r}.")


def _check_positive_integer(name: str, value: Any) -> None:
    if not (isinstance(value, Integral) and int(value) > 0):
        raise ValueError(f"{name} must be an integer greater than 0, got {value!r}.")


def _check_batch_sizes(batch_size: Any, max_batch_size: Any) -> None:
    _check_positive_integer("batch_size", batch_size)
    _check_positive_integer("max_batch_size", max_batch_size)
    if max_batch_size < batch_size:
        raise ValueError(
            "max_batch_size must be batch_size or more, "
            f"got max_batch_size={max_batch_size!r} and batch_size={batch_size!r}."
        )


def _check_factor(factor: Any) -> None:
    if not (_is_finite_real(factor) and factor > 1):
        raise ValueError(f"factor must be a finite number greater than 1, got {factor!r}.")
