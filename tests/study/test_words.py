"""The answers of a study in words."""

import numpy as np

from skclr import LRRangeResult, study
from skclr.study._words import answer_batch_size, answer_range


def test_the_report_answers_with_the_uncertainty_of_several_seeds(finished):
    (words,) = [text for text in answer_batch_size(finished) if "3 seeds can" in text]
    difference = finished.comparison.differences().loc[study.DOUBLING]
    assert f"{100 * difference['difference']:.2f} points" in words.replace("+", "")
    assert "in 3 seeds" in words
    assert "fewer updates" in words
    assert f"{finished.comparison.summary.loc[study.HALVING, 'gap']:+.3f}" in words
    page = (finished.output / "report.html").read_text(encoding="utf-8")
    assert words.split("(difference")[0].strip() in page


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
