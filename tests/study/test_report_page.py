"""The report as a reader opens it, and its pictures."""

import pandas as pd

from skclr import study
from skclr.study._page import write_report


def test_pictures_are_png_files_of_a_legible_size(finished):
    from matplotlib.image import imread

    pictures = sorted(finished.output.glob("*.png"))
    assert len(pictures) == 6
    for path in pictures:
        pixels = imread(path)
        assert min(pixels.shape[:2]) >= 500
        assert pixels[..., :3].std() > 0.02  # not blank


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


def few_settings():
    return {
        "data": "own",
        "n_train": 400,
        "n_test": 200,
        "n_classes": 2,
        "epochs": 1,
        "seed": 0,
        "engine": "torch",
        "started": "2024-01-01T00:00:00+00:00",
        "skclr": "0",
        "torch": "0",
        "numba": None,
        "python": "0",
        "cores": 1,
    }


def test_markup_in_the_name_of_a_class_is_shown_and_not_obeyed(tmp_path):
    found = study.Study(tmp_path, few_settings())
    run = {"run": "clr_measured", "description": "CLR", "epochs": 1, "updates": 7, "seconds": 1.0}
    found.summary = pd.DataFrame(
        [run | {"train_loss": 0.5, "test_loss": 0.6, "test_accuracy": 0.75}]
    )
    scores = {"precision": 0.5, "recall": 0.5, "f1-score": [0.1, 0.9, 0.5, 0.5], "support": 1}
    names = ["<b>&boot</b>", "<script>", "macro avg", "weighted avg"]
    found.reports["clr_measured"] = pd.DataFrame({"class": names, **scores})
    write_report(found, "finished")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "<script>" not in page
    # in the words and in the table
    assert page.count("&lt;b&gt;&amp;boot&lt;/b&gt;") == page.count("&lt;script&gt;") == 2


def test_markup_in_the_name_of_a_part_or_a_run_is_shown_and_not_obeyed(tmp_path):
    found = study.Study(tmp_path, few_settings(), finished=["<b>&"])
    run = {"run": "own", "description": "<i>&", "epochs": 1, "updates": 7, "seconds": 1.0}
    found.summary = pd.DataFrame([run | {"test_accuracy": 0.75}])
    write_report(found, "interrupted")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;" in page
    assert "&lt;i&gt;&amp;" in page
    assert "<b>" not in page
    assert "<i>" not in page
