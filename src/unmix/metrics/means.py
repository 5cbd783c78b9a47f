"""Global scores: means over the clips of a run, as papers report them. Needs no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd

CEILING = 100.0
"""Scores beyond it, in dB, are set to it (below zero likewise): what is left is rounding noise. The
mixture as an estimate has no artefacts at all, so its SAR is infinite in exact arithmetic."""

GLOBAL = {"GNSDR": "nsdr", "GSDR": "sdr", "GSIR": "sir", "GSAR": "sar"}
"""Global scores: the name in the papers, and the clips' metric that is averaged."""


def global_scores(scores: pd.DataFrame) -> dict[str, float]:
    """Return the length-weighted means (parwal Eq. 3) under the papers' names, and counts.

    Clips without a score (a silent reference or estimate) are left out and counted in
    `unscored`; `clips` counts the others.
    """
    scored = scores.dropna(subset=list(GLOBAL.values()))
    weights = scored["samples"].to_numpy(float)
    result: dict[str, float] = {}
    for name, column in GLOBAL.items():
        values = scored[column].to_numpy(float)
        result[name] = float(np.average(values, weights=weights)) if len(values) else float("nan")
    result["clips"] = len(scored)
    result["unscored"] = len(scores) - len(scored)
    return result
