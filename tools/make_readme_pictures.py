"""Draw the two pictures of the README and of the site's front page.

    python tools/make_readme_pictures.py

trains on the shipped sample, in a minute or two on two cores, and writes range_test.png and
clr_or_batch_doubling.png into docs/_static.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample, lr_range_test

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "_static"
SEEDS = range(5)
MAX_EPOCHS = 15
SIZE, DPI = (6, 4), 160
BLUE, VERMILLION = "#0072B2", "#D55E00"


def draw_range_test(X: np.ndarray, y: np.ndarray, path: Path) -> None:
    """Draw five sweeps, with the boundaries read off them."""
    display = lr_range_test(CLRLeNetClassifier(), X, y, random_state=0).plot()
    display.figure_.set_size_inches(*SIZE)
    display.ax_.set_title("Which learning rates work?")
    display.figure_.savefig(path, dpi=DPI)


def draw_clr_or_batch_doubling(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], path: Path
) -> None:
    """Draw the test accuracy of both over updates, the mean and the range of five seeds."""
    curves = {
        "cyclical learning rates": {"schedule": "triangular2", "max_lr": 0.1, "step_size": 2.5},
        "batch doubling": {"schedule": "batch_doubling", "max_lr": 0.05, "step_size": 2.5},
    }
    fig, ax = plt.subplots(figsize=SIZE, layout="constrained")
    for (name, parameters), color in zip(curves.items(), (BLUE, VERMILLION), strict=True):
        runs = Parallel(n_jobs=2)(delayed(trained)(parameters, seed, train, test) for seed in SEEDS)
        updates, accuracies = runs[0][0], np.array([accuracy for _, accuracy in runs])
        ax.plot(updates, accuracies.mean(axis=0), color=color, marker="o", markersize=4, label=name)
        ax.fill_between(
            updates, accuracies.min(axis=0), accuracies.max(axis=0), color=color, alpha=0.2, lw=0
        )
    ax.set(
        title=f"{MAX_EPOCHS} epochs either way, in fewer updates",
        xlabel="updates (a point an epoch)",
        ylabel=f"test accuracy, {len(SEEDS)} seeds",
    )
    ax.legend(loc="lower right")
    ax.grid(alpha=0.3)
    fig.savefig(path, dpi=DPI)


def trained(parameters: dict, seed: int, train, test) -> tuple[np.ndarray, np.ndarray]:
    """Return the updates made and the test accuracy after each epoch."""
    clf = CLRLeNetClassifier(
        batch_size=32, max_epochs=MAX_EPOCHS, random_state=seed, **parameters
    ).fit(*train, X_val=test[0], y_val=test[1])
    history = clf.history_frame()
    return history["n_updates"].cumsum().to_numpy(), history["valid_acc"].to_numpy()


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the pictures")
    output = parser.parse_args().output
    train = load_fashion_mnist_sample(return_X_y=True)
    test = load_fashion_mnist_sample(subset="test", return_X_y=True)
    draw_range_test(*train, output / "range_test.png")
    draw_clr_or_batch_doubling(train, test, output / "clr_or_batch_doubling.png")


if __name__ == "__main__":
    main()
