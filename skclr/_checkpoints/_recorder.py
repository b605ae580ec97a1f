"""A training written down as it goes on, and gone on with."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import skorch

from skclr._checkpoints._epochs import EpochEncoder, decode_epochs
from skclr._checkpoints._file import CheckpointFile
from skclr._checkpoints._format import NOT_OURS, pack, unpack
from skclr._checkpoints._identity import differences, identity_digest
from skclr._checkpoints._net_state import (
    NetState,
    check_generators,
    encode_generators,
    encode_net,
    set_generators,
)
from skclr._checkpoints._values import Tensors, decode, encode
from skclr._process import AgreedInterrupts, Interrupts
from skclr.exceptions import CheckpointWarning

_ENTRY = "skclr.checkpoint"
_FORMAT = 1
SWEEPS, TRAINING, FINISHED = "sweeps", "training", "finished"


def checkpoint_path(
    checkpoint: str | os.PathLike, identity: Mapping[str, Any], call: int = 1
) -> Path:
    """Return the file of a training: the one that is named, or one of a folder.

    Parameters
    ----------
    checkpoint : path
        A file; or a folder, which exists or whose name ends in a separator, where each training
        has a file of its own.
    identity : mapping
        What the training is told by.
    call : int, default=1
        Which call of `fit` or `partial_fit` it is, since the weights were new; each has a file.
    """
    path = Path(checkpoint)
    if is_folder(checkpoint):
        with suppress(OSError):  # the first writing tells of it
            path.mkdir(parents=True, exist_ok=True)
        return path / f"{identity_digest(identity)}.safetensors"
    if not path.parent.is_dir():
        raise ValueError(f"checkpoint={str(path)!r}: there is no folder {path.parent}.")
    return path if call == 1 else path.with_name(f"{path.stem}-{call}{path.suffix}")


def is_folder(checkpoint: str | os.PathLike | None) -> bool:
    """Tell whether this is a folder, or the name of one to come."""
    if checkpoint is None:
        return False
    return Path(checkpoint).is_dir() or os.fspath(checkpoint).endswith((os.sep, "/"))


class Sweeps(dict):
    """The sweeps of a range test by their seeds, written down as they come."""

    def __init__(self, on_new: Callable[[], None]):
        super().__init__()
        self._on_new = on_new

    def __setitem__(self, seed: int, losses: Any) -> None:
        super().__setitem__(seed, losses)
        self._on_new()


class Recorder:
    """Writes the state of a training to a file as it goes on, and goes on from what is there.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net in training.
    file : CheckpointFile
        Where to.
    identity : dict
        What the training is told by.
    every : float
        Epochs from one checkpoint to the next.
    n_epochs : int
        Epochs of the training.
    get_ready : callable, default=bool
        Called before the state is put into a net in the middle of an epoch.

    Attributes
    ----------
    seed : int or None
        What the training was seeded with, to be written with the rest.
    sweeps : Sweeps
        Those that were made.
    """

    def __init__(
        self,
        net: skorch.NeuralNet,
        file: CheckpointFile,
        identity: dict[str, Any],
        every: float,
        n_epochs: int,
        get_ready: Callable[[], Any] = bool,
    ):
        self._net = net
        self._file = file
        self._identity = identity
        self._every = every
        self._n_epochs = n_epochs
        self._get_ready = get_ready
        self.seed: int | None = None
        self.sweeps = Sweeps(lambda: self._write(SWEEPS))
        self._found: dict[str, Any] = {"phase": None}
        self._tensors: Tensors = {}
        self._n_before = 0  # epochs of the history that came before this training
        self._skipped = 0  # batches of the epoch under way that were trained before
        self._slot = 0  # of the last checkpoint, counted in `every`
        self._first_generators: Any = None  # when the training began
        self._first_tensors: Tensors = {}
        self._epoch_generators: Any = None
        self._epoch_tensors: Tensors = {}
        self._encoder = EpochEncoder()
        self._unknown: set[str] = set()
        self._interrupts: Interrupts | AgreedInterrupts = Interrupts()

    @property
    def is_finished(self) -> bool:
        """Whether the file holds the end of the training."""
        return self._found["phase"] == FINISHED

    # ---------------------------------------------------------------- reading

    def read(self) -> None:
        """Read what there is, or raise ValueError where it is not of this training."""
        data = self._file.read()
        if data is None:
            return
        path = self._file.path
        try:
            found, tensors = unpack(_ENTRY, data)
            if found["format"] != _FORMAT:
                raise ValueError(f"format {found['format']!r}")
            other = differences(found["identity"], self._identity)
            if not other:
                self._check(found, tensors)
        except NOT_OURS as error:
            raise ValueError(
                f"{path} is no whole checkpoint: {error!r}. It is left as it is; move it away, or "
                "name another file."
            ) from None
        if other:
            raise ValueError(
                f"{path} is the checkpoint of another training: {', '.join(other)}. It is left as "
                "it is; name another file, or delete it to begin anew. A folder has a file for "
                "each training."
            )
        self._found, self._tensors = found, tensors
        self.seed = found["seed"]
        for seed, losses in decode(found["sweeps"], tensors):
            dict.__setitem__(self.sweeps, seed, losses)

    def _check(self, found: Mapping[str, Any], tensors: Tensors) -> None:
        """Raise ValueError, or its like, where the parts do not go together."""
        n_epochs, n_batches = found["n_epochs"], found["n_batches"]
        phase, seed = found["phase"], found["seed"]
        if phase not in (SWEEPS, TRAINING, FINISHED):
            raise ValueError(f"phase={phase!r}")
        if not (seed is None or (type(seed) is int and 0 <= seed < 2**32)):
            raise ValueError(f"seed={seed!r}")
        if not all(type(n) is int and n >= 0 for n in (n_epochs, n_batches)):
            raise ValueError(f"n_epochs={n_epochs!r} and n_batches={n_batches!r}")
        epochs = decode_epochs(found["history"], tensors)
        if phase == TRAINING and len(epochs) != n_epochs + bool(n_batches):
            raise ValueError(f"a history of {len(epochs)} epochs")
        if phase != SWEEPS:
            check_generators(decode(found["first_generators"], tensors))
        if n_batches:
            check_generators(decode(found["epoch_generators"], tensors))
        for sweep_seed, (losses, smoothed) in decode(found["sweeps"], tensors):
            if not all(type(x) is float for x in (*losses, *smoothed)) or type(sweep_seed) is bool:
                raise ValueError("sweeps")

    def begin(self) -> int:
        """Take up the training, which has just begun, and return how many epochs are left."""
        self._n_before = len(self._net.history)
        self._first_generators = encode_generators(
            self._net, "first_generators", self._first_tensors
        )
        if self._found["phase"] in (TRAINING, FINISHED):
            self._first_generators = self._found["first_generators"]
            self._first_tensors = {
                name: tensor
                for name, tensor in self._tensors.items()
                if name.startswith("first_generators/")
            }
        if self.is_finished:
            self._put_back(None)
            return 0
        if self._found["phase"] != TRAINING:
            self._write(TRAINING)
            return self._n_epochs
        n_done, self._skipped = self._found["n_epochs"], self._found["n_batches"]
        self._slot = self._slot_of(n_done)  # that within the epoch follows with its batches
        self._put_back(n_done)
        return self._n_epochs - n_done

    def _put_back(self, n_epochs: int | None) -> None:
        """Put the state into the net, with so many of the epochs, or with all."""
        history = self._net.history
        try:
            state = NetState.decoded(self._found["state"], self._net, self._tensors)
            epochs = decode_epochs(self._found["history"], self._tensors)
            history[self._n_before :] = epochs[:n_epochs]
            state.put_into(self._net)
        except NOT_OURS as error:
            raise ValueError(
                f"The checkpoint {self._file.path} does not fit this net: "
                f"{' '.join(str(error).split())}"
            ) from None

    def set_first_generators(self) -> None:
        """Let the generators be those with which the training began, for what it draws then."""
        generators = decode(self._first_generators, self._first_tensors)
        set_generators(self._net, generators)

    def set_generators(self) -> None:
        """Let the generators of a training that was taken up be those that it has come to."""
        if self._found["phase"] in (TRAINING, FINISHED):
            state = decode(self._found["state"]["generators"], self._tensors)
            set_generators(self._net, state)

    def listen_to(self, interrupts: Interrupts | AgreedInterrupts) -> None:
        """Let Ctrl-C wait until the batch has been trained and the state written."""
        self._interrupts = interrupts
        interrupts.may_wait = True

    # ---------------------------------------------------------------- an epoch

    def batches(self, iterator: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches of an epoch of training that are left, and write in between."""
        n = _length_of(iterator)
        if self._skipped:
            generators = decode(self._found["epoch_generators"], self._tensors)
            set_generators(self._net, generators)
        self._epoch_tensors = {}
        self._epoch_generators = encode_generators(
            self._net, "epoch_generators", self._epoch_tensors
        )
        batches = iter(iterator)
        if self._skipped:
            for _ in range(self._skipped):
                next(batches)
            self._get_ready()
            self._put_back(None)
        n_done = self._n_done() - 1  # the history has the epoch under way
        if n is not None and self._skipped:
            self._slot = self._slot_of(n_done + self._skipped / n)
        for place, batch in enumerate(batches, self._skipped + 1):
            yield batch
            is_due = n is not None and place < n and self._is_due(n_done + place / n)
            if is_due or self._interrupts.is_waiting:
                self._write(TRAINING, n_done, place)
            self._interrupts.raise_waiting()

    def batches_of_before(self) -> int:
        """Return how many batches of the epoch were trained before, and forget them."""
        skipped, self._skipped = self._skipped, 0
        return skipped

    def end_epoch(self) -> None:
        """Note that an epoch has ended, validation and callbacks included."""
        if self._is_due(self._n_done()) or self._interrupts.is_waiting:
            self._write(TRAINING, self._n_done())
        self._interrupts.raise_waiting()

    def finish(self) -> None:
        """Write down the end of the training; where it has been before, nothing changes it."""
        if self.is_finished:
            self._put_back(None)
        else:
            self._write(FINISHED, self._n_done())

    def _n_done(self) -> int:
        return len(self._net.history) - self._n_before

    def _slot_of(self, position: float) -> int:
        return int(position / self._every + 1e-9)

    def _is_due(self, position: float) -> bool:
        slot = self._slot_of(position)
        is_due = slot > self._slot
        self._slot = max(slot, self._slot)
        return is_due

    # ---------------------------------------------------------------- writing

    def _write(self, phase: str, n_epochs: int = 0, n_batches: int = 0) -> None:
        if not self._file.is_written_here:
            return
        tensors: Tensors = {}
        state, history = None, []
        if phase != SWEEPS:
            state, unknown = encode_net(self._net, tensors)
            self._warn_of(unknown)
            history = self._encoder.encode(self._net.history[self._n_before :], tensors)
        tensors |= self._first_tensors
        if n_batches:
            tensors |= self._epoch_tensors
        described = {
            "format": _FORMAT,
            "identity": self._identity,
            "phase": phase,
            "seed": self.seed,
            "sweeps": encode(list(self.sweeps.items()), "sweeps", tensors),
            "n_epochs": n_epochs,
            "n_batches": n_batches,
            "first_generators": self._first_generators,
            "epoch_generators": self._epoch_generators if n_batches else None,
            "history": history,
            "state": state,
        }
        self._file.write(pack(_ENTRY, described, tensors))

    def _warn_of(self, unknown: Iterable[str]) -> None:
        new = [name for name in unknown if name not in self._unknown]
        self._unknown.update(new)
        if new:
            warnings.warn(
                f"A checkpoint does not hold the state of {', '.join(new)}, of which it is not "
                "known: gone on with, the training may end with other bits. A callback tells its "
                "state by state_dict and load_state_dict.",
                CheckpointWarning,
                stacklevel=2,
            )


def _length_of(iterator: Any) -> int | None:
    """Return the number of batches, None where it is not known: epochs are then written whole."""
    try:
        return len(iterator)
    except TypeError:
        return None
