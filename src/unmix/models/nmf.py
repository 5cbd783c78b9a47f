"""Convolutive NMF (non-negative matrix factor deconvolution), the baseline [8] of parwal.

Smaragdis 2004: V is approximated by the sum over lags of W[lag] shift(H, lag), with the
generalised Kullback-Leibler divergence and multiplicative updates. It is used with supervision:
bases of each source are learnt from the training part, then held while the activations of a
mixture are found, and a soft mask is made of the two parts' spectra.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unmix import masks
from unmix.audio import at_level
from unmix.datasets.track import VOICE, Scene
from unmix.errors import DatasetError, SpecError
from unmix.models.separator import masked_estimates
from unmix.stft import STFT

SMALL = 1e-9


@dataclass(frozen=True)
class ConvolutiveNmf:
    """Settings of the factorisation.

    Attributes:
        rank: number of bases of each source.
        lags: length of a base in frames (1 makes it ordinary NMF).
        iterations: updates in learning the bases.
        steps: updates in finding a mixture's activations.
        frames: at most so many training frames a source, spread evenly over the clips.
    """

    rank: int = 50
    lags: int = 8
    iterations: int = 100
    steps: int = 50
    frames: int = 20_000

    def __post_init__(self) -> None:
        if min(self.rank, self.lags, self.iterations, self.steps, self.frames) < 1:
            raise SpecError(f"{self}", expected="positive numbers")

    def fit(
        self, scenes: Iterable[Scene], stft: STFT, seed: int, sources: Sequence[str] = VOICE
    ) -> NmfSeparator:
        """Learn the bases of target and accompaniment, each source at the same level."""
        spectra: dict[str, list[Tensor]] = {name: [] for name in sources}
        for scene in scenes:
            for name, parts in spectra.items():
                sound = torch.from_numpy(at_level(scene.references[name]))
                parts.append(stft.forward(sound)[0].abs())
        if not spectra[sources[0]]:
            raise DatasetError("a part without clips", expected="at least one clip to learn from")
        generator = torch.Generator().manual_seed(seed)
        bases = {}
        for name, parts in spectra.items():
            share = max(1, self.frames // len(parts))
            material = torch.cat([part[:, :share] for part in parts], dim=1)
            start = torch.rand(self.lags, stft.bins, self.rank, generator=generator) + 0.1
            activations = torch.rand(self.rank, material.shape[1], generator=generator) + 0.1
            bases[name] = factorise(material, start, activations, self.iterations)[0]
        return NmfSeparator(bases, stft, self.steps)

    def restore(
        self, tensors: Mapping[str, Tensor], stft: STFT, sources: Sequence[str] = VOICE
    ) -> NmfSeparator:
        """Rebuild the separator from the bases that `NmfSeparator.tensors` gave out."""
        return NmfSeparator({name: tensors[name] for name in sources}, stft, self.steps)


def shifted(activations: Tensor, lag: int) -> Tensor:
    """Delay `(rank, frames)` by `lag` frames, or advance it if negative; zeros move in."""
    frames = activations.shape[1]
    lag_ = max(-frames, min(frames, lag))
    if lag_ >= 0:
        return torch.nn.functional.pad(activations, (lag_, 0))[:, :frames]
    return torch.nn.functional.pad(activations, (0, -lag_))[:, -lag_:]


def approximation(bases: Tensor, activations: Tensor) -> Tensor:
    """Return the model's spectrum `(bins, frames)` of bases `(lags, bins, rank)`."""
    return sum(  # type: ignore[return-value]
        bases[lag] @ shifted(activations, lag) for lag in range(len(bases))
    )


def divergence(spectrum: Tensor, model: Tensor) -> Tensor:
    """Return the generalised Kullback-Leibler divergence D(spectrum | model), summed."""
    ratio = (spectrum + SMALL) / (model + SMALL)
    return (spectrum * ratio.log() - spectrum + model).sum()


def factorise(
    spectrum: Tensor, bases: Tensor, activations: Tensor, iterations: int, *, learn: bool = True
) -> tuple[Tensor, Tensor]:
    """Minimise the divergence by multiplicative updates (Smaragdis 2004, Sec. 3).

    Args:
        spectrum: magnitudes `(bins, frames)`.
        bases: `(lags, bins, rank)` to start from.
        activations: `(rank, frames)` to start from.
        iterations: number of updates.
        learn: whether the bases are updated as well.

    Returns:
        bases (columns of unit sum over lags and bins) and activations.
    """
    lags = len(bases)
    for _ in range(iterations):
        ratio = spectrum / (approximation(bases, activations) + SMALL)
        up = sum(bases[lag].T @ shifted(ratio, -lag) for lag in range(lags))
        # Frames near the end feel fewer lags, so the sum of the bases is taken over those alone.
        reach = bases.sum(1)
        down = sum(
            shifted(torch.ones_like(ratio[:1]), -lag) * reach[lag][:, None] for lag in range(lags)
        )
        activations = activations * up / (down + SMALL)
        if learn:
            ratio = spectrum / (approximation(bases, activations) + SMALL)
            delayed = [shifted(activations, lag) for lag in range(lags)]
            bases = torch.stack(
                [
                    bases[lag] * (ratio @ delayed[lag].T) / (delayed[lag].sum(1) + SMALL)
                    for lag in range(lags)
                ]
            )
            scale = bases.sum((0, 1)) + SMALL
            bases, activations = bases / scale, activations * scale[:, None]
    return bases, activations


class NmfSeparator:
    """Finds the activations of learnt bases in a mixture and masks it with the two parts.

    The target's bases come first.
    """

    def __init__(self, bases: dict[str, Tensor], stft: STFT, steps: int) -> None:
        self.bases, self.stft, self.steps = bases, stft, steps

    def tensors(self) -> dict[str, Tensor]:
        """Return the bases, `(lags, bins, rank)` for each source."""
        return dict(self.bases)

    @torch.no_grad()
    def separate(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the estimate of each source, `(1, samples)`, of a mixture `(1, samples)`."""
        spectrum = self.stft.forward(torch.from_numpy(mixture))
        target, rest = self.bases.values()
        both, rank = torch.cat([target, rest], dim=2), target.shape[2]
        magnitudes = spectrum[0].abs()
        start = torch.full((both.shape[2], magnitudes.shape[1]), float(magnitudes.mean()) + SMALL)
        _, activations = factorise(magnitudes, both, start, self.steps, learn=False)
        first = approximation(both[:, :, :rank], activations[:rank])
        second = approximation(both[:, :, rank:], activations[rank:])
        mask = masks.soft(first, second)[None]
        return masked_estimates(mask, spectrum, mixture, self.stft, tuple(self.bases))
