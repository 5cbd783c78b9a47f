"""Plain against length-weighted means: what the short clips must have scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unmix.errors import SpecError
from unmix.verdicts.checks import equations
from unmix.verdicts.checks.groups import (
    DISAGREES,
    POSSIBLE,
    Entry,
    Group,
    Judgement,
    by_role,
    term,
)
from unmix.verdicts.checks.numbers import EPSILON, Approx, difference, product, ratio, total


def weighting(paper: str, entry: Entry) -> Iterator[Group]:
    """Where clips last L or less, plain and weighted mean tell what the shorter ones scored.

    N clips of lengths w = L - d with scores x have the plain mean P = sum(x) / N and the weighted
    mean G = sum(w x) / W, W = sum(w) = N L - D, D = sum(d). So W G = L N P - sum(d x), and the
    mean of x weighted by what each clip lacks is X = (N L P - W G) / D, whatever the lengths are.
    At least one short clip scored X or less, and at least one X or more.
    """
    pairs = entry["metrics"].items()
    for plain, weighted in pairs:
        for where, row in by_role(paper, entry, {"plain": plain, "weighted": weighted}):
            beside: list = [term(row["plain"]), term(row["weighted"])]
            formulas = [
                equations.compiled(paper, entry[name], beside)
                for name in ("clips", "longest", "total")
            ]
            yield Group(
                f"{where}, {plain} and {weighted}",
                tuple(beside),
                lambda numbers, f=formulas: _weighting(numbers, f, entry),  # type: ignore[misc]
            )


def _weighting(
    numbers: Sequence[Approx], formulas: Sequence[equations.Formula], entry: Entry
) -> Judgement:
    plain, weighted = numbers[:2]
    clips, longest, whole = (formula(numbers) for formula in formulas)
    score = short_score(plain, weighted, clips, longest, whole)
    low, high = entry["range"]["from"], entry["range"]["to"]
    holds = score.low <= high + EPSILON and score.high >= low - EPSILON
    lacking = clips.value * longest.value - whole.value
    apart = score.value - plain.value
    words = (
        f"Shorter clips, which lack {lacking:g} s in all, would score {abs(apart):.1f} dB "
        f"{'more' if apart > 0 else 'less'} than the mean ({entry['range']['why']})."
    )
    return Judgement(
        POSSIBLE if holds else DISAGREES,
        score.value,
        f"{low:g} to {high:g}",
        score.tolerance,
        words,
        usual=holds,
    )


def short_score(
    plain: Approx, weighted: Approx, clips: Approx, longest: Approx, whole: Approx
) -> Approx:
    """Return what the short clips scored, weighted by what each lacks; see `weighting`.

    Raises:
        SpecError: the clips last as long together as if none were short, or longer.
    """
    full = product((clips, longest))
    lacking = difference(full, whole)
    if lacking.value <= 0:
        raise SpecError(
            f"{clips.value:g} clips of {longest.value:g} s do not last longer than the "
            f"{whole.value:g} s that they have in all",
            do="mend `clips`, `longest` or `total` in audit.yaml",
        )
    if lacking.low <= 0 or plain.unknown or weighted.unknown:
        value = (full.value * plain.value - whole.value * weighted.value) / lacking.value
        return Approx(value, float("-inf"), float("inf"))
    # X = P + (P - G) W / D: each rounded number stands here as often as the formula allows.
    return total((plain, product((difference(plain, weighted), ratio(whole, lacking)))))
