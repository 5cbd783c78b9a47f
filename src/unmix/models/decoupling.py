"""DRDNN, which takes the features of a mixture apart by source, and its baselines (Li et al. 2018).

Paper: Z. Li, H. Wang, M. Zhao, W. Li, M. Guo, "Deep representation-decoupling neural networks for
monaural music mixture separation", AAAI 2018.

A patch of frames goes through convolutions over the bins (Eq. 3), a bidirectional LSTM over the
frames (Eq. 4), a perceptron for each source (Eq. 5), an LSTM for each source, and transposed
convolutions (Eq. 6), to one output a source. What is trained is a soft mask over all of them
(Eqs. 8, 9), or without it the outputs' magnitudes (Eq. 7).

A filter spans half the height of what it hears, floor(h / 2), so each convolution halves the height
by itself: 513, 258, 130, 66. The transposed ones, which all sources share as Eq. 6 has no index s
on them, bring each height back exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from unmix.errors import SpecError, one_of
from unmix.masks import TINY
from unmix.models.patches import PatchSeparator
from unmix.plain import later
from unmix.stft import STFT

SYSTEMS = ("drdnn", "mlp", "dcnn", "drnn")
UNROLLS = ("frames", "last")
STARTS = ("normal", "dirac")
CONVOLUTIONAL = ("drdnn", "dcnn")

BESIDES = 0.3
"""Of filters that start as `dirac`: the part at random, beside what it is when `normal`."""


@dataclass(frozen=True)
class DecouplingNetwork:
    """Settings of DRDNN, of its variants and of its baselines.

    Attributes:
        system: `drdnn`; `mlp`, a perceptron a frame; `dcnn`, DRDNN's convolutions with others over
            time between them; `drnn`, LSTM layers on the spectrum itself.
        bins: height of a patch.
        frames: length of a patch (M; the paper: 50).
        overlap: frames that neighbouring patches share (P; the paper: 30 %).
        maps: filters of each convolution.
        convolutions: their number (L_c); 0 is the paper's DRDNN-wDR, without dimension reduction.
        cells: of an LSTM, in each direction.
        layers: of each source's perceptron (L_m); 0 is DRDNN-wDCP, without decoupling.
        unroll: what the perceptrons hear: the first LSTM's state in each of the `frames`, or its
            `last` state of either direction, which the second LSTM then hears in every frame.
        units: width of the hidden layers of a baseline.
        hidden: number of those layers.
        mask: whether outputs make a soft mask (Eqs. 8, 9), or are magnitudes themselves (Eq. 7).
        beta: weight of the discriminative term (Eq. 11).
        start: what filters are before training: `normal`, drawn at random, or `dirac`, which pass
            the lower bins on and are drawn at random besides. The paper does not say.
    """

    system: str = "drdnn"
    bins: int = 513
    frames: int = 50
    overlap: int = 15
    maps: int = 8
    convolutions: int = 3
    cells: int = 128
    layers: int = 2
    unroll: str = "frames"
    units: int = 256
    hidden: int = 3
    mask: bool = True
    beta: float = 0.0
    start: str = later("normal")

    bank: ClassVar[str] = "levels"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("system", self.system, SYSTEMS),
            ("way to unroll", self.unroll, UNROLLS),
            ("start of filters", self.start, STARTS),
        ):
            if value not in known:
                raise SpecError(one_of(what, value, known), expected=", ".join(known))
        if min(self.bins, self.frames, self.maps, self.cells, self.units, self.hidden) < 1:
            raise SpecError(
                f"patches of {self.bins} bins and {self.frames} frames, {self.maps} maps, "
                f"{self.cells} cells, {self.hidden} layers of {self.units} units",
                expected="at least one of each",
            )
        if not 0 <= 2 * self.overlap <= self.frames:
            raise SpecError(
                f"patches of {self.frames} frames that share {self.overlap}",
                expected="0 or more, and no more than half a patch",
            )
        if min(self.convolutions, self.layers) < 0 or self.heights()[-1] < 2:
            raise SpecError(
                f"{self.convolutions} convolutions of {self.bins} bins, perceptrons of "
                f"{self.layers} layers",
                expected="0 or more layers, and convolutions that leave at least two bins",
            )
        if not 0.0 <= self.beta < 1.0:
            raise SpecError(f"a discriminative weight of {self.beta}", expected="0 to below 1")

    def heights(self) -> list[int]:
        """Return the bins before the first convolution and after each."""
        found = [self.bins]
        for _ in range(self.convolutions):
            found.append(found[-1] - found[-1] // 2 + 1)
        return found

    @property
    def features(self) -> int:
        """What a frame has after the convolutions: bins times maps."""
        return self.heights()[-1] * (self.maps if self.convolutions else 1)

    def build(self, outputs: int = 4) -> nn.Module:
        """Return a network with fresh weights for `outputs` sources."""
        networks = {"drdnn": Decoupling, "mlp": Perceptron, "dcnn": Convolutional, "drnn": Deep}
        return networks[self.system](self, outputs)

    def around(self, network: nn.Module, stft: STFT, sources: Sequence[str]) -> PatchSeparator:
        """Return the separator around a network.

        Raises:
            SpecError: the transform has other bins than the patches.
        """
        if stft.bins != self.bins:
            raise SpecError(
                f"a transform of {stft.bins} bins for patches of {self.bins}",
                expected="as many bins as the patches have",
            )
        return PatchSeparator(network, stft, sources, self.frames, self.overlap)

    def weights(self, outputs: int = 4) -> int:
        """Return the number of weights of the network."""
        # What the outputs are and how they are judged adds none.
        return _weights(replace(self, mask=True, beta=0.0, start="normal"), outputs)

    def like(self, system: str, outputs: int = 4) -> DecouplingNetwork:
        """Return the baseline whose number of weights comes nearest to this network's."""
        wanted, low, high = self.weights(outputs), 1, 1

        def off(units: int) -> int:
            return replace(self, system=system, units=units).weights(outputs) - wanted

        while off(high) < 0:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if off(middle) < 0 else (low, middle)
        return replace(
            self, system=system, units=min((low, high), key=lambda units: abs(off(units)))
        )._without_idle()

    def without_convolutions(self) -> DecouplingNetwork:
        """Return DRDNN-wDR: the same without dimension reduction."""
        return replace(self, convolutions=0)._without_idle()

    def _without_idle(self) -> DecouplingNetwork:
        # A start of filters that do not exist would part networks that are the same.
        has = self.convolutions and self.system in CONVOLUTIONAL
        return self if has else replace(self, start="normal")


@functools.cache
def _weights(settings: DecouplingNetwork, outputs: int) -> int:
    with torch.device("meta"):
        return sum(each.numel() for each in settings.build(outputs).parameters())


class _Network(nn.Module):
    """Magnitudes `(batch, frames, bins)` in, `(batch, sources, frames, bins)` of any sign out."""

    def __init__(self, settings: DecouplingNetwork, outputs: int) -> None:
        super().__init__()
        if outputs < 1:
            raise SpecError(f"outputs for {outputs} sources", expected="at least one source")
        self.settings, self.outputs = settings, outputs

    def estimates(self, mixture: Tensor) -> Tensor:
        """Return the magnitudes of each source, `(batch, sources, frames, bins)`."""
        found = self(mixture).abs()
        if not self.settings.mask:
            return found  # type: ignore[no-any-return]
        found = found + TINY
        return found / found.sum(1, keepdim=True) * mixture[:, None]

    def objective(self, mixture: Tensor, *references: Tensor) -> Tensor:
        """Return the mean over sources, frames and bins of J_DIS (Eq. 11; Eq. 10 where beta is 0).

        Args:
            mixture: magnitudes `(batch, frames, bins)`.
            references: those of each source, of the same shape.
        """
        found, true = self.estimates(mixture), torch.stack(references, dim=1)
        loss = (found - true).square().mean()
        if self.settings.beta:
            # Of every estimate to every other source: all pairs less the diagonal.
            pairs = (found[:, :, None] - true[:, None]).square().mean((0, 3, 4)).sum()
            apart = pairs / self.outputs - loss
            loss = loss - self.settings.beta * apart
        return loss


class _Reducing(nn.Module):
    """Convolutions over the bins of each frame, and back (Eqs. 3, 6)."""

    def __init__(self, settings: DecouplingNetwork) -> None:
        super().__init__()
        heights = settings.heights()
        widths = [1] + [settings.maps] * settings.convolutions
        sizes = [height // 2 for height in heights[:-1]]
        filters = list(zip(widths, widths[1:], sizes, strict=False))
        self.down = _Layers(nn.Conv1d(before, after, size) for before, after, size in filters)
        self.up = _Layers(
            nn.ConvTranspose1d(after, before, size) for before, after, size in reversed(filters)
        )
        for layer in (*self.down, *self.up):
            # What a layer hears of n values with weights of a variance of 2 / n keeps its size
            # behind a rectifier; torch's own start loses two thirds of it at each of the layers.
            nn.init.normal_(
                layer.weight, std=(2.0 / (layer.in_channels * layer.kernel_size[0])) ** 0.5
            )
            if settings.start == "dirac":
                _dirac(layer)
        self.shape = (widths[-1], heights[-1])

    def reduce(self, x: Tensor) -> Tensor:
        """Map `(..., bins)` to `(..., features)`."""
        for maps, size, weight, bias in self.down.convolutions():
            matrix = banded(weight, x.shape[-1] // maps - size + 1).permute(1, 2, 0, 3)
            x = _mapped(x, matrix, bias).relu()
        return x

    def restore(self, x: Tensor) -> Tensor:
        """Map `(..., features)` to `(..., bins)`; the last layer's output has either sign."""
        for number, (maps, _, weight, bias) in enumerate(self.up.convolutions()):
            matrix = banded(weight, x.shape[-1] // maps).permute(0, 3, 1, 2)
            x = _mapped(x.relu() if number else x, matrix, bias)
        return x


def _dirac(layer: nn.Conv1d | nn.ConvTranspose1d) -> None:
    """Let each map pass the lower half of what it hears on, with something at random besides.

    A filter of half a spectrum's height that is drawn at random takes means over that half: bins
    side by side begin as nearly the same, and what they were has to be learnt back.
    """
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layer.weight.mul_(BESIDES)
        for place in range(layer.weight.shape[0]):
            layer.weight[place, place % layer.weight.shape[1], 0] += 1.0


class _Layers(nn.ModuleList):
    def convolutions(self) -> Iterator[tuple[int, int, Tensor, Tensor]]:
        """Yield of each layer the maps that it hears, the size of its filters, weight and bias."""
        for layer in self:
            assert isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)
            assert layer.bias is not None
            yield layer.in_channels, layer.kernel_size[0], layer.weight, layer.bias


def banded(weight: Tensor, height: int) -> Tensor:
    """Return what a filter does as a matrix: `[..., i, j]` is `weight[..., i - j]`, else zero.

    With filters of half the height, one product with this matrix has twice the operations of a
    convolution, and takes a CPU a quarter of the time.

    Args:
        weight: `(..., size)`.
        height: number of columns j; there are `height + size - 1` rows.
    """
    padded = nn.functional.pad(weight, (height - 1, height - 1))
    return padded.unfold(-1, height, 1).flip(-1)


def _mapped(x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """Map `(..., maps * height)` by a matrix `(maps, height, new maps, new height)`."""
    maps, height, others, new = matrix.shape
    flat = x @ matrix.reshape(maps * height, others * new)
    return (flat.unflatten(-1, (others, new)) + bias[:, None]).flatten(-2)


class Decoupling(_Network):
    """DRDNN."""

    def __init__(self, settings: DecouplingNetwork, outputs: int) -> None:
        super().__init__(settings, outputs)
        both = 2 * settings.cells
        self.reducing = _Reducing(settings)
        self.first = nn.LSTM(
            settings.features, settings.cells, batch_first=True, bidirectional=True
        )
        self.decoupling = nn.ModuleList(
            nn.Sequential(
                *(
                    layer
                    for _ in range(settings.layers)
                    for layer in (nn.Linear(both, both), nn.ReLU())
                )
            )
            for _ in range(outputs)
        )
        self.second = nn.ModuleList(_lstm(both, settings.cells) for _ in range(outputs))
        self.shaping = nn.ModuleList(nn.Linear(both, settings.features) for _ in range(outputs))

    def forward(self, mixture: Tensor) -> Tensor:
        """Map magnitudes to outputs, see `_Network`."""
        return self.stages(mixture)["restored"]

    def stages(self, mixture: Tensor) -> dict[str, Tensor]:
        """Return what the network holds at each stage (the paper's Figure 5).

        `reduced` `(batch, frames, features)`, `fused` (the first LSTM's states) `(batch, frames or
        1, 2 * cells)`, `decoupled` `(batch, sources, frames or 1, 2 * cells)`, `restored` `(batch,
        sources, frames, bins)`.
        """
        reduced = self.reducing.reduce(mixture)
        fused, (last, _) = self.first(reduced)
        if self.settings.unroll == "last":
            fused = last.transpose(0, 1).reshape(len(mixture), 1, -1)
        decoupled = [mlp(fused) for mlp in self.decoupling]
        shaped = [
            shape(lstm(each.expand(-1, mixture.shape[1], -1))[0])
            for each, lstm, shape in zip(decoupled, self.second, self.shaping, strict=True)
        ]
        return {
            "reduced": reduced,
            "fused": fused,
            "decoupled": torch.stack(decoupled, dim=1),
            "restored": self.reducing.restore(torch.stack(shaped, dim=1)),
        }


class Perceptron(_Network):
    """MLP: hidden layers on each frame by itself."""

    def __init__(self, settings: DecouplingNetwork, outputs: int) -> None:
        super().__init__(settings, outputs)
        sizes = [settings.bins] + [settings.units] * settings.hidden
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], outputs * settings.bins)

    def forward(self, mixture: Tensor) -> Tensor:
        """Map magnitudes to outputs, see `_Network`."""
        x = mixture
        for layer in self.hidden:
            x = layer(x).relu()
        return _apart(self.head(x), self.outputs)


class Convolutional(_Network):
    """DCNN: DRDNN's convolutions over bins, and between them convolutions over five frames."""

    def __init__(self, settings: DecouplingNetwork, outputs: int) -> None:
        super().__init__(settings, outputs)
        self.reducing = _Reducing(settings)
        sizes = [settings.features] + [settings.units] * settings.hidden
        self.hidden = nn.ModuleList(nn.Conv1d(*pair, 5, padding=2) for pair in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], outputs * settings.features)

    def forward(self, mixture: Tensor) -> Tensor:
        """Map magnitudes to outputs, see `_Network`."""
        x = self.reducing.reduce(mixture).transpose(1, 2)
        for layer in self.hidden:
            x = layer(x).relu()
        return self.reducing.restore(_apart(self.head(x.transpose(1, 2)), self.outputs))


class Deep(_Network):
    """DRNN: bidirectional LSTM layers on the spectrum, and a linear layer."""

    def __init__(self, settings: DecouplingNetwork, outputs: int) -> None:
        super().__init__(settings, outputs)
        self.hidden = _lstm(settings.bins, settings.units, settings.hidden)
        self.head = nn.Linear(2 * settings.units, outputs * settings.bins)

    def forward(self, mixture: Tensor) -> Tensor:
        """Map magnitudes to outputs, see `_Network`."""
        return _apart(self.head(self.hidden(mixture)[0]), self.outputs)


def _lstm(size: int, cells: int, layers: int = 1) -> nn.LSTM:
    return nn.LSTM(size, cells, layers, batch_first=True, bidirectional=True)


def _apart(x: Tensor, outputs: int) -> Tensor:
    """Map `(batch, frames, outputs * size)` to `(batch, outputs, frames, size)`."""
    return x.unflatten(-1, (outputs, -1)).transpose(1, 2)
