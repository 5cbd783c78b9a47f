"""What a paper prints, as a page: its tables as in the paper, and how they fit each other."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile

from unmix.papers.published import TEXT, Cell, about, tables
from unmix.report import outcomes
from unmix.report.layout import signed
from unmix.report.printed import printed
from unmix.report.tables import Shown, scrolling, words
from unmix.verdicts.audit import Finding, audit

FIRST = "disagrees"
"""The outcome whose findings are open on the page; others open if a reader wants them to."""

MANY = 15
"""More numbers of the running text than this are folded."""


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many findings have which outcome, what disagrees first."""
    return outcomes.counted((each.said for each in findings), outcomes.FINDINGS)


def group(outcome: str) -> str:
    """Return the place of all findings of one outcome on the paper's page."""
    return f"audit-{outcomes.slug(outcome)}"


def anchor(name: str) -> str:
    """Return the place of an audit's entry on the paper's page."""
    return f"finding-{name.lower()}"


class Numbers:
    """The published numbers of one paper."""

    def __init__(self, paper: str) -> None:
        """Take a paper by its name.

        Raises:
            SpecError: there is no such paper.
        """
        self.paper, self.about = paper, about(paper)

    @cached_property
    def findings(self) -> Sequence[Finding]:
        """Return what the audit finds."""
        return audit(self.paper)

    def paper_itself(self) -> Shown:
        """Return what the paper is."""
        known = self.about
        lines = {
            "title": known.title,
            "authors": known.authors,
            "year": str(known.year or "not said"),
            "appeared in": known.venue or "not said",
            "dataset": known.dataset,
        }
        text = "\n".join(f"{name}: {value}" for name, value in lines.items())
        markup = f"<p>{html.escape(known.about)}</p>{_facts(lines)}"
        return Shown(markup, f"{text}\n{known.about}")

    def tables(self) -> Shown:
        """Return every table and figure with numbers, as the paper lays it out."""
        shown = Shown("")
        for name in tables(self.paper):
            if name == TEXT:
                continue
            place = next(each.place for each in self.about.tables if each.name == name)
            head = f'<h3 id="printed-{name}">{html.escape(place)}</h3>'
            shown = shown + Shown(head, place) + printed(self.paper, name)
        return shown

    def text(self) -> Shown:
        """Return the numbers that stand in the running text alone."""
        if TEXT not in tables(self.paper):
            return Shown("<p>There are none.</p>", "none")
        shown = printed(self.paper, TEXT)
        count = shown.markup.count("<tr>") - 1
        if count <= MANY:
            return shown
        return Shown(outcomes.folded(f"The {count} numbers", shown.markup), shown.text)

    def audit(self) -> Shown:
        """Return the findings by outcome, what disagrees first."""
        found = counts(self.findings)
        markup = [outcomes.summary(f"{len(self.findings)} findings", found)]
        seen: set[str] = set()
        for outcome, count in found.items():
            if not count:
                continue
            some = [each for each in self.findings if each.said == outcome]
            inner = "".join(_entry(entry, seen) for entry in _by_entry(some))
            if outcome != FIRST:
                named = f"The {count} findings" if count > 1 else "The finding"
                inner = outcomes.folded(named, inner)
            counted = f"{count} finding{'' if count == 1 else 's'}"
            head = f"{outcomes.badge(outcome)} {counted}"
            meaning = f"<p>{html.escape(outcomes.FINDINGS[outcome].meaning.capitalize())}.</p>"
            markup.append(f'<h3 id="{group(outcome)}">{head}</h3>{meaning}{inner}')
        text = "\n".join(f"{each.id} ({each.where}): {each.said}" for each in self.findings)
        return Shown("".join(markup), text)


def _by_entry(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Return findings of one entry together."""
    found: dict[str, list[Finding]] = {}
    for each in findings:
        found.setdefault(each.id, []).append(each)
    return list(found.values())


def _entry(some: Sequence[Finding], seen: set[str]) -> str:
    """Return the findings of one entry that have one outcome.

    Args:
        some: the findings.
        seen: entries that can be led to already; this one is added.
    """
    first, place = some[0], ""
    if first.id not in seen:
        seen.add(first.id)
        place = f' id="{anchor(first.id)}"'
    named = html.escape(f"{first.id}: {first.where}" if len(some) == 1 else first.id)
    common = shared_end([each.explanation for each in some])
    body = _single(first) if len(some) == 1 else _several(some, common)
    told = words(first.explanation if len(some) == 1 else common)
    cells = list(dict.fromkeys(cell for each in some for cell in each.cells))
    if first.check == "statement":
        named += f' (<a href="claims.html#claim-{first.id.lower()}">the claim</a>)'
    source = "" if first.where == first.place else f" ({html.escape(first.place)})"
    return (
        f'<article class="unmix-finding outcome-{outcomes.slug(first.said)}"{place}>'
        f"<h4>{outcomes.symbol(first.said)} {named}</h4>"
        f"<p>{html.escape(first.says)}{source}</p>"
        f"{body}{f'<p>{html.escape(told)}</p>' if told else ''}{_cells(cells)}"
        f'<p class="unmix-provenance">Check: {html.escape(first.rule)}</p></article>'
    )


def _single(each: Finding) -> str:
    facts = {
        "computed": value(each.computed),
        "expected": value(each.expected),
        "tolerance": value(each.tolerance, 2),
        "rests on": each.rests_on or "",
    }
    return _facts({name: said for name, said in facts.items() if said})


def _several(some: Sequence[Finding], common: str) -> str:
    """Return findings of one entry: with words of their own as a list, else as a table."""
    if any(each.explanation != common for each in some):
        items = "".join(_item(each, common) for each in some)
        return f'<ul class="finding-groups">{items}</ul>'
    rests = any(each.rests_on for each in some)
    names = ["where", "computed", "expected", "tolerance", *(["rests on"] if rests else [])]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = []
    for each in some:
        values = [value(each.computed), value(each.expected), value(each.tolerance, 2)]
        values += [each.rests_on or ""] if rests else []
        cells = "".join(f"<td>{html.escape(one)}</td>" for one in values)
        body.append(f'<tr><th scope="row">{html.escape(each.where)}</th>{cells}</tr>')
    table = scrolling(f"<tr>{head}</tr>", "".join(body), "")
    return table.replace("<caption></caption>", "")


def _item(each: Finding, common: str) -> str:
    """Return one of several findings as an entry of a list, less the words they all share."""
    told = [f"computed {value(each.computed)}", f"expected {value(each.expected)}"]
    told += [f"tolerance {value(each.tolerance, 2)}"] if each.tolerance is not None else []
    told += [f"rests on {each.rests_on}"] if each.rests_on else []
    own = words(each.explanation.removesuffix(common).strip())
    why = f'<span class="finding-why">{html.escape(own)}</span>' if own else ""
    return f"<li><b>{html.escape(each.where)}</b>: {html.escape(', '.join(told))}.{why}</li>"


def _cells(cells: Sequence[Cell]) -> str:
    """Return the printed numbers behind a finding, folded."""
    if not cells:
        return ""
    items = "".join(
        f"<li>{html.escape(cell.label)}: <b>{signed(cell.text)}</b></li>" for cell in cells
    )
    count = f"The {len(cells)} printed numbers" if len(cells) > 1 else "The printed number"
    return outcomes.folded(f"{count} behind it", f'<ul class="finding-cells">{items}</ul>')


def _facts(lines: Mapping[str, str]) -> str:
    items = "".join(f"<dt>{name}</dt><dd>{html.escape(said)}</dd>" for name, said in lines.items())
    return f'<dl class="unmix-facts">{items}</dl>'


def value(number: float | str | None, digits: int = 4) -> str:
    """Return what was computed or expected: words as they are, numbers with significant digits.

    Nothing is computed from printed numbers to more than four of them.
    """
    if number is None:
        return ""
    if isinstance(number, str):
        return words(number)
    whole = float(number).is_integer() and abs(number) < 1e15
    return signed(f"{number:.0f}" if whole else f"{number:.{digits}g}")


def shared_end(texts: Sequence[str]) -> str:
    """Return the sentences with which all texts end."""
    ends = zip(*(reversed(re.split(r"(?<=[.?!]) ", text)) for text in texts), strict=False)
    shared = [each[0] for each in takewhile(lambda each: len(set(each)) == 1, ends)]
    return " ".join(reversed(shared))
