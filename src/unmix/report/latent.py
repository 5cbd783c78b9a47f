"""What a network holds of one patch of a song at each stage: li's Figure 5."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unmix.datasets.catalogue import open_dataset
from unmix.errors import UnmixError
from unmix.report.figures import style
from unmix.runs import execute
from unmix.runs.rounds import Rounds, rounds
from unmix.runs.scene import loaded, scene
from unmix.runs.store import Run

if TYPE_CHECKING:
    from unmix.report.workbook import Workbook


def stages(book: Workbook, name: str, keys: Mapping[str, str]) -> Figure:
    """Return what `drawn` draws of a stored row's network.

    Args:
        book: of the paper.
        name: the experiment.
        keys: key columns of the row.

    Raises:
        UnmixError: the row is not in the store, or its network has no stages.
    """
    rows = [item for item in book.evidence(name, best=False) if dict(item.row.keys) == dict(keys)]
    runs = [run for item in rows for run in item.runs]
    if not runs:
        raise UnmixError(
            f"{book.paper}/{name} has no stored run for {dict(keys)}",
            do=f"run `{book.command('run', name)}`",
        )
    figure = drawn(held(runs[0], book.data_root))
    plt.close(figure)  # or a notebook shows it twice
    return figure


def held(run: Run, data_root: str | os.PathLike | None) -> dict[str, Any]:
    """Return what a stored run's network holds of the loudest patch of its first test clip.

    Returns:
        `clip`, its name; `second`, where the patch begins; `sources`, their names; `heard`,
        magnitudes `(frames, bins)`; and what the network's `stages` gives of it, without the batch.

    Raises:
        UnmixError: the network has no stages.
    """
    spec = run.spec()
    dataset = open_dataset(spec.dataset, data_root, spec.clips)
    name = rounds(spec, dataset)[0]["test"][0]
    mixed = scene(loaded(dataset, name, spec.stft.rate, spec.mixing), spec.mixing)
    separator = execute.restore(spec, run.weights)
    separator = separator.of(name) if isinstance(separator, Rounds) else separator
    network: Any = getattr(separator, "network", None)
    if not hasattr(network, "stages"):
        raise UnmixError(f"{run.key[:12]}: its separator has no stages to look at")
    spectrum = spec.stft.forward(torch.from_numpy(mixed.mixture))[0].abs().T
    spectrum = spectrum / spectrum.square().mean().sqrt()
    size = min(spec.separator.frames, len(spectrum))
    power = np.convolve(spectrum.square().sum(1).numpy(), np.ones(size), "valid")
    first = int(power.argmax())
    with torch.no_grad():
        found = network.stages(spectrum[None, first : first + size])
    return {
        "clip": name,
        "second": first * spec.stft.hop / spec.stft.rate,
        "sources": spec.mixing.sources,
        "heard": spectrum[first : first + size].numpy(),
        **{stage: values[0].numpy() for stage, values in found.items()},
    }


def drawn(found: dict[str, Any]) -> Figure:
    """Return pictures of what `held` found, frames from left to right.

    Above, what all sources share: the patch, the features after the convolutions, and the states of
    the first LSTM. Below, a column for each source: what its perceptron makes of the states, and
    its output.
    """
    style()
    sources = found["sources"]
    figure = plt.figure(figsize=(9, 8), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1, 2))
    above, below = parts
    shared = [
        ("the patch, in dB", _decibel(found["heard"])),
        ("after the convolutions", found["reduced"]),
        ("first LSTM", found["fused"]),
    ]
    for axis, (title, values) in zip(above.subplots(1, 3), shared, strict=True):
        _picture(axis, values, title)
    axes = below.subplots(2, len(sources))
    for column, source in enumerate(sources):
        _picture(axes[0][column], found["decoupled"][column], f"decoupled: {source}")
        _picture(axes[1][column], _decibel(found["restored"][column]), f"restored: {source}, in dB")
        axes[1][column].set_xlabel("frame")
    figure.suptitle(f"{found['clip']}, from {found['second']:.1f} s on", fontsize="medium")
    return figure


def _decibel(values: np.ndarray) -> np.ndarray:
    """Return magnitudes in dB below their largest, down to −60."""
    magnitudes = np.abs(values)
    floor = 1e-3 * max(float(magnitudes.max()), 1e-12)
    return 20.0 * np.log10(np.maximum(magnitudes, floor) / (1e3 * floor))


def _picture(axis: Axes, values: np.ndarray, title: str) -> None:
    """Draw `(frames, features)`, low features at the bottom."""
    axis.imshow(values.T, origin="lower", aspect="auto", cmap="viridis", interpolation="nearest")
    axis.set_title(title, fontsize="small")
    axis.set_ylabel("bin or feature", fontsize="small")
    axis.grid(False)
