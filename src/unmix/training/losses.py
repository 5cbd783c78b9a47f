"""Losses between estimated and true magnitudes, each with its derivative by hand.

The derivative is there for speed: the joint mask, the divergence and their gradients touch each
bin a dozen times, and doing so without automatic differentiation makes a training step on a CPU
about one and a half times as fast. The tests hold both against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unmix.errors import SpecError, one_of
from unmix.masks import TINY

FLOOR = 0.1
"""Added to both magnitudes in the divergences of Kullback-Leibler's kind: about 23 dB below the RMS
bin of a training mixture. Without it the derivative r/e grows without bound where an estimate is
far too small, and a few quiet bins drive every step; the paper says nothing of it, and it decides
whether the divergence falls behind the squared error (experiment `choices`)."""

Divergence = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def squared_error(estimate: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return (e - r)^2 a bin, and its derivative by e."""
    difference = estimate - reference
    return difference.square(), difference.mul_(2.0)


def kullback_leibler(floor: float = FLOOR) -> Divergence:
    """Return the generalised divergence D(r | e) = r log(r/e) - r + e, with dD/de = 1 - r/e.

    parwal names it without the order of its arguments; this is NMF's usual order. `floor` is added
    to both arguments.
    """

    def divergence(estimate: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        ratio = (reference + floor) / (estimate + floor)
        value = (reference + floor) * ratio.log() - reference + estimate
        return value, ratio.neg_().add_(1.0)

    return divergence


def reverse_kullback_leibler(estimate: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return D(e | r) = e log(e/r) - e + r a bin, and dD/de = log(e/r): the other order."""
    slope = ((estimate + FLOOR) / (reference + FLOOR)).log_()
    return (estimate + FLOOR) * slope - estimate + reference, slope


def power_kullback_leibler(estimate: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return D(r^2 | e^2) a bin and its derivative by e: the divergence of power spectra.

    Like the squared error it grows with the square of the level, so loud bins weigh as much.
    """
    e, r = estimate + FLOOR, reference + FLOOR
    ratio = (r / e).square_()
    value = r.square() * ratio.log() - r.square() + e.square()
    return value, ratio.neg_().add_(1.0).mul_(e).mul_(2.0)


DIVERGENCES: dict[str, Divergence] = {
    "mse": squared_error,
    "kl": kullback_leibler(),
    "kl-0.01": kullback_leibler(0.01),
    "kl-0.001": kullback_leibler(0.001),
    "kl-reverse": reverse_kullback_leibler,
    "kl-power": power_kullback_leibler,
}
"""The names of specs; a number after `kl-` is another floor."""

TARGETS = ("both", "voice", "accompaniment")
POSITIONS = ("after", "before")


@dataclass(frozen=True)
class Loss:
    """Which loss a network is trained with (parwal Tables III and IV).

    Attributes:
        divergence: one of `DIVERGENCES`.
        target: the sources it is computed on: both, or one alone (the network then has one output).
        position: after the joint mask layer (Eq. 6) or before it.
        discriminative: weight gamma of the term that pushes an estimate away from the other
            source (Huang et al. 2015); 0 leaves it out.
    """

    divergence: str = "mse"
    target: str = "both"
    position: str = "after"
    discriminative: float = 0.0

    def __post_init__(self) -> None:
        for what, value, known in (
            ("divergence", self.divergence, DIVERGENCES),
            ("loss target", self.target, TARGETS),
            ("loss position", self.position, POSITIONS),
        ):
            if value not in known:
                raise SpecError(one_of(what, value, known), expected=", ".join(known))
        if self.target != "both" and (self.position == "after" or self.discriminative):
            raise SpecError(
                f"a loss on {self.target} alone, {self.position} the mask, with discriminative "
                f"weight {self.discriminative}",
                expected="position 'before' and weight 0, since the joint mask needs two outputs",
            )

    @property
    def outputs(self) -> int:
        """Number of sources that the network must give out."""
        return 2 if self.target == "both" else 1

    def __call__(self, output: Tensor, mixture: Tensor, voice: Tensor, other: Tensor) -> Tensor:
        """Return the mean loss over sources, batch, frames and bins (a scalar).

        Args:
            output: `(batch, frames, outputs * bins)`, the network's, of either sign.
            mixture: magnitudes `(batch, frames, bins)`.
            voice: magnitudes of the same shape.
            other: the accompaniment's, of the same shape.
        """
        if self.target == "both" and self.position == "after":
            return masked(output, mixture, voice, other, self)
        references = {"both": (voice, other), "voice": (voice,), "accompaniment": (other,)}
        divergence = DIVERGENCES[self.divergence]
        wanted = references[self.target]
        estimates = output.abs().chunk(self.outputs, dim=-1)
        values = [_value(divergence, e, r) for e, r in zip(estimates, wanted, strict=True)]
        if self.discriminative:
            values += [
                -self.discriminative * _value(divergence, e, r)
                for e, r in zip(estimates, reversed(wanted), strict=True)
            ]
        return torch.stack(values).sum() / len(wanted)


class _Divergence(torch.autograd.Function):
    """Mean of a divergence over all bins, with the derivative that it brings along."""

    @staticmethod
    def forward(ctx: Any, estimate: Tensor, reference: Tensor, divergence: Divergence) -> Tensor:
        value, slope = divergence(estimate, reference)
        ctx.save_for_backward(slope)
        return value.mean()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return slope * (grads[0] / slope.numel()), None, None


def _value(divergence: Divergence, estimate: Tensor, reference: Tensor) -> Tensor:
    return _Divergence.apply(estimate, reference, divergence)  # type: ignore[no-any-return]


class _MaskedLoss(torch.autograd.Function):
    """Joint mask (parwal Eq. 6), divergence of both masked estimates, and their mean."""

    @staticmethod
    def forward(
        ctx: Any, output: Tensor, mixture: Tensor, voice: Tensor, other: Tensor, loss: Loss
    ) -> Tensor:
        bins = mixture.shape[-1]
        a = output[..., :bins].abs().add_(TINY)
        total = output[..., bins:].abs().add_(TINY).add_(a)
        mask = a.div_(total)
        first = mask * mixture
        second = mixture - first
        divergence = DIVERGENCES[loss.divergence]
        value, slope = divergence(first, voice)
        value_2, slope_2 = divergence(second, other)
        value, slope = value.sum() + value_2.sum(), slope.sub_(slope_2)
        if loss.discriminative:
            for estimate, wrong, sign in ((first, other, 1.0), (second, voice, -1.0)):
                away, away_slope = divergence(estimate, wrong)
                value = value - loss.discriminative * away.sum()
                slope = slope.sub_(away_slope, alpha=sign * loss.discriminative)
        count = 2 * mixture.numel()
        # By the second source's mask the derivative is the same with the sign changed.
        by_mask = slope.mul_(mixture).div_(total).div_(count)
        ctx.save_for_backward(by_mask, mask, output)
        return value / count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        by_mask, mask, output = ctx.saved_tensors
        bins = mask.shape[-1]
        signs = output.sign()
        shared = by_mask * mask
        result = torch.empty_like(output)
        torch.mul(by_mask - shared, signs[..., :bins], out=result[..., :bins])
        torch.mul(shared.neg_(), signs[..., bins:], out=result[..., bins:])
        return result.mul_(grads[0]), None, None, None, None


def masked(output: Tensor, mixture: Tensor, voice: Tensor, other: Tensor, loss: Loss) -> Tensor:
    """Return `loss` of both sources after the joint mask layer (shapes as in `Loss.__call__`)."""
    return _MaskedLoss.apply(output, mixture, voice, other, loss)  # type: ignore[no-any-return]
