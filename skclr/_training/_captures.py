"""Computations captured as CUDA graphs: started all at once from then on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import torch

_Outcome = TypeVar("_Outcome")

_WARM_UPS = 3  # in which libraries choose their algorithms, as torch recommends
_failed: list[torch.cuda.CUDAGraph] = []  # torch's allocator may go on asking them


class Captures:
    """Captures computations on a GPU, which share a stream and memory.

    None of them may run while another does, and the outcome of one has to be copied before the
    next one runs.

    Parameters
    ----------
    device : torch.device
        The GPU.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = _stream_of(device)
        self._pool: Any = torch.cuda.graph_pool_handle()

    def __call__(self, compute: Callable[[], _Outcome]) -> tuple[_Outcome, Callable[[], None]]:
        """Return the outcome of a computation, and what computes it anew in the same place.

        Parameters
        ----------
        compute : callable
            Reads tensors that stay in their place, and returns new ones. It is called a few times.

        Raises
        ------
        RuntimeError
            If the computation cannot be captured, as where it waits for the GPU.
        """
        with torch.cuda.device(self._device):
            try:
                return self._captured(compute)
            except RuntimeError:
                self._forget_failure()
                raise

    def _captured(self, compute):
        graph, stream = torch.cuda.CUDAGraph(), self._stream
        before = torch.cuda.current_stream()
        stream.wait_stream(before)
        # this context ends even where that of the graph fails to
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                compute()
            try:
                with torch.cuda.graph(
                    graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
                ):
                    outcome = compute()
            except RuntimeError:
                _failed.append(graph)
                raise
        before.wait_stream(stream)
        return outcome, graph.replay

    def _forget_failure(self):
        """Have torch's allocator and generator forget a capture that has not come to its end."""
        with suppress(Exception):
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), self._pool)
        with suppress(RuntimeError):
            torch.cuda.synchronize()
            # the generator takes itself for captured until a capture ends well
            with torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"):
                torch.zeros(1, device=self._device)


@functools.cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of all captures on a GPU: for each, libraries keep memory for good."""
    return torch.cuda.Stream(device)
