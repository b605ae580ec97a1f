"""A study that was stopped goes on, and its report is that of one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import joblib
import pandas as pd
import pytest

from skclr import study
from skclr.study._folder import CHECKPOINTS, file_names

TABLES = [name for name in file_names() if name.endswith(".csv")]
SECONDS = {"seconds", "dur"}


def tables(folder):
    """Return the tables of a study without their seconds."""
    read = {name: pd.read_csv(folder / name, dtype=str) for name in TABLES}
    return {name: table.drop(columns=SECONDS & {*table}) for name, table in read.items()}


def assert_same_study(actual, expected):
    mine, theirs = tables(actual), tables(expected)
    for name in TABLES:
        pd.testing.assert_frame_equal(mine[name], theirs[name], obj=name)
    assert {path.name for path in actual.iterdir()} == set(file_names())
    states = [json.loads((folder / "study.json").read_text()) for folder in (actual, expected)]
    for state in states:
        del state["started"]
        state["finished"].sort()
    assert states[0] == states[1]


@pytest.fixture
def stopped(tmp_path, images, monkeypatch):
    """The folder of a study that was interrupted in its second run of training."""
    from skclr.study import _questions

    record, count = _questions._record, []

    def interrupted(*args):
        count.append(args)
        if len(count) == 2:
            raise KeyboardInterrupt
        record(*args)

    with monkeypatch.context() as patched:
        patched.setattr(_questions, "_record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            study.run(tmp_path / "out", data=images, epochs=2, n_jobs=1)
    return tmp_path / "out"


@pytest.mark.slow
def test_a_study_that_was_stopped_ends_like_one_that_was_not(stopped, finished, images):
    assert len(json.loads((stopped / "study.json").read_text())["finished"]) == 3
    assert list((stopped / CHECKPOINTS).glob("*.safetensors"))
    resumed = study.run(stopped, data=images, epochs=2, n_jobs=1, resume=True)
    assert_same_study(stopped, finished.output)
    pd.testing.assert_frame_equal(
        resumed.summary.drop(columns="seconds"), finished.summary.drop(columns="seconds")
    )
    assert (resumed.summary["seconds"] > 0).all()
    assert resumed.sweep.suggestions == finished.sweep.suggestions
    assert resumed.candidates.max_lr == finished.candidates.max_lr


def test_tables_do_not_depend_on_which_run_ends_first(finished, tmp_path, images, monkeypatch):
    from skclr.study import _questions

    class Backwards(joblib.Parallel):
        def __call__(self, iterable):
            return iter(list(super().__call__(iterable))[::-1])

    monkeypatch.setattr(_questions.joblib, "Parallel", Backwards)
    measured = ["sweep", "candidates", "comparison"]
    folder = tmp_path / "out"
    shutil.copytree(finished.output, folder)
    state = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps({**state, "finished": measured}))
    study.run(folder, data=images, epochs=2, n_jobs=1, resume=True)
    assert_same_study(folder, finished.output)


def test_a_finished_study_is_read_and_nothing_trained(finished, tmp_path, images, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    for path in finished.output.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("skclr.classifier.CLRLeNetClassifier.fit", None)
    again = study.run(folder, data=images, epochs=2, n_jobs=1, resume=True)
    assert_same_study(folder, finished.output)
    pd.testing.assert_frame_equal(again.summary, finished.summary)
    pd.testing.assert_frame_equal(again.comparison.runs, finished.comparison.runs)
    for run, table in finished.reports.items():
        pd.testing.assert_frame_equal(again.reports[run], table)


@pytest.mark.parametrize(
    ("other", "words"),
    [({"epochs": 3}, "epochs is 2 there and 3 here"), ({"seed": 1}, "seed is 0 there and 1 here")],
)
def test_another_study_is_named_and_left_alone(other, words, finished, images):
    before = (finished.output / "study.json").read_bytes()
    with pytest.raises(ValueError, match=f"holds another study: {words}"):
        study.run(finished.output, **{"data": images, "epochs": 2, "resume": True} | other)
    X, *rest = images
    with pytest.raises(ValueError, match="digest is"):
        study.run(finished.output, data=(255 - X, *rest), epochs=2, resume=True)
    assert (finished.output / "study.json").read_bytes() == before


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n", ""])
def test_a_table_that_cannot_be_read_is_named_and_nothing_changes(
    content, finished, tmp_path, images
):
    folder = tmp_path / "out"
    shutil.copytree(finished.output, folder)
    table = folder / "lr_sweep.csv"
    table.unlink() if content is None else table.write_text(content)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="the tables of 'sweep', which was finished, cannot be"):
        study.run(folder, data=images, epochs=2, resume=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_does_not_say_what_it_holds_is_refused(tmp_path, images):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(ValueError, match="does not say what the study is"):
        study.run(tmp_path, data=images, epochs=1, resume=True)


def start(folder, *arguments):
    command = [sys.executable, "-m", "skclr", "--output", str(folder / "out"), "--epochs", "1"]
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(temporary), "JOBLIB_TEMP_FOLDER": str(temporary)}
    return subprocess.Popen(
        [*command, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path, part):
    """Wait until a study has finished a part."""
    for _ in range(3000):
        if path.exists() and part in json.loads(path.read_text())["finished"]:
            return
        time.sleep(0.02)
    raise AssertionError(f"{part} was not finished")


def session_ends(number):
    """Tell whether no process of a session is left, in a few seconds: somebody has to bury them."""
    for _ in range(500):
        try:
            os.killpg(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals of POSIX")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_sigterm_ends_a_study_with_a_report_and_leaves_nothing_behind(jobs, tmp_path):
    with start(tmp_path, "--jobs", jobs) as run:
        wait_for(tmp_path / "out" / "study.json", "sweep")
        run.send_signal(signal.SIGTERM)
        _, error = run.communicate(timeout=60)
    assert run.returncode == 143, error
    assert "What was finished is in" in error
    state = json.loads((tmp_path / "out" / "study.json").read_text())
    assert state["state"] == "interrupted"
    assert "sweep" in state["finished"]
    assert (tmp_path / "out" / "report.html").exists()
    assert session_ends(run.pid)
    left = {path.name for path in (tmp_path / "temporary").iterdir()}
    assert not {name for name in left if not name.startswith("torchinductor")}  # a cache of torch's
