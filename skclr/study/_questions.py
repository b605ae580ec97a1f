"""The three questions of a study, each answered by trainings."""

from __future__ import annotations

import os

import joblib
import numpy as np
import pandas as pd
from sklearn.metrics import classification_report, log_loss

from skclr._progress import Progress
from skclr.augmentation import RandomShiftFlip
from skclr.classifier import CLRLeNetClassifier
from skclr.comparison import compare_schedules
from skclr.datasets import load_fashion_mnist_sample
from skclr.range_test import lr_candidates_test, lr_range_test
from skclr.study._findings import (
    DOUBLING,
    HALVING,
    LARGEST_BATCH,
    PUBLISHED_RANGE,
    RUNS,
    SMALLEST_BATCH,
    Study,
)
from skclr.study._folder import CHECKPOINTS, mark_finished, write_table

CANDIDATE_EPOCHS = 5
REPEATS = 3
COMPARED_SEEDS = 3
_COMPARED_EPOCHS = 5
_SAMPLES_BETWEEN_CHECKPOINTS = 6000  # half a second of training
_COMPARED_SIZES = 5  # 64, 128, ..., 1024

Images = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # X, y, X_test, y_test


def measure_range(
    study: Study, images: Images, candidate_epochs: int, n_jobs: int | None, bar: Progress
) -> None:
    """Answer the first question: sweep the rate, and train at ten fixed rates."""
    X, y, *_ = images
    seed = study.settings["seed"]
    if "sweep" not in study.finished:
        bar.stage("sweeping the learning rate", 0)
        once = bar.ticker(per_epoch=0, per_training=1)
        study.sweep = lr_range_test(
            _estimator(study, once), X, y, n_repeats=REPEATS, random_state=seed, n_jobs=n_jobs
        )
        write_table(study, "lr_sweep", study.sweep.to_frame())
        mark_finished(study, "sweep")
    if "candidates" in study.finished:
        return
    bar.stage("ten candidates", REPEATS)
    study.candidates = lr_candidates_test(
        _estimator(study, bar.ticker()),
        X,
        y,
        epochs=candidate_epochs,
        random_state=seed,
        n_jobs=n_jobs,
    )
    write_table(study, "lr_candidates", study.candidates.to_frame())
    mark_finished(study, "candidates")


def train_all(study: Study, images: Images, n_jobs: int | None, bar: Progress) -> None:
    """Answer the second question, and the third with one run: CLR and batch doubling."""
    epochs = study.settings["epochs"]
    clr = {"schedule": "triangular", "step_size": epochs / 10, "max_epochs": epochs}
    doubling = {
        "schedule": "batch_doubling",
        "batch_size": SMALLEST_BATCH,
        "max_batch_size": LARGEST_BATCH,
        "step_size": study.settings["doubling_epochs"] / 8,
        "max_epochs": study.settings["doubling_epochs"],
    }
    low, high = PUBLISHED_RANGE
    parameters = {
        "clr_measured": clr | {"base_lr": study.boundaries[0], "max_lr": study.boundaries[1]},
        "clr_published": clr | {"base_lr": low, "max_lr": high},
        "doubling_measured": doubling | {"max_lr": study.boundaries[1]},
        "doubling_published": doubling | {"max_lr": high},
    }
    trained = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        joblib.delayed(_train)(name, _estimator(study, bar.ticker(), **own), images)
        for name, own in parameters.items()
        if name not in study.finished
    )
    for name, outcome in trained:
        _record(study, name, outcome, images)


def _train(name, estimator, images):
    X, y, X_test, y_test = images
    estimator.fit(X, y, X_val=X_test, y_val=y_test)
    proba = estimator.predict_proba(X_test)
    return name, {
        "history": estimator.history_frame(),
        "iterations": estimator.history_frame("batch"),
        "seconds": float(estimator.history_frame()["dur"].sum()),  # interrupted or not
        "y_pred": estimator.classes_[proba.argmax(axis=1)],
        "test_loss": log_loss(y_test, proba, labels=estimator.classes_),
    }


def _record(study, name, outcome, images):
    """Write down what a run of training found."""
    y_test = images[3]
    history = outcome["history"]
    study.histories[name], study.rates[name] = history, outcome["iterations"]
    write_table(study, name, history)
    write_table(study, f"{name}_iterations", outcome["iterations"])
    _record_classes(study, name, y_test, outcome["y_pred"])

    row = {
        "run": name,
        "description": RUNS[name],
        "epochs": len(history),
        "updates": int(history["n_updates"].sum()),
        "seconds": outcome["seconds"],
        "train_loss": history["train_loss"].iloc[-1],
        "test_loss": outcome["test_loss"],
        "test_accuracy": float(np.mean(y_test == outcome["y_pred"])),
    }
    rows = [*study.summary.to_dict("records"), row]
    order = list(RUNS)
    rows.sort(key=lambda row: order.index(row["run"]))
    study.summary = pd.DataFrame(rows)
    write_table(study, "summary", study.summary)
    mark_finished(study, name)


def _record_classes(study, name, y_test, y_pred):
    """Write down how well a run tells each class from the others."""
    labels = None
    if study.settings["data"] != "own":
        labels = load_fashion_mnist_sample(subset="test").target_names
    text, table = (
        classification_report(
            y_test, y_pred, target_names=labels, zero_division=0, output_dict=as_table
        )
        for as_table in (False, True)
    )
    path = study.output / f"classification_report_{name}.txt"
    path.write_text(f"{RUNS[name]}\n\n{text}", encoding="utf-8")
    table.pop("accuracy", None)
    study.reports[name] = pd.DataFrame(table).T.rename_axis("class").reset_index()
    in_order = {run: study.reports[run] for run in RUNS if run in study.reports}
    reports = pd.concat(in_order, names=["run"]).reset_index(level=0)
    write_table(study, "classification_reports", reports)


def compare(study: Study, images: Images, n_jobs: int | None, bar: Progress) -> None:
    """Answer the third question: halve the rate, or double the batch.

    Both go through the same epochs, from the same initial weights.
    """
    if "comparison" in study.finished:
        return
    epochs, seed = compared_epochs(study.settings["epochs"]), study.settings["seed"]
    last = 2 ** (_COMPARED_SIZES - 1)
    # the highest rate at which a short sweep still learns is no rate to stay at
    max_lr = study.boundaries[1] / 2
    parameters = {
        HALVING: {"schedule": "lr_halving", "base_lr": max_lr / last},
        DOUBLING: {"schedule": "batch_doubling", "max_batch_size": 64 * last},
    }
    study.comparison = compare_schedules(
        {
            name: _estimator(
                study,
                bar.ticker(),
                max_lr=max_lr,
                batch_size=64,
                step_size=epochs / _COMPARED_SIZES,
                max_epochs=epochs,
                **own,
            )
            for name, own in parameters.items()
        },
        *images,
        seeds=[(seed + i) % 2**32 for i in range(COMPARED_SEEDS)],
        n_jobs=n_jobs,
        store=study.output / "comparison.csv",
    )
    mark_finished(study, "comparison")


def compared_epochs(epochs: int) -> int:
    """Return the epochs of each training that is compared over seeds."""
    return min(_COMPARED_EPOCHS, epochs)


def _estimator(study, ticker, **parameters):
    """Return the published set-up: pixels from 0 to 1, augmented, SGD with momentum, batch 64."""
    engine = study.settings["engine"]
    if engine != "torch":
        parameters["module__engine"] = engine
    return CLRLeNetClassifier(
        standardize=False,
        augmentation=RandomShiftFlip(),
        random_state=study.settings["seed"],
        callbacks=[("ticker", ticker)],
        checkpoint=f"{(study.output / CHECKPOINTS).resolve()}{os.sep}",
        checkpoint_every=min(1.0, _SAMPLES_BETWEEN_CHECKPOINTS / study.settings["n_train"]),
        **parameters,
    )
