"""Verdicts: what the evidence says of each claim of a paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unmix.errors import command
from unmix.metrics.means import COLUMNS, weighed
from unmix.papers.evidence import FIXED, RANK, Evidence, in_full
from unmix.papers.experiment import PAPERS
from unmix.papers.experiment import paper as paper_of
from unmix.papers.published import SCHOOLING
from unmix.verdicts import decide, reasons, statistics
from unmix.verdicts.claims import Claim, TestSongs, margin, songs_of
from unmix.verdicts.panel import Noise, Panel, noise, panel
from unmix.verdicts.rules import Comparison, Place, claimed
from unmix.verdicts.statistics import Result

NAMED = 3
"""So many rows that were not run are named; the others are counted."""

Find = Callable[[str], Sequence[Sequence[Evidence]]]
"""Returns all evidence of an experiment: for each row, the best first; none if there is no such."""

Make = Callable[[str, bool, int], str]
"""Returns the command that makes the evidence of an experiment: its name, whether by profile
`full`, and a number of seeds (0: as many as the experiment itself asks for)."""


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of one claim.

    Attributes:
        id, paper: the claim's.
        outcome: one of `decide.OUTCOMES`; with other material than the paper's, after its name.
        direction: of what is reproduced or not: `as claimed`, `exceeds`, `falls short`,
            `contradicted`; empty otherwise.
        fidelity: of the evidence; empty without.
        estimate: of the comparison on which the claim hangs, in dB; nan without evidence.
        interval: 95 % over songs and seeds.
        p: after Holm's correction within the paper.
        n_songs, n_seeds: behind that comparison; of several rows the fewest.
        margin: differences below it count as none, in dB.
        detectable: smallest difference that the evidence would have found in four of five cases.
        runs: keys of the runs behind the claim.
        commands: what makes them, or would make what is lacking.
        why: in words: what decided, or why nothing could.
        needs: in words: what evidence would settle it; empty where it is settled.
        comparisons: each with its numbers.
        reading: the claim's: `wide` if its sentence is taken to say more than it need mean.
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
    commands: tuple[str, ...] = ()
    why: str = ""
    needs: str = ""
    comparisons: tuple[Mapping[str, Any], ...] = field(default=())
    reading: str = ""

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
        return round(value, 6) if math.isfinite(value) else None
    return value


def verdicts(
    paper: str,
    claims: Sequence[Claim],
    look: Find,
    *,
    names: Sequence[str] = (),
    make: Make | None = None,
) -> list[Verdict]:
    """Return a verdict for each claim of a paper; they are decided together.

    Args:
        paper: its name.
        claims: all claims of the paper.
        look: finds the evidence of an experiment.
        names: all experiments of the paper, whose repetitions tell how far scores move from seed
            to seed; without them only those count that the claims rest on.
        make: names the commands to the reader; None takes those without options.
    """
    sources = _Sources(paper, look, names)
    cases = [_Case(claim, sources) for claim in claims]
    # How much scores move from seed to seed is known when all rows have been looked up.
    for case in cases:
        case.compare()
    open_cases = [case for case in cases if case.results]
    decisions = decide.decide([case.tendency for case in open_cases])
    decided = {case.claim.id: each for case, each in zip(open_cases, decisions, strict=True)}
    return [case.verdict(decided.get(case.claim.id), len(decided), make) for case in cases]


class _Sources:
    """The evidence of a paper as panels."""

    def __init__(self, paper: str, look: Find, names: Sequence[str]) -> None:
        self.paper, self.look = paper, look
        self.songs: TestSongs = songs_of(paper)
        self._rows: dict[str, dict[tuple[tuple[str, str], ...], Sequence[Evidence]]] = {}
        self._panels: dict[tuple[object, ...], Panel] = {}
        self._noise: dict[tuple[str, str], Noise] = {}
        for name in names:
            self.rows(name)

    def rows(self, table: str) -> Mapping[tuple[tuple[str, str], ...], Sequence[Evidence]]:
        """Return all evidence of an experiment by its rows' key columns, sorted by name."""
        if table not in self._rows:
            self._rows[table] = {
                tuple(sorted(of_row[0].row.keys.items())): of_row for of_row in self.look(table)
            }
        return self._rows[table]

    def lacks(self, place: Place) -> str:
        """Return in words what there is not of a row, run or not; empty if there is all of it."""
        rows = self.rows(place.table)
        if not rows:
            return f"there is no experiment {self.paper}/{place.table}"
        if tuple(sorted(place.keys)) not in rows:
            return f"the experiment {self.paper}/{place.table} has no row {place.label}"
        if place.metric in COLUMNS:
            return ""
        of = rows[tuple(sorted(place.keys))][0].row.of
        if "finding" not in of and place.metric not in SCHOOLING:
            return f"no scores in {place.metric} are kept"
        named = command("table", f"{self.paper}/{place.table}")
        return f"{place.metric} is no score of songs; `{named}` has it beside the paper's"

    def offers(self, place: Place) -> Mapping[str, Evidence]:
        """Return the best evidence of a row for each fidelity; empty if there is no such row."""
        found: dict[str, Evidence] = {}
        for item in self.rows(place.table).get(tuple(sorted(place.keys)), ()):
            if item.runs:
                found.setdefault(item.fidelity, item)
        return found

    def panel(self, item: Evidence, metric: str) -> Panel:
        """Return the scores of a row by seed and song."""
        name = item.runs[0].key, tuple(sorted(item.row.of.items())), metric
        if name not in self._panels:
            fixed = item.runs[0].settings()["separator"]["kind"] in FIXED
            runs = item.runs[:1] if fixed else item.runs
            scores = [weighed(run.scores(item.row.of), metric) for run in runs]
            self._panels[name] = panel(scores, COLUMNS[metric], random=not fixed)
        return self._panels[name]

    def noise(self, fidelity: str, metric: str) -> Noise:
        """Return how much a mean moves from seed to seed, over all rows read so far of a paper."""
        if (fidelity, metric) not in self._noise:
            items = {
                item.runs[0].key: item
                for rows in self._rows.values()
                for of_row in rows.values()
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
        self.places = list(dict.fromkeys(place for each in self.compared for place in each.places))
        self.results: list[Result] = []
        self.margin, self.tendency = math.nan, decide.NOTHING
        self.fidelity, self.wanting = "", False
        self.why = self._before() or self._fidelity()

    def _before(self) -> str:
        """Return why no evidence can decide the claim; empty if evidence can."""
        claim, paper = self.claim, self.claim.paper
        if claim.rule["test"] == "audit":
            checks = ", ".join(claim.rule["checks"])
            return f"a matter of the paper's own numbers: `{command('audit', paper)}`, {checks}"
        if not self.compared or claim.experiment is None:
            return claim.without or "no rule can decide it"
        if paper not in PAPERS:
            return f"no experiments of {paper} are here yet; {claim.experiment} would test it"
        lacking = dict.fromkeys(map(self.sources.lacks, self.places))
        return "; ".join(filter(None, lacking))

    def _fidelity(self) -> str:
        """Choose the best fidelity that all rows have; return why if there is none to choose."""
        offers = {place: self.sources.offers(place) for place in self.places}
        for kind in RANK:
            if all(kind in found for found in offers.values()):
                self.fidelity = kind
                return self._shared()
        self.wanting = True
        missing = {place: found for place, found in offers.items() if not found}
        if not missing:
            return "its rows were run on different material"
        names = list(dict.fromkeys(f"{place.label} ({place.table})" for place in missing))
        more = f" and {len(names) - NAMED} more rows" if len(names) > NAMED else ""
        return f"not run yet: {'; '.join(names[:NAMED])}{more}"

    def _shared(self) -> str:
        """Return why the chosen evidence cannot be compared; empty if it can."""
        for each in self.compared:
            songs = [
                set(self.sources.panel(item, place.metric).songs)
                for item, place in zip(self._evidence(each), each.places, strict=True)
            ]
            shared = len(set.intersection(*songs))
            if shared < 2:
                count = f"{shared or 'no'} song"
                return f"its rows have {count} with scores in common, and a verdict needs two"
        return ""

    def compare(self) -> None:
        """Make the comparisons, where there is evidence for all of them."""
        if self.why:
            return
        self.margin = margin(self.claim)
        # The same draws for a claim whatever other claims there are.
        seed = int.from_bytes(self.claim.id.encode(), "big") % 2**32
        self.results = [
            self._result(each, self._claimed(each), np.random.default_rng(seed))
            for each in self.compared
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

    def verdict(self, decision: decide.Decision | None, count: int, make: Make | None) -> Verdict:
        """Return the verdict, given what was decided of `count` claims together."""
        if decision is None:
            commands = self._commands(make) if self.wanting else ()
            needs = f"evidence, which {_making(commands)}" if commands else ""
            return Verdict(
                self.claim.id,
                self.claim.paper,
                decide.NOT_ASSESSED,
                commands=commands,
                why=self.why,
                needs=needs,
                reading=self.claim.reading,
            )
        at, tendency = self.tendency.deciding, self.tendency
        result = self.results[at]
        outcome = decide.graded(decision.outcome, self.fidelity)
        items = [item for each in self.compared for item in self._evidence(each)]
        weighed = reasons.Weighed(
            self.claim.paper,
            self.compared,
            self.results,
            self.claim.needed,
            at,
            self.margin,
            decision,
            min(1.0, 2.0 * min(tendency.p_for, tendency.p_against)),
            self.fidelity,
            count,
        )
        return Verdict(
            id=self.claim.id,
            paper=self.claim.paper,
            outcome=outcome,
            direction=result.direction if outcome in _SETTLED else "",
            fidelity=self.fidelity,
            estimate=result.estimate,
            interval=(result.low, result.high),
            p=decision.p,
            n_songs=result.songs,
            n_seeds=result.seeds,
            margin=self.margin,
            detectable=result.detectable,
            runs=tuple(dict.fromkeys(run.key for item in items for run in item.runs)),
            commands=self._again(make),
            why=reasons.why(weighed),
            needs=self._needs(weighed, make),
            comparisons=tuple(map(self._told, self.compared, self.results)),
            reading=self.claim.reading,
        )

    def _needs(self, weighed: reasons.Weighed, make: Make | None) -> str:
        """Return what evidence would settle the claim; empty if it is settled."""
        if self.sources.songs.a_row == 1:
            return (
                "more than the paper's dataset can give, which has one song for each row where a "
                "verdict needs two; evidence on other songs says which way it points"
            )
        if self.fidelity == "subset":
            check = command("data", "verify", paper_of(self.claim.paper).DATASET)
            making = _making(self._commands(make))
            return (
                f"evidence on all of the paper's dataset, which {making} where `{check}` finds it"
            )
        if self.fidelity != decide.FULL:
            return f"evidence on the paper's dataset, which {_making(self._commands(make))}"
        if weighed.decision.outcome not in (decide.COMPATIBLE, decide.INCONCLUSIVE):
            return ""
        words, seeds = reasons.needs(weighed)
        return f"{words}: {_listed(self._commands(make, seeds=seeds))}" if seeds else words

    def _tables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place.table for place in self.places))

    def _commands(self, make: Make | None, seeds: int = 0) -> tuple[str, ...]:
        """Return a command a table, of profile `full`."""
        return tuple((make or self._make)(table, True, seeds) for table in self._tables())

    def _again(self, make: Make | None) -> tuple[str, ...]:
        """Return a command a table that makes the runs again that the verdict rests on."""
        found = []
        for table in self._tables():
            rows = [
                self.sources.offers(place)[self.fidelity]
                for place in self.places
                if place.table == table
            ]
            full = in_full(self.claim.paper, table, rows)
            found.append((make or self._make)(table, full, max(len(item.runs) for item in rows)))
        return tuple(found)

    def _make(self, table: str, full: bool, seeds: int) -> str:
        options = {"profile": "full"} if full else {}
        return command("run", f"{self.claim.paper}/{table}", **options, seeds=seeds)

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


_SETTLED = (decide.REPRODUCED, decide.NOT_REPRODUCED)


def _listed(commands: Sequence[str]) -> str:
    return " and ".join(f"`{each}`" for each in commands)


def _making(commands: Sequence[str]) -> str:
    return f"{_listed(commands)} make{'s' if len(commands) == 1 else ''}"
