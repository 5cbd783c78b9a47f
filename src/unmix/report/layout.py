"""Published tables as the papers lay them out: heads of rows and columns, and what stands where.

Nothing here needs torch, so that a terminal shows them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unmix.errors import UnmixError, one_of
from unmix.papers.about import TableAbout
from unmix.papers.published import Cell, about, cells

Head = tuple[str, ...]
"""The labels of one row or column, the outermost level first."""

END = "end"
"""Key column of ranges: the ends of one (`from`, `to`) are shown as one number."""

DAGGER = "†"
DASH = "–"


@dataclass(frozen=True)
class Layout:
    """A published table as printed.

    Attributes:
        about: what it shows.
        levels: key columns that head the rows.
        rows, columns: their heads, in the printed order.
        places: numbers by row and column; two where there is a range.
        cells: all of them.
    """

    about: TableAbout
    levels: Head
    rows: tuple[Head, ...]
    columns: tuple[Head, ...]
    places: Mapping[tuple[Head, Head], tuple[Cell, ...]]
    cells: tuple[Cell, ...]

    @property
    def caption(self) -> str:
        """Return place and heading."""
        return f"{self.about.place}: {self.about.title}"

    @property
    def legend(self) -> str:
        """Return score, unit and statistic, as far as the heads do not name them."""
        metrics = dict.fromkeys(cell.metric for cell in self.cells)
        unnamed = "metric" not in (*self.about.rows, *self.about.columns)
        words = {
            "Score": ", ".join(metrics) if unnamed else "",
            "Unit": self.about.unit,
            "Statistic": self.about.statistic,
        }
        return " ".join(f"{name}: {said}." for name, said in words.items() if said)


def layout(paper: str, table: str) -> Layout:
    """Return a published table as printed.

    Raises:
        SpecError: there is no such paper or table.
        UnmixError: `paper.yaml` does not say how the table is laid out, or says it wrongly.
    """
    found = cells(paper, table)
    known = {each.name: each for each in about(paper).tables}
    if table not in known:
        raise UnmixError(
            f"paper.yaml of {paper} does not describe {table}",
            expected=", ".join(known),
            do="add what it shows under `tables`",
        )
    shown = known[table]
    sides = [tuple(name for name in side if name != END) for side in (shown.rows, shown.columns)]
    _check(f"{paper}/{table}", found, [*shown.rows, *shown.columns])
    places: dict[tuple[Head, Head], tuple[Cell, ...]] = {}
    for cell in found:
        place = _head(cell, sides[0], shown), _head(cell, sides[1], shown)
        places[place] = (*places.get(place, ()), cell)
    for place, numbers in places.items():
        if len(numbers) > 1 and [cell.keys.get(END) for cell in numbers] != ["from", "to"]:
            raise UnmixError(
                f"{paper}/{table}: {len(numbers)} numbers at {', '.join(sum(place, ()))}",
                expected="one",
                do="name all key columns in `rows` and `columns` of paper.yaml",
            )
    rows = tuple(dict.fromkeys(row for row, _ in places))
    columns = merged([column for at, column in places if at == row] for row in rows)
    return Layout(shown, sides[0], rows, tuple(columns), places, tuple(found))


def _check(table: str, found: Sequence[Cell], named: Sequence[str]) -> None:
    """Make sure that the heads are key columns (or `metric`) of the table, each once."""
    known = [*found[0].keys, "metric"] if found else list(named)
    for name in named:
        if name not in known:
            what = one_of(f"column in paper.yaml, {table}:", name, known)
            raise UnmixError(what, expected=", ".join(known))
        if named.count(name) > 1:
            raise UnmixError(f"paper.yaml, {table}: {name} heads both rows and columns")


def _head(cell: Cell, names: Iterable[str], shown: TableAbout) -> Head:
    """Return a number's labels in some key columns; a metric with its unit where units differ."""
    labels = []
    for name in names:
        unit = shown.units.get(cell.metric, "")
        named = cell.metric if unit in ("", cell.metric) else f"{cell.metric} ({unit})"
        labels.append(named if name == "metric" else cell.keys[name])
    return tuple(labels)


def merged(orders: Iterable[Sequence[Head]]) -> list[Head]:
    """Return one order that keeps those of all rows, which may each lack some columns.

    Where rows contradict each other, what came first stays first.
    """
    after: dict[Head, set[Head]] = {}
    for order in orders:
        for place, head in enumerate(order):
            after.setdefault(head, set()).update(order[:place])
    done: list[Head] = []
    while len(done) < len(after):
        left = [head for head in after if head not in done]
        free = (head for head in left if after[head] <= {*done, head})
        done.append(next(free, left[0]))
    return done


def signed(text: str) -> str:
    """Return a number with a true minus sign."""
    return text.replace("-", "−")


def number(numbers: Sequence[Cell]) -> str:
    """Return what stands in one place of a table: a number, a range, or a dash."""
    if not numbers:
        return DASH
    mark = DAGGER if any(cell.corrected for cell in numbers) else ""
    return DASH.join(signed(cell.text) for cell in numbers) + mark


def spans(heads: Sequence[Head], level: int) -> list[tuple[int, int]]:
    """Return where neighbours share a label at a level and above: (first, how many)."""
    found: list[tuple[int, int]] = []
    for at, head in enumerate(heads):
        if found and heads[at - 1][: level + 1] == head[: level + 1]:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((at, 1))
    return found


def remarks(numbers: Sequence[Cell], *, tokens: bool = True) -> list[str]:
    """Return notes and damaged tokens, each once, with the numbers that they are about.

    A row is named by one key column if that tells it from all others.

    Args:
        numbers: of one table.
        tokens: whether to name damaged tokens; else notes alone.
    """
    grouped: dict[tuple[str, str], list[Cell]] = {}
    for cell in numbers:
        raw = cell.raw if tokens and cell.corrected else ""
        if raw or cell.note:
            grouped.setdefault((raw, cell.note), []).append(cell)
    lines = []
    for (raw, note), about_these in grouped.items():
        words = [f'the scan reads "{raw}"'] if raw else []
        said = "; ".join([*words, note] if note else words)
        lines.append(f"{DAGGER + ' ' if raw else ''}{_subject(about_these, numbers)}: {said}")
    return lines


def _subject(some: Sequence[Cell], every: Sequence[Cell]) -> str:
    """Return the rows of some numbers, with their metrics unless these are all of a row."""
    rows: dict[Head, list[Cell]] = {}
    for cell in some:
        rows.setdefault(_keys(cell), []).append(cell)
    parts = []
    for row, of_row in rows.items():
        whole = sum(_keys(cell) == row for cell in every)
        metrics = dict.fromkeys(cell.metric for cell in of_row)
        named = _short(row, {_keys(cell) for cell in every})
        parts.append(", ".join([named, *(metrics if len(of_row) < whole else [])]))
    return "; ".join(parts)


def _keys(cell: Cell) -> Head:
    return tuple(value for name, value in cell.keys.items() if name != END)


def _short(row: Head, every: Iterable[Head]) -> str:
    others = [other for other in every if other != row]
    for level, label in enumerate(row):
        # A bare number would say nothing.
        if not label.isdigit() and all(other[level] != label for other in others):
            return label
    return ", ".join(row)
