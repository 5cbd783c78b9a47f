"""`unmix audit`: hold a paper's numbers against each other and against its text."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unmix.verdicts.audit import Finding

WIDTH = 100


def audit(
    paper: Annotated[str, typer.Argument(help="A paper, e.g. parwal; without it all.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print all findings as JSON.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the numbers of every finding.")
    ] = False,
) -> None:
    """Show whether a paper's own numbers agree with each other and with its text.

    Nothing is trained: each finding is computed from the printed numbers, with the tolerance that
    their rounding asks for. A disagreement is shown with its numbers, says whether it rests on a
    single digit (then it may be a misprint), and what would explain it. "Possible" means that the
    numbers do not exclude it. "A stricter reading" takes a sentence to say more than it need mean,
    and fails; it is no disagreement of the paper's. Findings of one check that agree share a line,
    unless --verbose.
    """
    from unmix.papers.published import PUBLISHED
    from unmix.verdicts import audit as auditing

    findings = {name: auditing.audit(name) for name in ([paper] if paper else PUBLISHED)}
    if as_json:
        lines = [json.dumps(each.plain(), ensure_ascii=False) for name in findings
                 for each in findings[name]]  # fmt: skip
        typer.echo("[\n" + ",\n".join(lines) + "\n]")
        return
    for number, (name, found) in enumerate(findings.items()):
        if number:
            typer.echo()
        for line in shown(name, found, verbose):
            typer.echo(line)


def shown(name: str, findings: Sequence[Finding], verbose: bool) -> Iterator[str]:
    """Yield the lines of a paper's findings."""
    from unmix.verdicts.checks.groups import STRICTER, counted

    said = [each.said for each in findings]
    strict = said.count(STRICTER)
    apart = f"; {strict} stricter reading{'s' if strict > 1 else ''} apart" if strict else ""
    yield f"{name}: {len(findings)} findings: {counted(said)}{apart}"
    for group in _grouped(findings, verbose):
        first = group[0]
        where = first.where if len(group) == 1 else f"{len(group)} groups"
        yield f"  {first.said:<18}  {first.id:<6}  {where}"
        if verbose or first.outcome == "disagrees":
            yield from _details(first)


def _grouped(findings: Sequence[Finding], verbose: bool) -> Iterator[list[Finding]]:
    """Yield findings one by one; those of one check that do not disagree together."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for each in findings:
        alone = verbose or each.outcome == "disagrees"
        key = (each.id, each.outcome, each.where) if alone else (each.id, each.outcome)
        groups.setdefault(key, []).append(each)
    for group in groups.values():
        if verbose or group[0].outcome == "disagrees":
            yield from ([each] for each in group)
        else:
            yield group


def _details(finding: Finding) -> Iterator[str]:
    """Yield the lines below a finding: its numbers and what they mean."""
    tolerance = "" if finding.tolerance is None else f", tolerance {_number(finding.tolerance)}"
    yield from _wrapped(f"{finding.says} ({finding.place})")
    numbers = f"computed {_number(finding.computed)}, expected {_number(finding.expected)}"
    yield from _wrapped(numbers + tolerance)
    if finding.rests_on:
        yield from _wrapped(f"rests on {finding.rests_on}")
    if finding.explanation:
        yield from _wrapped(finding.explanation)


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
