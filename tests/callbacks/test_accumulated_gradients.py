"""Updates are steps of the optimizer, also where one is made every few batches."""

import math

import numpy as np
import pytest
import torch
from nets_for_callbacks import (
    BATCH_SIZE,
    PER_EPOCH,
    inverse_decay,
    plain_net,
    swept,
    torch_cyclic,
)
from numpy.testing import assert_allclose
from skorch import NeuralNetClassifier
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.callbacks import CyclicLR, LRHalving, LRRangeTest, LRSchedule, OneCycleLR


class Accumulating:
    """A step every few batches, as skorch's documentation has it; notes the rates of steps."""

    every = 2

    def train_step(self, batch, **fit_params):
        step = self.train_step_single(batch, **fit_params)
        if len(self.history[-1, "batches"]) % self.every == 0:
            vars(self).setdefault("noted", []).append(self.optimizer_.param_groups[0]["lr"])
            self.optimizer_.step()
            self.optimizer_.zero_grad()
        return step


class PlainNet(Accumulating, NeuralNetClassifier):
    pass


class Classifier(Accumulating, CLRLeNetClassifier):
    pass


class StepsByClosure(Classifier):
    """The classifier's own step, for comparison: one update a batch."""

    train_step = CLRLeNetClassifier.train_step


def plain(*callbacks, **params):
    torch.manual_seed(0)
    return PlainNet(nn.Linear, module__in_features=4, module__out_features=2, max_epochs=4,
                    criterion=nn.CrossEntropyLoss, batch_size=BATCH_SIZE, train_split=None,
                    callbacks=list(callbacks), verbose=0, **params)  # fmt: skip


def ours(*callbacks, **params):
    return Classifier(**({"schedule": None, "batch_size": BATCH_SIZE, "max_epochs": 4,
                          "random_state": 0, "callbacks": list(callbacks)} | params))  # fmt: skip


@pytest.fixture(params=[plain, ours])
def make(request):
    return request.param


def rates_of_updates(net):
    return [row["event_lr"] for epoch in net.history for row in epoch["batches"]
            if "event_lr" in row]  # fmt: skip


N_UPDATES = 4 * PER_EPOCH // 2


def test_a_function_of_the_iteration_is_called_with_the_number_of_steps(make, table):
    net = make(LRSchedule(inverse_decay)).fit(*table)
    expected = [inverse_decay(i) for i in range(N_UPDATES)]
    assert net.noted == rates_of_updates(net) == expected
    net.partial_fit(*table)
    assert net.noted == [inverse_decay(i) for i in range(2 * N_UPDATES)]


def test_a_cycle_in_iterations_is_that_of_torch_stepped_with_the_optimizer(make, table):
    net = make(CyclicLR("triangular2", 0.01, 0.3, 3, "iteration")).fit(*table)
    net.partial_fit(*table)
    rates, _ = torch_cyclic(
        2 * N_UPDATES, base_lr=0.01, max_lr=0.3, step_size_up=3, mode="triangular2"
    )
    assert_allclose(net.noted, np.ravel(rates), rtol=1e-12)
    assert rates_of_updates(net) == net.noted


@pytest.mark.parametrize("make_callback", [
    lambda: CyclicLR("triangular", 0.01, 0.3, 2),
    lambda: OneCycleLR(0.3),
    lambda: LRHalving(0.3, every=1),
], ids=["cyclic", "one cycle", "halving"])  # fmt: skip
def test_a_schedule_in_epochs_keeps_its_length_in_epochs(make, table, make_callback):
    net = make(make_callback()).fit(*table)
    by_batch = plain_net(make_callback(), max_epochs=4).fit(*table)
    rates = rates_of_updates(by_batch)
    assert net.noted == rates_of_updates(net) == rates[1::2]


def test_a_sweep_has_a_rate_for_each_update(make, table):
    net = make(LRRangeTest(1e-4, 1e-1, n_iter=N_UPDATES)).fit(*table)
    sweep = swept(net)
    assert sweep.stopped_ == "end"
    assert net.noted == sweep.lrs_ == rates_of_updates(net)
    assert_allclose(sweep.lrs_, np.geomspace(1e-4, 1e-1, N_UPDATES))
    losses = np.array([row["train_loss"] for epoch in net.history for row in epoch["batches"]])
    assert_allclose(sweep.losses_, losses.reshape(-1, 2).mean(1))


def test_a_sweep_whose_number_of_updates_is_not_known_says_so(make, table):
    with pytest.raises(ValueError, match="n_iter"):
        make(LRRangeTest()).fit(*table)


def test_the_tables_count_updates(table):
    clf = ours(schedule="constant").fit(*table)
    assert clf.history_frame()["n_updates"].tolist() == [PER_EPOCH // 2] * 4
    assert clf.history_frame()["lr"].tolist() == [0.1] * 4
    frame = clf.history_frame("batch")
    assert frame["iteration"].tolist() == np.repeat(np.arange(N_UPDATES), 2).tolist()
    assert [math.isnan(rate) for rate in frame["lr"]] == [True, False] * N_UPDATES


def test_two_steps_in_a_batch_are_two_updates(table):
    class Twice(PlainNet):
        def train_step(self, batch, **fit_params):
            super(Accumulating, self).train_step(batch, **fit_params)
            return super(Accumulating, self).train_step(batch, **fit_params)

    net = Twice(nn.Linear, module__in_features=4, module__out_features=2, max_epochs=1,
                criterion=nn.CrossEntropyLoss, batch_size=BATCH_SIZE, train_split=None, verbose=0,
                callbacks=[LRSchedule(inverse_decay)]).fit(*table)  # fmt: skip
    assert rates_of_updates(net) == [inverse_decay(2 * i) for i in range(PER_EPOCH)]


def test_with_one_update_a_batch_the_history_is_as_it_always_was(table):
    clf = StepsByClosure(schedule="constant", max_epochs=1, random_state=0).fit(*table)
    assert not any("n_updates" in row for row in clf.history[-1]["batches"])
