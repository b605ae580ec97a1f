"""The global generators of torch, NumPy and Python, borrowed for the length of a training."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skclr._process._turns import process_lock


class GeneratorStates(NamedTuple):
    """The states of the global generators of torch, NumPy and Python."""

    torch: np.ndarray  # bytes, which can be saved anywhere
    numpy: Any
    python: Any

    @classmethod
    def of(cls, state: Tensor, numpy: Any, python: Any) -> GeneratorStates:
        """Return the states, torch's given as torch gives it."""
        return cls(state.numpy().copy(), numpy, python)


@contextmanager
def isolated_generators(
    seed: int | None = None,
    states: GeneratorStates | None = None,
    device: torch.device | str | None = None,
) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, and put them back afterwards.

    Parameters
    ----------
    seed : int or None, default=None
        The seed of all three.
    states : GeneratorStates or None, default=None
        In place of a seed: states that `generator_states` returned, to go on from there.
    device : torch.device, str or None, default=None
        A CUDA device whose generator is put back as well.
    """
    device = torch.device(device or "cpu")
    with process_lock, torch.random.fork_rng([device] if device.type == "cuda" else []):
        kept = np.random.get_state(), random.getstate()
        try:
            if states is not None:
                set_generator_states(states)
            elif seed is not None:
                torch.manual_seed(seed)
                np.random.seed(seed)
                random.seed(seed)
            yield
        finally:
            np.random.set_state(kept[0])
            random.setstate(kept[1])


def generator_states() -> GeneratorStates:
    """Return the states of the global generators as they are now."""
    return GeneratorStates.of(torch.get_rng_state(), np.random.get_state(), random.getstate())


def set_generator_states(states: GeneratorStates) -> None:
    """Let the global generators go on from what `generator_states` returned."""
    torch.set_rng_state(torch.from_numpy(states.torch.copy()))
    np.random.set_state(states.numpy)
    random.setstate(states.python)


def draw_seed() -> int:
    """Return a seed drawn from torch's global generator."""
    return int(torch.randint(2**31, ()))
