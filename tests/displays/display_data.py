"""What the tests of the displays draw, and what they look at in a picture."""

import numpy as np
import pandas as pd

from skclr import ScheduleComparison, schedules
from skclr.displays import (
    BatchSizeDisplay,
    ComparisonDisplay,
    HistoryDisplay,
    LRRangeDisplay,
    ScheduleDisplay,
)


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
