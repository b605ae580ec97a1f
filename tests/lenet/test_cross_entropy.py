"""Cross-entropy with its gradients, of 16 images at a time: the same as torch's, or left to it."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skclr.lenet import LeNet5, cross_entropy_at_once
from skclr.lenet._compiled import cross_entropy_of


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def batch(n=20, channels=1, classes=10):
    return torch.randn(n, channels, 32, 32), torch.randint(classes, (n,))


def at_once(net, images, targets, n_total=None):
    parameters = [part for part in net.parameters() if part.requires_grad]
    n_total = len(targets) if n_total is None else n_total
    return cross_entropy_at_once(net, images, targets, n_total, parameters)


def exact(net, images, targets, n_total):
    """Return loss, logits and gradients in float64, by the operations of torch."""
    plain = copy.deepcopy(net).double()
    plain.engine = "torch"
    logits = plain(images.double())
    loss = F.cross_entropy(logits, targets, reduction="sum") / n_total
    parameters = [part for part in plain.parameters() if part.requires_grad]
    return loss.detach(), logits.detach(), torch.autograd.grad(loss, parameters)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 48, 64, 113, 256, 300])
@pytest.mark.parametrize(("channels", "classes"), [(1, 10), (3, 2), (2, 17)])
def test_loss_logits_and_gradients_are_those_of_torch(n, channels, classes):
    net = LeNet5(channels, classes, engine="numba")
    images, targets = batch(n, channels, classes)
    for n_total in (n, 3 * n):
        loss, logits, gradients = at_once(net, images, targets, n_total)
        theirs, their_logits, their_gradients = exact(net, images, targets, n_total)
        assert loss.shape == ()
        assert not loss.requires_grad
        assert not logits.requires_grad
        torch.testing.assert_close(loss.double(), theirs, rtol=1e-6, atol=0)
        torch.testing.assert_close(logits.double(), their_logits, rtol=0, atol=5e-6)
        for ours, other in zip(gradients, their_gradients, strict=True):
            scale = float(other.abs().max())
            torch.testing.assert_close(ours.double(), other, rtol=0, atol=1e-5 * scale)


def test_a_single_class_has_no_loss_and_no_gradients():
    net = LeNet5(n_classes=1, engine="numba")
    loss, _, gradients = at_once(net, *batch(classes=1))
    assert loss == 0
    assert not any(gradient.any() for gradient in gradients)


def test_the_logits_are_bits_of_a_plain_call_and_parts_of_a_batch_have_those_of_the_whole():
    net, (images, targets) = LeNet5(engine="numba"), batch(64)
    _, logits, _ = at_once(net, images, targets)
    assert torch.equal(logits, net(images))
    parts = [at_once(net, images[part], targets[part], 64) for part in (slice(32), slice(32, 64))]
    assert torch.equal(torch.cat([part.logits for part in parts]), logits)


def test_far_off_logits_give_the_loss_of_torch_and_nan_stays_nan():
    net, (images, targets) = LeNet5(engine="numba"), batch()
    with torch.no_grad():
        net.fc3.weight.mul_(1e4)
    loss, _, gradients = at_once(net, images, targets)
    theirs, _, expected = exact(net, images, targets, 20)
    torch.testing.assert_close(loss.double(), theirs, rtol=1e-5, atol=0)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    torch.testing.assert_close(gradients[-1].double(), expected[-1], rtol=0, atol=1e-6)
    images[3, 0, 10, 10] = math.nan
    loss, logits, gradients = at_once(net, images, targets)
    assert torch.isnan(loss)
    assert torch.isnan(logits).any(dim=1).tolist() == [place == 3 for place in range(20)]
    assert torch.isnan(gradients[-1]).any()


@pytest.mark.parametrize(
    "frozen", [["conv1"], ["conv1", "conv2"], ["fc1", "fc2"], ["fc3"], ["conv2", "fc2.bias"]]
)
def test_frozen_parameters_get_no_gradient_and_the_others_theirs(frozen):
    net, (images, targets) = LeNet5(engine="numba"), batch(70)
    everything = at_once(net, images, targets).gradients
    named = list(net.named_parameters())
    for name, parameter in named:
        parameter.requires_grad_(not any(name.startswith(prefix) for prefix in frozen))
    wanted = [place for place, (_, part) in enumerate(named) if part.requires_grad]
    ours = at_once(net, images, targets).gradients
    assert len(ours) == len(wanted)
    for gradient, place in zip(ours, wanted, strict=True):
        assert torch.equal(gradient, everything[place])
    net(images).logsumexp(1).sum().backward()  # and so does a backward pass
    assert [part.grad is not None for _, part in named] == [part.requires_grad for _, part in named]


@pytest.mark.parametrize("part", ["images", "weights", "targets", "negated images"])
def test_numbers_may_lie_in_memory_as_they_like(part):
    net, (images, targets) = LeNet5(3, engine="numba"), batch(20, 3)
    expected = at_once(net, images, targets)
    if part == "images":
        images = images.to(memory_format=torch.channels_last)
    elif part == "weights":
        net = net.to(memory_format=torch.channels_last)
    elif part == "targets":
        targets = torch.stack([targets, targets], 1)[:, 0]
    else:
        images = torch._neg_view(-images)
    found = at_once(net, images, targets)
    assert torch.equal(found.loss, expected.loss)
    for ours, theirs in zip(found.gradients, expected.gradients, strict=True):
        assert torch.equal(ours, theirs)


class Own(LeNet5):
    """A network of one's own."""

    def forward(self, images):
        return -super().forward(images)


def hooked(net):
    net.fc2.register_forward_hook(lambda *_: None)


def hooked_as_a_whole(net):
    net.register_forward_hook(lambda *_: None)


def hooked_at_a_weight(net):
    net.conv1.weight.register_hook(lambda gradient: None)


def hooked_after_a_weight(net):
    net.fc3.bias.register_post_accumulate_grad_hook(lambda weight: None)


def replaced(net):
    forward = net.forward
    net.forward = lambda images: 2 * forward(images)


def replaced_in_a_layer(net):
    forward = net.fc1.forward
    net.fc1.forward = lambda features: 2 * forward(features)


def replaced_in_an_activation(net):
    net.activation2.forward = torch.relu


def by_torch(net):
    net.engine = "torch"


def of_another_width(net):
    net.fc1, net.fc2 = nn.Linear(400, 90), nn.Linear(90, 84)


@pytest.mark.parametrize(
    "change", [hooked, hooked_as_a_whole, hooked_at_a_weight, hooked_after_a_weight, replaced,
               replaced_in_a_layer, replaced_in_an_activation, by_torch, of_another_width,
               nn.Module.double, nn.Module.compile],
)  # fmt: skip
def test_a_network_that_is_not_plain_is_left_to_torch(change):
    net = LeNet5(engine="numba")
    change(net)
    dtype = net.conv1.weight.dtype
    images, targets = batch()
    if change is nn.Module.compile:  # which those who call it see to
        assert net._compiled_call_impl is not None
    else:
        assert at_once(net, images.to(dtype), targets) is None


@pytest.mark.parametrize("change", [replaced_in_a_layer, replaced_in_an_activation])
def test_what_replaces_a_part_is_called(change):
    net, (images, _) = LeNet5(engine="numba"), batch()
    change(net)
    logits = net(images)
    net.engine = "torch"
    assert torch.equal(logits, net(images))


def test_gradients_are_those_of_the_weights_that_answered():
    net, (images, targets) = LeNet5(engine="numba"), batch()
    expected = at_once(net, images, targets).gradients
    loss = F.cross_entropy(net(images), targets)
    for parameter in net.parameters():
        parameter.data = torch.zeros_like(parameter)
    loss.backward()
    for parameter, gradient in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    loss = F.cross_entropy(net(images), targets)
    with torch.no_grad():
        net.fc1.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradients_of_outputs_without_numbers_are_zeros():
    net, (images, _) = LeNet5(engine="numba"), batch()
    net(images).backward(torch._efficientzerotensor((20, 10)))
    assert not any(parameter.grad.any() for parameter in net.parameters())


def test_what_is_no_plain_call_is_left_to_torch():
    net, (images, targets) = LeNet5(engine="numba"), batch()
    parameters = list(net.parameters())
    assert at_once(Own(engine="numba"), images, targets) is None
    assert at_once(nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)), images, targets) is None
    assert at_once(net, images[:, :, :28], targets) is None
    assert at_once(net, images, targets[:-1]) is None
    assert at_once(net, images, targets.int()) is None
    assert at_once(net, images, F.one_hot(targets, 10).float()) is None
    assert cross_entropy_at_once(net, images, targets, 20, parameters[1:]) is None
    assert cross_entropy_at_once(net, images, targets, 20, [*parameters[1:], parameters[0]]) is None
    with torch.no_grad():
        assert at_once(net, images, targets) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert at_once(net, images, targets) is None
    with torch.autograd.set_detect_anomaly(True, check_nan=False):
        assert at_once(net, images, targets) is None
    assert at_once(net, images.requires_grad_(), targets) is None


@pytest.mark.parametrize("target", [-100, -1, 10, np.iinfo(np.int64).max, np.iinfo(np.int64).min])
def test_a_target_that_is_no_class_is_left_to_torch(target):
    net, (images, targets) = LeNet5(engine="numba"), batch(64)
    targets[40] = target
    assert at_once(net, images, targets) is None
    targets[40] = 9
    assert at_once(net, images, targets) is not None


def test_memory_is_free_afterwards_and_of_16_images_a_thread():
    from skclr.lenet import _compiled, _kernels

    net, (images, targets) = LeNet5(engine="numba"), batch(256)
    _compiled._spare.clear()
    outcome = cross_entropy_of(images, targets, list(net.parameters()), 256)
    assert len(_compiled._spare) == 1
    size = len(_compiled._spare[0])
    assert size == _kernels.size_of_memory(_kernels.FOR_TRAINING, 256, 1, 10)
    assert size < 0.5 * _kernels.size_of_memory(_kernels.FOR_GRADIENTS, 256, 1, 10)
    del outcome
