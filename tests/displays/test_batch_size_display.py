import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from display_data import comparison, texts_of, tick_labels

from skclr import CLRLeNetClassifier, GradientNoiseScale
from skclr.displays import BatchSizeDisplay

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


def test_seeds_may_differ_in_their_batch_sizes():
    sizes = [[32, 32, 64, 64], [32, 64, 128, 128]]
    loss = np.array([[0.8, 0.6, 0.5, 0.4], [0.9, 0.5, 0.3, 0.1]])
    display = BatchSizeDisplay(sizes, loss, noise_scale=100 * loss).plot()
    line, points = display.lines_[0], display.points_[0]
    assert tick_labels(display.ax_.xaxis) == ["32", "64", "128"]
    assert line.get_xdata().tolist() == [32, 64, 128]
    # of 32: 0.7 and 0.9; of 64: 0.45 and 0.5; of 128, where one seed has come to: 0.2
    np.testing.assert_allclose(line.get_ydata(), [0.8, 0.475, 0.2])
    assert sorted(zip(points.get_xdata(), points.get_ydata(), strict=True)) == sorted(
        zip(np.ravel(sizes), loss.ravel(), strict=True)
    )
    assert display.lines_[2].get_ydata().tolist() == [32, 48, 96, 96]
    bands = [band.get_paths()[0].vertices[:, 1] for band in display.fill_between_]
    assert [(band.min(), band.max()) for band in bands[1:]] == [(10, 90), (32, 128)]
    with pytest.raises(ValueError, match="train_loss must have a row for each of the 2 seeds"):
        BatchSizeDisplay(sizes, loss[0])


def test_the_sizes_of_a_candidate_that_measured_them_are_those_of_each_seed():
    compared = comparison()
    history = compared.history
    later = (history["candidate"] == "doubling") & (history["seed"] == 2) & (history["epoch"] == 3)
    history.loc[later, "batch_size"] = 200
    display = BatchSizeDisplay.from_comparison(compared, "doubling")
    assert display.batch_size.tolist() == [[32, 64, 96]] * 2 + [[32, 64, 200], [32, 64, 96]]


def test_sizes_that_lie_close_have_labels_that_do_not():
    sizes = np.arange(64, 64 * 33, 64)
    display = BatchSizeDisplay(sizes, 1 / sizes).plot()
    display.figure_.canvas.draw()
    boxes = [label.get_window_extent() for label in display.ax_.get_xticklabels()]
    assert 5 < len(boxes) <= 12
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))


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
