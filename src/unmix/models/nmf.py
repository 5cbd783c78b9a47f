"""Supervised NMF, convolutive (non-negative matrix factor deconvolution) or ordinary.

Smaragdis 2004: V is approximated by the sum over lags of W[lag] shift(H, lag), with the
generalised Kullback-Leibler divergence and multiplicative updates. Bases of each source are learnt
from the training part, then held while the activations of a mixture are found, and soft masks are
made of the sources' spectra. With several lags and two sources it is the baseline [8] of parwal;
with one lag and the instruments of a trio, learnt from solo recordings, the supervised NMF that
uhlich tried and dropped (footnote 5, after Grais and Erdogan 2011).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unmix import masks
from unmix.audio import at_level, rms
from unmix.datasets.track import VOICE, Scene
from unmix.errors import DatasetError, SpecError
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
        """Learn the bases of each source from the scenes that have it, all at the same level.

        Raises:
            DatasetError: no scene has a source, or it is silent in all of them.
        """
        spectra: dict[str, list[Tensor]] = {name: [] for name in sources}
        for scene in scenes:
            for name, sound in scene.references.items():
                # There is nothing to learn from silence.
                if rms(sound) > 0.0:
                    known = stft.forward(torch.from_numpy(at_level(sound)))[0].abs()
                    spectra[name] = self._cut([*spectra[name], known])
        missing = [name for name, parts in spectra.items() if not parts]
        if missing:
            raise DatasetError(
                f"a part without clips of {', '.join(missing)}",
                expected="at least one clip of each source to learn from",
            )
        generator = torch.Generator().manual_seed(seed)
        bases = {}
        for name, parts in spectra.items():
            material = torch.cat(parts, dim=1)
            start = torch.rand(self.lags, stft.bins, self.rank, generator=generator) + 0.1
            activations = torch.rand(self.rank, material.shape[1], generator=generator) + 0.1
            bases[name] = factorise(material, start, activations, self.iterations)[0]
        return NmfSeparator(bases, stft, self.steps)

    def _cut(self, parts: list[Tensor]) -> list[Tensor]:
        """Return spectra of as many frames as each clip may have.

        More clips leave fewer to each, so that no more than `frames` (or one a clip) are ever held.
        """
        share = max(1, self.frames // len(parts))
        # A copy: a view would keep all frames.
        return [part[:, :share].clone() if part.shape[1] > share else part for part in parts]

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


def shared_out(
    parts: Mapping[str, Tensor], spectrum: Tensor, mixture: np.ndarray, stft: STFT
) -> dict[str, np.ndarray]:
    """Share a mixture out among its sources by soft masks; what comes out adds up to it.

    Args:
        parts: non-negative, `(bins, frames)` for each source: a mask is a part over their sum.
        spectrum: complex, of the mixture, `(1, bins, frames)`.
        mixture: `(1, samples)`.
        stft: the transform that made `spectrum`.

    Returns:
        the estimate of each source, `(1, samples)`.
    """
    *first, last = parts
    found: dict[str, np.ndarray] = {}
    for name in first:
        others = [part for other, part in parts.items() if other != name]
        rest = sum(others[1:], others[0])
        # The rest counts as many sources as it has, so that silence is shared in equal parts.
        mask = masks.soft(parts[name], rest + (len(others) - 1) * masks.TINY)
        found[name] = stft.inverse(mask[None] * spectrum, mixture.shape[1]).cpu().numpy()
    # The transform is linear and invertible: what the last mask would give is the remainder.
    estimates = list(found.values())
    found[last] = mixture - sum(estimates[1:], estimates[0])
    return found


class NmfSeparator:
    """Finds the activations of learnt bases in a mixture and masks it with the sources' parts.

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
        together = torch.cat(list(self.bases.values()), dim=2)
        magnitudes = spectrum[0].abs()
        start = torch.full(
            (together.shape[2], magnitudes.shape[1]), float(magnitudes.mean()) + SMALL
        )
        _, activations = factorise(magnitudes, together, start, self.steps, learn=False)
        own = activations.split([bases.shape[2] for bases in self.bases.values()])
        parts = {
            name: approximation(bases, each)
            for (name, bases), each in zip(self.bases.items(), own, strict=True)
        }
        return shared_out(parts, spectrum, mixture, self.stft)
