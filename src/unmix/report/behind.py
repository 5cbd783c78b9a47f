"""The runs behind a table or a figure: a panel that opens, and a JSON file beside the page.

Runs that a page has named already are not named again: a line leads to their panel.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from unmix.papers.evidence import Evidence
from unmix.plain import digest
from unmix.report.figures import label
from unmix.report.player import FOLDER, slug
from unmix.report.tables import Shown, words
from unmix.runs.store import Run

COLUMNS = ("row", "seed", "fidelity", "run", "finished", "device")

DIGITS = 8
"""Digits of the hash in the name of a file that belongs to no table."""


class Drawn:
    """A figure that a notebook shows with the runs behind it below."""

    def __init__(self, figure: Figure, below: Shown) -> None:
        self.figure, self.below = figure, below

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.figure)
        # A notebook shows whatever figure is open at the end of a cell once more.
        plt.close(self.figure)
        display(self.below)

    def __repr__(self) -> str:
        return "<a figure; show it in a notebook>"


class Panels:
    """The panels of one page."""

    def __init__(self) -> None:
        self._known: dict[frozenset[str], tuple[str, str]] = {}

    def of_table(self, name: str, rows: Sequence[Evidence], repeat: str) -> Shown:
        """Return the panel of a table's runs; a table always has its own.

        Args:
            name: of the JSON file, unique within the folder of notebooks.
            rows: the evidence of the table's rows.
            repeat: the command that makes these runs.
        """
        return self._panel("this table", slug(name), rows, repeat)

    def behind(self, what: str, name: str, rows: Sequence[Evidence], repeat: str) -> Shown:
        """Return a line that leads to the panel of exactly these runs, else a panel of their own.

        Where there are no runs, nothing is shown.

        Args:
            what: which figure, with `this` or `these` before it, e.g. `these sounds`.
            name: start of the JSON file's name; a hash of the runs makes it unique.
            rows: the evidence that is shown.
            repeat: the command that makes these runs.
        """
        keys = _keys(rows)
        if not keys:
            return Shown("")
        panel, owner = self._known.get(keys, ("", what))
        # The same cell may be run again, and then shows its panel again.
        if owner == what:
            of_runs = digest(sorted(keys))[:DIGITS]
            return self._panel(what, f"{slug(name)}-{of_runs}", rows, repeat)
        _, _, before = owner.partition(" ")
        return Shown(
            f'<p class="unmix-provenance">Behind {what}: '
            f'<a href="#{panel}-runs">{_counted(len(keys)).lower()} of the {before} above</a> '
            f'(<a href="{FOLDER}/{panel}-runs.json">JSON</a>).</p>'
        )

    def _panel(self, what: str, name: str, rows: Sequence[Evidence], repeat: str) -> Shown:
        self._known[_keys(rows)] = (name, what)
        # A run that several rows are read off is told once.
        once: dict[str, tuple[Run, list[str]]] = {}
        for item in rows:
            for run in item.runs:
                once.setdefault(run.key, (run, []))[1].append(label(item))
        runs = [_told(_rows(labels), run) for run, labels in once.values()]
        file = f"{FOLDER}/{name}-runs.json"
        text = json.dumps({"repeat": repeat, "runs": runs}, indent=1, sort_keys=True) + "\n"
        return Shown(_opening(what, name, runs, repeat, file), "", {file: text})


def _keys(rows: Sequence[Evidence]) -> frozenset[str]:
    return frozenset(run.key for item in rows for run in item.runs)


def _opening(what: str, name: str, runs: Sequence[dict[str, Any]], repeat: str, file: str) -> str:
    """Return the markup of a panel; its anchor lies inside, so that a link to it opens it."""
    head = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(column, run[column])}</td>" for column in COLUMNS) + "</tr>"
        for run in runs
    )
    return (
        f'<details class="unmix-runs"><summary>{_counted(len(runs))} behind {what}</summary>'
        f'<p id="{name}-runs">To repeat: <code>{html.escape(repeat)}</code>. All settings and all '
        f'that is known of the origin: <a href="{file}">{file.split("/")[-1]}</a>.</p>'
        f'<div class="unmix-scroll"><table class="unmix-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>"
    )


def _rows(labels: Sequence[str]) -> str:
    """Return which rows are a run's: the first, and how many more."""
    more = len(labels) - 1
    return labels[0] + (f" and {more} more row{'s' * (more > 1)}" if more else "")


def _told(row: str, run: Run) -> dict[str, Any]:
    spec, about = run.spec(), run.provenance()
    return {
        "row": row,
        "seed": spec.seed,
        "fidelity": about["fidelity"],
        "run": run.key,
        "finished": about.get("finished", ""),
        "device": about.get("device", ""),
        "spec": spec.plain(),
        "provenance": about,
    }


def _counted(number: int) -> str:
    return "The run" if number == 1 else f"The {number} runs"


def _cell(column: str, value: object) -> str:
    return html.escape(str(value)[:12] if column == "run" else words(value))
