"""Tests behind the verdicts: what the evidence says of one comparison.

Every test answers three questions, each with a p-value: does the evidence bear the comparison out
(`p_for`), does it speak against it (`p_against`), is there no difference worth the name
(`p_negligible`)? A p-value of 1 means that the question cannot be answered in this way. The tests
are one-sided; whoever decides takes 2.5 % on either side.

Where two rows are compared, two tests must agree, and the larger p-value counts: Wilcoxon's signed
rank test on the means of songs (zeros after Pratt), which does not ask how the songs are
distributed, and a t-test whose error has a part from the songs and a part from the seeds, which
Wilcoxon's test cannot see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from unmix.verdicts.panel import LEVEL, Estimate, Noise, Panel, common, contrast, draws

SEEDS = 5
"""Fewest repetitions with which a published number can be called met on the same clips."""

POWER = 0.8
"""Probability with which `detectable` differences would have been found."""


SPAN = float(stats.norm.ppf(1.0 - LEVEL / 2.0) + stats.norm.ppf(POWER))
"""How many standard errors a difference must measure to be found so often."""


@dataclass(frozen=True)
class Result:
    """What the evidence says of one comparison.

    Attributes:
        estimate: in dB: a difference, a slope a step, or a mean minus what is published.
        low, high: 95 % interval of it, over songs and seeds drawn anew.
        p_for, p_against, p_negligible: see above.
        compatible: what is published lies where a single run could have fallen.
        direction: where the evidence lies: `as claimed`, `exceeds`, `falls short`, `contradicted`.
        detectable: smallest difference that this evidence finds in four of five cases, in dB.
        songs, seeds: behind it; of several rows the fewest.
        shift: Hodges and Lehmann's estimate of the shift, in dB; nan where it has no meaning.
        wins: share of pairs of seeds in which the first row is ahead; nan where it has no meaning.
        error: standard errors that songs and seeds bring, in dB.
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


def signed_rank(values: np.ndarray, limit: float = 0.0) -> float:
    """Return Wilcoxon's one-sided p-value for "values lie above `limit`" (zeros after Pratt)."""
    moved = np.round(values - limit, 12)
    if len(moved) < 2 or not moved.any():
        return 1.0
    return float(stats.wilcoxon(moved, zero_method="pratt", alternative="greater").pvalue)


def shift(values: np.ndarray) -> float:
    """Return the median of all means of two values (Hodges and Lehmann)."""
    one, other = np.triu_indices(len(values))
    return float(np.median((values[one] + values[other]) / 2.0))


def wins(first: Panel, second: Panel) -> float:
    """Return the share of pairs of seeds in which the first mean is higher; ties count half."""
    gaps = first.seed_means()[:, None] - second.seed_means()[None, :]
    return float(((gaps > 0.0) + 0.5 * (gaps == 0.0)).mean())


def detectable(found: Estimate) -> float:
    """Return the smallest difference that a two-sided test finds with probability `POWER`."""
    if not found.se > 0.0:
        return found.se
    return float(
        (stats.t.ppf(1.0 - LEVEL / 2.0, found.df) + stats.t.ppf(POWER, found.df)) * found.se
    )


def greater(
    panels: Sequence[Panel],
    spread: Noise,
    *,
    margin: float,
    sign: float = 1.0,
    rng: np.random.Generator,
) -> Result:
    """Test whether the first of two rows lies above the second.

    Args:
        panels: both rows.
        spread: how much a mean moves from seed to seed.
        margin: differences below it are negligible, in dB; 0 if none is.
        sign: -1 if the first shall lie below.
        rng: for the interval.
    """
    pair = common(panels)
    found = contrast(pair, (sign, -sign), spread)
    per_song = sign * (pair[0].values.mean(axis=0) - pair[1].values.mean(axis=0))
    p_for = max(found.p_above(0.0), signed_rank(per_song))
    p_against = max(found.p_below(0.0), signed_rank(-per_song))
    return _result(
        found,
        pair,
        (sign, -sign),
        spread,
        rng,
        p=(p_for, p_against, found.p_within(0.0, margin) if margin else 1.0),
        direction="as claimed" if found.value > 0.0 else "contradicted",
        shift=shift(per_song),
        wins=wins(*pair) if sign > 0 else wins(*pair[::-1]),
    )


def equal(
    panels: Sequence[Panel], spread: Noise, *, margin: float, rng: np.random.Generator
) -> Result:
    """Test whether two rows differ by less than the margin."""
    pair = common(panels)
    found = contrast(pair, (1.0, -1.0), spread)
    per_song = pair[0].values.mean(axis=0) - pair[1].values.mean(axis=0)
    return _result(
        found,
        pair,
        (1.0, -1.0),
        spread,
        rng,
        p=(found.p_within(0.0, margin), beyond(found, 0.0, margin), 1.0),
        compatible=_holds(found.interval(), 0.0),
        direction="as claimed" if abs(found.value) <= margin else "exceeds",
        shift=shift(per_song),
        wins=wins(*pair),
    )


def beyond(found: Estimate, centre: float, margin: float) -> float:
    """Return the p-value for "further than `margin` from `centre`"."""
    both = found.p_above(centre + margin), found.p_below(centre - margin)
    return min(1.0, 2.0 * min(both)) / 2.0


def difference(
    panels: Sequence[Panel],
    by: float,
    spread: Noise,
    *,
    margin: float,
    count: int | None,
    at_least: bool = False,
    rng: np.random.Generator,
) -> Result:
    """Test whether first minus second is `by`, or at least that.

    Our error alone decides whether the difference is met; whether it is missed, and whether it is
    compatible, is asked with the error that the published difference has itself: of one run on
    `count` songs.

    Args:
        panels: first and second in turn; of several pairs the mean counts.
        by: in dB.
        spread: how much a mean moves from seed to seed.
        margin: how far off counts as met, in dB.
        count: songs behind the published difference; None: as many as ours.
        at_least: more counts as met too.
        rng: for the interval.
    """
    rows = common(panels)
    pairs = len(rows) // 2
    factors = tuple((1.0 if i % 2 == 0 else -1.0) / pairs for i in range(len(rows)))
    found = contrast(rows, factors, spread)
    both = _with_published(found, rows, factors, spread, count)
    if at_least:
        p_for, p_against = found.p_above(by - margin), both.p_below(by - margin)
    else:
        p_for, p_against = found.p_within(by, margin), beyond(both, by, margin)
    return _result(
        found,
        rows,
        factors,
        spread,
        rng,
        p=(p_for, p_against, found.p_within(0.0, margin)),
        compatible=_holds(both.interval(), by) or (at_least and found.value > by),
        direction=_towards(found.value, by, margin),
    )


def value(
    row: Panel,
    published: float,
    spread: Noise,
    *,
    margin: float,
    same: bool,
    count: int | None,
    rng: np.random.Generator,
) -> Result:
    """Test whether a row's mean is the published one.

    On the paper's own test clips the songs are given and only the seeds are drawn: at least `SEEDS`
    of them can say that the number is met (two one-sided tests), and a prediction interval for one
    run says whether it is compatible. On other songs the error comes from a bootstrap crossed
    over songs and seeds, and the published number has an error of its own (see `difference`).

    Args:
        row: the row.
        published: its number.
        spread: how much a mean moves from seed to seed.
        margin: how far off counts as met, in dB.
        same: whether our clips are the paper's.
        count: songs behind the published number; None: as many as ours.
        rng: for the bootstrap.
    """
    means = row.seed_means()
    if same:
        own = float(means.var(ddof=1)) / len(means) if len(means) > 1 else math.nan
        found = Estimate(row.mean(), 0.0, own if row.random else 0.0, 0.0, len(means) - 1)
        both = found.beside(0.0, found.seeds * len(means))
    else:
        plain = contrast([row], (1.0,), spread)
        songs, seeds = crossed(row, rng)
        seeds = plain.seeds if math.isnan(seeds) else seeds
        found = Estimate(plain.value, songs, seeds, plain.df_songs, plain.df_seeds)
        both = _with_published(found, [row], (1.0,), spread, count)
    enough = row.seeds >= SEEDS or not row.random
    low, high = found.interval()
    return Result(
        estimate=found.value - published,
        low=low - published,
        high=high - published,
        p_for=found.p_within(published, margin) if enough else 1.0,
        p_against=beyond(both, published, margin),
        p_negligible=1.0,
        compatible=_holds(both.interval(), published),
        direction=_beside(found.value, published, margin),
        detectable=detectable(found),
        songs=len(row.songs),
        seeds=row.seeds,
        error=(math.sqrt(found.songs), math.sqrt(found.seeds)),
    )


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
    times = rng.multinomial(songs, np.full(songs, 1.0 / songs), size=count) * row.weights
    share = times / times.sum(axis=1, keepdims=True)
    by_seed = share @ row.values.T
    of_songs = float(by_seed.mean(axis=1).var()) * songs / (songs - 1)
    if not row.random:
        return of_songs, 0.0
    if seeds < 2:
        return of_songs, math.nan
    picked = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=count) / seeds
    moved = (picked * (by_seed - by_seed.mean(axis=1, keepdims=True))).sum(axis=1)
    return of_songs, float((moved**2).mean()) * seeds / (seeds - 1)


def threshold(
    row: Panel, limit: float, spread: Noise, *, sign: float = 1.0, rng: np.random.Generator
) -> Result:
    """Test whether a row's mean lies above a limit (`sign` 1) or below it (-1)."""
    found = contrast([row], (sign,), spread)
    per_song = sign * row.values.mean(axis=0)
    p_for = max(found.p_above(sign * limit), signed_rank(per_song, sign * limit))
    p_against = max(found.p_below(sign * limit), signed_rank(-per_song, -sign * limit))
    above = found.value > sign * limit
    return _result(
        found,
        [row],
        (sign,),
        spread,
        rng,
        p=(p_for, p_against, 1.0),
        direction="as claimed" if above else "contradicted",
        offset=sign * limit,
    )


def trend(
    panels: Sequence[Panel],
    spread: Noise,
    *,
    sign: float,
    margin: float,
    rng: np.random.Generator,
) -> Result:
    """Test whether scores rise (`sign` 1) or fall (-1) over rows in order.

    Page's test on the ranks within each song, and the slope of a straight line through the rows,
    song by song, must agree. The estimate is that slope, in dB a step; the change from the first
    to the last row is negligible if it is below the margin.
    """
    rows = common(panels)
    steps = np.arange(len(rows)) - (len(rows) - 1) / 2.0
    factors = tuple(sign * steps / (steps**2).sum())
    found = contrast(rows, factors, spread)
    ranks = sign * np.stack([each.values.mean(axis=0) for each in rows], axis=1)
    return _result(
        found,
        rows,
        factors,
        spread,
        rng,
        p=(
            max(found.p_above(0.0), _page(ranks)),
            max(found.p_below(0.0), _page(-ranks)),
            found.p_within(0.0, margin / (len(rows) - 1)) if margin else 1.0,
        ),
        direction="as claimed" if found.value > 0.0 else "contradicted",
        shift=shift(ranks @ (steps / (steps**2).sum())),
    )


def _page(rising: np.ndarray) -> float:
    """Return the p-value of Page's test for a rise over columns, `(songs, rows)`."""
    if rising.shape[0] < 2 or rising.shape[1] < 3:
        return 1.0
    return float(stats.page_trend_test(rising, method="asymptotic").pvalue)


def peak(panels: Sequence[Panel], at: int, spread: Noise, *, rng: np.random.Generator) -> Result:
    """Test whether row number `at` is the best, by how often it is when all is drawn anew.

    The estimate is its lead over the best of the others.
    """
    rows = common(panels)
    drawn = draws(rows, spread, rng)
    repeated = bool(spread.df) or not any(each.random for each in rows)
    share = float((drawn.argmax(axis=1) == at).mean())
    means = np.array([each.mean() for each in rows])
    others = np.delete(means, at)
    rival = int(np.argmax(np.where(np.arange(len(means)) == at, -np.inf, means)))
    found = contrast([rows[at], rows[rival]], (1.0, -1.0), spread)
    lead = drawn[:, at] - np.delete(drawn, at, axis=1).max(axis=1)
    low, high = np.quantile(lead, [LEVEL / 2.0, 1.0 - LEVEL / 2.0])
    return Result(
        estimate=float(means[at] - others.max()),
        low=float(low),
        high=float(high),
        p_for=1.0 - share if repeated else 1.0,
        p_against=share if repeated else 1.0,
        p_negligible=1.0,
        compatible=False,
        direction="as claimed" if means[at] > others.max() else "contradicted",
        detectable=detectable(found),
        songs=len(rows[0].songs),
        seeds=min(each.seeds for each in rows),
        error=(math.sqrt(found.songs), math.sqrt(found.seeds)),
    )


def _result(
    found: Estimate,
    rows: Sequence[Panel],
    factors: Sequence[float],
    spread: Noise,
    rng: np.random.Generator,
    *,
    p: tuple[float, float, float],
    direction: str,
    compatible: bool = False,
    shift: float = math.nan,
    wins: float = math.nan,
    offset: float = 0.0,
) -> Result:
    low, high = np.quantile(
        draws(rows, spread, rng) @ np.array(factors), [LEVEL / 2.0, 1.0 - LEVEL / 2.0]
    )
    return Result(
        estimate=found.value - offset,
        low=float(low) - offset,
        high=float(high) - offset,
        p_for=p[0],
        p_against=p[1],
        p_negligible=p[2],
        compatible=compatible,
        direction=direction,
        detectable=detectable(found),
        songs=len(rows[0].songs),
        seeds=min(each.seeds for each in rows),
        shift=shift,
        wins=wins,
        error=(math.sqrt(found.songs), math.sqrt(found.seeds)),
    )


def _with_published(
    found: Estimate,
    rows: Sequence[Panel],
    factors: Sequence[float],
    spread: Noise,
    count: int | None,
) -> Estimate:
    """Return the estimate with the error of the published number: one run on `count` songs."""
    ours = len(rows[0].songs)
    one = sum(f**2 * spread.sd**2 for f, each in zip(factors, rows, strict=True) if each.random)
    return found.beside(found.songs * ours / (count or ours), one)


def _holds(interval: tuple[float, float], number: float) -> bool:
    return interval[0] <= number <= interval[1]


def _towards(found: float, by: float, margin: float) -> str:
    """Return where a difference lies beside the published one, which may be negative."""
    if abs(found - by) <= margin:
        return "as claimed"
    if by and found * by < 0.0:
        return "contradicted"
    return "exceeds" if abs(found) > abs(by) else "falls short"


def _beside(found: float, published: float, margin: float) -> str:
    """Return where a mean lies beside the published one."""
    if abs(found - published) <= margin:
        return "as claimed"
    return "exceeds" if found > published else "falls short"
