"""The folder of a study: its files, and how far the study is."""

import json

import pytest

from skclr import study
from skclr.study._folder import claim_folder, file_names

RUNS = ("clr_measured", "clr_published", "doubling_measured", "doubling_published")


@pytest.mark.slow
def test_a_study_writes_every_file_that_it_promises_and_no_other(finished):
    written = {path.name for path in finished.output.iterdir()}
    assert written == set(file_names())
    assert all((finished.output / name).stat().st_size > 0 for name in written)


def test_the_state_says_finished_with_the_boundaries(finished):
    state = json.loads((finished.output / "study.json").read_text())
    assert state["state"] == "finished"
    assert state["finished"] == finished.finished == ["sweep", "candidates", *finished.finished[2:]]
    assert set(finished.finished[2:-1]) == set(RUNS)
    assert finished.finished[-1] == "comparison"
    assert state["max_lr"] == finished.sweep.max_lr


def test_a_folder_that_holds_a_study_is_not_overwritten_unless_forced(finished, tmp_path, images):
    with pytest.raises(FileExistsError, match=r"already holds a study.*--force"):
        study.run(finished.output, data=images, epochs=1)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.html").write_text("an old report")
    for leftover in (".comparison.csv.lock", ".comparison.csv.new"):  # of a study that was killed
        (tmp_path / leftover).touch()
    with pytest.raises(FileExistsError, match="already holds a study"):
        study.run(tmp_path, data=images, epochs=1)
    claim_folder(tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
