"""`unmix verdicts`: what the evidence says of the papers' claims, and what has changed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmix.commands import blocks
from unmix.commands.claims import What, asked, origin
from unmix.commands.options import Backend, DataRoot, ProfileName, Seeds, StoreFolder
from unmix.errors import command

if TYPE_CHECKING:
    from unmix.report.changes import Change
    from unmix.verdicts.judge import Verdict

COLOURS: Mapping[str, str] = {
    "reproduced": "green",
    "not reproduced": "red",
    "compatible": "cyan",
    "negligible difference": "blue",
    "inconclusive": "yellow",
    "not assessed": "bright_black",
    "a wider reading": "yellow",
}
"""Colours of outcomes; symbol and words always stand beside them."""

OTHER = "magenta"
"""Colour of outcomes that rest on other material than the paper's dataset."""


def verdicts(
    what: What = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: the verdicts, or with --since the changes.")
    ] = False,
    since: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Only say which outcomes are others than in this verdicts.json."
        ),
    ] = None,
    profile: ProfileName = "quick",
    seeds: Seeds = 0,
    backend: Backend = "unmix",
    store: StoreFolder = None,
    data_root: DataRoot = None,
) -> None:
    """Show which of the papers' claims hold, as far as the evidence goes.

    Each claim has an outcome, an estimate with its 95 % interval over songs and seeds, and the
    numbers of both. Only evidence on a paper's own dataset says "reproduced" or "not reproduced";
    what rests on other material says so before its outcome. The claims of a paper are decided
    together (Holm), at an error of 5 %. Evidence comes from the store and from results/.

    Examples: `unmix verdicts P09` shows one claim whole: what decided it, each comparison, the
    runs, and the command that repeats them. `unmix verdicts --json > verdicts.json` keeps all of
    them; later, `unmix verdicts --since verdicts.json` says which outcomes have changed. The exit
    status is 0 whatever they are.
    """
    from unmix.verdicts.claims import named

    papers, name = named(what)
    before = _before(since, papers if what else (), name) if since else []
    from unmix.report import bearing
    from unmix.report.changes import changes
    from unmix.runs.places import store_folder
    from unmix.runs.store import Store

    choice = {"profile": profile, "data_root": data_root, "seeds": seeds, "backend": backend}
    every = bearing.every(Store(store_folder(store)), papers, **choice)
    found = [each for each in every if name in ("", each.id)]
    if since:
        changed = changes(before, [each.plain() for each in found])
        if as_json:
            plain = [each.plain() for each in changed]
            typer.echo(json.dumps(plain, indent=1, ensure_ascii=False))
        else:
            known = {each["paper"] for each in before}
            told = [each for each in changed if each.before or each.paper in known]
            blocks.say(_changes(told, len(found)))
            if len(told) < len(changed):
                typer.echo(f"{_claims(len(changed) - len(told))} of other papers: not in {since}")
    elif as_json:
        typer.echo(bearing.as_json(found), nl=False)
    else:
        blocks.say(_whole(found[0]) if name else _listed(found))


def _before(since: Path, papers: Sequence[str], name: str) -> list[Mapping[str, Any]]:
    """Return the verdicts of a file on the claims that are asked for; on all without papers."""
    from unmix.report.changes import read

    return [
        each
        for each in read(since)
        if (not papers or each["paper"] in papers) and name in ("", each["id"])
    ]


def _listed(found: Sequence[Verdict]) -> Iterator[str]:
    """Yield a line a claim, by papers, and how many have which outcome."""
    papers = list(dict.fromkeys(each.paper for each in found))
    for paper in papers:
        some = [each for each in found if each.paper == paper]
        yield blocks.styled(paper, bold=True)
        yield from _lines(some)
        yield _counted(some)
        yield ""
    if len(papers) > 1:
        yield f"All papers: {_counted(found)}"
    settled = next((each for each in found if each.comparisons), found[0])
    yield f"One of them whole: {command('verdicts', settled.id)}"


def _lines(some: Sequence[Verdict]) -> list[str]:
    """Return a line a claim; only its end is ever cut."""
    from unmix.report.compared import deciding
    from unmix.report.outcomes import interval, number

    body = [["", "", "estimate [95 %]", "songs × seeds", "it hangs on"]]
    for each in some:
        if each.comparisons:
            estimate = f"{number(each.estimate, signed=True)} {interval(*each.interval)} dB"
            told = str(each.comparisons[deciding(each)]["what"])
            body.append([each.id, _said(each), estimate, f"{each.n_songs} × {each.n_seeds}", told])
        else:
            body.append([each.id, _said(each), "", "", each.why])
    if not any(each.comparisons for each in some):
        body = [[name, outcome, why] for name, outcome, *_, why in body[1:]]

    first = len(body) - len(some)  # the line below the heads

    def paint(row: int, column: int, cell: str) -> str:
        if row < first or column != 1:
            return cell
        return blocks.styled(cell, _colour(some[row - first]))

    return blocks.columns(body, right=(2, 3) if first else (), cut=True, paint=paint)


def _said(verdict: Verdict) -> str:
    """Return an outcome as symbol and words."""
    from unmix.report.outcomes import CLAIMS, parts, said, shown

    return f"{CLAIMS[parts(shown(verdict))[1]].symbol} {said(verdict)}"


def _colour(verdict: Verdict) -> str:
    from unmix.report.outcomes import parts, shown

    material, outcome = parts(shown(verdict))
    return OTHER if material else COLOURS[outcome]


def _counted(some: Sequence[Verdict]) -> str:
    """Return how many claims have which outcome, in words."""
    from collections import Counter

    from unmix.report.outcomes import CLAIMS, parts, shown

    found, order = Counter(map(shown, some)), list(CLAIMS)
    ordered = sorted(found, key=lambda each: (order.index(parts(each)[1]), parts(each)[0]))
    counts = ", ".join(f"{found[outcome]} {outcome}" for outcome in ordered)
    return f"{_claims(len(some))}: {counts}"


def _claims(count: int) -> str:
    return f"{count} claim{'' if count == 1 else 's'}"


def _whole(verdict: Verdict) -> Iterator[str]:
    """Yield the lines of one verdict."""
    from unmix.verdicts.claims import claim as claim_of
    from unmix.verdicts.wording import in_words

    claim = claim_of(verdict.id)
    head = blocks.styled(f"{claim.id} ({claim.paper})", bold=True)
    yield f"{head}  {blocks.styled(_said(verdict), _colour(verdict))}"
    yield from blocks.wrapped(claim.statement)
    yield ""
    told = {"Where": origin(claim), "Rule": in_words(claim), **_told(verdict), "Note": claim.note}
    yield from blocks.entries(told)
    yield from _compared(verdict) if verdict.comparisons else asked(claim)


def _told(verdict: Verdict) -> dict[str, str]:
    """Return what decided a claim, by heads; an empty one is not shown."""
    if not verdict.comparisons:
        return {"Why": verdict.why, "Needs": verdict.needs}
    from unmix.papers.evidence import MATERIAL
    from unmix.report.compared import AXES, deciding
    from unmix.report.outcomes import behind, interval, number, p_value
    from unmix.runs.registry import SHOWN
    from unmix.verdicts.reasons import decibel

    at = verdict.comparisons[deciding(verdict)]
    estimate = f"{number(verdict.estimate, signed=True)} dB {interval(*verdict.interval)}"
    power = "not known: no row was run with a second seed"
    if math.isinf(verdict.detectable):
        power = "none: on so few songs no difference can be told from chance"
    elif not math.isnan(verdict.detectable):
        power = (
            "by itself this comparison would find a true difference of "
            f"{decibel(verdict.detectable)} in four of five cases"
        )
    return {
        "Found": f"{at['what']}: {estimate} ({AXES[at['kind']]}, 95 % over songs and seeds)",
        "From": f"{behind(verdict)}; {MATERIAL[verdict.fidelity]}",
        "Test": f"{p_value(verdict.p)}, with Holm's correction for all claims of the paper",
        "Why": verdict.why,
        "Needs": verdict.needs,
        "Margin": f"{decibel(verdict.margin)} counts as no difference",
        "Power": power,
        "Runs": " ".join(key[:SHOWN] for key in verdict.runs),
        "Again": "; ".join(verdict.commands),
    }


def _compared(verdict: Verdict) -> Iterator[str]:
    """Yield each comparison with the paper's number, ours, and what it says by itself."""
    from unmix.report.compared import lines
    from unmix.verdicts.claims import claim as claim_of

    heads = ["comparison", "paper", "here [95 %]", "p for", "p against", "by itself"]
    body = [
        [each.what, each.paper, each.here, _p(told["p_for"]), _p(told["p_against"]), each.alone]
        for each, told in zip(
            lines(claim_of(verdict.id), verdict), verdict.comparisons, strict=True
        )
    ]
    yield from blocks.table(heads, body)


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.2g}"


def _changes(changed: Sequence[Change], count: int) -> Iterator[str]:
    """Yield a line a change, and how many there are."""
    for each in changed:
        told = f"{each.before} -> {each.now}"
        if not each.before:
            told = f"new, {each.now}"
        elif not each.now:
            told = f"no longer a claim, was {each.before}"
        yield f"{each.id} ({each.paper}): {told}"
    yield f"{_claims(count)}: {f'{len(changed)} changed' if changed else 'no outcome has changed'}"
