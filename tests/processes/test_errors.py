"""An error in one process ends the training in all of them, with that error and in seconds."""

import os
import signal
import time

import numpy as np
import pytest
import torch
import torch.distributed as dist
from groups import can_fork, in_group, small, values
from skorch.callbacks import Callback
from torch import nn

from skclr import DivergenceError
from skclr.augmentation import RandomShiftFlip
from skclr.callbacks import LRSchedule, StopTraining

pytestmark = can_fork

LINEAR = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))


class Odd(Exception):
    """An error that cannot be pickled."""

    def __init__(self, *, text):
        super().__init__(text)
        self.where = lambda: None


class In(Callback):
    """Do something in one of the processes, at the end of the second update."""

    def __init__(self, rank, act):
        self.rank = rank
        self.act = act

    def on_batch_end(self, net, training=None, **kwargs):
        if training and dist.get_rank() == self.rank and len(net.history[-1]["batches"]) == 2:
            self.act()


def fail():
    raise ArithmeticError("of one's own")


def fail_oddly():
    raise Odd(text="strange")


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def stop():
    raise StopTraining


def run_out_of_memory():
    raise MemoryError


def raised(train):
    """Return what a training raises, as type, text and the text of its cause, and its updates."""
    clf = small(distributed=True, batch_size=70)
    try:
        train(clf)
    except BaseException as error:
        cause = "" if error.__cause__ is None else str(error.__cause__)
        epochs = clf.history_ or []
        n = sum("train_loss" in row for epoch in epochs for row in epoch["batches"])
        return type(error), str(error), cause, n
    return None


@pytest.fixture(scope="module")
def images(_fashion):
    return _fashion


def of_another(ends, rank):
    return [end for other, end in enumerate(ends) if other != rank]


@pytest.fixture(scope="module")
def errors(images):
    """The errors of several trainings, one after the other in the same group."""
    X, y = images

    def with_callback(*args):
        return lambda clf: clf.set_params(callbacks=[In(*args)]).fit(X, y)

    def bad_input(clf):
        clf.fit(X, y[:-1] if dist.get_rank() == 1 else y)

    def other_data(clf):
        clf.fit(X if dist.get_rank() == 0 else X[::-1], y)

    def other_parameters(clf):
        clf.set_params(max_lr=0.1 if dist.get_rank() == 0 else 0.2, base_lr=0.01).fit(X, y)

    def other_seed(clf):
        clf.set_params(random_state=dist.get_rank()).fit(X, y)

    def other_weights(clf):
        np.random.seed(dist.get_rank())
        clf.set_params(random_state=None).initialize()
        clf.partial_fit(X, y)

    trainings = {
        "callback of the first": with_callback(0, fail),
        "callback of the last": with_callback(2, fail),
        "no pickle": with_callback(1, fail_oddly),
        "memory": with_callback(1, run_out_of_memory),
        "Ctrl-C": with_callback(2, interrupt),
        "end of one": with_callback(1, stop),
        "bad input": bad_input,
        "other data": other_data,
        "other parameters": other_parameters,
        "other seed": other_seed,
        "other weights": other_weights,
        "divergence": lambda clf: clf.set_params(
            module=LINEAR, max_lr=1e38, schedule="constant").fit(X, y),
        "batch norm": lambda clf: clf.set_params(module=nn.Sequential(
            nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1024, 10))).fit(X, y),
        "class weights": lambda clf: clf.set_params(
            criterion__weight=[1.0] * 10, criterion=Weighted).fit(X, y),
        "dropout": lambda clf: clf.set_params(module=nn.Sequential(
            nn.Flatten(), nn.Dropout(), nn.Linear(1024, 10))).fit(X, y),
        "augmentation": lambda clf: clf.set_params(
            augmentation=lambda images: images + np.random.rand()).fit(X, y),
        "device": lambda clf: clf.set_params(device="mps").fit(X, y),
        "none": lambda clf: clf.set_params(augmentation=RandomShiftFlip()).fit(X, y),
    }  # fmt: skip
    return values(in_group(3, lambda rank: {name: raised(trainings[name]) for name in trainings}))


class Weighted(nn.CrossEntropyLoss):
    def __init__(self, weight):
        super().__init__(weight=torch.tensor(weight))


@pytest.mark.parametrize(
    ("name", "rank", "error", "text"),
    [
        ("callback of the first", 0, ArithmeticError, "of one's own"),
        ("callback of the last", 2, ArithmeticError, "of one's own"),
        ("memory", 1, MemoryError, ""),
        ("bad input", 1, ValueError, "samples"),
    ],
)
def test_an_error_of_one_process_is_raised_in_all(errors, name, rank, error, text):
    found = [end[name] for end in errors]
    assert {kind for kind, *_ in found} == {error}
    assert len({said for _, said, *_ in found}) == 1
    assert text in found[0][1]
    for _, _, cause, _ in of_another(found, rank):
        assert f"In process {rank} of 3" in cause
        assert f"{error.__name__}" in cause


def test_one_that_cannot_be_sent_is_told_by_its_text(errors):
    found = [end["no pickle"] for end in errors]
    assert [kind for kind, *_ in found] == [RuntimeError, Odd, RuntimeError]
    assert found[0][1] == "Odd: strange"


def test_ctrl_c_in_one_process_ends_all_after_the_same_update(errors):
    found = [end["Ctrl-C"] for end in errors]
    assert {kind for kind, *_ in found} == {KeyboardInterrupt}
    assert {n for *_, n in found} == {3}  # the signal came at the end of the second one


def test_a_process_that_ends_its_training_alone_is_named(errors):
    for kind, text, *_ in (end["end of one"] for end in errors):
        assert kind is RuntimeError
        assert "process 0 is about to train on 67 samples, process 1 to have trained its" in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other data", "process 1 has another training than process 0: the training images"),
        ("other parameters", "max_lr is 0.1 there and 0.2 here"),
        ("other seed", "random_state is 0 there and 1 here"),
        ("other weights", "goes on from other weights"),
        ("divergence", "Training diverged"),
        ("batch norm", "batch normalization"),
        ("class weights", "class_weight of the classifier"),
        ("dropout", "dropout"),
        ("augmentation", "'generator'"),
        ("device", "compute on the CPU"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_all_of_them(errors, name, text):
    for kind, said, *_ in (end[name] for end in errors):
        assert issubclass(kind, ValueError)
        assert text in said


def test_after_all_of_that_the_group_trains_on(errors):
    assert [end["none"] for end in errors] == [None] * 3


def test_a_process_that_is_killed_ends_the_others(images):
    X, y = images

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def train(rank):
        clf = small(distributed=True, batch_size=70, callbacks=[In(1, kill)])
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="A process of this training has ended"):
            clf.fit(X, y)
        with pytest.raises(RuntimeError, match="has ended"):
            clf.set_params(callbacks=None).fit(X, y)
        return time.monotonic() - began, clf.initialized_

    first, killed, third = in_group(3, train)
    assert killed is None
    for seconds, is_fitted in values([first, third]):
        assert seconds < 60
        assert not is_fitted


def test_a_failed_training_leaves_the_classifier_as_it_was(images):
    X, y = images

    def train(rank):
        clf = small(distributed=True, batch_size=200).fit(X, y)
        before = clf.predict_proba(X)
        n_epochs = len(clf.history_)
        clf.set_params(callbacks=[In(1, fail)])
        for call in (clf.fit, clf.partial_fit):
            with pytest.raises(ArithmeticError):
                call(X, y)
        return np.array_equal(clf.predict_proba(X), before), len(clf.history_) == n_epochs

    assert values(in_group(2, train)) == [(True, True)] * 2


def test_a_divergence_has_its_attributes(images):
    X, y = images

    def train(rank):
        wild = LRSchedule(lambda iteration: 1e38)
        clf = small(distributed=True, module=LINEAR, schedule=None, callbacks=[wild])
        with pytest.raises(DivergenceError) as caught:
            clf.fit(X, y)
        return caught.value.epoch, caught.value.lr

    assert values(in_group(2, train)) == [(1, 1e38)] * 2
