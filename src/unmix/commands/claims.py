"""`unmix claims`: what the papers say, and the rule that decides each statement."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from unmix.commands import blocks
from unmix.errors import command

if TYPE_CHECKING:
    from unmix.verdicts.claims import Claim

What = Annotated[
    str,
    typer.Argument(
        metavar="PAPER|CLAIM", help="A paper, or a claim such as P09; without it all papers."
    ),
]


def claims(
    what: What = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the claims as JSON.")] = False,
) -> None:
    """List what the papers claim: statement, rule that decides it, and what tests it.

    "Stated" is what the text says; "read off" is what only the numbers show. In a rule, A > B
    means that A scores higher than B; A|B means both, each by itself. A claim's id shows it whole:
    the published numbers that it rests on, and each comparison.

    Examples: `unmix claims parwal`, `unmix claims P09`. What the evidence says of them:
    `unmix verdicts`.
    """
    from unmix.verdicts.claims import claims as claims_of
    from unmix.verdicts.claims import named
    from unmix.verdicts.wording import in_words

    papers, name = named(what)
    chosen = [each for paper in papers for each in claims_of(paper) if name in ("", each.id)]
    if as_json:
        plain = [{**each.plain(), "in_words": in_words(each)} for each in chosen]
        typer.echo(json.dumps(plain, indent=1, ensure_ascii=False))
    elif name:
        blocks.say(_whole(chosen[0]))
    else:
        blocks.say(_listed(chosen))


def _listed(chosen: Sequence[Claim]) -> Iterator[str]:
    """Yield the lines of a list of claims, by papers."""
    from unmix.papers.published import about
    from unmix.verdicts.wording import in_words

    for paper in dict.fromkeys(each.paper for each in chosen):
        some = [each for each in chosen if each.paper == paper]
        yield blocks.styled(f"{paper}: {about(paper).title} ({len(some)} claims)", bold=True)
        for each in some:
            yield ""
            yield f"{each.id:<6}{origin(each)}"
            for line in (each.statement, f"Rule: {in_words(each)}.", f"Test: {_tested(each)}."):
                yield from blocks.wrapped(line, 6)
        yield ""
    tested = sum(each.experiment is not None for each in chosen)
    yield f"{len(chosen)} claims, {tested} of them with an experiment to test them."
    yield f"One of them whole: {command('claims', chosen[0].id)}"
    yield f"What the evidence says: {command('verdicts', *dict.fromkeys(_only(chosen)))}"


def _only(chosen: Sequence[Claim]) -> list[str]:
    """Return the paper of all claims; nothing if there are several."""
    papers = {each.paper for each in chosen}
    return list(papers) if len(papers) == 1 else []


def origin(claim: Claim) -> str:
    """Return kind, origin and place of a claim."""
    said = "stated" if claim.stated else "read off the numbers"
    return f"{claim.kind}, {said}, {claim.place}"


def _tested(claim: Claim) -> str:
    """Return what tests a claim, or why nothing does."""
    from unmix.papers.experiment import PAPERS

    if claim.experiment:
        later = "" if claim.paper in PAPERS else ", which is not here yet"
        told = f"the experiment {claim.paper}/{claim.experiment}{later}"
    else:
        told = "no experiment"
    return f"{told}. {claim.without.rstrip('.')}" if claim.without else told


def _whole(claim: Claim) -> Iterator[str]:
    """Yield the lines of one claim."""
    from unmix.papers.published import SCHOOLING
    from unmix.verdicts.claims import margin
    from unmix.verdicts.wording import in_words, unit

    yield blocks.styled(f"{claim.id} ({claim.paper})", bold=True)
    yield from blocks.wrapped(claim.statement)
    yield ""
    size = ""
    metrics = {place.metric for each in claim.comparisons for place in each.places}
    if metrics - set(SCHOOLING):
        given = "" if claim.margin is not None else ": half the smallest gap, 0.5 dB at most"
        size = f"{margin(claim):g} {unit(claim)} counts as no difference{given}"
    yield from blocks.entries(
        {
            "Where": origin(claim),
            "Rule": in_words(claim),
            "Test": _tested(claim),
            "Margin": size,
            "Numbers": f"{claim.aggregation}; unit of the statistics: {claim.unit}",
            "Note": claim.note,
        }
    )
    yield from _printed(claim)
    yield from asked(claim)
    yield ""
    yield f"What the evidence says: {command('verdicts', claim.id)}"


def _printed(claim: Claim) -> Iterator[str]:
    """Yield the published numbers that a claim rests on: a line a row, a column a metric."""
    from unmix.report.layout import signed

    numbers = claim.published
    for name in dict.fromkeys(cell.table for cell in numbers):
        some = [cell for cell in numbers if cell.table == name]
        metrics = list(dict.fromkeys(cell.metric for cell in some))
        at = {(cell.row, cell.metric): signed(cell.text) for cell in some}
        body = [
            [row, *(at.get((row, metric), "") for metric in metrics)]
            for row in dict.fromkeys(cell.row for cell in some)
        ]
        yield from blocks.table([f"published: {name}", *metrics], body)


def asked(claim: Claim) -> Iterator[str]:
    """Yield what a claim compares, each with what the paper has for it."""
    from unmix.verdicts.rules import claimed

    def size(value: float) -> str:
        if math.isnan(value):
            return "–"
        return (f"{value:+.2f}" if abs(value) < 100 else f"{value:+g}").replace("-", "−")

    body = [[each.label, size(claimed(claim.paper, each))] for each in claim.comparisons]
    yield from blocks.table(["what it compares", "paper"], body)
