"""Randomness and threads of torch, borrowed for the length of a training."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# Generators and thread count belong to the whole process, so two trainings in threads of one
# process take turns.
_process = threading.RLock()


@contextmanager
def isolated_generators(seed: int | None = None, states: Any = None, device: Any = None):
    """Seed the global generators of torch, NumPy and Python, and put them back afterwards.

    Parameters
    ----------
    seed : int or None, default=None
        The seed of all three.
    states : tuple or None, default=None
        In place of a seed: states that `generator_states` returned, to go on from there.
    device : torch.device, str or None, default=None
        A CUDA device whose generator is put back as well.
    """
    device = torch.device(device or "cpu")
    with _process, torch.random.fork_rng([device] if device.type == "cuda" else []):
        kept = np.random.get_state(), random.getstate()
        try:
            if states is not None:
                torch_state, numpy_state, python_state = states
                torch.set_rng_state(torch_state)
                np.random.set_state(numpy_state)
                random.setstate(python_state)
            elif seed is not None:
                torch.manual_seed(seed)
                np.random.seed(seed)
                random.seed(seed)
            yield
        finally:
            np.random.set_state(kept[0])
            random.setstate(kept[1])


def generator_states() -> tuple[Any, Any, Any]:
    """Return the states of the global generators of torch, NumPy and Python."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


@contextmanager
def one_thread():
    """Let torch compute with one thread, so that no bit depends on how many there are."""
    with _process:
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)
