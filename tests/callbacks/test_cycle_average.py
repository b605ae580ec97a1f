"""The average of the low points: what is in it, where it is, and that training does not notice."""

import pickle

import numpy as np
import pytest
import torch
from nets_for_callbacks import (
    BATCH_SIZE,
    PER_EPOCH,
    assert_same_weights,
    classifier,
    net_with_batch_iterator,
    plain_net,
    weights,
)
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split
from torch.optim.swa_utils import AveragedModel

from skclr.callbacks import (
    BatchDoubling,
    CosineRestartsLR,
    CycleAverage,
    CyclicLR,
    GradientNoiseScale,
    LRSchedule,
    OneCycleLR,
)


class Spy(Callback):
    """Note the weights after each update, as torch's average takes them."""

    def __init__(self):
        self.models, self.validated = [], []

    def on_batch_end(self, net, training=None, **kwargs):
        if training:
            self.models.append({k: v.clone() for k, v in net.module_.state_dict().items()})
        else:
            self.validated.append(weights(net))


def torch_average(net, models):
    """Return torch's own average of these weights."""
    average = AveragedModel(net.module_)
    for state in models:
        net.module_.load_state_dict(state)
        average.update_parameters(net.module_)
    return {name: value.clone() for name, value in average.module.state_dict().items()}


def cyclic(**params):
    return CyclicLR(**({"base_lr": 0.01, "max_lr": 0.5, "step_size": 0.5} | params))


@pytest.fixture(params=[plain_net, net_with_batch_iterator, classifier])
def make(request):
    return request.param


CASES = {
    "cycles of an epoch": ([cyclic()], {}, [6, 12, 18, 24]),
    "that end within an epoch": ([cyclic(step_size=0.75)], {}, [9, 18]),
    "in updates": ([cyclic(step_size=4, step_unit="iteration")], {}, [8, 16, 24]),
    "falls": ([CosineRestartsLR(0.5, step_size=1, factor=2)], {}, [6, 18]),
    "a given length": ([LRSchedule(lambda t: 0.1)], {"cycle_length": 1.5}, [9, 18]),
    "one in updates": ([], {"cycle_length": 7, "cycle_unit": "iteration"}, [7, 14, 21]),
    "another than the schedule's": ([cyclic()], {"cycle_length": 2}, [12, 24]),
    "a later start": ([cyclic()], {"start": 2}, [18, 24]),
    "torch's schedule": ([LRScheduler("StepLR", step_size=1)], {"cycle_length": 2}, [12, 24]),
    "a growing batch": ([BatchDoubling(BATCH_SIZE, every=2), cyclic(step_size=1)], {}, [12, 18]),
}  # fmt: skip


@pytest.mark.parametrize("order", [1, -1], ids=["after the schedule", "before it"])
@pytest.mark.parametrize("case", CASES)
def test_average_is_that_of_torch_over_the_low_points(make, table, case, order):
    callbacks, params, low_points = CASES[case]
    spy, average = Spy(), CycleAverage(**params)
    net = make(*[spy, *callbacks, average][::order], max_epochs=4).fit(*table)
    assert average.n_averaged_ == len(low_points)
    found = weights(net)
    expected = torch_average(net, [spy.models[n - 1] for n in low_points])
    assert_same_weights(found, expected)


def test_the_history_tells_in_which_epochs_a_low_point_has_entered(make, table):
    net = make(cyclic(step_size=1), CycleAverage(), max_epochs=4).fit(*table)
    assert net.history[:, "event_average"] == [False, True, False, True]


def split_of(make):
    own = make is classifier
    return {"validation_fraction": 0.2} if own else {"train_split": ValidSplit(5)}


def rows(net):
    """Return what the batches of training were, without what was validated."""
    return [row for epoch in net.history for row in epoch["batches"] if "train_loss" in row]


@pytest.mark.parametrize("held_out", [False, True])
def test_training_goes_on_as_if_there_were_no_average(make, table, held_out):
    split = split_of(make) if held_out else {}
    spy, average = Spy(), CycleAverage()
    alone = make(cyclic(), spy, max_epochs=3, **split).fit(*table)
    net = make(cyclic(), average, max_epochs=3, **split).fit(*table)
    assert rows(net) == rows(alone)
    assert_same_weights(average.raw_.states["module_"], weights(alone))


def test_what_is_validated_is_the_average(make, table):
    X, y = table
    spy = Spy()
    net = make(cyclic(), spy, CycleAverage(), max_epochs=3, **split_of(make)).fit(X, y)
    n_batches = len(spy.models) // 3
    expected = [
        torch_average(net, spy.models[n_batches - 1 : n_batches * (epoch + 1) : n_batches])
        for epoch in range(3)
    ]
    n_valid = len(spy.validated) // 3
    for epoch in range(3):
        assert_same_weights(spy.validated[n_valid * epoch], expected[epoch])


def test_until_the_first_low_point_the_raw_weights_are_validated_and_left(make, table):
    def train(*callbacks):
        return make(cyclic(step_size=2), *callbacks, max_epochs=3, **split_of(make)).fit(*table)

    net, alone = train(CycleAverage()), train()
    assert net.history[:, "valid_loss"] == alone.history[:, "valid_loss"]
    assert_same_weights(weights(net), weights(alone))


class Ending(Callback):
    """End the training after so many batches, as Ctrl-C does."""

    def __init__(self, after):
        self.after = after
        self.n = 0

    def on_batch_end(self, net, training=None, **kwargs):
        self.n += bool(training)
        if self.n == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [2 * PER_EPOCH, 2 * PER_EPOCH + 2])
def test_a_training_that_is_ended_early_leaves_the_average(make, table, after):
    spy, average = Spy(), CycleAverage()
    net = make(cyclic(), spy, average, Ending(after), max_epochs=9).fit(*table)
    assert average.n_averaged_ == 2
    found = weights(net)
    assert_same_weights(average.raw_.states["module_"], spy.models[-1])
    expected = [spy.models[PER_EPOCH - 1], spy.models[2 * PER_EPOCH - 1]]
    assert_same_weights(found, torch_average(net, expected))


def test_two_calls_do_what_one_does(make, table):
    def make_one(max_epochs):
        return make(cyclic(step_size=1), CycleAverage(), max_epochs=max_epochs)

    whole = make_one(6).fit(*table)
    parts = make_one(2).fit(*table)
    parts.partial_fit(*table)
    parts = pickle.loads(pickle.dumps(parts)).partial_fit(*table)
    assert_same_weights(weights(parts), weights(whole))
    assert rows(parts) == rows(whole)
    assert dict(parts.callbacks_)["CycleAverage"].n_averaged_ == 3


def test_a_call_that_begins_within_a_cycle_goes_on_too(make, table):
    def make_one(max_epochs):
        return make(cyclic(step_size=0.75), CycleAverage(), max_epochs=max_epochs)

    parts = make_one(2).fit(*table).partial_fit(*table)
    assert_same_weights(weights(parts), weights(make_one(4).fit(*table)))


def test_weights_that_were_loaded_are_gone_on_with(make, table, tmp_path):
    other = make(cyclic(), max_epochs=1).fit(*table)
    other.save_params(f_params=str(tmp_path / "other.pt"))
    average, spy = CycleAverage(), Spy()
    net = make(cyclic(), average, spy, max_epochs=2).fit(*table)
    net.load_params(f_params=str(tmp_path / "other.pt"))
    spy.models = []
    net.partial_fit(*table)
    assert average.n_averaged_ == 2
    expected = [spy.models[PER_EPOCH - 1], spy.models[-1]]
    found = weights(net)
    assert_same_weights(found, torch_average(net, expected))


def test_a_new_training_begins_a_new_average(make, table):
    net, average = None, CycleAverage()
    for max_epochs in (3, 2):
        net = make(cyclic(), average, max_epochs=max_epochs).fit(*table)
        assert average.n_averaged_ == max_epochs
    assert_same_weights(
        weights(net), weights(make(cyclic(), CycleAverage(), max_epochs=2).fit(*table))
    )


def test_fit_of_a_module_that_was_given_goes_on_from_what_it_holds(table):
    module, spy, average = torch.nn.Linear(4, 2), Spy(), CycleAverage()

    def train(*callbacks):
        given = {"criterion": torch.nn.CrossEntropyLoss, "train_split": None, "verbose": 0}
        net = NeuralNetClassifier(module, max_epochs=1, callbacks=list(callbacks), **given)
        return net.fit(*table)

    train(cyclic(), average)  # skorch trains the very module that it is given
    net = train(cyclic(), average, spy)
    assert average.n_averaged_ == 1
    assert_same_weights(weights(net), spy.models[-1])


# ---------------------------------------------------------------- beside other callbacks


def test_checkpoint_saves_what_was_validated(make, table, tmp_path):
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None, f_params="{last_epoch[epoch]}.pt")
    spy = Spy()
    net = make(cyclic(), CycleAverage(), spy, checkpoint, max_epochs=3, **split_of(make))
    net.fit(*table)
    n_valid = len(spy.validated) // 3
    for epoch in range(3):
        net.load_params(f_params=str(tmp_path / f"{epoch + 1}.pt"))
        assert_same_weights(weights(net), spy.validated[n_valid * epoch])


@pytest.mark.parametrize("order", [1, -1], ids=["after it", "before it"])
def test_what_early_stopping_has_chosen_is_loaded(make, table, order):
    chosen, spy = EarlyStopping(load_best=True, patience=3, lower_is_better=False), Spy()
    callbacks = [spy, *[CycleAverage(), chosen][::order]]
    net = make(cyclic(), *callbacks, max_epochs=8, **split_of(make)).fit(*table)
    losses = net.history[:, "valid_loss"]
    assert np.argmax(losses) < len(losses) - 1
    n_valid = len(spy.validated) // len(losses)
    assert_same_weights(weights(net), spy.validated[n_valid * int(np.argmax(losses))])


def test_what_a_checkpoint_has_chosen_is_loaded(make, table, tmp_path):
    chosen = Checkpoint(lambda net: len(net.history) == 2, dirname=str(tmp_path), load_best=True)
    spy = Spy()
    net = make(cyclic(), CycleAverage(), chosen, spy, max_epochs=4, **split_of(make)).fit(*table)
    n_valid = len(spy.validated) // 4
    assert_same_weights(weights(net), spy.validated[n_valid])


def test_the_noise_scale_is_that_of_the_raw_weights(make, table):
    def scales(*callbacks):
        net = make(cyclic(), *callbacks, max_epochs=3, **split_of(make)).fit(*table)
        return net.history[:, "noise_scale"]

    expected = scales(GradientNoiseScale(10, 4))
    assert scales(CycleAverage(), GradientNoiseScale(10, 4)) == expected
    assert scales(GradientNoiseScale(10, 4), CycleAverage()) == expected


def test_validation_data_of_ones_own_are_judged_by_the_average(table):
    X, y = table
    valid = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    net = plain_net(cyclic(), CycleAverage(), train_split=predefined_split(valid), max_epochs=3)
    net.fit(X, y)
    scores = net.forward(X)
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(y)).item()
    assert net.history[-1, "valid_loss"] == pytest.approx(loss, rel=1e-6)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("callbacks", "told"),
    [
        ([], "no callback"),
        ([OneCycleLR()], "OneCycleLR"),
        ([LRSchedule(lambda t: 0.1)], "LRSchedule"),
        ([LRScheduler("StepLR", step_size=1)], "LRScheduler"),
    ],
)
def test_a_schedule_without_cycles_is_named_before_training(make, table, callbacks, told):
    net = make(*callbacks, CycleAverage())
    with pytest.raises(ValueError, match=rf"schedule \({told}\) has none that .*cycle_length"):
        net.fit(*table)
    assert not getattr(net, "history_", None)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"cycle_length": 0}, "cycle_length must be"),
        ({"cycle_length": -1.0}, "cycle_length must be"),
        ({"cycle_length": "4"}, "cycle_length must be"),
        ({"cycle_length": float("inf")}, "cycle_length must be"),
        ({"cycle_length": float("nan")}, "cycle_length must be"),
        ({"cycle_unit": "epochs"}, "cycle_unit must be"),
        ({"cycle_unit": "epochs", "cycle_length": 2}, "cycle_unit must be"),
        ({"start": -1}, "start must be"),
        ({"start": None}, "start must be"),
        ({"start": float("nan")}, "start must be"),
    ],
)
def test_a_wrong_value_is_named_before_training(make, table, params, told):
    net = make(cyclic(), CycleAverage(**params))
    with pytest.raises(ValueError, match=told):
        net.fit(*table)
    assert not getattr(net, "history_", None)


def test_two_averages_are_refused(make, table):
    with pytest.raises(ValueError, match="2 CycleAverage callbacks"):
        make(cyclic(), ("a", CycleAverage()), ("b", CycleAverage())).fit(*table)
