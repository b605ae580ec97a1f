r"""Learning rate or batch size: schedules compared over seeds, with equal epochs.

    python benchmarks/learning_rate_or_batch_size.py \
        --store docs/data/learning_rate_or_batch_size.csv

The experiment of Smith, Kindermans, Ying and Le (ICLR 2018) on LeNet-5 and Fashion-MNIST. Halving
the rate at a fixed batch and doubling the batch at a fixed rate pass through the same noise scale,
rate over batch size, in the same epochs. Beside them stand a constant rate as control, CLR
(triangular, and exponential range with an amplitude that falls to a tenth) and one-cycle. All of
them have the same highest rate, and the lowest rate of halving as their lower boundary.

Why 0.05: in a trial (--data sample --seeds 1 --max-lr ...) halving, doubling and the constant rate
reached a test accuracy of 0.846, 0.847 and 0.846 with 0.05, 0.837, 0.832 and 0.834 with 0.1, and
0.843, 0.846 and 0.851 with 0.02, the training loss of halving being 0.14, 0.11 and 0.26.

The runs are written to the store as they come; interrupted, the same command goes on from there.
Without --store nothing is kept but what is printed.
"""

import argparse

from skclr import (
    CLRLeNetClassifier,
    GradientNoiseScale,
    compare_schedules,
    fetch_fashion_mnist,
    load_fashion_mnist_sample,
)

N_SIZES = 6  # 64, 128, ..., 2048
BATCH_SIZE = 64


def schedules(epochs, max_lr, n_samples):
    """Return the candidates, the one that the others are compared with first."""
    every = epochs / N_SIZES
    base_lr = max_lr / 2 ** (N_SIZES - 1)
    n_updates = epochs * -(-n_samples // BATCH_SIZE)
    own = {
        "lr_halving": {"step_size": every},
        "batch_doubling": {"step_size": every, "max_batch_size": BATCH_SIZE * 2 ** (N_SIZES - 1)},
        "constant": {},
        "triangular": {"step_size": every},
        "exp_range": {"step_size": every, "gamma": 0.1 ** (1 / n_updates)},
        "one_cycle": {},
    }
    return {
        name: CLRLeNetClassifier(
            schedule=name,
            base_lr=base_lr,
            max_lr=max_lr,
            batch_size=BATCH_SIZE,
            max_epochs=epochs,
            callbacks=[("noise_scale", GradientNoiseScale(n_batches=64))],
            **parameters,
        )
        for name, parameters in own.items()
    }


def show(comparison):
    """Print the summary, and the answer in words."""
    summary = comparison.summary
    shown = ["n_runs", "n_failed", "test_accuracy", "test_accuracy_low", "test_accuracy_high",
             "test_loss", "train_loss", "gap", "updates", "seconds"]  # fmt: skip
    print(summary[shown].round(4).to_string())
    reference = comparison.candidates[0]
    print(f"\npaired difference to {reference}; p-values of the paired t-test, and after Holm")
    print(comparison.differences().round(4).to_string())
    for name in comparison.candidates[1:]:
        print(f"\n{comparison.in_words(name)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["sample", "full"], default="full")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... (default: 5)")
    parser.add_argument("--epochs", type=int, default=24, help="of each run (default: 24)")
    parser.add_argument("--max-lr", type=float, default=0.05, help="default: 0.05")
    parser.add_argument("--jobs", type=int, default=-1, help="default: as many as there are cores")
    parser.add_argument("--store", metavar="CSV", help="where the runs are kept")
    arguments = parser.parse_args()

    load = load_fashion_mnist_sample if arguments.data == "sample" else fetch_fashion_mnist
    X, y = load(return_X_y=True)
    X_test, y_test = load(subset="test", return_X_y=True)
    comparison = compare_schedules(
        schedules(arguments.epochs, arguments.max_lr, len(X)),
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
