"""How good the range test's rules are: regret and spread over tasks, and the cost of a test.

    python benchmarks/range_test.py [--seeds 10] [--jobs -1] [--store trainings.csv]
    python benchmarks/range_test.py --cost

For each task (data, module, optimizer, batch size) networks are trained by triangular CLR up to
every maximum of a grid, and up to what each rule suggests, each suggestion of `--seeds` range tests
`--repeats` times. The regret of a rule is the mean test accuracy of the best maximum of the grid,
trained anew with ten other seeds, less the mean of the rule's, in percentage points; that to the
grid takes the mean by which the maximum was chosen, the highest of 15, in which there is luck. The
spread of a rule is the largest over the smallest suggestion. A training has collapsed when its test
accuracy is less than half way from the share of the largest class to the best of the grid: the
network died, or a rate that is far too low never moved it. All rules read the same sweeps: those
with one curve the mean of the two over all rates, which is kinder than the single sweep that they
were made for.

Fashion tasks train on the shipped 6,000 images and are judged by the 10,000 test images of the full
set. Tables are sets of scikit-learn, standardized, with plain skorch nets of ReLU layers that learn
them in a few hundred updates, and die not far above the rates that are good. The rule was not
fitted to the last two tables. The grid is trained with `--seeds` seeds. All of it takes about two
hours on two cores; with `--store`, trainings are kept in a file and not made again, as long as
neither the data nor the classifier have changed.
"""

import argparse
import csv
import statistics
import time
import warnings
from itertools import pairwise
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_gaussian_quantiles,
)
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skclr import (
    CLRLeNetClassifier,
    DivergenceError,
    fetch_fashion_mnist,
    load_fashion_mnist_sample,
    lr_range_test,
)
from skclr.callbacks import CyclicLR
from skclr.range_test import RangeTestWarning

GRID = np.geomspace(1e-3, 3.0, 15)
SEEDS_OF_BEST = range(100, 110)
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


class ReLUNet(nn.Sequential):
    def __init__(self, n_features, hidden, n_classes):
        sizes = [n_features, *hidden]
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        super().__init__(*layers, nn.Linear(sizes[-1], n_classes))


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


TABLES = {
    "breast cancer": (lambda: load_breast_cancer(return_X_y=True), 400),
    "wine": (lambda: load_wine(return_X_y=True), 120),
    "digits table": (lambda: load_digits(return_X_y=True), 1197),
    "iris": (lambda: load_iris(return_X_y=True), 100),
    "quantiles": (
        lambda: make_gaussian_quantiles(n_samples=3000, n_features=4, n_classes=3, random_state=0),
        1000,
    ),
}
TASKS |= {
    "breast cancer, ReLU 32-32, SGD+momentum, 16": ("breast cancer", {"hidden": (32, 32)}),
    "wine, ReLU 32-32-32, SGD+momentum, 8": ("wine", {"hidden": (32, 32, 32), "batch_size": 8}),
    "digits table, ReLU 64-64, SGD+momentum, 32": (
        "digits table",
        {"hidden": (64, 64), "batch_size": 32},
    ),
    "iris, ReLU 32-32, SGD, 16": ("iris", {"hidden": (32, 32), "momentum": 0.0}),
    "quantiles, ReLU 64-64, SGD+momentum, 16": ("quantiles", {"hidden": (64, 64)}),
}


def load(name):
    if name == "fashion":
        X, y = load_fashion_mnist_sample(return_X_y=True)
        X_test, y_test = fetch_fashion_mnist(subset="test", return_X_y=True)
        return X, X_test, y, y_test
    if name == "digits":
        return train_test_split(*load_digits(return_X_y=True), test_size=600, random_state=0)
    read, n = TABLES[name]
    X, y = read()
    X, X_test, y, y_test = train_test_split(X, y, train_size=n, random_state=0, stratify=y)
    scaler = StandardScaler().fit(X)
    return *(scaler.transform(part).astype("float32") for part in (X, X_test)), y, y_test


def table_net(X, y, *, hidden, momentum=0.9, batch_size=16, **parameters):
    """Return a plain skorch net of ReLU layers for a table."""
    return NeuralNetClassifier(
        ReLUNet,
        module__n_features=X.shape[1],
        module__hidden=hidden,
        module__n_classes=len(np.unique(y)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=momentum,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **parameters,
    )


def lightning(lrs, losses):
    """Return where the loss falls fastest over the rate itself, as Lightning's finder suggests."""
    lrs, losses = lrs[10:-1], losses[10:-1]  # it leaves out the first ten and the last
    return float(lrs[np.argmin(np.gradient(losses, lrs))])


def suggestions(data, parameters, seed):
    X, _, y, _ = load(data)
    tabular = data in TABLES
    net = table_net(X, y, **parameters) if tabular else CLRLeNetClassifier(**parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RangeTestWarning)
        found = lr_range_test(net, X, y, random_state=seed)
    whole = found.smoothed[np.isfinite(found.smoothed[:, 0])]
    ended = ~np.isfinite(whole).all(axis=0)
    n = int(np.argmax(ended)) if ended.any() else len(found.lrs)
    own = lightning(found.lrs[:n], whole[:, :n].mean(axis=0))
    return found.suggestions | {"lightning": own}


def accuracy(task, max_lr, seed):
    data, parameters = TASKS[task]
    X, X_test, y, y_test = load(data)
    epochs = 8 if data == "fashion" else 16
    cycle = {"base_lr": max_lr / 20, "max_lr": max_lr, "step_size": epochs / 2}
    if data in TABLES:
        torch.manual_seed(seed)
        clr = CyclicLR("triangular", **cycle)
        net = table_net(X, y, **parameters, max_epochs=epochs, callbacks=[("clr", clr)])
        return net.fit(X, y).score(X_test, y_test)  # a network of NaN answers with one class
    clf = CLRLeNetClassifier(
        schedule="triangular", **cycle, max_epochs=epochs, random_state=seed, **parameters
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

    def scores(self, task, pairs):
        """Return the accuracies of pairs of a maximum and a seed; NaN without a maximum."""
        return np.array(
            [np.nan if max_lr is None else self.known[task, max_lr, seed] for max_lr, seed in pairs]
        )

    def make(self, wanted):
        """Make those that are not known yet."""
        todo = [key for key in dict.fromkeys(wanted) if key not in self.known]
        scores = self.run(joblib.delayed(accuracy)(*key) for key in todo)
        for key, score in zip(todo, scores, strict=True):
            self.known[key] = score
            if self.path is not None:
                with self.path.open("a") as file:
                    csv.writer(file).writerow([*key, score])


def judge(trainings, task, found, rules=RULES, repeats=3):
    """Return what is said of each rule, the best maximum of the grid and its two accuracies."""
    data = TASKS[task][0]
    n = len(found)
    grid = [[(float(lr), seed) for seed in range(n)] for lr in GRID]
    ruled = {
        rule: [(one[rule], seed + n * k) for seed, one in enumerate(found) for k in range(repeats)]
        for rule in rules
    }
    trainings.make(
        (task, *pair) for pairs in [*grid, *ruled.values()] for pair in pairs if pair[0] is not None
    )
    means = [trainings.scores(task, pairs).mean() for pairs in grid]
    best = float(GRID[np.argmax(means)])
    trainings.make((task, best, seed) for seed in SEEDS_OF_BEST)
    anew = trainings.scores(task, [(best, seed) for seed in SEEDS_OF_BEST]).mean()
    y_test = load(data)[3]
    half_way = (max(means) + np.unique(y_test, return_counts=True)[1].max() / len(y_test)) / 2
    rows = {}
    for rule in rules:
        answers = [one[rule] for one in found]
        known = [answer for answer in answers if answer is not None]
        scores = trainings.scores(task, ruled[rule])
        rows[rule] = {
            "median lr": statistics.median(known) if known else np.nan,
            "regret": 100 * (anew - scores.mean()),
            "to the grid": 100 * (max(means) - scores.mean()),
            "spread": max(known) / min(known) if len(known) == len(answers) else np.inf,
            f"collapsed of {len(scores)}": (scores < half_way).sum(),
        }
    return pd.DataFrame(rows).T, best, max(means), anew


def cost():
    """Return the time of a range test over that of an epoch, on the full set."""
    X, y = fetch_fashion_mnist(return_X_y=True)
    ratios = []
    for seed in range(3):
        began = time.perf_counter()
        CLRLeNetClassifier(max_epochs=1, random_state=seed).fit(X, y)
        epoch = time.perf_counter() - began
        began = time.perf_counter()
        lr_range_test(CLRLeNetClassifier(), X, y, random_state=seed)
        ratios.append((time.perf_counter() - began) / epoch)
    return statistics.median(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="of tests and grid (default: 10)")
    parser.add_argument("--repeats", type=int, default=3, help="of each suggestion (default: 3)")
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--store", type=Path, help="a file that keeps the trainings")
    parser.add_argument("--cost", action="store_true", help="measure only what a test costs")
    arguments = parser.parse_args()
    if arguments.cost:
        print(f"the range test / an epoch of the full set: {cost():.2f}")
        return
    run = joblib.Parallel(n_jobs=arguments.jobs, batch_size=1, return_as="generator")
    trainings = Trainings(run, arguments.store)
    tables = {}
    for name, task in TASKS.items():
        seeds = range(arguments.seeds)
        found = list(run(joblib.delayed(suggestions)(*task, seed) for seed in seeds))
        tables[name], best, highest, anew = judge(
            trainings, name, found, arguments.rules, arguments.repeats
        )
        print(f"\n{name}: best maximum {best:.3g}, accuracy {highest:.4f}, anew {anew:.4f}")
        print(tables[name].round(4).to_string(), flush=True)
    everything = pd.concat(tables, names=["task", "rule"])
    by_rule = everything.groupby(level="rule")
    summary = pd.DataFrame(
        {
            "median regret": by_rule["regret"].median(),
            "worst regret": by_rule["regret"].max(),
            "median to the grid": by_rule["to the grid"].median(),
            "largest spread": by_rule["spread"].max(),
            "collapsed": by_rule[f"collapsed of {arguments.repeats * arguments.seeds}"]
            .sum()
            .astype(int),
        }
    ).loc[arguments.rules]
    n = len(TASKS) * arguments.seeds * arguments.repeats
    print(f"\nall {len(TASKS)} tasks (regret in percentage points, collapsed of {n} trainings)")
    print(summary.round(2).to_string())


if __name__ == "__main__":
    main()
