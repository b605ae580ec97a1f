import copy
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from skclr.lenet import LeNet5
from skclr.lenet._operations import constants


def plain_lenet5(in_channels=1, n_classes=10):
    """Write LeNet-5 down as textbooks do, with C5 as the convolution of the paper."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, n_classes),
    )


def with_weights_of(net, plain):
    """Give `plain` the weights of `net`, layer by layer."""
    with torch.no_grad():
        for theirs, ours in zip(plain.parameters(), net.parameters(), strict=True):
            theirs.copy_(ours.view_as(theirs))
    return plain.to(next(net.parameters()).dtype)


def gradients(net, images, targets):
    net.zero_grad()
    F.cross_entropy(net(images), targets).backward()
    return [parameter.grad.clone() for parameter in net.parameters()]


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    ("in_channels", "n_classes", "n_parameters"),
    [(1, 10, 61_706), (3, 10, 61_706 + 2 * 6 * 25), (1, 2, 61_706 - 8 * 85)],
)
def test_number_of_parameters_is_that_of_lenet5(in_channels, n_classes, n_parameters):
    net = LeNet5(in_channels, n_classes)
    assert sum(parameter.numel() for parameter in net.parameters()) == n_parameters
    assert net(torch.zeros(4, in_channels, 32, 32)).shape == (4, n_classes)


def test_state_dict_names_the_layers_of_a_plain_lenet5():
    shapes = {name: tuple(value.shape) for name, value in LeNet5().state_dict().items()}
    assert shapes == {
        "conv1.weight": (6, 1, 5, 5),
        "conv1.bias": (6,),
        "conv2.weight": (16, 6, 5, 5),
        "conv2.bias": (16,),
        "fc1.weight": (120, 400),
        "fc1.bias": (120,),
        "fc2.weight": (84, 120),
        "fc2.bias": (84,),
        "fc3.weight": (10, 84),
        "fc3.bias": (10,),
    }


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_logits_and_gradients_are_those_of_the_plain_modules(in_channels, dtype, tolerance):
    net = LeNet5(in_channels).to(dtype)
    plain = with_weights_of(net, plain_lenet5(in_channels))
    images = torch.randn(32, in_channels, 32, 32, dtype=dtype)
    targets = torch.randint(10, (32,))

    torch.testing.assert_close(net(images), plain(images), rtol=0, atol=tolerance)
    for ours, theirs in zip(
        gradients(net, images, targets), gradients(plain, images, targets), strict=True
    ):
        torch.testing.assert_close(ours, theirs.view_as(ours), rtol=0, atol=tolerance)


def test_gradient_with_respect_to_the_images_is_that_of_the_plain_modules():
    net = LeNet5().double()
    plain = with_weights_of(net, plain_lenet5())
    images = torch.randn(4, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(net(images).square().sum(), images)
    (theirs,) = torch.autograd.grad(plain(images).square().sum(), images)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)


def test_hooks_on_a_convolution_see_its_maps_and_change_no_logits():
    net, images = LeNet5(), torch.randn(3, 1, 32, 32)
    expected, seen = net(images), []
    for layer in (net.conv1, net.conv2):
        layer.register_forward_hook(lambda layer, args, output: seen.append(output.shape))

    torch.testing.assert_close(net(images), expected, rtol=0, atol=2e-6)

    assert seen == [(3, 6, 28, 28), (3, 16, 10, 10)]


def test_pruned_weights_stay_zero_in_the_convolution():
    net, images = LeNet5(), torch.randn(3, 1, 32, 32)
    prune.l1_unstructured(net.conv1, "weight", amount=0.5)
    pruned = LeNet5()
    with torch.no_grad():
        for theirs, ours in zip(pruned.children(), net.children(), strict=True):
            for name in ("weight", "bias") if hasattr(ours, "weight") else ():
                getattr(theirs, name).copy_(getattr(ours, name))
    assert (pruned.conv1.weight == 0).float().mean() == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(net(images), pruned(images), rtol=0, atol=2e-6)


@pytest.mark.parametrize("parameters", [{"kernel_size": 5, "bias": False},
                                        {"kernel_size": 3, "dilation": 2},
                                        {"kernel_size": 5, "padding": "valid"}])  # fmt: skip
def test_replaced_convolutions_are_used_as_they_are(parameters):
    net, images = LeNet5(), torch.randn(3, 1, 32, 32)
    net.conv1 = nn.Conv2d(1, 6, **parameters)
    maps = F.avg_pool2d(torch.tanh(net.conv1(images)), 2)
    maps = F.avg_pool2d(torch.tanh(net.conv2(maps)), 2)
    features = torch.tanh(net.fc2(torch.tanh(net.fc1(maps.flatten(1)))))
    torch.testing.assert_close(net(images), net.fc3(features), rtol=0, atol=2e-6)


def test_a_net_that_first_predicted_in_inference_mode_can_be_trained():
    constants.cache_clear()
    net, images = LeNet5(), torch.randn(3, 1, 32, 32)
    with torch.inference_mode():
        net(images)
    net(images).sum().backward()
    assert net.conv1.weight.grad.abs().sum() > 0


def test_the_default_device_of_torch_is_of_no_account():
    constants.cache_clear()
    net, images = LeNet5(), torch.randn(3, 1, 32, 32)
    with torch.device("meta"):
        assert net(images).device.type == "cpu"


def test_net_can_be_differentiated_twice():
    images = torch.randn(2, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    net = LeNet5().double()
    (gradient,) = torch.autograd.grad(net(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert net.conv1.weight.grad.abs().sum() > 0


def test_channels_last_images_give_the_same_logits():
    net = LeNet5(in_channels=3).double()
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    expected = net(images)
    torch.testing.assert_close(net(images.to(memory_format=torch.channels_last)), expected)
    net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(net(images.to(memory_format=torch.channels_last)), expected)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        (nn.ReLU, torch.relu),
        (lambda: nn.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
        (type("HardTanh", (nn.Tanh,), {"forward": lambda self, x: x.clamp(-1, 1)}), F.hardtanh),
    ],
    ids=["class", "factory", "subclass of Tanh"],
)
def test_activation_is_applied_to_all_layers_but_the_last(activation, function):
    net = LeNet5(activation=activation)
    images = torch.randn(4, 1, 32, 32)
    x = F.avg_pool2d(function(net.conv1(images)), 2)
    x = F.avg_pool2d(function(net.conv2(x)), 2)
    x = function(net.fc2(function(net.fc1(x.flatten(1)))))
    torch.testing.assert_close(net(images), net.fc3(x))


ACTIVATIONS = ["activation", "activation2", "activation3", "activation4"]
OUTPUTS = [(3, 6, 28, 28), (3, 16, 10, 10), (3, 120), (3, 84)]


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, lambda: nn.LeakyReLU(0.3), nn.Tanh()])
def test_each_layer_has_an_activation_of_its_own(activation):
    net = LeNet5(activation=activation)
    own = [getattr(net, name) for name in ACTIVATIONS]
    assert len({id(layer) for layer in own}) == 4
    assert len({repr(layer) for layer in own}) == 1
    assert net.state_dict().keys() == LeNet5().state_dict().keys()


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_hooks_on_an_activation_see_every_call_of_it_and_change_no_logits(activation):
    net, images = LeNet5(activation=activation), torch.randn(3, 1, 32, 32)
    expected, seen = net(images), []
    for name in ACTIVATIONS:
        layer = getattr(net, name)
        layer.register_forward_pre_hook(lambda layer, args, name=name: seen.append(name))
        layer.register_forward_hook(lambda layer, args, output: seen.append(tuple(output.shape)))

    torch.testing.assert_close(net(images), expected, rtol=0, atol=2e-6)

    assert seen == [part for pair in zip(ACTIVATIONS, OUTPUTS, strict=True) for part in pair]


@pytest.mark.parametrize("kind", ["full_backward_hook", "full_backward_pre_hook"])
@pytest.mark.parametrize("place", range(4))
def test_hooks_on_the_gradient_of_an_activation_are_called(kind, place):
    net, seen = LeNet5(), []
    layer = getattr(net, ACTIVATIONS[place])
    getattr(layer, f"register_{kind}")(
        lambda layer, *gradients: seen.append(tuple(gradients[-1][0].shape))
    )
    net(torch.randn(3, 1, 32, 32)).sum().backward()
    assert seen == [OUTPUTS[place]]


def test_hooks_on_all_modules_see_convolutions_and_activations():
    net, seen = LeNet5(), []
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, args, output: seen.append(type(module).__name__)
    )
    try:
        net(torch.randn(3, 1, 32, 32))
    finally:
        hook.remove()
    assert seen == ["Conv2d", "Tanh"] * 2 + ["Linear", "Tanh"] * 2 + ["Linear", "LeNet5"]


def test_an_activation_with_weights_serves_all_layers():
    torch.manual_seed(0)
    net = LeNet5(activation=nn.PReLU)
    assert next(iter(net.state_dict())) == "activation.weight"
    assert len(net.state_dict()) == 11
    with torch.no_grad():
        net.activation.weight.fill_(0.3)
    same = LeNet5(activation=lambda: nn.LeakyReLU(0.3))
    same.load_state_dict({k: v for k, v in net.state_dict().items() if k != "activation.weight"})
    images = torch.randn(3, 1, 32, 32)
    torch.testing.assert_close(copy.deepcopy(net)(images), same(images))


def test_an_activation_assigned_later_is_used_in_all_layers():
    net, images = LeNet5(), torch.randn(3, 1, 32, 32)
    expected = LeNet5(activation=nn.ReLU)
    expected.load_state_dict(net.state_dict())
    net.activation = nn.ReLU()
    assert torch.equal(net(images), expected(images))
    net.activation = nn.PReLU(init=0.0)
    torch.testing.assert_close(net(images), expected(images))


def test_an_activation_given_as_a_module_stays_as_it_is():
    given = nn.Tanh()
    net = LeNet5(activation=given)
    net.activation.register_forward_hook(lambda *args: None)
    assert not given._forward_hooks


def test_a_pickle_with_one_activation_for_all_layers_gives_each_its_own():
    net, images = LeNet5(), torch.randn(3, 1, 32, 32)
    old = copy.deepcopy(net)
    for name in ACTIVATIONS[1:]:
        del old._modules[name]
    again = pickle.loads(pickle.dumps(old))
    assert torch.equal(again(images), net(images))
    assert len({id(getattr(again, name)) for name in ACTIVATIONS}) == 4


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("n_traced", [1, 5])
def test_a_traced_network_takes_any_number_of_images(activation, n_traced):
    net = LeNet5(in_channels=3, activation=activation)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(net, torch.randn(n_traced, 3, 32, 32))
    for n in (0, 1, 2, 9):
        images = torch.randn(n, 3, 32, 32)
        torch.testing.assert_close(traced(images), net(images), rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_exported_network_takes_any_number_of_images(dtype):
    net = LeNet5().to(dtype)
    sizes = ({0: torch.export.Dim("n", max=1000)},)
    traced = torch.randn(5, 1, 32, 32, dtype=dtype)
    exported = torch.export.export(net, (traced,), dynamic_shapes=sizes).module()
    for n in (2, 9):
        images = torch.randn(n, 1, 32, 32, dtype=dtype)
        torch.testing.assert_close(exported(images), net(images), rtol=0, atol=2e-6)


@pytest.mark.filterwarnings("ignore")
def test_the_older_exporter_to_onnx_leaves_the_number_of_images_open(tmp_path):
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    net, path, names = LeNet5().eval(), tmp_path / "lenet5.onnx", ["images", "logits"]
    torch.onnx.export(
        net, (torch.randn(5, 1, 32, 32),), path, dynamo=False, input_names=names[:1],
        output_names=names[1:], dynamic_axes={name: {0: "n"} for name in names},
    )  # fmt: skip
    images = torch.randn(9, 1, 32, 32)
    (logits,) = ReferenceEvaluator(str(path)).run(None, {"images": images.numpy()})
    np.testing.assert_allclose(logits, net(images).detach().numpy(), atol=2e-6)


def test_a_shape_that_does_not_fit_is_refused_when_it_is_traced():
    with pytest.raises(ValueError, match=r"^LeNet5 takes images of shape \(n, 1, 32, 32\), got"):
        torch.jit.trace(LeNet5(), torch.zeros(4, 1, 33, 33))


def test_weights_begin_glorot_uniform_with_zero_biases():
    net = LeNet5()
    fans = {
        "conv1": (1 * 25, 6 * 25),
        "conv2": (6 * 25, 16 * 25),
        "fc1": (400, 120),
        "fc2": (120, 84),
        "fc3": (84, 10),
    }
    for name, (fan_in, fan_out) in fans.items():
        layer = getattr(net, name)
        limit = math.sqrt(6 / (fan_in + fan_out))
        share = layer.weight.detach().flatten() / limit
        assert share.abs().max() <= 1
        assert share.abs().max() > 0.95
        # The standard deviation of a uniform is limit / sqrt(3).
        assert share.std() == pytest.approx(1 / math.sqrt(3), rel=0.1)
        assert torch.count_nonzero(layer.bias) == 0


def test_reset_parameters_draws_again_from_the_global_generator():
    torch.manual_seed(5)
    net = LeNet5()
    first = copy.deepcopy(net.state_dict())
    net.reset_parameters()
    assert not torch.equal(net.conv1.weight, first["conv1.weight"])
    torch.manual_seed(5)
    again = LeNet5().state_dict()
    assert all(torch.equal(again[name], first[name]) for name in first)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_give_the_same_logits_and_gradients(copied):
    net = LeNet5()
    images, targets = torch.randn(4, 1, 32, 32), torch.randint(10, (4,))
    expected = gradients(net, images, targets)
    twin = copied(net)
    assert torch.equal(twin(images), net(images))
    for ours, theirs in zip(gradients(twin, images, targets), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_inference_mode_gives_the_same_logits():
    net, images = LeNet5(), torch.randn(4, 1, 32, 32)
    expected = net(images).detach()
    with torch.inference_mode():
        assert torch.equal(net(images), expected)


def test_no_image_gives_no_logit():
    assert LeNet5()(torch.zeros(0, 1, 32, 32)).shape == (0, 10)


def test_meta_device_infers_the_shape():
    assert LeNet5().to("meta")(torch.zeros(2, 1, 32, 32, device="meta")).shape == (2, 10)


def test_compiled_without_a_graph_break_and_equal():
    # This backend needs no C++ compiler; with fullgraph, a break in the graph raises.
    net = LeNet5()
    images, targets = torch.randn(8, 1, 32, 32), torch.randint(10, (8,))
    expected_logits, expected = net(images), gradients(net, images, targets)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), expected_logits, rtol=0, atol=2e-6)
    for ours, theirs in zip(gradients(compiled, images, targets), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6)


def test_compiled_refuses_another_shape_too():
    compiled = torch.compile(LeNet5(), backend="eager")
    with pytest.raises(ValueError, match="takes images of shape"):
        compiled(torch.zeros(8, 1, 28, 28))


@pytest.mark.parametrize(
    "shape",
    [(4, 1, 28, 28), (4, 3, 32, 32), (1, 32, 32), (4, 1024), (4, 32, 32, 1), (4, 1, 32, 31)],
)
def test_images_of_another_shape_are_refused_in_one_sentence(shape):
    with pytest.raises(ValueError) as error:
        LeNet5()(torch.zeros(shape))
    assert str(error.value) == f"LeNet5 takes images of shape (n, 1, 32, 32), got {shape}."


@pytest.mark.parametrize("name", ["in_channels", "n_classes"])
@pytest.mark.parametrize("value", [0, -1, 2.0, None])
def test_numbers_that_are_no_positive_integers_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be an integer greater than 0, got {value}"):
        LeNet5(**{name: value})


@pytest.mark.parametrize("activation", ["tanh", None, 3, lambda: torch.tanh])
def test_activation_that_neither_is_nor_gives_a_module_is_refused(activation):
    with pytest.raises(ValueError, match=r"^activation must be a class of torch module"):
        LeNet5(activation=activation)
