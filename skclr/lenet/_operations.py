"""A convolution with tanh and pooling, in torch's own operations, faster than one by one."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Both of the following are avg_pool2d(tanh(conv2d(images, weight, bias)), 2) for a kernel of 5x5.
# With tanh x = 2 sigmoid(2x) - 1 the mean of four is half the sum of their sigmoids, less 1; the
# sigmoid is several times faster than torch's tanh where that calls MKL, and the 2 goes into the
# weights. All of it is torch's own operations, whose backward pass needs no Python: threads that
# train side by side don't wait for each other there.


def pooled_by_phases(images: Tensor, weight: Tensor, bias: Any) -> Tensor:
    """Convolve with stride 2, so that the four numbers of a mean lie in four maps.

    Their kernels are the given one, moved by none or one pixel each way in a frame of zeros. Sums
    and their gradients then go through contiguous rows, which for few channels saves more than the
    larger kernel costs.
    """
    n_maps, channels = weight.shape[:2]
    moves, _, twos, minus_one = constants(weight.dtype)
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


def pooled_by_product(maps: Tensor, weight: Tensor, bias: Any) -> Tensor:
    """Convolve maps of 14x14, and take the means by a matrix product, good for so few pixels."""
    _, means, _, minus_one = constants(weight.dtype)
    sigmoids = F.conv2d(maps, weight + weight, bias + bias).sigmoid_()
    pooled = torch.addmm(minus_one, sigmoids.reshape(-1, 100), means)
    return pooled.reshape(-1, weight.shape[0], 5, 5)


@functools.cache
@torch.inference_mode(False)  # made once, wherever that is, and trained with later
def constants(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the moves of 5x5 in 6x6 pixels, times 2; the half sums of 10x10 pixels; 2s; -1."""
    moves = torch.zeros(2, 2, 6, 6, 5, 5, dtype=dtype, device="cpu")
    for down, right, row, column in itertools.product(range(2), range(2), range(5), range(5)):
        moves[down, right, row + down, column + right, row, column] = 2
    means = torch.zeros(10, 10, 5, 5, dtype=dtype, device="cpu")
    for row, column in itertools.product(range(10), range(10)):
        means[row, column, row // 2, column // 2] = 0.5
    one = torch.ones((), dtype=dtype, device="cpu")
    return moves.reshape(4 * 36, 25), means.reshape(100, 25), 2 * one.repeat(4), -one
