"""The picture of a training: loss and accuracy against the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from skclr.displays._checks import read_history
from skclr.displays._style import (
    BLUE,
    GREY,
    SIDE_BY_SIDE,
    THICK,
    add_legend,
    check_axes,
    distinct_colors,
    merge_style,
    new_axes,
    tick_whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


class HistoryDisplay:
    """Loss and accuracy of each epoch, for training and validation, side by side.

    What to look for: curves that are still falling (loss) or rising (accuracy) at the end would
    gain from more epochs. Where the validation loss turns up while the training loss falls on, the
    model begins to learn its training data by heart. With cyclical rates the curves swing: judge
    them where the rate is at its low point. A training loss above the validation loss is usual
    with augmentation, which makes the training images the harder ones, and in the first epochs,
    because the training loss is a mean over the epoch and the other one is taken at its end.

    Parameters
    ----------
    history : DataFrame or dict of str to DataFrame
        A row an epoch, with the columns ``epoch`` and ``train_loss`` and, where there are any,
        ``valid_loss``, ``train_acc`` and ``valid_acc``, as
        :meth:`skclr.CLRLeNetClassifier.history_frame` gives it. A dict compares several, by name.

    Attributes
    ----------
    axes_ : ndarray of 2 matplotlib Axes
        Axes with the loss and with the accuracy.
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
        Figure containing the axes.
    lines_ : list of matplotlib Line2D
        The curves, dashed for training, solid for validation, the same colour for the same name.
        A curve that is all NaN is left out.
    legend_ : matplotlib Legend or None
        The legend; None where nothing was drawn.

    Raises
    ------
    ValueError
        If there is no history, or one without rows or without a column that is needed.

    Examples
    --------
    >>> import pandas as pd
    >>> from skclr.displays import HistoryDisplay
    >>> history = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [1.2, 0.7, 0.5],
    ...                         "valid_loss": [0.9, 0.7, 0.6], "valid_acc": [0.7, 0.78, 0.81]})
    >>> display = HistoryDisplay({"one run": history}).plot()
    >>> [line.get_label() for line in display.lines_]
    ['one run, training', 'one run, validation', 'one run, validation']
    """

    def __init__(self, history: pd.DataFrame | Mapping[str, pd.DataFrame]):
        self.history = history
        frames = self._frames()
        if not frames:
            raise ValueError("history must hold at least one DataFrame.")
        for frame in frames.values():
            columns = list(getattr(frame, "columns", []))
            if not {"epoch", "train_loss"} <= set(columns) or not len(frame):
                raise ValueError(
                    "history must be a DataFrame, or a dict of them, with rows and the columns "
                    f"'epoch' and 'train_loss', got the columns {columns}."
                )

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, axes: Sequence[Axes] | None = None
    ) -> HistoryDisplay:
        """Draw the history of a fitted classifier.

        Parameters
        ----------
        estimator : CLRLeNetClassifier
            A fitted classifier; its ``history_frame`` is read.
        name : str or None, default=None
            What the curves are called in the legend.
        axes : sequence of 2 matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        display : HistoryDisplay
            The picture.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skclr import CLRLeNetClassifier
        >>> from skclr.displays import HistoryDisplay
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = CLRLeNetClassifier(max_epochs=2, validation_fraction=0.2, random_state=0)
        >>> display = HistoryDisplay.from_estimator(clf.fit(X, y))
        >>> len(display.lines_)
        4
        """
        frame = read_history(estimator, "epoch")
        return cls(frame if name is None else {name: frame}).plot(axes=axes)

    def plot(
        self, axes: Sequence[Axes] | None = None, *, line_kw: Mapping[str, Any] | None = None
    ) -> HistoryDisplay:
        """Draw the picture.

        Parameters
        ----------
        axes : sequence of 2 matplotlib Axes or None, default=None
            Where to draw loss and accuracy; None: a new figure.
        line_kw : dict or None, default=None
            Passed to ``ax.plot`` for all curves, over what is the default.

        Returns
        -------
        display : HistoryDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `axes` are not two.
        """
        from matplotlib.lines import Line2D

        own_figure = axes is None
        if own_figure:
            self.axes_ = new_axes(SIDE_BY_SIDE, n_columns=2)
        else:
            self.axes_ = check_axes(axes, 2, "axes")
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure

        frames = self._frames()
        colors = dict(zip(frames, distinct_colors(len(frames)), strict=True))
        panels = (("loss", "loss (mean over samples)"), ("acc", "accuracy (fraction right)"))
        self.lines_: list[Line2D] = []
        for ax, (measure, label) in zip(self.axes_, panels, strict=True):
            lines = [
                line
                for name, frame in frames.items()
                for line in self._draw(ax, name, frame, measure, colors[name], line_kw)
            ]
            if not lines:
                ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center", color=GREY)
            self.lines_ += lines
            ax.set_xlabel("epoch")
            ax.set_ylabel(label)
            tick_whole_numbers(ax.xaxis)

        names = [
            Line2D([], [], color=color, label=str(name), **THICK)
            for name, color in colors.items()
            if name is not None
        ]
        drawn = {line.get_linestyle() for line in self.lines_}
        styles: tuple[tuple[str, Any], ...] = (("training", "--"), ("validation", "-"))
        parts = [
            Line2D([], [], color=GREY if names else BLUE, label=part, linestyle=style)
            for part, style in styles
            if style in drawn
        ]
        self.legend_ = add_legend(self.axes_, own_figure, handles=names + parts)
        return self

    def _frames(self) -> Mapping[Any, pd.DataFrame]:
        return self.history if isinstance(self.history, Mapping) else {None: self.history}

    @staticmethod
    def _draw(
        ax: Axes,
        name: str | None,
        frame: pd.DataFrame,
        measure: str,
        color: Any,
        line_kw: Mapping[str, Any] | None,
    ) -> list[Line2D]:
        lines: list[Line2D] = []
        for split, part, linestyle in (("train", "training", "--"), ("valid", "validation", "-")):
            column = f"{split}_{measure}"
            if column not in frame or frame[column].isna().all():
                continue
            style = {
                "color": color,
                "linestyle": linestyle,
                "linewidth": 1.8,
                "marker": "o" if len(frame) <= 20 else None,
                "markersize": 3.5,
                "label": part if name is None else f"{name}, {part}",
            }
            lines += ax.plot(frame["epoch"], frame[column], **merge_style(style, line_kw))
        return lines
