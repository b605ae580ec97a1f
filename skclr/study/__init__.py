"""The study: which rates work, how CLR trains between them, and what growing the batch does.

``python -m skclr`` is its command line.
"""

from skclr.study._findings import (
    DOUBLING,
    HALVING,
    LARGEST_BATCH,
    PUBLISHED_RANGE,
    SMALLEST_BATCH,
    Study,
    published,
)
from skclr.study._run import run

__all__ = [
    "DOUBLING",
    "HALVING",
    "LARGEST_BATCH",
    "PUBLISHED_RANGE",
    "SMALLEST_BATCH",
    "Study",
    "published",
    "run",
]

for name in ("Study", "published", "run"):
    globals()[name].__module__ = __name__
del name
