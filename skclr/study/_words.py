"""The answers of a study in words, made from what was measured."""

from __future__ import annotations

import math

import numpy as np

from skclr.study._findings import DOUBLING, HALVING, Study, published, usable_comparison


def answer_range(study: Study) -> list[str]:
    """Answer the first question."""
    if study.sweep is None:
        return []
    sweep = study.sweep
    n_whole = int(np.isfinite(sweep.losses[:, 0]).sum())
    n_others = len(sweep.losses) - n_whole
    others = f", and {n_others} more over those at which the loss moves" if n_others else ""
    begins = (
        f"the loss begins to fall at l_min = {_rounded(sweep.base_lr)}"
        if sweep.base_lr is not None
        else "no rate could be named at which the loss begins to fall"
    )
    turns = (
        f"it is on its floor around l_max = {_rounded(sweep.max_lr)}, before it turns up"
        if sweep.max_lr is not None
        else "no rate could be named at which it turns up"
    )
    words = [
        f"In {n_whole} sweeps of {len(sweep.lrs)} updates each, from {_rounded(sweep.lrs[0])} to "
        f"{_rounded(sweep.lrs[-1])}{others}, {begins}, and {turns}. In the published run, one "
        "sweep of 44 epochs, the loss began to fall near 1e-05 and blew up after 0.01."
    ]
    if None in (sweep.base_lr, sweep.max_lr):
        words.append("So CLR below moves between the published boundaries instead.")
    if study.candidates is not None:
        words.append(_about_candidates(study))
    return words


def _about_candidates(study):
    candidates = study.candidates
    losses = candidates.losses[0]
    best = int(np.nanargmin(losses))
    diverged = candidates.lrs[np.isnan(losses)]
    start = math.log(study.settings["n_classes"])
    rank = np.arange(len(losses))
    blown_up = candidates.lrs[(losses > 0.95 * start) & (rank > best)]
    idle = candidates.lrs[(losses > 0.95 * start) & (rank < best)]
    words = (
        f"Of the ten fixed rates, {_rounded(candidates.lrs[best])} had the lowest training loss, "
        f"{losses[best]:.3f}."
    )
    if len(idle):
        words += (
            f" Up to {_rounded(idle.max())} next to nothing was learned (the loss stayed within "
            f"5 % of {start:.2f}, that of guessing)."
        )
    if len(blown_up):
        words += f" From {_rounded(blown_up.min())} on the loss was that of guessing, or higher."
    if len(diverged):
        words += f" Training diverged at {', '.join(_rounded(lr) for lr in diverged)}."
    return words + " This comparison of fixed rates was planned, but not run, in the original."


def answer_clr(study: Study) -> list[str]:
    """Answer the second question."""
    rows = _summary_rows(study)
    words = []
    if "clr_measured" in rows:
        row = rows["clr_measured"]
        low, high = map(_rounded, study.boundaries)
        words.append(
            f"Triangular CLR between {low} and {high} reached a test accuracy of "
            f"{row.test_accuracy:.4f} after {_epochs(row.epochs)} (training loss "
            f"{row.train_loss:.3f}, with augmentation; test loss {row.test_loss:.3f})."
        )
        words.append(_about_classes(study, "clr_measured"))
    if "clr_published" in rows:
        row = rows["clr_published"]
        words.append(
            f"With the published boundaries, 1e-05 and 0.01, it was {row.test_accuracy:.4f}; the "
            f"published run itself, 50 epochs on all 60,000 images, reached "
            f"{published('clr_training')['test_accuracy'].iloc[-1]:.4f}."
        )
    return words


def _about_classes(study, run):
    classes = study.reports[run].set_index("class").drop(["macro avg", "weighted avg"])
    f1 = classes["f1-score"]
    return (
        f"The hardest class is {f1.idxmin()} (F1 {f1.min():.2f}), the easiest {f1.idxmax()} "
        f"(F1 {f1.max():.2f})."
    )


def answer_batch_size(study: Study) -> list[str]:
    """Answer the third question."""
    rows = _summary_rows(study)
    words = []
    for run, rate in (("doubling_measured", study.boundaries[1]), ("doubling_published", 0.01)):
        if run not in rows:
            continue
        history, row = study.histories[run], rows[run]
        words.append(
            f"With the rate held at {_rounded(rate)} and the batch doubled from "
            f"{history['batch_size'].iloc[0]} to {history['batch_size'].iloc[-1]} over "
            f"{_epochs(row.epochs)}, the training loss fell from "
            f"{history['train_loss'].iloc[0]:.3f} to {row.train_loss:.3f}, and the test accuracy "
            f"ended at {row.test_accuracy:.4f}."
        )
    words += [
        _beside_clr(study, rows[doubling], rows[clr])
        for doubling, clr in (
            ("doubling_measured", "clr_measured"),
            ("doubling_published", "clr_published"),
        )
        if {doubling, clr} <= rows.keys()
    ]
    if "doubling_published" in rows:
        table = published("batch_doubling")
        words.append(
            f"The published run ended at {table['test_accuracy'].iloc[-1]:.4f}, with a training "
            f"loss of {table['train_loss'].iloc[-1]:.3f}."
        )
    if (comparison := usable_comparison(study)) is not None:
        words.append(_about_seeds(comparison))
    return words


def _about_seeds(comparison):
    """Say what several seeds of halving and doubling tell, where one run of each does not."""
    history, summary = comparison.history, comparison.summary
    sizes = history.loc[history["candidate"] == DOUBLING, "batch_size"]
    n_seeds = comparison.runs["seed"].nunique()
    words = (
        f"One run of each cannot tell how much is chance; {n_seeds} seeds can. The rate halved at "
        f"a batch of {sizes.min()}, from {_rounded(history['lr'].max())} on, and the batch doubled "
        f"up to {sizes.max()} at that rate, go through the same noise scale (rate over batch size) "
        f"in the same {_epochs(history['epoch'].max())}, from the same initial weights. "
    )
    sentence = comparison.in_words(DOUBLING)
    words += sentence[0].upper() + sentence[1:]
    gaps = [
        f"{row['gap']:+.3f} ({row['gap_low']:+.3f} to {row['gap_high']:+.3f}) for {name}"
        for name in (HALVING, DOUBLING)
        if (row := summary.loc[name])["n_runs"] > 1
    ]
    if len(gaps) == 2:
        words += (
            f" Test loss less training loss, both without augmentation, is {gaps[0]} and {gaps[1]}."
        )
    n_failed = int(summary["n_failed"].sum())
    return words + (f" {n_failed} of {len(comparison.runs)} runs failed." if n_failed else "")


def _beside_clr(study, doubling, clr):
    difference = doubling.test_accuracy - clr.test_accuracy
    p = (doubling.test_accuracy + clr.test_accuracy) / 2
    chance = 2 * math.sqrt(2 * p * (1 - p) / study.settings["n_test"])
    verdict = (
        f"within {_points(chance)}, which is what chance alone can make of "
        f"{study.settings['n_test']:,} test images, so the two generalize alike as far as one run "
        "of each can tell"
        if abs(difference) <= chance
        else f"more than the {_points(chance)} that chance alone makes likely with "
        f"{study.settings['n_test']:,} test images"
    )
    settings = "published" if doubling.run.endswith("published") else "measured"
    more = "more" if difference >= 0 else "less"
    gap = doubling.test_loss - doubling.train_loss, clr.test_loss - clr.train_loss
    return (
        f"With the {settings} settings, batch doubling ends {_points(difference)} {more} accurate "
        f"on the test set than CLR: {verdict}. It took {doubling.updates:,} updates in "
        f"{_epochs(doubling.epochs)} against {clr.updates:,} in {clr.epochs}, and "
        f"{doubling.seconds / doubling.epochs:.1f} seconds an epoch against "
        f"{clr.seconds / clr.epochs:.1f}. Test loss less training loss is {gap[0]:+.3f} for "
        f"doubling and {gap[1]:+.3f} for CLR."
    )


def _summary_rows(study):
    return {row.run: row for row in study.summary.itertuples()}


def _epochs(number):
    return f"{number} epoch" if number == 1 else f"{number} epochs"


def _points(difference):
    return f"{abs(100 * difference):.1f} points"


def _rounded(value):
    return f"{value:.2g}"
