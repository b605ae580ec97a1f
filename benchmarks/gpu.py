"""Speed of an epoch on a GPU, side by side with the peers.

    python benchmarks/gpu.py [--repeats 3] [--images 60000]

One table from one run: seconds an epoch of 60,000 images of 28 x 28 bytes, made at random, at three
batch sizes, medians of interleaved repeats, all with LeNet-5 and the same optimizer on one card:

- loader: the loop that one writes first, over floats in a TensorDataset, a DataLoader that puts
  batches together one sample after the other, and each batch sent to the card;
- on the card: a loop over floats that are on the card already, indexed there, which waits for
  nothing before the epoch's end;
- skorch: its NeuralNetClassifier with its DataLoader;
- skclr: CLRLeNetClassifier, bytes that are prepared batch by batch, history and train_acc included:
  an epoch once its updates are recorded, and the first one of a training, in which they are
  recorded; the same without recording; and augmented with RandomShiftFlip.

It takes about two minutes.
"""

import argparse
import platform
import statistics
import sys
import time
from contextlib import nullcontext
from unittest import mock

import numpy as np
import torch
from speed import Bare, Ours, Skorch
from torch.utils.data import DataLoader, TensorDataset

from skclr.augmentation import RandomShiftFlip

BATCH_SIZES = (64, 1024, 4096)
N_EPOCHS = 4  # of a training of ours: the last two are those that count
PROGRAMS = (
    "loader", "on the card", "skorch",
    "skclr", "skclr, first epoch", "skclr not recorded", "skclr augmented",
)  # fmt: skip


def wait():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Loader(Bare):
    """A loop over a DataLoader."""

    def __init__(self, X, y, device):
        super().__init__(X, y)
        self.device = device
        self.net.to(device)
        self.data = TensorDataset(self.X, self.y)

    def batches(self, batch_size):
        for images, targets in DataLoader(self.data, batch_size, shuffle=True):
            yield images.to(self.device), targets.to(self.device)

    def epoch(self, batch_size):
        wait()
        began = time.perf_counter()
        for images, targets in self.batches(batch_size):
            self.optimizer.zero_grad()
            self.loss(self.net(images), targets).backward()
            self.optimizer.step()
        wait()
        return time.perf_counter() - began


class OnTheCard(Loader):
    """A loop over floats on the card."""

    def __init__(self, X, y, device):
        super().__init__(X, y, device)
        self.X, self.y = self.X.to(device), self.y.to(device)

    def batches(self, batch_size):
        for indices in torch.randperm(len(self.X), device=self.device).split(batch_size):
            yield self.X[indices], self.y[indices]


class Classifier(Ours):
    """A training of a few epochs; the seconds of all of them."""

    def epochs(self, batch_size, recorded=True):
        self.clf.set_params(batch_size=batch_size, max_epochs=N_EPOCHS)
        own = nullcontext()
        if not recorded:
            own = mock.patch("skclr._training._graphs.has_graphs", return_value=False)
        with own:
            self.clf.partial_fit(self.X, self.y)
        return [epoch["dur"] for epoch in self.clf.history_[-N_EPOCHS:]]


def measured(X, y, repeats, device):
    """Return seconds by program and batch size, one for each repeat."""
    peers = {
        "loader": Loader(X, y, device),
        "on the card": OnTheCard(X, y, device),
        "skorch": Skorch(X, y, device=device),
    }
    plain = Classifier(X, y, device=device)
    augmented = Classifier(X, y, device=device, augmentation=RandomShiftFlip())
    seconds = {(name, size): [] for name in PROGRAMS for size in BATCH_SIZES}

    def measure(size):
        for name, peer in peers.items():
            seconds[name, size].append(peer.epoch(size))
        first, *_, third, fourth = plain.epochs(size)
        seconds["skclr, first epoch", size].append(first)
        seconds["skclr", size] += [third, fourth]
        seconds["skclr not recorded", size] += plain.epochs(size, recorded=False)[-2:]
        seconds["skclr augmented", size] += augmented.epochs(size)[-2:]

    for repeat in range(repeats):
        for size in BATCH_SIZES:
            measure(size)
        if repeat == 0:  # which has warmed up
            for own in seconds.values():
                own.clear()
        print(f"repeat {repeat} of {repeats - 1} done", file=sys.stderr, flush=True)
    return seconds


def table(seconds):
    """Return the lines of a table of medians, and of their ratios."""
    medians = {key: statistics.median(own) for key, own in seconds.items()}
    lines = ["| program | " + " | ".join(f"batch {size}" for size in BATCH_SIZES) + " |"]
    lines.append("|---|" + "---|" * len(BATCH_SIZES))
    for name in PROGRAMS:
        own = " | ".join(f"{medians[name, size]:.3f}" for size in BATCH_SIZES)
        lines.append(f"| {name} | {own} |")
    for peer in ("loader", "on the card", "skorch", "skclr not recorded"):
        own = [f"{medians['skclr', size] / medians[peer, size]:.2f}" for size in BATCH_SIZES]
        lines.append(f"| skclr / {peer} | " + " | ".join(own) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    random = np.random.RandomState(0)
    X = random.randint(0, 256, (arguments.images, 28, 28)).astype(np.uint8)
    y = np.arange(arguments.images) % 10
    seconds = measured(X, y, arguments.repeats + 1, arguments.device)
    card = "no GPU"
    if torch.cuda.is_available():
        card = torch.cuda.get_device_name(arguments.device)
    print(
        f"{time.strftime('%Y-%m-%d')}, {card}, torch {torch.__version__}, Python "
        f"{platform.python_version()}, seconds an epoch of {arguments.images:,} images, medians of "
        f"{arguments.repeats} interleaved repeats\n"
    )
    print("\n".join(table(seconds)))


if __name__ == "__main__":
    main()
