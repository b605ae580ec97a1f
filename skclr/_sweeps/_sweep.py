"""Sweeps of the learning rate on clones of an estimator, as arrays."""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import skorch
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import check_random_state
from torch.utils.data import Dataset

from skclr._process import flushable_streams, speaks_for_all
from skclr._progress import Progress, Ticker, progress
from skclr._sweeps._curve import (
    FEWEST_RATES,
    NoBoundaryError,
    falling_curve,
    moving_part,
)
from skclr._training import check_net, fit_clone, labels_for, parameter_names
from skclr.callbacks import IteratorStandIn, LRRangeTest

_RATES_PER_DECADE = 23  # five sweeps over the default range stay below 938, one epoch's updates
_WHOLE = 2  # sweeps over all rates; those after them go over the rates at which the loss moves


@dataclass(frozen=True)
class Sweeps:
    """What several sweeps over the same rates measured.

    Parameters
    ----------
    lrs : ndarray of shape (n_lrs,)
        Learning rates, ascending.
    losses, smoothed : ndarray of shape (n_sweeps, n_lrs)
        The training loss at each rate, as measured and smoothed as the sweep went on; NaN before a
        sweep begins and after it has ended.
    base_lr, max_lr : float or None
        The boundaries read off the curve; None where it does not have them.
    reasons : tuple of str
        Why a boundary is None, and which bound of the sweep to move.
    """

    lrs: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    base_lr: float | None
    max_lr: float | None
    reasons: tuple[str, ...]


def measure_sweeps(
    estimator: skorch.NeuralNet,
    X: ArrayLike | Dataset,
    y: ArrayLike | None,
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
    known: MutableMapping[int, tuple[list[float], list[float]]] | None = None,
) -> Sweeps:
    """Sweep the learning rate on clones; the parameters are those of `skclr.lr_range_test`.

    Sweeps that are `known` by their seeds are not made again, and those that are made are added,
    each when it has ended.

    The caller warns of the `reasons`, since it knows which line of the user's called it.
    """
    check_net(estimator, sample_weight)
    if not (isinstance(n_repeats, Integral) and n_repeats >= 1):
        raise ValueError(f"n_repeats must be an integer of at least 1, got {n_repeats!r}.")
    sweep = LRRangeTest(min_lr=min_lr, max_lr=max_lr, n_iter=n_iter, mode=mode)
    sweep.check()
    if n_iter is None:
        n_iter = max(100, round(math.log10(max_lr / min_lr) * _RATES_PER_DECADE))
    if n_iter < FEWEST_RATES:
        raise ValueError(f"n_iter must be None or at least {FEWEST_RATES}, got {n_iter!r}.")
    y = labels_for(estimator, X, y)
    space = np.linspace if mode == "linear" else np.geomspace
    lrs = space(min_lr, max_lr, n_iter)
    shown = bool(verbose) and speaks_for_all(estimator)
    random_state = check_random_state(random_state)
    seeds = draw_seeds(random_state, n_repeats)
    with progress(n_repeats, "sweeps", show=shown) as bar, flushable_streams():
        sweeper = _Sweeper(estimator, (X, y, sample_weight), sweep, lrs, bar, n_jobs, known)
        rows = sweeper.rows(seeds[:_WHOLE], slice(0, n_iter))
        if n_repeats > _WHOLE:
            losses, _ = rows
            part = moving_part(lrs, losses) if mode == "exp" else slice(0, n_iter)
            n_more = (n_repeats - _WHOLE) * n_iter // (part.stop - part.start)
            seeds += draw_seeds(random_state, n_more - len(seeds[_WHOLE:]))
            rows = np.concatenate([rows, sweeper.rows(seeds[_WHOLE:], part)], axis=1)
    return read_sweeps(lrs, *rows)


class _Sweeper:
    """Makes sweeps of clones, each over a part of the rates, as rows over all of them."""

    def __init__(
        self,
        estimator: skorch.NeuralNet,
        data: tuple[ArrayLike | Dataset, ArrayLike | None, ArrayLike | None],
        sweep: LRRangeTest,
        lrs: np.ndarray,
        bar: Progress,
        n_jobs: int | None,
        known: MutableMapping[int, tuple[list[float], list[float]]] | None,
    ):
        self._unfitted = clone(estimator)  # no weights travel to the processes
        self._data = data
        self._sweep = sweep
        self._lrs = lrs
        self._bar = bar
        self._n_jobs = n_jobs
        self._known = {} if known is None else known

    def rows(self, seeds: list[int], part: slice) -> np.ndarray:
        """Return losses and smoothed losses, of shape (2, n_seeds, n_lrs), NaN but in the part."""
        rates, known = self._lrs[part], self._known
        sweep = clone(self._sweep)
        sweep.set_params(min_lr=rates[0], max_lr=rates[-1], n_iter=len(rates))
        ticker = self._bar.ticker(per_epoch=0, per_training=len(rates) / len(self._lrs))
        todo = [seed for seed in dict.fromkeys(seeds) if seed not in known]
        made = Parallel(n_jobs=self._n_jobs, return_as="generator")(
            delayed(_sweep_once)(
                self._unfitted, clone(sweep), len(rates), clone(ticker), *self._data, seed
            )
            for seed in todo
        )
        for seed, run in zip(todo, made, strict=True):
            known[seed] = run
        rows = np.full((2, len(seeds), len(self._lrs)), np.nan)
        for place, seed in enumerate(seeds):
            for row, sequence in zip(rows[:, place], known[seed], strict=True):
                row[part.start : part.start + len(sequence)] = sequence
        rows[~np.isfinite(rows)] = np.nan
        return rows


def read_sweeps(lrs: np.ndarray, losses: np.ndarray, smoothed: np.ndarray) -> Sweeps:
    """Return sweeps with the boundaries that are read off them."""
    return Sweeps(lrs, losses, smoothed, *_read_boundaries(lrs, losses))


def draw_seeds(random_state: int | np.random.RandomState | None, n: int) -> list[int]:
    """Return so many seeds of trainings."""
    return check_random_state(random_state).randint(2**31, size=n).tolist()


def _sweep_once(
    estimator: skorch.NeuralNet,
    sweep: LRRangeTest,
    n_iter: int,
    ticker: Ticker,
    X: ArrayLike | Dataset,
    y: ArrayLike | None,
    sample_weight: ArrayLike | None,
    seed: int,
) -> tuple[list[float], list[float]]:
    """Return the losses and the smoothed losses of one sweep."""
    callbacks = [("range_test", sweep), ("progress", ticker)]
    whole = clone(estimator).set_params(iterator_train=_WholeBatches(estimator.iterator_train))
    net = fit_clone(whole, callbacks, n_iter, X, y, seed, sample_weight=sample_weight)
    sweep = dict(net.callbacks_)["range_test"]
    if sweep.stopped_ is None:
        raise ValueError(
            f"A sweep ended after {len(sweep.losses_)} of {n_iter} updates, and not because of its "
            "loss: either something stopped the training, or its epochs have no batches."
        )
    return sweep.losses_, sweep.smoothed_losses_


class _WholeBatches(IteratorStandIn):
    """Leaves a last, smaller batch out, where the data make a whole one.

    The loss of a few samples is noisier, and their update as large as any: at a high rate one of
    them can end a sweep.
    """

    def __call__(self, dataset: Any, **kwargs: Any) -> Any:
        if "drop_last" in parameter_names(self.own) and kwargs.get("batch_sampler") is None:
            try:
                drops = len(dataset) >= kwargs["batch_size"]
            except TypeError:  # a stream of samples, of which nobody knows how many there are
                drops = False
            kwargs |= {"drop_last": True} if drops else {}
        return super().__call__(dataset, **kwargs)


def _read_boundaries(
    lrs: np.ndarray, losses: np.ndarray
) -> tuple[float | None, float | None, tuple[str, ...]]:
    """Return both boundaries, and why one is None."""
    try:
        curve = falling_curve(lrs, losses)
    except NoBoundaryError as reason:
        return None, None, (str(reason),)
    boundaries: list[float | None] = []
    reasons = []
    for read in (curve.start_of_fall, curve.top_of_basin):
        try:
            boundaries.append(read())
        except NoBoundaryError as reason:
            boundaries.append(None)
            reasons.append(str(reason))
    base_lr, max_lr = boundaries
    return base_lr, max_lr, tuple(reasons)
