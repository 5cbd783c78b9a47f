"""`unmix published`: the papers' own numbers, as printed."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from unmix.errors import SpecError, command

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from unmix.papers.published import Cell
    from unmix.report.layout import Head, Layout

NARROW, WIDE = 7, 16
"""Letters after which heads may be broken: those of columns above others, and all others."""


def published(
    what: Annotated[
        str, typer.Argument(help="PAPER or PAPER/TABLE, e.g. parwal/table4; without it: a list.")
    ] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the long form as CSV.")] = False,
) -> None:
    """Show the numbers that the papers print, laid out as the papers do.

    Values have all their printed digits; a dash stands where there is none.
    † marks a number whose place in the scan of the paper is damaged: below
    the table stand what the scan reads there, and why the number is as given.

    unmix published: papers, their tables, and how many numbers each has

    unmix published uhlich: all tables of a paper

    unmix published uhlich/table3: one table; uhlich/text: the running text

    unmix published uhlich --csv > uhlich.csv: a line a number, with paper,
    table, key columns, metric, value as printed, raw (the scan's token,
    where that is damaged) and note

    unmix table parwal/table4: our numbers beside the paper's
    """
    from unmix.papers.published import PUBLISHED, tables

    paper, slash, name = what.partition("/")
    if slash and not name:
        known = ", ".join(tables(paper))
        raise SpecError(f"'{what}' names no table", expected=f"{paper}/TABLE, TABLE one of {known}")
    chosen = {each: [name] if name else tables(each) for each in ([paper] if paper else PUBLISHED)}
    if as_csv:
        typer.echo(long_form(chosen), nl=False)
    elif not paper:
        _list(chosen)
    else:
        _show(paper, chosen[paper])


def long_form(chosen: dict[str, list[str]]) -> str:
    """Return tables by paper as CSV, a line a number; key columns that a table lacks are empty."""
    from unmix.papers.published import cells

    lines = [
        {
            "paper": paper,
            "table": table,
            **cell.keys,
            **({"place": cell.place} if cell.place else {}),
            "metric": cell.metric,
            "value": cell.text,
            "raw": cell.raw,
            "note": cell.note,
        }
        for paper, names in chosen.items()
        for table in names
        for cell in cells(paper, table)
    ]
    behind = ("metric", "value", "raw", "note")
    keys = [
        key for key in dict.fromkeys(key for line in lines for key in line) if key not in behind
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*keys, *behind], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _list(chosen: dict[str, list[str]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from unmix.papers.published import TEXT, about, cells

    shown = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    shown.add_column("paper/table", no_wrap=True)
    shown.add_column("what it shows")
    shown.add_column("numbers", justify="right", no_wrap=True)
    for paper, names in chosen.items():
        words = about(paper)
        place = {each.name: f"{each.place}: {each.title}" for each in words.tables}
        year = f", {words.year}" if words.year else ""
        head = Text(f"{words.title} ({words.authors}{year})", style="bold")
        shown.add_row(Text(paper, style="bold"), head, "")
        for number, name in enumerate(names, start=1):
            told = place.get(name, "In the running text" if name == TEXT else "")
            count = str(len(cells(paper, name)))
            shown.add_row(f"{paper}/{name}", Text(told), count, end_section=number == len(names))
    console = Console()
    console.print(shown)
    first = next((f"{paper}/{names[0]}" for paper, names in chosen.items() if names), "")
    console.print(f"Look at one: {command('published', first)}", highlight=False, soft_wrap=True)


def _show(paper: str, names: Sequence[str]) -> None:
    from rich.console import Console

    from unmix.papers.published import TEXT, about, cells
    from unmix.report.layout import layout, remarks

    console = Console()

    def say(*lines: str) -> None:
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    if len(names) > 1:
        words = about(paper)
        told = [words.authors, words.venue, str(words.year or "")]
        say(words.title, ", ".join(part for part in told if part), "", words.about)
    for name in names:
        if name == TEXT:
            numbers = cells(paper, name)
            say("", "Numbers of the running text")
            _print(console, [_listed(numbers)])
            say(*remarks(numbers, tokens=False))
        else:
            found = layout(paper, name)
            say("", found.caption)
            _print(console, blocks(found, console.width))
            say(found.legend, *remarks(found.cells))


def _print(console: Console, tables: Iterable[Table]) -> None:
    """Print tables, wider than the terminal rather than with a number cut short."""
    from rich.console import Console

    for table in tables:
        least = Console(width=10_000).measure(table).minimum
        (console if least <= console.width else Console(width=least)).print(table)


def _listed(numbers: Sequence[Cell]) -> Table:
    """Return the numbers of the running text as a list."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from unmix.report.layout import signed

    shown = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("what", "place"):
        shown.add_column(name)
    shown.add_column("value", justify="right", no_wrap=True)
    shown.add_column("unit")
    raw = any(cell.corrected for cell in numbers)
    if raw:
        shown.add_column("printed as", no_wrap=True)
    for cell in numbers:
        texts = [cell.row, cell.place, signed(cell.text), cell.metric]
        texts += [cell.raw if cell.corrected else ""] if raw else []
        shown.add_row(*map(Text, texts))
    return shown


def blocks(found: Layout, width: int) -> list[Table]:
    """Return a table in as few blocks of columns as fit the width, all with the heads of rows.

    Columns under one upper head stay together.
    """
    from rich.console import Console

    from unmix.report.layout import spans

    def fits(columns: Sequence[Head]) -> bool:
        return Console(width=10_000).measure(_block(found, columns)).minimum <= width

    parts = spans(found.columns, max(0, len(found.columns[0]) - 2))
    done: list[tuple[Head, ...]] = []
    for first, count in parts:
        group = found.columns[first : first + count]
        if done and fits((*done[-1], *group)):
            done[-1] = (*done[-1], *group)
        else:
            done.append(group)
    return [_block(found, columns) for columns in done]


def _block(found: Layout, columns: Sequence[Head]) -> Table:
    """Return some columns of a table; a head that the neighbour before has too is not repeated."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from unmix.report.layout import spans

    shown = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    heads = _heads(columns)
    above = "\n" * max(head.count("\n") for head in heads)
    for level, name in enumerate(found.levels):
        least = _least([name, *(row[level] for row in found.rows)])
        shown.add_column(Text(above + name), min_width=least)
    filled = [_column(found, *both) for both in zip(columns, heads, strict=True)]
    for head, *numbers in filled:
        # Without a least width rich counts the longest word, and cuts what goes beyond.
        shown.add_column(head, no_wrap=True, min_width=len(numbers[0]))
    starts = [
        {first for first, _ in spans(found.rows, level)} for level in range(len(found.levels))
    ]
    grouped = len(starts[0]) < len(found.rows)
    for at, row in enumerate(found.rows):
        labels = [label if at in starts[level] else "" for level, label in enumerate(row)]
        numbers = [column[at + 1] for column in filled]
        shown.add_row(*map(Text, labels), *numbers, end_section=grouped and at + 1 in starts[0])
    return shown


def _least(labels: Sequence[str]) -> int:
    """Return the width below which heads of rows are not broken: all of short ones, else a word."""
    whole = [label if len(label) <= WIDE else max(label.split(), key=len) for label in labels]
    return max(map(len, whole))


def _heads(columns: Sequence[Head]) -> list[str]:
    """Return the heads of columns, a line a level; upper ones are broken where words end."""
    from unmix.report.layout import spans

    depth = len(columns[0])
    if not depth:
        return ["value"] * len(columns)
    heads = [""] * len(columns)
    for level in range(depth):
        starts = {first for first, _ in spans(columns, level)}
        upper = level < depth - 1
        labels = [
            column[level] if at in starts or not upper else "" for at, column in enumerate(columns)
        ]
        lines = [
            textwrap.wrap(label, NARROW if upper else WIDE, break_long_words=False)
            for label in labels
        ]
        most = max(map(len, lines))
        for at, of_one in enumerate(lines):
            above = [""] * (most - len(of_one))
            padded = [*of_one, *above] if upper else [*above, *of_one]
            heads[at] += "\n" * bool(level) + "\n".join(padded)
    return heads


def _column(found: Layout, column: Head, head: str) -> list[Text]:
    """Return a column's head and numbers, padded to one width.

    Digits stand under digits also where a number has a mark behind it; rich would not keep them so.
    """
    from rich.text import Text

    from unmix.report.layout import DAGGER, number

    cells = [found.places.get((row, column), ()) for row in found.rows]
    texts = [number(of_place) for of_place in cells]
    if any(text.endswith(DAGGER) for text in texts):
        texts = [text if text.endswith(DAGGER) else f"{text} " for text in texts]
    width = max(map(len, [*head.split("\n"), *texts]))
    styles = ["bold" if any(cell.bold for cell in of_place) else "" for of_place in cells]
    return [
        Text("\n".join(line.rjust(width) for line in head.split("\n"))),
        *(Text(text.rjust(width), style) for text, style in zip(texts, styles, strict=True)),
    ]
