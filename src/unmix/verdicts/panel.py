"""Scores of one row by seed and song, and how far their mean would move with others of both.

A *panel* is a row of a table as the statistics see it. Two things are drawn at random in it: the
songs and the seeds. Clips of one song are not independent, so the song is the unit. The error of
a mean has a part from either, and both are always in it unless the songs are given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05
"""Probability of an error of the first kind that the rules allow."""


@dataclass(frozen=True)
class Panel:
    """Scores of one row.

    Attributes:
        values: means over the clips of a song, in dB, of shape `(seeds, songs)`.
        weights: of the songs in the published mean, e.g. their lengths, of shape `(songs,)`.
        songs: their names.
        random: whether another seed gives other scores; oracles have none.
    """

    values: np.ndarray
    weights: np.ndarray
    songs: tuple[str, ...]
    random: bool = True

    @property
    def seeds(self) -> int:
        """Return the number of repetitions."""
        return len(self.values)

    def seed_means(self) -> np.ndarray:
        """Return the weighted mean over songs for each seed, `(seeds,)`."""
        return np.average(self.values, axis=1, weights=self.weights)

    def mean(self) -> float:
        """Return the mean over seeds of the weighted means over songs."""
        return float(self.seed_means().mean())

    def on(self, songs: Sequence[str]) -> Panel:
        """Return the panel on some of its songs, in that order."""
        at = [self.songs.index(song) for song in songs]
        return Panel(self.values[:, at], self.weights[at], tuple(songs), self.random)


def panel(runs: Sequence[pd.DataFrame], metric: str, *, random: bool = True) -> Panel:
    """Return the panel of a row.

    Clips without a score (silence) are left out; so are songs that have none in some run.

    Args:
        runs: a table of clips for each seed, with `song`, `samples` and the metric.
        metric: the clips' column.
        random: see `Panel`.
    """
    means, weights = [], []
    for scores in runs:
        scored = scores.dropna(subset=[metric])
        weighted = scored[metric] * scored["samples"]
        sums = weighted.groupby(scored["song"]).sum()
        lengths = scored["samples"].groupby(scored["song"]).sum()
        means.append(sums / lengths)
        weights.append(lengths)
    table = pd.concat(means, axis=1, join="inner")
    length = pd.concat(weights, axis=1, join="inner").mean(axis=1)
    songs = sorted(str(song) for song in table.index)
    return Panel(
        table.loc[songs].to_numpy(float).T, length.loc[songs].to_numpy(float), tuple(songs), random
    )


def common(panels: Sequence[Panel]) -> list[Panel]:
    """Return panels on the songs that all have, with the first one's weights."""
    shared = [song for song in panels[0].songs if all(song in each.songs for each in panels)]
    cut = [each.on(shared) for each in panels]
    return [Panel(each.values, cut[0].weights, each.songs, each.random) for each in cut]


@dataclass(frozen=True)
class Noise:
    """How much a weighted mean moves from seed to seed.

    Attributes:
        sd: standard deviation in dB; nan if no row was repeated.
        df: degrees of freedom behind it.
    """

    sd: float
    df: int


def noise(panels: Iterable[Panel]) -> Noise:
    """Return the standard deviation over seeds, pooled over all rows that were repeated."""
    squares, df = 0.0, 0
    for each in panels:
        if each.random and each.seeds > 1:
            means = each.seed_means()
            squares += float(((means - means.mean()) ** 2).sum())
            df += each.seeds - 1
    return Noise(math.sqrt(squares / df), df) if df else Noise(math.nan, 0)


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, and the parts that the error has.

    Attributes:
        value: in dB.
        songs: variance that other songs would bring.
        seeds: variance that other seeds would bring; nan where it is unknown.
        df_songs, df_seeds: degrees of freedom of either.
    """

    value: float
    songs: float
    seeds: float
    df_songs: float
    df_seeds: float

    @property
    def se(self) -> float:
        """Return the standard error; nan where seeds matter and none was repeated."""
        return math.sqrt(self.songs + self.seeds)

    @property
    def df(self) -> float:
        """Return the degrees of freedom of the sum (Welch and Satterthwaite)."""
        parts = [
            (part, df)
            for part, df in ((self.songs, self.df_songs), (self.seeds, self.df_seeds))
            if part > 0.0
        ]
        below = sum(part**2 / df if df > 0 else math.inf for part, df in parts)
        return (self.songs + self.seeds) ** 2 / below if parts and below > 0.0 else math.inf

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the interval that holds the true value but for a share of `level`."""
        half = stats.t.ppf(1.0 - level / 2.0, self.df) * self.se
        return self.value - half, self.value + half

    def p_above(self, limit: float) -> float:
        """Return the one-sided p-value against "the true value is `limit` or less"."""
        if math.isnan(self.se):
            return 1.0
        if self.se == 0.0:
            return 0.0 if self.value > limit else 1.0
        return float(stats.t.sf((self.value - limit) / self.se, self.df))

    def p_below(self, limit: float) -> float:
        """Return the one-sided p-value against "the true value is `limit` or more"."""
        return Estimate(-self.value, self.songs, self.seeds, self.df_songs, self.df_seeds).p_above(
            -limit
        )

    def p_within(self, centre: float, margin: float) -> float:
        """Return the p-value of two one-sided tests for "within `margin` of `centre`"."""
        return max(self.p_above(centre - margin), self.p_below(centre + margin))

    def beside(self, songs: float, seeds: float) -> Estimate:
        """Return the estimate with the error of another number added to its own."""
        return Estimate(
            self.value, self.songs + songs, self.seeds + seeds, self.df_songs, self.df_seeds
        )


def contrast(panels: Sequence[Panel], factors: Sequence[float], spread: Noise) -> Estimate:
    """Return a weighted sum of the means of rows, paired by song.

    Args:
        panels: rows on common songs.
        factors: one a row, e.g. 1 and -1 for a difference.
        spread: how much a mean moves from seed to seed.
    """
    per_song = sum(
        factor * each.values.mean(axis=0) for factor, each in zip(factors, panels, strict=True)
    )
    assert isinstance(per_song, np.ndarray)
    share = panels[0].weights / panels[0].weights.sum()
    value, count = float(share @ per_song), len(per_song)
    songs = math.nan
    if count > 1:
        songs = float((share**2) @ (per_song - value) ** 2) * count / (count - 1)
    seeds = sum(
        factor**2 * spread.sd**2 / each.seeds
        for factor, each in zip(factors, panels, strict=True)
        if each.random
    )
    return Estimate(value, songs, seeds, count - 1, spread.df)


def draws(
    panels: Sequence[Panel], spread: Noise, rng: np.random.Generator, count: int = 4000
) -> np.ndarray:
    """Return the rows' means over songs and seeds that are drawn anew, `(draws, rows)`.

    Songs are drawn with replacement, the same ones for all rows; what other seeds would have given
    is drawn from Student's distribution with the pooled spread. Deviations are stretched so that
    intervals of few songs are as wide as t-intervals (the expanded percentile interval of
    T. Hesterberg, What teachers should know about the bootstrap, 2015).
    """
    songs = len(panels[0].songs)
    weights = panels[0].weights
    times = rng.multinomial(songs, np.full(songs, 1.0 / songs), size=count)
    found = np.stack([each.values.mean(axis=0) for each in panels], axis=1)
    means = (times * weights) @ found / (times @ weights)[:, None]
    centre = np.array([each.mean() for each in panels])
    stretch = math.sqrt(songs / (songs - 1)) if songs > 1 else 1.0
    stretch *= float(stats.t.ppf(0.975, max(songs - 1, 1)) / stats.norm.ppf(0.975))
    moved = centre + stretch * (means - centre)
    if spread.df:
        sd = np.array([spread.sd / math.sqrt(e.seeds) if e.random else 0.0 for e in panels])
        moved = moved + sd * rng.standard_t(spread.df, size=moved.shape)
    return moved
