"""Global scores: means over the clips of a run, as papers report them. Needs no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd

CEILING = 100.0
"""Scores beyond it, in dB, are set to it (below zero likewise): what is left is rounding noise. The
mixture as an estimate has no artefacts at all, so its SAR is infinite in exact arithmetic."""

GLOBAL = {"GNSDR": "nsdr", "GSDR": "sdr", "GSIR": "sir", "GSAR": "sar"}
"""Global scores: the name in the papers, and the clips' metric that is averaged by length."""

PLAIN = {"NSDR": "nsdr", "SDR": "sdr", "SIR": "sir", "SAR": "sar"}
"""Plain means over clips, each clip counting the same (lai Tables 2 and 3)."""

COLUMNS = {**GLOBAL, **PLAIN}
"""Every score of a table, and the clips' metric behind it."""


def of_part(scores: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """Return the clips of one part; runs that scored the test part alone do not name it."""
    if "part" in scores:
        return scores[scores["part"] == part].drop(columns="part").reset_index(drop=True)
    return scores if part == "test" else scores.iloc[:0]


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
        values = scored[column].to_numpy(float)
        counting = weighed(scored, name)["samples"].to_numpy(float)
        result[name] = float(np.average(values, weights=counting)) if len(values) else float("nan")
    result["clips"] = len(scored)
    result["unscored"] = len(scores) - len(scored)
    return result
