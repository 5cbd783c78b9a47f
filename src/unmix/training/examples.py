"""Training examples: spectra of the sources, cut into chunks, mixed and re-mixed on the fly.

The transform is linear, so the spectrum of any voice over any accompaniment is the sum of stored
spectra. Nothing is transformed twice, and augmentation costs no more than a look-up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from unmix.audio import LEVEL
from unmix.datasets.track import Scene
from unmix.errors import DatasetError
from unmix.stft import STFT

Example = tuple[Tensor, ...]
"""Mixture and sources of chunks, the target first where there is one, each of one shape that begins
with the batch."""

KEEP = 1.0 / 11.0
"""Share of chunks that augmentation leaves as they are: the original is one of eleven pairings
(the paper combines each chunk with ten other accompaniments)."""


@dataclass(frozen=True)
class Bank(ABC):
    """The material of all clips of one part, one after the other.

    Attributes:
        sounds: of each source; the subclass says in which form.
        starts, lengths: first and number of frames (or samples) of each clip.
        songs: number of the song that each clip belongs to.
    """

    sounds: tuple[Tensor, ...]
    starts: np.ndarray
    lengths: np.ndarray
    songs: np.ndarray

    axes: ClassVar[int]
    """Axes of a chunk that come after the batch's."""

    def chunks(self, size: int) -> np.ndarray:
        """Return `(clip, offset)` of the chunks that cover every clip, evenly spaced: `(n, 2)`."""
        return covering(self.lengths, size)

    def batch(
        self, places: Sequence[np.ndarray], size: int, gains: np.ndarray | None = None
    ) -> Example:
        """Return the example of chunks; `places` has for each source rows `(clip, offset)`.

        `gains`, `(sources, batch)`, are those of the sources.
        """
        chosen = [
            self._chosen(sound, chunks, size)
            for sound, chunks in zip(self.sounds, places, strict=True)
        ]
        if gains is not None:
            chosen = [
                sound * torch.from_numpy(gain).to(sound).view(-1, *[1] * self.axes)
                for sound, gain in zip(chosen, gains, strict=True)
            ]
        return self._example(chosen)

    def _chosen(self, sound: Tensor, chunks: np.ndarray, size: int) -> Tensor:
        first = self.starts[chunks[:, 0]] + chunks[:, 1]
        return self._cut(sound, first.tolist(), size)

    @abstractmethod
    def _cut(self, sound: Tensor, first: list[int], size: int) -> Tensor:
        """Return the chunks of one size that begin at `first`."""

    @abstractmethod
    def _example(self, chosen: list[Tensor]) -> Example:
        """Return the example of chunks of each source."""


def _places(lengths: list[int], songs: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts, lengths and songs of a bank's clips.

    Raises:
        DatasetError: there is no clip.
    """
    if not lengths:
        raise DatasetError("a part without clips", expected="at least one clip to train with")
    sizes = np.array(lengths)
    return np.cumsum(sizes) - sizes, sizes, np.unique(songs, return_inverse=True)[1]


SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "spectra": lambda spectra: torch.ones(()),
    "peaks": lambda spectra: spectra.sum(0).abs().max(),
    "levels": lambda spectra: spectra.sum(0).abs().square().mean().sqrt(),
}
"""What spectra `(sources, frames, bins)` of a clip are divided by: one, or of the magnitudes of
their mixture the largest or the RMS. The names are those by which a separator asks for a bank."""


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
        scale: str = "spectra",
    ) -> SpectrumBank:
        """Transform `scenes`; a clip shorter than a chunk is followed by silence up to it.

        Args:
            scenes: clips with the same sources, in the same order.
            stft: the transform.
            chunk_frames: length of a chunk.
            device: where the bank shall lie.
            scale: one of `SCALES`.
        """
        planes: list[list[Tensor]] = []
        lengths, songs = [], []
        for scene in scenes:
            sound = torch.from_numpy(np.concatenate(list(scene.references.values())))
            spectra = stft.forward(sound).transpose(1, 2)
            spectra = spectra / SCALES[scale](spectra)
            short = chunk_frames - spectra.shape[1]
            if short > 0:
                spectra = torch.nn.functional.pad(spectra, (0, 0, 0, short))
            planes.append([torch.stack([each.real, each.imag]) for each in spectra])
            lengths.append(spectra.shape[1])
            songs.append(scene.clip.song)
        places = _places(lengths, songs)
        sources = zip(*planes, strict=True)
        return cls(tuple(torch.cat(each, dim=1).to(device) for each in sources), *places)

    def _cut(self, sound: Tensor, first: list[int], size: int) -> Tensor:
        return torch.stack([sound[:, start : start + size] for start in first], dim=1)

    def _example(self, chosen: list[Tensor]) -> Example:
        return tuple(magnitude(planes) for planes in (_sum(chosen), *chosen))


@dataclass(frozen=True)
class CompactBank(SpectrumBank):
    """The examples of a `SpectrumBank`, from sound that is transformed where a chunk is asked for.

    It takes a quarter of the memory where the hop is a quarter of the window, which lets whole
    songs of a large dataset stay there. Each clip stands between zeros, as many as its outer frames
    reach beyond it and then up to a whole number of hops: `starts` count in hops. In a chunk longer
    than a clip the frames beyond its last still hear its end.

    Attributes:
        stft: the transform.
    """

    stft: STFT

    @classmethod
    def of(
        cls,
        scenes: Iterable[Scene],
        stft: STFT,
        chunk_frames: int,
        device: str,
        scale: str = "spectra",
    ) -> CompactBank:
        """Take the sound of `scenes`; arguments as of `SpectrumBank.of`."""
        clips: list[Tensor] = []
        blocks, lengths, songs = [], [], []
        for scene in scenes:
            sound = torch.from_numpy(np.concatenate(list(scene.references.values())))
            spectra = stft.forward(sound)
            scaled = sound / SCALES[scale](spectra)
            frames = max(chunk_frames, spectra.shape[2])
            hops = frames - 1 + -(-stft.window // stft.hop)
            before = stft.window // 2
            after = hops * stft.hop - before - sound.shape[1]  # below zero: no frame hears it
            clips.append(torch.nn.functional.pad(scaled, (before, after)))
            blocks.append(hops)
            lengths.append(frames)
            songs.append(scene.clip.song)
        _, sizes, numbers = _places(lengths, songs)
        starts = np.cumsum(blocks) - blocks
        sources = zip(*clips, strict=True)
        sounds = tuple(torch.cat(each).to(device) for each in sources)
        return cls(sounds, starts, sizes, numbers, stft)

    def _cut(self, sound: Tensor, first: list[int], size: int) -> Tensor:
        hop = self.stft.hop
        length = (size - 1) * hop + self.stft.window
        chunks = torch.stack([sound[start * hop : start * hop + length] for start in first])
        spectra = self.stft.within(chunks).transpose(1, 2)
        return torch.stack([spectra.real, spectra.imag])


@dataclass(frozen=True)
class WaveBank(Bank):
    """Sound, float32 `(samples,)`, for networks that hear samples; examples `(batch, samples)`."""

    axes: ClassVar[int] = 1

    @classmethod
    def of(cls, scenes: Iterable[Scene], chunk: int, level: float, device: str) -> WaveBank:
        """Take the sound of `scenes`, with sources that stand at `LEVEL` brought to `level`.

        A clip shorter than a chunk is followed by silence up to it.
        """
        clips, songs = [], []
        for scene in scenes:
            clip = np.concatenate(list(scene.references.values())) * np.float32(level / LEVEL)
            clips.append(np.pad(clip, ((0, 0), (0, max(0, chunk - clip.shape[1])))))
            songs.append(scene.clip.song)
        places = _places([clip.shape[1] for clip in clips], songs)
        return cls(tuple(torch.from_numpy(np.concatenate(clips, axis=1)).to(device)), *places)

    def _cut(self, sound: Tensor, first: list[int], size: int) -> Tensor:
        return torch.stack([sound[start : start + size] for start in first])

    def _example(self, chosen: list[Tensor]) -> Example:
        return _sum(chosen), *chosen


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


def _sum(sounds: Sequence[Tensor]) -> Tensor:
    total = sounds[0] + sounds[1] if len(sounds) > 1 else sounds[0]
    for sound in sounds[2:]:
        total = total.add_(sound)
    return total


def repaired(
    bank: Bank, chunks: np.ndarray, frames: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return places for each source: the first one's, and chunks of other songs for the others.

    A share `KEEP` stays with its own accompaniment, and so does a chunk if there is one song only.
    """
    places = [chunks]
    for _ in bank.sounds[1:]:
        others = chunks.copy()
        for row, (clip, _) in enumerate(chunks):
            candidates = np.flatnonzero(bank.songs != bank.songs[clip])
            if rng.random() < KEEP or not len(candidates):
                continue
            other = rng.choice(candidates)
            others[row] = other, rng.integers(bank.lengths[other] - frames + 1)
        places.append(others)
    return places


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
    own = [chunks] * len(bank.sounds)
    places = repaired(bank, chunks, frames, rng) if augment else own
    order = rng.permutation(len(chunks))
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        drawn = None if gains == (1.0, 1.0) else rng.uniform(*gains, (len(places), len(rows)))
        yield bank.batch([each[rows] for each in places], frames, drawn)


def in_order(bank: Bank, frames: int, batch: int) -> Iterator[Example]:
    """Yield every chunk once, as recorded: the validation examples."""
    chunks = bank.chunks(frames)
    for first in range(0, len(chunks), batch):
        yield bank.batch([chunks[first : first + batch]] * len(bank.sounds), frames)
