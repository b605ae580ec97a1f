"""Where the cycles of a schedule end."""

from __future__ import annotations

import math
from typing import NamedTuple

_ROUNDING = 1e-12  # an end that rounding puts just behind a place is at it


class Cycles(NamedTuple):
    """The lengths of cycles, one after the other.

    Parameters
    ----------
    length : float
        Of the first cycle.
    unit : {"epoch", "iteration"}, default="epoch"
        Of `length` and `offset`.
    factor : float, default=1.0
        What the length of a cycle is multiplied by for the next.
    offset : float, default=0.0
        Where the first cycle begins.
    """

    length: float
    unit: str = "epoch"
    factor: float = 1.0
    offset: float = 0.0

    def ended_by(self, place: float) -> float:
        """Return how many cycles have ended after so many epochs or iterations, a whole number."""
        lengths = max(place - self.offset, 0) / self.length * (1 + _ROUNDING)
        if not math.isfinite(lengths):
            return lengths
        if self.factor == 1:
            return lengths // 1
        growth = self.factor - 1
        return (math.log1p(lengths * growth) / math.log1p(growth) + _ROUNDING) // 1
