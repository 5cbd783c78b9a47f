"""Masks: one function an equation.

A mask is real, in [0, 1], and has the shape of the spectrogram that it multiplies. All functions
take non-negative magnitudes (or complex spectra where said) of any equal shapes.
"""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-8
"""Added to both magnitudes of a ratio, so that silence against silence is shared half and half."""


def soft(first: Tensor, second: Tensor) -> Tensor:
    """Soft mask of the first source, parwal Eq. 4 (and 6): |a| / (|a| + |b|).

    The mask of the second source is one minus this one, also where both are zero.
    Applying it again to the masked spectra changes nothing: mz / (mz + (1 - m)z) = m.
    """
    a = first.abs() + TINY
    return a / (a + second.abs() + TINY)


def binary(first: Tensor, second: Tensor) -> Tensor:
    """Binary mask of the first source: 1 where |a| > |b|, else 0 (parwal Sec. IV.C)."""
    return (first.abs() > second.abs()).to(first.abs().dtype)


def printed(first: Tensor, second: Tensor, gain: float = 1.0) -> Tensor:
    """Mask of lai's Eq. 8 as it is printed, |F| / |F + gain B|, at most 1.

    Of magnitudes it is `soft`. Of spectra with signs or phases it exceeds 1 wherever F and B point
    against each other, and has a pole where they cancel: hence the limit, and hence `soft`, whose
    two masks add up to 1, is what the experiments use.
    """
    together = (first + gain * second).abs()
    return (first.abs() / (together + TINY)).clamp(max=1.0)


def clipped_ratio(estimate: Tensor, mixture: Tensor) -> Tensor:
    """Mask of a single estimated source: min(|a| / |x|, 1).

    parwal leaves open how a network with one output is masked, since Eq. 4 needs two.
    """
    return (estimate.abs() / (mixture.abs() + TINY)).clamp(max=1.0)


def wiener(magnitudes: Tensor, exponent: float = 2.0) -> Tensor:
    """Single-channel Wiener filter of several sources (uhlich Sec. 3): |s_j|^p / sum |s_i|^p.

    The exponent is the paper's silence; with 2 it is the ratio of powers. The masks add up to 1;
    where all magnitudes vanish they are equal.

    Args:
        magnitudes: `(sources, ...)`, not negative.
        exponent: the power.
    """
    largest = magnitudes.amax(0)
    # Against the largest, so that no power of a small number becomes zero.
    powers = torch.where(largest > 0.0, magnitudes / largest, 1.0) ** exponent
    return powers / powers.sum(0)


def ideal_ratio(target: Tensor, accompaniment: Tensor) -> Tensor:
    """Oracle: the soft mask of the true magnitudes (IRM)."""
    return soft(target, accompaniment)


def ideal_binary(target: Tensor, accompaniment: Tensor) -> Tensor:
    """Oracle: the binary mask of the true magnitudes (IBM)."""
    return binary(target, accompaniment)


def phase_sensitive(target: Tensor, mixture: Tensor) -> Tensor:
    """Oracle: Re(S / X) clipped to [0, 1], from complex spectra (Erdogan et al. 2015).

    It is the real mask in [0, 1] whose estimate has the least squared error in every bin.
    """
    power = mixture.real.square() + mixture.imag.square()
    ratio = torch.real(target * mixture.conj()) / (power + TINY**2)
    return ratio.clamp(0.0, 1.0)
