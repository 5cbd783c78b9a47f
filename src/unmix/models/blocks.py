"""Separating sounds of any length block by block, in bounded memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from unmix.errors import AudioError


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


class BlockSeparator(ABC):
    """A trained network that answers piece by piece, see `stream`."""

    def __init__(self, network: nn.Module, sources: Sequence[str]) -> None:
        """Take a network, and the names of the sources that it puts out, in order."""
        self.network, self.sources = network.eval(), tuple(sources)

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's weights."""
        return dict(self.network.state_dict())

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
