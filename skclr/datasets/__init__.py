"""Fashion-MNIST: a sample shipped with the package, and the full set."""

from skclr.datasets._fashion_mnist import fetch_fashion_mnist, load_fashion_mnist_sample

__all__ = ["fetch_fashion_mnist", "load_fashion_mnist_sample"]
