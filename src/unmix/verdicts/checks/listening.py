"""Listening tests: scores as means of whole grades, percentages as counts, sign tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from unmix.papers.published import Cell
from unmix.verdicts.checks import equations
from unmix.verdicts.checks.groups import (
    AGREES,
    DISAGREES,
    POSSIBLE,
    UNTOLD,
    Entry,
    Group,
    Judgement,
    chosen,
    either,
    grouped,
    term,
)
from unmix.verdicts.checks.numbers import EPSILON, Approx

FINEST = 60
"""Steps of a scale down to 1/60 are tried; finer ones fit two decimals more and more easily."""


def multiple(paper: str, entry: Entry) -> Iterator[Group]:
    """A mean of n whole grades is a multiple of 1/n, before it is rounded.

    It is one if a whole number lies between n times the ends of the printed number's interval.
    With two printed digits any n from 100 on fits all numbers, so that only smaller n say anything.
    """
    cells = chosen(paper, entry)
    by = entry.get("by", [])
    columns = {name for cell in cells for name in cell.keys} | {"metric"}
    for where, group in grouped(cells, columns - set(by)).items():
        n = _whole(paper, entry)
        yield Group(
            where,
            tuple(map(term, group)),
            lambda numbers, n=n, g=group: _multiple(numbers, g, n, entry),  # type: ignore[misc]
        )


def _multiple(
    numbers: Sequence[Approx], cells: Sequence[Cell], n: int | None, entry: Entry
) -> Judgement:
    up_to = entry.get("up_to", FINEST)
    fitting = steps(numbers, up_to)
    computed = f"multiples of {_fractions(fitting)}" if fitting else "multiples of none"
    if n is None:
        words = f"Of 1/1 to 1/{up_to}."
        return Judgement(
            AGREES if fitting else UNTOLD, computed, "multiples of one 1/n", None, words
        )
    fit = [_stepped(number, n) for number in numbers]
    words = ""
    if not all(fit):
        odd = [cell.text for cell, fits in zip(cells, fit, strict=True) if not fits]
        words = (
            f"{len(odd)} of {len(cells)} numbers are no multiples of 1/{n}: "
            f"{_some(list(dict.fromkeys(odd)))}."
        )
    return Judgement(either(all(fit)), computed, f"multiples of 1/{n}", None, words)


def steps(numbers: Sequence[Approx], up_to: int = FINEST) -> list[int]:
    """Return every n up to a limit for which all numbers can be multiples of 1/n, ascending."""
    return [n for n in range(1, up_to + 1) if all(_stepped(number, n) for number in numbers)]


def _stepped(number: Approx, n: int) -> bool:
    """Return whether a multiple of 1/n lies in a number's interval."""
    if number.unknown:
        return True
    return math.floor(number.high * n + EPSILON) >= math.ceil(number.low * n - EPSILON)


def _fractions(fitting: Sequence[int]) -> str:
    return _some([f"1/{each}" for each in fitting], 8)


def _some(words: Sequence[str], most: int = 12) -> str:
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def shares(paper: str, entry: Entry) -> Iterator[Group]:
    """Percentages of n answers are whole counts out of n, which add up to n.

    A percentage fits if a whole number lies between n/100 times the ends of its interval, and the
    group fits if one such choice for each adds up to n.
    """
    n = _whole(paper, entry)
    for where, group in grouped(chosen(paper, entry), [entry["over"]]).items():
        yield Group(
            where,
            tuple(map(term, group)),
            lambda numbers, g=group: _shares(numbers, g, n, entry),  # type: ignore[misc]
        )


def _shares(
    numbers: Sequence[Approx], cells: Sequence[Cell], n: int | None, entry: Entry
) -> Judgement:
    tried = range(1, entry.get("up_to", 100) + 1)
    fitting = [each for each in tried if counts(numbers, each)]
    computed = f"counts of {_some([str(each) for each in fitting], 8) or 'none'}"
    if n is None:
        words = f"Of 1 to {tried[-1]} answers."
        return Judgement(AGREES if fitting else UNTOLD, computed, "counts of one n", None, words)
    found = counts(numbers, n)
    if found:
        words = "As counts: " + _answers(cells, found, entry) + "."
        return Judgement(AGREES, computed, f"counts of {n}", None, words)
    fit = adjusted(numbers, [cell.step for cell in cells], n)
    words = _off(numbers, cells, n, entry)
    if not fit:
        return Judgement(DISAGREES, computed, f"counts of {n}", None, words)
    words += (
        " Percentages are often adjusted by one in the last digit so that they make 100: then "
        f"these can be {_answers(cells, fit, entry)} of {n}."
    )
    brief = f"adjusted to make 100 %, counts {_answers(cells, fit[:1], entry)}"
    return Judgement(POSSIBLE, computed, f"counts of {n}", None, words, brief, usual=True)


def adjusted(numbers: Sequence[Approx], steps: Sequence[float], n: int) -> list[tuple[int, ...]]:
    """Return the counts out of n whose percentages were adjusted to make 100; empty if none.

    Printed percentages make 100, those of the counts, rounded one by one, do not, and each printed
    one is off by a step at most.
    """
    if abs(math.fsum(each.value for each in numbers) - 100) > EPSILON:
        return []
    wide = [
        Approx(each.value, each.low - step, each.high + step)
        for each, step in zip(numbers, steps, strict=True)
    ]
    found = []
    for each in counts(wide, n):
        singly = [round(100 * k / n / step) * step for k, step in zip(each, steps, strict=True)]
        if abs(math.fsum(singly) - 100) > EPSILON:
            found.append(each)
    return found


def counts(numbers: Sequence[Approx], n: int) -> list[tuple[int, ...]]:
    """Return the counts out of n that percentages can stand for: those that add up to n."""
    found: list[tuple[int, ...]] = [()]
    for number in numbers:
        low, high = (0, n) if number.unknown else _between(number, n)
        found = [(*each, k) for each in found for k in range(low, high + 1) if sum(each) + k <= n]
    return [each for each in found if sum(each) == n]


def nearest(numbers: Sequence[Approx], n: int) -> tuple[int, ...]:
    """Return the counts next to percentages of n, whether or not they round to them."""
    return tuple(round(number.value * n / 100) for number in numbers)


def _between(number: Approx, n: int) -> tuple[int, int]:
    low = math.ceil(number.low * n / 100 - EPSILON)
    high = math.floor(number.high * n / 100 + EPSILON)
    return max(low, 0), min(high, n)


def _answers(cells: Sequence[Cell], found: Sequence[tuple[int, ...]], entry: Entry) -> str:
    return " or ".join(
        ", ".join(f"{cell.keys[entry['over']]} {k}" for cell, k in zip(cells, each, strict=True))
        for each in found[:3]
    )


def _off(numbers: Sequence[Approx], cells: Sequence[Cell], n: int, entry: Entry) -> str:
    """Return what does not fit, and what the nearest counts would make."""
    odd = [
        cell.text
        for cell, number in zip(cells, numbers, strict=True)
        if not counts((number,), n) and _between(number, n)[0] > _between(number, n)[1]
    ]
    near = nearest(numbers, n)
    words = f"No count of {n} is {', '.join(odd)} %. " if odd else ""
    if sum(near) != n:
        return f"{words}The nearest counts, {', '.join(map(str, near))}, do not add up to {n}."
    each = [round(100 * k / n / c.step) * c.step for k, c in zip(near, cells, strict=True)]
    return (
        f"{words}The nearest counts are {_answers(cells, [near], entry)}; rounded one by one they "
        f"make {sum(each):g} %."
    )


def sign_test(paper: str, entry: Entry) -> Iterator[Group]:
    """An exact sign test on the counts behind percentages: how likely is such a preference by chance?

    With ties left out, each answer prefers either method with probability 1/2 if there is no
    preference, so the larger count is binomial; p is two-sided. Answers count as independent,
    although one listener gives several.
    """  # noqa: E501
    n = _whole(paper, entry) or 0
    for where, group in grouped(chosen(paper, entry), [entry["over"]]).items():
        yield Group(
            where,
            tuple(map(term, group)),
            lambda numbers, g=group: _sign_test(numbers, g, n, entry),  # type: ignore[misc]
        )


def _sign_test(numbers: Sequence[Approx], cells: Sequence[Cell], n: int, entry: Entry) -> Judgement:
    alpha = float(entry.get("alpha", 0.05))
    expected = f"p below {alpha:g}"
    found = counts(numbers, n)
    near = found[0] if len(found) == 1 else nearest(numbers, n)
    names = [cell.keys[entry["over"]] for cell in cells]
    sides = {
        name: k
        for name, k in zip(names, near, strict=True)
        if name != entry.get("ties")
    }  # fmt: skip
    if len(sides) != 2 or sum(near) != n or not sum(sides.values()):
        words = f"No counts of {n} answers for two methods are behind these percentages."
        return Judgement(UNTOLD, "no counts", expected, None, words)
    (first, k), (second, m) = sorted(sides.items(), key=lambda each: -each[1])
    p = p_value(k, m)
    words = f"{first} {k}, {second} {m} of {n} answers."
    if len(found) != 1:
        words += " The counts are the nearest; no single choice of them rounds to what is printed."
    return Judgement(AGREES if p < alpha else POSSIBLE, p, expected, None, words)


def p_value(first: int, second: int) -> float:
    """Return the two-sided p-value of an exact sign test."""
    from scipy.stats import binomtest

    return float(binomtest(first, first + second).pvalue)


def _whole(paper: str, entry: Entry) -> int | None:
    """Return the whole number that an entry's `n` is; None if it has none."""
    if "n" not in entry:
        return None
    return round(equations.value(paper, entry["n"]).value)
