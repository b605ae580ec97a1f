"""The compiled LeNet-5 as a differentiable function of torch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from skclr.lenet._crew import Crew

_SHAPES = (16, 6, 5, 5), (120, 400), (84, 120)  # of the weights of C3, C5 and F6
_MOST_KEPT = 1 << 22  # numbers: memory for more is given back
_spare: deque[np.ndarray] = deque(maxlen=64)  # more than threads have pieces at a time
_NONE = (None,) * 10
# older versions of torch do not tell whether a backward pass may be gone through again
_is_graph_kept = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)


class _OfThread(threading.local):
    """What a thread computes with: its crew, and what has others serve it."""

    enlist: Callable[[Crew, int], Any] | None = None
    crew: Crew | None = None


_own = _OfThread()


@contextmanager
def blocks_shared_by(enlist: Callable[[Crew, int], Any]) -> Iterator[None]:
    """Have other threads take their parts of the batches that this thread computes.

    Parameters
    ----------
    enlist : callable
        ``enlist(crew, n)`` has up to `n` threads serve the crew, or none, and does not wait for
        them. What falls in parts are batches of more than 48 images, in halves, and of more than
        112, in quarters: for logits, for their gradients, and for loss and gradients at once.
        Gradients are added in order: no bit depends on who takes which part.
    """
    outer, _own.enlist = _own.enlist, enlist
    try:
        yield
    finally:
        _own.enlist = outer


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
    if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
        return _Logits.apply(images, *weights)
    compiled = kernels()
    return _Batch(compiled.FOR_ANSWERS, images, weights).answer(images, weights)


class Outcome(NamedTuple):
    """What a training needs of a batch: its loss, a scalar, the logits, and gradients."""

    loss: Tensor
    logits: Tensor
    gradients: list[Tensor]


def cross_entropy_of(
    images: Tensor, targets: Tensor, weights: Sequence[Tensor], n_total: int
) -> Outcome | None:
    """Return the cross-entropy of what `takes` takes, with its gradients, 16 samples at a time.

    Parameters
    ----------
    images : Tensor of shape (n, channels, 32, 32)
    targets : Tensor of int64 of shape (n,)
    weights : sequence of Tensor
        Weight and bias of each layer. There are gradients of those that require them.
    n_total : int
        By which the sum of the losses is divided.

    Returns
    -------
    Outcome or None
        None where a target is none of the classes.
    """
    return _Batch(kernels().FOR_TRAINING, images, weights).train(images, targets, weights, n_total)


@cache
def _sizes(purpose, n, channels, classes):
    """Return how many numbers of memory a batch takes, and in how many parts it falls."""
    compiled = kernels()
    return compiled.size_of_memory(purpose, n, channels, classes), compiled.n_parts_of(n)


class _Workspace:
    """Memory for a batch, from those before it and for those after it.

    It is half a megabyte for 16 images: to get it from the system each time would take as long as a
    part of the computing. It begins at a multiple of 64 bytes, as torch's memory does and NumPy's
    does not: else each vector that is read may lie in two lines of the cache.
    """

    def __init__(self, size: int):
        memory = self._kept(size)
        self.memory: Tensor = self._new(size) if memory is None else memory

    @staticmethod
    def _new(size):
        return torch.empty(size, dtype=torch.float32, device="cpu")

    @staticmethod
    def _kept(size):
        while True:
            try:
                memory = _spare.pop()
            except IndexError:  # all of it is in use
                return None
            if len(memory) >= size:
                return memory
            # that of smaller batches or of another training is given up

    def __del__(self) -> None:
        memory = vars(self).get("memory")  # there is none when there was not enough of it
        if memory is not None and len(memory) <= _MOST_KEPT:
            _spare.append(memory)


class _Batch:
    """Images on their way through the network: how many, and what gradients are made of."""

    def __init__(self, purpose: int, images: Tensor, weights: Sequence[Tensor]):
        n, channels, *_ = images.shape
        self._sizes = purpose, n, channels, len(weights[-1])
        size, self._n_parts = _sizes(*self._sizes)
        self._workspace = _Workspace(size)
        self._enlist = _own.enlist
        self._lock = threading.Lock()  # threads may go through one graph, with one memory

    def answer(self, images: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Return the logits."""
        outputs = images.new_empty(self._sizes[1], self._sizes[-1])
        self._do([kernels().ANSWER], weights, images=images, outputs=outputs)
        return outputs

    def write_gradients(
        self, of_outputs: Tensor, weights: Sequence[Tensor], of_weights: Sequence[Tensor | None]
    ) -> None:
        """Write the gradients of those weights for which there is where to."""
        kinds = [kernels().WRITE_GRADIENTS, kernels().FINISH_GRADIENTS]
        with self._lock:
            self._do(kinds, weights, of_weights, of_outputs=of_outputs)

    def train(
        self, images: Tensor, targets: Tensor, weights: Sequence[Tensor], n_total: int
    ) -> Outcome | None:
        """Return loss, logits and gradients, or None where a target is none of the classes."""
        kinds = [kernels().TRAIN, kernels().FINISH_GRADIENTS]
        loss, logits = images.new_empty(()), images.new_empty(self._sizes[1], self._sizes[-1])
        of_weights = [
            images.new_empty(weight.shape) if weight.requires_grad else None for weight in weights
        ]
        is_done = self._do(
            kinds, weights, of_weights, n_total, images=images, targets=targets, outputs=logits,
            loss=loss,
        )  # fmt: skip
        if not is_done:
            return None
        return Outcome(loss, logits, [each for each in of_weights if each is not None])

    def _do(
        self, kinds, weights, of_weights=_NONE, n_total=0, *, images=None, targets=None,
        outputs=None, of_outputs=None, loss=None,
    ):  # fmt: skip
        """Do tasks one after the other, and tell whether each target met was one of the classes."""
        compiled = kernels()
        # what has an address lives until the end
        given = [None if each is None else _plain(each) for each in (images, targets, of_outputs)]
        weights = [_plain(weight) for weight in weights]
        tensors = self._workspace.memory, *given, outputs, loss, *weights, *of_weights
        # a handler of signals that calls a network meanwhile has a crew of its own
        crew, _own.crew = _own.crew or Crew(compiled), None
        try:
            crew.describe(
                *self._sizes, n_total, False,
                *[0 if tensor is None else tensor.data_ptr() for tensor in tensors],
            )  # fmt: skip
            if self._enlist is not None and self._n_parts > 1:
                self._enlist(crew, self._n_parts - 1)
            for kind in kinds:
                finishes = kind == compiled.FINISH_GRADIENTS
                crew.share(kind, compiled.N_FINISHING if finishes else self._n_parts)
                if crew.met_no_class:
                    return False
        finally:
            _own.crew = crew
        return True


class _Logits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, *weights: Tensor) -> Tensor:
        ctx.batch = _Batch(kernels().FOR_GRADIENTS, images, weights)
        ctx.save_for_backward(*weights)  # which tells whether they have been changed since
        ctx.weights = [weight.detach() for weight in weights]  # whatever they are replaced by
        return ctx.batch.answer(images, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        _, weights, are_wanted = ctx.saved_tensors, ctx.weights, ctx.needs_input_grad[1:]
        of_weights = [
            upstream.new_empty(weight.shape) if is_wanted else None
            for weight, is_wanted in zip(weights, are_wanted, strict=True)
        ]
        ctx.batch.write_gradients(upstream, weights, of_weights)
        if not _is_graph_kept():
            ctx.batch = ctx.weights = None
        return None, *of_weights


def _plain(tensor: Tensor) -> Tensor:
    """Return a tensor whose numbers lie one after the other."""
    if tensor._is_zerotensor():  # which has no numbers
        return tensor.new_zeros(tensor.shape)
    return tensor.resolve_neg().contiguous()  # both return what is plain already as it is
