"""The pieces of a batch shared out among processes, and their gradients added up in order."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise as _pairs
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skclr._process import Group, as_bytes, generator_states
from skclr._training._pieces import Piece

# the loss of a piece, the answer to it, and the gradients of all parameters, None where unused
Outcome = tuple[Tensor, Any, Sequence[Tensor | None]]

_EMPTY = torch.empty(0, dtype=torch.uint8, device="cpu")

DRAWS = (
    "distributed=True needs every piece of a batch to give the same bits in whatever process it is "
    "computed, and this training draws random numbers from the global generators with each piece. "
    "Leave out layers that draw, as dropout does, and let an augmentation have a parameter "
    "'generator' and draw from that, as skclr.augmentation.RandomShiftFlip does."
)
WHOLE = (
    "distributed=True shares a batch out in pieces, and this training sees each batch as a whole: "
    "through batch normalization, or through a criterion that is no mean over its samples, as one "
    "with weights of its own (class_weight of the classifier is as good). Leave that out, or set "
    "distributed=False."
)


class GradientExchange:
    """Computes this process's share of the pieces of a batch, and has all add up the gradients.

    The pieces go to the first processes, evenly, in their order. Each of these is sent one part of
    the gradient of every piece, adds the pieces up in their order, and sends the sum to all: so the
    sum has the bits of one process, and each process sends and gets about two gradients, however
    many there are.

    Parameters
    ----------
    group : Group
        The processes.
    compute_all : callable
        Maps a function over pieces.
    parameters : sequence of nn.Parameter
        Whose gradients are added up.
    may_draw : bool
        Whether a piece might draw random numbers, which is then looked at and refused.
    weights : int
        A digest of the weights, which have to be the same everywhere.
    """

    def __init__(
        self,
        group: Group,
        compute_all: Callable[[Callable[[Piece], Outcome], Sequence[Piece]], list[Outcome]],
        parameters: Sequence[nn.Parameter],
        *,
        may_draw: bool,
        weights: int,
    ):
        self._group = group
        self._compute_all = compute_all
        self._may_draw = may_draw
        self._weights = weights
        self._parameters = parameters
        self._by_dtype: dict[torch.dtype, list[int]] = {}
        for place, parameter in enumerate(parameters):
            self._by_dtype.setdefault(parameter.dtype, []).append(place)

    def __call__(
        self, compute: Callable[[Piece], Outcome], pieces: Sequence[Piece]
    ) -> tuple[list[Tensor], list[Any], list[Tensor | None]]:
        """Return the losses of all pieces, the answers, and the sums of the gradients.

        Raises
        ------
        ValueError
            If a piece draws random numbers.
        RuntimeError
            If the processes do not all train on the same batch with the same weights.
        """
        group = self._group
        shares = _shares(len(pieces), group.size)
        own = pieces[shares[group.rank]]
        with _drawing_nothing() if self._may_draw else _unwatched():
            outcomes = self._compute_all(compute, own)
        told = _packed(outcomes)
        of_batch = [part for piece in pieces for part in (piece.targets, piece.weights)]
        key = digest_of(of_batch, self._weights)
        n_samples = sum(len(piece.targets) for piece in pieces)
        lengths = group.meet(f"train on {n_samples} samples", key, len(told))
        totals: list[Tensor | None] = [None] * len(self._parameters)
        tellings: list[Tensor] = []
        for dtype, places in self._by_dtype.items():
            parameters = [self._parameters[place] for place in places]
            rows = [_flat([gradients[place] for place in places], parameters)
                    for *_, gradients in outcomes]  # fmt: skip
            n = sum(parameter.numel() for parameter in parameters)
            to_tell = (_EMPTY, [0] * group.size) if tellings else (told, lengths)
            total, new = self._added_up(rows, n, dtype, shares, *to_tell)
            tellings = tellings or new
            for place, part in zip(places, _like(total, parameters), strict=True):
                totals[place] = part
        losses, answers, unused = zip(*(each for part in tellings for each in _unpacked(part)),
                                      strict=True)  # fmt: skip
        for place in set.intersection(*map(set, unused)):
            totals[place] = None
        return list(losses), list(answers), totals

    def _added_up(
        self,
        rows: Sequence[Tensor],
        n: int,
        dtype: torch.dtype,
        shares: Sequence[slice],
        told: Tensor,
        lengths: Sequence[int],
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the sum of the rows of all processes in their order, and what each has told.

        Each process that has rows, which hold n numbers each, adds up one stretch of all of them.
        """
        group = self._group
        counts = [part.stop - part.start for part in shares]
        n_adding = sum(count > 0 for count in counts)
        ends = [n * min(place, n_adding) // n_adding for place in range(group.size + 1)]
        stretches = [slice(*(end * dtype.itemsize for end in pair)) for pair in _pairs(ends)]
        widths = [part.stop - part.start for part in stretches]
        came = [_joined(row[part] for row in rows) for part in stretches]
        if n_adding > 1:
            came = group.swap(came, [widths[group.rank] * count for count in counts])
        total = _EMPTY
        if widths[group.rank]:
            pieces = _joined(came).view(dtype).view(sum(counts), -1)
            total = pieces[0].clone()
            for piece in pieces[1:]:
                total.add_(piece)
            total = total.view(torch.uint8)
        sizes = [width + length for width, length in zip(widths, lengths, strict=True)]
        parts = group.swap([torch.cat([total, told])] * group.size, sizes)
        sums = _joined(part[:width] for part, width in zip(parts, widths, strict=True))
        return sums.view(dtype), [part[w:] for part, w in zip(parts, widths, strict=True)]


def _flat(gradients: Sequence[Tensor | None], parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return gradients as the bytes of one row of numbers."""
    parts = [
        (torch.zeros_like(parameter) if gradient is None else gradient).reshape(-1)
        for gradient, parameter in zip(gradients, parameters, strict=True)
    ]
    return torch.cat(parts).view(torch.uint8)


def _like(row: Tensor, parameters: Sequence[nn.Parameter]) -> Iterator[Tensor]:
    """Yield the parts of a row in the shapes of the parameters."""
    sizes = [parameter.numel() for parameter in parameters]
    for part, parameter in zip(row.split(sizes), parameters, strict=True):
        # in memory of its own, as gradients are: an optimizer may work in it
        yield part.clone().view(parameter.shape)


def _shares(n_pieces: int, n_processes: int) -> list[slice]:
    """Return which pieces each process computes: the first ones have them, as even as may be."""
    n_busy = min(n_pieces, n_processes)
    ends = [n_pieces * min(place, n_busy) // n_busy for place in range(n_processes + 1)]
    return [slice(*pair) for pair in _pairs(ends)]


@contextmanager
def _drawing_nothing() -> Iterator[None]:
    """Raise ValueError where something is drawn from the global generators."""
    before = generator_states()
    yield
    after = generator_states()
    same = np.array_equal(before.torch, after.torch) and before.python == after.python
    if not (same and all(map(np.array_equal, before.numpy, after.numpy))):
        raise ValueError(DRAWS)


@contextmanager
def _unwatched() -> Iterator[None]:
    yield


def digest_of(parts: Iterable[Any], found: int = 0) -> int:
    """Return a number that tells tensors from others; what is none is passed over."""
    for part in parts:
        if isinstance(part, Tensor):
            found = zlib.crc32(_raw(part), found)
    return found


def _joined(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([_EMPTY, *parts])


def _packed(outcomes: Sequence[Outcome]) -> Tensor:
    """Return losses and answers as bytes, and which gradients there are not."""
    told = [
        (_plain(loss), _plain(answer), [i for i, part in enumerate(gradients) if part is None])
        for loss, answer, gradients in outcomes
    ]
    return as_bytes(pickle.dumps(told))


def _unpacked(told: Tensor) -> Iterator[tuple[Tensor, Any, list[int]]]:
    """Yield what `_packed` was given."""
    for loss, answer, unused in pickle.loads(_raw(told)) if len(told) else ():
        yield _as_tensors(loss), _as_tensors(answer), unused


def _plain(value: Any) -> Any:
    """Return tensors as bytes, which are packed in a fraction of the time."""
    if isinstance(value, Tensor):
        return value.dtype, tuple(value.shape), _raw(value)
    return [_plain(part) for part in value]


def _as_tensors(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_as_tensors, value))
    dtype, shape, raw = value
    return as_bytes(raw).view(dtype).reshape(shape)


def _raw(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
