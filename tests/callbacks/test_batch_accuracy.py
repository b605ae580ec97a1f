import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nets_for_callbacks import plain_net, sizes_of
from numpy.testing import assert_allclose
from skorch.callbacks import Callback, EpochScoring
from skorch.dataset import ValidSplit
from skorch.history import History

from skclr.callbacks import BatchAccuracy


def test_validation_accuracy_is_that_of_scikit_learn(make_skorch_net, table):
    net = make_skorch_net(
        BatchAccuracy("mine"),
        ("theirs", EpochScoring("accuracy", name="theirs", lower_is_better=False)),
        train_split=ValidSplit(3),
        batch_size=7,
        max_epochs=20,
        lr=0.1,
    ).fit(*table)
    assert_allclose(net.history[:, "mine"], net.history[:, "theirs"])
    assert net.history[:, "mine_best"] == net.history[:, "theirs_best"]
    assert len(set(net.history[:, "mine"])) > 1


def test_training_accuracy_is_of_the_predictions_made_on_the_way(make_net, table):
    right, seen = [], []

    class Judge(Callback):
        def on_batch_end(self, net, batch=None, training=None, y_pred=None, **kwargs):
            right.append(int((y_pred.detach().numpy().argmax(1) == batch[1].numpy()).sum()))
            seen.append(len(batch[1]))

    net = make_net(BatchAccuracy("share", on_train=True), Judge(), batch_size=25).fit(*table)
    assert seen == sizes_of(25, make_net) * 2
    expected = np.reshape(right, (2, 3)).sum(axis=1) / 60
    assert_allclose(net.history[:, "share"], expected)


def test_accuracy_of_validation_is_left_out_without_validation_data(table):
    net = plain_net(BatchAccuracy("mine")).fit(*table)
    assert "mine" not in net.history[-1]


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.5], dtype=torch.float64)])
def test_what_a_gpu_counts_is_a_number_when_the_epoch_ends_and_in_a_pickle(weights):
    accuracy = BatchAccuracy()
    accuracy.on_epoch_begin(None)
    for is_right in ([True, False, True], [False, False, True]):
        accuracy._count_there(torch.tensor(is_right), weights)
    expected = (3, 6) if weights is None else (5.5, 8.0)
    loaded = pickle.loads(pickle.dumps(accuracy))
    assert (loaded.right_, loaded.seen_) == expected
    assert not isinstance(loaded.right_, torch.Tensor)
    net = SimpleNamespace(history=History())
    net.history.new_epoch()
    accuracy.on_epoch_end(net)
    assert net.history[-1, "valid_acc"] == expected[0] / expected[1]
    assert not isinstance(net.history[-1, "valid_acc"], torch.Tensor)
