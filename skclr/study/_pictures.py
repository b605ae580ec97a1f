"""The pictures of a study, drawn from what was measured."""

from __future__ import annotations

from typing import Any

from skclr.displays import BatchSizeDisplay, HistoryDisplay, ScheduleDisplay
from skclr.study._findings import Study, published, usable_comparison

_COLORS = ("#0072b2", "#d55e00", "0.35")
_PUBLISHED_LR_RANGE = 1e-10, 1e1
_PUBLISHED_LR_EPOCHS = 50


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
    if (comparison := usable_comparison(study)) is not None:
        _save(comparison.plot().figure_, study, "comparison")


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
    _replace_legend(display.figure_, handles | {"published run, a point an epoch": beside})
    return display.figure_


def _legend_entries(figure):
    (legend,) = figure.legends
    return list(zip(legend.get_texts(), legend.legend_handles, strict=True))


def _replace_legend(figure, handles):
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
        curves["published run"] = _published_history("clr_training")
    return HistoryDisplay(curves).plot().figure_


def _published_history(name):
    return published(name).rename(
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
        curves["published run"] = _published_history("batch_doubling")
    axes: Any = None
    lines = {}
    for (label, history), color in zip(curves.items(), _COLORS, strict=False):
        display = BatchSizeDisplay(
            history["batch_size"], history["train_loss"], test_accuracy=history["valid_acc"]
        ).plot(ax=axes, line_kw={"color": color, "label": label})
        axes = display.axes_
        lines[label] = display.lines_[0]
    axes[1].set_ylabel("test accuracy")
    _replace_legend(display.figure_, lines)
    return display.figure_
