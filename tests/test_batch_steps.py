"""Batch sizes in steps, beside torch's steps of the rate and beside doubling."""

import numpy as np
import torch

from skclr import schedules


def test_batch_size_grows_where_torch_would_lower_the_rate():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5, 11], gamma=1 / 5)
    noise = []
    for _ in range(15):
        noise.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    sizes = schedules.batch_steps(
        np.arange(15), milestones=[3, 5, 11], batch_size=8, factor=5, max_batch_size=10**6
    )
    np.testing.assert_allclose(8 / sizes, noise)


def test_steps_at_regular_epochs_are_those_of_doubling():
    t = np.linspace(0, 60, 241)
    for factor in (2, 1.15, 1.5, 3):
        steps = schedules.batch_steps(
            t, milestones=np.arange(5, 61, 5), batch_size=100, factor=factor, max_batch_size=3000
        )
        doubling = schedules.batch_doubling(t, batch_size=100, factor=factor, max_batch_size=3000)
        np.testing.assert_array_equal(steps, doubling)


def test_each_step_may_have_a_factor_of_its_own():
    sizes = schedules.batch_steps(
        [0, 1, 2, 5, 9, 10**9], milestones=[1, 2, 9], batch_size=100, factor=[1.15, 4, 1000],
        max_batch_size=10**9,
    )  # fmt: skip
    np.testing.assert_array_equal(sizes, [100, 115, 460, 460, 460_000, 460_000])
    assert schedules.batch_steps(7, milestones=[], batch_size=3) == 3
