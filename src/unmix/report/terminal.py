"""Tables in a terminal: as wide as it allows, and never with a number cut short."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from unmix.report.tables import NO_DECIBELS, cell, decimals, headed, key_columns, number, words


def show(table: pd.DataFrame, title: str, command: str, conditions: Sequence[str] = ()) -> None:
    """Print a long table: a line a row if that fits, else a block for each metric.

    Args:
        table: see `evidence.comparison`.
        title: its heading.
        command: what carries out rows that were not run yet.
        conditions: lines that end it: on what the runs were.
    """
    width, metrics = Console().width, list(table["metric"].unique())
    blocks = [_block(table, metrics, title)]
    if _width(blocks[0]) > width:
        blocks = [
            _block(table[table["metric"] == one], [one], f"{title}, {one}") for one in metrics
        ]
    # A line that is longer than the terminal is wrapped by it; rich would cut its numbers.
    console = Console(width=max(width, *map(_width, blocks)))
    for block in blocks:
        console.print(block)
    for line in _legend(table, command):
        console.print(line, highlight=False, soft_wrap=True)
    for line in conditions:
        Console().print(line, highlight=False)


def _width(block: Table) -> int:
    """Return the width that shows every cell whole."""
    wide = Console(width=10_000)
    return wide.measure(block).maximum


def _block(table: pd.DataFrame, metrics: list[str], title: str) -> Table:
    """Return the lines of some metrics as one table, a line a row."""
    keys = key_columns(table)
    with_published = table["published"].notna().any()
    shown = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0))
    for name in keys:
        shown.add_column(name, no_wrap=True)
    # Decibels are said once, below; other units stand with their metric.
    for metric in (headed(each).removesuffix(" (dB)") for each in metrics):
        if with_published:
            shown.add_column(f"{metric}\npaper", justify="right", no_wrap=True)
        shown.add_column(f"{metric}\nhere", justify="right", no_wrap=True)
    shown.add_column("evidence", no_wrap=True)
    for labels, lines in table.groupby(keys, sort=False):
        cells = [words(label) for label in labels]
        for _, line in lines.iterrows():
            if with_published:
                exact = decimals(line["metric"])
                cells.append(number(line["published"], decimals=exact))
            cells.append(cell(line).replace(" ± ", "±"))
        first = lines.iloc[0]
        count = f" × {first['seeds']}" if first["seeds"] > 1 else ""
        shown.add_row(*cells, f"{first['fidelity']}{count}" if first["seeds"] else "not run yet")
    return shown


def _legend(table: pd.DataFrame, command: str) -> list[str]:
    """Return what must be known to read the table."""
    spread = "; ± is the standard deviation over seeds (evidence × seeds)"
    lines = []
    if not set(table["metric"]) <= set(NO_DECIBELS):
        lines.append(f"All scores in dB{spread if table['spread'].notna().any() else ''}.")
    if "iterations" in set(table["metric"]):
        lines.append(
            "iterations: until the error was reached at which least squares starts; a dash where "
            "that did not happen within the training."
        )
    if not (table["seeds"] > 0).all():
        lines.append(f"What is not run yet: {command}")
    return lines
