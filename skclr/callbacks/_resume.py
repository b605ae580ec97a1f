"""A training of any skorch net written down, and gone on with."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, PrintLog

from skclr._checkpoints import (
    CheckpointFile,
    Recorder,
    beginning_digest,
    checkpoint_path,
    places_looked_at,
    training_identity,
)
from skclr._fingerprint import data_digest
from skclr._process import isolated_generators, watched_interrupts
from skclr.callbacks._stand_in import IteratorStandIn
from skclr.callbacks._stop import StopTraining
from skclr.exceptions import CheckpointWarning


class Resume(Callback):
    """Write the state of a training to a file, and go on from it where the training was killed.

    It has to be the last of the callbacks, since it puts the states of the others back when they
    have begun.

    Parameters
    ----------
    path : path
        The file; an existing folder, or one whose name ends in ``/``, has a file for each training.
        A call of ``partial_fit`` that goes on has a file of its own, with the epoch that it begins
        with at the end of its name.
    every : float, default=1.0
        Epochs from one checkpoint to the next: 0.1 writes ten times an epoch.

    Raises
    ------
    ValueError
        When training begins: if the file is of another training, with what differs; if a callback
        comes after this one; if there is no folder for the file.
    RuntimeError
        When training begins, if another process writes the file.

    Warns
    -----
    CheckpointWarning
        If the file cannot be written, or a callback does not tell its state, or the training
        iterator has no length, so that epochs can only be written whole.

    See Also
    --------
    skclr.CLRLeNetClassifier : Its parameter `checkpoint` does the same, and draws its seeds itself.

    Notes
    -----
    In the file are the states of modules, criteria and optimizers, the global generators of torch,
    NumPy and Python, the generator of ``iterator_train__generator``, the order of the epoch and the
    place in it, the history, and what the callbacks of skorch and of this package remember; other
    callbacks tell it by ``state_dict`` and ``load_state_dict``.

    The bits are those of the uninterrupted training where net, data and callbacks draw from those
    generators alone, and keep what they go by in these places. A subclass of a net that accumulates
    gradients or counts something by itself has a state that nobody knows of: gradients are kept,
    other attributes are not. A ``num_workers`` of the loader is no hindrance. Of a data set that is
    no array, 64 samples tell whether it is the same.

    The training is told by the parameters of the net, the data and the versions. Where it began
    from weights that a global seed determines, that seed is no part of it: what is in the file
    counts.

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> from skclr.callbacks import Resume
    >>> X = np.random.RandomState(0).randn(60, 4).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> def train(path):
    ...     net = NeuralNetClassifier(
    ...         nn.Linear, module__in_features=4, module__out_features=2,
    ...         criterion=nn.CrossEntropyLoss, max_epochs=3, train_split=None,
    ...         callbacks=[Resume(path)], verbose=0)
    ...     return net.fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "training.safetensors")
    ...     first, again = train(path), train(path)  # the second one is loaded
    >>> bool((again.predict_proba(X) == first.predict_proba(X)).all())
    True
    """

    only_watches = True
    recorder_: Any = None  # of the training under way
    watched_: Any = None
    stack_: ExitStack | None = None

    def __init__(self, path: str | os.PathLike, every: float = 1.0) -> None:
        self.path = path
        self.every = every

    def initialize(self) -> Resume:
        """Forget an earlier training."""
        self._end()
        return self

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Take up the training that the file holds, or begin to write this one."""
        self._end()
        self._check(net)
        n_before = len(net.history)
        identity = training_identity(
            net,
            {},
            X=_digest(X),
            y=_digest(y),
            epochs_before=n_before,
            beginning=beginning_digest(net) if n_before else None,
        )
        file = CheckpointFile(checkpoint_path(self.path, identity, n_before + 1))
        with ExitStack() as stack:
            stack.enter_context(file.locked())
            self.interrupts_ = stack.enter_context(watched_interrupts())
            self.recorder_ = Recorder(net, file, identity, self.every, net.max_epochs)
            self.recorder_.read()
            self.left_ = self.recorder_.begin()
            self.is_to_end_ = self.left_ < net.max_epochs
            self.recorder_.set_first_generators()  # of which the split into train and valid draws
            self.stack_ = stack.pop_all()
        own = net.iterator_train
        # a training that failed before its first epoch may have left our stand-in behind
        own = own.own if isinstance(own, _WatchedIterator) else own
        self.watched_ = _WatchedIterator(
            own, self.recorder_, self.every, partial(setattr, net, "iterator_train", own)
        )
        net.iterator_train = self.watched_

    def _check(self, net: NeuralNet) -> None:
        if not (isinstance(self.every, (int, float)) and self.every > 0):
            raise ValueError(f"every must be a number of epochs above 0, got {self.every!r}.")
        names = [name for name, callback in net.callbacks_]
        place = [callback for _, callback in net.callbacks_].index(self)
        later = [
            name
            for name, callback in net.callbacks_[place + 1 :]
            if not isinstance(callback, PrintLog)
        ]
        if later:
            raise ValueError(
                f"Resume ({names[place]!r}) has to be the last of the callbacks, and {later[0]!r} "
                "comes after it."
            )

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """End a training whose epochs have all been trained, some of them before."""
        if not self.watched_.is_in_use:
            raise RuntimeError(
                "Resume had no effect: another callback took the net's training iterator before "
                "the first epoch."
            )
        if self.is_to_end_ and not self.left_:
            del net.history[-1]  # the epoch that has just begun
            raise StopTraining
        self.left_ -= 1

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Write, where it is due."""
        self._correct_count(net)
        self.recorder_.end_epoch()

    def _correct_count(self, net: NeuralNet) -> None:
        """Count the batches of an epoch that were trained before, too."""
        n_before = self.recorder_.batches_of_before()
        if n_before and "train_batch_count" in net.history[-1]:
            net.history.record("train_batch_count", net.history[-1]["train_batch_count"] + n_before)

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Write the end, unless Ctrl-C has brought it about."""
        if self.recorder_ is not None and not self.interrupts_.have_come:
            self._correct_count(net)  # where another callback has ended the epoch before us
            self.recorder_.finish()
        self._end()

    def _end(self) -> None:
        stack, self.stack_ = self.stack_, None
        self.recorder_ = self.watched_ = None
        if stack is not None:
            stack.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "every": self.every}  # the file belongs to the one that is here


class _WatchedIterator(IteratorStandIn):
    """Builds the iterator that the recorder goes through."""

    def __init__(
        self, own: Callable[..., Any], recorder: Recorder, every: float, put_back: Callable[[], Any]
    ) -> None:
        super().__init__(own)
        self.is_in_use = False
        self._recorder = recorder
        self._every = every
        self._put_back = put_back

    def __call__(self, dataset: Any, **kwargs: Any) -> _Watched:
        self._put_back()
        self.is_in_use = True
        built = super().__call__(dataset, **kwargs)
        self._recorder.set_generators()
        if self._every % 1 and not hasattr(built, "__len__"):
            warnings.warn(
                "The training iterator has no length, so a checkpoint is written when an epoch has "
                "ended, and not in its middle.",
                CheckpointWarning,
                stacklevel=2,
            )
        return _Watched(built, self._recorder)


class _Watched:
    def __init__(self, iterator: Any, recorder: Recorder) -> None:
        self._iterator = iterator
        self._recorder = recorder

    def __iter__(self) -> Iterator[Any]:
        return self._recorder.batches(self._iterator)

    def __len__(self) -> int:
        return len(self._iterator)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)


def _digest(data: Any) -> str | None:
    """Return a digest of what a net is fitted with."""
    if data is None or isinstance(data, (np.ndarray, pd.DataFrame, pd.Series, torch.Tensor)):
        return None if data is None else data_digest([data])
    if isinstance(data, dict):
        return joblib.hash({name: _digest(part) for name, part in data.items()})
    if isinstance(data, torch.utils.data.Dataset) and hasattr(data, "__len__"):
        with isolated_generators(0):  # of which a data set may draw
            samples = [_as_arrays(data[place]) for place in places_looked_at(len(data)).tolist()]
        return joblib.hash([type(data).__qualname__, len(data), samples])
    if isinstance(data, (list, tuple)):
        return joblib.hash([_digest(part) if hasattr(part, "shape") else part for part in data])
    return type(data).__qualname__


def _as_arrays(sample: Any) -> Any:
    if isinstance(sample, torch.Tensor):
        return sample.detach().cpu().numpy()
    if isinstance(sample, (list, tuple)):
        return [_as_arrays(part) for part in sample]
    if isinstance(sample, dict):
        return {name: _as_arrays(part) for name, part in sample.items()}
    return sample
