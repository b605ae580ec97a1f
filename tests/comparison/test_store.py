"""The store of a comparison: what it keeps, takes up and refuses."""

import pandas as pd
import pytest
from comparisons import INITIAL, Interrupt, Recorder, plain, without_seconds
from torch import nn

from skclr import CLRLeNetClassifier, ScheduleComparison, compare_schedules
from skclr.augmentation import RandomShiftFlip


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
        ".runs.csv.lock",
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
