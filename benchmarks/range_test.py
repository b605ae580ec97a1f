"""How good the range test's rules are: regret and spread over tasks, and the cost of a test.

    python benchmarks/range_test.py [--seeds 10] [--jobs -1] [--store trainings.csv]
    python benchmarks/range_test.py --cost

For each task (data, module, optimizer, batch size) networks are trained by triangular CLR up to
every maximum of a grid, and up to what each rule suggests. The regret of a rule is the best mean
test accuracy over the grid less the rule's, in percentage points; its spread is the largest over
the smallest suggestion of `--seeds` range tests. All rules read the same sweeps: those with one
curve the mean of the repeats, which is kinder than the single sweep that they were made for.

Fashion tasks train on the shipped 6,000 images and are judged by the 10,000 test images of the full
set. It takes about half an hour on two cores; with `--store`, trainings are kept in a file and not
made again, as long as neither the data nor the classifier have changed.
"""

import argparse
import csv
import statistics
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from skclr import (
    CLRLeNetClassifier,
    DivergenceError,
    fetch_fashion_mnist,
    load_fashion_mnist_sample,
    lr_range_test,
)
from skclr.range_test import RangeTestWarning

GRID = np.geomspace(1e-3, 3.0, 15)
TRAINING_SEEDS = (0, 1, 2)
RULES = (
    "basin", "valley", "slide", "minimum_tenth", "minimum", "steepest", "lightning",
)  # fmt: skip


class MLP(nn.Sequential):
    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(
            nn.Flatten(), nn.Linear(in_channels * 1024, 100), nn.ReLU(), nn.Linear(100, n_classes)
        )


class BatchNormNet(nn.Sequential):
    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(
            nn.Conv2d(in_channels, 8, 5, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 5, stride=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(400, n_classes),
        )


RELU = {"module__activation": nn.ReLU}
ADAM = {"optimizer": torch.optim.Adam}
TASKS = {
    "fashion, LeNet tanh, SGD+momentum, 64": ("fashion", {}),
    "fashion, LeNet ReLU, SGD+momentum, 128": ("fashion", {**RELU, "batch_size": 128}),
    "fashion, LeNet ReLU, Adam, 64": ("fashion", {**RELU, **ADAM}),
    "fashion, MLP, SGD, 32": ("fashion", {"module": MLP, "momentum": 0.0, "batch_size": 32}),
    "fashion, batch norm, SGD+momentum, 128": (
        "fashion",
        {"module": BatchNormNet, "batch_size": 128},
    ),
    "fashion, LeNet tanh, SGD+momentum, 512": ("fashion", {"batch_size": 512}),
    "digits, LeNet tanh, SGD+momentum, 32": ("digits", {"batch_size": 32}),
    "digits, MLP, Adam, 64": ("digits", {"module": MLP, **ADAM}),
}


def load(name):
    if name == "fashion":
        X, y = load_fashion_mnist_sample(return_X_y=True)
        X_test, y_test = fetch_fashion_mnist(subset="test", return_X_y=True)
        return X, X_test, y, y_test
    return train_test_split(*load_digits(return_X_y=True), test_size=600, random_state=0)


def lightning(lrs, losses):
    """Return where the loss falls fastest over the rate itself, as Lightning's finder suggests."""
    lrs, losses = lrs[10:-1], losses[10:-1]  # it leaves out the first ten and the last
    return float(lrs[np.argmin(np.gradient(losses, lrs))])


def suggestions(data, parameters, seed):
    X, _, y, _ = load(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RangeTestWarning)
        found = lr_range_test(CLRLeNetClassifier(**parameters), X, y, random_state=seed)
    ended = ~np.isfinite(found.smoothed).all(axis=0)
    n = int(np.argmax(ended)) if ended.any() else len(found.lrs)
    own = lightning(found.lrs[:n], found.smoothed[:, :n].mean(axis=0))
    return found.suggestions | {"lightning": own}


def accuracy(task, max_lr, seed):
    data, parameters = TASKS[task]
    X, X_test, y, y_test = load(data)
    epochs = 8 if data == "fashion" else 16
    clf = CLRLeNetClassifier(
        schedule="triangular",
        base_lr=max_lr / 20,
        max_lr=max_lr,
        step_size=epochs / 2,
        max_epochs=epochs,
        random_state=seed,
        **parameters,
    )
    try:
        return clf.fit(X, y).score(X_test, y_test)
    except DivergenceError:
        return 1 / len(np.unique(y))


class Trainings:
    """Test accuracies by task, maximum and seed, each measured once."""

    def __init__(self, run, path):
        self.run, self.path, self.known = run, path, {}
        if path is not None and path.exists():
            with path.open() as file:
                for task, max_lr, seed, score in csv.reader(file):
                    self.known[task, float(max_lr), int(seed)] = float(score)

    def mean(self, task, pairs):
        """Return the mean accuracy of pairs of a maximum and a seed; NaN where one is missing."""
        if any(max_lr is None for max_lr, _ in pairs):
            return np.nan
        return float(np.mean([self.known[(task, *pair)] for pair in pairs]))

    def make(self, wanted):
        """Make those that are not known yet."""
        todo = [key for key in dict.fromkeys(wanted) if key not in self.known]
        scores = self.run(joblib.delayed(accuracy)(*key) for key in todo)
        for key, score in zip(todo, scores, strict=True):
            self.known[key] = score
            if self.path is not None:
                with self.path.open("a") as file:
                    csv.writer(file).writerow([*key, score])


def judge(trainings, task, found):
    """Return regret and spread of each rule, and the best maximum of the grid."""
    grid = [[(float(lr), seed) for seed in TRAINING_SEEDS] for lr in GRID]
    # what a rule suggests is judged by its own answers to the first seeds, each with one training
    ruled = {rule: [(found[seed][rule], seed) for seed in TRAINING_SEEDS] for rule in RULES}
    trainings.make(
        (task, *pair) for pairs in [*grid, *ruled.values()] for pair in pairs if pair[0] is not None
    )
    means = [trainings.mean(task, pairs) for pairs in grid]
    rows = {}
    for rule in RULES:
        answers = [one[rule] for one in found]
        known = [answer for answer in answers if answer is not None]
        rows[rule] = {
            "median lr": statistics.median(known) if known else np.nan,
            "regret": 100 * (max(means) - trainings.mean(task, ruled[rule])),
            "spread": max(known) / min(known) if len(known) == len(answers) else np.inf,
        }
    return pd.DataFrame(rows).T, GRID[np.argmax(means)], max(means)


def cost():
    """Return the time of a repeat of a range test over that of an epoch, on the full set."""
    X, y = fetch_fashion_mnist(return_X_y=True)
    ratios = []
    for seed in range(3):
        began = time.perf_counter()
        CLRLeNetClassifier(max_epochs=1, random_state=seed).fit(X, y)
        epoch = time.perf_counter() - began
        began = time.perf_counter()
        found = lr_range_test(CLRLeNetClassifier(), X, y, random_state=seed)
        ratios.append((time.perf_counter() - began) / len(found.losses) / epoch)
    return statistics.median(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="range tests a task (default: 10)")
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--store", type=Path, help="a file that keeps the trainings")
    parser.add_argument("--cost", action="store_true", help="measure only what a test costs")
    arguments = parser.parse_args()
    if arguments.cost:
        print(f"a repeat of the range test / an epoch of the full set: {cost():.2f}")
        return
    run = joblib.Parallel(n_jobs=arguments.jobs, batch_size=1, return_as="generator")
    trainings = Trainings(run, arguments.store)
    tables = {}
    for name, task in TASKS.items():
        seeds = range(arguments.seeds)
        found = list(run(joblib.delayed(suggestions)(*task, seed) for seed in seeds))
        tables[name], best, highest = judge(trainings, name, found)
        print(f"\n{name}: best maximum {best:.3g}, accuracy {highest:.4f}")
        print(tables[name].round(4).to_string(), flush=True)
    everything = pd.concat(tables, names=["task", "rule"])
    by_rule = everything.groupby(level="rule")
    summary = pd.DataFrame(
        {
            "median regret": by_rule["regret"].median(),
            "worst regret": by_rule["regret"].max(),
            "largest spread": by_rule["spread"].max(),
        }
    ).loc[list(RULES)]
    print(f"\nall {len(TASKS)} tasks (regret in percentage points)\n{summary.round(2).to_string()}")


if __name__ == "__main__":
    main()
