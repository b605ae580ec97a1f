"""Runs of a comparison that fail, end early, are saved meanwhile, or are interrupted."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from comparisons import Interrupt, lenet, plain, two, without_seconds
from sklearn.exceptions import FitFailedWarning
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn

from skclr import ScheduleComparison, compare_schedules
from skclr.callbacks import LRHalving


def test_a_failed_run_is_a_row_and_no_reason_to_stop(split):
    candidates = {
        "calm": lenet("constant"),
        "wild": lenet("constant", max_lr=1e6, module__activation=nn.ReLU),
    }
    with pytest.warns(FitFailedWarning, match=r"2 of 4 runs failed.*'wild' with seed 0: Diverg"):
        compared = compare_schedules(candidates, *split, seeds=2)
    runs = compared.runs.set_index("candidate")
    assert runs["status"].tolist() == ["ok", "failed"] * 2
    assert runs.loc["wild", "error"].str.contains("DivergenceError: Training diverged").all()
    assert runs.loc["wild", ["test_accuracy", "gap"]].isna().all(axis=None)
    summary = compared.summary
    assert summary[["n_runs", "n_failed"]].to_numpy().tolist() == [[2, 0], [0, 2]]
    assert np.isnan(summary.loc["wild", "difference"])
    assert "in no seed did both succeed" in compared.in_words("wild")


def test_a_plain_net_whose_loss_is_not_finite_has_failed(table_split):
    X, y, X_test, y_test = table_split
    with pytest.warns(FitFailedWarning):
        runs = compare_schedules(
            {"wild": plain(lr=1e38)}, 1e20 * X, y, X_test, y_test, seeds=1
        ).runs
    assert runs["status"].tolist() == ["failed"]
    assert "DivergenceError" in runs["error"][0]


def test_a_training_that_a_callback_ends_early_has_succeeded(table_split):
    stopped = plain(
        EarlyStopping(monitor="valid_loss", patience=2, threshold=10.0),
        train_split=ValidSplit(2),
        max_epochs=10,
    )
    compared = compare_schedules({"stopped": stopped}, *table_split, seeds=1)
    assert compared.runs["status"].tolist() == ["ok"]
    X, y, *_ = table_split
    torch.manual_seed(0)
    n_epochs = len(stopped.fit(X, y).history)
    assert 1 < n_epochs < 10
    assert compared.runs["epochs"].tolist() == [n_epochs]
    assert len(compared.history) == n_epochs


@pytest.mark.parametrize("kind", ["ours", "plain"])
def test_an_interrupt_is_passed_on_and_the_comparison_goes_on_from_its_store(
    kind, split, table_split, tmp_path
):
    if kind == "ours":
        candidates, data = two(callbacks=[Interrupt()]), split
    else:
        candidates = {"one": plain(Interrupt()), "two": plain(Interrupt(), LRHalving(0.1, 1))}
        data = table_split
    store = tmp_path / "runs.csv"
    whole = compare_schedules(candidates, *data, seeds=3)

    Interrupt.trainings_left = 3
    with pytest.raises(KeyboardInterrupt):
        compare_schedules(candidates, *data, seeds=3, store=store)
    kept = ScheduleComparison.from_csv(store)
    assert len(kept.runs) == 3

    Interrupt.trainings_left = 3  # those that are left, and not one more
    compared = compare_schedules(candidates, *data, seeds=3, store=store)
    pd.testing.assert_frame_equal(without_seconds(compared.runs), without_seconds(whole.runs))
    pd.testing.assert_frame_equal(without_seconds(compared.history), without_seconds(whole.history))
    pd.testing.assert_frame_equal(compared.runs[:3], kept.runs)


class StopThroughAHelper(Callback):
    """End a training in the first epoch, as skorch has callbacks do it."""

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        stop()


def stop():
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["ours", "plain"])
def test_a_callback_that_ends_a_training_through_a_helper_is_no_interrupt(kind, split, table_split):
    if kind == "ours":
        candidates, data = {"stopped": lenet("constant", callbacks=[StopThroughAHelper()])}, split
    else:
        candidates, data = {"stopped": plain(StopThroughAHelper())}, table_split
    runs = compare_schedules(candidates, *data, seeds=1).runs
    assert runs[["status", "epochs"]].to_numpy().tolist() == [["ok", 1]]


@pytest.mark.parametrize("kind", ["ours", "plain"])
def test_a_candidate_may_save_itself_and_what_it_saves_holds_no_test_data(
    kind, split, table_split, tmp_path
):
    checkpoint = Checkpoint(monitor=None, dirname=tmp_path, f_pickle="net.pkl")
    if kind == "ours":
        candidate, data = lenet("constant", callbacks=[checkpoint], max_epochs=1), split
    else:
        candidate, data = plain(checkpoint, max_epochs=1), table_split
    runs = compare_schedules({"saved": candidate}, *data, seeds=1).runs
    assert runs[["status", "error"]].to_numpy().tolist() == [["ok", ""]]
    saved = (tmp_path / "net.pkl").read_bytes()
    assert data[2].tobytes() not in saved
    net = pickle.loads(saved)
    assert np.mean(net.predict(data[2]) == data[3]) == runs["test_accuracy"][0]
    net.partial_fit(*data[:2])
    assert len(net.history) == 2
