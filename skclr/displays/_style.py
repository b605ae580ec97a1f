"""What the pictures have in common: colours, sizes, axes, ticks and legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.legend import Legend

# Okabe and Ito's colours, which people with any colour vision tell apart
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PALETTE = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#555555"

THIN: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.45}
THICK: dict[str, Any] = {"linewidth": 2.2}
BAND: dict[str, Any] = {"alpha": 0.22, "linewidth": 0}

# small in inches, so that text of the usual size is large beside it
ONE_PANEL = (5.6, 4.0)
SIDE_BY_SIDE = (8.0, 3.8)
ONE_ABOVE_THE_OTHER = (5.6, 6.0)
THREE_ABOVE_EACH_OTHER = (5.6, 8.4)

_LEGEND_ID = "skclr legend"


def new_axes(
    size: tuple[float, float], n_rows: int = 1, n_columns: int = 1, n_shared: int = 1
) -> np.ndarray:
    """Return new axes, of which the first so many have their x-axis in common."""
    import matplotlib.pyplot as plt

    _, grid = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
    axes = grid.ravel()
    for ax in axes[: n_shared - 1]:
        ax.sharex(axes[n_shared - 1])
        ax.tick_params(labelbottom=False)
    return axes


def check_axes(axes: Any, n: int, name: str) -> np.ndarray:
    """Return the axes that were given as an array of n; raise ValueError if they are not n."""
    array = np.ravel(np.asarray(axes, dtype=object))
    if len(array) != n:
        raise ValueError(f"{name} must be {n} matplotlib Axes, got {len(array)}.")
    return array


def merge_style(style: Mapping[str, Any], line_kw: Mapping[str, Any] | None) -> dict[str, Any]:
    """Put a caller's properties of a line over ours, "lw" over "linewidth" too."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**style, **normalize_kwargs(dict(line_kw or {}), Line2D)}


def add_legend(
    axes: Sequence[Axes] | np.ndarray, own_figure: bool, handles: Sequence[Artist] | None = None
) -> Legend | None:
    """Put the legend under the panels of our own figures, and where it fits into others' axes."""
    ax = axes[-1]
    figure: Any = ax.figure
    ours = [legend for legend in figure.legends if legend.get_gid() == _LEGEND_ID]
    within = not own_figure and not ours
    if handles is None:
        handles = _labelled(axes if within else figure.axes)
    if not handles:
        return None
    if within:
        return ax.legend(handles=handles, loc="best")
    for legend in ours:  # a second display drawn into our figure
        legend.remove()
    longest = max(len(str(handle.get_label())) for handle in handles)
    n_columns = int(figure.get_figwidth() * 13 / (longest + 6))
    legend = figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=max(1, min(len(handles), n_columns)),
        frameon=False,
    )
    legend.set_gid(_LEGEND_ID)
    return legend


def _labelled(axes: Sequence[Axes] | np.ndarray) -> list[Artist]:
    return [handle for ax in axes for handle in ax.get_legend_handles_labels()[0]]


def distinct_colors(n: int) -> Sequence[Any] | np.ndarray:
    """Return n colours, those of the palette as long as it has enough."""
    if n <= len(PALETTE):
        return PALETTE[:n]
    import matplotlib

    return matplotlib.colormaps["viridis"](np.linspace(0, 0.92, n))


def tick_whole_numbers(axis: Axis, n_ticks: int = 8) -> None:
    """Put the ticks of an axis on whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(n_ticks, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def label_sizes(ax: Axes, axis: str, sizes: np.ndarray) -> None:
    """Make an axis logarithmic to the base 2, with the sizes themselves on its ticks."""
    from matplotlib.ticker import NullLocator

    sizes = np.unique(sizes)
    apart = (sizes[-1] / sizes[0]) ** (1 / 11.5)  # at most twelve, none in the way of another
    shown = [sizes[0]]
    for size in sizes[1:]:
        if size >= apart * shown[-1]:
            shown.append(size)
    (ax.set_xscale if axis == "x" else ax.set_yscale)("log", base=2)
    scaled: Axis = ax.xaxis if axis == "x" else ax.yaxis
    scaled.set_minor_locator(NullLocator())
    scaled.set_ticks(shown, labels=[f"{size:.0f}" for size in shown])
