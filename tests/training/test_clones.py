"""Trainings of clones: what they keep of the estimator, and what they leave out."""

import signal

import numpy as np
import pytest
import skorch
import torch
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import EarlyStopping, GradientNormClipping
from torch import nn

from skclr import CLRLeNetClassifier
from skclr._training import check_net, fit_clone


def plain_net(**parameters):
    return skorch.NeuralNetClassifier(
        nn.Linear, module__in_features=4, module__out_features=2, criterion=nn.CrossEntropyLoss,
        verbose=0, **parameters,
    )  # fmt: skip


class SeededNet(skorch.NeuralNetClassifier):
    """A net of somebody else's that has a seed of its own."""

    def __init__(self, *args, random_state=None, **kwargs):
        self.random_state = random_state
        super().__init__(*args, **kwargs)


def test_a_clone_keeps_callbacks_that_clip_gradients_and_no_others(table):
    own = [GradientNormClipping(1.0), ("es", EarlyStopping(patience=1))]
    net = plain_net(callbacks=own, callbacks__es__patience=2)
    fitted = fit_clone(net, [], 2, *table, seed=0)
    assert [type(callback) for callback in fitted.callbacks] == [GradientNormClipping]
    assert not hasattr(fitted, "callbacks__es__patience")
    assert not net.initialized_


def test_a_clone_is_trained_on_all_samples_for_the_epochs_asked_for(table):
    fitted = fit_clone(plain_net(max_epochs=7, batch_size=60), [], 2, *table, seed=0)
    assert [epoch["train_batch_count"] for epoch in fitted.history] == [1, 1]
    assert fitted.history[-1]["batches"][-1]["train_batch_size"] == 60
    assert "valid_loss" not in fitted.history[-1]


def test_a_net_with_a_schedule_is_asked_to_leave_the_rate_to_callbacks(two_classes):
    clf = CLRLeNetClassifier(validation_fraction=0.2, max_lr="auto")
    fitted = fit_clone(clf, [], 1, *two_classes, seed=3)
    assert fitted.validation_fraction is None
    assert fitted.random_state == 3
    assert fitted.schedule is None
    assert not any("lr_schedule" in name for name in fitted.get_params())
    assert clf.max_lr == "auto"


def test_a_net_that_has_a_seed_of_its_own_is_given_the_clones(table):
    net = SeededNet(
        nn.Linear, module__in_features=4, module__out_features=2, criterion=nn.CrossEntropyLoss,
        random_state=1, verbose=0,
    )  # fmt: skip
    assert fit_clone(net, [], 1, *table, seed=3).random_state == 3


def test_the_same_seed_gives_the_same_weights(table):
    first, again = (fit_clone(plain_net(), [], 1, *table, seed=3) for _ in range(2))
    assert torch.equal(first.module_.weight, again.module_.weight)
    other = fit_clone(plain_net(), [], 1, *table, seed=4)
    assert not torch.equal(first.module_.weight, other.module_.weight)


def test_a_ctrl_c_that_a_plain_net_swallows_is_passed_on(table):
    class Interrupting(nn.Linear):
        def forward(self, x):
            signal.raise_signal(signal.SIGINT)

    net = plain_net().set_params(module=Interrupting)
    with pytest.raises(KeyboardInterrupt):
        fit_clone(net, [], 1, *table, seed=0)


def test_only_what_skorch_trains_is_a_net():
    check_net(plain_net())
    check_net(CLRLeNetClassifier())
    for other in (LogisticRegression(), np.zeros(3), "net"):
        with pytest.raises(TypeError, match="skorch net"):
            check_net(other)
