"""Learning-rate and batch-size schedules as callbacks for any skorch net.

Every callback here works on a plain :class:`skorch.NeuralNetClassifier` with its stock
``DataLoader`` as well as on :class:`skclr.CLRLeNetClassifier`, and writes what it does to
``net.history``.
"""

from skclr.callbacks._accuracy import BatchAccuracy
from skclr.callbacks._batch_doubling import BatchDoubling, _GrowingIterator
from skclr.callbacks._cosine import CosineLR, CosineRestartsLR
from skclr.callbacks._cosine import check_warmup as check_warmup
from skclr.callbacks._cyclic import CyclicLR
from skclr.callbacks._halving import LRHalving
from skclr.callbacks._lr_schedule import LRSchedule
from skclr.callbacks._lr_schedule import constant_lr as constant_lr
from skclr.callbacks._noise_scale import GradientNoiseScale
from skclr.callbacks._one_cycle import OneCycleLR
from skclr.callbacks._range_test import LRRangeTest
from skclr.callbacks._rate_callback import LRRecorder as LRRecorder
from skclr.callbacks._resume import Resume
from skclr.callbacks._stand_in import IteratorStandIn as IteratorStandIn
from skclr.callbacks._stop import StopTraining
from skclr.callbacks._stop import SweepEnded as SweepEnded

__all__ = [
    "BatchAccuracy",
    "BatchDoubling",
    "CosineLR",
    "CosineRestartsLR",
    "CyclicLR",
    "GradientNoiseScale",
    "LRHalving",
    "LRRangeTest",
    "LRSchedule",
    "OneCycleLR",
    "Resume",
    "StopTraining",
]

for name in __all__:
    globals()[name].__module__ = __name__
for pickled in (
    _GrowingIterator,
    constant_lr,
    LRRecorder,
):  # pickles know them, too, by this address
    pickled.__module__ = __name__
del name, pickled
