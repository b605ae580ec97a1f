"""The picture of a range test: loss against learning rate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skclr._sweeps import measure_sweeps
from skclr.displays._checks import as_repeats, as_vector, check_positive
from skclr.displays._style import (
    BAND,
    BLUE,
    GREEN,
    ONE_PANEL,
    THICK,
    THIN,
    VERMILLION,
    add_legend,
    merge_style,
    new_axes,
)
from skclr.exceptions import RangeTestWarning

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

_KINDS = ("sweep", "candidates")


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
        The training loss at each rate; NaN where a sweep had not begun or had ended, or training
        diverged.
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
        self.lrs = check_positive(as_vector(lrs, "lrs"), "lrs")
        self.losses = as_repeats(losses, "losses", len(self.lrs), "lrs")
        self.smoothed: np.ndarray | None = None
        if smoothed is not None:
            self.smoothed = as_repeats(smoothed, "smoothed", len(self.lrs), "lrs")
            if self.smoothed.shape != self.losses.shape:
                raise ValueError(
                    f"smoothed must have the shape of losses, {self.losses.shape}, "
                    f"got {self.smoothed.shape}."
                )
        if not np.isfinite(self._curves()).any():
            raise ValueError("losses must hold at least one finite value.")
        for name, boundary in (("base_lr", base_lr), ("max_lr", max_lr)):
            if boundary is not None:
                check_positive(as_vector([boundary], name), name)
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
            The parameters of :func:`skclr.lr_range_test`, such as ``n_repeats`` or
            ``random_state``.

        Returns
        -------
        display : LRRangeDisplay
            The picture.

        Warns
        -----
        RangeTestWarning
            If the curve does not have a boundary, which is then not marked.

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
        sweeps = measure_sweeps(estimator, X, y, **range_test_params)
        for reason in sweeps.reasons:
            warnings.warn(reason, RangeTestWarning, stacklevel=2)
        display = cls(
            sweeps.lrs,
            sweeps.losses,
            base_lr=sweeps.base_lr,
            max_lr=sweeps.max_lr,
            smoothed=sweeps.smoothed,
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
        own_figure = ax is None
        if ax is None:
            ax = new_axes(ONE_PANEL)[0]
        self.ax_ = ax
        self.figure_ = ax.figure

        curves = self._curves()
        curves = curves[np.isfinite(curves).any(axis=1)]
        bottom, top = _limits(curves)
        diverged = self.lrs[~(_mean_until_one_ends(curves) <= top)]
        if self.kind == "candidates":
            curves = np.where(curves <= top, curves, np.nan)
        ax.set_xscale("log")
        self._draw_curves(ax, curves, line_kw)
        self.boundaries_ = [
            self._draw_boundary(ax, name, value)
            for name, value in (("base_lr", self.base_lr), ("max_lr", self.max_lr))
            if value is not None
        ]
        self.diverged_: Line2D | None = None
        if self.kind == "candidates" and len(diverged):
            self.diverged_ = self._draw_diverged(ax, diverged)
        ax.set_ylim(bottom, top)
        smoothed = self.kind == "sweep" and self.smoothed is not None
        ax.set_xlabel("learning rate (log scale)")
        ax.set_ylabel("training loss, smoothed" if smoothed else "training loss")
        self.legend_ = add_legend([ax], own_figure)
        return self

    def _curves(self) -> np.ndarray:
        curves = self.losses if self.smoothed is None else self.smoothed
        return np.where(np.isfinite(curves), curves, np.nan)

    def _draw_curves(self, ax: Axes, curves: np.ndarray, line_kw: Mapping[str, Any] | None) -> None:
        n_repeats = len(curves)
        style = {"color": BLUE, **THICK, "zorder": 3}
        if self.kind == "candidates":
            style |= {"marker": "o", "markersize": 6}
        style = merge_style(style, line_kw)
        mean = _mean_until_one_ends(curves)
        self.lines_: list[Line2D] = []
        self.fill_between_: PolyCollection | None = None
        if n_repeats > 1:
            for curve in curves:
                self.lines_ += ax.plot(self.lrs, curve, color=style["color"], **THIN)
            self.lines_[0].set_label("each repeat")
            self.fill_between_ = ax.fill_between(
                self.lrs,
                np.where(np.isfinite(mean), np.fmin.reduce(curves), np.nan),
                np.where(np.isfinite(mean), np.fmax.reduce(curves), np.nan),
                color=style["color"],
                label="lowest to highest repeat",
                **BAND,
            )
        one = "one sweep" if self.kind == "sweep" else "one model at each rate"
        label = f"mean of {n_repeats} repeats" if n_repeats > 1 else one
        self.lines_ += ax.plot(self.lrs, mean, **{"label": label, **style})

    @staticmethod
    def _draw_boundary(ax: Axes, name: str, value: float) -> Line2D:
        """Mark a boundary, its label where the curve is not: below a base_lr, above a max_lr."""
        left, right = np.log10(ax.get_xlim())
        room_on_the_left = (math.log10(value) - left) / (right - left) > 0.35
        if name == "base_lr":
            color, linestyle, upper_end = GREEN, "-.", 0.9
            height, va = (0.5, "center") if room_on_the_left else (0.03, "bottom")
        else:
            color, linestyle, upper_end = VERMILLION, "--", 1
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
    def _draw_diverged(ax: Axes, lrs: np.ndarray) -> Line2D:
        (markers,) = ax.plot(
            lrs,
            np.ones(len(lrs)),
            transform=ax.get_xaxis_transform(),
            linestyle="none",
            marker="X",
            markersize=9,
            color=VERMILLION,
            markeredgecolor="white",
            clip_on=False,
            zorder=5,
            label="diverged, or off the scale",
        )
        return markers


def _mean_until_one_ends(curves: np.ndarray) -> np.ndarray:
    """Return the mean of the curves that have begun, NaN from where the first of them has ended.

    Where others join in there is a gap of one rate: it goes on as the mean of more curves.
    """
    measured = np.isfinite(curves)
    begun = measured.cumsum(axis=1) > 0
    n_begun = begun.sum(axis=0)
    total = np.where(measured, curves, 0.0).sum(axis=0)
    joined_by_others = (n_begun[:-1] > 0) & (np.diff(n_begun) > 0)
    goes_on = (measured | ~begun).all(axis=0) & (n_begun > 0) & ~np.append(False, joined_by_others)
    return np.where(goes_on, total / np.maximum(n_begun, 1), np.nan)


def _limits(curves: np.ndarray) -> tuple[float, float]:
    """Return limits of the loss that show the interesting part of the curves."""
    mean = pd.DataFrame(curves).mean().dropna().to_numpy()
    start = float(np.median(mean[: max(1, len(mean) // 10)]))
    best = float(np.nanmin(curves))
    span = max(start - best, 0.1 * abs(start)) or 1.0
    return best - 0.12 * span, start + 0.3 * span
