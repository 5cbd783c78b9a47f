"""Tables for people: in the terminal, and as HTML in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.table import Table

from unmix.metrics.bsseval import CEILING
from unmix.report.evidence import Evidence

FIDELITY = {
    "full": "the paper's dataset",
    "subset": "a part of the paper's dataset",
    "stand-in": "a stand-in, not the paper's dataset",
    "": "not run yet",
}


def number(value: float, *, signed: bool = False) -> str:
    """Return a score with two decimals and a true minus sign; a dash for nan or no limit."""
    if np.isnan(value) or value >= CEILING:
        return "–"
    return f"{value:{'+' if signed else ''}.2f}".replace("-", "−")


def cell(line: pd.Series) -> str:
    """Return a reproduced score with its spread over seeds, where there is one."""
    spread = "" if np.isnan(line["spread"]) else f" ± {number(line['spread'])}"
    return number(line["reproduced"]) + spread


def key_columns(table: pd.DataFrame) -> list[str]:
    """Return the key columns of a long table: those before `metric`."""
    return list(table.columns[: table.columns.get_loc("metric")])


def terminal(table: pd.DataFrame, title: str) -> Table:
    """Return a long table as a rich table that fits 80 columns: a line a row."""
    keys, metrics = key_columns(table), list(table["metric"].unique())
    with_published = table["published"].notna().any()
    caption = "dB; mean ± standard deviation over seeds (evidence × seeds)"
    if not (table["seeds"] > 0).all():
        caption += "; what is not run yet, `unmix run` carries out"
    shown = Table(title=title, caption=caption, box=SIMPLE, padding=(0, 1, 0, 0))
    for name in keys:
        shown.add_column(name, no_wrap=True)
    for metric in metrics:
        if with_published:
            shown.add_column(f"{metric}\npaper", justify="right", no_wrap=True)
        shown.add_column(f"{metric}\nhere", justify="right", no_wrap=True)
    shown.add_column("evidence", no_wrap=True)
    for labels, lines in table.groupby(keys, sort=False):
        cells = [str(label) for label in labels]
        for _, line in lines.iterrows():
            if with_published:
                cells.append(number(line["published"]))
            cells.append(cell(line).replace(" ± ", "±"))
        first = lines.iloc[0]
        count = f" × {first['seeds']}" if first["seeds"] > 1 else ""
        shown.add_row(*cells, f"{first['fidelity']}{count}" if first["seeds"] else "not run yet")
    return shown


class Shown:
    """HTML that a notebook shows, with plain text for consoles."""

    def __init__(self, markup: str, text: str = "") -> None:
        self.markup, self.text = markup, text

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.text or "<a table; show it in a notebook>"


def page(table: pd.DataFrame, rows: Sequence[Evidence], caption: str) -> Shown:
    """Return a long table as HTML: published beside reproduced, and how it was obtained."""
    keys, metrics = key_columns(table), list(table["metric"].unique())
    with_published = bool(table["published"].notna().any())
    columns = ["paper", "here", "diff."] if with_published else ["here"]
    head = "".join(f'<th scope="col" rowspan="2">{html.escape(name)}</th>' for name in keys)
    head += "".join(
        f'<th scope="colgroup" colspan="{len(columns)}">{metric} (dB)</th>' for metric in metrics
    )
    second = "".join(f'<th scope="col">{name}</th>' for _ in metrics for name in columns)
    # Rows of different fidelity must not be taken for comparable.
    mixed = table["fidelity"].nunique() > 1
    if mixed:
        head += '<th scope="col" rowspan="2">evidence</th>'
    body = []
    for labels, lines in table.groupby(keys, sort=False):
        cells = [f'<th scope="row">{html.escape(str(label))}</th>' for label in labels]
        for _, line in lines.iterrows():
            difference = number(line["reproduced"] - line["published"], signed=True)
            values = [cell(line)]
            if with_published:
                values = [number(line["published"]), cell(line), difference]
            cells += [f"<td>{value}</td>" for value in values]
        if mixed:
            kind = lines.iloc[0]["fidelity"]
            cells.append(f'<td><span class="fidelity fidelity-{kind}">{kind}</span></td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    markup = (
        f'<div class="unmix-scroll"><table class="unmix-table">'
        f"<caption>{html.escape(caption)}</caption><thead><tr>{head}</tr><tr>{second}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f"</div><p class='unmix-provenance'>{html.escape(how(rows))}</p>"
    )
    return Shown(markup, table.to_string(index=False))


def how(rows: Sequence[Evidence]) -> str:
    """Return one paragraph on how the scores of a table were obtained."""
    done = [item for item in rows if item.runs]
    if not done:
        return "Nothing was run yet."
    runs = [run for item in done for run in item.runs]
    specs, made = [run.spec() for run in runs], [run.provenance() for run in runs]
    kinds = sorted({item.fidelity for item in done})
    scored = pd.concat([item.globals() for item in done])
    seeds = sorted({len(item.runs) for item in done})
    histories = [run.history() for run in runs]
    learning = [
        max(entry["learning_s"], history["seconds"].sum() if len(history) else 0.0)
        for entry, history in zip(made, histories, strict=True)
    ]
    parts = [
        "Evidence: " + " and ".join(f"{kind} ({FIDELITY[kind]})" for kind in kinds),
        f"dataset {_set(spec.dataset for spec in specs)}, split {_set(s.split for s in specs)}, "
        f"voice mixed at {_set(f'{s.mixing.snr_db:g} dB'.replace('-', '−') for s in specs)}",
        f"scores: BSS Eval {specs[0].evaluation.version.replace('-', ' (')}), "
        f"{specs[0].evaluation.taps} taps, whole clip, {specs[0].evaluation.source}, mean over "
        f"{_range(scored['clips'])} test clips weighted by length, "
        f"{int(scored['unscored'].max())} clips without a score",
        f"seeds a row: {_range(seeds)}; ± is their standard deviation",
    ]
    budgets = {s.training.epochs for s in specs if s.training}
    if budgets:
        parts.append(f"budget: at most {_range(budgets)} epochs a network")
    parts.append(f"learning took {min(learning):.0f} to {max(learning):.0f} s a run")
    parts.append(f"device: {_set(entry['device'] for entry in made)}")
    return ". ".join(parts) + "."


def _set(values: object) -> str:
    return ", ".join(sorted({str(value) for value in values}))  # type: ignore[attr-defined]


def _range(values: object) -> str:
    numbers = sorted({int(value) for value in values})  # type: ignore[attr-defined]
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
