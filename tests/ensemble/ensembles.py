"""Estimators for the tests of the ensemble, and names of classes."""

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skclr import CLRLeNetClassifier

NAMES = np.array([f"class {label}" for label in "abcdefghij"])


class Flat(nn.Sequential):
    def __init__(self, n_classes=10):
        super().__init__(nn.Flatten(), nn.Linear(32 * 32, n_classes))


def cyclic(**params):
    given = {"schedule": "triangular", "step_size": 0.5, "max_epochs": 4, "batch_size": 16}
    return CLRLeNetClassifier(Flat, **(given | {"max_lr": 0.01, "random_state": 0} | params))


def plain(*callbacks, **params):
    torch.manual_seed(0)
    given = {
        "module__in_features": 4, "module__out_features": 2, "criterion": nn.CrossEntropyLoss,
        "batch_size": 10, "max_epochs": 4, "train_split": None, "verbose": 0, **params,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, callbacks=list(callbacks), **given)
