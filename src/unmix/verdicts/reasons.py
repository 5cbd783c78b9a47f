"""Why a verdict is what it is, and what evidence it would take to settle what is open, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from unmix.papers.evidence import MATERIAL
from unmix.verdicts import decide
from unmix.verdicts.panel import LEVEL
from unmix.verdicts.rules import Comparison, printed
from unmix.verdicts.statistics import POWER, SEEDS, Result

MANY = 20
"""More seeds than this nobody should be asked for."""

TOO_MANY = 1000
"""More songs than this are not counted."""

ROLES: Mapping[str, str] = {
    decide.REPRODUCED: "the weakest",
    decide.NOT_REPRODUCED: "the clearest against it",
}
"""What the comparison that decides is among the others."""


@dataclass(frozen=True)
class Weighed:
    """A claim whose comparisons were made and decided.

    Attributes:
        paper: whose claim it is.
        compared, results: its comparisons, and what was found of each.
        needed: how many must hold.
        at: index of the comparison on which the claim hangs.
        margin: what counts as no difference, in dB.
        decision: its outcome before grading, and the corrected p-value.
        alone: p-value of the claim by itself.
        fidelity: of the evidence.
        claims: how many claims of the paper were decided together.
    """

    paper: str
    compared: Sequence[Comparison]
    results: Sequence[Result]
    needed: int
    at: int
    margin: float
    decision: decide.Decision
    alone: float
    fidelity: str
    claims: int


def why(found: Weighed) -> str:
    """Return what decided a claim, beside the numbers of the comparison on which it hangs."""
    outcome, told = found.decision.outcome, []
    count = len(found.compared)
    if count > 1:
        held = sum(each.p_for <= LEVEL / 2.0 for each in found.results)
        role = ROLES.get(outcome, "it hangs on")
        told.append(f"{held} of {count} comparisons hold by themselves, {found.needed} must")
        told.append(f"{role}: {found.compared[found.at].label}")
    if outcome == decide.NEGLIGIBLE:
        told.append(f"any difference is smaller than the margin of {decibel(found.margin)}")
    if outcome in (decide.COMPATIBLE, decide.INCONCLUSIVE):
        told.append(_open(found))
    if found.fidelity != decide.FULL and outcome in ROLES:
        material = MATERIAL[found.fidelity]
        told.append(
            f"as claimed on {material}: that does not show it for the paper's"
            if outcome == decide.REPRODUCED
            else f"not as claimed on {material}: the material may be why"
        )
    return "; ".join(told)


def _open(found: Weighed) -> str:
    """Return what keeps a claim open."""
    result = found.results[found.at]
    if math.isnan(result.error[1]):
        return "no row was run with a second seed, so how far chance moves a mean is not known"
    if found.alone <= LEVEL < found.decision.p:
        together = (
            f"no longer clear once the {found.claims} claims of the paper are tested together"
        )
        return f"clear when tested alone (p = {found.alone:.2g}), {together}"
    if found.decision.outcome == decide.COMPATIBLE:
        return "what is published lies where a single run could have fallen"
    return "what was found could as well be chance"


def needs(found: Weighed) -> tuple[str, int]:
    """Return what evidence of the paper's dataset would settle an open claim, and seeds for it.

    That is for a true difference of the size that is published (or of the margin), to be found in
    four of five cases, with the correction for all claims that are decided together, if songs and
    seeds scatter as they do now. The number is 0 where it is not seeds that are wanting.
    """
    each, result = found.compared[found.at], found.results[found.at]
    of_songs, of_seeds = result.error
    if math.isnan(of_songs):
        return "more than one song", 0
    level = LEVEL / 2.0 / found.claims
    if result.reach.least > level:
        return f"at least {math.ceil(-math.log2(level))} songs (here are {result.songs})", 0
    if math.isnan(of_seeds):
        return "rows with more than one seed", 2
    if each.kind == "value" and of_seeds > 0.0 and result.seeds < SEEDS:
        return f"at least {SEEDS} seeds, for a number to be called met", SEEDS
    for size, aim in _aims(found, each, result):
        words, seeds = _takes(result, size / _span(each, found.claims))
        if words:
            return f"{words}, to {aim}", seeds
    return "it lies so near to the border that this evidence, enough for the margin, cannot tell", 0


def _span(each: Comparison, claims: int) -> float:
    """Return how many standard errors a difference must measure to be found with `POWER`."""
    one_sided = LEVEL / 2.0 / claims
    # To lie within a margin is to be away from both of its ends.
    missed = (1.0 - POWER) / (2.0 if each.kind in ("value", "difference", "equal") else 1.0)
    return float(stats.norm.isf(one_sided) + stats.norm.isf(missed))


def _aims(found: Weighed, each: Comparison, result: Result) -> list[tuple[float, str]]:
    """Return the sizes that evidence should find, and what for, in the order in which to ask.

    Where a claim is clear by itself, that is what was found; else what is published, if it is more
    than the margin; at last the margin. A trend is measured a step.
    """
    margin = found.margin / (len(each.places) - 1 if each.kind == "trend" else 1)
    if each.kind in ("value", "difference", "equal"):
        return [(margin, f"tell whether it lies within the margin of {decibel(margin)}")]
    gap, was = published(found.paper, each), abs(result.estimate)
    if each.kind in ("above", "below"):
        gap = each.sign * (gap - (each.by or 0.0))
    aims = [
        (was, f"confirm what was found ({decibel(was)})") if found.alone <= LEVEL else None,
        # Not where nothing is printed: nan is not larger.
        (gap, f"find what is published ({decibel(gap)})") if gap > margin else None,
        (margin, f"find a difference as small as the margin ({decibel(margin)})"),
    ]
    return [aim for aim in aims if aim is not None]


def _takes(result: Result, error: float) -> tuple[str, int]:
    """Return the seeds or songs that bring a standard error down to `error`; empty if they do."""
    of_songs, of_seeds = (part**2 for part in result.error)
    if of_songs + of_seeds <= error**2:
        return "", 0
    left = error**2 - of_songs
    seeds = math.ceil(result.seeds * of_seeds / left) if left > 0.0 else MANY + 1
    if seeds <= MANY:
        return f"about {seeds} seeds a row", seeds
    for count in (result.seeds, MANY):
        left = error**2 - of_seeds * result.seeds / count
        songs = math.ceil(result.songs * of_songs / left) if left > 0.0 else math.inf
        if songs <= TOO_MANY:
            seeded = f" and {count} seeds a row" if count > result.seeds else ""
            return f"about {_rounded(songs)} songs (here are {result.songs}){seeded}", 0
    return f"more than {TOO_MANY} songs (here are {result.songs})", 0


def _rounded(count: float) -> int:
    """Return a number of songs with two digits."""
    return int(float(f"{count:.2g}"))


def published(paper: str, each: Comparison) -> float:
    """Return what the paper prints for what a comparison measures; nan if it prints nothing.

    For a pair the difference, for a series the slope a step or the lead of its peak, else the
    number itself.
    """
    values = [
        cell.value if cell is not None else math.nan
        for cell in (printed(paper, place) for place in each.places)
    ]
    if each.kind in ("value", "above", "below"):
        return values[0]
    if any(map(math.isnan, values)):
        return math.nan
    if each.kind == "peak":
        return values[each.at] - max(values[: each.at] + values[each.at + 1 :])
    if each.kind == "trend":
        steps = [at - (len(values) - 1) / 2.0 for at in range(len(values))]
        rise = sum(step * value for step, value in zip(steps, values, strict=True))
        return each.sign * rise / sum(step**2 for step in steps)
    pairs = list(zip(values[::2], values[1::2], strict=True))
    return each.sign * sum(one - other for one, other in pairs) / len(pairs)


def decibel(value: float) -> str:
    """Return a size in dB, with as many digits as small ones need."""
    return f"{value:.2f} dB" if value >= 0.1 else f"{value:.2g} dB"
