"""Sweeps of the learning rate as arrays, and the rules that read them."""

from skclr._sweeps._candidates import StopNotFinite, measure_candidates
from skclr._sweeps._rules import (
    basin,
    first_fall,
    minimum,
    minimum_tenth,
    slide,
    steepest,
    suggest,
    valley,
)
from skclr._sweeps._sweep import Sweeps, measure_sweeps, read_sweeps

__all__ = [
    "StopNotFinite",
    "Sweeps",
    "basin",
    "first_fall",
    "measure_candidates",
    "measure_sweeps",
    "minimum",
    "minimum_tenth",
    "read_sweeps",
    "slide",
    "steepest",
    "suggest",
    "valley",
]
