"""Differences between two rows, paired by clip, with an interval over songs."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from unmix.metrics.scores import GLOBAL
from unmix.papers.published import by_row
from unmix.report.evidence import Evidence
from unmix.report.tables import Shown, number

DRAWS = 2000
"""Bootstrap samples of songs behind an interval."""


def clip_scores(item: Evidence) -> pd.DataFrame:
    """Return a row a clip: `song`, `samples` and the metrics, means over seeds."""
    scores = pd.concat([run.scores() for run in item.runs])
    columns = ["samples", *GLOBAL.values()]
    return scores.groupby(["clip", "song"])[columns].mean().reset_index("song")


def paired(
    one: Evidence, other: Evidence, metric: str, songs: Collection[str] | None = None
) -> tuple[float, float, float, int]:
    """Return the length-weighted mean of one minus other over common clips, and its interval.

    The interval is the middle 95 % of the same mean over bootstrap samples of songs (clips of one
    song are not independent), so it says how much the choice of songs matters, not of seeds.

    Args:
        one: the row that is compared.
        other: the row it is compared with.
        metric: a column of the clips' scores.
        songs: only these songs; None takes all.

    Returns:
        mean, lower and upper end, in dB, and the number of songs.
    """
    both = clip_scores(one).join(clip_scores(other)[[metric]].add_suffix(" other"), how="inner")
    if songs is not None:
        both = both[both["song"].isin(list(songs))]
    both = both.dropna()
    if both.empty:
        return float("nan"), float("nan"), float("nan"), 0
    weight = both["samples"]
    grouped = pd.DataFrame(
        {
            "sum": ((both[metric] - both[f"{metric} other"]) * weight),
            "weight": weight,
            "song": both["song"],
        }
    )
    sums = grouped.groupby("song")[["sum", "weight"]].sum().to_numpy()
    rng = np.random.default_rng(0)
    draws = sums[rng.integers(len(sums), size=(DRAWS, len(sums)))].sum(axis=1)
    low, high = np.quantile(draws[:, 0] / draws[:, 1], [0.025, 0.975])
    return float(sums[:, 0].sum() / sums[:, 1].sum()), float(low), float(high), len(sums)


def table(
    pairs: Sequence[tuple[str, Evidence, Evidence]],
    published: pd.DataFrame,
    metrics: Sequence[str],
    caption: str,
    songs: Collection[str] | None = None,
) -> Shown:
    """Return differences as HTML: a line a pair, published beside here with its interval.

    Args:
        pairs: what is compared, in words, and the two rows (first minus second).
        published: the published table in long form; empty if there is none.
        metrics: names of the global scores.
        caption: of the table.
        songs: only these songs; None takes all.
    """
    known = by_row(published)
    body, text = [], []
    for words, one, other in pairs:
        cells = [f'<th scope="row">{html.escape(words)}</th>']
        for metric in metrics:
            printed = [
                known.get((*item.row.keys.values(), metric), float("nan")) for item in (one, other)
            ]
            here = "not run yet"
            if one.runs and other.runs:
                mean, low, high, count = paired(one, other, GLOBAL[metric], songs)
                interval = f"[{number(low, signed=True)}, {number(high, signed=True)}]"
                here = f"{number(mean, signed=True)} {interval}" if count else "no common clips"
            if known:
                cells.append(f"<td>{number(printed[0] - printed[1], signed=True)}</td>")
            cells.append(f"<td>{here}</td>")
            text.append(f"{words}, {metric}: {here}")
        body.append(f"<tr>{''.join(cells)}</tr>")
    columns = ("paper", "here [95 % over songs]") if known else ("here [95 % over songs]",)
    head = '<th scope="col" rowspan="2">difference</th>' + "".join(
        f'<th scope="colgroup" colspan="{len(columns)}">{metric} (dB)</th>' for metric in metrics
    )
    second = "".join(f'<th scope="col">{name}</th>' for _ in metrics for name in columns)
    return Shown(
        f'<div class="unmix-scroll"><table class="unmix-table">'
        f"<caption>{html.escape(caption)}</caption><thead><tr>{head}</tr><tr>{second}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>",
        "\n".join(text),
    )
