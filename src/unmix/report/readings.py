"""Which reading of a paper's scores its own table allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unmix.papers.published import EXTRAS, published
from unmix.report.tables import Shown, number, plain

if TYPE_CHECKING:
    from unmix.report.workbook import Workbook

LOWER, UPPER = "SDR", "SIR"
"""By BSS Eval's sources SDR counts all that SIR counts against an estimate, and the artefacts
too."""


def above(book: Workbook, name: str, table: str, by: str) -> Shown:
    """Return in how many lines SDR is above SIR: of a published table, and of each reading of it.

    Args:
        book: of the paper.
        name: the experiment that scores the table's rows by each reading.
        table: the published table.
        by: the key column that names the reading.
    """
    paper = published(book.paper, table)
    keys = [column for column in paper if column not in (*EXTRAS, "metric")]
    found = {"the paper": paper}
    here = book.long(name, best=False).rename(columns={"reproduced": "value"})
    found |= {f"here, by {reading}": part for reading, part in here.groupby(by, sort=False)}
    lines = []
    for whose, part in found.items():
        wide = part.pivot_table("value", keys, "metric", sort=False)
        wide = wide.reindex(columns=[LOWER, UPPER]).dropna()
        over = wide[LOWER] - wide[UPPER]
        most = f"{number(over.max())} dB" if (over > 0).any() else ""
        lines.append([whose, str(len(over)), str(int((over > 0).sum())), most])
    heads = ["scores", "lines", f"{LOWER} above {UPPER}", "at most by"]
    caption = f"Lines of {table.replace('table', 'Table ')} with {LOWER} above {UPPER}"
    return Shown(plain(heads, lines, caption), "\n".join(", ".join(line) for line in lines))
