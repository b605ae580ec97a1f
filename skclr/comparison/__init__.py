"""Schedules compared over several seeds: an answer with its uncertainty."""

from skclr.comparison._compare import compare_schedules
from skclr.comparison._result import ScheduleComparison

__all__ = ["ScheduleComparison", "compare_schedules"]

for name in __all__:
    globals()[name].__module__ = __name__
del name
