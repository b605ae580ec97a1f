"""What several seeds tell: intervals, paired tests, and sentences about them."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

_CONFIDENCE = 0.95


def mean_with_interval(values: ArrayLike) -> tuple[float, float, float]:
    """Return a mean with the 95 % interval of Student's t."""
    sample = np.asarray(values, dtype=float)
    n = len(sample)
    if not n:
        return math.nan, math.nan, math.nan
    mean = float(sample.mean())
    if n == 1:
        return mean, math.nan, math.nan
    half = stats.t.ppf((1 + _CONFIDENCE) / 2, n - 1) * sample.std(ddof=1) / math.sqrt(n)
    return mean, float(mean - half), float(mean + half)


def paired_test(values: pd.Series, reference: pd.Series) -> tuple[int, float, float, float, float]:
    """Return number of pairs, mean difference, its interval and the p-value of a paired t-test."""
    both = pd.DataFrame({"value": values, "reference": reference}).dropna()
    difference = both["value"] - both["reference"]
    p_value = math.nan
    if len(both) > 1 and difference.any():
        with warnings.catch_warnings():  # of seeds that all differ by the same
            warnings.simplefilter("ignore", RuntimeWarning)
            p_value = float(stats.ttest_rel(both["value"], both["reference"]).pvalue)
    return len(both), *mean_with_interval(difference), p_value


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected by Holm's method; those that are NaN are of no test."""
    corrected = np.full(len(p_values), math.nan)
    tests = np.flatnonzero(~np.isnan(p_values))
    order = tests[np.argsort(p_values[tests], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return corrected


def verdict(candidate: str, reference: str, row: pd.Series, n_tests: int) -> str:
    """Say whether two candidates differ in test accuracy, and by how much.

    `row` is theirs among the differences, which are those of `n_tests` candidates.
    """
    points = 100 * row["difference"]
    if not row["n_pairs"]:
        return f"{candidate} cannot be compared with {reference}: in no seed did both succeed"
    if row["n_pairs"] == 1:
        return (
            f"{candidate} differs from {reference} by {points:+.2f} points of test accuracy in a "
            "single seed, which does not tell how much of it is chance"
        )
    low, high = 100 * row["low"], 100 * row["high"]
    p_value = row["p_value_holm"]
    if math.isnan(p_value):
        test = "no p-value, as all seeds agree"
    else:
        test = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"
        test += f", Holm-corrected for {n_tests} comparisons" if n_tests > 1 else ""
    measured = f"95 % interval {low:+.2f} to {high:+.2f} in {row['n_pairs']:.0f} seeds, {test}"
    if p_value < 1 - _CONFIDENCE:
        more = "more" if points > 0 else "less"
        return (
            f"{candidate} is {abs(points):.2f} points {more} accurate than {reference} ({measured})"
        )
    within = math.ceil(10 * max(abs(low), abs(high)) - 1e-9) / 10
    return (
        f"{candidate} matches {reference} within {within:.1f} points of test accuracy "
        f"(difference {points:+.2f} points, {measured})"
    )


def cost_in_words(updates: pd.Series, seconds: pd.Series, candidate: str, reference: str) -> str:
    """Say how many updates and how much time a candidate took, beside another."""
    ratio = updates[reference] / updates[candidate]
    if math.isnan(ratio):
        return ""
    if round(ratio, 1) == 1:
        made = "as many updates"
    else:
        made = f"{max(ratio, 1 / ratio):.1f} times {'fewer' if ratio > 1 else 'more'} updates"
    return f", with {made} and {seconds[candidate] / seconds[reference]:.2f} of the time"
