"""What an estimate consists of: target, spatial distortion, interference, artefacts, as energies.

BSS Eval (Vincent, Gribonval, Fevotte 2006; images: Vincent et al. 2012) splits an estimate e of
source s into

    e = s + e_spat + e_interf + e_artif,
    e_spat = P_s e - s,   e_interf = P e - P_s e,   e_artif = e - P e,

with P_s the projection onto the delayed channels of the source and P onto those of all sources.
Here e is first split into b s + x with the best gain b. Projections leave s alone, so P e = b s +
P x: with a the filters of P x and a_s those of P_s x, everything is small where the estimate is
good, and no difference of large energies has to be taken. Filtered references need never be
computed: the energy of a filtered sum of sounds is a sum over lags of the filters' correlations
times the sounds' correlations. The same formulas serve filters that belong to the very sound
(version 3) and filters that belong to the whole song of which the sound is a frame (version 4).

Axes: W frames (or clips), B sets of filters (W, or 1 for all frames), Y systems, J sources,
C channels, M = J C references, T taps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from unmix.metrics.correlations import lags_of_spans
from unmix.metrics.toeplitz import BlockToeplitz


class Correlations(NamedTuple):
    """Everything that is known of a set of sounds.

    Attributes:
        references: of references with references, `(W, M, M, T)`.
        estimates: of references with estimates, `(W, M, Y, J, C, T)`.
        energies: of the estimates, summed over channels, `(W, Y, J)`.
    """

    references: Tensor
    estimates: Tensor
    energies: Tensor


class Energies(NamedTuple):
    """Energies of the parts of estimates, each `(W, Y, J)`.

    Attributes:
        source: of s.
        estimate: of e.
        error: of e - s.
        target: of P_s e, which is s + e_spat.
        spatial: of e_spat.
        interference: of e_interf.
        artefacts: of e_artif.
        projection: of P e.
        rest: of e - P_s e, which is e_interf + e_artif.
    """

    source: Tensor
    estimate: Tensor
    error: Tensor
    target: Tensor
    spatial: Tensor
    interference: Tensor
    artefacts: Tensor
    projection: Tensor
    rest: Tensor


@dataclass(frozen=True)
class Filters:
    """The filters of a set of estimates.

    Attributes:
        gain: b, `(B, Y, J)`.
        everything: a, `(B, M, Y, J, C, T)`.
        own: a_s, `(B, J, C, Y, C, T)`; the first C is the reference's channel.
    """

    gain: Tensor
    everything: Tensor
    own: Tensor


class Projector:
    """The references' side of the equations: factorised once, used for every estimate."""

    def __init__(self, references: Tensor, channels: int, spare: Projector | None = None) -> None:
        """Factorise the Gram matrices of all sources together and of each alone.

        Args:
            references: lags `(B, M, M, T)`.
            channels: C.
            spare: a projector that is needed no more, whose memory is taken over.
        """
        self.lags, self.channels = references, channels
        together, alone = (spare.together, spare.alone) if spare is not None else (None, None)
        self.together: BlockToeplitz = BlockToeplitz(references, together)
        own = _own_lags(references, channels).flatten(0, 1)
        self.alone: BlockToeplitz = BlockToeplitz(own, alone)

    def filters(self, estimates: Tensor) -> Filters:
        """Return the filters for estimates.

        Args:
            estimates: lags of references with estimates, `(B, M, Y, J, C, T)`.
        """
        channels = estimates.shape[4]
        source = _source_energies(self.lags, channels)[:, None]
        gain = torch.where(source > 0, _products(estimates) / source, 0.0)
        x = _remainder(estimates, gain, self.lags)
        everything = self.together.solve(x.flatten(2, 4)).reshape(x.shape)
        own = _of_own(x, channels)  # (B, J, C, Y, C, T)
        alone = self.alone.solve(own.flatten(0, 1).flatten(2, 3))
        return Filters(gain, everything, alone.reshape(own.shape))


def energies_of(correlations: Correlations, filters: Filters) -> Energies:
    """Return the energies of all parts (see the module's head for the formulas)."""
    references, estimates, energy = correlations
    channels = estimates.shape[4]
    b, a, own = filters.gain, filters.everything, filters.own
    source = _source_energies(references, channels)[:, None].expand_as(energy)
    product = _products(estimates)
    x = _remainder(estimates, b, references)
    x_energy = (energy - 2 * b * product + b**2 * source).clamp(min=0)
    x_source = product - b * source
    own_lags = _own_lags(references, channels)  # (W, J, C, C, T)

    all_energy = _quadratic(a, references)
    own_energy = _own_quadratic(own, own_lags)
    between = a.clone()
    for j in range(own.shape[1]):
        between[:, j * channels : (j + 1) * channels, :, j] -= own[:, j]
    with_all = _contract("wijcl,biyjcl->wyj", _target_lags(references, channels)[:, :, 0], a)
    with_own = _contract("wjicl,bjiycl->wyj", own_lags, own)
    x_with_all = _contract("wiyjcl,biyjcl->wyj", x, a)
    x_with_own = _contract("wjiycl,bjiycl->wyj", _of_own(x, channels), own)

    return Energies(
        source=source,
        estimate=energy,
        error=x_energy + 2 * (b - 1) * x_source + (b - 1) ** 2 * source,
        target=own_energy + 2 * b * with_own + b**2 * source,
        spatial=own_energy + 2 * (b - 1) * with_own + (b - 1) ** 2 * source,
        interference=_quadratic(between, references),
        artefacts=x_energy - 2 * x_with_all + all_energy,
        projection=all_energy + 2 * b * with_all + b**2 * source,
        rest=x_energy - 2 * x_with_own + own_energy,
    )


def _source_energies(references: Tensor, channels: int) -> Tensor:
    """Return the energies `(W, J)` of the sources over their channels."""
    return references[..., 0].diagonal(dim1=1, dim2=2).unflatten(1, (-1, channels)).sum(-1)


def _target_lags(references: Tensor, channels: int) -> Tensor:
    """Return the lags of all references with those of each source, `(W, M, 1, J, C, T)`."""
    return references.unflatten(2, (-1, channels))[:, :, None]


def _remainder(estimates: Tensor, gain: Tensor, references: Tensor) -> Tensor:
    """Return the lags of x: those of the estimates less those of the scaled references."""
    target = _target_lags(references, estimates.shape[4])
    return estimates - gain[:, None, :, :, None, None] * target


def _own_lags(references: Tensor, channels: int) -> Tensor:
    """Return the lags among each source's channels, `(W, J, C, C, T)`."""
    blocks = references.unflatten(2, (-1, channels)).unflatten(1, (-1, channels))
    return blocks.diagonal(dim1=1, dim2=3).permute(0, 4, 1, 2, 3)


def _of_own(lags: Tensor, channels: int) -> Tensor:
    """Return the lags of each estimate with its own source's channels, `(W, J, C, Y, C, T)`."""
    blocks = lags.unflatten(1, (-1, channels))
    return blocks.diagonal(dim1=1, dim2=4).permute(0, 5, 1, 2, 3, 4)


def _products(estimates: Tensor) -> Tensor:
    """Return the products of estimates with their own source, `(W, Y, J)`."""
    own = _of_own(estimates, estimates.shape[4])[..., 0]
    return own.diagonal(dim1=2, dim2=4).sum(-1).transpose(1, 2)


def _contract(equation: str, lags: Tensor, filters: Tensor) -> Tensor:
    """Contract lags of W frames with B sets of filters, B being W or 1."""
    if len(filters) == 1:
        return torch.einsum(equation.replace("b", ""), lags, filters[0])
    return torch.einsum(equation.replace("b", "w"), lags, filters)


def _quadratic(filters: Tensor, references: Tensor) -> Tensor:
    """Return the energies `(W, Y, J)` of references filtered and summed."""
    return _contract("wikl,byjikl->wyj", references, _weights(filters.permute(0, 2, 3, 1, 4, 5)))


def _own_quadratic(own: Tensor, own_lags: Tensor) -> Tensor:
    """Return the energies `(W, Y, J)` of each source's channels filtered and summed."""
    return _contract("wjikl,bjyikl->wyj", own_lags, _weights(own.permute(0, 1, 3, 2, 4, 5)))


def _weights(filters: Tensor) -> Tensor:
    """Return what the lags of references count in the energy of their filtered sum.

    Args:
        filters: `(..., references, outputs, T)`.

    Returns:
        correlations of the filters, summed over outputs, `(..., references, references, T)`.
    """
    taps = filters.shape[-1]
    spectra = torch.fft.rfft(filters, 2 * taps).movedim(-1, -3)
    weights = torch.fft.irfft((spectra @ spectra.mH).movedim(-3, -1), 2 * taps)[..., :taps]
    # Lags below zero: the pair the other way round.
    return torch.cat([weights[..., :1], 2 * weights[..., 1:]], dim=-1)


class Parts(NamedTuple):
    """An estimate's parts as sounds, each `(sources, channels, samples + T - 1)`; their sum is it.

    Attributes:
        target: s + e_spat, the reference through its filters.
        spatial: e_spat, which is in `target` (what version 3's images count as an error).
        interference: e_interf.
        artefacts: e_artif.
    """

    target: Tensor
    spatial: Tensor
    interference: Tensor
    artefacts: Tensor


def parts_of(references: Tensor, estimates: Tensor, taps: int = 512) -> Parts:
    """Split the estimates of one system into their parts, to be heard and drawn.

    Args:
        references: `(sources, channels, samples)`.
        estimates: the same shape.
        taps: length of the distortion filters.
    """
    sources, channels, samples = references.shape
    true, found = (each.double().flatten(0, 1) for each in (references, estimates))
    lags = lags_of_spans(true[:, None], true[:, None], taps)
    products = lags_of_spans(true[:, None], found[:, None], taps)
    filters = Projector(lags, channels).filters(products.unflatten(2, (1, sources, channels)))
    gain = filters.gain[0, 0, :, None, None]
    scaled = torch.nn.functional.pad(gain * references.double(), (0, taps - 1))
    length = samples + taps - 1
    size = 1 << (length - 1).bit_length()
    spectra = torch.fft.rfft(true, size)
    everything = torch.fft.rfft(filters.everything[0, :, 0], size)  # (M, J, C, bins)
    projection = torch.einsum("mf,mjcf->jcf", spectra, everything)
    own = torch.fft.rfft(filters.own[0, :, :, 0], size)  # (J, C, C, bins)
    alone = torch.einsum("jif,jicf->jcf", spectra.unflatten(0, (sources, channels)), own)
    with_all, with_own = (
        scaled + torch.fft.irfft(each, size)[..., :length] for each in (projection, alone)
    )
    whole, reference = (
        torch.nn.functional.pad(each.double(), (0, taps - 1)) for each in (estimates, references)
    )
    return Parts(with_own, with_own - reference, with_all - with_own, whole - with_all)
