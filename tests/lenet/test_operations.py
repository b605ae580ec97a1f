import functools

import pytest
import torch
from torch.nn import functional as F

from skclr.lenet import LeNet5
from skclr.lenet._operations import pooled_by_phases, pooled_by_product


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def pooled_by_plain_modules(images, weight, bias):
    return F.avg_pool2d(torch.tanh(F.conv2d(images, weight, bias)), 2)


@pytest.fixture(params=["phases, 1 channel", "phases, 3 channels", "product"])
def fused(request):
    """A convolution fused with its pooling, and images, weight and bias for it."""
    shape, n_maps, function = {
        "phases, 1 channel": ((2, 1, 10, 12), 3, pooled_by_phases),
        "phases, 3 channels": ((2, 3, 8, 10), 2, pooled_by_phases),
        "product": ((2, 2, 14, 14), 3, pooled_by_product),
    }[request.param]
    arguments = [torch.randn(shape), torch.randn(n_maps, shape[1], 5, 5), torch.randn(n_maps)]
    return function, [argument.double().requires_grad_() for argument in arguments]


def test_convolution_fused_with_its_pooling_passes_gradcheck(fused):
    function, arguments = fused
    assert torch.autograd.gradcheck(function, arguments, fast_mode=True)


def test_convolution_fused_with_its_pooling_can_be_differentiated_twice(fused):
    function, arguments = fused
    assert torch.autograd.gradgradcheck(function, arguments, fast_mode=True)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolution_fused_with_its_pooling_is_that_of_the_plain_modules(fused, memory_format):
    function, (images, weight, bias) = fused
    images, weight = (
        part.detach().to(memory_format=memory_format).requires_grad_() for part in (images, weight)
    )
    arguments = images, weight, bias
    before = [part.detach().clone() for part in arguments]

    ours, theirs = function(*arguments), pooled_by_plain_modules(*arguments)

    upstream = torch.randn_like(theirs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)
    torch.testing.assert_close(
        torch.autograd.grad(ours, arguments, upstream),
        torch.autograd.grad(theirs, arguments, upstream),
        rtol=0,
        atol=1e-12,
    )
    assert all(map(torch.equal, arguments, before))


def test_fused_backward_can_run_twice_over_a_kept_graph(fused):
    function, arguments = fused
    loss = function(*arguments).sum()
    first = torch.autograd.grad(loss, arguments, retain_graph=True)
    second = torch.autograd.grad(loss, arguments)
    assert all(map(torch.equal, first, second))


@pytest.fixture(params=[1, 2, 3])
def constant_images(request):
    """Images without a gradient, and weight and bias of a convolution for them."""
    channels = request.param
    images = torch.randn(2, channels, 8, 10, dtype=torch.float64)
    weight = torch.randn(3, channels, 5, 5, dtype=torch.float64, requires_grad=True)
    return images, weight, torch.randn(3, dtype=torch.float64, requires_grad=True)


def test_convolution_of_constant_images_passes_gradcheck_once_and_twice(constant_images):
    images, *parameters = constant_images
    function = functools.partial(pooled_by_phases, images)
    assert torch.autograd.gradcheck(function, parameters, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, parameters, fast_mode=True)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolution_of_constant_images_is_that_of_the_plain_modules(
    constant_images, memory_format
):
    images, weight, bias = constant_images
    images = images.to(memory_format=memory_format)
    weight = weight.detach().to(memory_format=memory_format).requires_grad_()
    before = images.clone()

    ours = pooled_by_phases(images, weight, bias)
    theirs = pooled_by_plain_modules(images, weight, bias)

    upstream = torch.randn_like(theirs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (weight, bias), upstream),
        torch.autograd.grad(theirs, (weight, bias), upstream),
        rtol=0,
        atol=1e-12,
    )
    with torch.no_grad():
        torch.testing.assert_close(pooled_by_phases(images, weight, bias), theirs)
    assert torch.equal(images, before)


@pytest.mark.parametrize("n", [1, 47])
def test_weights_of_constant_images_learn_without_a_convolution_backwards(n):
    net, images = LeNet5(in_channels=3), torch.randn(n, 3, 32, 32)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        net(images).sum().backward()
    calls = [event for event in profile.events() if event.name == "aten::convolution_backward"]
    assert len(calls) == 1  # of C3, whose maps have a gradient


def test_no_images_give_no_logits_and_gradients_of_zero():
    net = LeNet5()
    logits = net(torch.zeros(0, 1, 32, 32))
    assert logits.shape == (0, 10)
    logits.sum().backward()
    assert all(not parameter.grad.any() for parameter in net.parameters())
