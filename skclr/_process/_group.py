"""The processes of torch.distributed that share one training, and that fail together."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor

from skclr._process._interrupts import Interrupts
from skclr._process._memory import keep_memory
from skclr._process._start import can_be_set_up, set_up_group
from skclr._process._turns import process_lock

_FINE, _INTERRUPTED, _FAILED = range(3)
_LOOK_UP = timedelta(seconds=1)  # from waiting for the others, so that Ctrl-C is heard
_LONGEST_NAME = 200  # bytes, of what a process does
_START = (
    "Start the program by torchrun (torchrun --nproc-per-node 2 program.py), or call "
    "torch.distributed.init_process_group before fit."
)
_LOST = (
    "A process of this training has ended, or cannot be reached any more, and so the training ends "
    "in all of them. With checkpoint= and torchrun --max-restarts 3 it goes on from its last "
    "checkpoint by itself."
)

_IN_A_CHILD = (
    "distributed=True shares one training among the processes that were started together, and this "
    "is another one, started by one of them, as a search with n_jobs does. Let the search have "
    "n_jobs=None, or its estimator distributed=False."
)

_known: tuple[Any, Group] | None = None  # that of a group of torch's
_of_parent: Any = None  # a group that belongs to the process that this one was forked from


class AgreedInterrupts:
    """The interrupts of a process of a group, which take effect in all of them at one place.

    Parameters
    ----------
    own : Interrupts
        Those of this process.
    """

    may_wait = True

    def __init__(self, own: Interrupts):
        self.own = own
        self.own.may_wait = True
        self._is_agreed = False

    @property
    def is_waiting(self) -> bool:
        """Whether all processes know that one of them has been interrupted."""
        return self._is_agreed

    def agree(self) -> None:
        """Take it that one of the processes has been interrupted."""
        self._is_agreed = True
        if not self.own.is_waiting:
            self.own.handle(partial(_raise, KeyboardInterrupt()))

    def raise_waiting(self) -> None:
        """Do what the signal was to do, which all processes do now."""
        if self._is_agreed:
            self.own.raise_waiting()


class OfAnotherProcess(Exception):
    """The cause of an error that was raised in another process, with the traceback there."""


class Group:
    """The processes that share a training: they meet, swap bytes, and fail together.

    Before anything is swapped all of them meet, and say what they are about to do. One that has
    failed says that in place of it, so that nobody waits for what does not come.

    Attributes
    ----------
    rank, size : int
        The place of this process among them, from 0, and how many they are.
    interrupts : AgreedInterrupts or None
        Those of the training under way.
    """

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self.interrupts: AgreedInterrupts | None = None
        self._is_broken = False
        self._depth = 0  # the sweeps of a training are trainings
        self._told: BaseException | None = None  # in this training, and so known to all processes

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let an error in one process end what is done here in all of them, with that error."""
        with process_lock:  # of trainings in several threads, others would not know the order
            if self._is_broken:
                raise RuntimeError(_LOST)
            if not self._depth:
                self._told = None
            self._depth += 1
            try:
                yield
                self.meet("come to the end of a training")
            except BaseException as error:
                self._tell(error)
                raise
            finally:
                self._depth -= 1

    def meet(self, doing: str, key: int = 0, length: int = 0) -> list[int]:
        """Wait until all processes are about to do the same.

        Parameters
        ----------
        doing : str
            What, for the error where another one does something else.
        key : int
            What has to be equal in all of them, besides.
        length : int
            Of what this one is going to send; those of all of them are returned.

        Raises
        ------
        RuntimeError
            If another process is about to do something else, or has gone.
        BaseException
            That of another process, where one has failed.
        """
        interrupts = self.interrupts
        status = _FINE
        if interrupts is not None:
            interrupts.raise_waiting()  # in all of them, as was agreed
            status = _INTERRUPTED if interrupts.own.is_waiting else _FINE
        mark = blake2b(f"{doing} {key}".encode(), digest_size=7).digest()
        headers = self._headers(status, int.from_bytes(mark, "little"), length)
        if any(status == _FAILED for status, _, _ in headers):
            self._raise_of_another(headers, b"")
        if len({mark for _, mark, _ in headers}) > 1:
            self._raise_unlike(doing)
        if interrupts is not None and any(status == _INTERRUPTED for status, _, _ in headers):
            interrupts.agree()
        return [length for _, _, length in headers]

    def swap(self, parts: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """Send bytes to each process, and return those that come from each.

        Parameters
        ----------
        parts : sequence of Tensor of uint8, each of one dimension
            What each of them is to get.
        sizes : sequence of int
            How many bytes come from each.
        """
        came = torch.empty(sum(sizes), dtype=torch.uint8, device="cpu")
        try:
            work = dist.all_to_all_single(
                came, torch.cat(list(parts)), list(sizes), list(map(len, parts)), async_op=True
            )
            _wait(work)
        except RuntimeError as error:
            self._is_broken = True
            raise RuntimeError(_LOST) from error
        except BaseException:  # a second Ctrl-C, which does not wait
            self._is_broken = True
            raise
        return list(came.split(list(sizes)))

    def gather(self, doing: str, value: Any) -> list[Any]:
        """Return what each process gives, in their order, once all are about to do the same."""
        data = pickle.dumps(value)
        lengths = self.meet(doing, length=len(data))
        return [pickle.loads(part) for part in self._bytes_of_all(data, lengths)]

    def from_first(self, doing: str, value: Any) -> Any:
        """Return what the first process gives, in each."""
        data = pickle.dumps(value) if self.rank == 0 else b""
        lengths = self.meet(doing, length=len(data))
        return pickle.loads(self._bytes_of_all(data, lengths)[0])

    def _bytes_of_all(self, data: bytes, lengths: Sequence[int]) -> list[bytes]:
        parts = self.swap([as_bytes(data)] * self.size, lengths)
        return [part.numpy().tobytes() for part in parts]

    def _headers(self, *header: int) -> list[tuple[int, ...]]:
        row = torch.tensor(header, dtype=torch.int64, device="cpu").view(torch.uint8)
        came = self.swap([row] * self.size, [len(row)] * self.size)
        return [tuple(part.clone().view(torch.int64).tolist()) for part in came]

    def _tell(self, error: BaseException) -> None:
        """Tell the others of an error, which they raise."""
        if self._is_broken or any(each is self._told for each in _chain(error)):
            return
        self._told = error
        data = _packed(error)
        try:
            headers = self._headers(_FAILED, 0, len(data))
            if any(status != _FAILED for status, _, _ in headers):
                self._errors(headers, data)
        except RuntimeError:  # they have gone: nobody is left to be told
            return

    def _errors(self, headers: Sequence[tuple[int, ...]], own: bytes) -> list[bytes]:
        lengths = [length if status == _FAILED else 0 for status, _, length in headers]
        return self._bytes_of_all(own, lengths)

    def _raise_of_another(self, headers: Sequence[tuple[int, ...]], own: bytes) -> NoReturn:
        errors = self._errors(headers, own)
        rank, data = next((rank, data) for rank, data in enumerate(errors) if data)
        error, text = _unpacked(data)
        self._told = error
        if self.interrupts is not None and isinstance(error, KeyboardInterrupt):
            self.interrupts.own.add(error)
        raise error from OfAnotherProcess(f"\n\nIn process {rank} of {self.size}:\n{text}")

    def _raise_unlike(self, doing: str) -> NoReturn:
        row = as_bytes(doing.encode()[:_LONGEST_NAME].ljust(_LONGEST_NAME))
        rows = self.swap([row] * self.size, [_LONGEST_NAME] * self.size)
        texts = [part.numpy().tobytes().decode(errors="replace").rstrip() for part in rows]
        others = [(rank, text) for rank, text in enumerate(texts) if text != texts[0]]
        if others:
            rank, text = others[0]
            said = f"process 0 is about to {texts[0]}, process {rank} to {text}"
        else:
            said = f"all are about to {doing}, with other numbers"
        self._told = RuntimeError(
            f"The processes of a training with distributed=True have to do the same: {said}. Give "
            "each the same data, and callbacks that decide alike in all of them."
        )
        raise self._told


def find_group() -> Group | None:
    """Return the processes that have been started together, or None where there is but one.

    Where no process group has been set up, it is, from what torchrun has left in the environment.

    Raises
    ------
    ValueError
        If there is no process group to be had, or none that sends what lies in main memory.
    """
    global _known
    if not dist.is_available():
        raise ValueError("distributed=True needs torch.distributed, and this torch has none.")
    if not dist.is_initialized():
        if not can_be_set_up():
            raise ValueError(f"distributed=True takes several processes, and this is one. {_START}")
        if multiprocessing.parent_process() is not None:  # it has the environment of its parent
            raise ValueError(_IN_A_CHILD)
        set_up_group()
    elif dist.group.WORLD is _of_parent:
        raise ValueError(_IN_A_CHILD)
    if dist.get_world_size() == 1:
        return None
    backend = str(dist.distributed_c10d.get_backend_config())
    if "cpu:gloo" not in backend:
        raise ValueError(
            f"distributed=True exchanges gradients by gloo, and the process group has {backend!r}: "
            "set it up with torch.distributed.init_process_group('gloo'), or with "
            "'cpu:gloo,cuda:nccl'."
        )
    if _known is None or _known[0] is not dist.group.WORLD:
        _known = dist.group.WORLD, Group()
        keep_memory()
    return _known[1]


def _note_group_of_parent() -> None:
    global _of_parent
    _of_parent = dist.group.WORLD if dist.is_available() and dist.is_initialized() else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_group_of_parent)


def speaks_for_all(net: Any) -> bool:
    """Tell whether this is the process that shows the progress of a net's trainings."""
    if not getattr(net, "distributed", False):
        return True
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"


def as_bytes(data: bytes) -> Tensor:
    """Return bytes as a tensor."""
    if not data:
        return torch.empty(0, dtype=torch.uint8, device="cpu")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _wait(work: Any) -> None:
    """Wait for the others as long as it takes, and hear Ctrl-C meanwhile."""
    while True:
        try:
            work.wait(_LOOK_UP)
            return
        except RuntimeError:  # either it has failed, or the second is over
            if work.is_completed():
                work.wait()
                return


def _packed(error: BaseException) -> bytes:
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        whole = pickle.dumps(error)
    except Exception:  # of a class of one's own, which may hold anything
        whole = b""
    return pickle.dumps((whole, text, f"{type(error).__name__}: {error}"))


def _unpacked(data: bytes) -> tuple[BaseException, str]:
    whole, text, brief = pickle.loads(data)
    try:
        error = pickle.loads(whole)
    except Exception:  # of a class that is not to be had here
        error = None
    return error if isinstance(error, BaseException) else RuntimeError(brief), text


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _raise(error: BaseException) -> NoReturn:
    raise error
