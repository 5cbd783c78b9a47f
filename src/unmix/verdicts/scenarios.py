"""Truths at which the rules of the verdicts err most, and truths that they should find.

Wrong outcomes are most likely where the truth lies on the edge between two: no difference at all,
a difference of just the margin, rows that are equally good. See `simulated`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unmix.verdicts import statistics
from unmix.verdicts.decide import COMPATIBLE, INCONCLUSIVE, NEGLIGIBLE, NOT_REPRODUCED, REPRODUCED
from unmix.verdicts.panel import Noise, Panel
from unmix.verdicts.result import Result
from unmix.verdicts.simulated import Case, Scenario, World

EITHER = (REPRODUCED, NOT_REPRODUCED)
DENIED = (NOT_REPRODUCED, NEGLIGIBLE, INCONCLUSIVE)
"""What must rarely be said of a number that is met but for chance."""

MARGIN = 0.25
"""What counts as no difference here, in dB; for means on other songs it is `WIDE`."""

WIDE = 1.0
"""Several times the standard error of a mean over songs, in dB."""

FAR = 1.0
"""A difference that shall be found, in dB."""

Test = Callable[[World], Result]


def _rows(world: World, *truths: float) -> tuple[list[Panel], Noise]:
    rows, _ = world.rows(truths)
    return rows, world.spread(rows)


def _printed(world: World, *truths: float) -> list[float]:
    """Return what a paper would print of rows: means of one run on songs of its own."""
    return [row.mean() for row in world.rows(truths, seeds=1)[0]]


def greater(gap: float, margin: float = MARGIN) -> Test:
    """Return a test of whether the first of two rows is higher, if it is by `gap`."""
    return lambda world: statistics.greater(*_rows(world, gap, 0.0), margin=margin)


def equal(gap: float) -> Test:
    """Return a test of whether two rows are equal, if they differ by `gap`."""
    return lambda world: statistics.equal(*_rows(world, gap, 0.0), margin=MARGIN)


def difference(
    gap: float,
    by: float,
    *,
    printed: bool = False,
    at_least: bool = False,
    margin: float = MARGIN,
) -> Test:
    """Return a test of whether two rows differ by what is published, if they differ by `gap`.

    Args:
        gap: the true difference.
        by: the published one; if it is `printed`, what the paper's rows truly differ by.
        printed: the published one comes from a run of the paper.
        at_least: see `statistics.difference`.
        margin: what counts as met.
    """

    def test(world: World) -> Result:
        first, second = _printed(world, by, 0.0) if printed else (by, 0.0)
        return statistics.difference(
            *_with(_rows(world, gap, 0.0), first - second),
            margin=margin,
            count=world.songs,
            at_least=at_least,
        )

    return test


def _with(found: tuple[list[Panel], Noise], by: float) -> tuple[list[Panel], float, Noise]:
    return found[0], by, found[1]


def value(off: float, *, same: bool, printed: bool = False) -> Test:
    """Return a test of whether a mean is the published one, if it is `off` above it.

    Args:
        off: in dB.
        same: the paper's songs are ours.
        printed: the published mean comes from a run of the paper; else it is the true one.
    """

    def test(world: World) -> Result:
        rows, means = world.rows([off], world.seeds + 1)
        scores = rows[0].values
        row = Panel(scores[:-1], rows[0].weights, rows[0].songs)
        published = 0.0
        if same:
            theirs = Panel(scores[-1:], row.weights, row.songs).mean()
            published = (theirs if printed else float(means[0])) - off
        elif printed:
            published = _printed(world, 0.0)[0]
        return statistics.value(
            row,
            published,
            world.spread([row]),
            margin=MARGIN if same else WIDE,
            same=same,
            count=world.songs,
            rng=None if same else world.rng,
        )

    return test


def threshold(off: float) -> Test:
    """Return a test of whether a mean lies above a limit, if it does by `off`."""

    def test(world: World) -> Result:
        rows, spread = _rows(world, off)
        return statistics.threshold(rows[0], 0.0, spread)

    return test


def trend(*truths: float, margin: float = MARGIN) -> Test:
    """Return a test of whether rows with these means rise."""
    return lambda world: statistics.trend(*_rows(world, *truths), sign=1.0, margin=margin)


def peak(*truths: float) -> Test:
    """Return a test of whether the first of rows with these means is the best."""

    def test(world: World) -> Result:
        rows, spread = _rows(world, *truths)
        return statistics.peak(rows, 0, spread, rng=world.rng, count=1000)

    return test


def several(*gaps: float) -> Callable[[World], list[Result]]:
    """Return comparisons of one claim: several rows, each against the last."""

    def tests(world: World) -> list[Result]:
        rows, spread = _rows(world, *gaps, 0.0)
        return [statistics.greater([row, rows[-1]], spread, margin=0.0) for row in rows[:-1]]

    return tests


def _one(test: Test, wrong: Sequence[str], *wanted: str) -> Callable[[World], list[Case]]:
    return lambda world: [Case([test(world)], tuple(wrong), wanted)]


def _joint(
    tests: Callable[[World], list[Result]], needed: int, wrong: Sequence[str]
) -> Callable[[World], list[Case]]:
    return lambda world: [Case(tests(world), tuple(wrong), needed=needed)]


def family(*members: tuple[Test, Sequence[str], str]) -> Callable[[World], list[Case]]:
    """Return claims that are decided together, each on rows of its own."""
    return lambda world: [
        Case([test(world)], tuple(wrong), (wanted,)) for test, wrong, wanted in members
    ]


def crowd(*truths: float) -> Callable[[World], list[Case]]:
    """Return claims that share their rows: each pair, and whether the first is the best of all."""

    def cases(world: World) -> list[Case]:
        rows, spread = _rows(world, *truths)
        best = [statistics.greater([rows[0], row], spread, margin=0.0) for row in rows[1:]]
        pairs = [
            statistics.greater([rows[i], rows[j]], spread, margin=0.0)
            for i in range(1, len(rows))
            for j in range(i)
        ]
        rising = statistics.trend(rows, spread, sign=1.0, margin=0.0)
        return [Case(best, EITHER), *(Case([one], EITHER) for one in pairs), Case([rising], EITHER)]

    return cases


def _values(kind: str, margin: float, *, same: bool) -> tuple[Scenario, ...]:
    """Return the scenarios of a published value, on the paper's songs or on others."""
    return (
        Scenario(kind, "off by the margin", _one(value(margin, same=same), EITHER)),
        Scenario(
            kind,
            "off by the margin from one that was measured",
            _one(value(margin, same=same, printed=True), (NOT_REPRODUCED,)),
        ),
        Scenario(
            kind,
            "as measured by the paper, but for chance",
            _one(value(0.0, same=same, printed=True), DENIED),
        ),
    )


_OPPOSITE = (REPRODUCED, f"{NOT_REPRODUCED}: contradicted", f"{NOT_REPRODUCED}: exceeds")

ERRORS = (
    Scenario("greater", "no difference", _one(greater(0.0, margin=0.0), EITHER)),
    Scenario("greater", "ahead by the margin", _one(greater(MARGIN), (NEGLIGIBLE, NOT_REPRODUCED))),
    Scenario("greater", "behind by the margin", _one(greater(-MARGIN), (NEGLIGIBLE, REPRODUCED))),
    Scenario("equal", "apart by the margin", _one(equal(MARGIN), EITHER)),
    Scenario("difference", "short by the margin", _one(difference(0.75, 1.0), (REPRODUCED,))),
    Scenario("difference", "above by the margin", _one(difference(1.25, 1.0), (REPRODUCED,))),
    Scenario(
        "difference",
        "short by the margin of one that was measured",
        _one(difference(0.75, 1.0, printed=True), (NOT_REPRODUCED, NEGLIGIBLE)),
    ),
    Scenario(
        "difference",
        "as measured by the paper, but for chance",
        _one(difference(1.0, 1.0, printed=True), DENIED),
    ),
    Scenario(
        "difference",
        "the margin, half of what is published",
        _one(difference(MARGIN, 2 * MARGIN), (REPRODUCED, NEGLIGIBLE)),
    ),
    Scenario("difference", "none, one is published", _one(difference(0.0, 1.0), _OPPOSITE)),
    Scenario(
        "at least",
        "short by the margin",
        _one(difference(0.75, 1.0, at_least=True), (REPRODUCED,)),
    ),
    Scenario(
        "at least",
        "behind by the margin, level is enough",
        _one(difference(-MARGIN, 0.0, at_least=True), EITHER),
    ),
    *_values("value, same songs", MARGIN, same=True),
    *_values("value, other songs", WIDE, same=False),
    Scenario("threshold", "at the limit", _one(threshold(0.0), EITHER)),
    Scenario("trend", "level", _one(trend(0.0, 0.0, 0.0, margin=0.0), EITHER)),
    Scenario(
        "trend",
        "rising by the margin",
        _one(trend(0.0, MARGIN / 2, MARGIN), (NEGLIGIBLE, NOT_REPRODUCED)),
    ),
    Scenario("peak", "two are best", _one(peak(0.0, 0.0, -FAR), EITHER)),
    Scenario("peak", "three are level", _one(peak(0.0, 0.0, 0.0), EITHER)),
    Scenario("peak", "eight are level", _one(peak(*[0.0] * 8), EITHER)),
    Scenario(
        "all of three",
        "two hold, one is level",
        _joint(several(FAR, FAR, 0.0), 3, EITHER),
    ),
    Scenario("all of three", "none differs", _joint(several(0.0, 0.0, 0.0), 3, EITHER)),
    Scenario(
        "most of three",
        "one holds, two are level",
        _joint(several(FAR, 0.0, 0.0), 2, (REPRODUCED,)),
    ),
    Scenario(
        "most of three",
        "one holds, one fails, one is level",
        _joint(several(FAR, 0.0, -FAR), 2, EITHER),
    ),
    Scenario(
        "family",
        "six claims, each on its edge",
        family(
            (greater(0.0, margin=0.0), EITHER, ""),
            (greater(MARGIN), (NEGLIGIBLE, NOT_REPRODUCED), ""),
            (equal(MARGIN), EITHER, ""),
            (difference(0.75, 1.0), (REPRODUCED,), ""),
            (difference(0.75, 1.0, printed=True), (NOT_REPRODUCED, NEGLIGIBLE), ""),
            (threshold(0.0), EITHER, ""),
        ),
    ),
    Scenario("family", "eight claims on the same four rows, all level", crowd(*[0.0] * 4)),
)
"""Truths on an edge. Whatever is wrong there must be said in 5 % of simulations at most."""

FINDINGS = (
    Scenario("greater", "1 dB ahead", _one(greater(FAR), (), REPRODUCED)),
    Scenario("greater", "1 dB behind", _one(greater(-FAR), (), NOT_REPRODUCED)),
    Scenario("greater", "no difference", _one(greater(0.0), (), NEGLIGIBLE)),
    Scenario("equal", "no difference", _one(equal(0.0), (), REPRODUCED)),
    Scenario("equal", "1 dB apart", _one(equal(FAR), (), NOT_REPRODUCED)),
    Scenario("difference", "as published", _one(difference(FAR, FAR), (), REPRODUCED)),
    Scenario(
        "difference",
        "none, 1 dB is published",
        _one(difference(0.0, FAR), (), NEGLIGIBLE, f"{NOT_REPRODUCED}: falls short"),
    ),
    Scenario(
        "at least", "level, level is enough", _one(difference(0, 0, at_least=True), (), REPRODUCED)
    ),
    Scenario(
        "value, same songs", "as published", _one(value(0.0, same=True), (), REPRODUCED), (5,)
    ),
    Scenario("value, same songs", "1 dB above", _one(value(FAR, same=True), (), NOT_REPRODUCED)),
    Scenario(
        "value, other songs",
        "as measured, but for chance",
        _one(value(0.0, same=False, printed=True), (), COMPATIBLE),
        (1, 3),
    ),
    Scenario("threshold", "1 dB above", _one(threshold(FAR), (), REPRODUCED)),
    Scenario("trend", "1 dB in three rows", _one(trend(0.0, FAR / 2, FAR), (), REPRODUCED)),
    Scenario("peak", "1 dB ahead of two", _one(peak(FAR, 0.0, 0.0), (), REPRODUCED)),
    Scenario("peak", "1 dB behind one of two", _one(peak(0.0, FAR, 0.0), (), NOT_REPRODUCED)),
    Scenario(
        "family",
        "twenty claims, each 1 dB ahead",
        family(*[(greater(FAR), (), REPRODUCED)] * 20),
    ),
)
"""Truths that are to be found: how often the evidence finds them."""
