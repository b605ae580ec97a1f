"""Test accuracy of the defaults and of the README's recipes on the full Fashion-MNIST.

    python benchmarks/accuracy.py [--seeds 3] [--recipes "60 epochs"] [--engine numba]

One row a recipe: epochs, test accuracy of each seed, and the seconds of one training.
"""

import argparse
import time

from skclr import CLRLeNetClassifier, fetch_fashion_mnist
from skclr.augmentation import RandomShiftFlip

RECIPES = {
    "the defaults": {},
    "6 epochs": {
        "schedule": "one_cycle",
        "max_lr": 0.4,
        "batch_size": 256,
        "weight_decay": 5e-4,
        "max_epochs": 6,
    },
    "20 epochs": {
        "schedule": "one_cycle",
        "max_lr": 0.3,
        "batch_size": 128,
        "weight_decay": 5e-4,
        "max_epochs": 20,
    },
    "60 epochs": {
        "schedule": "one_cycle",
        "max_lr": 0.05,
        "weight_decay": 2e-4,
        "augmentation": RandomShiftFlip(1.5 / 32, interpolation="nearest"),
        "max_epochs": 60,
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... (default: 1)")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--engine", choices=["torch", "numba"], default="torch")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    X, y = fetch_fashion_mnist(return_X_y=True)
    X_test, y_test = fetch_fashion_mnist(subset="test", return_X_y=True)
    print(f"{'recipe':14}{'epochs':>8}{'seconds':>9}  test accuracy")
    for name in arguments.recipes:
        accuracies, seconds = [], []
        for seed in seeds:
            clf = CLRLeNetClassifier(
                random_state=seed,
                device=arguments.device,
                module__engine=arguments.engine,
                **RECIPES[name],
            )
            began = time.perf_counter()
            clf.fit(X, y)
            seconds.append(time.perf_counter() - began)
            accuracies.append(clf.score(X_test, y_test))
        shown = "  ".join(f"{accuracy:.4f}" for accuracy in accuracies)
        print(f"{name:14}{clf.max_epochs:8}{min(seconds):9.1f}  {shown}", flush=True)


if __name__ == "__main__":
    main()
