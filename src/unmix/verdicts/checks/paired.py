"""Two rows unit by unit: listeners, songs, or what else heads the pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from unmix.errors import SpecError
from unmix.papers.published import Cell
from unmix.verdicts.checks.groups import (
    AGREES,
    POSSIBLE,
    UNTOLD,
    Entry,
    Group,
    Judgement,
    chosen,
    grouped,
    listed,
    term,
)
from unmix.verdicts.checks.numbers import Approx

FEWEST = 3
"""With fewer pairs there is no interval worth the name."""


def paired(paper: str, entry: Entry) -> Iterator[Group]:
    """A row is above another over all units: mean gap with its 95 % t interval, and Wilcoxon test.

    Each unit (a listener, say) is one pair, so that what it gives several times counts once. The
    interval takes the gaps as normal; Wilcoxon's signed-rank test only as symmetric about their
    median. Both take the units as drawn independently.
    """
    over, columns = entry["over"], [*entry["first"]]
    found = False
    for where, cells in grouped(chosen(paper, entry), [over, *columns]).items():
        first = _by_unit(cells, entry["first"], over)
        for row in _expanded(entry["second"]):
            second = _by_unit(cells, row, over)
            units = [unit for unit in first if unit in second]
            if not units:
                continue
            found = True
            count = len(units)
            terms = [term(row[unit]) for unit in units for row in (first, second)]
            names = (_label(entry["first"]), _label(row))
            yield Group(
                f"{where}, {' and '.join(names)}",
                tuple(terms),
                lambda numbers, n=count: _paired(numbers, n, entry),  # type: ignore[misc]
            )
    if not found:
        raise SpecError(
            f"no {over} has both {_label(entry['first'])} and another row",
            do="mend `over`, `first` or `second` in audit.yaml",
        )


def _paired(numbers: Sequence[Approx], count: int, entry: Entry) -> Judgement:
    gaps = [one.value - other.value for one, other in zip(numbers[::2], numbers[1::2], strict=True)]
    if count < FEWEST:
        words = f"There are {count} pairs; an interval needs {FEWEST}."
        return Judgement(UNTOLD, "nothing", "above 0", None, words)
    gap, half, p = compared(gaps)
    wins, ties = sum(each > 0 for each in gaps), gaps.count(0.0)
    level = f"{wins} of {count} {entry['over']}s" + (f", {ties} level" if ties else "")
    interval = f"95 % interval {gap - half:.2f} to {gap + half:.2f}"
    words = f"Mean gap {gap:.2f}, {interval}; above in {level}; Wilcoxon p = {p:.2g}."
    fine = gap > 0 and p < float(entry.get("alpha", 0.05))
    return Judgement(AGREES if fine else POSSIBLE, gap, "above 0", half, words, words[:-1])


def compared(gaps: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of gaps, half the width of its 95 % t interval, and Wilcoxon's p-value.

    The p-value is two-sided; gaps of nothing at all have 1.
    """
    from statistics import fmean, stdev

    from scipy.stats import t, wilcoxon

    n = len(gaps)
    half = float(t.ppf(0.975, n - 1)) * stdev(gaps) / n**0.5
    p = float(wilcoxon(gaps).pvalue) if any(gaps) else 1.0
    return fmean(gaps), half, p


def _by_unit(cells: Sequence[Cell], row: Mapping[str, Any], over: str) -> dict[str, Cell]:
    return {
        cell.keys[over]: cell
        for cell in cells
        if all(cell.keys.get(name) == str(value) for name, value in row.items())
    }


def _expanded(row: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for values in product(*map(listed, row.values())):
        yield dict(zip(row, map(str, values), strict=True))


def _label(row: Mapping[str, Any]) -> str:
    return ", ".join(map(str, row.values()))
