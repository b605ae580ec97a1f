"""The command line without what most processes have: streams, characters, a temporary folder."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="streams are closed by a POSIX shell")

# the study in a process of its own; its trainings, which take long, are done already, unless asked
# for, or are interrupted
STUDY = """
import sys

import pandas as pd

if __name__ == "__main__":
    how, *arguments = sys.argv[1:]
    from skclr import load_fashion_mnist_sample
    from skclr.study import _run

    X, y = load_fashion_mnist_sample(return_X_y=True)
    few = _run._load((X[:64], y[:64], X[64:128], y[64:128]))
    _run._load = lambda data: few

    def record(study, *args):
        row = {"run": "clr", "description": "CLR", "epochs": 1, "updates": 1, "seconds": 1.0}
        losses = {"train_loss": 2.3, "test_loss": 2.3, "test_accuracy": 0.1}
        study.summary = pd.DataFrame([row | losses])

    def interrupt(*args):
        raise KeyboardInterrupt

    if how == "without_temporary_folder":
        import tempfile
        tempfile._candidate_tempdir_list = lambda: [tempfile._os.environ.get("TMPDIR", "/missing")]
        tempfile._os.environ["TMPDIR"] = "/missing"
    if how in ("quick", "interrupted"):
        _run.measure_range = record if how == "quick" else interrupt
        _run.train_all = _run.compare = lambda *args: None
    from skclr.__main__ import main
    sys.exit(main([*arguments, "--epochs", "1", "--jobs", "2"]))
"""


def shell(command, tmp_path, **variables):
    """Run a command of the shell, in which ``study`` stands for the command line of the study."""
    script = tmp_path / "script.py"
    script.write_text(STUDY)
    function = f'study() {{ "{sys.executable}" "{script}" "$@"; }}\n'
    ran = subprocess.run(
        ["sh", "-c", function + command],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, **variables},
        timeout=300,
    )
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


def report(folder):
    return " ".join((folder / "report.html").read_text(encoding="utf-8").split())


@pytest.mark.slow
@pytest.mark.parametrize("no_output", [">&-", "> /dev/full"])
def test_a_report_is_written_though_its_words_cannot_be_and_the_status_tells(no_output, tmp_path):
    status, _, error = shell(f"study quick --output out {no_output}", tmp_path)
    assert status == 3
    assert "All runs beside" in report(tmp_path / "out")
    last = error.splitlines()[-1]
    assert last.startswith("skclr: standard output cannot be written to. The report: ")
    assert last.endswith("report.html")
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_reader_who_leaves_costs_no_traceback(tmp_path):
    *_, error = shell("{ study quick --output out; echo $? > status; } | true", tmp_path)
    assert (tmp_path / "status").read_text().strip() == "3"
    assert "Traceback" not in error
    assert "Exception ignored" not in error
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("no_progress", ["2>&-", "2> /dev/full"])
def test_a_study_that_cannot_show_its_progress_is_the_same_study(no_progress, tmp_path):
    status, output, _ = shell(f"study quick --output out {no_progress}", tmp_path)
    assert status == 0
    assert output.splitlines()[-1].startswith("The report: ")
    assert "All runs beside" in report(tmp_path / "out")


@pytest.mark.slow
def test_a_folder_with_a_name_that_the_terminal_cannot_show_holds_the_report(tmp_path):
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    status, output, _ = shell(
        'study quick --output "été"', tmp_path, PYTHONIOENCODING="ascii", **ascii_only
    )
    assert status == 0
    assert output.isascii()
    assert "report.html" in output.splitlines()[-1]
    assert "All runs beside" in report(tmp_path / "été")


@pytest.mark.slow
def test_a_whole_study_needs_neither_streams_nor_a_temporary_folder(tmp_path):
    status, *_ = shell("study without_temporary_folder --output out --quiet <&- >&- 2>&-", tmp_path)
    assert status == 0
    page = report(tmp_path / "out")
    assert page.count("data:image/png;base64,") == 6
    assert "after 1 epoch (" in page
    assert "1 epochs" not in page
    hidden = [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    assert hidden == []


@pytest.mark.slow
def test_a_study_interrupted_before_anything_was_finished_says_so(tmp_path):
    status, _, error = shell("study interrupted --output out", tmp_path)
    assert status == 130
    last = error.splitlines()[-1]
    assert last.startswith("Interrupted. Nothing was finished. The report, which says so: ")
    assert "What was finished: nothing yet." in report(tmp_path / "out")
    status, output, error = shell("study interrupted --output out --force 2>&-", tmp_path)
    assert (status, output, error) == (130, "", "")


NO_CONSOLE = """
import sys, traceback
if __name__ == "__main__":
    sys.stdin = sys.stdout = sys.stderr = None
    try:
        import numpy as np
        from skorch import NeuralNetClassifier
        from torch import nn
        from skclr import CLRLeNetClassifier, compare_schedules, lr_candidates_test, lr_range_test

        X = np.random.default_rng(0).normal(size=(40, 28, 28)).astype("float32")
        y = np.arange(40) % 2
        lenet = CLRLeNetClassifier(max_epochs=2, verbose=1)
        assert len(lenet.fit(X, y).history_) == 2
        plain = NeuralNetClassifier(
            nn.Linear, module__in_features=784, module__out_features=2,
            criterion=nn.CrossEntropyLoss, max_epochs=1)
        for net, images in ((lenet, X), (plain, X.reshape(40, -1))):
            lr_range_test(net, images, y, n_iter=20, n_repeats=1, verbose=1)
            lr_candidates_test(net, images, y, lrs=[1e-3, 1e-2], epochs=1, verbose=1)
            for jobs in (1, 2):
                found = compare_schedules(
                    {"net": net}, images, y, images, y, seeds=1, verbose=1, n_jobs=jobs)
                assert (found.runs["status"] == "ok").all(), found.runs["error"].tolist()
        assert sys.stdout is None and sys.stderr is None
    except BaseException:
        open(sys.argv[1], "w").write(traceback.format_exc())
        raise
"""


@pytest.mark.slow
def test_without_a_console_every_training_goes_on_silently(tmp_path):
    script, failure = tmp_path / "script.py", tmp_path / "failure.txt"
    script.write_text(textwrap.dedent(NO_CONSOLE))
    ran = subprocess.run([sys.executable, script, failure], capture_output=True, timeout=300)
    assert not failure.exists(), failure.read_text()
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
