r"""Doubling the batch by measurement beside doubling it in step, over seeds.

    python benchmarks/noise.py --store noise.csv

``batch_schedule="noise"`` doubles after each epoch whose gradient noise scale is at least twice the
batch, ``batch_schedule="doubling"`` in steps of equal length from the same first size to the same
largest one. Beside them stands a batch that keeps its first size. All of them have the same rate,
with each of the schedules that --schedules names, and the same number of epochs.

The table has for each the test accuracy, the updates and the seconds, those of the measurements
included, means over the seeds with 95 % intervals; then the differences, paired by seed, to the
first candidate; then the batch size of each epoch of each seed of those that measure. Seconds are
those of trainings side by side with --jobs of more than one: for seconds that count, leave it at 1.

The runs are written to the store as they come; interrupted, the same command goes on from there.
"""

import argparse

from skclr import (
    CLRLeNetClassifier,
    compare_schedules,
    fetch_fashion_mnist,
    load_fashion_mnist_sample,
)

BATCH_SIZE = 64
BATCH_SCHEDULES = ("doubling", "noise", None)
SHOWN = ("test_accuracy", "updates", "seconds")


def candidates(schedules, epochs, max_lr, max_batch_size, device):
    """Return a classifier for each schedule of the rate and of the batch size."""
    n_sizes = (max_batch_size // BATCH_SIZE).bit_length()
    return {
        f"{schedule}, {batch_schedule}": CLRLeNetClassifier(
            schedule=schedule,
            batch_schedule=batch_schedule,
            base_lr=max_lr / 10,
            max_lr=max_lr,
            batch_size=BATCH_SIZE,
            max_batch_size=max_batch_size,
            step_size=epochs / n_sizes,
            max_epochs=epochs,
            device=device,
        )
        for schedule in schedules
        for batch_schedule in BATCH_SCHEDULES
    }


def show(comparison):
    """Print means with intervals, paired differences, and the sizes that were measured."""
    summary = comparison.summary
    print(f"{'schedules':24}{'seeds':>6}{'test accuracy':>29}{'updates':>10}{'seconds':>26}")
    for name, row in summary.iterrows():
        accuracy, seconds = (
            "{:.{n}f} ({:.{n}f} to {:.{n}f})".format(
                row[measure], row[f"{measure}_low"], row[f"{measure}_high"], n=n
            )
            for measure, n in (("test_accuracy", 4), ("seconds", 1))
        )
        print(f"{name:24}{row['n_runs']:6.0f}{accuracy:>29}{row['updates']:10.0f}{seconds:>26}")
    for measure in SHOWN:
        print(f"\n{measure}: difference to {comparison.candidates[0]!r}, paired by seed")
        print(comparison.differences(measure).round(4).to_string())
    history = comparison.history
    print("\nbatch size of each epoch")
    for name in comparison.candidates:
        own = history[history["candidate"] == name]
        for seed, epochs in own.groupby("seed") if name.endswith("noise") else []:
            sizes = " ".join(map(str, epochs.sort_values("epoch")["batch_size"]))
            print(f"{name:24}seed {seed}: {sizes}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["sample", "full"], default="full")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... (default: 5)")
    parser.add_argument("--epochs", type=int, default=24, help="of each run (default: 24)")
    parser.add_argument("--max-lr", type=float, default=0.05, help="default: 0.05")
    parser.add_argument("--max-batch-size", type=int, default=2048, help="default: 2048")
    parser.add_argument("--schedules", nargs="+", default=["constant", "cosine"], metavar="NAME",
                        help="of the rate (default: constant cosine)")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, help="default: 1")
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--store", metavar="CSV", help="where the runs are kept")
    arguments = parser.parse_args()
    if arguments.max_batch_size < BATCH_SIZE:
        parser.error(f"--max-batch-size must be at least {BATCH_SIZE}, where all begin")

    load = load_fashion_mnist_sample if arguments.data == "sample" else fetch_fashion_mnist
    X, y = load(return_X_y=True)
    X_test, y_test = load(subset="test", return_X_y=True)
    comparison = compare_schedules(
        candidates(
            arguments.schedules,
            arguments.epochs,
            arguments.max_lr,
            arguments.max_batch_size,
            arguments.device,
        ),
        X,
        y,
        X_test,
        y_test,
        seeds=arguments.seeds,
        n_jobs=arguments.jobs,
        store=arguments.store,
        verbose=1,
    )
    show(comparison)


if __name__ == "__main__":
    main()
