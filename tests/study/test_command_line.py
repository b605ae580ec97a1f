"""The command line of the study."""

import subprocess
import sys

import pytest

from skclr.__main__ import main


def test_the_command_line_explains_itself_and_refuses_nonsense(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "--force" in capsys.readouterr().out
    for wrong in (["--data", "half"], ["--epochs", "0"], ["--engine", "jax"], ["--nonsense"]):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2


def test_the_command_line_answers_a_taken_folder_in_one_line(tmp_path, capsys):
    (tmp_path / "study.json").write_text("{}")
    assert main(["--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("skclr: ")
    assert error.count("\n") == 1


def test_without_numba_its_engine_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert main(["--engine", "numba", "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "pip install 'skclr[numba]'" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_package_runs_as_a_module():
    run = subprocess.run([sys.executable, "-m", "skclr", "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert "python -m skclr" in run.stdout


def test_a_run_that_is_interrupted_before_it_has_its_folder_points_to_no_older_report(
    tmp_path, capsys, monkeypatch
):
    def interrupted(*args):
        raise KeyboardInterrupt

    (tmp_path / "study.json").write_text('{"finished": ["sweep"]}')
    (tmp_path / "report.html").write_text("an older report")
    monkeypatch.setattr("skclr.study._run._load", interrupted)
    assert main(["--output", str(tmp_path), "--force"]) == 130
    error = capsys.readouterr().err
    assert error.strip() == "Interrupted. Nothing was finished, and nothing written."
