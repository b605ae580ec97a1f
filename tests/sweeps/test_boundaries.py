"""The pair of rules that a range test goes by, on curves whose answer is known."""

import numpy as np
import pytest
from curves import LRS, no_warning, noisy, valley_curve
from scipy.integrate import quad

from skclr import range_test as rt
from skclr._sweeps._curve import falling_curve, moving_part


@pytest.mark.parametrize("sd", [0.0, 0.05])
def test_the_pair_is_read_off_a_known_curve(sd):
    losses = noisy(valley_curve(), sd)
    with no_warning():
        base, top = rt.first_fall(LRS, losses), rt.basin(LRS, losses)
    assert 1e-4 / 2 < base < 1e-4 * 3
    assert 0.1 / 4 < top < 0.1


@pytest.mark.parametrize("n", [184, 1000])
@pytest.mark.parametrize("width", [0.2, 0.4, 1.2])
def test_the_basin_of_a_known_curve_has_the_moments_that_integration_gives(n, width):
    """The width is in decades; smoothing a bell makes a wider bell."""
    lrs = np.logspace(-7, 3, n)
    x = np.log10(lrs / 0.01)
    losses = 2.3 - 1.5 * np.exp(-(x**2) / (2 * width**2))
    wider = np.sqrt(width**2 + 2 * 0.2**2)
    edge = wider * np.sqrt(2 * np.log(1 / 0.4))

    def weight(t):
        return np.exp(-(t**2) / (2 * wider**2)) - 0.4

    variance = quad(lambda t: t**2 * weight(t), -edge, edge)[0] / quad(weight, -edge, edge)[0]
    deviation = np.log(10) * np.sqrt(variance)
    with no_warning():
        missing, more = max(0, 0.65 - deviation), max(0, deviation - 1.3)
        expected = 0.01 * np.exp(0.2 - 4 * missing + more)
        assert rt.basin(lrs, losses) == pytest.approx(expected, rel=0.02)


def test_the_pair_does_not_follow_one_spike_at_the_start():
    losses = noisy(valley_curve(), 0.02)
    losses[0, 3] += 5
    losses[1, 8] -= 0.5
    assert 1e-4 / 3 < rt.first_fall(LRS, losses) < 1e-4 * 3
    assert 0.1 / 4 < rt.basin(LRS, losses) < 0.1


def test_the_pair_does_not_move_by_more_than_a_factor_of_two_with_the_noise():
    tops = [rt.basin(LRS, noisy(valley_curve(), 0.08, seed)) for seed in range(10)]
    assert max(tops) / min(tops) < 2


def five_repeats(turns, slope):
    """Repeats that fall alike to 0.05 at a rate of 0.02, and rise from rates of their own."""
    falling = np.interp(np.log10(LRS), [-3.5, np.log10(0.02)], [0.7, 0.05])
    rising = [slope * np.clip(np.log10(LRS / turn), 0, None) for turn in turns]
    return np.minimum(falling + rising, 5.0)


def test_one_repeat_in_five_that_shoots_up_early_lowers_the_answer():
    together = rt.basin(LRS, five_repeats([0.5] * 5, slope=50))
    one_early = rt.basin(LRS, five_repeats([0.5] * 4 + [0.15], slope=50))
    assert one_early < 0.9 * together


def test_an_abrupt_rise_is_given_more_room_than_a_gradual_one():
    abrupt = rt.basin(LRS, five_repeats([0.2] * 5, slope=50))
    gradual = rt.basin(LRS, five_repeats([0.2] * 5, slope=0.3))
    assert abrupt < 0.5 * gradual
    assert abrupt < 0.2 / 4


def test_single_losses_that_jump_up_are_the_first_sign_of_a_cliff():
    calm = five_repeats([0.4] * 5, slope=5)
    jumping = calm.copy()
    for repeat, lr in enumerate([0.08, 0.11, 0.15, 0.19, 0.23]):
        jumping[repeat, np.searchsorted(LRS, [lr, 1.3 * lr])] = 3.0
    assert 0.3 < rt.basin(LRS, jumping) / rt.basin(LRS, calm) < 0.9


def test_a_basin_that_is_full_of_jumps_gives_a_warning_and_no_number():
    losses = five_repeats([0.4] * 5, slope=5)
    jumps = (LRS > 2e-4) & (np.arange(len(LRS)) % 2 == 0)
    losses[:, jumps] = 5.0
    with pytest.warns(rt.RangeTestWarning, match="jumps up as far as it falls.*larger batches"):
        assert rt.basin(LRS, losses) is None


def test_a_sweep_that_ended_early_counts_as_turned_up():
    losses = noisy(valley_curve(), 0.02)
    losses[:, LRS > 0.15] = np.nan
    losses[1, LRS > 0.13] = np.nan
    with no_warning():
        top = rt.basin(LRS, losses)
    assert 0.13 / 8 < top < 0.13 / 4  # where a repeat ends, it falls off a cliff


def test_repeats_that_begin_later_are_at_their_own_level_before():
    whole = noisy(valley_curve(), 0.02, n_repeats=6)
    late = whole.copy()
    late[2:, LRS < 3e-5] = np.nan
    with no_warning():
        assert rt.basin(LRS, late) == pytest.approx(rt.basin(LRS, whole), rel=0.02)
        assert rt.first_fall(LRS, late) == rt.first_fall(LRS, whole[:2])  # those that tell
    late[2:] += 0.3  # and begin higher
    with no_warning():
        assert rt.basin(LRS, late) == pytest.approx(rt.basin(LRS, whole), rel=0.2)


def test_the_part_in_which_the_loss_moves_reaches_from_the_fall_to_the_rise():
    part = moving_part(LRS, noisy(valley_curve(), 0.02, n_repeats=2))
    first, last = LRS[part.start], LRS[part.stop - 1]
    assert last == pytest.approx(0.1 * 10 ** (1.6 / 4 + 0.25), rel=0.3)  # the rise, and beyond
    assert first == pytest.approx(last / 1e3, rel=0.1)  # no wider than three decades
    narrow = moving_part(LRS, noisy(valley_curve(start=1e-2), 0.02, n_repeats=2))
    assert 2e-3 < LRS[narrow.start] < 1e-2


def test_a_sweep_that_ended_ends_the_part_in_which_the_loss_moves():
    losses = noisy(valley_curve(), 0.02, n_repeats=2)
    losses[0, LRS > 0.15] = np.nan
    losses[1, LRS > 0.13] = np.nan
    assert 0.13 * 10**0.2 < LRS[moving_part(LRS, losses).stop - 1] < 0.15 * 10**0.3


def test_a_few_rates_have_the_level_of_their_beginning():
    lrs = np.logspace(-5, 0, 24)  # of which five lie before the fall
    assert falling_curve(lrs, valley_curve(lrs)).level == pytest.approx(2.3)


def test_where_nothing_falls_all_rates_are_the_part():
    assert moving_part(LRS, np.full((2, len(LRS)), 2.3)) == slice(0, len(LRS))


def test_a_flat_curve_gives_a_warning_and_no_number():
    losses = noisy(np.full(len(LRS), 2.3), 0.05)
    for rule in (rt.first_fall, rt.basin):
        with pytest.warns(rt.RangeTestWarning, match="never falls.*raise max_lr"):
            assert rule(LRS, losses) is None


def test_a_curve_that_only_falls_has_a_base_lr_and_no_max_lr():
    lrs = LRS[LRS < 0.09]
    losses = noisy(valley_curve(lrs), 0.02)
    with no_warning():
        assert rt.first_fall(lrs, losses) is not None
    with pytest.warns(rt.RangeTestWarning, match="does not turn up again.*raise max_lr"):
        assert rt.basin(lrs, losses) is None


def test_a_curve_that_falls_at_once_has_no_base_lr():
    lrs = LRS[LRS > 1e-3]
    losses = noisy(valley_curve(lrs), 0.01)
    with pytest.warns(rt.RangeTestWarning, match="from the first rate.*lower min_lr"):
        assert rt.first_fall(lrs, losses) is None
    with no_warning():
        assert 0.1 / 4 < rt.basin(lrs, losses) < 0.1


def test_a_sweep_that_blew_up_at_once_is_told_to_begin_lower():
    losses = np.full((3, len(LRS)), np.nan)
    losses[:, :4] = 2.3
    with pytest.warns(rt.RangeTestWarning, match="first 10 rates: lower min_lr"):
        assert rt.basin(LRS, losses) is None


def test_a_linear_sweep_is_read_as_an_exponential_one():
    lrs = np.linspace(1e-3, 10, 5000)
    losses = valley_curve(lrs, start=0.01, lowest=1.0)
    grid = np.geomspace(1e-3, 10, 5000)
    expected = rt.basin(grid, valley_curve(grid, start=0.01, lowest=1.0))
    assert rt.basin(lrs, losses) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("rule", [rt.first_fall, rt.basin])
def test_a_warning_points_at_the_line_of_the_caller(rule):
    with pytest.warns(rt.RangeTestWarning) as caught:
        rule(LRS, np.full(len(LRS), 2.3))
    assert caught[0].filename == __file__
