"""Stacked hourglass networks (Park et al. 2018), from spectrogram patch to masks: SH-4stack.

Paper: S. Park, T. Kim, K. Lee, N. Kwak, "Music source separation using stacked hourglass
networks", ISMIR 2018. One of the two rivals in lai.

What a patch of 512 bins and 64 frames means depends on the transform. At the authors' 8,000 Hz with
window 1024 and hop 256, bins stand 7.8 Hz apart up to 3,992 Hz, and a patch lasts 2.05 s. At lai's
44,100 Hz with the same window and hop, they stand 43.1 Hz apart up to 22,007 Hz, and a patch lasts
0.372 s: the same picture covers five and a half times the band in a fifth of the time.

Two traps of the released code are avoided here. It trains on sources at full scale against a
mixture of half their sum, so that its masks add up to about two: here the references have to add up
to the mixture. And it inverts the 512 rows alone, which silently becomes a transform of 1,022
points: here the row at the Nyquist frequency, which the network does not see, takes the masks of
the row below.

The authors train with `stacked_loss`: Adam at 1e-4 in batches of 4 patches, the rate times 0.2
after every 12,000 of 15,000 steps (MIR-1K) or 120,000 of 150,000 (DSD100). All magnitudes of a
clip are divided by the largest of its mixture before patches are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unmix.datasets.track import VOICE
from unmix.errors import SpecError
from unmix.models.blocks import (
    SpectrumSeparator,
    check_heard,
    check_mono,
    overlap_added,
    tiles,
)
from unmix.stft import STFT


@dataclass(frozen=True)
class StackedHourglass:
    """Settings of the network and of its use on whole sounds; the defaults are SH-4stack.

    Attributes:
        stacks: number of hourglasses, each of which refines the masks of the one before.
        depth: how often an hourglass halves bins and frames.
        features: of every layer but the first ones.
        stem: features of the first layers; the first has filters of 7 x 7, the others of 3 x 3.
        bins: height of a patch, a multiple of `2 ** depth`; the transform has one more.
        frames: length of a patch, a multiple of `2 ** depth`.
        margin: frames left out on both sides of a patch where it meets another one.
    """

    stacks: int = 4
    depth: int = 4
    features: int = 256
    stem: tuple[int, ...] = (64, 128, 128, 128)
    bins: int = 512
    frames: int = 64
    margin: int = 16

    def __post_init__(self) -> None:
        sizes = (self.features, *self.stem)
        whole = all(isinstance(size, int) and size >= 1 for size in sizes)
        if not (1 <= self.stacks <= 16 and 1 <= self.depth <= 10 and self.stem and whole):
            raise SpecError(
                f"{self.stacks} hourglasses of depth {self.depth} with {self.features} features "
                f"after {self.stem}",
                expected="1 to 16 hourglasses of depth 1 to 10, at least one feature in each "
                "layer and one layer before them",
            )
        step = 2**self.depth
        if min(self.bins, self.frames) < step or self.bins % step or self.frames % step:
            raise SpecError(
                f"patches of {self.bins} bins and {self.frames} frames for depth {self.depth}",
                expected=f"multiples of {step} (2 to the depth)",
            )
        if not 0 <= self.margin < self.frames / 2:
            raise SpecError(
                f"a margin of {self.margin} frames in patches of {self.frames}",
                expected="0 or more, and less than half a patch",
            )

    bank: ClassVar[str] = "peaks"

    def around(self, network: nn.Module, stft: STFT, sources: Sequence[str]) -> HourglassSeparator:
        """Return the separator around a network."""
        return HourglassSeparator(network, self, stft, sources)

    def build(self, outputs: int = 2) -> HourglassNetwork:
        """Return a network with fresh weights for `outputs` sources."""
        return HourglassNetwork(self, outputs)


class HourglassNetwork(nn.Module):
    """Magnitudes of the mixture in, masks of each source out, once for every hourglass."""

    def __init__(self, settings: StackedHourglass, outputs: int) -> None:
        super().__init__()
        if outputs < 1:
            raise SpecError(f"masks for {outputs} sources", expected="at least one source")
        self.settings, self.outputs = settings, outputs
        features, last = settings.features, settings.stacks - 1
        self.stem = nn.ModuleList([_convolution(1, settings.stem[0], 7)])
        for before, after in zip(settings.stem, [*settings.stem[1:], features], strict=True):
            self.stem.append(_convolution(before, after, 3))
        self.stacks = nn.ModuleList(
            _Stack(settings.depth, features, outputs, number == last)
            for number in range(settings.stacks)
        )
        # Nothing changes but speed: with bfloat16 a CPU is two to three times as fast.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def objective(self, mixture: Tensor, *references: Tensor) -> Tensor:
        """Return `stacked_loss` of the answer to magnitudes `(batch, frames, bins + 1)`.

        The last bin, at the Nyquist frequency, is not looked at. There is a reference each source.
        """
        heard, *wanted = (each[..., :-1] for each in (mixture, *references))
        return stacked_loss(self(heard), heard, torch.stack(wanted, dim=1))

    def forward(self, mixture: Tensor) -> Tensor:
        """Map magnitudes to masks of either sign, those of the last hourglass last.

        Args:
            mixture: `(batch, frames, bins)`, both multiples of `2 ** depth`.

        Returns:
            `(batch, stacks, outputs, frames, bins)`.
        """
        x = mixture[:, None].contiguous(memory_format=torch.channels_last)
        for layer in self.stem:
            x = layer(x).relu_()
        masks = []
        for stack in self.stacks:
            x, found = stack(x)
            masks.append(found.float())
        return torch.stack(masks, dim=1)


class _Stack(nn.Module):
    """An hourglass, its masks, and what the next hourglass is told of both."""

    def __init__(self, depth: int, features: int, outputs: int, is_last: bool) -> None:
        super().__init__()
        self.hourglass = _Hourglass(depth, features)
        self.body = nn.ModuleList([_convolution(features, features, size) for size in (3, 1)])
        self.head = _convolution(features, outputs, 1)
        if not is_last:
            self.from_body = _convolution(features, features, 1)
            self.from_masks = _convolution(outputs, features, 1)
        self.is_last = is_last

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(batch, features, frames, bins)` to the next input and `(batch, outputs, ...)`."""
        inner = self.hourglass(x)
        for layer in self.body:
            inner = layer(inner).relu_()
        masks = self.head(inner)
        if self.is_last:
            return x, masks
        return x + self.from_body(inner) + self.from_masks(masks), masks


class _Hourglass(nn.Module):
    """A skip at full size beside the same at half the size, which holds the next smaller one."""

    def __init__(self, depth: int, features: int) -> None:
        super().__init__()
        self.skip, self.before, self.after = (_convolution(features, features, 3) for _ in range(3))
        smallest = nn.Sequential(_convolution(features, features, 3), nn.ReLU(inplace=True))
        self.inner = _Hourglass(depth - 1, features) if depth > 1 else smallest

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, features, frames, bins)` to the same shape."""
        low = self.before(nn.functional.max_pool2d(x, 2)).relu_()
        low = self.after(self.inner(low)).relu_()
        return self.skip(x).relu_() + nn.functional.interpolate(low, scale_factor=2, mode="nearest")


def _convolution(before: int, after: int, size: int) -> nn.Conv2d:
    """Return a convolution between zeros, with the weights that the authors start from."""
    layer = nn.Conv2d(before, after, size, padding=size // 2)
    nn.init.normal_(layer.weight, std=(before * size**2) ** -0.5)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def stacked_loss(masks: Tensor, mixture: Tensor, references: Tensor) -> Tensor:
    """Return the sum over hourglasses of mean |Y - M X| (Park et al., their loss).

    Args:
        masks: `(batch, stacks, sources, frames, bins)`, as they come from the network.
        mixture: magnitudes X, `(batch, frames, bins)`.
        references: magnitudes Y, `(batch, sources, frames, bins)`.
    """
    estimates = masks * mixture[:, None, None]
    return masks.shape[1] * nn.functional.l1_loss(estimates, references[:, None].expand_as(masks))


class HourglassSeparator(SpectrumSeparator):
    """A trained stacked hourglass network on sounds of any length, patch by patch."""

    def __init__(
        self,
        network: nn.Module,
        settings: StackedHourglass,
        stft: STFT,
        sources: Sequence[str] = VOICE,
        at_once: int = 1,
    ) -> None:
        """Take a network and what is around it.

        Args:
            network: maps `(batch, frames, bins)` to `(batch, stacks, sources, frames, bins)`.
            settings: its settings; they decide the patches.
            stft: the transform that it was trained with, of one bin more.
            sources: names of its masks, in order.
            at_once: patches that go through the network together.

        Raises:
            SpecError: the transform does not fit the patches.
        """
        if stft.window != 2 * settings.bins:
            raise SpecError(
                f"a window of {stft.window} samples for patches of {settings.bins} bins",
                expected=f"{2 * settings.bins} samples, which give one bin more than the patches",
            )
        super().__init__(network, sources, stft)
        self.settings, self.at_once = settings, at_once

    @torch.no_grad()
    def stream(self, mixture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield `(first sample, estimates (sources, samples))`, one piece after the other.

        The mixture, which may be a memory map, is gone through twice, for its largest magnitude and
        for the masks. No more is held than `at_once` patches take.
        """
        check_mono(mixture)
        samples = mixture.shape[1]
        masked = self._masked(mixture, 1 + samples // self.stft.hop)
        yield from overlap_added(masked, self.stft, samples)

    def _masked(self, mixture: np.ndarray, frames: int) -> Iterator[tuple[int, Tensor]]:
        """Yield `(last, spectra (sources, bins, frames))` of the frames up to `last`, in order."""
        size, peak = self.settings.frames, self._peak(mixture, frames)
        patches = list(tiles(frames, size, self.settings.margin))
        for number in range(0, len(patches), self.at_once):
            group = patches[number : number + self.at_once]
            spectra = torch.stack([self._spectrum(mixture, start, size) for start, _, _ in group])
            seen = spectra[:, :-1].abs().transpose(1, 2) / peak
            masks = self.network(seen)[:, -1].clamp(min=0.0).transpose(2, 3)
            masks = torch.cat([masks, masks[:, :, -1:]], dim=2)
            for row, (start, first, last) in enumerate(group):
                kept = slice(first - start, last - start)
                yield last, masks[row, ..., kept] * spectra[row, :, kept]

    def _peak(self, mixture: np.ndarray, frames: int) -> float:
        """Return the largest magnitude of a mixture's spectrum."""
        found = [float(each.max()) for each in self._magnitudes(mixture, frames)]
        # The sum is not finite if any is not; a largest of them can hide one.
        check_heard(sum(found))
        return max(found)
