"""A plain skorch net whose training is killed goes on, and ends with the same bits."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.callbacks import BatchDoubling, CycleAverage, CyclicLR, OneCycleLR, Resume
from skclr.exceptions import CheckpointWarning

sys.path.insert(0, str(Path(__file__).parents[1] / "checkpoints"))
from killing import can_fork, killed_at, rows


class Dropping(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 2))


def make(path=None, callbacks=(), every=0.3, **parameters):
    """Return a net whose seed is set, with a split that draws."""
    torch.manual_seed(1)
    np.random.seed(1)
    resume = [] if path is None else [Resume(path, every)]
    given = {
        "max_epochs": 4, "batch_size": 16, "iterator_train__shuffle": True, "verbose": 0,
        "criterion": nn.CrossEntropyLoss, "train_split": ValidSplit(4), **parameters,
    }  # fmt: skip
    return NeuralNetClassifier(Dropping, callbacks=[*callbacks, *resume], **given)


def state(net):
    return (
        rows(net.history),
        [part.numpy().tobytes() for part in net.module_.state_dict().values()],
        repr(net.optimizer_.state_dict()),
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),
    )


def early():
    never = {"threshold": 10, "threshold_mode": "abs"}
    return [EarlyStopping(patience=2, load_best=True, **never), LRScheduler("StepLR", step_size=1)]


def scored():
    return [EpochScoring("accuracy", on_train=True, name="score"), OneCycleLR(0.1)]


def doubling():
    return [BatchDoubling(8, every=1), CyclicLR(base_lr=0.01, max_lr=0.1, step_size=1)]


def averaged():
    never = EarlyStopping(patience=2, threshold=10, threshold_mode="abs", load_best=True)
    cycles = CyclicLR(base_lr=0.01, max_lr=0.1, step_size=2, step_unit="iteration")
    return [cycles, CycleAverage(start=0.5), never]


@can_fork
@pytest.mark.parametrize("callbacks", [list, early, scored, doubling, averaged])
def test_a_net_that_is_killed_ends_with_the_same_bits(callbacks, table, tmp_path):
    def train(path=None):
        return make(path, callbacks()).fit(*table)

    expected = state(train())
    for n in range(1, 8):
        assert killed_at(n, lambda n=n: train(tmp_path / str(n))) == n
        assert state(train(tmp_path / str(n))) == expected


@can_fork
def test_a_split_that_draws_is_drawn_again(table, tmp_path):
    def train(path=None):
        split = ValidSplit(0.25, stratified=False)
        return make(path, train_split=split, optimizer=torch.optim.Adam).fit(*table)

    expected = state(train())
    for n in (2, 4, 5):
        assert killed_at(n, lambda n=n: train(tmp_path / str(n))) == n
        assert state(train(tmp_path / str(n))) == expected


@can_fork
def test_a_call_that_goes_on_has_a_file_of_its_own(table, tmp_path):
    X, y = table

    def train(path=None):
        return make(path, [OneCycleLR(0.1)], max_epochs=2).fit(X, y).partial_fit(X[:40], y[:40])

    expected = state(train())
    for n in (3, 8, 10):
        folder = tmp_path / str(n)
        folder.mkdir()
        assert killed_at(n, lambda f=folder: train(f / "a.safetensors")) == n
        assert state(train(folder / "a.safetensors")) == expected
        assert {path.name for path in folder.glob("a*")} == {"a.safetensors", "a-3.safetensors"}


@pytest.mark.parametrize("callbacks", [list, averaged])
def test_a_finished_training_is_not_repeated(callbacks, table, tmp_path):
    first = make(tmp_path / "a", callbacks()).fit(*table)
    before = (tmp_path / "a").read_bytes()
    again = make(tmp_path / "a", callbacks()).fit(*table)
    assert state(again) == state(first)
    assert (tmp_path / "a").read_bytes() == before


@pytest.mark.parametrize(
    ("other", "words"),
    [({"batch_size": 8}, "batch_size is 16 there and 8 here"), ({"max_epochs": 5}, "max_epochs")],
)
def test_another_training_is_named_and_the_file_left_alone(other, words, table, tmp_path):
    make(tmp_path / "a").fit(*table)
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(ValueError, match=f"another training: .*{words}"):
        make(tmp_path / "a", **other).fit(*table)
    X, y = table
    with pytest.raises(ValueError, match="the training images are others"):
        make(tmp_path / "a").fit(X + 1, y)
    assert (tmp_path / "a").read_bytes() == before


def test_it_has_to_be_the_last(table, tmp_path):
    net = make(callbacks=[Resume(tmp_path / "a"), ("late", EarlyStopping())])
    with pytest.raises(ValueError, match="'late' comes after it"):
        net.fit(*table)


@pytest.mark.parametrize("every", [0, -1, "often"])
def test_every_is_a_number_of_epochs(every, table, tmp_path):
    with pytest.raises(ValueError, match="every must be"):
        make(tmp_path / "a", every=every).fit(*table)


def test_an_interrupt_is_no_end(table, tmp_path):
    class Interrupting(Callback):
        only_watches = True
        has_been = False

        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3 and not Interrupting.has_been:
                Interrupting.has_been = True
                os.kill(os.getpid(), signal.SIGINT)

    net = make(tmp_path / "a", [Interrupting]).fit(*table)  # skorch swallows it
    assert len(net.history) == 3
    assert state(make(tmp_path / "a", [Interrupting]).fit(*table)) == state(make().fit(*table))


class Stream:
    """Batches of a length that nobody knows."""

    def __init__(self, dataset, batch_size, **kwargs):
        self.loader = torch.utils.data.DataLoader(dataset, batch_size)

    def __iter__(self):
        return iter(self.loader)


@can_fork
def test_batches_without_a_number_are_written_by_whole_epochs(table, tmp_path):
    def train(path=None):
        return make(path, iterator_train=Stream, iterator_train__shuffle=False).fit(*table)

    with pytest.warns(CheckpointWarning, match="no length"):
        train(tmp_path / "a")
    assert killed_at(2, lambda: train(tmp_path / "b")) == 2
    with pytest.warns(CheckpointWarning):
        assert state(train(tmp_path / "b")) == state(train())


@pytest.mark.parametrize(
    "params",
    [{}, {"schedule": "batch_doubling", "step_size": 1}, {"augmentation": lambda x: x.flip(3)}],
)
def test_watching_changes_no_bit_of_the_classifier(fashion, tmp_path, params):
    X, y = (part[:257] for part in fashion)  # one image more than whole batches
    given = {"max_epochs": 2, "random_state": 0, **params}
    alone = CLRLeNetClassifier(**given).fit(X, y)
    watched = CLRLeNetClassifier(**given, callbacks=[Resume(tmp_path / "file")]).fit(X, y)
    assert rows(watched.history_) == rows(alone.history_)
    assert (watched.predict_proba(X) == alone.predict_proba(X)).all()


def test_a_wrong_interval_or_folder_is_named_before_training(tmp_path):
    X, y = np.zeros((20, 4), np.float32), np.arange(20) % 2
    for path, every, expected in [
        (tmp_path / "file", 0, "every must be"),
        (tmp_path / "file", "1", "every must be"),
        (tmp_path / "none" / "file", 1, "there is no folder"),
    ]:
        net = make(path, every=every)
        with pytest.raises(ValueError, match=expected):
            net.fit(X, y)
        assert not net.history
