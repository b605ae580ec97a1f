import pytest
import torch
from nets_for_callbacks import N_SAMPLES, PER_EPOCH, Spy, plain_net, recorded, torch_schedule
from numpy.testing import assert_allclose

from skclr import CLRLeNetClassifier
from skclr.callbacks import BatchDoubling, CosineLR, CosineRestartsLR


def test_a_cosine_is_that_of_torch_over_the_whole_training(make_net, table):
    spy = Spy()
    net = make_net(CosineLR(0.4, 0.01), spy, max_epochs=5).fit(*table)

    def make_scheduler(optimizer):
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = 0.4
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5 * PER_EPOCH, eta_min=0.01)

    rates, _ = torch_schedule(make_scheduler, 5 * PER_EPOCH)
    assert_allclose(spy.rates, rates, rtol=1e-10)
    assert recorded(net) == [rate for (rate,) in spy.rates]


def test_restarts_are_those_of_torch_and_go_on_in_another_call(make_net, table):
    spy = Spy()
    net = make_net(CosineRestartsLR(0.4, 0.01, step_size=1, factor=2), spy, max_epochs=2)
    net.fit(*table)
    for _ in range(2):
        net.partial_fit(*table)

    def make_scheduler(optimizer):
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = 0.4
        return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            optimizer, PER_EPOCH, 2, eta_min=0.01
        )

    rates, _ = torch_schedule(make_scheduler, 6 * PER_EPOCH)
    assert_allclose(spy.rates, rates, rtol=1e-10)


def test_another_call_falls_again(make_net, table):
    spy = Spy()
    net = make_net(CosineLR(0.4, warmup=0.5), spy, max_epochs=3).fit(*table)
    net.partial_fit(*table)
    once, again = spy.rates[: 3 * PER_EPOCH], spy.rates[3 * PER_EPOCH :]
    assert once == again
    assert once.index([0.4]) == PER_EPOCH // 2


def test_a_cosine_keeps_its_length_in_epochs_while_batches_grow(table):
    spy = Spy()
    doubling = BatchDoubling(batch_size=10, every=1, max_batch_size=40)
    plain_net(doubling, CosineLR(0.4), spy, max_epochs=4).fit(*table)
    first_of_epochs = [spy.rates[0][0], spy.rates[6][0], spy.rates[9][0], spy.rates[11][0]]
    assert_allclose(first_of_epochs, [0.4, 0.341421356, 0.2, 0.058578644], rtol=1e-8)


def test_the_shortest_of_trainings_has_a_cosine_too(table):
    spy = Spy()
    plain_net(CosineLR(0.4), spy, batch_size=N_SAMPLES, max_epochs=1).fit(*table)
    assert spy.rates == [[0.4]]


@pytest.mark.parametrize("warmup", [3, 4.5, -1, None])
def test_a_warmup_that_leaves_no_epochs_is_refused_before_training(table, warmup):
    spy = Spy()
    net = plain_net(CosineLR(0.4, warmup=warmup), spy, max_epochs=3)
    with pytest.raises(ValueError, match="warmup must be"):
        net.fit(*table)
    assert not spy.rates
    params = {"schedule": "cosine", "warmup": warmup, "max_epochs": 3, "max_lr": "auto"}
    with pytest.raises(ValueError, match="warmup"):
        CLRLeNetClassifier(callbacks=[spy], **params).fit(*table)
    assert not spy.rates


@pytest.mark.parametrize(
    ("params", "name"),
    [({"step_size": 0}, "step_size"), ({"factor": 0.5}, "factor"), ({"base_lr": 0.5}, "base_lr")],
)
def test_restarts_out_of_range_are_refused_before_training(table, params, name):
    spy = Spy()
    with pytest.raises(ValueError, match=name):
        plain_net(CosineRestartsLR(0.4, **params), spy).fit(*table)
    assert not spy.rates
