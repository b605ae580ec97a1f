"""The pictures, in scikit-learn's Display form.

A display holds the data of a picture and draws it with ``plot``. Matplotlib is imported there and
nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BatchSizeDisplay",
    "ComparisonDisplay",
    "HistoryDisplay",
    "LRRangeDisplay",
    "ScheduleDisplay",
]

# Okabe and Ito's colours, which people with any colour vision tell apart
_BLUE, _VERMILLION, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_PALETTE = (_BLUE, _VERMILLION, _GREEN, _PURPLE, "#E69F00", "#56B4E9", "#000000")
_GREY = "#555555"

_THIN = {"linewidth": 0.8, "alpha": 0.45}
_THICK = {"linewidth": 2.2}
_BAND = {"alpha": 0.22, "linewidth": 0}

# small in inches, so that text of the usual size is large beside it
_ONE_PANEL = (5.6, 4.0)
_SIDE_BY_SIDE = (8.0, 3.8)
_ONE_ABOVE_THE_OTHER = (5.6, 6.0)
_THREE_ABOVE_EACH_OTHER = (5.6, 8.4)

_KINDS = ("sweep", "candidates")
_LEGEND = "skclr legend"


# ---------------------------------------------------------------- range test


class LRRangeDisplay:
    """Training loss against learning rate, with the boundaries read off it.

    What to look for: a level stretch on the left, where the rate is too low to learn anything; a
    fall, at whose beginning `base_lr` belongs; a floor, which `max_lr` should not leave; and the
    rise behind it, where training breaks down. Where the thin lines of the repeats disagree, a
    boundary is uncertain by as much. `base_lr` and `max_lr` too close together, or a fall that
    begins at the very first rate, ask for a wider sweep.

    Parameters
    ----------
    lrs : array-like of shape (n_lrs,)
        Learning rates, ascending.
    losses : array-like of shape (n_repeats, n_lrs) or (n_lrs,)
        The training loss at each rate; NaN where a sweep had ended or training diverged.
    base_lr, max_lr : float or None, default=None
        The boundaries, each marked by a vertical line with its value. None: not marked.
    smoothed : array-like of the shape of `losses` or None, default=None
        The smoothed losses, drawn in place of `losses` where they are given.
    kind : {"sweep", "candidates"}, default="sweep"
        Whether the rate rose from update to update (lines), or each of a few rates trained a model
        of its own (markers).

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure containing the axes.
    lines_ : list of matplotlib Line2D
        A thin line for each repeat (none where there is only one), then the thick mean.
    fill_between_ : matplotlib PolyCollection or None
        The band from the lowest to the highest repeat; None where there is only one.
    boundaries_ : list of matplotlib Line2D
        The vertical lines at `base_lr` and `max_lr`.
    diverged_ : matplotlib Line2D or None
        For candidates, the markers at the upper edge; None where no rate diverged.
    legend_ : matplotlib Legend
        The legend.

    Raises
    ------
    ValueError
        If the shapes do not match, a rate is not above 0, no loss is finite, or `kind` is neither
        of the two.

    See Also
    --------
    skclr.lr_range_test : Measures the curves of a sweep.
    skclr.lr_candidates_test : Measures the losses of candidates.

    Notes
    -----
    The vertical axis reaches from the best loss to a little above the loss at the lowest rate, so
    that what diverged leaves the picture at its upper edge. The mean and its band end where the
    first repeat ended.

    Examples
    --------
    >>> import numpy as np
    >>> from skclr.displays import LRRangeDisplay
    >>> lrs = np.logspace(-5, 1, 200)
    >>> fall = 2.3 - 1.5 / (1 + (2e-3 / lrs) ** 2) + (lrs / 0.5) ** 2
    >>> losses = fall + [[0.05], [0.0], [-0.05]]
    >>> display = LRRangeDisplay(lrs, losses, base_lr=0.0005, max_lr=0.08).plot()
    >>> [text.get_text() for text in display.ax_.texts]
    ['base_lr = 0.0005', 'max_lr = 0.08']
    """

    def __init__(
        self,
        lrs: ArrayLike,
        losses: ArrayLike,
        *,
        base_lr: float | None = None,
        max_lr: float | None = None,
        smoothed: ArrayLike | None = None,
        kind: str = "sweep",
    ):
        if kind not in _KINDS:
            raise ValueError(f"kind must be 'sweep' or 'candidates', got {kind!r}.")
        self.lrs = _positive(_vector(lrs, "lrs"), "lrs")
        self.losses = _repeats(losses, "losses", len(self.lrs), "lrs")
        self.smoothed = smoothed
        if smoothed is not None:
            self.smoothed = _repeats(smoothed, "smoothed", len(self.lrs), "lrs")
            if self.smoothed.shape != self.losses.shape:
                raise ValueError(
                    f"smoothed must have the shape of losses, {self.losses.shape}, "
                    f"got {self.smoothed.shape}."
                )
        if not np.isfinite(self._curves()).any():
            raise ValueError("losses must hold at least one finite value.")
        for name, boundary in (("base_lr", base_lr), ("max_lr", max_lr)):
            if boundary is not None:
                _positive(_vector([boundary], name), name)
        self.base_lr = base_lr
        self.max_lr = max_lr
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        ax: Axes | None = None,
        **range_test_params: Any,
    ) -> LRRangeDisplay:
        """Run a range test on clones of an estimator, and draw it.

        Parameters
        ----------
        estimator : CLRLeNetClassifier or any skorch classifier
            It is cloned and not changed.
        X, y : array-like
            Training data, as `estimator` takes them.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        **range_test_params
            Passed to :func:`skclr.lr_range_test`, such as ``n_repeats`` or ``random_state``.

        Returns
        -------
        display : LRRangeDisplay
            The picture.

        Examples
        --------
        >>> from skclr import CLRLeNetClassifier, load_fashion_mnist_sample
        >>> from skclr.displays import LRRangeDisplay
        >>> X, y = load_fashion_mnist_sample(return_X_y=True)
        >>> display = LRRangeDisplay.from_estimator(
        ...     CLRLeNetClassifier(), X[:1000], y[:1000], n_repeats=2, random_state=0)
        >>> display.losses.shape
        (2, 184)
        """
        from skclr.range_test import lr_range_test

        result = lr_range_test(estimator, X, y, **range_test_params)
        display = cls(
            result.lrs,
            result.losses,
            base_lr=result.base_lr,
            max_lr=result.max_lr,
            smoothed=result.smoothed,
        )
        return display.plot(ax=ax)

    def plot(
        self, ax: Axes | None = None, *, line_kw: Mapping[str, Any] | None = None
    ) -> LRRangeDisplay:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        line_kw : dict or None, default=None
            Passed to ``ax.plot`` for the thick line, over what is the default.

        Returns
        -------
        display : LRRangeDisplay
            The display itself.
        """
        own = ax is None
        self.ax_ = ax = _new_axes(_ONE_PANEL)[0] if own else ax
        self.figure_ = ax.figure

        curves = self._curves()
        curves = curves[np.isfinite(curves).any(axis=1)]
        bottom, top = _limits(curves)
        diverged = self.lrs[~(curves.mean(axis=0) <= top)]
        if self.kind == "candidates":
            curves = np.where(curves <= top, curves, np.nan)
        ax.set_xscale("log")
        self._draw_curves(ax, curves, line_kw)
        self.boundaries_ = [
            self._draw_boundary(ax, name, value)
            for name, value in (("base_lr", self.base_lr), ("max_lr", self.max_lr))
            if value is not None
        ]
        self.diverged_ = None
        if self.kind == "candidates" and len(diverged):
            self.diverged_ = self._draw_diverged(ax, diverged)
        ax.set_ylim(bottom, top)
        smoothed = self.kind == "sweep" and self.smoothed is not None
        ax.set_xlabel("learning rate (log scale)")
        ax.set_ylabel("training loss, smoothed" if smoothed else "training loss")
        self.legend_ = _legend([ax], own)
        return self

    def _curves(self):
        curves = self.losses if self.smoothed is None else self.smoothed
        return np.where(np.isfinite(curves), curves, np.nan)

    def _draw_curves(self, ax, curves, line_kw):
        n_repeats = len(curves)
        style = {"color": _BLUE, **_THICK, "zorder": 3}
        if self.kind == "candidates":
            style |= {"marker": "o", "markersize": 6}
        style = _merged(style, line_kw)
        mean = curves.mean(axis=0)  # NaN from where the first repeat ended
        self.lines_, self.fill_between_ = [], None
        if n_repeats > 1:
            for curve in curves:
                self.lines_ += ax.plot(self.lrs, curve, color=style["color"], **_THIN)
            self.lines_[0].set_label("each repeat")
            self.fill_between_ = ax.fill_between(
                self.lrs,
                np.where(np.isfinite(mean), curves.min(axis=0), np.nan),
                np.where(np.isfinite(mean), curves.max(axis=0), np.nan),
                color=style["color"],
                label="lowest to highest repeat",
                **_BAND,
            )
        one = "one sweep" if self.kind == "sweep" else "one model at each rate"
        label = f"mean of {n_repeats} repeats" if n_repeats > 1 else one
        self.lines_ += ax.plot(self.lrs, mean, **{"label": label, **style})

    @staticmethod
    def _draw_boundary(ax, name, value):
        """Mark a boundary, its label where the curve is not: below a base_lr, above a max_lr."""
        left, right = np.log10(ax.get_xlim())
        room_on_the_left = (math.log10(value) - left) / (right - left) > 0.35
        if name == "base_lr":
            color, linestyle, upper_end = _GREEN, "-.", 0.9
            height, va = (0.5, "center") if room_on_the_left else (0.03, "bottom")
        else:
            color, linestyle, upper_end = _VERMILLION, "--", 1
            height, va = 0.97, "top"
        line = ax.axvline(value, ymax=upper_end, color=color, linestyle=linestyle, linewidth=1.5)
        ax.annotate(
            f"{name} = {value:.2g}",
            xy=(value, height),
            xycoords=("data", "axes fraction"),
            xytext=(-5 if room_on_the_left else 5, 0),
            textcoords="offset points",
            ha="right" if room_on_the_left else "left",
            va=va,
            color=color,
            bbox={"facecolor": ax.get_facecolor(), "alpha": 0.8, "edgecolor": "none", "pad": 1},
            zorder=4,
        )
        return line

    @staticmethod
    def _draw_diverged(ax, lrs):
        (markers,) = ax.plot(
            lrs,
            np.ones(len(lrs)),
            transform=ax.get_xaxis_transform(),
            linestyle="none",
            marker="X",
            markersize=9,
            color=_VERMILLION,
            markeredgecolor="white",
            clip_on=False,
            zorder=5,
            label="diverged, or off the scale",
        )
        return markers


def _limits(curves):
    """Return limits of the loss that show the interesting part of the curves."""
    mean = pd.DataFrame(curves).mean().dropna().to_numpy()
    start = float(np.median(mean[: max(1, len(mean) // 10)]))
    best = float(np.nanmin(curves))
    span = max(start - best, 0.1 * abs(start)) or 1.0
    return best - 0.12 * span, start + 0.3 * span


# ---------------------------------------------------------------- schedule


class ScheduleDisplay:
    """The learning rate of each iteration, and the batch size where it changes.

    What to look for: whether the cycles are as long and as high as they were meant to be, how many
    of them fit into the training, and whether it ends at a low rate, as it should. Of a growing
    batch: fewer and fewer iterations are left to an epoch, so most of the updates are made at the
    small sizes.

    Parameters
    ----------
    iterations : array-like of shape (n_iterations,)
        The numbers of the updates, ascending.
    lr : array-like of shape (n_iterations,)
        The learning rate of each update.
    batch_size : array-like of shape (n_iterations,) or None, default=None
        The samples in each update's batch. Where it varies it is drawn too, against an axis of its
        own on the right.
    iterations_per_epoch : float, array-like of shape (n_epochs,) or None, default=None
        The updates in an epoch, or in each of them; adds an axis in epochs. None: no such axis.
    name : str or None, default=None
        What the line is called in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the learning rate.
    axes_ : list of matplotlib Axes
        That one and, where the batch size varies, the one on the right.
    epoch_axis_ : matplotlib SecondaryAxis or None
        The axis in epochs; None where their length is not known.
    figure_ : matplotlib Figure
        Figure containing the axes.
    lines_ : list of matplotlib Line2D
        The learning rate and, where it varies, the batch size.
    legend_ : matplotlib Legend or None
        The legend; None where there is a single line without a name.

    Raises
    ------
    ValueError
        If the shapes do not match, or a batch size or a number of iterations per epoch is not
        above 0.

    See Also
    --------
    skclr.schedules : The schedules as functions of the iteration.

    Notes
    -----
    The learning rate stands on a logarithmic axis where most of its values are below a hundredth of
    the highest, as in a sweep; a triangle keeps its straight sides. Draw several schedules into
    one picture by passing the first one's ``ax_`` on.

    Examples
    --------
    >>> import numpy as np
    >>> from skclr import schedules
    >>> from skclr.displays import ScheduleDisplay
    >>> t = np.arange(1000)
    >>> lr = schedules.triangular(t, base_lr=0.001, max_lr=0.05, step_size=200)
    >>> display = ScheduleDisplay(t, lr, iterations_per_epoch=100, name="triangular").plot()
    >>> display.ax_.get_yscale()
    'linear'
    """

    def __init__(
        self,
        iterations: ArrayLike,
        lr: ArrayLike,
        *,
        batch_size: ArrayLike | None = None,
        iterations_per_epoch: float | ArrayLike | None = None,
        name: str | None = None,
    ):
        self.iterations = _vector(iterations, "iterations")
        self.lr = _vector(lr, "lr", len(self.iterations), "iterations")
        self.batch_size = batch_size
        if batch_size is not None:
            self.batch_size = _positive(
                _vector(batch_size, "batch_size", len(self.iterations), "iterations"), "batch_size"
            )
        self.iterations_per_epoch = iterations_per_epoch
        if iterations_per_epoch is not None:
            lengths = _vector(np.atleast_1d(iterations_per_epoch), "iterations_per_epoch")
            _positive(lengths, "iterations_per_epoch")
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Axes | None = None
    ) -> ScheduleDisplay:
        """Draw the schedule that a fitted classifier has followed.

        Parameters
        ----------
        estimator : CLRLeNetClassifier
            A fitted classifier; its ``history_frame`` is read.
        name : str or None, default=None
            What the line is called in the legend. None: the classifier's ``schedule``, where that
            is a string.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        display : ScheduleDisplay
            The picture.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skclr import CLRLeNetClassifier
        >>> from skclr.displays import ScheduleDisplay
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = CLRLeNetClassifier(schedule="triangular", step_size=1, max_epochs=2)
        >>> display = ScheduleDisplay.from_estimator(clf.fit(X[:640], y[:640]))
        >>> display.iterations_per_epoch.tolist()
        [10, 10]
        """
        updates = _history_frame(estimator, "batch")
        epochs = _history_frame(estimator, "epoch").set_index("epoch")
        schedule = getattr(estimator, "schedule", None)
        if name is None and isinstance(schedule, str):
            name = schedule
        display = cls(
            updates["iteration"],
            updates["lr"],
            # the schedule's size: an epoch's last batch is smaller for want of samples
            batch_size=updates["epoch"].map(epochs["batch_size"]),
            iterations_per_epoch=updates.groupby("epoch").size().to_numpy(),
            name=name,
        )
        return display.plot(ax=ax)

    def plot(
        self, ax: Axes | None = None, *, line_kw: Mapping[str, Any] | None = None
    ) -> ScheduleDisplay:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        line_kw : dict or None, default=None
            Passed to ``ax.plot`` for the learning rate, over what is the default.

        Returns
        -------
        display : ScheduleDisplay
            The display itself.
        """
        own = ax is None
        self.ax_ = ax = _new_axes(_ONE_PANEL)[0] if own else ax
        self.figure_ = ax.figure
        self.axes_ = [ax]

        alone = not ax.lines
        grows = self.batch_size is not None and len(np.unique(self.batch_size)) > 1
        color = _PALETTE[len(ax.lines) % len(_PALETTE)]
        label = self._label("learning rate") if grows else self.name or "learning rate"
        style = _merged({"label": label, "color": color, "linewidth": 1.8}, line_kw)
        self.lines_ = ax.plot(self.iterations, self.lr, **style)
        self._scale_rates(ax)
        ax.set_xlabel("iteration (updates)")
        ax.set_ylabel("learning rate")
        _whole_numbers(ax.xaxis, 6)
        if grows:
            self._draw_batch_size(ax)
        self.epoch_axis_ = self._draw_epochs(ax)

        # within others' axes a legend would lie on one of the two lines, which name their axes
        explained = alone and (self.name is None if not grows else not own)
        self.legend_ = None if explained else _legend(self.axes_, own)
        return self

    def _label(self, quantity):
        return quantity if self.name is None else f"{self.name}: {quantity}"

    def _scale_rates(self, ax):
        positive = self.lr[self.lr > 0]
        if len(positive) and positive.max() > 100 * np.median(positive):
            ax.set_yscale("log")
        if ax.get_yscale() == "linear":
            ax.set_ylim(bottom=0, auto=None)  # None: another display may come into these axes

    def _draw_batch_size(self, ax):
        twin = ax.twinx()
        self.lines_ += twin.plot(
            self.iterations,
            self.batch_size,
            label=self._label("batch size"),
            color=_GREY,
            linestyle="--",
            drawstyle="steps-post",
            linewidth=1.8,
        )
        _label_sizes(twin, "y", self.batch_size)
        twin.set_ylabel("batch size (samples, dashed)")
        ax.set_ylabel("learning rate (solid)")
        self.axes_.append(twin)

    def _draw_epochs(self, ax):
        if self.iterations_per_epoch is None:
            return None
        has_one = [child for child in ax.child_axes if child.get_xlabel() == "epoch"]
        if has_one:
            return has_one[0]
        to_epochs, to_iterations = _epoch_scale(self.iterations_per_epoch)
        axis = ax.secondary_xaxis("top", functions=(to_epochs, to_iterations))
        axis.set_xlabel("epoch")
        first, last = self.iterations[0], self.iterations[-1] + 1
        axis.set_ticks(_epoch_ticks(first, last, to_epochs, to_iterations))
        return axis


def _epoch_scale(iterations_per_epoch) -> tuple[Callable, Callable]:
    """Return the functions iteration -> epochs passed, and back."""
    lengths = np.atleast_1d(np.asarray(iterations_per_epoch, dtype=float))
    far = 1e6  # the first and the last epoch's length hold for all before and after
    epochs = np.concatenate([[-far], np.arange(len(lengths) + 1), [len(lengths) + far]])
    ends = np.concatenate([[0], np.cumsum(lengths)])
    ends = np.concatenate([[-far * lengths[0]], ends, [ends[-1] + far * lengths[-1]]])
    return lambda t: np.interp(t, ends, epochs), lambda e: np.interp(e, epochs, ends)


def _epoch_ticks(first, last, to_epochs, to_iterations):
    """Return whole epochs with room for a label each; of a crowd, the last one stays."""
    from matplotlib.ticker import MaxNLocator

    begin, end = to_epochs(first), to_epochs(last)
    ticks = MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]).tick_values(begin, end)
    kept = []
    for tick in ticks[(ticks >= begin) & (ticks <= end + 1e-9)][::-1]:
        if not kept or to_iterations(kept[-1]) - to_iterations(tick) >= 0.06 * (last - first):
            kept.append(tick)
    return kept[::-1]


# ---------------------------------------------------------------- history


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
        frame = _history_frame(estimator, "epoch")
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

        own = axes is None
        self.axes_ = _new_axes(_SIDE_BY_SIDE, n_columns=2) if own else _given_axes(axes, 2, "axes")
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure

        frames = self._frames()
        colors = dict(zip(frames, _colors(len(frames)), strict=True))
        panels = (("loss", "loss (mean over samples)"), ("acc", "accuracy (fraction right)"))
        self.lines_ = []
        for ax, (measure, label) in zip(self.axes_, panels, strict=True):
            lines = [
                line
                for name, frame in frames.items()
                for line in self._draw(ax, name, frame, measure, colors[name], line_kw)
            ]
            if not lines:
                ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center", color=_GREY)
            self.lines_ += lines
            ax.set_xlabel("epoch")
            ax.set_ylabel(label)
            _whole_numbers(ax.xaxis)

        names = [
            Line2D([], [], color=color, label=str(name), **_THICK)
            for name, color in colors.items()
            if name is not None
        ]
        drawn = {line.get_linestyle() for line in self.lines_}
        parts = [
            Line2D([], [], color=_GREY if names else _BLUE, label=part, linestyle=style)
            for part, style in (("training", "--"), ("validation", "-"))
            if style in drawn
        ]
        self.legend_ = _legend(self.axes_, own, handles=names + parts)
        return self

    def _frames(self):
        return self.history if isinstance(self.history, Mapping) else {None: self.history}

    @staticmethod
    def _draw(ax, name, frame, measure, color, line_kw):
        lines = []
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
            lines += ax.plot(frame["epoch"], frame[column], **_merged(style, line_kw))
        return lines


# ---------------------------------------------------------------- batch size


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
    batch_size : array-like of shape (n_epochs,)
        The batch size of each epoch, in samples; several epochs may share one.
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
        For each panel the band from the lowest to the highest seed; empty for a single seed.
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
        self.batch_size = _positive(_vector(batch_size, "batch_size"), "batch_size")
        n_epochs = len(self.batch_size)
        self.train_loss = _repeats(train_loss, "train_loss", n_epochs, "batch_size")
        self.test_accuracy = test_accuracy
        if test_accuracy is not None:
            self.test_accuracy = _repeats(test_accuracy, "test_accuracy", n_epochs, "batch_size")
        self.noise_scale = noise_scale
        if noise_scale is not None:
            self.noise_scale = _repeats(noise_scale, "noise_scale", n_epochs, "batch_size")
            if not np.isfinite(self.noise_scale).any():
                raise ValueError("noise_scale must hold at least one finite value.")

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
        frame = _history_frame(estimator, "epoch")
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
        whole = np.isfinite(by_seed["batch_size"]).all(axis=1)
        noise = by_seed["noise_scale"][whole]
        display = cls(
            by_seed["batch_size"][whole][0],
            by_seed["train_loss"][whole],
            test_accuracy=by_seed["test_accuracy"][whole],
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
        panels = [(self.train_loss, "training loss", _BLUE)]
        if self.test_accuracy is not None:
            panels.append((self.test_accuracy, "accuracy (held-out data)", _VERMILLION))
        n_panels = len(panels) + (self.noise_scale is not None)
        own = ax is None
        if own:
            size = (_ONE_PANEL, _ONE_ABOVE_THE_OTHER, _THREE_ABOVE_EACH_OTHER)[n_panels - 1]
            self.axes_ = _new_axes(size, n_rows=n_panels, n_shared=len(panels))
        else:
            self.axes_ = _given_axes(ax, n_panels, "ax")
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure

        self.lines_, self.points_, self.fill_between_ = [], [], []
        for panel, (values, label, color) in zip(self.axes_, panels, strict=False):
            self._draw(
                panel, values, {"color": color, **_THICK, "marker": "o", "markersize": 4.5}, line_kw
            )
            panel.set_ylabel(label)
            _label_sizes(panel, "x", self.batch_size)
        self.axes_[len(panels) - 1].set_xlabel(r"batch size (samples, $\log_2$ scale)")
        handles = self._handles()
        if self.noise_scale is not None:
            handles += self._draw_noise(self.axes_[-1], line_kw)
        self.legend_ = _legend(self.axes_, own, handles=handles)
        return self

    def _draw(self, ax, values, style, line_kw):
        style = _merged({**style, "label": "mean of a size's epochs", "zorder": 3}, line_kw)
        n_seeds = len(values)
        self.points_ += ax.plot(
            np.tile(self.batch_size, n_seeds),
            values.ravel(),
            linestyle="none",
            marker="o",
            markersize=4,
            markerfacecolor="none",
            color=style["color"],
            alpha=0.6 if n_seeds == 1 else 0.35,
            label="one epoch" if n_seeds == 1 else "one epoch of one seed",
        )
        by_size = pd.DataFrame(values.T).groupby(self.batch_size).mean()  # a column a seed
        if n_seeds > 1:
            low, high = by_size.min(axis=1), by_size.max(axis=1)
            label = f"lowest to highest of {n_seeds} seeds"
            self.fill_between_.append(
                ax.fill_between(
                    by_size.index, low, high, color=style["color"], label=label, **_BAND
                )
            )
        self.lines_ += ax.plot(by_size.index, by_size.mean(axis=1), **style)

    def _handles(self):
        """Return what the legend explains: the marks of the first panel; the others are alike."""
        return [self.points_[0], *self.fill_between_[:1], self.lines_[0]]

    def _draw_noise(self, ax, line_kw):
        """Draw noise scale and batch size against the epoch."""
        epochs = np.arange(1, len(self.batch_size) + 1)
        n_seeds = len(self.noise_scale)
        median = pd.DataFrame(self.noise_scale).median().to_numpy()  # infinite seeds take part
        told = np.isfinite(median)
        style = {"color": _GREEN, **_THICK, "marker": "o", "markersize": 4.5, "zorder": 3}
        style["label"] = (
            "noise scale" if n_seeds == 1 else f"noise scale, median of {n_seeds} seeds"
        )
        style = _merged(style, line_kw)
        if n_seeds > 1:
            finite = pd.DataFrame(self.noise_scale[:, told]).replace(np.inf, np.nan)
            low, high = finite.min(), finite.max()
            self.fill_between_.append(
                ax.fill_between(epochs[told], low, high, color=style["color"], **_BAND)
            )
        lines = ax.plot(epochs[told], median[told], **style)
        lines += ax.plot(
            epochs, self.batch_size, color=_GREY, linestyle="--", drawstyle="steps-mid",
            label="batch size",
        )  # fmt: skip
        ax.set_yscale("log", base=2)
        ax.set_xlabel("epoch")
        ax.set_ylabel(r"samples ($\log_2$ scale)")
        _whole_numbers(ax.xaxis)
        self.lines_ += lines
        return lines


# ---------------------------------------------------------------- comparison


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
        own = axes is None
        names = list(self.summary.index)
        if own:
            size = (_SIDE_BY_SIDE[0], max(_SIDE_BY_SIDE[1], 1.6 + 0.45 * len(names)))
            self.axes_ = _new_axes(size, n_columns=2)
        else:
            self.axes_ = _given_axes(axes, 2, "axes")
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure

        values = self.runs[self.runs["status"] == "ok"].pivot(
            index="seed", columns="candidate", values="test_accuracy"
        )
        values = values.reindex(columns=names)
        differences = 100 * values.sub(values[names[0]], axis=0)
        colors = _colors(len(names))
        self.lines_, self.intervals_ = [], []
        for place, name in enumerate(names):
            row = self.summary.loc[name]
            mark = partial(self._draw, place=place, color=colors[place], line_kw=line_kw)
            accuracy = row[["test_accuracy", "test_accuracy_low", "test_accuracy_high"]]
            mark(self.axes_[0], values[name], accuracy)
            if place:
                difference = row[["difference", "difference_low", "difference_high"]]
                mark(self.axes_[1], differences[name], 100 * difference)
        self._label(names)
        self.legend_ = _legend(self.axes_, own, handles=self._handles())
        return self

    def _draw(self, ax, values, told, *, place, color, line_kw):
        """Draw the points of the seeds, and below them their mean with its interval."""
        values = values.dropna()
        mean, low, high = told.to_numpy(dtype=float)
        if not len(values):
            ax.text(0.5, place, "all failed", transform=ax.get_yaxis_transform(), ha="center",
                    va="center", color=_GREY)  # fmt: skip
            return
        style = {
            "linestyle": "none", "marker": "o", "markersize": 5, "markerfacecolor": "none",
            "color": color, "alpha": 0.8, "label": "one seed",
        }  # fmt: skip
        self.lines_ += ax.plot(
            values, np.full(len(values), place - 0.14), **_merged(style, line_kw)
        )
        reach = None if math.isnan(low) else [[mean - low], [high - mean]]
        self.intervals_.append(
            ax.errorbar(
                mean, place + 0.14, xerr=reach, fmt="D", markersize=5.5, capsize=4,
                linewidth=2, color=color, label="mean, 95 % interval",
            )
        )  # fmt: skip

    def _label(self, names):
        for ax, label in zip(
            self.axes_,
            ("test accuracy", f"difference to {names[0]}\n(percentage points, paired by seed)"),
            strict=True,
        ):
            ax.set_ylim(len(names) - 0.5, -0.5)
            ax.set_xlabel(label)
            ax.grid(axis="x", alpha=0.3)
        self.axes_[0].set_yticks(range(len(names)), labels=names)
        self.axes_[0].set_ylabel("candidate")
        right = self.axes_[1]
        right.axvline(0, color=_GREY, linewidth=1, linestyle="--")
        right.set_yticks(range(len(names)), labels=[self._p_value(name) for name in names])
        right.yaxis.tick_right()
        right.yaxis.set_label_position("right")
        right.set_ylabel("p-value, corrected (Holm)")

    def _p_value(self, name):
        value = self.summary.loc[name, "p_value_holm"]
        if math.isnan(value):
            return ""
        return "< 0.001" if value < 0.001 else f"{value:.2g}"

    def _handles(self):
        """Return marks in grey, which belong to no candidate."""
        from matplotlib.lines import Line2D

        point = {"linestyle": "none", "marker": "o", "markerfacecolor": "none"}
        mean = {"linestyle": "-", "linewidth": 2, "marker": "D", "markersize": 5.5}
        return [
            Line2D([], [], color=_GREY, label="one seed", **point),
            Line2D([], [], color=_GREY, label="mean and its 95 % interval", **mean),
        ]


# ---------------------------------------------------------------- shared


def _new_axes(size, n_rows=1, n_columns=1, n_shared=1):
    """Return new axes, of which the first so many have their x-axis in common."""
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
    axes = axes.ravel()
    for ax in axes[: n_shared - 1]:
        ax.sharex(axes[n_shared - 1])
        ax.tick_params(labelbottom=False)
    return axes


def _given_axes(axes, n, name):
    given = np.ravel(np.asarray(axes, dtype=object))
    if len(given) != n:
        raise ValueError(f"{name} must be {n} matplotlib Axes, got {len(given)}.")
    return given


def _merged(style, line_kw):
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**style, **normalize_kwargs(dict(line_kw or {}), Line2D)}


def _legend(axes, own, handles=None):
    """Put the legend under the panels of our own figures, and where it fits into others' axes."""
    ax = axes[-1]
    figure = ax.figure
    ours = [legend for legend in figure.legends if legend.get_gid() == _LEGEND]
    within = not own and not ours
    if handles is None:
        handles = _labelled(axes if within else figure.axes)
    if not handles:
        return None
    if within:
        return ax.legend(handles=handles, loc="best")
    for legend in ours:  # a second display drawn into our figure
        legend.remove()
    longest = max(len(handle.get_label()) for handle in handles)
    n_columns = int(figure.get_figwidth() * 13 / (longest + 6))
    legend = figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=max(1, min(len(handles), n_columns)),
        frameon=False,
    )
    legend.set_gid(_LEGEND)
    return legend


def _labelled(axes):
    return [handle for ax in axes for handle in ax.get_legend_handles_labels()[0]]


def _colors(n):
    if n <= len(_PALETTE):
        return _PALETTE[:n]
    import matplotlib

    return matplotlib.colormaps["viridis"](np.linspace(0, 0.92, n))


def _whole_numbers(axis, n_ticks=8):
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(n_ticks, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def _label_sizes(ax, axis, sizes):
    """Make an axis logarithmic to the base 2, with the sizes themselves on its ticks."""
    from matplotlib.ticker import NullLocator

    sizes = np.unique(sizes)
    shown = sizes[:: math.ceil(len(sizes) / 12)]
    (ax.set_xscale if axis == "x" else ax.set_yscale)("log", base=2)
    scaled = ax.xaxis if axis == "x" else ax.yaxis
    scaled.set_minor_locator(NullLocator())
    scaled.set_ticks(shown, labels=[f"{size:.0f}" for size in shown])


def _history_frame(estimator, level):
    if not hasattr(estimator, "history_frame"):
        raise TypeError(
            "estimator must be a CLRLeNetClassifier, whose history_frame is read, "
            f"got {type(estimator).__name__}."
        )
    return estimator.history_frame(level)


def _vector(values, name, n=None, of=None):
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must be 1-dimensional and not empty, got shape {array.shape}.")
    if n is not None and len(array) != n:
        raise ValueError(f"{name} must hold a value for each of the {n} {of}, got {len(array)}.")
    return array


def _repeats(values, name, n, of):
    array = np.atleast_2d(np.asarray(values, dtype=float))
    if array.ndim != 2 or not len(array) or array.shape[1] != n:
        raise ValueError(
            f"{name} must have shape ({n},) or (n_repeats, {n}), a value for each of {of}, "
            f"got {np.shape(values)}."
        )
    return array


def _positive(array, name):
    if not (np.isfinite(array) & (array > 0)).all():
        bad = array[~(np.isfinite(array) & (array > 0))][0]
        raise ValueError(f"{name} must be finite and above 0, got {bad:g}.")
    return array
