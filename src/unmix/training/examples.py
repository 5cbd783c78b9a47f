"""Training examples: spectra of both sources, cut into chunks, mixed and re-mixed on the fly.

The transform is linear, so the spectrum of any voice over any accompaniment is the sum of two
stored spectra. Nothing is transformed twice, and augmentation costs no more than a look-up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from unmix.audio import LEVEL
from unmix.datasets.track import Scene
from unmix.errors import DatasetError
from unmix.stft import STFT

Example = tuple[Tensor, Tensor, Tensor]
"""Mixture, target and accompaniment of chunks, each of one shape that begins with the batch."""

KEEP = 1.0 / 11.0
"""Share of chunks that augmentation leaves as they are: the original is one of eleven pairings
(the paper combines each chunk with ten other accompaniments)."""


@dataclass(frozen=True)
class Bank(ABC):
    """The material of all clips of one part, one after the other.

    Attributes:
        voice, other: the target's and the accompaniment's; the subclass says in which form.
        starts, lengths: first and number of frames (or samples) of each clip.
        songs: number of the song that each clip belongs to.
    """

    voice: Tensor
    other: Tensor
    starts: np.ndarray
    lengths: np.ndarray
    songs: np.ndarray

    axes: ClassVar[int]
    """Axes of a chunk that come after the batch's."""

    def chunks(self, size: int) -> np.ndarray:
        """Return `(clip, offset)` of the chunks that cover every clip, evenly spaced: `(n, 2)`."""
        return covering(self.lengths, size)

    def batch(
        self, voices: np.ndarray, others: np.ndarray, size: int, gains: np.ndarray | None = None
    ) -> Example:
        """Return the example of chunks; `voices[i]` and `others[i]` are `(clip, offset)`.

        `gains`, `(2, batch)`, are those of voices and others.
        """
        pair = [self._chosen(self.voice, voices, size), self._chosen(self.other, others, size)]
        if gains is not None:
            pair = [
                sound * torch.from_numpy(gain).to(sound).view(-1, *[1] * self.axes)
                for sound, gain in zip(pair, gains, strict=True)
            ]
        return self._example(*pair)

    def _chosen(self, sound: Tensor, chunks: np.ndarray, size: int) -> Tensor:
        first = self.starts[chunks[:, 0]] + chunks[:, 1]
        return self._cut(sound, first.tolist(), size)

    @abstractmethod
    def _cut(self, sound: Tensor, first: list[int], size: int) -> Tensor:
        """Return the chunks of one size that begin at `first`."""

    @abstractmethod
    def _example(self, voice: Tensor, other: Tensor) -> Example:
        """Return the example of chunks of both."""


def _places(lengths: list[int], songs: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts, lengths and songs of a bank's clips.

    Raises:
        DatasetError: there is no clip.
    """
    if not lengths:
        raise DatasetError("a part without clips", expected="at least one clip to train with")
    sizes = np.array(lengths)
    return np.cumsum(sizes) - sizes, sizes, np.unique(songs, return_inverse=True)[1]


@dataclass(frozen=True)
class SpectrumBank(Bank):
    """Spectra: float32 `(2, frames, bins)`, real and imaginary part, at the level of the mixture.

    Torch is ten times faster at two planes than at complex numbers. An example's arrays are
    magnitudes `(batch, frames, bins)`.
    """

    axes: ClassVar[int] = 2

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
        places = _places(lengths, songs)
        return cls(
            torch.cat(voices, dim=1).to(device), torch.cat(others, dim=1).to(device), *places
        )

    def _cut(self, sound: Tensor, first: list[int], size: int) -> Tensor:
        return torch.stack([sound[:, start : start + size] for start in first], dim=1)

    def _example(self, voice: Tensor, other: Tensor) -> Example:
        return magnitude(voice + other), magnitude(voice), magnitude(other)


@dataclass(frozen=True)
class WaveBank(Bank):
    """Sound, float32 `(samples,)`, for networks that hear samples; examples `(batch, samples)`."""

    axes: ClassVar[int] = 1

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
        places = _places([pair.shape[1] for pair in pairs], songs)
        voice, other = torch.from_numpy(np.concatenate(pairs, axis=1)).to(device)
        return cls(voice, other, *places)

    def _cut(self, sound: Tensor, first: list[int], size: int) -> Tensor:
        return torch.stack([sound[start : start + size] for start in first])

    def _example(self, voice: Tensor, other: Tensor) -> Example:
        return voice + other, voice, other


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
