"""The picture of a comparison: accuracies, and differences paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skclr.displays._style import (
    GREY,
    SIDE_BY_SIDE,
    add_legend,
    check_axes,
    distinct_colors,
    merge_style,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.lines import Line2D


class ComparisonDisplay:
    """Test accuracy of each candidate with each seed, and the differences between them.

    What to look for: on the left, how far the seeds of one candidate lie apart; that is what chance
    does to a single run. On the right, whether the interval of a difference leaves out zero. It
    can be much shorter than the intervals on the left: the seeds of two candidates pair, and what
    a seed does to both of them alike cancels. An interval around zero says how much of a
    difference could have been missed.

    Parameters
    ----------
    runs : DataFrame
        A row a candidate and seed, with the columns ``candidate``, ``seed``, ``status`` and
        ``test_accuracy``, as the runs of :class:`skclr.ScheduleComparison` have them.
    summary : DataFrame
        Indexed by candidate, the first one that with which the others are compared, with the
        columns of :attr:`skclr.ScheduleComparison.summary`.

    Attributes
    ----------
    axes_ : ndarray of 2 matplotlib Axes
        Axes with the accuracies and with the differences.
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
        Figure containing the axes.
    lines_ : list of matplotlib Line2D
        The points of the seeds: accuracies of each candidate that has any, then its differences.
    intervals_ : list of matplotlib ErrorbarContainer
        Means with 95 % intervals, in the same order; without bars where there is a single seed.
    legend_ : matplotlib Legend
        The legend.

    Raises
    ------
    ValueError
        If there are no runs, a column is missing, or no run has succeeded.

    See Also
    --------
    skclr.compare_schedules : Makes a comparison, which has both tables.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skclr import CLRLeNetClassifier, compare_schedules
    >>> X, y = load_digits(return_X_y=True)
    >>> candidates = {
    ...     schedule: CLRLeNetClassifier(schedule=schedule, step_size=1, max_epochs=2)
    ...     for schedule in ("constant", "triangular")}
    >>> comparison = compare_schedules(candidates, X[:300], y[:300], X[300:], y[300:], seeds=2)
    >>> display = comparison.plot()
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['constant', 'triangular']
    """

    def __init__(self, runs: pd.DataFrame, summary: pd.DataFrame):
        for name, frame, needed in (
            ("runs", runs, ["candidate", "seed", "status", "test_accuracy"]),
            ("summary", summary, [
                "test_accuracy", "test_accuracy_low", "test_accuracy_high",
                "difference", "difference_low", "difference_high", "p_value_holm",
            ]),
        ):  # fmt: skip
            missing = [column for column in needed if column not in getattr(frame, "columns", [])]
            if missing or not len(frame):
                raise ValueError(f"{name} must have rows and the columns {needed}; no {missing}.")
        if not (runs["status"] == "ok").any():
            raise ValueError("runs must hold at least one that has succeeded.")
        self.runs = runs
        self.summary = summary

    @classmethod
    def from_comparison(
        cls, comparison: Any, *, axes: Sequence[Axes] | None = None
    ) -> ComparisonDisplay:
        """Draw a comparison.

        Parameters
        ----------
        comparison : ScheduleComparison
            What :func:`skclr.compare_schedules` returned.
        axes : sequence of 2 matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        display : ComparisonDisplay
            The picture.
        """
        return cls(comparison.runs, comparison.summary).plot(axes=axes)

    def plot(
        self, axes: Sequence[Axes] | None = None, *, line_kw: Mapping[str, Any] | None = None
    ) -> ComparisonDisplay:
        """Draw the picture.

        Parameters
        ----------
        axes : sequence of 2 matplotlib Axes or None, default=None
            Where to draw accuracies and differences; None: a new figure.
        line_kw : dict or None, default=None
            Passed to ``ax.plot`` for the points, over what is the default.

        Returns
        -------
        display : ComparisonDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `axes` are not two.
        """
        own_figure = axes is None
        names = list(self.summary.index)
        if own_figure:
            size = (SIDE_BY_SIDE[0], max(SIDE_BY_SIDE[1], 1.6 + 0.45 * len(names)))
            self.axes_ = new_axes(size, n_columns=2)
        else:
            self.axes_ = check_axes(axes, 2, "axes")
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure

        values = self.runs[self.runs["status"] == "ok"].pivot(
            index="seed", columns="candidate", values="test_accuracy"
        )
        values = values.reindex(columns=names)
        differences = 100 * values.sub(values[names[0]], axis=0)
        colors = distinct_colors(len(names))
        self.lines_: list[Line2D] = []
        self.intervals_: list[ErrorbarContainer] = []
        for place, name in enumerate(names):
            row = self.summary.loc[name]
            mark = partial(self._draw, place=place, color=colors[place], line_kw=line_kw)
            accuracy = row[["test_accuracy", "test_accuracy_low", "test_accuracy_high"]]
            mark(self.axes_[0], values[name], accuracy)
            if place:
                difference = row[["difference", "difference_low", "difference_high"]]
                mark(self.axes_[1], differences[name], 100 * difference)
        self._label(names)
        self.legend_ = add_legend(self.axes_, own_figure, handles=self._handles())
        return self

    def _draw(
        self,
        ax: Axes,
        values: pd.Series,
        estimate: pd.Series,
        *,
        place: int,
        color: Any,
        line_kw: Mapping[str, Any] | None,
    ) -> None:
        """Draw the points of the seeds, and below them their mean with its interval."""
        values = values.dropna()
        mean, low, high = estimate.to_numpy(dtype=float)
        if not len(values):
            ax.text(0.5, place, "all failed", transform=ax.get_yaxis_transform(), ha="center",
                    va="center", color=GREY)  # fmt: skip
            return
        style = {
            "linestyle": "none", "marker": "o", "markersize": 5, "markerfacecolor": "none",
            "color": color, "alpha": 0.8, "label": "one seed",
        }  # fmt: skip
        self.lines_ += ax.plot(
            values, np.full(len(values), place - 0.14), **merge_style(style, line_kw)
        )
        reach = None if math.isnan(low) else [[mean - low], [high - mean]]
        self.intervals_.append(
            ax.errorbar(
                mean, place + 0.14, xerr=reach, fmt="D", markersize=5.5, capsize=4,
                linewidth=2, color=color, label="mean, 95 % interval",
            )
        )  # fmt: skip

    def _label(self, names: list[str]) -> None:
        from matplotlib.ticker import MaxNLocator

        for ax, label in zip(
            self.axes_,
            ("test accuracy", f"difference to {names[0]}\n(percentage points, paired by seed)"),
            strict=True,
        ):
            ax.set_ylim(len(names) - 0.5, -0.5)
            ax.set_xlabel(label)
            ax.grid(axis="x", alpha=0.3)
            ax.xaxis.set_major_locator(MaxNLocator(5))  # labels of four characters or more
        self.axes_[0].set_yticks(range(len(names)), labels=names)
        self.axes_[0].set_ylabel("candidate")
        right = self.axes_[1]
        right.axvline(0, color=GREY, linewidth=1, linestyle="--")
        right.set_yticks(range(len(names)), labels=[self._p_value(name) for name in names])
        right.yaxis.tick_right()
        right.yaxis.set_label_position("right")
        right.set_ylabel("p-value, corrected (Holm)")

    def _p_value(self, name: str) -> str:
        value = self.summary.loc[name, "p_value_holm"]
        if math.isnan(value):
            return ""
        return "< 0.001" if value < 0.001 else f"{value:.2g}"

    def _handles(self) -> list[Line2D]:
        """Return marks in grey, which belong to no candidate."""
        from matplotlib.lines import Line2D

        point: dict[str, Any] = {"linestyle": "none", "marker": "o", "markerfacecolor": "none"}
        mean: dict[str, Any] = {"linestyle": "-", "linewidth": 2, "marker": "D", "markersize": 5.5}
        return [
            Line2D([], [], color=GREY, label="one seed", **point),
            Line2D([], [], color=GREY, label="mean and its 95 % interval", **mean),
        ]
