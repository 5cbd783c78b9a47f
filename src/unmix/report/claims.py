"""A paper's claims as a page: what it says, what is published, what we find, and how to repeat it.

Each claim has a section of its own, which other pages lead to.
"""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from unmix.errors import command
from unmix.papers.evidence import MATERIAL, Evidence, offers
from unmix.papers.experiment import DEFAULT_PROFILE, PAPERS
from unmix.papers.published import about
from unmix.report import audits, compared, outcomes
from unmix.report.bearing import bearing
from unmix.report.tables import Shown, number, scrolling
from unmix.runs.places import store_folder
from unmix.runs.store import Store
from unmix.verdicts import decide
from unmix.verdicts.audit import Finding, audit, together
from unmix.verdicts.claims import Claim, claims, dropped
from unmix.verdicts.judge import Verdict
from unmix.verdicts.wording import in_words

if TYPE_CHECKING:
    from unmix.report.behind import Panels

RULES = "../../book/reading.html#verdict-rules"


def anchor(name: str) -> str:
    """Return the place of a claim on its paper's page."""
    return f"claim-{name.lower()}"


def address(claim: Claim, start: str = "") -> str:
    """Return where a claim's section is.

    Args:
        claim: the claim.
        start: way from the page to the folder of the paper's pages, such as `../parwal/`.
    """
    return f"{start}claims.html#{anchor(claim.id)}"


class Claims:
    """The claims of one paper under one set of notebook parameters."""

    def __init__(
        self,
        paper: str,
        *,
        profile: str = DEFAULT_PROFILE,
        data_root: str | os.PathLike = "",
        store: str | os.PathLike = "",
        seeds: int = 0,
        backend: str = "unmix",
    ) -> None:
        """Take the parameters of a notebook; empty ones mean the defaults of `unmix verdicts`.

        Raises:
            SpecError: there is no such paper.
        """
        self.paper, self.about, self.claims = paper, about(paper), claims(paper)
        self.given = {"store": store or None, "data_root": data_root or None}
        self.store = Store(store_folder(store))
        self.profile, self.data_root = profile, data_root or None
        self.seeds, self.backend = seeds, backend
        self._offers: dict[str, list[list[Evidence]]] = {}

    @cached_property
    def panels(self) -> Panels:
        """Return the panels of runs of this page."""
        # It brings torch and matplotlib along, which a page without runs can do without.
        from unmix.report.behind import Panels

        return Panels()

    @cached_property
    def findings(self) -> Mapping[str, Sequence[Finding]]:
        """Return what the audit of the paper finds, by entry or claim."""
        found: dict[str, list[Finding]] = {}
        for each in audit(self.paper):
            found.setdefault(each.id, []).append(each)
        return found

    @cached_property
    def verdicts(self) -> Mapping[str, Verdict]:
        """Return the verdict on each claim, by the claim's name."""
        found = bearing(
            self.paper, self.store, self.profile, self.data_root, self.seeds, self.backend
        )
        return {each.id: each for each in found}

    def overview(self) -> Shown:
        """Return how many claims have which outcome, and a tile for each that leads to it."""
        found = self.verdicts
        counts = outcomes.counted(map(outcomes.shown, found.values()), outcomes.CLAIMS)
        line = outcomes.summary(f"{len(found)} claims", counts)
        tiles = "".join(
            outcomes.tile(claim, found[claim.id], address(claim)) for claim in self.claims
        )
        text = "\n".join(f"{each.id}: {outcomes.said(each)}" for each in found.values())
        return Shown(f'{self._waiting()}{line}<ul class="outcome-tiles">{tiles}</ul>', text)

    def _waiting(self) -> str:
        """Return what a reader must know first where a paper has no experiments yet."""
        if self.paper in PAPERS:
            return ""
        return (
            f"<p><b>The reproduction of <code>{self.paper}</code> is not there yet.</b> None of "
            "its experiments can be run so far, so no claim that needs evidence is assessed. What "
            "the paper's own numbers say of each other needs none: see "
            '<a href="numbers.html">what the paper prints</a>.</p>'
        )

    def sections(self) -> Shown:
        """Return a section for each claim, and what was left out."""
        shown = Shown("")
        for claim in self.claims:
            shown = shown + self.section(claim)
        return shown + self._dropped()

    def section(self, claim: Claim) -> Shown:
        """Return all that is known of a claim."""
        verdict, name = self.verdicts[claim.id], anchor(claim.id)
        origin = "stated in the text" if claim.stated else "read off the numbers"
        head = (
            f'<h3 id="{name}-name">{claim.id} '
            f"{outcomes.badge(outcomes.shown(verdict), outcomes.said(verdict))}"
            f'<a class="headerlink" href="#{name}" aria-label="Link to {claim.id}">#</a></h3>'
            f'<p class="claim-statement">{html.escape(claim.statement)}</p>'
            f'<p class="unmix-provenance">{html.escape(claim.place)} · {claim.kind} · {origin}</p>'
        )
        note = f'<p class="claim-note">{html.escape(claim.note)}</p>' if claim.note else ""
        start = f'<section class="unmix-claim" id="{name}" aria-labelledby="{name}-name">'
        text = f"{claim.id}: {outcomes.said(verdict)}. {claim.statement}"
        body = Shown(f"{start}{head}{compared.numbers(claim)}", text)
        below = self._compared(claim, verdict) if verdict.comparisons else self._why(claim, verdict)
        own = self.audited(claim)
        return body + below + Shown(f"{f'<p>{own}</p>' if own else ''}{note}</section>")

    def _why(self, claim: Claim, verdict: Verdict) -> Shown:
        """Return why a claim is not assessed, and what would have to be compared."""
        if claim.rule["test"] == "audit":
            return Shown("<p>The paper's own numbers answer it, without any run.</p>")
        told = f"<p><b>Not assessed:</b> {outcomes.sentence(verdict.why)}{_needs(verdict)}</p>"
        if claim.comparisons:
            rule = f'<a href="{RULES}">Rule</a>: {html.escape(in_words(claim))}.'
            told += f"<p>{rule}</p>{compared.table(claim, verdict, '')}"
        return Shown(told)

    def audited(self, claim: Claim, start: str = "") -> str:
        """Return what the paper's own numbers say of a claim; empty if the audit is silent on it.

        The places that it leads to are those of `audits.anchor`.

        Args:
            claim: the claim.
            start: see `address`.
        """
        told = []
        for name in [claim.id, *claim.rule.get("checks", ())]:
            if some := self.findings.get(name):
                one = len(some) == 1
                what = "the sentence" if name == claim.id else html.escape(name)
                computed = f" ({html.escape(audits.value(some[0].computed))})" if one else ""
                told.append(
                    f'<a href="{start}numbers.html#finding-{name.lower()}">{what}</a> '
                    f"{outcomes.badge(together(some))}{computed}"
                )
        return f"By the paper's own numbers: {'; '.join(told)}." if told else ""

    def _compared(self, claim: Claim, verdict: Verdict) -> Shown:
        """Return the comparisons of a claim, what they say, and the runs behind them."""
        table = compared.table(claim, verdict, MATERIAL[verdict.fidelity])
        words = _statistics(claim, verdict)
        again = [*verdict.commands, command("verdicts", claim.id, **self.given)]
        code = " and then ".join(f"<code>{html.escape(each)}</code>" for each in again)
        repeat = f'<p class="claim-repeat">To repeat: {code}.</p>'
        rows = self._evidence(claim, verdict)
        what, name = f"the comparisons of {claim.id}", f"{self.paper}-{claim.id}"
        runs = self.panels.behind(what, name, rows, "; ".join(again))
        return Shown(f"{table}{words}") + runs + Shown(repeat)

    def _evidence(self, claim: Claim, verdict: Verdict) -> list[Evidence]:
        """Return the rows behind a verdict, each with its runs."""
        found: dict[tuple[str, ...], Evidence] = {}
        for place in (place for each in claim.comparisons for place in each.places):
            if place.table not in self._offers:
                self._offers[place.table] = offers(
                    self.paper,
                    place.table,
                    self.store,
                    profile_name=self.profile,
                    data_root=self.data_root,
                    seeds=self.seeds,
                    backend=self.backend,
                )
            for item in (item for of_row in self._offers[place.table] for item in of_row):
                keys = {run.key for run in item.runs}
                if dict(item.row.keys) == place.row and keys and keys <= set(verdict.runs):
                    found.setdefault((place.table, *item.row.keys.values()), item)
        return list(found.values())

    def _dropped(self) -> Shown:
        """Return what was considered and left out, each with the reason."""
        left = dropped(self.paper)
        if not left:
            return Shown("")
        items = "".join(f"<dt>{name}</dt><dd>{html.escape(why)}</dd>" for name, why in left.items())
        inner = f'<dl class="unmix-facts">{items}</dl>'
        return Shown(outcomes.folded("Statements that were considered and left out", inner))

    def of_table(self, name: str) -> Shown:
        """Return the claims that a table bears, each with its outcome and a link to its section."""
        some = [claim for claim in self.claims if name in _tables(claim)]
        if not some:
            return Shown("<p>No claim rests on this table.</p>", "no claim rests on this table")
        body, text = [], []
        for claim in some:
            verdict = self.verdicts[claim.id]
            told, said = outcomes.estimate(verdict), outcomes.said(verdict)
            if claim.rule["test"] == "audit":
                told = self.audited(claim)
            body.append(
                f'<tr><th scope="row"><a href="{address(claim)}">{claim.id}</a></th>'
                f'<td class="claim-words">{html.escape(claim.statement)}</td>'
                f"<td>{outcomes.badge(outcomes.shown(verdict), said)}</td><td>{told}</td></tr>"
            )
            text.append(f"{claim.id}: {said}, {outcomes.estimate(verdict)}")
        names = "claim", "in words", "outcome", "estimate"
        head = "".join(f'<th scope="col">{each}</th>' for each in names)
        caption = (
            "The estimate is that of the comparison on which a claim hangs, with its 95 % "
            "interval. Each claim leads to its section, with all comparisons and their runs."
        )
        table = scrolling(f"<tr>{head}</tr>", "".join(body), caption)
        markup = table.replace('class="unmix-table"', 'class="unmix-table claim-table"')
        return Shown(markup, "\n".join(text))


def _tables(claim: Claim) -> set[str]:
    """Return the tables that a claim is about."""
    places = {place.table for each in claim.comparisons for place in each.places}
    return {*places, *(str(entry["table"]) for entry in claim.cells), str(claim.experiment)}


def _statistics(claim: Claim, verdict: Verdict) -> str:
    """Return in words how an outcome came about, and what the evidence could have found."""
    entries = {
        "Estimate": f"{outcomes.estimate(verdict)}, from {outcomes.behind(verdict)}",
        "Test": f"{outcomes.p_value(verdict.p)}, corrected for all claims of the paper",
        "Margin": f"less than {decimals(verdict.margin)} dB counts as no difference"
        if verdict.margin > 0.0
        else "",
        "Power": f"a true difference of {decimals(verdict.detectable)} dB would have been found in "
        "four of five cases"
        if math.isfinite(verdict.detectable)
        else "",
        "To settle it": outcomes.prose(verdict.needs),
        "Rule": f'{html.escape(in_words(claim))} (<a href="{RULES}">how rules work</a>)',
    }
    items = "".join(f"<li><b>{name}:</b> {said}.</li>" for name, said in entries.items() if said)
    return (
        f"<p><b>{outcomes.said(verdict).capitalize()}.</b> {outcomes.sentence(verdict.why)}"
        f"{_only(claim, verdict)}</p>"
        f'<ul class="unmix-provenance">{items}</ul>'
    )


def _only(claim: Claim, verdict: Verdict) -> str:
    """Return how far "not reproduced" goes, with the tables whose notes say how was trained."""
    if verdict.outcome != decide.NOT_REPRODUCED:
        return ""
    places = (place.table for each in claim.comparisons for place in each.places)
    paged = {each.name for each in about(claim.paper).tables}  # other experiments have no page
    names = [name for name in dict.fromkeys(places) if name in paged]
    links = " and ".join(
        f'<a href="{name}.html#published-and-reproduced">{name}</a>' for name in names
    )
    notes = f"; the notes below {links} say how long was trained" if names else ""
    return f" That is: {outcomes.ONLY}{notes}."


def _needs(verdict: Verdict) -> str:
    return f" To settle it: {outcomes.prose(verdict.needs)}." if verdict.needs else ""


def decimals(value: float) -> str:
    """Return a small size with as many digits as it needs."""
    return number(value) if value >= 0.095 else f"{value:.3f}".rstrip("0")
