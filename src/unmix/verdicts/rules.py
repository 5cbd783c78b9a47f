"""The rules of claims: a closed vocabulary, taken apart into single comparisons.

A rule speaks of rows of a published table. It is taken apart into comparisons of one metric each,
and the same comparisons are made twice: on the paper's own numbers (does the table bear out the
sentence?) and on evidence (does a reproduction?). Nothing in a rule is evaluated as code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from unmix.errors import SpecError
from unmix.papers.published import Cell, one

RESERVED = ("table", "metric")
"""Keys of a row that are no key columns: where it stands, and in what metric, if not the rule's."""


@dataclass(frozen=True)
class Place:
    """A row of a table in one metric.

    Attributes:
        table: its name; the experiment of the same name reproduces it.
        keys: key columns and their values.
        metric: name of the score, as published.
    """

    table: str
    keys: tuple[tuple[str, str], ...]
    metric: str

    @property
    def row(self) -> dict[str, str]:
        """Return the key columns as a mapping."""
        return dict(self.keys)

    @property
    def label(self) -> str:
        """Return the row's key columns joined by commas, see `named`."""
        return ", ".join(named(name, value) for name, value in self.keys)


@dataclass(frozen=True)
class Comparison:
    """One thing to find out.

    Attributes:
        kind: `greater` (first beats second), `equal`, `difference` (first minus second is `by`),
            `value` (the first is what is published), `above`, `below` (a threshold), `trend`
            (over `places`, in order), `peak` (the best of `places` is number `at`).
        places: one place for a value or threshold, two for a pair, more for a series; pooled
            differences have first and second in turn.
        by: a difference that the text states, or the threshold, in the metric's unit; None: the
            published cells tell it.
        at_least: a difference of that much or more.
        at: index of the peak.
        sign: 1.0 if more is better or the series rises, else -1.0.
    """

    kind: str
    places: tuple[Place, ...]
    by: float | None = None
    at_least: bool = False
    at: int = 0
    sign: float = 1.0

    @property
    def label(self) -> str:
        """Return what is compared, in words."""
        first, last, metric = self.places[0], self.places[-1], self.places[0].metric
        if self.kind in ("value", "above", "below"):
            bound = f" {self.kind} {self.by:g}" if self.by is not None else ""
            return f"{first.label}: {metric}{bound}"
        if self.kind in ("trend", "peak"):
            return _series(self.places)
        if len(self.places) > 2:
            return _pooled(self.places)
        one, other, shared = _told_apart(first, last)
        sign = {"greater": " > ", "equal": " = ", "difference": " − "}[self.kind]
        if self.kind == "greater" and self.sign < 0:
            sign = " < "
        return f"{one}{sign}{other}: {', '.join([*shared, metric])}"


def named(column: str, value: str) -> str:
    """Return a value as it is read: a bare number behind the name of its column."""
    return value if any(map(str.isalpha, value)) else f"{column} {value}"


def _told_apart(one: Place, other: Place) -> tuple[str, str, list[str]]:
    """Return two labels without what both rows share, and that.

    If the rows are the same, the labels say in which metric or table each stands.
    """
    if one.keys == other.keys:
        if one.metric != other.metric:
            return f"{one.label} ({one.metric})", f"{other.label} ({other.metric})", []
        return f"{one.label} ({one.table})", f"{other.label} ({other.table})", []
    shared = set(one.keys) & set(other.keys)
    first, second = (
        ", ".join(named(name, value) for name, value in place.keys if (name, value) not in shared)
        for place in (one, other)
    )
    if not (first and second):
        return one.label, other.label, []
    return (
        first,
        second,
        [named(name, value) for name, value in one.keys if (name, value) in shared],
    )


def _series(places: Sequence[Place]) -> str:
    """Return in words what a series runs over, with what all its rows share said once."""
    shared = set.intersection(*(set(place.keys) for place in places))
    rows = [
        ", ".join(named(name, value) for name, value in place.keys if (name, value) not in shared)
        for place in places
    ]
    same = [named(name, value) for name, value in places[0].keys if (name, value) in shared]
    if not all(rows):
        rows, same = [place.label for place in places], []
    over = ("; " if any("," in row for row in rows) else ", ").join(rows)
    return f"{places[0].metric} over {over}" + (f": {', '.join(same)}" if same else "")


def _pooled(places: Sequence[Place]) -> str:
    """Return in words which differences a mean is over: what all pairs have in common first."""
    pairs = list(zip(places[::2], places[1::2], strict=True))
    told = [_told_apart(*pair) for pair in pairs]
    metrics = list(dict.fromkeys(place.metric for place in places))
    names = {(one, other) for one, other, _ in told}
    columns = zip(*(shared for *_, shared in told), strict=False)
    over = [list(dict.fromkeys(each)) for each in columns]
    same = [values[0] for values in over if len(values) == 1]
    varying = [", ".join(values) for values in [*over, metrics] if len(values) > 1]
    end = [*same, *(metrics if len(metrics) == 1 else [])]
    if len(names) > 1:
        return f"mean over {len(pairs)} differences in {', '.join(metrics)}"
    [(one, other)] = names
    return f"mean of {one} − {other} over {'; '.join(varying) or len(pairs)}: {', '.join(end)}"


def comparisons(rule: Mapping[str, Any]) -> list[Comparison]:
    """Return the single comparisons that a rule consists of; none for `audit` and `none`.

    Raises:
        SpecError: lists in the rows of one comparison differ, so that they cannot go together.
    """
    test = rule["test"]
    if test in ("audit", "none"):
        return []
    return list(_COMPARISONS[test](rule))


def needed(rule: Mapping[str, Any], count: int) -> int:
    """Return how many of `count` comparisons must hold for the rule to hold."""
    hold = rule.get("hold", "all")
    if hold == "most":
        return count // 2 + 1
    return count if hold == "all" else min(hold["at_least"], count)


def _pairs(rule: Mapping[str, Any]) -> Iterator[Comparison]:
    for metric in rule["metrics"]:
        for pair in rule["pairs"]:
            for places in expanded(rule["table"], pair, metric):
                yield Comparison(rule["test"], places)


def _difference(rule: Mapping[str, Any]) -> Iterator[Comparison]:
    by, at_least = rule.get("by"), rule.get("at_least", False)
    single = [
        places
        for metric in rule["metrics"]
        for pair in rule["pairs"]
        for places in expanded(rule["table"], pair, metric)
    ]
    if rule.get("pool"):
        yield Comparison("difference", tuple(p for pair in single for p in pair), by, at_least)
        return
    for places in single:
        yield Comparison("difference", places, by, at_least)


def _best(rule: Mapping[str, Any]) -> Iterator[Comparison]:
    sign = -1.0 if rule.get("lowest") else 1.0
    for metric in rule["metrics"]:
        for other in rule["among"]:
            for places in expanded(rule["table"], (rule["row"], other), metric):
                if places[0] != places[1]:
                    yield Comparison("greater", places, sign=sign)


def _order(rule: Mapping[str, Any]) -> Iterator[Comparison]:
    for metric in rule["metrics"]:
        for series in expanded(rule["table"], rule["rows"], metric):
            for first, second in pairwise(series):
                yield Comparison("greater", (first, second))


def _single(rule: Mapping[str, Any]) -> Iterator[Comparison]:
    limit = None if rule["test"] == "value" else float(rule.get("threshold", 0.0))
    sign = -1.0 if rule["test"] == "below" else 1.0
    for metric in rule["metrics"]:
        for row in rule["rows"]:
            for places in expanded(rule["table"], (row,), metric):
                yield Comparison(rule["test"], places, limit, sign=sign)


def _trend(rule: Mapping[str, Any]) -> Iterator[Comparison]:
    sign = 1.0 if rule["direction"] == "rising" else -1.0
    for metric in rule["metrics"]:
        for series in expanded(rule["table"], rule["rows"], metric):
            yield Comparison("trend", series, sign=sign)


def _peak(rule: Mapping[str, Any]) -> Iterator[Comparison]:
    for metric in rule["metrics"]:
        # The row of the peak goes through the same expansion as the series, as its last member.
        for *series, at in expanded(rule["table"], [*rule["rows"], rule["at"]], metric):
            if at not in series:
                raise SpecError(
                    f"the peak {at.label} is none of the rows of its series",
                    expected="; ".join(place.label for place in series),
                    do="mend the rule in claims.yaml",
                )
            yield Comparison("peak", tuple(series), at=series.index(at))


_COMPARISONS = {
    "greater": _pairs,
    "equal": _pairs,
    "difference": _difference,
    "best": _best,
    "order": _order,
    "value": _single,
    "above": _single,
    "below": _single,
    "trend": _trend,
    "peak": _peak,
}


def printed(paper: str, place: Place) -> Cell | None:
    """Return the published number of a row; None if the paper prints none."""
    try:
        return one(paper, place.table, place.row, place.metric)
    except SpecError:
        return None


def claimed(paper: str, each: Comparison) -> float:
    """Return the number that a comparison rests on, in the metric's unit; nan if there is none.

    For a pair that is first minus second, for a series last minus first (a peak: its lead over the
    best of the others), for a value the number itself, for a threshold the threshold.
    """
    if each.by is not None:
        return each.by
    cells = [printed(paper, place) for place in each.places]
    values = [cell.value if cell is not None else math.nan for cell in cells]
    if each.kind == "value":
        return values[0]
    if each.kind == "trend":
        return values[-1] - values[0]
    if each.kind == "peak":
        return values[each.at] - max(values[: each.at] + values[each.at + 1 :])
    pairs = list(zip(values[::2], values[1::2], strict=True))
    return each.sign * sum(first - second for first, second in pairs) / len(pairs)


def expanded(
    table: str, rows: Sequence[Mapping[str, Any]], metric: str
) -> Iterator[tuple[Place, ...]]:
    """Yield the rows as places, once for each combination of the values that they list.

    Raises:
        SpecError: two rows list different values for one key column.
    """
    lists: dict[str, list[str]] = {}
    for row in rows:
        for name, value in row.items():
            if not isinstance(value, list):
                continue
            values = [str(each) for each in value]
            if lists.setdefault(name, values) != values:
                raise SpecError(
                    f"rows that are compared list different values of '{name}'",
                    expected=f"the same list in each: {lists[name]} or {values}",
                    do="mend the rule in claims.yaml",
                )
    for combination in product(*lists.values()):
        chosen = dict(zip(lists, combination, strict=True))
        yield tuple(_place(table, row, metric, chosen) for row in rows)


def _place(table: str, row: Mapping[str, Any], metric: str, chosen: Mapping[str, str]) -> Place:
    full = {
        name: chosen[name] if isinstance(value, list) else str(value) for name, value in row.items()
    }
    keys = tuple((name, value) for name, value in full.items() if name not in RESERVED)
    return Place(full.get("table", table), keys, full.get("metric", metric))
