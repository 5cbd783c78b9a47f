"""What a paper is and what its tables show: `paper.yaml`, read and checked."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unmix.errors import UnmixError

Words = str | None


@dataclass(frozen=True)
class Stretch:
    """The part of a paper's text in which a table stands, for the test of its numbers.

    Attributes:
        start, end: text before and behind it, each once in the paper; empty if there is no such
            part, and `note` says why.
        others: the numbers in it that are none of the table's, as printed.
        note: a remark; may be empty.
    """

    start: str = ""
    end: str = ""
    others: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class TableAbout:
    """What a published table or figure shows.

    Attributes:
        name: of its CSV file, such as `table4`.
        title: a short heading.
        place: as a reader finds it, such as `Table IV`.
        unit: of all values; None where metrics differ, see `units`.
        statistic: what a number is (mean, count, percentage); `not said` where that is open.
        rows: key columns (or `metric`) that head the rows as printed.
        columns: those that head the columns, the upper level first.
        text: where the paper's text has it.
        units: unit by metric, where they differ.
    """

    name: str
    title: str
    place: str
    unit: str | None
    statistic: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    text: Stretch
    units: Mapping[str, str]

    def unit_of(self, metric: str) -> str:
        """Return the unit of a metric's values; empty if they have none."""
        return self.units.get(metric, "") if self.unit is None else self.unit


@dataclass(frozen=True)
class About:
    """What a paper is.

    Attributes:
        title: of the paper.
        authors: as on its first page.
        year: of publication; None if unknown.
        venue: where it appeared; None if unknown.
        cite: key in the book's bibliography; None if there is none.
        dataset: in words.
        about: what it proposes and compares, in our words.
        tables: its tables and figures with numbers, in its order.
    """

    title: str
    authors: str
    year: int | None
    venue: str | None
    cite: str | None
    dataset: str
    about: str
    tables: tuple[TableAbout, ...]


PAPER: Mapping[str, Any] = {
    "title": str,
    "authors": str,
    "year": int | None,
    "venue": Words,
    "cite": Words,
    "dataset": str,
    "about": str,
    "tables": dict,
}
TABLE: Mapping[str, Any] = {
    "title": str,
    "place": str,
    "statistic": str,
    "rows": list,
    "columns": list,
    "text": dict,
}
STRETCH: Mapping[str, Any] = {"from": str, "to": str, "others": list}
"""Keys that must be there, and what they hold."""


@functools.cache
def read_about(path: Path) -> About:
    """Return what a `paper.yaml` says.

    Raises:
        UnmixError: it cannot be read, or a key is missing, unknown or holds something else.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnmixError(f"{path}: {error.strerror or error}", do="restore the file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())
        raise UnmixError(f"{path} is no YAML: {words}", do="mend it there") from error
    _hold(data, PAPER, {}, f"{path}")
    tables = tuple(
        _table(name, entry, f"{path}: table {name}") for name, entry in data["tables"].items()
    )
    return About(**{**data, "about": data["about"].strip(), "tables": tables})


def _table(name: str, entry: Any, where: str) -> TableAbout:
    _hold(entry, TABLE, {"unit": Words, "units": dict}, where)
    unit, units = entry.get("unit"), entry.get("units", {})
    if (unit is None) != bool(units):
        raise UnmixError(
            f"{where}: {'no unit' if unit is None else 'unit and units'}",
            expected="either one unit of all values, or units by metric",
        )
    _strings([*units, *units.values()], f"{where}: units")
    rows, columns = (_strings(entry[side], f"{where}: {side}") for side in ("rows", "columns"))
    if not rows:
        raise UnmixError(f"{where}: rows is empty", expected="what heads the rows")
    title, place, statistic = (entry[key].strip() for key in ("title", "place", "statistic"))
    text = _stretch(entry["text"], f"{where}: text")
    return TableAbout(name, title, place, unit, statistic, rows, columns, text, units)


def _stretch(entry: Any, where: str) -> Stretch:
    if set(entry) == {"note"}:
        return Stretch(note=str(entry["note"]))
    _hold(entry, STRETCH, {"note": str}, where)
    others = _strings(entry["others"], f"{where}: others")
    return Stretch(entry["from"], entry["to"], others, entry.get("note", ""))


def _hold(entry: Any, needed: Mapping[str, Any], allowed: Mapping[str, Any], where: str) -> None:
    """Hold a mapping against the keys that it must and may have, and what they hold."""
    if not isinstance(entry, dict):
        raise UnmixError(f"{where}: {entry!r} is no mapping", expected=f"keys {', '.join(needed)}")
    missing = [key for key in needed if key not in entry]
    unknown = [str(key) for key in entry if key not in {**needed, **allowed}]
    for what, keys in (("missing", missing), ("unknown", unknown)):
        if keys:
            raise UnmixError(
                f"{where}: {what} {'key' if len(keys) == 1 else 'keys'} {', '.join(keys)}",
                expected=", ".join([*needed, *(f"{key} (optional)" for key in allowed)]),
            )
    for key, value in entry.items():
        kind = {**needed, **allowed}[key]
        if not isinstance(value, kind) or isinstance(value, bool) or value == "":
            raise UnmixError(f"{where}: {key} is {value!r}", expected=_named(kind))


def _named(kind: Any) -> str:
    """Return what a key holds, in words."""
    words = {
        str: "words",
        list: "a list",
        dict: "a mapping",
        Words: "words, or null",
        int | None: "a whole number, or null",
    }
    return words[kind]


def _strings(entries: Any, where: str) -> tuple[str, ...]:
    wrong = [entry for entry in entries if not isinstance(entry, str)]
    if wrong:
        raise UnmixError(
            f"{where}: {wrong[0]!r} is no string",
            expected="strings (YAML reads a bare 7.90 as a number and loses its last digit)",
            do="put it in quotes",
        )
    return tuple(entries)
