"""Global scores: means over the clips of a run, as papers report them. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

CEILING = 100.0
"""Scores beyond it, in dB, are set to it (below zero likewise): what is left is rounding noise. The
mixture as an estimate has no artefacts at all, so its SAR is infinite in exact arithmetic."""

AND = " and "

GLOBAL = {"GNSDR": "nsdr", "GSDR": "sdr", "GSIR": "sir", "GSAR": "sar"}
"""Global scores: the name in the papers, and the clips' metric that is averaged by length."""

PLAIN = {"NSDR": "nsdr", "SDR": "sdr", "ISR": "isr", "SIR": "sir", "SAR": "sar"}
"""Plain means over clips, each clip counting the same (lai Tables 2 and 3); ISR is of images."""

COLUMNS = {**GLOBAL, **PLAIN}
"""Every score of a table, and the clips' metric behind it."""


def selected(scores: pd.DataFrame, of: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the clips that a row of a table is about, out of all that a run scored.

    Args:
        scores: of a run. It names the `part` of the split where more than the test part was
            scored, the `variant` where its separator has several answers to a mixture, and the
            `version` of BSS Eval where there are several.
        of: columns and what they must be, one of several joined by `AND`. Where it says nothing it
            is the test part, the last variant, the first version, and every source that was scored.
    """
    wanted = {"part": "test", **(of or {})}
    for column, usual in (("variant", -1), ("version", 0)):
        if column in scores and len(scores):
            wanted.setdefault(column, scores[column].iloc[usual])
    for column, value in wanted.items():
        if column in scores:
            scores = scores[scores[column].isin(value.split(AND))]
        elif column != "part" or value != "test":
            scores = scores.iloc[:0]
    return scores.drop(columns=["part", "variant", "version"], errors="ignore").reset_index(
        drop=True
    )


def weighed(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the clips with what each counts in a score of `COLUMNS` in the column `samples`.

    That is its length, or 1 where the mean is a plain one.
    """
    return scores if metric in GLOBAL else scores.assign(samples=1)


def global_scores(scores: pd.DataFrame) -> dict[str, float]:
    """Return the means under the papers' names, and counts.

    Those of `GLOBAL` are weighted by length (parwal Eq. 3, lai Eqs. 14 to 17), those of `PLAIN`
    are not. Clips without a score (a silent reference or estimate) are left out and counted in
    `unscored`; `clips` counts the others.
    """
    scored = scores.dropna(subset=list(GLOBAL.values()))
    result: dict[str, float] = {}
    for name, column in COLUMNS.items():
        if column not in scored:
            continue
        values = scored[column].to_numpy(float)
        counting = weighed(scored, name)["samples"].to_numpy(float)
        result[name] = float(np.average(values, weights=counting)) if len(values) else float("nan")
    result["clips"] = len(scored)
    result["unscored"] = len(scores) - len(scored)
    return result
