"""Several groups of numbers as one finding."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unmix.verdicts.checks.groups import (
    AGREES,
    DISAGREES,
    POSSIBLE,
    STRICTER,
    UNTOLD,
    Entry,
    Group,
    Judgement,
    Term,
    counted,
)
from unmix.verdicts.checks.numbers import Approx
from unmix.verdicts.rules import needed

WORST_FIRST = (DISAGREES, UNTOLD, STRICTER, POSSIBLE, AGREES)
"""Which outcome several findings have together: the first of these that one of them has."""

SAID = 2
"""So many different remarks on groups that agree are repeated."""


def merged(groups: Sequence[Group], entry: Entry) -> Group:
    """Return several groups as one, which agrees if they all do, or as many as `hold` asks for."""
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
        return _summary([group.where for group in groups], single, entry)

    return Group(f"all {len(groups)}", tuple(terms), judge)


def _summary(names: Sequence[str], single: Sequence[Judgement], entry: Entry) -> Judgement:
    outcomes = [each.outcome for each in single]
    enough = needed(entry, len(single))
    outcome = next(each for each in WORST_FIRST if each in outcomes)
    if outcomes.count(AGREES) >= enough:
        outcome = AGREES
    expected = "all agree" if POSSIBLE not in outcomes else "none excluded"
    if enough < len(single):
        expected = f"at least {enough} agree"
    tolerances = [each.tolerance for each in single if isinstance(each.tolerance, float)]
    finite = [each for each in tolerances if math.isfinite(each)]
    return Judgement(
        outcome,
        f"{counted(outcomes, absent=False)} (of {len(single)})",
        expected,
        max(finite) if finite else None,
        _said(names, single),
        usual=all(each.usual or each.outcome == AGREES for each in single),
    )


def _said(names: Sequence[str], single: Sequence[Judgement]) -> str:
    """Return what the groups that do not agree say, and what all those that do."""
    bad = [n for n, each in enumerate(single) if each.outcome == DISAGREES]
    close = [n for n, each in enumerate(single) if each.outcome == POSSIBLE and each.brief]
    told = [
        f"{title}: {'; '.join(f'{names[n]} ({_short(single[n])})' for n in places)}."
        for title, places in (("Disagree", bad), ("Not excluded", close))
        if places
    ]
    remarks = dict.fromkeys(each.explanation for each in single if each.outcome == AGREES)
    remarks.pop("", None)
    return " ".join([*told, *(remarks if len(remarks) <= SAID else ())])


def _short(each: Judgement) -> str:
    def number(value: float | str) -> str:
        return value if isinstance(value, str) else f"{value:.4g}"

    return each.brief or f"{number(each.computed)}, expected {number(each.expected)}"
