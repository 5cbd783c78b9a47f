"""Tests and estimates from ranks, which do not ask how the songs are distributed."""

from __future__ import annotations

import functools

import numpy as np
from scipy import stats

DIGITS = 9
"""Decimals of a decibel that count: scores closer than this are tied."""


def signed_rank(values: np.ndarray, limit: float = 0.0) -> float:
    """Return Wilcoxon's one-sided p-value for "values lie above `limit`" (zeros after Pratt).

    It is exact for up to 50 songs without ties. Of n songs no p-value is below 2^-n: with five or
    fewer, nothing is shown at 2.5 %.
    """
    moved = np.round(values - limit, DIGITS)
    if len(moved) < 2 or not moved.any():
        return 1.0
    return float(stats.wilcoxon(moved, zero_method="pratt", alternative="greater").pvalue)


def shift(values: np.ndarray) -> float:
    """Return the median of all means of two values (Hodges and Lehmann)."""
    one, other = np.triu_indices(len(values))
    return float(np.median((values[one] + values[other]) / 2.0))


def page(scores: np.ndarray) -> float:
    """Return the p-value of Page's test for a rise over columns, `(songs, rows)`.

    Of two rows it is Wilcoxon's test on their differences, since Page's needs three.
    """
    scores = np.round(scores, DIGITS)
    songs, rows = scores.shape
    if songs < 2 or rows < 2:
        return 1.0
    if rows == 2:
        return signed_rank(scores[:, 1] - scores[:, 0])
    ordered = np.sort(scores, axis=1)
    tied = bool((ordered[:, 1:] == ordered[:, :-1]).any())
    method = "asymptotic" if tied else "auto"
    return float(stats.page_trend_test(scores, method=method).pvalue)


@functools.cache
def least(songs: int, rows: int = 2) -> float:
    """Return the smallest p-value that Wilcoxon's test, or Page's over more rows, can give."""
    if rows == 2:
        # All songs agree, no two of them by the same amount.
        return signed_rank(np.arange(1.0, songs + 1.0))
    return page(np.tile(np.arange(float(rows)), (songs, 1)))
