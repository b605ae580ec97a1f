"""One training: its state, its step, the network that answers, and the net that runs them."""

from skclr._training._batch import without_weights
from skclr._training._clones import (
    check_net,
    fit_clone,
    fit_passing_on_interrupts,
    labels_for,
)
from skclr._training._epoch_log import EpochLog
from skclr._training._net import ImageClassifier
from skclr._training._network import Network, parameter_names
from skclr._training._state import Boundaries, PredictionState, Snapshot, TrainingState

__all__ = [
    "Boundaries",
    "EpochLog",
    "ImageClassifier",
    "Network",
    "PredictionState",
    "Snapshot",
    "TrainingState",
    "check_net",
    "fit_clone",
    "fit_passing_on_interrupts",
    "labels_for",
    "parameter_names",
    "without_weights",
]

for part in (Boundaries, EpochLog, PredictionState, TrainingState):  # as pickles know them
    part.__module__ = __name__
del part
