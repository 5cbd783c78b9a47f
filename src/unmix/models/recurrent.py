"""The deep recurrent network of parwal (after Huang et al. 2014): one to three layers of 256 units.

Paper: A. Parwal, "Monaural Source Separation using Deep Recurrent Neural Networks", Sec. IV.
"""

from __future__ import annotations

from collections.abc import Mapping
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
            loop = None if x.is_cuda else LOOPS.get(type(layer))
            if loop is not None:
                x = _recurrence(loop, layer, x)
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


def _recurrence(loop: type[torch.autograd.Function], layer: nn.Module, x: Tensor) -> Tensor:
    """Do what `layer(x)[0]` does, `(batch, frames, features)` to `(batch, frames, units)`, faster.

    torch's own loops on a CPU form the gradient of the recurrent weights frame by frame; here it
    is one product over all frames.
    """
    own = dict(layer.named_parameters())
    drive = nn.functional.linear(x.transpose(0, 1), own["weight_ih_l0"], own["bias_ih_l0"])
    state = loop.apply(drive.float(), own["weight_hh_l0"], own["bias_hh_l0"])  # type: ignore[no-untyped-call]
    return state.transpose(0, 1)  # type: ignore[no-any-return]


class _Rectified(torch.autograd.Function):
    """h[t] = relu(a[t] + U h[t-1] + b) for `a` of shape `(frames, batch, units)`, h[-1] = 0."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        state = torch.empty_like(drive)
        transposed, drive = weight.t().contiguous(), drive + bias
        torch.clamp(drive[0], min=0.0, out=state[0])
        for t in range(1, len(drive)):
            torch.addmm(drive[t], state[t - 1], transposed, out=state[t])
            state[t].clamp_(min=0.0)
        ctx.save_for_backward(state, weight)
        return state

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        state, weight = ctx.saved_tensors
        units = state.shape[2]
        by_drive = grads[0].contiguous().clone()
        active = (state > 0).to(state.dtype)
        by_drive[-1].mul_(active[-1])
        for t in range(len(state) - 2, -1, -1):
            by_drive[t].addmm_(by_drive[t + 1], weight).mul_(active[t])
        by_weight = by_drive[1:].reshape(-1, units).t() @ state[:-1].reshape(-1, units)
        return by_drive, by_weight, by_drive.sum((0, 1))


class _Gated(torch.autograd.Function):
    """What `nn.GRU` does, given the input's share `a` of the gates, `(frames, batch, 3 units)`.

    With reset gate r, update gate z and new state n, in this order, each with its own rows of U:
    r, z = sigmoid(a + U h[t-1] + b), n = tanh(a + r (U h[t-1] + b)), h[t] = n + z (h[t-1] - n).
    The last is lai's Eq. 7 with z as 1 - z. In lai's Eq. 6 the reset gate stands before the product
    with the state; torch and cuDNN put it behind, and so do the experiments.
    """

    @staticmethod
    def forward(ctx: Any, drive: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        frames, batch, units = *drive.shape[:2], weight.shape[1]
        state = drive.new_zeros(frames + 1, batch, units)
        gates, new = torch.empty_like(drive), drive.new_empty(frames, batch, units)
        transposed = weight.t().contiguous()
        for t in range(frames):
            torch.addmm(bias, state[t], transposed, out=gates[t])
            both, kept = gates[t, :, : 2 * units], gates[t, :, 2 * units :]
            both.add_(drive[t, :, : 2 * units]).sigmoid_()
            torch.addcmul(drive[t, :, 2 * units :], both[:, :units], kept, out=new[t]).tanh_()
            torch.lerp(new[t], state[t], both[:, units:], out=state[t + 1])
        ctx.save_for_backward(state, gates, new, weight)
        return state[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        state, gates, new, weight = ctx.saved_tensors
        units = weight.shape[1]
        reset, update, kept = gates.split(units, dim=2)
        # The slopes of all frames at once; what goes back from frame to frame stays in the loop.
        slope_new = (1 - update) * (1 - new.square())
        slope_update = (state[:-1] - new) * update * (1 - update)
        slope_reset = kept * reset * (1 - reset)
        by_drive, by_product = torch.empty_like(gates), torch.empty_like(gates)
        back = torch.zeros_like(state[0])
        for t in range(len(new) - 1, -1, -1):
            back = back + grads[0][t]
            by_new = torch.mul(back, slope_new[t], out=by_drive[t, :, 2 * units :])
            torch.mul(by_new, slope_reset[t], out=by_product[t, :, :units])
            torch.mul(back, slope_update[t], out=by_product[t, :, units : 2 * units])
            torch.mul(by_new, reset[t], out=by_product[t, :, 2 * units :])
            back = torch.addmm(back * update[t], by_product[t], weight)
        by_drive[:, :, : 2 * units] = by_product[:, :, : 2 * units]
        flat = by_product.reshape(-1, 3 * units)
        return by_drive, flat.t() @ state[:-1].reshape(-1, units), flat.sum(0)


LOOPS: Mapping[type[nn.Module], type[torch.autograd.Function]] = {
    nn.RNN: _Rectified,
    nn.GRU: _Gated,
}
"""Layers, and what is faster than torch's own loop on a CPU (it has a kernel for LSTM layers)."""
