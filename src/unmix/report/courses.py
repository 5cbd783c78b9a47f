"""How networks that are trained in stages came down: the error over iterations or over time."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unmix.papers.evidence import Evidence
from unmix.report.figures import PALETTE, evidence_title, style
from unmix.runs.store import Run

STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
OVER = {"iterations": "L-BFGS iterations, or passes over all vectors", "seconds": "seconds"}

PARTS = {"train_loss": "training vectors", "valid_loss": "validation vectors"}


def courses(rows: Sequence[Evidence], key: str, over: str = "iterations") -> Figure:
    """Return the training error J of each network, a panel each, with a line for each row.

    A dotted vertical line marks where the first row begins a stage. Lines go down at once where a
    stage begins with a new layer: its two points stand at the same iteration.

    Args:
        rows: with a run each, whose history has `network`, `stage` and `iteration`. A row of one
            finding draws that network alone, others draw all.
        key: the key column that tells the lines of a panel apart.
        over: `iterations`, or `seconds` of training.
    """
    style()
    drawn: dict[str, dict[str, pd.DataFrame]] = {}
    for item in rows:
        history = _timed(item.runs[0].history())
        wanted = item.row.of.get("finding")
        for network, course in history.groupby("network", sort=False):
            if wanted in (None, network):
                drawn.setdefault(str(network), {})[item.row.keys[key]] = course
    names = list(dict.fromkeys(name for of in drawn.values() for name in of))
    figure, axes = plt.subplots(
        1, len(drawn), figsize=(9, 3.9), sharey=True, layout="constrained", squeeze=False
    )
    for axis, (network, lines) in zip(axes[0], drawn.items(), strict=True):
        _panel(axis, lines, names, over)
        axis.set_title(network, fontsize="medium")
    axes[0][0].set_ylabel("J on the training vectors")
    figure.supxlabel(OVER[over], fontsize="medium")
    return _finished(figure, rows)


def stages(rows: Sequence[Evidence], key: str) -> Figure:
    """Return J at the end of each stage, on training and on validation vectors.

    Args:
        rows: with a run each; of several rows with one value of `key` the first counts.
        key: the key column that tells trainings apart, a row of panels each.
    """
    style()
    runs: dict[str, Run] = {}
    for item in rows:
        runs.setdefault(item.row.keys[key], item.runs[0])
    ends = {
        f"{name}: {network}": course.groupby("stage", sort=False).last()
        for name, run in runs.items()
        for network, course in run.history().groupby("network", sort=False)
    }
    figure, axes = plt.subplots(
        len(runs),
        len(ends) // len(runs),
        figsize=(9, 1.2 + 2.2 * len(runs)),
        sharex=True,
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    colours = sns.color_palette(PALETTE, 2)
    for axis, (name, end) in zip(axes.flat, ends.items(), strict=True):
        for number, (part, words) in enumerate(PARTS.items()):
            axis.plot(
                [stage.removesuffix(" layer") for stage in end.index],
                end[part],
                color=colours[number],
                linestyle=STYLES[number],
                marker="os"[number],
                label=words,
            )
        axis.set_title(name, fontsize="medium")
        axis.tick_params(axis="x", rotation=45)
    for line in axes:
        line[0].set_ylabel("J")
    figure.supxlabel("stage, by the layer that it adds", fontsize="medium")
    return _finished(figure, rows)


def _finished(figure: Figure, rows: Sequence[Evidence]) -> Figure:
    """Return a figure of panels with the first one's legend for all, and a title."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    figure.suptitle(evidence_title(rows), fontsize="medium")
    return figure


def _panel(axis: Axes, lines: dict[str, pd.DataFrame], names: Sequence[str], over: str) -> None:
    colours = sns.color_palette(PALETTE, max(1, len(names)))
    for number, name in enumerate(names):
        if name in lines:
            axis.plot(
                lines[name][over],
                lines[name]["train_loss"],
                color=colours[number],
                linestyle=STYLES[number % len(STYLES)],
                label=name,
            )
    first = next(iter(lines.values()))
    for place in first.loc[first["iteration"] == 0, over].iloc[1:]:
        axis.axvline(place, color="0.6", linestyle=":", linewidth=1, zorder=0)
    axis.set_yscale("log")


def _timed(history: pd.DataFrame) -> pd.DataFrame:
    """Return a history with `iterations` and `seconds` since the beginning of each network."""
    of_network = history.groupby("network", sort=False)
    return history.assign(
        iterations=history["epoch"] - of_network["epoch"].transform("first"),
        seconds=of_network["seconds"].cumsum(),
    )
