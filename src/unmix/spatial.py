"""Spatial covariances, the multichannel Wiener filter and the EM-like iteration around it.

Paper: A. A. Nugraha, A. Liutkus, E. Vincent, "Multichannel audio source separation with deep neural
networks", Inria RR-8740, 2015 (`nugraha`).

The image c_j of a source is Gaussian, with the covariance v_j(f, n) R_j(f) (Eq. 2): a power
spectral density (PSD), and a matrix between the channels that does not change over time. Axes have
the same words everywhere:

| what | shape |
| --- | --- |
| mixture x | `(channels, bins, frames)`, complex |
| images c | `(sources, channels, bins, frames)`, complex |
| PSDs v | `(sources, bins, frames)`, in the square of the mixture's unit |
| covariances R | `(sources, bins, channels, channels)`, complex, without unit |

With y = (sum_j v_j R_j + delta_1 I)^-1 x, Eq. 4 is c_j = v_j R_j y. So what an iteration needs of
the images is had without them: sum_n c_j c_j^H = R_j (sum_n v_j^2 y y^H) R_j^H, and z_j (Section
3.2) = v_j^2 y^H M_j y with M_j = R_j^H (R'_j + delta_2 I)^-1 R_j, R' being R after its update. Both
are products of matrices over frames, which go by in blocks, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unmix.errors import AudioError, SpecError

BLOCK = 32
"""Frames that are in work at once: few, so that they stay in the cache of a processor."""

DELTA = 1e-10
"""delta_1 where there is no reason for another one."""

STEADY = 1e-10
"""delta_1 is at least so much of the mean of the mixture covariance's diagonal in the same bin.
Otherwise identical channels, whose covariances have rank 1, leave rounding noise to be inverted."""

EPSILON = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class SpatialModel:
    """What the iteration knows of the sources: `psds` and `covariances`, see the module's head."""

    psds: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        sources, bins, _ = self.psds.shape
        if self.covariances.shape[:2] != (sources, bins):
            raise SpecError(
                f"PSDs of {sources} sources and {bins} bins, covariances of shape "
                f"{tuple(self.covariances.shape)}",
                expected="covariances (sources, bins, channels, channels)",
            )
        if bool((self.psds < 0).any()):
            raise SpecError("a PSD below zero", expected="powers, zero or more")

    @classmethod
    def isotropic(cls, psds: Tensor, channels: int) -> SpatialModel:
        """Return the model before the first iteration: every R_j is the identity (Algorithm 1)."""
        eye = torch.eye(channels, dtype=torch.complex128, device=psds.device)
        return cls(psds, eye.expand(*psds.shape[:2], channels, channels))

    @classmethod
    def alike(cls, mixture: Tensor, sources: int) -> SpatialModel:
        """Return the model in which all sources have the mixture's own PSD (Systems I and II)."""
        psds = mean_power(mixture).expand(sources, *mixture.shape[1:])
        return cls.isotropic(psds, len(mixture))

    @classmethod
    def of(cls, true: Tensor) -> SpatialModel:
        """Return the model that fits images `(sources, channels, bins, frames)` best."""
        psds = mean_power(true)
        energy = torch.einsum("jifn,jkfn->jfik", true, true.conj()).to(torch.complex128)
        power = psds.double().sum(-1)[..., None, None]
        eye = torch.eye(true.shape[1], dtype=energy.dtype, device=energy.device)
        tiny = torch.finfo(torch.float64).tiny
        return cls(psds, torch.where(power > 0, energy / power.clamp(min=tiny), eye))


def check_mixture(mixture: Tensor) -> None:
    """Refuse what cannot be filtered.

    Raises:
        AudioError: the shape is wrong, a value is not finite, or all of it is silent.
    """
    if mixture.ndim != 3 or not mixture.numel() or not mixture.is_complex():
        raise AudioError(
            f"a mixture's spectrum of shape {tuple(mixture.shape)}, {mixture.dtype}",
            expected="(channels, bins, frames), complex, none of them zero",
        )
    if not bool(torch.isfinite(torch.view_as_real(mixture)).all()):
        raise AudioError("the mixture is not finite", expected="sound without NaN and infinity")
    if not bool(mixture.any()):
        raise AudioError("the mixture is silent", expected="sound to separate")


def mean_power(spectra: Tensor) -> Tensor:
    """Return the mean over channels of the PSDs of `(..., channels, bins, frames)`."""
    return spectra.abs().square().mean(-3)


def filtered(
    mixture: Tensor, model: SpatialModel, delta: float, block: int = BLOCK
) -> Iterator[tuple[int, Tensor]]:
    """Yield `(first frame, images)` of blocks of frames by the multichannel Wiener filter (Eq. 4).

    Images have the mixture's type, `(sources, channels, bins, frames of the block)`.
    """
    sources, channels = len(model.psds), len(mixture)
    known = model.covariances.transpose(0, 1).flatten(1, 2)  # (bins, sources * channels, channels)
    # Complex products as real ones: the rows are real parts, then imaginary ones.
    weights = torch.cat(
        [torch.cat([known.real, -known.imag], 2), torch.cat([known.imag, known.real], 2)], 1
    ).double()
    for part, y in _whitened(mixture, model, delta, block):
        spread = torch.bmm(weights, y.flatten(0, 1).transpose(0, 1))
        spread = spread.unflatten(1, (2, sources, channels))
        found = spread * model.psds[:, :, part].double().transpose(0, 1)[:, None, :, None]
        planes = found.to(mixture.real.dtype).permute(2, 3, 0, 4, 1).contiguous()
        yield part.start, torch.view_as_complex(planes)


def images(mixture: Tensor, model: SpatialModel, delta: float) -> Tensor:
    """Return the images `(sources, channels, bins, frames)` of all frames at once (Eq. 4).

    Raises:
        AudioError: see `check_mixture`.
    """
    check_mixture(mixture)
    return torch.cat([found for _, found in filtered(mixture, model, delta)], dim=-1)


def updated(
    mixture: Tensor, model: SpatialModel, delta: float, by: str = "images", block: int = BLOCK
) -> Tensor:
    """Return covariances after a separation step: sum_n c_j c_j^H over a sum of PSDs.

    Args:
        mixture: `(channels, bins, frames)`.
        model: before the update.
        delta: delta_1 of the separation step.
        by: over the PSDs of the `images` themselves, their mean over channels (Systems I and II),
            or over the model's `psds` (System III).
        block: frames at once.

    Returns:
        `(sources, bins, channels, channels)`. Where a source has no power in a bin, its covariance
        there stays what it was.
    """
    if by not in ("images", "psds"):
        raise SpecError(f"covariances by '{by}'", expected="images or psds")
    channels = len(mixture)
    total: Tensor | float = 0.0
    for part, y in _whitened(mixture, model, delta, block):
        weights = model.psds[:, :, part].double().square().transpose(0, 1)  # (bins, sources, n)
        total = total + torch.bmm(weights, _planes(y).transpose(1, 2))
    assert isinstance(total, Tensor)
    inner = _hermitian(total, channels)
    known = model.covariances.to(torch.complex128)
    energy = known @ inner @ known.mH
    power = (
        energy.diagonal(dim1=-2, dim2=-1).real.mean(-1)
        if by == "images"
        else model.psds.double().sum(-1)
    )
    found = energy / power.clamp(min=torch.finfo(torch.float64).tiny)[..., None, None]
    return torch.where((power > 0)[..., None, None], found, known)


def heard(
    mixture: Tensor,
    model: SpatialModel,
    after: Tensor,
    deltas: tuple[float, float],
    block: int = BLOCK,
) -> Iterator[tuple[int, Tensor]]:
    """Yield `(first frame, z)`, `(sources, bins, frames of the block)`: what the networks hear.

    z_j = tr((R'_j + delta_2 I)^-1 c_j c_j^H) (Section 3.2.1).

    Args:
        mixture: `(channels, bins, frames)`.
        model: that the separation step had.
        after: covariances R' after the update.
        deltas: delta_1 and delta_2.
        block: frames at once.
    """
    known = model.covariances.to(torch.complex128)
    eye = torch.eye(len(mixture), dtype=torch.complex128, device=known.device)
    middle = known.mH @ torch.linalg.solve(after.to(torch.complex128) + deltas[1] * eye, known)
    yield from _forms(mixture, model, middle, deltas[0], block)


def fitted(
    mixture: Tensor, model: SpatialModel, deltas: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Return covariances after a separation step (by `images`), and z of all frames."""
    after = updated(mixture, model, deltas[0])
    return after, torch.cat([part for _, part in heard(mixture, model, after, deltas)], dim=-1)


def powers(
    mixture: Tensor, model: SpatialModel, delta: float, block: int = BLOCK
) -> Iterator[tuple[int, Tensor]]:
    """Yield `(first frame, mean_power of the images)` of a separation step, block by block.

    As the next iteration's PSDs they make the EM-like iteration without any network.
    """
    known = model.covariances.to(torch.complex128)
    yield from _forms(mixture, model, known.mH @ known / len(mixture), delta, block)


def _forms(
    mixture: Tensor, model: SpatialModel, middle: Tensor, delta: float, block: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield `(first frame, v_j^2 y^H M_j y)`, M_j being Hermitian `(..., channels, channels)`."""
    weights = _coefficients(middle).transpose(0, 1)  # (bins, sources, planes)
    for part, y in _whitened(mixture, model, delta, block):
        form = torch.bmm(weights, _planes(y)).transpose(0, 1)
        power = model.psds[:, :, part].double().square()
        # Rounding may take a form of rank 1 a hair below zero.
        yield part.start, (power * form).clamp(min=0.0)


def smallest(
    mixture: Tensor, model: SpatialModel, among: Sequence[float], block: int = BLOCK
) -> float:
    """Return the smallest delta_1 that leaves every bin's covariance invertible (System IIIb).

    A matrix counts as invertible where its smallest eigenvalue is above the rounding error of
    float64 at its largest; the paper says no more than "numerically invertible".

    Raises:
        SpecError: with none of them all are.
    """
    left = sorted(among)
    for first in range(0, mixture.shape[2], block):
        part = slice(first, first + block)
        low, high = _eigenvalues(_together(model, part), len(mixture))
        while left and bool((low + left[0] <= EPSILON * (high + left[0])).any()):
            left.pop(0)
    if not left:
        raise SpecError(
            f"no regularisation among {', '.join(f'{each:g}' for each in among)} makes every "
            "covariance of the mixture invertible",
            expected="a largest coefficient above the rounding error of the loudest bin",
        )
    return left[0]


def _whitened(
    mixture: Tensor, model: SpatialModel, delta: float, block: int
) -> Iterator[tuple[slice, Tensor]]:
    """Yield `(frames, y)`, y being `(2, channels, bins, frames)`, real and imaginary parts.

    Torch is several times faster at them than at complex numbers.
    """
    if delta < 0:
        raise SpecError(f"a regularisation of {delta}", expected="zero or more")
    channels, _, frames = mixture.shape
    for first in range(0, frames, block):
        part = slice(first, min(first + block, frames))
        planes = _together(model, part)
        diagonal = planes[:, :channels]
        least = STEADY * diagonal.mean(1, keepdim=True)
        diagonal += least.clamp(min=max(delta, torch.finfo(torch.float64).tiny ** 0.25))
        x = torch.view_as_real(mixture[:, :, part]).permute(3, 0, 1, 2).double()
        yield part, _solved(planes, x)


def _together(model: SpatialModel, part: slice) -> Tensor:
    """Return the planes `(bins, channels**2, frames)` of the sum over sources of v_j R_j."""
    weights = _of_matrix(model.covariances.to(torch.complex128)).permute(1, 2, 0)
    return torch.bmm(weights, model.psds[:, :, part].double().transpose(0, 1))


def _solved(planes: Tensor, x: Tensor) -> Tensor:
    """Return the solution of Hermitian systems; by the inverse's own formula up to two channels."""
    channels = x.shape[1]
    if channels == 1:
        return x / planes[:, 0]
    if channels == 2:
        a, d, real, imag = planes.unbind(1)
        scale = 1.0 / (a * d - real.square() - imag.square())
        a, d, real, imag = a * scale, d * scale, real * scale, imag * scale
        (left, right), (left_i, right_i) = x
        return torch.stack(
            [
                torch.stack(
                    [
                        d * left - real * right + imag * right_i,
                        a * right - real * left - imag * left_i,
                    ]
                ),
                torch.stack(
                    [
                        d * left_i - real * right_i - imag * right,
                        a * right_i - real * left_i + imag * left,
                    ]
                ),
            ]
        )
    matrix = _matrix(planes.transpose(1, 2), channels)  # (bins, frames, channels, channels)
    found = torch.linalg.solve(matrix, torch.complex(*x).permute(1, 2, 0))
    return torch.view_as_real(found).permute(3, 2, 0, 1)


def _pairs(channels: int) -> Tensor:
    """Return the rows and columns above the diagonal, `(2, pairs)`."""
    return torch.triu_indices(channels, channels, 1)


def _of_matrix(matrix: Tensor) -> Tensor:
    """Return `(..., channels**2)` reals: the diagonal, then real and imaginary parts above it."""
    row, column = _pairs(matrix.shape[-1])
    above = matrix[..., row, column]
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).real
    return torch.cat([diagonal, above.real, above.imag], dim=-1)


def _matrix(planes: Tensor, channels: int) -> Tensor:
    """Return the Hermitian matrices whose `_of_matrix` are `(..., channels**2)` reals."""
    row, column = _pairs(channels)
    count = row.numel()
    diagonal, real, imag = planes.split([channels, count, count], dim=-1)
    found = torch.diag_embed(diagonal).to(torch.complex128)
    found[..., row, column] = torch.complex(real, imag)
    found[..., column, row] = torch.complex(real, -imag)
    return found


def _hermitian(planes: Tensor, channels: int) -> Tensor:
    """Return matrices `(sources, bins, channels, channels)` of planes `(bins, sources, c**2)`."""
    return _matrix(planes.transpose(0, 1), channels)


def _planes(y: Tensor) -> Tensor:
    """Return the planes `(bins, channels**2, frames)` of y y^H."""
    row, column = _pairs(y.shape[1])
    (a, b), (c, d) = y[:, row], y[:, column]
    return torch.cat([y.square().sum(0), a * c + b * d, b * c - a * d]).transpose(0, 1)


def _coefficients(matrix: Tensor) -> Tensor:
    """Return what the planes of y y^H are multiplied by to make y^H M y, for Hermitian M."""
    planes = _of_matrix(matrix)
    channels = matrix.shape[-1]
    return torch.cat([planes[..., :channels], 2.0 * planes[..., channels:]], dim=-1)


def _eigenvalues(planes: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest eigenvalue of Hermitian matrices, `(bins, frames)`."""
    if channels == 1:
        return planes[:, 0], planes[:, 0]
    values = torch.linalg.eigvalsh(_matrix(planes.transpose(1, 2), channels))
    return values[..., 0], values[..., -1]
