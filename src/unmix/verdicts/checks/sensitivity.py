"""On how much a disagreement rests: one digit, one number, or several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from unmix.verdicts.checks.groups import DISAGREES, Group, Term
from unmix.verdicts.checks.numbers import Approx

ONE, SEVERAL, REDUNDANT = "one digit", "several digits", "redundant numbers"
RESTS = (ONE, SEVERAL, REDUNDANT)

SHOWN = 4
"""So many single changes are named."""


def rests_on(group: Group) -> tuple[str, str]:
    """Return on how much a disagreement rests, and in words what would remove it.

    `one digit`: to change one digit or the sign of one printed number, or to swap two neighbouring
    digits, removes it. `several digits`: no such change does, but one number alone would have to be
    another. `redundant numbers`: whatever one of the numbers were, the others still disagree.
    """
    given = [term.number() for term in group.terms]
    # What no number at all in its place removes, no other digit in it does.
    free = {
        place: term
        for place, term in enumerate(group.terms)
        if _removed(group, given, place, _unknown(term))
    }
    if not free:
        words = "Two or more numbers would have to be others for all to agree."
        return REDUNDANT, words if group.terms else ""
    changes = [
        (term.cell.text, text, term.cell.label)
        for place, term in free.items()
        for text in edits(term.cell.text)
        if not (term.exact and text.startswith("-"))  # no count is negative
        and _removed(group, given, place, term.number(text))
    ]
    if changes:
        return ONE, _named(changes)
    cell = next(iter(free.values())).cell
    return SEVERAL, (
        "No single digit would remove the disagreement, another number in the place of "
        f"{cell.text} ({cell.label}) could."
    )


def edits(text: str) -> Iterator[str]:
    """Yield what a printed number becomes if one digit or the sign changes, or two digits swap."""
    yield text[1:] if text.startswith("-") else f"-{text}"
    places = [n for n, sign in enumerate(text) if sign.isdigit()]
    for n in places:
        for digit in "0123456789":
            if digit != text[n]:
                yield f"{text[:n]}{digit}{text[n + 1 :]}"
    for n, m in pairwise(places):
        if text[n] != text[m]:
            yield f"{text[:n]}{text[m]}{text[n + 1 : m]}{text[n]}{text[m + 1 :]}"


def _removed(group: Group, given: Sequence[Approx], place: int, number: Approx) -> bool:
    numbers = [*given[:place], number, *given[place + 1 :]]
    return group.judge(numbers).outcome != DISAGREES


def _unknown(term: Term) -> Approx:
    return Approx(term.cell.value, 0.0 if term.exact else -math.inf, math.inf)


def _named(changes: Sequence[tuple[str, str, str]]) -> str:
    """Return the changes in words: of each number the smallest, and the smallest first."""
    first: dict[str, tuple[str, str, str]] = {}
    for change in sorted(changes, key=lambda each: abs(float(each[0]) - float(each[1]))):
        first.setdefault(change[2], change)
    named = [f"{old} ({label}) were {new}" for old, new, label in list(first.values())[:SHOWN]]
    return f"Would agree if {', or '.join(named)}."
