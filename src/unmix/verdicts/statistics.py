"""Tests behind the verdicts: what the evidence says of one comparison.

Every test answers three questions, each with a p-value: does the evidence bear the comparison out
(`p_for`), does it speak against it (`p_against`), is there no difference worth the name
(`p_negligible`)? A p-value of 1 means that the question cannot be answered in this way. The tests
are one-sided; whoever decides takes 2.5 % for each of them, so that no truth is missed in more
than 5 %: each lies beyond the bounds of two questions at most, on opposite sides. That is also
what the 95 % interval says, before the claims of a paper are corrected for their number.

Where two rows are compared, two tests must agree, and the larger p-value counts: Wilcoxon's signed
rank test on the means of songs (zeros after Pratt), which does not ask how the songs are
distributed, and a t-test whose error has a part from the songs and a part from the seeds, which
Wilcoxon's test cannot see.

Intervals are drawn by the bootstrap; without `rng` they are t-intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from unmix.verdicts import ranks
from unmix.verdicts.estimate import POWER, SPAN, Estimate, contrast, crossed, draws, one_run
from unmix.verdicts.panel import LEVEL, SEEDS, Noise, Panel, common
from unmix.verdicts.result import Reach, Result, holds, interval_of, result, wins

__all__ = [
    "POWER",
    "SEEDS",
    "SPAN",
    "Result",
    "difference",
    "equal",
    "greater",
    "peak",
    "threshold",
    "trend",
    "value",
]


def greater(
    panels: Sequence[Panel],
    spread: Noise,
    *,
    margin: float,
    sign: float = 1.0,
    rng: np.random.Generator | None = None,
) -> Result:
    """Test whether the first of two rows lies above the second.

    Args:
        panels: both rows.
        spread: how much a mean moves from seed to seed.
        margin: differences below it are negligible, in dB; 0 if none is.
        sign: -1 if the first shall lie below.
        rng: for the interval.
    """
    pair, factors = common(panels), (sign, -sign)
    found = contrast(pair, factors, spread)
    per_song = sign * (pair[0].values.mean(axis=0) - pair[1].values.mean(axis=0))
    sided = _both_sides(found, 0.0, lambda side: ranks.signed_rank(side * per_song))
    return result(
        found,
        pair,
        (*sided, found.p_within(0.0, margin) if margin else 1.0),
        _signed(found.value),
        interval=interval_of(found, pair, factors, spread, rng),
        reach=Reach(found.se, found.df, least=ranks.least(len(per_song))),
        shift=ranks.shift(per_song),
        wins=wins(*pair) if sign > 0 else wins(*pair[::-1]),
    )


def equal(
    panels: Sequence[Panel],
    spread: Noise,
    *,
    margin: float,
    rng: np.random.Generator | None = None,
) -> Result:
    """Test whether two rows differ by less than the margin (two one-sided tests)."""
    pair, factors = common(panels), (1.0, -1.0)
    found = contrast(pair, factors, spread)
    return result(
        found,
        pair,
        (found.p_within(0.0, margin), found.p_beyond(0.0, margin), 1.0),
        "as claimed" if abs(found.value) <= margin else "exceeds",
        interval=interval_of(found, pair, factors, spread, rng),
        reach=Reach(found.se, found.df, margin),
        compatible=holds(found.interval(), 0.0),
        shift=ranks.shift(pair[0].values.mean(axis=0) - pair[1].values.mean(axis=0)),
        wins=wins(*pair),
    )


def difference(
    panels: Sequence[Panel],
    by: float,
    spread: Noise,
    *,
    margin: float,
    count: int | None,
    at_least: bool = False,
    rng: np.random.Generator | None = None,
) -> Result:
    """Test whether first minus second is `by`, or at least that.

    Our error alone decides whether the difference is met; whether it is missed, and whether it is
    compatible, is asked with the error that the published difference has itself: of one run on
    `count` songs. A bound of zero ("at least as good") is no measurement and has none. Where a
    difference of zero would be as claimed, none is called negligible.

    Args:
        panels: first and second in turn; of several pairs the mean counts, with a t-interval.
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
    # Rows of several pairs may come from the same runs: as if their seeds moved them all alike.
    found = replace(found, seeds=pairs * found.seeds)
    both = found
    if by or not at_least:
        both = _with_published(found, rows, factors, spread, count, pairs)
    if at_least:
        p_for, p_against = found.p_above(by - margin), both.p_below(by - margin)
    else:
        p_for, p_against = found.p_within(by, margin), both.p_beyond(by, margin)
    return result(
        found,
        rows,
        (p_for, p_against, found.p_within(0.0, margin) if abs(by) > margin else 1.0),
        _towards(found, by, margin, at_least),
        interval=interval_of(found, rows, factors, spread, rng if pairs == 1 else None),
        reach=Reach(both.se, both.df, margin),
        compatible=holds(both.interval(), by) or (at_least and found.value > by),
    )


def value(
    row: Panel,
    published: float,
    spread: Noise,
    *,
    margin: float,
    same: bool,
    count: int | None,
    rng: np.random.Generator | None = None,
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
        rng: for the bootstrap; None: closed forms.
    """
    found = contrast([row], (1.0,), spread)
    if same:
        found = replace(found, songs=0.0)
        both = found.beside(0.0, one_run([row], (1.0,), spread))
    else:
        if rng is not None:
            songs, seeds = crossed(row, rng)
            # A few seeds drawn anew say as little as they do themselves.
            seeds = seeds if row.seeds >= SEEDS else found.seeds
            found = replace(found, songs=songs, seeds=seeds)
        both = _with_published(found, [row], (1.0,), spread, count)
    enough = row.seeds >= SEEDS or not row.random
    return result(
        found,
        [row],
        (
            found.p_within(published, margin) if enough else 1.0,
            both.p_beyond(published, margin),
            1.0,
        ),
        _beside(found.value, published, margin),
        interval=found.interval(),
        reach=Reach(both.se, both.df, margin),
        compatible=holds(both.interval(), published),
        offset=published,
    )


def threshold(
    row: Panel,
    limit: float,
    spread: Noise,
    *,
    sign: float = 1.0,
    rng: np.random.Generator | None = None,
) -> Result:
    """Test whether a row's mean lies above a limit (`sign` 1) or below it (-1)."""
    found = contrast([row], (sign,), spread)
    above = sign * (row.values.mean(axis=0) - limit)
    sided = _both_sides(found, sign * limit, lambda side: ranks.signed_rank(side * above))
    return result(
        found,
        [row],
        (*sided, 1.0),
        _signed(found.value - sign * limit),
        interval=interval_of(found, [row], (sign,), spread, rng),
        reach=Reach(found.se, found.df, least=ranks.least(len(above))),
        offset=sign * limit,
    )


def trend(
    panels: Sequence[Panel],
    spread: Noise,
    *,
    sign: float,
    margin: float,
    rng: np.random.Generator | None = None,
) -> Result:
    """Test whether scores rise (`sign` 1) or fall (-1) over rows in order.

    Page's test on the ranks within each song, and the slope of a straight line through the rows,
    song by song, must agree. The estimate is that slope, in dB a step; the change from the first
    to the last row is negligible if it is below the margin.
    """
    rows = common(panels)
    steps = np.arange(len(rows)) - (len(rows) - 1) / 2.0
    slope = steps / (steps**2).sum()
    factors = tuple(sign * slope)
    found = contrast(rows, factors, spread)
    scores = sign * np.stack([each.values.mean(axis=0) for each in rows], axis=1)
    sided = _both_sides(found, 0.0, lambda side: ranks.page(side * scores))
    return result(
        found,
        rows,
        (*sided, found.p_within(0.0, margin / (len(rows) - 1)) if margin else 1.0),
        _signed(found.value),
        interval=interval_of(found, rows, factors, spread, rng),
        reach=Reach(found.se, found.df, least=ranks.least(*scores.shape)),
        shift=ranks.shift(scores @ slope),
    )


def peak(
    panels: Sequence[Panel],
    at: int,
    spread: Noise,
    *,
    rng: np.random.Generator,
    count: int = 4000,
) -> Result:
    """Test whether row number `at` is the best, by how often it is when all is drawn anew.

    That it is not the best is another question: of many equal rows each is rarely the best. There
    the lead of the best of the others counts, beside what the same draws give where all are equal
    (Hsu's comparisons with the best, Annals of Statistics 9, 1981). The estimate is the row's lead
    over the best of the others.

    Args:
        panels: the rows.
        at: index of the one that shall be best.
        spread: how much a mean moves from seed to seed.
        rng: for the draws.
        count: how many; no p-value is below one in so many.
    """
    rows = common(panels)
    means = np.array([each.mean() for each in rows])
    drawn = draws(rows, spread, rng, count)
    leads = drawn[:, [at]] - np.delete(drawn, at, axis=1)
    observed = means[at] - np.delete(means, at)
    lead = float(observed.min())
    rival = int(np.delete(np.arange(len(rows)), at)[observed.argmin()])
    found = replace(contrast([rows[at], rows[rival]], (1.0, -1.0), spread), value=lead)
    behind = (observed - leads).max(axis=1)
    known = not math.isnan(found.se)
    return result(
        found,
        rows,
        (
            (1 + int((leads.min(axis=1) <= 0.0).sum())) / (1 + count) if known else 1.0,
            (1 + int((behind >= -lead).sum())) / (1 + count) if known else 1.0,
            1.0,
        ),
        _signed(lead),
        interval=(
            float(np.quantile(leads.min(axis=1), LEVEL / 2.0)),
            lead + float(np.quantile(behind, 1.0 - LEVEL / 2.0)),
        ),
        reach=Reach(found.se, found.df, least=1 / (1 + count)),
    )


def _both_sides(
    found: Estimate, limit: float, rank_test: Callable[[float], float]
) -> tuple[float, float]:
    """Return p-values for above and below, the larger of the t-test's and the rank test's.

    Away from the estimate the t-test alone says that nothing is shown: the rank test is not asked.

    Args:
        found: the estimate.
        limit: what it is held against.
        rank_test: returns the p-value of the other test, given the side: 1 or -1.
    """
    p_values = (1.0, found.p_above(limit)), (-1.0, found.p_below(limit))
    above, below = (p if p >= 0.5 else max(p, rank_test(side)) for side, p in p_values)
    return above, below


def _with_published(
    found: Estimate,
    rows: Sequence[Panel],
    factors: Sequence[float],
    spread: Noise,
    count: int | None,
    alike: int = 1,
) -> Estimate:
    """Return the estimate with the error of the published number: one run on `count` songs.

    So many rows that are `alike` are moved by a seed together.
    """
    ours = len(rows[0].songs)
    seeds = alike * one_run(rows, factors, spread)
    return found.beside(found.songs * ours / (count or ours), seeds)


def _signed(lead: float) -> str:
    return "as claimed" if lead > 0.0 else "contradicted"


def _towards(found: Estimate, by: float, margin: float, at_least: bool) -> str:
    """Return where a difference lies beside the published one, which may be negative.

    It contradicts the published one where it is shown to have the other sign.
    """
    off = found.value - by
    if abs(off) <= margin or (at_least and off > 0.0):
        return "as claimed"
    opposite = found.p_below(0.0) if by > 0.0 or at_least else found.p_above(0.0)
    if (by or at_least) and opposite <= LEVEL / 2.0:
        return "contradicted"
    if at_least:
        return "falls short"
    return "exceeds" if abs(found.value) > abs(by) and found.value * by >= 0.0 else "falls short"


def _beside(found: float, published: float, margin: float) -> str:
    """Return where a mean lies beside the published one."""
    if abs(found - published) <= margin:
        return "as claimed"
    return "exceeds" if found > published else "falls short"
