"""Numbers that are known up to the rounding of their printed digits.

A printed 7.13 stands for anything from 7.125 to 7.135. Formulas are evaluated on such intervals, so
that a check's tolerance is what rounding can do to its formula, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

EPSILON = 1e-9
"""What floating-point arithmetic may do to a number that stands exactly on a limit."""


@dataclass(frozen=True)
class Approx:
    """A number as printed, and the interval in which it may lie.

    Attributes:
        value: as printed, or as computed from what is printed.
        low, high: ends of the interval; infinite if the number counts as unknown.
    """

    value: float
    low: float
    high: float

    @property
    def tolerance(self) -> float:
        """Return half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def unknown(self) -> bool:
        """Return whether an end of the interval is infinite."""
        return math.isinf(self.low) or math.isinf(self.high)


def exact(value: float) -> Approx:
    """Return a number without rounding."""
    return Approx(value, value, value)


def rounded(value: float, half: float) -> Approx:
    """Return a number that was rounded by at most `half`."""
    return Approx(value, value - half, value + half)


def meet(one: Approx, other: Approx, slack: float = 0.0) -> bool:
    """Return whether two numbers can be the same.

    Two intervals must share more than an end (7.13 and 7.14 are different numbers), but an exact
    number may lie on the end of an interval. What is not defined is the same as nothing.
    """
    if math.isnan(one.value) or math.isnan(other.value):
        return False
    shared = min(one.high, other.high) - max(one.low, other.low) + slack
    point = min(one.tolerance, other.tolerance) + slack <= EPSILON
    return shared >= -EPSILON if point or slack else shared > EPSILON


def increasing(formula: Callable[..., float], *numbers: Approx) -> Approx:
    """Return a formula that rises with each of its arguments, on intervals."""
    ends = zip(*((each.value, each.low, each.high) for each in numbers), strict=True)
    return Approx(*(formula(*arguments) for arguments in ends))


def total(numbers: Sequence[Approx]) -> Approx:
    """Return the sum."""
    return increasing(lambda *each: math.fsum(each), *numbers)


def negative(number: Approx) -> Approx:
    """Return the number with its sign turned."""
    return Approx(-number.value, -number.high, -number.low)


def difference(first: Approx, second: Approx) -> Approx:
    """Return first minus second."""
    return total((first, negative(second)))


def mean(numbers: Sequence[Approx], weights: Sequence[float] | None = None) -> Approx:
    """Return the mean, weighted if there are weights (which are positive and exact)."""
    by = [1.0] * len(numbers) if weights is None else list(weights)
    return increasing(
        lambda *each: math.fsum(w * x for w, x in zip(by, each, strict=True)) / math.fsum(by),
        *numbers,
    )


def product(numbers: Sequence[Approx]) -> Approx:
    """Return the product."""
    result = exact(1.0)
    for each in numbers:
        result = _corners(result, each, lambda x, y: x * y)
    return result


def ratio(first: Approx, second: Approx) -> Approx:
    """Return first by second; unknown where the second may be zero."""
    if second.low <= 0 <= second.high:
        value = first.value / second.value if second.value else math.nan
        return Approx(value, -math.inf, math.inf)
    return _corners(first, second, lambda x, y: x / y)


def power(base: Approx, exponent: Approx) -> Approx:
    """Return a positive base to an exponent; unknown where the base may not be positive."""
    if base.low <= 0 or base.unknown or exponent.unknown:
        value = base.value**exponent.value if base.value > 0 else math.nan
        return Approx(value, -math.inf, math.inf)
    return _corners(base, exponent, lambda x, y: x**y)


def absolute(number: Approx) -> Approx:
    """Return the number without its sign."""
    if number.low >= 0:
        return number
    if number.high <= 0:
        return negative(number)
    return Approx(abs(number.value), 0.0, max(-number.low, number.high))


def floor(number: Approx) -> Approx:
    """Return the number without what is behind its point (the next whole number below)."""
    if number.unknown or math.isnan(number.value):
        return number
    return increasing(lambda x: float(math.floor(x + EPSILON)), number)


def least(numbers: Sequence[Approx]) -> Approx:
    """Return the smallest."""
    return increasing(min, *numbers) if len(numbers) > 1 else numbers[0]


def most(numbers: Sequence[Approx]) -> Approx:
    """Return the largest."""
    return increasing(max, *numbers) if len(numbers) > 1 else numbers[0]


def _corners(one: Approx, other: Approx, formula: Callable[[float, float], float]) -> Approx:
    """Return a formula that is monotone in each argument, by the corners of both intervals."""
    if one.unknown or other.unknown:
        return Approx(formula(one.value, other.value), -math.inf, math.inf)
    corners = [formula(x, y) for x in (one.low, one.high) for y in (other.low, other.high)]
    return Approx(formula(one.value, other.value), min(corners), max(corners))
