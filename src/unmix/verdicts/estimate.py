"""Means and differences of rows with their errors: in closed form, and by drawing anew.

The error of a mean has a part from the songs and a part from the seeds, and both are always in it
unless the songs are given. What is noise of a song under one seed shows in either part, and is
counted once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from unmix.verdicts.panel import LEVEL, Noise, Panel, noise_of

POWER = 0.8
"""Probability with which `detectable` differences would have been found."""

SPAN = float(special.ndtri(1.0 - LEVEL / 2.0) + special.ndtri(POWER))
"""How many standard errors a difference must measure to be found so often, with ample evidence."""


def span(df: float, level: float = LEVEL) -> float:
    """Return how many standard errors a two-sided t-test finds with probability `POWER`.

    The sum of two quantiles stands for a quantile of the non-central distribution; from four
    degrees of freedom on, the probability is then met to 0.01.
    """
    return float(special.stdtrit(df, 1.0 - level / 2.0) + special.stdtrit(df, POWER))


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, and the parts that the error has.

    Attributes:
        value: in dB.
        songs: variance that other songs would bring.
        seeds: variance that other seeds would bring; nan where it is unknown.
        df_songs, df_seeds: degrees of freedom of either.
        shared: what is in both of them.
    """

    value: float
    songs: float
    seeds: float
    df_songs: float
    df_seeds: float
    shared: float = 0.0

    @property
    def variance(self) -> float:
        """Return the square of the standard error, no less than either part by itself."""
        both = self.songs + self.seeds - self.shared
        return both if math.isnan(both) else max(both, self.songs, self.seeds)

    @property
    def se(self) -> float:
        """Return the standard error; nan where seeds matter and none was repeated."""
        return math.sqrt(self.variance)

    @property
    def parts(self) -> tuple[float, float]:
        """Return the standard errors that songs and seeds bring; their squares add up."""
        return math.sqrt(self.songs), math.sqrt(max(self.variance - self.songs, 0.0))

    @property
    def df(self) -> float:
        """Return the degrees of freedom of the variance (Welch and Satterthwaite)."""
        parts = [
            (part, df)
            for part, df in ((self.songs, self.df_songs), (self.seeds, self.df_seeds))
            if part > 0.0
        ]
        below = sum(part**2 / df if df > 0 else math.inf for part, df in parts)
        return self.variance**2 / below if parts and below > 0.0 else math.inf

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the interval that holds the true value but for a share of `level`."""
        half = float(special.stdtrit(self.df, 1.0 - level / 2.0)) * self.se
        return self.value - half, self.value + half

    def p_above(self, limit: float) -> float:
        """Return the one-sided p-value against "the true value is `limit` or less".

        It is 1 where the error is unknown: then nothing can be shown.
        """
        if math.isnan(self.se):
            return 1.0
        if self.se == 0.0:
            return 0.0 if self.value > limit else 1.0
        return float(special.stdtr(self.df, (limit - self.value) / self.se))

    def p_below(self, limit: float) -> float:
        """Return the one-sided p-value against "the true value is `limit` or more"."""
        return replace(self, value=-self.value).p_above(-limit)

    def p_within(self, centre: float, margin: float) -> float:
        """Return the p-value of two one-sided tests for "within `margin` of `centre`"."""
        return max(self.p_above(centre - margin), self.p_below(centre + margin))

    def p_beyond(self, centre: float, margin: float) -> float:
        """Return the one-sided p-value for "further than `margin` from `centre`".

        Whoever decides doubles it, which pays for the choice of the nearer side.
        """
        return min(self.p_above(centre + margin), self.p_below(centre - margin), 0.5)

    def beside(self, songs: float, seeds: float) -> Estimate:
        """Return the estimate with the error of another number added to its own."""
        return replace(self, songs=self.songs + songs, seeds=self.seeds + seeds)


def contrast(panels: Sequence[Panel], factors: Sequence[float], spread: Noise) -> Estimate:
    """Return a weighted sum of the means of rows, paired by song.

    The variance over songs is unbiased, and its degrees of freedom are Satterthwaite's, whatever
    the weights; with equal ones it is s²/n with n − 1.

    Args:
        panels: rows on common songs.
        factors: one a row, e.g. 1 and -1 for a difference.
        spread: how much a mean moves from seed to seed.
    """
    per_song = np.sum(
        [factor * each.values.mean(axis=0) for factor, each in zip(factors, panels, strict=True)],
        axis=0,
    )
    share = panels[0].weights / panels[0].weights.sum()
    value, count = float(share @ per_song), len(per_song)
    songs, df = math.nan, 0.0
    if count > 1:
        # The variance is a quadratic form of the songs: shares squared, about the weighted mean.
        centred = np.eye(count) - share
        form = (centred.T * share**2) @ centred
        trace = float(np.trace(form))
        songs = float(share**2 @ (per_song - value) ** 2) * float(share @ share) / trace
        df = trace**2 / float((form**2).sum())
    times = [factor**2 / each.seeds for factor, each in zip(factors, panels, strict=True)]
    seeds, df_seeds, shared = _over_seeds(panels, times, spread)
    return Estimate(value, songs, seeds, df, df_seeds, shared)


def one_run(panels: Sequence[Panel], factors: Sequence[float], spread: Noise) -> float:
    """Return the variance over seeds of the same contrast, if each row were run once."""
    variance, _, _ = _over_seeds(panels, [factor**2 for factor in factors], spread)
    return variance


def _over_seeds(
    panels: Sequence[Panel], times: Sequence[float], spread: Noise
) -> tuple[float, float, float]:
    """Return a sum of rows' variances over seeds, its degrees of freedom, and the songs' part.

    Rows with few seeds share one estimate, whose error they share as well.
    """
    pooled, below, variance, rest = 0.0, 0.0, 0.0, 0.0
    for each, factor in zip(panels, times, strict=True):
        own = noise_of(each, spread)
        variance += factor * own.sd**2
        rest += factor * own.rest
        if own is spread:
            pooled += factor * own.sd**2
        elif own.df:
            below += (factor * own.sd**2) ** 2 / own.df
    below += pooled**2 / spread.df if spread.df else 0.0
    return variance, variance**2 / below if below > 0.0 else 0.0, rest


def draws(
    panels: Sequence[Panel], spread: Noise, rng: np.random.Generator, count: int = 4000
) -> np.ndarray:
    """Return the rows' means over songs and seeds that are drawn anew, `(draws, rows)`.

    Songs are drawn with replacement, the same ones for all rows; what other seeds would have given
    is drawn from the normal distribution with the pooled spread, less what the songs bring already.
    How uncertain the spread is, is drawn too; it is left out where it is unknown. Deviations are
    stretched so that intervals of few songs are as wide as t-intervals (the expanded percentile
    interval of T. Hesterberg, What teachers should know about the bootstrap, 2015).
    """
    songs = len(panels[0].songs)
    share = _resampled(songs, count, rng) * panels[0].weights
    scores = np.stack([each.values.mean(axis=0) for each in panels], axis=1)
    means = share @ scores / share.sum(axis=1, keepdims=True)
    centre = np.array([each.mean() for each in panels])
    stretch = math.sqrt(songs / (songs - 1)) if songs > 1 else 1.0
    stretch *= float(special.stdtrit(max(songs - 1, 1), 0.975) / special.ndtri(0.975))
    moved = centre + stretch * (means - centre)
    found = [noise_of(each, spread) for each in panels]
    # Rows that share an estimate of the spread are too narrow, or too wide, together.
    widths = {
        own: own.df / rng.chisquare(own.df, size=count) for own in dict.fromkeys(found) if own.df
    }
    for column, (each, own) in enumerate(zip(panels, found, strict=True)):
        if own.df:
            variance = np.maximum(own.sd**2 * widths[own] - own.rest, 0.0) / each.seeds
            moved[:, column] += np.sqrt(variance) * rng.standard_normal(count)
    return moved


def crossed(row: Panel, rng: np.random.Generator, count: int = 2000) -> tuple[float, float]:
    """Return the variances of a mean that songs and seeds bring, by a crossed bootstrap.

    Songs and seeds are drawn with replacement, each by itself: all seeds of a drawn song, and all
    songs of a drawn seed, go together. The part of the seeds is what drawing both adds to drawing
    songs alone; nan with a single seed. Variances are stretched by n / (n - 1), since a sample's
    own spread is a little narrow.
    """
    seeds, songs = row.values.shape
    if songs < 2:
        return math.nan, math.nan
    times = _resampled(songs, count, rng) * row.weights
    by_seed = times / times.sum(axis=1, keepdims=True) @ row.values.T
    of_songs = float(by_seed.mean(axis=1).var()) * songs / (songs - 1)
    if not row.random:
        return of_songs, 0.0
    if seeds < 2:
        return of_songs, math.nan
    picked = _resampled(seeds, count, rng) / seeds
    moved = (picked * (by_seed - by_seed.mean(axis=1, keepdims=True))).sum(axis=1)
    return of_songs, float((moved**2).mean()) * seeds / (seeds - 1)


def _resampled(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each of `size` is drawn, `size` times with replacement, `(count, size)`."""
    picks = rng.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
    return np.bincount(picks.ravel(), minlength=count * size).reshape(count, size)
