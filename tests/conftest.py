"""What all tests share: a few real images, one thread, and no window."""

import os
import signal

import matplotlib
import numpy as np
import pytest
import torch

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample
from skclr.lenet import _compiled

matplotlib.use("Agg")
torch.set_num_threads(1)
if "SKCLR_DEVICE" in os.environ:  # tests that look into the network need a CPU all the same
    CLRLeNetClassifier.__init__.__kwdefaults__["device"] = os.environ["SKCLR_DEVICE"]
    torch.backends.cudnn.deterministic = True
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a run in the background is started so
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _fashion():
    X, y = load_fashion_mnist_sample(return_X_y=True)
    chosen = np.concatenate([np.flatnonzero(y == label)[:40] for label in range(10)])
    chosen = np.random.RandomState(0).permutation(chosen)
    return X[chosen], y[chosen]


@pytest.fixture
def fashion(_fashion):
    """400 images of Fashion-MNIST, uint8 (400, 28, 28), and their labels, 40 of each class."""
    X, y = _fashion
    return X.copy(), y.copy()


@pytest.fixture
def two_classes(fashion):
    """60 images of ankle boots (label 9) and of trousers (label 1), easily told apart."""
    X, y = fashion
    chosen = np.isin(y, (1, 9)).nonzero()[0][:60]
    return X[chosen], y[chosen]


@pytest.fixture
def table():
    """60 rows of four float32 features, and a class that one of them decides."""
    X = np.random.RandomState(0).randn(60, 4).astype(np.float32)
    return X, (X[:, 0] > 0).astype(np.int64)


@pytest.fixture
def calls_of_numba(monkeypatch):
    """How many samples each call of the compiled functions was for."""
    seen = []

    class Counted(_compiled._Batch):
        def __init__(self, purpose, images, weights):
            seen.append(len(images))
            super().__init__(purpose, images, weights)

    monkeypatch.setattr(_compiled, "_Batch", Counted)
    return seen
