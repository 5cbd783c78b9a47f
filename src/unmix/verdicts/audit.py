"""The audit: do a paper's numbers agree with each other and with its text? No training needed.

What is held together stands in `papers/NAME/audit.yaml`, in the form that `schemas/audit.json`
declares: each entry names a check of `checks/` and the cells that it looks at. The sentences of
`claims.yaml` that the text states are held against the paper's own tables beside that. A finding
is a computation and no accusation: it says what was computed, with what tolerance, on how much
it rests, and what would explain it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from unmix.errors import SpecError
from unmix.papers.published import PLAIN, PUBLISHED, Cell, about, folder
from unmix.verdicts.checks import CHECKS
from unmix.verdicts.checks.groups import (
    AGREES,
    DISAGREES,
    STRICTER,
    UNTOLD,
    Entry,
    Group,
    beyond,
)
from unmix.verdicts.checks.merging import WORST_FIRST, merged
from unmix.verdicts.checks.sensitivity import rests_on
from unmix.verdicts.checks.statements import statement
from unmix.verdicts.claims import Claim, claims
from unmix.verdicts.schema import read_yaml

WIDE = "This reading asks for more than the paper need mean."
"""What is said first where a stricter reading disagrees."""


@dataclass(frozen=True)
class Finding:
    """What one check makes of numbers that belong together.

    Attributes:
        id: the entry's in `audit.yaml`, or the claim's.
        paper: its name.
        check: name of the check, see `checks.CHECKS`; `statement` for a sentence of the text.
        rule: what the check goes by, in a sentence.
        where: which of the check's groups this is.
        place: where a reader finds it in the paper.
        says: what is held together, in words.
        cells: the printed numbers.
        computed: what follows from them, a number or words.
        expected: what that is held against.
        tolerance: how far both may lie apart, a number or words; None if nothing is rounded.
        outcome: `agrees`, `disagrees`, `possible` (not excluded) or `cannot be told`.
        rests_on: of a disagreement: `one digit`, `one mark`, `several digits`, `redundant numbers`
            or `no digit`, see `checks.sensitivity`; None otherwise.
        explanation: in words; for a disagreement also what would explain it.
        reading: whether a sentence is taken to say more than it need mean; if that disagrees, it is
            no disagreement of the paper's, see `said`.
    """

    id: str
    paper: str
    check: str
    rule: str
    where: str
    place: str
    says: str
    cells: tuple[Cell, ...]
    computed: float | str
    expected: float | str
    tolerance: float | str | None
    outcome: str
    rests_on: str | None
    explanation: str
    reading: bool = False

    @property
    def said(self) -> str:
        """Return the outcome as it is shown and counted: stricter readings apart."""
        return STRICTER if self.reading and self.outcome == DISAGREES else self.outcome

    def plain(self) -> dict[str, Any]:
        """Return the finding as it stands in `audit.json`, in the form of `findings.json`."""
        data = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        data["cells"] = [
            {"label": cell.label, "value": cell.value, "printed": cell.text} for cell in self.cells
        ]
        return data


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else "not defined"
    return value


@dataclass(frozen=True)
class _Held:
    """A group of numbers with what is said of it."""

    id: str
    check: str
    rule: str
    words: Mapping[str, Any]
    group: Group

    @property
    def reading(self) -> bool:
        return bool(self.words.get("reading"))

    @functools.cached_property
    def outcome(self) -> str:
        """Return the outcome on the numbers as printed."""
        return self.group.judge([term.number() for term in self.group.terms]).outcome


def audit(paper: str) -> list[Finding]:
    """Return all findings of a paper: those of its `audit.yaml`, then those of its sentences.

    Raises:
        SpecError: there is no such paper, or a file breaks its schema or names what is not there.
    """
    about(paper)
    held = [each for entry in entries(paper) for each in _of_entry(paper, entry)]
    for claim in claims(paper):
        if claim.stated:
            held += [_of_claim(claim, group) for group in statement(claim)]
    elsewhere = _Elsewhere(held)
    return [_finding(paper, each, elsewhere) for each in held]


def together(findings: Sequence[Finding]) -> str:
    """Return the outcome of several findings of one check: the least favourable of theirs."""
    there = {finding.said for finding in findings}
    return next((outcome for outcome in WORST_FIRST if outcome in there), UNTOLD)


def entries(paper: str) -> tuple[Entry, ...]:
    """Return the entries of a paper's `audit.yaml`; none if it has no such file.

    Raises:
        SpecError: the file breaks the schema, or two entries share an id.
    """
    path = folder(paper) / "audit.yaml"
    return _entries(paper) if path.is_file() else ()


@functools.cache
def _entries(paper: str) -> tuple[Entry, ...]:
    path = folder(paper) / "audit.yaml"
    found = tuple(read_yaml(path, "audit")["checks"])
    ids = [entry["id"] for entry in found]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise SpecError(
            f"{path}: more than one check is named {', '.join(twice)}", do="give each its own id"
        )
    return found


def _of_entry(paper: str, entry: Entry) -> Iterator[_Held]:
    """Yield the groups of one entry."""
    check = CHECKS[entry["check"]]
    with _named(paper, entry["id"]):
        groups = [_stepped(group, entry) for group in check(paper, entry)]
        if entry.get("together") and len(groups) > 1:
            groups = [merged(groups, entry)]
    for group in groups:
        yield _Held(entry["id"], entry["check"], first_line(check), entry, group)


def _of_claim(claim: Claim, group: Group) -> _Held:
    words = {
        "says": claim.statement,
        "place": claim.place,
        "explanation": claim.note,
        "reading": claim.reading == "wide",
    }
    return _Held(claim.id, "statement", first_line(statement), words, group)


@contextmanager
def _named(paper: str, name: str) -> Iterator[None]:
    """Say in errors which file is meant, and which entry there."""
    try:
        yield
    except SpecError as error:
        found = f"{folder(paper) / 'audit.yaml'}: at {name}: {error.found}"
        raise SpecError(found, expected=error.expected, do=error.do) from error


def _stepped(group: Group, entry: Entry) -> Group:
    """Return a group with the step that its entry declares for numbers that are not exact."""
    if "step" not in entry:
        return group
    step = float(entry["step"])
    terms = tuple(each if each.exact else replace(each, step=step) for each in group.terms)
    return replace(group, terms=terms)


class _Elsewhere:
    """All groups of a paper, by the printed numbers that they look at."""

    def __init__(self, held: Sequence[_Held]) -> None:
        self.places: dict[str, list[tuple[_Held, int]]] = {}
        for each in held:
            for place, term in enumerate(each.group.terms):
                self.places.setdefault(term.cell.label, []).append((each, place))

    def breaks(self, cell: Cell, text: str) -> str:
        """Return which finding would disagree, and does not, if a number were another."""
        for each, place in self.places.get(cell.label, ()):
            if each.reading or each.outcome == DISAGREES:
                continue
            numbers = [term.number() for term in each.group.terms]
            numbers[place] = each.group.terms[place].number(text)
            if each.group.judge(numbers).outcome == DISAGREES:
                return f"{each.id} ({each.group.where})"
        return ""


def _finding(paper: str, held: _Held, elsewhere: _Elsewhere) -> Finding:
    group, words = held.group, held.words
    with _named(paper, held.id):
        judged = group.judge([term.number() for term in group.terms])
        disagrees = judged.outcome == DISAGREES
        rests, change = rests_on(group, elsewhere.breaks) if disagrees else (None, "")
    cells = tuple(dict.fromkeys(term.cell for term in group.terms))
    parts = [WIDE] if held.reading and disagrees else []
    parts += [judged.explanation, beyond(words)]
    if judged.outcome != AGREES and not judged.usual:
        parts += [change, _corrected(cells), _line(words.get("explanation"))]
    return Finding(
        id=held.id,
        paper=paper,
        check=held.check,
        rule=held.rule,
        where=group.where,
        place=words["place"],
        says=_line(words["says"]),
        cells=cells,
        computed=judged.computed,
        expected=judged.expected,
        tolerance=judged.tolerance,
        outcome=judged.outcome,
        rests_on=rests,
        explanation=" ".join(part for part in [*parts, _line(words.get("note"))] if part),
        reading=held.reading,
    )


def _line(text: str | None) -> str:
    """Return words on one line."""
    return " ".join((text or "").split())


def _corrected(cells: Sequence[Cell]) -> str:
    """Return which of the numbers were mended in the scan, with the reason.

    Numbers that the running text spells out, or writes as fractions, are as they should be.
    """
    mended = [
        f"{cell.label}: {cell.text} for '{cell.raw}' ({cell.note})"
        for cell in cells
        if cell.corrected and cell.note and PLAIN.fullmatch(cell.raw)
    ]
    return f"Corrected from the scan: {'; '.join(mended)}." if mended else ""


def first_line(check: Any) -> str:
    """Return the first line of a check's docstring: what it goes by."""
    return (check.__doc__ or "").strip().splitlines()[0]


def audits() -> list[Finding]:
    """Return the findings of all papers."""
    return [finding for paper in PUBLISHED for finding in audit(paper)]
