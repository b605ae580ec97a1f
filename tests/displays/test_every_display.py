import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import pytest
from display_data import assert_nothing_is_cut_off, displays
from sklearn.exceptions import NotFittedError

from skclr import CLRLeNetClassifier
from skclr.displays import BatchSizeDisplay, HistoryDisplay, ScheduleDisplay


@pytest.mark.parametrize("name", displays())
def test_plot_returns_the_display_and_keeps_its_artists(name):
    display = displays()[name]
    assert display.plot() is display
    assert display.ax_.figure is display.figure_
    assert display.lines_
    assert all(line.axes.figure is display.figure_ for line in display.lines_)


@pytest.mark.parametrize("name", displays())
def test_nothing_is_cut_off_at_the_border_of_the_figure(name):
    assert_nothing_is_cut_off(displays()[name].plot().figure_)


@pytest.mark.parametrize("name", displays())
def test_the_legend_of_an_own_figure_lies_outside_the_axes(name):
    display = displays()[name].plot()
    display.figure_.canvas.draw()
    legend = display.legend_.get_window_extent()
    for ax in display.figure_.axes:
        assert not legend.overlaps(ax.get_window_extent())


@pytest.mark.parametrize("name", displays())
def test_every_axis_is_labelled(name):
    figure = displays()[name].plot().figure_
    assert all(ax.get_ylabel() for ax in figure.axes)
    below = [
        ax for ax in figure.axes if ax.xaxis.get_visible() and ax.get_subplotspec().is_last_row()
    ]
    assert all(ax.get_xlabel() for ax in below)


@pytest.mark.parametrize("name", displays())
def test_a_display_can_be_drawn_twice(name):
    display = displays()[name]
    first = display.plot().figure_
    second = display.plot().figure_
    assert first is not second
    assert len(first.axes) == len(second.axes)


@pytest.mark.parametrize("name", displays())
def test_drawing_does_not_touch_the_global_settings(name):
    before = dict(matplotlib.rcParams)
    displays()[name].plot()
    assert dict(matplotlib.rcParams) == before


def test_importing_the_displays_does_not_import_matplotlib():
    script = "import sys, skclr, skclr.displays; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("display", [ScheduleDisplay, HistoryDisplay, BatchSizeDisplay])
def test_an_estimator_that_is_not_fitted_is_refused(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(CLRLeNetClassifier())
    assert not plt.get_fignums()


@pytest.mark.parametrize("display", [ScheduleDisplay, HistoryDisplay, BatchSizeDisplay])
def test_an_estimator_without_a_history_frame_is_refused(display):
    with pytest.raises(TypeError, match="estimator must be a CLRLeNetClassifier"):
        display.from_estimator(object())
