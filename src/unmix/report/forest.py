"""Forest plots: published value, estimate and interval of many comparisons on one axis.

Each comparison is a small picture of its own, a line of a table, so that labels and numbers stay
text that can be read, enlarged and searched. Colours come from the book's style; each mark has a
shape of its own as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unmix.report.tables import number

WIDTH, HEIGHT, HEAD = 190, 20, 16
"""Size in pixels of a line's picture, and the height of the axis above them."""

MIDDLE = HEIGHT / 2

EDGE = 14
"""Pixels to the left and right of the axis, for marks and for the labels of ticks."""


@dataclass(frozen=True)
class Mark:
    """What is drawn of one comparison; all numbers in dB, nan where there is none.

    Attributes:
        published: the paper's.
        here: our estimate.
        low, high: ends of its interval.
        band: ends of the stretch that counts as no difference (or as met).
    """

    published: float
    here: float
    low: float
    high: float
    band: tuple[float, float] = (math.nan, math.nan)

    @property
    def numbers(self) -> tuple[float, ...]:
        """Return all that must find room on the axis."""
        every = self.published, self.here, self.low, self.high, *self.band
        return tuple(value for value in every if math.isfinite(value))


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers that holds zero, and where its ticks are."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def x(self, value: float) -> float:
        """Return where a number stands, in pixels from the left."""
        share = (value - self.low) / (self.high - self.low)
        return round(EDGE + share * (WIDTH - 2 * EDGE), 1)


def axis(marks: Iterable[Mark], most: int = 5) -> Axis:
    """Return an axis with room for all marks and zero, with at most `most` ticks at round steps."""
    found = [0.0, *(value for mark in marks for value in mark.numbers)]
    low, high = min(found), max(found)
    if high == low:
        low, high = -1.0, 1.0
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    # At most ten such steps lie between two ticks, so one of these is wide enough.
    step = next(
        step * factor
        for factor in (1, 2, 5, 10, 20)
        if math.floor(high / (step * factor)) - math.ceil(low / (step * factor)) < most
    )
    first, last = math.ceil(low / step), math.floor(high / step)
    return Axis(low, high, tuple(place * step for place in range(first, last + 1)))


def head(scale: Axis) -> str:
    """Return the picture of the axis with its ticks; readers of the numbers need it not."""
    digits = max(0, -math.floor(math.log10(scale.ticks[1] - scale.ticks[0]) + 1e-9))
    ticks = "".join(
        f'<text x="{scale.x(tick)}" y="{HEAD - 5}" text-anchor="middle" font-size="10" '
        f'fill="currentColor">{f"{tick + 0.0:.{digits}f}".replace("-", "−")}</text>'
        f'<line x1="{scale.x(tick)}" x2="{scale.x(tick)}" y1="{HEAD - 3}" y2="{HEAD}" '
        'stroke="currentColor"/>'
        for tick in scale.ticks
    )
    return _svg(ticks, HEAD, 'aria-hidden="true"')


def line(mark: Mark, scale: Axis, unit: str = "dB") -> str:
    """Return the picture of one comparison, with its numbers in words."""
    zero = scale.x(0.0)
    zero_line = (
        f'<line x1="{zero}" x2="{zero}" y1="0" y2="{HEIGHT}" stroke="currentColor" '
        'stroke-opacity="0.5"/>'
    )
    inner = _band(mark, scale) + zero_line + _here(mark, scale) + _paper(mark, scale)
    return _svg(inner, HEIGHT, f'role="img" aria-label="{words(mark, unit)}"')


def _band(mark: Mark, scale: Axis) -> str:
    if not all(map(math.isfinite, mark.band)):
        return ""
    left, right = map(scale.x, mark.band)
    return (
        f'<rect x="{left}" y="0" width="{max(right - left, 1.0):.1f}" height="{HEIGHT}" '
        'fill="#7f7f7f" fill-opacity="0.28"/>'
    )


def _here(mark: Mark, scale: Axis) -> str:
    drawn = ""
    if math.isfinite(mark.low) and math.isfinite(mark.high):
        drawn += (
            f'<path d="M{scale.x(mark.low)} {MIDDLE - 4}v8m0 -4H{scale.x(mark.high)}m0 -4v8" '
            'stroke-width="2" fill="none"/>'
        )
    if math.isfinite(mark.here):
        drawn += f'<circle cx="{scale.x(mark.here)}" cy="{MIDDLE}" r="3.5"/>'
    return f'<g class="forest-here" fill="#0072b2" stroke="#0072b2">{drawn}</g>' if drawn else ""


def _paper(mark: Mark, scale: Axis) -> str:
    if not math.isfinite(mark.published):
        return ""
    return (
        f'<path class="forest-paper" d="M{scale.x(mark.published)} {MIDDLE - 6}l5 6l-5 6l-5 -6z" '
        'stroke="#b35900" stroke-width="1.8" fill="none"/>'
    )


def words(mark: Mark, unit: str = "dB") -> str:
    """Return what a picture shows, for whoever does not see it."""
    told = []
    if math.isfinite(mark.published):
        told.append(f"paper {number(mark.published, signed=True)} {unit}")
    if math.isfinite(mark.here):
        told.append(f"here {number(mark.here, signed=True)} {unit}")
    if math.isfinite(mark.low) and math.isfinite(mark.high):
        ends = number(mark.low, signed=True), number(mark.high, signed=True)
        told.append(f"95 % interval {ends[0]} to {ends[1]}")
    if all(map(math.isfinite, mark.band)):
        ends = number(mark.band[0], signed=True), number(mark.band[1], signed=True)
        told.append(f"margin {ends[0]} to {ends[1]}")
    return ", ".join(told) or "no numbers"


def key(marks: Sequence[Mark], band: str) -> str:
    """Return what the marks mean, in words beside each, as far as they occur.

    Args:
        marks: all that are drawn.
        band: what the grey stretch is, in words.
    """
    none, small = math.nan, Axis(-1.0, 1.0, ())
    samples = (
        (_here(Mark(none, 0.0, -0.12, 0.12), small), "here, with its 95 % interval", "here"),
        (_paper(Mark(0.0, none, none, none), small), "paper", "published"),
        (_band(Mark(none, none, none, none, (-0.1, 0.1)), small), band, "band"),
    )
    there = {
        "here": any(math.isfinite(mark.here) for mark in marks),
        "published": any(math.isfinite(mark.published) for mark in marks),
        "band": any(math.isfinite(mark.band[0]) for mark in marks),
    }
    entries = [
        f'<span><svg width="32" height="{HEIGHT}" viewBox="{WIDTH / 2 - 16} 0 32 {HEIGHT}" '
        f'aria-hidden="true">{drawn}</svg> {said}</span>'
        for drawn, said, name in samples
        if there[name]
    ]
    return f'<p class="forest-key">{" ".join(entries)}</p>'


def _svg(inner: str, height: int, role: str) -> str:
    return (
        f'<svg class="forest" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" {role}>{inner}</svg>'
    )
