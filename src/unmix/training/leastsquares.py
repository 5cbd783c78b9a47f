"""The linear least squares start of a layer, uhlich Eq. 4, in one pass over the examples."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from unmix.errors import UnmixError

Layer = tuple[Tensor, Tensor]
"""Weights `(outputs, features)` and biases `(outputs,)`."""

PANEL = 512
"""Rows of the products of least squares that are formed together: of the symmetric matrix little
more than one half is."""

RIDGE = 1e-8
"""The first ridge that is tried on a singular matrix, times the mean of its diagonal: 80 dB below
the features, and enough that what is no more than their rounding gets no weight."""


class Moments:
    """First and second moments of features and targets, for Eq. 4, taken up block by block.

    All is counted from the mean of the first block and put right in the end. So no digits are lost
    where a mean is large against the deviations, in one pass and with float64 sums.
    """

    def __init__(self) -> None:
        self.count = self.width = 0
        self.eps = 0.0
        self.shift = self.sums = self.products = torch.zeros(0)

    def add(self, features: Tensor, targets: Tensor) -> None:
        """Take in `(batch, features)` and `(batch, outputs)`."""
        both = torch.cat([features, targets], dim=1).double()
        if not self.count:
            self.width, self.shift = features.shape[1], both.mean(0)
            self.eps = torch.finfo(features.dtype).eps
            self.sums = torch.zeros_like(self.shift)
            self.products = both.new_zeros(self.width, both.shape[1])
        both -= self.shift
        self.count += len(both)
        self.sums += both.sum(0)
        for first in range(0, self.width, PANEL):
            panel = both[:, first : min(first + PANEL, self.width)]
            self.products[first : first + PANEL, first:].addmm_(panel.T, both[:, first:])

    def solved(self, ridge: float = 0.0, around: Tensor | None = None) -> tuple[Layer, float]:
        """Return the layer of Eq. 4, float32, and its ridge.

        The ridge is relative to the mean of the diagonal of C_xx. Where none is asked for, one is
        added if C_xx is singular: if Cholesky's method fails, or a pivot is no more than rounding,
        be it of the sums or of the features. Their rounding is a signal that no other recording
        has.

        Args:
            ridge: the least one.
            around: weights `(outputs, features)` that a ridge draws to, instead of zero. With any
                ridge the squared error is then at most theirs.

        Raises:
            UnmixError: features or targets are not finite.
        """
        mean = self.sums / self.count
        centred = torch.addr(self.products, mean[: self.width], mean, alpha=-self.count)
        c_xx, c_xs = centred[:, : self.width].triu(), centred[:, self.width :]
        c_xx += c_xx.triu(1).T
        diagonal = c_xx.diagonal().clone()
        # Features that are all constant tell nothing: any ridge makes their weights zero.
        scale = float(diagonal.mean()) or 1.0
        rounding = self.width * torch.finfo(c_xx.dtype).eps * diagonal
        rounding.clamp_(min=self.eps**2 * float(diagonal.sum()))
        c_xx.diagonal().copy_(diagonal + ridge * scale)
        while True:
            factor, failed = torch.linalg.cholesky_ex(c_xx)
            if not failed and bool((factor.diagonal().square() > rounding).all()):
                break
            if ridge >= 1.0 or not scale < float("inf"):
                raise UnmixError(
                    "the least squares problem of a layer (uhlich Eq. 4) has no solution",
                    expected="features and targets that are finite",
                )
            ridge = 10.0 * ridge if ridge else RIDGE
            c_xx.diagonal().copy_(diagonal + ridge * scale)
        if around is None:
            weight = torch.cholesky_solve(c_xs, factor).T
        else:
            c_xx.diagonal().copy_(diagonal)
            known = around.to(c_xx)
            weight = known + torch.cholesky_solve(c_xs - c_xx @ known.T, factor).T
        mean = mean + self.shift
        bias = mean[self.width :] - weight @ mean[: self.width]
        return (weight.float().contiguous(), bias.float()), ridge


def least_squares(
    pairs: Iterable[tuple[Tensor, Tensor]], ridge: float = 0.0, around: Tensor | None = None
) -> tuple[Layer, float]:
    """Return the layer that is optimal without its ReLU (Eq. 4), and the ridge it needed.

    Args:
        pairs: features `(batch, features)` and targets `(batch, outputs)`, gone through once; no
            more is held than one of them and the moments.
        ridge: see `Moments.solved`.
        around: see `Moments.solved`.
    """
    moments = Moments()
    for features, targets in pairs:
        moments.add(features, targets)
    return moments.solved(ridge, around)
