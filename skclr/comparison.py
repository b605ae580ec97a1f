"""Schedules compared over several seeds: an answer with its uncertainty."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import skorch
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from skorch.callbacks import Callback
from skorch.dataset import get_len, unpack_data

from skclr._process import isolated_generators, one_thread
from skclr._progress import progress
from skclr._store import COUNTS, MEASURES, RunStore
from skclr.classifier import (
    CLRLeNetClassifier,
    _encode,
    _raised_by_callback,
)
from skclr.exceptions import DivergenceError

__all__ = ["ScheduleComparison", "compare_schedules"]

_CONFIDENCE = 0.95
_MEASURED_IF_ASKED = ("noise_scale", "squared_gradient", "gradient_variance")


@dataclass
class ScheduleComparison:
    """What a comparison found: every run, and what can be said of their differences.

    Parameters
    ----------
    runs : DataFrame
        A row a candidate and seed: ``candidate``, ``seed``, ``status`` ("ok" or "failed"),
        ``test_accuracy``, ``test_loss``, ``train_loss``, ``gap`` (test loss less training loss),
        ``seconds``, ``epochs``, ``updates``, ``samples`` (seen in training, an image as often as it
        was seen), ``initial_weights`` (a digest, the same for all that began alike), ``error``.
        What a failed run has not measured is NaN. Seconds are those of training alone. Both losses
        are means over the samples, with the final weights, in evaluation mode, without
        augmentation.
    history : DataFrame
        A row an epoch of each run: ``candidate``, ``seed``, ``epoch`` (from 1), ``lr`` (of its last
        update), ``batch_size``, ``updates``, ``train_loss`` (mean over the epoch, as training went
        on, with augmentation), ``test_loss``, ``test_accuracy``, ``seconds``, and
        ``noise_scale``, ``squared_gradient``, ``gradient_variance`` where a
        :class:`~skclr.GradientNoiseScale` measured them.

    Attributes
    ----------
    summary : DataFrame
        A row a candidate; see there.

    See Also
    --------
    compare_schedules : Makes one.
    skclr.displays.ComparisonDisplay : Draws one.

    Examples
    --------
    >>> import pandas as pd
    >>> from skclr import ScheduleComparison
    >>> runs = pd.DataFrame({
    ...     "candidate": ["halving", "doubling"] * 3, "seed": [0, 0, 1, 1, 2, 2], "status": "ok",
    ...     "test_accuracy": [0.900, 0.901, 0.896, 0.898, 0.903, 0.903], "test_loss": 0.3,
    ...     "train_loss": 0.2, "gap": 0.1, "seconds": [2.0, 1.0] * 3, "epochs": 4,
    ...     "updates": [400, 100] * 3, "samples": 6400, "initial_weights": "", "error": ""})
    >>> comparison = ScheduleComparison(runs, pd.DataFrame())
    >>> comparison.differences()[["difference", "low", "high", "p_value"]].round(4)
    ... # doctest: +NORMALIZE_WHITESPACE
               difference     low    high  p_value
    candidate
    doubling        0.001 -0.0015  0.0035   0.2254
    >>> print(comparison.in_words("doubling"))  # doctest: +NORMALIZE_WHITESPACE
    doubling matches halving within 0.4 points of test accuracy (difference +0.10 points, 95 %
    interval -0.15 to +0.35 in 3 seeds, p = 0.23), with 4.0 times fewer updates and 0.50 of the
    time.
    """

    runs: pd.DataFrame = field(repr=False)
    history: pd.DataFrame = field(repr=False)

    @classmethod
    def from_csv(cls, store: str | os.PathLike) -> ScheduleComparison:
        """Read what `compare_schedules` has written to a store.

        Parameters
        ----------
        store : path
            The file that was its `store`.

        Returns
        -------
        comparison : ScheduleComparison
            All runs that are in it.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no store of a comparison.
        """
        store = Path(store)
        if not store.exists():
            raise FileNotFoundError(f"There is no {store}.")
        return cls(*RunStore(store).read().frames())

    @property
    def candidates(self) -> list[str]:
        """The names of the candidates, the one that the others are compared with first."""
        return list(dict.fromkeys(self.runs["candidate"]))

    @property
    def summary(self) -> pd.DataFrame:
        """What the seeds of each candidate have in common.

        Indexed by candidate, with ``n_runs`` (successful ones) and ``n_failed``; for
        ``test_accuracy``, ``test_loss``, ``train_loss``, ``gap`` and ``seconds`` the mean, and with
        ``_low`` and ``_high`` its 95 % interval (Student's t; NaN for a single run); the means of
        ``epochs``, ``updates`` and ``samples``; and for the test accuracy the paired
        ``difference`` to the first candidate with ``difference_low``, ``difference_high``,
        ``p_value`` and ``p_value_holm``, as :meth:`differences` tells them.
        """
        rows = {name: self._summarized(name) for name in self.candidates}
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("candidate")
        table = table.astype({"n_runs": int, "n_failed": int})
        differences = self.differences().rename(
            columns={"low": "difference_low", "high": "difference_high"}
        )
        columns = ["difference", "difference_low", "difference_high", "p_value", "p_value_holm"]
        return table.join(differences[columns])

    def _summarized(self, name):
        of_candidate = self.runs[self.runs["candidate"] == name]
        succeeded = of_candidate[of_candidate["status"] == "ok"]
        row = {"n_runs": len(succeeded), "n_failed": len(of_candidate) - len(succeeded)}
        for measure in MEASURES:
            row[measure], row[f"{measure}_low"], row[f"{measure}_high"] = _mean_with_interval(
                succeeded[measure]
            )
        return row | {count: succeeded[count].mean() for count in COUNTS}

    def differences(
        self, measure: str = "test_accuracy", *, reference: str | None = None
    ) -> pd.DataFrame:
        """Compare every other candidate with one, seed by seed.

        Parameters
        ----------
        measure : str, default="test_accuracy"
            A column of `runs`.
        reference : str or None, default=None
            The candidate that the others are compared with; None: the first one.

        Returns
        -------
        differences : DataFrame
            Indexed by candidate: ``n_pairs`` (seeds in which both succeeded), ``difference`` (the
            mean of candidate less reference), ``low`` and ``high`` (its 95 % interval, Student's
            t), ``p_value`` (paired two-sided t-test) and ``p_value_holm``, the same corrected for
            the number of candidates by Holm's method. The intervals are not corrected. NaN where
            there are fewer than two pairs, or nothing differs at all.

        Raises
        ------
        ValueError
            If there is no such measure or candidate.

        References
        ----------
        S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
        Statistics 6(2), 1979.
        """
        reference = self.candidates[0] if reference is None else reference
        if reference not in self.candidates:
            raise ValueError(f"reference must be one of {self.candidates}, got {reference!r}.")
        if measure not in (*MEASURES, *COUNTS):
            raise ValueError(f"measure must be one of {[*MEASURES, *COUNTS]}, got {measure!r}.")
        values = self._by_seed(measure)
        others = [name for name in self.candidates if name != reference]
        rows = {name: _paired(values[name], values[reference]) for name in others}
        columns = ["n_pairs", "difference", "low", "high", "p_value"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        table["p_value_holm"] = _holm(table["p_value"].to_numpy(dtype=float))
        return table.rename_axis("candidate").astype({"n_pairs": int})

    def in_words(self, candidate: str, *, reference: str | None = None) -> str:
        """Say what the seeds tell of a candidate's test accuracy and cost.

        Parameters
        ----------
        candidate : str
            Of whom.
        reference : str or None, default=None
            Compared with whom; None: the first candidate.

        Returns
        -------
        words : str
            One sentence. Accuracies differ where the p-value, corrected by Holm's method for the
            number of candidates, is below 0.05; otherwise they are said to agree within the farther
            end of the interval.

        Raises
        ------
        ValueError
            If there is no such candidate.
        """
        reference = self.candidates[0] if reference is None else reference
        differences = self.differences(reference=reference)
        if candidate not in differences.index:
            raise ValueError(
                f"candidate must be one of {list(differences.index)}, got {candidate!r}."
            )
        verdict = _verdict(candidate, reference, differences.loc[candidate], len(differences))
        return verdict + self._cost(candidate, reference) + "."

    def _cost(self, candidate, reference):
        updates, seconds = (
            self._by_seed(measure)[[candidate, reference]].dropna().mean()
            for measure in ("updates", "seconds")
        )
        ratio = updates[reference] / updates[candidate]
        if math.isnan(ratio):
            return ""
        if round(ratio, 1) == 1:
            made = "as many updates"
        else:
            made = f"{max(ratio, 1 / ratio):.1f} times {'fewer' if ratio > 1 else 'more'} updates"
        return f", with {made} and {seconds[candidate] / seconds[reference]:.2f} of the time"

    def _by_seed(self, measure):
        """Return a row a seed and a column a candidate, NaN where a run failed."""
        succeeded = self.runs[self.runs["status"] == "ok"]
        values = succeeded.pivot(index="seed", columns="candidate", values=measure)
        return values.reindex(columns=self.candidates)

    def plot(self, axes=None):
        """Draw accuracies and their differences.

        Parameters
        ----------
        axes : sequence of 2 matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        display : ComparisonDisplay
            The picture.
        """
        from skclr.displays import ComparisonDisplay

        return ComparisonDisplay.from_comparison(self, axes=axes)


# ---------------------------------------------------------------- statistics


def _mean_with_interval(values):
    """Return a mean with the 95 % interval of Student's t."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    if not n:
        return math.nan, math.nan, math.nan
    mean = float(values.mean())
    if n == 1:
        return mean, math.nan, math.nan
    half = stats.t.ppf((1 + _CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / math.sqrt(n)
    return mean, float(mean - half), float(mean + half)


def _paired(values, reference):
    """Return number of pairs, mean difference, its interval and the p-value of a paired t-test."""
    both = pd.DataFrame({"value": values, "reference": reference}).dropna()
    difference = both["value"] - both["reference"]
    p_value = math.nan
    if len(both) > 1 and difference.any():
        with warnings.catch_warnings():  # of seeds that all differ by the same
            warnings.simplefilter("ignore", RuntimeWarning)
            p_value = float(stats.ttest_rel(both["value"], both["reference"]).pvalue)
    return len(both), *_mean_with_interval(difference), p_value


def _holm(p_values):
    """Return p-values corrected by Holm's method; those that are NaN are of no test."""
    corrected = np.full(len(p_values), math.nan)
    tests = np.flatnonzero(~np.isnan(p_values))
    order = tests[np.argsort(p_values[tests], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return corrected


def _verdict(candidate, reference, row, n_tests):
    points = 100 * row["difference"]
    if not row["n_pairs"]:
        return f"{candidate} cannot be compared with {reference}: in no seed did both succeed"
    if row["n_pairs"] == 1:
        return (
            f"{candidate} differs from {reference} by {points:+.2f} points of test accuracy in a "
            "single seed, which does not tell how much of it is chance"
        )
    low, high = 100 * row["low"], 100 * row["high"]
    p_value = row["p_value_holm"]
    if math.isnan(p_value):
        told = "no p-value, as all seeds agree"
    else:
        told = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"
        told += f", Holm-corrected for {n_tests} comparisons" if n_tests > 1 else ""
    measured = f"95 % interval {low:+.2f} to {high:+.2f} in {row['n_pairs']:.0f} seeds, {told}"
    if p_value < 1 - _CONFIDENCE:
        more = "more" if points > 0 else "less"
        return (
            f"{candidate} is {abs(points):.2f} points {more} accurate than {reference} ({measured})"
        )
    within = math.ceil(10 * max(abs(low), abs(high)) - 1e-9) / 10
    return (
        f"{candidate} matches {reference} within {within:.1f} points of test accuracy "
        f"(difference {points:+.2f} points, {measured})"
    )


# ---------------------------------------------------------------- the comparison


def compare_schedules(
    candidates: Mapping[str, skorch.NeuralNet],
    X: ArrayLike,
    y: ArrayLike,
    X_test: ArrayLike,
    y_test: ArrayLike,
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
        They are cloned and not changed. The others are compared with the first one. With each seed
        as ``random_state``, a :class:`~skclr.CLRLeNetClassifier` is trained as its ``fit`` would
        train it; for any other net the global generators are seeded, and put back afterwards.
    X, y : array-like
        Training data, as the candidates take them.
    X_test, y_test : array-like
        Test data, judged after each epoch; training does not see them.
    seeds : int or sequence of int, default=5
        How many seeds, 0, 1, ..., or which ones.
    n_jobs : int or None, default=None
        Trainings at the same time, as in joblib; nothing but the seconds depends on it.
    store : path or None, default=None
        A CSV file to which runs are written as they come, with a row a run; their epochs stand
        beside it, in a file whose name ends in ``-epochs``. Where it already holds runs of this
        comparison, only those that are missing are trained, so an interrupted comparison goes on
        where it was, and more seeds or candidates can be added to a finished one. Failed runs are
        kept; to repeat one, delete its row.
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
    data = (X, y, X_test, y_test)
    _check_candidates(candidates, data)
    plan = [(name, seed) for seed in seeds for name in candidates]
    table = RunStore(None if store is None else Path(store))
    table.open(candidates, plan, data)
    todo = [run for run in plan if run not in table.rows]
    n_epochs = sum(candidates[name].max_epochs for name, _ in todo)
    with progress(n_epochs, show=bool(verbose) and bool(todo)) as bar:
        outcomes = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
            joblib.delayed(_run)(name, candidates[name], seed, bar.ticker(), data)
            for name, seed in todo
        )
        for row, epochs in outcomes:
            table.add(row, epochs)
        bar.stage("", n_epochs)  # a run that failed, or ended early, has not ticked to its end
    comparison = ScheduleComparison(*table.frames())
    _warn_of_failures(comparison.runs)
    return comparison


def _checked_seeds(seeds):
    if isinstance(seeds, Integral):
        if seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {seeds!r}.")
        return list(range(seeds))
    seeds = list(seeds)
    if not seeds or not all(isinstance(s, Integral) and 0 <= s < 2**32 for s in seeds):
        raise ValueError(
            f"seeds must be integers from 0 to 2**32 - 1, at least one, got {seeds!r}."
        )
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must all be different, got {seeds!r}.")
    return [int(seed) for seed in seeds]


def _check_candidates(candidates, data):
    if not isinstance(candidates, Mapping) or not candidates:
        raise ValueError(
            f"candidates must be a dict of names and classifiers, at least one, got {candidates!r}."
        )
    X, y, X_test, y_test = data
    for images, labels, name in ((X, y, "X"), (X_test, y_test, "X_test")):
        if labels is None:
            raise ValueError(
                f"{name} has no labels: those of a comparison stand beside the images."
            )
        if get_len(images) != len(labels):
            raise ValueError(
                f"{name} has {get_len(images)} samples, and {len(labels)} labels belong to it."
            )
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
        if isinstance(candidate, CLRLeNetClassifier):
            _check_own(name, candidate, data)


def _check_own(name, candidate, data):
    X, y, X_test, y_test = data
    probe = clone(candidate)
    try:
        probe._check_parameters()
        _, labels = probe._check_X_y(X, y, reset=True)
        _, test_labels = probe._check_X_y(X_test, y_test, reset=False)
        _encode(test_labels, np.unique(labels), "y_test")
    except ValueError as error:
        raise ValueError(f"Candidate {name!r}: {error}") from error


def _warn_of_failures(runs):
    failed = runs[runs["status"] == "failed"]
    if len(failed):
        first = failed.iloc[0]
        warnings.warn(
            f"{len(failed)} of {len(runs)} runs failed. The first, {first['candidate']!r} with "
            f"seed {first['seed']}: {first['error']}",
            FitFailedWarning,
            stacklevel=3,
        )


# ---------------------------------------------------------------- a run


def _run(name, candidate, seed, ticker, data):
    """Train a candidate with a seed; return its row and those of its epochs."""
    X, y, X_test, y_test = data
    watch = _Watch(X_test, y_test)
    net = _prepared(candidate, seed, watch, ticker)
    outcome = {"status": "ok", "error": ""}
    with isolated_generators(seed, device=net.device), one_thread():
        try:
            _fit(net, X, y)
            outcome |= watch.judge(net)
        except Exception as error:
            text = " ".join(str(error).split())
            outcome = {"status": "failed", "error": f"{type(error).__name__}: {text}"}
    run = {"candidate": name, "seed": seed}
    row = {
        **run,
        **dict.fromkeys(MEASURES, math.nan),
        **outcome,
        "seconds": watch.seconds,
        "epochs": len(watch.rows),
        "updates": watch.updates,
        "samples": watch.samples,
        "initial_weights": watch.initial_weights,
    }
    return row, [run | epoch for epoch in watch.told(net)]


def _prepared(candidate, seed, watch, ticker):
    """Return a clone, watched."""
    net = clone(candidate)
    own = net.callbacks if isinstance(net.callbacks, list) else []
    # the watch comes first: one of the others may end the training, and later ones are not told
    net.set_params(callbacks=[watch, *own, ticker], verbose=0)
    if isinstance(net, CLRLeNetClassifier):
        net.set_params(random_state=seed, warm_start=False)
    return net


def _fit(net, X, y):
    """Fit, and pass on a keyboard interrupt, which a plain skorch net takes for the end."""
    interrupts = []
    fit_loop = net.fit_loop

    def attentive(*args, **kwargs):
        try:
            return fit_loop(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            interrupts.append(interrupt)
            raise

    vars(net)["fit_loop"] = attentive
    try:
        net.fit(X, y)
    finally:
        del vars(net)["fit_loop"]
    for interrupt in interrupts:
        if not _raised_by_callback(interrupt):
            raise interrupt


class _Watch(Callback):
    """Count and time a training, and judge it on the test data after each epoch."""

    def __init__(self, X_test=None, y_test=None):
        self.X_test = X_test
        self.y_test = y_test

    def initialize(self):
        """Do nothing: one watch is of one training."""
        return self

    rows: Sequence[dict] = ()
    initial_weights = ""
    updates = samples = 0
    seconds = 0.0

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Note the weights that the training begins with."""
        self.rows = []
        state = net.module_.state_dict().values()
        self.initial_weights = joblib.hash([part.detach().cpu().numpy() for part in state])
        self.test_data = net.get_dataset(self.X_test, self.y_test)

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Begin to count and to time an epoch."""
        self.train_data = dataset_train
        self.before = self.updates
        self.sizes, self.losses = [], []
        self.began = self.last = time.perf_counter()

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        """Count an update; end a training whose loss is not finite, as plain skorch does not."""
        if not training:
            return
        self.last = time.perf_counter()
        row = net.history[-1]["batches"][-1]
        self.updates += 1
        self.samples += row["train_batch_size"]
        self.sizes.append(row["train_batch_size"])
        self.losses.append(row["train_loss"])
        if not math.isfinite(row["train_loss"]):
            self.seconds += self.last - self.began
            raise self._divergence(net, row["train_loss"])

    def _divergence(self, net, loss):
        return DivergenceError(len(net.history), self.updates - 1, _rate(net), loss)

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Judge the epoch."""
        if not self.sizes:
            return
        self.seconds += self.last - self.began
        loss, accuracy = _evaluated(net, self.test_data)
        self.rows.append(
            {
                "epoch": len(self.rows) + 1,
                "lr": _rate(net),
                "batch_size": net.history[-1].get("batch_size", max(self.sizes)),
                "updates": self.updates - self.before,
                "train_loss": float(np.average(self.losses, weights=self.sizes)),
                "test_loss": loss,
                "test_accuracy": accuracy,
                "seconds": self.last - self.began,
            }
        )

    def told(self, net):
        """Return the row of each epoch, with what later callbacks have measured."""
        recorded = getattr(net, "history", None) or [{}] * len(self.rows)
        return [
            row | {name: epoch.get(name, math.nan) for name in _MEASURED_IF_ASKED}
            for row, epoch in zip(self.rows, recorded, strict=False)
        ]

    def judge(self, net):
        """Return what the final weights are worth on test and on training data."""
        test_loss, accuracy = _evaluated(net, self.test_data)
        train_loss, _ = _evaluated(net, self.train_data)
        if not (math.isfinite(test_loss) and math.isfinite(train_loss)):
            raise self._divergence(net, train_loss)
        return {
            "test_accuracy": accuracy,
            "test_loss": test_loss,
            "train_loss": train_loss,
            "gap": test_loss - train_loss,
        }


def _rate(net):
    updates = [row for row in net.history[-1]["batches"] if "train_loss" in row]
    lr = updates[-1].get("event_lr") if updates else None
    return float(net.optimizer_.param_groups[0]["lr"] if lr is None else lr)


def _evaluated(net, dataset):
    """Return mean loss and accuracy on a data set, in evaluation mode."""
    loss, n_right, n_seen = 0.0, 0, 0
    with isolated_generators(device=net.device):
        for batch in net.get_iterator(dataset, training=False):
            step = net.validation_step(batch)
            targets = unpack_data(batch)[1]
            loss += step["loss"].item() * len(targets)
            n_right += _n_right(net, step["y_pred"], targets)
            n_seen += len(targets)
    return loss / n_seen, n_right / n_seen


def _n_right(net, y_pred, targets):
    scores = y_pred[0] if isinstance(y_pred, tuple) else y_pred
    if isinstance(net, skorch.NeuralNetBinaryClassifier):
        proba = net._get_predict_nonlinearity()(scores)
        predicted = (proba[:, 1] > net.threshold).long()
    else:
        predicted = scores.argmax(1)
    return (predicted == targets.to(predicted.device)).sum().item()
