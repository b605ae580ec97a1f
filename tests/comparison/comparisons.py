"""Candidates, callbacks and made-up results for the tests of comparisons."""

import math
import signal

import pandas as pd
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader

from skclr import CLRLeNetClassifier, ScheduleComparison

INITIAL, ORDERS = [], []


class Recorder(Callback):
    """Note the weights before the first update, and the samples in the order of training."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        INITIAL.append([part.detach().clone() for part in net.module_.parameters()])
        ORDERS.append([])

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        if training:
            ORDERS[-1] += batch[0].reshape(len(batch[0]), -1).double().sum(1).tolist()


class Interrupt(Callback):
    """Press Ctrl-C in the first batch of some training."""

    trainings_left = math.inf

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        Interrupt.trainings_left -= 1

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        if Interrupt.trainings_left < 0:
            press_ctrl_c()


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def lenet(schedule, **parameters):
    own = {"max_lr": 0.05, "batch_size": 20, "step_size": 1, "max_epochs": 2}
    return CLRLeNetClassifier(schedule=schedule, **own | parameters)


def plain(*callbacks, **parameters):
    own = {
        "module__in_features": 4, "module__out_features": 2, "criterion": nn.CrossEntropyLoss,
        "batch_size": 10, "max_epochs": 3, "lr": 0.1, "train_split": None, "verbose": 0,
        "iterator_train": DataLoader, "iterator_train__shuffle": True,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, callbacks=list(callbacks), **own | parameters)


def two(**parameters):
    return {name: lenet(name, **parameters) for name in ("lr_halving", "batch_doubling")}


def without_seconds(frame):
    return frame.drop(columns="seconds")


def made_up(accuracies, seconds=1.0, updates=100):
    """A comparison with these accuracies, a list a candidate and NaN for a failed run."""
    rows = [
        {
            "candidate": name, "seed": seed, "status": "failed" if math.isnan(value) else "ok",
            "test_accuracy": value, "test_loss": 1 - value, "train_loss": 0.1,
            "gap": 0.9 - value, "seconds": seconds, "epochs": 2, "updates": updates,
            "samples": 1000, "initial_weights": "", "error": "",
        }
        for name, values in accuracies.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return ScheduleComparison(pd.DataFrame(rows), pd.DataFrame())
