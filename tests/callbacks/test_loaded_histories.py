"""A training that goes on from a checkpoint goes on in its schedule, too."""

import numpy as np
import pytest
from nets_for_callbacks import BATCH_SIZE, PER_EPOCH, classifier, inverse_decay, plain_net, recorded
from numpy.testing import assert_allclose
from skorch.callbacks import Checkpoint, LoadInitState

from skclr.callbacks import BatchDoubling, CyclicLR, LRHalving, LRSchedule, OneCycleLR

SCHEDULES = {
    "function": lambda: LRSchedule(inverse_decay),
    "iterations": lambda: CyclicLR("exp_range", 0.01, 0.3, 5, "iteration", gamma=0.99),
    "epochs": lambda: CyclicLR("exp_range", 0.01, 0.3, 1.5, gamma=0.99),
    "one cycle": lambda: OneCycleLR(0.3),
    "halving": lambda: LRHalving(0.3, every=1.5),
}


def with_checkpoint(make_net, folder, *callbacks, load_first=False, **params):
    """Make a net that goes on from a checkpoint in the folder, as skorch's documentation has it."""
    saved = Checkpoint(monitor=None, dirname=str(folder))
    load = ("load", LoadInitState(saved))
    ours = [(f"ours_{number}", callback) for number, callback in enumerate(callbacks)]
    order = [load, *ours] if load_first else [*ours, load]
    return make_net(*order, ("save", saved), **params)


@pytest.mark.parametrize("load_first", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_loaded_training_goes_on_like_a_further_call(
    make_net, table, tmp_path, schedule, load_first
):
    make = SCHEDULES[schedule]
    whole = make_net(make()).fit(*table).partial_fit(*table)
    with_checkpoint(make_net, tmp_path, make(), load_first=load_first).fit(*table)
    gone_on = with_checkpoint(make_net, tmp_path, make(), load_first=load_first).fit(*table)
    assert len(gone_on.history) == 4
    assert_allclose(recorded(gone_on), recorded(whole), rtol=1e-12)


@pytest.mark.parametrize("schedule", ["exp_range", "one_cycle", "lr_halving", inverse_decay])
def test_the_schedule_of_the_classifier_goes_on_too(table, tmp_path, schedule):
    params = {"schedule": schedule, "step_size": 1.5}
    whole = classifier(**params).fit(*table).partial_fit(*table)
    for _ in range(2):
        gone_on = with_checkpoint(classifier, tmp_path, **params).fit(*table)
    assert_allclose(recorded(gone_on), recorded(whole), rtol=1e-12)
    assert np.isfinite(gone_on.predict_proba(table[0])).all()


def test_batches_go_on_growing(make_net, table, tmp_path):
    for _ in range(2):
        net = with_checkpoint(make_net, tmp_path, BatchDoubling(BATCH_SIZE // 2, every=1))
        net.fit(*table)
    assert net.history[:, "batch_size"] == [5, 10, 20, 40]


def test_a_group_that_is_frozen_stays_so(make_net, table, tmp_path):
    groups = [("*bias", {"lr": 0.0})]
    for _ in range(2):
        net = with_checkpoint(
            make_net, tmp_path, LRSchedule(inverse_decay), optimizer__param_groups=groups
        ).fit(*table)
    assert [group["lr"] == 0 for group in net.optimizer_.param_groups] == [True, False]
    assert recorded(net) == [inverse_decay(i) for i in range(4 * PER_EPOCH)]


def test_the_best_accuracy_is_that_of_the_loaded_history(table, tmp_path):
    for _ in range(2):
        clf = with_checkpoint(classifier, tmp_path, schedule="constant", max_epochs=4).fit(*table)
    values, best = np.array(clf.history[:, ("train_acc", "train_acc_best")]).T
    assert_allclose(best, values > np.r_[-1, np.maximum.accumulate(values)[:-1]])


def test_training_alone_needs_no_history(table):
    net = plain_net(LRSchedule(inverse_decay)).initialize()
    net.fit_loop(*table)
    assert recorded(net) == [inverse_decay(i) for i in range(2 * PER_EPOCH)]
