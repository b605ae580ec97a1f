"""The comparison: candidates are checked, and trained with each seed, as far as is left to do."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, cast

import joblib
import pandas as pd
import skorch
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from torch.utils.data import Dataset

from skclr._process import flushable_streams
from skclr._progress import progress
from skclr.comparison._data import ComparedData
from skclr.comparison._result import ScheduleComparison
from skclr.comparison._store import RunStore
from skclr.comparison._trial import run_trial


def compare_schedules(
    candidates: Mapping[str, skorch.NeuralNet],
    X: ArrayLike | Dataset,
    y: ArrayLike | None = None,
    X_test: ArrayLike | Dataset | None = None,
    y_test: ArrayLike | None = None,
    *,
    seeds: int | Sequence[int] = 5,
    n_jobs: int | None = None,
    store: str | os.PathLike | None = None,
    verbose: int = 0,
) -> ScheduleComparison:
    """Train every candidate with every seed, and tell what the differences are worth.

    The candidates of one seed begin with the same weights, bit for bit, and see the samples in the
    same order, as far as their batch sizes and their use of the random generators (augmentation,
    dropout) let them: their differences pair, and chance that they share cancels.

    Parameters
    ----------
    candidates : dict of str to CLRLeNetClassifier or any skorch classifier
        They are cloned and not changed. The others are compared with the first one. Each seed is
        the ``random_state`` of a candidate that has one, so a :class:`~skclr.CLRLeNetClassifier` is
        trained as its ``fit`` would train it; for any other net the global generators are seeded,
        and put back afterwards.
    X, y : array-like, or torch Dataset and None
        Training data, as the candidates take them; a data set brings its labels.
    X_test, y_test : array-like, or torch Dataset and None
        Test data, judged after each epoch; training does not see them. They have no default:
        ``compare_schedules(candidates, train, X_test=test)`` compares on two data sets.
    seeds : int or sequence of int, default=5
        How many seeds, 0, 1, ..., or which ones.
    n_jobs : int or None, default=None
        Trainings at the same time, as in joblib; nothing but the seconds depends on it.
    store : path or None, default=None
        A CSV file to which runs are written as they come, with a row a run; their epochs stand
        beside it, in a file whose name ends in ``-epochs``. Where it already holds runs of this
        comparison, only those that are missing are trained, so an interrupted comparison goes on
        where it was, and more seeds or candidates can be added to a finished one. Data sets are
        known again by 64 of their samples and by their labels. Failed runs are
        kept; to repeat one, delete its row. Several processes may write to one store: each takes
        its turn with a lock, for which an empty hidden file, ``.runs.csv.lock`` for ``runs.csv``,
        stays beside the store.
    verbose : int, default=0
        Whether progress is shown on stderr.

    Returns
    -------
    comparison : ScheduleComparison
        `runs`, `summary`, `history` and `plot()`.

    Raises
    ------
    TypeError
        If a candidate is no skorch classifier, or its name no string.
    ValueError
        If a parameter or the data are not valid, or if the store holds something else than runs of
        this comparison: it is left as it is. Nothing has been trained then.
    TimeoutError
        If another process has kept the lock of the store for a minute.
    KeyboardInterrupt
        Passed on; the runs that were finished are in the store.

    Warns
    -----
    FitFailedWarning
        If runs failed, for example because the loss diverged. They are rows with the status
        "failed", and take part in no mean and in no difference.

    Notes
    -----
    With two jobs or more, the seconds are those of trainings side by side, on whatever cores they
    share. All of a seed's candidates are trained before the next seed's, so what is finished early
    already pairs.

    A `class_weight` of a candidate weighs its training, and the ``train_loss`` of its epochs. All
    that candidates are judged by counts every sample alike.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skclr import CLRLeNetClassifier, compare_schedules
    >>> X, y = load_digits(return_X_y=True)
    >>> alike = {"max_lr": 0.05, "batch_size": 32, "step_size": 1, "max_epochs": 3}
    >>> candidates = {
    ...     "halving": CLRLeNetClassifier(schedule="lr_halving", **alike),
    ...     "doubling": CLRLeNetClassifier(schedule="batch_doubling", **alike)}
    >>> comparison = compare_schedules(candidates, X[:500], y[:500], X[500:], y[500:], seeds=2)
    >>> comparison.summary[["n_runs", "n_failed", "updates", "samples"]]
    ... # doctest: +NORMALIZE_WHITESPACE
               n_runs  n_failed  updates  samples
    candidate
    halving         2         0     48.0   1500.0
    doubling        2         0     28.0   1500.0
    """
    seeds = _checked_seeds(seeds)
    data = _checked_data(candidates, ComparedData(X, y, X_test, y_test))
    plan = [(name, seed) for seed in seeds for name in candidates]
    table = RunStore(store)
    table.open(candidates, plan, data)
    todo = [run for run in plan if run not in table.rows]
    n_epochs = sum(candidates[name].max_epochs for name, _ in todo)
    with progress(n_epochs, show=bool(verbose) and bool(todo)) as bar, flushable_streams():
        outcomes = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
            joblib.delayed(run_trial)(name, clone(candidates[name]), seed, bar.ticker(), data)
            for name, seed in todo
        )
        for row, epochs in outcomes:
            table.add(row, epochs)
        bar.stage("", n_epochs)  # a run that failed, or ended early, has not ticked to its end
    comparison = ScheduleComparison(*table.frames())
    _warn_of_failures(comparison.runs)
    return comparison


def _checked_seeds(seeds: int | Sequence[int]) -> list[int]:
    if isinstance(seeds, Integral):
        if seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {seeds!r}.")
        return list(range(int(seeds)))
    seeds = list(cast(Sequence[int], seeds))
    if not seeds or not all(isinstance(s, Integral) and 0 <= s < 2**32 for s in seeds):
        raise ValueError(
            f"seeds must be integers from 0 to 2**32 - 1, at least one, got {seeds!r}."
        )
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must all be different, got {seeds!r}.")
    return [int(seed) for seed in seeds]


def _checked_data(candidates: Mapping[str, Any], data: ComparedData) -> ComparedData:
    """Return the data with labels, or raise unless every candidate can be trained on them."""
    if not isinstance(candidates, Mapping) or not candidates:
        raise ValueError(
            f"candidates must be a dict of names and classifiers, at least one, got {candidates!r}."
        )
    data.check()
    if any(map(_can_tell, candidates.values())):
        data = data.with_labels()
        data.check()
    for name, candidate in candidates.items():
        if not isinstance(name, str):
            raise TypeError(f"Candidates must have strings for names, got {name!r}.")
        if not isinstance(
            candidate, (skorch.NeuralNetClassifier, skorch.NeuralNetBinaryClassifier)
        ):
            raise TypeError(
                f"Candidate {name!r} must be a CLRLeNetClassifier or a skorch classifier, "
                f"got {candidate!r}."
            )
        if getattr(candidate, "distributed", False):
            raise ValueError(
                f"Candidate {name!r} has distributed=True, which shares one training among "
                "processes, and a comparison is many trainings: set distributed=False, and let "
                "n_jobs, or Dask, run several of them at the same time."
            )
        if _can_tell(candidate):
            _check_trainable(name, candidate, data)
    return data


def _can_tell(candidate: Any) -> bool:
    """Tell whether a candidate says by itself what it cannot be trained on."""
    return hasattr(candidate, "check_trainable_on")


def _check_trainable(name: str, candidate: Any, data: ComparedData) -> None:
    """Raise what a candidate that can tell has against its parameters or the data."""
    probe = clone(candidate)
    try:
        probe.check_trainable_on(*data)
    except ValueError as error:
        raise ValueError(f"Candidate {name!r}: {error}") from error


def _warn_of_failures(runs: pd.DataFrame) -> None:
    failed = runs[runs["status"] == "failed"]
    if len(failed):
        first = failed.iloc[0]
        warnings.warn(
            f"{len(failed)} of {len(runs)} runs failed. The first, {first['candidate']!r} with "
            f"seed {first['seed']}: {first['error']}",
            FitFailedWarning,
            stacklevel=3,
        )
