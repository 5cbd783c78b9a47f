"""Training examples: spectra of both sources, cut into chunks, mixed and re-mixed on the fly.

The transform is linear, so the spectrum of any voice over any accompaniment is the sum of two
stored spectra. Nothing is transformed twice, and augmentation costs no more than a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unmix.audio import LEVEL
from unmix.datasets.track import Scene
from unmix.errors import DatasetError
from unmix.stft import STFT

Example = tuple[Tensor, Tensor, Tensor]
"""Magnitudes of mixture, voice and accompaniment, each `(batch, frames, bins)`."""

KEEP = 1.0 / 11.0
"""Share of chunks that augmentation leaves as they are: the original is one of eleven pairings
(the paper combines each chunk with ten other accompaniments)."""


@dataclass(frozen=True)
class SpectrumBank:
    """The spectra of all clips of one part, one after the other.

    Attributes:
        voice, other: float32 `(2, frames, bins)`, real and imaginary part, at the level at which
            they are mixed. Torch is ten times faster at two planes than at complex numbers.
        starts, lengths: first frame and number of frames of each clip.
        songs: number of the song that each clip belongs to.
    """

    voice: Tensor
    other: Tensor
    starts: np.ndarray
    lengths: np.ndarray
    songs: np.ndarray

    @classmethod
    def of(
        cls,
        scenes: Iterable[Scene],
        stft: STFT,
        chunk_frames: int,
        device: str,
        by_peak: bool = False,
    ) -> SpectrumBank:
        """Transform `scenes`; a clip shorter than a chunk is followed by silence up to it.

        With `by_peak` each clip is divided by the largest magnitude of its mixture.
        """
        voices, others, lengths, songs = [], [], [], []
        for scene in scenes:
            pair = torch.from_numpy(np.concatenate(list(scene.references.values())))
            spectrum = stft.forward(pair).transpose(1, 2)
            if by_peak:
                spectrum = spectrum / (spectrum[0] + spectrum[1]).abs().max()
            short = chunk_frames - spectrum.shape[1]
            if short > 0:
                spectrum = torch.nn.functional.pad(spectrum, (0, 0, 0, short))
            voices.append(torch.stack([spectrum[0].real, spectrum[0].imag]))
            others.append(torch.stack([spectrum[1].real, spectrum[1].imag]))
            lengths.append(spectrum.shape[1])
            songs.append(scene.clip.song)
        if not voices:
            raise DatasetError("a part without clips", expected="at least one clip to train with")
        ends = np.cumsum(lengths)
        return cls(
            torch.cat(voices, dim=1).to(device),
            torch.cat(others, dim=1).to(device),
            ends - np.array(lengths),
            np.array(lengths),
            np.unique(songs, return_inverse=True)[1],
        )

    def chunks(self, frames: int) -> np.ndarray:
        """Return `(clip, offset)` of the chunks that cover every clip, evenly spaced: `(n, 2)`."""
        return covering(self.lengths, frames)

    def batch(
        self, voices: np.ndarray, others: np.ndarray, frames: int, gains: np.ndarray | None = None
    ) -> Example:
        """Return the magnitudes of chunks; `voices[i]` and `others[i]` are `(clip, offset)`.

        `gains`, `(2, batch)`, are those of voices and others.
        """
        voice = self._cut(self.voice, voices, frames)
        other = self._cut(self.other, others, frames)
        if gains is not None:
            voice, other = (
                planes * torch.from_numpy(gain).to(planes)[:, None, None]
                for planes, gain in zip((voice, other), gains, strict=True)
            )
        return magnitude(voice + other), magnitude(voice), magnitude(other)

    def _cut(self, spectra: Tensor, chunks: np.ndarray, frames: int) -> Tensor:
        first = self.starts[chunks[:, 0]] + chunks[:, 1]
        return torch.stack([spectra[:, start : start + frames] for start in first.tolist()], dim=1)


@dataclass(frozen=True)
class WaveBank:
    """The sound of all clips of one part, one after the other; for networks that hear samples.

    Attributes:
        voice, other: float32 `(samples,)`.
        starts, lengths: first sample and number of samples of each clip.
        songs: number of the song that each clip belongs to.
    """

    voice: Tensor
    other: Tensor
    starts: np.ndarray
    lengths: np.ndarray
    songs: np.ndarray

    @classmethod
    def of(cls, scenes: Iterable[Scene], chunk: int, level: float, device: str) -> WaveBank:
        """Take the sound of `scenes`, with sources that stand at `LEVEL` brought to `level`.

        A clip shorter than a chunk is followed by silence up to it.
        """
        pairs, songs = [], []
        for scene in scenes:
            pair = np.concatenate(list(scene.references.values())) * np.float32(level / LEVEL)
            pairs.append(np.pad(pair, ((0, 0), (0, max(0, chunk - pair.shape[1])))))
            songs.append(scene.clip.song)
        if not pairs:
            raise DatasetError("a part without clips", expected="at least one clip to train with")
        lengths = np.array([pair.shape[1] for pair in pairs])
        voice, other = torch.from_numpy(np.concatenate(pairs, axis=1)).to(device)
        starts = np.cumsum(lengths) - lengths
        return cls(voice, other, starts, lengths, np.unique(songs, return_inverse=True)[1])

    def chunks(self, samples: int) -> np.ndarray:
        """Return `(clip, offset)` of the chunks that cover every clip, evenly spaced: `(n, 2)`."""
        return covering(self.lengths, samples)

    def batch(
        self, voices: np.ndarray, others: np.ndarray, samples: int, gains: np.ndarray | None = None
    ) -> Example:
        """Return the sound of chunks, `(batch, samples)`; for the rest see `SpectrumBank.batch`."""
        voice = self._cut(self.voice, voices, samples)
        other = self._cut(self.other, others, samples)
        if gains is not None:
            voice, other = (
                sound * torch.from_numpy(gain).to(sound)[:, None]
                for sound, gain in zip((voice, other), gains, strict=True)
            )
        return voice + other, voice, other

    def _cut(self, sound: Tensor, chunks: np.ndarray, samples: int) -> Tensor:
        first = self.starts[chunks[:, 0]] + chunks[:, 1]
        return torch.stack([sound[start : start + samples] for start in first.tolist()])


Bank = SpectrumBank | WaveBank


def covering(lengths: np.ndarray, size: int) -> np.ndarray:
    """Return `(clip, offset)` of chunks of one size that cover every clip, evenly spaced."""
    rows = []
    for clip, length in enumerate(lengths):
        count = -(-int(length) // size)
        offsets = np.linspace(0, length - size, count).round().astype(int)
        rows += [(clip, offset) for offset in offsets]
    return np.array(rows)


def magnitude(planes: Tensor) -> Tensor:
    """Return the magnitude of `(2, ...)` real and imaginary parts.

    Sound stays far from the range where a root of squares would overflow.
    """
    return planes[0].square().addcmul_(planes[1], planes[1]).sqrt_()


def repaired(bank: Bank, chunks: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return for each voice chunk an accompaniment chunk of another song of the same bank.

    A share `KEEP` stays with its own accompaniment, and so does a chunk if there is one song only.
    """
    others = chunks.copy()
    for row, (clip, _) in enumerate(chunks):
        candidates = np.flatnonzero(bank.songs != bank.songs[clip])
        if rng.random() < KEEP or not len(candidates):
            continue
        other = rng.choice(candidates)
        others[row] = other, rng.integers(bank.lengths[other] - frames + 1)
    return others


def epoch(
    bank: Bank,
    frames: int,
    batch: int,
    *,
    augment: bool,
    seed: int,
    number: int,
    gains: tuple[float, float] = (1.0, 1.0),
) -> Iterator[Example]:
    """Yield the examples of one training epoch, in an order drawn from `(seed, number)` alone.

    So an interrupted training goes on with the very batches that it would have seen. `gains` is
    the range from which each source's gain is drawn.
    """
    rng = np.random.default_rng([seed, number])
    chunks = bank.chunks(frames)
    others = repaired(bank, chunks, frames, rng) if augment else chunks
    order = rng.permutation(len(chunks))
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        drawn = None if gains == (1.0, 1.0) else rng.uniform(*gains, (2, len(rows)))
        yield bank.batch(chunks[rows], others[rows], frames, drawn)


def in_order(bank: Bank, frames: int, batch: int) -> Iterator[Example]:
    """Yield every chunk once, as recorded: the validation examples."""
    chunks = bank.chunks(frames)
    for first in range(0, len(chunks), batch):
        rows = chunks[first : first + batch]
        yield bank.batch(rows, rows, frames)
