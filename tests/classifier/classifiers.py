"""Networks, callbacks and classifiers for the tests of the classifier."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

import skclr
from skclr import CLRLeNetClassifier

NAMES = np.array(
    ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
)


class Flat(nn.Module):
    """A linear classifier, for tests in which the network does not matter."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__()
        self.linear = nn.Linear(in_channels * 32 * 32, n_classes)

    def forward(self, images):
        return self.linear(images.flatten(1))


class Spy(Callback):
    """Note the samples, the rates and the mode of every batch."""

    def __init__(self):
        self.training_, self.validation_, self.rates_ = [], [], []

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        (self.training_ if training else self.validation_).append(batch)

    def on_grad_computed(self, net, named_parameters, training=None, **kwargs):
        self.rates_.append(net.optimizer_.param_groups[0]["lr"])


def quick(**params):
    return CLRLeNetClassifier(
        **({"module": Flat, "max_epochs": 1, "max_lr": 0.01, "random_state": 0} | params)
    )


def lenet(**params):
    return CLRLeNetClassifier(**({"max_epochs": 1, "batch_size": 16, "random_state": 0} | params))


def by_numba(kind=CLRLeNetClassifier, **params):
    return kind(
        **{"schedule": "triangular", "base_lr": 0.01, "max_lr": 0.1, "max_epochs": 2, "verbose": 0,
           "batch_size": 80, "random_state": 0, "module__engine": "numba"} | params
    )  # fmt: skip


def bright_rows():
    """Return images and labels: 240 dim images, of which a row of three tells the class."""
    generator = np.random.default_rng(0)
    y = generator.integers(3, size=240)
    X = generator.integers(60, size=(240, 28, 28), dtype=np.uint8)
    X[np.arange(240), 5 + 6 * y] = 255
    return X, y


def weights(clf):
    state = clf.module_.state_dict().values()
    return torch.cat([value.flatten() for value in state]).cpu().numpy()


def rates(clf):
    return clf.history_frame("batch")["lr"].to_numpy()


def bits(clf, X):
    return hashlib.sha256(clf.predict_proba(X).tobytes()).hexdigest()


def global_states():
    numpy_state = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (numpy_state[1].tobytes(), *numpy_state[2:]),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
    }


def in_a_fresh_process(code, *args):
    """Run Python code elsewhere, with other threads and another hash seed; return what it says."""
    root = Path(skclr.__file__).parents[1]  # of the package that is tested
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONHASHSEED": "123",
        "OMP_NUM_THREADS": "2",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
