"""Rates, batches, augmentation and the history of a training."""

import math

import numpy as np
import pytest
import torch
import torch._inductor.config
from classifiers import Spy, lenet, quick, rates, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from torch import nn

from skclr import schedules

# ---------------------------------------------------------------- schedules


PER_EPOCH, EPOCHS = 4, 5  # 60 images, 16 in a batch


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", lambda t, base, top: np.full(len(t), top)),
        (
            "triangular",
            lambda t, base, top: schedules.triangular(t, base_lr=base, max_lr=top, step_size=6),
        ),
        (
            "triangular2",
            lambda t, base, top: schedules.triangular2(t, base_lr=base, max_lr=top, step_size=6),
        ),
        (
            "exp_range",
            lambda t, base, top: schedules.exp_range(
                t, base_lr=base, max_lr=top, step_size=6, gamma=0.97
            ),
        ),
        (
            "one_cycle",
            lambda t, base, top: schedules.one_cycle(
                t, max_lr=top, total_steps=PER_EPOCH * EPOCHS, div_factor=top / base
            ),
        ),
        (
            "lr_halving",
            lambda t, base, top: schedules.lr_halving(t, max_lr=top, base_lr=base, step_size=6),
        ),
        (
            "cosine",
            lambda t, base, top: schedules.cosine(
                t, max_lr=top, base_lr=base, total_steps=PER_EPOCH * EPOCHS, warmup=0.5 * PER_EPOCH
            ),
        ),
        (
            "cosine_restarts",
            lambda t, base, top: schedules.cosine_restarts(
                t, max_lr=top, base_lr=base, step_size=6, factor=1.5, warmup=0.5 * PER_EPOCH
            ),
        ),
        (lambda t: 0.2 / (1 + t), lambda t, base, top: 0.2 / (1 + t)),
    ],
    ids=lambda value: value if isinstance(value, str) else "function",
)
def test_rates_are_those_of_the_schedule(two_classes, schedule, expected):
    spy = Spy()
    clf = lenet(
        schedule=schedule,
        base_lr=0.002,
        max_lr=0.05,
        step_size=1.5,
        gamma=0.97,
        cycle_factor=1.5,
        warmup=0.5,
        max_epochs=EPOCHS,
        callbacks=[spy],
    ).fit(*two_classes)
    updates = np.arange(PER_EPOCH * EPOCHS)
    assert_allclose(rates(clf), expected(updates, 0.002, 0.05), rtol=1e-12)
    assert_array_equal(rates(clf), spy.rates_)


def test_batch_doubling_doubles_the_batch_and_holds_the_rate(two_classes):
    spy = Spy()
    clf = quick(
        schedule="batch_doubling",
        batch_size=8,
        max_batch_size=30,
        step_size=2,
        max_epochs=6,
        max_lr=0.02,
        base_lr=0.5,  # plays no part
        callbacks=[spy],
    ).fit(*two_classes)
    frame = clf.history_frame()
    expected = schedules.batch_doubling(np.arange(6), batch_size=8, step_size=2, max_batch_size=30)
    assert_array_equal(frame["batch_size"], expected)
    assert_array_equal(frame["n_updates"], np.ceil(60 / expected))
    sizes = [len(images) for images, _ in spy.training_]
    assert sizes == [7, 8] * 8 + [15] * 8 + [30] * 4
    assert_array_equal(clf.history_frame("batch")["batch_size"], sizes)
    assert set(spy.rates_) == {0.02}
    assert clf.get_params()["batch_size"] == 8


@pytest.mark.parametrize("batch_size", [64, 300])
def test_a_plain_optimizer_of_torch_makes_the_same_updates(fashion, batch_size):
    """The whole training over again, by hand."""
    X, y = fashion
    spy = Spy()
    clf = quick(
        batch_size=batch_size,
        max_epochs=3,
        schedule="triangular",
        base_lr=0.001,
        max_lr=0.01,
        step_size=1,
        momentum=0.8,
        weight_decay=0.01,
        callbacks=[spy],
    ).fit(X, y)

    again = quick(max_epochs=1, schedule=lambda iteration: 0.0).fit(X, y)  # first weights, rate 0
    module = again.module_
    optimizer = torch.optim.SGD(module.parameters(), lr=0.001, momentum=0.8, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        optimizer, 0.001, 0.01, step_size_up=math.ceil(400 / batch_size), cycle_momentum=False
    )
    for images, targets in spy.training_:
        images = (images.double() - X.mean()) / X.std()
        black = -X.mean() / X.std()
        images = nn.functional.pad(images[:, None], (2, 2, 2, 2), value=black).float()
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images.view(-1, 1, 32, 32)), targets).backward()
        optimizer.step()
        scheduler.step()
    assert_allclose(weights(clf), weights(again), atol=1e-5)


# ---------------------------------------------------------------- augmentation


def test_augmentation_sees_float_images_in_training_only(fashion):
    X, y = fashion
    seen = []

    def augmentation(images):
        seen.append((images.dtype, tuple(images.shape)))
        return images

    clf = quick(augmentation=augmentation, batch_size=150, validation_fraction=0.25)
    clf.fit(X, y)
    clf.predict(X)
    assert seen == [(torch.float32, (150, 1, 32, 32))] * 2


def test_augmented_images_are_what_the_network_learns_from(two_classes):
    X, y = two_classes
    blind = lenet(augmentation=torch.zeros_like, max_epochs=3).fit(X, y)
    proba = blind.predict_proba(np.full_like(X[:1], 128))
    assert blind.history_frame()["train_loss"].iloc[-1] > 0.5
    assert np.isfinite(proba).all()
    plain = lenet(max_epochs=3).fit(X, y)
    assert plain.history_frame()["train_loss"].iloc[-1] < 0.5


def test_draws_of_the_augmentation_come_from_random_state(two_classes):
    params = {"augmentation": lambda images: images + torch.randn_like(images)}
    first = lenet(**params).fit(*two_classes)
    torch.manual_seed(99)
    assert_array_equal(weights(lenet(**params).fit(*two_classes)), weights(first))
    assert not np.array_equal(weights(lenet(**params, random_state=1).fit(*two_classes)),
                              weights(first))  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [lambda images: images[:-1], lambda images: images[..., 1:], lambda images: None]
)
def test_augmentation_that_returns_something_else_is_named(two_classes, wrong):
    with pytest.raises(ValueError, match=r"augmentation must return .*\(15, 1, 32, 32\)"):
        lenet(augmentation=wrong).fit(*two_classes)


# ---------------------------------------------------------------- history


def test_history_by_epoch_has_the_documented_columns(fashion):
    X, y = fashion
    frame = lenet(max_epochs=3, batch_size=100, validation_fraction=0.25).fit(X, y).history_frame()
    assert frame.columns.tolist() == [
        "epoch", "train_loss", "train_acc", "valid_loss", "valid_acc", "lr", "batch_size",
        "n_updates", "dur",
    ]  # fmt: skip
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert frame["batch_size"].tolist() == [100] * 3
    assert frame["n_updates"].tolist() == [3] * 3
    assert (frame["dur"] > 0).all()
    assert frame.notna().all(axis=None)
    assert frame["epoch"].dtype.kind == frame["n_updates"].dtype.kind == "i"


def test_history_by_iteration_has_the_documented_columns(fashion):
    X, y = fashion
    clf = lenet(max_epochs=2, batch_size=150).fit(X, y).partial_fit(X, y)
    frame = clf.history_frame("batch")
    assert frame.columns.tolist() == ["epoch", "iteration", "lr", "batch_size", "train_loss"]
    assert frame["epoch"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert frame["iteration"].tolist() == list(range(12))
    assert frame["batch_size"].tolist() == [133, 133, 134] * 4
    by_epoch = clf.history_frame()
    last = frame.groupby("epoch").last()
    assert_array_equal(by_epoch["lr"], last["lr"])
    weighted = (frame["train_loss"] * frame["batch_size"]).groupby(frame["epoch"]).sum() / 400
    assert_allclose(by_epoch["train_loss"], weighted, rtol=1e-6)


def test_without_validation_its_columns_are_empty(two_classes):
    frame = quick().fit(*two_classes).history_frame()
    assert frame[["valid_loss", "valid_acc"]].isna().all(axis=None)


def test_training_accuracy_is_taken_as_training_goes_on(two_classes):
    X, y = two_classes
    clf = lenet(schedule=lambda iteration: 0.0).fit(X, y)  # nothing is learned on the way
    assert clf.history_frame()["train_acc"].iloc[0] == pytest.approx(clf.score(X, y))


@pytest.mark.parametrize("level", ["epochs", None, 1])
def test_history_has_two_levels_only(two_classes, level):
    with pytest.raises(ValueError, match="level"):
        quick().fit(*two_classes).history_frame(level)


def test_history_needs_a_fit():
    with pytest.raises(NotFittedError):
        quick().history_frame()


def test_a_history_that_was_looked_at_is_not_written_to_by_the_next_fit(two_classes):
    clf = quick().fit(*two_classes)
    first = clf.history_
    clf.fit(*two_classes)
    assert len(first) == len(clf.history_) == 1
    assert first is not clf.history_
