"""The papers' published numbers, as they stand in the papers.

A paper with published numbers is a folder here with a `paper.yaml`, which says what the paper is
and what its tables show, and one CSV a table in long form: the key columns of a row, `metric`,
`value` (as printed, all its digits), `raw` (the token of the scan where that is damaged or
misprinted), `note`, and `bold` where the paper marks values so. `text.csv` has the numbers that
stand in the running text alone. Reading them needs neither torch nor pandas.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from unmix.errors import SpecError, UnmixError, one_of
from unmix.papers.about import About, read_about

if TYPE_CHECKING:
    import pandas as pd

HOME = Path(__file__).parent

PUBLISHED = tuple(sorted(path.parent.name for path in HOME.glob("*/paper.yaml")))
"""The papers whose numbers are here; those with experiments too are `experiment.PAPERS`."""

TEXT = "text"
"""The table of numbers in the running text, which needs no entry in `paper.yaml`."""

EXTRAS = ("value", "raw", "near", "note", "bold")
"""Columns that may stand behind `metric`; those before it are key columns."""

SCHOOLING = ("training time", "training loss")
"""Metrics of a training: shown beside the paper's, and never judged."""

PLAIN = re.compile(r"-?\d+(\.\d+)?")

Wanted = str | float | Iterable[str | float]
"""A value of a key column, or several of them."""


@dataclass(frozen=True)
class Cell:
    """One published number.

    Attributes:
        paper: its paper.
        table: the table that it stands in.
        keys: key columns of its row, in their order.
        metric: what was measured.
        text: the number as printed, all its digits.
        raw: the scan's token, where that is damaged, misprinted or a word; empty otherwise.
        note: a remark, or the reason for the correction; may be empty.
        bold: whether the paper prints it in bold.
        place: where in the running text it stands; empty in tables.
        near: words of the running text beside it; empty in tables.
    """

    paper: str
    table: str
    keys: Mapping[str, str] = field(hash=False)
    metric: str
    text: str
    raw: str = ""
    note: str = ""
    bold: bool = False
    place: str = ""
    near: str = ""

    @property
    def value(self) -> float:
        """Return the number."""
        return float(self.text)

    @property
    def step(self) -> float:
        """Return the unit of the last printed digit: 0.01 for `7.90`, 1 for `80`."""
        return float(Decimal(1).scaleb(int(Decimal(self.text).as_tuple().exponent)))

    @property
    def half(self) -> float:
        """Return half of `step`: how far the number may be from what it was rounded from."""
        return self.step / 2

    @property
    def corrected(self) -> bool:
        """Return whether the scan has something else here, and not just 3,000 for 3000."""
        return bool(self.raw) and self.raw.replace(",", "") != self.text

    @property
    def row(self) -> str:
        """Return the row's key columns, joined by commas."""
        return ", ".join(self.keys.values())

    @property
    def label(self) -> str:
        """Return a readable name, such as `table4: DNN, MSE, GNSDR`."""
        return f"{self.table}: {', '.join([*self.keys.values(), self.metric])}"


def folder(paper_name: str) -> Path:
    """Return the folder with what a paper published."""
    return HOME / paper_name


def about(paper_name: str) -> About:
    """Return what a paper is and what its tables show.

    Raises:
        SpecError: there is no such paper.
        UnmixError: its `paper.yaml` is not what it should be.
    """
    if paper_name not in PUBLISHED:
        raise SpecError(one_of("paper", paper_name, PUBLISHED), expected=", ".join(PUBLISHED))
    return read_about(folder(paper_name) / "paper.yaml")


def tables(paper_name: str) -> list[str]:
    """Return the names of a paper's published tables in the paper's order, `text` last.

    Raises:
        SpecError: there is no such paper.
    """
    described = [table.name for table in about(paper_name).tables]
    there = sorted(path.stem for path in folder(paper_name).glob("*.csv"))
    return [name for name in described if name in there] + [
        name for name in there if name not in described
    ]


def cells(
    paper_name: str,
    table: str,
    where: Mapping[str, Wanted] | None = None,
    metric: Wanted | None = None,
) -> list[Cell]:
    """Return the numbers of a published table, in the order in which they are printed.

    Args:
        paper_name: the paper.
        table: its table, such as `table4` or `text`.
        where: only rows with this value (or one of these) in each key column; None takes all.
        metric: only this metric, or these.

    Raises:
        SpecError: there is no such paper, table, key column, value or metric.
        UnmixError: the file is not what it should be.
    """
    known = tables(paper_name)
    if table not in known:
        what = one_of(f"table of {paper_name}:", table, known)
        raise SpecError(what, expected=", ".join(known))
    every = _cells(paper_name, folder(paper_name) / f"{table}.csv")
    found = list(every)
    wanted = {**(where or {}), **({} if metric is None else {"metric": metric})}
    for column, values in wanted.items():
        chosen = _known(every, column, values, f"{paper_name}/{table}")
        found = [cell for cell in found if _of(cell, column) in chosen]
    return found


def one(paper_name: str, table: str, row: Mapping[str, Wanted], metric: str) -> Cell:
    """Return the number of one row in one metric.

    Raises:
        SpecError: there is none, there are several, or a name is unknown.
    """
    found = cells(paper_name, table, row, metric)
    if len(found) != 1:
        named = ", ".join(f"{column} {value}" for column, value in row.items())
        raise SpecError(
            f"{len(found) or 'no'} numbers of {paper_name}/{table} are {metric} of {named}",
            expected="one: " + "; ".join(cell.row for cell in found)
            if found
            else "a row and metric for which the paper prints a number",
            do="name as many key columns as tell one row from the others" if found else "",
        )
    return found[0]


def by_row(table: pd.DataFrame) -> dict[tuple[str, ...], float]:
    """Return the values of a published table by its key columns and the metric."""
    keys = [name for name in table.columns if name not in EXTRAS]
    return {tuple(line[name] for name in keys): line["value"] for line in table.to_dict("records")}


def published(paper_name: str, table: str) -> pd.DataFrame:
    """Return a published table in long form; empty where the paper has no such table.

    All columns but `value` are text; `raw` and `note` are always there.
    """
    import pandas as pd

    path = folder(paper_name) / f"{table}.csv"
    columns, lines = _read(path) if path.exists() else (("metric", "value"), ())
    added = [name for name in ("raw", "note") if name not in columns]
    data = pd.DataFrame([*lines], columns=[*columns, *added], dtype=object).fillna("")
    data["value"] = data["value"].astype(float)
    return data


def _known(every: tuple[Cell, ...], column: str, values: Wanted, table: str) -> set[str]:
    """Return the wanted values of a key column (or `metric`), once each is known to be there."""
    columns = [*every[0].keys, "metric"] if every else []
    if column not in columns:
        raise SpecError(one_of(f"column of {table}:", column, columns), expected=", ".join(columns))
    wanted = [values] if isinstance(values, str | float | int) else values
    there = dict.fromkeys(_of(cell, column) for cell in every)
    for value in map(str, wanted):
        if value not in there:
            what = one_of(f"{column} of {table}:", value, there)
            raise SpecError(what, expected="; ".join(there))
    return set(map(str, wanted))


def _of(cell: Cell, column: str) -> str:
    return cell.metric if column == "metric" else cell.keys[column]


@functools.cache
def _cells(paper_name: str, path: Path) -> tuple[Cell, ...]:
    columns, lines = _read(path)
    beside = ("place",) if path.stem == TEXT else ()
    keys = [name for name in columns[: columns.index("metric")] if name not in beside]
    made = [
        Cell(
            paper_name,
            path.stem,
            {name: line[name] for name in keys},
            line["metric"],
            line["value"],
            raw=line.get("raw", ""),
            note=line.get("note", ""),
            bold=line.get("bold") == "yes",
            place=line["place"] if beside and "place" in line else "",
            near=line.get("near", ""),
        )
        for line in lines
    ]
    names = [cell.label for cell in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnmixError(f"{path}: more than one number is {twice[0]}", do="tell them apart")
    return tuple(made)


@functools.cache
def _read(path: Path) -> tuple[tuple[str, ...], tuple[Mapping[str, str], ...]]:
    """Return the columns and lines of a CSV file in long form.

    Raises:
        UnmixError: its columns or a line are not what they should be.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        columns = tuple(next(reader, []))
        _check_columns(columns, path)
        lines = []
        for fields in reader:
            line = dict(zip(columns, fields, strict=False))
            if wrong := _wrong(line, fields, columns):
                raise UnmixError(f"{path}, line {reader.line_num}: {wrong[0]}", expected=wrong[1])
            lines.append(line)
    return columns, tuple(lines)


def _check_columns(columns: tuple[str, ...], path: Path) -> None:
    at = columns.index("metric") if "metric" in columns else 0
    behind = columns[at + 1 :]
    named = at and all(columns[:at]) and len(set(columns)) == len(columns)
    if not named or behind[:1] != ("value",) or not set(behind) <= set(EXTRAS):
        raise UnmixError(
            f"{path}: columns {', '.join(columns) or 'missing'}",
            expected=f"key columns, metric, value, then any of {', '.join(EXTRAS[1:])}",
        )


def _wrong(
    line: Mapping[str, str], fields: list[str], columns: tuple[str, ...]
) -> tuple[str, str] | None:
    """Return what is wrong with a line and what was expected; None if nothing."""
    if len(fields) != len(columns):
        return f"{len(fields)} fields", f"{len(columns)}: {', '.join(columns)}"
    for name, text in line.items():
        if text != text.strip():
            return f"{name} '{text}'", "no blanks around it"
        if not text and name not in EXTRAS:
            return f"no {name}", f"one of each of {', '.join(columns)}"
    if not PLAIN.fullmatch(line["value"]):
        return f"value '{line['value']}'", "a plain decimal number, as -1.20"
    if line.get("bold", "") not in ("", "yes"):
        return f"bold '{line['bold']}'", "yes, or nothing"
    return None
