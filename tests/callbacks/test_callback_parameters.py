import copy
import math
import pickle
from functools import partial

import numpy as np
import pytest
from nets_for_callbacks import (
    PER_EPOCH,
    Spy,
    assert_same_weights,
    inverse_decay,
    plain_net,
    recorded,
    weights,
)
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skclr import schedules
from skclr.callbacks import (
    BatchAccuracy,
    BatchDoubling,
    BatchSizeSchedule,
    CyclicLR,
    LRHalving,
    LRRangeTest,
    LRSchedule,
    NoiseDoubling,
    OneCycleLR,
)

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


def test_a_net_with_wrong_parameters_trains_once_they_are_right(table):
    net = plain_net(CyclicLR(base_lr=0.2, max_lr=0.1), BatchDoubling(4, every=1))
    with pytest.raises(ValueError, match="base_lr"):
        net.fit(*table)
    net.set_params(callbacks__CyclicLR__max_lr=0.3)
    net.fit(*table)
    assert recorded(net)[0] == pytest.approx(0.2)


ALL = [
    CyclicLR("exp_range", 0.01, 0.2, 1.5, "iteration", 0.99, np.sqrt, "iterations", True, 0.1, 0.2),
    OneCycleLR(0.3, 0.4, 5.0, 6.0, "rate"),
    LRHalving(0.3, 2.5, 0.1, 3.0, "rate"),
    LRSchedule(inverse_decay, "rate"),
    BatchDoubling(8, 3, 2.5, 1000),
    BatchSizeSchedule(inverse_decay),
    NoiseDoubling(8, 1000, 0.25),
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
        LRSchedule(inverse_decay),
        BatchDoubling(),
        BatchSizeSchedule(partial(schedules.batch_steps, milestones=[1])),
        NoiseDoubling(),
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
