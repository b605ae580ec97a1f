"""Where an update's time goes, an operation at a time, against what matrix products would take.

    python benchmarks/operations.py [--batch-size 64] [--updates 300] [--engine numba]

One thread, the shipped images, torch's profiler: milliseconds an update of each kind of operation
of the forward and the backward pass, and what their multiplications would
take at the speed of a large matrix product on the same core, measured in the same run. What the
profiler does not see as an operation is Python, autograd, skorch, callbacks and fetching.
The profiler costs time itself; the last line is an update without it, beside a bare PyTorch loop.
"""

import argparse
import statistics
import time
import warnings
from collections import defaultdict
from unittest import mock

import torch
from speed import Bare
from torch.profiler import ProfilerActivity, profile, record_function

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample
from skclr.lenet import _network

# multiplications and additions of an image: forward, and as much for each gradient
C1, C3 = 2 * 24 * 196 * 36, 2 * 16 * 100 * 150  # C1 with its pooling, as torch computes it
C1_ALONE = 2 * 6 * 784 * 25
POOLING, LINEAR = 2 * 16 * 100 * 25, 2 * (400 * 120 + 120 * 84 + 84 * 10)
KINDS = {  # name of the operation: kind, floating-point operations an image
    "aten::mkldnn_convolution": ("C3, forward", C3),
    "aten::convolution_backward": ("C3, gradients of maps and weights", 2 * C3),
    "aten::mm": ("matrix products: C1, S4, C5, F6, output", 0),
    "aten::addmm": (
        "matrix products: C1, S4, C5, F6, output",
        2 * C1 + 2 * POOLING + 3 * LINEAR,  # neither images nor means have a gradient
    ),
    "aten::bmm": ("matrix products: C1, S4, C5, F6, output", 0),
    "aten::copy_": ("copies: columns of C1, layouts, the batch", 0),
    "aten::index": ("copies: columns of C1, layouts, the batch", 0),
    "aten::sigmoid_": ("sigmoid and tanh, and their gradients", 0),
    "aten::sigmoid_backward": ("sigmoid and tanh, and their gradients", 0),
    "aten::tanh": ("sigmoid and tanh, and their gradients", 0),
    "aten::tanh_backward": ("sigmoid and tanh, and their gradients", 0),
}
NUMBA = "cross_entropy_of"
BY_NUMBA = {
    NUMBA: ("the network by numba, loss and gradients", 2 * C1_ALONE + 3 * C3 + 3 * LINEAR),
    **dict.fromkeys(["aten::copy_", "aten::index"], ("copies: the batch", 0)),
}
OTHERS = "other operations of torch"


def training(batch_size, updates, engine):
    """Return a function that trains for about as many updates, and how many it makes."""
    X, y = load_fashion_mnist_sample(return_X_y=True)
    per_epoch = -(-len(X) // batch_size)
    clf = CLRLeNetClassifier(
        schedule="constant", max_lr=0.01, max_epochs=max(1, round(updates / per_epoch)),
        batch_size=batch_size, random_state=0, callbacks="disable", module__engine=engine,
    )  # fmt: skip
    clf.fit(X, y)
    return lambda: clf.partial_fit(X, y), per_epoch * clf.max_epochs


def speed_of_a_product(n=1024, repeats=20):
    """Return floating-point operations a second of one thread, the best of some products."""
    a, seconds = torch.randn(n, n), []
    for _ in range(repeats):
        began = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - began)
    return 2 * n**3 / min(seconds)


def seconds_by_kind(train, kinds):
    """Return the seconds of each kind of operation, without what it calls."""
    compute = _network.cross_entropy_of

    def recorded(*arguments):
        with record_function(NUMBA):
            return compute(*arguments)

    with (
        mock.patch.object(_network, NUMBA, recorded),
        profile(activities=[ProfilerActivity.CPU]) as profiled,
    ):
        train()
    seconds = defaultdict(float)
    for event in profiled.key_averages():
        if event.key.startswith("aten::") or event.key in kinds:
            seconds[kinds.get(event.key, (OTHERS,))[0]] += event.self_cpu_time_total / 1e6
    return seconds


def seconds_of(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def beside_bare(train, n_updates, batch_size, repeats=5):
    """Return the milliseconds of an update, ours and a bare loop's, medians of interleaved runs."""
    X, y = load_fashion_mnist_sample(return_X_y=True)
    bare, ours = Bare(X, y), []
    bare.epoch(batch_size)
    theirs = []
    for _ in range(repeats):
        ours.append(seconds_of(train) / n_updates)
        theirs.append(bare.epoch(batch_size) / -(-len(X) // batch_size))
    return 1e3 * statistics.median(ours), 1e3 * statistics.median(theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--engine", choices=["torch", "numba"], default="torch")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    flops = speed_of_a_product()
    train, n_updates = training(arguments.batch_size, arguments.updates, arguments.engine)
    kinds = KINDS if arguments.engine == "torch" else BY_NUMBA
    seconds = seconds_by_kind(train, kinds)
    wall = seconds_of(train)
    print(
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread, batch "
        f"{arguments.batch_size}, engine {arguments.engine}; "
        f"a matrix product runs at {flops / 1e9:.0f} GFLOP/s\n"
    )
    print("| kind of operation | ms an update | ms as a matrix product |\n|---|---|---|")
    work = defaultdict(int)
    for kind, n in kinds.values():
        work[kind] += n
    for kind in [*work, OTHERS]:
        product = f"{1e3 * work[kind] * arguments.batch_size / flops:.2f}" if work[kind] else ""
        print(f"| {kind} | {1e3 * seconds[kind] / n_updates:.2f} | {product} |")
    rest = wall - sum(seconds.values())
    print(f"| the rest of an update without the profiler | {1e3 * rest / n_updates:.2f} | |")
    ours, bare = beside_bare(train, n_updates, arguments.batch_size)
    print(f"\nan update: {ours:.2f} ms, a bare loop's {bare:.2f} ms, ratio {ours / bare:.2f}")


if __name__ == "__main__":
    main()
