"""Rules on curves whose answer is known, and real sweeps."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import skorch
import torch
from scipy.integrate import quad
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from skorch.callbacks import Checkpoint, EarlyStopping
from torch import nn

from skclr import CLRLeNetClassifier
from skclr import range_test as rt
from skclr.datasets import load_fashion_mnist_sample

LRS = np.logspace(-7, 1, 201)


def valley_curve(lrs=LRS, start=1e-4, lowest=0.1):
    """Level at 2.3 up to `start`, a straight fall over log(lr) to 0.7 at `lowest`, then up."""
    down = np.interp(np.log10(lrs), np.log10([start, lowest]), [2.3, 0.7])
    return down + 4 * np.clip(np.log10(lrs / lowest), 0, None)


def noisy(curve, sd, seed=0, n_repeats=3):
    noise = np.random.RandomState(seed).normal(0, sd, (n_repeats, len(curve)))
    return curve + noise


@contextmanager
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# ---------------------------------------------------------------- rules with a source


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


# ---------------------------------------------------------------- our pair


@pytest.mark.parametrize("sd", [0.0, 0.05])
def test_the_pair_is_read_off_a_known_curve(sd):
    losses = noisy(valley_curve(), sd)
    with no_warning():
        base, top = rt.first_fall(LRS, losses), rt.basin(LRS, losses)
    assert 1e-4 / 2 < base < 1e-4 * 3
    assert 0.1 / 3 < top < 0.1


@pytest.mark.parametrize("n", [184, 1000])
def test_the_basin_of_a_known_curve_has_the_moments_that_integration_gives(n):
    width = 1.2  # decades; smoothing a bell over half a decade makes a wider bell
    lrs = np.logspace(-7, 3, n)
    x = np.log10(lrs / 0.01)
    losses = 2.3 - 1.5 * np.exp(-(x**2) / (2 * width**2))
    wider = np.sqrt(width**2 + 0.5**2)
    edge = wider * np.sqrt(2 * np.log(2))

    def weight(t):
        return np.exp(-(t**2) / (2 * wider**2)) - 0.5

    variance = quad(lambda t: t**2 * weight(t), -edge, edge)[0] / quad(weight, -edge, edge)[0]
    expected = 0.01 * 10 ** np.sqrt(variance)
    with no_warning():
        assert rt.basin(lrs, losses) == pytest.approx(expected, rel=0.02)


def test_the_pair_does_not_follow_one_spike_at_the_start():
    losses = noisy(valley_curve(), 0.02)
    losses[0, 3] += 5
    losses[1, 8] -= 0.5
    assert 1e-4 / 3 < rt.first_fall(LRS, losses) < 1e-4 * 3
    assert 0.1 / 3 < rt.basin(LRS, losses) < 0.1


def test_the_pair_does_not_move_by_more_than_a_factor_of_two_with_the_noise():
    tops = [rt.basin(LRS, noisy(valley_curve(), 0.08, seed)) for seed in range(10)]
    assert max(tops) / min(tops) < 2


def test_a_sweep_that_ended_early_counts_as_turned_up():
    losses = noisy(valley_curve(), 0.02)
    losses[:, LRS > 0.15] = np.nan
    losses[1, LRS > 0.13] = np.nan
    with no_warning():
        top = rt.basin(LRS, losses)
    assert 0.1 / 3 < top < 0.1


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


# ---------------------------------------------------------------- real sweeps


@pytest.fixture(scope="module")
def images():
    X, y = load_fashion_mnist_sample(return_X_y=True)
    return X[:1500], y[:1500]


@pytest.fixture(scope="module")
def result(images):
    return rt.lr_range_test(CLRLeNetClassifier(), *images, random_state=0)


@pytest.mark.slow
def test_a_real_sweep_finds_the_rates_that_train_lenet(result):
    assert 1e-5 < result.base_lr < 1e-2
    assert 0.02 < result.max_lr < 0.3
    assert result.suggestions["basin"] == result.max_lr
    assert set(result.suggestions) == {
        "steepest", "valley", "minimum", "minimum_tenth", "slide", "first_fall", "basin",
    }  # fmt: skip


def test_a_result_has_a_row_for_each_repeat_and_rate(result):
    assert result.lrs.shape == (184,)
    assert result.losses.shape == result.smoothed.shape == (5, 184)
    frame = result.to_frame()
    assert list(frame.columns) == ["repeat", "lr", "loss", "smoothed_loss"]
    assert len(frame) == 920
    assert np.isnan(result.losses[:, -1]).all()  # 10 is too much for any repeat


def test_the_answer_does_not_depend_on_the_number_of_jobs(result, images):
    again = rt.lr_range_test(CLRLeNetClassifier(), *images, random_state=0, n_jobs=2)
    np.testing.assert_array_equal(again.losses, result.losses)
    assert again.suggestions == result.suggestions


def test_the_estimator_is_left_as_it_was(images):
    clf = CLRLeNetClassifier(max_epochs=1, random_state=0).fit(*images)
    params = clf.get_params()
    weights = {name: value.clone() for name, value in clf.module_.state_dict().items()}
    history = clf.history_.to_list()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    rt.lr_range_test(clf, *images, n_iter=30, n_repeats=1, min_lr=1e-4, random_state=0)
    assert clf.get_params(deep=False).items() <= params.items()
    assert clf.history_.to_list() == history
    for name, value in clf.module_.state_dict().items():
        assert torch.equal(value, weights[name])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_any_skorch_classifier_is_swept_with_all_its_parameter_groups(images):
    X, y = images
    X = (X.reshape(len(X), -1) / 255).astype("float32")
    net = skorch.NeuralNetClassifier(
        nn.Sequential(nn.Linear(784, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 10)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__param_groups=[("0.*", {"weight_decay": 1e-4})],
        batch_size=128,
    )
    result = rt.lr_range_test(net, X, y, n_repeats=2, random_state=0)
    assert 1e-4 < result.max_lr < 0.3
    assert not net.initialized_


def test_a_set_smaller_than_the_sweep_is_gone_round(images):
    X, y = images
    result = rt.lr_range_test(
        CLRLeNetClassifier(), X[:100], y[:100], n_iter=60, n_repeats=1, max_lr=0.1, random_state=0
    )
    assert np.isfinite(result.losses).all()


def test_the_sweep_can_be_linear(images):
    result = rt.lr_range_test(
        CLRLeNetClassifier(), *images, mode="linear", min_lr=1e-4, max_lr=0.1, n_iter=50,
        n_repeats=1, random_state=0,
    )  # fmt: skip
    np.testing.assert_allclose(result.lrs, np.linspace(1e-4, 0.1, 50))


@pytest.mark.parametrize(
    "bad",
    [
        {"min_lr": 1.0, "max_lr": 0.1},
        {"min_lr": -1.0},
        {"max_lr": np.inf},
        {"max_lr": "1"},
        {"n_iter": 1},
        {"n_iter": 0},
        {"n_iter": 9},
        {"n_repeats": 0},
        {"n_repeats": 1.5},
        {"mode": "cubic"},
    ],
)
def test_bad_parameters_are_answered_before_any_sweep(bad, images, monkeypatch):
    monkeypatch.setattr(rt, "_sweep", lambda *args: pytest.fail("a sweep was made"))
    with pytest.raises(ValueError, match=next(iter(bad))):
        rt.lr_range_test(CLRLeNetClassifier(), *images, **bad)


def test_only_a_skorch_net_can_be_swept(images):
    with pytest.raises(TypeError, match="skorch net"):
        rt.lr_range_test(MinMaxScaler(), *images)


# ---------------------------------------------------------------- candidates


@pytest.mark.slow
def test_candidates_find_the_best_of_a_few_rates_and_survive_one_that_diverges(images):
    clf = CLRLeNetClassifier(standardize=False)
    lrs = [1e-8, 1e-3, 0.05, 1e8]
    result = rt.lr_candidates_test(clf, *images, lrs=lrs, epochs=2, random_state=0)
    X = images[0] / 255.0
    scaled = rt.lr_candidates_test(clf, X, images[1], lrs=lrs, epochs=2, random_state=0, n_jobs=2)
    assert scaled.max_lr == 0.05
    assert scaled.losses[0, 0] == pytest.approx(np.log(10), abs=0.15)
    assert scaled.losses[0, 3] > 100 or np.isnan(scaled.losses[0, 3])
    assert result.losses.shape == (1, 4)


def test_a_candidate_is_the_last_epochs_loss_of_a_plain_training_at_that_rate(images):
    result = rt.lr_candidates_test(
        CLRLeNetClassifier(), *images, lrs=[0.01, 0.02], epochs=2, random_state=5
    )
    (seed,) = np.random.RandomState(5).randint(2**31, size=1)
    alone = CLRLeNetClassifier(
        schedule="constant", max_lr=0.02, max_epochs=2, random_state=int(seed)
    ).fit(*images)
    assert result.losses[0, 1] == pytest.approx(alone.history_frame()["train_loss"].iloc[-1])


def test_candidates_must_be_numbers_above_zero(images):
    for lrs in ([0.1], [0.0, 0.1], [0.1, np.nan]):
        with pytest.raises(ValueError, match="lrs must be two or more"):
            rt.lr_candidates_test(CLRLeNetClassifier(), *images, lrs=lrs)


def test_a_clone_and_a_pipeline_take_the_measured_range(images, result):
    clf = clone(CLRLeNetClassifier(max_epochs=1, random_state=0)).set_params(
        base_lr=result.base_lr, max_lr=result.max_lr
    )
    X, y = images
    pipeline = make_pipeline(MinMaxScaler(), clf).fit(X.reshape(len(X), -1), y)
    assert pipeline[-1].history_frame("batch")["lr"].max() <= result.max_lr


# ---------------------------------------------------------------- a user's own ways


def test_callbacks_that_stop_or_save_are_left_out_with_their_parameters(images, tmp_path):
    clf = CLRLeNetClassifier(
        callbacks=[("es", EarlyStopping()), ("save", Checkpoint(dirname=tmp_path))],
        callbacks__es__patience=1,
        callbacks__print_log=None,
    )
    result = rt.lr_range_test(clf, *images, n_iter=30, n_repeats=1, min_lr=1e-5, random_state=0)
    assert len(result.lrs) == 30
    assert not list(tmp_path.iterdir())


def test_an_interrupt_that_a_plain_net_swallows_is_passed_on(images):
    class Interrupting(torch.nn.Linear):
        def forward(self, x):
            raise KeyboardInterrupt

    X, y = images
    X = (X.reshape(len(X), -1) / 255).astype("float32")
    net = skorch.NeuralNetClassifier(
        Interrupting, module__in_features=784, module__out_features=10, verbose=0
    )
    with pytest.raises(KeyboardInterrupt):
        rt.lr_range_test(net, X, y, n_iter=20, n_repeats=1)
    with pytest.raises(KeyboardInterrupt):
        rt.lr_candidates_test(net, X, y, lrs=[0.01, 0.1], epochs=1)


def test_a_linear_sweep_is_read_as_an_exponential_one():
    lrs = np.linspace(1e-3, 10, 5000)
    losses = valley_curve(lrs, start=0.01, lowest=1.0)
    grid = np.geomspace(1e-3, 10, 5000)
    expected = rt.basin(grid, valley_curve(grid, start=0.01, lowest=1.0))
    assert rt.basin(lrs, losses) == pytest.approx(expected, rel=0.05)


def test_a_warning_points_at_the_line_of_the_caller():
    with pytest.warns(rt.RangeTestWarning) as caught:
        rt.first_fall(LRS, np.full(len(LRS), 2.3))
    assert caught[0].filename == __file__


def test_a_result_shows_its_answers_and_not_its_arrays(result):
    assert "array" not in repr(result)
    assert f"max_lr={result.max_lr}" in repr(result)
