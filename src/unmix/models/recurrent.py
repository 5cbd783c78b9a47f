"""The deep recurrent network of parwal (after Huang et al. 2014): one to three layers of 256 units.

Paper: A. Parwal, "Monaural Source Separation using Deep Recurrent Neural Networks", Sec. IV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unmix.errors import SpecError, one_of
from unmix.plain import later
from unmix.stft import with_context

CELLS = ("relu", "gru", "lstm", "dense")
OUTPUTS = ("linear", "relu")

ALIVE = 1.0
"""What rectified outputs start at, about the RMS bin of a training mixture. Starting from zero, a
network of three layers stays 4 dB behind one with linear outputs (lai, drums)."""

State = tuple[Tensor, list[Any]]
"""Where a sound was left: the last frames, as many as are context, and each layer's state."""


@dataclass(frozen=True)
class RecurrentNetwork:
    """Settings of the network.

    Attributes:
        cell: `relu` (the plain recurrence of the paper's line of work), `gru` (lai Eqs. 4 to 7),
            `lstm`, or `dense` (no recurrence: parwal's DNN).
        layers: number of hidden layers.
        units: hidden units a layer (the paper: 256).
        context: input size in frames: the current one and `context - 1` before it.
        output: `linear`, or `relu` for outputs that are no less than zero (lai Sec. 2.2).
    """

    cell: str = "relu"
    layers: int = 1
    units: int = 256
    context: int = 2
    output: str = later("linear")

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise SpecError(one_of("cell", self.cell, CELLS), expected=", ".join(CELLS))
        if self.output not in OUTPUTS:
            raise SpecError(one_of("output", self.output, OUTPUTS), expected=", ".join(OUTPUTS))
        if not (1 <= self.layers <= 16 and self.units >= 1 and 1 <= self.context <= 32):
            raise SpecError(
                f"a network of {self.layers} layers of {self.units} units with an input of "
                f"{self.context} frames",
                expected="1 to 16 layers, at least one unit, 1 to 32 frames",
            )

    def build(self, bins: int, outputs: int) -> MaskingNetwork:
        """Return a network with fresh weights, for spectra of `bins` bins and `outputs` sources."""
        return MaskingNetwork(self, bins, outputs)


class MaskingNetwork(nn.Module):
    """Magnitudes of the mixture in, one output of the same size for each source."""

    def __init__(self, settings: RecurrentNetwork, bins: int, outputs: int) -> None:
        super().__init__()
        self.settings, self.bins, self.outputs = settings, bins, outputs
        size = bins * settings.context
        self.hidden = nn.ModuleList()
        for _ in range(settings.layers):
            self.hidden.append(_layer(settings.cell, size, settings.units))
            size = settings.units
        self.head = nn.Linear(size, outputs * bins)
        if settings.output == "relu":
            # Where both outputs of a bin are zero, no gradient ever moves them again.
            nn.init.constant_(self.head.bias, ALIVE)

    def forward(self, mixture: Tensor) -> Tensor:
        """Map magnitudes `(batch, frames, bins)` to outputs `(batch, frames, outputs * bins)`."""
        x = with_context(mixture, self.settings.context - 1)
        for layer in self.hidden:
            if isinstance(layer, nn.RNN) and not x.is_cuda:
                x = _relu_recurrence(layer, x)
            else:
                x = torch.relu(layer(x)) if isinstance(layer, nn.Linear) else layer(x)[0]
        return self._output(x)

    def onward(self, mixture: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Do what `forward` does with the next frames of a sound, and return where they leave it.

        Recurrence and context frames look back alone, so that piece by piece comes out what
        `forward` makes of the whole.

        Args:
            mixture: magnitudes `(1, frames, bins)`.
            state: what the frames before left, None at the beginning of the sound.
        """
        before, states = state or (mixture[:, :0], [None] * len(self.hidden))
        previous, known = self.settings.context - 1, torch.cat([before, mixture], dim=1)
        x = with_context(known, previous)[:, before.shape[1] :]
        left = []
        for layer, own in zip(self.hidden, states, strict=True):
            dense = isinstance(layer, nn.Linear)
            x, own = (torch.relu(layer(x)), None) if dense else layer(x, own)
            left.append(own)
        return self._output(x), (known[:, max(0, known.shape[1] - previous) :].clone(), left)

    def _output(self, x: Tensor) -> Tensor:
        output = self.head(x).float()
        return torch.relu(output) if self.settings.output == "relu" else output


def _layer(cell: str, size: int, units: int) -> nn.Module:
    if cell == "dense":
        return nn.Linear(size, units)
    if cell == "gru":
        return nn.GRU(size, units, batch_first=True)
    if cell == "lstm":
        return nn.LSTM(size, units, batch_first=True)
    return nn.RNN(size, units, nonlinearity="relu", batch_first=True)


def _relu_recurrence(layer: nn.RNN, x: Tensor) -> Tensor:
    """Do what `layer(x)[0]` does, `(batch, frames, features)` to `(batch, frames, units)`, faster.

    torch's own loop on a CPU forms the gradient of the recurrent weights frame by frame; here it
    is one product over all frames.
    """
    own = dict(layer.named_parameters())
    drive = nn.functional.linear(x.transpose(0, 1), own["weight_ih_l0"], own["bias_ih_l0"])
    drive = drive.float() + own["bias_hh_l0"]
    return _Recurrence.apply(drive, own["weight_hh_l0"]).transpose(0, 1)  # type: ignore[no-any-return]


class _Recurrence(torch.autograd.Function):
    """h[t] = relu(a[t] + U h[t-1]) for `a` of shape `(frames, batch, units)`, h[-1] = 0."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, weight: Tensor) -> Tensor:
        state = torch.empty_like(drive)
        transposed = weight.t().contiguous()
        torch.clamp(drive[0], min=0.0, out=state[0])
        for t in range(1, len(drive)):
            torch.addmm(drive[t], state[t - 1], transposed, out=state[t])
            state[t].clamp_(min=0.0)
        ctx.save_for_backward(state, weight)
        return state

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        state, weight = ctx.saved_tensors
        units = state.shape[2]
        by_drive = grads[0].contiguous().clone()
        active = (state > 0).to(state.dtype)
        by_drive[-1].mul_(active[-1])
        for t in range(len(state) - 2, -1, -1):
            by_drive[t].addmm_(by_drive[t + 1], weight).mul_(active[t])
        by_weight = by_drive[1:].reshape(-1, units).t() @ state[:-1].reshape(-1, units)
        return by_drive, by_weight
