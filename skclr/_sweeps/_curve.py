"""The loss curve of a range test, and where it falls and where it turns up again."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.stats import median_abs_deviation

FEWEST_RATES = 10
_SPIKE_WIDTH = 5
_HEIGHT = 0.3  # a loss counts at most as this part above its level: what diverged tells no more
_SPIKE_HEIGHT = 2.0  # a spike of one repeat counts for more, so that it raises what is near it,
_RISE_HEIGHT = 0.2  # but no further than this once its neighbours have been averaged
_SMOOTHING_DECADES = 0.1
_NOISE_FACTOR = 3.0  # a fall counts when it is this many standard deviations of the noise,
_FALLEN = 0.05  # and this part of the whole drop
_LEAST_DROP = 0.05  # a curve falls when it drops by this part of its level
_LEAST_LEFT = 0.1  # there is a basin when jumps leave this part of the drop
_TURNED_UP = 0.2  # a curve turns up when it regains this part of its drop
_REPEAT_SMOOTHING_DECADES = 0.2  # first each repeat,
_BASIN_SMOOTHING_DECADES = 0.2  # then their mean
_BASIN_DEPTH = 0.4  # what is deeper than this part of the drop is the basin
_ABOVE_MIDDLE = 0.2  # the answer is this far above the middle of a wide basin, in logarithms
_WIDE_BASIN = 0.65  # whose standard deviation is at least this, in logarithms;
_NARROWER = 4.0  # it is this many times what is missing of that lower in a narrower one,
_VERY_WIDE_BASIN = 1.3  # and what is more than this higher, as the rise is far from the middle
_BACK_AT_LEVEL = 0.1  # the loss is back at its level when it is so close, as a part of its drop
_WINDOW_DECADES = 3.0  # the part in which it moves is at most so wide, and reaches
_BEFORE_DECADES, _BEYOND_DECADES = 0.35, 0.25  # from before its fall to beyond its rise


class NoBoundaryError(Exception):
    """A curve does not have a boundary; the message says which bound of the sweep to move."""


class FallingCurve(NamedTuple):
    """A loss curve that falls: the mean of the repeats, spikes removed and its height limited."""

    lrs: np.ndarray
    losses: np.ndarray
    whole: np.ndarray  # the mean of those repeats that begin with the first rate
    repeats: np.ndarray  # each of them, with its spikes, which may stand higher
    level: float  # before it falls
    noise: float  # a standard deviation of `whole`, from rate to rate
    ended_early: bool
    n_lasted: int  # rates of the repeat that went furthest

    @property
    def per_decade(self) -> float:
        """How many rates there are in a decade."""
        return (len(self.lrs) - 1) / math.log10(self.lrs[-1] / self.lrs[0])

    @property
    def noise_when_smoothed(self) -> float:
        """The noise of the smoothed curve, each of whose points is a mean of several."""
        n_averaged = 2 * math.sqrt(math.pi) * _SMOOTHING_DECADES * self.per_decade
        return self.noise / math.sqrt(max(1.0, n_averaged))

    def smoothed(self) -> np.ndarray:
        """Return the curve without spikes, smoothed to both sides."""
        return self._smooth(self.losses, _SMOOTHING_DECADES)

    def basin_curve(self) -> np.ndarray:
        """Return the curve in which bumps of one seed are gone, and spikes raise what is near."""
        smooth = self._smooth(self.repeats, _REPEAT_SMOOTHING_DECADES)
        limited = np.minimum(smooth, self.level + _RISE_HEIGHT * abs(self.level))
        return self._smooth(limited.mean(axis=0), _BASIN_SMOOTHING_DECADES)

    def start_of_fall(self) -> float:
        """Return the rate at which the loss first falls beyond its noise, and stays below."""
        losses = self._smooth(self.whole, _SMOOTHING_DECADES)
        lowest = int(np.argmin(losses))
        margin = max(
            _NOISE_FACTOR * self.noise_when_smoothed, _FALLEN * (self.level - losses[lowest])
        )
        above = np.flatnonzero(losses[: lowest + 1] >= self.level - margin)
        first = int(above[-1]) + 1 if len(above) else 0
        if first < 2 * _n_rates_before(len(self.lrs)):
            raise NoBoundaryError(
                f"The loss falls from the first rate, {self.lrs[0]:.1e}, on: lower min_lr."
            )
        return float(self.lrs[first])

    def top_of_basin(self) -> float:
        """Return the rate in the upper part of the basin of the loss, with room below its rise."""
        losses = self.basin_curve()
        lowest = int(np.argmin(losses))
        drop = self.level - losses[lowest]
        whole = self.level - self.smoothed().min()
        if drop <= max(_NOISE_FACTOR * self.noise_when_smoothed, _LEAST_LEFT * whole):
            raise NoBoundaryError(
                f"The loss jumps up as far as it falls between {self.lrs[0]:.1e} and "
                f"{self.lrs[-1]:.1e}: take larger batches."
            )
        if losses[lowest:].max() < losses[lowest] + _TURNED_UP * drop:
            raise NoBoundaryError(
                f"The loss does not turn up again by {self.lrs[-1]:.1e}: raise max_lr."
            )
        weights = np.maximum(0, (self.level - losses) / drop - _BASIN_DEPTH)
        logs = np.log(self.lrs)
        middle = np.average(logs, weights=weights)
        width = math.sqrt(np.average((logs - middle) ** 2, weights=weights))
        lower = _NARROWER * max(0.0, _WIDE_BASIN - width)
        higher = max(0.0, width - _VERY_WIDE_BASIN)
        return float(np.exp(middle + _ABOVE_MIDDLE - lower + higher))

    def moving_part(self) -> slice:
        """Return the rates from before the loss begins to fall to where it is back at its level."""
        losses = self.smoothed()
        lowest = int(np.argmin(losses))
        back = losses[lowest:] >= self.level - _BACK_AT_LEVEL * (self.level - losses[lowest])
        stop = lowest + int(np.argmax(back)) if back.any() else len(losses)
        stop = min(stop, self.n_lasted) + round(_BEYOND_DECADES * self.per_decade)
        stop = min(stop, len(losses))
        try:
            first = int(np.searchsorted(self.lrs, self.start_of_fall()))
        except NoBoundaryError:
            first = 0
        start = max(
            first - round(_BEFORE_DECADES * self.per_decade),
            stop - round(_WINDOW_DECADES * self.per_decade),
        )
        return slice(max(0, min(start, stop - 2 * _n_rates_before(len(losses)))), stop)

    def _smooth(self, losses: np.ndarray, decades: float) -> np.ndarray:
        return gaussian_filter1d(losses, max(1.0, decades * self.per_decade), mode="nearest")


def falling_curve(lrs: ArrayLike, losses: ArrayLike) -> FallingCurve:
    """Return the mean curve of the repeats, or raise NoBoundaryError where it never falls.

    A repeat that begins at a higher rate than the others is taken to be at its own level before.
    """
    lrs = np.asarray(lrs, dtype=float)
    losses = np.atleast_2d(np.asarray(losses, dtype=float))
    lrs, losses = _on_logarithmic_grid(lrs, losses)
    measured = np.isfinite(losses)
    # a repeat without any loss has ended at once, and so have all where none has the first rate
    begins = np.argmax(measured, axis=1) if measured[:, 0].any() else np.zeros(len(losses), int)
    before = np.arange(len(lrs)) < begins[:, np.newaxis]
    lasted = (measured | before).cumprod(axis=1).astype(bool)
    n_lasted = int(np.median(lasted.sum(axis=1)))
    if n_lasted < FEWEST_RATES:
        raise NoBoundaryError(
            f"The sweep ended within its first {FEWEST_RATES} rates: lower min_lr."
        )
    losses = np.where(lasted, losses, np.inf)
    level = float(np.median(losses[begins == 0, : max(FEWEST_RATES // 2, len(lrs) // 10)]))
    head = _n_rates_before(len(lrs))
    own = np.array([[np.median(row[n : n + head])] for row, n in zip(losses, begins, strict=True)])
    losses = np.where(before, np.where(np.isfinite(own), own, level), losses)
    limited = np.minimum(losses, level + _HEIGHT * abs(level))
    # a spike is of one repeat, and is taken from it before the repeats are averaged
    calm = median_filter(limited, size=(1, _SPIKE_WIDTH), mode="nearest")
    noise = median_abs_deviation(limited[begins == 0].mean(axis=0)[:head], scale="normal")
    curve = FallingCurve(
        lrs,
        calm.mean(axis=0),
        whole=calm[begins == 0].mean(axis=0),
        repeats=np.minimum(losses, level + _SPIKE_HEIGHT * abs(level)),
        level=level,
        noise=float(noise),
        ended_early=not lasted.all(),
        n_lasted=int(lasted.sum(axis=1).max()),
    )
    drop = level - curve.smoothed().min()
    if drop <= max(_NOISE_FACTOR * curve.noise_when_smoothed, _LEAST_DROP * abs(level)):
        advice = "lower min_lr" if curve.ended_early else "raise max_lr"
        raise NoBoundaryError(
            f"The loss never falls between {lrs[0]:.1e} and {lrs[-1]:.1e}: {advice}."
        )
    return curve


def moving_part(lrs: np.ndarray, losses: np.ndarray) -> slice:
    """Return the rates at which the loss moves, of so many repeats; all where it never falls."""
    try:
        return falling_curve(lrs, losses).moving_part()
    except NoBoundaryError:
        return slice(0, len(lrs))


def _on_logarithmic_grid(lrs: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve at as many rates with equal ratios, each the nearest that was measured."""
    grid = np.geomspace(lrs[0], lrs[-1], len(lrs))
    if np.allclose(lrs, grid):
        return lrs, losses
    middles = np.sqrt(lrs[1:] * lrs[:-1])
    return grid, losses[:, np.searchsorted(middles, grid)]


def _n_rates_before(n: int) -> int:
    """Return how many rates there are at least before the loss falls."""
    return max(FEWEST_RATES // 2, n // 20)
