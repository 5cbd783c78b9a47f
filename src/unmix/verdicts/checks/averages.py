"""Averages and totals along a column of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from unmix.errors import SpecError
from unmix.papers.published import Cell
from unmix.verdicts.checks import equations, numbers
from unmix.verdicts.checks.groups import (
    UNTOLD,
    Entry,
    Group,
    Judgement,
    Term,
    chosen,
    either,
    grouped,
    slack,
    term,
)
from unmix.verdicts.checks.numbers import Approx, meet

Fold = Callable[[Sequence[Approx]], Approx]


def mean(paper: str, entry: Entry) -> Iterator[Group]:
    """A printed average is the mean of its cells, within their rounding.

    Each cell is off by at most half a step, so their mean is off by at most the (weighted) mean
    of these halves, and the printed average by half its own step.
    """
    for where, cells in _along(paper, entry):
        at, parts = _split(cells, entry)
        if len(parts) < len(entry.get("parts", parts)) or not parts:
            yield _missing(where, at, entry)
            continue
        names = [cell.keys[entry["over"]] for cell in parts]
        weights = _weights(paper, entry, names)
        yield _group(where, at, parts, lambda cells, w=weights: numbers.mean(cells, w), entry)  # type: ignore[misc]


def add_up(paper: str, entry: Entry) -> Iterator[Group]:
    """Numbers add up to a total, within their rounding.

    Each number is off by at most half a step, so their sum is off by at most the sum of these
    halves. Percentages that were rounded one by one need not make 100 exactly.
    """
    for where, cells in _along(paper, entry):
        if "expected" not in entry:
            at, parts = _split(cells, entry)
            if len(parts) < len(entry.get("parts", parts)) or not parts:
                yield _missing(where, at, entry)
            else:
                yield _group(where, at, parts, numbers.total, entry)
            continue
        wanted = equations.value(paper, entry["expected"]).value
        terms = tuple(map(term, cells))
        yield Group(
            where,
            terms,
            lambda values, w=wanted: _held(numbers.total(values), numbers.exact(w), entry),  # type: ignore[misc]
        )


def _along(paper: str, entry: Entry) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the groups of cells that differ in the column `over` alone."""
    found = False
    for where, cells in grouped(chosen(paper, entry), [entry["over"]]).items():
        there = [cell.keys.get(entry["over"]) for cell in cells]
        if "at" not in entry or str(entry["at"]) in there:
            found = True
            yield where, cells
    if not found:
        raise SpecError(
            f"'{entry['at']}' stands nowhere along {entry['over']}",
            do="mend `at`, `over` or `where` in audit.yaml",
        )


def _split(cells: Sequence[Cell], entry: Entry) -> tuple[Cell, list[Cell]]:
    """Return the cell of the average or total, and its parts."""
    over, at = entry["over"], str(entry["at"])
    wanted = {str(part) for part in entry.get("parts", [])}
    [whole] = [cell for cell in cells if cell.keys[over] == at]
    parts = [
        cell
        for cell in cells
        if cell is not whole and (not wanted or cell.keys[over] in wanted)
    ]  # fmt: skip
    return whole, parts


def _weights(paper: str, entry: Entry, names: Sequence[str]) -> list[float] | None:
    if "weights" not in entry:
        return None
    by = {str(name): operand for name, operand in entry["weights"].items()}
    if missing := [name for name in names if name not in by]:
        raise SpecError(
            f"no weight of {', '.join(missing)}",
            expected=f"one for each of {', '.join(names)}",
            do="mend `weights` in audit.yaml",
        )
    return [equations.value(paper, by[name]).value for name in names]


def _group(where: str, whole: Cell, parts: Sequence[Cell], fold: Fold, entry: Entry) -> Group:
    terms = (term(whole), *map(term, parts))
    return Group(where, terms, lambda values: _held(fold(values[1:]), values[0], entry))


def _held(computed: Approx, expected: Approx, entry: Entry) -> Judgement:
    holds = meet(computed, expected, slack(entry))
    tolerance = computed.tolerance + expected.tolerance + slack(entry)
    return Judgement(either(holds), computed.value, expected.value, tolerance)


def _missing(where: str, whole: Cell, entry: Entry) -> Group:
    found = Judgement(
        UNTOLD, "nothing", whole.value, None, f"Not all parts along {entry['over']} are printed."
    )
    return Group(where, (Term(whole),), lambda values: found)
