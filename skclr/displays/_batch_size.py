"""The picture of a growing batch: loss against its size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skclr.displays._checks import as_repeats, as_vector, check_positive, read_history
from skclr.displays._style import (
    BAND,
    BLUE,
    GREEN,
    GREY,
    ONE_ABOVE_THE_OTHER,
    ONE_PANEL,
    THICK,
    THREE_ABOVE_EACH_OTHER,
    VERMILLION,
    add_legend,
    check_axes,
    label_sizes,
    merge_style,
    new_axes,
    tick_whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D


class BatchSizeDisplay:
    """Training loss against the logarithm of the batch size, accuracy and noise scale below it.

    What to look for: how far the line falls from one size to the next. While it falls, a doubling
    still pays: it lowers the noise of the gradient, as halving the learning rate would. Where it
    runs level, a larger batch saves updates and improves nothing. The points above one size are
    its epochs, one after the other from the highest: a long column means that the size was left
    before it had settled, a short one that it was kept for too long. A loss that falls on while
    the accuracy stays is overfitting, not progress. The gradient's noise scale, where it was
    measured, stands against the epoch beside the batch size: as long as the batch is well below
    it, a doubling pays; where the two meet it begins to stop paying.

    Parameters
    ----------
    batch_size : array-like of shape (n_epochs,) or (n_seeds, n_epochs)
        The batch size of each epoch, in samples; several epochs may share one. It may differ
        between the seeds, as where a measurement decides on it.
    train_loss : array-like of shape (n_epochs,) or (n_seeds, n_epochs)
        The training loss of each epoch.
    test_accuracy : array-like of shape (n_epochs,) or (n_seeds, n_epochs), or None, default=None
        The accuracy on held-out data after each epoch, drawn in a panel below. None: no such
        panel.
    noise_scale : array-like of shape (n_epochs,) or (n_seeds, n_epochs), or None, default=None
        The gradient's noise scale after each epoch, in samples, as
        :class:`skclr.GradientNoiseScale` records it; infinite or NaN where it could not be told.
        Drawn in a panel of its own, against the epoch, where the median over the seeds is finite,
        in a band of the seeds in which it is. None: no such panel.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the training loss.
    axes_ : ndarray of 1 to 3 matplotlib Axes
        That one, the accuracy and the noise scale, where there are any.
    figure_ : matplotlib Figure
        Figure containing the axes.
    lines_ : list of matplotlib Line2D
        For each of loss and accuracy the mean of each size, over its epochs and the seeds; then the
        noise scale's median over the seeds, and the batch size beside it.
    points_ : list of matplotlib Line2D
        For each of loss and accuracy the points, one for each epoch and seed.
    fill_between_ : list of matplotlib PolyCollection
        For each panel the band from the lowest to the highest seed, and that of the batch size
        where the seeds differ in it; empty for a single seed.
    legend_ : matplotlib Legend
        The legend.

    Raises
    ------
    ValueError
        If the shapes do not match, a batch size is not above 0, or no noise scale is finite.

    References
    ----------
    S. L. Smith, P.-J. Kindermans, C. Ying and Q. V. Le, "Don't Decay the Learning Rate, Increase
    the Batch Size", ICLR 2018, arXiv:1711.00489.

    S. McCandlish, J. Kaplan, D. Amodei and the OpenAI Dota Team, "An Empirical Model of
    Large-Batch Training", 2018, arXiv:1812.06162.

    Examples
    --------
    >>> from skclr.displays import BatchSizeDisplay
    >>> batch_size = [32, 32, 64, 64, 128, 128]
    >>> train_loss = [0.80, 0.60, 0.45, 0.41, 0.36, 0.34]
    >>> display = BatchSizeDisplay(batch_size, train_loss).plot()
    >>> [label.get_text() for label in display.ax_.get_xticklabels()]
    ['32', '64', '128']
    >>> display.lines_[0].get_ydata().round(2).tolist()
    [0.7, 0.43, 0.35]
    """

    def __init__(
        self,
        batch_size: ArrayLike,
        train_loss: ArrayLike,
        *,
        test_accuracy: ArrayLike | None = None,
        noise_scale: ArrayLike | None = None,
    ):
        sizes = np.asarray(batch_size, dtype=float)
        if sizes.ndim != 2 or not sizes.size:
            sizes = as_vector(batch_size, "batch_size")
        self.batch_size = check_positive(sizes, "batch_size")
        self.train_loss = self._by_seed(train_loss, "train_loss")
        self.test_accuracy: np.ndarray | None = None
        if test_accuracy is not None:
            self.test_accuracy = self._by_seed(test_accuracy, "test_accuracy")
        self.noise_scale: np.ndarray | None = None
        if noise_scale is not None:
            self.noise_scale = self._by_seed(noise_scale, "noise_scale")
            if not np.isfinite(self.noise_scale).any():
                raise ValueError("noise_scale must hold at least one finite value.")

    def _by_seed(self, values: ArrayLike, name: str) -> np.ndarray:
        n_epochs = self.batch_size.shape[-1]
        array = as_repeats(values, name, n_epochs, "batch_size")
        if self.batch_size.ndim == 2 and len(array) != len(self.batch_size):
            raise ValueError(
                f"{name} must have a row for each of the {len(self.batch_size)} seeds of "
                f"batch_size, got {len(array)}."
            )
        return array

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Axes | Sequence[Axes] | None = None
    ) -> BatchSizeDisplay:
        """Draw training loss, validation accuracy and noise scale of a fitted classifier.

        Parameters
        ----------
        estimator : CLRLeNetClassifier
            A fitted classifier; its ``history_frame`` is read. ``valid_acc``, where it was
            recorded, is the accuracy, and ``noise_scale`` of its ``history`` the noise scale.
        ax : matplotlib Axes, sequence of matplotlib Axes or None, default=None
            Where to draw, as many as there are panels; None: a new figure.

        Returns
        -------
        display : BatchSizeDisplay
            The picture.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skclr import CLRLeNetClassifier
        >>> from skclr.displays import BatchSizeDisplay
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = CLRLeNetClassifier(schedule="batch_doubling", batch_size=128, step_size=1,
        ...                          max_epochs=2, random_state=0)
        >>> display = BatchSizeDisplay.from_estimator(clf.fit(X, y))
        >>> display.batch_size.tolist()
        [128.0, 256.0]
        """
        frame = read_history(estimator, "epoch")
        accuracy = None if frame["valid_acc"].isna().all() else frame["valid_acc"]
        noise = [epoch.get("noise_scale", math.nan) for epoch in estimator.history]
        display = cls(
            frame["batch_size"],
            frame["train_loss"],
            test_accuracy=accuracy,
            noise_scale=noise if np.isfinite(noise).any() else None,
        )
        return display.plot(ax=ax)

    @classmethod
    def from_comparison(
        cls, comparison: Any, candidate: str, *, ax: Axes | Sequence[Axes] | None = None
    ) -> BatchSizeDisplay:
        """Draw a candidate of a comparison, with its seeds as a band.

        Parameters
        ----------
        comparison : ScheduleComparison
            Its ``history`` is read.
        candidate : str
            The name of the candidate. Seeds that did not come to the last epoch are left out.
        ax : matplotlib Axes, sequence of matplotlib Axes or None, default=None
            Where to draw, as many as there are panels; None: a new figure.

        Returns
        -------
        display : BatchSizeDisplay
            The picture.

        Raises
        ------
        ValueError
            If there is no such candidate, or it has no epochs.
        """
        history = comparison.history
        history = history[history["candidate"] == candidate]
        if not len(history):
            raise ValueError(
                f"candidate must be one of {list(comparison.candidates)}, with epochs, "
                f"got {candidate!r}."
            )
        by_seed = {
            column: history.pivot(index="seed", columns="epoch", values=column).to_numpy(float)
            for column in ("batch_size", "train_loss", "test_accuracy", "noise_scale")
        }
        complete = np.isfinite(by_seed["batch_size"]).all(axis=1)
        noise = by_seed["noise_scale"][complete]
        sizes = by_seed["batch_size"][complete]
        display = cls(
            sizes[0] if (sizes == sizes[0]).all() else sizes,
            by_seed["train_loss"][complete],
            test_accuracy=by_seed["test_accuracy"][complete],
            noise_scale=noise if np.isfinite(noise).any() else None,
        )
        return display.plot(ax=ax)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | None = None,
        *,
        line_kw: Mapping[str, Any] | None = None,
    ) -> BatchSizeDisplay:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes, sequence of matplotlib Axes or None, default=None
            Where to draw, as many as there are panels; None: a new figure.
        line_kw : dict or None, default=None
            Passed to ``ax.plot`` for the lines, over what is the default.

        Returns
        -------
        display : BatchSizeDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `ax` is not as many axes as there are panels.
        """
        panels = [(self.train_loss, "training loss", BLUE)]
        if self.test_accuracy is not None:
            panels.append((self.test_accuracy, "accuracy (held-out data)", VERMILLION))
        n_panels = len(panels) + (self.noise_scale is not None)
        own_figure = ax is None
        if own_figure:
            size = (ONE_PANEL, ONE_ABOVE_THE_OTHER, THREE_ABOVE_EACH_OTHER)[n_panels - 1]
            self.axes_ = new_axes(size, n_rows=n_panels, n_shared=len(panels))
        else:
            self.axes_ = check_axes(ax, n_panels, "ax")
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure

        self.lines_: list[Line2D] = []
        self.points_: list[Line2D] = []
        self.fill_between_: list[PolyCollection] = []
        for panel, (values, label, color) in zip(self.axes_, panels, strict=False):
            self._draw(
                panel, values, {"color": color, **THICK, "marker": "o", "markersize": 4.5}, line_kw
            )
            panel.set_ylabel(label)
            label_sizes(panel, "x", self.batch_size)
        self.axes_[len(panels) - 1].set_xlabel(r"batch size (samples, $\log_2$ scale)")
        handles = self._handles()
        if self.noise_scale is not None:
            handles += self._draw_noise(self.axes_[-1], self.noise_scale, line_kw)
        self.legend_ = add_legend(self.axes_, own_figure, handles=handles)
        return self

    def _draw(
        self,
        ax: Axes,
        values: np.ndarray,
        style: Mapping[str, Any],
        line_kw: Mapping[str, Any] | None,
    ) -> None:
        style = merge_style({**style, "label": "mean of a size's epochs", "zorder": 3}, line_kw)
        n_seeds = len(values)
        sizes = np.broadcast_to(self.batch_size, values.shape)
        self.points_ += ax.plot(
            sizes.ravel(),
            values.ravel(),
            linestyle="none",
            marker="o",
            markersize=4,
            markerfacecolor="none",
            color=style["color"],
            alpha=0.6 if n_seeds == 1 else 0.35,
            label="one epoch" if n_seeds == 1 else "one epoch of one seed",
        )
        seeds = [
            pd.Series(own).groupby(of_epochs).mean()
            for own, of_epochs in zip(values, sizes, strict=True)
        ]
        by_size = pd.concat(seeds, axis=1).sort_index()
        if n_seeds > 1:
            low, high = by_size.min(axis=1), by_size.max(axis=1)
            label = f"lowest to highest of {n_seeds} seeds"
            self.fill_between_.append(
                ax.fill_between(by_size.index, low, high, color=style["color"], label=label, **BAND)
            )
        self.lines_ += ax.plot(by_size.index, by_size.mean(axis=1), **style)

    def _handles(self) -> list[Artist]:
        """Return what the legend explains: the marks of the first panel; the others are alike."""
        return [self.points_[0], *self.fill_between_[:1], self.lines_[0]]

    def _draw_noise(
        self, ax: Axes, noise_scale: np.ndarray, line_kw: Mapping[str, Any] | None
    ) -> list[Line2D]:
        """Draw noise scale and batch size against the epoch."""
        epochs = np.arange(1, noise_scale.shape[1] + 1)
        n_seeds = len(noise_scale)
        median = pd.DataFrame(noise_scale).median().to_numpy()  # infinite seeds take part
        finite = np.isfinite(median)
        style = {"color": GREEN, **THICK, "marker": "o", "markersize": 4.5, "zorder": 3}
        style["label"] = (
            "noise scale" if n_seeds == 1 else f"noise scale, median of {n_seeds} seeds"
        )
        style = merge_style(style, line_kw)
        if n_seeds > 1:
            seeds = pd.DataFrame(noise_scale[:, finite]).replace(np.inf, np.nan)
            low, high = seeds.min(), seeds.max()
            self.fill_between_.append(
                ax.fill_between(epochs[finite], low, high, color=style["color"], **BAND)
            )
        lines = ax.plot(epochs[finite], median[finite], **style)
        lines += self._draw_sizes(ax, epochs)
        ax.set_yscale("log", base=2)
        ax.set_xlabel("epoch")
        ax.set_ylabel(r"samples ($\log_2$ scale)")
        tick_whole_numbers(ax.xaxis)
        self.lines_ += lines
        return lines

    def _draw_sizes(self, ax: Axes, epochs: np.ndarray) -> list[Line2D]:
        sizes, label = self.batch_size, "batch size"
        if sizes.ndim == 2:
            low, high = sizes.min(axis=0), sizes.max(axis=0)
            self.fill_between_.append(
                ax.fill_between(epochs, low, high, color=GREY, step="mid", **BAND)
            )
            sizes, label = np.median(sizes, axis=0), f"batch size, median of {len(sizes)} seeds"
        style: dict[str, Any] = {"linestyle": "--", "drawstyle": "steps-mid", "label": label}
        return ax.plot(epochs, sizes, color=GREY, **style)
