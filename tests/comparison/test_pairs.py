"""Comparisons: who pairs with whom, and what a run is."""

import importlib.util
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from comparisons import INITIAL, ORDERS, Recorder, lenet, plain, two, without_seconds
from numpy.testing import assert_allclose
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skclr import GradientNoiseScale, compare_schedules
from skclr.augmentation import RandomShiftFlip
from skclr.callbacks import BatchDoubling, CyclicLR, LRHalving

SCHEDULES = (
    "lr_halving",
    "batch_doubling",
    "constant",
    "triangular",
    "triangular2",
    "exp_range",
    "one_cycle",
)


def test_all_schedules_of_a_seed_begin_with_the_same_weights_and_samples_in_the_same_order(split):
    candidates = {name: lenet(name, callbacks=[Recorder()]) for name in SCHEDULES}
    compared = compare_schedules(candidates, *split, seeds=2)
    n = len(SCHEDULES)
    assert len(INITIAL) == 2 * n
    for first in (0, n):  # of seed 0, and of seed 1
        for weights, order in zip(
            INITIAL[first : first + n], ORDERS[first : first + n], strict=True
        ):
            assert all(map(torch.equal, weights, INITIAL[first]))
            assert order == ORDERS[first]
            assert len(order) == 2 * 120
    assert not torch.equal(INITIAL[0][0], INITIAL[n][0])
    assert ORDERS[0] != ORDERS[n]
    assert compared.runs.groupby("seed")["initial_weights"].nunique().tolist() == [1, 1]
    assert compared.runs["initial_weights"].nunique() == 2


def test_measured_boundaries_and_the_batch_size_leave_the_first_weights_as_they_are(split):
    candidates = {
        "given": lenet("constant", max_epochs=1),
        "measured": lenet("triangular", max_lr="auto", base_lr=1e-6, max_epochs=1),
        "large batch": lenet("constant", max_epochs=1, batch_size=60),
        "augmented": lenet("constant", max_epochs=1, augmentation=RandomShiftFlip()),
    }
    runs = compare_schedules(candidates, *split, seeds=1).runs
    assert (runs["status"] == "ok").all()
    assert runs["initial_weights"].nunique() == 1


def test_candidates_of_any_skorch_net_pair_too(table_split):
    candidates = {
        "constant": plain(Recorder()),
        "cyclic": plain(Recorder(), CyclicLR(step_size=1)),
        "doubling": plain(Recorder(), BatchDoubling(10, every=1)),
        "halving": plain(Recorder(), LRHalving(0.1, every=1)),
    }
    compared = compare_schedules(candidates, *table_split, seeds=[7])
    assert compared.runs["initial_weights"].nunique() == 1
    assert all(torch.equal(weights[0], INITIAL[0][0]) for weights in INITIAL)
    assert all(order == ORDERS[0] for order in ORDERS)


def test_a_run_is_what_fit_makes_of_its_seed(split):
    X, y, X_test, y_test = split
    compared = compare_schedules(two(), *split, seeds=[3])
    alone = lenet("batch_doubling", random_state=3).fit(X, y)
    row = compared.runs.set_index("candidate").loc["batch_doubling"]
    assert row["test_accuracy"] == alone.score(X_test, y_test)
    assert_allclose(row["train_loss"], _log_loss(alone, X, y), rtol=1e-5)
    assert_allclose(row["test_loss"], _log_loss(alone, X_test, y_test), rtol=1e-5)
    assert_allclose(row["gap"], row["test_loss"] - row["train_loss"])
    epochs = compared.history[compared.history["candidate"] == "batch_doubling"]
    frame = alone.history_frame()
    for column in ("epoch", "lr", "batch_size"):
        assert epochs[column].tolist() == frame[column].tolist()
    assert epochs["updates"].tolist() == frame["n_updates"].tolist()
    assert_allclose(epochs["train_loss"], frame["train_loss"])
    assert row["updates"] == frame["n_updates"].sum()
    assert row["samples"] == 2 * len(X)


def _log_loss(net, X, y):
    proba = net.predict_proba(X)
    return -np.log(proba[np.arange(len(y)), np.searchsorted(net.classes_, y)]).mean()


def test_the_training_loss_at_the_end_is_that_without_augmentation(split):
    X, y, *_ = split
    augmented = lenet("constant", augmentation=RandomShiftFlip(shift=0.4))
    compared = compare_schedules({"augmented": augmented}, *split, seeds=1)
    alone = lenet("constant", augmentation=RandomShiftFlip(shift=0.4), random_state=0).fit(X, y)
    assert_allclose(compared.runs["train_loss"], _log_loss(alone, X, y), rtol=1e-5)


def test_what_was_held_out_for_validation_is_no_training_data(split):
    candidate = {"held out": lenet("constant", validation_fraction=0.5, max_epochs=1)}
    assert compare_schedules(candidate, *split, seeds=1).runs["samples"].tolist() == [60]


class Noisy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))


def test_judging_each_epoch_changes_no_training_of_a_net_with_dropout(table_split):
    X, y, *_ = table_split
    net = NeuralNetClassifier(
        Noisy, criterion=nn.CrossEntropyLoss, max_epochs=4, train_split=None, verbose=0,
        batch_size=10, iterator_train__shuffle=True,
    )  # fmt: skip
    torch.manual_seed(0)
    net.fit(X, y)
    losses = net.history[:, "train_loss"]
    compared = compare_schedules({"dropout": net}, *table_split, seeds=1)
    assert_allclose(compared.history["train_loss"], losses, rtol=1e-6)


def test_binary_classifiers_are_judged_by_their_threshold(table_split):
    X, y, X_test, y_test = (part.astype(np.float32) for part in table_split)
    net = NeuralNetBinaryClassifier(
        nn.Linear, module__in_features=4, module__out_features=1, max_epochs=3, lr=0.5,
        train_split=None, verbose=0,
    )  # fmt: skip
    runs = compare_schedules({"binary": net}, X, y, X_test, y_test, seeds=1).runs
    torch.manual_seed(0)
    assert runs["test_accuracy"][0] == np.mean(net.fit(X, y).predict(X_test) == y_test)


def test_strings_and_frames_are_data_too(split):
    X, y, X_test, y_test = split
    names = np.array(list("abcdefghij"))
    by_name = compare_schedules(
        two(), pd.DataFrame(X.reshape(len(X), -1)), names[y],
        pd.DataFrame(X_test.reshape(len(X_test), -1)), names[y_test], seeds=1,
    )  # fmt: skip
    by_number = compare_schedules(two(), *split, seeds=1)
    assert by_name.runs["test_accuracy"].tolist() == by_number.runs["test_accuracy"].tolist()


def test_a_comparison_leaves_estimators_and_generators_alone(split):
    candidates = two(callbacks=[Recorder()])
    before = {name: repr(net.get_params(deep=False)) for name, net in candidates.items()}
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    threads = torch.get_num_threads()
    compare_schedules(candidates, *split, seeds=1)
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(states[1], np.random.get_state()[1])
    assert states[2] == random.getstate()
    assert threads == torch.get_num_threads()
    assert before == {name: repr(net.get_params(deep=False)) for name, net in candidates.items()}
    assert not any(net.initialized_ for net in candidates.values())


@pytest.mark.slow
def test_the_tables_are_the_same_for_any_number_of_jobs(split, tmp_path):
    one = compare_schedules(two(), *split, seeds=2, n_jobs=1)
    other = compare_schedules(two(), *split, seeds=2, n_jobs=2, store=tmp_path / "runs.csv")
    pd.testing.assert_frame_equal(without_seconds(one.runs), without_seconds(other.runs))
    pd.testing.assert_frame_equal(without_seconds(one.history), without_seconds(other.history))


def test_the_noise_scale_of_each_epoch_stands_in_the_history(split):
    watched = lenet("constant", callbacks=[GradientNoiseScale(10, 4)])
    history = compare_schedules(
        {"watched": watched, "not": lenet("constant")}, *split, seeds=1
    ).history.set_index("candidate")
    assert (history.loc["watched", ["noise_scale", "gradient_variance"]] > 0).all(axis=None)
    assert history.loc["not", "noise_scale"].isna().all()
    assert history.loc["watched", "test_loss"].tolist() == history.loc["not", "test_loss"].tolist()


def test_progress_counts_the_epochs_of_all_runs(split, capsys):
    compare_schedules(two(), *split, seeds=2, verbose=1)
    assert "8/8 epochs" in capsys.readouterr().err
    compare_schedules(two(), *split, seeds=1)
    assert capsys.readouterr() == ("", "")


def test_the_experiments_candidates_pass_through_the_same_noise_scale_in_the_same_epochs(split):
    path = Path(__file__).parents[2] / "benchmarks" / "learning_rate_or_batch_size.py"
    if not path.exists():
        pytest.skip("the benchmarks are not here")
    spec = importlib.util.spec_from_file_location("experiment", path)
    experiment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(experiment)
    candidates = experiment.schedules(epochs=12, max_lr=0.05, n_samples=120)
    chosen = {name: candidates[name] for name in ("lr_halving", "batch_doubling")}
    for net in chosen.values():
        net.set_params(callbacks=None)
    history = compare_schedules(chosen, *split, seeds=1).history.set_index("candidate")
    ratio = history["lr"] / history["batch_size"]
    assert_allclose(ratio["lr_halving"], ratio["batch_doubling"])
    assert_allclose(ratio["lr_halving"].iloc[[0, -1]], [0.05 / 64, 0.05 / 2048])
    assert history.loc["lr_halving", "batch_size"].unique().tolist() == [64]
    assert history.loc["batch_doubling", "lr"].unique().tolist() == [0.05]
