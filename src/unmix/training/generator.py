"""Training vectors of uhlich, made on the fly from solo recordings (Eqs. 3a and 3b).

The context frames do not overlap and the window is rectangular, so the frames of a vector are the
Fourier transforms of consecutive blocks of samples. The transform is linear: instead of adding
spectra, segments of sound are weighted and added, and one transform of the sum and one of the
target's middle block make a vector and what is wanted of it. So nothing but sound is held.

Vectors are drawn in blocks of `BLOCK`, each from a seed of its own: whoever asks for them in other
portions gets the same ones, and 10^6 of them (16 GB) need not be in memory together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unmix.errors import DatasetError
from unmix.training.examples import magnitude

BLOCK = 1024
"""Vectors that are drawn together."""

PIECE = 64
"""Vectors that a CPU makes at once: their sound stays in its cache."""

AMPLITUDES = (0.01, 1.0)
"""Range of the amplitudes, Sec. 2.2."""

PAUSE_DB = 60.0
"""A segment that lies further below its instrument's level is a pause."""


@dataclass(frozen=True)
class Solo:
    """All recordings of one instrument, one after the other.

    Attributes:
        sound: float32 `(samples,)`.
        starts: first sample of each recording.
        places: how many positions of a segment there are up to the end of each recording.
        floor: energy of a segment below which it is a pause.
    """

    sound: Tensor = field(repr=False)
    starts: np.ndarray
    places: np.ndarray
    floor: float

    @classmethod
    def of(
        cls,
        recordings: Sequence[np.ndarray],
        size: int,
        name: str,
        *,
        limit: int | None = None,
        device: str = "cpu",
    ) -> Solo:
        """Put the recordings of an instrument together.

        Args:
            recordings: each `(samples,)` or `(1, samples)`.
            size: samples of a segment; shorter recordings are left out.
            name: the instrument's.
            limit: at most so many samples, the same share of the beginning of each recording, so
                that less material does not mean fewer players.
            device: where the sound shall lie.

        Raises:
            DatasetError: no recording is long enough, or all are silent.
        """
        flat = [np.asarray(sound, np.float32).reshape(-1) for sound in recordings]
        whole = sum(map(len, flat))
        if limit is not None and whole > limit:
            flat = [sound[: int(len(sound) * limit / whole)] for sound in flat]
        kept = [sound for sound in flat if len(sound) >= size]
        expected = (
            f"recordings of at least {size} samples (one training vector) that are not silent"
        )
        if not kept:
            longest = max(map(len, flat), default=0)
            found = f"{len(flat)} recordings, the longest of {longest} samples" if flat else "none"
            raise DatasetError(f"recordings of the {name}: {found}", expected=expected)
        energy = sum(float(np.square(sound, dtype=np.float64).sum()) for sound in kept)
        if not 0.0 < energy < float("inf"):
            what = "silent" if energy == 0.0 else "not finite"
            raise DatasetError(f"the recordings of the {name} are {what}", expected=expected)
        lengths = np.array([len(sound) for sound in kept])
        mean = energy / lengths.sum()
        return cls(
            torch.from_numpy(np.concatenate(kept)).to(device),
            np.cumsum(lengths) - lengths,
            np.cumsum(lengths - size + 1),
            float(mean * size * 10.0 ** (-PAUSE_DB / 10.0)),
        )

    def drawn(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return where so many segments begin, each place in each recording equally likely."""
        number = rng.integers(self.places[-1], size=count)
        recording = np.searchsorted(self.places, number, side="right")
        before = np.concatenate([[0], self.places])[recording]
        return self.starts[recording] + number - before


@dataclass(frozen=True)
class Generator:
    """Draws training vectors.

    Segments and amplitudes depend on seed and stream alone, not on the target: the networks of a
    piece's instruments hear the same mixtures (the paper is silent).

    Attributes:
        solos: the recordings of the instruments of a mixture.
        window: samples of a frame.
        context: frames on either side of the middle one.
        seed: decides what is drawn.
        stream: another number gives other vectors (training, validation).
        pauses: whether segments in which an instrument pauses are drawn as well. Vectors in which
            all are silent are never given out, since they have no norm to be divided by.
    """

    solos: tuple[Solo, ...]
    window: int
    context: int
    seed: int
    stream: int = 0
    pauses: bool = True

    @property
    def device(self) -> torch.device:
        """Where vectors are made."""
        return self.solos[0].sound.device

    @property
    def frames(self) -> int:
        """Frames of a vector."""
        return 2 * self.context + 1

    @property
    def bins(self) -> int:
        """Values of a frame."""
        return self.window // 2 + 1

    def block(self, number: int, target: int) -> tuple[Tensor, Tensor]:
        """Return block `number`: inputs `(BLOCK, features)` and targets `(BLOCK, bins)`, float32.

        Args:
            number: of the block.
            target: which of the instruments is wanted.
        """
        rng = np.random.default_rng([self.seed, self.stream, number])
        places = np.stack([solo.drawn(rng, BLOCK) for solo in self.solos])
        amplitudes = rng.uniform(*AMPLITUDES, places.shape)
        device = self.device
        inputs = torch.empty(BLOCK, self.frames * self.bins, device=device)
        targets = torch.empty(BLOCK, self.bins, device=device)
        rows, piece = np.arange(BLOCK), PIECE if device.type == "cpu" else BLOCK
        while len(rows):
            refused = []
            for first in range(0, len(rows), piece):
                chosen = rows[first : first + piece]
                made = self._made(places[:, chosen], amplitudes[:, chosen], target)
                # The first time all rows are there, and a slice is faster than their numbers.
                whole = slice(first, first + piece) if len(rows) == BLOCK else None
                at = whole or torch.from_numpy(chosen).to(device)
                inputs[at], targets[at] = made[:2]
                refused.append(chosen[made[2].cpu().numpy()])
            rows = np.concatenate(refused)
            for solo, own in zip(self.solos, places, strict=True):
                own[rows] = solo.drawn(rng, len(rows))
        return inputs, targets

    def _made(
        self, places: np.ndarray, amplitudes: np.ndarray, target: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs, targets, and which of them are to be drawn anew.

        Args:
            places: `(instruments, batch)`.
            amplitudes: as `places`.
            target: which of the instruments is wanted.
        """
        gains = amplitudes.astype(np.float32)
        mix = self._in_cache if self.device.type == "cpu" else self._gathered
        mixture, wanted, refused = mix(places, gains, target)
        heard = magnitudes(mixture.view(-1, self.frames, self.window))
        norm = gamma(heard)
        refused |= norm == 0.0
        scale = (1.0 / torch.where(norm == 0.0, 1.0, norm))[:, None]
        # Eqs. 3a and 3b.
        return heard.flatten(1).mul_(scale), magnitudes(wanted).mul_(scale), refused

    def _in_cache(
        self, places: np.ndarray, gains: np.ndarray, target: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return mixtures, the target's middle frames, and what pauses.

        A segment at a time stays in the processor's cache: several times as fast as `_gathered`.
        """
        size, middle = self.frames * self.window, self.context * self.window
        mixture = np.empty((places.shape[1], size), np.float32)
        wanted = np.empty((places.shape[1], self.window), np.float32)
        refused, scaled = np.zeros(places.shape[1], bool), np.empty(size, np.float32)
        for number, solo in enumerate(self.solos):
            sound = solo.sound.numpy()
            for row, (first, gain) in enumerate(zip(places[number], gains[number], strict=True)):
                segment = sound[first : first + size]
                np.multiply(segment, gain, out=scaled if number else mixture[row])
                if number:
                    mixture[row] += scaled
                if number == target:
                    np.multiply(segment[middle : middle + self.window], gain, out=wanted[row])
                if not self.pauses:
                    refused[row] |= segment @ segment < solo.floor
        return torch.from_numpy(mixture), torch.from_numpy(wanted), torch.from_numpy(refused)

    def _gathered(
        self, places: np.ndarray, gains: np.ndarray, target: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `_in_cache` does, by operations on all segments together."""
        size, middle = self.frames * self.window, self.context * self.window
        mixture = wanted = torch.zeros(0)
        refused = torch.zeros(places.shape[1], dtype=torch.bool, device=self.device)
        for number, solo in enumerate(self.solos):
            at, gain = (torch.from_numpy(each[number]).to(self.device) for each in (places, gains))
            segments = solo.sound.unfold(0, size, 1)[at]
            if not self.pauses:
                refused |= segments.square().sum(1) < solo.floor
            segments.mul_(gain[:, None])
            mixture = mixture.add_(segments) if number else segments.clone()
            if number == target:
                wanted = segments[:, middle : middle + self.window]
        return mixture, wanted, refused


def magnitudes(blocks: Tensor) -> Tensor:
    """Return the magnitudes `(..., bins)` of blocks of samples `(..., window)`."""
    # Of two planes three times as fast as the absolute value of complex numbers.
    return magnitude(torch.view_as_real(torch.fft.rfft(blocks)).movedim(-1, 0))


def gamma(frames: Tensor) -> Tensor:
    """Return the mean Euclidean norm `(batch,)` of magnitude frames `(batch, frames, bins)`."""
    return torch.linalg.vector_norm(frames, dim=2).mean(1)


class Examples:
    """So many vectors of one target, in portions of any size.

    They are held as two matrices where these fit into `memory`, and else made again each time they
    are wanted; which of the two changes no value.
    """

    def __init__(self, generator: Generator, target: int, count: int, memory: float) -> None:
        """Take a generator, and make the vectors if they are to be held.

        Args:
            generator: of the vectors.
            target: which of its instruments is wanted.
            count: number of vectors.
            memory: bytes that they may take on a CPU; a GPU gives what it has free.
        """
        self.generator, self.target, self.count = generator, target, count
        self._last: tuple[int, tuple[Tensor, Tensor]] | None = None
        self._held: tuple[Tensor, Tensor] | None = None
        device = generator.device
        widths = generator.frames * generator.bins, generator.bins
        if device.type == "cuda":
            # The rest is for L-BFGS and the moments of the least squares solution.
            memory = 0.7 * torch.cuda.mem_get_info(device)[0]
        if 4.0 * count * sum(widths) <= memory:
            held = tuple(torch.empty(count, width, device=device) for width in widths)
            for first in range(0, count, BLOCK):
                rows = slice(first, min(first + BLOCK, count))
                for whole, part in zip(held, self._block(first // BLOCK), strict=True):
                    whole[rows] = part[: rows.stop - first]
            self._held, self._last = (held[0], held[1]), None

    @property
    def held(self) -> bool:
        """Whether they are in memory."""
        return self._held is not None

    def rows(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return inputs `(last - first, features)` and targets `(last - first, bins)`."""
        if self._held is not None:
            return self._held[0][first:last], self._held[1][first:last]
        parts = []
        for number in range(first // BLOCK, -(-last // BLOCK)):
            own = slice(max(first - number * BLOCK, 0), last - number * BLOCK)
            parts.append([whole[own] for whole in self._block(number)])
        if len(parts) == 1:
            return parts[0][0], parts[0][1]
        inputs, targets = (torch.cat(each) for each in zip(*parts, strict=True))
        return inputs, targets

    def blocks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all of them in order, `size` at a time."""
        for first in range(0, self.count, size):
            yield self.rows(first, min(first + size, self.count))

    def _block(self, number: int) -> tuple[Tensor, Tensor]:
        if self._last is None or self._last[0] != number:
            self._last = None  # gives its memory back before the next takes some
            self._last = number, self.generator.block(number, self.target)
        return self._last[1]


def solos(
    scenes: Iterator[Any], sources: Sequence[str], size: int, limits: dict[str, int], device: str
) -> tuple[Solo, ...]:
    """Return the recordings of each source in `scenes`, which hear one or several of them.

    Args:
        scenes: of one part, see `unmix.datasets.track.Scene`.
        sources: names of the instruments.
        size: samples of a segment.
        limits: at most so many samples of an instrument, by name.
        device: where the sound shall lie.

    Raises:
        DatasetError: an instrument has no recording that can be used.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in sources}
    for scene in scenes:
        for name, sound in scene.references.items():
            if name in found:
                found[name].append(sound)
    # Popped, so that each instrument's recordings are let go once they stand in one row.
    return tuple(
        Solo.of(found.pop(name), size, name, limit=limits.get(name), device=device)
        for name in sources
    )
