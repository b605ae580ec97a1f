"""The trainings of a study, and the tables that they leave."""

import numpy as np
import pandas as pd
import pytest

from skclr import study

RUNS = ("clr_measured", "clr_published", "doubling_measured", "doubling_published")


def test_curves_are_kept_for_each_epoch_and_each_iteration(finished):
    for run in RUNS:
        epochs = pd.read_csv(finished.output / f"{run}.csv")
        iterations = pd.read_csv(finished.output / f"{run}_iterations.csv")
        assert epochs["n_updates"].sum() == len(iterations)
        assert (
            epochs[["train_loss", "valid_loss", "train_acc", "valid_acc"]].notna().to_numpy().all()
        )


def test_batch_doubling_goes_through_eight_sizes_at_a_constant_rate(finished):
    history = finished.histories["doubling_measured"]
    assert history["batch_size"].tolist() == [32 * 2**k for k in range(8)]
    assert set(history["lr"]) == {finished.boundaries[1]}
    assert set(finished.histories["doubling_published"]["lr"]) == {0.01}


def test_clr_moves_between_the_boundaries_that_the_sweep_found(finished):
    rates = finished.rates["clr_measured"]["lr"]
    assert rates.min() == pytest.approx(finished.boundaries[0])
    assert rates.max() <= finished.boundaries[1]
    assert finished.rates["clr_published"]["lr"].between(1e-5, 1e-2).all()


def test_halving_and_doubling_are_compared_through_the_same_noise_scale_from_the_same_weights(
    finished,
):
    history = finished.comparison.history.set_index("candidate")
    assert set(history.loc[study.HALVING, "batch_size"]) == {64}
    assert set(history.loc[study.DOUBLING, "lr"]) == {finished.boundaries[1] / 2}
    runs = pd.read_csv(finished.output / "comparison.csv")
    assert runs["seed"].tolist() == [0, 0, 1, 1, 2, 2]
    assert runs.groupby("seed")["initial_weights"].nunique().tolist() == [1, 1, 1]
    assert set(runs["status"]) == {"ok"}


def test_candidates_are_ten_rates_from_1e_9_to_10(finished):
    table = pd.read_csv(finished.output / "lr_candidates.csv")
    np.testing.assert_allclose(table["lr"], np.logspace(-9, 1, 10))


def test_the_summary_agrees_with_the_classification_reports(finished, images):
    *_, y_test = images
    reports = pd.read_csv(finished.output / "classification_reports.csv")
    summary = pd.read_csv(finished.output / "summary.csv").set_index("run")
    assert list(summary.index) == list(RUNS)
    for run in RUNS:
        own = reports[(reports["run"] == run) & (reports["class"] == "weighted avg")]
        # recall weighted by support is accuracy
        assert own["recall"].item() == pytest.approx(summary.loc[run, "test_accuracy"])
        assert own["support"].item() == len(y_test)
