"""What a comparison says of its runs, beside SciPy and cases computed by hand."""

import math

import numpy as np
import pytest
from comparisons import made_up
from numpy.testing import assert_allclose
from scipy import stats

from skclr.comparison._statistics import holm

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
    p_values = np.array([0.01, 0.04, 0.03, 0.005, math.nan, 0.9])
    # sorted: 0.005 x 5, 0.01 x 4, 0.03 x 3, 0.04 x 2 = 0.08 -> 0.09 before it, 0.9 x 1
    assert_allclose(holm(p_values), [0.04, 0.09, 0.09, 0.025, math.nan, 0.9])
    assert_allclose(holm(np.array([0.6, 0.7])), [1, 1])


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
