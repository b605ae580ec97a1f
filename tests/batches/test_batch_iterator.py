import numpy as np
import pytest
import torch
from inputs_for_batches import N, datasets
from numpy.testing import assert_array_equal
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, Subset

from skclr.batches import BatchIterator, ImageDataset


def assert_same_batches(actual, expected):
    actual, expected = list(actual), list(expected)
    assert len(actual) == len(expected)
    for own, stock in zip(actual, expected, strict=True):
        assert len(own) == len(stock) == 2
        for own_part, stock_part in zip(own, stock, strict=True):
            assert own_part.dtype == stock_part.dtype
            assert_array_equal(own_part.numpy(), stock_part.numpy())


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 7, 23, 100])
@pytest.mark.parametrize("name", datasets())
def test_batches_are_those_of_the_data_loader(name, batch_size, drop_last):
    dataset = datasets()[name]
    params = {"batch_size": batch_size, "drop_last": drop_last}
    own = BatchIterator(dataset, **params)
    stock = DataLoader(dataset, **params)
    assert_same_batches(own, stock)
    assert len(own) == len(stock)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 7, 11, 22, 23, 100])
@pytest.mark.parametrize("name", datasets())
def test_even_batches_are_as_many_and_their_sizes_differ_by_at_most_one(name, batch_size, shuffle):
    dataset = datasets()[name]
    if len(dataset) == 0:
        assert list(BatchIterator(dataset, batch_size, even=True)) == []
        return
    torch.manual_seed(0)
    even = list(BatchIterator(dataset, batch_size, shuffle=shuffle, even=True))
    torch.manual_seed(0)
    stock = list(BatchIterator(dataset, batch_size, shuffle=shuffle))
    sizes = [len(y) for _, y in even]
    assert len(even) == len(stock) == len(BatchIterator(dataset, batch_size, even=True))
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size
    for part in range(2):  # the same samples in the same order
        assert torch.equal(
            torch.cat([batch[part] for batch in even]), torch.cat([batch[part] for batch in stock])
        )


def test_dropping_the_last_batch_leaves_whole_ones_and_nothing_to_even_out():
    dataset = datasets()["TensorDataset"]
    batches = BatchIterator(dataset, 7, drop_last=True, even=True)
    assert [len(y) for _, y in batches] == [7] * (N // 7)


@pytest.mark.parametrize("name", datasets())
def test_a_generator_determines_the_order(name):
    dataset = datasets()[name]
    if len(dataset) == 0:
        assert list(BatchIterator(dataset, shuffle=True)) == []
        return

    def epochs(seed):
        iterator = BatchIterator(
            dataset, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(seed)
        )
        return [torch.cat([x.flatten(1) for x, _ in iterator]).numpy() for _ in range(2)]

    state = torch.get_rng_state()
    first, second = epochs(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert_array_equal([first, second], epochs(0))
    assert not np.array_equal(first, second)
    rows = torch.cat([x.flatten(1) for x, _ in BatchIterator(dataset)]).numpy()
    for epoch in (first, second):  # every sample once, in another order
        assert not np.array_equal(epoch, rows)
        assert_array_equal(epoch[np.lexsort(epoch.T)], rows[np.lexsort(rows.T)])


def test_the_order_without_a_generator_is_drawn_from_torchs_global_one():
    dataset = datasets()["ImageDataset"]
    iterator = BatchIterator(dataset, batch_size=4, shuffle=True)
    torch.manual_seed(0)
    first = list(iterator)
    torch.manual_seed(0)
    assert_same_batches(iterator, first)
    torch.manual_seed(0)
    order = torch.randperm(N)
    assert_array_equal(np.concatenate([y for _, y in first]), (np.arange(N) % 3)[order])


def test_samples_and_targets_stay_together_when_shuffled():
    images = np.arange(N, dtype=np.float32)[:, None]
    for x, y in BatchIterator(ImageDataset(images, np.arange(N)), 5, shuffle=True):
        assert_array_equal(x[:, 0], y)


def test_an_order_drawn_by_the_data_loader_covers_the_same_samples():
    dataset = datasets()["TensorDataset"]
    sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(0))
    stock = torch.cat([x for x, _ in DataLoader(dataset, 4, sampler=sampler)])
    own = torch.cat([x for x, _ in BatchIterator(dataset, 4, shuffle=True)])
    assert_array_equal(np.sort(own.numpy(), axis=0), np.sort(stock.numpy(), axis=0))


class Counting(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index, 0


@pytest.mark.parametrize("dataset", [Counting(), Subset(Counting(), [0, 1]), [1, 2, 3]])
def test_a_data_set_that_cannot_be_indexed_by_a_batch_is_refused(dataset):
    with pytest.raises(TypeError, match=r"Counting|list"):
        BatchIterator(dataset)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_is_at_least_one(batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        BatchIterator(datasets()["TensorDataset"], batch_size=batch_size)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_plain_skorch_net_learns_the_same_with_either_iterator(table, as_tensor):
    X, y = table
    X, y = (torch.from_numpy(X), torch.from_numpy(y)) if as_tensor else (X, y)
    nets = []
    for iterator in (BatchIterator, DataLoader):
        torch.manual_seed(0)
        nets.append(
            NeuralNetClassifier(
                nn.Linear,
                module__in_features=4,
                module__out_features=2,
                criterion=nn.CrossEntropyLoss,
                iterator_train=iterator,
                iterator_valid=iterator,
                batch_size=7,
                verbose=0,
                max_epochs=3,
            ).fit(X, y)
        )
    own, stock = nets
    assert_array_equal(own.module_.weight.detach(), stock.module_.weight.detach())
    assert own.history[:, "valid_loss"] == stock.history[:, "valid_loss"]
