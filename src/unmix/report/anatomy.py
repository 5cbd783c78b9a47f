"""What the scores mean: one estimate taken apart, drawn, heard, and scored in every way."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure

from unmix.audio import mix
from unmix.datasets.catalogue import available, open_dataset
from unmix.metrics.bsseval import bss_eval
from unmix.metrics.decomposition import parts_of
from unmix.models.oracle import Oracle
from unmix.papers.evidence import MATERIAL
from unmix.report import figures, player, tables
from unmix.stft import STFT

RATE = 8000
NAMES = ("voice", "accompaniment")
REAL, STAND_IN = "davidson_3_11", "test01_1_1"
"""The clips that are taken apart: of MIR-1K where it is, else of its stand-in."""

LONG, SHORT = 0.1, 0.01
"""Decay of a room that the distortion filters cannot follow, and of one that they can, in s."""

PARTS = ("estimate", "target", "interference", "artefacts")
TAPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Specimen:
    """A clip in stereo, and an estimate of its sources by an ideal binary mask.

    Attributes:
        clip: which one, in words.
        references: `(sources, channels, samples)`, in the order of `NAMES`.
        estimates: the same shape.
    """

    clip: str
    references: torch.Tensor
    estimates: torch.Tensor

    @property
    def mixture(self) -> torch.Tensor:
        """The sum of the references, `(channels, samples)`."""
        return self.references.sum(0)


def specimen(data_root: str | os.PathLike | None = None, decay: float = LONG) -> Specimen:
    """Return the clip that this chapter takes apart, and its estimate.

    The sources are mono; each is put into a room, at a place of its own, so that there is an image
    to be distorted. The estimate is what an ideal binary mask with short windows leaves of it.

    Args:
        data_root: folder with datasets.
        decay: of the room, in seconds down to 1/e.
    """
    real = available("mir1k", data_root)
    name, clip, counts = ("mir1k", REAL, None) if real else ("synthetic-voice", STAND_IN, (1, 1, 1))
    dataset = open_dataset(name, data_root, counts)
    track = dataset.load(clip, RATE)
    _, *sources = mix(track.sources["voice"], track.sources["accompaniment"], 0.0)
    references = {
        name: _in_a_room(sound[0], decay, place)
        for name, sound, place in zip(NAMES, sources, (0, 3), strict=True)
    }
    mixture = references["voice"] + references["accompaniment"]
    separator = Oracle("ibm").fit([], STFT(rate=RATE, window=256, hop=64), 0)
    found = separator.separate(mixture, references)
    return Specimen(
        f"{track.clip.name}, {MATERIAL[dataset.fidelity]}, put into a room",
        *(
            torch.from_numpy(np.stack([sounds[name] for name in NAMES])).double()
            for sounds in (references, found)
        ),
    )


def _in_a_room(sound: np.ndarray, decay: float, place: int) -> np.ndarray:
    """Return a mono sound in stereo, later by `place` samples on the left, with a room's echoes."""
    from scipy.signal import fftconvolve

    samples = decay * RATE
    rng = np.random.default_rng(place)
    response = 0.05 * rng.standard_normal((2, round(5 * samples)))
    response *= np.exp(-np.arange(response.shape[1]) / samples)
    response[0, place] += 1 / (1 + 0.2 * place)
    response[1, 0] += 1.0
    return fftconvolve(sound[None], response, axes=1)[:, : len(sound)].astype(np.float32)


def draw_parts(taken: Specimen) -> Figure:
    """Return spectrograms of the voice's estimate and of its three parts, left channel."""
    figures.style()
    sounds = _voice(taken)
    stft = STFT(rate=RATE, window=1024, hop=256)
    spectra = [figures.spectrum_of(sound[:1].astype(np.float32), stft) for sound in sounds.values()]
    top = max(float(np.abs(spectrum).max()) for spectrum in spectra)
    figure, axes = plt.subplots(
        2, 2, figsize=(9, 5.4), sharex=True, sharey=True, layout="constrained"
    )
    seconds = taken.references.shape[-1] / RATE
    for axis, name, spectrum in zip(axes.flat, sounds, spectra, strict=True):
        image = figures.levels(axis, np.abs(spectrum) / top, seconds, RATE)
        axis.set_title(name, fontsize="medium")
    figures.explain_levels(figure, axes, image)
    figure.suptitle(f"The voice of {taken.clip}", fontsize="medium")
    return figure


def _voice(taken: Specimen) -> dict[str, np.ndarray]:
    """Return the voice's estimate and its parts, cut to the length of the clip."""
    parts = parts_of(taken.references, taken.estimates)
    sounds = (taken.estimates, parts.target, parts.interference, parts.artefacts)
    length = taken.references.shape[-1]
    return {name: sound[0, :, :length].numpy() for name, sound in zip(PARTS, sounds, strict=True)}


def listen_to_parts(taken: Specimen) -> tables.Shown:
    """Return players of the mixture, the true voice, its estimate and its parts, equally scaled."""
    sounds = {
        "mixture": taken.mixture.numpy(),
        "true voice": taken.references[0].numpy(),
        **_voice(taken),
    }
    mono = {name: {name: sound.mean(0, keepdims=True)} for name, sound in sounds.items()}
    return player.panel("scores-parts", mono, RATE, f"The voice of {taken.clip}; mono, one scale")


def from_parts(taken: Specimen) -> pd.DataFrame:
    """Return the voice's scores computed from its parts' energies beside `bss_eval`'s, in dB."""
    parts = parts_of(taken.references, taken.estimates)
    rest = parts.interference + parts.artefacts
    true = taken.references
    ratios = {
        ("SDR", "sdr-v3"): (parts.target, rest),
        ("SIR", "sdr-v3"): (parts.target, parts.interference),
        ("SAR", "sdr-v3"): (parts.target + parts.interference, parts.artefacts),
        ("SDR", "images-v3"): (true, parts.spatial + rest),
        ("ISR", "images-v3"): (true, parts.spatial),
    }
    lines = []
    for (name, metric), (over, under) in ratios.items():
        energy = [sound[0].square().sum() for sound in (over, under)]
        scored = bss_eval(taken.references, taken.estimates[None], metric).named()[name]
        lines.append(
            {
                "score": name,
                "metric": metric,
                "from the parts": float(10 * torch.log10(energy[0] / energy[1])),
                "bss_eval": float(scored[0, 0, 0]),
            }
        )
    return pd.DataFrame(lines)


def versions(taken: Specimen) -> pd.DataFrame:
    """Return the voice's scores on the same estimate, by every version and aggregation, in dB."""
    second = RATE
    ways = [
        ("2: gain only (1 tap)", "sdr-v3", 1, None, None),
        ("3, sources", "sdr-v3", 512, None, None),
        ("3, images", "images-v3", 512, None, None),
        ("3, images, frames of 2 s every 1 s", "images-v3", 512, 2 * second, second),
        ("4, frames of 1 s", "v4", 512, second, second),
    ]
    lines = []
    for version, metric, taps, window, hop in ways:
        found = bss_eval(
            taken.references, taken.estimates[None], metric, taps=taps, window=window, hop=hop
        ).named()
        for how in ("mean", "median") if window else ("whole",):
            reduce = np.nanmedian if how == "median" else np.nanmean
            scores = {name: _over(values[0, 0], reduce) for name, values in found.items()}
            lines.append({"version": version, "taps": taps, "over": how, **scores})
    return pd.DataFrame(lines)


def apart(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each score how far the lines of `versions` are apart, in dB."""
    scores = table[["SDR", "ISR", "SIR", "SAR"]]
    spread = scores.max() - scores.min()
    return pd.DataFrame({"score": spread.index, "dB": spread.to_numpy()})


def _over(frames: torch.Tensor, reduce: Callable[[np.ndarray], float]) -> float:
    """Reduce the frames that have a score; nan if none has."""
    return float(reduce(frames.numpy())) if not bool(frames.isnan().all()) else float("nan")


def shown(table: pd.DataFrame, caption: str) -> tables.Shown:
    """Return a table of scores as HTML, its first column as heads of the rows."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.columns)
    body = []
    for first, *others in table.itertuples(index=False):
        cells = [tables.number(x) if isinstance(x, float) else html.escape(str(x)) for x in others]
        cells = [
            f'<th scope="row">{html.escape(str(first))}</th>',
            *(f"<td>{x}</td>" for x in cells),
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    markup = tables.scrolling(f"<tr>{head}</tr>", "".join(body), caption)
    return tables.Shown(markup, table.to_string(index=False))


def draw_taps(taken: Specimen, taps: Sequence[int] = TAPS) -> Figure:
    """Return the voice's scores over the length of the distortion filters."""
    figures.style()
    found = [
        bss_eval(taken.references, taken.estimates[None], "sdr-v3", taps=count).named()
        for count in taps
    ]
    figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for name, style in (("SDR", "o-"), ("SIR", "s--"), ("SAR", "^:")):
        axis.plot(taps, [float(each[name][0, 0, 0]) for each in found], style, label=name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(taps, [str(count) for count in taps])
    axis.set_xlabel(f"taps of the distortion filters (512 are {512 / RATE * 1000:.0f} ms here)")
    axis.set_ylabel("score of the voice (dB)")
    axis.set_title("BSS Eval 3, sources", fontsize="medium")
    axis.legend()
    return figure


def identity(sir: np.ndarray, sar: np.ndarray) -> np.ndarray:
    """Return the SDR in dB that a source has with this SIR and SAR (version 3, sources).

    Target, interference and artefacts are orthogonal, so with ratios of energies instead of dB
    1 / SDR = 1 / SIR + (1 + 1 / SIR) / SAR.
    """
    i, a = 10 ** (-np.asarray(sir) / 10), 10 ** (-np.asarray(sar) / 10)
    return -10 * np.log10(i + (1 + i) * a)


def draw_identity(taken: Specimen) -> Figure:
    """Return the SDR over SIR and SAR as contour lines, with both sources of the specimen."""
    figures.style()
    grid = np.linspace(0, 30, 121)
    sir, sar = np.meshgrid(grid, grid)
    figure, axis = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
    lines = axis.contour(sir, sar, identity(sir, sar), levels=range(-2, 29, 3), cmap="cividis")
    axis.clabel(lines, fmt=lambda level: f"{tables.number(level)[:-3]} dB", fontsize="small")
    found = bss_eval(taken.references, taken.estimates[None], "sdr-v3").named()
    colours = sns.color_palette(figures.PALETTE)
    for number, name in enumerate(NAMES):
        at = [float(found[score][0, number, 0]) for score in ("SIR", "SAR", "SDR")]
        axis.plot(*at[:2], "o", color=colours[number + 1], label=f"{name}: SDR {at[2]:.1f} dB")
    axis.set_xlabel("SIR (dB)")
    axis.set_ylabel("SAR (dB)")
    axis.legend(loc="lower right")
    return figure
