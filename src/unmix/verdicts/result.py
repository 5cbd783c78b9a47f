"""What a test behind a verdict hands back, and how it is put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unmix.verdicts.estimate import Estimate, draws, span
from unmix.verdicts.panel import LEVEL, Noise, Panel


@dataclass(frozen=True)
class Reach:
    """What a difference must overcome to be found.

    Attributes:
        error: standard error, in dB.
        df: its degrees of freedom.
        edge: what does not count as a difference, in dB: the margin, if there is one.
        least: smallest p-value that the test can give.
    """

    error: float
    df: float
    edge: float = 0.0
    least: float = 0.0

    def at(self, level: float = LEVEL) -> float:
        """Return the smallest difference that is found in four of five cases, in dB.

        It is infinite where the songs are too few for any difference, nan where the error is
        unknown.
        """
        if math.isnan(self.error):
            return math.nan
        if self.least > level / 2.0:
            return math.inf
        return self.edge + span(self.df, level) * self.error if self.error else self.edge


@dataclass(frozen=True)
class Result:
    """What the evidence says of one comparison.

    Attributes:
        estimate: in dB: a difference, a slope a step, or a mean minus what is published.
        low, high: 95 % interval of it, over songs and seeds drawn anew; over songs alone where
            nothing is known of the seeds.
        p_for, p_against, p_negligible: see `statistics`.
        compatible: what is published lies where a single run could have fallen.
        direction: where the evidence lies: `as claimed`, `exceeds`, `falls short`, `contradicted`.
        detectable: smallest difference that this evidence finds in four of five cases, in dB.
        songs, seeds: behind it; of several rows the fewest.
        shift: Hodges and Lehmann's estimate of the shift, in dB; nan where it has no meaning.
        wins: share of pairs of seeds in which the first row is ahead; nan where it has no meaning.
        error: standard errors that songs and seeds bring, in dB; their squares add up.
        reach: what `detectable` rests on, for other levels.
    """

    estimate: float
    low: float
    high: float
    p_for: float
    p_against: float
    p_negligible: float
    compatible: bool
    direction: str
    detectable: float
    songs: int
    seeds: int
    shift: float = math.nan
    wins: float = math.nan
    error: tuple[float, float] = (math.nan, math.nan)
    reach: Reach = Reach(math.nan, math.nan)


def result(
    found: Estimate,
    rows: Sequence[Panel],
    p: tuple[float, float, float],
    direction: str,
    *,
    interval: tuple[float, float],
    reach: Reach | None = None,
    compatible: bool = False,
    shift: float = math.nan,
    wins: float = math.nan,
    offset: float = 0.0,
) -> Result:
    """Return a result from its parts.

    Args:
        found: the estimate.
        rows: panels behind it.
        p: for, against and negligible.
        direction: see `Result`.
        interval: of the estimate.
        reach: what a difference must overcome; None: the estimate's own error.
        compatible: see `Result`.
        shift: see `Result`.
        wins: see `Result`.
        offset: what is taken off the estimate and its interval.
    """
    reach = reach or Reach(found.se, found.df)
    return Result(
        estimate=found.value - offset,
        low=interval[0] - offset,
        high=interval[1] - offset,
        p_for=p[0],
        p_against=p[1],
        p_negligible=p[2],
        compatible=compatible,
        direction=direction,
        detectable=reach.at(),
        songs=len(rows[0].songs),
        seeds=min(each.seeds for each in rows),
        shift=shift,
        wins=wins,
        error=found.parts,
        reach=reach,
    )


def interval_of(
    found: Estimate,
    rows: Sequence[Panel],
    factors: Sequence[float],
    spread: Noise,
    rng: np.random.Generator | None,
) -> tuple[float, float]:
    """Return the bootstrap interval of a contrast, or the t-interval where there is no `rng`."""
    if rng is None:
        return found.interval()
    low, high = np.quantile(
        draws(rows, spread, rng) @ np.array(factors), [LEVEL / 2.0, 1.0 - LEVEL / 2.0]
    )
    return float(low), float(high)


def holds(interval: tuple[float, float], number: float) -> bool:
    """Return whether a number lies in an interval; never in one that is unknown."""
    return interval[0] <= number <= interval[1]


def wins(first: Panel, second: Panel) -> float:
    """Return the share of pairs of seeds in which the first mean is higher; ties count half."""
    gaps = first.seed_means()[:, None] - second.seed_means()[None, :]
    return float(((gaps > 0.0) + 0.5 * (gaps == 0.0)).mean())
