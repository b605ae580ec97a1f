"""A trial: one candidate trained with one seed, and measured."""

from __future__ import annotations

import math
import time
from typing import Any

import joblib
import numpy as np
import skorch
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from skorch.dataset import unpack_data

from skclr._history import last_lr
from skclr._process import isolated_generators, one_thread
from skclr._training import fit_passing_on_interrupts, without_weights
from skclr.callbacks import NoiseDoubling
from skclr.comparison._tables import MEASURES, NOISE_MEASURES
from skclr.exceptions import DivergenceError


def run_trial(
    name: str, candidate: Any, seed: int, ticker: Callback, data: tuple[Any, Any, Any, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train a candidate with a seed; return its row and those of its epochs."""
    X, y, X_test, y_test = data
    watch = _Watch(X_test, y_test)
    net = _seeded_clone(candidate, seed, watch, ticker)
    outcome: dict[str, Any] = {"status": "ok", "error": ""}
    with isolated_generators(seed, device=net.device), one_thread():
        try:
            fit_passing_on_interrupts(net, X, y)
            outcome |= watch.judge(net)
        except Exception as error:
            text = " ".join(str(error).split())
            outcome = {"status": "failed", "error": f"{type(error).__name__}: {text}"}
    run = {"candidate": name, "seed": seed}
    row = {
        **run,
        **dict.fromkeys(MEASURES, math.nan),
        **outcome,
        "seconds": watch.seconds_ + sum(_measuring_seconds(net)),
        "epochs": len(watch.rows_),
        "updates": watch.updates_,
        "samples": watch.samples_,
        "initial_weights": watch.initial_weights_,
    }
    return row, [run | epoch for epoch in watch.epoch_rows(net)]


def _seeded_clone(candidate: Any, seed: int, watch: Callback, ticker: Callback) -> Any:
    """Return a clone that begins anew with a seed, and is watched."""
    net = clone(candidate)
    own = net.callbacks if isinstance(net.callbacks, list) else []
    set_here = {"random_state": seed, "warm_start": False}
    known = net.get_params(deep=False)
    return net.set_params(
        # the watch comes first: another one may end the training, and those after it miss that
        callbacks=[watch, *own, ticker],
        verbose=0,
        **{parameter: value for parameter, value in set_here.items() if parameter in known},
    )


_COUNTED = frozenset(
    {"rows_", "initial_weights_", "updates_", "updates_before_", "samples_", "seconds_", "sizes_",
     "losses_"}
)  # fmt: skip


class _Watch(Callback):
    """Count and time a training, and judge it on the test data after each epoch."""

    only_watches = True

    def __init__(self, X_test: Any = None, y_test: Any = None):
        self.X_test = X_test
        self.y_test = y_test
        self.rows_: list[dict[str, Any]] = []
        self.initial_weights_ = ""
        self.updates_ = self.samples_ = 0
        self.seconds_ = self.began_ = self.last_ = 0.0

    def __reduce__(self):
        # a net that is saved meanwhile keeps neither the test data nor the counts of a comparison
        return Callback, ()

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Note the weights that the training begins with."""
        state = net.module_.state_dict().values()
        self.initial_weights_ = joblib.hash([part.detach().cpu().numpy() for part in state])
        self.test_data_ = net.get_dataset(self.X_test, self.y_test)
        self.train_data_ = X

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Begin to count and to time an epoch."""
        self.train_data_ = dataset_train
        self.updates_before_ = self.updates_
        self.sizes_, self.losses_ = [], []
        self.began_ = self.last_ = time.perf_counter()

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        """Count an update; end a training whose loss is not finite, as plain skorch does not."""
        if not training:
            return
        self.last_ = time.perf_counter()
        row = net.history[-1]["batches"][-1]
        self.updates_ += 1
        self.samples_ += row["train_batch_size"]
        self.sizes_.append(row["train_batch_size"])
        self.losses_.append(row["train_loss"])
        if not math.isfinite(row["train_loss"]):
            self.seconds_ += self.last_ - self.began_
            raise self._divergence(net, row["train_loss"])

    def _divergence(self, net: Any, loss: float) -> DivergenceError:
        return DivergenceError(len(net.history), self.updates_ - 1, _current_lr(net), loss)

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Judge the epoch."""
        if not self.sizes_:
            return
        self.seconds_ += self.last_ - self.began_
        loss, accuracy = _evaluate(net, self.test_data_)
        self.rows_.append(
            {
                "epoch": len(self.rows_) + 1,
                "lr": _current_lr(net),
                "batch_size": net.history[-1].get("batch_size", max(self.sizes_)),
                "updates": self.updates_ - self.updates_before_,
                "train_loss": float(np.average(self.losses_, weights=self.sizes_)),
                "test_loss": loss,
                "test_accuracy": accuracy,
                "seconds": self.last_ - self.began_,
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what has been counted, for a checkpoint."""
        counted = {name: value for name, value in vars(self).items() if name in _COUNTED}
        return counted | {"elapsed": self.last_ - self.began_}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with what another watch has counted."""
        self.last_ = time.perf_counter()
        self.began_ = self.last_ - state["elapsed"]
        for name in _COUNTED & state.keys():
            setattr(self, name, state[name])

    def epoch_rows(self, net: Any) -> list[dict[str, Any]]:
        """Return the row of each epoch, with what later callbacks have measured."""
        recorded = getattr(net, "history", None) or [{}] * len(self.rows_)
        rows = [
            row | {name: epoch.get(name, math.nan) for name in NOISE_MEASURES}
            for row, epoch in zip(self.rows_, recorded, strict=False)
        ]
        for row, seconds in zip(rows, _measuring_seconds(net), strict=False):
            row["seconds"] += seconds
        return rows

    def judge(self, net: Any) -> dict[str, float]:
        """Return what the final weights are worth on test and on training data."""
        test_loss, accuracy = _evaluate(net, self.test_data_)
        train_loss, _ = _evaluate(net, self.train_data_)
        if not (math.isfinite(test_loss) and math.isfinite(train_loss)):
            raise self._divergence(net, train_loss)
        return {
            "test_accuracy": accuracy,
            "test_loss": test_loss,
            "train_loss": train_loss,
            "gap": test_loss - train_loss,
        }


def _measuring_seconds(net: Any) -> list[float]:
    """Return what the measurements took, one an epoch, that a batch schedule has gone by."""
    setters = [
        item for _, item in getattr(net, "callbacks_", ()) if isinstance(item, NoiseDoubling)
    ]
    return setters[0].seconds_ if setters else []


def _current_lr(net: Any) -> float:
    """Return the rate of the last update, or the optimizer's where none was recorded."""
    lr = last_lr(net.history[-1])
    return float(net.optimizer_.param_groups[0]["lr"]) if math.isnan(lr) else lr


def _evaluate(net: Any, dataset: Any) -> tuple[float, float]:
    """Return mean loss and accuracy on a data set, in evaluation mode."""
    loss, n_right, n_seen = 0.0, 0, 0
    with isolated_generators(device=net.device):
        for batch in net.get_iterator(dataset, training=False):
            pair = without_weights(batch)  # the test data have none either
            step = net.validation_step(pair)
            targets = unpack_data(pair)[1]
            loss += step["loss"].item() * len(targets)
            n_right += _count_right(net, step["y_pred"], targets)
            n_seen += len(targets)
    return loss / n_seen, n_right / n_seen


def _count_right(net: Any, y_pred: Any, targets: torch.Tensor) -> int:
    scores = y_pred[0] if isinstance(y_pred, tuple) else y_pred
    if isinstance(net, skorch.NeuralNetBinaryClassifier):
        proba = net._get_predict_nonlinearity()(scores)
        predicted = (proba[:, 1] > net.threshold).long()
    else:
        predicted = scores.argmax(1)
    return int((predicted == targets.to(predicted.device)).sum())
