"""The study, end to end on a few hundred images, and what it does on a bad day."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from skclr import DivergenceError, LRRangeResult, study
from skclr.__main__ import main
from skclr._report import answer_batch_size, answer_range
from skclr.datasets import load_fashion_mnist_sample

RUNS = ("clr_measured", "clr_published", "doubling_measured", "doubling_published")


def few_images():
    X, y = load_fashion_mnist_sample(return_X_y=True)
    X_test, y_test = load_fashion_mnist_sample(subset="test", return_X_y=True)
    return X[:400], y[:400], X_test[:200], y_test[:200]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return study.run(tmp_path_factory.mktemp("study"), data=few_images(), epochs=2, n_jobs=1)


@pytest.mark.slow
def test_a_study_writes_every_file_that_it_promises_and_no_other(finished):
    written = {path.name for path in finished.output.iterdir()}
    assert written == set(study._file_names())
    assert all((finished.output / name).stat().st_size > 0 for name in written)


def test_pictures_are_png_files_of_a_legible_size(finished):
    from matplotlib.image import imread

    pictures = sorted(finished.output.glob("*.png"))
    assert len(pictures) == 6
    for path in pictures:
        pixels = imread(path)
        assert min(pixels.shape[:2]) >= 500
        assert pixels[..., :3].std() > 0.02  # not blank


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


def test_the_report_answers_with_the_uncertainty_of_several_seeds(finished):
    (words,) = [text for text in answer_batch_size(finished) if "3 seeds can" in text]
    difference = finished.comparison.differences().loc[study.DOUBLING]
    assert f"{100 * difference['difference']:.2f} points" in words.replace("+", "")
    assert "in 3 seeds" in words
    assert "fewer updates" in words
    assert f"{finished.comparison.summary.loc[study.HALVING, 'gap']:+.3f}" in words
    page = (finished.output / "report.html").read_text(encoding="utf-8")
    assert words.split("(difference")[0].strip() in page


def test_candidates_are_ten_rates_from_1e_9_to_10(finished):
    table = pd.read_csv(finished.output / "lr_candidates.csv")
    np.testing.assert_allclose(table["lr"], np.logspace(-9, 1, 10))


def test_the_summary_agrees_with_the_classification_reports(finished):
    *_, y_test = few_images()
    reports = pd.read_csv(finished.output / "classification_reports.csv")
    summary = pd.read_csv(finished.output / "summary.csv").set_index("run")
    assert list(summary.index) == list(RUNS)
    for run in RUNS:
        own = reports[(reports["run"] == run) & (reports["class"] == "weighted avg")]
        # recall weighted by support is accuracy
        assert own["recall"].item() == pytest.approx(summary.loc[run, "test_accuracy"])
        assert own["support"].item() == len(y_test)


def test_the_report_stands_alone_and_tells_this_runs_numbers(finished):
    page = (finished.output / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 6
    assert "http://" not in page
    assert "https://" not in page
    for question in ("1. Which", "2. How well", "3. Does growing"):
        assert question in page
    for accuracy in finished.summary["test_accuracy"]:
        assert f"{accuracy:.4f}" in page
    assert "0.8977" in page
    assert "0.8918" in page


def test_the_state_says_finished_with_the_boundaries(finished):
    state = json.loads((finished.output / "study.json").read_text())
    assert state["state"] == "finished"
    assert state["finished"] == finished.finished == ["sweep", "candidates", *finished.finished[2:]]
    assert set(finished.finished[2:-1]) == set(RUNS)
    assert finished.finished[-1] == "comparison"
    assert state["max_lr"] == finished.sweep.max_lr


def test_a_folder_that_holds_a_study_is_not_overwritten_unless_forced(finished, tmp_path):
    with pytest.raises(FileExistsError, match=r"already holds a study.*--force"):
        study.run(finished.output, data=few_images(), epochs=1)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.html").write_text("an old report")
    with pytest.raises(FileExistsError, match="already holds a study"):
        study.run(tmp_path, data=few_images(), epochs=1)
    study._claim(tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_interrupted_study_keeps_and_reports_what_was_finished(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "_train_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run(tmp_path, data=few_images(), epochs=1, n_jobs=1)
    state = json.loads((tmp_path / "study.json").read_text())
    assert (state["state"], state["finished"]) == ("interrupted", ["sweep", "candidates"])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "interrupted" in page
    assert "3. Does growing" not in page
    assert (tmp_path / "lr_sweep.png").exists()


def test_the_same_seed_gives_the_same_study_whatever_the_number_of_jobs(finished, tmp_path):
    again = study.run(tmp_path, data=few_images(), epochs=2, n_jobs=2)
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
    ],
)
def test_bad_arguments_are_answered_before_a_folder_is_made(bad, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        study.run(tmp_path / "new", **bad)
    assert not (tmp_path / "new").exists()


def test_the_command_line_explains_itself_and_refuses_nonsense(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "--force" in capsys.readouterr().out
    for wrong in (["--data", "half"], ["--epochs", "0"], ["--nonsense"]):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2


def test_the_command_line_answers_a_taken_folder_in_one_line(tmp_path, capsys):
    (tmp_path / "study.json").write_text("{}")
    assert main(["--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("skclr: ")
    assert error.count("\n") == 1


def test_the_package_runs_as_a_module():
    run = subprocess.run([sys.executable, "-m", "skclr", "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert "python -m skclr" in run.stdout


def test_published_figures_are_shipped():
    assert study.published("batch_doubling")["test_accuracy"].iloc[-1] == 0.8918
    assert len(study.published("lr_finder")) == 44


def test_a_study_that_fails_reports_what_was_finished(tmp_path, monkeypatch):
    def diverging(*args):
        raise DivergenceError(1, 2, 0.5, float("nan"))

    monkeypatch.setattr(study, "_train_all", diverging)
    with pytest.raises(DivergenceError):
        study.run(tmp_path, data=few_images(), epochs=1, n_jobs=1)
    assert json.loads((tmp_path / "study.json").read_text())["state"] == "failed"
    assert "This run failed" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_without_a_measured_pair_clr_moves_between_the_published_boundaries(tmp_path):
    lrs, losses = np.logspace(-3, 0, 5), np.ones((1, 5))
    half = LRRangeResult(lrs, losses, losses, None, 0.5)
    whole = LRRangeResult(lrs, losses, losses, 0.01, 0.5)
    assert study.Study(tmp_path, {}, sweep=half).boundaries == study.PUBLISHED_RANGE
    assert study.Study(tmp_path, {}, sweep=whole).boundaries == (0.01, 0.5)


def test_the_report_calls_only_rates_below_the_best_idle_and_only_those_above_it_blown_up(tmp_path):
    lrs = np.array([1e-6, 1e-2, 1e-1, 10.0])
    losses = np.array([[2.3, 0.9, 0.5, 2.31]])
    found = study.Study(
        tmp_path,
        {"n_classes": 10},
        sweep=LRRangeResult(lrs, losses, losses, 1e-3, 0.1),
        candidates=LRRangeResult(lrs, losses, losses, 1e-3, 0.1, kind="candidates"),
    )
    words = " ".join(answer_range(found))
    assert "0.1 had the lowest training loss" in words
    assert "Up to 1e-06 next to nothing was learned" in words
    assert "From 10 on the loss was that of guessing" in words


def test_integers_that_are_not_bytes_are_no_images(tmp_path):
    X, y, X_test, y_test = few_images()
    with pytest.raises(ValueError, match=r"uint8.*int64"):
        study.run(tmp_path / "new", data=(X.astype(int), y, X_test, y_test))
