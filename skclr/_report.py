"""The study's pictures and its report, made from what was measured."""

from __future__ import annotations

import base64
import math
from html import escape

import numpy as np
import pandas as pd

from skclr.displays import BatchSizeDisplay, HistoryDisplay, ScheduleDisplay
from skclr.study import DOUBLING, HALVING, Study, published

_STYLE = """
:root { color-scheme: light dark; }
body { font: 17px/1.55 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h1 { line-height: 1.2 } h2 { margin-top: 2.5rem }
img { width: 100%; height: auto; background: #fff; border-radius: 6px }
.answer { border-left: 4px solid #2a7ab9; padding: .2rem 0 .2rem 1rem }
.stopped { border-left: 4px solid #c44; padding: .2rem 0 .2rem 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .88em }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #8884 }
th:first-child, td:first-child { text-align: left }
code { font-size: .9em } footer { margin-top: 3rem; font-size: .85em; opacity: .75 }
"""
_COLORS = ("#0072b2", "#d55e00", "0.35")
_PUBLISHED_LR_RANGE = 1e-10, 1e1
_PUBLISHED_LR_EPOCHS = 50


# ---------------------------------------------------------------- pictures


def draw_pictures(study: Study) -> None:
    """Draw what has been finished, a PNG a question, into the study's folder."""
    if study.sweep is not None:
        _save(_draw_sweep(study), study, "lr_sweep")
    if study.candidates is not None:
        _save(study.candidates.plot().figure_, study, "lr_candidates")
    if "clr_measured" in study.rates:
        _save(_draw_schedule(study), study, "schedule")
    if {"clr_measured", "clr_published"} & study.histories.keys():
        _save(_draw_training(study), study, "clr_training")
    if {"doubling_measured", "doubling_published"} & study.histories.keys():
        _save(_draw_doubling(study), study, "batch_doubling")
    if _has_compared(study):
        _save(study.comparison.plot().figure_, study, "comparison")


def _has_compared(study):
    return study.comparison is not None and (study.comparison.runs["status"] == "ok").any()


def _save(figure, study, name):
    from matplotlib import pyplot as plt

    figure.savefig(study.output / f"{name}.png", dpi=150)
    plt.close(figure)


def _draw_sweep(study):
    display = study.sweep.plot()
    table = published("lr_finder")
    low, high = _PUBLISHED_LR_RANGE
    lrs = low * (high / low) ** ((table["epoch"] - 0.5) / _PUBLISHED_LR_EPOCHS)
    (beside,) = display.ax_.plot(lrs, table["train_loss"], ":", color="0.35")
    display.ax_.set_xlim(left=study.sweep.lrs[0])
    display.ax_.set_ylim(bottom=min(display.ax_.get_ylim()[0], 0.9 * table["train_loss"].min()))
    handles = {legend.get_text(): line for legend, line in _legend_entries(display.figure_)}
    _legend(display.figure_, handles | {"published run, a point an epoch": beside})
    return display.figure_


def _legend_entries(figure):
    (legend,) = figure.legends
    return list(zip(legend.get_texts(), legend.legend_handles, strict=True))


def _legend(figure, handles):
    """Put these in place of the legend that a display has drawn."""
    for legend in list(figure.legends):
        legend.remove()
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)


def _draw_schedule(study):
    rates = study.rates["clr_measured"]
    display = ScheduleDisplay(
        rates["iteration"],
        rates["lr"],
        iterations_per_epoch=int((rates["epoch"] == 1).sum()),
        name="CLR between the measured boundaries",
    ).plot()
    return display.figure_


def _draw_training(study):
    names = {"clr_measured": "measured boundaries", "clr_published": "published settings"}
    curves = {label: study.histories[run] for run, label in names.items() if run in study.histories}
    if study.settings["data"] == "full":
        curves["published run"] = _as_history(published("clr_training"))
    return HistoryDisplay(curves).plot().figure_


def _as_history(table):
    return table.rename(
        columns={
            "train_accuracy": "train_acc",
            "test_loss": "valid_loss",
            "test_accuracy": "valid_acc",
        }
    )


def _draw_doubling(study):
    names = {"doubling_measured": "measured l_max", "doubling_published": "published settings"}
    curves = {label: study.histories[run] for run, label in names.items() if run in study.histories}
    if study.settings["data"] == "full":
        curves["published run"] = _as_history(published("batch_doubling"))
    axes, lines = None, {}
    for (label, history), color in zip(curves.items(), _COLORS, strict=False):
        display = BatchSizeDisplay(
            history["batch_size"], history["train_loss"], test_accuracy=history["valid_acc"]
        ).plot(ax=axes, line_kw={"color": color, "label": label})
        axes = display.axes_
        lines[label] = display.lines_[0]
    axes[1].set_ylabel("test accuracy")
    _legend(display.figure_, lines)
    return display.figure_


# ---------------------------------------------------------------- words


def _points(difference):
    return f"{abs(100 * difference):.1f} points"


def _rate(value):
    return f"{value:.2g}"


def answer_range(study: Study) -> list[str]:
    """Answer the first question."""
    if study.sweep is None:
        return []
    sweep = study.sweep
    n_repeats = len(sweep.losses)
    begins = (
        f"the loss begins to fall at l_min = {_rate(sweep.base_lr)}"
        if sweep.base_lr is not None
        else "no rate could be named at which the loss begins to fall"
    )
    turns = (
        f"it is on its floor around l_max = {_rate(sweep.max_lr)}, before it turns up"
        if sweep.max_lr is not None
        else "no rate could be named at which it turns up"
    )
    words = [
        f"In {n_repeats} sweeps of {len(sweep.lrs)} updates each, from {_rate(sweep.lrs[0])} to "
        f"{_rate(sweep.lrs[-1])}, {begins}, and {turns}. In the published run, one sweep of 44 "
        "epochs, the loss began to fall near 1e-05 and blew up after 0.01."
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
        f"Of the ten fixed rates, {_rate(candidates.lrs[best])} had the lowest training loss, "
        f"{losses[best]:.3f}."
    )
    if len(idle):
        words += (
            f" Up to {_rate(idle.max())} next to nothing was learned (the loss stayed within 5 % of"
            f" {start:.2f}, that of guessing)."
        )
    if len(blown_up):
        words += f" From {_rate(blown_up.min())} on the loss was that of guessing, or higher."
    if len(diverged):
        words += f" Training diverged at {', '.join(_rate(lr) for lr in diverged)}."
    return words + " This comparison of fixed rates was planned, but not run, in the original."


def answer_clr(study: Study) -> list[str]:
    """Answer the second question."""
    rows = _rows(study)
    words = []
    if "clr_measured" in rows:
        row = rows["clr_measured"]
        low, high = map(_rate, study.boundaries)
        words.append(
            f"Triangular CLR between {low} and {high} reached a test accuracy of "
            f"{row.test_accuracy:.4f} after {row.epochs} epochs (training loss "
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
    rows = _rows(study)
    words = []
    for run, rate in (("doubling_measured", study.boundaries[1]), ("doubling_published", 0.01)):
        if run not in rows:
            continue
        history, row = study.histories[run], rows[run]
        words.append(
            f"With the rate held at {_rate(rate)} and the batch doubled from "
            f"{history['batch_size'].iloc[0]} to {history['batch_size'].iloc[-1]} over "
            f"{row.epochs} epochs, the training loss fell from {history['train_loss'].iloc[0]:.3f} "
            f"to {row.train_loss:.3f}, and the test accuracy ended at {row.test_accuracy:.4f}."
        )
    words += [
        _compared(study, rows[doubling], rows[clr])
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
    if _has_compared(study):
        words.append(_about_seeds(study.comparison))
    return words


def _about_seeds(comparison):
    """Say what several seeds of halving and doubling tell, where one run of each does not."""
    history, summary = comparison.history, comparison.summary
    sizes = history.loc[history["candidate"] == DOUBLING, "batch_size"]
    n_seeds = comparison.runs["seed"].nunique()
    words = (
        f"One run of each cannot tell how much is chance; {n_seeds} seeds can. The rate halved at "
        f"a batch of {sizes.min()}, from {_rate(history['lr'].max())} on, and the batch doubled up "
        f"to {sizes.max()} at that rate, go through the same noise scale (rate over batch size) in "
        f"the same {history['epoch'].max()} epochs, from the same initial weights. "
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


def _compared(study, doubling, clr):
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
        f"{doubling.epochs} epochs against {clr.updates:,} in {clr.epochs}, and "
        f"{doubling.seconds / doubling.epochs:.1f} seconds an epoch against "
        f"{clr.seconds / clr.epochs:.1f}. Test loss less training loss is {gap[0]:+.3f} for "
        f"doubling and {gap[1]:+.3f} for CLR."
    )


def _rows(study):
    return {row.run: row for row in study.summary.itertuples()}


# ---------------------------------------------------------------- the page


def write_report(study: Study, state: str) -> None:
    """Write report.html: the questions, the pictures, the answers, the tables."""
    parts = [
        "<h1>Learning rate and batch size of a small network</h1>",
        _introduction(study),
        "" if state == "finished" else _stopped(study, state),
        _section(
            study,
            "1. Which learning rates work?",
            ["lr_sweep", "lr_candidates"],
            answer_range(study),
        ),
        _section(
            study,
            "2. How well does CLR between them train?",
            ["schedule", "clr_training"],
            answer_clr(study),
        ),
        _reports(study),
        _section(
            study,
            "3. Does growing the batch do what lowering the rate does?",
            ["batch_doubling", "comparison"],
            answer_batch_size(study),
        ),
        _summary(study),
        _footer(study),
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>skclr: the study</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )
    (study.output / "report.html").write_text(page, encoding="utf-8")


def _introduction(study):
    settings = study.settings
    name = {"sample": "a sample of Fashion-MNIST", "full": "Fashion-MNIST"}.get(
        settings["data"], "the data given"
    )
    return (
        f"<p>LeNet-5 on {name}: {settings['n_train']:,} images for training, "
        f"{settings['n_test']:,} for testing. As in the published run, pixels are scaled to 0..1 "
        "and padded to 32 x 32, and training images are shifted by up to 10 % and flipped at "
        "random; SGD with momentum 0.9, batch size 64 unless it grows. The test set serves as "
        "validation data.</p>"
    )


def _stopped(study, state):
    finished = ", ".join(study.finished) or "nothing yet"
    was = "was interrupted" if state == "interrupted" else "failed"
    return f'<p class="stopped">This run {was}. What was finished: {escape(finished)}.</p>'


def _section(study, title, pictures, answers):
    if not answers:
        return ""
    words = "".join(f'<p class="answer">{escape(answer)}</p>' for answer in answers)
    drawn = "".join(_image(study.output / f"{name}.png") for name in pictures)
    return f"<h2>{escape(title)}</h2>{drawn}{words}"


def _image(path):
    if not path.exists():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    alt = path.stem.replace("_", " ")
    return f'<p><img alt="{alt}" src="data:image/png;base64,{data}"></p>'


def _reports(study):
    columns = {
        run: study.reports[run].set_index("class").drop(columns="support")
        for run in ("clr_measured", "clr_published")
        if run in study.reports
    }
    if not columns:
        return ""
    if study.settings["data"] != "own":
        table = published("classification_reports")
        clr = table[table["run"].str.startswith("CLR")].drop(columns="run")
        columns["published run"] = clr.set_index("class").rename(columns={"f1": "f1-score"})
    names = {"clr_measured": "measured boundaries", "clr_published": "published settings"}
    beside = pd.concat(
        {names.get(run, run): table for run, table in columns.items()}, axis=1
    ).reset_index()
    html = beside.to_html(index=False, border=0, float_format="{:.2f}".format, na_rep="")
    return f'<h3>Class by class</h3><div class="wide">{html}</div>'


def _summary(study):
    if study.summary.empty:
        return ""
    table = study.summary.drop(columns="run").rename(columns={"description": "run"})
    beside = [
        ("CLR, as published", published("clr_training")),
        ("Batch doubling, as published", published("batch_doubling")),
    ]
    rows = [
        {
            "run": name,
            "epochs": len(own),
            "updates": own["steps"].sum(),
            "seconds": own["seconds"].sum(),
            "train_loss": own["train_loss"].iloc[-1],
            "test_loss": own["test_loss"].iloc[-1],
            "test_accuracy": own["test_accuracy"].iloc[-1],
        }
        for name, own in beside
    ]
    both = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    return (
        "<h2>All runs beside the published ones</h2>"
        + _table(both)
        + "<p>The published runs trained on all 60,000 images. The seconds are of different "
        "machines, and those of this run of trainings side by side. One seed each: differences "
        "between runs come with the uncertainty named above.</p>"
    )


def _table(frame):
    html = frame.to_html(index=False, border=0, float_format=lambda value: f"{value:.4g}")
    return f'<div class="wide">{html}</div>'


def _footer(study):
    settings = study.settings
    command = f"python -m skclr --data {settings['data']} --epochs {settings['epochs']}"
    command += f" --seed {settings['seed']}"
    again = f"<code>{escape(command)}</code>, " if settings["data"] != "own" else ""
    return (
        f"<footer>{again}{escape(settings['started'])}, skclr {escape(settings['skclr'])}, torch "
        f"{escape(settings['torch'])}, Python {escape(settings['python'])}, {settings['cores']} "
        "cores. Every curve lies beside this page as CSV.</footer>"
    )
