"""A sweep is made of whole batches, where the data make one."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from skclr import CLRLeNetClassifier
from skclr._sweeps import measure_sweeps
from skclr.batches import BatchIterator

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 4)).astype("float32")
y = (X[:, 0] > 0).astype("int64")


class Noting(BatchIterator):
    sizes: list = []

    def __iter__(self):
        for batch in super().__iter__():
            self.sizes.append(len(batch[1]))
            yield batch


class NotingLoader(DataLoader):
    sizes: list = []

    def __iter__(self):
        for batch in super().__iter__():
            self.sizes.append(len(batch[1]))
            yield batch


def plain_net(iterator, batch_size, **params):
    return NeuralNetClassifier(
        nn.Linear, module__in_features=4, module__out_features=2, criterion=nn.CrossEntropyLoss,
        iterator_train=iterator, batch_size=batch_size, verbose=0, **params,
    )  # fmt: skip


def classifier(iterator, batch_size, **params):
    return CLRLeNetClassifier(iterator_train=iterator, batch_size=batch_size, **params)


@pytest.mark.parametrize("make_net", [plain_net, classifier])
@pytest.mark.parametrize("iterator", [Noting, NotingLoader])
@pytest.mark.parametrize(
    ("batch_size", "expected"), [(16, {16}), (49, {49}), (50, {50}), (51, {50}), (200, {50})]
)
def test_a_sweep_takes_whole_batches_where_there_is_one(make_net, iterator, batch_size, expected):
    iterator.sizes.clear()
    measure_sweeps(
        make_net(iterator, batch_size), X, y, min_lr=1e-4, n_iter=20, n_repeats=1, random_state=0
    )
    assert set(iterator.sizes) == expected


def test_batches_that_a_sampler_makes_are_left_as_they_are():
    NotingLoader.sizes.clear()
    batches = [[0, 1, 2], [3, 4]]
    net = plain_net(NotingLoader, 1, iterator_train__batch_sampler=batches)
    net.set_params(iterator_train__batch_size=1)
    measure_sweeps(net, X, y, min_lr=1e-4, n_iter=20, n_repeats=1, random_state=0)
    assert set(NotingLoader.sizes) == {2, 3}


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, y, strict=True))


def test_a_stream_of_samples_is_swept_as_it_is():
    torch.manual_seed(0)
    net = plain_net(DataLoader, 16).set_params(dataset=lambda *_: Stream())
    sweeps = measure_sweeps(net, X, y, min_lr=1e-4, n_iter=20, n_repeats=1, random_state=0)
    assert np.isfinite(sweeps.losses).any()
