"""BSS Eval 3 for mono sources: SDR, SIR and SAR with distortion filters of a given length.

An estimate is split into what a filtered target explains, what the filtered other sources explain
besides, and the rest (Vincent, Gribonval, Fevotte 2006):

    s_target = P_j e,   e_interf = P e - P_j e,   e_artif = e - P e,

where P_j projects onto the target delayed by 0 ... taps - 1 samples and P onto all sources so
delayed. With G the Gram matrix of the delayed references, d their products with the estimate and
G = L L^T, the energies need no projection in time: |P e|^2 = |L^-1 d|^2, and with the target's
block first, |P_j e|^2 is the same sum over its first `taps` entries. So one factorisation for each
target serves every estimate of these references.

Everything is float64: single precision costs up to 0.03 dB.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unmix.errors import UnmixError

JITTER = (0.0, 1e-14, 1e-13, 1e-12)
"""Multiples of the Gram matrix's mean diagonal added to it until it can be factorised (references
that are copies of each other make it singular)."""


CEILING = 100.0
"""Scores above it, in dB, are set to it: what is left is rounding noise (the mixture as an estimate
has no artefacts at all, so its SAR is infinite in exact arithmetic)."""


def bss_eval_sources(
    references: Tensor,
    estimates: Tensor,
    taps: int = 512,
    targets: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Score estimates of one clip against its references, BSS Eval 3, sources, whole clip.

    Args:
        references: `(sources, samples)`.
        estimates: `(systems, sources, samples)`; estimate j of each system belongs to source j.
        taps: length of the distortion filters; 512 is version 3's, 1 allows for a gain only.
        targets: numbers of the sources to score; each costs one factorisation. None: all.

    Returns:
        SDR, SIR and SAR in dB, each `(systems, sources)`, float64, at most `CEILING`; nan for
        sources that are not in `targets`. A silent reference makes all of the clip's scores nan, a
        silent estimate its own.

    Raises:
        UnmixError: shapes do not belong together, or samples are not finite.
    """
    references, estimates = references.double(), estimates.double()
    if (
        references.ndim != 2
        or estimates.ndim != 3
        or estimates.shape[1:] != references.shape
        or references.shape[1] < 1
        or taps < 1
    ):
        raise UnmixError(
            f"references of shape {tuple(references.shape)}, estimates of shape "
            f"{tuple(estimates.shape)} and {taps} taps",
            expected="(sources, samples), (systems, sources, samples) and at least 1 tap",
        )
    if not (references.isfinite().all() and estimates.isfinite().all()):
        raise UnmixError("sound to be scored holds NaN or infinity", expected="finite samples")
    # The scores do not depend on levels; the arithmetic does, at 1e-12.
    references = _levelled(references)
    estimates = _levelled(estimates)
    systems, sources, _ = estimates.shape
    results = torch.full((3, systems, sources), torch.nan, dtype=torch.float64)
    if (references.square().sum(-1) == 0).any():
        return results[0], results[1], results[2]
    lags, cross = _correlations(references, estimates, taps)
    energy = estimates.square().sum(-1)
    for j in range(sources) if targets is None else targets:
        order = [j, *(k for k in range(sources) if k != j)]
        factor = _factor(_gram(lags[order][:, order], taps))
        products = cross[:, j, order, :].reshape(systems, -1).T
        solved = torch.linalg.solve_triangular(factor, products, upper=False).square()
        target = solved[:taps].sum(0)
        interference = solved[taps:].sum(0)
        artefacts = (energy[:, j] - target - interference).clamp(min=0.0)
        results[0, :, j] = _decibel(target, interference + artefacts)
        results[1, :, j] = _decibel(target, interference)
        results[2, :, j] = _decibel(target + interference, artefacts)
    results[:, energy == 0] = torch.nan
    return results[0], results[1], results[2]


def _levelled(sound: Tensor) -> Tensor:
    """Scale each sound `(..., samples)` to unit energy, and leave silence alone."""
    # Dividing by the peak first keeps the squares of very small samples in range.
    sound = sound / sound.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(sound.dtype).tiny)
    return sound / sound.square().sum(-1, keepdim=True).sqrt().clamp(min=1e-300)


def _correlations(references: Tensor, estimates: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """Return correlations at lags up to `taps - 1`.

    Returns:
        between references, `(sources, sources, 2 * taps - 1)`: entry [i, k, taps - 1 + l] is the
        sum over n of r_i[n] r_k[n + l]; and of references with estimates,
        `(systems, sources, sources, taps)`: entry [s, j, i, l] sums r_i[n] e_sj[n + l].
    """
    samples = references.shape[1]
    length = 1 << (samples + taps - 1).bit_length()
    spectra = torch.fft.rfft(references, length)
    between = torch.fft.irfft(spectra.conj()[:, None] * spectra[None], length)
    lags = torch.cat([between[..., length - taps + 1 :], between[..., :taps]], dim=-1)
    others = torch.fft.rfft(estimates, length)
    cross = torch.fft.irfft(spectra.conj()[None, None] * others[:, :, None], length)[..., :taps]
    return lags, cross


def _gram(lags: Tensor, taps: int) -> Tensor:
    """Return the block-Toeplitz Gram matrix `(sources * taps, sources * taps)`.

    Block (i, k) holds at [a, b] the product of r_i delayed by a and r_k delayed by b.
    """
    sources = lags.shape[0]
    a = torch.arange(taps)
    index = (taps - 1) + a[:, None] - a[None, :]
    return lags[:, :, index].permute(0, 2, 1, 3).reshape(sources * taps, sources * taps)


def _factor(gram: Tensor) -> Tensor:
    """Return the lower Cholesky factor, with the least of `JITTER` that lets it exist."""
    scale = gram.diagonal().mean()
    for jitter in JITTER:
        loaded = gram if jitter == 0.0 else gram + jitter * scale * torch.eye(len(gram)).double()
        factor, failed = torch.linalg.cholesky_ex(loaded)
        if not failed:
            return factor
    raise UnmixError(
        "the references of a clip are so alike that BSS Eval's equations have no solution",
        do="check whether two sources of the clip are the same file",
    )


def _decibel(over: Tensor, under: Tensor) -> Tensor:
    return (10.0 * torch.log10(over / under)).clamp(max=CEILING)
