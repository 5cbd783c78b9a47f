"""What a dataset holds, in the form of the table in which a paper says what its own holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from unmix.papers.published import cells
from unmix.report.tables import Shown, plain

COLUMNS = {
    "files": lambda lengths: str(len(lengths)),
    "hours": lambda lengths: f"{sum(lengths) / 3600:.2f}",
    "seconds": lambda lengths: f"{sum(lengths):.1f}",
}
"""What a row tells of the recordings of an instrument, given their lengths in seconds."""


def lines(
    paper: str, table: str, material: Mapping[str, Sequence[float]]
) -> Iterator[tuple[str, ...]]:
    """Yield headings, then a line for each instrument: what is here, and what the paper prints.

    Args:
        paper: its name.
        table: the published one, of instruments, with some of `COLUMNS`.
        material: the lengths of each instrument's recordings in seconds.
    """
    there = {(cell.keys["instrument"], cell.metric): cell.text for cell in cells(paper, table)}
    printed = [name for name in COLUMNS if name in {metric for _, metric in there}]
    yield ("instrument", *COLUMNS, *(f"{name} (paper)" for name in printed))
    for instrument, lengths in material.items():
        label = instrument.capitalize()
        here = (told(lengths) for told in COLUMNS.values())
        yield (label, *here, *(there.get((label, name), "") for name in printed))


def shown(paper: str, table: str, material: Mapping[str, Sequence[float]], caption: str) -> Shown:
    """Return the same as HTML; for the other arguments see `lines`."""
    head, *body = lines(paper, table, material)
    text = "\n".join([caption, *(", ".join(line) for line in [head, *body])])
    return Shown(plain(head, body, caption), text)
