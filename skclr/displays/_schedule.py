"""The picture of a schedule: learning rate and batch size against the iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skclr.displays._checks import as_vector, check_positive, read_history
from skclr.displays._style import (
    GREY,
    ONE_PANEL,
    PALETTE,
    add_legend,
    label_sizes,
    merge_style,
    new_axes,
    tick_whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axes._secondary_axes import SecondaryAxis


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
        self.iterations = as_vector(iterations, "iterations")
        self.lr = as_vector(lr, "lr", len(self.iterations), "iterations")
        self.batch_size: np.ndarray | None = None
        if batch_size is not None:
            sizes = as_vector(batch_size, "batch_size", len(self.iterations), "iterations")
            self.batch_size = check_positive(sizes, "batch_size")
        self.iterations_per_epoch = iterations_per_epoch
        if iterations_per_epoch is not None:
            lengths = as_vector(np.atleast_1d(iterations_per_epoch), "iterations_per_epoch")
            check_positive(lengths, "iterations_per_epoch")
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
        updates = read_history(estimator, "batch")
        epochs = read_history(estimator, "epoch").set_index("epoch")
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
        own_figure = ax is None
        if ax is None:
            ax = new_axes(ONE_PANEL)[0]
        self.ax_ = ax
        self.figure_ = ax.figure
        self.axes_ = [ax]

        alone = not ax.lines
        sizes = self.batch_size
        if sizes is not None and len(np.unique(sizes)) == 1:
            sizes = None  # a constant size needs no axis
        color = PALETTE[len(ax.lines) % len(PALETTE)]
        quantity = "learning rate"
        label = (self.name or quantity) if sizes is None else self._label(quantity)
        style = merge_style({"label": label, "color": color, "linewidth": 1.8}, line_kw)
        self.lines_ = ax.plot(self.iterations, self.lr, **style)
        self._scale_rates(ax)
        ax.set_xlabel("iteration (updates)")
        ax.set_ylabel("learning rate")
        tick_whole_numbers(ax.xaxis, 6)
        if sizes is not None:
            self._draw_batch_size(ax, sizes)
        self.epoch_axis_ = self._draw_epochs(ax)

        # within others' axes a legend would lie on one of the two lines, which name their axes
        labels_suffice = alone and (self.name is None if sizes is None else not own_figure)
        self.legend_ = None if labels_suffice else add_legend(self.axes_, own_figure)
        return self

    def _label(self, quantity: str) -> str:
        return quantity if self.name is None else f"{self.name}: {quantity}"

    def _scale_rates(self, ax: Axes) -> None:
        positive = self.lr[self.lr > 0]
        if len(positive) and positive.max() > 100 * np.median(positive):
            ax.set_yscale("log")
        if ax.get_yscale() == "linear":
            ax.set_ylim(bottom=0, auto=None)  # None: another display may come into these axes

    def _draw_batch_size(self, ax: Axes, sizes: np.ndarray) -> None:
        twin = ax.twinx()
        self.lines_ += twin.plot(
            self.iterations,
            sizes,
            label=self._label("batch size"),
            color=GREY,
            linestyle="--",
            drawstyle="steps-post",
            linewidth=1.8,
        )
        label_sizes(twin, "y", sizes)
        twin.set_ylabel("batch size (samples, dashed)")
        ax.set_ylabel("learning rate (solid)")
        self.axes_.append(twin)

    def _draw_epochs(self, ax: Axes) -> SecondaryAxis | None:
        if self.iterations_per_epoch is None:
            return None
        existing: list[Any] = [child for child in ax.child_axes if child.get_xlabel() == "epoch"]
        if existing:
            return existing[0]
        to_epochs, to_iterations = _epoch_scale(self.iterations_per_epoch)
        axis = ax.secondary_xaxis("top", functions=(to_epochs, to_iterations))
        axis.set_xlabel("epoch")
        first, last = self.iterations[0], self.iterations[-1] + 1
        axis.set_ticks(_epoch_ticks(first, last, to_epochs, to_iterations))
        return axis


def _epoch_scale(iterations_per_epoch: ArrayLike) -> tuple[Callable, Callable]:
    """Return the functions iteration -> epochs passed, and back."""
    lengths = np.atleast_1d(np.asarray(iterations_per_epoch, dtype=float))
    far = 1e6  # the first and the last epoch's length hold for all before and after
    epochs = np.concatenate([[-far], np.arange(len(lengths) + 1), [len(lengths) + far]])
    ends = np.concatenate([[0], np.cumsum(lengths)])
    ends = np.concatenate([[-far * lengths[0]], ends, [ends[-1] + far * lengths[-1]]])
    return lambda t: np.interp(t, ends, epochs), lambda e: np.interp(e, epochs, ends)


def _epoch_ticks(
    first: float, last: float, to_epochs: Callable, to_iterations: Callable
) -> list[float]:
    """Return whole epochs with room for a label each; of a crowd, the last one stays."""
    from matplotlib.ticker import MaxNLocator

    begin, end = to_epochs(first), to_epochs(last)
    ticks = MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]).tick_values(begin, end)
    spaced: list[float] = []
    for tick in ticks[(ticks >= begin) & (ticks <= end + 1e-9)][::-1]:
        if not spaced or to_iterations(spaced[-1]) - to_iterations(tick) >= 0.06 * (last - first):
            spaced.append(tick)
    return spaced[::-1]
