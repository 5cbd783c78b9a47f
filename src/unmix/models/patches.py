"""Separating sounds of any length by a network on patches of frames that overlap.

A patch's estimates fade in and out over the frames that it shares with its neighbours, so that what
is added there has the weights of one answer (li, "batch integration").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unmix.masks import TINY
from unmix.models.blocks import (
    SpectrumSeparator,
    check_heard,
    check_mono,
    overlap_added,
)
from unmix.stft import STFT


def fading(size: int, overlap: int) -> Tensor:
    """Return the weights of a patch's frames: those of neighbours add up to one."""
    weights = torch.ones(size)
    ramp = torch.arange(1, overlap + 1) / (overlap + 1)
    weights[:overlap] = ramp
    weights[size - overlap :] = 1.0 - ramp
    return weights


class PatchSeparator(SpectrumSeparator):
    """A trained network on sounds of any length, patch by patch, overlapped and added."""

    def __init__(
        self,
        network: nn.Module,
        stft: STFT,
        sources: Sequence[str],
        frames: int,
        overlap: int,
        at_once: int = 16,
    ) -> None:
        """Take a network and what is around it.

        Args:
            network: has `estimates`, from magnitudes `(batch, frames, bins)` to those of each
                source, `(batch, sources, frames, bins)`.
            stft: the transform that it was trained with.
            sources: names of its outputs, in order.
            frames: length of a patch.
            overlap: frames that neighbouring patches share, at most half of them.
            at_once: patches that go through the network together.
        """
        super().__init__(network, sources, stft)
        self.frames, self.overlap, self.at_once = frames, overlap, at_once

    @torch.no_grad()
    def stream(self, mixture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield `(first sample, estimates (sources, samples))`, one piece after the other.

        The mixture, which may be a memory map, is gone through twice, for the level of its spectrum
        and for the estimates. Frames after its end are silence. Beside it no more is held than
        `at_once` patches take.
        """
        check_mono(mixture)
        samples = mixture.shape[1]
        frames = 1 + samples // self.stft.hop
        answered = self._answered(mixture, frames, self._level(mixture, frames))
        yield from overlap_added(answered, self.stft, samples)

    def _answered(
        self, mixture: np.ndarray, frames: int, level: float
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield `(last, spectra (sources, bins, frames))` of the frames up to `last`, in order."""
        size, overlap = self.frames, self.overlap
        step, carried = size - overlap, None
        starts = range(0, max(1, frames - overlap), step)
        for number in range(0, len(starts), self.at_once):
            group = starts[number : number + self.at_once]
            for start, patch in zip(group, self._patches(mixture, group, level), strict=True):
                weights = fading(size, overlap).to(patch.device)
                if carried is None:
                    weights[:overlap] = 1.0
                if start == starts[-1]:
                    weights[step:] = 1.0
                patch = patch * weights
                if carried is not None:
                    patch[..., :overlap] += carried
                carried = patch[..., step:]
                kept = frames - start if start == starts[-1] else step
                yield start + kept, patch[..., :kept]

    def _patches(self, mixture: np.ndarray, starts: Sequence[int], level: float) -> Tensor:
        """Return estimates `(patches, sources, bins, frames)`, with the mixture's phase."""
        spectra = torch.stack([self._spectrum(mixture, start, self.frames) for start in starts])
        heard = spectra.abs()
        found: Any = self.network
        found = found.estimates(heard.transpose(1, 2) / level).transpose(2, 3) * level
        return found / heard.clamp(min=TINY)[:, None] * spectra[:, None]

    def _level(self, mixture: np.ndarray, frames: int) -> float:
        """Return the RMS of the magnitudes of a mixture's spectrum."""
        power = sum(float(each.square().sum()) for each in self._magnitudes(mixture, frames))
        found = (power / (frames * self.stft.bins)) ** 0.5
        check_heard(found)
        return found
