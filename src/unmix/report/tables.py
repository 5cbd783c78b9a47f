"""Tables as HTML, and how numbers and labels are written everywhere."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from unmix.papers.evidence import Evidence
from unmix.report.notes import notes


def number(value: float, *, signed: bool = False, decimals: int = 2) -> str:
    """Return a score with two decimals and a true minus sign, zero without one; a dash for nan."""
    if math.isnan(value):
        return "–"
    rounded = round(float(value), decimals)
    if rounded == 0.0:
        return f"{0.0:.{decimals}f}"
    return f"{rounded:{'+' if signed else ''}.{decimals}f}".replace("-", "−")


def words(label: object) -> str:
    """Return a label as it is read: a number in it has a true minus sign."""
    return re.sub(r"(?<!\S)-(?=\d)", "−", str(label))


def cell(line: pd.Series) -> str:
    """Return a reproduced score with its spread over seeds, where there is one."""
    exact = decimals(line["metric"])
    spread = "" if np.isnan(line["spread"]) else f" ± {number(line['spread'], decimals=exact)}"
    return number(line["reproduced"], decimals=exact) + spread


NO_DECIBELS = {"J": 2, "iterations": 0, "training loss": 3, "training time": 0}
"""Metrics that are no levels (errors, a count, a time), with the decimals of each."""


def decimals(metric: str) -> int:
    """Return with how many decimals a metric is shown."""
    return NO_DECIBELS.get(metric, 2)


def headed(metric: str) -> str:
    """Return a metric as a heading, with its unit."""
    if metric == "training time":
        return "training time (s)"
    return metric if metric in NO_DECIBELS else f"{metric} (dB)"


def key_columns(table: pd.DataFrame) -> list[str]:
    """Return the key columns of a long table: those before `metric`."""
    return list(table.columns[: table.columns.get_loc("metric")])


class Shown:
    """HTML that a notebook shows, with plain text for consoles.

    Files that the markup links to are written into the current folder when it is shown.
    """

    def __init__(self, markup: str, text: str = "", files: Mapping[str, str] | None = None) -> None:
        self.markup, self.text, self.files = markup, text, files or {}

    def __add__(self, below: Shown) -> Shown:
        text = "\n".join(part for part in (self.text, below.text) if part)
        return Shown(self.markup + below.markup, text, {**self.files, **below.files})

    def _repr_html_(self) -> str:
        for name, content in self.files.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content, encoding="utf-8")
        return self.markup

    def __repr__(self) -> str:
        return self.text or "<a table; show it in a notebook>"


def framed(kind: str) -> str:
    """Return the markup of a fidelity, a word in a frame; nothing for none."""
    return f'<span class="fidelity fidelity-{kind}">{kind}</span>' if kind else ""


def scrolling(head: str, body: str, caption: str) -> str:
    """Return the markup of a table that scrolls by itself where the page is too narrow."""
    return (
        f'<div class="unmix-scroll"><table class="unmix-table">'
        f"<caption>{html.escape(caption)}</caption>"
        f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def plain(names: Sequence[str], lines: Iterable[Sequence[str]], caption: str) -> str:
    """Return the markup of a table of words, the first of each line as its heading."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>'
        + "".join(f"<td>{html.escape(value)}</td>" for value in values)
        + "</tr>"
        for name, *values in lines
    )
    return scrolling(f"<tr>{head}</tr>", body, caption)


def listed(entries: Sequence[str]) -> str:
    """Return entries as a list in small print, what stands before the first colon set off."""
    items = []
    for entry in entries:
        subject, colon, rest = html.escape(entry).partition(": ")
        items.append(f"<li><b>{subject}:</b> {rest}</li>" if colon else f"<li>{subject}</li>")
    return f'<ul class="unmix-provenance">{"".join(items)}</ul>'


def page(
    table: pd.DataFrame, rows: Sequence[Evidence], caption: str, published_budget: str = ""
) -> Shown:
    """Return a long table as HTML: published beside reproduced, and how it was obtained.

    Args:
        table: see `evidence.comparison`.
        rows: the evidence behind it.
        caption: of the table.
        published_budget: how long the paper itself trains, in words.
    """
    keys, metrics = key_columns(table), list(table["metric"].unique())
    with_published = bool(table["published"].notna().any())
    # A stand-in's distance to the paper's number means nothing.
    with_difference = with_published and bool((table["fidelity"] != "stand-in").any())
    columns = ["paper", "here", "diff."][: 2 + with_difference] if with_published else ["here"]
    # Rows of different fidelity must not be taken for comparable.
    mixed = table["fidelity"].nunique() > 1
    head = "".join(f'<th scope="col" rowspan="2">{html.escape(name)}</th>' for name in keys)
    head += "".join(
        f'<th scope="colgroup" colspan="{len(columns)}">{headed(metric)}</th>' for metric in metrics
    )
    head += '<th scope="col" rowspan="2">evidence</th>' if mixed else ""
    second = "".join(f'<th scope="col">{name}</th>' for _ in metrics for name in columns)
    body = []
    for labels, lines in table.groupby(keys, sort=False):
        cells = [f'<th scope="row">{html.escape(words(label))}</th>' for label in labels]
        for _, line in lines.iterrows():
            cells += [f"<td>{value}</td>" for value in _values(line, columns)]
        cells += [f"<td>{framed(lines.iloc[0]['fidelity'])}</td>"] if mixed else []
        body.append(f"<tr>{''.join(cells)}</tr>")
    entries = notes(rows, published_budget)
    markup = scrolling(f"<tr>{head}</tr><tr>{second}</tr>", "".join(body), caption)
    return Shown(markup + listed(entries), "\n".join([table.to_string(index=False), *entries]))


def _values(line: pd.Series, columns: Sequence[str]) -> list[str]:
    """Return the cells of one row and metric."""
    value, plus_minus, spread = cell(line).partition(" ± ")
    stands_in = line["fidelity"] == "stand-in"
    difference = line["reproduced"] - line["published"]
    known = {
        "paper": number(line["published"], decimals=decimals(line["metric"])),
        # The spread may go below its value where the table is too wide otherwise.
        "here": value + (f' <span class="unmix-spread">± {spread}</span>' if plus_minus else ""),
        "diff.": ""
        if stands_in
        else number(difference, signed=True, decimals=decimals(line["metric"])),
    }
    return [known[name] for name in columns]
