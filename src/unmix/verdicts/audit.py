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
from dataclasses import dataclass
from typing import Any

from unmix.errors import SpecError
from unmix.papers.published import PLAIN, PUBLISHED, TEXT, Cell, about, folder
from unmix.verdicts.checks import CHECKS
from unmix.verdicts.checks.groups import (
    AGREES,
    DISAGREES,
    POSSIBLE,
    UNTOLD,
    Entry,
    Group,
    Judgement,
    Term,
    counted,
)
from unmix.verdicts.checks.numbers import Approx
from unmix.verdicts.checks.sensitivity import rests_on
from unmix.verdicts.checks.statements import statement
from unmix.verdicts.claims import Claim, claims
from unmix.verdicts.schema import read_yaml

WORST_FIRST = (DISAGREES, UNTOLD, POSSIBLE, AGREES)
"""Which outcome several findings have together: the first of these that one of them has."""


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
        rests_on: of a disagreement: `one digit`, `several digits` or `redundant numbers`, see
            `checks.sensitivity`; None otherwise.
        explanation: in words; for a disagreement also what would explain it.
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


def audit(paper: str) -> list[Finding]:
    """Return all findings of a paper: those of its `audit.yaml`, then those of its sentences.

    Raises:
        SpecError: there is no such paper, or a file breaks its schema or names what is not there.
    """
    about(paper)
    found = [finding for entry in entries(paper) for finding in _findings(paper, entry)]
    for claim in claims(paper):
        if claim.stated:
            found += [_stated(claim, group) for group in statement(claim)]
    return found


def together(findings: Sequence[Finding]) -> str:
    """Return the outcome of several findings of one check: the least favourable of theirs."""
    there = {finding.outcome for finding in findings}
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


def _findings(paper: str, entry: Entry) -> Iterator[Finding]:
    """Yield what one entry finds."""
    check = CHECKS[entry["check"]]
    try:
        groups = list(check(paper, entry))
        if entry.get("together") and len(groups) > 1:
            groups = [merged(groups)]
        for group in groups:
            yield _finding(paper, entry["id"], entry["check"], first_line(check), entry, group)
    except SpecError as error:
        found = f"{folder(paper) / 'audit.yaml'}: at {entry['id']}: {error.found}"
        raise SpecError(found, expected=error.expected, do=error.do) from error


def _stated(claim: Claim, group: Group) -> Finding:
    words = {"says": claim.statement, "place": claim.place, "explanation": claim.note}
    return _finding(claim.paper, claim.id, "statement", first_line(statement), words, group)


def _finding(
    paper: str, name: str, check: str, rule: str, words: Mapping[str, Any], group: Group
) -> Finding:
    judged = group.judge([term.number() for term in group.terms])
    rests, change = rests_on(group) if judged.outcome == DISAGREES else (None, "")
    cells = tuple(dict.fromkeys(term.cell for term in group.terms))
    parts = [judged.explanation]
    if judged.outcome != AGREES:
        parts += [change, _corrected(cells), " ".join((words.get("explanation") or "").split())]
    return Finding(
        id=name,
        paper=paper,
        check=check,
        rule=rule,
        where=group.where,
        place=words["place"],
        says=" ".join(words["says"].split()),
        cells=cells,
        computed=judged.computed,
        expected=judged.expected,
        tolerance=judged.tolerance,
        outcome=judged.outcome,
        rests_on=rests,
        explanation=" ".join(part for part in parts if part),
    )


def _corrected(cells: Sequence[Cell]) -> str:
    """Return which of the numbers were mended in the scan, with the reason.

    Numbers that the running text spells out, or writes as fractions, are as they should be.
    """
    mended = [
        f"{cell.label}: {cell.text} for '{cell.raw}' ({cell.note})"
        for cell in cells
        if cell.raw and cell.note and (cell.table != TEXT or PLAIN.fullmatch(cell.raw))
    ]
    return f"Corrected from the scan: {'; '.join(mended)}." if mended else ""


def first_line(check: Any) -> str:
    """Return the first line of a check's docstring: what it goes by."""
    return (check.__doc__ or "").strip().splitlines()[0]


def merged(groups: Sequence[Group]) -> Group:
    """Return several groups as one, which agrees if they all do."""
    terms: list[Term] = []
    places: list[list[int]] = []
    known: dict[tuple[str, bool], int] = {}
    for group in groups:
        here = []
        for term in group.terms:
            key = (term.cell.label, term.exact)
            if key not in known:
                known[key] = len(terms)
                terms.append(term)
            here.append(known[key])
        places.append(here)

    def judge(numbers: Sequence[Approx]) -> Judgement:
        single = [
            group.judge([numbers[n] for n in here])
            for group, here in zip(groups, places, strict=True)
        ]
        return _summary(groups, single)

    return Group(f"all {len(groups)}", tuple(terms), judge)


def _summary(groups: Sequence[Group], single: Sequence[Judgement]) -> Judgement:
    outcomes = [each.outcome for each in single]
    outcome = next(each for each in WORST_FIRST if each in outcomes)
    tolerances = [each.tolerance for each in single if isinstance(each.tolerance, float)]
    bad = [n for n, each in enumerate(single) if each.outcome == DISAGREES]
    close = [n for n, each in enumerate(single) if each.outcome == POSSIBLE and each.brief]
    said = [
        f"{name}: {'; '.join(f'{groups[n].where} ({_short(single[n])})' for n in places)}."
        for name, places in (("Disagree", bad), ("Not excluded", close))
        if places
    ]
    finite = [each for each in tolerances if math.isfinite(each)]
    return Judgement(
        outcome,
        f"{counted(outcomes, absent=False)} (of {len(single)})",
        "all agree" if POSSIBLE not in outcomes else "none excluded",
        max(finite) if finite else None,
        " ".join(said),
    )


def _short(each: Judgement) -> str:
    def number(value: float | str) -> str:
        return value if isinstance(value, str) else f"{value:.4g}"

    return each.brief or f"{number(each.computed)}, expected {number(each.expected)}"


def audits() -> list[Finding]:
    """Return the findings of all papers."""
    return [finding for paper in PUBLISHED for finding in audit(paper)]
