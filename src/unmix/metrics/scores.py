"""What papers report: normalised SDR, and means over clips weighted by length.

A table of scores has a row a clip and the columns `clip`, `song`, `artist`, `samples`, `source`,
`sdr`, `sir`, `sar`, `mixture_sdr`, `nsdr`; scores in dB.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from unmix.datasets.track import Clip
from unmix.metrics.bsseval import bss_eval_sources

GLOBAL = {"GNSDR": "nsdr", "GSDR": "sdr", "GSIR": "sir", "GSAR": "sar"}
"""Global scores: the name in the papers, and the clips' metric that is averaged."""


def score_clip(
    clip: Clip,
    references: Mapping[str, np.ndarray],
    mixture: np.ndarray,
    estimates: Mapping[str, np.ndarray],
    source: str,
    taps: int,
) -> dict[str, object]:
    """Return one row of scores; the mixture is scored with the same factorisation.

    Args:
        clip: whose sound it is.
        references: true sound by source, each `(1, samples)`.
        mixture: `(1, samples)`; its SDR is what NSDR is measured from (parwal Eq. 2).
        estimates: a separator's, as the references.
        source: the source to score.
        taps: length of the distortion filters.
    """
    names = list(references)
    true = _stacked(references, names)
    systems = torch.stack(
        [_stacked(estimates, names), torch.from_numpy(mixture).expand(len(names), -1)]
    )
    j = names.index(source)
    sdr, sir, sar = (
        values[:, j].tolist() for values in bss_eval_sources(true, systems, taps, targets=[j])
    )
    return {
        "clip": clip.name,
        "song": clip.song,
        "artist": clip.artist,
        "samples": mixture.shape[1],
        "source": source,
        "sdr": sdr[0],
        "sir": sir[0],
        "sar": sar[0],
        "mixture_sdr": sdr[1],
        "nsdr": sdr[0] - sdr[1],
    }


def _stacked(sounds: Mapping[str, np.ndarray], names: list[str]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([sounds[name] for name in names]))


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
