"""Differences between two rows, paired by clip, with an interval over songs, and their reading."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unmix.metrics.means import COLUMNS, GLOBAL
from unmix.papers.evidence import Evidence
from unmix.papers.published import by_row
from unmix.report.tables import Shown, framed, number, scrolling, words

DRAWS = 2000
"""Bootstrap samples of songs behind an interval."""

NOTHING = "–"

Pair = tuple[str, Evidence, Evidence]
"""What is compared, in words, and the two rows (first minus second)."""


@dataclass(frozen=True)
class Difference:
    """One row minus another in one score: the paper's, and ours with its interval.

    Attributes:
        pair: what is compared, in words.
        metric: name of the global score.
        published: the paper's difference in dB; nan if it gives none.
        here: ours; nan where nothing can be compared, and `why` says why.
        low, high: ends of the interval over songs.
        songs: number of songs behind it.
        fidelity: of both rows.
        why: empty, or why there is no difference.
    """

    pair: str
    metric: str
    published: float
    here: float = math.nan
    low: float = math.nan
    high: float = math.nan
    songs: int = 0
    fidelity: str = ""
    why: str = ""

    @property
    def reading(self) -> str:
        """Return what the difference says of the paper's, by the rule of the book's reading page.

        The paper's difference has a direction unless it is zero as printed. Ours has one if its
        interval leaves zero out; an interval needs two songs. Material that is not the paper's
        stands in brackets behind.
        """
        printed = round(self.published, 2)
        if self.why or math.isnan(printed) or printed == 0.0:
            return NOTHING
        if self.low <= 0.0 <= self.high or self.songs < 2:
            word = "undecided"
        else:
            word = "as in the paper" if (self.here > 0.0) == (printed > 0.0) else "opposite"
        return word if self.fidelity == "full" else f"{word} ({self.fidelity})"

    @property
    def interval(self) -> str:
        """Return the interval as it is printed."""
        if self.why:
            return NOTHING
        return f"[{number(self.low, signed=True)}, {number(self.high, signed=True)}]"


def clip_scores(item: Evidence) -> pd.DataFrame:
    """Return a row a clip: `song`, `samples` and the metrics, means over seeds."""
    scores = pd.concat([run.scores(item.row.of) for run in item.runs])
    columns = [each for each in ("samples", *dict.fromkeys(COLUMNS.values())) if each in scores]
    return scores.groupby(["clip", "song"])[columns].mean().reset_index("song")


def paired(
    one: Evidence,
    other: Evidence,
    metric: str,
    songs: Collection[str] | None = None,
    by_length: bool = True,
) -> tuple[float, float, float, int]:
    """Return the mean of one minus other over common clips, and its interval.

    The interval is the middle 95 % of the same mean over bootstrap samples of songs (clips of one
    song are not independent), so it says how much the choice of songs matters, not of seeds.

    Args:
        one: the row that is compared.
        other: the row it is compared with.
        metric: a column of the clips' scores.
        songs: only these songs; None takes all.
        by_length: whether clips count by their length, or each the same.

    Returns:
        mean, lower and upper end, in dB, and the number of songs.
    """
    both = clip_scores(one).join(clip_scores(other)[[metric]].add_suffix(" other"), how="inner")
    if songs is not None:
        both = both[both["song"].isin(list(songs))]
    both = both.dropna(subset=[metric, f"{metric} other"])
    if both.empty:
        return float("nan"), float("nan"), float("nan"), 0
    weight = both["samples"] if by_length else pd.Series(1, index=both.index)
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


def differences(
    pairs: Sequence[Pair],
    published: pd.DataFrame,
    metrics: Sequence[str],
    songs: Collection[str] | None = None,
) -> Iterator[Difference]:
    """Yield the difference of each pair in each metric.

    Args:
        pairs: see `Pair`; rows are compared only at one fidelity.
        published: the published table in long form; empty if there is none.
        metrics: names of the global scores; others, which are not of songs, are passed over.
        songs: only these songs; None takes all.
    """
    known = by_row(published)
    for name, one, other in pairs:
        for metric in (each for each in metrics if each in COLUMNS):
            printed = [
                known.get((*item.row.keys.values(), metric), math.nan) for item in (one, other)
            ]
            line = name, metric, printed[0] - printed[1]
            if not (one.runs and other.runs):
                yield Difference(*line, why="not run yet")
            elif one.fidelity != other.fidelity:
                yield Difference(*line, why="not run on the same material")
            else:
                here, low, high, count = paired(
                    one, other, COLUMNS[metric], songs, by_length=metric in GLOBAL
                )
                why = "" if count else "no common clips"
                yield Difference(*line, here, low, high, count, one.fidelity, why)


def table(found: Sequence[Difference], caption: str) -> Shown:
    """Return differences as HTML: a block a pair, a line a score, each with its reading."""
    with_published = any(not math.isnan(line.published) for line in found)
    names = ["difference", "score", *(["paper"] if with_published else []), "here"]
    names += ["95 % over songs", "songs", *(["reading"] if with_published else []), "evidence"]
    body, before = [], ""
    for line in found:
        cells = []
        if line.pair != before:
            count = sum(other.pair == line.pair for other in found)
            cells = [f'<th scope="rowgroup" rowspan="{count}">{html.escape(words(line.pair))}</th>']
        values = [
            line.metric,
            *([number(line.published, signed=True)] if with_published else []),
            line.why or number(line.here, signed=True),
            line.interval,
            str(line.songs) if line.songs else NOTHING,
            *([line.reading] if with_published else []),
        ]
        cells += [f"<td>{value}</td>" for value in [*values, framed(line.fidelity)]]
        body.append(f"<tr{' class=first' if line.pair != before else ''}>{''.join(cells)}</tr>")
        before = line.pair
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    text = [f"{line.pair}, {line.metric}: {_text(line)}" for line in found]
    return Shown(scrolling(f"<tr>{head}</tr>", "".join(body), caption), "\n".join(text))


def _text(line: Difference) -> str:
    if line.why:
        return line.why
    over = f"{line.songs} song{'s' if line.songs != 1 else ''}"
    told = f"{number(line.here, signed=True)} {line.interval}, {over}, {line.fidelity}"
    if math.isnan(line.published):
        return told
    return f"{told}; paper {number(line.published, signed=True)}: {line.reading}"
