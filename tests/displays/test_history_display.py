import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from display_data import assert_nothing_is_cut_off, history, texts_of

from skclr.displays import HistoryDisplay


def test_loss_and_accuracy_stand_side_by_side_training_dashed_validation_solid():
    display = HistoryDisplay(history()).plot()
    loss, accuracy = display.axes_
    assert "loss" in loss.get_ylabel()
    assert "accuracy" in accuracy.get_ylabel()
    assert [line.get_linestyle() for line in display.lines_] == ["--", "-", "--", "-"]
    assert len({line.get_color() for line in display.lines_}) == 1
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), history()["valid_loss"])
    np.testing.assert_array_equal(display.lines_[2].get_ydata(), history()["train_acc"])
    assert texts_of(display.legend_) == ["training", "validation"]


def test_validation_that_is_all_nan_is_left_out():
    display = HistoryDisplay(history(valid_loss=np.nan, valid_acc=np.nan)).plot()
    assert [line.get_linestyle() for line in display.lines_] == ["--", "--"]
    assert texts_of(display.legend_) == ["training"]


def test_a_panel_without_curves_says_so():
    frame = history()[["epoch", "train_loss"]]
    display = HistoryDisplay(frame).plot()
    assert [text.get_text() for text in display.axes_[1].texts] == ["not recorded"]


def test_nothing_recorded_at_all_is_no_error():
    frame = pd.DataFrame({"epoch": [1], "train_loss": [np.nan]})
    assert HistoryDisplay(frame).plot().legend_ is None


def test_a_name_keeps_its_colour_in_both_panels_and_names_differ():
    display = HistoryDisplay({"one": history(), "the other": history(6)}).plot()
    colors = {}
    for line in display.lines_:
        colors.setdefault(line.get_label().split(",")[0], set()).add(line.get_color())
    assert len(colors["one"]) == len(colors["the other"]) == 1
    assert colors["one"] != colors["the other"]
    assert texts_of(display.legend_) == ["one", "the other", "training", "validation"]


def test_many_names_have_as_many_colours():
    display = HistoryDisplay({f"run {i}": history() for i in range(12)}).plot()
    assert len({tuple(np.atleast_1d(line.get_color())) for line in display.lines_}) == 12
    assert_nothing_is_cut_off(display.figure_)


@pytest.mark.parametrize("n_epochs", [1, 2, 5, 50])
def test_the_ticks_of_the_epochs_are_whole_numbers(n_epochs):
    display = HistoryDisplay(history(n_epochs)).plot()
    ticks = display.ax_.get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_a_single_epoch_can_be_seen():
    assert HistoryDisplay(history(1)).plot().lines_[0].get_marker() == "o"


def test_the_history_is_drawn_into_given_axes():
    _, axes = plt.subplots(2, 1)
    display = HistoryDisplay(history()).plot(axes=axes)
    assert list(display.axes_) == list(axes)
    assert axes[1].get_legend() is display.legend_


@pytest.mark.parametrize("n_axes", [1, 3])
def test_a_history_needs_two_axes(n_axes):
    _, axes = plt.subplots(1, n_axes)
    with pytest.raises(ValueError, match=f"axes must be 2 matplotlib Axes, got {n_axes}"):
        HistoryDisplay(history()).plot(axes=axes)


def test_the_history_is_read_off_a_fitted_classifier(cyclical):
    display = HistoryDisplay.from_estimator(cyclical)
    pd.testing.assert_frame_equal(display.history, cyclical.history_frame())
    assert len(display.lines_) == 4
    named = HistoryDisplay.from_estimator(cyclical, name="CLR")
    assert texts_of(named.legend_) == ["CLR", "training", "validation"]


@pytest.mark.parametrize(
    "frames",
    [
        {},
        pd.DataFrame({"epoch": [1, 2]}),
        pd.DataFrame({"train_loss": [1, 2]}),
        pd.DataFrame({"epoch": [], "train_loss": []}),
        {"fine": history(), "not": pd.DataFrame()},
        [1, 2],
    ],
)
def test_a_history_that_cannot_be_drawn_is_answered_in_one_sentence(frames):
    with pytest.raises(ValueError, match="history must"):
        HistoryDisplay(frames)
