"""Small convolutional networks with learning-rate and batch-size schedules, for scikit-learn."""

from skclr.callbacks import BatchDoubling, CyclicLR, GradientNoiseScale, LRRangeTest
from skclr.classifier import CLRLeNetClassifier, DivergenceError
from skclr.comparison import ScheduleComparison, compare_schedules
from skclr.datasets import fetch_fashion_mnist, load_fashion_mnist_sample
from skclr.ensemble import SnapshotEnsemble
from skclr.lenet import LeNet5
from skclr.range_test import LRRangeResult, lr_candidates_test, lr_range_test

__version__ = "0.2.0"

__all__ = [
    "BatchDoubling",
    "CLRLeNetClassifier",
    "CyclicLR",
    "DivergenceError",
    "GradientNoiseScale",
    "LRRangeResult",
    "LRRangeTest",
    "LeNet5",
    "ScheduleComparison",
    "SnapshotEnsemble",
    "compare_schedules",
    "fetch_fashion_mnist",
    "load_fashion_mnist_sample",
    "lr_candidates_test",
    "lr_range_test",
]
