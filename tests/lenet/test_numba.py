import copy
import gc
import threading

import numba
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from skclr.lenet import LeNet5, _compiled, _kernels
from skclr.lenet._vectors import by_vectors


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def pair(in_channels=1):
    """Return a network that numba computes, and the same one of plain modules in float64."""
    net = LeNet5(in_channels, engine="numba")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    plain = nn.Sequential(
        copy.deepcopy(net.conv1), nn.Tanh(), nn.AvgPool2d(2),
        copy.deepcopy(net.conv2), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        copy.deepcopy(net.fc1), nn.Tanh(), copy.deepcopy(net.fc2), nn.Tanh(),
        copy.deepcopy(net.fc3),
    )  # fmt: skip
    return net, plain.double()


def gradients(net, images, targets):
    loss = F.cross_entropy(net(images), targets)
    return torch.autograd.grad(loss, list(net.parameters()))


@pytest.mark.parametrize("in_channels", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 5, 15, 16, 17, 40, 256, 300])
def test_logits_and_gradients_are_those_of_the_plain_modules(in_channels, n, calls_of_numba):
    net, plain = pair(in_channels)
    images, targets = torch.randn(n, in_channels, 32, 32), torch.randint(10, (n,))

    ours, theirs = net(images), plain(images.double())
    torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=5e-6)
    for one, other in zip(
        gradients(net, images, targets),
        gradients(plain, images.double(), targets),
        strict=True,
    ):
        scale = float(other.abs().max())
        torch.testing.assert_close(one.double(), other, rtol=0, atol=2e-5 * scale)
    with torch.no_grad():
        assert_array_equal(net(images).numpy(), ours.detach().numpy())
    assert calls_of_numba == [n, n, n]


def test_each_sample_has_the_logits_that_it_has_alone():
    net, _ = pair()
    images = torch.randn(45, 1, 32, 32)
    with torch.no_grad():
        together, alone = net(images), [net(one[None]) for one in images]
    assert_array_equal(together.numpy(), torch.cat(alone).numpy())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("part", ["strided images", "expanded images", "strided weights"])
def test_memory_may_be_of_any_layout(memory_format, part):
    net, plain = pair(3)
    images = torch.randn(20, 3, 32, 32).to(memory_format=memory_format)
    if part == "strided images":
        images = torch.randn(20, 3, 32, 64)[..., ::2]
    elif part == "expanded images":
        images = images[:1].expand(20, -1, -1, -1)
    else:
        net = net.to(memory_format=torch.channels_last)
    targets = torch.randint(10, (20,))
    for one, other in zip(
        gradients(net, images, targets), gradients(plain, images.double(), targets), strict=True
    ):
        torch.testing.assert_close(
            one.double(), other, rtol=0, atol=2e-5 * float(other.abs().max())
        )


def test_they_are_compiled_once_whatever_the_batch_is_like():
    for in_channels, n in [(1, 1), (1, 16), (3, 33), (1, 0)]:
        net, _ = pair(in_channels)
        net(torch.randn(n, in_channels, 32, 32)).sum().backward()
    assert len(_kernels.work.signatures) == 1


def test_large_activations_saturate_as_tanh_does():
    net, plain = pair()
    images = 10 * torch.randn(20, 1, 32, 32)
    with torch.no_grad():
        for layer in (net.conv1, net.conv2, plain[0], plain[3]):
            layer.weight.mul_(50.0)
        ours, theirs = net(images), plain(images.double())
    assert ours.isfinite().all()
    # a sum that is near nothing among large ones may be on either side in float32
    assert (ours - theirs).abs().median() < 1e-5


@pytest.mark.parametrize("n_classes", [1, 2, 3, 17, 100])
def test_there_may_be_any_number_of_classes(n_classes, calls_of_numba):
    net, plain = pair()
    net.fc3 = nn.Linear(84, n_classes)
    plain[-1] = copy.deepcopy(net.fc3).double()
    images, targets = torch.randn(37, 1, 32, 32), torch.randint(n_classes, (37,))
    same_as_plain(net, plain, images)
    for one, other in zip(
        gradients(net, images, targets), gradients(plain, images.double(), targets), strict=True
    ):
        atol = 2e-5 * float(other.abs().max()) + 1e-12
        torch.testing.assert_close(one.double(), other, rtol=0, atol=atol)
    assert calls_of_numba


@pytest.mark.parametrize("change", [
    "a hook on fc1", "a hook on activation3", "another layer", "no bias", "another width",
    "more layers", "another activation",
])  # fmt: skip
def test_linear_layers_that_are_not_the_usual_ones_are_used_as_they_are(change, calls_of_numba):
    net, plain = pair()
    seen = []
    if change.startswith("a hook on "):
        layer = getattr(net, change.removeprefix("a hook on "))
        layer.register_forward_hook(lambda layer, args, output: seen.append(output.shape))
    elif change == "another layer":
        net.fc2, plain[9] = nn.Identity(), nn.Identity()
        net.fc3 = nn.Linear(120, 10)
    elif change == "no bias":
        net.fc1 = nn.Linear(400, 120, bias=False)
    elif change == "another width":
        net.fc1, net.fc2 = nn.Linear(400, 50), nn.Linear(50, 84)
    elif change == "more layers":
        net.fc3 = nn.Sequential(nn.Linear(84, 30), nn.Linear(30, 10))
    else:
        net.activation4, plain[10] = nn.ReLU(), nn.ReLU()
    for place, layer in [(7, net.fc1), (9, net.fc2), (11, net.fc3)]:
        plain[place] = copy.deepcopy(layer).double()
        plain[place]._forward_hooks.clear()
    same_as_plain(net, plain, torch.randn(3, 1, 32, 32))
    assert not calls_of_numba
    assert len(seen) == change.startswith("a hook on ")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["weight", "bias"])
@pytest.mark.parametrize(("layer", "place"), [("conv1", 0), ("conv2", 3), ("fc1", 7), ("fc3", 11)])
def test_what_is_not_finite_is_seen_where_the_plain_modules_see_it(value, layer, place, part):
    net, plain = pair()
    images, targets = torch.randn(20, 1, 32, 32), torch.randint(10, (20,))
    with torch.no_grad():
        for module in (getattr(net, layer), plain[place]):
            getattr(module, part).view(-1)[0] = value
    ours, theirs = net(images), plain(images.double())
    assert_array_equal(torch.isnan(ours).numpy(), torch.isnan(theirs).numpy())
    if np.isnan(value):
        assert all(part.isnan().any() for part in gradients(net, images, targets))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_not_finite_touches_its_sample_alone(value):
    net, plain = pair()
    images = torch.randn(20, 1, 32, 32)
    clean = net(images).detach()
    images[7, 0, 3, 4] = value
    ours, theirs = net(images), plain(images.double())
    assert_array_equal(torch.isnan(ours).numpy(), torch.isnan(theirs).numpy())
    others = torch.arange(20) != 7
    assert_array_equal(ours[others].detach().numpy(), clean[others].numpy())


def test_tanh_is_that_of_numpy():
    x = np.r_[np.linspace(-12, 12, 100_001), np.geomspace(1e-30, 1, 1000), np.inf, -np.inf, np.nan]
    row = np.resize(x.astype(np.float32), (len(x) + 15) // 16 * 16)
    expected = np.tanh(row.astype(np.float64))

    def write(v, numbers, n):
        with v.lanes(), v.loop(0, n) as place:
            v.store(v.tanh(v.load(numbers, (place, 1))), numbers, (place, 1))

    by_tanh = by_vectors(write)
    numba.njit(lambda numbers: by_tanh((numbers, len(numbers) // 16)))(row)
    assert_allclose(row, expected, rtol=4e-7, atol=0)
    assert np.nanmax(np.abs(row)) <= 1


def same_as_plain(net, plain, images):
    torch.testing.assert_close(net(images).double(), plain(images.double()), rtol=0, atol=5e-6)


def test_hooks_see_the_maps():
    net, plain = pair()
    seen = []
    for layer in (net.conv1, net.activation, net.conv2):
        layer.register_forward_hook(lambda layer, args, output: seen.append(output.shape))
    same_as_plain(net, plain, torch.randn(3, 1, 32, 32))
    assert seen == [(3, 6, 28, 28), (3, 6, 28, 28), (3, 16, 10, 10)]


def test_pruned_weights_stay_zero():
    net, plain = pair()
    prune.l1_unstructured(net.conv1, "weight", amount=0.5)
    with torch.no_grad():
        plain[0].weight.mul_(net.conv1.weight_mask)
    same_as_plain(net, plain, torch.randn(3, 1, 32, 32))


def test_an_activation_that_is_set_later_is_used(calls_of_numba):
    net, plain = pair()
    net.activation = nn.ReLU()
    for place in (1, 4, 8, 10):
        plain[place] = nn.ReLU()
    same_as_plain(net, plain, torch.randn(3, 1, 32, 32))
    assert not calls_of_numba


def test_convolutions_with_other_numbers_of_maps_are_used_as_they_are(calls_of_numba):
    net, plain = pair()
    plain[0], plain[3] = nn.Conv2d(1, 8, 5).double(), nn.Conv2d(8, 16, 5).double()
    net.conv1, net.conv2 = copy.deepcopy(plain[0]).float(), copy.deepcopy(plain[3]).float()
    same_as_plain(net, plain, torch.randn(3, 1, 32, 32))
    assert not calls_of_numba


def test_gradients_of_the_images_are_those_of_the_plain_modules(calls_of_numba):
    net, plain = pair()
    images = torch.randn(4, 1, 32, 32, requires_grad=True)
    (ours,) = torch.autograd.grad(net(images).square().sum(), images)
    (theirs,) = torch.autograd.grad(plain(images.double()).square().sum(), images)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert not calls_of_numba


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc1", "fc2", "fc3"])
def test_a_bias_of_another_size_gets_the_error_of_torch(layer, calls_of_numba):
    net, _ = pair()
    getattr(net, layer).bias = nn.Parameter(torch.zeros(3))
    with pytest.raises(RuntimeError, match=r"shape|size|expand"):
        net(torch.randn(4, 1, 32, 32))
    assert not calls_of_numba


def test_float64_stays_float64(calls_of_numba):
    net, plain = pair()
    images = torch.randn(4, 1, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(net.double()(images), plain(images), rtol=0, atol=1e-13)
    assert not calls_of_numba


def test_autocast_and_functions_of_torch_get_their_way(calls_of_numba):
    net, plain = pair()
    images = torch.randn(4, 1, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(images).dtype == torch.bfloat16
    parameters = dict(net.named_parameters())

    def loss(parameters, image):
        return torch.func.functional_call(net, parameters, (image[None],)).square().sum()

    ours = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, images)
    for place, image in enumerate(images):
        theirs = torch.autograd.grad(
            plain(image[None].double()).square().sum(), list(plain.parameters())
        )
        for one, other in zip(ours.values(), theirs, strict=True):
            torch.testing.assert_close(one[place].double(), other, rtol=1e-3, atol=1e-3)
    assert not calls_of_numba


def test_the_default_device_of_torch_is_of_no_account():
    net, plain = pair()
    images, targets = torch.randn(3, 1, 32, 32), torch.tensor([0, 1, 2])
    _compiled._spare.clear()
    with torch.device("meta"):
        logits = net(images)
        logits.sum().backward()
    same_as_plain(net, plain, images)
    assert net.conv1.weight.grad.abs().sum() > 0
    assert all(part.isfinite().all() for part in gradients(net, images, targets))


def test_a_net_that_first_predicted_in_inference_mode_can_be_trained():
    net, plain = pair()
    images = torch.randn(3, 1, 32, 32)
    _compiled._spare.clear()
    with torch.inference_mode():
        net(images)
    same_as_plain(net, plain, images)
    net(images).sum().backward()
    assert net.conv1.weight.grad.abs().sum() > 0


def test_no_images_have_no_logits_and_gradients_of_nothing():
    net, _ = pair()
    logits = net(torch.empty(0, 1, 32, 32))
    assert logits.shape == (0, 10)
    logits.sum().backward()
    assert net.conv2.weight.grad.abs().sum() == 0


def test_graphs_that_live_at_the_same_time_keep_what_is_theirs():
    net, _ = pair()
    batches = [torch.randn(n, 1, 32, 32) for n in (20, 40, 20)]
    parameters = list(net.parameters())
    expected = [torch.autograd.grad(net(batch).square().sum(), parameters) for batch in batches]
    losses = [net(batch).square().sum() for batch in batches]
    for loss, theirs in zip(losses, expected, strict=True):
        for _ in range(2):
            ours = torch.autograd.grad(loss, parameters, retain_graph=True)
            assert all(torch.equal(*both) for both in zip(ours, theirs, strict=True))


def test_threads_that_go_through_one_graph_get_its_gradients():
    net, _ = pair()
    parameters, outcomes = list(net.parameters()), []
    loss = net(torch.randn(60, 1, 32, 32)).square().sum()
    expected = torch.autograd.grad(loss, parameters, retain_graph=True)

    def work():
        for _ in range(60):
            ours = torch.autograd.grad(loss, parameters, retain_graph=True)
            outcomes.append(all(torch.equal(*both) for both in zip(ours, expected, strict=True)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 180


def test_threads_that_train_side_by_side_have_the_bits_of_one():
    net, _ = pair()
    batches = [torch.randn(40, 1, 32, 32) for _ in range(8)]
    parameters = list(net.parameters())

    def compute(batch):
        return torch.autograd.grad(net(batch).square().sum(), parameters)

    expected, outcomes = [compute(batch) for batch in batches], [None] * 8

    def work(place):
        for _ in range(5):
            outcomes[place] = compute(batches[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, theirs in zip(outcomes, expected, strict=True):
        assert all(torch.equal(*both) for both in zip(ours, theirs, strict=True))


def test_memory_is_used_again_and_that_of_large_batches_is_given_back():
    net, _ = pair()
    gc.collect()  # what earlier tests have left in cycles
    _compiled._spare.clear()
    for n in (40, 20, 1500, 40):
        net(torch.randn(n, 1, 32, 32)).sum().backward()
    gc.collect()
    kept = list(_compiled._spare)
    size = _kernels.size_of_memory(_kernels.FOR_GRADIENTS, 40, 1, 10)
    assert [len(memory) for memory in kept] == [size]  # not that of 1500
    net(torch.randn(40, 1, 32, 32)).sum().backward()
    assert _compiled._spare[0] is kept[0]


def test_memory_is_free_after_the_backward_pass_whoever_keeps_the_answer():
    net, _ = pair()
    gc.collect()
    _compiled._spare.clear()
    kept = []
    for _ in range(5):
        kept.append(net(torch.randn(20, 1, 32, 32)))
        kept[-1].sum().backward()
    assert len(_compiled._spare) == 1
    with pytest.raises(RuntimeError, match="second time"):
        kept[0].sum().backward()


def test_a_network_that_learns_nothing_keeps_nothing():
    net, _ = pair()
    net.requires_grad_(False)
    gc.collect()
    _compiled._spare.clear()
    logits = net(torch.randn(20, 1, 32, 32))
    assert [len(memory) for memory in _compiled._spare] == [
        _kernels.size_of_memory(_kernels.FOR_ANSWERS, 20, 1, 10)
    ]
    assert not logits.requires_grad


@pytest.mark.parametrize("frozen", [
    ["conv1"], ["conv1", "conv2"], ["fc1"], ["fc1", "fc2", "fc3"], ["conv2", "fc3"],
])  # fmt: skip
def test_what_is_frozen_gets_no_gradient_and_the_rest_gets_its_own(frozen):
    net, _ = pair()
    images = torch.randn(20, 1, 32, 32)
    net(images).square().sum().backward()
    expected = {name: weights.grad for name, weights in net.named_parameters()}
    net.zero_grad()
    for layer in frozen:
        getattr(net, layer).requires_grad_(False)
    net(images).square().sum().backward()
    for name, weights in net.named_parameters():
        if name.split(".")[0] in frozen:
            assert weights.grad is None
        else:
            assert torch.equal(weights.grad, expected[name])


def test_forward_mode_and_what_watches_operations_get_those_of_torch(calls_of_numba):
    net, plain = pair()
    images, direction = torch.randn(2, 3, 1, 32, 32)[:, :, :]
    with torch.no_grad(), forward_ad.dual_level():
        ours = forward_ad.unpack_dual(net(forward_ad.make_dual(images, direction))).tangent
    (theirs,) = torch.autograd.functional.jvp(
        lambda given: plain(given), (images.double(),), (direction.double(),)
    )[1:]
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-4)
    with FlopCounterMode(display=False) as counter:
        net(images)
    assert counter.get_total_flops() > 3 * 2 * 240_000
    assert not calls_of_numba


def test_weights_that_changed_before_the_backward_pass_are_noticed():
    net, _ = pair()
    loss = net(torch.randn(3, 1, 32, 32)).sum()
    with torch.no_grad():
        net.conv2.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradients_of_gradients_of_the_weights_are_refused():
    net, _ = pair()
    (gradient,) = torch.autograd.grad(
        net(torch.randn(3, 1, 32, 32)).square().sum(), net.conv1.weight, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
