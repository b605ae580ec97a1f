"""The result of a comparison: every run, and what can be said of their differences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from skclr.comparison._statistics import (
    cost_in_words,
    holm,
    mean_with_interval,
    paired_test,
    verdict,
)
from skclr.comparison._store import RunStore
from skclr.comparison._tables import COUNTS, MEASURES

if TYPE_CHECKING:  # matplotlib is imported when something is drawn
    from matplotlib.axes import Axes

    from skclr.displays import ComparisonDisplay


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
        What a failed run has not measured is NaN. Seconds are those of training alone, with the
        measurements that a batch schedule goes by. Both losses
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
        ``p_value`` and ``p_value_holm``, those of :meth:`differences`.
        """
        rows = {name: self._summarized(name) for name in self.candidates}
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("candidate")
        table = table.astype({"n_runs": int, "n_failed": int})
        differences = self.differences().rename(
            columns={"low": "difference_low", "high": "difference_high"}
        )
        columns = ["difference", "difference_low", "difference_high", "p_value", "p_value_holm"]
        return table.join(differences[columns])

    def _summarized(self, name: str) -> dict[str, Any]:
        of_candidate = self.runs[self.runs["candidate"] == name]
        succeeded = of_candidate[of_candidate["status"] == "ok"]
        row: dict[str, Any] = {
            "n_runs": len(succeeded),
            "n_failed": len(of_candidate) - len(succeeded),
        }
        for measure in MEASURES:
            row[measure], row[f"{measure}_low"], row[f"{measure}_high"] = mean_with_interval(
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
        rows = {name: paired_test(values[name], values[reference]) for name in others}
        columns = ["n_pairs", "difference", "low", "high", "p_value"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        table["p_value_holm"] = holm(table["p_value"].to_numpy(dtype=float))
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
        found = verdict(candidate, reference, differences.loc[candidate], len(differences))
        return found + self._cost(candidate, reference) + "."

    def _cost(self, candidate: str, reference: str) -> str:
        updates, seconds = (
            self._by_seed(measure)[[candidate, reference]].dropna().mean()
            for measure in ("updates", "seconds")
        )
        return cost_in_words(updates, seconds, candidate, reference)

    def _by_seed(self, measure: str) -> pd.DataFrame:
        """Return a row a seed and a column a candidate, NaN where a run failed."""
        succeeded = self.runs[self.runs["status"] == "ok"]
        values = succeeded.pivot(index="seed", columns="candidate", values=measure)
        return values.reindex(columns=self.candidates)

    def plot(self, axes: Sequence[Axes] | None = None) -> ComparisonDisplay:
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
