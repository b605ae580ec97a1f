"""The compiled convolutions of LeNet-5 as a differentiable function of torch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_Memory: TypeAlias = "tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]"

_MOST_KEPT = 16  # blocks of a workspace that is kept for the next call
_spare: deque[_Memory] = deque()


def kernels() -> ModuleType:
    """Return the compiled functions, or raise ImportError where there is no numba."""
    try:
        from skclr.lenet import _kernels
    except ImportError as error:
        raise ImportError(
            f"A LeNet5 with engine='numba' needs numba: {error}. Install it with "
            "python -m pip install 'skclr[numba]', or set engine='torch', on a trained network as "
            "net.engine = 'torch': it computes the same up to rounding."
        ) from error
    return _kernels


def takes(images: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> bool:
    """Tell whether the compiled functions compute what torch would, rounding aside.

    They know float32 on the CPU, gradients of the weights alone, and nothing of autocast and
    `torch.func`.
    """
    shapes = (6, images.shape[1], 5, 5), (16, 6, 5, 5)
    return (
        type(images) is Tensor
        and (first.weight.shape, second.weight.shape) == shapes
        and images.dtype == torch.float32
        and not (images.requires_grad and torch.is_grad_enabled())
        and all(
            type(part) is nn.Parameter and part.dtype == torch.float32 and part.device.type == "cpu"
            for layer in (first, second)
            for part in (layer.weight, layer.bias)
        )
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
    )


def pooled_twice(images: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """Return the means of S4 of shape (n, 400): two convolutions, each with tanh and pooling."""
    weights: tuple[Any, ...] = first.weight, first.bias, second.weight, second.bias
    if torch.is_grad_enabled():
        return _Features.apply(images, *weights)
    return _features(images, weights, n_blocks=1)[0]


class _Workspace:
    """Memory for what a backward pass needs, from those before it and for those after it.

    It is half a megabyte a block: to get it from the system for each piece of a batch would take
    as long as a part of the computing. Rows begin at multiples of 64 bytes, as torch's memory does
    and NumPy's does not: else each vector that is read may lie in two lines of the cache.
    """

    def __init__(self, n_blocks: int, channels: int):
        self.memory: _Memory = self._kept(n_blocks, channels) or self._new(n_blocks, channels)

    @staticmethod
    def _new(n_blocks, channels):
        compiled = kernels()
        blocks = [(n_blocks, *shape) for shape in compiled.shapes_of_block(channels)]
        return tuple(
            tuple(torch.zeros(shape, dtype=torch.float32, device="cpu").numpy() for shape in shapes)
            for shapes in (blocks, compiled.shapes_of_scratch())
        )

    @staticmethod
    def _kept(n_blocks, channels):
        while True:
            try:
                memory = _spare.pop()
            except IndexError:  # all of it is in use
                return None
            pixels = memory[0][0]
            if len(pixels) >= n_blocks and pixels.shape[1] == channels:
                return memory
            # that of smaller pieces or of another training is given up

    def __del__(self) -> None:
        memory = vars(self).get("memory")  # there is none when there was not enough of it
        if memory is not None and len(memory[0][0]) <= _MOST_KEPT:
            _spare.append(memory)


def _features(
    images: Tensor, weights: Sequence[Tensor], n_blocks: int
) -> tuple[Tensor, _Workspace]:
    """Return the means of S4, and what was written down on the way."""
    compiled = kernels()
    workspace = _Workspace(n_blocks, images.shape[1])
    features = images.new_empty(len(images), compiled.FEATURES)
    arrays = [_rows(weight.detach()) for weight in weights]
    pixels = images.detach().flatten(1).contiguous().numpy()
    compiled.features_of(pixels, *arrays, *workspace.memory, features.numpy())
    return features, workspace


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, *weights: Tensor) -> Tensor:
        n_blocks = math.ceil(len(images) / kernels().SAMPLES)
        features, ctx.workspace = _features(images, weights, n_blocks)
        ctx.save_for_backward(*weights)
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        weights = ctx.saved_tensors
        gradients = [upstream.new_zeros(weight.shape) for weight in weights]
        kernels().add_gradients(
            upstream.contiguous().numpy(),
            _rows(weights[2].flip(2, 3)),
            *ctx.workspace.memory,
            *map(_rows, gradients),
        )
        wanted = zip(ctx.needs_input_grad[1:], gradients, strict=True)
        return None, *(gradient if is_wanted else None for is_wanted, gradient in wanted)


def _rows(weights: Tensor) -> np.ndarray:
    """Return a convolution's weights as the rows of all kernels of a map; a bias as it is."""
    array: np.ndarray = weights.contiguous().numpy()
    return array if array.ndim == 1 else array.reshape(len(array), -1, array.shape[3])
