"""The statistics of batch normalization are those of the averaged weights."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.callbacks import CycleAverage, CyclicLR


class Normalized(nn.Module):
    """Statistics of hidden values, and a layer that draws random numbers."""

    def __init__(self, n_features=4, n_classes=2, momentum=0.1):
        super().__init__()
        self.hidden = nn.Linear(n_features, 8)
        self.norm = nn.BatchNorm1d(8, momentum=momentum)
        self.dropout = nn.Dropout(0.3)
        self.out = nn.Linear(8, n_classes)

    def forward(self, X):
        return self.out(self.dropout(torch.relu(self.norm(self.hidden(X.flatten(1))))))


class OfImages(Normalized):
    def __init__(self, n_classes=2):
        super().__init__(32 * 32, n_classes)


def plain(*callbacks, **params):
    torch.manual_seed(0)
    given = {
        "criterion": nn.CrossEntropyLoss, "batch_size": 20, "max_epochs": 4, "train_split": None,
        "iterator_train__shuffle": True, "verbose": 0, **params,
    }  # fmt: skip
    schedule = CyclicLR(base_lr=0.01, max_lr=0.5, step_size=0.5)
    return NeuralNetClassifier(Normalized, callbacks=[schedule, *callbacks], **given)


def statistics(net):
    norm = net.module_.norm
    return norm.running_mean.numpy().copy(), norm.running_var.numpy().copy()


def test_statistics_are_means_over_the_batches_of_training(table):
    X, y = table
    net = plain(CycleAverage(), batch_size=60).fit(X, y)  # a single batch, so no order
    with torch.no_grad():
        hidden = net.module_.hidden(torch.from_numpy(X)).double().numpy()
    mean, var = statistics(net)
    np.testing.assert_allclose(mean, hidden.mean(0), rtol=1e-5)
    np.testing.assert_allclose(var, hidden.var(0, ddof=1), rtol=1e-5)


def test_those_of_several_batches_are_near_those_of_all_the_data(table):
    X, y = table
    net = plain(CycleAverage()).fit(X, y)
    with torch.no_grad():
        hidden = net.module_.hidden(torch.from_numpy(X)).double().numpy()
    np.testing.assert_allclose(statistics(net)[0], hidden.mean(0), rtol=1e-4, atol=1e-6)
    assert net.module_.norm.momentum == 0.1


class Watch(Callback):
    only_watches = True

    def __init__(self):
        self.validated = []

    def on_batch_begin(self, net, training=None, **kwargs):
        if not training:
            layer = net.module_.hidden
            self.validated.append(
                (statistics(net)[0], layer.weight.detach().clone(), layer.bias.detach().clone())
            )


def test_validation_sees_them(table):
    X, y = table
    valid = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    watch = Watch()
    net = plain(CycleAverage(), watch, batch_size=60, train_split=lambda data, y: (data, valid))
    net.fit(X, y)
    assert len(watch.validated) == 4
    for mean, weight, bias in watch.validated[1:]:
        hidden = X @ weight.numpy().T + bias.numpy()
        np.testing.assert_allclose(mean, hidden.mean(0), atol=1e-5)


def generators(own=None):
    states = [torch.get_rng_state(), *([] if own is None else [own.get_state()])]
    return [state.tolist() for state in (*states, np.random.get_state()[1])]


@pytest.mark.parametrize("with_own", [False, True])
def test_training_draws_and_learns_as_without_the_average(table, with_own):
    def train(*callbacks):
        own = torch.Generator().manual_seed(1) if with_own else None
        given = {"iterator_train__generator": own} if with_own else {}
        net = plain(*callbacks, **given).fit(*table)
        return net, generators(own)

    average = CycleAverage()
    (net, drawn), (alone, expected) = train(average), train()
    assert net.history[:, "train_loss"] == alone.history[:, "train_loss"]
    raw = average.raw_.states["module_"]
    assert all(torch.equal(raw[name], value) for name, value in alone.module_.state_dict().items())
    assert drawn == expected


class InterruptedPass(Callback):
    """Press Ctrl-C in the midst of the pass over the data."""

    def __init__(self):
        self.is_due = True

    def on_train_begin(self, net, **kwargs):
        def press(module, args):
            if net.module_.norm.momentum is None and self.is_due:
                self.is_due = False
                raise KeyboardInterrupt

        net.module_.out.register_forward_pre_hook(press)


def test_a_pass_that_is_interrupted_is_made_when_training_ends(table):
    X, y = table
    net = plain(CycleAverage(), InterruptedPass(), batch_size=60).fit(X, y)
    assert len(net.history) == 2
    with torch.no_grad():
        hidden = net.module_.hidden(torch.from_numpy(X)).double().numpy()
    np.testing.assert_allclose(statistics(net)[0], hidden.mean(0), rtol=1e-5)
    assert net.module_.norm.momentum == 0.1


def test_the_classifier_gives_the_prepared_images_without_augmentation(fashion):
    X, y = (part[:100] for part in fashion)
    clf = CLRLeNetClassifier(
        OfImages, schedule="triangular", step_size=0.5, max_epochs=3, batch_size=100,
        augmentation=lambda images: images + 100, callbacks=[CycleAverage()], random_state=0,
    )  # fmt: skip
    clf.fit(X, y)
    with torch.no_grad():
        images = clf._network.prepare(torch.from_numpy(X[:, None]))
        hidden = clf.module_.hidden(images.flatten(1)).double().numpy()
    np.testing.assert_allclose(statistics(clf)[0], hidden.mean(0), rtol=1e-4, atol=1e-5)


def test_statistics_of_the_first_low_point_are_those_of_training(table):
    net = plain(CycleAverage(), max_epochs=1).fit(*table)
    np.testing.assert_equal(statistics(net), statistics(plain(max_epochs=1).fit(*table)))
