"""A few real images, and a study of them that several tests look at."""

import pytest

from skclr import load_fashion_mnist_sample, study


@pytest.fixture(scope="session")
def images():
    """400 images for training and 200 for testing, each with their labels."""
    X, y = load_fashion_mnist_sample(return_X_y=True)
    X_test, y_test = load_fashion_mnist_sample(subset="test", return_X_y=True)
    return X[:400], y[:400], X_test[:200], y_test[:200]


@pytest.fixture(scope="session")
def finished(tmp_path_factory, images):
    """A study that came to its end."""
    return study.run(tmp_path_factory.mktemp("study"), data=images, epochs=2, n_jobs=1)
