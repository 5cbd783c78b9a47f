"""Rows that reappear, and values in bold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unmix.errors import SpecError
from unmix.papers.published import Cell, one
from unmix.verdicts.checks.groups import (
    DISAGREES,
    Entry,
    Group,
    Judgement,
    chosen,
    either,
    grouped,
    listed,
    term,
    told_apart,
)
from unmix.verdicts.checks.numbers import EPSILON, Approx, meet
from unmix.verdicts.rules import expanded


def same(paper: str, entry: Entry) -> Iterator[Group]:
    """A row that stands in several places has the same numbers in each.

    Numbers with different digits printed are the same if both can be roundings of one number.
    """
    for rows in entry["rows"]:
        for metric in entry.get("metrics", [""]):
            for places in expanded("", rows, metric):
                cells = [one(paper, each.table, each.row, each.metric) for each in places]
                names = dict.fromkeys(f"{cell.table} ({cell.row})" for cell in cells)
                yield Group(
                    f"{' = '.join(names)}: {cells[0].metric}",
                    tuple(map(term, cells)),
                    lambda numbers: _same(numbers, entry),
                )


def _same(numbers: Sequence[Approx], entry: Entry) -> Judgement:
    pairs = [(x, y) for n, x in enumerate(numbers) for y in numbers[:n]]
    holds = all(meet(x, y) for x, y in pairs)
    values = dict.fromkeys(f"{each.value:g}" for each in numbers)
    words = ""
    if holds and entry.get("chosen_on_test"):
        words = (
            "The comparison by which the model was chosen shows the scores of the test: it was "
            "chosen on the clips it is tested on, or that table was made of the chosen models "
            "afterwards."
        )
    tolerance = max((x.tolerance + y.tolerance for x, y in pairs), default=0.0)
    return Judgement(either(holds), ", ".join(values), "one number", tolerance, words)


def best_in_bold(paper: str, entry: Entry) -> Iterator[Group]:
    """Bold marks the best value of each group, as printed.

    Of values that tie as printed any may be marked, since their further digits may differ.
    """
    over = listed(entry["over"])
    cells = chosen(paper, entry)
    if not any(cell.bold for cell in cells):
        raise SpecError(
            "nothing there is printed in bold",
            do="mend its `table` or `where` in audit.yaml",
        )
    for where, group in grouped(cells, over).items():
        names = told_apart(group, over)
        yield Group(
            where,
            tuple(map(term, group)),
            lambda numbers, g=group, n=names: _best(numbers, g, n, entry),  # type: ignore[misc]
        )


def _best(
    numbers: Sequence[Approx], cells: Sequence[Cell], names: Sequence[str], entry: Entry
) -> Judgement:
    sign = -1.0 if entry.get("lowest") else 1.0
    # A number that counts as unknown may be the best or not, as its mark says.
    known = [sign * each.value for each in numbers if not each.unknown]
    best = max(known)
    top = [
        cell.bold if each.unknown else sign * each.value >= best - EPSILON
        for each, cell in zip(numbers, cells, strict=True)
    ]
    marked = [name for name, cell in zip(names, cells, strict=True) if cell.bold]
    right = [name for name, is_top in zip(names, top, strict=True) if is_top]
    doubtful = any(each.unknown and cell.bold for each, cell in zip(numbers, cells, strict=True))
    holds = bool(marked) and ((doubtful and len(marked) == 1) or set(marked) <= set(right))
    words = slip = ""
    if not holds and not marked:
        words = "None is marked."
        slip = f"Would agree if {_one_of(right)} were marked."
    elif not holds:
        wrong = [name for name in marked if name not in right]
        words = f"Marked, but not the best: {', '.join(wrong)}."
        if len(wrong) == 1:
            there = len(marked) > 1
            other = "" if there else f", and {_one_of(right)} were marked instead"
            slip = f"Would agree if {wrong[0]} were not marked{other}."
    elif len(right) > len(marked):
        words = f"A tie as printed; marked is {', '.join(marked)}."
    return Judgement(
        either(holds, DISAGREES),
        f"best: {', '.join(right)}",
        f"bold: {', '.join(marked) or 'none'}",
        None,
        words,
        slip=slip,
    )


def _one_of(names: Sequence[str]) -> str:
    return " or ".join(names)
