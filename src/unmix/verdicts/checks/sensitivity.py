"""On how much a disagreement rests: one digit, one number, or several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from unmix.papers.published import Cell
from unmix.verdicts.checks.groups import DISAGREES, Group, Term
from unmix.verdicts.checks.numbers import Approx

ONE, SEVERAL, REDUNDANT = "one digit", "several digits", "redundant numbers"
MARK, NONE = "one mark", "no digit"
RESTS = (ONE, MARK, SEVERAL, REDUNDANT, NONE)

SHOWN = 4
"""So many single changes are named."""

Change = tuple[Cell, str]
"""A printed number, and what would stand in its place."""

Breaks = Callable[[Cell, str], str]
"""Says which other finding would no longer agree after a change; nothing if they all would."""


def rests_on(group: Group, breaks: Breaks = lambda cell, text: "") -> tuple[str, str]:
    """Return on how much a disagreement rests, and in words what would remove it.

    `one digit`: to change one digit or the sign of one printed number, or to swap two neighbouring
    digits, removes it, and breaks nothing else. `one mark`: the check itself names another single
    slip. `several digits`: no such change does, but one number alone would have to be another.
    `redundant numbers`: whatever one of the numbers were, others would still disagree, here or in
    another finding. `no digit`: all its numbers are taken as given.
    """
    given = [term.number() for term in group.terms]
    tried = [place for place, term in enumerate(group.terms) if not term.given]
    if not tried:
        return NONE, ""
    slip = group.judge(given).slip
    # What no number at all in its place removes, no other digit in it does.
    free = [n for n in tried if _removed(group, given, n, _unknown(group.terms[n]))]
    changes = [change for place in free for change in _changes(group, given, place)]
    broken = {change: breaks(*change) for change in changes}
    if fine := [change for change in changes if not broken[change]]:
        return ONE, f"{slip} {_named(fine)}".strip()
    if slip:
        return MARK, slip
    if changes:
        change = min(changes, key=_size)
        return REDUNDANT, f"{_named([change])[:-1]}, but then {broken[change]} would not."
    if not free:
        return REDUNDANT, "Two or more numbers would have to be others for all to agree."
    cells = dict.fromkeys(group.terms[n].cell for n in free)
    places = [f"{cell.text} ({cell.label})" for cell in list(cells)[:SHOWN]]
    return SEVERAL, (
        "No single digit would remove the disagreement, another number in the place of "
        f"{' or of '.join(places)} could."
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


def _changes(group: Group, given: Sequence[Approx], place: int) -> Iterator[Change]:
    """Yield the changes of one number that remove the disagreement."""
    term = group.terms[place]
    for text in edits(term.cell.text):
        negative = term.exact and text.startswith("-")  # no count is negative
        if not negative and _removed(group, given, place, term.number(text)):
            yield term.cell, text


def _removed(group: Group, given: Sequence[Approx], place: int, number: Approx) -> bool:
    """Return whether another number makes the disagreement vanish, and leaves all defined."""
    numbers = [*given[:place], number, *given[place + 1 :]]
    found = group.judge(numbers)
    undefined = any(
        isinstance(side, float) and math.isnan(side) for side in (found.computed, found.expected)
    )
    return found.outcome != DISAGREES and not undefined


def _unknown(term: Term) -> Approx:
    return Approx(term.cell.value, 0.0 if term.exact else -math.inf, math.inf)


def _size(change: Change) -> float:
    cell, text = change
    return abs(cell.value - float(text))


def _named(changes: Sequence[Change]) -> str:
    """Return the changes in words: of each number the smallest, and the smallest first."""
    first: dict[str, Change] = {}
    for change in sorted(changes, key=_size):
        first.setdefault(change[0].label, change)
    named = [
        f"{cell.text} ({cell.label}) were {text}" for cell, text in list(first.values())[:SHOWN]
    ]
    return f"Would agree if {', or '.join(named)}."
