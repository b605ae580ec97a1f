"""Trainings that ask the network for loss and gradients at once, and those that may not."""

import numpy as np
import pytest
import torch
from classifiers import bright_rows, by_numba, weights
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback, Freezer
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip
from skclr.lenet import LeNet5
from skclr.lenet import _network as lenet_network


@pytest.fixture(scope="module")
def images():
    return bright_rows()


@pytest.fixture
def at_once(monkeypatch):
    """How many images each call was for that computed loss and gradients at once."""
    seen, compute = [], lenet_network.cross_entropy_of

    def counted(images, targets, weights, n_total):
        seen.append((len(images), n_total))
        return compute(images, targets, weights, n_total)

    monkeypatch.setattr(lenet_network, "cross_entropy_of", counted)
    return seen


class Doubled(CLRLeNetClassifier):
    """A classifier with a loss of its own."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        return 2 * super().get_loss(y_pred, y_true, X=X, training=training)


class Hooked(Callback):
    """Hangs a hook at a part of the network before each epoch."""

    def __init__(self, hang):
        self.hang, self.seen = hang, []

    def on_train_begin(self, net, **kwargs):
        self.hang(net, lambda *arguments: self.seen.append(len(arguments)))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [(80, 80)] * 6),
        ({"batch_size": 16, "max_epochs": 1}, [(16, 16)] * 15),
        ({"batch_size": 60, "augmentation": RandomShiftFlip(shift=0.05)}, [(60, 60)] * 8),
        ({"optimizer": torch.optim.Adam, "max_lr": 0.002, "base_lr": 0.001}, [(80, 80)] * 6),
        ({"callbacks": [Freezer("conv*")]}, [(80, 80)] * 6),
    ],
)
def test_it_ends_as_with_the_operations_of_torch_up_to_rounding(
    images, parameters, expected, at_once
):
    with_numba = by_numba(**parameters).fit(*images)
    assert at_once == expected
    with_torch = by_numba(**parameters, module__engine="torch").fit(*images)
    assert at_once == expected
    assert_allclose(weights(with_numba), weights(with_torch), atol=2e-4)
    for column in ("train_loss", "train_acc", "valid_loss"):
        if column in with_torch.history[-1]:
            assert_allclose(
                with_numba.history[:, column], with_torch.history[:, column], rtol=1e-3, atol=1e-3
            )


def test_the_pieces_of_a_large_batch_have_their_share(at_once):
    y = np.arange(700) % 3
    X = np.random.default_rng(0).integers(255, size=(700, 28, 28), dtype=np.uint8)
    parameters = {"batch_size": 700, "schedule": "constant"}
    with_numba = by_numba(**parameters).fit(X, y)
    assert sorted(at_once[:4]) == [(175, 700)] * 4
    with_torch = by_numba(**parameters, module__engine="torch").fit(X, y)
    assert_allclose(weights(with_numba), weights(with_torch), atol=1e-5)


def after_the_network(net, note):
    net.module_.register_forward_hook(note)


def after_a_layer(net, note):
    net.module_.conv2.register_forward_hook(note)


def at_a_weight(net, note):
    net.module_.conv1.weight.register_hook(lambda gradient: note(gradient))


def after_a_weight(net, note):
    net.module_.fc3.bias.register_post_accumulate_grad_hook(lambda weight: note(weight))


def after_the_loss(net, note):
    net.criterion_.register_forward_hook(note)


@pytest.mark.parametrize(
    "hang", [after_the_network, after_a_layer, at_a_weight, after_a_weight, after_the_loss]
)
def test_hooks_are_called_for_each_batch(images, hang, at_once):
    clf = by_numba(callbacks=[("hooked", Hooked(hang))], max_epochs=1).fit(*images)
    assert len(dict(clf.callbacks_)["hooked"].seen) >= 3
    assert not at_once


@pytest.mark.parametrize(
    "parameters",
    [
        {"criterion__label_smoothing": 0.1},
        {"criterion__weight": torch.tensor([1.0, 2.0, 3.0])},
        {"criterion__ignore_index": 1},
        {"criterion__reduction": "sum", "max_lr": 0.001, "base_lr": 0.0001},
        {"criterion": nn.MultiMarginLoss},
        {"class_weight": {0: 1, 1: 2, 2: 1}},
        {"kind": Doubled, "max_lr": 0.05},
    ],
)
def test_another_loss_is_the_one_that_is_computed(images, parameters, at_once):
    with_numba = by_numba(**parameters).fit(*images)
    assert not at_once
    with_torch = by_numba(**parameters, module__engine="torch").fit(*images)
    assert_allclose(weights(with_numba), weights(with_torch), atol=2e-4)


def smoother(net):
    net.criterion_.label_smoothing = 0.3


def another_criterion(net):
    net.criterion_ = nn.CrossEntropyLoss(label_smoothing=0.3)


def another_get_loss(net):
    get_loss = net.get_loss
    net.get_loss = lambda *given, **named: 3 * get_loss(*given, **named)


def another_forward(net):
    forward = net.criterion_.forward
    net.criterion_.forward = lambda scores, targets: 3 * forward(scores, targets)


class Changing(Callback):
    """Changes the loss once, in the middle of an epoch."""

    def __init__(self, change):
        self.change = change

    def on_batch_begin(self, net, training=False, **kwargs):
        if training and len(net.history) == 1 and len(net.history[-1]["batches"]) == 2:
            self.change(net)


@pytest.mark.parametrize("change", [smoother, another_criterion, another_get_loss, another_forward])
def test_a_loss_that_is_changed_within_an_epoch_counts_from_then_on(images, change, at_once):
    parameters = {"callbacks": [("changing", Changing(change))], "max_lr": 0.05}
    with_numba = by_numba(**parameters).fit(*images)
    assert at_once == [(80, 80)]
    with_torch = by_numba(**parameters, module__engine="torch").fit(*images)
    assert_allclose(weights(with_numba), weights(with_torch), atol=2e-4)
    plain = by_numba(max_lr=0.05).fit(*images)
    assert not np.allclose(weights(with_numba), weights(plain), atol=2e-3)


class Breaking(Callback):
    """Hangs a hook that fails at the network, after a whole epoch."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            net.module_.register_forward_hook(self.fail)

    @staticmethod
    def fail(*arguments):
        raise RuntimeError("of my own")


def test_an_error_in_a_later_epoch_is_not_taken_for_one_of_shapes(images):
    with pytest.raises(RuntimeError, match=r"^of my own$"):
        by_numba(callbacks=[("breaking", Breaking())]).fit(*images)


class Own(LeNet5):
    """A network of one's own, with more than the layers in its answer."""

    def forward(self, images):
        return 2 * super().forward(images)


def test_a_network_of_ones_own_is_called(images, at_once):
    outcomes = []
    for engine in ("numba", "torch"):
        clf = by_numba(module=Own, module__n_classes=3, module__engine=engine)
        outcomes.append(weights(clf.fit(*images)))
    assert not at_once
    assert_allclose(*outcomes, atol=5e-4)


def test_gradients_are_added_to_those_that_are_there(images):
    clf = by_numba(max_epochs=1).fit(*images)
    batch = next(iter(clf.get_iterator(clf.get_dataset(*images), training=True)))
    clf.optimizer_.zero_grad()
    clf.train_step_single(batch)
    once = [parameter.grad.clone() for parameter in clf.module_.parameters()]
    clf.train_step_single(batch)
    for parameter, gradient in zip(clf.module_.parameters(), once, strict=True):
        assert torch.equal(parameter.grad, 2 * gradient)
    there = [parameter.grad for parameter in clf.module_.parameters()]
    clf.optimizer_.zero_grad(set_to_none=False)
    clf.train_step_single(batch)
    for parameter, gradient, before in zip(clf.module_.parameters(), once, there, strict=True):
        assert parameter.grad is before  # as torch does: others may look at the same memory
        assert torch.equal(parameter.grad, gradient)


def test_callbacks_get_losses_and_scores_that_hold_no_graph(images):
    seen = []

    class Looking(Callback):
        def on_batch_end(self, net, batch, training, loss, y_pred, **kwargs):
            seen.append((training, float(loss), y_pred.shape, y_pred.requires_grad))

        def on_grad_computed(self, net, named_parameters, **kwargs):
            seen.append([name for name, part in named_parameters if part.grad is not None])

    clf = by_numba(callbacks=[("looking", Looking())], max_epochs=1).fit(*images)
    names = [name for name, _ in clf.module_.named_parameters()]
    assert seen[::2] == [names] * 3
    assert [(training, shape, graph) for training, _, shape, graph in seen[1::2]] == [
        (True, (80, 3), False)
    ] * 3
    losses = [loss for _, loss, _, _ in seen[1::2]]
    assert_allclose(clf.history[-1, "train_loss"], np.mean(losses), rtol=1e-6)


def test_a_number_of_classes_that_does_not_fit_has_the_error_of_before(images):
    with pytest.raises(ValueError, match="scores of shape"):
        by_numba(module=LeNet5(n_classes=5, engine="numba")).set_params(module__engine="numba").fit(
            *images
        )


class Failing(Callback):
    """Fails once, in the middle of a training."""

    left = 1

    def on_batch_begin(self, net, training=False, **kwargs):
        if training and Failing.left and len(net.history) == 3:
            Failing.left = 0
            raise ArithmeticError("once")


def test_a_training_that_was_interrupted_ends_with_the_same_bits(images, tmp_path):
    parameters = {"max_epochs": 4, "callbacks": [Failing()], "checkpoint": tmp_path / "file"}
    with pytest.raises(ArithmeticError, match="once"):
        by_numba(**parameters).fit(*images)
    went_on = by_numba(**parameters).fit(*images)
    whole = by_numba(**parameters | {"checkpoint": None}).fit(*images)
    assert len(went_on.history) == 4
    assert_array_equal(weights(went_on), weights(whole))
