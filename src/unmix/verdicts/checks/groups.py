"""What a check looks at: printed numbers that belong together, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unmix.errors import SpecError
from unmix.papers import published
from unmix.papers.published import Cell
from unmix.verdicts.checks.numbers import Approx, exact, rounded

AGREES, DISAGREES, POSSIBLE, UNTOLD = "agrees", "disagrees", "possible", "cannot be told"
OUTCOMES = (AGREES, DISAGREES, POSSIBLE, UNTOLD)
STRICTER = "a stricter reading"
"""How a disagreement is shown where a sentence is taken at its widest and a kinder reading fits."""

MANY = {AGREES: "agree", DISAGREES: "disagree"}
"""How many findings are said to have an outcome, where the word differs from one's."""

COUNTED = frozenset(
    """bits cells channels chunks clips count elements epochs files frames grade iterations layers
    listeners networks ratio samples sets songs units""".split()  # noqa: SIM905 - easier to read
)
"""Metrics of whole things, which nobody rounds."""

Entry = Mapping[str, Any]
"""One entry of `audit.yaml`."""


@dataclass(frozen=True)
class Term:
    """A printed number as a check takes it.

    Attributes:
        cell: where it is printed.
        exact: whether it is taken without rounding.
        given: whether it is taken as it is given, so that no slip in it is looked for.
        step: unit of its last digit, where the table leaves out zeros at the end; None: as printed.
    """

    cell: Cell
    exact: bool = False
    given: bool = False
    step: float | None = None

    def number(self, text: str | None = None) -> Approx:
        """Return the number, or what another text in its place would be."""
        value = self.cell.value if text is None else float(text)
        half = self.cell.half if self.step is None else self.step / 2
        return exact(value) if self.exact else rounded(value, half)


def term(cell: Cell) -> Term:
    """Return a cell as it is taken if nothing else is said: counts are exact."""
    return Term(cell, cell.metric in COUNTED)


@dataclass(frozen=True)
class Judgement:
    """What a check finds.

    Attributes:
        outcome: one of `OUTCOMES`.
        computed: what follows from the numbers, as a number or in words.
        expected: what it is held against.
        tolerance: how far both may lie apart by rounding, or in words; None if nothing is rounded.
        explanation: what follows from it, in words.
        brief: the same in a few words, for a list of many; empty if the two numbers say it.
        slip: which single slip other than in a number would explain a disagreement; may be empty.
        usual: nothing is to be explained, although the outcome is not `agrees`.
    """

    outcome: str
    computed: float | str
    expected: float | str
    tolerance: float | str | None = None
    explanation: str = ""
    brief: str = ""
    slip: str = ""
    usual: bool = False


def counted(outcomes: Sequence[str], absent: bool = True) -> str:
    """Return how many of each outcome there are, in words; those of none too, if `absent`."""
    numbers = {each: outcomes.count(each) for each in OUTCOMES}
    return ", ".join(
        f"{number} {MANY.get(outcome, outcome) if number != 1 else outcome}"
        for outcome, number in numbers.items()
        if number or absent
    )


Judge = Callable[[Sequence[Approx]], Judgement]


@dataclass(frozen=True)
class Group:
    """Numbers that one finding is about.

    Attributes:
        where: what tells the group from the others of its check.
        terms: the numbers.
        judge: takes the numbers, in the order of `terms`, and says what follows.
    """

    where: str
    terms: tuple[Term, ...]
    judge: Judge


def either(holds: bool, otherwise: str = DISAGREES) -> str:
    """Return `agrees` if something holds, else the other outcome."""
    return AGREES if holds else otherwise


def listed(value: Any) -> list[Any]:
    """Return a value as a list, if it is none yet."""
    return list(value) if isinstance(value, list | tuple) else [value]


def chosen(paper: str, entry: Entry, metrics: Iterable[str] | None = None) -> list[Cell]:
    """Return the cells that an entry's `table`, `where`, `but` and `metric` choose.

    Args:
        paper: the paper.
        entry: the entry.
        metrics: these metrics instead of the entry's own.

    Raises:
        SpecError: a table, key column, value or metric is unknown.
    """
    metric = entry.get("metric") if metrics is None else list(metrics)
    return [
        cell
        for table in listed(entry["table"])
        for cell in published.cells(paper, table, entry.get("where"), metric)
        if not left_out(cell, entry.get("but", {}))
    ]


def left_out(cell: Cell, but: Mapping[str, Any]) -> bool:
    """Return whether a cell has one of the values that are left out, by key column."""
    return any(cell.keys.get(name) in list(map(str, listed(each))) for name, each in but.items())


def grouped(cells: Iterable[Cell], apart: Iterable[str]) -> dict[str, list[Cell]]:
    """Return cells by all that tells them apart but the columns (or `metric`) of `apart`."""
    left_out = set(apart)
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        keys = [value for name, value in cell.keys.items() if name not in left_out]
        metric = [] if "metric" in left_out else [cell.metric]
        where = ": ".join(part for part in (cell.table, ", ".join([*keys, *metric])) if part)
        groups.setdefault(where, []).append(cell)
    return groups


def by_role(
    paper: str, entry: Entry, roles: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Cell]]]:
    """Yield each row that has all metrics of `roles` (role to metric), with its cells by role.

    Raises:
        SpecError: no row has them all.
    """
    cells = chosen(paper, entry, dict.fromkeys(roles.values()))
    found = False
    for where, row in grouped(cells, ["metric"]).items():
        there = {cell.metric: cell for cell in row}
        if all(metric in there for metric in roles.values()):
            found = True
            yield where, {role: there[metric] for role, metric in roles.items()}
    if not found:
        raise SpecError(
            f"no row has all of {', '.join(roles.values())}",
            do="mend its `table`, `where` or `metrics` in audit.yaml",
        )


def told_apart(cells: Sequence[Cell], columns: Iterable[str]) -> list[str]:
    """Return a name for each cell by its values in some columns."""
    names = list(columns)
    return [", ".join(cell.keys[name] for name in names if name in cell.keys) for cell in cells]


def slack(entry: Entry) -> float:
    """Return the tolerance beyond rounding that an entry declares."""
    return float(entry.get("within", {}).get("by", 0.0))


def beyond(entry: Entry) -> str:
    """Return the reason of that tolerance, in words; empty if there is none."""
    within = entry.get("within")
    return f"Allowed beyond rounding: {within['by']:g} ({within['why']})." if within else ""
