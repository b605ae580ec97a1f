"""What cannot be trained, or would fail late, is told before the first update."""

import sys

import numpy as np
import pytest
import skorch.dataset
import torch
from classifiers import lenet, quick
from sklearn.base import clone
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    LRScheduler,
    Unfreezer,
)
from torch import nn
from torch.utils.data import TensorDataset

from skclr import CLRLeNetClassifier, DivergenceError, GradientNoiseScale, LeNet5


class Counting(Callback):
    """Count the updates."""

    n_updates = 0

    def on_batch_end(self, net, training=None, **kwargs):
        type(self).n_updates += bool(training)


@pytest.fixture(autouse=True)
def _from_zero():
    Counting.n_updates = 0


@pytest.mark.parametrize("fraction", [None, 0.25])
@pytest.mark.parametrize(
    ("callback", "monitor"),
    [
        (EarlyStopping(monitor="val_loss"), "val_loss"),
        (EarlyStopping(monitor="accuracy_best"), "accuracy_best"),
        (Checkpoint(monitor="f1_best"), "f1_best"),
    ],
)
def test_a_monitor_that_nothing_records_is_named(two_classes, callback, monitor, fraction):
    clf = lenet(callbacks=[callback], validation_fraction=fraction)
    with pytest.raises(ValueError, match=f"goes by '{monitor}', which nothing writes.*valid_loss"):
        clf.fit(*two_classes)
    assert not clf.initialized_


def test_a_monitor_whose_score_was_switched_off_is_named(two_classes):
    stopping = EarlyStopping(monitor="valid_acc")
    clf = lenet(callbacks=[stopping], callbacks__valid_acc=None, validation_fraction=0.25)
    with pytest.raises(ValueError, match="goes by 'valid_acc', which nothing writes"):
        clf.fit(*two_classes)


class Recording(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("own", 1.0)


def measured_and_recorded(net, X, y):
    net.history.record("beside", 1.0)
    return 0.0


@pytest.mark.parametrize(
    "callbacks",
    [
        [EpochScoring(measured_and_recorded, use_caching=False), EarlyStopping(monitor="beside")],
        [LRScheduler("StepLR", step_size=1, monitor="none")],
        [Recording(), EarlyStopping(monitor="own")],
        [GradientNoiseScale(n_batches=2), EarlyStopping(monitor="noise_scale")],
        [EpochScoring("f1_macro", name="f1"), EarlyStopping(monitor="f1")],
        [EpochScoring("f1_macro"), EarlyStopping(monitor="f1_macro_best")],
        [EarlyStopping(monitor="train_acc")],
        [EarlyStopping(monitor="dur")],
        [LRScheduler("ReduceLROnPlateau", monitor="train_loss")],
        [
            Checkpoint(
                lambda net: True, f_params=None, f_optimizer=None, f_criterion=None, f_history=None
            )
        ],
    ],
)
def test_a_monitor_that_is_recorded_is_taken(two_classes, callbacks):
    has_scheduler = any(isinstance(each, LRScheduler) for each in callbacks)
    schedule = {"schedule": None, "max_lr": 0.01} if has_scheduler else {}
    clf = lenet(callbacks=callbacks, validation_fraction=0.25, max_epochs=2, **schedule)
    assert len(clf.fit(*two_classes).history) == 2


def test_a_network_whose_weights_are_all_frozen_has_nothing_to_train(two_classes):
    clf = quick(callbacks=[Freezer("*"), Counting()])
    with pytest.raises(ValueError, match="no weight to train"):
        clf.fit(*two_classes)
    assert not Counting.n_updates


def test_fused_sgd_beside_weights_that_learn_later_is_refused(two_classes):
    callbacks = [Freezer("conv1*"), Unfreezer("conv1*", at=2), Counting()]
    clf = lenet(callbacks=callbacks, optimizer__fused=True, max_epochs=3)
    with pytest.raises(ValueError, match="fused SGD with momentum fails where weights begin"):
        clf.fit(*two_classes)
    assert not Counting.n_updates
    for works in (
        {"optimizer": torch.optim.Adam},
        {"momentum": 0.0},
        {"callbacks": [Freezer("conv1*"), Unfreezer("conv1*", at=1)]},
    ):
        clone(clf).set_params(**works).fit(*two_classes)


class LogProbabilities(nn.Sequential):
    last = nn.LogSoftmax

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(LeNet5(in_channels, n_classes), self.last(1))


class Probabilities(LogProbabilities):
    last = nn.Softmax


def test_a_network_of_logarithms_beside_nllloss_is_told_from_a_divergence(two_classes):
    clf = CLRLeNetClassifier(LogProbabilities, criterion=nn.NLLLoss, max_epochs=1)
    with pytest.raises(ValueError, match=r"that has to be probabilities.*CrossEntropyLoss"):
        clf.fit(*two_classes)
    clf = lenet(module=Probabilities, criterion=nn.NLLLoss, max_epochs=3).fit(*two_classes)
    assert clf.score(*two_classes) > 0.9


class OfLogarithms(CLRLeNetClassifier):
    def get_loss(self, y_pred, y_true, **kwargs):
        return self.criterion_(y_pred, y_true) * self.factor

    factor = 1.0


def test_a_loss_of_ones_own_takes_logarithms_and_diverges_as_any(two_classes):
    clf = OfLogarithms(
        LogProbabilities, criterion=nn.NLLLoss, predict_nonlinearity=torch.exp, max_epochs=4,
        batch_size=16, random_state=0,
    )  # fmt: skip
    assert clf.fit(*two_classes).score(*two_classes) > 0.9
    clf.factor = float("inf")
    with pytest.raises(DivergenceError):
        clf.fit(*two_classes)


@pytest.mark.parametrize("device", ["mps", "xpu", "hpu"])
def test_a_device_that_is_not_here_is_named(two_classes, device):
    try:
        torch.zeros(1, device=device)
    except Exception:
        with pytest.raises(ValueError, match=f"^device='{device}', but torch cannot compute"):
            lenet(device=device).fit(*two_classes)
    else:
        pytest.skip(f"there is a device {device!r} here")


SIZES = {
    "doubling": {"batch_schedule": "doubling", "step_size": 1},
    "function": {"batch_schedule": lambda epoch: 16 * 3**epoch},
    "batch_doubling": {"schedule": "batch_doubling", "step_size": 1},
}


@pytest.mark.parametrize("sizes", SIZES)
def test_batches_that_would_grow_beyond_the_data_and_be_left_out_are_refused(two_classes, sizes):
    given = {"max_lr": 0.01, "callbacks": [Counting()], **SIZES[sizes]}
    clf = lenet(max_epochs=4, iterator_train__drop_last=True, **given)
    with pytest.raises(ValueError, match="more than there are samples to train on, and drop_last"):
        clf.fit(*two_classes)
    assert not Counting.n_updates
    assert min(clf.set_params(max_epochs=2).fit(*two_classes).history_frame()["n_updates"]) > 0
    clf.set_params(max_epochs=4, iterator_train__drop_last=False).fit(*two_classes)
    assert clf.history_frame()["n_updates"].tolist()[-1] == 1


@pytest.mark.parametrize("verbose", [0, 1])
@pytest.mark.parametrize("stream", ["closed", "full", "gone"])
def test_a_table_that_cannot_be_printed_does_not_end_a_training(
    two_classes, monkeypatch, stream, verbose, tmp_path
):
    expected = quick(max_epochs=2).fit(*two_classes)

    class Full:
        closed = False

        def write(self, text=""):
            raise OSError(28, "No space left on device")

        flush = write  # which skorch calls, whatever is printed

    broken = {"closed": (tmp_path / "out").open("w"), "full": Full(), "gone": None}[stream]
    if stream == "closed":
        broken.close()
    monkeypatch.setattr(sys, "stdout", broken)
    try:
        clf = quick(max_epochs=2, verbose=verbose).fit(*two_classes)
    finally:
        monkeypatch.undo()
    assert len(clf.history) == 2
    assert np.array_equal(clf.predict_proba(two_classes[0]), expected.predict_proba(two_classes[0]))


class Tied(nn.Module):
    """Two layers with the same weight."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__()
        self.first, self.last = nn.Linear(1024, 16), nn.Linear(16, n_classes)
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 16)
        self.two.weight = self.one.weight

    def forward(self, images):
        hidden = self.one(self.first(images.flatten(1)).tanh()).tanh()
        return self.last(self.two(hidden).tanh())


def test_weights_that_are_tied_are_saved_as_safetensors(two_classes, tmp_path):
    clf, path = quick(module=Tied).fit(*two_classes), tmp_path / "tied.safetensors"
    clf.save_params(path, use_safetensors=True)
    loaded = quick(module=Tied).initialize()
    loaded.load_params(path, use_safetensors=True)
    X = two_classes[0]
    assert np.array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    assert loaded.module_.two.weight is loaded.module_.one.weight


@pytest.mark.parametrize("kind", [skorch.dataset.Dataset, TensorDataset])
def test_data_sets_in_memory_without_labels_are_told(two_classes, kind):
    X, y = two_classes
    unlabelled = kind(torch.as_tensor(X))
    for call in (
        lambda: quick().fit(unlabelled),
        lambda: quick().fit(X, y, X_val=unlabelled),
        lambda: quick().fit(X, y).score(unlabelled),
    ):
        with pytest.raises(ValueError, match="is None, and the samples of the data set have no"):
            call()


def test_a_training_that_goes_on_asks_for_no_size_beyond_its_end(two_classes, tmp_path):
    sizes, broken = [8, 16, 32, 48], [True]

    class Breaks(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if broken and len(net.history) == 3:
                broken.clear()
                raise RuntimeError("broken off")

    clf = lenet(
        batch_schedule=lambda epoch: sizes[epoch], max_epochs=4, callbacks=[Breaks()],
        checkpoint=tmp_path / "training", iterator_train__drop_last=True,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="broken off"):
        clf.fit(*two_classes)
    assert clf.fit(*two_classes).history[:, "batch_size"] == sizes
