"""The rules that read a rate off a loss curve, each a function ``(lrs, losses) -> lr``.

Those with a source of their own look at one smoothed curve; the two that `skclr.lr_range_test` goes
by, `first_fall` and `basin`, read all repeats together.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from skclr._sweeps._curve import NoBoundaryError, falling_curve
from skclr.exceptions import RangeTestWarning


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
        Losses as measured, not smoothed; NaN before the beginning and after the end of a sweep.

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
    try:
        return falling_curve(lrs, losses).start_of_fall()
    except NoBoundaryError as reason:
        warnings.warn(str(reason), RangeTestWarning, stacklevel=2)
        return None


def basin(lrs: ArrayLike, losses: ArrayLike) -> float | None:
    r"""Return the rate in the upper part of the basin of the loss, below its rise: `max_lr`.

    In each repeat a loss counts at most as three times its level :math:`L` at the lowest rates. It
    is smoothed over a fifth of a decade and limited to :math:`1.2\,L`; the curve is the mean of
    the repeats, smoothed over as much again. With :math:`d(\eta)` its depth below :math:`L`,
    as a part of the greatest depth, each rate has the weight
    :math:`w(\eta) = \max(0, d(\eta) - 0.4)`, and the answer is

    .. math:: \exp(\mu + 0.2 - 4 \max(0, 0.65 - \sigma) + \max(0, \sigma - 1.3)),

    with mean and standard deviation of :math:`\log \eta` under these weights: somewhat above the
    middle of a wide basin, well below it in a narrow one, whose walls are steep, and further above
    it in a basin of decades, whose rise is far away.

    Parameters
    ----------
    lrs : array-like of shape (n,)
        Rates, ascending.
    losses : array-like of shape (n,) or (n_repeats, n)
        Losses as measured, not smoothed; NaN before the beginning and after the end of a sweep.

    Returns
    -------
    lr : float or None
        None, with a warning, where the loss never falls, never turns up again, or jumps up as far
        as it falls.

    Warns
    -----
    RangeTestWarning
        Which bound to move, or to take larger batches, where there is no answer.

    Notes
    -----
    A sweep passes a factor of two in seven updates, in which few networks die; a training that
    stays for hundreds of updates at a rate close below the rise does. So the narrower the basin,
    the further the answer stays away from its rise. The first signs of a rise are single losses
    above the level, at rates where the others are still low. They are no noise to be filtered: they
    count for more than a loss can fall, which narrows the basin, but one of them, averaged with its
    neighbours and with the other repeats, raises the curve by less than a tenth of the level.

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
    try:
        return falling_curve(lrs, losses).top_of_basin()
    except NoBoundaryError as reason:
        warnings.warn(str(reason), RangeTestWarning, stacklevel=2)
        return None


def suggest(lrs: ArrayLike, smoothed: ArrayLike) -> dict[str, float | None]:
    """Return what the rules with a source say of the mean of the smoothed curves, by their names.

    The mean is of the repeats over all rates, up to where the first of them ended.
    """
    smoothed = np.atleast_2d(np.asarray(smoothed, dtype=float))
    whole = np.isfinite(smoothed[:, 0])
    smoothed = smoothed[whole] if whole.any() else smoothed
    ended = ~np.isfinite(smoothed).all(axis=0)
    n = int(np.argmax(ended)) if ended.any() else smoothed.shape[1]
    lrs, losses = np.asarray(lrs, dtype=float)[:n], smoothed[:, :n].mean(axis=0)
    rules = (steepest, valley, minimum, minimum_tenth, slide)
    return {rule.__name__: rule(lrs, losses) for rule in rules}


def _finite(lrs: ArrayLike, losses: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    lrs, losses = np.asarray(lrs, dtype=float), np.asarray(losses, dtype=float)
    finite = np.isfinite(losses)
    return lrs[finite], losses[finite]
