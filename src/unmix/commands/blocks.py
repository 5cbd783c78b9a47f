"""What several commands print: heads with their words, and small tables."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import typer

WIDE = 160
"""Columns where the output is no terminal."""

READ = 100
"""Longest line of running text."""


def width() -> int:
    """Return the columns that a line may take."""
    if sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return WIDE


def styled(text: str, colour: str = "", *, bold: bool = False) -> str:
    """Return a text in a colour; none is shown where the output is no terminal."""
    return text if os.environ.get("NO_COLOR") else typer.style(text, fg=colour or None, bold=bold)


def wrapped(text: str, indent: int = 0, first: str = "") -> Iterator[str]:
    """Yield a text in lines, all indented; `first` stands before the first one."""
    blank = " " * indent
    yield from textwrap.wrap(
        text,
        min(READ, width()),
        initial_indent=f"{first:<{indent}}",
        subsequent_indent=blank,
        break_on_hyphens=False,
        break_long_words=False,
    )


def entries(words: Mapping[str, str]) -> Iterator[str]:
    """Yield heads with their words beside them, those that have any."""
    told = {head: text for head, text in words.items() if text}
    indent = max(map(len, told)) + 2
    for head, text in told.items():
        yield from wrapped(text, indent, head)


def columns(
    body: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    cut: bool = False,
    paint: Callable[[int, int, str], str] = lambda row, column, cell: cell,
) -> list[str]:
    """Return rows as lines, in columns as wide as they must be.

    Args:
        body: cells by rows.
        right: columns whose cells stand to the right.
        cut: whether the last column is cut where the line would be too long; the others never are.
        paint: takes the numbers of row and column and the padded cell, and gives it a colour.
    """
    from rich.cells import cell_len

    sizes = [max(map(cell_len, column)) for column in zip(*body, strict=True)]
    room = max(width() - sum(sizes[:-1]) - 2 * len(sizes[:-1]), 20)
    lines = []
    for row, cells in enumerate(body):
        shown = []
        for at, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
            text = cell
            if cut and at == len(cells) - 1:
                text = cell if len(cell) <= room else f"{cell[: room - 1]}…"
            elif at < len(cells) - 1 or at in right:
                blank = " " * (size - cell_len(cell))
                text = blank + cell if at in right else cell + blank
            shown.append(paint(row, at, text))
        lines.append("  ".join(shown).rstrip())
    return lines


def table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table in lines: words to the left, all further columns to the right."""
    if not body:
        return
    lines = columns([heads, *body], right=range(1, len(heads)))
    yield ""
    yield lines[0]
    yield "─" * max(map(len, lines))
    yield from lines[1:]


def say(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        typer.echo(line)
