"""All papers and all claims on one page: which hold, and where to read why.

The page is a list that needs no script; `book/static/dashboard.js` adds the filters.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from functools import cached_property

from unmix.papers.experiment import DEFAULT_PROFILE, PAPERS
from unmix.papers.published import PUBLISHED, about
from unmix.report import audits, outcomes
from unmix.report.claims import Claims, address
from unmix.report.tables import Shown, scrolling

ORDER = tuple(sorted(PUBLISHED, key=lambda name: (name not in PAPERS, name)))
"""Papers with experiments first."""

FILES = (
    '<p class="unmix-provenance">The same as data: <a href="../../verdicts.json">verdicts.json</a> '
    '(<a href="../../verdicts.schema.json">schema</a>), '
    '<a href="../../audit.json">audit.json</a> '
    '(<a href="../../audit.schema.json">schema</a>).</p>'
)
"""What lies beside the pages of a built book."""

ONLY = (
    f"<p><em>Not reproduced</em> means: {outcomes.ONLY}. How long was trained, and how long the "
    "paper trains, stands in the notes of each table, such as "
    '<a href="../parwal/table4.html#what-was-left-open">those of Table IV</a>.</p>'
)
"""What a reader must know before counting."""

KINDS = ("ordering", "value", "difference", "trend", "qualitative")


class Dashboard:
    """The claims of all papers under one set of notebook parameters."""

    def __init__(
        self,
        *,
        profile: str = DEFAULT_PROFILE,
        data_root: str | os.PathLike = "",
        store: str | os.PathLike = "",
        seeds: int = 0,
        papers: Sequence[str] = ORDER,
    ) -> None:
        """Take the parameters of a notebook; empty ones mean the defaults of `unmix verdicts`."""
        self.papers: Mapping[str, Claims] = {
            name: Claims(name, profile=profile, data_root=data_root, store=store, seeds=seeds)
            for name in papers
        }

    @cached_property
    def audits(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many findings of each paper's audit have which outcome."""
        return {
            name: audits.counts(each for some in of.findings.values() for each in some)
            for name, of in self.papers.items()
        }

    def counts(self) -> Shown:
        """Return how many claims and findings of each paper have which outcome, and its meaning."""
        names = list(self.papers)
        body, text = [_part("Claims, by the evidence", len(names))], []
        for outcome, look in outcomes.CLAIMS.items():
            numbers = [self._claims(name, outcome) for name in names]
            body.append(_counted(outcome, look, numbers))
        body.append(_part("Findings, by the paper's own numbers", len(names)))
        for outcome, look in outcomes.FINDINGS.items():
            numbers = [
                _number(self.audits[name][outcome], f"{name}/numbers.html#{audits.group(outcome)}")
                for name in names
            ]
            body.append(_counted(outcome, look, numbers))
        for name, of in self.papers.items():
            own = outcomes.counted(map(outcomes.shown, of.verdicts.values()), outcomes.CLAIMS)
            told = [f"{outcome} {count}" for outcome, count in own.items()]
            told += [f"audit {outcome} {count}" for outcome, count in self.audits[name].items()]
            text.append(f"{name}: {', '.join(told)}")
        heads = "".join(f'<th scope="col" class="num">{name}</th>' for name in names)
        meaning = '<th scope="col" class="outcome-meaning">what it says</th>'
        head = f'<tr><th scope="col">outcome</th>{heads}{meaning}</tr>'
        caption = (
            "Each number leads to the paper's own page. A + in a dashed frame counts outcomes on "
            "other material than the paper's dataset (subset, stand-in): never more than a hint."
        )
        table = scrolling(head, "".join(body), caption)
        markup = table.replace('class="unmix-table"', 'class="unmix-table outcome-table"')
        return Shown(ONLY + markup + FILES, "\n".join(text))

    def _claims(self, name: str, outcome: str) -> str:
        """Return how many claims of a paper have an outcome, those on other material apart."""
        every = [outcomes.shown(each) for each in self.papers[name].verdicts.values()]
        other = sum(each.endswith(f": {outcome}") for each in every)
        return _number(every.count(outcome), f"{name}/claims.html", other)

    def matrix(self) -> Shown:
        """Return papers by claims: a tile an outcome, each leading to the claim's own section."""
        blocks = "".join(self._block(name, of) for name, of in self.papers.items())
        text = "\n".join(
            f"{verdict.id}: {outcomes.said(verdict)}"
            for of in self.papers.values()
            for verdict in of.verdicts.values()
        )
        return Shown(f'<div class="unmix-dashboard">{self._filters()}{blocks}</div>', text)

    def _block(self, name: str, of: Claims) -> str:
        """Return one paper's tiles, with the claims in words below them."""
        tiles = "".join(
            outcomes.tile(claim, of.verdicts[claim.id], address(claim, f"../{name}/"))
            for claim in of.claims
        )
        rows = "".join(self._row(name, of, claim.id) for claim in of.claims)
        opened = " open" if any(each.comparisons for each in of.verdicts.values()) else ""
        note = "" if name in PAPERS else "<p>No experiment of this paper runs here yet.</p>"
        return (
            f'<section class="dashboard-paper" data-paper="{name}" aria-labelledby="board-{name}">'
            f'<h3 id="board-{name}">{_named(name)}</h3>{note}'
            f'<ul class="outcome-tiles">{tiles}</ul>'
            f'<details class="unmix-fold"{opened}><summary>The claims of {name} in words</summary>'
            f'<ul class="outcome-words">{rows}</ul></details></section>'
        )

    def _row(self, name: str, of: Claims, claim_id: str) -> str:
        claim = next(each for each in of.claims if each.id == claim_id)
        verdict = of.verdicts[claim_id]
        _, outcome = outcomes.parts(outcomes.shown(verdict))
        own = of.audited(claim, f"../{name}/")
        # Where the numbers themselves are the answer, that evidence cannot give one says nothing.
        why = "" if claim.rule["test"] == "audit" else f"{outcomes.short(verdict)} "
        return (
            f'<li data-paper="{name}" data-kind="{claim.kind}" data-outcome="{outcome}">'
            f'<a href="{address(claim, f"../{name}/")}">{claim.id}</a> '
            f"{outcomes.badge(outcomes.shown(verdict), outcomes.said(verdict))} "
            f"{html.escape(claim.statement)} "
            f'<span class="outcome-why">{why}{own}</span></li>'
        )

    def _filters(self) -> str:
        """Return the controls; they are hidden until a script can heed them."""
        kinds = [kind for kind in KINDS if any(self._has(kind))]
        return (
            '<form class="dashboard-filters" hidden aria-label="Filter the claims">'
            + _choice("paper", list(self.papers))
            + _choice("kind", kinds)
            + _choice("outcome", list(outcomes.CLAIMS))
            + '<button type="reset">All claims</button>'
            '<output class="dashboard-shown" aria-live="polite"></output></form>'
        )

    def _has(self, kind: str) -> list[bool]:
        return [claim.kind == kind for of in self.papers.values() for claim in of.claims]


def _choice(name: str, values: Sequence[str]) -> str:
    options = "".join(f'<option value="{value}">{value}</option>' for value in values)
    every = f'<option value="">all</option>{options}'
    return f'<label>{name} <select name="{name}">{every}</select></label>'


def _named(name: str) -> str:
    return html.escape(outcomes.name_of(name, about(name)))


def _part(title: str, papers: int) -> str:
    """Return the head of a part of the counts."""
    return f'<tr><th scope="rowgroup" colspan="{papers + 2}">{html.escape(title)}</th></tr>'


def _counted(outcome: str, look: outcomes.Look, numbers: Sequence[str]) -> str:
    """Return a line of the counts: an outcome, its numbers, and its meaning."""
    return (
        f'<tr><th scope="row">{outcomes.badge(outcome)}</th>{"".join(numbers)}'
        f'<td class="outcome-meaning">{html.escape(look.meaning)}</td></tr>'
    )


def _number(count: int, where: str, other: int = 0) -> str:
    """Return a count as a cell; `other` are outcomes on other material than the paper's."""
    shown = f'<a href="../{where}">{count}</a>' if count else '<span class="none">0</span>'
    if other:
        title = "on other material than the paper's"
        shown += f' <a class="outcome outcome-other" title="{title}" href="../{where}">+{other}</a>'
    return f'<td class="num">{shown}</td>'
