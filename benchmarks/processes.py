"""One training on several processes: its speed, what they exchange, and where more of them pay.

    python benchmarks/processes.py                       # 1 and 2 processes, about five minutes
    python benchmarks/processes.py --processes 1 2 4 --batches 64 1024
    python benchmarks/processes.py --kills 20            # of a random worker under torchrun

Each process computes with one thread, so two of them take two cores. They are started by torchrun
and send to each other over the loopback interface. Beside them, as many processes train each for
itself at the same time: what cores, caches and memory allow that are shared, and so the ceiling.

A model of the cost is fitted to what was measured: a fixed part of an update, the computing of a
sample, the latency of a message to another process, and the time a byte takes. It then tells, on
paper, from which batch on 8, 64 and 512 processes are worth half of their number; --latency and
--bandwidth put those of a network in the place of those that were measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch.distributed as dist
from scipy.optimize import nnls
from skorch.callbacks import Callback

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample
from skclr._process import Group
from skclr._training._pieces import cut, fewest_to_share
from skclr.callbacks import StopTraining
from skclr.lenet import LeNet5

UPDATES = {64: 400, 256: 150, 1024: 60, 4096: 20}  # that are timed, after a tenth as many more
N_IMAGES = 60_000
SWAPS = 3  # messages to each other process in an update
ANSWER = 44  # bytes of a sample: ten scores, and a share of the loss of its piece
LENET = 61_706 * 4  # bytes of a gradient


# ---------------------------------------------------------------- in a process of the group


class Clock(Callback):
    """Time so many updates, and end the training."""

    def __init__(self, n_updates):
        self.n_updates = n_updates

    def on_train_begin(self, net, **kwargs):
        """Begin to count."""
        self.n_, self.seconds_ = 0, []
        self.n_warm_ = max(3, self.n_updates // 10)

    def on_batch_end(self, net, training=None, **kwargs):
        """Note the time, from the end of the updates that warm up."""
        if not training:
            return
        self.n_ += 1
        if self.n_ == self.n_warm_:
            self.began_ = time.perf_counter()
            SENT.update(bytes=0, seconds=0.0)
        if self.n_ == self.n_warm_ + self.n_updates:
            self.seconds_ = time.perf_counter() - self.began_
            self.sent_ = dict(SENT)
            raise StopTraining


SENT = {"bytes": 0, "seconds": 0.0}


def watch_exchange():
    """Count what is sent to other processes, and the time until what comes has come."""
    swap = Group.swap

    def watched(self, parts, sizes):
        began = time.perf_counter()
        came = swap(self, parts, sizes)
        SENT["seconds"] += time.perf_counter() - began
        SENT["bytes"] += sum(len(part) for rank, part in enumerate(parts) if rank != self.rank)
        return came

    Group.swap = watched


def measure_here(batches, path, share, engine):
    """Time trainings in this process, one of a group or alone, and write the times down."""
    watch_exchange()
    X, y = load_fashion_mnist_sample(return_X_y=True)
    n = -(-N_IMAGES // len(X))
    X, y = np.tile(X, (n, 1, 1))[:N_IMAGES], np.tile(y, n)[:N_IMAGES]
    several = int(os.environ["WORLD_SIZE"]) > 1
    rows = []
    for batch in batches:
        n_updates = max(3, round(share * UPDATES.get(batch, max(10, 80_000 // batch))))
        clock = Clock(n_updates)
        clf = CLRLeNetClassifier(
            schedule="constant", batch_size=batch, random_state=0, max_epochs=1000,
            iterator_train__drop_last=True, callbacks=[clock], distributed=several,
            module__engine=engine,
        )  # fmt: skip
        clf.fit(X, y)
        clock = next(item for _, item in clf.callbacks_ if isinstance(item, Clock))
        rows.append(
            {
                "batch": batch,
                "ms an update": 1000 * clock.seconds_ / n_updates,
                "KB sent": clock.sent_["bytes"] / n_updates / 1000,
                "exchange": clock.sent_["seconds"] / clock.seconds_,
            }
        )
    if os.environ["RANK"] == "0":
        Path(path).write_text(json.dumps(rows))


def train_here(path, kill_at):
    """Train with a checkpoint, be killed at an update in the first start, write the end down."""
    X, y = load_fashion_mnist_sample(return_X_y=True)
    rank, update = (int(part) for part in kill_at.split(","))

    class Kill(Callback):
        only_watches = True

        def on_batch_end(self, net, training=None, **kwargs):
            first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
            n = sum(len(epoch["batches"]) for epoch in net.history)
            if training and first and dist.get_rank() == rank and n == update:
                os.kill(os.getpid(), signal.SIGKILL)

    clf = CLRLeNetClassifier(
        schedule="batch_doubling", step_size=1, batch_size=100, max_epochs=4, random_state=0,
        checkpoint=f"{path}.safetensors", checkpoint_every=0.15, callbacks=[Kill()],
        distributed="RANK" in os.environ,
    ).fit(X[:1000], y[:1000])  # fmt: skip
    end = [value.numpy().tobytes() for value in clf.module_.state_dict().values()]
    end += [clf.predict_proba(X).tobytes()]
    end += [repr([{k: v for k, v in epoch.items() if k != "dur"} for epoch in clf.history_])]
    name = os.environ.get("RANK", "0")
    Path(f"{path}-{name}").write_text(hashlib.sha256(pickle.dumps(end)).hexdigest())


# ---------------------------------------------------------------- from outside


ALONE = {"OMP_NUM_THREADS": "1", "RANK": "0", "WORLD_SIZE": "1"}


def start(n_processes, *arguments, options=()):
    """Run this file in so many processes of one thread each, started by torchrun."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    run([[*launcher, *options, __file__, *arguments]], {"OMP_NUM_THREADS": "1"})


def run(all_arguments, environment):
    """Run Python at the same time with each of some lists of arguments."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen([sys.executable, *arguments], env=os.environ | environment, **options)
        for arguments in all_arguments
    ]
    said = [one.communicate()[1] for one in started]
    for one, errors in zip(started, said, strict=True):
        if one.returncode:
            sys.exit(errors)


def measure(processes, batches, share=1.0, repeats=3, engine="torch"):
    """Return a table of the updates of each number of processes at each batch size.

    The repeats go through all numbers of processes in turn; what is returned are their medians.
    """
    rows, rows_beside = [], []
    with tempfile.TemporaryDirectory(prefix="skclr-processes-") as folder:
        paths = [Path(folder) / f"{rank}.json" for rank in range(max(processes))]
        given = ["--share", str(share), "--engine", engine, "--batches", *map(str, batches)]
        for n in [*processes] * repeats:
            run([[__file__, "--measure-here", str(path), *given] for path in paths[:n]], ALONE)
            rows_beside += [{"processes": n, **row} for path in paths[:n] for row in read(path)]
            if n > 1:
                start(n, "--measure-here", str(paths[0]), *given)
                rows += [{"processes": n, **row} for row in read(paths[0])]
    rows += [row for row in rows_beside if row["processes"] == 1]
    table, beside = (
        pd.DataFrame(each).groupby(["processes", "batch"], as_index=False).median()
        for each in (rows, rows_beside)
    )
    alone = table[table["processes"] == 1].set_index("batch")["ms an update"]
    table["updates a second"] = 1000 / table["ms an update"]
    table["of one"] = table["batch"].map(alone) / table["ms an update"]
    table["each alone"] = table["processes"] * table["batch"].map(alone) / beside["ms an update"]
    return table


def read(path):
    """Return the rows that a process has written down."""
    return json.loads(path.read_text())


class Cost:
    """The seconds of an update, as a fixed part, samples, messages and bytes.

    Parameters
    ----------
    fixed, sample : float
        Seconds of an update without samples, and those of each sample of a piece.
    message, byte : float
        Seconds of a message to another process, and of each byte to all of them together.
    """

    fewest = fewest_to_share(LeNet5())  # samples in a batch of several pieces

    def __init__(self, fixed, sample, message, byte):
        self.fixed, self.sample, self.message, self.byte = fixed, sample, message, byte

    @classmethod
    def fitted(cls, table):
        """Return the model of a table, fitted to relative differences."""
        rows, times = [], []
        for row in table.itertuples():
            n, batch, seconds = row.processes, row.batch, row[3] / 1000
            rows.append([1, busiest(batch, n), SWAPS * (n - 1), sent(batch, n, LENET)])
            times.append(seconds)
        weights = 1 / np.array(times)
        return cls(*nnls(np.array(rows) * weights[:, None], np.ones(len(rows)))[0])

    def seconds(self, batch, n, larger=1):
        """Return the seconds of an update on n processes, for a network so many times larger.

        All of the fixed part grows with the network, as the optimizer's does.
        """
        computing = larger * (self.fixed + self.sample * busiest(batch, n))
        sending = self.message * SWAPS * (n - 1) + self.byte * sent(batch, n, larger * LENET)
        return computing + (sending if n > 1 else 0)

    def smallest_batch(self, n, larger=1):
        """Return the batch from which on n processes are worth half of their number, or None."""
        for batch in 64 * 2 ** np.arange(22):
            if self.seconds(batch, 1, larger) >= n / 2 * self.seconds(batch, n, larger):
                return int(batch)
        return None


def busiest(batch, n):
    """Return how many samples the process has that has most of them."""
    sizes = [part.stop - part.start for part in cut(batch, _CPU, shared=True, fewest=Cost.fewest)]
    return sum(sizes[: -(-len(sizes) // n)])


def sent(batch, n, gradient):
    """Return the bytes that a process sends in an update."""
    n_pieces = len(list(cut(batch, _CPU, shared=True, fewest=Cost.fewest)))
    k = min(n, n_pieces)
    own = -(-n_pieces // k)
    return own * gradient * (k - 1) / k + (gradient / k + ANSWER * batch / k) * (n - 1)


class _CPU:
    type = "cpu"


def on_paper(cost):
    """Return where 8, 64 and 512 processes pay, by the model."""
    rows = []
    for larger, name in ((1, "LeNet-5"), (100, "a network 100 times larger")):
        for n in (8, 64, 512):
            batch = cost.smallest_batch(n, larger)
            times = [cost.seconds(batch or 0, m, larger) for m in (1, n)]
            rows.append(
                {
                    "network": name,
                    "processes": n,
                    "batch for half of them": "none" if batch is None else batch,
                    "times the updates of one": f"{times[0] / times[1]:.0f}" if batch else "",
                }
            )
    return pd.DataFrame(rows)


def kill(n_kills, seed):
    """Return how many trainings, each killed once, ended with the bits of one unharmed."""
    draw, right = random.Random(seed), 0
    with tempfile.TemporaryDirectory(prefix="skclr-processes-") as folder:
        alone = Path(folder) / "alone"
        run([[__file__, "--train-here", str(alone), "--kill-at", "0,-1"]], {"OMP_NUM_THREADS": "1"})
        expected = Path(f"{alone}-0").read_text()
        for number in range(n_kills):
            path, n = Path(folder) / str(number), draw.choice([2, 3])
            place = f"{draw.randrange(n)},{draw.randint(1, 18)}"
            start(n, "--train-here", str(path), "--kill-at", place, options=["--max-restarts=3"])
            ends = [Path(f"{path}-{rank}").read_text() for rank in range(n)]
            right += ends == [expected] * n
            print(f"kill {number + 1}: rank,update {place} of {n}", file=sys.stderr)
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="%(default)s")
    parser.add_argument("--batches", type=int, nargs="+", default=list(UPDATES), help="%(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--share", type=float, default=1.0, help="of the updates, to try it out")
    parser.add_argument("--engine", default="torch", help="torch or numba, default: %(default)s")
    parser.add_argument("--latency", type=float, help="microseconds of a message, on paper")
    parser.add_argument("--bandwidth", type=float, help="gigabits a second, on paper")
    parser.add_argument("--kills", type=int, help="kill a worker in so many trainings instead")
    parser.add_argument("--seed", type=int, default=0, help="of the kills, default: %(default)s")
    parser.add_argument("--measure-here", help=argparse.SUPPRESS)
    parser.add_argument("--train-here", help=argparse.SUPPRESS)
    parser.add_argument("--kill-at", help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.measure_here:
        measure_here(given.batches, given.measure_here, given.share, given.engine)
        return
    if given.train_here:
        train_here(given.train_here, given.kill_at)
        return
    if given.kills:
        right = kill(given.kills, given.seed)
        print(f"{right} of {given.kills} trainings ended with the bits of the training unharmed.")
        sys.exit(int(right < given.kills))
    counted = [1, *(n for n in given.processes if n > 1)]
    table = measure(counted, given.batches, given.share, given.repeats, given.engine)
    print(table.round(2).to_string(index=False))
    Cost.fewest = fewest_to_share(LeNet5(engine=given.engine))
    cost = Cost.fitted(table)
    print(
        f"\nFitted: {1e3 * cost.fixed:.2f} ms an update, {1e6 * cost.sample:.1f} us a sample, "
        f"{1e6 * cost.message:.0f} us a message, {8e-9 / max(cost.byte, 1e-15):.1f} gigabits a "
        "second."
    )
    if given.latency is not None:
        cost.message = given.latency / 1e6
    if given.bandwidth is not None:
        cost.byte = 8e-9 / given.bandwidth
    print(f"\nOn paper:\n\n{on_paper(cost).to_string(index=False)}")


if __name__ == "__main__":
    main()
