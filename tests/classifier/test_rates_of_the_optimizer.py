"""Rates that are given to the classifier's optimizer: obeyed or refused, never ignored."""

import numpy as np
import pytest
import torch
from classifiers import Spy, lenet, quick, rates
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import LRScheduler

from skclr import lr_range_test
from skclr.callbacks import CyclicLR

SCHEDULES = [
    "constant", "triangular", "triangular2", "exp_range", "one_cycle", "lr_halving", "cosine",
    "cosine_restarts",
    "batch_doubling", lambda iteration: 0.05 / (1 + iteration),
]  # fmt: skip


def convolutions(clf):
    named = clf.module_.named_parameters()
    return torch.cat(
        [value.detach().cpu().flatten() for name, value in named if "conv" in name]
    ).numpy()


@pytest.mark.parametrize("schedule", [*SCHEDULES, None])
def test_convolutions_with_the_rate_zero_stay_as_they_were(two_classes, schedule):
    groups = [("conv*", {"lr": 0.0})]
    clf = lenet(schedule=schedule, optimizer__param_groups=groups).initialize()
    clf.fit(*two_classes)
    frozen = convolutions(clf)
    clf.partial_fit(*two_classes)
    assert_array_equal(convolutions(clf), frozen)
    learning = lenet(schedule=schedule).fit(*two_classes)
    assert not np.array_equal(convolutions(learning), frozen)
    assert_array_equal(rates(clf)[: len(rates(learning))], rates(learning))


@pytest.mark.parametrize("schedule", [*SCHEDULES, None])
def test_a_group_keeps_its_ratio_to_max_lr(two_classes, schedule):
    groups = [("conv*", {"lr": 0.01})]
    clf = lenet(schedule=schedule, max_lr=0.2, optimizer__param_groups=groups, callbacks=[Spy()])
    clf.fit(*two_classes)
    assert_allclose(dict(clf.callbacks_)["Spy"].rates_, rates(clf) / 20)


@pytest.mark.parametrize("schedule", ["triangular", None])
def test_groups_can_be_set_after_a_training(two_classes, schedule):
    clf = lenet(schedule=schedule).fit(*two_classes)
    before = convolutions(clf)
    clf.set_params(optimizer__param_groups=[("conv*", {"lr": 0.0})]).partial_fit(*two_classes)
    assert_array_equal(convolutions(clf), before)
    assert [group["lr"] > 0 for group in clf.optimizer_.param_groups] == [False, True]


def test_a_rate_of_a_group_that_has_nothing_to_keep_its_ratio_to_is_refused(two_classes):
    clf = lenet(max_lr="auto", optimizer__param_groups=[("conv*", {"lr": 0.01})])
    with pytest.raises(ValueError, match="max_lr as a number"):
        clf.fit(*two_classes)


def test_a_range_test_leaves_a_frozen_group_frozen(two_classes):
    frozen = quick(optimizer__param_groups=[("*", {"lr": 0.0})])
    with pytest.warns(match="fall"):
        found = lr_range_test(frozen, *two_classes, n_iter=30, n_repeats=1, random_state=0)
    assert found.max_lr is None
    assert np.isfinite(found.losses).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_rate_of_the_optimizer_is_refused_where_a_schedule_sets_it(two_classes, schedule):
    clf = quick(schedule=schedule, optimizer__lr=0.05)
    with pytest.raises(ValueError, match=r"optimizer__lr.*max_lr.*schedule=None"):
        clf.fit(*two_classes)
    assert not hasattr(clf, "classes_")


def test_a_rate_of_the_optimizer_is_obeyed_without_a_schedule(two_classes):
    clf = quick(schedule=None, optimizer__lr=0.05).fit(*two_classes)
    assert set(rates(clf)) == {0.05}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("second", [LRScheduler("StepLR", step_size=1), CyclicLR()])
def test_a_second_schedule_is_refused_and_nothing_is_trained(two_classes, schedule, second):
    clf = quick(schedule=schedule, callbacks=[second])
    with pytest.raises(ValueError, match="schedule=None"):
        clf.fit(*two_classes)
    assert not hasattr(clf, "classes_")
    clf.set_params(schedule=None).fit(*two_classes)
    assert np.isfinite(rates(clf)).all()


def test_the_network_is_the_same_without_a_schedule_as_with_a_constant_one(two_classes):
    constant = lenet(schedule="constant", max_epochs=2).fit(*two_classes)
    free = lenet(schedule=None, max_epochs=2).fit(*two_classes)
    assert_array_equal(free.predict_proba(two_classes[0]), constant.predict_proba(two_classes[0]))
    assert free.history_frame()["lr"].tolist() == [0.1, 0.1]


def test_a_measured_max_lr_is_what_the_optimizer_begins_with(fashion):
    clf = quick(schedule=None, max_lr="auto").fit(*fashion)
    assert set(rates(clf)) == {clf.max_lr_}
    assert clf.lr_range_.max_lr == clf.max_lr_


GROUPS = [
    ("nothing.*", {"momentum": 0.1}),
    ("*.bias", {"weight_decay": 0.0, "momentum": 0.5}),
    ("fc1.*", {"weight_decay": 0.3}),
]


@pytest.mark.parametrize("how", ["partial_fit", "warm_start"])
def test_what_a_group_was_given_stays_when_a_parameter_changes(two_classes, how):
    clf = lenet(weight_decay=0.01, optimizer__param_groups=GROUPS, warm_start=True)
    clf.fit(*two_classes).set_params(weight_decay=0.1, momentum=0.8)
    (clf.fit if how == "warm_start" else clf.partial_fit)(*two_classes)
    groups = [(group["weight_decay"], group["momentum"]) for group in clf.optimizer_.param_groups]
    assert groups == [(0.0, 0.5), (0.3, 0.8), (0.1, 0.8)]


def test_a_group_may_take_all_that_is_left(two_classes):
    groups = [("conv*", {"momentum": 0.5}), ("*", {})]
    clf = lenet(optimizer__param_groups=groups).fit(*two_classes)
    clf.set_params(momentum=0.8).partial_fit(*two_classes)
    assert [group["momentum"] for group in clf.optimizer_.param_groups] == [0.5, 0.8]


def test_a_parameter_of_the_optimizer_counts_for_more_than_one_of_the_classifier(two_classes):
    clf = lenet(optimizer__momentum=0.5).fit(*two_classes)
    clf.set_params(momentum=0.7).partial_fit(*two_classes)
    assert clf.optimizer_.param_groups[0]["momentum"] == 0.5


class OwnGroups(torch.optim.SGD):
    """Biases apart, whatever the groups were."""

    def __init__(self, params, **kwargs):
        whole = [part for group in params for part in group["params"]]
        biases = {"params": [part for part in whole if part.ndim == 1], "weight_decay": 0.0}
        super().__init__([biases, {"params": [part for part in whole if part.ndim > 1]}], **kwargs)


def test_groups_that_others_made_go_on_and_take_what_changes(two_classes):
    clf = lenet(optimizer=OwnGroups).fit(*two_classes)
    clf.partial_fit(*two_classes)
    clf.set_params(momentum=0.8).partial_fit(*two_classes)
    assert [group["momentum"] for group in clf.optimizer_.param_groups] == [0.8, 0.8]
