import numpy as np
import pytest
import torch
from nets_for_callbacks import PER_EPOCH, Spy, plain_net, torch_schedule
from numpy.testing import assert_allclose

from skclr.callbacks import LRHalving


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
