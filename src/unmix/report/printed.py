"""Published tables as HTML, laid out as in the paper."""

from __future__ import annotations

import html
from collections.abc import Sequence

from unmix.papers.published import TEXT, Cell, cells
from unmix.report.layout import DAGGER, Head, Layout, layout, number, remarks, signed, spans
from unmix.report.tables import Shown, listed, scrolling


def printed(paper: str, name: str) -> Shown:
    """Return a published table as the paper lays it out, or the numbers of its running text.

    Values have all their printed digits; those that the paper has in bold are so here. A dagger
    marks a number whose place in the scan is damaged, and a footnote says what the scan has there
    and why the number is as given.

    Args:
        paper: the paper.
        name: of the table, such as `table4`, or `text`.

    Raises:
        SpecError: there is no such paper or table.
        UnmixError: its files are not what they should be.
    """
    if name == TEXT:
        return _running_text(cells(paper, name))
    found = layout(paper, name)
    body = scrolling(_head(found), _body(found), f"{found.caption}. {found.legend}")
    notes = remarks(found.cells)
    lines = [f"{found.caption}. {found.legend}"]
    lines += [f"{', '.join(sum(place, ()))}: {number(of)}" for place, of in found.places.items()]
    return _shown(body, notes, lines)


def _shown(table: str, notes: Sequence[str], lines: Sequence[str]) -> Shown:
    below = listed(notes) if notes else ""
    markup = f'<div class="unmix-printed">{table}{below}</div>'
    return Shown(markup, "\n".join([*lines, *notes]))


def _head(found: Layout) -> str:
    """Return the heads of columns: a line a level, equal neighbours as one."""
    depth = max(1, len(found.columns[0]))
    corner = "".join(
        f'<th scope="col" rowspan="{depth}">{html.escape(name)}</th>' for name in found.levels
    )
    lines = []
    for level in range(depth):
        cells = [
            _column_head(found.columns[first], level, count)
            for first, count in spans(found.columns, level)
        ]
        lines.append(f"<tr>{corner if level == 0 else ''}{''.join(cells)}</tr>")
    return "".join(lines)


def _column_head(column: Head, level: int, count: int) -> str:
    label = html.escape(column[level]) if column else "value"
    if level < len(column) - 1:
        return f'<th scope="colgroup" colspan="{count}">{label}</th>'
    return f'<th scope="col" class="num">{label}</th>'


def _body(found: Layout) -> str:
    """Return the rows, with heads that span what they have in common."""
    levels = range(len(found.levels))
    counts = [dict(spans(found.rows, level)) for level in levels]
    grouped = len(counts[0]) < len(found.rows)
    lines = []
    for at, row in enumerate(found.rows):
        heads = [_row_head(row[n], counts[n][at]) for n in levels if at in counts[n]]
        numbers = [_number(found.places.get((row, column), ())) for column in found.columns]
        first = ' class="first"' if grouped and at in counts[0] else ""
        lines.append(f"<tr{first}>{''.join([*heads, *numbers])}</tr>")
    return "".join(lines)


def _row_head(label: str, count: int) -> str:
    if count == 1:
        return f'<th scope="row">{html.escape(label)}</th>'
    return f'<th scope="rowgroup" rowspan="{count}">{html.escape(label)}</th>'


def _number(numbers: Sequence[Cell]) -> str:
    text = html.escape(number(numbers)).replace(DAGGER, f"<sup>{DAGGER}</sup>")
    bold = any(cell.bold for cell in numbers)
    return f'<td class="num">{f"<b>{text}</b>" if bold else text}</td>'


def _running_text(numbers: Sequence[Cell]) -> Shown:
    """Return the numbers of the running text as a list, a line a number."""
    names = ["what", "place", "value", "unit", "printed as"]
    kinds = ["", "", ' class="num"', "", ""]
    if not any(cell.corrected for cell in numbers):
        names.pop()
    body, lines = [], []
    for cell in numbers:
        raw = cell.raw if cell.corrected else ""
        texts = [cell.row, cell.place, signed(cell.text), cell.metric, raw][: len(names)]
        tds = [
            f"<td{kind}>{html.escape(text)}</td>"
            for text, kind in zip(texts[1:], kinds[1:], strict=False)
        ]
        body.append(f'<tr><th scope="row">{html.escape(texts[0])}</th>{"".join(tds)}</tr>')
        lines.append(f"{cell.row} ({cell.place}): {signed(cell.text)} {cell.metric}")
    head = "".join(
        f'<th scope="col"{kind}>{name}</th>' for name, kind in zip(names, kinds, strict=False)
    )
    caption = "Numbers that stand in the running text alone"
    table = scrolling(f"<tr>{head}</tr>", "".join(body), caption)
    return _shown(table, remarks(numbers, tokens=False), [caption, *lines])
