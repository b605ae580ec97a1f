"""Trainings that survive: their state in a file that is whole at any moment, and back."""

from skclr._checkpoints._checks import check_optimizer, check_weights
from skclr._checkpoints._file import CheckpointFile, write_whole
from skclr._checkpoints._format import NOT_OURS, pack, unpack
from skclr._checkpoints._identity import differences, places_looked_at, training_identity
from skclr._checkpoints._net_state import beginning_digest
from skclr._checkpoints._recorder import Recorder, Sweeps, checkpoint_path, is_folder

__all__ = [
    "NOT_OURS",
    "CheckpointFile",
    "Recorder",
    "Sweeps",
    "beginning_digest",
    "check_optimizer",
    "check_weights",
    "checkpoint_path",
    "differences",
    "is_folder",
    "pack",
    "places_looked_at",
    "training_identity",
    "unpack",
    "write_whole",
]
