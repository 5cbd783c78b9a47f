"""Separating sounds of any length block by block, in bounded memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from unmix.audio import rms
from unmix.errors import AudioError
from unmix.stft import STFT


def tiles(length: int, size: int, margin: int) -> Iterator[tuple[int, int, int]]:
    """Yield `(start, first, last)` of the blocks that cover `length` samples or frames.

    A block takes in `size` from `start` on and answers for `first` to `last`, `margin` away from
    its ends except at those of the sound. The last block ends with the sound; one block that
    starts at 0 is longer than a short sound.
    """
    start = first = 0
    while start + size < length:
        last = start + size - margin
        yield start, first, last
        start, first = start + size - 2 * margin, last
    yield max(0, length - size), first, length


def check_mono(mixture: np.ndarray) -> None:
    """Refuse what is not one channel of sound.

    Raises:
        AudioError: the shape is not `(1, samples)`, or there are no samples.
    """
    if mixture.ndim != 2 or mixture.shape[0] != 1 or not mixture.shape[1]:
        raise AudioError(
            f"a mixture of shape {mixture.shape}",
            expected="shape (1, samples), one channel with at least one sample",
            do="separate each channel by itself",
        )


def check_heard(loudness: float) -> None:
    """Refuse a mixture without sound, by its RMS or its largest magnitude.

    Raises:
        AudioError: it is silent or not finite.
    """
    if not 0.0 < loudness < float("inf"):
        raise AudioError(
            f"the mixture is {'silent' if loudness == 0.0 else 'not finite'}",
            expected="sound to separate",
        )


def loudness(mixture: np.ndarray, block: int = 2**20) -> float:
    """Return the RMS of a mixture `(channels, samples)` without taking a copy of it whole.

    Raises:
        AudioError: it is silent or not finite.
    """
    length = mixture.shape[1]
    parts = (mixture[:, first : first + block] for first in range(0, length, block))
    found = float((sum(part.shape[1] * rms(part) ** 2 for part in parts) / length) ** 0.5)
    check_heard(found)
    return found


def spectrum_of(
    mixture: np.ndarray,
    stft: STFT,
    first: int,
    count: int,
    device: torch.device | str = "cpu",
    gain: float = 1.0,
) -> Tensor:
    """Return `count` frames `(bins, frames)` of a mixture's transform, from `first` on.

    They are those of the transform of the whole, made from as much sound as they hear of; after the
    end of the sound frames of zeros follow.

    Args:
        mixture: `(1, samples)`; it may be a memory map.
        stft: the transform.
        first: number of the first frame.
        count: number of frames.
        device: where the spectrum shall lie.
        gain: factor on the sound.
    """
    before = min(first, -(-stft.window // (2 * stft.hop)))
    begin = (first - before) * stft.hop
    end = (first + count) * stft.hop + stft.window
    heard = np.ascontiguousarray(mixture[0, begin:end], dtype=np.float32)
    if gain != 1.0:
        heard = heard * np.float32(gain)
    spectrum = stft.forward(torch.from_numpy(heard).to(device))[:, before : before + count]
    missing = count - spectrum.shape[1]
    return nn.functional.pad(spectrum, (0, missing)) if missing else spectrum


def overlap_added(
    pieces: Iterable[tuple[int, Tensor]], stft: STFT, samples: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Transform spectra back as they come: yield `(first sample, sound (sources, samples))`.

    What comes out is what `STFT.inverse` makes of all of them at once. Held back are the frames
    that samples still to come hear of.

    Args:
        pieces: `(last, spectra (sources, bins, frames))` of the frames up to `last`, in order.
        stft: the transform.
        samples: length of the whole sound.
    """
    hop, half, frames = stft.hop, stft.window // 2, 1 + samples // stft.hop
    pending: list[Tensor] = []
    begin = done = 0
    for last, spectra in pieces:
        pending.append(spectra)
        # Samples from here on also hear of frames that are still to come.
        end = samples if last == frames else last * hop - half
        if end <= done:
            continue
        held = torch.cat(pending, dim=2) if len(pending) > 1 else pending[0]
        sound = stft.inverse(held, end - begin * hop)[:, done - begin * hop :]
        yield done, sound.cpu().numpy()
        # The first frame that samples after these hear of.
        needed = max(0, min((end - half) // hop + 1, end // hop))
        # A copy: a view would keep all frames that it is a part of.
        pending, begin, done = [held[..., needed - begin :].clone()], needed, end


class StreamingSeparator(ABC):
    """A separator that answers piece by piece, see `stream`, for `sources` in their order."""

    sources: tuple[str, ...]

    def separate(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the estimate of each source, `(1, samples)`, of a mixture `(1, samples)`.

        Raises:
            AudioError: the mixture is silent or has not one channel.
        """
        check_mono(mixture)
        estimates = np.empty((len(self.sources), mixture.shape[1]), np.float32)
        for first, piece in self.stream(mixture):
            estimates[:, first : first + piece.shape[1]] = piece
        return {name: estimates[row : row + 1] for row, name in enumerate(self.sources)}

    @abstractmethod
    def stream(self, mixture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield `(first sample, estimates (sources, samples))`, one piece after the other."""


class BlockSeparator(StreamingSeparator):
    """A trained network that answers piece by piece."""

    def __init__(self, network: nn.Module, sources: Sequence[str]) -> None:
        """Take a network, and the names of the sources that it puts out, in order."""
        self.network, self.sources = network.eval(), tuple(sources)

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's weights."""
        return dict(self.network.state_dict())


class SpectrumSeparator(BlockSeparator):
    """A trained network on spectra, which lie where its weights do."""

    def __init__(self, network: nn.Module, sources: Sequence[str], stft: STFT) -> None:
        """Take a network, the names of its sources, and the transform it was trained with."""
        super().__init__(network, sources)
        self.stft = stft

    def _spectrum(self, mixture: np.ndarray, first: int, count: int) -> Tensor:
        device = next(self.network.parameters()).device
        return spectrum_of(mixture, self.stft, first, count, device)

    def _magnitudes(self, mixture: np.ndarray, frames: int, block: int = 1024) -> Iterator[Tensor]:
        """Yield the magnitudes `(bins, frames)` of a whole mixture, a block after the other."""
        for first in range(0, frames, block):
            yield self._spectrum(mixture, first, min(block, frames - first)).abs()
