import itertools
import subprocess
import sys
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from skclr import (
    CLRLeNetClassifier,
    GradientNoiseScale,
    LRRangeResult,
    ScheduleComparison,
    schedules,
)
from skclr.displays import (
    BatchSizeDisplay,
    ComparisonDisplay,
    HistoryDisplay,
    LRRangeDisplay,
    ScheduleDisplay,
)


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def cyclical():
    X, y = load_digits(return_X_y=True)
    return CLRLeNetClassifier(
        schedule="triangular",
        base_lr=0.001,
        max_lr=0.05,
        step_size=1,
        max_epochs=3,
        validation_fraction=0.25,
        random_state=0,
    ).fit(X[:500], y[:500])


@pytest.fixture(scope="module")
def doubling():
    X, y = load_digits(return_X_y=True)
    return CLRLeNetClassifier(
        schedule="batch_doubling",
        max_lr=0.05,
        batch_size=64,
        max_batch_size=256,
        step_size=1,
        max_epochs=3,
        random_state=0,
    ).fit(X[:500], y[:500])


def sweep(n_repeats=3):
    """Return the loss of a sweep that falls, turns up and ends at different rates."""
    lrs = np.logspace(-6, 1, 140)
    curve = 2.3 - 1.5 / (1 + 1e-3 / lrs) + (lrs / 0.3) ** 3
    losses = np.array([curve + 0.05 * repeat for repeat in range(n_repeats)])
    for repeat in range(n_repeats):
        losses[repeat, 130 - 3 * repeat :] = np.nan
    return lrs, losses


def history(n_epochs=4, **columns):
    epoch = np.arange(1, n_epochs + 1)
    frame = {
        "epoch": epoch,
        "train_loss": 1.5 / epoch,
        "train_acc": 1 - 0.5 / epoch,
        "valid_loss": 1.2 / epoch,
        "valid_acc": 1 - 0.4 / epoch,
    }
    return pd.DataFrame(frame | columns)


def comparison(failed=()):
    """Return a comparison of three candidates over four seeds, some of whose runs have failed."""
    accuracies = {
        "halving": [0.90, 0.91, 0.89, 0.90],
        "doubling": [0.91, 0.915, 0.90, 0.905],
        "constant": [0.85, 0.88, 0.86, 0.87],
    }
    rows = [
        {
            "candidate": name, "seed": seed, "test_accuracy": accuracy, "test_loss": 0.3,
            "status": "failed" if (name, seed) in failed else "ok", "train_loss": 0.2, "gap": 0.1,
            "seconds": 1.0, "epochs": 2, "updates": 10, "samples": 100,
        }
        for name, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]  # fmt: skip
    epochs = [
        {
            "candidate": name, "seed": seed, "epoch": epoch, "batch_size": 32 * epoch,
            "train_loss": 1 / epoch + seed / 100, "test_accuracy": 0.9 - 0.1 / epoch,
            "noise_scale": np.nan if name == "halving" else 100.0 * epoch + seed,
        }
        for name in accuracies
        for seed in range(4)
        for epoch in (1, 2, 3)[: 1 if (name, seed) in failed else 3]
    ]  # fmt: skip
    return ScheduleComparison(pd.DataFrame(rows), pd.DataFrame(epochs))


def texts_of(legend):
    return [text.get_text() for text in legend.get_texts()]


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def assert_nothing_is_cut_off(figure):
    figure.canvas.draw()
    inside = figure.get_tightbbox()
    assert inside.x0 >= 0
    assert inside.y0 >= 0
    assert inside.x1 <= figure.get_figwidth()
    assert inside.y1 <= figure.get_figheight()


def boxes(artists):
    return [artist.get_window_extent() for artist in artists]


# ---------------------------------------------------------------- all of them


def displays():
    t = np.arange(300)
    sizes = [32, 32, 64, 64, 128, 128]
    loss = [0.8, 0.6, 0.5, 0.45, 0.44, 0.43]
    lrs, losses = sweep()
    return {
        "range": LRRangeDisplay(lrs, losses, base_lr=1e-4, max_lr=0.05),
        "schedule": ScheduleDisplay(
            t,
            schedules.triangular(t, base_lr=0.01, max_lr=0.1, step_size=50),
            batch_size=np.repeat([32, 64], 150),
            iterations_per_epoch=100,
            name="cyclical",
        ),
        "history": HistoryDisplay({"one": history(), "the other": history(6)}),
        "batch size": BatchSizeDisplay(sizes, loss, test_accuracy=1 - np.array(loss)),
        "noise scale": BatchSizeDisplay(
            sizes,
            loss,
            test_accuracy=1 - np.array(loss),
            noise_scale=[30, 90, 80, 200, np.inf, 900],
        ),
        "comparison": ComparisonDisplay(comparison().runs, comparison().summary),
    }


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


# ---------------------------------------------------------------- LRRangeDisplay


def test_a_sweep_shows_every_repeat_thin_and_their_mean_thick_with_a_band():
    lrs, losses = sweep()
    display = LRRangeDisplay(lrs, losses).plot()
    *repeats, mean = display.lines_
    for line, curve in zip(repeats, losses, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curve)
        assert line.get_linewidth() < mean.get_linewidth()
    np.testing.assert_allclose(mean.get_ydata()[:100], losses[1, :100])
    assert display.fill_between_ is not None
    assert texts_of(display.legend_) == [
        "each repeat",
        "lowest to highest repeat",
        "mean of 3 repeats",
    ]


def test_the_mean_of_a_sweep_ends_with_its_first_repeat():
    lrs, losses = sweep()
    mean = LRRangeDisplay(lrs, losses).plot().lines_[-1].get_ydata()
    np.testing.assert_array_equal(np.isfinite(mean), np.isfinite(losses).all(axis=0))


def test_a_repeat_without_any_finite_loss_is_left_out_of_the_mean():
    lrs, losses = sweep()
    losses[1] = np.nan
    display = LRRangeDisplay(lrs, losses).plot()
    assert len(display.lines_) == 3
    assert np.isfinite(display.lines_[-1].get_ydata()).sum() > 100


def test_smoothed_losses_are_drawn_in_place_of_the_raw_ones():
    lrs, losses = sweep()
    display = LRRangeDisplay(lrs, losses + 1, smoothed=losses).plot()
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), losses[0])
    assert "smoothed" in display.ax_.get_ylabel()


def test_a_single_sweep_has_one_line_and_no_band():
    lrs, losses = sweep(n_repeats=1)
    display = LRRangeDisplay(lrs, losses[0]).plot()
    assert display.losses.shape == (1, len(lrs))
    assert len(display.lines_) == 1
    assert display.fill_between_ is None


def test_both_boundaries_are_marked_and_labelled_with_their_values():
    lrs, losses = sweep()
    display = LRRangeDisplay(lrs, losses, base_lr=0.00123, max_lr=0.0456).plot()
    assert [line.get_xdata()[0] for line in display.boundaries_] == [0.00123, 0.0456]
    assert [text.get_text() for text in display.ax_.texts] == [
        "base_lr = 0.0012",
        "max_lr = 0.046",
    ]


def test_a_boundary_that_was_not_found_is_not_marked():
    lrs, losses = sweep()
    display = LRRangeDisplay(lrs, losses, max_lr=0.05).plot()
    assert [text.get_text() for text in display.ax_.texts] == ["max_lr = 0.05"]


@pytest.mark.parametrize(
    ("base_lr", "max_lr"), [(1e-6, 2e-6), (1e-6, 5), (1e-4, 1.1e-4), (0.5, 1), (1e-4, 0.05)]
)
def test_the_labels_of_the_boundaries_lie_within_the_axes_and_apart(base_lr, max_lr):
    lrs, losses = sweep()
    display = LRRangeDisplay(lrs, losses, base_lr=base_lr, max_lr=max_lr).plot()
    display.figure_.canvas.draw()
    first, second = boxes(display.ax_.texts)
    assert not first.overlaps(second)
    axes = display.ax_.get_window_extent()
    assert all(axes.x0 <= box.x0 and box.x1 <= axes.x1 for box in (first, second))


def test_the_rate_is_on_a_logarithmic_axis():
    assert LRRangeDisplay(*sweep()).plot().ax_.get_xscale() == "log"


def test_what_diverged_is_cut_off_and_does_not_squash_the_fall():
    lrs, losses = sweep()
    assert np.nanmax(losses) > 1000
    bottom, top = LRRangeDisplay(lrs, losses).plot().ax_.get_ylim()
    start, best = losses[:, 0].max(), np.nanmin(losses)
    assert bottom < best
    assert start < top < start + 0.5 * (start - best)
    assert (start - best) / (top - bottom) > 0.6


@pytest.mark.parametrize("level", [2.3, 0.0])
def test_a_flat_curve_is_drawn_as_such(level):
    bottom, top = LRRangeDisplay([1e-3, 1e-2, 1e-1], [level] * 3).plot().ax_.get_ylim()
    assert bottom < level < top


def candidates():
    lrs = np.logspace(-9, 1, 10)
    return lrs, np.array([2.3, 2.3, 2.3, 2.3, 2.2, 1.4, 0.7, 0.5, 199.0, np.nan])


def test_candidates_that_diverged_are_markers_at_the_upper_edge():
    lrs, losses = candidates()
    display = LRRangeDisplay(lrs, losses, max_lr=lrs[7], kind="candidates").plot()
    markers = display.diverged_
    np.testing.assert_allclose(markers.get_xdata(), lrs[8:])
    at_the_edge = display.ax_.transAxes.transform([(0, 1)])[0, 1]
    drawn = markers.get_transform().transform(markers.get_xydata())
    np.testing.assert_allclose(drawn[:, 1], at_the_edge)
    assert markers.get_marker() != display.lines_[-1].get_marker()
    assert "diverged, or off the scale" in texts_of(display.legend_)
    assert_nothing_is_cut_off(display.figure_)


def test_candidates_are_markers_with_a_line_and_have_no_markers_above_if_none_diverged():
    lrs, losses = candidates()
    display = LRRangeDisplay(lrs[:8], losses[:8], kind="candidates").plot()
    assert display.lines_[-1].get_marker() == "o"
    assert display.lines_[-1].get_linestyle() == "-"
    assert display.diverged_ is None


def test_a_rate_at_which_one_repeat_diverged_counts_as_diverged():
    lrs, losses = candidates()
    second = np.where(lrs == lrs[7], np.nan, losses)
    display = LRRangeDisplay(lrs, [losses, second], kind="candidates").plot()
    np.testing.assert_allclose(display.diverged_.get_xdata(), lrs[7:])


def test_no_warning_is_given_whatever_is_not_finite():
    lrs, losses = candidates()
    losses = np.vstack([losses, losses[::-1], np.full(10, np.nan), np.full(10, np.inf)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("sweep", "candidates"):
            LRRangeDisplay(lrs, losses, kind=kind).plot().figure_.canvas.draw()


def test_from_estimator_runs_a_range_test_and_draws_its_result(monkeypatch):
    lrs, losses = sweep()
    calls = []

    def lr_range_test(estimator, X, y, **params):
        calls.append((estimator, X, y, params))
        return LRRangeResult(lrs, losses, losses - 0.1, 1e-4, 0.05)

    monkeypatch.setattr("skclr.range_test.lr_range_test", lr_range_test)
    _, ax = plt.subplots()
    display = LRRangeDisplay.from_estimator("net", "X", "y", ax=ax, n_repeats=3, random_state=0)
    assert calls == [("net", "X", "y", {"n_repeats": 3, "random_state": 0})]
    assert display.ax_ is ax
    assert (display.base_lr, display.max_lr) == (1e-4, 0.05)
    np.testing.assert_array_equal(display.losses, losses)
    np.testing.assert_array_equal(display.smoothed, losses - 0.1)


def test_the_result_of_a_range_test_draws_itself():
    lrs, losses = candidates()
    result = LRRangeResult(lrs, losses[None], losses[None], None, lrs[7], kind="candidates")
    display = result.plot()
    assert display.kind == "candidates"
    assert display.diverged_ is not None


@pytest.mark.parametrize(
    ("args", "params", "message"),
    [
        (([1, 2], [[1.0, 2.0]]), {"kind": "swoop"}, "kind must be 'sweep' or 'candidates'"),
        (([1, 2], [[1.0, 2.0, 3.0]]), {}, "losses must have shape"),
        (([1, 2], np.ones((1, 1, 2))), {}, "losses must have shape"),
        (([1, 2], np.ones((2, 2))), {"smoothed": np.ones((1, 2))}, "smoothed must have the shape"),
        (([[1, 2]], [[1.0, 2.0]]), {}, "lrs must be 1-dimensional"),
        (([], [[]]), {}, "lrs must be 1-dimensional and not empty"),
        (([0, 1], [[1.0, 2.0]]), {}, "lrs must be finite and above 0, got 0"),
        (([1, 2], [[1.0, 2.0]]), {"base_lr": -1.0}, "base_lr must be finite and above 0"),
        (([1, 2], [[1.0, 2.0]]), {"max_lr": np.nan}, "max_lr must be finite and above 0"),
        (([1, 2], [[np.nan, np.inf]]), {}, "losses must hold at least one finite value"),
    ],
)
def test_a_range_that_cannot_be_drawn_is_answered_in_one_sentence(args, params, message):
    with pytest.raises(ValueError, match=message):
        LRRangeDisplay(*args, **params)


# ---------------------------------------------------------------- ScheduleDisplay


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


# ---------------------------------------------------------------- HistoryDisplay


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


# ---------------------------------------------------------------- BatchSizeDisplay

SIZES = np.repeat([32, 64, 128, 256], 3)
LOSS = np.linspace(0.8, 0.25, 12) ** 2


def test_sizes_stand_at_equal_distances_and_label_the_axis():
    display = BatchSizeDisplay(SIZES, LOSS).plot()
    assert tick_labels(display.ax_.xaxis) == ["32", "64", "128", "256"]
    places = display.ax_.transData.transform([(size, 0) for size in (32, 64, 128, 256)])[:, 0]
    np.testing.assert_allclose(np.diff(places), np.diff(places)[0])
    assert r"\log_2" in display.ax_.get_xlabel()


def test_epochs_are_points_and_the_mean_of_each_size_is_the_line():
    display = BatchSizeDisplay(SIZES, LOSS).plot()
    np.testing.assert_array_equal(display.points_[0].get_ydata(), LOSS)
    assert display.points_[0].get_linestyle() == "None"
    np.testing.assert_allclose(display.lines_[0].get_ydata(), LOSS.reshape(4, 3).mean(axis=1))
    assert display.fill_between_ == []


def test_sizes_may_come_in_any_order():
    order = np.random.default_rng(0).permutation(12)
    display = BatchSizeDisplay(SIZES[order], LOSS[order]).plot()
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [32, 64, 128, 256])
    np.testing.assert_allclose(display.lines_[0].get_ydata(), LOSS.reshape(4, 3).mean(axis=1))


def test_seeds_are_a_band_from_the_lowest_to_the_highest():
    seeds = LOSS + np.array([[0.0], [0.03], [-0.02]])
    display = BatchSizeDisplay(SIZES, seeds).plot()
    (band,) = display.fill_between_
    means = LOSS.reshape(4, 3).mean(axis=1)
    outline = band.get_paths()[0].vertices
    assert outline[:, 1].min() == pytest.approx(means.min() - 0.02)
    assert outline[:, 1].max() == pytest.approx(means.max() + 0.03)
    np.testing.assert_allclose(display.lines_[0].get_ydata(), means + 0.01 / 3)
    assert len(display.points_[0].get_ydata()) == 36
    assert "lowest to highest of 3 seeds" in texts_of(display.legend_)


def test_a_seed_that_failed_is_left_out():
    seeds = np.vstack([LOSS, np.full(12, np.nan)])
    display = BatchSizeDisplay(SIZES, seeds).plot()
    np.testing.assert_allclose(display.lines_[0].get_ydata(), LOSS.reshape(4, 3).mean(axis=1))


def test_the_accuracy_stands_in_a_panel_below_with_the_same_sizes():
    display = BatchSizeDisplay(SIZES, LOSS, test_accuracy=1 - LOSS).plot()
    above, below = display.axes_
    assert above.get_position().y0 > below.get_position().y1
    assert "accuracy" in below.get_ylabel()
    assert above.get_xlim() == below.get_xlim()
    np.testing.assert_allclose(display.lines_[1].get_ydata(), 1 - display.lines_[0].get_ydata())


def test_a_batch_size_display_is_drawn_into_given_axes():
    _, ax = plt.subplots()
    assert BatchSizeDisplay(SIZES, LOSS).plot(ax=ax).ax_ is ax
    _, axes = plt.subplots(2, 1)
    display = BatchSizeDisplay(SIZES, LOSS, test_accuracy=1 - LOSS).plot(ax=axes)
    assert list(display.axes_) == list(axes)


def test_a_batch_size_display_needs_as_many_axes_as_panels():
    _, axes = plt.subplots(2, 1)
    with pytest.raises(ValueError, match="ax must be 2 matplotlib Axes, got 1"):
        BatchSizeDisplay(SIZES, LOSS, test_accuracy=1 - LOSS).plot(ax=axes[0])
    with pytest.raises(ValueError, match="ax must be 1 matplotlib Axes, got 2"):
        BatchSizeDisplay(SIZES, LOSS).plot(ax=axes)


def test_batch_sizes_are_read_off_a_fitted_classifier(doubling, cyclical):
    display = BatchSizeDisplay.from_estimator(doubling)
    np.testing.assert_array_equal(display.batch_size, [64, 128, 256])
    np.testing.assert_array_equal(display.train_loss[0], doubling.history_frame()["train_loss"])
    assert display.test_accuracy is None
    with_validation = BatchSizeDisplay.from_estimator(cyclical)
    np.testing.assert_array_equal(
        with_validation.test_accuracy[0], cyclical.history_frame()["valid_acc"]
    )


@pytest.mark.parametrize(
    ("args", "params", "message"),
    [
        (([32, 64], [0.5]), {}, "train_loss must have shape"),
        (([32, 64], np.ones((2, 3))), {}, "train_loss must have shape"),
        (([32, 0], [0.5, 0.4]), {}, "batch_size must be finite and above 0, got 0"),
        (([32, 64], [0.5, 0.4]), {"test_accuracy": [0.5]}, "test_accuracy must have shape"),
        (([], []), {}, "batch_size must be 1-dimensional and not empty"),
        (([32, 64], [0.5, 0.4]), {"noise_scale": [1.0]}, "noise_scale must have shape"),
        (([32, 64], [0.5, 0.4]), {"noise_scale": [np.inf, np.nan]}, "at least one finite value"),
    ],
)
def test_batch_sizes_that_cannot_be_drawn_are_answered_in_one_sentence(args, params, message):
    with pytest.raises(ValueError, match=message):
        BatchSizeDisplay(*args, **params)


def test_the_noise_scale_stands_against_the_epoch_beside_the_batch_size():
    noise = 2.0 ** np.arange(12)
    noise[3] = np.inf
    display = BatchSizeDisplay(SIZES, LOSS, noise_scale=noise).plot()
    loss, scale = display.axes_
    assert scale.get_xlabel() == "epoch"
    assert scale.get_yscale() == "log"
    _, line, sizes = display.lines_
    assert line.get_xdata().tolist() == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    assert line.get_ydata().tolist() == [2.0**k for k in range(12) if k != 3]
    assert sizes.get_ydata().tolist() == SIZES.tolist()
    assert loss.get_xlim() != scale.get_xlim()
    assert "noise scale" in texts_of(display.legend_)
    assert "batch size" in texts_of(display.legend_)


def test_the_noise_scale_of_several_seeds_is_a_median_in_a_band():
    noise = np.array([[10.0, 20.0], [30.0, np.inf], [90.0, 60.0]])
    display = BatchSizeDisplay([32, 64], [0.5, 0.4], noise_scale=noise).plot()
    assert display.lines_[1].get_ydata().tolist() == [30, 60]  # of 20, infinity and 60
    (band,) = display.fill_between_
    low, high = (
        band.get_paths()[0].vertices.min(axis=0)[1],
        band.get_paths()[0].vertices.max(axis=0)[1],
    )
    assert (low, high) == (10, 90)


def test_the_noise_scale_is_read_off_a_fitted_classifier(two_classes):
    clf = CLRLeNetClassifier(
        max_epochs=2, random_state=0, callbacks=[GradientNoiseScale(10, 4)]
    ).fit(*two_classes)
    display = BatchSizeDisplay.from_estimator(clf)
    assert display.noise_scale[0].tolist() == clf.history_[:, "noise_scale"]
    assert len(display.axes_) == 2


def test_the_seeds_of_a_compared_candidate_are_a_band():
    display = BatchSizeDisplay.from_comparison(comparison(), "doubling")
    assert display.train_loss.shape == (4, 3)
    assert display.batch_size.tolist() == [32, 64, 96]
    np.testing.assert_allclose(display.noise_scale[:, 1], [200, 201, 202, 203])
    assert len(display.fill_between_) == 3
    without = BatchSizeDisplay.from_comparison(comparison([("halving", 2)]), "halving")
    assert without.train_loss.shape == (3, 3)  # a seed that did not come to the end
    assert without.noise_scale is None
    with pytest.raises(ValueError, match="candidate must be one of"):
        BatchSizeDisplay.from_comparison(comparison(), "tripling")


# ---------------------------------------------------------------- ComparisonDisplay


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


# ---------------------------------------------------------------- estimators


@pytest.mark.parametrize("display", [ScheduleDisplay, HistoryDisplay, BatchSizeDisplay])
def test_an_estimator_that_is_not_fitted_is_refused(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(CLRLeNetClassifier())
    assert not plt.get_fignums()


@pytest.mark.parametrize("display", [ScheduleDisplay, HistoryDisplay, BatchSizeDisplay])
def test_an_estimator_without_a_history_frame_is_refused(display):
    with pytest.raises(TypeError, match="estimator must be a CLRLeNetClassifier"):
        display.from_estimator(object())
