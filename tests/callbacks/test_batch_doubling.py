import copy
import pickle

import numpy as np
import pytest
from nets_for_callbacks import N_SAMPLES, Spy, classifier, plain_net, sizes_of
from numpy.testing import assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch.utils.data import DataLoader

from skclr.batches import BatchIterator
from skclr.callbacks import BatchDoubling, CyclicLR


def test_batch_size_doubles_every_two_epochs_up_to_the_limit(make_net, table):
    spy = Spy()
    doubling = BatchDoubling(batch_size=4, every=2, max_batch_size=25)
    net = make_net(doubling, spy, max_epochs=9).fit(*table)

    expected = [4, 4, 8, 8, 16, 16, 25, 25, 25]
    assert spy.sizes == [sizes_of(size, make_net) for size in expected]
    assert net.history[:, "batch_size"] == expected
    assert net.history[:, "train_batch_count"] == [len(sizes_of(size)) for size in expected]


def test_batch_size_grows_by_any_factor_after_any_part_of_an_epoch(table):
    spy = Spy()
    doubling = BatchDoubling(batch_size=10, factor=1.5, every=1.5, max_batch_size=1000)
    plain_net(doubling, spy, max_epochs=6).fit(*table)
    growth = [10 * 1.5 ** (epoch // 1.5) for epoch in range(6)]
    assert [sizes[0] for sizes in spy.sizes] == [min(int(size), N_SAMPLES) for size in growth]


def test_batches_grow_within_the_data(table):
    spy = Spy()
    plain_net(BatchDoubling(batch_size=40, every=1), spy, max_epochs=3).fit(*table)
    assert spy.sizes == [[40, 20], [60], [60]]


def test_the_net_is_as_it_was_after_its_batches_grew(make_net, table):
    net = make_net(BatchDoubling(batch_size=4, every=1))
    before = net.batch_size, net.iterator_train, net.iterator_valid
    net.fit(*table)
    assert (net.batch_size, net.iterator_train, net.iterator_valid) == before


class FailingOnce(Callback):
    """Raise when a hook runs for the n-th time, and never again."""

    def __init__(self, hook, error=RuntimeError, nth=1):
        self.hook, self.error, self.nth = hook, error, nth
        self.left_ = nth

    def _run(self, hook):
        if hook == self.hook:
            self.left_ -= 1
            if self.left_ == 0:
                raise self.error("no more")

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self._run("on_train_begin")

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self._run("on_epoch_begin")

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self._run("on_batch_begin")

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self._run("on_epoch_end")


FAILURES = [
    ("on_train_begin", 1),
    ("on_epoch_begin", 1),
    ("on_epoch_begin", 2),
    ("on_batch_begin", 3),
    ("on_epoch_end", 1),
]


@pytest.mark.parametrize(("hook", "nth"), FAILURES)
@pytest.mark.parametrize("order", [1, -1])
def test_the_net_is_as_it_was_after_a_training_that_failed(make_net, table, hook, nth, order):
    failing = FailingOnce(hook, nth=nth)
    net = make_net(*[BatchDoubling(batch_size=4, every=1), failing][::order], max_epochs=2)
    before = net.batch_size, net.iterator_train
    with pytest.raises(RuntimeError, match="no more"):
        net.fit(*table)
    if hook == "on_train_begin" and make_net is not classifier:
        # skorch tells no callback that another one failed there; what is left must do no harm
        other = clone(net).set_params(callbacks=None, batch_size=30).fit(*table)
        assert other.history[:, "train_batch_count"] == [2, 2]
    else:
        assert (net.batch_size, net.iterator_train) == before
        assert pickle.loads(pickle.dumps(clone(net))).iterator_train is before[1]


@pytest.mark.parametrize(("hook", "nth"), FAILURES)
def test_data_do_not_travel_with_a_net_whose_training_failed(make_net, table, hook, nth):
    failing = FailingOnce(hook, nth=nth)
    nets = [make_net(failing), make_net(BatchDoubling(100, every=2), failing)]
    X = np.zeros((5000, 4), np.float32)
    for net in nets:
        failing.left_ = nth
        net.set_params(batch_size=100)
        with pytest.raises(RuntimeError, match="no more"):
            net.fit(X, np.arange(5000) % 2)
    plain, growing = [len(pickle.dumps(net)) for net in nets]
    assert growing < plain + 10000


@pytest.mark.parametrize(("hook", "nth"), FAILURES)
def test_batches_grow_again_after_a_training_that_failed(make_net, table, hook, nth):
    spy = Spy()
    failing = FailingOnce(hook, nth=nth)
    net = make_net(BatchDoubling(batch_size=4, every=1), failing, spy, max_epochs=3)
    with pytest.raises(RuntimeError, match="no more"):
        net.fit(*table)
    spy.sizes.clear()
    net.fit(*table)
    assert spy.sizes == [sizes_of(size, make_net) for size in (4, 8, 16)]


def test_training_that_is_interrupted_and_resumed_takes_up_the_size_of_the_epoch(table):
    spy = Spy()
    failing = FailingOnce("on_batch_begin", error=KeyboardInterrupt, nth=18)
    net = plain_net(BatchDoubling(batch_size=4, every=1), failing, spy, max_epochs=3)
    net.fit(*table)  # skorch keeps the interrupt to itself
    assert len(net.history) == 2
    assert net.iterator_train is DataLoader

    net.partial_fit(*table)
    assert net.history[:, "batch_size"][2:] == [16, 32, 64]
    assert spy.sizes[2:] == [sizes_of(16), sizes_of(32), [60]]


def test_partial_fit_goes_on_with_the_size_that_was_reached(make_net, table):
    spy = Spy()
    net = make_net(BatchDoubling(batch_size=4, every=2, max_batch_size=16), spy, max_epochs=1)
    net.fit(*table)
    for _ in range(5):
        net.partial_fit(*table)
    assert spy.sizes == [sizes_of(size, make_net) for size in (4, 4, 8, 8, 16, 16)]


def test_fit_begins_with_the_first_size_again(make_net, table):
    spy = Spy()
    net = make_net(BatchDoubling(batch_size=4, every=1), spy, max_epochs=2).fit(*table)
    spy.sizes.clear()
    net.fit(*table)
    assert spy.sizes == [sizes_of(size, make_net) for size in (4, 8)]


@pytest.mark.parametrize("loader", [DataLoader, BatchIterator])
def test_growing_batches_keep_the_arguments_of_the_iterator(table, loader):
    spy = Spy()
    net = plain_net(
        BatchDoubling(batch_size=8, every=1),
        spy,
        iterator_train=loader,
        iterator_train__drop_last=True,
        iterator_train__shuffle=True,
    ).fit(*table)
    assert spy.sizes == [[8] * 7, [16] * 3]
    assert net.history[:, "train_batch_count"] == [7, 3]


def test_each_epoch_of_growing_batches_sees_every_sample_once(make_net, table):
    X, y = table
    seen = []

    class Rows(Callback):
        def on_batch_begin(self, net, batch=None, training=None, **kwargs):
            seen.append(batch[0].reshape(len(batch[0]), -1).numpy())

    net = make_net(BatchDoubling(batch_size=8, every=1), Rows(), max_epochs=2)
    net.set_params(iterator_train__shuffle=True)
    net.fit(X, y)
    rows = np.concatenate(seen)
    for epoch in (rows[:N_SAMPLES], rows[N_SAMPLES:]):
        assert not np.array_equal(epoch, X)
        assert_array_equal(epoch[epoch[:, 0].argsort()], X[X[:, 0].argsort()])


def test_batches_of_validation_do_not_grow(table):
    spy = Spy()
    doubling = BatchDoubling(batch_size=16, every=1)
    plain_net(doubling, spy, batch_size=5, train_split=ValidSplit(5)).fit(*table)
    assert spy.sizes == [[16] * 3, [32, 16]]
    assert set(spy.validation_sizes) <= {5, 2, 1}
    assert max(spy.validation_sizes) == 5


def test_a_net_whose_batches_grew_can_be_saved_and_copied_without_its_data(make_net, table):
    net = make_net(BatchDoubling(batch_size=4, every=1)).fit(*table)
    expected = net.predict_proba(table[0])
    for copied in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert_array_equal(copied.predict_proba(table[0]), expected)
        assert copied.partial_fit(*table).history[:, "batch_size"] == [4, 8, 16, 32]
    assert clone(net).fit(*table).history[:, "batch_size"] == [4, 8]

    without = make_net().fit(*table)
    assert len(pickle.dumps(net)) < len(pickle.dumps(without)) + 5000


@pytest.mark.parametrize("same", [True, False])
def test_two_that_set_the_batch_size_are_refused(make_net, table, same):
    first = BatchDoubling(10)
    callbacks = [("one", first), ("two", first if same else BatchDoubling(20))]
    with pytest.raises(ValueError, match="set by 2 callbacks, BatchDoubling"):
        make_net(*callbacks).fit(*table)


def test_one_beside_that_of_the_classifier_is_refused(table):
    clf = classifier(BatchDoubling(10), schedule="batch_doubling", max_batch_size=20)
    with pytest.raises(ValueError, match="any schedule but 'batch_doubling'"):
        clf.fit(*table)


@pytest.mark.parametrize("rate", [[], [CyclicLR(step_size=1)]])
def test_an_iterator_that_was_taken_is_named_before_the_first_epoch(make_net, table, rate):
    class TakesTheIterator(Callback):
        def on_train_begin(self, net, **kwargs):
            net.iterator_train = BatchIterator

    spy = Spy()
    net = make_net(*rate, BatchDoubling(10), TakesTheIterator(), spy)
    with pytest.raises(RuntimeError, match="had no effect"):
        net.fit(*table)
    assert not spy.sizes


def test_sizes_beyond_the_data_that_are_left_out_are_refused_before_the_first_update(
    make_net, table
):
    spy, X = Spy(), table[0]
    net = make_net(BatchDoubling(10, every=1), spy, max_epochs=5, iterator_train__drop_last=True)
    with pytest.raises(ValueError, match="size of epoch 3, counted from 0, is 80, more than"):
        net.fit(*table)
    assert len(X) < 80
    assert not spy.sizes
