import numpy as np
from nets_for_callbacks import plain_net, sizes_of
from numpy.testing import assert_allclose
from skorch.callbacks import Callback, EpochScoring
from skorch.dataset import ValidSplit

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
