"""The rules of claims in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unmix.papers.published import about, cells
from unmix.verdicts.claims import Claim
from unmix.verdicts.rules import RESERVED, named

MOST = 6
"""So many pairs or rows of a rule are named at most; the others are counted."""

Row = Mapping[str, Any]


def in_words(claim: Claim) -> str:
    """Return the rule of a claim in words, such as `A > B, in GNSDR and GSIR; both must hold`."""
    rule = claim.rule
    if rule["test"] == "none":
        return "no rule of the vocabulary can decide it"
    if rule["test"] == "audit":
        return f"the paper's own numbers decide it (audit: {listed(rule['checks'])})"
    told = _Told(rule, unit(claim)).words()
    held = _must(claim.needed, len(claim.comparisons))
    return f"{told}, in {listed(rule['metrics'])}{f'; {held}' if held else ''}"


def unit(claim: Claim) -> str:
    """Return the unit of what a claim compares; empty if it has none, or compares nothing."""
    table, metric = claim.rule.get("table"), claim.rule.get("metrics", ("",))[0]
    known = {each.name: each for each in about(claim.paper).tables}
    for name in sorted(known, key=lambda name: name != table):
        if any(cell.metric == metric for cell in cells(claim.paper, name)):
            named = known[name].unit_of(metric)
            return metric if named == "count" else named
    return "dB" if metric else ""  # scores that no table prints are those of our experiments


def listed(words: Iterable[str]) -> str:
    """Return words as a list: `a, b and c`, or `a, b; c` where a word has a comma."""
    *first, last = words
    if any("," in word for word in [*first, last]):
        return "; ".join([*first, last])
    return f"{', '.join(first)} and {last}" if first else last


class _Told:
    """A rule with comparisons; what all its rows have in common is said once, at the end."""

    def __init__(self, rule: Mapping[str, Any], unit: str) -> None:
        self.rule, self.unit = rule, unit
        rows = self._rows()
        columns = [name for name in rows[0] if name not in RESERVED]
        same = [name for name in columns if all(row.get(name) == rows[0][name] for row in rows)]
        # A row without a name would say nothing.
        distinct = all(set(row) - set(same) - set(RESERVED) for row in rows)
        self.common = {name: rows[0][name] for name in same} if distinct else {}

    def _rows(self) -> list[Row]:
        rule = self.rule
        single = [rule[name] for name in ("row", "at") if name in rule]
        pairs = [row for pair in rule.get("pairs", ()) for row in pair]
        return [*single, *pairs, *rule.get("among", ()), *rule.get("rows", ())]

    def words(self) -> str:
        """Return the rule without its metrics."""
        told = getattr(self, f"_{self.rule['test']}")()
        return f"{told}, {_for(self.common)}" if self.common else told

    def _row(self, row: Row) -> str:
        values = [
            named(name, "|".join(map(str, value)) if isinstance(value, list) else str(value))
            for name, value in row.items()
            if name not in RESERVED and name not in self.common
        ]
        elsewhere = [
            str(row[name])
            for name in RESERVED
            if row.get(name, self.rule.get(name)) != self.rule.get(name)
        ]
        return ", ".join(values) + (f" ({', '.join(elsewhere)})" if elsewhere else "")

    def _listed(self, rows: Sequence[Row]) -> str:
        return _some([self._row(row) for row in rows])

    def _paired(self, sign: str) -> str:
        told = [f"{self._row(one)} {sign} {self._row(other)}" for one, other in self.rule["pairs"]]
        return _some(told)

    def _greater(self) -> str:
        return self._paired(">")

    def _equal(self) -> str:
        return f"{self._paired('=')} within the margin"

    def _difference(self) -> str:
        by = self.rule.get("by")
        size = "as published" if by is None else f"{by:g} {self.unit}".strip()
        if self.rule.get("at_least"):
            size += " or more"
        mean = "the mean of " if self.rule.get("pool") else ""
        return f"{mean}{self._paired('minus')} is {size}, within the margin"

    def _best(self) -> str:
        sign = "<" if self.rule.get("lowest") else ">"
        among = self.rule["among"]
        each = "each of " if len(among) > 1 else ""
        return f"{self._row(self.rule['row'])} {sign} {each}{self._listed(among)}"

    def _order(self) -> str:
        return " > ".join(map(self._row, self.rule["rows"]))

    def _value(self) -> str:
        return f"{self._listed(self.rule['rows'])} as published, within the margin"

    def _above(self) -> str:
        limit = f"{float(self.rule.get('threshold', 0.0)):g} {self.unit}".strip()
        return f"{self._listed(self.rule['rows'])} {self.rule['test']} {limit}"

    _below = _above

    def _trend(self) -> str:
        return f"{self.rule['direction']} over {self._listed(self.rule['rows'])}"

    def _peak(self) -> str:
        return f"{self._row(self.rule['at'])} is the best of {self._listed(self.rule['rows'])}"


def _for(common: Row) -> str:
    """Return what all rows have in common, in words."""
    lists = [
        f"each {name} ({', '.join(map(str, value))})"
        for name, value in common.items()
        if isinstance(value, list)
    ]
    values = [
        named(name, str(value)) for name, value in common.items() if not isinstance(value, list)
    ]
    return f"for {', '.join([*values, *lists])}"


def _some(words: Sequence[str]) -> str:
    """Return words as a list, of which the last ones are counted if there are many."""
    if len(words) <= MOST:
        return listed(words)
    return f"{'; '.join(words[: MOST - 1])}; and {len(words) - MOST + 1} more"


def _must(count: int, of: int) -> str:
    """Return how many of a claim's comparisons must hold; empty if it has only one."""
    if of < 2:
        return ""
    if count < of:
        return f"{count} of {of} comparisons must hold"
    return "both must hold" if of == 2 else f"all {of} comparisons must hold"
