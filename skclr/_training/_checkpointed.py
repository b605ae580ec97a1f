"""The net that writes its training down, and goes on from what is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.data import Dataset

from skclr._checkpoints import (
    CheckpointFile,
    Recorder,
    beginning_digest,
    checkpoint_path,
    training_identity,
)
from skclr._process import watched_interrupts
from skclr._training._graphs import UpdateGraphs
from skclr._training._grouped import GroupedNet, GroupFile
from skclr._training._network import NO_COMPILER, is_lack_of_compiler
from skclr.batches import BatchIterator, kept_on_device, labels_in
from skclr.callbacks import SweepEnded


class Split(NamedTuple):
    """Training and validation data on their way into skorch's loop."""

    train: Dataset
    valid: Dataset | None


class CheckpointedNet(GroupedNet):
    """A net whose trainings can be killed: with a `checkpoint`, each goes on where it was."""

    checkpoint: Any = None  # pickles of before have neither
    checkpoint_every: float = 1.0
    max_epochs: int

    _recorder: Recorder | None = None

    @contextmanager
    def _recorded(self, data: Mapping[str, Any], n_calls: int, new: bool) -> Iterator[int | None]:
        """Have the training under way written down; give the seed of a new one."""
        seed = self._agreed_seed(data, n_calls, new)
        if self.checkpoint is None:
            yield seed
            return
        # without a random_state each new training is a draw of its own, unless it is gone on with
        told = {} if self.random_state is None or not new else {"random_state": self._shown(seed)}
        beginning = None if new else beginning_digest(self, self._training.generators)
        identity = training_identity(self, data, **told, call=n_calls, beginning=beginning)
        file = self._file_of(identity, n_calls)
        with file.locked():
            recorder = Recorder(
                self, file, identity, self.checkpoint_every, self.max_epochs, self._begin_step
            )
            recorder.seed = seed
            recorder.read()
            self._recorder = recorder
            try:
                yield recorder.seed
            finally:
                self._recorder = None

    def _file_of(self, identity: Mapping[str, Any], n_calls: int) -> CheckpointFile:
        if self._group is None:
            return CheckpointFile(checkpoint_path(self.checkpoint, identity, n_calls))
        if self._is_silent:
            return GroupFile(Path(self.checkpoint), self._group)
        return GroupFile(checkpoint_path(self.checkpoint, identity, n_calls), self._group)

    def _shown(self, seed: int | None) -> str:
        given = self.random_state
        return str(given) if isinstance(given, Integral) else f"one that draws {seed}"

    def _begin_step(self) -> None:
        self._step = self._new_step()
        self._set_training(True)

    def _run(self, split: Split) -> None:
        self._train_on(split)
        if self._recorder is not None:
            self._recorder.finish()

    def _train_on(self, split: Split) -> None:
        y, fails = labels_in(split.train), True
        with (
            watched_interrupts() as interrupts,
            self._heard_by_all(interrupts) as heard,
            kept_on_device(self._network.device, self._indexed_whole(split)),
        ):
            if self._recorder is not None:
                self._recorder.listen_to(heard)
            self._graphs = UpdateGraphs()
            try:
                self.notify("on_train_begin", X=split.train, y=y)
                self.fit_loop(split, epochs=self._epochs_left())
                self._check_last_update(split.train)
                fails = False
            except KeyboardInterrupt as stop:  # which skorch's callbacks end a training with
                if interrupts.caused(stop):
                    raise
                if not isinstance(stop, SweepEnded):
                    self._check_last_update(split.train)
                fails = False
            except Exception as error:
                if self.compile and is_lack_of_compiler(error):
                    raise RuntimeError(NO_COMPILER) from error
                raise
            finally:
                self._step = self._graphs = None
                self._labelled = None, None
                try:
                    self.notify("on_train_end", X=split.train, y=y)
                except Exception:  # which would hide what has ended the training
                    if not fails:
                        raise

    def _indexed_whole(self, split: Split) -> list[Dataset]:
        """Return the data sets whose batches are indexed at once, wherever they lie."""
        pairs = [(split.train, self.iterator_train), (split.valid, self.iterator_valid)]
        return [
            dataset
            for dataset, iterator in pairs
            if dataset is not None
            and isinstance(iterator, type)
            and issubclass(iterator, BatchIterator)
        ]

    def _epochs_left(self) -> int:
        return self.max_epochs if self._recorder is None else self._recorder.begin()

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Go through an epoch, or through what is left of it."""
        recorder = self._recorder if training else None
        if recorder is not None:
            iterator = recorder.batches(iterator)
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        if recorder is not None:
            n_batches = self.history[-1][f"{prefix}_batch_count"] + recorder.batches_of_before()
            self.history.record(f"{prefix}_batch_count", n_batches)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; write the state when they have seen the end of an epoch."""
        super().notify(method_name, **cb_kwargs)
        if method_name == "on_epoch_end" and self._recorder is not None:
            self._recorder.end_epoch()
