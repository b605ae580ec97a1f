"""Comparisons: who pairs with whom, what the statistics say, and what the store keeps."""

import math
import random

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.exceptions import FitFailedWarning
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader

from skclr import CLRLeNetClassifier, GradientNoiseScale, ScheduleComparison, compare_schedules
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
INITIAL, ORDERS = [], []


class Recorder(Callback):
    """Note the weights before the first update, and the samples in the order of training."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        INITIAL.append([part.detach().clone() for part in net.module_.parameters()])
        ORDERS.append([])

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        if training:
            ORDERS[-1] += batch[0].reshape(len(batch[0]), -1).double().sum(1).tolist()


class Interrupt(Callback):
    """Press Ctrl-C at the end of an epoch of some training."""

    trainings_left = math.inf

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        Interrupt.trainings_left -= 1

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        if Interrupt.trainings_left < 0:
            press_ctrl_c()


def press_ctrl_c():
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _fresh():
    INITIAL.clear()
    ORDERS.clear()
    Interrupt.trainings_left = math.inf


@pytest.fixture
def split(fashion):
    X, y = fashion
    return X[:120], y[:120], X[120:200], y[120:200]


@pytest.fixture
def table_split(table):
    X, y = table
    return X[:40], y[:40], X[40:], y[40:]


def lenet(schedule, **parameters):
    own = {"max_lr": 0.05, "batch_size": 20, "step_size": 1, "max_epochs": 2}
    return CLRLeNetClassifier(schedule=schedule, **own | parameters)


def plain(*callbacks, **parameters):
    own = {
        "module__in_features": 4, "module__out_features": 2, "criterion": nn.CrossEntropyLoss,
        "batch_size": 10, "max_epochs": 3, "lr": 0.1, "train_split": None, "verbose": 0,
        "iterator_train": DataLoader, "iterator_train__shuffle": True,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, callbacks=list(callbacks), **own | parameters)


def two(**parameters):
    return {name: lenet(name, **parameters) for name in ("lr_halving", "batch_doubling")}


def without_seconds(frame):
    return frame.drop(columns="seconds")


def made_up(accuracies, seconds=1.0, updates=100):
    """A comparison with these accuracies, a list a candidate and NaN for a failed run."""
    rows = [
        {
            "candidate": name, "seed": seed, "status": "failed" if math.isnan(value) else "ok",
            "test_accuracy": value, "test_loss": 1 - value, "train_loss": 0.1,
            "gap": 0.9 - value, "seconds": seconds, "epochs": 2, "updates": updates,
            "samples": 1000, "initial_weights": "", "error": "",
        }
        for name, values in accuracies.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return ScheduleComparison(pd.DataFrame(rows), pd.DataFrame())


# ---------------------------------------------------------------- pairs


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


# ---------------------------------------------------------------- runs that end otherwise


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


# ---------------------------------------------------------------- the store


@pytest.fixture
def stored(table_split, tmp_path):
    store = tmp_path / "runs.csv"
    candidates = {"one": plain(), "two": plain(lr=0.2)}
    return candidates, store, compare_schedules(candidates, *table_split, seeds=2, store=store)


def test_a_store_gives_back_every_bit(stored):
    _, store, compared = stored
    read = ScheduleComparison.from_csv(store)
    pd.testing.assert_frame_equal(read.runs, compared.runs)
    pd.testing.assert_frame_equal(read.history, compared.history)
    pd.testing.assert_frame_equal(read.summary, compared.summary)
    assert [path.name for path in sorted(store.parent.iterdir())] == [
        "runs-epochs.csv",
        "runs.csv",
    ]


def test_a_finished_store_is_read_and_nothing_trained(stored, table_split):
    candidates, store, compared = stored
    again = compare_schedules(
        {name: net.set_params(verbose=1) for name, net in candidates.items()},
        *table_split,
        seeds=2,
        store=store,
    )
    pd.testing.assert_frame_equal(again.runs, compared.runs)  # seconds too


def test_seeds_and_candidates_can_be_added_to_a_store(stored, table_split):
    candidates, store, compared = stored
    more = {"new": plain(lr=0.01), **candidates}
    longer = compare_schedules(more, *table_split, seeds=3, store=store)
    assert longer.candidates == ["new", "one", "two"]
    assert len(longer.runs) == 9
    old = longer.runs[(longer.runs["candidate"] != "new") & (longer.runs["seed"] < 2)]
    pd.testing.assert_frame_equal(old.reset_index(drop=True), compared.runs)


def test_a_store_of_another_comparison_is_refused_and_left_as_it_is(stored, table_split):
    candidates, store, _ = stored
    X, y, X_test, y_test = table_split
    before = store.read_bytes(), store.with_name("runs-epochs.csv").read_bytes()
    others = [
        ({**candidates, "two": plain(lr=0.3)}, table_split, 2, "'two' with other parameters"),
        ({"one": plain()}, table_split, 2, "a candidate 'two'"),
        (candidates, (X + 1, y, X_test, y_test), 2, "other data"),
        (candidates, (X, y, X_test, 1 - y_test), 2, "other data"),
        (candidates, table_split, [1, 2], "seed 0"),
    ]
    for other, data, seeds, reason in others:
        with pytest.raises(ValueError, match=f"another comparison.*{reason}"):
            compare_schedules(other, *data, seeds=seeds, store=store)
    assert before == (store.read_bytes(), store.with_name("runs-epochs.csv").read_bytes())


def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(table_split, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"mine.csv is no store"):
        compare_schedules({"one": plain()}, *table_split, store=mine)
    assert mine.read_text() == "a,b\n1,2\n"
    with pytest.raises(ValueError, match="no store"):
        ScheduleComparison.from_csv(mine)
    with pytest.raises(FileNotFoundError):
        ScheduleComparison.from_csv(tmp_path / "none.csv")


def test_epochs_without_their_runs_are_not_overwritten(table_split, tmp_path):
    (tmp_path / "new-epochs.csv").write_text("mine")
    with pytest.raises(ValueError, match="exists without"):
        compare_schedules({"one": plain()}, *table_split, store=tmp_path / "new.csv")
    assert (tmp_path / "new-epochs.csv").read_text() == "mine"


def test_a_run_whose_row_is_deleted_is_trained_again(stored, table_split):
    candidates, store, compared = stored
    lines = store.read_text().splitlines(keepends=True)
    store.write_text("".join(lines[:2] + lines[3:]))
    again = compare_schedules(candidates, *table_split, seeds=2, store=store)
    pd.testing.assert_frame_equal(without_seconds(again.runs), without_seconds(compared.runs))
    pd.testing.assert_frame_equal(without_seconds(again.history), without_seconds(compared.history))


def halve(iteration):
    return 0.1 / (1 + iteration)


def test_parameters_that_are_functions_and_objects_are_told_apart_and_known_again(split, tmp_path):
    def with_(schedule=halve, **parameters):
        return {"one": CLRLeNetClassifier(schedule=schedule, max_epochs=1, **parameters)}

    store = tmp_path / "runs.csv"
    first = with_(augmentation=RandomShiftFlip(), callbacks=[Recorder()])
    compare_schedules(first, *split, seeds=1, store=store)
    alike = with_(augmentation=RandomShiftFlip(), callbacks=[Recorder()], random_state=5, verbose=0)
    compare_schedules(alike, *split, seeds=1, store=store)
    assert len(INITIAL) == 1
    for other in (
        with_(lambda iteration: 0.2, augmentation=RandomShiftFlip(), callbacks=[Recorder()]),
        with_(augmentation=RandomShiftFlip(shift=0.2), callbacks=[Recorder()]),
        with_(augmentation=RandomShiftFlip(), callbacks=[Interrupt()]),
        with_(augmentation=RandomShiftFlip(), callbacks=[Recorder()], module__activation=nn.ReLU),
    ):
        with pytest.raises(ValueError, match="other parameters"):
            compare_schedules(other, *split, seeds=1, store=store)


def test_lambdas_with_other_constants_are_other_candidates(split, tmp_path):
    def constant(rate):
        return {"one": CLRLeNetClassifier(schedule=lambda iteration: rate, max_epochs=1)}

    compare_schedules(constant(0.1), *split, seeds=1, store=tmp_path / "runs.csv")
    compare_schedules(constant(0.1), *split, seeds=1, store=tmp_path / "runs.csv")
    with pytest.raises(ValueError, match="other parameters"):
        compare_schedules(constant(0.2), *split, seeds=1, store=tmp_path / "runs.csv")


def test_a_crash_between_the_two_files_loses_nothing(stored):
    _, store, _ = stored
    lines = store.read_text().splitlines(keepends=True)
    store.write_text("".join(lines[:-1]))  # the epochs of the last run were already written
    kept = ScheduleComparison.from_csv(store)
    assert len(kept.runs) == 3
    assert kept.history.groupby(["candidate", "seed"]).ngroups == 3


class Beside(Callback):
    """Compare with the same store, as another process might, before the first run of "two" ends."""

    meanwhile = None

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        if Beside.meanwhile is not None and net.lr == 0.2:
            other, Beside.meanwhile = Beside.meanwhile, None
            other()


def test_runs_that_another_process_wrote_meanwhile_are_kept(table_split, tmp_path):
    store = tmp_path / "runs.csv"
    candidates = {"one": plain(Beside()), "two": plain(Beside(), lr=0.2)}

    def compared(seeds):
        return compare_schedules(candidates, *table_split, seeds=seeds, store=store)

    Beside.meanwhile = lambda: compared(seeds=[0, 1, 2])
    with pytest.raises(ValueError, match=r"another comparison.*seed 2"):
        compared(seeds=[0, 1])  # and would have put four runs in place of six
    assert len(ScheduleComparison.from_csv(store).runs) == 6

    for path in (store, store.with_name("runs-epochs.csv")):
        path.unlink()
    Beside.meanwhile = lambda: compared(seeds=[0, 1])
    compared(seeds=[0, 1])
    assert len(ScheduleComparison.from_csv(store).runs) == 4


# ---------------------------------------------------------------- statistics

MADE_UP = {
    "first": [0.900, 0.896, 0.903, 0.899, 0.901],
    "second": [0.904, 0.897, 0.906, 0.905, 0.902],
    "third": [0.880, 0.884, 0.871, 0.890, 0.878],
    "fourth": [0.901, 0.894, 0.905, 0.897, 0.902],
}


def test_means_and_intervals_are_those_of_scipy():
    summary = made_up(MADE_UP).summary
    for name, values in MADE_UP.items():
        low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        row = summary.loc[name]
        assert_allclose(row["test_accuracy"], np.mean(values))
        assert_allclose([row["test_accuracy_low"], row["test_accuracy_high"]], [low, high])
    assert list(summary.index) == list(MADE_UP)
    assert summary.loc["first", ["difference", "p_value", "p_value_holm"]].isna().all()


@pytest.mark.parametrize("reference", ["first", "third"])
def test_paired_differences_are_those_of_scipy(reference):
    found = made_up(MADE_UP).differences(reference=reference)
    assert reference not in found.index
    for name in found.index:
        test = stats.ttest_rel(MADE_UP[name], MADE_UP[reference])
        interval = test.confidence_interval(0.95)
        row = found.loc[name]
        assert_allclose(row["p_value"], test.pvalue)
        assert_allclose([row["low"], row["high"]], interval)
        assert_allclose(row["difference"], np.subtract(MADE_UP[name], MADE_UP[reference]).mean())
        assert row["n_pairs"] == 5


def test_holm_rejects_what_its_step_down_rule_rejects():
    found = made_up(MADE_UP).differences()
    for level in np.linspace(0.001, 0.999, 500):
        rejected = set()
        for step, (name, p_value) in enumerate(found["p_value"].sort_values().items()):
            if p_value > level / (len(found) - step):
                break
            rejected.add(name)
        assert rejected == set(found.index[found["p_value_holm"] <= level])


def test_holm_corrects_a_case_computed_by_hand():
    from skclr.comparison import _holm

    p_values = np.array([0.01, 0.04, 0.03, 0.005, math.nan, 0.9])
    # sorted: 0.005 x 5, 0.01 x 4, 0.03 x 3, 0.04 x 2 = 0.08 -> 0.09 before it, 0.9 x 1
    assert_allclose(_holm(p_values), [0.04, 0.09, 0.09, 0.025, math.nan, 0.9])
    assert_allclose(_holm(np.array([0.6, 0.7])), [1, 1])


def test_a_failed_run_takes_its_pair_out_of_the_difference():
    accuracies = {"first": [0.9, 0.8, 0.7, 0.6], "second": [0.91, math.nan, 0.73, 0.65]}
    compared = made_up(accuracies)
    row = compared.differences().loc["second"]
    test = stats.ttest_rel([0.91, 0.73, 0.65], [0.9, 0.7, 0.6])
    assert row["n_pairs"] == 3
    assert_allclose(row["p_value"], test.pvalue)
    summary = compared.summary
    assert summary["n_failed"].tolist() == [0, 1]
    assert_allclose(summary.loc["first", "test_accuracy"], 0.75)


def test_one_seed_has_no_interval_and_one_candidate_no_difference():
    single = made_up({"first": [0.9], "second": [0.8]})
    assert single.summary[["test_accuracy_low", "p_value"]].isna().all(axis=None)
    assert "-10.00 points of test accuracy in a single seed" in single.in_words("second")
    alone = made_up({"only": [0.9, 0.8]})
    assert len(alone.differences()) == 0
    assert alone.summary["difference"].isna().all()


def test_candidates_that_do_not_differ_have_no_p_value():
    row = made_up({"first": [0.9, 0.8], "same": [0.9, 0.8]}).differences().loc["same"]
    assert row[["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert np.isnan(row["p_value"])


def test_any_measure_can_be_compared():
    compared = made_up(MADE_UP)
    losses = compared.differences("test_loss")
    assert_allclose(losses["difference"], -compared.differences()["difference"])
    with pytest.raises(ValueError, match="measure must be one of"):
        compared.differences("status")
    with pytest.raises(ValueError, match=r"reference must be one of \['first'"):
        compared.differences(reference="fifth")
    with pytest.raises(ValueError, match=r"candidate must be one of \['second'"):
        compared.in_words("first")


def test_words_tell_a_difference_only_where_the_corrected_p_value_does():
    compared = made_up({name: MADE_UP[name] for name in ("first", "second", "fourth")})
    # p = 0.032 for the second: below 0.05, but not when two are compared
    assert compared.differences().loc["second", "p_value"] < 0.05
    assert compared.differences().loc["second", "p_value_holm"] > 0.05
    assert "matches first within" in compared.in_words("second")
    assert "Holm-corrected for 2 comparisons" in compared.in_words("second")
    alone = made_up({name: MADE_UP[name] for name in ("first", "second")})
    assert alone.in_words("second").startswith("second is 0.30 points more accurate than first")
    assert "less accurate than first" in made_up(MADE_UP).in_words("third")


def test_words_tell_the_farther_end_of_the_interval_and_the_cost():
    compared = made_up({"halving": [0.90, 0.91, 0.92], "doubling": [0.901, 0.911, 0.9185]})
    compared.runs.loc[compared.runs["candidate"] == "doubling", ["updates", "seconds"]] = [32, 0.7]
    words = compared.in_words("doubling")
    low, high = compared.differences().loc["doubling", ["low", "high"]]
    assert f"within {math.ceil(1000 * max(-low, high)) / 10} points" in words
    assert words.endswith("with 3.1 times fewer updates and 0.70 of the time.")
    assert "1.4" in compared.in_words("halving", reference="doubling")  # of the time


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"candidates": {}}, ValueError, "candidates must be a dict"),
        ({"candidates": [plain()]}, ValueError, "candidates must be a dict"),
        ({"candidates": {1: plain()}}, TypeError, "strings for names"),
        ({"candidates": {"svm": object()}}, TypeError, "'svm' must be a CLRLeNetClassifier"),
        ({"candidates": {"cold": lenet("constant", max_lr=-1)}}, ValueError, "'cold'.*max_lr"),
        ({"seeds": 0}, ValueError, "seeds must be at least 1"),
        ({"seeds": []}, ValueError, "at least one"),
        ({"seeds": [1, 1]}, ValueError, "all be different"),
        ({"seeds": [0.5]}, ValueError, "seeds must be integers"),
        ({"y": None}, ValueError, "X has no labels"),
        ({"y": [0, 1]}, ValueError, "X has 120 samples, and 2 labels"),
        ({"X_test": np.zeros((80, 5, 5))}, ValueError, "fitted on images of shape"),
        ({"y_test": np.full(80, 12)}, ValueError, "y_test has labels"),
        ({"store": "no such folder/runs.csv"}, ValueError, "there is no folder"),
    ],
)
def test_bad_input_is_answered_before_any_training(changed, error, message, split):
    given = dict(zip(("X", "y", "X_test", "y_test"), split, strict=True))
    given["candidates"] = {"one": lenet("constant", callbacks=[Recorder()])}
    with pytest.raises(error, match=message):
        compare_schedules(**given | changed)
    assert not INITIAL


def test_the_experiments_candidates_pass_through_the_same_noise_scale_in_the_same_epochs(split):
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parents[1] / "benchmarks" / "learning_rate_or_batch_size.py"
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
