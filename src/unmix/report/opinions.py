"""Grades and preferences of listeners, as a paper prints them, and what they test.

The opinion scores are taken listener by listener, the preferences as counts behind the printed
percentages. Nothing is typed in: all comes from a paper's tables and the numbers of its text.
`listening.py` shows it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from unmix.errors import UnmixError
from unmix.papers.published import Cell, cells, one
from unmix.verdicts.checks.listening import adjusted, counts, p_value, steps
from unmix.verdicts.checks.numbers import EPSILON, Approx, rounded
from unmix.verdicts.checks.paired import compared
from unmix.verdicts.decide import holm
from unmix.verdicts.panel import LEVEL

HALF = 0.005
"""Half of the last digit of a score; Table 5 leaves out zeros at the end."""

MOST = 100
"""Up to so many answers are tried behind percentages; 100 fit all of them."""

AVERAGE, PROPOSED, EQUAL = "Average Score", "Proposed", "Equal"

SHOWN = "shown, however the answers are spread"
RESTS = "shown if all answers are independent"
OPEN = "not shown"


@dataclass(frozen=True)
class Pair:
    """Two methods that were compared directly.

    Attributes:
        instrument: what was separated.
        first, second: the methods, as the table names them.
        percent: who prefers the first, finds both equal, prefers the second, as printed.
        answers: the same as counts; empty where none fit.
        exact: whether each percentage is its count, rounded; else they were adjusted to make 100.
    """

    instrument: str
    first: str
    second: str
    percent: tuple[float, float, float]
    answers: tuple[int, ...]
    exact: bool

    @property
    def name(self) -> str:
        """Return instrument and methods."""
        return f"{self.instrument}, {self.first} : {self.second}"

    @property
    def lead(self) -> tuple[int, int]:
        """Return the answers for the method that has more of them, and for the other."""
        return max(self.answers[0], self.answers[2]), min(self.answers[0], self.answers[2])

    @property
    def decided(self) -> int:
        """Return how many answers prefer one method."""
        return self.answers[0] + self.answers[2]


@dataclass(frozen=True)
class Spread:
    """How listeners may lean to one of two methods.

    Attributes:
        most, least: listeners leaning to the preferred method and to the other, where their answers
            lie as favourably as they can, and as unfavourably.
        p_most, p_least: of an exact sign test on either; 1 where not more lean to the preferred.
    """

    most: tuple[int, int]
    least: tuple[int, int]
    p_most: float
    p_least: float


class Opinions:
    """The listening test of a paper: `table5` has its grades, `table6` its preferences."""

    def __init__(self, paper: str) -> None:
        """Take a paper by its name.

        Raises:
            SpecError: there is no such paper, or it has no such table, row or number.
            UnmixError: a table is incomplete, or its percentages are no counts.
        """
        self.paper = paper
        self.scores = scores(cells(paper, "table5", metric="MOS"))
        self.instruments = list(dict.fromkeys(self.scores.index.get_level_values("instrument")))
        self.methods = list(self.scores.columns)
        self.listeners = self._said("listening test", "listeners")
        self.each = self._said("CMOS pairs of sounds a listener, guitar and drums each", "count")
        self.total = self.listeners * self.each
        self.pairs = pairs(cells(paper, "table6", metric="preference"), self.total)

    def _said(self, name: str, metric: str) -> int:
        return round(one(self.paper, "text", {"name": name}, metric).value)

    def graded(self, instrument: str) -> pd.DataFrame:
        """Return the grades of an instrument: a row a listener, a column a method."""
        return pd.DataFrame(self.scores.loc[instrument]).drop(index=AVERAGE)

    def step(self) -> int:
        """Return the least n for which all listeners' scores are multiples of 1/n; 0 for none."""
        values = self.scores.drop(index=AVERAGE, level="listener").to_numpy().ravel()
        return next(iter(steps([rounded(each, HALF) for each in values])), 0)

    def averages(self) -> pd.DataFrame:
        """Return printed and recomputed averages with their spread over listeners."""
        n, rows = self.step(), []
        for instrument, method in product(self.instruments, self.methods):
            grades = self.graded(instrument)[method].to_numpy()
            mean, low, high = interval(grades)
            printed = self.scores.loc[(instrument, AVERAGE), method]
            rows.append(
                {
                    "method": f"{instrument}, {method}",
                    "printed": printed,
                    "recomputed": mean,
                    "stepped": float(np.round(grades * n).mean() / n) if n else math.nan,
                    # Neither the listeners' scores nor their average has more than two decimals.
                    "fits": abs(mean - printed) <= 2 * HALF + EPSILON,
                    "sd": float(grades.std(ddof=1)),
                    "low": low,
                    "high": high,
                }
            )
        return pd.DataFrame(rows)

    def gaps(self) -> pd.DataFrame:
        """Return how far the proposed method is graded above each other, listener by listener."""
        from scipy.stats import ttest_1samp

        rows = []
        rivals = [name for name in self.methods if name != PROPOSED]
        for instrument, rival in product(self.instruments, rivals):
            grades = self.graded(instrument)
            gap = (grades[PROPOSED] - grades[rival]).round(2).to_numpy()
            mean, half, _ = compared(list(gap))
            above, below = int((gap > 0).sum()), int((gap < 0).sum())
            rows.append(
                {
                    "instrument": instrument,
                    "rival": rival,
                    "gap": mean,
                    "low": mean - half,
                    "high": mean + half,
                    "above": above,
                    "below": below,
                    "ties": len(gap) - above - below,
                    "t": float(ttest_1samp(gap, 0.0).pvalue),
                    "sign": sign(above, below),
                }
            )
        found = pd.DataFrame(rows)
        for name in ("t", "sign"):
            found[f"{name} holm"] = holm(list(found[name]))[0]
        return found

    def preferences(self) -> pd.DataFrame:
        """Return tests and intervals of each pair, with answers and with listeners as the unit.

        Holm's correction is for the pairs with the proposed method together, on which the paper's
        conclusion rests, and for the others together.
        """
        rows = []
        for pair in self.pairs:
            found, ahead = spread(*pair.lead, self.each, self.listeners), pair.lead[0]
            rows.append(
                {
                    "pair": pair.name,
                    "family": PROPOSED in (pair.first, pair.second),
                    "ahead": pair.first if pair.answers[0] >= pair.answers[2] else pair.second,
                    "share": ahead / pair.decided if pair.decided else math.nan,
                    "answers": wilson(ahead, pair.decided),
                    "listeners": wilson(ahead / self.each, pair.decided / self.each),
                    "p": sign(*pair.lead),
                    "spread": found,
                    "p least": found.p_least,
                }
            )
        table = pd.DataFrame(rows)
        for name in ("p", "p least"):
            by = table.groupby("family")[name]
            table[f"{name} holm"] = by.transform(lambda values: holm(list(values))[0])
        table["reading"] = [
            reading(*each) for each in zip(table["p holm"], table["p least holm"], strict=True)
        ]
        return table

    def ranks(self) -> pd.DataFrame:
        """Return the methods' ranks by opinion score, by pairs won, and by SDR of the test part."""
        rows = []
        for instrument, method in product(self.instruments, self.methods):
            where = {"instrument": instrument, "part": "test", "method": method}
            rows.append(
                {
                    "instrument": instrument,
                    "method": method,
                    "MOS": self.scores.loc[(instrument, AVERAGE), method],
                    "pairs won": sum(won(pair, method) for pair in self._of(instrument)),
                    "SDR": one(self.paper, "table3", where, "SDR").value,
                }
            )
        found = pd.DataFrame(rows)
        for name in ("MOS", "pairs won", "SDR"):
            by = found.groupby("instrument")[name]
            found[f"{name} rank"] = by.rank(ascending=False, method="min").astype(int)
        return found

    def _of(self, instrument: str) -> list[Pair]:
        return [pair for pair in self.pairs if pair.instrument == instrument]

    def fitting(self) -> tuple[list[int], list[int]]:
        """Return how many answers fit all percentages: rounded one by one, and adjusted to 100."""
        printed = [[(each, 0.5) for each in pair.percent] for pair in self.pairs]
        alone: list[int] = []
        loose: list[int] = []
        for n in range(1, MOST + 1):
            found = [behind([rounded(*each) for each in percent], n) for percent in printed]
            fits = [each[1] for each in found if each]
            if len(fits) == len(found):
                (alone if all(fits) else loose).append(n)
        return alone, loose


def scores(found: Iterable[Cell]) -> pd.DataFrame:
    """Return opinion scores, a row an instrument and listener, a column a method.

    Raises:
        UnmixError: a listener has no score for a method.
    """
    long = pd.DataFrame([{**cell.keys, "value": cell.value} for cell in found])
    index, methods = ["instrument", "listener"], list(dict.fromkeys(long["method"]))
    wide = long.pivot(index=index, columns="method", values="value")[methods]
    wide = wide.reindex(pd.MultiIndex.from_frame(long[index].drop_duplicates()))
    for (instrument, listener), values in zip(wide.index, wide.to_numpy(), strict=True):
        if missing := [
            name for name, value in zip(methods, values, strict=True) if math.isnan(value)
        ]:
            raise UnmixError(
                f"table5 has no score of {listener} ({instrument}) for {', '.join(missing)}",
                expected=f"one for each of {', '.join(methods)}",
                do="complete table5.csv",
            )
    return wide


def pairs(found: Iterable[Cell], total: int) -> list[Pair]:
    """Return the pairs of methods with the counts behind their percentages.

    Args:
        found: the cells, of columns `instrument`, `pair` (as `A : B`) and `preferred`.
        total: how many answers each pair has.

    Raises:
        UnmixError: a pair has not three answers, or percentages that are no counts.
    """
    grouped: dict[tuple[str, str], dict[str, float]] = {}
    for cell in found:
        place = cell.keys["instrument"], cell.keys["pair"]
        grouped.setdefault(place, {})[cell.keys["preferred"]] = cell.value
    made = []
    for (instrument, name), percent in grouped.items():
        first, _, second = name.partition(" : ")
        if set(percent) != {first, second, EQUAL} or len(percent) != 3:
            raise UnmixError(
                f"table6: {instrument}, {name} has answers for {', '.join(percent)}",
                expected=f"the two methods of `A : B`, and {EQUAL}",
                do="mend table6.csv",
            )
        values = percent[first], percent[EQUAL], percent[second]
        fitted = behind([rounded(each, 0.5) for each in values], total)
        if fitted is None:
            raise UnmixError(
                f"table6: {instrument}, {name} has {', '.join(f'{each:g}' for each in values)} %",
                expected=f"shares of {total} answers, or such shares adjusted to make 100 %",
                do="hold table6.csv against the paper",
            )
        made.append(Pair(instrument, first, second, values, *fitted))
    return made


def behind(percent: Sequence[Approx], total: int) -> tuple[tuple[int, ...], bool] | None:
    """Return the counts behind percentages and whether they are those, rounded; None if none fit.

    Of several choices the one nearest to the percentages is taken.
    """
    exact = counts(percent, total)
    found = exact or adjusted(percent, [1.0] * len(percent), total)
    if not found:
        return None
    wanted = [each.value * total / 100 for each in percent]
    near = min(found, key=lambda each: math.dist(each, wanted))
    return near, bool(exact)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of values `(listeners,)` and the ends of its 95 % t interval."""
    mean, half, _ = compared([float(each) for each in values])
    return mean, mean - half, mean + half


def sign(first: int, second: int) -> float:
    """Return the two-sided p-value of an exact sign test, ties left out; 1 if nothing is left."""
    return p_value(first, second) if first + second else 1.0


def wilson(first: float, decided: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; counts may be effective ones, no whole numbers.

    Where nothing is decided, any share is possible.
    """
    from statsmodels.stats.proportion import proportion_confint

    if not decided:
        return 0.0, 1.0
    low, high = proportion_confint(first, decided, method="wilson")
    return float(low), float(high)


def spread(ahead: int, other: int, each: int, listeners: int) -> Spread:
    """Return how many listeners may lean to the method that has more answers, at most and least.

    A listener leans to a method if more of his or her answers prefer it; which answers are whose is
    not printed. So all ways to share them out are gone through.

    Args:
        ahead: answers for the one; those for neither find both equal.
        other: answers for the other.
        each: answers of a listener.
        listeners: how many there are.
    """

    def p_for(split: tuple[int, int]) -> float:
        return sign(*split) if split[0] > split[1] else 1.0

    splits = shared_out(each, listeners)[ahead, other]
    order = sorted(splits, key=lambda split: (p_for(split), split[1] - split[0], split))
    return Spread(order[0], order[-1], p_for(order[0]), p_for(order[-1]))


@functools.cache
def shared_out(each: int, listeners: int) -> dict[tuple[int, int], frozenset[tuple[int, int]]]:
    """Return, for answers of all listeners (first, second), how many may lean to either."""
    answers = [(f, s) for f, s in product(range(each + 1), repeat=2) if f + s <= each]
    reached = {(0, 0, 0, 0)}
    for _ in range(listeners):
        reached = {
            (f + x, s + y, first + (x > y), second + (y > x))
            for f, s, first, second in reached
            for x, y in answers
        }
    found: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for f, s, first, second in reached:
        found.setdefault((f, s), set()).add((first, second))
    return {place: frozenset(splits) for place, splits in found.items()}


def reading(p_answers: float, p_listeners: float) -> str:
    """Return what a preference rests on, from its p-values with either as the unit."""
    if p_answers >= LEVEL:
        return OPEN
    return SHOWN if p_listeners < LEVEL else RESTS


def won(pair: Pair, method: str) -> bool:
    """Return whether more answers of a pair prefer a method than its rival."""
    first, _, second = pair.percent
    return (pair.first == method and first > second) or (pair.second == method and second > first)
