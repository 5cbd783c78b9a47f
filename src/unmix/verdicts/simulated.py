"""Evidence with known truth: how often do the rules err, and what do they find?

A score is the sum of the row's true mean, an effect of the song that all rows share, an effect of
the song on this row, an effect of the seed on this row, and a rest. How large each is, the
evidence tells (`components`). Of such scores, rows are made up whose true differences are known,
the rules of the verdicts are applied to them, and wrong outcomes are counted (`rates`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unmix.verdicts import decide
from unmix.verdicts.panel import LEVEL, Noise, Panel, common, noise
from unmix.verdicts.result import Result


@dataclass(frozen=True)
class Components:
    """Standard deviations of what a song's score is made of, in dB.

    Attributes:
        song: of the effect of the song that all rows share.
        mixed: of the effect of the song on a single row.
        seed: of the effect of the seed on a row.
        rest: of what a song under one seed adds.
    """

    song: float
    mixed: float
    seed: float
    rest: float


def components(panels: Sequence[Panel]) -> Components:
    """Return the components of rows that have the same songs and number of seeds, at least two.

    From the mean squares of the analysis of variance (rows × songs, seeds within rows); what comes
    out below zero counts as zero.
    """
    scores = np.stack([each.values for each in common(panels)])
    rows, seeds, songs = scores.shape
    cells, means = scores.mean(axis=1), scores.mean(axis=2)
    rest = scores - cells[:, None] - means[:, :, None] + cells.mean(axis=1)[:, None, None]
    of_rest = float((rest**2).sum()) / (rows * (seeds - 1) * (songs - 1))
    of_seed = float(means.var(axis=1, ddof=1).mean()) - of_rest / songs
    mixed = cells - cells.mean(axis=0) - cells.mean(axis=1, keepdims=True) + cells.mean()
    of_cell = float((mixed**2).sum()) / ((rows - 1) * (songs - 1))
    of_song = float(cells.mean(axis=0).var(ddof=1)) - of_cell / rows
    parts = of_song, of_cell - of_rest / seeds, of_seed, of_rest
    return Components(*(math.sqrt(max(part, 0.0)) for part in parts))


SHAPES: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "heavy": lambda rng, size: rng.standard_t(5, size) / math.sqrt(5 / 3),
    "skewed": lambda rng, size: rng.standard_exponential(size) - 1.0,
}
"""Distributions of the songs' effects, with mean 0 and variance 1."""


@dataclass(frozen=True)
class World:
    """Where made-up evidence comes from.

    Attributes:
        parts: standard deviations of the parts of a score.
        rng: draws all of it.
        songs: how many.
        seeds: repetitions of each row.
        repeated: rows of which the spread over seeds is known, those that are tested among them if
            they have several.
        repetitions: of the others.
        shape: of the songs' effects, see `SHAPES`.
        uneven: how many times as far the seed moves the rows that are tested as it moves the rest.
        weights: of the songs, `(songs,)`; None: all alike.
    """

    parts: Components
    rng: np.random.Generator
    songs: int = 40
    seeds: int = 3
    repeated: int = 8
    repetitions: int = 3
    shape: str = "normal"
    uneven: float = 1.0
    weights: np.ndarray | None = None

    def rows(
        self, truths: Sequence[float], seeds: int | None = None
    ) -> tuple[list[Panel], np.ndarray]:
        """Return rows with these true means, and their true means on the songs drawn, `(rows,)`."""
        seeds, count, draw = seeds or self.seeds, len(truths), SHAPES[self.shape]
        weights = np.ones(self.songs) if self.weights is None else self.weights
        each = (
            np.asarray(truths, float)[:, None]
            + self.parts.song * draw(self.rng, (1, self.songs))
            + self.parts.mixed * draw(self.rng, (count, self.songs))
        )
        moved = self.uneven * self.parts.seed * self.rng.standard_normal((count, seeds, 1))
        rest = self.parts.rest * self.rng.standard_normal((count, seeds, self.songs))
        names = tuple(str(song) for song in range(self.songs))
        scores = each[:, None] + moved + rest
        panels = [Panel(values, weights, names) for values in scores]
        return panels, each @ weights / weights.sum()

    def spread(self, rows: Sequence[Panel]) -> Noise:
        """Return the spread over seeds, from these rows and the others that were repeated."""
        # The spread of the others' means is drawn as such: their songs make no difference to it.
        weights = np.ones(self.songs) if self.weights is None else self.weights
        share = weights / weights.sum()
        variance = self.parts.seed**2 + self.parts.rest**2 * float(share @ share)
        own = noise(rows)
        others = self.repeated - sum(row.seeds > 1 for row in rows)
        df = max(others, 0) * (self.repetitions - 1)
        squares = variance * float(self.rng.chisquare(df)) if df else 0.0
        squares += own.sd**2 * own.df if own.df else 0.0
        total = df + own.df
        if not total:
            return Noise(math.nan, 0)
        # The rest has many degrees of freedom: as good as known.
        return Noise(math.sqrt(squares / total), total, self.parts.rest**2 * float(share @ share))


@dataclass(frozen=True)
class Case:
    """A claim about made-up rows.

    Attributes:
        results: of its comparisons.
        wrong: outcomes that would be wrong, see `named`.
        wanted: outcomes that would be right.
        needed: how many comparisons must hold; 0: all.
    """

    results: Sequence[Result]
    wrong: tuple[str, ...]
    wanted: tuple[str, ...] = ()
    needed: int = 0


@dataclass(frozen=True)
class Scenario:
    """A truth, and the claims that are held against it.

    Attributes:
        kind: of comparison, or `family` for several claims that are decided together.
        truth: in words.
        cases: makes the claims up, once a simulation.
        seeds: numbers of seeds with which it makes sense.
    """

    kind: str
    truth: str
    cases: Callable[[World], Sequence[Case]]
    seeds: tuple[int, ...] = (1, 3, 5)


@dataclass(frozen=True)
class Rates:
    """Shares of simulations.

    Attributes:
        wrong: with a wrong outcome for any claim.
        wanted: with the right outcome for all claims.
        outcomes: of the first claim, each with its share.
    """

    wrong: float
    wanted: float
    outcomes: Mapping[str, float]


def named(outcome: str, direction: str) -> str:
    """Return an outcome, with the direction if it is *not reproduced*."""
    return f"{outcome}: {direction}" if outcome == decide.NOT_REPRODUCED else outcome


def rates(scenario: Scenario, world: World, count: int = 2000, level: float = LEVEL) -> Rates:
    """Return how often the outcomes are wrong and right.

    Args:
        scenario: what is claimed, and what is true.
        world: where the evidence comes from.
        count: simulations.
        level: of the rules.
    """
    wrong = wanted = 0
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        cases = scenario.cases(world)
        tendencies = [
            decide.together(case.results, case.needed or len(case.results)) for case in cases
        ]
        found = [
            named(decision.outcome, case.results[tendency.deciding].direction)
            for decision, case, tendency in zip(
                decide.decide(tendencies, level), cases, tendencies, strict=True
            )
        ]
        wrong += any(_is(one, case.wrong) for one, case in zip(found, cases, strict=True))
        wanted += all(_is(one, case.wanted) for one, case in zip(found, cases, strict=True))
        outcomes[found[0]] += 1
    shares = {name: times / count for name, times in sorted(outcomes.items())}
    return Rates(wrong / count, wanted / count, shares)


def _is(outcome: str, names: Sequence[str]) -> bool:
    return any(outcome == name or outcome.startswith(f"{name}:") for name in names)
