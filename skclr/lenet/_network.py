"""LeNet-5 as a torch module, with the time-consuming part of it made fast on the CPU.

References
----------
.. [1] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to Document
   Recognition", Proceedings of the IEEE 86(11), 1998, section II.B.
.. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
   networks", AISTATS 2010, equation 16.
"""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit._trace import is_tracing  # torch.jit.is_tracing, where a type checker finds it
from torch.nn import functional as F

from skclr.lenet._compiled import Outcome, cross_entropy_of, kernels, logits_of, takes
from skclr.lenet._operations import pooled_by_phases, pooled_by_product

IMAGE_SIZE = 32
_FURTHER_ACTIVATIONS = ("activation2", "activation3", "activation4")


class LeNet5(nn.Module):
    r"""LeNet-5: two convolutions with average pooling, then three linear layers.

    ========  ==============================  =============  =========
    key       layer                           output         paper
    ========  ==============================  =============  =========
    conv1     6 kernels of 5x5, activation    6 x 28 x 28    C1
    .         average of 2x2                  6 x 14 x 14    S2
    conv2     16 kernels of 5x5, activation   16 x 10 x 10   C3
    .         average of 2x2                  16 x 5 x 5     S4
    fc1       linear, activation              120            C5
    fc2       linear, activation              84             F6
    fc3       linear                          `n_classes`    output
    ========  ==============================  =============  =========

    The first column is the prefix of the layer's keys in the state dict, each with a ``.weight``
    and a ``.bias``: those of a plain LeNet-5. With one channel and ten classes it has 61,706
    parameters.

    Parameters
    ----------
    in_channels : int, default=1
        Channels of the images: 1 for gray, 3 for colour.
    n_classes : int, default=10
        Number of outputs.
    activation : callable or torch.nn.Module, default=torch.nn.Tanh
        A class of module, any callable without arguments that returns a module, or a module. Each
        of the four layers has a copy of its own, ``activation``, ``activation2``, ``activation3``
        and ``activation4``; one that has weights, such as ``torch.nn.PReLU``, serves all four
        as ``activation``. What is assigned to ``activation`` later is used in all of them, too.
    engine : {"torch", "numba"}, default="torch"
        What computes the network on the CPU: torch's own operations, or functions that numba
        compiles for the processor at hand, which need the extra ``skclr[numba]`` and
        :class:`torch.nn.Tanh`. Both compute the same up to rounding.

    Raises
    ------
    ValueError
        If `in_channels` or `n_classes` is not a positive integer, or if `activation` is not and
        does not return a module; if `engine` is neither of its values, or ``"numba"`` with another
        activation; from ``forward``, if the images are not ``(n, in_channels, 32, 32)``.
    ImportError
        If `engine` is ``"numba"`` and numba is not installed, or told by ``NUMBA_DISABLE_JIT`` to
        compile nothing.

    Notes
    -----
    The network of [1]_ as it is commonly taught: C3 sees all maps of S2, the pooling has no weights
    of its own, the activation is not rescaled and the output is linear. C5, a convolution whose
    kernel covers its whole input, is computed as the linear layer that it is. The weights begin
    Glorot uniform [2]_ and the biases at zero, which are also the defaults of Keras.

    With :class:`torch.nn.Tanh` on a CPU, a convolution and its pooling are computed together, in
    plain differentiable operations, the same to float precision and faster. Another activation,
    another device, ``torch.compile``, which fuses by itself, ``torch.jit.trace`` and the exporters
    to ONNX, and convolutions or activations that were replaced, parametrized or given hooks take
    the plain modules. So every hook is called, and those who look into networks by hooks (captum,
    shap) find each activation once.

    With ``engine="numba"`` all layers work on 16 samples at a time, each number beside that of the
    next sample. The first call compiles them, which takes some seconds, and keeps the outcome in
    numba's cache. They know float32 and gradients of the weights, which cannot be differentiated
    again, nor taken for several outputs at once: where gradients of the images are wanted, under
    autocast, in float64, with forward-mode differentiation and within ``torch.func``, and where any
    layer was replaced by one of another kind or shape (but for the number of classes), parametrized
    or given hooks, the operations of torch serve here, too. The attribute ``engine`` can be set
    later; weights fit either. Bits are those of one engine: with the other, a training with the
    same seed ends with other ones.

    A classifier that trains by plain cross-entropy asks this engine for loss and gradients at once,
    and calls neither the network nor the loss; where hooks on either, or on a weight, would notice,
    it calls them.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to
       Document Recognition", Proceedings of the IEEE 86(11), 1998, section II.B.
    .. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward
       neural networks", AISTATS 2010, equation 16.

    Examples
    --------
    >>> import torch
    >>> from skclr.lenet import LeNet5
    >>> net = LeNet5()
    >>> net(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
    >>> sum(parameter.numel() for parameter in net.parameters())
    61706

    The same weights, computed by numba:

    >>> images = torch.rand(2, 1, 32, 32)
    >>> by_torch = net(images)
    >>> net.engine = "numba"
    >>> torch.allclose(net(images), by_torch, atol=1e-5)
    True
    """

    engine: str = "torch"  # pickles of versions without it have none of their own

    def __init__(
        self,
        in_channels: int = 1,
        n_classes: int = 10,
        activation: Callable[[], nn.Module] = nn.Tanh,
        engine: str = "torch",
    ) -> None:
        super().__init__()
        _check_positive_integer("in_channels", in_channels)
        _check_positive_integer("n_classes", n_classes)
        self.in_channels = in_channels
        self.n_classes = n_classes
        self.activation = _make_activation(activation)  # and its copies: see __setattr__
        self.engine = engine
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, n_classes)
        self.reset_parameters()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "engine":
            check_engine(value, self.activation)
        super().__setattr__(name, value)
        if name == "activation":
            shared = not isinstance(value, nn.Module) or bool(value.state_dict())
            for place in _FURTHER_ACTIVATIONS:
                self.register_module(place, None if shared else copy.deepcopy(value))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if not self._modules.keys() >= set(_FURTHER_ACTIVATIONS):  # a pickle of version 0.1.0
            self.activation = self.activation

    def extra_repr(self) -> str:
        """Return what its layers do not tell: by it, checkpoints know one engine from the other."""
        return "" if self.engine == "torch" else f"engine={self.engine!r}"

    def reset_parameters(self) -> None:
        r"""Draw new weights, Glorot uniform, and set the biases to zero.

        A weight of a layer is uniform in :math:`\pm\sqrt{6 / (n_\text{in} + n_\text{out})}`, with
        the numbers of connections into and out of one of the layer's units. The draw is from
        torch's global generator.
        """
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2, self.fc3):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits.

        Parameters
        ----------
        images : Tensor of shape (n, in_channels, 32, 32)
            In the dtype of the weights.

        Returns
        -------
        Tensor of shape (n, n_classes)
            Logits: their softmax is the probability of each class.

        Raises
        ------
        ValueError
            If `images` has another shape.
        """
        shape = _shape(images)
        if shape[1:] != (self.in_channels, IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"LeNet5 takes images of shape (n, {self.in_channels}, {IMAGE_SIZE}, {IMAGE_SIZE}),"
                f" got {tuple(shape)}."
            )
        activation, activation2, activation3, activation4 = activations = self._activations()
        if not self._is_fast(images, activation, activation2):
            maps = F.avg_pool2d(activation(self.conv1(images)), 2)
            maps = F.avg_pool2d(activation2(self.conv2(maps)), 2)
        elif (weights := self._weights_for_numba(images, activations)) is not None:
            return logits_of(images, weights)
        else:
            maps = pooled_by_phases(images, self.conv1.weight, self.conv1.bias)
            maps = pooled_by_product(maps, self.conv2.weight, self.conv2.bias)
        features = activation3(self.fc1(maps.flatten(1)))
        features = activation4(self.fc2(features))
        return self.fc3(features)

    def _activations(self) -> list[nn.Module]:
        """Return the activation of each layer, in order."""
        modules: dict[str, Any] = (
            self._modules
        )  # which is faster than attributes, and this is done for each batch
        first, *further = (modules[place] for place in ("activation", *_FURTHER_ACTIVATIONS))
        return [first, *(first if own is None else own for own in further)]

    def _is_fast(self, images: Tensor, *activations: nn.Module) -> bool:
        return (
            not torch.compiler.is_compiling()
            and not is_tracing()  # what is exported is made of the usual layers
            and images.device.type == "cpu"
            and all(map(_is_plain_tanh, activations))
            and _is_plain(self.conv1)
            and _is_plain(self.conv2)
        )

    def _weights_for_numba(self, images, activations):
        """Return weight and bias of each layer if numba is to compute them all; else None."""
        layers = self.fc1, self.fc2, self.fc3
        if self.engine == "torch" or not (
            all(map(_is_plain_tanh, activations[2:]))
            and all(type(layer) is nn.Linear and not has_hooks(layer) for layer in layers)
        ):
            return None
        parts = [layer._parameters for layer in (self.conv1, self.conv2, *layers)]
        weights = [part.get(name) for part in parts for name in ("weight", "bias")]
        return weights if takes(images, weights) else None


def cross_entropy_at_once(
    net: nn.Module, images: Tensor, targets: Tensor, n_total: int, parameters: Sequence[Tensor]
) -> Outcome | None:
    """Return cross-entropy, logits and gradients, computed by numba for 16 images at a time.

    What is computed of 16 images stays in the cache until their gradients are made of it, which
    torch's way, all images forward and then all of them back, does not allow.

    Parameters
    ----------
    net : torch.nn.Module
    images : Tensor of shape (n, channels, 32, 32)
    targets : Tensor of shape (n,)
    n_total : int
        By which the sum of the losses is divided: the images of the batch, if these are a part.
    parameters : sequence of Tensor
        For which gradients are wanted, in the order of the network's.

    Returns
    -------
    Outcome or None
        None where torch has to compute it, or to tell what is wrong: for another network than a
        plain `LeNet5` of the engine ``"numba"``, images of another shape, targets that are no
        classes, other parameters than all that require gradients, hooks on any of them (but for
        those on the nodes of torch's graph that add gradients up, which nobody can see), where
        gradients are disabled or looked at for anomalies, and what the operations of torch are used
        for by `LeNet5` itself.
    """
    if not (
        type(net) is LeNet5
        and net.engine == "numba"
        and not has_hooks(net)
        and images.shape[1:] == (net.in_channels, IMAGE_SIZE, IMAGE_SIZE)
        and type(targets) is Tensor
        and targets.shape == images.shape[:1]
        and targets.dtype == torch.int64
        and targets.is_cpu
        and torch.is_grad_enabled()
        and not torch.is_anomaly_enabled()
    ):
        return None
    activations = net._activations()
    if not net._is_fast(images, *activations[:2]):
        return None
    weights = net._weights_for_numba(images, activations)
    if weights is None or any(map(_has_hooks_of_tensors, weights)):
        return None
    wanted = [weight for weight in weights if weight.requires_grad]
    if len(wanted) != len(parameters) or not all(map(operator.is_, wanted, parameters)):
        return None
    return cross_entropy_of(images, targets, weights, n_total)


def _has_hooks_of_tensors(weight):
    hooks = weight._backward_hooks, getattr(weight, "_post_accumulate_grad_hooks", None)
    return any(hooks)


def engine_of(net: Any) -> str:
    """Return the engine of a skorch net's LeNet-5; ``"torch"`` with any other network."""
    if isinstance(net.module, LeNet5):  # whose parameters are of no account
        return net.module.engine
    return getattr(net, "module__engine", "torch") if net.module is LeNet5 else "torch"


def _shape(images: Tensor) -> tuple[int, ...]:
    if not is_tracing():
        return images.shape
    with warnings.catch_warnings():  # that numbers become constants: but the first, these are
        warnings.simplefilter("ignore")
        return tuple(map(int, images.shape))


def has_hooks(module: nn.Module) -> bool:
    """Tell whether anything is called beside a module, before or after it, or in its place.

    Parameters
    ----------
    module : torch.nn.Module
        The module itself; those that it holds are of no account.

    Returns
    -------
    bool
        Whether there are hooks on its calls or on their gradients, those of all modules included,
        or a ``forward`` of this module alone, not of its class.
    """
    return bool(
        "forward" in vars(module)
        or module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_pre_hooks
        or module._backward_hooks
        or nn.modules.module._has_any_global_hook()
    )


def _is_plain_tanh(layer: nn.Module) -> bool:
    return type(layer) is nn.Tanh and not has_hooks(layer)


def _is_plain(layer: nn.Module) -> bool:
    """Tell whether a layer is a convolution of 5x5 with a bias, and does no more than that."""
    return (
        type(layer) is nn.Conv2d
        and (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups)
        == ((5, 5), (1, 1), (0, 0), (1, 1), 1)
        and layer.bias is not None
        and not has_hooks(layer)
    )


def _make_activation(activation: Any) -> nn.Module:
    if isinstance(activation, nn.Module):
        return copy.deepcopy(activation)
    module = activation() if callable(activation) else None
    if not isinstance(module, nn.Module):
        raise ValueError(
            "activation must be a class of torch module, a callable without arguments that "
            f"returns a module, or a module, got {activation!r}."
        )
    return module


def check_engine(engine: Any, activation: nn.Module) -> None:
    """Raise an error that tells why an engine cannot compute a network with this activation."""
    if engine not in ("torch", "numba"):
        raise ValueError(f"engine must be 'torch' or 'numba', got {engine!r}.")
    if engine == "torch":
        return
    if type(activation) is not nn.Tanh:
        raise ValueError(
            f"engine='numba' computes tanh, and activation is {activation!r}: leave one of the two "
            "at its default."
        )
    kernels()


def _check_positive_integer(name: str, value: Any) -> None:
    if not (isinstance(value, Integral) and int(value) > 0):
        raise ValueError(f"{name} must be an integer greater than 0, got {value!r}.")
