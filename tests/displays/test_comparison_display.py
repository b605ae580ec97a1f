import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from display_data import comparison, tick_labels

from skclr import ScheduleComparison
from skclr.displays import ComparisonDisplay


def test_each_seed_is_a_point_and_the_mean_has_its_interval():
    compared = comparison()
    display = compared.plot()
    points = [line.get_xdata().tolist() for line in display.lines_]
    assert points[0] == [0.90, 0.91, 0.89, 0.90]
    np.testing.assert_allclose(points[2], [1, 0.5, 1, 0.5])  # doubling less halving, in points
    summary = compared.summary
    bars = [container.lines[2][0].get_segments()[0][:, 0] for container in display.intervals_]
    columns = ["test_accuracy_low", "test_accuracy_high"]
    np.testing.assert_allclose(bars[0], summary.loc["halving", columns].to_numpy(float))
    columns = ["difference_low", "difference_high"]
    np.testing.assert_allclose(bars[2], 100 * summary.loc["doubling", columns].to_numpy(float))
    assert tick_labels(display.ax_.yaxis) == ["halving", "doubling", "constant"]
    p_values = tick_labels(display.axes_[1].yaxis)
    assert p_values[0] == ""
    assert float(p_values[1]) == pytest.approx(summary.loc["doubling", "p_value_holm"], rel=0.05)
    assert "halving" in display.axes_[1].get_xlabel()
    assert display.ax_.get_ylim()[0] > display.ax_.get_ylim()[1]  # the first candidate on top


def test_failed_runs_are_left_out_and_a_candidate_without_any_says_so():
    display = comparison([("doubling", seed) for seed in range(4)]).plot()
    assert [text.get_text() for text in display.ax_.texts] == ["all failed"]
    assert len(display.intervals_) == 3
    one = comparison([("doubling", 1), ("halving", 0)]).plot()
    np.testing.assert_allclose(one.lines_[2].get_xdata(), [1, 0.5])


def test_a_single_seed_has_a_point_without_an_interval():
    runs = comparison().runs
    display = ScheduleComparison(runs[runs["seed"] == 0], pd.DataFrame()).plot()
    assert display.lines_[0].get_xdata().tolist() == [0.90]
    assert not display.intervals_[0].has_xerr


def test_a_comparison_is_drawn_into_two_given_axes():
    _, axes = plt.subplots(1, 2)
    assert list(comparison().plot(axes=axes).axes_) == list(axes)
    with pytest.raises(ValueError, match="axes must be 2 matplotlib Axes, got 1"):
        comparison().plot(axes=axes[:1])


def test_a_comparison_that_cannot_be_drawn_is_answered_in_one_sentence():
    compared = comparison()
    with pytest.raises(ValueError, match=r"summary must have rows.*p_value_holm"):
        ComparisonDisplay(compared.runs, compared.summary.drop(columns="p_value_holm"))
    with pytest.raises(ValueError, match="runs must have rows"):
        ComparisonDisplay(compared.runs[:0], compared.summary)
    with pytest.raises(ValueError, match="at least one that has succeeded"):
        ComparisonDisplay(compared.runs.assign(status="failed"), compared.summary)
