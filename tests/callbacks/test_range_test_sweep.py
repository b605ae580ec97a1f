import math

import numpy as np
import pandas as pd
import pytest
from nets_for_callbacks import (
    BATCH_SIZE,
    N_SAMPLES,
    PER_EPOCH,
    Endless,
    Spy,
    classifier,
    plain_net,
    recorded,
    swept,
)
from numpy.testing import assert_allclose
from skorch.dataset import ValidSplit
from torch import nn

from skclr.callbacks import LRRangeTest, StopTraining


def test_a_sweep_of_given_length_needs_no_iterator_with_a_length(table):
    net = plain_net(LRRangeTest(1e-6, 1e-3, n_iter=5), iterator_train=Endless).fit(*table)
    assert len(swept(net).lrs_) == 5


class Scripted(nn.Module):
    """A criterion whose losses are given, one an update."""

    def __init__(self, losses):
        super().__init__()
        self.losses = iter(losses)

    def forward(self, y_pred, y_true):
        return y_pred.sum() * 0 + next(self.losses)


@pytest.mark.parametrize("n_iter", [None, 2, 7, 12])
def test_the_exponential_sweep_has_equal_ratios(make_net, table, n_iter):
    spy = Spy()
    sweep = LRRangeTest(1e-6, 1e-2, n_iter, diverge_factor=None)
    net = make_net(sweep, spy).fit(*table)

    n = n_iter or 2 * PER_EPOCH
    rates = 1e-6 * (1e-2 / 1e-6) ** (np.arange(n) / (n - 1))
    assert_allclose(np.ravel(spy.rates), rates, rtol=1e-12)
    assert swept(net).stopped_ == "end"
    assert len(net.history) == math.ceil(n / PER_EPOCH)


def test_the_linear_sweep_has_equal_differences(make_net, table):
    spy = Spy()
    make_net(LRRangeTest(0.01, 0.06, mode="linear", diverge_factor=None), spy).fit(*table)
    assert_allclose(np.ravel(spy.rates), 0.01 + 0.05 * np.arange(12) / 11, rtol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_loss_is_smoothed_by_a_moving_average_corrected_for_its_start(make_net, table, beta):
    losses = np.random.RandomState(0).uniform(1, 2, 12)
    sweep = LRRangeTest(1e-6, 1e-2, smoothing=beta)
    net = make_net(sweep, criterion=Scripted, criterion__losses=losses.tolist()).fit(*table)

    smoothed = pd.Series(losses).ewm(alpha=1 - beta, adjust=True).mean()
    assert_allclose(swept(net).losses_, losses, rtol=1e-6)
    assert_allclose(swept(net).smoothed_losses_, smoothed, rtol=1e-6)
    assert recorded(net, "smoothed_loss") == swept(net).smoothed_losses_


def test_the_first_smoothed_losses_are_those_computed_by_hand(table):
    net = plain_net(
        LRRangeTest(1e-6, 1e-2, n_iter=3, smoothing=0.9),
        criterion=Scripted,
        criterion__losses=[2.0, 1.0, 4.0],
    ).fit(*table)
    by_hand = [2.0, (0.9 * 0.2 + 0.1) / 0.19, (0.9 * (0.9 * 0.2 + 0.1) + 0.4) / 0.271]
    assert_allclose(swept(net).smoothed_losses_, by_hand, rtol=1e-12)


def test_the_sweep_stops_when_the_smoothed_loss_is_four_times_its_best(make_net, table):
    losses = [2.0, 1.0, 3.0, 3.9, 4.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    sweep = LRRangeTest(smoothing=0.0)
    net = make_net(sweep, criterion=Scripted, criterion__losses=losses).fit(*table)
    assert_allclose(swept(net).losses_, losses[:5], rtol=1e-6)
    assert swept(net).stopped_ == "diverged"
    assert_allclose(recorded(net, "smoothed_loss"), losses[:5], rtol=1e-6)
    assert len(recorded(net)) == 5


def test_the_sweep_stops_by_another_factor_too(table):
    losses = [2.0, 1.0, 1.4, 1.6, 1.0, 1.0]
    net = plain_net(
        LRRangeTest(smoothing=0.0, diverge_factor=1.5),
        criterion=Scripted,
        criterion__losses=losses,
    ).fit(*table)
    assert len(swept(net).losses_) == 4


def test_without_a_factor_the_sweep_goes_on_through_any_finite_loss(table):
    losses = [1.0, 100.0, *[1e6] * 10]
    net = plain_net(
        LRRangeTest(diverge_factor=None), criterion=Scripted, criterion__losses=losses
    ).fit(*table)
    assert len(swept(net).losses_) == 12
    assert swept(net).stopped_ == "end"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 4])
def test_the_sweep_stops_at_a_loss_that_is_not_finite(make_net, table, bad, at):
    losses = [2.0] * at + [bad] + [2.0] * 12
    for diverge_factor in (4.0, None):
        sweep = LRRangeTest(diverge_factor=diverge_factor)
        net = make_net(sweep, criterion=Scripted, criterion__losses=losses).fit(*table)
        assert swept(net).stopped_ == "not finite"
        assert len(swept(net).lrs_) == len(swept(net).losses_) == at + 1


def test_a_sweep_up_to_absurd_rates_ends_by_itself(make_net, fashion):
    X, y = fashion
    if make_net is not classifier:
        X = (X.reshape(len(X), -1) / 255).astype(np.float32)
    params = (
        {} if make_net is classifier else {"module__in_features": 784, "module__out_features": 10}
    )
    sweep = LRRangeTest(1e-5, 1e8, n_iter=80)
    net = make_net(sweep, batch_size=20, max_epochs=4, **params).fit(X, y)
    assert swept(net).stopped_ in ("diverged", "not finite")
    assert len(swept(net).lrs_) < 80


def test_rates_of_the_sweep_stand_in_the_history(make_net, table):
    net = make_net(LRRangeTest(1e-6, 1e-2)).fit(*table)
    sweep = swept(net)
    assert recorded(net) == sweep.lrs_
    assert recorded(net, "train_loss") == sweep.losses_
    assert recorded(net, "smoothed_loss") == sweep.smoothed_losses_


def test_a_sweep_that_its_epochs_do_not_suffice_for_says_so(table):
    net = plain_net(LRRangeTest(1e-6, 1e-2, n_iter=100)).fit(*table)
    assert swept(net).stopped_ is None
    assert len(swept(net).lrs_) == 2 * PER_EPOCH


def test_each_fit_sweeps_anew(table):
    net = plain_net(LRRangeTest(1e-6, 1e-2, n_iter=5)).fit(*table)
    first = swept(net).lrs_
    assert swept(net.fit(*table)).lrs_ == first


def test_validation_takes_no_part_in_the_sweep(table):
    net = plain_net(LRRangeTest(1e-6, 1e-2), train_split=ValidSplit(5)).fit(*table)
    n_training_batches = 2 * math.ceil(0.8 * N_SAMPLES / BATCH_SIZE)
    assert len(swept(net).lrs_) == len(swept(net).losses_) == n_training_batches
    assert swept(net).stopped_ == "end"


def test_the_wish_to_stop_is_an_interrupt_for_skorch():
    with pytest.raises(KeyboardInterrupt):
        raise StopTraining
