"""Speed and memory of an epoch, side by side with the peers, and where its time goes.

    python benchmarks/speed.py [--keras-python .venv-keras/bin/python] [--repeats 3]

One table from one run: seconds an epoch at five batch sizes, medians of interleaved repeats, of a
bare PyTorch loop over tensors, skorch with its DataLoader, the published Keras program (skipped
with a message where its Python is missing, see keras_program.py), CLRLeNetClassifier, the same with
compile=True, with the augmentation of the Keras program, with the network that numba compiles, and
with both. Each runs in a process of its own, which keeps its data and its network from one repeat
to the next; while one computes, the others wait. Then peak memory, `predict` on 10,000 images, and
the parts of an epoch. It takes about 20 minutes on two cores; let nothing else run meanwhile.
"""

import argparse
import importlib
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np

BATCH_SIZES = (32, 64, 256, 1024, 4096)
KERAS_BATCH_SIZES = (64, 1024)  # it takes the same time at all of them
PEERS = ("bare", "skorch", "keras")
OURS = ("skclr", "skclr compiled", "skclr augmented", "skclr numba", "skclr numba augmented")
KERAS_PROGRAM = Path(__file__).with_name("keras_program.py")
MEBIBYTE = 2**20


# ---------------------------------------------------------------- the programs


def plain_lenet():
    """Return LeNet-5 as one writes it in PyTorch."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(),
        nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def float_images(X):
    """Return images as a plain program holds them: padded to 32 x 32, scaled, float32."""
    return np.pad(X, ((0, 0), (2, 2), (2, 2)))[:, np.newaxis].astype(np.float32) / 255


class Bare:
    def __init__(self, X, y):
        import torch

        self.torch = torch
        self.X, self.y = torch.from_numpy(float_images(X)), torch.from_numpy(y.astype(np.int64))
        self.net = plain_lenet()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9)
        self.loss = torch.nn.CrossEntropyLoss()

    def epoch(self, batch_size):
        began = time.perf_counter()
        for indices in self.torch.randperm(len(self.X)).split(batch_size):
            self.optimizer.zero_grad()
            self.loss(self.net(self.X[indices]), self.y[indices]).backward()
            self.optimizer.step()
        return time.perf_counter() - began

    def predict(self):
        """Pass the images through in the batches that suit a plain network best of a few."""
        began = time.perf_counter()
        with self.torch.no_grad():
            for images in self.X.split(256):
                self.net(images).argmax(1)
        return time.perf_counter() - began


class Skorch:
    def __init__(self, X, y, **parameters):
        import torch
        from skorch import NeuralNetClassifier

        self.X, self.y = float_images(X), y.astype(np.int64)
        self.net = NeuralNetClassifier(
            plain_lenet(),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer__momentum=0.9,
            lr=0.01,
            iterator_train__shuffle=True,
            train_split=None,
            max_epochs=1,
            verbose=0,
            **parameters,
        ).initialize()

    def epoch(self, batch_size):
        self.net.set_params(batch_size=batch_size)
        self.net.partial_fit(self.X, self.y)
        return self.net.history[-1, "dur"]


class Ours:
    def __init__(self, X, y, **parameters):
        from skclr import CLRLeNetClassifier

        self.X, self.y = X, y
        self.clf = CLRLeNetClassifier(
            schedule="constant", max_lr=0.01, max_epochs=1, random_state=0, **parameters
        )

    def epoch(self, batch_size):
        self.clf.set_params(batch_size=batch_size)
        self.clf.partial_fit(self.X, self.y)
        return self.clf.history_[-1, "dur"]

    def predict(self):
        if not hasattr(self.clf, "classes_"):
            self.epoch(256)
        began = time.perf_counter()
        self.clf.predict(self.X)
        return time.perf_counter() - began


def program(name, X, y):
    if name == "bare":
        return Bare(X, y)
    if name == "skorch":
        return Skorch(X, y)
    parameters = {}
    if "augmented" in name:
        from skclr.augmentation import RandomShiftFlip

        parameters["augmentation"] = RandomShiftFlip()
    if "numba" in name:
        parameters["module__engine"] = "numba"
    return Ours(X, y, compile=name == "skclr compiled", **parameters)


# ---------------------------------------------------------------- processes of their own


def work(name, path, n_images):
    """Answer each line, a batch size, "predict" or "memory", with a number."""
    for package in ("torch", "skorch", "skclr"):  # what all import counts as the interpreter
        importlib.import_module(package)
    before = peak_memory()
    X, y = (np.load(f"{path}-{part}.npy", mmap_mode="r")[:n_images] for part in "Xy")
    X, y = np.array(X), np.array(y)  # into memory, once
    running = program(name, X, y)
    print("ready", flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "memory":
            print((peak_memory() - before) / MEBIBYTE, flush=True)
        else:
            print(running.predict() if word == "predict" else running.epoch(int(word)), flush=True)


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Process:
    """A program in a process of its own."""

    def __init__(self, name, path, n_images=60_000, keras_python=None):
        command = [sys.executable, __file__, "--work", name, path, str(n_images)]
        if name == "keras":
            command = [keras_python, str(KERAS_PROGRAM), path]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.greeting = self.process.stdout.readline().strip()

    def ask(self, word):
        print(word, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# ---------------------------------------------------------------- the measurements


def epochs(names, path, repeats, keras_python):
    """Return seconds by program and batch size, one for each repeat."""
    running = {name: Process(name, path, keras_python=keras_python) for name in names}
    for process in running.values():
        process.ask(256)  # the first epoch warms up, and compiles
    seconds = {(name, size): [] for size in BATCH_SIZES for name in names if fits(name, size)}
    for repeat in range(repeats):
        for name, size in seconds:
            seconds[name, size].append(running[name].ask(size))
        print(f"repeat {repeat + 1} of {repeats} done", file=sys.stderr, flush=True)
    for process in running.values():
        process.close()
    return seconds


def fits(name, size):
    return name != "keras" or size in KERAS_BATCH_SIZES


def memories(names, path):
    """Return the peak memory above that of the imports, in MiB, by program and batch size."""
    found = {}
    for name in names:
        for size in (64, 4096):
            process = Process(name, path)
            process.ask(size)
            found[name, size] = process.ask("memory")
            process.close()
    return found


def predictions(path, repeats):
    """Return the seconds of a bare forward pass and of `predict`, on 10,000 images."""
    running = {name: Process(name, path, 10_000) for name in ("bare", "skclr")}
    seconds = {name: [] for name in running}
    for process in running.values():
        process.ask("predict")
    for _ in range(5 * repeats):
        for name, process in running.items():
            seconds[name].append(process.ask("predict"))
    for process in running.values():
        process.close()
    return {name: statistics.median(own) for name, own in seconds.items()}


def parts_of_an_epoch(X, y, batch_size=64):
    """Return the seconds of each part of an epoch, computed by one thread so that they add up."""
    import torch

    from skclr import CLRLeNetClassifier

    spent = {}

    def timed(part, function):
        def call(*args, **kwargs):
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[part] = spent.get(part, 0.0) + time.perf_counter() - began

        return call

    class Timed(CLRLeNetClassifier):
        def notify(self, method_name, **kwargs):
            return notify(self, method_name, **kwargs)

        def _step_optimizer(self, step_fn):
            loss = step_fn()
            timed("optimizer", self.optimizer_.step)()
            return loss

    notify = timed("callbacks and history", CLRLeNetClassifier.notify)
    fetch = timed("data", lambda self, index, own: own(self, index))

    from skclr._training import Network
    from skclr.batches import BatchIterator

    class TimedIterator(BatchIterator):
        def _fetch(self, index):
            return fetch(self, index, BatchIterator._fetch)

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with ExitStack() as parts:
        for owner, name, part in (
            (Network, "prepare", "data"),
            (Network, "answer", "forward"),
            (torch.autograd, "grad", "backward"),
        ):
            parts.enter_context(mock.patch.object(owner, name, timed(part, getattr(owner, name))))
        parts.callback(torch.set_num_threads, n_threads)
        clf = Timed(
            schedule="constant", max_lr=0.01, max_epochs=2, random_state=0,
            batch_size=batch_size, iterator_train=TimedIterator,
        )  # fmt: skip
        clf.fit(X[:1000], y[:1000])
        spent.clear()
        clf.set_params(max_epochs=1).fit(X, y)
    whole = clf.history_[-1, "dur"]
    return spent | {"the rest of skorch and of our own": whole - sum(spent.values())}


# ---------------------------------------------------------------- the tables


def table(seconds, names):
    medians = {key: statistics.median(own) for key, own in seconds.items()}
    lines = ["| program | " + " | ".join(f"batch {size}" for size in BATCH_SIZES) + " |"]
    lines.append("|---|" + "---|" * len(BATCH_SIZES))
    for name in names:
        own = [f"{medians[name, size]:.2f}" if fits(name, size) else "" for size in BATCH_SIZES]
        lines.append(f"| {name} | " + " | ".join(own) + " |")
    updates = [f"{-(-60_000 // size) / medians['skclr', size]:,.0f}" for size in BATCH_SIZES]
    lines.append("| skclr, updates a second | " + " | ".join(updates) + " |")
    return lines, medians


def ratios(medians, names):
    wanted = [
        ("skclr", "bare", 64), ("skclr compiled", "bare", 64),
        ("skclr", "bare", 4096), ("skclr compiled", "bare", 4096),
        ("skclr", "skorch", 64),
        ("skclr augmented", "keras", 64), ("skclr augmented", "keras", 1024),
        ("skclr numba", "bare", 64), ("skclr numba", "bare", 4096),
        ("skclr numba", "skorch", 64),
        ("skclr numba augmented", "keras", 64), ("skclr numba augmented", "keras", 1024),
    ]  # fmt: skip
    lines = ["| ratio | |", "|---|---|"]
    for ours, peer, size in wanted:
        if peer in names:
            ratio = medians[ours, size] / medians[peer, size]
            lines.append(f"| {ours} / {peer}, batch {size} | {ratio:.2f} |")
    ratio = medians["skclr", 4096] / medians["skclr", 64]
    lines.append(f"| skclr, batch 4096 / batch 64 | {ratio:.2f} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keras-python", default=".venv-keras/bin/python", metavar="PATH")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", nargs=3, metavar="WORK", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        name, path, n_images = arguments.work
        work(name, path, int(n_images))
        return

    import torch

    from skclr import fetch_fashion_mnist

    names = [*PEERS, *OURS]
    if not os.path.exists(arguments.keras_python):
        print(f"There is no {arguments.keras_python}: without Keras (see keras_program.py).")
        names.remove("keras")
    X, y = fetch_fashion_mnist(return_X_y=True)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "fashion")
        np.save(f"{path}-X.npy", X)
        np.save(f"{path}-y.npy", y)
        lines, medians = table(
            epochs(names, path, arguments.repeats, arguments.keras_python), names
        )
        memory = memories(("bare", "skorch", "skclr", "skclr compiled", "skclr numba"), path)
        predicted = predictions(path, arguments.repeats)
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, Python {platform.python_version()}, seconds an epoch "
        f"of 60,000 images, medians of {arguments.repeats} interleaved repeats\n"
    )
    print("\n".join([*lines, "", *ratios(medians, names)]))
    print("\n| peak memory above the imports, MiB | batch 64 | batch 4096 |\n|---|---|---|")
    for name in dict.fromkeys(name for name, _ in memory):
        print(f"| {name} | {memory[name, 64]:.0f} | {memory[name, 4096]:.0f} |")
    ours, bare = predicted["skclr"], predicted["bare"]
    print(
        f"\npredict on 10,000 images: {ours:.3f} s, a bare forward pass {bare:.3f} s, "
        f"ratio {ours / bare:.2f}"
    )
    spent = parts_of_an_epoch(X, y)
    print("\n| part of an epoch at batch 64, one thread | seconds | share |\n|---|---|---|")
    for part, seconds in spent.items():
        print(f"| {part} | {seconds:.2f} | {seconds / sum(spent.values()):.0%} |")


if __name__ == "__main__":
    main()
