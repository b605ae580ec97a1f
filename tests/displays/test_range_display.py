import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from display_data import assert_nothing_is_cut_off, boxes, sweep, texts_of

from skclr import LRRangeResult
from skclr._sweeps import Sweeps
from skclr.displays import LRRangeDisplay
from skclr.exceptions import RangeTestWarning


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


def test_the_mean_has_a_gap_where_further_repeats_join_in():
    lrs, losses = sweep()
    alone = LRRangeDisplay(lrs, losses[:2]).plot().lines_[-1].get_ydata()
    together = LRRangeDisplay(lrs, losses).plot().lines_[-1].get_ydata()
    late = losses.copy()
    late[2, :50] = np.nan
    mean = LRRangeDisplay(lrs, late).plot().lines_[-1].get_ydata()
    np.testing.assert_allclose(mean[:50], alone[:50])
    assert np.isnan(mean[50])
    np.testing.assert_allclose(mean[51:], together[51:])


def test_a_candidate_that_diverged_is_marked_alone_also_where_it_is_the_lowest():
    display = LRRangeDisplay([0.01, 0.1, 1.0], [np.nan, 2.0, 1.5], kind="candidates").plot()
    assert display.diverged_.get_xdata().tolist() == [0.01]
    np.testing.assert_array_equal(display.lines_[-1].get_ydata(), [np.nan, 2.0, 1.5])


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

    def measure_sweeps(estimator, X, y, **params):
        calls.append((estimator, X, y, params))
        return Sweeps(lrs, losses, losses - 0.1, 1e-4, 0.05, ())

    monkeypatch.setattr("skclr.displays._lr_range.measure_sweeps", measure_sweeps)
    _, ax = plt.subplots()
    display = LRRangeDisplay.from_estimator("net", "X", "y", ax=ax, n_repeats=3, random_state=0)
    assert calls == [("net", "X", "y", {"n_repeats": 3, "random_state": 0})]
    assert display.ax_ is ax
    assert (display.base_lr, display.max_lr) == (1e-4, 0.05)
    np.testing.assert_array_equal(display.losses, losses)
    np.testing.assert_array_equal(display.smoothed, losses - 0.1)


def test_from_estimator_warns_the_caller_of_a_boundary_that_was_not_found(monkeypatch):
    lrs, losses = sweep()
    sweeps = Sweeps(lrs, losses, losses, 1e-4, None, ("max_lr could not be read off",))
    monkeypatch.setattr("skclr.displays._lr_range.measure_sweeps", lambda *args: sweeps)
    with pytest.warns(RangeTestWarning, match="max_lr could not be read off") as caught:
        display = LRRangeDisplay.from_estimator("net", "X", "y")
    assert [warning.filename for warning in caught] == [__file__]
    assert display.max_lr is None


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
