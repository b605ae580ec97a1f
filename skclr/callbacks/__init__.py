"""Learning-rate and batch-size schedules as callbacks for any skorch net.

Every callback here works on a plain :class:`skorch.NeuralNetClassifier` with its stock
``DataLoader`` as well as on :class:`skclr.CLRLeNetClassifier`, and writes what it does to
``net.history``.
"""

from skclr.callbacks._accuracy import BatchAccuracy
from skclr.callbacks._batch_doubling import BatchDoubling
from skclr.callbacks._batch_schedule import BatchSizeSchedule
from skclr.callbacks._batch_schedule import batch_size_of as batch_size_of
from skclr.callbacks._batch_schedule import check_batch_sizes as check_batch_sizes
from skclr.callbacks._batch_size_setter import BatchSizeSetter as BatchSizeSetter
from skclr.callbacks._batch_size_setter import _GrowingIterator
from skclr.callbacks._batch_size_setter import iterations_ahead as iterations_ahead
from skclr.callbacks._cosine import CosineLR, CosineRestartsLR
from skclr.callbacks._cosine import check_warmup as check_warmup
from skclr.callbacks._cycle_average import CycleAverage
from skclr.callbacks._cycle_ends import CycleEnds as CycleEnds
from skclr.callbacks._cycle_ends import cycles_of as cycles_of
from skclr.callbacks._cycle_ends import schedules_of as schedules_of
from skclr.callbacks._cycles import Cycles as Cycles
from skclr.callbacks._cyclic import CyclicLR
from skclr.callbacks._halving import LRHalving
from skclr.callbacks._lr_schedule import LRSchedule
from skclr.callbacks._lr_schedule import constant_lr as constant_lr
from skclr.callbacks._noise_doubling import NoiseDoubling
from skclr.callbacks._noise_scale import GradientNoiseScale
from skclr.callbacks._one_cycle import OneCycleLR
from skclr.callbacks._range_test import LRRangeTest
from skclr.callbacks._rate_callback import LRRecorder as LRRecorder
from skclr.callbacks._resume import Resume
from skclr.callbacks._stand_in import IteratorStandIn as IteratorStandIn
from skclr.callbacks._stop import StopTraining
from skclr.callbacks._stop import SweepEnded as SweepEnded
from skclr.callbacks._weights import Weights as Weights

__all__ = [
    "BatchAccuracy",
    "BatchDoubling",
    "BatchSizeSchedule",
    "CosineLR",
    "CosineRestartsLR",
    "CycleAverage",
    "CyclicLR",
    "GradientNoiseScale",
    "LRHalving",
    "LRRangeTest",
    "LRSchedule",
    "NoiseDoubling",
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
    Cycles,
    Weights,
):  # pickles know them, too, by this address
    pickled.__module__ = __name__
del name, pickled
