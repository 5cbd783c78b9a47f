"""Arithmetic between printed numbers, declared as operands in a closed vocabulary.

An operand is a cell (`table`, `metric` and key columns), a constant with its reason, or one
operation on further operands or on a selection of cells. Nothing is evaluated as code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product as combinations
from typing import Any

from unmix.errors import SpecError
from unmix.papers import published
from unmix.papers.published import Cell
from unmix.verdicts.checks import numbers
from unmix.verdicts.checks.groups import (
    DISAGREES,
    POSSIBLE,
    Entry,
    Group,
    Judgement,
    Term,
    either,
    left_out,
    slack,
    term,
)
from unmix.verdicts.checks.numbers import EPSILON, Approx, difference, exact, meet

Operand = Mapping[str, Any]
Formula = Callable[[Sequence[Approx]], Approx]

OPERATIONS: Mapping[str, Formula] = {
    "sum": numbers.total,
    "product": numbers.product,
    "difference": lambda each: difference(*each),
    "ratio": lambda each: numbers.ratio(*each),
    "power": lambda each: numbers.power(*each),
    "abs": lambda each: numbers.absolute(*each),
    "floor": lambda each: numbers.floor(*each),
    "mean": numbers.mean,
    "min": numbers.least,
    "max": numbers.most,
    "count": lambda each: exact(float(len(each))),
}

BESIDE = ("table", "metric", "exact", "where", "but")
"""Keys of a cell or selection that are no key columns."""

RELATIONS: Mapping[str, Callable[[float], bool]] = {
    "less": lambda off: off < -EPSILON,
    "greater": lambda off: off > EPSILON,
    "at most": lambda off: off <= EPSILON,
    "at least": lambda off: off >= -EPSILON,
}
"""What the difference of the two sides, as printed, must be."""

IN_WORDS = {"less": "less than", "greater": "greater than"}
"""Relations as they are said, where that differs."""


def arithmetic(paper: str, entry: Entry) -> Iterator[Group]:
    """Two sides of an equation of printed numbers meet, within what rounding does to the formula.

    Each printed number is an interval of half a step to both sides, counts and constants are
    exact, and formulas are evaluated on intervals. Inequalities are decided on the numbers as
    printed, or, with `rounding`, hold wherever rounding lets them. A side without another is only
    reported.
    """
    for equation in entry["equations"]:
        for values, one in expansions(equation):
            yield _group(paper, entry, one, values)


def _group(paper: str, entry: Entry, equation: Operand, values: Sequence[str]) -> Group:
    terms: list[Term] = []
    left = compiled(paper, equation["left"], terms)
    right = compiled(paper, equation["right"], terms) if "right" in equation else None
    relation = equation.get("is", "equal")
    named = [equation["where"]] if "where" in equation else []
    where = ", ".join([*named, *values]) or (terms[0].cell.label if terms else entry["says"])

    def judge(given: Sequence[Approx]) -> Judgement:
        if right is None:
            return _reported(left(given))
        return _compared(left(given), right(given), relation, entry)

    return Group(where, tuple(terms), judge)


def _compared(left: Approx, right: Approx, relation: str, entry: Entry) -> Judgement:
    otherwise = POSSIBLE if entry.get("else") == "possible" else DISAGREES
    apart = difference(left, right)
    if relation == "equal":
        holds = meet(left, right, slack(entry))
        within = left.tolerance + right.tolerance + slack(entry)
        brief = f"{left.value:.4g}, expected {right.value:.4g}"
        outcome = either(holds, otherwise)
        return Judgement(outcome, left.value, right.value, within, brief=brief)
    allowed = slack(entry) if relation in ("at least", "greater") else -slack(entry)
    rounding = bool(entry.get("rounding"))
    ends = (apart.low, apart.high) if apart.unknown or rounding else (apart.value,)
    holds = any(RELATIONS[relation](end + allowed) for end in ends) and not math.isnan(apart.value)
    words = ""
    if not rounding and abs(apart.value) <= apart.tolerance + EPSILON and not apart.unknown:
        words = "The two are as close as rounding; decided as printed."
    expected = f"{IN_WORDS.get(relation, relation)} {right.value:.6g}"
    tolerance = apart.tolerance + slack(entry) if rounding else slack(entry) or None
    brief = f"{left.value:.4g}, expected {expected}"
    return Judgement(either(holds, otherwise), left.value, expected, tolerance, words, brief)


def _reported(number: Approx) -> Judgement:
    return Judgement(
        POSSIBLE,
        number.value,
        "nothing: reported only",
        number.tolerance or None,
        brief=f"{number.value:.4g}",
    )


def value(paper: str, operand: Operand) -> Approx:
    """Return the value of an operand that does not expand.

    Raises:
        SpecError: a cell of it is not printed, or it lists several.
    """
    terms: list[Term] = []
    formula = compiled(paper, operand, terms)
    return formula([each.number() for each in terms])


def compiled(paper: str, operand: Operand, terms: list[Term]) -> Formula:
    """Return an operand as a function of `terms`, to which its cells are added.

    Raises:
        SpecError: a cell is not printed, or a selection is empty.
    """
    if "constant" in operand:
        constant = exact(float(operand["constant"]))
        return lambda given: constant
    if "table" in operand:
        cell = published.one(paper, operand["table"], _keys(operand), operand["metric"])
        return _picked(_added(terms, _term(cell, operand)))
    [(name, inner)] = operand.items()
    if isinstance(inner, Mapping):
        places = [_added(terms, _term(cell, inner)) for cell in selected(paper, inner)]
        parts = [_picked(place) for place in places]
    else:
        parts = [compiled(paper, each, terms) for each in inner]
    operation = OPERATIONS[name]
    return lambda given: operation([part(given) for part in parts])


def selected(paper: str, selection: Operand) -> list[Cell]:
    """Return the cells of a selection.

    Raises:
        SpecError: there is none.
    """
    where = {**_keys(selection), **selection.get("where", {})}
    cells = published.cells(paper, selection["table"], where, selection.get("metric"))
    found = [cell for cell in cells if not left_out(cell, selection.get("but", {}))]
    if not found:
        raise SpecError(
            f"{paper}/{selection['table']}: no number is selected by {dict(selection)}",
            do="mend the selection in audit.yaml",
        )
    return found


def expansions(equation: Operand) -> Iterator[tuple[list[str], Operand]]:
    """Yield an equation once for each combination of the values that its rows list.

    Raises:
        SpecError: two rows list different values for one key.
    """
    lists: dict[str, list[str]] = {}
    there = [side for side in ("left", "right") if side in equation]
    for side in there:
        _collect(equation[side], lists)
    for values in combinations(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        sides = {side: _substituted(equation[side], chosen) for side in there}
        yield list(values), {**equation, **sides}


def _keys(row: Operand) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in BESIDE}


def _term(cell: Cell, row: Operand) -> Term:
    return Term(cell, row["exact"], given=row["exact"]) if "exact" in row else term(cell)


def _added(terms: list[Term], new: Term) -> int:
    """Return the place of a term in the list, to which it is added if it is not there yet."""
    for place, known in enumerate(terms):
        if known.cell.label == new.cell.label and known.exact == new.exact:
            return place
    terms.append(new)
    return len(terms) - 1


def _picked(place: int) -> Formula:
    return lambda given: given[place]


def _parts(operand: Operand) -> tuple[Operand | None, Sequence[Operand]]:
    """Return the row (a cell's or a selection's) that an operand is, or its inner operands."""
    if "constant" in operand:
        return None, ()
    if "table" in operand:
        return operand, ()
    [inner] = operand.values()
    return (inner, ()) if isinstance(inner, Mapping) else (None, inner)


def _listing(row: Operand) -> dict[str, list[str]]:
    beside = ("table", "exact", "where", "but")
    return {
        name: [str(each) for each in value]
        for name, value in row.items()
        if name not in beside and isinstance(value, list)
    }


def _collect(operand: Operand, lists: dict[str, list[str]]) -> None:
    row, inner = _parts(operand)
    for name, values in _listing(row or {}).items():
        if lists.setdefault(name, values) != values:
            raise SpecError(
                f"rows of one equation list different values of '{name}'",
                expected=f"the same list in each: {lists[name]} or {values}",
                do="mend the equation in audit.yaml, or select them inside `where`",
            )
    for each in inner:
        _collect(each, lists)


def _substituted(operand: Operand, chosen: Mapping[str, str]) -> Operand:
    row, inner = _parts(operand)
    if row is not None:
        new = {**row, **{name: chosen[name] for name in _listing(row)}}
        return new if row is operand else {name: new for name in operand}
    if not inner:
        return operand
    return {name: [_substituted(each, chosen) for each in inner] for name in operand}
