import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from nets_for_callbacks import PER_EPOCH, Spy, inverse_decay, plain_net, recorded, torch_schedule
from numpy.testing import assert_allclose

from skclr import callbacks
from skclr.callbacks import LRSchedule, constant_lr


def test_a_function_of_the_iteration_is_a_schedule(make_net, table):
    spy = Spy()
    net = make_net(LRSchedule(inverse_decay), spy, max_epochs=2).fit(*table)
    net.partial_fit(*table)

    def make_scheduler(optimizer):
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = 1.0
        return torch.optim.lr_scheduler.LambdaLR(optimizer, inverse_decay)

    rates, _ = torch_schedule(make_scheduler, 4 * PER_EPOCH)
    assert_allclose(spy.rates, rates, rtol=1e-12)
    assert recorded(net) == [rate for (rate,) in spy.rates]


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


def test_a_constant_schedule_survives_a_pickle(table):
    schedule = pickle.loads(pickle.dumps(LRSchedule(partial(constant_lr, 0.25))))
    assert recorded(plain_net(schedule, max_epochs=1).fit(*table)) == [0.25] * PER_EPOCH


@pytest.mark.parametrize("part", [callbacks._GrowingIterator, constant_lr, *callbacks.__all__])
def test_pickles_know_callbacks_by_the_address_of_the_package(part):
    found = getattr(callbacks, part) if isinstance(part, str) else part
    assert found.__module__ == "skclr.callbacks"
    assert getattr(callbacks, found.__qualname__) is found
