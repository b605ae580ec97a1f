"""Rates that something else than the schedule sets: obeyed or refused, and shown as they were."""

import pickle

import numpy as np
import pytest
import torch
from nets_for_callbacks import (
    PER_EPOCH,
    Spy,
    classifier,
    inverse_decay,
    plain_net,
    recorded,
    swept,
    torch_schedule,
)
from numpy.testing import assert_allclose
from skorch.callbacks import Callback, LRScheduler

from skclr.callbacks import CyclicLR, LRHalving, LRRangeTest, LRSchedule, OneCycleLR

OURS = [
    CyclicLR(step_size=1),
    CyclicLR(step_size=4, step_unit="iteration"),
    LRHalving(0.2),
    LRSchedule(inverse_decay),
    OneCycleLR(0.2),
    LRRangeTest(1e-3, 1e-1),
]
named = pytest.mark.parametrize("callback", OURS, ids=lambda item: type(item).__name__)


class TorchScheduler(Callback):
    """torch's schedule of the rate, stepped as a callback."""

    def __init__(self, make, hidden=False):
        self.make = make
        self.hidden = hidden

    def on_train_begin(self, net, **kwargs):
        scheduler = self.make(net.optimizer_)
        self.scheduler_ = [scheduler] if self.hidden else scheduler

    def on_epoch_end(self, net, **kwargs):
        (self.scheduler_[0] if self.hidden else self.scheduler_).step()


class SetsRate(Callback):
    """Write a rate to the optimizer at a moment of the training."""

    def __init__(self, moment, rate=0.0123):
        self.moment = moment
        self.rate = rate

    def _set(self, moment, net):
        if moment == self.moment:
            net.optimizer_.param_groups[-1]["lr"] = self.rate

    def on_batch_begin(self, net, training=None, **kwargs):
        self._set("batch begin", net)

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self._set("gradients", net)

    def on_batch_end(self, net, training=None, **kwargs):
        self._set("batch end", net)

    def on_epoch_begin(self, net, **kwargs):
        self._set("epoch begin", net)

    def on_epoch_end(self, net, **kwargs):
        self._set("epoch end", net)


def used(net):
    """Return a spy's rates of each group."""
    spy = next(callback for _, callback in net.callbacks_ if isinstance(callback, Spy))
    return np.array(spy.rates)


# ---------------------------------------------------------------- groups with rates of their own


@pytest.mark.parametrize("share", [0.0, 0.1, 3.0])
@named
def test_a_group_keeps_the_ratio_of_its_rate(make_net, table, callback, share):
    net = make_net(callback, Spy())
    groups = [("*bias", {"lr": share * net.lr})]
    net = net.set_params(optimizer__param_groups=groups).fit(*table)
    own, others = used(net).T
    assert_allclose(own, share * others, rtol=1e-12)
    assert recorded(net) == others.tolist()
    assert len(set(recorded(net))) > 1 or isinstance(callback, LRHalving)


@pytest.mark.parametrize("callback", OURS[:-1], ids=lambda item: type(item).__name__)
def test_a_group_keeps_its_ratio_from_call_to_call_and_in_a_pickle(make_net, table, callback):
    net = make_net(callback, Spy(), optimizer__param_groups=[("*bias", {"lr": 0.0})])
    net.fit(*table).partial_fit(*table)
    net = pickle.loads(pickle.dumps(net)).partial_fit(*table)
    own, others = used(net).T
    assert len(own) == 6 * PER_EPOCH
    assert not own.any()
    assert others.all()


def test_a_frozen_group_does_not_learn(table):
    net = plain_net(CyclicLR(step_size=1), optimizer__param_groups=[("bias", {"lr": 0.0})])
    net.initialize()
    bias, weight = net.module_.bias.clone(), net.module_.weight.clone()
    net.partial_fit(*table)
    assert torch.equal(net.module_.bias, bias)
    assert not torch.equal(net.module_.weight, weight)


def test_a_group_whose_rate_is_set_between_calls_keeps_that_ratio(table):
    spy = Spy()
    groups = [("bias", {"weight_decay": 0.0})]
    net = plain_net(LRSchedule(inverse_decay), spy, lr=0.1, optimizer__param_groups=groups)
    net.fit(*table)
    net.set_params(optimizer__param_groups__0__lr=0.05)
    net.partial_fit(*table)
    own, others = np.array(spy.rates).T
    assert_allclose(own / others, [1] * 2 * PER_EPOCH + [0.5] * 2 * PER_EPOCH)


def test_another_rate_of_the_net_is_no_ratio_of_its_groups(table):
    net = plain_net(LRSchedule(inverse_decay), Spy()).fit(*table)
    net.set_params(lr=0.7)
    net.partial_fit(*table)
    assert_allclose(used(net)[:, 0], [inverse_decay(i) for i in range(4 * PER_EPOCH)])


def test_a_net_that_was_trained_before_begins_the_schedule_at_its_own_rates(table):
    net = plain_net(optimizer__param_groups=[("bias", {"lr": 0.0})]).fit(*table)
    net.set_params(callbacks=[("cyclic", CyclicLR(step_size=1)), ("spy", Spy())])
    net._initialize_callbacks()
    net.partial_fit(*table)
    own, others = used(net).T
    assert not own.any()
    assert others.all()


def test_a_group_that_joins_during_the_training_keeps_its_ratio(make_net, table):
    class Joins(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 2:
                parameter = torch.nn.Parameter(torch.zeros(1))
                net.optimizer_.add_param_group({"params": [parameter], "lr": net.lr / 4})

    net = make_net(LRSchedule(inverse_decay), Joins).fit(*table)
    first, joined = [group["lr"] for group in net.optimizer_.param_groups]
    assert_allclose([first, joined], [inverse_decay(11), inverse_decay(11) / 4])


def test_groups_that_skorch_leaves_out_are_named(table):
    net = plain_net(LRSchedule(inverse_decay)).fit(*table)
    net.set_params(optimizer__param_groups=[("bias", {"lr": 0.0})])
    with pytest.raises(ValueError, match="before the net is initialized"):
        net.partial_fit(*table)


def test_a_ratio_to_a_rate_of_zero_is_refused(table):
    net = plain_net(CyclicLR(), lr=0.0, optimizer__param_groups=[("bias", {"lr": 0.1})])
    with pytest.raises(ValueError, match="a rate above 0"):
        net.fit(*table)


def test_boundaries_of_each_group_are_not_for_one_that_is_frozen(table):
    cyclic = CyclicLR(base_lr=[0.1, 0.1], max_lr=[0.2, 0.3])
    net = plain_net(cyclic, optimizer__param_groups=[("bias", {"lr": 0.0})])
    with pytest.raises(ValueError, match="the lr 0"):
        net.fit(*table)


# ---------------------------------------------------------------- a second schedule


@pytest.mark.parametrize(
    "second",
    [
        LRScheduler("StepLR", step_size=1),
        LRScheduler(torch.optim.lr_scheduler.ReduceLROnPlateau),
        LRScheduler(torch.optim.lr_scheduler.CyclicLR, base_lr=1e-3, max_lr=1.0,
                    step_every="batch"),
        CyclicLR(),
        LRSchedule(inverse_decay),
        TorchScheduler(lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1)),
    ],
    ids=lambda item: type(item).__name__,
)  # fmt: skip
@pytest.mark.parametrize("second_first", [False, True])
def test_a_second_schedule_is_refused_before_training(make_net, table, second, second_first):
    callbacks = [("first", LRHalving(0.2)), ("second", second)]
    spy = Spy()
    net = make_net(*callbacks[:: -1 if second_first else 1], spy)
    with pytest.raises(ValueError, match=r"set twice.*schedule=None"):
        net.fit(*table)
    assert not spy.rates


def test_two_sweeps_are_refused(make_net, table):
    net = make_net(("one", LRRangeTest()), ("two", LRRangeTest()))
    with pytest.raises(ValueError, match="set twice"):
        net.fit(*table)


@named
def test_the_same_callback_twice_is_refused(make_net, table, callback):
    with pytest.raises(ValueError, match="set twice"):
        make_net(("one", callback), ("two", callback)).fit(*table)


@pytest.mark.parametrize("moment", ["batch begin", "gradients", "batch end", "epoch begin",
                                    "epoch end"])  # fmt: skip
@pytest.mark.parametrize("after", [True, False])
def test_a_callback_that_changes_the_rate_is_refused_when_it_is_seen(
    make_net, table, moment, after
):
    callbacks = [("ours", CyclicLR(step_size=1)), ("theirs", SetsRate(moment))]
    net = make_net(*callbacks[:: 1 if after else -1])
    with pytest.raises(ValueError, match=r"set twice.*schedule=None"):
        net.fit(*table)


def test_a_hidden_scheduler_is_seen_even_where_the_training_ends_after_its_step(make_net, table):
    def make(optimizer):
        return torch.optim.lr_scheduler.StepLR(optimizer, 1)

    net = make_net(LRHalving(0.2), TorchScheduler(make, hidden=True), max_epochs=1)
    with pytest.raises(ValueError, match="set twice"):
        net.fit(*table)


@pytest.mark.parametrize("sweep_first", [False, True])
def test_a_sweep_takes_the_place_of_a_schedule(make_net, table, sweep_first):
    callbacks = [("schedule", CyclicLR(step_size=1)), ("sweep", LRRangeTest(1e-3, 1e-1))]
    net = make_net(*callbacks[:: -1 if sweep_first else 1], Spy()).fit(*table)
    assert_allclose(used(net)[:, 0], np.geomspace(1e-3, 1e-1, 2 * PER_EPOCH))
    assert recorded(net) == swept(net).lrs_ == used(net)[:, 0].tolist()


# ---------------------------------------------------------------- no schedule


def test_without_a_schedule_the_optimizer_keeps_the_rate_it_was_built_with(table):
    clf = classifier(Spy(), max_lr=0.03).fit(*table)
    assert recorded(clf) == used(clf)[:, 0].tolist() == [0.03] * 2 * PER_EPOCH
    clf.set_params(max_lr=0.04)
    clf.partial_fit(*table)
    assert recorded(clf) == used(clf)[:, 0].tolist() == [0.03] * 12 + [0.04] * 12


def test_without_a_schedule_the_rate_of_the_optimizer_is_obeyed(table):
    clf = classifier(Spy(), optimizer__lr=0.02).fit(*table)
    assert recorded(clf) == used(clf)[:, 0].tolist() == [0.02] * 2 * PER_EPOCH
    clf.set_params(optimizer__lr=0.01)
    clf.partial_fit(*table)
    assert recorded(clf)[-1] == used(clf)[-1, 0] == 0.01


@pytest.mark.parametrize(
    "scheduler",
    [
        LRScheduler("ExponentialLR", gamma=0.5),
        TorchScheduler(lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)),
        TorchScheduler(
            lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5), hidden=True
        ),
    ],
    ids=["skorch", "torch", "hidden"],
)
def test_without_a_schedule_one_of_torch_sets_the_rate(table, scheduler):
    clf = classifier(scheduler, Spy(), max_epochs=3, max_lr=0.08).fit(*table)
    rates, _ = torch_schedule(
        lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5), 3
    )
    expected = np.repeat(0.8 * np.ravel(rates), PER_EPOCH)
    assert_allclose(used(clf)[:, 0], expected)
    assert recorded(clf) == used(clf)[:, 0].tolist()
    assert_allclose(clf.history_frame()["lr"], expected[::PER_EPOCH])


@pytest.mark.parametrize("moment", ["batch begin", "gradients", "batch end", "epoch end"])
def test_without_a_schedule_the_history_shows_the_rate_that_was_used(table, moment):
    clf = classifier(SetsRate(moment), max_lr=0.1).fit(*table)
    first = 0.1 if moment in ("batch end", "epoch end") else 0.0123
    assert recorded(clf)[0] == first
    assert recorded(clf)[-1] == 0.0123


def test_a_schedule_after_a_training_without_one_runs_as_it_is(table):
    clf = classifier(LRScheduler("ExponentialLR", gamma=0.5), max_lr=0.08).fit(*table)
    clf.set_params(schedule="constant", callbacks=None)
    clf.partial_fit(*table)
    assert recorded(clf)[-2 * PER_EPOCH :] == [0.08] * 2 * PER_EPOCH


def test_after_a_schedule_a_training_without_one_goes_on_at_max_lr(table):
    clf = classifier(schedule="triangular", max_lr=0.08).fit(*table)
    clf.set_params(schedule=None)
    clf.partial_fit(*table)
    assert recorded(clf)[-2 * PER_EPOCH :] == [0.08] * 2 * PER_EPOCH
