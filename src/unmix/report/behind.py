"""The runs behind a table: a panel that opens, and a JSON file beside the page."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

from unmix.report.evidence import Evidence
from unmix.report.figures import label
from unmix.report.player import FOLDER, slug
from unmix.report.tables import Shown, words
from unmix.runs.store import Run

COLUMNS = ("row", "seed", "fidelity", "run", "finished", "device")


def with_runs(shown: Shown, name: str, rows: Sequence[Evidence], repeat: str) -> Shown:
    """Return what is shown with a panel of the runs behind it.

    Args:
        shown: a table.
        name: of the JSON file, unique within the folder of notebooks.
        rows: the evidence of the table's rows.
        repeat: the command that makes these runs.
    """
    runs = [_told(item, run) for item in rows for run in item.runs]
    file = f"{slug(name)}-runs.json"
    head = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(column, run[column])}</td>" for column in COLUMNS) + "</tr>"
        for run in runs
    )
    markup = (
        f'<details class="unmix-runs"><summary>{_counted(len(runs))} behind this table</summary>'
        f"<p><code>{html.escape(repeat)}</code> makes them again. All their settings and where "
        f'they come from: <a href="{FOLDER}/{file}">{file}</a>.</p>'
        f'<div class="unmix-scroll"><table class="unmix-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>"
    )
    text = json.dumps({"repeat": repeat, "runs": runs}, indent=1, sort_keys=True) + "\n"
    return Shown(shown.markup + markup, shown.text, {f"{FOLDER}/{file}": text})


def _told(item: Evidence, run: Run) -> dict[str, Any]:
    spec, about = run.spec(), run.provenance()
    return {
        "row": label(item),
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
