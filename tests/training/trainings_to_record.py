"""Trainings whose updates can be recorded: parameters, and what fit gets beside X and y."""

import numpy as np
import torch
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip
from skclr.callbacks import CycleAverage, GradientNoiseScale


def own_augmentation(images):
    """Draws from the global generator of torch."""
    return images + torch.rand(len(images), 1, 1, 1).to(images.device)


class WatchGraphs(Callback):
    """Notes how many updates were recorded ones, while the training knows."""

    only_watches = True

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.n_launches_ = 0

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.n_launches_ = net._graphs.n_launches


class KeepGradients(Callback):
    """Keeps the gradients and the scores of every update, as they are given."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.gradients_, self.scores_ = [], []

    def on_grad_computed(self, net, named_parameters=None, batch=None, **kwargs):
        self.gradients_ += [parameter.grad for _, parameter in named_parameters]

    def on_batch_end(self, net, training=None, y_pred=None, **kwargs):
        if training:
            self.scores_.append(y_pred)


class Smoother(Callback):
    """Changes the criterion from update to update."""

    def on_batch_begin(self, net, training=None, **kwargs):
        if training:
            net.criterion_.label_smoothing = 0.1 * (len(net.history[-1]["batches"]) % 3)


class Freezer(Callback):
    """Freezes a layer when the second epoch begins, and again thaws it in the middle of it."""

    def on_batch_begin(self, net, training=None, **kwargs):
        place = len(net.history), len(net.history[-1]["batches"])
        if training and place in ((2, 1), (2, 6)):
            net.module_.conv1.weight.requires_grad_(place == (2, 6))


class Mover(Callback):
    """Gives a layer other weights, at another place in memory, in the middle of an epoch."""

    def on_batch_begin(self, net, training=None, **kwargs):
        if training and (len(net.history), len(net.history[-1]["batches"])) == (2, 5):
            weight = net.module_.fc2.weight
            weight.data = 0.9 * weight.data


class OtherActivation(Callback):
    """Trains with another activation from the second epoch on."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            net.module_.activation = nn.Sigmoid().to(net.device)


WEIGHTS = np.linspace(0.5, 2, 400)
TRAININGS = {
    "default": ({}, {}),
    "triangular": ({"schedule": "triangular", "step_size": 1}, {}),
    "batch doubling": ({"schedule": "batch_doubling", "step_size": 1, "batch_size": 16}, {}),
    "shifts and flips": ({"augmentation": RandomShiftFlip()}, {}),
    "nearest": ({"augmentation": RandomShiftFlip(interpolation="nearest", flip=False)}, {}),
    "own augmentation": ({"augmentation": own_augmentation}, {}),
    "several pieces": ({"augmentation": own_augmentation, "batch_size": 300, "max_epochs": 6}, {}),
    "weights of samples": ({}, {"sample_weight": WEIGHTS}),
    "weights of classes": ({"class_weight": {label: label / 3 for label in range(10)}}, {}),
    "label smoothing": ({"criterion__label_smoothing": 0.1}, {}),
    "changing label smoothing": ({"callbacks": [Smoother()]}, {}),
    "held out": ({"validation_fraction": 0.2}, {}),
    "as they are": ({"standardize": False}, {}),
    "decay": ({"weight_decay": 1e-3, "optimizer__nesterov": True}, {}),
    "adam": ({"optimizer": torch.optim.Adam, "base_lr": 1e-5, "max_lr": 1e-3}, {}),
    "clipped": ({"callbacks": [GradientNormClipping(0.1)]}, {}),
    "noise scale": ({"callbacks": [GradientNoiseScale(16, 4)]}, {}),
    "average": ({"schedule": "triangular", "step_size": 1, "callbacks": [CycleAverage()]}, {}),
    "frozen for a while": ({"callbacks": [Freezer()]}, {}),
    "moved weights": ({"callbacks": [Mover()]}, {}),
    "another activation": ({"callbacks": [OtherActivation()]}, {}),
}


def trained(X, y, parameters, of_fit, **further):
    """Return a fitted classifier, and how many of its updates were recorded ones."""
    given = {"max_epochs": 3, "batch_size": 32, "random_state": 0} | parameters | further
    watch = WatchGraphs()
    clf = CLRLeNetClassifier(**given | {"callbacks": [*given.get("callbacks", []), watch]})
    clf.fit(X, y, **of_fit)
    return clf, watch.n_launches_


def numbers_of(clf):
    """Return the weights of a classifier and what stands in its history, but for durations."""
    weights = {name: value.cpu() for name, value in clf.module_.state_dict().items()}
    names = ("train_loss", "train_acc", "valid_loss", "valid_acc", "noise_scale")
    epochs = [[epoch.get(name) for name in names] for epoch in clf.history_]
    updates = [
        [row.get(name) for name in ("train_loss", "valid_loss", "event_lr", "train_batch_size")]
        for epoch in clf.history_
        for row in epoch["batches"]
    ]
    return weights, epochs, updates
