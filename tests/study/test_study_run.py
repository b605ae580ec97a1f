"""The study from the call to the report, on good days and on bad ones."""

import json

import numba
import numpy as np
import pandas as pd
import pytest

from skclr import DivergenceError, study


def test_an_interrupted_study_keeps_and_reports_what_was_finished(tmp_path, monkeypatch, images):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("skclr.study._run.train_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run(tmp_path, data=images, epochs=1, n_jobs=1)
    state = json.loads((tmp_path / "study.json").read_text())
    assert (state["state"], state["finished"]) == ("interrupted", ["sweep", "candidates"])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "interrupted" in page
    assert "3. Does growing" not in page
    assert (tmp_path / "lr_sweep.png").exists()


def test_a_study_that_fails_reports_what_was_finished(tmp_path, monkeypatch, images):
    def diverging(*args):
        raise DivergenceError(1, 2, 0.5, float("nan"))

    monkeypatch.setattr("skclr.study._run.train_all", diverging)
    with pytest.raises(DivergenceError):
        study.run(tmp_path, data=images, epochs=1, n_jobs=1)
    assert json.loads((tmp_path / "study.json").read_text())["state"] == "failed"
    assert "This run failed" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_study_whatever_the_number_of_jobs(finished, tmp_path, images):
    again = study.run(tmp_path, data=images, epochs=2, n_jobs=2)
    columns = ["run", "updates", "train_loss", "test_loss", "test_accuracy"]
    pd.testing.assert_frame_equal(again.summary[columns], finished.summary[columns])
    np.testing.assert_array_equal(again.sweep.losses, finished.sweep.losses)
    pd.testing.assert_frame_equal(
        again.comparison.runs.drop(columns="seconds"),
        finished.comparison.runs.drop(columns="seconds"),
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"data": "half"}, "data must be one of"),
        ({"data": (1, 2)}, "data must be"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"engine": "jax"}, "engine must be 'torch' or 'numba'"),
    ],
)
def test_bad_arguments_are_answered_before_a_folder_is_made(bad, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        study.run(tmp_path / "new", **bad)
    assert not (tmp_path / "new").exists()


def test_integers_that_are_not_bytes_are_no_images(tmp_path, images):
    X, y, X_test, y_test = images
    with pytest.raises(ValueError, match=r"uint8.*int64"):
        study.run(tmp_path / "new", data=(X.astype(int), y, X_test, y_test))


def test_a_study_interrupted_in_its_first_sweep_says_that_nothing_was_finished(
    tmp_path, monkeypatch, images
):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("skclr.study._questions.lr_range_test", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run(tmp_path, data=images, epochs=1, n_jobs=1)
    state = json.loads((tmp_path / "study.json").read_text())
    assert (state["state"], state["finished"]) == ("interrupted", [])
    page = " ".join((tmp_path / "report.html").read_text(encoding="utf-8").split())
    assert "This run was interrupted. What was finished: nothing yet." in page
    assert "1. Which" not in page


@pytest.mark.parametrize(
    ("stopped", "state"), [(OSError("no font"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_pictures_that_cannot_be_drawn_keep_back_no_report(
    stopped, state, tmp_path, monkeypatch, images
):
    def failing(*args):
        raise stopped

    monkeypatch.setattr("skclr.study._run.draw_pictures", failing)
    for part in ("measure_range", "train_all", "compare"):
        monkeypatch.setattr(f"skclr.study._run.{part}", lambda *args: None)
    with pytest.raises(type(stopped)):
        study.run(tmp_path, data=images, epochs=1, n_jobs=1)
    assert json.loads((tmp_path / "study.json").read_text())["state"] == state
    assert (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_a_study_by_numba_is_told_from_one_by_torch_and_of_another_version(
    finished, tmp_path, images, calls_of_numba
):
    found = study.run(tmp_path, data=images, epochs=2, n_jobs=1, engine="numba")
    assert calls_of_numba
    assert not np.array_equal(found.sweep.losses, finished.sweep.losses)
    first = finished.sweep.losses.flat[0]  # whose images were shifted by other draws
    assert found.sweep.losses.flat[0] == pytest.approx(first, rel=0.05)
    assert [*found.summary["run"]] == [*finished.summary["run"]]
    assert [*found.summary["updates"]] == [*finished.summary["updates"]]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"numba {numba.__version__}" in page
    with pytest.raises(ValueError, match="engine is numba there and torch here"):
        study.run(tmp_path, data=images, epochs=2, n_jobs=1, resume=True)
    state = tmp_path / "study.json"
    before = json.loads(state.read_text())
    state.write_text(json.dumps(before | {"numba": "0.1"}))
    with pytest.raises(ValueError, match=r"numba is 0\.1 there and"):
        study.run(tmp_path, data=images, epochs=2, n_jobs=1, resume=True, engine="numba")
    del before["engine"]  # as a version wrote it that had one engine
    state.write_text(json.dumps(before))
    with pytest.raises(ValueError, match="engine is torch there and numba here"):
        study.run(tmp_path, data=images, epochs=2, n_jobs=1, resume=True, engine="numba")
