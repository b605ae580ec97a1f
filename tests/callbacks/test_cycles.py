"""Where cycles end, beside the schedules whose rates jump or turn there."""

import numpy as np
import pytest

from skclr import schedules
from skclr.callbacks import CosineRestartsLR, CyclicLR, LRHalving, OneCycleLR


def ends(cycles, n_iterations, per_epoch):
    """Return the numbers of updates after which a cycle has ended."""
    unit = per_epoch if cycles.unit == "epoch" else 1
    ended = [cycles.ended_by(place / unit) for place in range(n_iterations + 1)]
    return (np.flatnonzero(np.diff(ended)) + 1).tolist()


@pytest.mark.parametrize("factor", [1, 1.1, 1.5, 2])
@pytest.mark.parametrize("warmup", [0, 2, 0.75])
@pytest.mark.parametrize("step_size", [1, 2.5, 4])
def test_a_fall_ends_before_the_rate_jumps_up_again(step_size, warmup, factor):
    per_epoch, n = 20, 2000
    rates = schedules.cosine_restarts(
        np.arange(n),
        max_lr=1.0,
        step_size=step_size * per_epoch,
        factor=factor,
        warmup=warmup * per_epoch,
    )
    jumps = np.flatnonzero(np.diff(rates) > 0.3) + 1  # the first updates of the next cycles
    cycles = CosineRestartsLR(1.0, step_size=step_size, factor=factor, warmup=warmup)._cycles()
    found = [place for place in ends(cycles, n - 1, per_epoch) if place < n - 1]
    assert found == jumps.tolist()


@pytest.mark.parametrize("unit", ["epoch", "iteration"])
@pytest.mark.parametrize("step_size", [3, 10, 7])
def test_a_cycle_ends_where_the_rate_turns(step_size, unit):
    n = 200
    given = step_size if unit == "iteration" else step_size / 20
    rates = schedules.triangular(np.arange(n + 1), base_lr=0.1, max_lr=1.0, step_size=step_size)
    cycles = CyclicLR("triangular2", 0.1, 1.0, given, unit)._cycles()
    turns = np.flatnonzero(rates[1:] < 0.1 + 1e-9) + 1  # updates at the lowest rate, but the first
    assert ends(cycles, n, per_epoch=20) == turns.tolist()


def test_a_cycle_that_ends_within_a_batch_ends_after_it():
    assert ends(CyclicLR(step_size=1.25, step_unit="iteration")._cycles(), 10, 1) == [3, 5, 8, 10]


def test_schedules_that_fall_once_have_no_cycles():
    assert OneCycleLR()._cycles() is None
    assert LRHalving()._cycles() is None


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_extreme_lengths_are_taken(factor):
    tiny = CosineRestartsLR(step_size=1e-320, factor=factor)._cycles()
    huge = CosineRestartsLR(step_size=1e300, factor=factor)._cycles()
    assert tiny.ended_by(1e3) > 0
    assert huge.ended_by(1e3) == 0
