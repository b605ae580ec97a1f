import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from nets_for_callbacks import plain_net
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip
from skclr.batches import BatchIterator
from skclr.callbacks import GradientNoiseScale


class Mean(nn.Module):
    """Predict one value for every sample: the gradient of half its squared error is its error."""

    def __init__(self, n_features):
        super().__init__()
        self.value = nn.Parameter(torch.linspace(-1, 1, n_features))

    def forward(self, X):
        return self.value.expand(len(X), -1)


class HalfSquaredError(nn.Module):
    def forward(self, y_pred, y):
        return (y_pred - y).square().sum(1).mean() / 2


def measured(module, X, y, *, criterion=HalfSquaredError, lr=0.0, epochs=150, noise=None, **params):
    """The history of a net whose weights stay where they are, as a frame."""
    noise = noise or GradientNoiseScale(batch_size=8, n_batches=16)
    net = NeuralNetRegressor(
        module, criterion=criterion, lr=lr, max_epochs=epochs, batch_size=len(X),
        train_split=None, verbose=0, callbacks=[noise], **params,
    )  # fmt: skip
    torch.manual_seed(0)
    net.fit(X, y)
    names = ["noise_scale", "squared_gradient", "gradient_variance"]
    return pd.DataFrame(net.history[:, tuple(names)], columns=names)


def assert_unbiased(estimates, truth):
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - truth) < 4 * error
    assert error < 0.05 * truth  # or the line above says little


def test_both_parts_of_the_noise_scale_are_unbiased_where_the_mean_is_estimated():
    y = np.random.RandomState(0).randn(200, 5).astype(np.float32) * [0.5, 1, 1, 2, 0.1]
    y = y.astype(np.float32)
    found = measured(Mean, y, y, module__n_features=5, iterator_train=BatchIterator)
    # the gradient of a sample is value - y: its mean and its variance over the data are
    difference = np.linspace(-1, 1, 5) - y.mean(axis=0)
    assert_unbiased(found["squared_gradient"], (difference**2).sum())
    assert_unbiased(found["gradient_variance"], y.var(axis=0).sum())


def test_the_noise_scale_of_linear_regression_is_that_of_its_closed_form():
    n_features, noise = 6, 0.7
    rng = np.random.RandomState(0)
    X = rng.randn(10_000, n_features).astype(np.float32)
    y = (noise * rng.randn(len(X), 1)).astype(np.float32)  # the true weights are 0
    weights = torch.full((1, n_features), 0.5)
    module = nn.Linear(n_features, 1, bias=False)
    module.weight.data = weights
    found = measured(
        module, X, y, criterion=nn.MSELoss, epochs=40, iterator_train=BatchIterator,
        noise=GradientNoiseScale(batch_size=32, n_batches=64, smoothing=0.999),
    )  # fmt: skip
    # with x ~ N(0, I) and the error D of the weights, half the gradient of a sample is
    # x (x'D - e): its mean is D, its variance (d + 1) |D|^2 + d noise^2
    squared = float(weights.square().sum())
    truth = (n_features + 1) + n_features * noise**2 / squared
    assert found["noise_scale"].iloc[-1] == pytest.approx(truth, rel=0.05)


def test_averages_are_divided_and_not_ratios_averaged():
    y = np.random.RandomState(0).randn(100, 3).astype(np.float32)
    noise = GradientNoiseScale(batch_size=4, n_batches=4, smoothing=0.5)
    found = measured(Mean, y, y, epochs=6, noise=noise, module__n_features=3)
    weights = 0.5 ** np.arange(6)[::-1]
    sums = weights @ found[["gradient_variance", "squared_gradient"]]
    assert found["noise_scale"].iloc[-1] == pytest.approx(sums.iloc[0] / sums.iloc[1])
    alone = measured(
        Mean, y, y, epochs=6, noise=GradientNoiseScale(4, 4), module__n_features=3
    )  # fmt: skip
    expected = alone["gradient_variance"] / alone["squared_gradient"]
    expected[alone["squared_gradient"] <= 0] = np.inf
    assert_allclose(alone["noise_scale"], expected)


def test_the_noise_scale_is_infinite_where_the_gradient_cannot_be_told_from_zero():
    y = np.random.RandomState(0).randn(100, 3).astype(np.float32)
    y -= y.mean(axis=0) - np.linspace(-1, 1, 3, dtype=np.float32)  # the minimum
    found = measured(Mean, y, y, epochs=40, module__n_features=3)
    negative = found["squared_gradient"] <= 0
    assert 5 < negative.sum() < 35
    assert np.isinf(found["noise_scale"][negative]).all()
    assert np.isfinite(found["noise_scale"][~negative]).all()


class Moody(nn.Sequential):
    """A module with all that a look at it could disturb."""

    def __init__(self):
        super().__init__(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
        )


class Frozen(Callback):
    """Note gradients and modes after each epoch, before and after the noise scale is measured."""

    def __init__(self, notes):
        self.notes = notes

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        gradients = [parameter.grad for parameter in net.module_.parameters()]
        self.notes.append(
            (
                [id(gradient) for gradient in gradients],
                [gradient.clone() for gradient in gradients],
                [part.training for part in net.module_.modules()],
                torch.get_rng_state(),
                np.random.get_state()[1].copy(),
            )
        )


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("own_generator", [True, False])
def test_measuring_changes_no_bit_of_the_training_of_a_plain_net(table, validated, own_generator):
    def trained(*callbacks):
        torch.manual_seed(0)
        params = {}
        if own_generator:
            params = {"iterator_train__generator": torch.Generator().manual_seed(1)}
        net = NeuralNetClassifier(
            Moody, criterion=nn.CrossEntropyLoss, max_epochs=4, batch_size=8, verbose=0, lr=0.1,
            train_split=ValidSplit(3) if validated else None, iterator_train__shuffle=True,
            optimizer__momentum=0.9, callbacks=list(callbacks), **params,
        )  # fmt: skip
        return net.fit(*table)

    plain, watched = trained(), trained(GradientNoiseScale(batch_size=5, n_batches=3))
    assert plain.history[:, "train_loss"] == watched.history[:, "train_loss"]
    for name, value in plain.module_.state_dict().items():
        assert torch.equal(value, watched.module_.state_dict()[name]), name
    momenta = [
        [state["momentum_buffer"] for state in net.optimizer_.state.values()]
        for net in (plain, watched)
    ]
    assert all(map(torch.equal, *momenta))


def test_measuring_puts_back_gradients_modes_and_generators(table):
    before, after = [], []
    torch.manual_seed(0)
    NeuralNetClassifier(
        Moody, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0, train_split=ValidSplit(3),
        callbacks=[
            ("before", Frozen(before)),
            ("noise", GradientNoiseScale(batch_size=5, n_batches=3)),
            ("after", Frozen(after)),
        ],
    ).fit(*table)  # fmt: skip
    for one, other in zip(before, after, strict=True):
        assert one[0] == other[0]  # the very same tensors
        assert all(map(torch.equal, one[1], other[1]))
        assert one[2] == other[2]
        assert torch.equal(one[3], other[3])
        assert_array_equal(one[4], other[4])


@pytest.mark.parametrize("schedule", ["constant", "batch_doubling"])
def test_measuring_changes_no_bit_of_the_training_of_our_classifier(fashion, schedule):
    def trained(*callbacks):
        return CLRLeNetClassifier(
            schedule=schedule, batch_size=50, max_batch_size=200, step_size=1, max_epochs=3,
            augmentation=RandomShiftFlip(), validation_fraction=0.25, random_state=0,
            callbacks=list(callbacks),
        ).fit(*fashion)  # fmt: skip

    plain, watched = trained(), trained(GradientNoiseScale(batch_size=20, n_batches=4))
    for name, value in plain.module_.state_dict().items():
        assert torch.equal(value, watched.module_.state_dict()[name]), name
    columns = ["train_loss", "valid_loss", "valid_acc", "batch_size", "n_updates"]
    pd.testing.assert_frame_equal(plain.history_frame()[columns], watched.history_frame()[columns])
    again = trained(GradientNoiseScale(batch_size=20, n_batches=4))
    assert again.history_[:, "noise_scale"] == watched.history_[:, "noise_scale"]


def test_parameters_without_a_gradient_and_frozen_ones_take_no_part(table):
    class Partly(nn.Module):
        def __init__(self, extra):
            super().__init__()
            self.used = nn.Linear(4, 2)
            if extra:
                self.unused = nn.Linear(4, 2)
                self.frozen = nn.Linear(4, 2).requires_grad_(False)

        def forward(self, X):
            return self.used(X)

    found = []
    for extra in (True, False):
        torch.manual_seed(0)
        net = NeuralNetClassifier(
            Partly, module__extra=extra, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0,
            train_split=None, callbacks=[GradientNoiseScale(8, 4)],
        ).initialize()  # fmt: skip
        torch.manual_seed(0)
        for part in net.module_.used.parameters():
            nn.init.normal_(part)
        found.append(net.partial_fit(*table).history[:, "noise_scale"])
    assert found[0] == pytest.approx(found[1], rel=1e-12)  # sums of zeros and others, in any order


def test_a_noise_scale_takes_sensible_numbers_and_data_of_known_length(table):
    for bad, message in (
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"n_batches": 1}, "n_batches must be an integer of at least 2"),
        ({"smoothing": 1.0}, r"smoothing must be in \[0, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            plain_net(GradientNoiseScale(**bad)).fit(*table)

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(zip(*table, strict=True))

    with pytest.raises(ValueError, match="training data with a length; Stream has none"):
        plain_net(
            GradientNoiseScale(), train_split=None, iterator_train__shuffle=False
        ).fit(Stream(), None)  # fmt: skip


def test_a_net_with_a_noise_scale_can_be_cloned_searched_and_pickled(table):
    net = plain_net(GradientNoiseScale(8, 4), max_epochs=1)
    search = GridSearchCV(net, {"lr": [0.1, 0.2]}, cv=2, scoring="accuracy").fit(*table)
    copied = pickle.loads(pickle.dumps(search.best_estimator_))
    assert copied.history[-1, "noise_scale"] == search.best_estimator_.history[-1, "noise_scale"]
