"""What the tests of the displays share: two trained classifiers, and no figure left open."""

import matplotlib.pyplot as plt
import pytest
from sklearn.datasets import load_digits

from skclr import CLRLeNetClassifier


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def cyclical():
    X, y = load_digits(return_X_y=True)
    return CLRLeNetClassifier(
        schedule="triangular",
        base_lr=0.001,
        max_lr=0.05,
        step_size=1,
        max_epochs=3,
        validation_fraction=0.25,
        random_state=0,
    ).fit(X[:500], y[:500])


@pytest.fixture(scope="session")
def doubling():
    X, y = load_digits(return_X_y=True)
    return CLRLeNetClassifier(
        schedule="batch_doubling",
        max_lr=0.05,
        batch_size=64,
        max_batch_size=256,
        step_size=1,
        max_epochs=3,
        random_state=0,
    ).fit(X[:500], y[:500])
