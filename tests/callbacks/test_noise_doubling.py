"""Batches that are doubled by measurement, where the noise scale is known without one."""

import math
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from nets_for_callbacks import Spy, assert_same_weights, plain_net, weights
from sklearn.base import clone
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skclr.batches import BatchIterator
from skclr.callbacks import BatchSizeSchedule, GradientNoiseScale, NoiseDoubling, Resume

sys.path.insert(0, str(Path(__file__).parents[1] / "checkpoints"))
from killing import can_fork, killed_at, rows

N, N_FEATURES = 500, 50


@pytest.fixture
def table():
    """60 rows of four features that say little of their class, so that the gradient is noisy."""
    rng = np.random.RandomState(0)
    X = rng.randn(60, 4).astype(np.float32)
    return X, (X[:, 0] + 5 * rng.randn(60) > 0).astype(np.int64)


class Mean(nn.Module):
    """Predict one value for every sample: the gradient of half its squared error is its error."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.as_tensor(value, dtype=torch.float32).clone())

    def forward(self, X):
        return self.value.expand(len(X), -1)


class HalfSquaredError(nn.Module):
    def forward(self, y_pred, y):
        return (y_pred - y).square().sum(1).mean() / 2


def samples():
    """Return samples whose mean is 0 and whose variance is 1 in each feature, exactly."""
    y = np.random.RandomState(0).randn(N, N_FEATURES)
    return ((y - y.mean(axis=0)) / y.std(axis=0)).astype(np.float32)


def noise_scale(value):
    """The gradient of a sample is value - y: its mean is the value, its variance N_FEATURES."""
    return N_FEATURES / np.square(value).sum()


def value_of(scale):
    return np.full(N_FEATURES, 1 / math.sqrt(scale))


def estimator(value, *callbacks, **params):
    given = {"lr": 0.0, "max_epochs": 9, "train_split": None, "verbose": 0,
             "iterator_train": BatchIterator, "criterion": HalfSquaredError}  # fmt: skip
    torch.manual_seed(0)
    return NeuralNetRegressor(Mean, module__value=value, callbacks=list(callbacks),
                              **given | params)  # fmt: skip


@pytest.mark.parametrize("scale", [6, 11, 23, 45, 91, 181, 362])
def test_the_size_comes_to_the_last_doubling_within_a_noise_scale_that_is_known(scale):
    # a third of a doubling lies between each scale and the sizes about it
    net = estimator(value_of(scale), NoiseDoubling(4)).fit(samples(), samples())
    largest = max(4 * 2**k for k in range(9) if 4 * 2**k <= scale)
    sizes = net.history[:, "batch_size"]
    assert sizes[-1] == largest
    assert sizes == [min(4 * 2**epoch, largest) for epoch in range(9)]


def test_the_size_grows_with_the_noise_scale_of_a_quadratic_that_is_descended():
    y, lr = samples(), 0.0065
    net = estimator(value_of(7), NoiseDoubling(4, smoothing=0), lr=lr).fit(y, y)
    # each update takes the share lr of the way to the mean, but for the noise of its batch
    updates = np.cumsum(net.history[:, "train_batch_count"])
    known = noise_scale(value_of(7)) / (1 - lr) ** (2 * updates)
    expected = [4]
    for scale in known[:-1]:
        assert abs(math.log(scale / (2 * expected[-1]))) > 0.25  # or chance would decide
        expected.append(2 * expected[-1] if 2 * expected[-1] <= scale else expected[-1])
    assert net.history[:, "batch_size"] == expected
    assert expected[-3] == expected[-1] > 32


def test_a_doubling_is_made_where_an_update_becomes_worth_half_as_much_again():
    squared = np.square(value_of(40)).sum()

    def worth(size):
        # an update with a rate r leads to (1 - r) value + r mean of the batch, whose variance is
        # N_FEATURES / size; half the square is lost, at the best of all rates
        rate = np.linspace(0, 1, 100_001)
        after = (1 - rate) ** 2 * squared + rate**2 * N_FEATURES / size
        return (squared - after.min()) / 2

    for size in (5, 10, 20, 21, 40, 80):
        gain = worth(2 * size) / worth(size)
        assert gain == pytest.approx(2 * (40 + size) / (40 + 2 * size))
        doubled = NoiseDoubling(size).batch_size_after([40.0]) == 2 * size
        assert doubled == (gain > 1.5 - 1e-6)


def test_the_size_never_falls_and_stops_at_its_limit():
    doubling = NoiseDoubling(10, max_batch_size=70)
    measured = [19, 20, 5, math.inf, math.nan, 69, 70, 10**9, 1]
    sizes = [doubling.batch_size_after(measured[:n]) for n in range(10)]
    assert sizes == [10, 10, 20, 20, 40, 40, 40, 70, 70, 70]


def test_the_history_shows_what_was_measured_and_what_followed(make_net, table):
    spy = Spy()
    net = make_net(("noise", NoiseDoubling(4, max_batch_size=32)), spy, max_epochs=6).fit(*table)
    doubling = dict(net.callbacks_)["noise"]
    scales, sizes = net.history[:, "noise_scale"], net.history[:, "batch_size"]
    assert sizes == [doubling.batch_size_after(scales[:n]) for n in range(6)]
    assert [max(own) for own in spy.sizes] == sizes
    assert len(doubling.seconds_) == 6
    assert min(doubling.seconds_) > 0
    assert sizes[-1] > 4
    assert doubling.first_batch_size() == 4


def test_a_noise_scale_of_the_nets_own_is_gone_by_and_nothing_measured_twice(make_net, table):
    own = GradientNoiseScale(batch_size=6, n_batches=3, smoothing=0.2, name="scale")
    measured = make_net(own, max_epochs=1).fit(*table).history[-1, "scale"]
    for order in (1, -1):
        callbacks = [("doubling", NoiseDoubling(4)), ("own", clone(own))][::order]
        net = make_net(*callbacks, max_epochs=5).fit(*table)
        doubling = dict(net.callbacks_)["doubling"]
        assert "noise_scale" not in net.history[-1]
        assert doubling.seconds_ == []
        scales = net.history[:, "scale"]
        expected = [doubling.batch_size_after(scales[:n]) for n in range(5)]
        assert net.history[:, "batch_size"] == expected
        assert measured > 0


class Moody(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
        )


def test_training_is_that_of_the_same_sizes_without_a_measurement(table):
    def trained(setter):
        torch.manual_seed(0)
        net = NeuralNetClassifier(
            Moody, criterion=nn.CrossEntropyLoss, max_epochs=5, lr=0.1, verbose=0,
            iterator_train__shuffle=True, train_split=None, callbacks=[setter],
        )  # fmt: skip
        return net.fit(*table)

    measured = trained(NoiseDoubling(5, max_batch_size=20))
    sizes = measured.history[:, "batch_size"]
    assert len(set(sizes)) > 1
    alone = trained(BatchSizeSchedule(sizes.__getitem__))
    assert_same_weights(weights(measured), weights(alone))


def test_partial_fit_goes_on_with_the_size_that_was_reached(make_net, table):
    net = make_net(NoiseDoubling(4, max_batch_size=32), max_epochs=6).fit(*table)
    parts = make_net(NoiseDoubling(4, max_batch_size=32), max_epochs=2).fit(*table)
    parts.partial_fit(*table)
    parts = pickle.loads(pickle.dumps(parts)).partial_fit(*table)
    assert parts.history[:, "batch_size"] == net.history[:, "batch_size"]
    assert len(set(net.history[:, "batch_size"])) > 1
    assert parts.fit(*table).history[0, "batch_size"] == 4


def test_epochs_that_were_not_measured_change_nothing(table):
    class Cutting(Callback):
        def on_batch_begin(self, net, training=None, **kwargs):
            if len(net.history) == 3 and len(net.history[-1]["batches"]) == 2:
                raise KeyboardInterrupt

    net = plain_net(NoiseDoubling(4), Cutting(), max_epochs=4).fit(*table)
    assert ["noise_scale" in epoch for epoch in net.history] == [True, True, False]
    net.set_params(max_epochs=1).partial_fit(*table)
    measured = net.history[:2, "noise_scale"]
    assert net.history[-1, "batch_size"] == NoiseDoubling(4).batch_size_after(measured)


def test_the_smoothing_is_that_of_the_measurement(make_net, table):
    found = []
    for smoothing in (0.0, 0.9):
        net = make_net(NoiseDoubling(60, smoothing=smoothing), max_epochs=3).fit(*table)
        parts = [net.history[:, name] for name in ("gradient_variance", "squared_gradient")]
        noise, signal = np.array(parts) @ smoothing ** np.arange(3.0)[::-1]
        assert net.history[-1, "noise_scale"] == pytest.approx(noise / signal)
        found.append(net.history[-1, "noise_scale"])
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"batch_size": True}, "batch_size must be an integer of at least 1, got True"),
        ({"batch_size": 4.0}, "batch_size must be an integer of at least 1, got 4.0"),
        ({"max_batch_size": "8"}, "max_batch_size must be an integer of at least 1, got '8'"),
        ({"max_batch_size": 3, "batch_size": 4}, "max_batch_size must be batch_size or more"),
        ({"smoothing": 1}, r"smoothing must be in \[0, 1\), got 1"),
        ({"smoothing": None}, r"smoothing must be in \[0, 1\), got None"),
    ],
)
def test_wrong_numbers_are_named_before_any_training(make_skorch_net, table, params, message):
    net = make_skorch_net(NoiseDoubling(**params)).initialize()
    before = weights(net)
    with pytest.raises(ValueError, match=message):
        net.partial_fit(*table)
    assert_same_weights(weights(net), before)
    assert len(net.history) == 0


def state(net):
    return (
        rows(net.history),
        [part.numpy().tobytes() for part in net.module_.state_dict().values()],
        torch.get_rng_state().numpy().tobytes(),
    )


@can_fork
@pytest.mark.parametrize("own", [False, True])
def test_a_net_that_is_killed_ends_with_the_same_sizes_and_bits(own, table, tmp_path):
    def train(path=None):
        torch.manual_seed(1)
        callbacks = [NoiseDoubling(4, max_batch_size=32)]
        callbacks += [GradientNoiseScale(8, 4, smoothing=0.5)] if own else []
        callbacks += [] if path is None else [Resume(path, 0.3)]
        net = NeuralNetClassifier(
            Moody, criterion=nn.CrossEntropyLoss, max_epochs=4, lr=0.1, verbose=0,
            iterator_train__shuffle=True, train_split=None, callbacks=callbacks,
        )  # fmt: skip
        return net.fit(*table)

    expected = train()
    assert len(set(expected.history[:, "batch_size"])) > 1
    expected = state(expected)
    for n in (2, 4, 5, 7, 9):
        assert killed_at(n, lambda n=n: train(tmp_path / str(n))) == n
        assert state(train(tmp_path / str(n))) == expected


def test_a_training_that_is_stopped_early_measured_each_of_its_epochs(make_net, table):
    stop = EarlyStopping("train_loss", patience=1, threshold=10, threshold_mode="abs")
    net = make_net(NoiseDoubling(4), stop, max_epochs=9).fit(*table)
    assert 1 <= len(net.history) < 9
    assert all("noise_scale" in epoch for epoch in net.history)


def test_the_size_does_not_grow_beyond_the_data_where_such_a_batch_is_left_out(table):
    class NothingButNoise(GradientNoiseScale):
        def on_epoch_end(self, net, **kwargs):
            net.history.record(self.name, math.inf)

    callbacks = NoiseDoubling(batch_size=10), NothingButNoise()
    net = plain_net(*callbacks, max_epochs=5, iterator_train__drop_last=True).fit(*table)
    assert net.history[:, ("batch_size", "train_batch_count")] == [
        (10, 6), (20, 3), (40, 1), (40, 1), (40, 1),
    ]  # fmt: skip
