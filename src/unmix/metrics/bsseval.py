"""BSS Eval, versions 2 to 4: SDR, ISR, SIR and SAR of estimates of known sources.

| metric | version | scored |
| --- | --- | --- |
| `sdr-v3` | 3, sources: SDR, SIR, SAR; filtering the source is no error | the whole, or frames |
| `images-v3` | 3, images: ISR too; filtering the source is an error | the whole, or frames |
| `v4` | 4, as museval: images; filters of the whole song | frames, of 1 s by default |

With 512 taps the filters forgive (or measure) what a room does; with 1 tap nothing but the gain,
which makes `sdr-v3` version 2's gain-only decomposition. Version 3 in frames of 30 s every 15 s is
what SiSEC 2015 used. Everything is computed in float64 on the device of the sounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unmix.errors import UnmixError, one_of
from unmix.metrics.correlations import lags_of_frames, lags_of_spans
from unmix.metrics.decomposition import Correlations, Energies, Projector, energies_of
from unmix.metrics.means import CEILING

METRICS = ("sdr-v3", "images-v3", "v4")
NAMES = ("SDR", "ISR", "SIR", "SAR")


def names_of(metric: str) -> tuple[str, ...]:
    """Return the scores that a metric has: sources have no ISR."""
    return tuple(name for name in NAMES if not (name == "ISR" and metric == "sdr-v3"))


V4_WINDOW = 44100
"""Samples of a frame of `v4` where nothing else is asked for: a second of music."""

LARGEST = 1 << 35
"""Bytes that one factor may take: more is a mistake in the settings."""

MEMORY = 1 << 27
"""Bytes that the factors, and the lags of the systems in work, may take, each, about."""


@dataclass(frozen=True)
class Scores:
    """Scores in dB, each of shape `(systems, sources, frames)`; a leading axis of clips if given.

    Attributes:
        sdr: source to distortion ratio.
        isr: image to spatial distortion ratio; nan in `sdr-v3`.
        sir: source to interference ratio.
        sar: source to artefacts ratio.
        permutation: number of the estimate that was scored for each source, same shape.
    """

    sdr: Tensor
    isr: Tensor
    sir: Tensor
    sar: Tensor
    permutation: Tensor

    def named(self) -> dict[str, Tensor]:
        """Return the scores under their names in `NAMES`."""
        return dict(zip(NAMES, (self.sdr, self.isr, self.sir, self.sar), strict=True))


def bss_eval(
    references: Tensor,
    estimates: Tensor,
    metric: str = "sdr-v3",
    *,
    taps: int = 512,
    window: int | None = None,
    hop: int | None = None,
    permute: bool = False,
    silence: str | None = None,
) -> Scores:
    """Score estimates; see `References` for the arguments and `References.score`."""
    known = References(references, metric, taps=taps, window=window, hop=hop, silence=silence)
    return known.score(estimates, permute=permute)


class References:
    """True sources: correlated and factorised once, for the estimates of any number of systems."""

    def __init__(
        self,
        sources: Tensor,
        metric: str = "sdr-v3",
        *,
        taps: int = 512,
        window: int | None = None,
        hop: int | None = None,
        silence: str | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Prepare references.

        Args:
            sources: `(sources, channels, samples)`, or `(clips, sources, channels, samples)`: clips
                that are scored as wholes; shorter ones end in zeros, which changes no score.
            metric: one of `METRICS`.
            taps: length of the distortion filters.
            window: length of a frame in samples; None: the whole, for `v4` `V4_WINDOW`.
                A window longer than the sound is the whole. A last frame that is not complete is
                left out.
            hop: samples from frame to frame; None: the window.
            silence: what a silent reference or estimate voids: `source`, what is undefined for that
                source alone; `frame`, all scores of the frame, as in museval and SiSEC. None:
                `frame` for frames, `source` for wholes.
            dtype: of the spectra. float32 is for comparison only: measured on real music it is up
                to 0.01 dB off in version 3 and 5 dB in version 4, and no faster.

        Raises:
            UnmixError: a setting or shape makes no sense, or samples are not finite.
        """
        sources = torch.as_tensor(sources)
        _check_settings(sources, metric, taps, window, hop, silence)
        _check_finite(sources)
        self.metric, self.taps, self.dtype = metric, taps, dtype
        self.shape, self.channels = tuple(sources.shape), sources.shape[-2]
        self.clips = sources.ndim == 4
        if metric == "v4" and window is None:
            window = V4_WINDOW
        self.window = window and min(window, sources.shape[-1])
        self.hop = hop or self.window
        self.silence = silence or ("source" if window is None else "frame")
        self._sounds = self._rows(sources)
        self._lags, whole = self._correlate(self._sounds)
        self._shared = Projector(whole, self.channels) if metric == "v4" else None
        self._own: Projector | None = None
        size = len(self._sounds) * taps
        self._step = max(1, MEMORY // (8 * size**2))

    def score(self, estimates: Tensor, *, permute: bool = False) -> Scores:
        """Score the estimates of one or more systems.

        Args:
            estimates: `(systems, sources, channels, samples)`, or with leading clips as the
                references; estimate j belongs to source j.
            permute: whether to find, for each system, the order of the estimates with the best
                mean SIR: for version 3 in each frame, for version 4 over all frames.

        Returns:
            scores; what is undefined is nan. A silent reference has no scores, a silent estimate
            none but an SDR of images (0 dB), and where no other reference sounds there is no SIR.

        Raises:
            UnmixError: the shape does not belong to the references, or samples are not finite.
        """
        estimates = torch.as_tensor(estimates)
        axis = 1 if self.clips else 0
        if (
            estimates.ndim != len(self.shape) + 1
            or estimates.shape[axis] < 1
            or (*estimates.shape[:axis], *estimates.shape[axis + 1 :]) != self.shape
        ):
            raise UnmixError(
                f"estimates of shape {tuple(estimates.shape)} for references of shape {self.shape}",
                expected="the references' shape with an axis of systems before that of the sources",
            )
        _check_finite(estimates)
        each = len(self._lags) * len(self._sounds) ** 2 * self.taps * 8
        parts = [
            self._score(some, permute) for some in estimates.split(max(1, MEMORY // each), dim=axis)
        ]
        values, order = (torch.cat(each, dim=-2) for each in zip(*parts, strict=True))
        # Frames last; clips, whose number of frames is one, first.
        values, order = (
            each.unsqueeze(-1) if self.clips else each.movedim(-3, -1) for each in (values, order)
        )
        sdr, isr, sir, sar = values
        return Scores(sdr, isr, sir, sar, order)

    def _score(self, estimates: Tensor, permute: bool) -> tuple[Tensor, Tensor]:
        """Return the scores `(4, frames, systems, sources)` and the order of the estimates."""
        sources = self.shape[-3]
        frames, whole = self._compare(estimates)
        if not permute:
            values = self._values(frames, whole)
            return values, torch.arange(sources).expand(values.shape[1:])
        shifted = [
            self._values(_rolled(frames, -shift), whole and _rolled(whole, -shift))
            for shift in range(sources)
        ]
        # pairs[..., j, k]: estimate k scored against source j.
        pairs = torch.stack(
            [
                torch.stack([shifted[(k - j) % sources][..., j] for k in range(sources)], dim=-1)
                for j in range(sources)
            ],
            dim=-2,
        )
        order = best_order(pairs[2], together=self._shared is not None)
        found = pairs.gather(-1, order[None, ..., None].expand(4, *order.shape, 1))
        return found[..., 0], order.cpu()

    def _compare(self, estimates: Tensor) -> tuple[Correlations, Correlations | None]:
        """Correlate estimates with the references, in frames and, for version 4, as a whole."""
        systems = estimates.shape[1 if self.clips else 0]
        rows = self._rows(estimates)
        frames, whole = self._correlate(rows)
        shape = (systems, self.shape[-3], self.channels)
        energies = self._energies(rows).unflatten(1, shape).sum(-1)
        known = Correlations(self._lags, frames.unflatten(2, shape), energies)
        if self._shared is None:
            return known, None
        total = _energy(rows)[None].unflatten(1, shape).sum(-1)
        return known, Correlations(self._shared.lags, whole.unflatten(2, shape), total)

    def _values(self, frames: Correlations, whole: Correlations | None) -> Tensor:
        """Return SDR, ISR, SIR and SAR, `(4, frames, systems, sources)`."""
        if self._shared is not None and whole is not None:
            filters = self._shared.filters(whole.estimates)
            return self._ratios(energies_of(frames, filters))
        parts = []
        for at in range(0, len(self._lags), self._step):
            some = Correlations(*(each[at : at + self._step] for each in frames))
            # Where all frames' factors fit, they are kept for the next estimates.
            if self._own is None or len(self._lags) > self._step:
                self._own = Projector(some.references, self.channels, spare=self._own)
            filters = self._own.filters(some.estimates)
            parts.append(self._ratios(energies_of(some, filters)))
        return torch.cat(parts, dim=1)

    def _ratios(self, found: Energies) -> Tensor:
        """Divide energies into scores, and void what silence leaves undefined."""
        if self.metric == "sdr-v3":
            sdr = _decibel(found.target, found.rest)
            isr = torch.full_like(sdr, torch.nan)
        else:
            sdr = _decibel(found.source, found.error)
            isr = _decibel(found.source, found.spatial)
        sir = _decibel(found.target, found.interference)
        sar = _decibel(found.projection, found.artefacts)
        silent, mute = found.source == 0, found.estimate == 0
        alone = (~silent).sum(-1, keepdim=True) - (~silent).to(torch.int64) == 0
        values = torch.stack([sdr, isr, sir, sar])
        values[2].masked_fill_(alone, torch.nan)
        values[2:].masked_fill_(mute, torch.nan)
        void = silent
        if self.silence == "frame":
            void = (silent | mute).any(-1, keepdim=True)
        return values.masked_fill(void, torch.nan)

    def _rows(self, sounds: Tensor) -> Tensor:
        """Return sounds as rows: (channels of all sources, clips if there are several, samples)."""
        if self.clips:
            return sounds.flatten(1, -2).transpose(0, 1)
        return sounds.flatten(0, -2)

    def _correlate(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lags of the references with other rows, in frames and as a whole."""
        if self.window is not None and self.hop is not None:
            return lags_of_frames(self._sounds, rows, self.window, self.hop, self.taps, self.dtype)
        lags = lags_of_spans(_spans(self._sounds), _spans(rows), self.taps, self.dtype)
        return lags, lags

    def _energies(self, rows: Tensor) -> Tensor:
        """Return the energies of rows in frames, `(frames, rows)`: 0 for silence, and only then."""
        if self.window is None or self.hop is None:
            spans = _spans(rows)
        else:
            spans = rows.unfold(-1, self.window, self.hop)
        return torch.stack([_energy(spans[:, frame]) for frame in range(spans.shape[1])])


def best_order(sir: Tensor, *, together: bool) -> Tensor:
    """Return for each source the estimate of the order with the best mean SIR.

    Args:
        sir: `(frames, systems, sources, estimates)` in dB; nan counts as 0 dB.
        together: whether one order must serve all frames.

    Returns:
        numbers of estimates, `(frames, systems, sources)`.
    """
    from scipy.optimize import linear_sum_assignment

    if together:
        sir = sir.nanmean(0, keepdim=True).expand(len(sir), -1, -1, -1)
    pairs = np.nan_to_num(sir.cpu().numpy())
    order = [
        [linear_sum_assignment(of_system, maximize=True)[1] for of_system in of_frame]
        for of_frame in pairs
    ]
    return torch.from_numpy(np.array(order)).to(sir.device)


def _rolled(known: Correlations, shift: int) -> Correlations:
    """Return what is known with the estimates of each system rolled along the sources."""
    return Correlations(
        known.references, known.estimates.roll(shift, 3), known.energies.roll(shift, 2)
    )


def _spans(rows: Tensor) -> Tensor:
    return rows if rows.ndim == 3 else rows[:, None]


def _energy(rows: Tensor) -> Tensor:
    """Return the energies of rows `(rows, samples)` in float64, a piece at a time."""
    pieces = ((piece.double().square().sum() for piece in row.split(1 << 16)) for row in rows)
    return torch.stack([torch.stack(list(of_row)).sum() for of_row in pieces])


def _decibel(over: Tensor, under: Tensor) -> Tensor:
    """Return ratios of energies in dB within the ceiling; nothing over nothing is nan."""
    # Differences of energies can fall below zero by rounding.
    ratio = over.clamp(min=0.0) / under.clamp(min=0.0)
    return (10.0 * torch.log10(ratio)).clamp(-CEILING, CEILING)


def _check_settings(
    sources: Tensor,
    metric: str,
    taps: int,
    window: int | None,
    hop: int | None,
    silence: str | None,
) -> None:
    if metric not in METRICS:
        raise UnmixError(one_of("metric", metric, METRICS), expected=", ".join(METRICS))
    if silence not in (None, "source", "frame"):
        raise UnmixError(
            one_of("rule of silence", silence, ("source", "frame")), expected="source, frame"
        )
    if sources.ndim not in (3, 4) or 0 in sources.shape:
        raise UnmixError(
            f"references of shape {tuple(sources.shape)}",
            expected="(sources, channels, samples), or (clips, sources, channels, samples)",
        )
    channels, samples = sources.shape[-2:]
    if channels > max(samples, 16):
        raise UnmixError(
            f"{channels} channels of {samples} samples",
            expected="(sources, channels, samples)",
            do="turn the arrays round: samples last (soundfile and museval have channels last)",
        )
    size = sources.shape[-3] * channels * taps
    if 8 * size**2 > LARGEST:
        raise UnmixError(
            f"{taps} taps for {size // taps} references take {8 * size**2 / 1e9:.0f} GB",
            expected=f"at most {LARGEST / 1e9:.0f} GB",
            do="take shorter filters, e.g. --taps 512",
        )
    for what, value in (("taps", taps), ("window", window), ("hop", hop)):
        if value is not None and value < 1:
            raise UnmixError(f"{what} of {value} samples", expected="at least 1")
    if hop is not None and window is None and metric != "v4":
        raise UnmixError(f"a hop of {hop} samples without a window", expected="a window too")
    if sources.ndim == 4 and (window is not None or metric == "v4"):
        raise UnmixError(
            "several clips at once, in frames",
            expected="whole clips, sdr-v3 or images-v3",
            do="score the clips one by one",
        )


def _check_finite(sounds: Tensor) -> None:
    # Where a sum is finite, all samples are; it is the cheaper question.
    if not bool(sounds.sum(-1).isfinite().all()) and not bool(sounds.isfinite().all()):
        raise UnmixError("sound to be scored holds NaN or infinity", expected="finite samples")
