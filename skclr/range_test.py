"""The learning-rate range test: which rates work, measured, and the rules that read it.

A rule is a function ``(lrs, losses) -> lr``. Those with a source of their own look at one smoothed
curve; the two that :func:`skclr.lr_range_test` goes by, :func:`first_fall` and :func:`basin`, read
all repeats together.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import skorch
from numpy.typing import ArrayLike
from torch.utils.data import Dataset

from skclr._sweeps import (
    StopNotFinite,
    Sweeps,
    basin,
    first_fall,
    measure_candidates,
    measure_sweeps,
    minimum,
    minimum_tenth,
    slide,
    steepest,
    suggest,
    valley,
)
from skclr.callbacks import constant_lr
from skclr.displays import LRRangeDisplay
from skclr.exceptions import RangeTestWarning

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


@dataclass
class LRRangeResult:
    """What a range test measured.

    Parameters
    ----------
    lrs : ndarray of shape (n_lrs,)
        Learning rates, ascending.
    losses : ndarray of shape (n_sweeps, n_lrs)
        The training loss at each rate; NaN before a sweep begins and after it has ended.
    smoothed : ndarray of shape (n_sweeps, n_lrs)
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

    def plot(self, ax: Axes | None = None) -> LRRangeDisplay:
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
        return LRRangeDisplay(
            self.lrs,
            self.losses,
            base_lr=self.base_lr,
            max_lr=self.max_lr,
            smoothed=self.smoothed,
            kind=self.kind,
        ).plot(ax=ax)


def lr_range_test(
    estimator: skorch.NeuralNetClassifier,
    X: ArrayLike | Dataset,
    y: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
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
    X, y : array-like, or torch Dataset and None
        Training data, as `estimator` takes them; a data set brings its labels. A set smaller than
        the sweep is gone round, in whole batches where there is one.
    sample_weight : array-like of shape (n_samples,), default=None
        As in the `fit` of `estimator`, to which it is passed on.
    min_lr, max_lr : float, default=1e-7 and 10.0
        Where the sweep begins and ends.
    n_iter : int or None, default=None
        Updates in a sweep. None: 23 a decade, 184 from 1e-7 to 10.
    n_repeats : int, default=5
        How many sweeps over all rates the updates would do for. The first two go over all rates;
        the updates of the others go to sweeps over those rates alone at which these two saw the
        loss move, which are as many more. With ``mode="linear"``, or where the loss never falls,
        all go over all rates. Each sweep has initial weights and an order of the samples of its
        own.
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
        If `estimator` is no skorch net, or its `fit` takes no `sample_weight` and one is given.
    ValueError
        If a parameter or the data are not valid.

    Warns
    -----
    RangeTestWarning
        If the loss falls from the first rate on, never falls, never turns up again, or jumps up as
        far as it falls; the boundary that the curve does not have is None.

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
    sweeps = measure_sweeps(
        estimator,
        X,
        y,
        sample_weight=sample_weight,
        min_lr=min_lr,
        max_lr=max_lr,
        n_iter=n_iter,
        n_repeats=n_repeats,
        mode=mode,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    return read_range(sweeps, stacklevel=3)


def read_range(sweeps: Sweeps, stacklevel: int = 2) -> LRRangeResult:
    """Return what sweeps say of the range, and warn of what they do not."""
    for reason in sweeps.reasons:
        warnings.warn(reason, RangeTestWarning, stacklevel=stacklevel)
    suggestions = suggest(sweeps.lrs, sweeps.smoothed)
    suggestions |= {"first_fall": sweeps.base_lr, "basin": sweeps.max_lr}
    return LRRangeResult(
        sweeps.lrs, sweeps.losses, sweeps.smoothed, sweeps.base_lr, sweeps.max_lr, suggestions
    )


def lr_candidates_test(
    estimator: skorch.NeuralNetClassifier,
    X: ArrayLike | Dataset,
    y: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
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
    X, y : array-like, or torch Dataset and None
        Training data, as `estimator` takes them; a data set brings its labels.
    sample_weight : array-like of shape (n_samples,), default=None
        As in the `fit` of `estimator`, to which it is passed on.
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
    rates, losses = measure_candidates(
        estimator,
        X,
        y,
        sample_weight=sample_weight,
        lrs=lrs,
        epochs=epochs,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    return read_candidates(rates, losses)


def read_candidates(rates: np.ndarray, losses: np.ndarray) -> LRRangeResult:
    """Return what the losses at fixed rates say of the range."""
    best = int(np.nanargmin(losses))
    drop = losses[0] - losses[best]
    falls = np.flatnonzero(losses[: best + 1] < losses[0] - 0.1 * drop)
    base = float(rates[falls[0]]) if len(falls) and falls[0] < best else None
    top = float(rates[best]) if best else None
    row = losses[np.newaxis]
    return LRRangeResult(
        rates, row, row, base, top, {"minimum": float(rates[best])}, kind="candidates"
    )


# where pickles of version 0.1 look for them
_always = constant_lr
_unchanging = partial(constant_lr, 0.0)
_StopNotFinite = StopNotFinite

for name in __all__:
    globals()[name].__module__ = __name__
del name
