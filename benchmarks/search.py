"""Searches over schedules with one job and with two, beside skorch and scikeras.

    python benchmarks/search.py [--keras-python .venv-keras/bin/python] [--repeats 3]

GridSearchCV over schedules and rates, of 8 and of 16 trainings, with n_jobs=1 and n_jobs=2, by
CLRLeNetClassifier with either engine, by a plain skorch net with its DataLoader and torch's
CyclicLR, and by scikeras around the network of the Keras program (skipped with a message where it
is missing, see keras_program.py). The work is the same for all: LeNet-5, the images of the shipped
sample in two folds, the same epochs, batches of 64, the same schedules and rates, and the scores of
the fold that was left out. Images are held as each program wants them. The number of threads is
what the program takes when it is told nothing.

Each runs in a process of its own; while one computes, the others wait. A search of two trainings
comes before each timed one: it starts the worker processes of joblib, and imports and compiles what
is needed. A user pays for that once, not for each search.

One table from one run: medians of interleaved repeats, and ratios. With fewer --keras-repeats than
--repeats scikeras takes part in the first ones alone. It takes about five minutes on two cores; let
nothing else run meanwhile.
"""

import argparse
import importlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.model_selection import GridSearchCV

N_TRAININGS, N_JOBS, N_FOLDS = (8, 16), (1, 2), 2
SCHEDULES, RATES = ("triangular", "exp_range"), (0.05, 0.1, 0.02, 0.01)
BASE_LR, GAMMA, BATCH_SIZE = 0.001, 0.9998, 64
PARAMETERS = {  # that a search sets: of the schedule, and of the highest rate
    "skclr": ("schedule", "max_lr"),
    "skclr numba": ("schedule", "max_lr"),
    "skorch": ("callbacks__clr__mode", "callbacks__clr__max_lr"),
    "scikeras": ("model__schedule", "model__max_lr"),
}
OURS = ("skclr", "skclr numba")
MODULES = {
    "skclr": ("skclr",),
    "skclr numba": ("numba",),
    "skorch": ("skorch", "torch"),
    "scikeras": ("scikeras", "tensorflow"),
}


# ---------------------------------------------------------------- the programs


def ours(X, epochs, **parameters):
    from skclr import CLRLeNetClassifier

    return X, CLRLeNetClassifier(
        base_lr=BASE_LR, step_size=epochs / 2, gamma=GAMMA,
        batch_size=BATCH_SIZE, max_epochs=epochs, random_state=0, **parameters,
    )  # fmt: skip


def by_numba(X, epochs):
    return ours(X, epochs, module__engine="numba")


def skorch(X, epochs):
    import torch
    from skorch import NeuralNetClassifier
    from skorch.callbacks import LRScheduler
    from speed import float_images, plain_lenet

    rate = LRScheduler(
        torch.optim.lr_scheduler.CyclicLR, step_every="batch", cycle_momentum=False,
        mode=SCHEDULES[0], base_lr=BASE_LR, max_lr=RATES[0], gamma=GAMMA,
        step_size_up=half_a_cycle(X, epochs),
    )  # fmt: skip
    return float_images(X), NeuralNetClassifier(
        plain_lenet, criterion=torch.nn.CrossEntropyLoss, optimizer__momentum=0.9,
        iterator_train__shuffle=True, train_split=None, callbacks=[("clr", rate)],
        batch_size=BATCH_SIZE, max_epochs=epochs, verbose=0,
    )  # fmt: skip


def scikeras(X, epochs):
    from keras_search import classifier, float_images

    return float_images(X), classifier(
        epochs, BATCH_SIZE, schedule=SCHEDULES[0], base_lr=BASE_LR, max_lr=RATES[0],
        step_size=half_a_cycle(X, epochs), gamma=GAMMA,
    )  # fmt: skip


PROGRAMS = {"skclr": ours, "skclr numba": by_numba, "skorch": skorch, "scikeras": scikeras}


def half_a_cycle(X, epochs):
    """Return how many updates half of the training is: it has one cycle."""
    updates = -(-(len(X) - len(X) // N_FOLDS) // BATCH_SIZE)
    return updates * epochs / 2


def grid(name, n_trainings):
    schedule, max_lr = PARAMETERS[name]
    n_rates = n_trainings // N_FOLDS // len(SCHEDULES)
    return {schedule: list(SCHEDULES), max_lr: list(RATES[:n_rates])}


# ---------------------------------------------------------------- processes of their own


def work(name, path, epochs):
    """Answer each line, trainings and jobs, with the seconds of a search and its best score."""
    X, y = (np.load(f"{path}-{part}.npy") for part in "Xy")
    X, estimator = PROGRAMS[name](X, epochs)
    print(", ".join(f"{m} {importlib.import_module(m).__version__}" for m in MODULES[name]))
    sys.stdout.flush()
    first = {parameter: value[:1] for parameter, value in grid(name, N_TRAININGS[0]).items()}
    for line in sys.stdin:
        n_trainings, n_jobs = map(int, line.split())
        search(estimator, first, X, y, n_jobs)
        began = time.perf_counter()
        score = search(estimator, grid(name, n_trainings), X, y, n_jobs)
        print(time.perf_counter() - began, score, flush=True)


def search(estimator, candidates, X, y, n_jobs):
    """Search, and return the best score."""
    searching = GridSearchCV(
        estimator, candidates, cv=N_FOLDS, refit=False, n_jobs=n_jobs, error_score="raise"
    )
    return searching.fit(X, y).best_score_


class Process:
    """A program in a process of its own."""

    def __init__(self, name, python, path, epochs):
        command = [python, __file__, "--work", name, path, str(epochs)]
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.versions = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended, for the reason above.")
        return line.strip()

    def ask(self, n_trainings, n_jobs):
        print(n_trainings, n_jobs, file=self.process.stdin, flush=True)
        return tuple(map(float, self.read().split()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def has_scikeras(python):
    looking = "import importlib.util, sys; sys.exit(importlib.util.find_spec('scikeras') is None)"
    return os.path.exists(python) and subprocess.run([python, "-c", looking]).returncode == 0


# ---------------------------------------------------------------- the measurement and its table


def measure(running, repeats):
    """Return seconds and best scores by trainings, jobs and program, one for each repeat."""
    found = {(n, k, name): [] for n in N_TRAININGS for k in N_JOBS for name in running}
    for repeat in range(max(repeats.values())):
        for n_trainings, n_jobs, name in found:
            if repeat < repeats[name]:
                answer = running[name].ask(n_trainings, n_jobs)
                found[n_trainings, n_jobs, name].append(answer)
        print(f"repeat {repeat + 1} of {max(repeats.values())} done", file=sys.stderr, flush=True)
    return found


def table(found, names):
    """Return the lines of the table: median seconds, and what ours are of those of the others."""
    pairs = [(own, peer) for peer in names for own in names if own in OURS and peer not in OURS]
    titles = ["trainings", "jobs", *names, *(f"{own} / {peer}" for own, peer in pairs)]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for n_trainings in N_TRAININGS:
        for n_jobs in N_JOBS:
            seconds = {
                name: statistics.median(own for own, _ in found[n_trainings, n_jobs, name])
                for name in names
            }
            cells = [f"{n_trainings}", f"{n_jobs}", *(f"{seconds[name]:.1f}" for name in names)]
            cells += [f"{seconds[own] / seconds[peer]:.2f}" for own, peer in pairs]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def best_scores(found, names):
    """Return the median of the best scores of the larger searches: all of them do learn."""
    scores = {
        name: [score for n_jobs in N_JOBS for _, score in found[N_TRAININGS[-1], n_jobs, name]]
        for name in names
    }
    return ", ".join(f"{name} {statistics.median(scores[name]):.3f}" for name in names)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keras-python", default=".venv-keras/bin/python", metavar="PATH")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keras-repeats", type=int, default=1, help="those of scikeras, at most")
    parser.add_argument("--epochs", type=int, default=2, help="of each training")
    parser.add_argument("--images", type=int, default=6000, help="half of them in a training")
    parser.add_argument("--work", nargs=3, metavar="WORK", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parsed()
    if arguments.work:
        name, path, epochs = arguments.work
        work(name, path, int(epochs))
        return

    from skclr import load_fashion_mnist_sample

    repeats = dict.fromkeys(PROGRAMS, arguments.repeats)
    repeats["scikeras"] = min(arguments.keras_repeats, arguments.repeats)
    if not has_scikeras(arguments.keras_python):
        print(f"{arguments.keras_python} has no scikeras: without it (see keras_program.py).")
        repeats["scikeras"] = 0
    names = [name for name in PROGRAMS if repeats[name]]
    X, y = load_fashion_mnist_sample(return_X_y=True)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "sample")
        np.save(f"{path}-X.npy", X[: arguments.images])
        np.save(f"{path}-y.npy", y[: arguments.images])
        pythons = dict.fromkeys(names, sys.executable) | {"scikeras": arguments.keras_python}
        running = {name: Process(name, pythons[name], path, arguments.epochs) for name in names}
        found = measure(running, repeats)
        for process in running.values():
            process.close()
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {joblib.cpu_count()} cores, "
        f"{', '.join(process.versions for process in running.values())}, Python "
        f"{platform.python_version()}; seconds of a search whose trainings take {arguments.epochs} "
        f"epochs of {arguments.images // N_FOLDS:,} images, medians of interleaved repeats ("
        f"{', '.join(f'{name} {repeats[name]}' for name in names)})\n"
    )
    print("\n".join(table(found, names)))
    print(f"\nbest accuracy in the searches of {N_TRAININGS[-1]}: {best_scores(found, names)}")


if __name__ == "__main__":
    main()
