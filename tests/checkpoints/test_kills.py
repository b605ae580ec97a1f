"""A training that is killed goes on, and ends with the bits of one that was not."""

import os
import signal

import numpy as np
import pytest
import torch
from killing import assert_same, can_fork, killed_at, rows, small
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring, Freezer, LRScheduler
from torch import nn
from torch.utils.data import DataLoader

from skclr import GradientNoiseScale
from skclr.augmentation import RandomShiftFlip
from skclr.exceptions import CheckpointWarning

pytestmark = can_fork


@pytest.fixture
def data(fashion):
    X, y = fashion
    return X[:160], y[:160]


def check_kills(tmp_path, train, kills, X, every=0.3):
    """Kill a training at some of its checkpoints, one after the other, and go on each time."""
    expected = train()
    for n in kills:
        given = {"checkpoint": str(tmp_path / f"{n}.safetensors"), "checkpoint_every": every}
        assert killed_at(n, lambda given=given: train(**given)) == n
        assert_same(train(**given), expected, X)


SCHEDULES = ["constant", "triangular", "triangular2", "exp_range", "one_cycle", "lr_halving",
             "cosine", "cosine_restarts", "batch_doubling"]  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_keeps_its_place(schedule, data, tmp_path):
    def train(**given):
        return small(schedule=schedule, **given).fit(*data)

    check_kills(tmp_path, train, [1, 3, 5, 8], data[0])


def growing(epoch):
    return [32, 64, 16][epoch]


@pytest.mark.parametrize("schedule", ["exp_range", "one_cycle"])
@pytest.mark.parametrize("batch_schedule", ["doubling", "noise", growing])
def test_both_knobs_keep_their_places(schedule, batch_schedule, data, tmp_path):
    def train(**given):
        params = {"schedule": schedule, "batch_schedule": batch_schedule}
        return small(batch_size=8, max_batch_size=32, **params, **given).fit(*data)

    assert len(set(train().history_[:, "batch_size"])) > 1
    check_kills(tmp_path, train, [3, 6, 8], data[0])


def test_the_order_of_an_epoch_and_its_augmentation_go_on_in_its_middle(data, tmp_path):
    def train(**given):
        clf = small(augmentation=RandomShiftFlip(), validation_fraction=0.2, max_epochs=2, **given)
        return clf.fit(*data)

    check_kills(tmp_path, train, range(1, 9), data[0], every=0.25)


class Dropping(nn.Module):
    """Draws random numbers, and has buffers."""

    def __init__(self, n_classes=10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.AvgPool2d(4), nn.BatchNorm2d(1), nn.Dropout(0.3), nn.Flatten(),
            nn.Linear(64, n_classes),
        )  # fmt: skip

    def forward(self, images):
        return self.layers(images)


def jitter(images):
    """Draw from all three global generators."""
    return images + np.random.rand() * torch.rand(len(images), 1, 1, 1)


def test_an_adam_a_dropout_and_buffers_go_on(data, tmp_path):
    def train(**given):
        clf = small(module=Dropping, optimizer=torch.optim.Adam, max_lr=0.01, augmentation=jitter,
                    optimizer__amsgrad=True, **given)  # fmt: skip
        return clf.fit(*data)

    check_kills(tmp_path, train, [2, 4, 7], data[0])


def test_a_data_loader_with_a_generator_of_its_own_goes_on(data, tmp_path):
    def train(**given):
        own = torch.Generator().manual_seed(3)
        clf = small(iterator_train=DataLoader, iterator_train__generator=own, **given)
        return clf.fit(*data)

    check_kills(tmp_path, train, [2, 5], data[0])


def test_callbacks_go_on_with_their_state(data, tmp_path):
    def train(**given):
        clf = small(
            schedule=None, validation_fraction=0.25, max_lr=0.5, max_epochs=8,
            callbacks=[
                EarlyStopping(patience=2, threshold=10, threshold_mode="abs", load_best=True),
                EpochScoring("accuracy", on_train=True, name="train_score"),
                LRScheduler("ReduceLROnPlateau", monitor="train_loss", patience=0),
                GradientNoiseScale(16, 2, smoothing=0.5),
                Checkpoint(monitor="valid_loss_best", dirname=tmp_path / "best"),
                Freezer("conv1*"),
            ],
            **given,
        )  # fmt: skip
        return clf.fit(*data)

    expected = train()
    assert len(expected.history_) == 3  # it was stopped
    check_kills(tmp_path, train, [2, 4, 6, 9], data[0])


def test_a_schedule_of_torch_that_steps_by_batches_goes_on(data, tmp_path):
    def train(**given):
        scheduler = LRScheduler(
            "CyclicLR", base_lr=0.001, max_lr=0.1, step_every="batch", step_size_up=7
        )
        return small(schedule=None, callbacks=[scheduler], **given).fit(*data)

    check_kills(tmp_path, train, [2, 4], data[0])


@pytest.mark.parametrize("schedule", ["triangular", "one_cycle"])
def test_each_call_of_partial_fit_goes_on_by_itself(schedule, data, tmp_path):
    X, y = data
    halves = []

    def train(**given):
        clf = small(schedule=schedule, max_epochs=2, **given).partial_fit(X, y)
        halves.append(clf.predict_proba(X))
        return clf.partial_fit(X[:100], y[:100])

    check_kills(tmp_path, train, [2, 6, 9, 11, 14], X)
    assert all((half == halves[0]).all() for half in halves)
    names = {path.name for path in tmp_path.glob("2*")}
    assert names == {"2.safetensors", "2-2.safetensors"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::skclr.exceptions.RangeTestWarning")
def test_sweeps_that_were_made_are_not_made_again(data, tmp_path, monkeypatch):
    import skclr._sweeps._sweep as sweeps

    def train(**given):
        clf = small(schedule="triangular", base_lr="auto", max_lr="auto", max_epochs=1, **given)
        return clf.fit(*data)

    expected, sweep_once = train(), sweeps._sweep_once
    made, n_sweeps = [], len(expected.lr_range_.losses)
    assert n_sweeps > 5
    monkeypatch.setattr(sweeps, "_sweep_once", lambda *a: made.append(a) or sweep_once(*a))
    for n in (1, 2, 5, n_sweeps, n_sweeps + 1):
        given = {"checkpoint": tmp_path / f"{n}.safetensors", "checkpoint_every": 0.5}
        assert killed_at(n, lambda given=given: train(**given)) == n
        made.clear()
        again = train(**given)
        assert len(made) == max(n_sweeps - n, 0)
        assert_same(again, expected, data[0])
        np.testing.assert_array_equal(again.lr_range_.losses, expected.lr_range_.losses)
        assert (again.base_lr_, again.max_lr_) == (expected.base_lr_, expected.max_lr_)


def test_a_training_without_a_seed_goes_on_with_the_one_that_it_drew(data, tmp_path):
    path = tmp_path / "unseeded.safetensors"
    clf = small(random_state=None, checkpoint=path)
    assert killed_at(2, lambda: clf.fit(*data)) == 2
    before = path.read_bytes()
    one = small(random_state=None, checkpoint=path).fit(*data)
    path.write_bytes(before)
    other = small(random_state=None, checkpoint=path).fit(*data)
    assert_same(one, other, data[0])


class Counting(Callback):
    """One's own, which tells its state."""

    def initialize(self):
        self.n_batches = 0
        return self

    def on_batch_end(self, net, training=None, **kwargs):
        self.n_batches += training
        net.history.record_batch("counted", self.n_batches)

    def state_dict(self):
        return {"n_batches": self.n_batches}

    def load_state_dict(self, state):
        self.n_batches = state["n_batches"]


class Forgetting(Counting):
    """The same, without a word."""

    state_dict = load_state_dict = property()


def test_a_callback_of_ones_own_tells_its_state(data, tmp_path):
    def train(**given):
        return small(callbacks=[Counting()], **given).fit(*data)

    check_kills(tmp_path, train, [3], data[0])


def test_a_callback_that_does_not_tell_its_state_is_named(data, tmp_path):
    clf = small(callbacks=[("mine", Forgetting())], checkpoint=tmp_path / "a", max_epochs=1)
    with pytest.warns(CheckpointWarning, match=r"state of mine \(Forgetting\)"):
        clf.fit(*data)


def test_a_training_killed_again_and_again_comes_to_its_end(data, tmp_path):
    def train(**given):
        return small(max_epochs=2, **given).fit(*data)

    given = {"checkpoint": tmp_path / "a", "checkpoint_every": 0.2}
    n_kills = 0
    while killed_at(2, lambda: train(**given)) == 2:
        n_kills += 1
    assert n_kills == 6
    assert_same(train(**given), train(), data[0])


def test_seconds_are_those_of_work(data, tmp_path):
    path = tmp_path / "a"
    assert killed_at(3, lambda: small(checkpoint=path).fit(*data)) == 3
    again = small(checkpoint=path).fit(*data)
    assert all(0 <= seconds < 60 for seconds in again.history_frame()["dur"])
    assert rows(again.history_) == rows(small().fit(*data).history_)


def test_the_same_classifier_is_fitted_again_after_an_interrupt(data, tmp_path):
    class Interrupting(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2 and interrupts:
                interrupts.pop()
                os.kill(os.getpid(), signal.SIGINT)

    interrupts = [True]
    own = [Interrupting(), Freezer("conv1*"), ("mine", Counting())]
    clf = small(callbacks=own, checkpoint=tmp_path / "a", checkpoint_every=0.5)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*data)
    assert_same(clf.fit(*data), small(callbacks=own).fit(*data), data[0])
    assert len(clf.history_) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_learned_before_an_interrupt_is_kept_up_to_its_batch(number, data, tmp_path):
    class InBatch(Callback):
        only_watches = True

        def on_grad_computed(self, net, **kwargs):
            rows = net.history[-1]["batches"]
            if len(net.history) == 2 and len(rows) == 3:
                signal.raise_signal(number)

    class Seen(Callback):
        only_watches = True
        n_batches = 0

        def on_batch_end(self, net, training=None, **kwargs):
            Seen.n_batches += training

    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        clf = small(checkpoint=tmp_path / "a", callbacks=[InBatch()])
        with pytest.raises(KeyboardInterrupt):
            clf.fit(*data)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert [len(epoch["batches"]) for epoch in clf.history_] == [5, 3]
    again = small(checkpoint=tmp_path / "a", callbacks=[Seen]).fit(*data)
    assert_same(again, small().fit(*data), data[0])
    assert Seen.n_batches == 15 - 8


def test_a_second_interrupt_does_not_wait(data, tmp_path):
    class Impatient(Callback):
        def on_batch_begin(self, net, training=None, **kwargs):
            if len(net.history) == 2:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
                raise AssertionError("the second one was not raised")

    with pytest.raises(KeyboardInterrupt):
        small(checkpoint=tmp_path / "a", callbacks=[Impatient()]).fit(*data)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
