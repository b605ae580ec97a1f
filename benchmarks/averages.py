r"""The last weights, the average of the low points and their ensemble, compared over seeds.

    python benchmarks/averages.py [--seeds 5] [--jobs 2] [--csv FILE]
    python benchmarks/averages.py --report docs/data/averages.csv   # prints it from the kept runs

Each training ends with a whole cycle and gives all three: the weights that it ends with, the
average of the last low points (CycleAverage), and the ensemble of the same (SnapshotEnsemble). So
their differences in test accuracy and test loss are paired by seed, and have 95 % intervals of
Student's t. Four tasks:

    full         all of Fashion-MNIST, LeNet-5, six cycles of four epochs
    wide         the shipped sample, a network of a million weights that learns it by heart
    few          1,000 images of Fashion-MNIST, LeNet-5
    digits       scikit-learn's table of digits, 64 values a row, a perceptron

Low points of the first third do not count, for average and ensemble alike. Every task has both
kinds of cycle, triangular and cosine. The first task takes most of the time. --tasks
names others, --quick trains on 300 images of each, to see that it runs.
"""

import argparse
import math
from functools import partial

import joblib
import numpy as np
import pandas as pd
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from torch import nn

from skclr import (
    CLRLeNetClassifier,
    SnapshotEnsemble,
    fetch_fashion_mnist,
    load_fashion_mnist_sample,
)
from skclr.callbacks import CycleAverage

METHODS = ("last", "average", "ensemble")
CYCLE = 4  # epochs


class Wide(nn.Sequential):
    """Wide convolutions with batch normalization."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(
            nn.Conv2d(in_channels, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.MaxPool2d(4),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(64 * 4 * 4, 1024), nn.ReLU(), nn.Linear(1024, n_classes),
        )  # fmt: skip


class Perceptron(nn.Sequential):
    """Two hidden layers on the pixels."""

    def __init__(self, n_classes=10):
        super().__init__(
            nn.Flatten(), nn.Linear(32 * 32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(),
            nn.Linear(128, n_classes),
        )  # fmt: skip


def fashion(load, n=None):
    """Return training and test data, `n` of the training images."""
    X, y = load(return_X_y=True)
    return X[:n], y[:n], *load(subset="test", return_X_y=True)


def digits():
    """Return training and test data, halves of the table."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    return X, y, X_test, y_test


TASKS = {  # data, parameters
    "full": (partial(fashion, fetch_fashion_mnist), {}),
    "wide": (partial(fashion, load_fashion_mnist_sample), {"module": Wide, "max_lr": 0.05}),
    "few": (partial(fashion, load_fashion_mnist_sample, 1000), {"batch_size": 32}),
    "digits": (digits, {"module": Perceptron, "batch_size": 32, "max_lr": 0.05}),
}
SCHEDULES = {"triangular": CYCLE / 2, "cosine_restarts": CYCLE}  # step sizes


def measure(task, schedule, seed, n_cycles, quick, device):
    """Train once; return a row a method."""
    load, parameters = TASKS[task]
    X, y, X_test, y_test = load()
    if quick:
        X, y, X_test, y_test = X[:300], y[:300], X_test[:300], y_test[:300]
    n_members = n_cycles - n_cycles // 3
    clf = CLRLeNetClassifier(
        schedule=schedule,
        step_size=SCHEDULES[schedule],
        max_epochs=n_cycles * CYCLE,
        callbacks=[CycleAverage(start=(n_cycles - n_members) * CYCLE)],
        random_state=seed,
        device=device,
        **parameters,
    )
    ensemble = SnapshotEnsemble(clf, n_members).fit(X, y)
    probabilities = {
        "average": ensemble.estimator_.predict_proba(X_test),
        "ensemble": ensemble.predict_proba(X_test),
    }
    # training ends with a whole cycle, so its last weights are those of the last member
    ensemble.estimator_.module_.load_state_dict(ensemble.members_[-1])
    probabilities["last"] = ensemble.estimator_.predict_proba(X_test)
    rows = []
    for method in METHODS:
        proba = probabilities[method].astype(float)
        proba /= proba.sum(axis=1, keepdims=True)  # to all digits of a double
        right = ensemble.classes_[proba.argmax(axis=1)] == y_test
        rows.append(
            {
                "task": task,
                "schedule": schedule,
                "seed": seed,
                "method": method,
                "accuracy": right.mean(),
                "loss": log_loss(y_test, proba, labels=ensemble.classes_),
            }
        )
    return rows


def interval(values):
    """Return the mean of some values, and half of its 95 % interval."""
    n = len(values)
    if n < 2:
        return float(np.mean(values)), math.nan
    return float(np.mean(values)), stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5


def report(runs):
    """Print the means, and the differences to the last weights, paired by seed."""
    for (task, schedule), own in runs.groupby(["task", "schedule"], sort=False):
        print(f"\n{task}, {schedule}, {own['seed'].nunique()} seeds")
        for measure_name in ("accuracy", "loss"):
            table = own.pivot(index="seed", columns="method", values=measure_name)
            for method in METHODS:
                line = f"{measure_name:>10} {method:10} {table[method].mean():.4f}"
                if method != "last":
                    mean, half = interval(table[method] - table["last"])
                    line += f"   {mean:+.4f}"
                    if not math.isnan(half):  # of a single seed
                        line += f" ({mean - half:+.4f} to {mean + half:+.4f})"
                print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... (default: 5)")
    parser.add_argument("--cycles", type=int, default=6, help="of 4 epochs each (default: 6)")
    parser.add_argument("--jobs", type=int, default=-1, help="default: as many as there are cores")
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--quick", action="store_true", help="300 images of each task")
    parser.add_argument("--csv", metavar="FILE", help="where the runs are kept")
    parser.add_argument("--report", metavar="FILE", help="print the tables of such a file")
    arguments = parser.parse_args()
    if arguments.report:
        report(pd.read_csv(arguments.report))
        return

    jobs = [
        joblib.delayed(measure)(
            task, schedule, seed, arguments.cycles, arguments.quick, arguments.device
        )
        for task in arguments.tasks
        for schedule in SCHEDULES
        for seed in range(arguments.seeds)
    ]
    found = joblib.Parallel(n_jobs=arguments.jobs, verbose=5)(jobs)
    runs = pd.DataFrame([row for rows in found for row in rows])
    if arguments.csv:
        runs.to_csv(arguments.csv, index=False)
    report(runs)


if __name__ == "__main__":
    main()
