"""The sentences of a paper against its own tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from unmix.verdicts.checks.groups import (
    AGREES,
    DISAGREES,
    UNTOLD,
    Group,
    Judgement,
    Term,
)
from unmix.verdicts.checks.numbers import EPSILON, Approx, difference, mean, meet, rounded
from unmix.verdicts.claims import MARGIN, Claim
from unmix.verdicts.rules import Comparison, Place, printed

SHOWN = 12
"""So many comparisons that do not hold are listed."""


def statement(claim: Claim) -> Iterator[Group]:
    """A sentence holds on the paper's own table if enough of its comparisons do, as printed.

    Better, rising and best are decided on the printed digits, and a tie is none of them; a
    difference that the text states is held against the table's within the rounding of both; "no
    difference" is held against the claim's margin. Comparisons that only repeat the table's own
    numbers are left out, and so are sentences that consist of nothing else.
    """
    comparisons = [each for each in claim.comparisons if _says_more(each)]
    if not comparisons:
        return
    needed = max(claim.needed - (len(claim.comparisons) - len(comparisons)), 1)
    terms: list[Term] = []
    places = [[_placed(claim.paper, place, terms) for place in each.places] for each in comparisons]

    def judge(numbers: Sequence[Approx]) -> Judgement:
        held = [
            None if None in at else holds(each, [numbers[n] for n in at if n is not None], claim)
            for each, at in zip(comparisons, places, strict=True)
        ]
        words = [
            _words(each, [numbers[n] for n in at if n is not None])
            for each, at, fine in zip(comparisons, places, held, strict=True)
            if fine is False
        ]
        return _counted(held, needed, words)

    yield Group(claim.place, tuple(terms), judge)


def _says_more(each: Comparison) -> bool:
    """Return whether a comparison can fail on the printed numbers at all."""
    return not (each.kind == "value" or (each.kind == "difference" and each.by is None))


def _placed(paper: str, place: Place, terms: list[Term]) -> int | None:
    """Return where a place's number stands in `terms`, to which it is added; None if unprinted."""
    cell = printed(paper, place)
    if cell is None:
        return None
    labels = [each.cell.label for each in terms]
    if cell.label not in labels:
        terms.append(Term(cell))
        return len(labels)
    return labels.index(cell.label)


def holds(each: Comparison, numbers: Sequence[Approx], claim: Claim) -> bool:
    """Return whether one comparison holds on printed numbers; an unknown one lets it hold."""
    if any(number.unknown for number in numbers):
        return True
    values = [each.sign * number.value for number in numbers]
    if each.kind == "greater":
        return values[0] > values[1] + EPSILON
    if each.kind == "trend":
        return all(later > earlier + EPSILON for earlier, later in pairwise(values))
    if each.kind == "peak":
        others = values[: each.at] + values[each.at + 1 :]
        return values[each.at] > max(others) + EPSILON
    if each.kind in ("above", "below"):
        return values[0] > each.sign * (each.by or 0.0) + EPSILON
    found = pooled(numbers)
    if each.kind == "equal":
        margin = MARGIN if claim.margin is None else claim.margin
        return meet(found, rounded(0.0, margin))
    by = each.by or 0.0
    return found.value >= by - EPSILON if each.at_least else meet(found, rounded(by, _half(by)))


def pooled(numbers: Sequence[Approx]) -> Approx:
    """Return the mean of first minus second over pairs."""
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return mean([difference(first, second) for first, second in pairs])


def _half(by: float) -> float:
    """Return half a step of a number as the text states it: 0.05 for 2.4, 0.5 for 4."""
    exponent = Decimal(f"{by:g}").as_tuple().exponent
    return 10.0 ** int(exponent) / 2


def _counted(held: Sequence[bool | None], needed: int, words: Sequence[str]) -> Judgement:
    true, unknown = held.count(True), held.count(None)
    possible = UNTOLD if true + unknown >= needed else DISAGREES
    outcome = AGREES if true >= needed else possible
    said = []
    if words:
        more = len(words) - SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        verb = "Does" if len(words) == 1 else "Do"
        said.append(f"{verb} not hold: {'; '.join(words[:SHOWN])}{rest}.")
    if unknown:
        said.append(f"The paper prints no numbers for {unknown} of {len(held)} comparisons.")
    if len(held) == 1:
        computed = "not printed" if unknown else "holds" if true else "does not hold"
        return Judgement(outcome, computed, "holds", None, " ".join(said))
    expected = "all" if needed == len(held) else f"at least {needed}"
    return Judgement(
        outcome, f"{true} of {len(held)} hold", f"{expected} of {len(held)}", None, " ".join(said)
    )


def _words(each: Comparison, numbers: Sequence[Approx]) -> str:
    """Return a comparison with its numbers."""
    values = [f"{number.value:g}" for number in numbers]
    if each.kind == "difference":
        found = pooled(numbers)
        least = "at least " if each.at_least else ""
        stated = math.nan if each.by is None else each.by
        return f"{each.label} is {found.value:.2f}, stated {least}{stated:g}"
    between = " and " if len(values) == 2 else ", "
    return f"{each.label} ({between.join(values)})"
