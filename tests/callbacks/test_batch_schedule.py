"""Batch sizes that are any function of the epoch, and rates that keep their place beside them."""

import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from nets_for_callbacks import (
    N_SAMPLES,
    Spy,
    assert_same_weights,
    classifier,
    net_with_batch_iterator,
    plain_net,
    recorded,
    sizes_of,
    torch_cyclic,
    weights,
)
from numpy.testing import assert_allclose
from skorch.callbacks import Callback

from skclr import lr_range_test, schedules
from skclr.callbacks import (
    BatchDoubling,
    BatchSizeSchedule,
    CosineLR,
    CosineRestartsLR,
    CyclicLR,
    LRHalving,
    NoiseDoubling,
    OneCycleLR,
)

SIZES = [4, 10, 7, 30, 60, 15]


def ramp(epoch):
    return SIZES[epoch]


def test_each_epoch_has_the_size_that_the_function_gives(make_net, table):
    spy = Spy()
    net = make_net(BatchSizeSchedule(ramp), spy, max_epochs=6).fit(*table)
    assert net.history[:, "batch_size"] == SIZES
    assert spy.sizes == [sizes_of(size, make_net) for size in SIZES]
    assert net.history[:, "train_batch_count"] == [len(sizes_of(size)) for size in SIZES]


def test_doubling_is_one_case_of_it(make_net, table):
    function = partial(schedules.batch_doubling, batch_size=4, step_size=2, max_batch_size=25)
    nets = [
        make_net(setter, max_epochs=6, iterator_train__shuffle=True)
        for setter in (BatchDoubling(4, every=2, max_batch_size=25), BatchSizeSchedule(function))
    ]
    for net in nets:
        torch.manual_seed(1)
        net.fit(*table)
    assert isinstance(BatchDoubling(), BatchSizeSchedule)
    assert nets[0].history[:, "batch_size"] == nets[1].history[:, "batch_size"]
    assert_same_weights(*map(weights, nets))


def test_the_function_is_called_for_all_epochs_before_the_first_one(make_net, table):
    called, before = [], []

    def function(epoch):
        called.append(epoch)
        return 10

    class Before(Callback):
        def on_epoch_begin(self, net, **kwargs):
            before.append(list(called))

    net = make_net(BatchSizeSchedule(function), Before(), max_epochs=3).fit(*table)
    assert set(before[0]) == {0, 1, 2}
    assert all(type(epoch) is int for epoch in called)
    called.clear()
    before.clear()
    net.partial_fit(*table)
    assert set(before[0]) == {3, 4, 5}


class Half:
    """Half a sample."""

    def __repr__(self):
        return "half"


BAD = [0, -3, 0.5, 1.5, math.nan, math.inf, True, np.True_, None, "64", [64], Half(), 64 + 0j,
       np.array([64]), np.array("64"), torch.tensor(1.5), torch.tensor(True)]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_size_that_is_none_is_named_before_any_training(make_net, table, bad, epoch):
    spy = Spy()
    net = make_net(BatchSizeSchedule(lambda at: bad if at == epoch else 10), spy).initialize()
    before = weights(net), net.iterator_train
    expected = rf"^The schedule gave .* as the batch size of epoch {epoch}, .* at least 1 is needed"
    with pytest.raises(ValueError, match=expected):
        net.partial_fit(*table)
    assert spy.rates == []
    assert_same_weights(weights(net), before[0])
    assert net.iterator_train is before[1]


GOOD = [np.int64(8), np.uint8(8), np.int64(8) / 1, 8.0, np.float32(8), np.array(8),
        np.where(True, 8, 4), torch.tensor(8)]  # fmt: skip


@pytest.mark.parametrize("good", GOOD, ids=repr)
def test_whole_numbers_of_any_kind_are_sizes(make_net, table, good):
    net = make_net(BatchSizeSchedule(lambda epoch: good)).fit(*table)
    assert net.history[:, "batch_size"] == [8, 8]
    assert {type(size) for size in net.history[:, "batch_size"]} == {int}


@pytest.mark.parametrize("wrong", [None, 64, "doubling"])
def test_what_is_no_function_is_named_before_any_training(make_skorch_net, table, wrong):
    net = make_skorch_net(BatchSizeSchedule(wrong))
    with pytest.raises(ValueError, match="function must be a function of the epoch"):
        net.fit(*table)


@pytest.mark.parametrize("size", [61, 1000, 10**18])
def test_beyond_the_data_an_epoch_is_one_update_from_all_of_them(make_net, table, size):
    spies = Spy(), Spy()
    net = make_net(BatchSizeSchedule(lambda epoch: size), spies[0]).fit(*table)
    doubled = make_net(BatchDoubling(size, max_batch_size=size), spies[1]).fit(*table)
    assert spies[0].sizes == spies[1].sizes == [[N_SAMPLES], [N_SAMPLES]]
    assert net.history[:, "batch_size"] == doubled.history[:, "batch_size"] == [size, size]


def test_partial_fit_goes_on_with_the_epoch_that_follows(make_net, table):
    net = make_net(BatchSizeSchedule(ramp)).fit(*table).partial_fit(*table)
    copied = pickle.loads(pickle.dumps(net)).partial_fit(*table)
    assert copied.history[:, "batch_size"] == SIZES
    with pytest.raises(IndexError):  # the function's own, before any training
        copied.partial_fit(*table)
    assert len(copied.history) == 6


@pytest.mark.parametrize(
    "other", [BatchSizeSchedule(ramp), BatchDoubling(), NoiseDoubling()], ids=lambda c: type(c)
)
def test_the_batch_size_is_set_by_one_only(make_net, table, other):
    net = make_net(("mine", BatchSizeSchedule(ramp)), ("other", other))
    expected = rf"BatchSizeSchedule \('mine'\) and {type(other).__name__} \('other'\)"
    with pytest.raises(ValueError, match=expected):
        net.fit(*table)


# ---------------------------------------------------------------- rates beside growing batches


def places():
    """Return the place of each update in epochs, and the number of updates before it."""
    counts = [len(sizes_of(size)) for size in SIZES]
    at = np.concatenate([epoch + np.arange(n) / n for epoch, n in enumerate(counts)])
    return at, np.arange(sum(counts)), np.repeat(counts, counts)


def triangle(at, step_size):
    cycle = np.floor(1 + at / (2 * step_size))
    return np.maximum(0, 1 - np.abs(at / step_size - 2 * cycle + 1)), cycle


def rates_beside(make_net, table, rate, order=1, **params):
    spy = Spy()
    net = make_net(*[rate, BatchSizeSchedule(ramp)][::order], spy, max_epochs=6, **params)
    net.fit(*table)
    assert recorded(net) == [first for first, *_ in spy.rates]
    return np.ravel(spy.rates)


@pytest.mark.parametrize("order", [1, -1])
def test_rates_that_are_laid_out_in_epochs_keep_their_place(make_net, table, order):
    at, _, per_epoch = places()
    height, cycle = triangle(at, 1.5)
    cosine = 0.1 + 0.4 * (1 + np.cos(np.pi * at / 6)) / 2
    restarts = 0.1 + 0.4 * (1 + np.cos(np.pi * (at % 2) / 2)) / 2
    expected = [
        (CyclicLR("triangular2", 0.1, 0.5, 1.5), 0.1 + 0.4 * height / 2 ** (cycle - 1)),
        (LRHalving(0.5, every=2), 0.5 / 2 ** np.floor(at / 2)),
        (CosineLR(0.5, 0.1), cosine),
        (CosineRestartsLR(0.5, 0.1, step_size=2), restarts),
    ]
    for rate, truth in expected:
        assert_allclose(rates_beside(make_net, table, rate, order), truth, rtol=1e-12)

    # the last update of a cycle of T has the lowest rate, and the peak is one of its updates early
    total, peak = 6 * per_epoch, 0.3 * 6 * per_epoch - 1
    t = at * per_epoch
    climb = 0.5 + (0.02 - 0.5) / 2 * (1 + np.cos(np.pi * t / peak))
    share = (t - peak) / (total - 1 - peak)
    low = 0.02 / 1e4
    fall = low + (0.5 - low) / 2 * (1 + np.cos(np.pi * share))
    found = rates_beside(make_net, table, OneCycleLR(0.5), order)
    assert_allclose(found, np.where(t <= peak, climb, fall), rtol=1e-9)


@pytest.mark.parametrize("order", [1, -1])
def test_an_amplitude_decays_with_each_update_and_not_back(make_net, table, order):
    at, updates, _ = places()
    height, _ = triangle(at, 1.5)
    rate = CyclicLR("exp_range", 0.1, 0.5, 1.5, gamma=0.97)
    found = rates_beside(make_net, table, rate, order)
    assert_allclose(found, 0.1 + 0.4 * height * 0.97**updates, rtol=1e-12)

    own = CyclicLR("none", 0.1, 0.5, 1.5, scale_fn=lambda t: 1 / (1 + t), scale_mode="iterations")
    found = rates_beside(make_net, table, own, order)
    assert_allclose(found, 0.1 + 0.4 * height / (1 + updates), rtol=1e-12)


def test_a_decay_goes_on_after_an_epoch_that_was_cut_short(table):
    class Cutting(Callback):
        left = 20

        def on_batch_begin(self, net, training=None, **kwargs):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    spy = Spy()
    rate = CyclicLR("exp_range", 0.1, 0.5, 1, gamma=0.97)
    net = plain_net(rate, BatchDoubling(4, every=1), Cutting(), spy, max_epochs=2).fit(*table)
    assert [len(sizes) for sizes in spy.sizes] == [15, 4]
    net.set_params(max_epochs=1).partial_fit(*table)  # four updates, at the next whole epoch
    height, _ = triangle(2 + np.arange(4) / 4, 1)
    # as many updates as were made, and the one that was cut short counted as one like this
    assert_allclose(np.ravel(spy.rates)[19:], 0.1 + 0.4 * height * 0.97 ** (19 + np.arange(4)))


def test_momentum_moves_against_a_rate_that_decays(table):
    spy = Spy()
    rate = CyclicLR(
        "exp_range", 0.1, 0.5, 1.5, gamma=0.97, cycle_momentum=True, base_momentum=0.7,
        max_momentum=0.9,
    )  # fmt: skip
    net = plain_net(rate, BatchSizeSchedule(ramp), spy, max_epochs=6, optimizer__momentum=0.5)
    net.fit(*table)
    share = (np.ravel(spy.rates) - 0.1) / 0.4
    assert_allclose(np.ravel(spy.momenta), 0.9 - 0.2 * share, rtol=1e-12)


def test_a_cycle_in_iterations_goes_by_the_updates_that_are_made(make_net, table):
    rate = CyclicLR("exp_range", 0.1, 0.5, 4, "iteration", gamma=0.97)
    found = rates_beside(make_net, table, rate)
    truth, _ = torch_cyclic(
        len(found), base_lr=0.1, max_lr=0.5, step_size_up=4, mode="exp_range", gamma=0.97
    )
    assert_allclose(found, np.ravel(truth), rtol=1e-12)


# ---------------------------------------------------------------- the range test


@pytest.mark.parametrize(
    ("callbacks", "params"),
    [
        ([BatchSizeSchedule(lambda epoch: 20 + epoch)], {}),
        ([("size", BatchDoubling(5))], {"callbacks__size__batch_size": 20}),
        ([BatchDoubling], {"callbacks__BatchDoubling__batch_size": 20}),
        ([NoiseDoubling(20)], {"iterator_train__batch_size": 7}),
    ],
    ids=["function", "named", "class", "noise"],
)
@pytest.mark.parametrize("make", [plain_net, net_with_batch_iterator, classifier])
def test_a_range_test_has_the_size_of_the_first_epoch(make, table, callbacks, params):
    def swept(*callbacks, **params):
        net = make(*callbacks, **params)
        found = lr_range_test(net, *table, n_iter=30, n_repeats=1, random_state=0)
        return found.losses

    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(swept(*callbacks, **params), swept(batch_size=20))
        assert not np.array_equal(swept(batch_size=20), swept(batch_size=7))
