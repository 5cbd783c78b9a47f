"""Least squares on delayed references: the normal equations of BSS Eval, solved by their structure.

Projecting a sound x onto the span of M references, each delayed by 0 ... T - 1 samples, asks for
filters a with G a = d: G is the Gram matrix of the delayed references, d their products with x.
Both consist of correlations. With c[i, k, l] = sum over n of r_i[n] r_k[n + l], and with rows
ordered by delay first and reference second, G is block Toeplitz: block (a, b) is c[:, :, a - b].
Three things follow.

- **Factor.** The block Schur algorithm turns the first rows of G into its Cholesky factor by
  hyperbolic reflections: M (M T)^2 operations instead of (M T)^3 / 3. Several delays taken as one
  block let matrix products carry it. The second half of each reflection is applied in orthogonal
  form, which keeps the algorithm backward stable (Bojanczyk, Brent, de Hoog, Sweet 1995).
- **Loading.** Copies of a reference, or one sound panned to two channels, make G singular, or as
  good as singular where rounding is all that tells the channels apart. A part of its diagonal is
  added before the factorisation, a hundred times what rounding does to G: what is smaller cannot be
  told from noise, and filters that follow it would be noise of any size.
- **Refinement.** One step with the residual against the *unloaded* G (a few short FFTs) removes
  what loading and rounding did to everything larger.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from unmix.errors import UnmixError

LOADING = (1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)
"""Parts of its diagonal added to the Gram matrix: the next one where the last gave no factor. (In
float64 that happens to what is no Gram matrix; in float32 some are needed.)"""

ROWS = 16
"""Rows of a block of the factorisation, about: few cost calls, many cost arithmetic."""


class BlockToeplitz:
    """Gram matrices of a batch of sets of delayed references, factorised once for any products."""

    def __init__(self, lags: Tensor, spare: BlockToeplitz | None = None) -> None:
        """Factorise.

        Args:
            lags: correlations `(batch, references, references, taps)`, float64: entry
                [s, i, k, l] sums r_i[n] r_k[n + l]. A silent reference is allowed: it spans
                nothing, and its filters are zero.
            spare: matrices of the same shape that are needed no more, whose memory is taken over
                (fresh memory costs a third of the time).

        Raises:
            UnmixError: no loading makes a matrix positive definite (lags that are no correlations).
        """
        self.taps = lags.shape[-1]
        energies = lags[..., 0].diagonal(dim1=1, dim2=2)
        # Levels span many orders of magnitude; the equations do not care once they are unit.
        self._scale = torch.where(energies > 0, energies, torch.inf).rsqrt()
        lags = lags * (self._scale[:, :, None] * self._scale[:, None, :])[..., None]
        own = torch.arange(lags.shape[1], device=lags.device)
        lags[:, own, own, 0] = 1.0
        self._lags = lags
        self._spectrum = torch.fft.rfft(_circulant(lags)).permute(0, 3, 1, 2).contiguous()
        self._rung = torch.zeros(len(lags), dtype=torch.long)
        self._upper: Tensor
        taken = spare._upper if spare is not None and len(spare._upper) == len(lags) else None
        self._upper, served = schur(lags, self._loading(), ROWS, taken)
        self._raise_loading(torch.arange(len(lags))[~served])

    def solve(self, products: Tensor) -> Tensor:
        """Return the filters of least squares, `(batch, references, columns, taps)`.

        Args:
            products: `(batch, references, columns, taps)`: entry [s, i, q, l] sums
                r_i[n] x_q[n + l], for `columns` sounds x.
        """
        batch, references, columns, taps = products.shape
        right = products * self._scale[:, :, None, None]
        right = right.permute(0, 3, 1, 2).reshape(batch, taps * references, columns)
        filters = self._factor_solve(right)
        filters = filters + self._factor_solve(right - self._product(filters))
        filters = filters.reshape(batch, taps, references, columns).permute(0, 2, 3, 1)
        return filters * self._scale[:, :, None, None]

    def _factor_solve(self, right: Tensor) -> Tensor:
        half = torch.linalg.solve_triangular(self._upper.mT, right, upper=False)
        return torch.linalg.solve_triangular(self._upper, half, upper=True)

    def _product(self, filters: Tensor) -> Tensor:
        """Multiply the unloaded matrices with vectors `(batch, taps * references, columns)`."""
        batch, size, columns = filters.shape
        taps = self.taps
        shaped = filters.reshape(batch, taps, size // taps, columns)
        spectra = torch.fft.rfft(shaped, 2 * taps, dim=1)
        product = torch.fft.irfft(self._spectrum @ spectra, 2 * taps, dim=1)[:, :taps]
        return product.reshape(batch, size, columns)

    def _loading(self) -> Tensor:
        loading = torch.tensor(LOADING, dtype=self._lags.dtype)[self._rung]
        return loading.to(self._lags.device)

    def _raise_loading(self, which: Tensor) -> None:
        """Factorise some matrices anew, with more loading, until they all have a factor."""
        while len(which):
            self._rung[which] += 1
            if (self._rung == len(LOADING)).any():
                raise UnmixError(
                    "the equations of BSS Eval cannot be solved for these references",
                    do="check the sources for files that hold something else than sound",
                )
            upper, served = schur(self._lags[which], self._loading()[which], ROWS)
            self._upper[which] = upper
            which = which[~served]


def _two_sided(lags: Tensor) -> Tensor:
    """Return lags -(taps - 1) ... taps - 1 from one-sided `(batch, i, k, taps)` of both orders."""
    return torch.cat([lags.transpose(1, 2).flip(-1)[..., :-1], lags], dim=-1)


def _circulant(lags: Tensor) -> Tensor:
    """Return the first columns `(batch, i, k, 2 * taps)` of circulants that hold the matrices."""
    before = lags.transpose(1, 2)[..., 1:].flip(-1)
    return torch.cat([lags, torch.zeros_like(lags[..., :1]), before], dim=-1)


def first_rows(lags: Tensor, delays: int) -> Tensor:
    """Return the first rows of Gram matrices, ordered by delay, then by reference.

    Args:
        lags: `(batch, references, references, taps)`.
        delays: how many delays the rows cover.

    Returns:
        `(batch, delays * references, taps * references)`.
    """
    batch, references, _, taps = lags.shape
    device = lags.device
    difference = (
        torch.arange(delays, device=device)[:, None] - torch.arange(taps, device=device)[None]
    )
    rows = _two_sided(lags)[..., taps - 1 + difference]
    return rows.permute(0, 3, 1, 4, 2).reshape(batch, delays * references, taps * references)


def _memory(batch: int, size: int, like: Tensor) -> Tensor:
    """Return memory for factors; what is below their diagonal blocks is never written nor read."""
    if like.device.type == "cpu" and like.dtype == torch.float64:
        # numpy asks the system for huge pages: fresh memory costs half the time.
        return torch.from_numpy(np.empty((batch, size, size)))
    return like.new_empty(batch, size, size)


def schur(
    lags: Tensor, loading: Tensor, rows: int, upper: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Factorise block Toeplitz matrices, G + loading I = R^T R, by the block Schur algorithm.

    G minus itself shifted down and right by one block has rank 2 q, q rows of a block:
    X^T X - Y^T Y, with X the first block row of R. A J-orthogonal reflection of X, shifted, and Y
    that annuls the first block of Y leaves the next block row of R.

    Args:
        lags: `(batch, references, references, taps)`, with unit energies.
        loading: `(batch,)`, added to the diagonal.
        rows: of a block, about.
        upper: memory for the factors; None takes fresh one.

    Returns:
        the upper factors R, `(batch, taps * references, taps * references)`, and for which
        matrices, `(batch,)` on the CPU, they exist.
    """
    batch, references, _, taps = lags.shape
    delays = math.gcd(taps, 1 << max(0, (rows // references).bit_length() - 1))
    first = first_rows(lags, delays)
    size, block = first.shape[2], first.shape[1]
    unit = torch.eye(block, dtype=lags.dtype, device=lags.device).expand(batch, -1, -1)
    first[:, :, :block] += loading[:, None, None] * unit
    if upper is None:
        upper = _memory(batch, size, lags)
    lower, failed = torch.linalg.cholesky_ex(first[:, :, :block])
    upper[:, :block] = torch.linalg.solve_triangular(lower, first, upper=False)
    other = upper[:, :block, block:]
    failures = [failed]
    for at in range(block, size, block):
        shifted = upper[:, at - block : at, at - block : size - block]
        ratio = torch.linalg.solve_triangular(
            shifted[:, :, :block], other[:, :, :block], upper=True, left=False
        )
        turned = ratio.mT
        inner, failed = torch.linalg.cholesky_ex(torch.baddbmm(unit, turned, ratio, alpha=-1))
        outer, failed_too = torch.linalg.cholesky_ex(torch.baddbmm(unit, ratio, turned, alpha=-1))
        failures += [failed, failed_too]
        back = torch.linalg.solve_triangular(inner, unit, upper=False)
        row = upper[:, at : at + block, at:]
        torch.bmm(back, shifted, out=row)
        row.baddbmm_(torch.bmm(back, turned), other, alpha=-1)
        # The orthogonal half: from the new row, not from the old one.
        mixed = torch.bmm(torch.bmm(outer.mT, ratio), back.mT)
        other = torch.bmm(outer.mT, other[:, :, block:])
        other.baddbmm_(mixed, row[:, :, block:], alpha=-1)
    served = (torch.stack(failures).sum(0) == 0) & upper[:, -1, -1].isfinite()
    return upper, served.cpu()
