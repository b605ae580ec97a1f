"""LeNet-5 as a torch module, with the time-consuming part of it made fast on the CPU.

References
----------
.. [1] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to Document
   Recognition", Proceedings of the IEEE 86(11), 1998, section II.B.
.. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
   networks", AISTATS 2010, equation 16.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["LeNet5"]

IMAGE_SIZE = 32


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
    activation : callable, default=torch.nn.Tanh
        A class of module, or any callable without arguments that returns a module. One instance
        serves all four layers.

    Raises
    ------
    ValueError
        If `in_channels` or `n_classes` is not a positive integer, or if `activation` does not
        return a module; from ``forward``, if the images are not ``(n, in_channels, 32, 32)``.

    Notes
    -----
    The network of [1]_ as it is commonly taught: C3 sees all maps of S2, the pooling has no weights
    of its own, the activation is not rescaled and the output is linear. C5, a convolution whose
    kernel covers its whole input, is computed as the linear layer that it is. The weights begin
    Glorot uniform [2]_ and the biases at zero, which are also the defaults of Keras.

    With :class:`torch.nn.Tanh` on a CPU, activation and pooling are one function, the same to float
    precision and with less memory moved; it can't be differentiated twice, and forward hooks on
    the activation see only the linear layers. Another activation, another device and
    ``torch.compile``, which fuses by itself, take the plain modules.

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
        self.activation = _make_activation(activation)
        self.conv1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, n_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draw new weights, Glorot uniform, and set the biases to zero.

        A weight of a layer is uniform in :math:`\pm\sqrt{6 / (n_\text{in} + n_\text{out})}`, with
        the numbers of connections into and out of one of the layer's units. The draw is from
        torch's global generator.
        """
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2, self.fc3):
            nn.init.xavier_uniform_(layer.weight)
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
        if images.ndim != 4 or images.shape[1:] != (self.in_channels, IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"LeNet5 takes images of shape (n, {self.in_channels}, {IMAGE_SIZE}, {IMAGE_SIZE}),"
                f" got {tuple(images.shape)}."
            )
        maps = self._activate_and_pool(self.conv1(images))
        maps = self._activate_and_pool(self.conv2(maps))
        features = self.activation(self.fc1(maps.flatten(1)))
        features = self.activation(self.fc2(features))
        return self.fc3(features)

    def _activate_and_pool(self, maps):
        compiling = torch.compiler.is_compiling()
        if type(self.activation) is nn.Tanh and maps.device.type == "cpu" and not compiling:
            return _TanhPool.apply(maps)
        return F.avg_pool2d(self.activation(maps), 2)


class _TanhPool(torch.autograd.Function):
    r"""``avg_pool2d(tanh(x), 2)`` in the fewest passes over memory.

    With :math:`\tanh x = 2\,\sigma(2x) - 1` the mean of four is half the sum of their sigmoids,
    less 1, and its derivative by each is :math:`\sigma\,(1 - \sigma)`: the sigmoid is several times
    faster than torch's tanh where that calls MKL, and the factors cancel. Strided slices are summed
    in place of torch's slow CPU pooling, and the backward pass writes the even and the odd rows of
    the gradient straight to where they belong.
    """

    @staticmethod
    def forward(ctx, x):
        s = torch.mul(x, 2).sigmoid_()
        ctx.save_for_backward(s)
        rows = s[..., ::2, :] + s[..., 1::2, :]
        return torch.lerp(rows[..., ::2], rows[..., 1::2], 0.5).sub_(1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        (s,) = ctx.saved_tensors
        each = grad_output.unsqueeze(-1).expand(*grad_output.shape, 2).flatten(-2)
        grad_input = torch.empty_like(s)
        for first in (0, 1):
            torch.ops.aten.sigmoid_backward.grad_input(
                each, s[..., first::2, :], grad_input=grad_input[..., first::2, :]
            )
        return grad_input


def _make_activation(activation):
    module = (
        activation() if callable(activation) and not isinstance(activation, nn.Module) else None
    )
    if not isinstance(module, nn.Module):
        raise ValueError(
            "activation must be a class of torch module or a callable without arguments that "
            f"returns a module, got {activation!r}."
        )
    return module


def _check_positive_integer(name, value):
    if not (isinstance(value, Integral) and value > 0):
        raise ValueError(f"{name} must be an integer greater than 0, got {value!r}.")
