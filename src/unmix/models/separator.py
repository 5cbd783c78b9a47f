"""What a separator is, and the names under which specs find the separators' settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from unmix import masks
from unmix.audio import LEVEL, rms
from unmix.datasets.track import VOICE
from unmix.errors import AudioError, SpecError, one_of
from unmix.stft import STFT

KINDS: Mapping[str, str] = {
    "recurrent": "unmix.models.recurrent:RecurrentNetwork",
    "waveunet": "unmix.models.waveunet:WaveUNet",
    "hourglass": "unmix.models.hourglass:StackedHourglass",
    "nmf": "unmix.models.nmf:ConvolutiveNmf",
    "oracle": "unmix.models.oracle:Oracle",
    "mixture": "unmix.models.oracle:Mixture",
}
"""Kind of separator, and where its settings live (imported when a spec names it, so that a change
in one family leaves the stored runs of the others valid)."""

MASKS = {"soft": masks.soft, "binary": masks.binary, "printed": masks.printed}
"""What makes a mask of a network's two outputs at test."""


class Separator(Protocol):
    """Anything that turns a mixture into estimates."""

    def separate(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the estimates of a mixture, the target's first, then `accompaniment`.

        Args:
            mixture: `(1, samples)` at the transform's rate.
            references: the true sources, for oracles; others do not look at them.
        """
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return what was learnt; together with the spec it rebuilds the separator."""
        ...


def settings_class(kind: str) -> type:
    """Return the dataclass that holds the settings of one kind of separator.

    Raises:
        SpecError: there is no such kind.
    """
    if kind not in KINDS:
        raise SpecError(one_of("separator", kind, KINDS), expected=", ".join(KINDS))
    module, name = KINDS[kind].split(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def masked_estimates(
    mask: Tensor, spectrum: Tensor, mixture: np.ndarray, stft: STFT, sources: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the sound of mask times mixture, and of the rest (parwal Eq. 5, mixture's phase).

    Args:
        mask: of the target, `(1, bins, frames)`.
        spectrum: complex, of the mixture, `(1, bins, frames)`.
        mixture: `(1, samples)`.
        stft: the transform that made `spectrum`.
        sources: names of the target and of the rest.
    """
    target = stft.inverse(mask.to(spectrum.device) * spectrum, mixture.shape[1]).cpu().numpy()
    # The transform is linear and invertible: what the other mask would give is the remainder.
    return dict(zip(sources, (target, mixture - target), strict=True))


class NetworkSeparator:
    """A trained network with its mask; see `separate`."""

    def __init__(
        self,
        network: nn.Module,
        stft: STFT,
        target: str = "both",
        mask: str = "soft",
        snr_db: float = 0.0,
        sources: Sequence[str] = VOICE,
    ) -> None:
        """Take a network and the settings around it.

        Args:
            network: maps magnitudes `(batch, frames, bins)` to outputs.
            stft: the transform it was trained with.
            target: the loss's target; with one source alone the network has one output.
            mask: one of `MASKS`.
            snr_db: what it was trained at; decides the level it expects.
            sources: names of the target and of the rest.
        """
        if mask not in MASKS:
            raise SpecError(one_of("mask", mask, MASKS), expected=", ".join(MASKS))
        self.network, self.stft, self.target, self.mask = network.eval(), stft, target, mask
        self.sources = tuple(sources)
        self.level = LEVEL * (1.0 + 10.0 ** (snr_db / 10.0)) ** 0.5

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's weights."""
        return dict(self.network.state_dict())

    @torch.no_grad()
    def separate(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the estimate of each source, `(1, samples)`, of a mixture `(1, samples)`.

        The mixture is brought to the level of the training mixtures first, and back afterwards.

        Raises:
            AudioError: the mixture is silent.
        """
        found = rms(mixture)
        if not found > 0.0:
            raise AudioError("the mixture is silent", expected="sound to separate")
        device = next(self.network.parameters()).device
        scaled = torch.from_numpy(mixture * np.float32(self.level / found)).to(device)
        spectrum = self.stft.forward(scaled)
        mask = self._mask(spectrum.abs())
        return masked_estimates(
            mask, spectrum * (found / self.level), mixture, self.stft, self.sources
        )

    def _mask(self, magnitudes: Tensor) -> Tensor:
        output = self.network(magnitudes.transpose(1, 2)).transpose(1, 2)
        if self.target == "both":
            first, second = output.chunk(2, dim=1)
        else:
            own = masks.clipped_ratio(output, magnitudes) * magnitudes
            rest = magnitudes - own
            first, second = (own, rest) if self.target == "voice" else (rest, own)
        return MASKS[self.mask](first, second)


def describe(separator: Any) -> str:
    """Return the kind of a separator's settings, as it stands in a spec."""
    name = f"{type(separator).__module__}:{type(separator).__name__}"
    for kind, where in KINDS.items():
        if where == name:
            return kind
    raise SpecError(f"{name} is no registered separator", expected=", ".join(KINDS))
