import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from skclr import schedules

N_STEPS = 400


def torch_rates(scheduler_class, n_steps, **params):
    """Walk through torch's scheduler and note the rate of every step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = scheduler_class(optimizer, **params)
    rates = []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def random_boundaries(rng):
    base_lr = 10 ** rng.uniform(-7, -1)
    return {"base_lr": base_lr, "max_lr": base_lr * 10 ** rng.uniform(0.01, 3)}


def random_halves(rng):
    """Draw whole and fractional half cycles, since torch takes both."""
    up, down = rng.integers(1, 60, size=2) + rng.choice([0.0, 0.25, 1 / 3])
    return float(up), rng.choice([None, float(down)])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_cyclical_rates_are_those_of_torch_at_every_step(mode, seed):
    rng = np.random.default_rng(seed)
    boundaries = random_boundaries(rng)
    up, down = random_halves(rng)
    decay = {"gamma": rng.uniform(0.95, 1.0)} if mode == "exp_range" else {}

    ours = getattr(schedules, mode)(
        np.arange(N_STEPS), step_size=up, step_size_down=down, **boundaries, **decay
    )

    theirs = torch_rates(
        torch.optim.lr_scheduler.CyclicLR,
        N_STEPS,
        cycle_momentum=False,
        mode=mode,
        step_size_up=up,
        step_size_down=down,
        **boundaries,
        **decay,
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("scale_mode", "scale_fn"),
    [
        ("cycle", lambda cycle: 1 / 5 ** (cycle * 0.01)),
        ("cycle", lambda cycle: 0.5 * (1 + np.sin(cycle * np.pi / 2))),
        ("iterations", lambda iteration: 1 / (1 + 0.01 * iteration)),
        ("iterations", lambda iteration: 0.5),
    ],
)
def test_custom_scale_gives_the_rates_of_torch(scale_mode, scale_fn, seed):
    rng = np.random.default_rng(seed)
    boundaries = random_boundaries(rng)
    up, down = random_halves(rng)

    ours = schedules.cyclical(
        np.arange(N_STEPS),
        step_size=up,
        step_size_down=down,
        scale_fn=scale_fn,
        scale_mode=scale_mode,
        **boundaries,
    )

    theirs = torch_rates(
        torch.optim.lr_scheduler.CyclicLR,
        N_STEPS,
        cycle_momentum=False,
        step_size_up=up,
        step_size_down=down,
        scale_fn=scale_fn,
        scale_mode=scale_mode,
        **boundaries,
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal_strategy", ["cos", "linear"])
def test_one_cycle_rates_are_those_of_torch_at_every_step(anneal_strategy, three_phase, seed):
    rng = np.random.default_rng(seed)
    total_steps = int(rng.integers(2, 300))
    params = {
        "max_lr": 10 ** rng.uniform(-4, 1),
        "total_steps": total_steps,
        "pct_start": rng.uniform(0, 0.5 if three_phase else 1),
        "div_factor": rng.uniform(1, 100),
        "final_div_factor": 10 ** rng.uniform(0, 5),
        "anneal_strategy": anneal_strategy,
        "three_phase": three_phase,
    }

    ours = schedules.one_cycle(np.arange(total_steps), **params)

    theirs = torch_rates(
        torch.optim.lr_scheduler.OneCycleLR, total_steps, cycle_momentum=False, **params
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("base_lr", [0.0, 1e-5, 0.3])
@pytest.mark.parametrize("total_steps", [1, 2, 7, 400])
def test_cosine_rates_are_those_of_torch_at_every_step(total_steps, base_lr):
    ours = schedules.cosine(
        np.arange(total_steps + 1), max_lr=1.0, base_lr=base_lr, total_steps=total_steps
    )
    theirs = torch_rates(
        torch.optim.lr_scheduler.CosineAnnealingLR,
        total_steps + 1,
        T_max=total_steps,
        eta_min=base_lr,
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("base_lr", [0.0, 0.01])
@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("step_size", [1, 7, 10, 49])
def test_cosine_restart_rates_are_those_of_torch_at_every_step(step_size, factor, base_lr):
    ours = schedules.cosine_restarts(
        np.arange(1000), max_lr=1.0, base_lr=base_lr, step_size=step_size, factor=factor
    )
    theirs = torch_rates(
        torch.optim.lr_scheduler.CosineAnnealingWarmRestarts,
        1000,
        T_0=step_size,
        T_mult=factor,
        eta_min=base_lr,
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_cosine_restarts_grow_by_any_factor():
    t = np.linspace(0, 60, 2401)
    ours = schedules.cosine_restarts(t, max_lr=1.0, step_size=2.5, factor=1.3)
    starts = np.cumsum([0, *(2.5 * 1.3 ** np.arange(12))])
    cycle = np.searchsorted(starts, t + 1e-12, side="right") - 1
    share = (t - starts[cycle]) / (2.5 * 1.3**cycle)
    np.testing.assert_allclose(ours, (1 + np.cos(np.pi * share)) / 2, atol=1e-9)
    assert np.isfinite(schedules.cosine_restarts(1e300, max_lr=1.0, step_size=1, factor=1.5))


@pytest.mark.parametrize("name", ["cosine", "cosine_restarts"])
@pytest.mark.parametrize("warmup", [1, 4, 6.5])
def test_a_warmup_climbs_along_a_line_and_the_fall_begins_after_it(name, warmup):
    length = {"total_steps": 20 + warmup} if name == "cosine" else {"step_size": 20}
    if name == "cosine" and warmup == 6.5:
        length["total_steps"], fall = 27, 20.5
    else:
        fall = 20
    schedule = getattr(schedules, name)
    bounds = {"max_lr": 1.0, "base_lr": 0.2}
    t = np.arange(0, 26, 0.25)
    rates = schedule(t, warmup=warmup, **length, **bounds)
    climb = t < warmup
    np.testing.assert_allclose(rates[climb], 0.2 + 0.8 * t[climb] / warmup)
    expected = 0.2 + 0.4 * (1 + np.cos(np.pi * (t - warmup) / fall))
    before_restart = ~climb & (t < warmup + 20)
    np.testing.assert_allclose(rates[before_restart], expected[before_restart])


def test_a_cosine_stays_where_it_has_ended():
    last = schedules.cosine([20, 21, 10**9], max_lr=1.0, base_lr=0.125, total_steps=20)
    np.testing.assert_array_equal(last, [0.125] * 3)


def test_triangular_follows_the_code_printed_in_the_paper():
    base_lr, max_lr, step_size = 0.001, 0.006, 25

    def printed(iteration):
        cycle = math.floor(1 + iteration / (2 * step_size))
        x = abs(iteration / step_size - 2 * cycle + 1)
        return base_lr + (max_lr - base_lr) * max(0, 1 - x)

    ours = schedules.triangular(np.arange(500), base_lr=base_lr, max_lr=max_lr, step_size=step_size)
    np.testing.assert_allclose(ours, [printed(t) for t in range(500)], rtol=0, atol=1e-12)


def test_scale_function_is_called_once_with_all_cycles_counted_from_one():
    calls = []

    def scale_fn(cycle):
        calls.append(cycle)
        return np.ones_like(cycle)

    schedules.cyclical(
        np.arange(8), base_lr=0.1, max_lr=1.0, step_size=2, scale_fn=scale_fn, scale_mode="cycle"
    )
    assert len(calls) == 1
    np.testing.assert_array_equal(calls[0], [1, 1, 1, 1, 2, 2, 2, 2])


def test_scale_function_of_plain_python_serves_scalar_iterations():
    lr = schedules.cyclical(
        5, base_lr=0.0, max_lr=1.0, step_size=5, scale_fn=lambda cycle: math.exp(-cycle)
    )
    assert lr == pytest.approx(math.exp(-1))


def test_exp_range_with_gamma_one_is_triangular():
    t = np.arange(100)
    params = {"base_lr": 0.01, "max_lr": 0.1, "step_size": 7}
    np.testing.assert_array_equal(
        schedules.exp_range(t, gamma=1, **params), schedules.triangular(t, **params)
    )


def test_one_cycle_keeps_its_last_rate_after_the_last_step():
    params = {"max_lr": 0.1, "total_steps": 50}
    last = schedules.one_cycle(49, **params)
    assert last == pytest.approx(0.1 / 25 / 1e4)
    np.testing.assert_array_equal(schedules.one_cycle([50, 51, 10**9], **params), [last] * 3)


@pytest.mark.parametrize(
    ("total_steps", "pct_start", "expected"), [(10, 0.1, 0.5), (1, 1.0, 0.5), (2, 0.5, 0.5)]
)
def test_one_cycle_whose_climb_has_no_length_starts_at_the_top(total_steps, pct_start, expected):
    # torch divides by zero here.
    lr = schedules.one_cycle(0, max_lr=0.5, total_steps=total_steps, pct_start=pct_start)
    assert lr == expected


def test_learning_rate_halves_at_every_step_size_down_to_the_lower_boundary():
    t = [0, 99, 100, 199, 200, 300, 400]
    np.testing.assert_array_equal(
        schedules.lr_halving(t, max_lr=0.8, step_size=100, base_lr=0.08),
        [0.8, 0.8, 0.4, 0.4, 0.2, 0.1, 0.08],
    )


def test_learning_rate_falls_as_torch_step_decay_does():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=1 / 3)
    theirs = []
    for _ in range(60):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    ours = schedules.lr_halving(np.arange(60), max_lr=0.3, step_size=7, factor=3)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_batch_size_doubles_every_five_epochs_up_to_the_limit():
    sizes = schedules.batch_doubling(np.arange(45))
    expected = np.repeat([32, 64, 128, 256, 512, 1024, 2048, 4096, 4096], 5)
    np.testing.assert_array_equal(sizes, expected)
    assert np.issubdtype(sizes.dtype, np.integer)


def test_batch_size_stops_at_a_limit_that_is_no_multiple():
    sizes = schedules.batch_doubling([0, 1, 2, 3], batch_size=30, step_size=1, max_batch_size=100)
    np.testing.assert_array_equal(sizes, [30, 60, 100, 100])


def test_batch_size_grows_by_whole_factors_exactly():
    sizes = schedules.batch_doubling(
        np.arange(40), batch_size=1, step_size=1, max_batch_size=10**18, factor=3
    )
    np.testing.assert_array_equal(sizes, [min(3**k, 10**18) for k in range(40)])


def test_batch_size_of_a_fractional_factor_is_rounded_down():
    sizes = schedules.batch_doubling([0, 1, 2, 3], batch_size=5, step_size=1, factor=1.5)
    np.testing.assert_array_equal(sizes, [5, 7, 11, 16])


def test_batch_size_that_is_whole_but_for_float_rounding_is_not_rounded_down():
    assert 100 * 1.15 < 115
    assert schedules.batch_doubling(5, batch_size=100, factor=1.15) == 115


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", [2, 1.5, 1 + 1e-12, 1e308, 10**300])
def test_batch_size_at_a_huge_epoch_is_the_limit(factor):
    assert schedules.batch_doubling(1e300, factor=factor) == 4096


@pytest.mark.filterwarnings("error")
def test_rates_at_a_huge_iteration_are_finite():
    t = 10**12
    assert schedules.lr_halving(t, max_lr=0.1, step_size=1, base_lr=1e-3) == 1e-3
    assert schedules.lr_halving(t, max_lr=0.1, step_size=1) == 0.0
    boundaries = {"base_lr": 1e-3, "max_lr": 0.1, "step_size": 3}
    assert schedules.triangular2(t, **boundaries) == 1e-3
    assert schedules.exp_range(t, gamma=0.5, **boundaries) == 1e-3


BOUNDARIES = {"base_lr": 0.1, "max_lr": 1.0, "step_size": 3}
EVERY_SCHEDULE = [
    ("cyclical", BOUNDARIES),
    ("triangular", BOUNDARIES),
    ("triangular2", BOUNDARIES),
    ("exp_range", {**BOUNDARIES, "gamma": 0.9}),
    ("one_cycle", {"max_lr": 1.0, "total_steps": 10}),
    ("lr_halving", {"max_lr": 1.0, "step_size": 3}),
    ("cosine", {"max_lr": 1.0, "total_steps": 10}),
    ("cosine_restarts", {"max_lr": 1.0, "step_size": 3}),
    ("batch_doubling", {}),
    ("batch_steps", {"milestones": [2, 7.5, 20], "factor": [2, 1.3, 3]}),
]


@pytest.mark.parametrize(("name", "params"), EVERY_SCHEDULE)
def test_answer_has_the_shape_of_the_question(name, params):
    schedule = getattr(schedules, name)
    number = int if name.startswith("batch") else float
    t = np.arange(24).reshape(2, 3, 4)

    whole = schedule(t, **params)

    assert whole.shape == t.shape
    assert whole.dtype == (np.int64 if number is int else np.float64)
    one_by_one = [schedule(int(i), **params) for i in t.flat]
    assert all(type(value) is number for value in one_by_one)
    np.testing.assert_array_equal(whole.ravel(), one_by_one)
    np.testing.assert_array_equal(schedule(t.astype(float), **params), whole)
    np.testing.assert_array_equal(schedule(t.tolist(), **params), whole)
    assert type(schedule(np.float64(3), **params)) is number
    assert schedule([], **params).shape == (0,)


@pytest.mark.parametrize(("name", "params"), EVERY_SCHEDULE)
@pytest.mark.parametrize("t", [-1, [0, 1, -0.5], math.nan, [0, math.inf]])
def test_progress_that_is_negative_or_not_finite_is_refused(name, params, t):
    with pytest.raises(ValueError, match=r"^t must be finite and 0 or more, got (-|nan|inf)"):
        getattr(schedules, name)(t, **params)


@pytest.mark.parametrize("name", ["cyclical", "triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"base_lr": 1.0}, "base_lr must be less than max_lr, got base_lr=1.0 and max_lr=1.0"),
        ({"base_lr": -0.1}, "base_lr must be a finite number, 0 or more, got -0.1"),
        ({"base_lr": math.nan}, "base_lr must be a finite number, 0 or more, got nan"),
        ({"base_lr": "auto"}, "base_lr must be a finite number, 0 or more, got 'auto'"),
        ({"max_lr": math.inf}, "max_lr must be a finite number greater than 0, got inf"),
        ({"max_lr": 0}, "max_lr must be a finite number greater than 0, got 0"),
        ({"max_lr": None}, "max_lr must be a finite number greater than 0, got None"),
        ({"step_size": 0}, "step_size must be a finite number greater than 0, got 0"),
        ({"step_size": -2.5}, "step_size must be a finite number greater than 0, got -2.5"),
        ({"step_size": math.inf}, "step_size must be a finite number greater than 0, got inf"),
        ({"step_size_down": 0}, "step_size_down must be a finite number greater than 0, got 0"),
    ],
)
def test_wrong_cyclical_parameters_are_answered_in_one_sentence(name, wrong, message):
    params = dict(EVERY_SCHEDULE)[name] | wrong
    with pytest.raises(ValueError, match=f"^{message}\\.$"):
        getattr(schedules, name)(0, **params)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("cyclical", {"scale_fn": 0.5}, "scale_fn must be a callable or None, got 0.5"),
        (
            "cyclical",
            {"scale_mode": "epochs"},
            "scale_mode must be 'cycle' or 'iterations', got 'epochs'",
        ),
        ("exp_range", {"gamma": 0}, r"gamma must be a number in \(0, 1\], got 0"),
        ("exp_range", {"gamma": 1.1}, r"gamma must be a number in \(0, 1\], got 1.1"),
        ("exp_range", {"gamma": math.nan}, r"gamma must be a number in \(0, 1\], got nan"),
        ("one_cycle", {"max_lr": -1}, "max_lr must be a finite number greater than 0, got -1"),
        ("one_cycle", {"total_steps": 0}, "total_steps must be an integer greater than 0, got 0"),
        (
            "one_cycle",
            {"total_steps": 9.5},
            "total_steps must be an integer greater than 0, got 9.5",
        ),
        ("one_cycle", {"pct_start": 1.1}, r"pct_start must be a number in \[0, 1\], got 1.1"),
        (
            "one_cycle",
            {"div_factor": 0},
            "div_factor must be a finite number greater than 0, got 0",
        ),
        (
            "one_cycle",
            {"final_div_factor": math.inf},
            "final_div_factor must be a finite number greater than 0, got inf",
        ),
        (
            "one_cycle",
            {"anneal_strategy": "cosine"},
            "anneal_strategy must be 'cos' or 'linear', got 'cosine'",
        ),
        (
            "lr_halving",
            {"base_lr": 2.0},
            "base_lr must be less than max_lr, got base_lr=2.0 and max_lr=1.0",
        ),
        ("cosine", {"base_lr": 1.0}, "base_lr must be less than max_lr, .*"),
        ("cosine", {"total_steps": 0}, "total_steps must be an integer greater than 0, got 0"),
        ("cosine", {"warmup": 10}, "warmup must be .* less than total_steps, 10, got 10"),
        ("cosine", {"warmup": -1}, "warmup must be .* got -1"),
        ("cosine_restarts", {"step_size": 0}, "step_size must be .* greater than 0, got 0"),
        ("cosine_restarts", {"factor": 0.9}, "factor must be a finite number, 1 or more, got 0.9"),
        ("cosine_restarts", {"factor": math.nan}, "factor must be .* got nan"),
        ("cosine_restarts", {"warmup": math.inf}, "warmup must be .* got inf"),
        ("lr_halving", {"factor": 1}, "factor must be a finite number greater than 1, got 1"),
        ("batch_steps", {"factor": [2, 3]}, "factor must be .* each of the 3 milestones, got 2"),
        ("batch_steps", {"factor": [2, 3, 1]}, "factor must be .* greater than 1, got 1"),
        ("batch_steps", {"factor": "2"}, "factor must be .* greater than 1, got '2'"),
        ("batch_steps", {"milestones": [2, 2, 3]}, r"milestones must be .* got \[2, 2, 3\]"),
        ("batch_steps", {"milestones": [0, 2, 3]}, r"milestones must be .* got \[0, 2, 3\]"),
        ("batch_steps", {"milestones": 3}, "milestones must be .* got 3"),
        ("batch_steps", {"milestones": ["a"]}, r"milestones must be .* got \['a'\]"),
        ("batch_steps", {"milestones": [math.inf]}, r"milestones must be .* got \[inf\]"),
        ("batch_steps", {"batch_size": 0}, "batch_size must be an integer greater than 0, got 0"),
        ("batch_steps", {"max_batch_size": 16}, "max_batch_size must be batch_size or more, .*"),
        ("lr_halving", {"step_size": 0}, "step_size must be a finite number greater than 0, got 0"),
        (
            "batch_doubling",
            {"batch_size": 0},
            "batch_size must be an integer greater than 0, got 0",
        ),
        (
            "batch_doubling",
            {"batch_size": 32.0},
            "batch_size must be an integer greater than 0, got 32.0",
        ),
        (
            "batch_doubling",
            {"max_batch_size": 16},
            "max_batch_size must be batch_size or more, got max_batch_size=16 and batch_size=32",
        ),
        (
            "batch_doubling",
            {"factor": 0.5},
            "factor must be a finite number greater than 1, got 0.5",
        ),
        (
            "batch_doubling",
            {"step_size": -1},
            "step_size must be a finite number greater than 0, got -1",
        ),
    ],
)
def test_other_wrong_parameters_are_answered_in_one_sentence(name, wrong, message):
    params = dict(EVERY_SCHEDULE)[name] | wrong
    with pytest.raises(ValueError, match=f"^{message}\\.$"):
        getattr(schedules, name)(0, **params)


def test_schedules_import_numpy_and_no_torch():
    # Loaded by its path: the package itself may need torch, this module may not.
    program = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('schedules', {schedules.__file__!r})\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "assert 'numpy' in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
