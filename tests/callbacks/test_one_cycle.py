import pytest
import torch
from nets_for_callbacks import N_SAMPLES, PER_EPOCH, Spy, plain_net, recorded, torch_schedule
from numpy.testing import assert_allclose

from skclr.callbacks import OneCycleLR


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
