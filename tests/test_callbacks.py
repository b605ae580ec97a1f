import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, EpochScoring
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader

from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip
from skclr.batches import BatchIterator
from skclr.callbacks import (
    BatchAccuracy,
    BatchDoubling,
    CyclicLR,
    GradientNoiseScale,
    LRHalving,
    LRRangeTest,
    LRSchedule,
    OneCycleLR,
    StopTraining,
)

N_SAMPLES, BATCH_SIZE = 60, 10
PER_EPOCH = N_SAMPLES // BATCH_SIZE


class Spy(Callback):
    """Note what each update is really made with, and with how many samples."""

    def __init__(self):
        self.rates, self.momenta, self.sizes, self.validation_sizes = [], [], [], []

    def on_grad_computed(self, net, named_parameters, training=None, **kwargs):
        groups = net.optimizer_.param_groups
        self.rates.append([group["lr"] for group in groups])
        self.momenta.append([_momentum(group) for group in groups])

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        if training:
            epoch = len(net.history) - 1
            self.sizes += [[] for _ in range(epoch + 1 - len(self.sizes))]
            self.sizes[epoch].append(len(batch[0]))
        else:
            self.validation_sizes.append(len(batch[0]))


def _momentum(group):
    return group["momentum"] if "momentum" in group else group.get("betas", [math.nan])[0]


def plain_net(*callbacks, **params):
    """A skorch net with skorch's own defaults, the stock DataLoader among them."""
    torch.manual_seed(0)
    defaults = {
        "module__in_features": 4,
        "module__out_features": 2,
        "criterion": nn.CrossEntropyLoss,
        "batch_size": BATCH_SIZE,
        "max_epochs": 2,
        "train_split": None,
        "verbose": 0,
    }
    return NeuralNetClassifier(nn.Linear, callbacks=list(callbacks), **(defaults | params))


def net_with_batch_iterator(*callbacks, **params):
    return plain_net(*callbacks, iterator_train=BatchIterator, **params)


def classifier(*callbacks, **params):
    defaults = {
        "schedule": "constant",
        "batch_size": BATCH_SIZE,
        "max_epochs": 2,
        "random_state": 0,
    }
    return CLRLeNetClassifier(callbacks=list(callbacks), **(defaults | params))


@pytest.fixture(params=[plain_net, net_with_batch_iterator, classifier])
def make_net(request):
    return request.param


@pytest.fixture(params=[plain_net, net_with_batch_iterator])
def make_skorch_net(request):
    return request.param


def torch_schedule(make_scheduler, n_updates, make_optimizer=torch.optim.SGD, n_groups=1):
    """Step a scheduler of torch's along; return the rates and the momenta of its updates."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(n_groups)]
    optimizer = make_optimizer(groups, lr=0.1)
    scheduler = make_scheduler(optimizer)
    rates, momenta = [], []
    for _ in range(n_updates):
        rates.append([group["lr"] for group in optimizer.param_groups])
        momenta.append([_momentum(group) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates, momenta


def torch_cyclic(n_updates, *, optimizer=torch.optim.SGD, n_groups=1, **params):
    def make_scheduler(optimizer):
        return torch.optim.lr_scheduler.CyclicLR(optimizer, **({"cycle_momentum": False} | params))

    return torch_schedule(make_scheduler, n_updates, optimizer, n_groups)


def recorded(net, name="event_lr"):
    return [row[name] for epoch in net.history for row in epoch["batches"]]


def weights(net):
    return {name: value.clone() for name, value in net.module_.state_dict().items()}


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


# ---------------------------------------------------------------- CyclicLR


@pytest.mark.parametrize(
    ("policy", "gamma"), [("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.97)]
)
def test_cyclic_rates_of_every_update_are_those_of_torch(make_net, table, policy, gamma):
    spy = Spy()
    cyclic = CyclicLR(policy, 0.01, 0.3, step_size=4, step_unit="iteration", gamma=gamma)
    net = make_net(cyclic, spy, max_epochs=5).fit(*table)

    rates, _ = torch_cyclic(
        5 * PER_EPOCH, base_lr=0.01, max_lr=0.3, step_size_up=4, mode=policy, gamma=gamma
    )
    assert_allclose(spy.rates, rates, rtol=1e-12)
    assert recorded(net) == [rate for (rate,) in spy.rates]


@pytest.mark.parametrize("step_size", [1, 1.5, 0.25, 7])
def test_step_size_in_epochs_spans_that_many_passes_over_the_data(make_net, table, step_size):
    spy = Spy()
    make_net(CyclicLR("triangular2", 0.01, 0.3, step_size), spy, max_epochs=4).fit(*table)

    rates, _ = torch_cyclic(
        4 * PER_EPOCH,
        base_lr=0.01,
        max_lr=0.3,
        step_size_up=step_size * PER_EPOCH,
        mode="triangular2",
    )
    assert_allclose(spy.rates, rates, rtol=1e-12)


@pytest.mark.parametrize("scale_mode", ["cycle", "iterations"])
def test_scale_function_is_applied_per_cycle_or_per_iteration(make_net, table, scale_mode):
    def scale(x):
        return 0.8**x

    spy = Spy()
    cyclic = CyclicLR("no policy", 0.01, 0.3, 0.5, scale_fn=scale, scale_mode=scale_mode)
    make_net(cyclic, spy, max_epochs=4).fit(*table)

    rates, _ = torch_cyclic(
        4 * PER_EPOCH,
        base_lr=0.01,
        max_lr=0.3,
        step_size_up=PER_EPOCH // 2,
        scale_fn=scale,
        scale_mode=scale_mode,
    )
    assert_allclose(spy.rates, rates, rtol=1e-12)


@pytest.mark.parametrize("unit", ["epoch", "iteration"])
@pytest.mark.parametrize("policy", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_momentum_moves_against_the_rate_as_in_torch(make_net, table, optimizer, policy, unit):
    bounds = {"base_momentum": 0.7, "max_momentum": 0.95, "cycle_momentum": True}
    step_size = 0.5 if unit == "epoch" else PER_EPOCH // 2
    spy = Spy()
    cyclic = CyclicLR(policy, 1e-4, 1e-2, step_size, unit, gamma=0.97, **bounds)
    net = make_net(cyclic, spy, optimizer=optimizer, max_epochs=3).fit(*table)

    rates, momenta = torch_cyclic(
        3 * PER_EPOCH,
        optimizer=optimizer,
        base_lr=1e-4,
        max_lr=1e-2,
        step_size_up=PER_EPOCH // 2,
        mode=policy,
        gamma=0.97,
        **bounds,
    )
    assert_allclose(spy.rates, rates, rtol=1e-12)
    assert_allclose(spy.momenta, momenta, rtol=1e-12)
    assert recorded(net, "event_momentum") == [momentum for (momentum,) in spy.momenta]


def test_cycled_beta1_leaves_beta2_alone(table):
    net = plain_net(
        CyclicLR(step_size=1, cycle_momentum=True),
        optimizer=torch.optim.Adam,
        optimizer__betas=(0.8, 0.9876),
    ).fit(*table)
    assert net.optimizer_.param_groups[0]["betas"][1] == 0.9876


def test_momentum_is_left_alone_unless_it_is_asked_for(table):
    spy = Spy()
    net = plain_net(CyclicLR(step_size=1), spy, optimizer__momentum=0.5).fit(*table)
    assert spy.momenta == [[0.5]] * 2 * PER_EPOCH
    assert "event_momentum" not in net.history[-1]["batches"][0]


def test_parameter_groups_move_between_boundaries_of_their_own(make_net, table):
    spy = Spy()
    cyclic = CyclicLR("triangular2", [0.01, 0.1], [0.3, 0.2], step_size=0.5)
    groups = [("*weight", {"lr": 0.1})]
    net = make_net(cyclic, spy, optimizer__param_groups=groups, max_epochs=3).fit(*table)

    rates, _ = torch_cyclic(
        3 * PER_EPOCH,
        n_groups=2,
        base_lr=[0.01, 0.1],
        max_lr=[0.3, 0.2],
        step_size_up=PER_EPOCH // 2,
        mode="triangular2",
    )
    assert_allclose(spy.rates, rates, rtol=1e-12)
    assert recorded(net) == [first for first, _ in spy.rates]


def test_one_pair_of_boundaries_serves_all_parameter_groups(table):
    spy = Spy()
    groups = [("weight", {"lr": 0.5})]
    plain_net(CyclicLR(step_size=1), spy, optimizer__param_groups=groups).fit(*table)
    assert all(first == second for first, second in spy.rates)


def test_one_boundary_can_be_shared_where_the_other_is_not(table):
    spy = Spy()
    groups = [("weight", {"lr": 0.5})]
    cyclic = CyclicLR("triangular", 0.01, [0.3, 0.2], step_size=0.5)
    plain_net(cyclic, spy, optimizer__param_groups=groups).fit(*table)
    assert_allclose(spy.rates[0], [0.01, 0.01])
    assert_allclose(spy.rates[3], [0.3, 0.2])


@pytest.mark.parametrize("unit", ["epoch", "iteration"])
def test_partial_fit_goes_on_in_the_middle_of_a_cycle(make_net, table, unit):
    step_size = 2.5 if unit == "epoch" else 2.5 * PER_EPOCH
    spy = Spy()
    net = make_net(CyclicLR("exp_range", 0.01, 0.3, step_size, unit, gamma=0.99), spy)
    net.set_params(max_epochs=1)
    net.fit(*table)
    for _ in range(5):
        net.partial_fit(*table)

    rates, _ = torch_cyclic(
        6 * PER_EPOCH,
        base_lr=0.01,
        max_lr=0.3,
        step_size_up=2.5 * PER_EPOCH,
        mode="exp_range",
        gamma=0.99,
    )
    assert_allclose(spy.rates, rates, rtol=1e-12)


def test_fit_begins_the_cycle_anew(make_net, table):
    spy = Spy()
    net = make_net(CyclicLR(step_size=5), spy, max_epochs=1)
    net.fit(*table).fit(*table)
    assert spy.rates[:PER_EPOCH] == spy.rates[PER_EPOCH:]


def test_the_cycle_keeps_its_place_when_training_goes_on_with_another_batch_size(table):
    spy = Spy()
    net = plain_net(CyclicLR("triangular", 0.0, 1.0, step_size=2), spy, max_epochs=1).fit(*table)
    net.set_params(batch_size=30)
    net.partial_fit(*table)
    assert_allclose(np.ravel(spy.rates), [*np.arange(6) / 12, 0.5, 0.75])


def test_the_cycle_keeps_its_length_when_a_last_batch_is_small(table):
    X, y = table
    spy = Spy()
    plain_net(CyclicLR("triangular", 0.0, 1.0, step_size=1), spy).fit(X[:55], y[:55])
    assert_allclose(np.ravel(spy.rates), [*np.arange(6) / 6, *(1 - np.arange(6) / 6)])


def test_rate_and_momentum_can_be_recorded_beside_those_of_another_callback(table):
    net = plain_net(CyclicLR(step_size=1, event_name="cyclic_lr")).fit(*table)
    assert len(recorded(net, "cyclic_lr")) == 2 * PER_EPOCH
    assert "event_lr" not in net.history[0]["batches"][0]


def test_validation_batches_neither_move_the_rate_nor_are_recorded(table):
    spy = Spy()
    cyclic = CyclicLR("triangular", 0.0, 1.0, step_size=1)
    net = plain_net(cyclic, spy, train_split=ValidSplit(5)).fit(*table)
    assert_allclose(np.ravel(spy.rates), [*np.arange(5) / 5, *(1 - np.arange(5) / 5)], atol=1e-15)
    rows = net.history[0]["batches"]
    assert sum("event_lr" in row for row in rows if "valid_loss" in row) <= 5


class Endless(BatchIterator):
    """Three batches an epoch, as a stream that does not know its end."""

    def __len__(self):
        raise TypeError("no length")

    def __iter__(self):
        return iter([next(iter(BatchIterator(self.dataset, self.batch_size)))] * 3)


def test_an_iterator_without_a_length_takes_steps_in_iterations_only(table):
    spy = Spy()
    with pytest.raises(ValueError, match="no length"):
        plain_net(CyclicLR(step_size=2), spy, iterator_train=Endless).fit(*table)
    assert spy.rates == []

    cyclic = CyclicLR(step_size=2, step_unit="iteration")
    plain_net(cyclic, spy, iterator_train=Endless).fit(*table)
    rates, _ = torch_cyclic(6, base_lr=1e-3, max_lr=0.1, step_size_up=2)
    assert_allclose(spy.rates, rates, rtol=1e-12)


def test_a_sweep_of_given_length_needs_no_iterator_with_a_length(table):
    net = plain_net(LRRangeTest(1e-6, 1e-3, n_iter=5), iterator_train=Endless).fit(*table)
    assert len(swept(net).lrs_) == 5


@pytest.mark.filterwarnings("error")
def test_boundaries_may_be_numbers_of_numpy(table):
    spy = Spy()
    bounds = np.float32(0.25), np.float16(0.5)
    plain_net(CyclicLR("triangular", *bounds, np.int64(1)), spy, max_epochs=1).fit(*table)
    assert_allclose(np.ravel(spy.rates), 0.25 + 0.25 * np.arange(6) / 6)


def test_long_trainings_have_no_seam(table):
    spy = Spy()
    cyclic = CyclicLR("exp_range", 0.01, 0.3, step_size=1.5, gamma=0.999)
    plain_net(cyclic, spy, batch_size=1, max_epochs=20).fit(*table)
    rates, _ = torch_cyclic(
        1200, base_lr=0.01, max_lr=0.3, step_size_up=90, mode="exp_range", gamma=0.999
    )
    assert_allclose(spy.rates, rates, rtol=1e-12)


# ---------------------------------------------------------------- the other schedules


@pytest.mark.parametrize(
    "params",
    [{}, {"pct_start": 0.5, "div_factor": 4, "final_div_factor": 10}, {"pct_start": 0.05}],
)
def test_one_cycle_is_that_of_torch_over_the_whole_training(make_net, table, params):
    spy = Spy()
    net = make_net(OneCycleLR(0.4, **params), spy, max_epochs=5).fit(*table)

    def make_scheduler(optimizer):
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.4, total_steps=5 * PER_EPOCH, cycle_momentum=False, **params
        )

    rates, _ = torch_schedule(make_scheduler, 5 * PER_EPOCH)
    assert_allclose(spy.rates, rates, rtol=1e-10)
    assert recorded(net) == [rate for (rate,) in spy.rates]


def test_another_call_runs_another_one_cycle(make_net, table):
    spy = Spy()
    net = make_net(OneCycleLR(0.4), spy, max_epochs=3).fit(*table)
    net.partial_fit(*table)
    once, again = spy.rates[: 3 * PER_EPOCH], spy.rates[3 * PER_EPOCH :]
    assert once == again
    assert len(set(map(tuple, once))) > 10


def test_the_shortest_of_trainings_has_a_one_cycle_too(table):
    spy = Spy()
    plain_net(OneCycleLR(0.4), spy, batch_size=N_SAMPLES, max_epochs=1).fit(*table)
    assert len(spy.rates) == 1
    assert 0 < spy.rates[0][0] <= 0.4


@pytest.mark.parametrize("every", [1, 2, 1.5])
def test_rate_is_halved_every_few_epochs_as_by_torch_step_lr(make_net, table, every):
    spy = Spy()
    make_net(LRHalving(0.4, every), spy, max_epochs=6).fit(*table)

    def make_scheduler(optimizer):
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = 0.4
        return torch.optim.lr_scheduler.StepLR(optimizer, int(every * PER_EPOCH), gamma=0.5)

    rates, _ = torch_schedule(make_scheduler, 6 * PER_EPOCH)
    assert_allclose(spy.rates, rates, rtol=1e-12)


def test_halved_rate_stops_at_its_lower_boundary_and_goes_on_in_partial_fit(table):
    spy = Spy()
    net = plain_net(LRHalving(0.9, every=1, base_lr=0.05, factor=3), spy, max_epochs=2)
    net.fit(*table).partial_fit(*table)
    assert_allclose(np.ravel(spy.rates[::PER_EPOCH]), [0.9, 0.3, 0.1, 0.05])


def test_a_function_of_the_iteration_is_a_schedule(make_net, table):
    spy = Spy()
    net = make_net(LRSchedule(_inverse_decay), spy, max_epochs=2).fit(*table)
    net.partial_fit(*table)

    def make_scheduler(optimizer):
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = 1.0
        return torch.optim.lr_scheduler.LambdaLR(optimizer, _inverse_decay)

    rates, _ = torch_schedule(make_scheduler, 4 * PER_EPOCH)
    assert_allclose(spy.rates, rates, rtol=1e-12)
    assert recorded(net) == [rate for (rate,) in spy.rates]


def _inverse_decay(iteration):
    return 0.2 / (1 + 0.1 * iteration)


def test_a_schedule_is_called_with_whole_numbers(table):
    seen = []

    def schedule(iteration):
        seen.append(iteration)
        return np.float32(0.1)

    net = plain_net(LRSchedule(schedule)).fit(*table)
    assert {type(iteration) for iteration in seen} == {int}
    assert sorted(set(seen)) == list(range(2 * PER_EPOCH))
    assert {type(rate) for rate in recorded(net)} == {float}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, "fast", None])
def test_a_schedule_that_goes_wrong_later_stops_the_training_there(table, bad):
    spy = Spy()
    net = plain_net(LRSchedule(lambda iteration: 0.1 if iteration < 8 else bad), spy)
    with pytest.raises(ValueError, match="learning rate of iteration 8"):
        net.fit(*table)
    assert len(spy.rates) == 8


# ---------------------------------------------------------------- BatchDoubling


def sizes_of(batch_size, n_samples=N_SAMPLES):
    whole, rest = divmod(n_samples, batch_size)
    return [batch_size] * whole + ([rest] if rest else [])


def test_batch_size_doubles_every_two_epochs_up_to_the_limit(make_net, table):
    spy = Spy()
    doubling = BatchDoubling(batch_size=4, every=2, max_batch_size=25)
    net = make_net(doubling, spy, max_epochs=9).fit(*table)

    expected = [4, 4, 8, 8, 16, 16, 25, 25, 25]
    assert spy.sizes == [sizes_of(size) for size in expected]
    assert net.history[:, "batch_size"] == expected
    assert net.history[:, "train_batch_count"] == [len(sizes_of(size)) for size in expected]


def test_batch_size_grows_by_any_factor_after_any_part_of_an_epoch(table):
    spy = Spy()
    doubling = BatchDoubling(batch_size=10, factor=1.5, every=1.5, max_batch_size=1000)
    plain_net(doubling, spy, max_epochs=6).fit(*table)
    growth = [10 * 1.5 ** (epoch // 1.5) for epoch in range(6)]
    assert [sizes[0] for sizes in spy.sizes] == [min(int(size), N_SAMPLES) for size in growth]


def test_batches_grow_within_the_data(table):
    spy = Spy()
    plain_net(BatchDoubling(batch_size=40, every=1), spy, max_epochs=3).fit(*table)
    assert spy.sizes == [[40, 20], [60], [60]]


def test_the_net_is_as_it_was_after_its_batches_grew(make_net, table):
    net = make_net(BatchDoubling(batch_size=4, every=1))
    before = net.batch_size, net.iterator_train, net.iterator_valid
    net.fit(*table)
    assert (net.batch_size, net.iterator_train, net.iterator_valid) == before


class FailingOnce(Callback):
    """Raise when a hook runs for the n-th time, and never again."""

    def __init__(self, hook, error=RuntimeError, nth=1):
        self.hook, self.error, self.nth = hook, error, nth
        self.left_ = nth

    def _run(self, hook):
        if hook == self.hook:
            self.left_ -= 1
            if self.left_ == 0:
                raise self.error("no more")

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self._run("on_train_begin")

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self._run("on_epoch_begin")

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self._run("on_batch_begin")

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self._run("on_epoch_end")


FAILURES = [
    ("on_train_begin", 1),
    ("on_epoch_begin", 1),
    ("on_epoch_begin", 2),
    ("on_batch_begin", 3),
    ("on_epoch_end", 1),
]


@pytest.mark.parametrize(("hook", "nth"), FAILURES)
@pytest.mark.parametrize("order", [1, -1])
def test_the_net_is_as_it_was_after_a_training_that_failed(make_net, table, hook, nth, order):
    failing = FailingOnce(hook, nth=nth)
    net = make_net(*[BatchDoubling(batch_size=4, every=1), failing][::order], max_epochs=2)
    before = net.batch_size, net.iterator_train
    with pytest.raises(RuntimeError, match="no more"):
        net.fit(*table)
    if hook == "on_train_begin" and make_net is not classifier:
        # skorch tells no callback that another one failed there; what is left must do no harm
        other = clone(net).set_params(callbacks=None, batch_size=30).fit(*table)
        assert other.history[:, "train_batch_count"] == [2, 2]
    else:
        assert (net.batch_size, net.iterator_train) == before
        assert pickle.loads(pickle.dumps(clone(net))).iterator_train is before[1]


@pytest.mark.parametrize(("hook", "nth"), FAILURES)
def test_data_do_not_travel_with_a_net_whose_training_failed(make_net, table, hook, nth):
    failing = FailingOnce(hook, nth=nth)
    nets = [make_net(failing), make_net(BatchDoubling(100, every=2), failing)]
    X = np.zeros((5000, 4), np.float32)
    for net in nets:
        failing.left_ = nth
        net.set_params(batch_size=100)
        with pytest.raises(RuntimeError, match="no more"):
            net.fit(X, np.arange(5000) % 2)
    plain, growing = [len(pickle.dumps(net)) for net in nets]
    assert growing < plain + 10000


@pytest.mark.parametrize(("hook", "nth"), FAILURES)
def test_batches_grow_again_after_a_training_that_failed(make_net, table, hook, nth):
    spy = Spy()
    failing = FailingOnce(hook, nth=nth)
    net = make_net(BatchDoubling(batch_size=4, every=1), failing, spy, max_epochs=3)
    with pytest.raises(RuntimeError, match="no more"):
        net.fit(*table)
    spy.sizes.clear()
    net.fit(*table)
    assert spy.sizes == [sizes_of(4), sizes_of(8), sizes_of(16)]


def test_training_that_is_interrupted_and_resumed_takes_up_the_size_of_the_epoch(table):
    spy = Spy()
    failing = FailingOnce("on_batch_begin", error=KeyboardInterrupt, nth=18)
    net = plain_net(BatchDoubling(batch_size=4, every=1), failing, spy, max_epochs=3)
    net.fit(*table)  # skorch keeps the interrupt to itself
    assert len(net.history) == 2
    assert net.iterator_train is DataLoader

    net.partial_fit(*table)
    assert net.history[:, "batch_size"][2:] == [16, 32, 64]
    assert spy.sizes[2:] == [sizes_of(16), sizes_of(32), [60]]


def test_partial_fit_goes_on_with_the_size_that_was_reached(make_net, table):
    spy = Spy()
    net = make_net(BatchDoubling(batch_size=4, every=2, max_batch_size=16), spy, max_epochs=1)
    net.fit(*table)
    for _ in range(5):
        net.partial_fit(*table)
    assert spy.sizes == [sizes_of(size) for size in (4, 4, 8, 8, 16, 16)]


def test_fit_begins_with_the_first_size_again(make_net, table):
    spy = Spy()
    net = make_net(BatchDoubling(batch_size=4, every=1), spy, max_epochs=2).fit(*table)
    spy.sizes.clear()
    net.fit(*table)
    assert spy.sizes == [sizes_of(4), sizes_of(8)]


@pytest.mark.parametrize("loader", [DataLoader, BatchIterator])
def test_growing_batches_keep_the_arguments_of_the_iterator(table, loader):
    spy = Spy()
    net = plain_net(
        BatchDoubling(batch_size=8, every=1),
        spy,
        iterator_train=loader,
        iterator_train__drop_last=True,
        iterator_train__shuffle=True,
    ).fit(*table)
    assert spy.sizes == [[8] * 7, [16] * 3]
    assert net.history[:, "train_batch_count"] == [7, 3]


def test_each_epoch_of_growing_batches_sees_every_sample_once(make_net, table):
    X, y = table
    seen = []

    class Rows(Callback):
        def on_batch_begin(self, net, batch=None, training=None, **kwargs):
            seen.append(batch[0].reshape(len(batch[0]), -1).numpy())

    net = make_net(BatchDoubling(batch_size=8, every=1), Rows(), max_epochs=2)
    net.set_params(iterator_train__shuffle=True)
    net.fit(X, y)
    rows = np.concatenate(seen)
    for epoch in (rows[:N_SAMPLES], rows[N_SAMPLES:]):
        assert not np.array_equal(epoch, X)
        assert_array_equal(epoch[epoch[:, 0].argsort()], X[X[:, 0].argsort()])


def test_batches_of_validation_do_not_grow(table):
    spy = Spy()
    doubling = BatchDoubling(batch_size=16, every=1)
    plain_net(doubling, spy, batch_size=5, train_split=ValidSplit(5)).fit(*table)
    assert spy.sizes == [[16] * 3, [32, 16]]
    assert set(spy.validation_sizes) <= {5, 2, 1}
    assert max(spy.validation_sizes) == 5


def test_a_net_whose_batches_grew_can_be_saved_and_copied_without_its_data(make_net, table):
    net = make_net(BatchDoubling(batch_size=4, every=1)).fit(*table)
    expected = net.predict_proba(table[0])
    for copied in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert_array_equal(copied.predict_proba(table[0]), expected)
        assert copied.partial_fit(*table).history[:, "batch_size"] == [4, 8, 16, 32]
    assert clone(net).fit(*table).history[:, "batch_size"] == [4, 8]

    without = make_net().fit(*table)
    assert len(pickle.dumps(net)) < len(pickle.dumps(without)) + 5000


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("step_size", [1, 1.5, 2])
def test_the_cycle_keeps_its_length_in_epochs_while_batches_grow(make_net, table, order, step_size):
    spy = Spy()
    schedules = [CyclicLR("triangular", 0.1, 0.5, step_size), BatchDoubling(5, every=1)]
    make_net(*schedules[::order], spy, max_epochs=5).fit(*table)

    rates = []
    for epoch in range(5):
        n_updates = len(sizes_of(min(5 * 2**epoch, N_SAMPLES)))
        t = (epoch + np.arange(n_updates) / n_updates) / step_size
        cycle = np.floor(1 + t / 2)
        rates.extend(0.1 + 0.4 * np.maximum(0, 1 - np.abs(t - 2 * cycle + 1)))
    assert_allclose(np.ravel(spy.rates), rates, rtol=1e-12)


# ---------------------------------------------------------------- LRRangeTest


class Scripted(nn.Module):
    """A criterion whose losses are given, one an update."""

    def __init__(self, losses):
        super().__init__()
        self.losses = iter(losses)

    def forward(self, y_pred, y_true):
        return y_pred.sum() * 0 + next(self.losses)


def swept(net):
    return next(callback for _, callback in net.callbacks_ if isinstance(callback, LRRangeTest))


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


# ---------------------------------------------------------------- BatchAccuracy


def test_validation_accuracy_is_that_of_scikit_learn(make_skorch_net, table):
    net = make_skorch_net(
        BatchAccuracy("mine"),
        ("theirs", EpochScoring("accuracy", name="theirs", lower_is_better=False)),
        train_split=ValidSplit(3),
        batch_size=7,
        max_epochs=20,
        lr=0.1,
    ).fit(*table)
    assert_allclose(net.history[:, "mine"], net.history[:, "theirs"])
    assert net.history[:, "mine_best"] == net.history[:, "theirs_best"]
    assert len(set(net.history[:, "mine"])) > 1


def test_training_accuracy_is_of_the_predictions_made_on_the_way(make_net, table):
    right, seen = [], []

    class Judge(Callback):
        def on_batch_end(self, net, batch=None, training=None, y_pred=None, **kwargs):
            right.append(int((y_pred.detach().numpy().argmax(1) == batch[1].numpy()).sum()))
            seen.append(len(batch[1]))

    net = make_net(BatchAccuracy("share", on_train=True), Judge(), batch_size=25).fit(*table)
    assert seen == [25, 25, 10] * 2
    expected = np.reshape(right, (2, 3)).sum(axis=1) / 60
    assert_allclose(net.history[:, "share"], expected)


def test_accuracy_of_validation_is_left_out_without_validation_data(table):
    net = plain_net(BatchAccuracy("mine")).fit(*table)
    assert "mine" not in net.history[-1]


# ---------------------------------------------------------------- wrong parameters


WRONG = [
    (CyclicLR(policy="sawtooth"), "policy"),
    (CyclicLR(base_lr=0.2, max_lr=0.1), "base_lr"),
    (CyclicLR(base_lr=0.1, max_lr=0.1), "base_lr"),
    (CyclicLR(base_lr=-0.1), "base_lr"),
    (CyclicLR(base_lr=math.nan), "base_lr"),
    (CyclicLR(max_lr=math.inf), "max_lr"),
    (CyclicLR(max_lr=np.float32("inf")), "max_lr"),
    (CyclicLR(max_lr="high"), "max_lr"),
    (CyclicLR(max_lr=None), "max_lr"),
    (CyclicLR(step_size=0), "step_size"),
    (CyclicLR(step_size=-1), "step_size"),
    (CyclicLR(step_size=math.nan), "step_size"),
    (CyclicLR(step_size="long"), "step_size"),
    (CyclicLR(step_size=None), "step_size"),
    (CyclicLR(step_unit="batch"), "step_unit"),
    (CyclicLR("exp_range", gamma=0), "gamma"),
    (CyclicLR("exp_range", gamma=1.1), "gamma"),
    (CyclicLR(scale_fn=np.sqrt, scale_mode="epoch"), "scale_mode"),
    (CyclicLR(base_lr=[0.1, 0.1]), "base_lr has 2 values, but the optimizer has 1"),
    (CyclicLR(max_lr=[0.1, 0.1, 0.1]), "max_lr has 3 values, but the optimizer has 1"),
    (CyclicLR(cycle_momentum=True, base_momentum=0.9, max_momentum=0.8), "momentum"),
    (CyclicLR(cycle_momentum=True, base_momentum=-0.1), "momentum"),
    (CyclicLR(cycle_momentum=True, max_momentum=1.5), "momentum"),
    (OneCycleLR(max_lr=0), "max_lr"),
    (OneCycleLR(max_lr=math.inf), "max_lr"),
    (OneCycleLR(pct_start=1.5), "pct_start"),
    (OneCycleLR(div_factor=0), "div_factor"),
    (OneCycleLR(final_div_factor=-1), "final_div_factor"),
    (LRHalving(max_lr=0), "max_lr"),
    (LRHalving(max_lr=0.1, base_lr=0.2), "base_lr"),
    (LRHalving(every=0), "step_size|every"),
    (LRHalving(every="often"), "step_size|every"),
    (LRHalving(factor=1), "factor"),
    (BatchDoubling(batch_size=0), "batch_size"),
    (BatchDoubling(batch_size=1.5), "batch_size"),
    (BatchDoubling(batch_size=64, max_batch_size=32), "max_batch_size"),
    (BatchDoubling(factor=1), "factor"),
    (BatchDoubling(every=0), "step_size|every"),
    (BatchDoubling(every=math.inf), "step_size|every"),
    (LRRangeTest(mode="quadratic"), "mode"),
    (LRRangeTest(min_lr=0), "min_lr"),
    (LRRangeTest(min_lr=-1), "min_lr"),
    (LRRangeTest(min_lr=1, max_lr=0.1), "min_lr"),
    (LRRangeTest(max_lr=math.inf), "max_lr"),
    (LRRangeTest(max_lr=math.nan), "max_lr"),
    (LRRangeTest(min_lr="low"), "min_lr"),
    (LRRangeTest(n_iter=1), "n_iter"),
    (LRRangeTest(n_iter=-5), "n_iter"),
    (LRRangeTest(n_iter=2.5), "n_iter"),
    (LRRangeTest(smoothing=1), "smoothing"),
    (LRRangeTest(smoothing=-0.1), "smoothing"),
    (LRRangeTest(smoothing=None), "smoothing"),
    (LRRangeTest(diverge_factor=1), "diverge_factor"),
    (LRRangeTest(diverge_factor="4x"), "diverge_factor"),
    (LRSchedule(lambda iteration: math.nan), "learning rate of iteration 0"),
    (LRSchedule(lambda iteration: -1.0), "learning rate of iteration 0"),
    (LRSchedule(lambda iteration: "fast"), "learning rate of iteration 0"),
]


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        pytest.param(*wrong, id=f"{i}-{type(wrong[0]).__name__}-{wrong[1].split(' ')[0]}")
        for i, wrong in enumerate(WRONG)
    ],
)
def test_wrong_parameters_are_named_before_any_training(make_skorch_net, table, callback, message):
    spy = Spy()
    net = make_skorch_net(clone(callback), spy, optimizer__momentum=0.5).initialize()
    before = weights(net)
    with pytest.raises(ValueError, match=message):
        net.partial_fit(*table)
    assert_same_weights(weights(net), before)
    assert spy.rates == []
    assert len(net.history) == 0


def test_momentum_cannot_be_cycled_where_there_is_none(table):
    net = plain_net(CyclicLR(cycle_momentum=True), optimizer=torch.optim.Adagrad)
    with pytest.raises(ValueError, match="Adagrad"):
        net.fit(*table)
    assert len(net.history) == 0


def test_a_net_with_wrong_parameters_trains_once_they_are_right(table):
    net = plain_net(CyclicLR(base_lr=0.2, max_lr=0.1), BatchDoubling(4, every=1))
    with pytest.raises(ValueError, match="base_lr"):
        net.fit(*table)
    net.set_params(callbacks__CyclicLR__max_lr=0.3)
    net.fit(*table)
    assert recorded(net)[0] == pytest.approx(0.2)


# ---------------------------------------------------------------- as parts of a scikit-learn search


ALL = [
    CyclicLR("exp_range", 0.01, 0.2, 1.5, "iteration", 0.99, np.sqrt, "iterations", True, 0.1, 0.2),
    OneCycleLR(0.3, 0.4, 5.0, 6.0, "rate"),
    LRHalving(0.3, 2.5, 0.1, 3.0, "rate"),
    LRSchedule(_inverse_decay, "rate"),
    BatchDoubling(8, 3, 2.5, 1000),
    LRRangeTest(1e-3, 1.0, 50, "linear", 0.5, 3.0, "rate"),
    BatchAccuracy("share", True),
]


@pytest.mark.parametrize("callback", ALL, ids=lambda callback: type(callback).__name__)
def test_callbacks_are_cloned_and_pickled_with_all_their_parameters(callback):
    params = callback.get_params()
    for copied in (clone(callback), pickle.loads(pickle.dumps(callback)), copy.deepcopy(callback)):
        assert copied is not callback
        assert copied.get_params() == params
    assert type(callback)(**params).get_params() == params


@pytest.mark.parametrize("callback", ALL, ids=lambda callback: type(callback).__name__)
def test_callbacks_take_each_of_their_parameters_in_set_params(callback):
    changed = clone(callback)
    for name in callback.get_params():
        marker = object()
        changed.set_params(**{name: marker})
        assert getattr(changed, name) is marker


@pytest.mark.parametrize(
    "callback",
    [
        CyclicLR(),
        OneCycleLR(),
        LRHalving(),
        LRSchedule(_inverse_decay),
        BatchDoubling(),
        LRRangeTest(1e-6, 1e-3),
        BatchAccuracy("share", on_train=True),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_a_trained_net_is_pickled_and_cloned_with_its_callbacks(make_net, table, callback):
    net = make_net(clone(callback)).fit(*table)
    copied = pickle.loads(pickle.dumps(net))
    assert_array_equal(copied.predict_proba(table[0]), net.predict_proba(table[0]))
    assert len(clone(net).fit(*table).history) == 2


def test_parameters_of_a_callback_can_be_searched(make_net, table):
    net = make_net(("cyclic", CyclicLR(step_size=1)), ("doubling", BatchDoubling(10, every=1)))
    grid = {
        "callbacks__cyclic__max_lr": [0.2, 0.4],
        "callbacks__cyclic__policy": ["triangular", "triangular2"],
        "callbacks__doubling__batch_size": [10, 30],
    }
    search = GridSearchCV(net, grid, cv=2, refit=False, error_score="raise").fit(*table)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()

    best = clone(net).set_params(callbacks__cyclic__max_lr=0.4, callbacks__doubling__batch_size=30)
    best.fit(*table)
    assert max(recorded(best)) == pytest.approx(0.4)
    assert best.history[:, "batch_size"] == [30, 60]


def test_a_callback_can_be_exchanged_or_left_out_by_name(table):
    net = plain_net(("cyclic", CyclicLR(step_size=1)))
    net.set_params(callbacks__cyclic=LRHalving(0.4, every=1))
    assert recorded(net.fit(*table)) == [0.4] * PER_EPOCH + [0.2] * PER_EPOCH
    net.set_params(callbacks__cyclic=None)
    assert "event_lr" not in net.fit(*table).history[0]["batches"][0]


def test_callbacks_can_be_given_as_classes(table):
    net = plain_net(CyclicLR, callbacks__CyclicLR__step_size=1).fit(*table)
    assert recorded(net)[0] == pytest.approx(1e-3)
    assert max(recorded(net)) == pytest.approx(0.1)


# ---------------------------------------------------------------- GradientNoiseScale


class Mean(nn.Module):
    """Predict one value for every sample: the gradient of half its squared error is its error."""

    def __init__(self, n_features):
        super().__init__()
        self.value = nn.Parameter(torch.linspace(-1, 1, n_features))

    def forward(self, X):
        return self.value.expand(len(X), -1)


class HalfSquaredError(nn.Module):
    def forward(self, y_pred, y):
        return (y_pred - y).square().sum(1).mean() / 2


def measured(module, X, y, *, criterion=HalfSquaredError, lr=0.0, epochs=150, noise=None, **params):
    """The history of a net whose weights stay where they are, as a frame."""
    noise = noise or GradientNoiseScale(batch_size=8, n_batches=16)
    net = NeuralNetRegressor(
        module, criterion=criterion, lr=lr, max_epochs=epochs, batch_size=len(X),
        train_split=None, verbose=0, callbacks=[noise], **params,
    )  # fmt: skip
    torch.manual_seed(0)
    net.fit(X, y)
    names = ["noise_scale", "squared_gradient", "gradient_variance"]
    return pd.DataFrame(net.history[:, tuple(names)], columns=names)


def assert_unbiased(estimates, truth):
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - truth) < 4 * error
    assert error < 0.05 * truth  # or the line above says little


def test_both_parts_of_the_noise_scale_are_unbiased_where_the_mean_is_estimated():
    y = np.random.RandomState(0).randn(200, 5).astype(np.float32) * [0.5, 1, 1, 2, 0.1]
    y = y.astype(np.float32)
    found = measured(Mean, y, y, module__n_features=5, iterator_train=BatchIterator)
    # the gradient of a sample is value - y: its mean and its variance over the data are
    difference = np.linspace(-1, 1, 5) - y.mean(axis=0)
    assert_unbiased(found["squared_gradient"], (difference**2).sum())
    assert_unbiased(found["gradient_variance"], y.var(axis=0).sum())


def test_the_noise_scale_of_linear_regression_is_that_of_its_closed_form():
    n_features, noise = 6, 0.7
    rng = np.random.RandomState(0)
    X = rng.randn(10_000, n_features).astype(np.float32)
    y = (noise * rng.randn(len(X), 1)).astype(np.float32)  # the true weights are 0
    weights = torch.full((1, n_features), 0.5)
    module = nn.Linear(n_features, 1, bias=False)
    module.weight.data = weights
    found = measured(
        module, X, y, criterion=nn.MSELoss, epochs=40, iterator_train=BatchIterator,
        noise=GradientNoiseScale(batch_size=32, n_batches=64, smoothing=0.999),
    )  # fmt: skip
    # with x ~ N(0, I) and the error D of the weights, half the gradient of a sample is
    # x (x'D - e): its mean is D, its variance (d + 1) |D|^2 + d noise^2
    squared = float(weights.square().sum())
    truth = (n_features + 1) + n_features * noise**2 / squared
    assert found["noise_scale"].iloc[-1] == pytest.approx(truth, rel=0.05)


def test_averages_are_divided_and_not_ratios_averaged():
    y = np.random.RandomState(0).randn(100, 3).astype(np.float32)
    noise = GradientNoiseScale(batch_size=4, n_batches=4, smoothing=0.5)
    found = measured(Mean, y, y, epochs=6, noise=noise, module__n_features=3)
    weights = 0.5 ** np.arange(6)[::-1]
    sums = weights @ found[["gradient_variance", "squared_gradient"]]
    assert found["noise_scale"].iloc[-1] == pytest.approx(sums.iloc[0] / sums.iloc[1])
    alone = measured(
        Mean, y, y, epochs=6, noise=GradientNoiseScale(4, 4), module__n_features=3
    )  # fmt: skip
    expected = alone["gradient_variance"] / alone["squared_gradient"]
    expected[alone["squared_gradient"] <= 0] = np.inf
    assert_allclose(alone["noise_scale"], expected)


def test_the_noise_scale_is_infinite_where_the_gradient_cannot_be_told_from_zero():
    y = np.random.RandomState(0).randn(100, 3).astype(np.float32)
    y -= y.mean(axis=0) - np.linspace(-1, 1, 3, dtype=np.float32)  # the minimum
    found = measured(Mean, y, y, epochs=40, module__n_features=3)
    negative = found["squared_gradient"] <= 0
    assert 5 < negative.sum() < 35
    assert np.isinf(found["noise_scale"][negative]).all()
    assert np.isfinite(found["noise_scale"][~negative]).all()


class Moody(nn.Sequential):
    """A module with all that a look at it could disturb."""

    def __init__(self):
        super().__init__(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
        )


class Frozen(Callback):
    """Note gradients and modes after each epoch, before and after the noise scale is measured."""

    def __init__(self, notes):
        self.notes = notes

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        gradients = [parameter.grad for parameter in net.module_.parameters()]
        self.notes.append(
            (
                [id(gradient) for gradient in gradients],
                [gradient.clone() for gradient in gradients],
                [part.training for part in net.module_.modules()],
                torch.get_rng_state(),
                np.random.get_state()[1].copy(),
            )
        )


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("own_generator", [True, False])
def test_measuring_changes_no_bit_of_the_training_of_a_plain_net(table, validated, own_generator):
    def trained(*callbacks):
        torch.manual_seed(0)
        params = {}
        if own_generator:
            params = {"iterator_train__generator": torch.Generator().manual_seed(1)}
        net = NeuralNetClassifier(
            Moody, criterion=nn.CrossEntropyLoss, max_epochs=4, batch_size=8, verbose=0, lr=0.1,
            train_split=ValidSplit(3) if validated else None, iterator_train__shuffle=True,
            optimizer__momentum=0.9, callbacks=list(callbacks), **params,
        )  # fmt: skip
        return net.fit(*table)

    plain, watched = trained(), trained(GradientNoiseScale(batch_size=5, n_batches=3))
    assert plain.history[:, "train_loss"] == watched.history[:, "train_loss"]
    for name, value in plain.module_.state_dict().items():
        assert torch.equal(value, watched.module_.state_dict()[name]), name
    momenta = [
        [state["momentum_buffer"] for state in net.optimizer_.state.values()]
        for net in (plain, watched)
    ]
    assert all(map(torch.equal, *momenta))


def test_measuring_puts_back_gradients_modes_and_generators(table):
    before, after = [], []
    torch.manual_seed(0)
    NeuralNetClassifier(
        Moody, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0, train_split=ValidSplit(3),
        callbacks=[
            ("before", Frozen(before)),
            ("noise", GradientNoiseScale(batch_size=5, n_batches=3)),
            ("after", Frozen(after)),
        ],
    ).fit(*table)  # fmt: skip
    for one, other in zip(before, after, strict=True):
        assert one[0] == other[0]  # the very same tensors
        assert all(map(torch.equal, one[1], other[1]))
        assert one[2] == other[2]
        assert torch.equal(one[3], other[3])
        assert_array_equal(one[4], other[4])


@pytest.mark.parametrize("schedule", ["constant", "batch_doubling"])
def test_measuring_changes_no_bit_of_the_training_of_our_classifier(fashion, schedule):
    def trained(*callbacks):
        return CLRLeNetClassifier(
            schedule=schedule, batch_size=50, max_batch_size=200, step_size=1, max_epochs=3,
            augmentation=RandomShiftFlip(), validation_fraction=0.25, random_state=0,
            callbacks=list(callbacks),
        ).fit(*fashion)  # fmt: skip

    plain, watched = trained(), trained(GradientNoiseScale(batch_size=20, n_batches=4))
    for name, value in plain.module_.state_dict().items():
        assert torch.equal(value, watched.module_.state_dict()[name]), name
    columns = ["train_loss", "valid_loss", "valid_acc", "batch_size", "n_updates"]
    pd.testing.assert_frame_equal(plain.history_frame()[columns], watched.history_frame()[columns])
    again = trained(GradientNoiseScale(batch_size=20, n_batches=4))
    assert again.history_[:, "noise_scale"] == watched.history_[:, "noise_scale"]


def test_parameters_without_a_gradient_and_frozen_ones_take_no_part(table):
    class Partly(nn.Module):
        def __init__(self, extra):
            super().__init__()
            self.used = nn.Linear(4, 2)
            if extra:
                self.unused = nn.Linear(4, 2)
                self.frozen = nn.Linear(4, 2).requires_grad_(False)

        def forward(self, X):
            return self.used(X)

    found = []
    for extra in (True, False):
        torch.manual_seed(0)
        net = NeuralNetClassifier(
            Partly, module__extra=extra, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0,
            train_split=None, callbacks=[GradientNoiseScale(8, 4)],
        ).initialize()  # fmt: skip
        torch.manual_seed(0)
        for part in net.module_.used.parameters():
            nn.init.normal_(part)
        found.append(net.partial_fit(*table).history[:, "noise_scale"])
    assert found[0] == found[1]


def test_a_noise_scale_takes_sensible_numbers_and_data_of_known_length(table):
    for bad, message in (
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"n_batches": 1}, "n_batches must be an integer of at least 2"),
        ({"smoothing": 1.0}, r"smoothing must be in \[0, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            plain_net(GradientNoiseScale(**bad)).fit(*table)

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(zip(*table, strict=True))

    with pytest.raises(ValueError, match="training data with a length; Stream has none"):
        plain_net(
            GradientNoiseScale(), train_split=None, iterator_train__shuffle=False
        ).fit(Stream(), None)  # fmt: skip


def test_a_net_with_a_noise_scale_can_be_cloned_searched_and_pickled(table):
    net = plain_net(GradientNoiseScale(8, 4), max_epochs=1)
    search = GridSearchCV(net, {"lr": [0.1, 0.2]}, cv=2, scoring="accuracy").fit(*table)
    copied = pickle.loads(pickle.dumps(search.best_estimator_))
    assert copied.history[-1, "noise_scale"] == search.best_estimator_.history[-1, "noise_scale"]
