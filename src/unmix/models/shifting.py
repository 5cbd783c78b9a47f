"""Shifted NMF: every column is a sum of templates, each moved up by any of a few bins.

FitzGerald, Cranitch and Coyle 2005: V is approximated by the sum over templates D and shifts z of D
moved up by z, times weights. It is convolutive NMF (`unmix.models.nmf`) along the other axis. All
shifts and any number of starts are computed together; in loops over shifts, sources and bins
nothing is done.

Leading axes `...` are starts that have nothing to do with each other; a source has one template.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unmix.models.nmf import SMALL


def translated(templates: Tensor, shifts: int) -> Tensor:
    """Return templates `(..., bins)` moved up by 0, 1, ... bins, `(..., shifts, bins)`.

    Zeros move in from below; what moves out above is lost.
    """
    padded = torch.nn.functional.pad(templates, (shifts - 1, 0))
    return padded.unfold(-1, templates.shape[-1], 1).flip(-2)


def moved_back(values: Tensor) -> Tensor:
    """Return the sum of `(..., shifts, bins)`, each row moved down by its number, `(..., bins)`.

    It is the transpose of `translated`.
    """
    *batch, shifts, bins = values.shape
    flat = torch.nn.functional.pad(values, (0, shifts)).flatten(-2)
    # Read in rows of one column more, each begins one bin later than the one before.
    read = torch.nn.functional.pad(flat, (0, shifts)).reshape(*batch, shifts, bins + shifts + 1)
    return read[..., :bins].sum(-2)


def shifted_model(templates: Tensor, weights: Tensor) -> Tensor:
    """Return what shifted NMF makes of its factors, `(..., bins, rank)`.

    The sum over sources and shifts of a template, moved up, times its weight in a component: one
    product of matrices.

    Args:
        templates: `(..., sources, bins)`.
        weights: `(..., sources, shifts, rank)`.
    """
    moved = translated(templates, weights.shape[-2]).flatten(-3, -2)
    return moved.transpose(-1, -2) @ weights.flatten(-3, -2)


def shift_factorise(
    notes: Tensor, templates: Tensor, weights: Tensor, updates: int
) -> tuple[Tensor, Tensor]:
    """Minimise the generalised Kullback-Leibler divergence by multiplicative updates.

    Args:
        notes: `(bins, rank)`.
        templates: to start from, `(..., sources, bins)`.
        weights: to start from, `(..., sources, shifts, rank)`.
        updates: number of updates of both.

    Returns:
        templates of unit sum, and weights.
    """
    shape = weights.shape
    for _ in range(updates):
        ratio = notes / (shifted_model(templates, weights) + SMALL)
        up = (weights.flatten(-3, -2) @ ratio.transpose(-1, -2)).reshape(*shape[:-1], len(notes))
        down = weights.sum(-1, keepdim=True).expand(*shape[:-1], len(notes))
        templates = templates * moved_back(up) / (moved_back(down) + SMALL)
        scale = templates.sum(-1, keepdim=True) + SMALL
        templates, weights = templates / scale, weights * scale[..., None]
        ratio = notes / (shifted_model(templates, weights) + SMALL)
        moved = translated(templates, shape[-2])
        up = (moved.flatten(-3, -2) @ ratio).reshape(shape)
        weights = weights * up / (moved.sum(-1, keepdim=True) + SMALL)
    return templates, weights
