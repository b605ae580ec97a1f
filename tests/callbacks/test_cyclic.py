import numpy as np
import pytest
import torch
from nets_for_callbacks import (
    N_SAMPLES,
    PER_EPOCH,
    Endless,
    Spy,
    plain_net,
    recorded,
    sizes_of,
    torch_cyclic,
)
from numpy.testing import assert_allclose
from skorch.dataset import ValidSplit

from skclr.callbacks import BatchDoubling, CyclicLR


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
    groups = [("weight", {"weight_decay": 0.1})]
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


def test_an_iterator_without_a_length_takes_steps_in_iterations_only(table):
    spy = Spy()
    with pytest.raises(ValueError, match="no length"):
        plain_net(CyclicLR(step_size=2), spy, iterator_train=Endless).fit(*table)
    assert spy.rates == []

    cyclic = CyclicLR(step_size=2, step_unit="iteration")
    plain_net(cyclic, spy, iterator_train=Endless).fit(*table)
    rates, _ = torch_cyclic(6, base_lr=1e-3, max_lr=0.1, step_size_up=2)
    assert_allclose(spy.rates, rates, rtol=1e-12)


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


def test_momentum_cannot_be_cycled_where_there_is_none(table):
    net = plain_net(CyclicLR(cycle_momentum=True), optimizer=torch.optim.Adagrad)
    with pytest.raises(ValueError, match="Adagrad"):
        net.fit(*table)
    assert len(net.history) == 0
