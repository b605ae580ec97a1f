"""The study: which rates work, how CLR trains between them, and what growing the batch does.

``python -m skclr`` is its command line.
"""

from skclr.study._findings import DOUBLING as DOUBLING
from skclr.study._findings import HALVING as HALVING
from skclr.study._findings import LARGEST_BATCH as LARGEST_BATCH
from skclr.study._findings import PUBLISHED_RANGE as PUBLISHED_RANGE
from skclr.study._findings import SMALLEST_BATCH as SMALLEST_BATCH
from skclr.study._findings import Study
from skclr.study._findings import published as published
from skclr.study._run import run

__all__ = ["Study", "run"]

for name in ("Study", "published", "run"):
    globals()[name].__module__ = __name__
del name
