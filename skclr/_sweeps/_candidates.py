"""Trainings of clones of an estimator, each with a fixed learning rate of its own."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import skorch
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import clone
from skorch.callbacks import Callback
from torch.utils.data import Dataset

from skclr._checkpoints import is_folder
from skclr._history import train_rows
from skclr._process import flushable_streams, speaks_for_all
from skclr._progress import Ticker, progress
from skclr._sweeps._sweep import draw_seeds
from skclr._training import check_net, fit_clone, labels_for
from skclr.callbacks import LRSchedule, SweepEnded, constant_lr
from skclr.exceptions import DivergenceError


def measure_candidates(
    estimator: skorch.NeuralNet,
    X: ArrayLike | Dataset,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    lrs: ArrayLike | None = None,
    epochs: int = 5,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rates, ascending, and the loss that training ends with at each of them.

    The parameters are those of `skclr.lr_candidates_test`.
    """
    check_net(estimator, sample_weight)
    lrs = np.sort(np.asarray(np.logspace(-9, 1, 10) if lrs is None else lrs, dtype=float))
    if lrs.ndim != 1 or len(lrs) < 2 or not (np.isfinite(lrs).all() and lrs[0] > 0):
        raise ValueError(f"lrs must be two or more finite numbers above 0, got {lrs.tolist()}.")
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs!r}.")
    y = labels_for(estimator, X, y)
    (seed,) = draw_seeds(random_state, 1)
    unfitted = clone(estimator)  # no weights travel to the processes
    shown = bool(verbose) and speaks_for_all(estimator)
    with progress(epochs * len(lrs), show=shown) as bar, flushable_streams():
        losses = Parallel(n_jobs=n_jobs)(
            delayed(_train_at)(unfitted, lr, bar.ticker(), epochs, X, y, sample_weight, seed)
            for lr in lrs.tolist()
        )
    if np.isnan(losses).all():
        raise ValueError("Training diverged at every rate; give lower ones.")
    return lrs, np.array(losses)


def _train_at(
    estimator: skorch.NeuralNet,
    lr: float,
    ticker: Ticker,
    epochs: int,
    X: ArrayLike | Dataset,
    y: ArrayLike | None,
    sample_weight: ArrayLike | None,
    seed: int,
) -> float:
    """Return the mean training loss of the last epoch, NaN where training diverged."""
    constant = LRSchedule(partial(constant_lr, lr))
    callbacks = [("range_test", constant), ("progress", ticker), StopNotFinite]
    checkpoint = getattr(estimator, "checkpoint", None)
    checkpoint = checkpoint if is_folder(checkpoint) else None  # a file is for one training
    try:
        net = fit_clone(
            estimator,
            callbacks,
            epochs,
            X,
            y,
            seed,
            sample_weight=sample_weight,
            checkpoint=checkpoint,
        )
    except DivergenceError:
        return math.nan
    rows = train_rows(net.history[-1]) if net.history else []
    losses = [row["train_loss"] for row in rows]
    finished = sum("train_batch_count" in epoch for epoch in net.history)
    if not losses or (finished < epochs and np.isfinite(losses).all()):
        raise ValueError(
            f"The training with the rate {lr:.3g} ended after {finished} of {epochs} epochs, and "
            "not because of its loss: either something stopped it, or its epochs have no batches."
        )
    return float(np.average(losses, weights=[row["train_batch_size"] for row in rows]))


class StopNotFinite(Callback):
    """End the training of a plain skorch net when its loss is not finite."""

    def on_batch_end(
        self, net: skorch.NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Look at the loss."""
        if training and not math.isfinite(net.history[-1]["batches"][-1]["train_loss"]):
            raise SweepEnded
