"""What a LeNet-5 of 61,706 weights gains from which part of a recipe, on held-out images.

    python benchmarks/recipes.py --store docs/data/recipes.csv [--device cuda] [--jobs 2]

The recipe of 60 epochs that accuracy.py trains, and others that differ from it in one respect. All
of them are trained on 50,000 of the training images of Fashion-MNIST and judged by the other
10,000, drawn once; the test images play no part in it. On a CPU it takes hours, on a GPU minutes.

The runs are written to the store as they come; interrupted, the same command goes on from there.
"""

import argparse

import torch
from accuracy import RECIPES
from sklearn.model_selection import train_test_split
from torch import nn

from skclr import CLRLeNetClassifier, compare_schedules, fetch_fashion_mnist
from skclr.augmentation import RandomShiftFlip

N_HELD_OUT = 10_000
RECIPE = RECIPES["60 epochs"]


def whole_pixels(pixels, flip=True):
    """Return an augmentation that shifts by whole pixels, all of them as often."""
    return RandomShiftFlip((pixels + 0.5) / 32, flip=flip, interpolation="nearest")


OTHERS = {
    "the recipe": {},
    "no augmentation": {"augmentation": None},
    "RandomShiftFlip()": {"augmentation": RandomShiftFlip()},
    "up to 2 pixels": {"augmentation": whole_pixels(2)},
    "flips only": {"augmentation": RandomShiftFlip(0)},
    "shifts only": {"augmentation": whole_pixels(1, flip=False)},
    "max_lr=0.1": {"max_lr": 0.1},
    "max_lr=0.2": {"max_lr": 0.2},
    "weight_decay=0": {"weight_decay": 0.0},
    "weight_decay=1e-3": {"weight_decay": 1e-3},
    "label smoothing 0.1": {"criterion": nn.CrossEntropyLoss, "criterion__label_smoothing": 0.1},
    "cosine": {"schedule": "cosine", "warmup": 2},
    "batch 256, max_lr=0.3": {"batch_size": 256, "max_lr": 0.3},
    "AdamW": {
        "optimizer": torch.optim.AdamW,
        "max_lr": 1e-3,
        "base_lr": 1e-5,
        "weight_decay": 0.01,
    },
    "20 epochs": {"max_epochs": 20},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... (default: 1)")
    parser.add_argument("--epochs", type=int, help="of each run, to try it out")
    parser.add_argument("--jobs", type=int, default=-1, help="default: as many as there are cores")
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--store", metavar="CSV", help="where the runs are kept")
    arguments = parser.parse_args()
    X, y = fetch_fashion_mnist(return_X_y=True)
    X, X_held_out, y, y_held_out = train_test_split(
        X, y, test_size=N_HELD_OUT, stratify=y, random_state=0
    )
    given = {"device": arguments.device}
    if arguments.epochs:
        given["max_epochs"] = arguments.epochs
    comparison = compare_schedules(
        {
            name: CLRLeNetClassifier(**(RECIPE | changed | given))
            for name, changed in OTHERS.items()
        },
        X,
        y,
        X_held_out,
        y_held_out,
        seeds=arguments.seeds,
        n_jobs=arguments.jobs,
        store=arguments.store,
        verbose=1,
    )
    summary = comparison.summary.rename(columns={"test_accuracy": "held-out accuracy"})
    print(summary[["n_runs", "held-out accuracy", "train_loss"]].round(4).to_string())


if __name__ == "__main__":
    main()
