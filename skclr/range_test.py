"""The learning-rate range test: which rates work, measured, and the rules that read it.

A rule is a function ``(lrs, losses) -> lr``. Those with a source of their own look at one smoothed
curve; the two that :func:`skclr.lr_range_test` goes by, :func:`first_fall` and :func:`basin`, read
all repeats together.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from typing import NamedTuple

import numpy as np
import pandas as pd
import skorch
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.stats import median_abs_deviation
from sklearn.base import clone
from sklearn.utils import check_random_state
from skorch.callbacks import Callback, GradientNormClipping, ParamMapper

from skclr._process import isolated_generators, one_thread
from skclr._progress import Ticker, progress
from skclr.callbacks import LRRangeTest, LRSchedule, StopTraining
from skclr.classifier import CLRLeNetClassifier
from skclr.exceptions import DivergenceError, RangeTestWarning

__all__ = [
    "LRRangeResult",
    "RangeTestWarning",
    "basin",
    "first_fall",
    "lr_candidates_test",
    "lr_range_test",
    "minimum",
    "minimum_tenth",
    "slide",
    "steepest",
    "valley",
]

_ITERATIONS_PER_DECADE = (
    23  # five sweeps over the default range stay below 938, one epoch's updates
)
# these change what an update does, or only watch
_KEPT_CALLBACKS = (GradientNormClipping, ParamMapper, Ticker)
_FEWEST_RATES = 10
_SPIKE_WIDTH = 5
_HEIGHT = 0.3  # a loss counts at most as this part above its level: what diverged tells no more
_SMOOTHING_DECADES = 0.1
_NOISE_FACTOR = 3.0  # a fall counts when it is this many standard deviations of the noise,
_FALLEN = 0.03  # and this part of the whole drop
_LEAST_DROP = 0.05  # a curve falls when it drops by this part of its level
_TURNED_UP = 0.2  # a curve turns up when it regains this part of its drop
_BASIN_SMOOTHING_DECADES = 0.5  # wider than the bumps that one seed has and another has not
_BASIN_DEPTH = 0.5  # what is deeper than this part of the drop is the basin


@dataclass
class LRRangeResult:
    """What a range test measured.

    Parameters
    ----------
    lrs : ndarray of shape (n_lrs,)
        Learning rates, ascending.
    losses : ndarray of shape (n_repeats, n_lrs)
        The training loss at each rate; NaN after a sweep has ended.
    smoothed : ndarray of shape (n_repeats, n_lrs)
        The loss smoothed as the sweep went on; for candidates the loss itself.
    base_lr, max_lr : float or None
        The boundaries read off the curve; None where it does not have them.
    suggestions : dict of str to float or None
        The answer of every rule, by its name.
    kind : {"sweep", "candidates"}
        Whether the rate rose from update to update, or each rate trained a model of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from skclr.range_test import LRRangeResult
    >>> result = LRRangeResult(np.array([0.01, 0.1]), np.array([[2.0, 1.0]]),
    ...                        np.array([[2.0, 1.0]]), None, 0.1)
    >>> result.to_frame()
       repeat    lr  loss  smoothed_loss
    0       0  0.01   2.0            2.0
    1       0  0.10   1.0            1.0
    """

    lrs: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    smoothed: np.ndarray = field(repr=False)
    base_lr: float | None
    max_lr: float | None
    suggestions: dict[str, float | None] = field(default_factory=dict)
    kind: str = "sweep"

    def to_frame(self) -> pd.DataFrame:
        """Return the curves as a table.

        Returns
        -------
        DataFrame
            A row for each repeat and rate: ``repeat``, ``lr``, ``loss``, ``smoothed_loss``.
        """
        n_repeats, n_lrs = self.losses.shape
        return pd.DataFrame(
            {
                "repeat": np.repeat(np.arange(n_repeats), n_lrs),
                "lr": np.tile(self.lrs, n_repeats),
                "loss": self.losses.ravel(),
                "smoothed_loss": self.smoothed.ravel(),
            }
        )

    def plot(self, ax=None):
        """Draw loss against rate with both boundaries.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        display : LRRangeDisplay
            The picture.
        """
        from skclr.displays import LRRangeDisplay

        return LRRangeDisplay(
            self.lrs,
            self.losses,
            base_lr=self.base_lr,
            max_lr=self.max_lr,
            smoothed=self.smoothed,
            kind=self.kind,
        ).plot(ax=ax)


# ---------------------------------------------------------------- the tests


def lr_range_test(
    estimator: skorch.NeuralNetClassifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    min_lr: float = 1e-7,
    max_lr: float = 10.0,
    n_iter: int | None = None,
    n_repeats: int = 5,
    mode: str = "exp",
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> LRRangeResult:
    """Sweep the learning rate upwards on clones of an estimator, and read off its range.

    Parameters
    ----------
    estimator : CLRLeNetClassifier or any skorch classifier
        It is cloned and not changed. Its own schedule, validation and callbacks are left out of
        the sweep, but for those that clip gradients or freeze parameters.
    X, y : array-like
        Training data, as `estimator` takes them. A set smaller than the sweep is gone round.
    min_lr, max_lr : float, default=1e-7 and 10.0
        Where the sweep begins and ends.
    n_iter : int or None, default=None
        Updates in a sweep. None: 23 a decade, 184 from 1e-7 to 10.
    n_repeats : int, default=5
        Sweeps, each with initial weights and an order of the samples of its own.
    mode : {"exp", "linear"}, default="exp"
        Equal ratios or equal differences between the rates.
    random_state : int, RandomState instance or None, default=None
        Determines the seeds of the sweeps.
    n_jobs : int or None, default=None
        Sweeps at the same time, as in joblib; the answer does not depend on it.
    verbose : int, default=0
        Whether progress is shown on stderr.

    Returns
    -------
    result : LRRangeResult
        The curves, `base_lr`, `max_lr` and the answer of every rule.

    Raises
    ------
    TypeError
        If `estimator` is no skorch net.
    ValueError
        If a parameter or the data are not valid.

    Warns
    -----
    RangeTestWarning
        If the loss falls from the first rate on, never falls, or never turns up again; the
        boundary that the curve does not have is None.

    See Also
    --------
    lr_candidates_test : Fixed rates, and a model for each.
    skclr.callbacks.LRRangeTest : One sweep on a net.

    References
    ----------
    L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3,
    arXiv:1506.01186.

    Examples
    --------
    >>> from skclr import CLRLeNetClassifier, load_fashion_mnist_sample, lr_range_test
    >>> X, y = load_fashion_mnist_sample(return_X_y=True)
    >>> result = lr_range_test(CLRLeNetClassifier(), X, y, random_state=0)
    >>> 1e-5 < result.base_lr < 1e-2 < result.max_lr < 1
    True
    """
    _check_estimator(estimator)
    if not (isinstance(n_repeats, Integral) and n_repeats >= 1):
        raise ValueError(f"n_repeats must be an integer of at least 1, got {n_repeats!r}.")
    sweep = LRRangeTest(min_lr=min_lr, max_lr=max_lr, n_iter=n_iter, mode=mode)
    sweep.check()
    if n_iter is None:
        n_iter = max(100, round(math.log10(max_lr / min_lr) * _ITERATIONS_PER_DECADE))
    if n_iter < _FEWEST_RATES:
        raise ValueError(f"n_iter must be None or at least {_FEWEST_RATES}, got {n_iter!r}.")
    sweep.set_params(n_iter=n_iter)
    with progress(n_repeats, "sweeps", show=bool(verbose)) as bar:
        watched = [sweep, bar.ticker(per_epoch=0, per_training=1)]
        runs = Parallel(n_jobs=n_jobs)(
            delayed(_sweep)(estimator, *map(clone, watched), X, y, seed)
            for seed in _seeds(random_state, n_repeats)
        )
    lrs = np.geomspace(min_lr, max_lr, n_iter)
    if mode == "linear":
        lrs = np.linspace(min_lr, max_lr, n_iter)
    losses = _stacked([losses for losses, _ in runs], n_iter)
    smoothed = _stacked([smoothed for _, smoothed in runs], n_iter)
    curve = _mean_curve(lrs, smoothed)
    suggestions = {rule.__name__: rule(*curve) for rule in _ONE_CURVE_RULES}
    falling = _falling_curve(lrs, losses)
    base, top = (None, None) if falling is None else (_fall(falling), _basin(falling))
    suggestions |= {"first_fall": base, "basin": top}
    return LRRangeResult(lrs, losses, smoothed, base, top, suggestions)


def lr_candidates_test(
    estimator: skorch.NeuralNetClassifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    lrs: ArrayLike | None = None,
    epochs: int = 5,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> LRRangeResult:
    """Train a fresh model with each of a few fixed learning rates.

    Parameters
    ----------
    estimator : CLRLeNetClassifier or any skorch classifier
        It is cloned and not changed. Its own schedule, validation and callbacks are left out, but
        for those that clip gradients or freeze parameters.
    X, y : array-like
        Training data, as `estimator` takes them.
    lrs : array-like of float or None, default=None
        The rates; None: ``np.logspace(-9, 1, 10)``.
    epochs : int, default=5
        Epochs for each rate.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights and order of samples, the same for all rates.
    n_jobs : int or None, default=None
        Models trained at the same time, as in joblib; the answer does not depend on it.
    verbose : int, default=0
        Whether progress is shown on stderr.

    Returns
    -------
    result : LRRangeResult
        With the mean training loss of the last epoch at each rate, NaN where training diverged.
        `max_lr` is the rate of the lowest loss, `base_lr` the lowest rate that gets a tenth of the
        way there.

    Raises
    ------
    ValueError
        If a parameter or the data are not valid, or every rate diverges.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skclr import CLRLeNetClassifier, lr_candidates_test
    >>> X, y = load_digits(return_X_y=True)
    >>> result = lr_candidates_test(CLRLeNetClassifier(), X[:500], y[:500], lrs=[1e-6, 0.1, 1e4],
    ...                             epochs=2, random_state=0)
    >>> result.max_lr
    0.1
    """
    _check_estimator(estimator)
    lrs = np.sort(np.asarray(np.logspace(-9, 1, 10) if lrs is None else lrs, dtype=float))
    if lrs.ndim != 1 or len(lrs) < 2 or not (np.isfinite(lrs).all() and lrs[0] > 0):
        raise ValueError(f"lrs must be two or more finite numbers above 0, got {lrs.tolist()}.")
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs!r}.")
    (seed,) = _seeds(random_state, 1)
    with progress(epochs * len(lrs), show=bool(verbose)) as bar:
        losses = Parallel(n_jobs=n_jobs)(
            delayed(_train_at)(estimator, float(lr), bar.ticker(), epochs, X, y, seed) for lr in lrs
        )
    losses = np.array([losses])
    if np.isnan(losses).all():
        raise ValueError("Training diverged at every rate; give lower ones.")
    best = int(np.nanargmin(losses[0]))
    drop = losses[0, 0] - losses[0, best]
    falls = np.flatnonzero(losses[0, : best + 1] < losses[0, 0] - 0.1 * drop)
    base = float(lrs[falls[0]]) if len(falls) and falls[0] < best else None
    top = float(lrs[best]) if best else None
    return LRRangeResult(
        lrs, losses, losses, base, top, {"minimum": float(lrs[best])}, "candidates"
    )


def _sweep(estimator, sweep, ticker, X, y, seed):
    callbacks = [("range_test", sweep), ("progress", ticker)]
    net = _fit_with(estimator, callbacks, sweep.n_iter, X, y, seed)
    sweep = dict(net.callbacks_)["range_test"]
    if sweep.stopped_ is None:  # a plain skorch net takes an interrupt for the end of training
        raise KeyboardInterrupt
    return sweep.losses_, sweep.smoothed_losses_


def _train_at(estimator, lr, ticker, epochs, X, y, seed):
    constant = LRSchedule(partial(_always, lr))
    callbacks = [("range_test", constant), ("progress", ticker), _StopNotFinite]
    try:
        net = _fit_with(estimator, callbacks, epochs, X, y, seed)
    except DivergenceError:
        return math.nan
    finished = sum("train_batch_count" in epoch for epoch in net.history)
    losses = [row["train_loss"] for row in net.history[-1]["batches"] if "train_loss" in row]
    if finished < epochs and np.isfinite(losses).all():  # an interrupt, which skorch swallows
        raise KeyboardInterrupt
    sizes = [row["train_batch_size"] for row in net.history[-1]["batches"] if "train_loss" in row]
    return float(np.average(losses, weights=sizes))


def _always(lr, iteration):
    return lr


class _StopNotFinite(Callback):
    """End the training of a plain skorch net when its loss is not finite."""

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        """Look at the loss."""
        if training and not math.isfinite(net.history[-1]["batches"][-1]["train_loss"]):
            raise StopTraining


def _fit_with(estimator, callbacks, max_epochs, X, y, seed):
    """Train a clone with these callbacks in place of its own."""
    own = [
        item
        for item in _listed(estimator.callbacks)
        if isinstance(_callback(item), _KEPT_CALLBACKS)
    ]
    net = clone(estimator).set_params(
        callbacks=[*own, *callbacks], max_epochs=max_epochs, verbose=0, warm_start=False
    )
    if isinstance(net, CLRLeNetClassifier):
        net.set_params(
            schedule=_unchanging,
            base_lr=1e-3,
            max_lr=0.1,
            validation_fraction=None,
            random_state=seed,
        )
    else:
        net.set_params(train_split=None)
    known = {name for name, _ in net._uniquely_named_callbacks()}
    for name in [name for name in vars(net) if name.startswith("callbacks__")]:
        if name.split("__")[1] not in known:  # of a callback that was left out
            del vars(net)[name]
    with isolated_generators(seed, device=net.device), one_thread():
        return net.fit(X, y)


def _unchanging(iteration):
    return 0.0


def _listed(callbacks):
    return callbacks if isinstance(callbacks, list) else []


def _callback(item):
    return item[1] if isinstance(item, tuple) else item


def _check_estimator(estimator):
    if not isinstance(estimator, skorch.NeuralNet):
        raise TypeError(
            f"estimator must be a CLRLeNetClassifier or a skorch net, got {estimator!r}."
        )


def _seeds(random_state, n):
    return check_random_state(random_state).randint(2**31, size=n).tolist()


def _stacked(rows, n):
    stacked = np.full((len(rows), n), np.nan)
    for target, row in zip(stacked, rows, strict=True):
        target[: len(row)] = row
    stacked[~np.isfinite(stacked)] = np.nan
    return stacked


# ---------------------------------------------------------------- the rules


def steepest(lrs: ArrayLike, losses: ArrayLike) -> float | None:
    r"""Return the rate at which the loss falls fastest over the logarithm of the rate.

    .. math:: \arg\min_\eta \frac{d\,l}{d \log \eta}

    Parameters
    ----------
    lrs, losses : array-like of shape (n,)
        Rates, ascending, and smoothed losses; values that are not finite are left out.

    Returns
    -------
    lr : float or None
        None where the loss never falls.

    Notes
    -----
    fastai's ``steep`` and Lightning's ``suggestion`` take the same steepest fall, the latter over
    the number of the iteration or the rate itself.

    Examples
    --------
    >>> from skclr.range_test import steepest
    >>> steepest([1e-3, 1e-2, 1e-1, 1], [2.0, 1.9, 1.0, 0.9])
    0.01
    """
    lrs, losses = _finite(lrs, losses)
    if not (np.diff(losses) < 0).any():
        return None
    return float(lrs[np.argmin(np.gradient(losses, np.log(lrs)))])


def valley(lrs: ArrayLike, losses: ArrayLike) -> float | None:
    """Return the rate half way along the longest fall.

    Parameters
    ----------
    lrs, losses : array-like of shape (n,)
        Rates, ascending, and smoothed losses; values that are not finite are left out.

    Returns
    -------
    lr : float or None
        The rate in the middle third of the longest strictly falling subsequence of the losses;
        None where the loss never falls.

    Notes
    -----
    After fastai's rule of the same name (ESRI's), which is its default.

    Examples
    --------
    >>> import numpy as np
    >>> from skclr.range_test import valley
    >>> lrs = np.logspace(-4, 0, 41)
    >>> round(valley(lrs, np.abs(np.log10(lrs) + 1)), 4)  # falls from 0.0001 to 0.1
    0.0025
    """
    lrs, losses = _finite(lrs, losses)
    if not len(lrs):
        return None
    lengths = np.ones(len(losses), dtype=int)
    for i in range(1, len(losses)):
        before = lengths[:i][losses[:i] > losses[i]]
        lengths[i] = 1 + (before.max() if len(before) else 0)
    end = int(np.argmax(lengths))
    if lengths[end] < 2:
        return None
    third = lengths[end] / 3
    place = end - int(lengths[end]) + int(third) + int(third / 2)
    return float(lrs[max(place, 0)])


def minimum(lrs: ArrayLike, losses: ArrayLike) -> float | None:
    """Return the rate of the lowest loss.

    Parameters
    ----------
    lrs, losses : array-like of shape (n,)
        Rates, ascending, and smoothed losses; values that are not finite are left out.

    Returns
    -------
    lr : float or None
        None where the loss never falls below that of the lowest rate.

    Examples
    --------
    >>> from skclr.range_test import minimum
    >>> minimum([1e-3, 1e-2, 1e-1], [2.0, 1.0, 3.0])
    0.01
    """
    lrs, losses = _finite(lrs, losses)
    return float(lrs[np.argmin(losses)]) if len(lrs) and losses.min() < losses[0] else None


def minimum_tenth(lrs: ArrayLike, losses: ArrayLike) -> float | None:
    """Return a tenth of the rate of the lowest loss, a rule of thumb that fastai made popular.

    Parameters
    ----------
    lrs, losses : array-like of shape (n,)
        Rates, ascending, and smoothed losses; values that are not finite are left out.

    Returns
    -------
    lr : float or None
        None where the loss never falls below that of the lowest rate.

    Examples
    --------
    >>> from skclr.range_test import minimum_tenth
    >>> minimum_tenth([1e-3, 1e-2, 1e-1], [2.0, 1.0, 3.0])
    0.001
    """
    best = minimum(lrs, losses)
    return None if best is None else best / 10


def slide(
    lrs: ArrayLike, losses: ArrayLike, *, distance: int = 15, threshold: float = 0.005
) -> float | None:
    """Slide an interval down from the highest rate until the slope at both its ends is alike.

    Parameters
    ----------
    lrs, losses : array-like of shape (n,)
        Rates, ascending, and smoothed losses; values that are not finite are left out.
    distance : int, default=15
        The width of the interval, in rates.
    threshold : float, default=0.005
        The difference between slopes (per rate) at which they count as alike.

    Returns
    -------
    lr : float or None
        The rate at the lower end of the last interval whose slopes differ; None where there is
        none.

    Notes
    -----
    After fastai's rule of the same name (Novetta's).

    Examples
    --------
    >>> import numpy as np
    >>> from skclr.range_test import slide
    >>> lrs = np.logspace(-4, 0, 41)
    >>> round(slide(lrs, np.where(lrs < 0.09, 1.0, 1 + 10 * lrs)), 4)  # turns up at 0.1
    0.0025
    """
    lrs, losses = _finite(lrs, losses)
    if len(lrs) <= distance:
        return None
    slopes = np.gradient(losses)
    alike = np.abs(slopes[distance:] - slopes[:-distance])[::-1] <= threshold
    passed = int(np.argmax(alike)) if alike.any() else len(alike)
    return float(lrs[len(lrs) - distance - passed]) if passed else None


def first_fall(lrs: ArrayLike, losses: ArrayLike) -> float | None:
    """Return the rate at which the loss first falls beyond its noise, and stays below: `base_lr`.

    Parameters
    ----------
    lrs : array-like of shape (n,)
        Rates, ascending.
    losses : array-like of shape (n,) or (n_repeats, n)
        Losses as measured, not smoothed; NaN after the end of a sweep.

    Returns
    -------
    lr : float or None
        None, with a warning, where the loss falls from the first rate on, or never.

    Warns
    -----
    RangeTestWarning
        Which bound to move, where there is no answer.

    Examples
    --------
    >>> import numpy as np
    >>> from skclr.range_test import first_fall
    >>> lrs = np.logspace(-5, 0, 100)
    >>> 0.9e-3 < first_fall(lrs, np.where(lrs < 1e-3, 2.0, 2.0 - np.log10(lrs / 1e-3))) < 2e-3
    True
    """
    curve = _falling_curve(lrs, losses)
    return None if curve is None else _fall(curve)


def basin(lrs: ArrayLike, losses: ArrayLike) -> float | None:
    r"""Return the rate in the upper part of the basin of the loss, below its rise: `max_lr`.

    The curve is the mean of the repeats, smoothed over half a decade. With :math:`d(\eta)` its
    depth below its level at the lowest rates, as a part of the greatest depth, each rate has the
    weight :math:`w(\eta) = \max(0, d(\eta) - 1/2)`, and the answer is

    .. math:: \exp(\mu + \sigma),

    with mean and standard deviation of :math:`\log \eta` under these weights.

    Parameters
    ----------
    lrs : array-like of shape (n,)
        Rates, ascending.
    losses : array-like of shape (n,) or (n_repeats, n)
        Losses as measured, not smoothed; NaN after the end of a sweep.

    Returns
    -------
    lr : float or None
        None, with a warning, where the loss never falls, or never turns up again.

    Warns
    -----
    RangeTestWarning
        Which bound to move, where there is no answer.

    Notes
    -----
    Where a noisy curve crosses a height, or has its lowest point, changes by much with the seed;
    moments of all that is deep change by little. ``benchmarks/range_test.py`` measures what the
    constants are worth: the accuracy that is lost to the best rate of a grid, and the largest over
    the smallest answer of ten seeds.

    Examples
    --------
    >>> import numpy as np
    >>> from skclr.range_test import basin
    >>> lrs = np.logspace(-5, 1, 120)
    >>> 0.1 < basin(lrs, 1 + np.minimum(np.log10(lrs / 0.1) ** 2, 3)) < 0.4  # lowest at 0.1
    True
    """
    curve = _falling_curve(lrs, losses)
    return None if curve is None else _basin(curve)


_ONE_CURVE_RULES = (steepest, valley, minimum, minimum_tenth, slide)


def _finite(lrs, losses):
    lrs, losses = np.asarray(lrs, dtype=float), np.asarray(losses, dtype=float)
    finite = np.isfinite(losses)
    return lrs[finite], losses[finite]


def _mean_curve(lrs, losses):
    """Return the mean over the repeats, up to where the first of them ended."""
    losses = np.atleast_2d(np.asarray(losses, dtype=float))
    ended = ~np.isfinite(losses).all(axis=0)
    n = int(np.argmax(ended)) if ended.any() else losses.shape[1]
    return np.asarray(lrs, dtype=float)[:n], losses[:, :n].mean(axis=0)


class _Curve(NamedTuple):
    """A loss curve that falls: the mean of the repeats, spikes removed and its height limited."""

    lrs: np.ndarray
    losses: np.ndarray
    level: float  # before it falls
    noise: float  # a standard deviation, from rate to rate
    ended_early: bool

    @property
    def per_decade(self) -> float:
        return (len(self.lrs) - 1) / math.log10(self.lrs[-1] / self.lrs[0])

    def smoothed(self, decades: float) -> np.ndarray:
        """Return the curve, smoothed to both sides over so many decades."""
        return gaussian_filter1d(self.losses, max(1.0, decades * self.per_decade), mode="nearest")


def _falling_curve(lrs, losses):
    """Return the curve, or None with a warning where it never falls."""
    lrs = np.asarray(lrs, dtype=float)
    losses = np.atleast_2d(np.asarray(losses, dtype=float))
    lrs, losses = _on_logarithmic_grid(lrs, losses)
    lasted = np.isfinite(losses).cumprod(axis=1).astype(bool)
    n_lasted = int(np.median(lasted.sum(axis=1)))
    if n_lasted < _FEWEST_RATES:
        _warn(f"The sweep ended within its first {_FEWEST_RATES} rates: lower min_lr.")
        return None
    head = _n_first(len(lrs))
    level = float(np.median(np.where(lasted, losses, np.inf)[:, :head]))
    limited = np.minimum(np.where(lasted, losses, np.inf), level + _HEIGHT * abs(level))
    # a spike is of one repeat, and is taken from it before the repeats are averaged
    mean = median_filter(limited, size=(1, _SPIKE_WIDTH), mode="nearest").mean(axis=0)
    curve = _Curve(
        lrs,
        mean,
        level=level,
        noise=float(median_abs_deviation(limited.mean(axis=0)[:head], scale="normal")),
        ended_early=not lasted.all(),
    )
    drop = level - curve.smoothed(_SMOOTHING_DECADES).min()
    if drop <= max(_NOISE_FACTOR * _noise_left(curve), _LEAST_DROP * abs(level)):
        advice = "lower min_lr" if curve.ended_early else "raise max_lr"
        _warn(f"The loss never falls between {lrs[0]:.1e} and {lrs[-1]:.1e}: {advice}.")
        return None
    return curve


def _on_logarithmic_grid(lrs, losses):
    """Return the curve at as many rates with equal ratios, each the nearest that was measured."""
    grid = np.geomspace(lrs[0], lrs[-1], len(lrs))
    if np.allclose(lrs, grid):
        return lrs, losses
    middles = np.sqrt(lrs[1:] * lrs[:-1])
    return grid, losses[:, np.searchsorted(middles, grid)]


def _n_first(n):
    """Return how many rates tell the level of the loss before it falls."""
    return max(_FEWEST_RATES // 2, n // 20)


def _noise_left(curve):
    """Return the noise of the smoothed curve, each of whose points is a mean of several."""
    n_averaged = 2 * math.sqrt(math.pi) * _SMOOTHING_DECADES * curve.per_decade
    return curve.noise / math.sqrt(max(1.0, n_averaged))


def _fall(curve):
    losses = curve.smoothed(_SMOOTHING_DECADES)
    lowest = int(np.argmin(losses))
    margin = max(_NOISE_FACTOR * _noise_left(curve), _FALLEN * (curve.level - losses[lowest]))
    above = np.flatnonzero(losses[: lowest + 1] >= curve.level - margin)
    first = int(above[-1]) + 1 if len(above) else 0
    if first < 2 * _n_first(len(curve.lrs)):
        _warn(f"The loss falls from the first rate, {curve.lrs[0]:.1e}, on: lower min_lr.")
        return None
    return float(curve.lrs[first])


def _basin(curve):
    losses = curve.smoothed(_BASIN_SMOOTHING_DECADES)
    lowest = int(np.argmin(losses))
    drop = curve.level - losses[lowest]
    if losses[lowest:].max() < losses[lowest] + _TURNED_UP * drop:
        _warn(f"The loss does not turn up again by {curve.lrs[-1]:.1e}: raise max_lr.")
        return None
    weights = np.maximum(0, (curve.level - losses) / drop - _BASIN_DEPTH)
    logs = np.log(curve.lrs)
    centre = np.average(logs, weights=weights)
    width = math.sqrt(np.average((logs - centre) ** 2, weights=weights))
    return float(np.exp(centre + width))


def _warn(message):
    warnings.warn(message, RangeTestWarning, stacklevel=4)  # the caller of the public function
