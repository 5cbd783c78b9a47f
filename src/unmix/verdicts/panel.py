"""Scores of one row by seed and song, and how far their mean moves from seed to seed.

A *panel* is a row of a table as the statistics see it. Two things are drawn at random in it: the
songs and the seeds. Clips of one song are not independent, so the song is the unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unmix.errors import StoreError

LEVEL = 0.05
"""Probability of an error of the first kind that the rules allow."""

SEEDS = 5
"""Fewest repetitions that tell by themselves how far a row moves from seed to seed."""


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
        where = {song: at for at, song in enumerate(self.songs)}
        at = [where[song] for song in songs]
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
    """Return panels on the songs that all have, with the first one's weights.

    Raises:
        StoreError: there is no such song.
    """
    first = panels[0]
    if all(each.songs == first.songs for each in panels):
        cut, weights = list(panels), first.weights
    else:
        shared = set(first.songs).intersection(*(each.songs for each in panels))
        if not shared:
            apart = [each for each in panels if not set(first.songs) & set(each.songs)]
            other = (apart or panels)[-1]
            raise StoreError(
                "rows that are compared have no song in common: "
                f"{_few(first.songs)} here, {_few(other.songs)} there",
                expected="runs that were scored on the same test songs",
                do="run the rows anew on one split",
            )
        cut = [each.on([song for song in first.songs if song in shared]) for each in panels]
        weights = cut[0].weights
    return [Panel(each.values, weights, each.songs, each.random) for each in cut]


def _few(songs: Sequence[str]) -> str:
    return ", ".join(songs[:3]) + (" …" if len(songs) > 3 else "") if songs else "none"


@dataclass(frozen=True)
class Noise:
    """How much a weighted mean moves from seed to seed.

    One number serves all rows of a table that were run with few seeds, which say little about a row
    alone. It is right on average where rows differ in it, too small for those that move most.

    Attributes:
        sd: standard deviation in dB; nan if no row was repeated.
        df: degrees of freedom behind it.
        rest: the part of its square that is noise of single songs, in dB²: it would be smaller
            with more songs, and the spread over songs has it too.
    """

    sd: float
    df: int
    rest: float = 0.0


def noise(panels: Iterable[Panel]) -> Noise:
    """Return the standard deviation over seeds, pooled over all rows that were repeated."""
    squares, rest, df = 0.0, 0.0, 0
    for each in panels:
        if each.random and each.seeds > 1:
            means = each.seed_means()
            squares += float(((means - means.mean()) ** 2).sum())
            rest += (each.seeds - 1) * _of_songs(each)
            df += each.seeds - 1
    return Noise(math.sqrt(squares / df), df, rest / df) if df else Noise(math.nan, 0)


def noise_of(row: Panel, spread: Noise) -> Noise:
    """Return how much a row's mean moves: by its own seeds if there are enough, else by all."""
    if not row.random:
        return Noise(0.0, 0)
    return noise([row]) if row.seeds >= SEEDS else spread


def _of_songs(row: Panel) -> float:
    """Return the variance of a seed's mean that comes of songs which answer to it each by itself.

    That is what is left of the scores when seeds and songs have had their share; songs are weighted
    as in the mean.
    """
    seeds, songs = row.values.shape
    if songs < 2:
        return 0.0
    left = row.values - row.values.mean(axis=0) - row.values.mean(axis=1, keepdims=True)
    squares = ((left + row.values.mean()) ** 2).sum(axis=0) / (seeds - 1) * songs / (songs - 1)
    return float((row.weights / row.weights.sum()) ** 2 @ squares)
