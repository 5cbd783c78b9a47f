"""The papers' published tables, as they stand in the papers.

Each is a CSV file in long form: the key columns of a row, `metric`, `value` and `note`.
"""

from __future__ import annotations

import pandas as pd

from unmix.papers.experiment import folder, paper


def tables(paper_name: str) -> list[str]:
    """Return the names of a paper's published tables."""
    paper(paper_name)
    return sorted(path.stem for path in folder(paper_name).glob("*.csv"))


def by_row(table: pd.DataFrame) -> dict[tuple[str, ...], float]:
    """Return the values of a published table by its key columns and the metric."""
    keys = [name for name in table.columns if name not in ("value", "note")]
    return {tuple(line[name] for name in keys): line["value"] for line in table.to_dict("records")}


def published(paper_name: str, table: str) -> pd.DataFrame:
    """Return a published table in long form; empty where the paper has no such table.

    All columns but `value` are text.
    """
    path = folder(paper_name) / f"{table}.csv"
    if not path.exists():
        return pd.DataFrame(columns=["metric", "value", "note"])
    data = pd.read_csv(path, dtype=str, keep_default_na=False)
    data["value"] = data["value"].astype(float)
    return data
