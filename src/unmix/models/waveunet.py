"""Wave-U-Net (Stoller et al. 2018), from waveform to waveform: the baseline M1 and its variant M2.

Paper: D. Stoller, S. Ewert, S. Dixon, "Wave-U-Net: A multi-scale neural network for end-to-end
audio source separation", ISMIR 2018. One of the two rivals in lai.

What 16,384 samples mean depends on the rate: 0.743 s at the authors' 22,050 Hz, 0.372 s at lai's
44,100 Hz. The network itself knows no rate; its features halve in rate from level to level, so at
44,100 Hz the deepest ones (one value in 4,096 samples) stand 93 ms apart instead of 186 ms.

The authors train with `waveform_loss`: Adam at 1e-4 in batches of 16, epochs of 2,000 steps until
20 bring no progress, then again in batches of 32 at 1e-5, with a gain from U[0.7, 1.0] on each
source. The targets have to add up to the mixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unmix.audio import LEVEL
from unmix.datasets.track import VOICE
from unmix.errors import SpecError, one_of
from unmix.models.blocks import BlockSeparator, check_mono, loudness, tiles
from unmix.stft import STFT

OUTPUTS = ("direct", "difference")
SLOPE = 0.2
"""Of the leaky ReLU below zero."""


@dataclass(frozen=True)
class WaveUNet:
    """Settings of the network and of its use on whole sounds; the defaults are M1.

    Attributes:
        levels: how often the rate is halved.
        filters: features of the first level; level i has i times as many, the bottleneck follows.
        down: length of the filters on the way down and of the bottleneck's, odd, in samples.
        up: length of the filters on the way up, odd, in samples.
        samples: length of a block, in and out, a multiple of `2 ** levels`.
        output: `direct` (M1), an output of its own for each source, or `difference` (M2), where the
            last source is what the others leave of the mixture.
        margin: samples left out on both sides of a block where it meets another one. The authors
            leave out none, so that each block begins and ends as if the sound did.
    """

    levels: int = 12
    filters: int = 24
    down: int = 15
    up: int = 5
    samples: int = 16384
    output: str = "direct"
    margin: int = 0

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise SpecError(one_of("output", self.output, OUTPUTS), expected=", ".join(OUTPUTS))
        odd = min(self.down, self.up) >= 1 and self.down % 2 == self.up % 2 == 1
        if not (1 <= self.levels <= 16 and self.filters >= 1 and odd):
            raise SpecError(
                f"a Wave-U-Net of {self.levels} levels of {self.filters} filters, {self.down} "
                f"samples long on the way down and {self.up} on the way up",
                expected="1 to 16 levels, at least one filter, odd lengths",
            )
        if self.samples < 1 or self.samples % 2**self.levels:
            raise SpecError(
                f"blocks of {self.samples} samples for {self.levels} levels",
                expected=f"a multiple of {2**self.levels} (2 to the number of levels)",
            )
        if not 0 <= self.margin < self.samples / 2:
            raise SpecError(
                f"a margin of {self.margin} samples in blocks of {self.samples}",
                expected="0 or more, and less than half a block",
            )

    @property
    def reach(self) -> int:
        """How far apart, in samples, input and output can be and still depend on each other.

        For M1 it is 69,622 samples, more than a block: what a block says of a sample always
        depends on where the block begins. Only smaller networks can work in blocks without a trace
        (`margin` of at least this, on the grid of `2 ** levels` samples).
        """
        by_filters = self.down // 2 * (2 ** (self.levels + 1) - 1)
        # On the way up, interpolation reaches one sample further than the filters of its level.
        return by_filters + (self.up // 2 + 1) * (2**self.levels - 1)

    bank: ClassVar[str] = "waves"
    level: ClassVar[float] = 0.03
    """RMS of each source in training: at `audio.LEVEL` peaks of drums pass 1, where tanh ends."""

    def around(self, network: nn.Module, stft: STFT, sources: Sequence[str]) -> WaveUNetSeparator:
        """Return the separator around a network that was trained at `level`."""
        return WaveUNetSeparator(network, self, sources, self.level * 2.0**0.5)

    def build(self, outputs: int = 2) -> WaveUNetwork:
        """Return a network with fresh weights for `outputs` sources."""
        return WaveUNetwork(self, outputs)


class WaveUNetwork(nn.Module):
    """Samples of the mixture in, samples of each source out."""

    def __init__(self, settings: WaveUNet, outputs: int) -> None:
        super().__init__()
        if outputs < (2 if settings.output == "difference" else 1):
            raise SpecError(
                f"a Wave-U-Net with {settings.output} output for {outputs} source(s)",
                expected="at least one source, two for the difference output",
            )
        self.settings, self.outputs = settings, outputs
        sizes = [settings.filters * level for level in range(1, settings.levels + 2)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for before, after in zip([1, *sizes[:-2]], sizes[:-1], strict=True):
            self.down.append(_convolution(before, after, settings.down))
        self.bottleneck = _convolution(sizes[-2], sizes[-1], settings.down)
        for below, here in zip(sizes[:0:-1], sizes[-2::-1], strict=True):
            self.up.append(_convolution(below + here, here, settings.up))
        own = outputs - (settings.output == "difference")
        self.head = _convolution(sizes[0] + 1, own, 1)

    def objective(self, mixture: Tensor, *references: Tensor) -> Tensor:
        """Return `waveform_loss` of the answer to `(batch, samples)`; a reference each source."""
        return waveform_loss(self(mixture), torch.stack(references, dim=1))

    def forward(self, mixture: Tensor) -> Tensor:
        """Map `(batch, samples)` to `(batch, outputs, samples)`.

        Any number of samples that is a multiple of `2 ** levels` will do.
        """
        x, passed = mixture[:, None], []
        for layer in self.down:
            x = nn.functional.leaky_relu(layer(x), SLOPE)
            passed.append(x)
            x = x[..., ::2]
        x = nn.functional.leaky_relu(self.bottleneck(x), SLOPE)
        for layer in self.up:
            x = torch.cat([passed.pop(), doubled(x)], dim=1)
            x = nn.functional.leaky_relu(layer(x), SLOPE)
        x = torch.tanh(self.head(torch.cat([mixture[:, None], x], dim=1)).float())
        if self.settings.output == "difference":
            x = torch.cat([x, mixture[:, None] - x.sum(dim=1, keepdim=True)], dim=1)
        return x


def _convolution(before: int, after: int, length: int) -> nn.Conv1d:
    """Return a convolution between silences, with the weights that the authors start from."""
    layer = nn.Conv1d(before, after, length, padding=length // 2)
    nn.init.xavier_uniform_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def doubled(x: Tensor) -> Tensor:
    """Double the rate of `(batch, features, samples)` by linear interpolation.

    Old samples stay at the even places, from which decimation took them; the last is repeated.
    torch's own `interpolate` would put all of them half a sample beside the features of the same
    level that they are joined with.
    """
    following = torch.cat([x[..., 1:], x[..., -1:]], dim=-1)
    return torch.stack([x, 0.5 * (x + following)], dim=-1).flatten(-2)


def waveform_loss(estimates: Tensor, references: Tensor) -> Tensor:
    """Return the squared error averaged over batch, sources and samples (the authors' loss).

    Both have the shape `(batch, sources, samples)`.
    """
    return nn.functional.mse_loss(estimates, references)


class WaveUNetSeparator(BlockSeparator):
    """A trained Wave-U-Net on sounds of any length, block by block."""

    def __init__(
        self,
        network: nn.Module,
        settings: WaveUNet,
        sources: Sequence[str] = VOICE,
        level: float = LEVEL * 2.0**0.5,
        at_once: int = 1,
    ) -> None:
        """Take a network and what is around it.

        Args:
            network: maps `(batch, samples)` to `(batch, sources, samples)`.
            settings: its settings; they decide the blocks.
            sources: names of its outputs, in order.
            level: RMS of the mixtures that it was trained with (the default: of two sources at
                `LEVEL` each). What it hears is brought to this level, and its answer back. At this
                level no peak of a source may pass 1, where tanh ends.
            at_once: blocks that go through the network together.
        """
        super().__init__(network, sources)
        self.settings, self.level, self.at_once = settings, level, at_once

    @torch.no_grad()
    def stream(self, mixture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield `(first sample, estimates (sources, samples))`, one piece after the other.

        Beside the mixture, which may be a memory map, no more is held than `at_once` blocks take.
        """
        check_mono(mixture)
        gain = self.level / loudness(mixture)
        device = next(self.network.parameters()).device
        size, length = self.settings.samples, mixture.shape[1]
        blocks = list(tiles(length, size, self.settings.margin))
        for number in range(0, len(blocks), self.at_once):
            group = blocks[number : number + self.at_once]
            heard = np.zeros((len(group), size), np.float32)
            for row, (start, _, _) in enumerate(group):
                part = mixture[0, start : start + size]
                heard[row, : len(part)] = gain * part
            answer = self.network(torch.from_numpy(heard).to(device)).cpu().numpy()
            for (start, first, last), block in zip(group, answer, strict=True):
                yield first, block[:, first - start : last - start] / np.float32(gain)
