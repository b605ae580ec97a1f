"""Trainings that survive: their state in a file that is whole at any moment, and back."""

from skclr._checkpoints._checks import check_optimizer, check_weights
from skclr._checkpoints._file import CheckpointFile, write_whole
from skclr._checkpoints._format import NOT_OURS, digest, pack, unpack
from skclr._checkpoints._identity import training_identity
from skclr._checkpoints._net_state import encode_weights
from skclr._checkpoints._recorder import Recorder, Sweeps, checkpoint_path, is_folder
from skclr._checkpoints._values import encode

__all__ = [
    "NOT_OURS",
    "CheckpointFile",
    "Recorder",
    "Sweeps",
    "check_optimizer",
    "check_weights",
    "checkpoint_path",
    "digest",
    "encode",
    "encode_weights",
    "is_folder",
    "pack",
    "training_identity",
    "unpack",
    "write_whole",
]
