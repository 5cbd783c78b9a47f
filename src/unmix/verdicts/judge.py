"""Verdicts: what the evidence says of each claim of a paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unmix.metrics.scores import GLOBAL
from unmix.models.separator import describe
from unmix.report.evidence import RANK, Evidence
from unmix.verdicts import decide, statistics
from unmix.verdicts.claims import MARGIN, Claim, TestSongs, songs_of
from unmix.verdicts.panel import Noise, Panel, noise, panel
from unmix.verdicts.rules import Comparison, Place, claimed
from unmix.verdicts.statistics import Result

FIXED = ("oracle", "mixture")
"""Kinds of separators that are the same with any seed."""

MANY = 20
"""More seeds than this nobody should be asked for."""

Find = Callable[[str], Sequence[Sequence[Evidence]]]
"""Returns all evidence of an experiment: for each row, the best first; none if there is no such."""


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of one claim.

    Attributes:
        id, paper: the claim's.
        outcome: one of `decide.OUTCOMES`; with other material than the paper's, after its name.
        direction: `as claimed`, `exceeds`, `falls short`, `contradicted`, or empty.
        fidelity: of the evidence; empty without.
        estimate: of the comparison on which the claim hangs, in dB; nan without evidence.
        interval: 95 % over songs and seeds.
        p: after Holm's correction within the paper.
        n_songs, n_seeds: behind that comparison; of several rows the fewest.
        margin: differences below it count as none, in dB.
        detectable: smallest difference that the evidence would have found in four of five cases.
        runs: keys of the runs behind the claim.
        why: in words: what decided, what would, or why nothing could.
        comparisons: each with its numbers.
    """

    id: str
    paper: str
    outcome: str
    direction: str = ""
    fidelity: str = ""
    estimate: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    p: float = math.nan
    n_songs: int = 0
    n_seeds: int = 0
    margin: float = math.nan
    detectable: float = math.nan
    runs: tuple[str, ...] = ()
    why: str = ""
    comparisons: tuple[Mapping[str, Any], ...] = field(default=())

    def plain(self) -> dict[str, Any]:
        """Return the verdict as it stands in `verdicts.json`; what is not a number is null."""
        data = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        data["comparisons"] = [
            {name: _plain(value) for name, value in each.items()} for each in self.comparisons
        ]
        return data


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value


def verdicts(paper: str, claims: Sequence[Claim], look: Find) -> list[Verdict]:
    """Return a verdict for each claim of a paper; they are decided together.

    Args:
        paper: its name.
        claims: all claims of the paper.
        look: finds the evidence of an experiment.
    """
    sources = _Sources(paper, look)
    cases = [_Case(claim, sources) for claim in claims]
    # How much scores move from seed to seed is known when all rows have been looked up.
    for case in cases:
        case.compare()
    open_cases = [case for case in cases if case.results]
    decisions = decide.decide([case.tendency for case in open_cases])
    decided = {case.claim.id: each for case, each in zip(open_cases, decisions, strict=True)}
    return [case.verdict(decided.get(case.claim.id)) for case in cases]


class _Sources:
    """The evidence of a paper as panels."""

    def __init__(self, paper: str, look: Find) -> None:
        self.paper, self.look = paper, look
        self.songs: TestSongs = songs_of(paper)
        self._rows: dict[str, dict[tuple[tuple[str, str], ...], Sequence[Evidence]]] = {}
        self._panels: dict[tuple[str, str], Panel] = {}
        self._noise: dict[tuple[str, str], Noise] = {}

    def offers(self, place: Place) -> Mapping[str, Evidence]:
        """Return the best evidence of a row for each fidelity; empty if there is no such row."""
        if place.table not in self._rows:
            self._rows[place.table] = {
                tuple(sorted(of_row[0].row.keys.items())): of_row
                for of_row in self.look(place.table)
            }
        of_row = self._rows[place.table].get(tuple(sorted(place.keys)), ())
        found: dict[str, Evidence] = {}
        for item in of_row:
            if item.runs:
                found.setdefault(item.fidelity, item)
        return found

    def panel(self, item: Evidence, metric: str) -> Panel:
        """Return the scores of a row by seed and song."""
        name = item.row.spec.family() + item.fidelity, metric
        if name not in self._panels:
            fixed = describe(item.row.spec.separator) in FIXED
            runs = [run.scores() for run in item.runs[:1] if fixed] or [
                run.scores() for run in item.runs
            ]
            self._panels[name] = panel(runs, GLOBAL[metric], random=not fixed)
        return self._panels[name]

    def noise(self, fidelity: str, metric: str) -> Noise:
        """Return how much a mean moves from seed to seed, over all rows read so far of a paper."""
        if (fidelity, metric) not in self._noise:
            rows = [of_row for table in self._rows.values() for of_row in table.values()]
            items = {
                item.row.spec.family(): item
                for of_row in rows
                for item in of_row
                if item.runs and item.fidelity == fidelity
            }
            panels = [self.panel(item, metric) for item in items.values() if len(item.runs) > 1]
            self._noise[fidelity, metric] = noise(panels)
        return self._noise[fidelity, metric]


class _Case:
    """One claim with what there is to decide it."""

    def __init__(self, claim: Claim, sources: _Sources) -> None:
        self.claim, self.sources = claim, sources
        self.compared = claim.comparisons
        self.results: list[Result] = []
        self.margin, self.tendency = math.nan, decide.NOTHING
        self.fidelity, self.why = "", self._before()
        if self.why:
            return
        self.fidelity, missing = self._fidelity()
        if not self.fidelity:
            self.why = missing

    def _before(self) -> str:
        """Return why no evidence can decide the claim; empty if evidence can."""
        if self.claim.rule["test"] == "audit":
            checks = ", ".join(self.claim.rule["checks"])
            return f"a matter of the paper's own numbers: see the audit ({checks})"
        if not self.compared:
            return self.claim.without or "not to be decided by a rule"
        if self.claim.experiment is None:
            return self.claim.without
        unknown = {place.metric for each in self.compared for place in each.places} - set(GLOBAL)
        return f"no scores in {', '.join(sorted(unknown))} are kept" if unknown else ""

    def _fidelity(self) -> tuple[str, str]:
        """Return the best fidelity that all rows have, or the reason why there is none."""
        places = {place for each in self.compared for place in each.places}
        offers = {place: self.sources.offers(place) for place in sorted(places, key=str)}
        for kind in RANK:
            if all(kind in found for found in offers.values()):
                return kind, ""
        lacking = [place for place, found in offers.items() if not found]
        if not lacking:
            return "", "its rows were run on different material"
        names = sorted({f"{place.table}: {place.label}" for place in lacking})
        told = "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return "", f"not run yet: {told}"

    def compare(self) -> None:
        """Make the comparisons, where there is evidence for all of them."""
        if self.why:
            return
        gaps = [self._claimed(each) for each in self.compared]
        self.margin = self.claim.margin or margin(self.compared, gaps)
        # The same draws for a claim whatever other claims there are.
        seed = int.from_bytes(self.claim.id.encode(), "big") % 2**32
        self.results = [
            self._result(each, gap, np.random.default_rng(seed))
            for each, gap in zip(self.compared, gaps, strict=True)
        ]
        self.tendency = decide.together(self.results, self.claim.needed)

    def _claimed(self, each: Comparison) -> float:
        return claimed(self.claim.paper, each)

    def _evidence(self, each: Comparison) -> list[Evidence]:
        return [self.sources.offers(place)[self.fidelity] for place in each.places]

    def _result(self, each: Comparison, gap: float, rng: np.random.Generator) -> Result:
        rows = [
            self.sources.panel(item, place.metric)
            for item, place in zip(self._evidence(each), each.places, strict=True)
        ]
        spread = self.sources.noise(self.fidelity, each.places[0].metric)
        songs, size = self.sources.songs, self.margin
        if each.kind == "greater":
            return statistics.greater(rows, spread, margin=size, sign=each.sign, rng=rng)
        if each.kind == "equal":
            return statistics.equal(rows, spread, margin=size, rng=rng)
        if each.kind == "difference":
            return statistics.difference(
                rows,
                gap,
                spread,
                margin=size,
                count=songs.count,
                at_least=each.at_least,
                rng=rng,
            )
        if each.kind == "value":
            same = songs.same and self.fidelity == decide.FULL
            return statistics.value(
                rows[0], gap, spread, margin=size, same=same, count=songs.count, rng=rng
            )
        if each.kind == "trend":
            return statistics.trend(rows, spread, sign=each.sign, margin=size, rng=rng)
        if each.kind == "peak":
            return statistics.peak(rows, each.at, spread, rng=rng)
        return statistics.threshold(rows[0], gap, spread, sign=each.sign, rng=rng)

    def verdict(self, decision: decide.Decision | None) -> Verdict:
        """Return the verdict, given what was decided."""
        if decision is None:
            return Verdict(self.claim.id, self.claim.paper, decide.NOT_ASSESSED, why=self.why)
        at = self.tendency.deciding
        result = self.results[at]
        items = [item for each in self.compared for item in self._evidence(each)]
        return Verdict(
            id=self.claim.id,
            paper=self.claim.paper,
            outcome=decide.graded(decision.outcome, self.fidelity),
            direction=result.direction,
            fidelity=self.fidelity,
            estimate=result.estimate,
            interval=(result.low, result.high),
            p=decision.p,
            n_songs=result.songs,
            n_seeds=result.seeds,
            margin=self.margin,
            detectable=result.detectable,
            runs=tuple(dict.fromkeys(run.key for item in items for run in item.runs)),
            why=self._words(decision, result),
            comparisons=tuple(map(self._told, self.compared, self.results)),
        )

    def _told(self, each: Comparison, result: Result) -> dict[str, Any]:
        return {
            "what": each.label,
            "kind": each.kind,
            "metric": each.places[0].metric,
            "published": self._claimed(each),
            "estimate": result.estimate,
            "low": result.low,
            "high": result.high,
            "p_for": result.p_for,
            "p_against": result.p_against,
            "p_negligible": result.p_negligible,
            "direction": result.direction,
            "shift": result.shift,
            "wins": result.wins,
            "detectable": result.detectable,
            "songs": result.songs,
            "seeds": result.seeds,
        }

    def _words(self, decision: decide.Decision, result: Result) -> str:
        count, must = len(self.compared), self.claim.needed
        each = self.compared[self.tendency.deciding]
        hang = f"hangs on {each.label}" if count > 1 else ""
        held = sum(one.p_for <= decide.LEVEL / 2.0 for one in self.results)
        told = [f"{held} of {count} comparisons hold, {must} must" if count > 1 else "", hang]
        if decision.outcome == decide.INCONCLUSIVE:
            told.append(needs(result, abs(self._claimed(each)), self.margin))
        return "; ".join(part for part in told if part)


def margin(compared: Sequence[Comparison], gaps: Sequence[float]) -> float:
    """Return what counts as no difference: half the smallest gap, and `MARGIN` at most.

    Args:
        compared: the comparisons of a claim.
        gaps: what is published for each, see `rules.claimed`; nan where nothing is.
    """
    halves = [
        abs(gap) / 2.0
        for each, gap in zip(compared, gaps, strict=True)
        if each.kind in ("greater", "difference", "trend", "peak") and abs(gap) > 0.0
    ]
    return min([MARGIN, *(half for half in halves if not math.isnan(half))])


def needs(result: Result, gap: float, size: float) -> str:
    """Return what evidence it would take, in words, if the spread stays as it is.

    Args:
        result: of the comparison that is open.
        gap: what is published, in dB.
        size: the margin, in dB.
    """
    of_songs, of_seeds = result.error
    if math.isnan(of_seeds):
        return "needs rows with more than one seed: how far chance moves them is not known"
    aim = max(gap if not math.isnan(gap) else 0.0, size) / statistics.SPAN
    if not aim > 0.0:
        return "no gap is published that evidence could find"
    left = aim**2 - of_songs**2
    seeds = math.ceil(result.seeds * of_seeds**2 / left) if left > 0.0 else 0
    if 0 < seeds <= MANY and left > 0.0:
        if seeds <= result.seeds:
            return f"this evidence would have found {aim * statistics.SPAN:.2f} dB"
        return f"would take about {seeds} seeds on these songs"
    left = aim**2 - of_seeds**2 * result.seeds / MANY
    if left > 0.0:
        return f"would take about {math.ceil(result.songs * of_songs**2 / left)} songs"
    return f"would take more than {MANY} seeds"
