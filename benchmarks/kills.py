"""Kill trainings at random moments, go on, and compare the ends with those of trainings unharmed.

    python benchmarks/kills.py                      # 200 kills, five minutes on one core
    python benchmarks/kills.py --kills 20 --seed 1
    python benchmarks/kills.py --study 10           # kills of the study, which goes on by --resume
    python benchmarks/kills.py --cost               # what the writing takes of an epoch, full set

A training runs in a process of its own, which SIGKILL ends: at a random moment of the time that the
training takes, or at a random place in the writing of its checkpoint (half of the file written, the
whole of it, or the new one just put in place). The next process goes on from the file, and is
killed in its turn, until one comes to its end. Weights, predictions, optimizer, and history but for
the seconds are then compared, bit for bit, with those of the same training without a checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from skclr import CLRLeNetClassifier, fetch_fashion_mnist, load_fashion_mnist_sample
from skclr._checkpoints import Recorder
from skclr.augmentation import RandomShiftFlip
from skclr.callbacks import GradientNoiseScale

N_IMAGES = 400
PLACES = ("half", "whole", "in place")
COMMON = {"max_epochs": 3, "batch_size": 32, "step_size": 1, "random_state": 0}
AUTO = {"schedule": "triangular", "base_lr": "auto", "max_lr": "auto", "max_epochs": 1}
CASES = {
    "constant": {"schedule": "constant", "max_lr": 0.05},
    "triangular": {"schedule": "triangular"},
    "triangular2": {"schedule": "triangular2"},
    "exp_range": {"schedule": "exp_range"},
    "one_cycle": {"schedule": "one_cycle"},
    "lr_halving": {"schedule": "lr_halving"},
    "cosine": {"schedule": "cosine"},
    "cosine_restarts": {"schedule": "cosine_restarts"},
    "batch_doubling": {"schedule": "batch_doubling"},
    "augmentation": {"augmentation": RandomShiftFlip()},
    "validation_fraction": {"validation_fraction": 0.2, "callbacks": [GradientNoiseScale(32, 4)]},
    "Adam": {"optimizer": torch.optim.Adam, "max_lr": 0.005},
    "partial_fit twice": {"schedule": "one_cycle", "max_epochs": 2, "validation_fraction": 0.2},
    '"auto"': AUTO,
}


def train(case, data, path=None, every=0.15):
    """Train one of the cases; return what has to be the same."""
    X, y = data
    clf = CLRLeNetClassifier(**COMMON | CASES[case], checkpoint=path, checkpoint_every=every)
    if case.startswith("partial_fit"):
        clf.partial_fit(X, y).partial_fit(X[:200], y[:200])
    else:
        clf.fit(X, y)
    history = [{k: v for k, v in epoch.items() if k != "dur"} for epoch in clf.history_]
    kept = {
        "weights": [(k, v.numpy().tobytes()) for k, v in clf.module_.state_dict().items()],
        "predictions": clf.predict_proba(X).tobytes(),
        "history": repr(history),
        "optimizer": repr(clf.optimizer_.state_dict()),
    }
    return {name: hashlib.sha256(repr(value).encode()).hexdigest() for name, value in kept.items()}


def in_child(function):
    """Start a function in a process of its own; return its number and where it answers."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    os.close(reader)
    status = 1
    try:
        answer = pickle.dumps(function())
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(answer)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def answer_of(child, reader):
    """Wait for a process; return its answer, None where it was killed."""
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status:
        raise RuntimeError(f"A training has failed with status {status}.")
    return pickle.loads(answer)


def kill_in_writing(n, place):
    """End this process in the n-th writing of a checkpoint, before, while or after it is there."""
    fsync, replace, count = os.fsync, os.replace, [0]

    def end():
        os.kill(os.getpid(), signal.SIGKILL)

    def flushing(descriptor):
        count[0] += stat.S_ISREG(os.fstat(descriptor).st_mode)  # and not the folder
        if count[0] == n and place == "half":
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            end()
        fsync(descriptor)

    def replacing(old, new):
        if count[0] == n and place == "whole":
            end()
        replace(old, new)
        if count[0] == n and place == "in place":
            end()

    os.fsync, os.replace = flushing, replacing


def attempt(case, data, path, seconds, draw):
    """Train on from a file, in a process that is killed; return its answer and how it ended."""
    in_writing = draw.random() < 0.4
    n, place = draw.randint(1, 12), draw.choice(PLACES)

    def run():
        if in_writing:
            kill_in_writing(n, place)
        return train(case, data, path)

    child, reader = in_child(run)
    if not in_writing:
        time.sleep(draw.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
    answer = answer_of(child, reader)
    return answer, f"while writing, {place}" if in_writing else "at any moment"


def kill_one_case(case, data, n_kills, draw):
    """Kill trainings of a case so often; return how, and how many of the ends are the same."""
    began = time.perf_counter()
    expected = answer_of(*in_child(lambda: train(case, data)))
    seconds = time.perf_counter() - began
    kills, alike, ends, others = Counter(), 0, 0, set()
    while sum(kills.values()) < n_kills:
        with tempfile.TemporaryDirectory(prefix="skclr-kills-") as folder:
            path, pending = Path(folder) / "training.safetensors", 0
            while True:
                left = n_kills - sum(kills.values())
                if left:
                    answer, how = attempt(case, data, path, seconds, draw)
                else:
                    answer, how = answer_of(*in_child(lambda p=path: train(case, data, p))), ""
                if answer is not None:
                    break
                kills[how] += 1
                pending += 1
        ends += 1
        same = answer == expected
        others |= {name for name in expected if answer[name] != expected[name]}
        alike += pending if same else 0
    return {
        "training": case,
        "kills": sum(kills.values()),
        "at any moment": kills["at any moment"],
        **{f"file {place}": kills[f"while writing, {place}"] for place in PLACES},
        "trainings": ends,
        "kills survived with the same bits": alike,
        "unlike": ", ".join(sorted(others)),
    }


def kill_all(n_kills, seed, cases=CASES):
    """Return a table with a row for each case."""
    draw = random.Random(seed)
    torch.set_num_threads(1)  # a process that has started threads cannot be copied
    X, y = load_fashion_mnist_sample(return_X_y=True)
    data = X[:N_IMAGES], y[:N_IMAGES]
    shares = [n_kills // len(cases) + (i < n_kills % len(cases)) for i in range(len(cases))]
    rows = []
    for case, share in zip(cases, shares, strict=True):
        rows.append(kill_one_case(case, data, share, draw))
        print(f"{case}: {rows[-1]['kills']} kills", file=sys.stderr)
    return pd.DataFrame(rows)


def measure_cost(n_epochs=4):
    """Return what the writing of checkpoints takes of an epoch on all 60,000 images."""
    X, y = fetch_fashion_mnist(return_X_y=True)
    write, seconds = Recorder._write, []

    def timed(self, *args):
        began = time.perf_counter()
        write(self, *args)
        seconds.append(time.perf_counter() - began)

    rows = []
    Recorder._write = timed
    try:
        for every in (1.0, 0.05):
            seconds.clear()
            with tempfile.TemporaryDirectory(prefix="skclr-kills-") as folder:
                path = Path(folder) / "training.safetensors"
                clf = CLRLeNetClassifier(
                    max_epochs=n_epochs, random_state=0, checkpoint=path, checkpoint_every=every
                ).fit(X, y)
                size = path.stat().st_size
            epoch = clf.history_frame()["dur"].median()
            own = median(seconds)
            rows.append(
                {
                    "checkpoint_every": every,
                    "ms a checkpoint": 1000 * own,
                    "seconds an epoch": epoch,
                    "per cent of an epoch": 100 * own / every / (epoch - own * (1 / every - 1)),
                    "KB": size / 1000,
                }
            )
    finally:
        Recorder._write = write
    return pd.DataFrame(rows)


def run_study(folder, *arguments):
    """Start the study in a process of its own, which its workers share the session of."""
    return subprocess.Popen(
        [sys.executable, "-m", "skclr", "--output", str(folder), "--quiet", *arguments],
        start_new_session=True,
    )


def kill_study(n_kills, seed):
    """Kill a study so often, and compare its tables with those of one unharmed."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="skclr-kills-") as name:
        whole, killed = Path(name) / "whole", Path(name) / "killed"
        began = time.perf_counter()
        run_study(whole).wait()
        seconds, stages = time.perf_counter() - began, []
        print(f"unharmed: {seconds:.0f} s", file=sys.stderr)
        while len(stages) < n_kills:
            study = run_study(killed, "--resume")
            time.sleep(draw.uniform(0, 2.5 * seconds / n_kills))
            if study.poll() is not None:
                break
            # its workers with it, or they alone outlive it
            (os.killpg if draw.random() < 0.5 else os.kill)(study.pid, signal.SIGKILL)
            study.wait()
            state = killed / "study.json"
            stages.append(len(json.loads(state.read_text())["finished"]) if state.exists() else 0)
            print(f"kill {len(stages)}: {stages[-1]} parts finished", file=sys.stderr)
        status = run_study(killed, "--resume").wait()
        rows = [
            {"table": path.name, "same": same_tables(path, killed / path.name)}
            for path in sorted(whole.glob("*.csv"))
        ]
    print(f"killed {len(stages)} times, with {stages} of 7 parts finished; exit status {status}\n")
    return pd.DataFrame(rows)


def same_tables(*paths):
    """Tell whether two tables are the same, to the last digit, but for their seconds."""
    if not all(path.exists() for path in paths):
        return False
    left, right = (pd.read_csv(path, dtype=str) for path in paths)
    seconds = [name for name in left if name in ("seconds", "dur")]
    return left.drop(columns=seconds).equals(right.drop(columns=seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, default: %(default)s")
    parser.add_argument("--study", type=int, metavar="N", help="kill the study instead, N times")
    parser.add_argument("--cost", action="store_true", help="measure what the writing takes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.cost:
        print(measure_cost().round(2).to_string(index=False))
        return
    if arguments.study:
        tables = kill_study(arguments.study, arguments.seed)
        print(tables.to_string(index=False))
        sys.exit(not tables["same"].all())
    table = kill_all(arguments.kills, arguments.seed)
    print(table.to_string(index=False))
    total, alike = table["kills"].sum(), table["kills survived with the same bits"].sum()
    print(f"\n{alike} of {total} kills ended with the bits of the uninterrupted training.")
    sys.exit(int(alike < total))


if __name__ == "__main__":
    main()
