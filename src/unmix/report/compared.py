"""The comparisons of a claim as a table with a forest plot, and the published numbers behind it."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unmix.papers.published import Cell, about, cells
from unmix.report import forest
from unmix.report.layout import signed
from unmix.report.outcomes import folded, interval
from unmix.report.tables import number, scrolling, words
from unmix.verdicts.claims import Claim
from unmix.verdicts.panel import LEVEL
from unmix.verdicts.reasons import published
from unmix.verdicts.rules import Comparison, claimed, printed

if TYPE_CHECKING:
    from unmix.verdicts.judge import Verdict

FEW = 6
"""More lines than this are folded."""

AXES: Mapping[str, str] = {
    "greater": "first minus second",
    "equal": "first minus second",
    "difference": "first minus second",
    "value": "mean minus the published mean",
    "above": "mean minus the limit",
    "below": "limit minus the mean",
    "trend": "slope a step",
    "peak": "lead over the best of the others",
}
"""What lies on the axis, by kind of comparison."""


NUMBERS = ("estimate", "low", "high")
"""Of a comparison, as a verdict tells it."""


@dataclass(frozen=True)
class Line:
    """One comparison as it is shown.

    Attributes:
        what: it in words.
        mark: what is drawn.
        paper, here: the numbers as they are printed, the second with its interval.
        alone: what it says by itself, before the claims of the paper are weighed together.
        songs, seeds: behind it; 0 without evidence.
    """

    what: str
    mark: forest.Mark
    paper: str
    here: str
    alone: str
    songs: int
    seeds: int


def lines(claim: Claim, verdict: Verdict) -> list[Line]:
    """Return the comparisons of a claim, with the evidence of its verdict if there is any."""
    compared = claim.comparisons
    told: Sequence[Mapping[str, Any]] = verdict.comparisons or [{}] * len(compared)
    return [
        _line(claim.paper, each, one, verdict.margin)
        for each, one in zip(compared, told, strict=True)
    ]


def _line(paper: str, each: Comparison, told: Mapping[str, Any], margin: float) -> Line:
    estimate, low, high = (float(told.get(name, math.nan)) for name in NUMBERS)
    there = _on_axis(paper, each)
    mark = forest.Mark(there, estimate, low, high, _band(paper, each, margin))
    text = number(there, signed=True)
    here = f"{number(estimate, signed=True)} {interval(low, high)}" if told else ""
    if each.kind in ("value", "above", "below"):
        # A reader knows the score itself; what is drawn is its distance to a number.
        cell = printed(paper, each.places[0])
        text = signed(cell.text) if cell else "–"
        centre = claimed(paper, each)
        ends = sorted(centre + each.sign * value for value in (low, high))
        mean = number(centre + each.sign * estimate)
        here = f"{mean} [{number(ends[0])}, {number(ends[1])}]" if told else ""
    return Line(
        what=words(each.label),
        mark=mark,
        paper=text,
        here=here,
        alone=alone(told) if told else "",
        songs=int(told.get("songs", 0)),
        seeds=int(told.get("seeds", 0)),
    )


def _on_axis(paper: str, each: Comparison) -> float:
    """Return where the paper's number stands on the axis of a comparison."""
    there = published(paper, each)
    if each.kind in ("value", "above", "below"):
        return each.sign * (there - claimed(paper, each))
    return there


def _band(paper: str, each: Comparison, margin: float) -> tuple[float, float]:
    """Return the stretch of the axis that counts as no difference, or as met."""
    if each.kind in ("above", "below", "peak") or not margin > 0.0:
        return math.nan, math.nan
    if each.kind == "trend":
        return -margin / (len(each.places) - 1), margin / (len(each.places) - 1)
    centre = claimed(paper, each) if each.kind == "difference" else 0.0
    return centre - margin, centre + margin


def alone(told: Mapping[str, Any]) -> str:
    """Return what one comparison says by itself, at the level before any correction."""
    if told["p_negligible"] <= LEVEL / 2.0:
        return "negligible"
    if told["p_for"] <= LEVEL / 2.0:
        return "holds"
    return "speaks against" if told["p_against"] <= LEVEL / 2.0 else "open"


def deciding(verdict: Verdict) -> int:
    """Return which comparison the verdict's own numbers are those of."""
    for at, told in enumerate(verdict.comparisons):
        if (told["estimate"], told["low"], told["high"]) == (verdict.estimate, *verdict.interval):
            return at
    return 0


def table(claim: Claim, verdict: Verdict, material: str) -> str:
    """Return the comparisons as HTML: those without evidence folded, and long lists too.

    Args:
        claim: the claim.
        verdict: on it.
        material: on what the evidence was made, in words.
    """
    every = lines(claim, verdict)
    if not every:
        return ""
    kind = claim.comparisons[0].kind
    if not verdict.comparisons:
        body = "".join(
            f'<tr><th scope="row">{html.escape(each.what)}</th>'
            f'<td class="num">{each.paper}</td></tr>'
            for each in every
        )
        head = '<tr><th scope="col">comparison</th><th scope="col" class="num">paper</th></tr>'
        return folded(_asked(every), scrolling(head, body, f"{_axis(kind, every)}."))
    scale = forest.axis(each.mark for each in every)
    band = "counts as met" if kind in ("value", "difference") else "counts as no difference"
    legend = forest.key([each.mark for each in every], band)
    caption = f"{_axis(kind, every)}; {material}."
    if len(every) <= FEW:
        return _plotted(every, scale, caption) + legend
    first = every[deciding(verdict)]
    whole = _plotted(every, scale, caption)
    return (
        _plotted([first], scale, f"The comparison on which the claim hangs. {caption}")
        + legend
        + folded(f"All {len(every)} comparisons", whole)
    )


def _asked(every: Sequence[Line]) -> str:
    return "What is compared" + (f": {len(every)} comparisons" if len(every) > 1 else "")


def _axis(kind: str, every: Sequence[Line]) -> str:
    unit = "" if any("preference" in each.what for each in every) else ", in dB"
    return f"{AXES[kind][0].upper()}{AXES[kind][1:]}{unit}"


def _plotted(some: Sequence[Line], scale: forest.Axis, caption: str) -> str:
    names = ["paper", "here [95 %]", "by itself", "songs × seeds"]
    head = (
        '<tr><th scope="col">comparison</th>'
        f'<th scope="col" class="forest-cell"><span class="unmix-hidden">plot</span>'
        f"{forest.head(scale)}</th>"
        + "".join(f'<th scope="col">{name}</th>' for name in names)
        + "</tr>"
    )
    body = "".join(
        f'<tr><th scope="row">{html.escape(each.what)}</th>'
        f'<td class="forest-cell">{forest.line(each.mark, scale)}</td>'
        f"<td>{each.paper}</td><td>{each.here}</td><td>{each.alone}</td>"
        f"<td>{each.songs} × {each.seeds}</td></tr>"
        for each in some
    )
    return f'<div class="unmix-forest">{scrolling(head, body, caption)}</div>'


def numbers(claim: Claim) -> str:
    """Return the published numbers that a claim rests on, by rows and metrics; long ones folded."""
    found: dict[str, list[Cell]] = {}
    for entry in claim.cells:
        of_table = found.setdefault(entry["table"], [])
        chosen = cells(claim.paper, entry["table"], entry.get("where"), entry["metric"])
        of_table += [cell for cell in chosen if cell not in of_table]
    markup = "".join(_pivot(claim.paper, name, some) for name, some in found.items())
    count = sum(map(len, found.values()))
    rows = sum(len({cell.row for cell in some}) for some in found.values())
    if rows <= FEW:
        return markup
    return folded(f"The {count} published numbers that it rests on", markup)


def _pivot(paper: str, name: str, some: Sequence[Cell]) -> str:
    """Return cells of one table with a line a row and a column a metric."""
    known = {each.name: each for each in about(paper).tables}
    caption = f"{known[name].place}: {known[name].title}" if name in known else "Running text"
    rows = dict.fromkeys(cell.row for cell in some)
    if name not in known:
        body = [
            f'<tr><th scope="row">{html.escape(cell.row)}</th>'
            f'<td class="num">{signed(cell.text)} {html.escape(cell.metric)}</td></tr>'
            for cell in some
        ]
        return _small(
            '<tr><th scope="col">number</th><th scope="col" class="num">value</th></tr>',
            body,
            caption,
        )
    metrics = dict.fromkeys(cell.metric for cell in some)
    at: dict[tuple[str, str], Cell] = {(cell.row, cell.metric): cell for cell in some}
    body = [
        f'<tr><th scope="row">{html.escape(words(row))}</th>{_numbers(at, row, metrics)}</tr>'
        for row in rows
    ]
    units = {metric: known[name].unit_of(metric) for metric in metrics}
    head = "".join(
        f'<th scope="col" class="num">{html.escape(_headed(metric, units[metric]))}</th>'
        for metric in metrics
    )
    keys = html.escape(", ".join(some[0].keys))
    return _small(f'<tr><th scope="col">{keys}</th>{head}</tr>', body, caption)


def _headed(metric: str, unit: str) -> str:
    return metric if unit in ("", metric) else f"{metric} ({unit})"


def _numbers(at: Mapping[tuple[str, str], Cell], row: str, metrics: Iterable[str]) -> str:
    found = (at.get((row, metric)) for metric in metrics)
    return "".join(f'<td class="num">{signed(cell.text) if cell else ""}</td>' for cell in found)


def _small(head: str, body: Sequence[str], caption: str) -> str:
    return f'<div class="unmix-printed">{scrolling(head, "".join(body), caption)}</div>'
