"""The pictures, in scikit-learn's Display form.

A display holds the data of a picture and draws it with ``plot``. Matplotlib is imported there and
nowhere else.
"""

from skclr.displays._batch_size import BatchSizeDisplay
from skclr.displays._comparison import ComparisonDisplay
from skclr.displays._history import HistoryDisplay
from skclr.displays._lr_range import LRRangeDisplay
from skclr.displays._schedule import ScheduleDisplay

__all__ = [
    "BatchSizeDisplay",
    "ComparisonDisplay",
    "HistoryDisplay",
    "LRRangeDisplay",
    "ScheduleDisplay",
]

# the address of a class and of its methods, where doctest looks for their examples, is this one
for name in __all__:
    public = globals()[name]
    public.__module__ = __name__
    for member in vars(public).values():
        function = getattr(member, "__func__", member)
        if hasattr(function, "__code__"):
            function.__module__ = __name__
del name, public, member, function
