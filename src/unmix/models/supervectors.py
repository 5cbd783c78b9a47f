"""What networks of nugraha hear: frames with context, standardised and reduced (Section 2.2.2).

A supervector is a frame of magnitudes with the differences of its neighbours to it (Eq. 5). It is
standardised, reduced by principal component analysis (PCA), and standardised again: one linear map
and a bias in all, which is how it is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from unmix.errors import AudioError, SpecError

STEP = 2
"""Every second frame is taken: at a hop of half a window those do not overlap."""

Blocks = Callable[[], Iterator[Tensor]]
"""Gives the supervectors `(frames, features)` of all training frames, in blocks, as often as it is
asked."""


def supervectors(magnitudes: Tensor, context: int = 2) -> Tensor:
    """Return the supervector of each frame (Eq. 5), `(frames, (2 * context + 1) * bins)`.

    Before the sound and after it there is silence.

    Args:
        magnitudes: `(frames, bins)`, `(channels, frames, bins)` for the supervectors of several
            channels beside each other.
        context: frames on either side (k).
    """
    if magnitudes.ndim == 3:
        return torch.cat([supervectors(each, context) for each in magnitudes], dim=1)
    reach = STEP * context
    heard = nn.functional.pad(magnitudes, (0, 0, reach, reach))
    count = len(magnitudes)
    parts = []
    for place in range(-context, context + 1):
        first = reach + STEP * place
        frame = heard[first : first + count]
        parts.append(frame - magnitudes if place else frame)
    return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Standard:
    """Zero mean and unit variance, element by element.

    Attributes:
        mean, scale: `(features,)`; an element that never changes has the scale 1.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, blocks: Blocks) -> Standard:
        """Return it for what blocks hold, in one pass, in float64.

        Raises:
            AudioError: there is nothing.
        """
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        # Around the first block's mean: far from zero a difference of squares loses digits.
        around: Tensor | None = None
        for block in blocks():
            around = block.double().mean(0) if around is None else around
            moved = block.double() - around
            count += len(block)
            total, squares = total + moved.sum(0), squares + moved.square().sum(0)
        if around is None or not count:
            raise AudioError("no frames to learn from", expected="at least one recording")
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0.0)
        scale = variance.sqrt()
        least = 1e-6 * scale.max()
        return cls((around + mean).float(), torch.where(scale > least, scale, 1.0).float())

    def __call__(self, values: Tensor) -> Tensor:
        """Return standardised values `(..., features)`."""
        return (values - self.mean) / self.scale


@dataclass(frozen=True)
class Reduction:
    """From supervectors to inputs.

    Attributes:
        weight: `(components, features)`.
        bias: `(components,)`.
        kept: share of the variance that the components have; nan where it is not known any more.
    """

    weight: Tensor
    bias: Tensor
    kept: float = math.nan

    @classmethod
    def of(cls, blocks: Blocks, components: int, frames: int, seed: int) -> Reduction:
        """Fit it.

        Args:
            blocks: see `Blocks`.
            components: at most so many are kept (the paper: 2050, some 90 % of the variance).
            frames: PCA looks at so many of them at most, drawn by lot from each block alike.
            seed: of that draw.

        Raises:
            SpecError: there are fewer frames than components.
        """
        before = Standard.of(blocks)
        total = sum(len(block) for block in blocks())
        share = min(1.0, frames / total)
        rng = np.random.default_rng(seed)
        drawn = []
        for block in blocks():
            rows = np.sort(rng.permutation(len(block))[: -int(-share * len(block) // 1)])
            drawn.append(before(block[torch.from_numpy(rows).to(block.device)]).cpu())
        looked_at = torch.cat(drawn).numpy()
        size = min(components, looked_at.shape[1])
        if len(looked_at) < size:
            raise SpecError(
                f"{len(looked_at)} frames for {size} principal components",
                expected="more training material, or fewer components",
            )
        found = PCA(size, svd_solver="covariance_eigh").fit(looked_at)
        axes = torch.from_numpy(found.components_.astype(np.float32)).to(before.mean.device)
        middle = torch.from_numpy(found.mean_.astype(np.float32)).to(before.mean.device)
        after = Standard.of(lambda: ((before(block) - middle) @ axes.T for block in blocks()))
        weight = axes / after.scale[:, None] / before.scale
        bias = -(weight @ (before.mean + before.scale * middle)) - after.mean / after.scale
        return cls(weight, bias, float(found.explained_variance_ratio_.sum()))

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return inputs `(frames, components)` of supervectors `(frames, features)`."""
        return nn.functional.linear(vectors, self.weight, self.bias)
