"""What a separator is, and the names under which specs find the separators' settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from unmix import masks
from unmix.audio import LEVEL
from unmix.datasets.track import VOICE
from unmix.errors import SpecError, one_of
from unmix.models.blocks import BlockSeparator, check_mono, loudness, overlap_added, spectrum_of
from unmix.stft import STFT

KINDS: Mapping[str, str] = {
    "recurrent": "unmix.models.recurrent:RecurrentNetwork",
    "waveunet": "unmix.models.waveunet:WaveUNet",
    "hourglass": "unmix.models.hourglass:StackedHourglass",
    "nmf": "unmix.models.nmf:ConvolutiveNmf",
    "blind": "unmix.models.blind:BlindNmf",
    "decoupling": "unmix.models.decoupling:DecouplingNetwork",
    "instruments": "unmix.models.extraction:InstrumentNetwork",
    "multichannel": "unmix.models.multichannel:MultichannelNetwork",
    "oracle": "unmix.models.oracle:Oracle",
    "mixture": "unmix.models.oracle:Mixture",
}
"""Kind of separator, and where its settings live (imported when a spec names it, so that a change
in one family leaves the stored runs of the others valid)."""

MASKS = {"soft": masks.soft, "binary": masks.binary, "printed": masks.printed}
"""What makes a mask of a network's two outputs at test."""

BLOCK = 2048
"""Frames that a recurrent network hears at once: more than a clip of MIR-1K or 20 s of lai's have,
so that these are one block."""


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


class NetworkSeparator(BlockSeparator):
    """A trained network with its mask on sounds of any length, see `stream`."""

    def __init__(
        self,
        network: nn.Module,
        stft: STFT,
        target: str = "both",
        mask: str = "soft",
        snr_db: float = 0.0,
        sources: Sequence[str] = VOICE,
        block: int = BLOCK,
    ) -> None:
        """Take a network and the settings around it.

        Args:
            network: maps magnitudes `(batch, frames, bins)` to outputs.
            stft: the transform it was trained with.
            target: the loss's target; with one source alone the network has one output.
            mask: one of `MASKS`.
            snr_db: what it was trained at; decides the level it expects.
            sources: names of the target and of the rest.
            block: frames that go through the network together, one or more.
        """
        if mask not in MASKS:
            raise SpecError(one_of("mask", mask, MASKS), expected=", ".join(MASKS))
        super().__init__(network, sources)
        self.stft, self.target, self.mask, self.block = stft, target, mask, block
        self.level = LEVEL * (1.0 + 10.0 ** (snr_db / 10.0)) ** 0.5

    @torch.no_grad()
    def stream(self, mixture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield `(first sample, estimates (2, samples))`, one piece after the other.

        The mixture, which may be a memory map, is gone through twice: for its level, which is
        brought to that of the training mixtures and back, and for the mask. Beside it no more is
        held than a block takes; the recurrent state goes from block to block. A network that
        cannot be told of a state hears the sound in one block.
        """
        check_mono(mixture)
        masked = self._masked(mixture, loudness(mixture))
        for first, target in overlap_added(masked, self.stft, mixture.shape[1]):
            # The transform is linear and invertible: the other mask would give the remainder.
            rest = mixture[:, first : first + target.shape[1]] - target
            yield first, np.concatenate([target, rest])

    def _masked(self, mixture: np.ndarray, found: float) -> Iterator[tuple[int, Tensor]]:
        """Yield `(last, spectra (1, bins, frames))` of the target in the frames up to `last`.

        `found` is the level of the mixture.
        """
        frames = 1 + mixture.shape[1] // self.stft.hop
        onward: Any = getattr(self.network, "onward", None) if frames > self.block else None
        device, gain = next(self.network.parameters()).device, self.level / found
        size, state = self.block if onward else frames, None
        for first in range(0, frames, size):
            last = min(first + size, frames)
            spectrum = spectrum_of(mixture, self.stft, first, last - first, device, gain)[None]
            heard = spectrum.abs().transpose(1, 2)
            output, state = onward(heard, state) if onward else (self.network(heard), None)
            mask = self._mask(output.transpose(1, 2), spectrum.abs())
            yield last, mask * (spectrum * (found / self.level))

    def _mask(self, output: Tensor, magnitudes: Tensor) -> Tensor:
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
