import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from display_data import boxes, texts_of, tick_labels

from skclr.displays import ScheduleDisplay


def test_a_schedule_is_the_rate_against_the_iteration():
    t = np.arange(100)
    display = ScheduleDisplay(t, np.linspace(0.01, 0.1, 100)).plot()
    (line,) = display.lines_
    np.testing.assert_array_equal(line.get_xdata(), t)
    np.testing.assert_array_equal(line.get_ydata(), np.linspace(0.01, 0.1, 100))
    assert display.axes_ == [display.ax_]
    assert display.epoch_axis_ is None
    assert display.legend_ is None


@pytest.mark.parametrize(
    ("lowest", "scale"), [(0.1, "linear"), (0.001, "linear"), (0.0009, "log"), (1e-6, "log")]
)
def test_the_rate_is_on_a_logarithmic_axis_where_most_of_it_is_below_a_hundredth(lowest, scale):
    display = ScheduleDisplay(range(3), [lowest, 0.1, lowest]).plot()
    assert display.ax_.get_yscale() == scale


def test_a_rate_of_zero_can_be_drawn():
    display = ScheduleDisplay(range(3), [0.0, 0.1, 0.0]).plot()
    assert display.ax_.get_ylim()[0] == 0


def test_epochs_stand_on_a_second_axis():
    display = ScheduleDisplay(range(400), np.ones(400), iterations_per_epoch=100).plot()
    display.figure_.canvas.draw()
    assert display.epoch_axis_.get_xlabel() == "epoch"
    np.testing.assert_allclose(display.epoch_axis_.get_xticks(), [0, 1, 2, 3, 4])
    low, high = display.ax_.get_xlim()
    np.testing.assert_allclose(display.epoch_axis_.get_xlim(), (low / 100, high / 100))


def test_epochs_of_different_lengths_stand_where_they_begin():
    lengths = [400, 200, 100, 50]
    display = ScheduleDisplay(range(750), np.ones(750), iterations_per_epoch=lengths).plot()
    display.figure_.canvas.draw()
    axis = display.epoch_axis_
    np.testing.assert_allclose(axis.get_xticks(), [0, 1, 2, 3, 4])
    drawn = axis.transData.transform([(tick, 0) for tick in axis.get_xticks()])[:, 0]
    expected = display.ax_.transData.transform([(t, 0) for t in (0, 400, 600, 700, 750)])[:, 0]
    np.testing.assert_allclose(drawn, expected)


def test_the_ticks_of_crowded_epochs_do_not_overlap_and_keep_the_last():
    lengths = np.repeat([1875, 937, 468, 234, 117, 58, 29, 14], 5)
    n = lengths.sum()
    display = ScheduleDisplay(range(n), np.ones(n), iterations_per_epoch=lengths).plot()
    display.figure_.canvas.draw()
    labels = boxes(display.epoch_axis_.get_xticklabels())
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(labels))
    assert display.epoch_axis_.get_xticks()[-1] == 40


def test_a_batch_size_that_varies_has_an_axis_of_its_own_to_the_base_two():
    sizes = np.repeat([32, 64, 128], 10)
    display = ScheduleDisplay(range(30), np.ones(30), batch_size=sizes).plot()
    assert len(display.axes_) == 2
    twin = display.axes_[1]
    assert twin.get_yscale() == "log"
    assert tick_labels(twin.yaxis) == ["32", "64", "128"]
    heights = twin.transData.transform([(0, size) for size in (32, 64, 128)])[:, 1]
    assert np.diff(heights)[0] == pytest.approx(np.diff(heights)[1])
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), sizes)
    assert texts_of(display.legend_) == ["learning rate", "batch size"]


def test_a_constant_batch_size_has_none():
    display = ScheduleDisplay(range(30), np.ones(30), batch_size=np.full(30, 64)).plot()
    assert display.axes_ == [display.ax_]


def test_many_batch_sizes_are_not_all_labelled():
    sizes = np.arange(1, 101)
    display = ScheduleDisplay(range(100), np.ones(100), batch_size=sizes).plot()
    assert len(tick_labels(display.axes_[1].yaxis)) <= 12


def test_several_schedules_in_one_picture_differ_in_colour_and_share_legend_and_epochs():
    t = range(200)
    first = ScheduleDisplay(t, np.full(200, 0.1), iterations_per_epoch=50, name="low").plot()
    second = ScheduleDisplay(t, np.full(200, 0.5), iterations_per_epoch=50, name="high")
    second.plot(ax=first.ax_)
    assert first.lines_[0].get_color() != second.lines_[0].get_color()
    assert first.ax_.get_ylim()[1] > 0.5
    assert second.epoch_axis_ is first.epoch_axis_
    assert len(first.ax_.child_axes) == 1
    assert [texts_of(legend) for legend in first.figure_.legends] == [["low", "high"]]
    assert first.ax_.get_legend() is None


def test_in_axes_that_are_given_the_legend_lies_within_them():
    _, ax = plt.subplots()
    display = ScheduleDisplay(range(9), np.ones(9), name="flat").plot(ax=ax)
    assert display.ax_ is ax
    assert ax.get_legend() is display.legend_


def test_line_kw_goes_over_the_default_whatever_the_name_of_the_property():
    display = ScheduleDisplay(range(9), np.ones(9)).plot(line_kw={"c": "black", "lw": 5})
    assert display.lines_[0].get_color() == "black"
    assert display.lines_[0].get_linewidth() == 5


def test_a_schedule_is_read_off_a_fitted_classifier(cyclical):
    display = ScheduleDisplay.from_estimator(cyclical)
    frame = cyclical.history_frame("batch")
    np.testing.assert_array_equal(display.iterations, frame["iteration"])
    np.testing.assert_array_equal(display.lr, frame["lr"])
    assert display.iterations_per_epoch.tolist() == [6, 6, 6]
    assert display.name == "triangular"
    assert len(display.axes_) == 1


def test_the_batch_size_read_off_a_classifier_is_the_schedules(doubling):
    display = ScheduleDisplay.from_estimator(doubling, name="growing")
    assert display.iterations_per_epoch.tolist() == [8, 4, 2]
    np.testing.assert_array_equal(display.batch_size, np.repeat([64, 128, 256], [8, 4, 2]))
    assert texts_of(display.legend_) == ["growing: learning rate", "growing: batch size"]


@pytest.mark.parametrize(
    ("args", "params", "message"),
    [
        (([0, 1], [0.1]), {}, "lr must hold a value for each of the 2 iterations, got 1"),
        (([], []), {}, "iterations must be 1-dimensional and not empty"),
        (([0, 1], [[0.1, 0.2]]), {}, "lr must be 1-dimensional"),
        (([0, 1], [0.1, 0.2]), {"batch_size": [32]}, "batch_size must hold a value for each"),
        (([0, 1], [0.1, 0.2]), {"batch_size": [32, 0]}, "batch_size must be finite and above 0"),
        (([0, 1], [0.1, 0.2]), {"iterations_per_epoch": 0}, "iterations_per_epoch must be finite"),
    ],
)
def test_a_schedule_that_cannot_be_drawn_is_answered_in_one_sentence(args, params, message):
    with pytest.raises(ValueError, match=message):
        ScheduleDisplay(*args, **params)
