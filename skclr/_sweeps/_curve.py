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
_RISE_HEIGHT = 0.4  # but no further than this once its neighbours have been averaged
_SMOOTHING_DECADES = 0.1
_NOISE_FACTOR = 3.0  # a fall counts when it is this many standard deviations of the noise,
_FALLEN = 0.03  # and this part of the whole drop
_LEAST_DROP = 0.05  # a curve falls when it drops by this part of its level
_LEAST_LEFT = 0.1  # there is a basin when jumps leave this part of the drop
_TURNED_UP = 0.2  # a curve turns up when it regains this part of its drop
_REPEAT_SMOOTHING_DECADES = 0.2  # first each repeat,
_BASIN_SMOOTHING_DECADES = 0.25  # then their mean
_BASIN_DEPTH = 0.4  # what is deeper than this part of the drop is the basin
_EDGE = 1.25  # its upper edge is this many standard deviations above its middle,
_ROOM = 2.2  # and the answer stays this factor below: a sweep passes that in eight updates


class NoBoundaryError(Exception):
    """A curve does not have a boundary; the message says which bound of the sweep to move."""


class FallingCurve(NamedTuple):
    """A loss curve that falls: the mean of the repeats, spikes removed and its height limited."""

    lrs: np.ndarray
    losses: np.ndarray
    repeats: np.ndarray  # each of them, with its spikes, which may stand higher
    level: float  # before it falls
    noise: float  # a standard deviation, from rate to rate
    ended_early: bool

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
        losses = self.smoothed()
        lowest = int(np.argmin(losses))
        margin = max(
            _NOISE_FACTOR * self.noise_when_smoothed, _FALLEN * (self.level - losses[lowest])
        )
        above = np.flatnonzero(losses[: lowest + 1] >= self.level - margin)
        first = int(above[-1]) + 1 if len(above) else 0
        if first < 2 * _n_rates_at_level(len(self.lrs)):
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
        return float(np.exp(middle + _EDGE * width) / _ROOM)

    def _smooth(self, losses: np.ndarray, decades: float) -> np.ndarray:
        return gaussian_filter1d(losses, max(1.0, decades * self.per_decade), mode="nearest")


def falling_curve(lrs: ArrayLike, losses: ArrayLike) -> FallingCurve:
    """Return the mean curve of the repeats, or raise NoBoundaryError where it never falls."""
    lrs = np.asarray(lrs, dtype=float)
    losses = np.atleast_2d(np.asarray(losses, dtype=float))
    lrs, losses = _on_logarithmic_grid(lrs, losses)
    lasted = np.isfinite(losses).cumprod(axis=1).astype(bool)
    n_lasted = int(np.median(lasted.sum(axis=1)))
    if n_lasted < FEWEST_RATES:
        raise NoBoundaryError(
            f"The sweep ended within its first {FEWEST_RATES} rates: lower min_lr."
        )
    head = _n_rates_at_level(len(lrs))
    losses = np.where(lasted, losses, np.inf)
    level = float(np.median(losses[:, :head]))
    limited = np.minimum(losses, level + _HEIGHT * abs(level))
    # a spike is of one repeat, and is taken from it before the repeats are averaged
    mean = median_filter(limited, size=(1, _SPIKE_WIDTH), mode="nearest").mean(axis=0)
    curve = FallingCurve(
        lrs,
        mean,
        repeats=np.minimum(losses, level + _SPIKE_HEIGHT * abs(level)),
        level=level,
        noise=float(median_abs_deviation(limited.mean(axis=0)[:head], scale="normal")),
        ended_early=not lasted.all(),
    )
    drop = level - curve.smoothed().min()
    if drop <= max(_NOISE_FACTOR * curve.noise_when_smoothed, _LEAST_DROP * abs(level)):
        advice = "lower min_lr" if curve.ended_early else "raise max_lr"
        raise NoBoundaryError(
            f"The loss never falls between {lrs[0]:.1e} and {lrs[-1]:.1e}: {advice}."
        )
    return curve


def _on_logarithmic_grid(lrs: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve at as many rates with equal ratios, each the nearest that was measured."""
    grid = np.geomspace(lrs[0], lrs[-1], len(lrs))
    if np.allclose(lrs, grid):
        return lrs, losses
    middles = np.sqrt(lrs[1:] * lrs[:-1])
    return grid, losses[:, np.searchsorted(middles, grid)]


def _n_rates_at_level(n: int) -> int:
    """Return how many rates tell the level of the loss before it falls."""
    return max(FEWEST_RATES // 2, n // 20)
