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
import functools
import itertools
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit._trace import is_tracing  # torch.jit.is_tracing, where a type checker finds it
from torch.nn import functional as F

__all__ = ["LeNet5"]

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

    Raises
    ------
    ValueError
        If `in_channels` or `n_classes` is not a positive integer, or if `activation` is not and
        does not return a module; from ``forward``, if the images are not
        ``(n, in_channels, 32, 32)``.

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
    """

    def __init__(
        self,
        in_channels: int = 1,
        n_classes: int = 10,
        activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        _check_positive_integer("in_channels", in_channels)
        _check_positive_integer("n_classes", n_classes)
        self.in_channels = in_channels
        self.n_classes = n_classes
        self.activation = _make_activation(activation)  # and its copies: see __setattr__
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, n_classes)
        self.reset_parameters()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "activation":
            shared = not isinstance(value, nn.Module) or bool(value.state_dict())
            for place in _FURTHER_ACTIVATIONS:
                self.register_module(place, None if shared else copy.deepcopy(value))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if not self._modules.keys() >= set(_FURTHER_ACTIVATIONS):  # a pickle of version 0.1.0
            self.activation = self.activation

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
        activation, activation2, activation3, activation4 = self._activations()
        if self._is_fast(images, activation, activation2):
            maps = _pooled_by_phases(images, self.conv1.weight, self.conv1.bias)
            maps = _pooled_by_product(maps, self.conv2.weight, self.conv2.bias)
        else:
            maps = F.avg_pool2d(activation(self.conv1(images)), 2)
            maps = F.avg_pool2d(activation2(self.conv2(maps)), 2)
        features = activation3(self.fc1(maps.flatten(1)))
        features = activation4(self.fc2(features))
        return self.fc3(features)

    def _activations(self) -> list[nn.Module]:
        """Return the activation of each layer, in order."""
        further = [getattr(self, place) for place in _FURTHER_ACTIVATIONS]
        return [self.activation, *(self.activation if own is None else own for own in further)]

    def _is_fast(self, images: Tensor, *activations: nn.Module) -> bool:
        return (
            not torch.compiler.is_compiling()
            and not is_tracing()  # what is exported is made of the usual layers
            and images.device.type == "cpu"
            and all(type(layer) is nn.Tanh and not has_hooks(layer) for layer in activations)
            and _is_plain(self.conv1)
            and _is_plain(self.conv2)
        )


def _shape(images: Tensor) -> tuple[int, ...]:
    if not is_tracing():
        return images.shape
    with warnings.catch_warnings():  # that numbers become constants: but the first, these are
        warnings.simplefilter("ignore")
        return tuple(map(int, images.shape))


def has_hooks(module: nn.Module) -> bool:
    """Tell whether anything is called beside a module, before or after it.

    Parameters
    ----------
    module : torch.nn.Module
        The module itself; those that it holds are of no account.

    Returns
    -------
    bool
        Whether there are hooks on its calls or on their gradients, those of all modules included.
    """
    return bool(
        module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_pre_hooks
        or module._backward_hooks
        or nn.modules.module._has_any_global_hook()
    )


# Both of the following are avg_pool2d(tanh(conv2d(images, weight, bias)), 2) for a kernel of 5x5.
# With tanh x = 2 sigmoid(2x) - 1 the mean of four is half the sum of their sigmoids, less 1; the
# sigmoid is several times faster than torch's tanh where that calls MKL, and the 2 goes into the
# weights. All of it is torch's own operations, whose backward pass needs no Python: threads that
# train side by side don't wait for each other there.


def _pooled_by_phases(images: Tensor, weight: Tensor, bias: Any) -> Tensor:
    """Convolve with stride 2, so that the four numbers of a mean lie in four maps.

    Their kernels are the given one, moved by none or one pixel each way in a frame of zeros. Sums
    and their gradients then go through contiguous rows, which for few channels saves more than the
    larger kernel costs.
    """
    n_maps, channels = weight.shape[:2]
    moves, _, twos, minus_one = _constants(weight.dtype)
    kernels = F.linear(weight.reshape(n_maps * channels, 25), moves)
    if channels > 1:  # the moves beside the maps, before the channels
        kernels = kernels.reshape(n_maps, channels, 4, 36).transpose(1, 2)
    if torch.is_grad_enabled() and weight.requires_grad and not images.requires_grad:
        sigmoids = torch.matmul(kernels.reshape(n_maps, 4, channels * 36), _columns(images))
        sums = sigmoids.add_((bias + bias).view(n_maps, 1, 1)).sigmoid_().sum(1)
        n, height, width = _size_of_maps(images)
        sums = sums.view(n_maps, n, height, width).transpose(0, 1).contiguous()
    else:
        kernels = kernels.reshape(4 * n_maps, channels, 6, 6)
        biases = torch.outer(bias, twos).reshape(4 * n_maps)
        sigmoids = F.conv2d(images, kernels, biases, 2).sigmoid_()
        sums = sigmoids.unflatten(1, (n_maps, 4)).sum(2)
    return torch.add(minus_one, sums, alpha=0.5)


def _columns(images: Tensor) -> Tensor:
    """Return the pixels that kernels of 6x6 see with stride 2, a row a place in the kernel.

    Where images are constant, convolving them as a matrix product with these leaves another such
    product for the gradient of the weights. On processors without AVX-512, torch's own gradient of
    a convolution with few channels and stride 2 takes several times as long.
    """
    n, height, width = _size_of_maps(images)
    channels = images.shape[1]
    # even and odd rows and columns apart, so that what is copied into a row is contiguous
    apart = images.reshape(n, channels, height + 2, 2, width + 2, 2).permute(1, 3, 5, 0, 2, 4)
    windows = apart.contiguous().unfold(4, height, 1).unfold(5, width, 1)
    columns = windows.permute(0, 4, 1, 5, 2, 3, 6, 7)
    return columns.reshape(channels * 36, n * height * width)


def _size_of_maps(images: Tensor) -> tuple[int, int, int]:
    n, _, height, width = images.shape
    return n, height // 2 - 2, width // 2 - 2


def _pooled_by_product(maps: Tensor, weight: Tensor, bias: Any) -> Tensor:
    """Convolve maps of 14x14, and take the means by a matrix product, good for so few pixels."""
    _, means, _, minus_one = _constants(weight.dtype)
    sigmoids = F.conv2d(maps, weight + weight, bias + bias).sigmoid_()
    pooled = torch.addmm(minus_one, sigmoids.reshape(-1, 100), means)
    return pooled.reshape(-1, weight.shape[0], 5, 5)


@functools.cache
@torch.inference_mode(False)  # made once, wherever that is, and trained with later
def _constants(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the moves of 5x5 in 6x6 pixels, times 2; the half sums of 10x10 pixels; 2s; -1."""
    moves = torch.zeros(2, 2, 6, 6, 5, 5, dtype=dtype, device="cpu")
    for down, right, row, column in itertools.product(range(2), range(2), range(5), range(5)):
        moves[down, right, row + down, column + right, row, column] = 2
    means = torch.zeros(10, 10, 5, 5, dtype=dtype, device="cpu")
    for row, column in itertools.product(range(10), range(10)):
        means[row, column, row // 2, column // 2] = 0.5
    one = torch.ones((), dtype=dtype, device="cpu")
    return moves.reshape(4 * 36, 25), means.reshape(100, 25), 2 * one.repeat(4), -one


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


def _check_positive_integer(name: str, value: Any) -> None:
    if not (isinstance(value, Integral) and int(value) > 0):
        raise ValueError(f"{name} must be an integer greater than 0, got {value!r}.")
