"""The compiled LeNet-5 as a differentiable function of torch."""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_SHAPES = (16, 6, 5, 5), (120, 400), (84, 120)  # of the weights of C3, C5 and F6
_MOST_KEPT = 16  # blocks of a workspace that is kept for the next call
_FEWEST_IN_HALVES, _FEWEST_IN_QUARTERS = 4, 8  # blocks, of which each part has two at least
_spare: deque[np.ndarray] = deque(maxlen=64)  # more than threads have pieces at a time
_shared = threading.local()


@contextmanager
def blocks_shared_by(compute_all: Callable[[Callable, Sequence], Any]) -> Iterator[None]:
    """Have a function that maps by threads share out the blocks of a batch, in this thread.

    Parameters
    ----------
    compute_all : callable
        ``compute_all(function, items)`` calls the function with each item, at the same time if it
        likes. The halves of a batch of more than 48 images, and the quarters of one of more than
        112, are such items, in the forward pass and in its backward pass. Their gradients are added
        in order: no bit depends on how they are shared.
    """
    outer = getattr(_shared, "compute_all", _in_turn)
    _shared.compute_all = compute_all
    try:
        yield
    finally:
        _shared.compute_all = outer


def _in_turn(function, items):
    for item in items:
        function(item)


def kernels() -> ModuleType:
    """Return the compiled functions, or raise ImportError where there is no numba."""
    otherwise = (
        "or set engine='torch', on a trained network as net.engine = 'torch': it computes the same "
        "up to rounding."
    )
    try:
        import numba
    except ImportError as error:
        raise ImportError(
            f"A LeNet5 with engine='numba' needs numba: {error}. Install it with "
            f"python -m pip install 'skclr[numba]', {otherwise}"
        ) from error
    if vars(numba.config)["DISABLE_JIT"]:
        raise ImportError(
            "A LeNet5 with engine='numba' needs numba, which compiles nothing while "
            f"NUMBA_DISABLE_JIT is set: unset it, {otherwise}"
        )
    from skclr.lenet import _kernels

    return _kernels


def takes(images: Tensor, weights: Sequence[Any]) -> bool:
    """Tell whether the compiled functions compute what torch would, rounding aside.

    They know float32 on the CPU, gradients of the weights alone, and nothing of autocast,
    `torch.func`, forward-mode differentiation and what watches each operation of torch.

    Parameters
    ----------
    images : Tensor of shape (n, channels, 32, 32)
    weights : sequence of torch.nn.Parameter
        Weight and bias of C1, C3, C5, F6 and the output.
    """
    return (
        type(images) is Tensor
        and images.dtype == torch.float32
        and not (images.requires_grad and torch.is_grad_enabled())
        and all(
            type(weight) is nn.Parameter and weight.dtype == torch.float32 and weight.is_cpu
            for weight in weights
        )
        and [weight.shape for weight in weights[:8:2]] == [(6, images.shape[1], 5, 5), *_SHAPES]
        and weights[8].shape[1:] == (84,)
        and all(weights[k + 1].shape == weights[k].shape[:1] for k in range(0, 10, 2))
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
        and torch.utils._python_dispatch._get_current_dispatch_mode() is None
    )


def logits_of(images: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Return the logits of shape (n, classes), of what `takes` takes."""
    compute_all = getattr(_shared, "compute_all", _in_turn)
    if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
        return _Logits.apply(images, compute_all, *weights)
    return _compute(images, weights, compute_all, keeps=False)[0]


def _graph_is_kept() -> bool:
    """Tell whether the backward pass under way may be gone through again."""
    known = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return known is None or known()  # else, as with older versions of torch, until the graph goes


class _Kept(NamedTuple):
    """What gradients are made of: arrays of weights, what linear layers saw, parts of a batch."""

    weights: tuple[np.ndarray, ...]
    seen: np.ndarray
    parts: list[_Part]


class _Workspace:
    """Memory for what a backward pass needs, from those before it and for those after it.

    It is half a megabyte a block: to get it from the system for each piece of a batch would take
    as long as a part of the computing. It begins at a multiple of 64 bytes, as torch's memory does
    and NumPy's does not: else each vector that is read may lie in two lines of the cache.
    """

    def __init__(self, n_blocks: int, channels: int, classes: int):
        of_block, beside = kernels().sizes_of_memory(channels, classes)
        size = beside + n_blocks * of_block
        memory = self._kept(size)
        self.n_blocks = n_blocks
        self.memory: np.ndarray = self._new(size) if memory is None else memory

    @staticmethod
    def _new(size):
        return torch.empty(size, dtype=torch.float32, device="cpu").numpy()

    @staticmethod
    def _kept(size):
        while True:
            try:
                memory = _spare.pop()
            except IndexError:  # all of it is in use
                return None
            if len(memory) >= size:
                return memory
            # that of smaller pieces or of another training is given up

    def __del__(self) -> None:
        memory = vars(self).get("memory")  # there is none when there was not enough of it
        if memory is not None and self.n_blocks <= _MOST_KEPT:
            _spare.append(memory)


class _Part:
    """Some images of a batch that follow each other, with what their backward pass needs."""

    def __init__(self, first: int, end: int, channels: int, classes: int, *, keeps: bool):
        n_blocks = math.ceil((end - first) / kernels().SAMPLES) if keeps else min(end - first, 1)
        self.images = slice(first, end)
        self.workspace = _Workspace(n_blocks, channels, classes)


def _parts(n: int, channels: int, classes: int, *, keeps: bool) -> list[_Part]:
    """Return parts of whole blocks, almost equal, which depend on the size of the batch alone."""
    size = kernels().SAMPLES
    n_blocks = math.ceil(n / size)
    n_parts = 1 if n_blocks < _FEWEST_IN_HALVES else 2 if n_blocks < _FEWEST_IN_QUARTERS else 4
    ends = [n_blocks * place // n_parts * size for place in range(n_parts)] + [n]
    return [
        _Part(first, end, channels, classes, keeps=keeps) for first, end in itertools.pairwise(ends)
    ]


def _compute(
    images: Tensor, weights: Sequence[Tensor], compute_all: Callable, *, keeps: bool
) -> tuple[Tensor, _Kept]:
    """Return the logits, and what gradients are made of."""
    compiled = kernels()
    arrays = tuple(map(_array, weights))
    n, channels, classes = len(images), images.shape[1], len(weights[-1])
    logits = images.new_empty(n, classes)
    seen = np.empty((n if keeps else 0, compiled.N_SEEN), np.float32)
    pixels, outputs = _array(images.flatten(1)), logits.numpy()
    parts = _parts(n, channels, classes, keeps=keeps)

    def compute(part):
        own, workspace = part.images, part.workspace
        compiled.answer(
            pixels[own], arrays, workspace.memory, workspace.n_blocks, seen[own], outputs[own]
        )

    compute_all(compute, parts)
    return logits, _Kept(arrays, seen, parts)


class _Logits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, compute_all: Callable, *weights: Tensor) -> Tensor:
        logits, ctx.kept = _compute(images, weights, compute_all, keeps=True)
        ctx.compute_all, ctx.lock = compute_all, threading.Lock()
        ctx.channels = images.shape[1]
        ctx.save_for_backward(*weights)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        compiled, kept, channels = kernels(), ctx.kept, ctx.channels
        weights, is_wanted = ctx.saved_tensors, ctx.needs_input_grad[2:]
        arrays, seen, parts = kept
        of_weights = [upstream.new_empty(weight.shape) for weight in weights]
        outcomes = tuple(of_weight.numpy() for of_weight in of_weights)
        n_convolved = sum(array.size for array in arrays[:4]) if any(is_wanted[:4]) else 0
        of_parts = np.empty((len(parts), n_convolved), np.float32)
        of_sums, of_outputs = np.empty((len(seen), compiled.N_SUMS), np.float32), _array(upstream)

        def compute(place):
            own, memory = parts[place].images, parts[place].workspace.memory
            compiled.write_gradients(
                of_outputs[own], arrays, channels, memory, of_sums[own], of_parts[place]
            )

        with ctx.lock:  # threads may go through one graph, and its memory serves one at a time
            ctx.compute_all(compute, range(len(parts)))
        compiled.finish_gradients(of_parts, of_sums, of_outputs, seen, outcomes)
        if not _graph_is_kept():
            ctx.kept = None
        wanted = zip(of_weights, is_wanted, strict=True)
        return None, None, *(of_weight if is_one else None for of_weight, is_one in wanted)


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.contiguous().numpy()
    return array
