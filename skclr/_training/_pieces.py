"""How a batch is cut into pieces that stay in a core's cache and can be computed side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn

from skclr.lenet import LeNet5, has_hooks

# samples whose activations in LeNet-5 fit in a core's cache; other devices want more at once
_LARGEST_ON_CPU, _LARGEST_ELSEWHERE = 256, 4096
_PIXELS_OF_LENET, _FEWEST_AT_ONCE = 32 * 32, 16
_FEWEST_TO_SHARE = 64  # below, handing a piece to another thread costs more than it saves
_FEWEST_OF_BLOCKS = _LARGEST_ON_CPU + 1  # where threads can share what is in a piece

_BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)  # they see a batch as a whole
_MEANS = (nn.CrossEntropyLoss, nn.NLLLoss)
# exactly these, whose answers depend on their input alone: a subclass may do anything
_DRAWING_NOTHING = frozenset(
    {
        LeNet5, nn.Sequential, nn.Identity, nn.Flatten, nn.Linear, nn.Conv1d, nn.Conv2d,
        nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.LayerNorm, nn.GroupNorm,
        nn.Tanh, nn.Sigmoid, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Softplus,
        nn.Hardtanh, nn.Softmax, nn.LogSoftmax, *_MEANS,
    }
)  # fmt: skip


class Piece(NamedTuple):
    """A part of a batch of so many samples."""

    images: torch.Tensor
    targets: torch.Tensor
    n_total: int
    generator: torch.Generator | None = None
    weights: torch.Tensor | None = None

    @property
    def share(self) -> float:
        """Its share of the batch's samples."""
        return len(self.targets) / self.n_total


def is_mean_of_pieces(criterion: nn.Module, module: nn.Module) -> bool:
    """Tell whether the gradient of a batch is the mean of those of its pieces."""
    if getattr(criterion, "reduction", None) != "mean":
        return False
    if getattr(criterion, "weight", None) is not None:  # a weighted mean
        return False
    if getattr(criterion, "ignore_index", -1) >= 0:  # a mean over some of the samples
        return False
    return not any(isinstance(part, _BATCH_NORMS) for part in module.modules())


def draw_nothing(*modules: nn.Module) -> bool:
    """Tell whether calls of these modules can run at the same time and give the same bits."""
    if torch.is_autocast_enabled("cpu"):  # a setting of the thread
        return False
    return all(
        type(part) in _DRAWING_NOTHING and not has_hooks(part)
        for module in modules
        for part in getattr(module, "_orig_mod", module).modules()
    )


def fewer_of_larger(n: int, image_size: tuple[int, int]) -> int:
    """Return how many images take as much memory as `n` of 32 x 32 pixels, at least a few."""
    pixels = math.prod(image_size)
    return n if pixels <= _PIXELS_OF_LENET else max(_FEWEST_AT_ONCE, n * _PIXELS_OF_LENET // pixels)


def fewest_to_share(module: nn.Module) -> int:
    """Return the size of a batch from which on its pieces are shared, and not what is in them."""
    is_by_blocks = isinstance(module, LeNet5) and module.engine == "numba"
    return _FEWEST_OF_BLOCKS if is_by_blocks else _FEWEST_TO_SHARE


def cut(
    n: int,
    device: torch.device,
    *,
    shared: bool,
    image_size: tuple[int, int] = (32, 32),
    fewest: int = _FEWEST_TO_SHARE,
) -> Iterable[slice]:
    """Return slices of almost equal length, which depend on the sizes of batch and images alone.

    Parameters
    ----------
    n : int
        Samples in the batch.
    device : torch.device
        Where it is computed.
    shared : bool
        Whether the pieces are computed side by side: then there is an even number of them.
    image_size : tuple of int, default=(32, 32)
        Height and width of the images.
    fewest : int, default=64
        Samples in a batch from which on there are several pieces.
    """
    largest = _LARGEST_ON_CPU if device.type == "cpu" else _LARGEST_ELSEWHERE
    largest = fewer_of_larger(largest, image_size)
    n_pieces = max(1, math.ceil(n / largest))
    if shared and n >= fewest:
        n_pieces += n_pieces % 2
    ends = [n * place // n_pieces for place in range(n_pieces + 1)]
    return [slice(*pair) for pair in itertools.pairwise(ends)]
