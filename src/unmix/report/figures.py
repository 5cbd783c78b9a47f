"""Figures: box plots over clips, training histories, spectrograms.

All have labelled axes with units, a palette that colour-blind readers can tell apart, and a white
face, so that they read on dark pages too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from unmix.metrics.means import CEILING
from unmix.papers.evidence import Evidence, material
from unmix.runs.spec import EVERY
from unmix.stft import STFT

PALETTE = "colorblind"
MARKERS = ("o", "s", "^", "D", "v", "P")
METRICS = {"nsdr": "NSDR", "sdr": "SDR", "isr": "ISR", "sir": "SIR", "sar": "SAR"}


def style() -> None:
    """Set the look of all figures."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette=PALETTE,
        rc={"figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 100},
    )


def evidence_title(rows: Sequence[Evidence]) -> str:
    """Return what stands above a figure: on what material its rows were run."""
    return f"Evidence: {material(rows)}"


def label(item: Evidence) -> str:
    """Return the row's key columns as one label."""
    return ", ".join(item.row.keys.values())


def boxes(rows: Sequence[Evidence], metrics: Sequence[str] = ("nsdr", "sir", "sar")) -> Figure:
    """Return box plots over the test clips, one panel a metric, one box a row.

    A clip's score is its mean over seeds; one at the ceiling is rounding noise and left out. The
    box spans the quartiles, the line is the median, the diamond the mean (of clips, not weighted),
    whiskers reach 1.5 interquartile ranges.
    """
    style()
    frames = []
    mixed = len({item.fidelity for item in rows}) > 1
    named = {
        item.row.of.get("source", item.runs[0].settings()["evaluation"]["source"]) for item in rows
    }
    source = named.pop() if len(named) == 1 else "target"
    whose = source if source == EVERY else f"the {source}"
    for item in rows:
        name = f"{label(item)} ({item.fidelity})" if mixed else label(item)
        for run in item.runs:
            frames.append(run.scores(item.row.of).assign(row=name))
    scored = pd.concat(frames)
    scored[list(metrics)] = scored[list(metrics)].where(scored[list(metrics)] < CEILING)
    data = scored.groupby(["row", "clip"], sort=False)[list(metrics)].mean()
    tidy = data.reset_index()
    figure, axes = plt.subplots(
        1,
        len(metrics),
        figsize=(9, 1.4 + 0.42 * tidy["row"].nunique()),
        sharey=True,
        layout="constrained",
    )
    colours = dict(zip(tidy["row"].unique(), sns.color_palette(PALETTE, 20), strict=False))
    for axis, metric in zip(np.atleast_1d(axes), metrics, strict=True):
        sns.boxplot(
            tidy,
            x=metric,
            y="row",
            hue="row",
            palette=colours,
            ax=axis,
            width=0.65,
            fliersize=2,
            showmeans=True,
            meanprops={
                "marker": "D",
                "markerfacecolor": "white",
                "markeredgecolor": "black",
                "markersize": 5,
            },
        )
        axis.set_xlabel(f"{METRICS[metric]} of {whose} (dB)")
        axis.set_ylabel("")
    figure.suptitle(evidence_title(rows), fontsize="medium")
    return figure


def histories(rows: Sequence[Evidence], part: str = "valid") -> Figure:
    """Return the loss over epochs, one curve a run, the mean of all rounds where there are some.

    Args:
        rows: with runs of networks that were trained by epochs.
        part: `valid`, whose losses are scaled by their first value, or `train`, as they are.
    """
    style()
    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    colours = sns.color_palette(PALETTE, max(1, len(rows)))
    styles = ("-", "--", "-.", ":")
    for number, item in enumerate(rows):
        for run in item.runs:
            history = run.history()
            if history.empty:
                continue
            loss = history.groupby("epoch")[f"{part}_loss"].mean()
            axis.plot(
                loss.index + 1,
                loss / loss.iloc[0] if part == "valid" else loss,
                color=colours[number],
                linestyle=styles[number % len(styles)],
                label=label(item) if run is item.runs[0] else None,
            )
    axis.set_xlabel("epoch")
    ratio = "validation loss / its value after the first epoch"
    axis.set_ylabel(ratio if part == "valid" else "training loss")
    axis.set_yscale("log")
    axis.legend(fontsize="small")
    axis.set_title(evidence_title(rows), fontsize="medium")
    return figure


def trends(rows: Sequence[Evidence], over: str, metrics: Sequence[str] = ("SDR",)) -> Figure:
    """Return global scores over a number, one panel a metric, one line for the other key columns.

    A point is the mean over seeds; the band spans them.

    Args:
        rows: with runs.
        over: the key column whose values are numbers.
        metrics: names of scores, as in the tables.
    """
    style()
    found = []
    of_all = [item.row.keys for item in rows]
    apart = [name for name in of_all[0] if len({keys[name] for keys in of_all}) > 1]
    for item in rows:
        at = float(item.row.keys[over])
        keys = {name: item.row.keys[name] for name in apart if name != over}
        scores = item.globals()[list(metrics)]
        found.append(scores.assign(row=", ".join(keys.values()), at=at))
    data = pd.concat(found)
    deep = -(-len(metrics) // 2)
    figure, axes = plt.subplots(
        deep, 2, figsize=(7, 0.6 + 2.5 * deep), layout="constrained", squeeze=False, sharex=True
    )
    for axis in axes.flat[len(metrics) :]:
        axis.remove()
    lines = list(data["row"].unique())
    for axis, metric in zip(axes.flat, metrics, strict=False):
        for number, (name, marker) in enumerate(zip(lines, MARKERS * len(lines), strict=False)):
            own = data[data["row"] == name].groupby("at")[metric]
            colour = sns.color_palette(PALETTE)[number % 10]
            axis.plot(own.mean(), marker=marker, color=colour, label=name)
            axis.fill_between(own.min().index, own.min(), own.max(), color=colour, alpha=0.2)
        axis.set_xlabel(over)
        axis.set_ylabel(f"{metric} (dB)")
        axis.set_xticks(sorted(data["at"].unique()))
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(lines)
    )
    figure.suptitle(evidence_title(rows), fontsize="medium")
    return figure


def spectrograms(
    left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], stft: STFT, title: str = ""
) -> Figure:
    """Return magnitude spectrograms, true sources left and estimates right, as parwal's Figure 2.

    Args:
        left: the references, by source, each `(1, samples)`.
        right: the estimates, by the same names.
        stft: the transform; its rate is the sounds'.
        title: which sound it is.
    """
    style()
    figure, axes = plt.subplots(
        len(left), 2, figsize=(9, 2.7 * len(left)), sharex=True, sharey=True, layout="constrained"
    )
    top = max(float(np.abs(spectrum_of(sound, stft)).max()) for sound in left.values())
    for line, name in enumerate(left):
        for column, (kind, sounds) in enumerate((("true", left), ("estimated", right))):
            axis = axes[line][column]
            magnitudes = np.abs(spectrum_of(sounds[name], stft))
            seconds = sounds[name].shape[1] / stft.rate
            image = levels(axis, magnitudes / top, seconds, stft.rate)
            axis.set_title(f"{name}, {kind}", fontsize="medium")
    explain_levels(figure, axes, image)
    figure.suptitle(title, fontsize="medium")
    return figure


def levels(axis: Axes, magnitudes: np.ndarray, seconds: float, rate: int) -> AxesImage:
    """Draw magnitudes `(bins, frames)`, at most 1, as decibels down to −70."""
    axis.grid(False)
    return axis.imshow(
        20 * np.log10(magnitudes + 1e-8),
        origin="lower",
        aspect="auto",
        vmin=-70,
        vmax=0,
        cmap="magma",
        extent=(0, seconds, 0, rate / 2000),
        interpolation="nearest",
    )


def explain_levels(figure: Figure, axes: np.ndarray, image: AxesImage) -> None:
    """Label the outer axes of a grid of `levels`, and say what the colours mean."""
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    for axis in axes[:, 0]:
        axis.set_ylabel("frequency (kHz)")
    figure.colorbar(image, ax=axes, label="level (dB below the loudest bin)", pad=0.01)


def spectrum_of(sound: np.ndarray, stft: STFT) -> np.ndarray:
    """Return the complex spectrogram `(bins, frames)` of the first channel of `(1, samples)`."""
    return stft.forward(torch.from_numpy(sound))[0].numpy()  # type: ignore[no-any-return]
