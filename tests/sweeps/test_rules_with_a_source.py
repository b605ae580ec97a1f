"""The rules that others have published, on curves whose answer is known."""

import numpy as np
import pytest
from curves import LRS, no_warning, noisy, valley_curve

from skclr import range_test as rt


def test_steepest_finds_the_steepest_place_of_a_logistic_fall():
    curve = 1 / (1 + (LRS / 1e-2) ** 2)
    assert rt.steepest(LRS, curve) == pytest.approx(1e-2, rel=0.1)


def test_steepest_measures_the_slope_over_the_logarithm_of_the_rate():
    lrs = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    losses = np.array([3.0, 2.9, 2.0, 1.0, 0.9])  # over lr itself the first step is steepest
    assert rt.steepest(lrs, losses) == 1e-2


def test_minimum_and_a_tenth_of_it_leave_out_what_is_not_finite():
    losses = valley_curve()
    losses[-20:] = np.nan
    losses[0] = -np.inf
    assert rt.minimum(LRS, losses) == pytest.approx(0.1)
    assert rt.minimum_tenth(LRS, losses) == pytest.approx(0.01)


def test_valley_is_half_way_down_the_longest_fall():
    falling = (LRS >= 1e-4 / 1.001) & (LRS <= 0.1 * 1.001)
    lds = LRS[falling]
    expected = lds[len(lds) // 3 + len(lds) // 6]
    # fastai counts back from the end of the fall, one further than its length
    assert rt.valley(LRS, valley_curve()) == pytest.approx(expected, rel=0.1)


def test_valley_agrees_with_a_quadratic_search_for_the_longest_falling_subsequence():
    losses = np.random.RandomState(3).rand(40)
    lrs = np.logspace(-3, 0, 40)
    lengths = [1] * 40
    for i in range(1, 40):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i] = lengths[j] + 1
    end = int(np.argmax(lengths))
    start = end - lengths[end]
    third = (end - start) / 3
    assert rt.valley(lrs, losses) == lrs[max(start + int(third) + int(third / 2), 0)]


def test_slide_agrees_with_the_interval_moved_step_by_step():
    bent = 2.3 - 0.01 * np.arange(len(LRS)) + 20 * np.clip(LRS - 0.3, 0, None) ** 2
    right, left, answer = -1, -16, None
    slopes = np.gradient(bent)
    while left >= -len(bent) and abs(slopes[right] - slopes[left]) > 0.005:
        answer = LRS[left]
        right, left = right - 1, left - 1
    assert answer is not None
    assert rt.slide(LRS, bent) == pytest.approx(answer)


@pytest.mark.parametrize("rule", [rt.steepest, rt.valley, rt.minimum, rt.minimum_tenth, rt.slide])
def test_a_rule_has_no_answer_where_nothing_is_finite(rule):
    assert rule(LRS, np.full(len(LRS), np.nan)) is None


def logistic_fall(lrs=LRS):
    """From 2.3 down to 0.7, steepest over log(lr) at 0.01, and strictly falling."""
    return 2.3 - 1.6 / (1 + (0.01 / lrs) ** 2)


def with_spike(curve):
    curve = curve.copy()
    curve[3] += 5
    return curve


def ending_in_nan(curve):
    curve = curve.copy()
    curve[-20:] = np.nan
    return curve


FLAT = np.full(len(LRS), 2.3)
V = valley_curve()  # 201 rates, 25 a decade: falls from index 75 to 150


@pytest.mark.parametrize(
    ("rule", "curve", "expected"),
    [
        (rt.steepest, FLAT, None),
        (rt.steepest, logistic_fall(), 0.01),
        (rt.steepest, with_spike(logistic_fall()), LRS[4]),  # down from the spike
        (rt.steepest, ending_in_nan(logistic_fall()), 0.01),
        (rt.valley, FLAT, None),
        (rt.valley, logistic_fall(), LRS[99]),  # -1 + 201/3 + 201/6, counted as fastai does
        (rt.valley, with_spike(logistic_fall()), LRS[99]),
        (rt.valley, ending_in_nan(logistic_fall()), LRS[89]),  # -1 + 181/3 + 181/6
        (rt.minimum, FLAT, None),
        (rt.minimum, logistic_fall(), 10.0),
        (rt.minimum, with_spike(V), 0.1),
        (rt.minimum, ending_in_nan(logistic_fall()), LRS[180]),
        (rt.minimum_tenth, FLAT, None),
        (rt.minimum_tenth, logistic_fall(), 1.0),
        (rt.minimum_tenth, with_spike(V), 0.01),
        (rt.minimum_tenth, ending_in_nan(logistic_fall()), LRS[180] / 10),
        (rt.slide, FLAT, None),
        (rt.slide, logistic_fall(), None),  # all slopes are alike at its end
        (rt.slide, ending_in_nan(logistic_fall()), None),
    ],
)
def test_a_rule_gives_the_answer_of_a_known_curve_or_none(rule, curve, expected):
    with no_warning():
        answer = rule(LRS, curve)
    assert answer == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("seed", range(3))
def test_the_rules_of_others_read_noise_as_their_definitions_do(seed):
    (curve,) = noisy(V, 0.1, seed, n_repeats=1)
    slopes = [
        (curve[min(i + 1, 200)] - curve[max(i - 1, 0)]) / (min(i + 1, 200) - max(i - 1, 0))
        for i in range(201)
    ]
    assert rt.steepest(LRS, curve) == LRS[slopes.index(min(slopes))]
    assert rt.minimum(LRS, curve) == LRS[list(curve).index(min(curve))]
    assert rt.minimum_tenth(LRS, curve) == rt.minimum(LRS, curve) / 10
