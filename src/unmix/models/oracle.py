"""Anchors for every table: the mixture itself, and masks made from the true sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from unmix import masks
from unmix.datasets.track import VOICE, Scene
from unmix.errors import SpecError, one_of
from unmix.models.separator import masked_estimates
from unmix.stft import STFT

ORACLES = ("ibm", "irm", "psm", "printed", "mwf")


@dataclass(frozen=True)
class Mixture:
    """Settings of the separator that returns the mixture for each source: the lower anchor."""

    def fit(
        self, scenes: Iterable[Scene], stft: STFT, seed: int, sources: Sequence[str] = VOICE
    ) -> UnchangedMixture:
        """Return the separator; there is nothing to learn."""
        return UnchangedMixture(sources)


class UnchangedMixture:
    """Gives back what it gets."""

    def __init__(self, sources: Sequence[str] = VOICE) -> None:
        self.sources = tuple(sources)

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: nothing was learnt."""
        return {}

    def separate(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the mixture `(1, samples)` for each source."""
        return dict.fromkeys(self.sources, mixture)


@dataclass(frozen=True)
class Oracle:
    """Settings of an oracle: `ibm` (binary), `irm` (ratio), `psm` (phase-sensitive), or others.

    `printed` is lai's Eq. 8 as printed with the true spectra, phases and all, see `masks.printed`.
    `mwf` is no mask, but nugraha's multichannel Wiener filter (Eq. 4) with the true PSDs and
    covariances.
    """

    needs_references: ClassVar[bool] = True
    mask: str = "irm"

    def __post_init__(self) -> None:
        if self.mask not in ORACLES:
            raise SpecError(one_of("oracle", self.mask, ORACLES), expected=", ".join(ORACLES))

    def fit(
        self, scenes: Iterable[Scene], stft: STFT, seed: int, sources: Sequence[str] = VOICE
    ) -> OracleSeparator:
        """Return the separator; there is nothing to learn."""
        return OracleSeparator(self.mask, stft)


class OracleSeparator:
    """Masks the mixture with a mask of the true sources: what masking could reach at best."""

    def __init__(self, mask: str, stft: STFT) -> None:
        self.mask, self.stft = mask, stft

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: nothing was learnt."""
        return {}

    def separate(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the estimate of each reference, `(1, samples)`; the target comes first.

        Raises:
            SpecError: there are no references, as for a file from outside a dataset.
        """
        if references is None:
            raise SpecError(
                f"the oracle '{self.mask}' was asked to separate a mixture without references",
                expected="the true sources",
                do="choose a trained system",
            )
        spectrum = self.stft.forward(torch.from_numpy(mixture))
        true = {
            name: self.stft.forward(torch.from_numpy(sound)) for name, sound in references.items()
        }
        if self.mask == "mwf":
            return self._filtered(spectrum, true, mixture.shape[1])
        found = {name: self._mask(name, true, spectrum) for name in true}
        if len(found) == 2:
            mask = next(iter(found.values()))
            return masked_estimates(mask, spectrum, mixture, self.stft, tuple(references))
        return {
            name: self.stft.inverse(mask * spectrum, mixture.shape[1]).numpy()
            for name, mask in found.items()
        }

    def _filtered(
        self, spectrum: Tensor, true: Mapping[str, Tensor], samples: int
    ) -> dict[str, np.ndarray]:
        from unmix.spatial import DELTA, SpatialModel, images

        found = images(spectrum, SpatialModel.of(torch.stack(list(true.values()))), DELTA)
        sounds = self.stft.inverse(found, samples).numpy()
        return dict(zip(true, sounds, strict=True))

    def _mask(self, name: str, true: Mapping[str, Tensor], mixture: Tensor) -> Tensor:
        """Return the mask of one source beside all others."""
        target, others = true[name], torch.stack([true[each] for each in true if each != name])
        if self.mask == "ibm":
            return masks.ideal_binary(target.abs(), others.abs().amax(0))
        if self.mask == "irm":
            return masks.ideal_ratio(target.abs(), others.abs().sum(0))
        if self.mask == "psm":
            return masks.phase_sensitive(target, mixture)
        return masks.printed(target, others.sum(0))
