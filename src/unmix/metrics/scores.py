"""What papers report: normalised SDR, length-weighted means, medians over frames and tracks.

Two forms of tables:

- a paper's **clip rows** (`score_answers`): a row a clip and source, with the columns `clip`,
  `song`, `artist`, `samples`, `source`, `sdr`, `sir`, `sar`, `mixture_sdr`, `nsdr`, for images
  `isr`, and where a clip is scored in frames `frames` and `silent`, how many have scores and not;
- **tidy frames** (`tidy`): a row a track, frame, source and score, with the columns of `TIDY`;
  every row says by which version of BSS Eval, with how many taps and with what weighting it came
  about, so that tables of different origin can be put one below the other.

Scores are in dB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from unmix.datasets.track import Clip
from unmix.metrics.bsseval import Scores, bss_eval, names_of
from unmix.metrics.means import GLOBAL as GLOBAL
from unmix.metrics.means import global_scores as global_scores

TIDY = (
    "track",
    "system",
    "source",
    "frame",
    "time",
    "duration",
    "score",
    "value",
    "metric",
    "taps",
    "weighting",
)
"""Columns of tidy frames; `time` and `duration` in seconds, `weighting` says over what `value` is
a mean or median (`none`: one frame or clip)."""


VERSIONS = {"3-sources": "sdr-v3", "3-images": "images-v3"}
"""Versions of BSS Eval that clip rows know, and the metric of `bsseval` that each is."""

SOURCES = "3-sources"


def score_clip(
    clip: Clip,
    references: Mapping[str, np.ndarray],
    mixture: np.ndarray,
    estimates: Mapping[str, np.ndarray],
    source: str,
    taps: int,
    backend: str = "unmix",
) -> dict[str, object]:
    """Return the row of one source of one separator's estimates, see `score_answers`."""
    (row,) = score_answers(clip, references, mixture, {"": estimates}, [source], taps, backend)
    return row


def score_answers(
    clip: Clip,
    references: Mapping[str, np.ndarray],
    mixture: np.ndarray,
    answers: Mapping[str, Mapping[str, np.ndarray]],
    sources: Sequence[str],
    taps: int,
    backend: str = "unmix",
    versions: Sequence[str] = (SOURCES,),
    frames: tuple[int, int] | None = None,
) -> list[dict[str, object]]:
    """Return a row of scores for each version of BSS Eval, answer and source.

    The mixture is scored beside the estimates. Rows of a named answer have the column `variant`,
    and where there are several versions the column `version`.

    Args:
        clip: whose sound it is.
        references: true sound by source, each `(channels, samples)`.
        mixture: of that shape; its SDR is what NSDR is measured from (parwal Eq. 2).
        answers: estimates as the references, by name; the name of an only answer may be empty.
        sources: those to score.
        taps: length of the distortion filters.
        backend: `unmix`, or `museval` for the referee's opinion.
        versions: some of `VERSIONS`.
        frames: length and hop in samples of the frames whose scores are averaged; None: the clip
            is scored whole. A frame with a silent reference or estimate has no scores.
    """
    names = list(references)
    true = _stacked(references, names)
    systems = torch.stack(
        [
            *(_stacked(estimates, names) for estimates in answers.values()),
            torch.from_numpy(mixture).expand_as(true),
        ]
    )
    rows: list[dict[str, object]] = []
    for version in versions:
        found = _scored(true, systems, VERSIONS[version], taps, backend, frames)
        for number, variant in enumerate(answers):
            for source in sources:
                j = names.index(source)
                row = _about(clip, mixture.shape[1], source)
                row |= {"variant": variant} if variant else {}
                row |= {"version": version} if len(versions) > 1 else {}
                row |= {name: values[number][j] for name, values in found.items()}
                before = found["sdr"][-1][j]
                row |= {"mixture_sdr": before, "nsdr": found["sdr"][number][j] - before}
                rows.append(row)
    return rows


def _scored(
    true: torch.Tensor,
    systems: torch.Tensor,
    metric: str,
    taps: int,
    backend: str,
    frames: tuple[int, int] | None,
) -> dict[str, list[list[float]]]:
    """Return the scores that a metric has by their columns, each by system and source."""
    window, hop = frames or (None, None)
    if backend == "museval":
        from unmix.metrics.referee import museval_scores

        parts = [
            museval_scores(true, system[None], metric, taps=taps, window=window, hop=hop)
            for system in systems
        ]
    else:
        parts = [bss_eval(true, systems, metric, taps=taps, window=window, hop=hop)]
    found = {
        name.lower(): torch.cat([getattr(each, name.lower()) for each in parts])
        for name in names_of(metric)
    }
    means = {name: values.nanmean(-1).tolist() for name, values in found.items()}
    if frames:
        there = torch.isfinite(found["sdr"]).sum(-1)
        means["frames"] = there.tolist()
        means["silent"] = (found["sdr"].shape[-1] - there).tolist()
    return means


def unscored(
    clip: Clip, samples: int, sources: Sequence[str], versions: Sequence[str] = (SOURCES,)
) -> list[dict[str, object]]:
    """Return the rows of a clip that cannot be scored, of `samples` samples."""
    missing = dict.fromkeys(("sdr", "sir", "sar", "mixture_sdr", "nsdr"), float("nan"))
    return [
        {
            **_about(clip, samples, source),
            **({"version": version} if len(versions) > 1 else {}),
            **missing,
        }
        for version in versions
        for source in sources
    ]


def _about(clip: Clip, samples: int, source: str) -> dict[str, object]:
    """Return the columns that say what a row is of."""
    return {
        "clip": clip.name,
        "song": clip.song,
        "artist": clip.artist,
        "samples": samples,
        "source": source,
    }


def _stacked(sounds: Mapping[str, np.ndarray], names: list[str]) -> torch.Tensor:
    return torch.from_numpy(np.stack([sounds[name] for name in names]))


def tidy(
    scores: Scores,
    sources: Sequence[str],
    metric: str,
    *,
    taps: int,
    rate: int,
    samples: int,
    window: int | None = None,
    hop: int | None = None,
    track: str = "",
    systems: Sequence[str] = ("",),
) -> pd.DataFrame:
    """Return the scores of one track as tidy frames.

    Args:
        scores: of shape `(systems, sources, frames)`.
        sources: their names.
        metric: by which the scores came about.
        taps: length of the distortion filters.
        rate: in Hz.
        samples: length of the track.
        window: length of a frame in samples; None: the whole.
        hop: samples from frame to frame; None: the window.
        track: its name.
        systems: their names.
    """
    length = min(window or samples, samples)
    step = hop or length
    found = {name: scores.named()[name].cpu().numpy() for name in names_of(metric)}
    rows = [
        (track, system, source, t, t * step / rate, length / rate, name, values[y, j, t])
        for name, values in found.items()
        for y, system in enumerate(systems)
        for j, source in enumerate(sources)
        for t in range(values.shape[2])
    ]
    table = pd.DataFrame(rows, columns=list(TIDY[:8]))
    return table.assign(metric=metric, taps=taps, weighting="none")


def over_frames(table: pd.DataFrame, how: str = "median") -> pd.DataFrame:
    """Return the median or mean over the frames of each track, tidy, without undefined frames.

    Added columns: `frames`, how many a value stands for, and `unscored`, how many had no score.
    """
    by = ["track", "system", "source", "score", "metric", "taps"]
    return _reduced(table, by, how, "frames").assign(weighting=f"{how} of frames")


def over_tracks(table: pd.DataFrame, how: str = "median") -> pd.DataFrame:
    """Return the median or mean over tracks of what `over_frames` gives (SiSEC: both medians).

    Added columns: `tracks`, how many a value stands for, and `unscored`, how many had no score.
    """
    by = ["system", "source", "score", "metric", "taps", "weighting"]
    found = _reduced(table, by, how, "tracks")
    return found.assign(weighting=found["weighting"] + f", {how} of tracks")


def _reduced(table: pd.DataFrame, by: list[str], how: str, counted: str) -> pd.DataFrame:
    """Reduce the values of each group; count those that there are, and those that are not."""
    groups = table.groupby(by, sort=False, dropna=False)["value"]
    found = groups.agg(value=how, count="count", size="size").reset_index()
    found["unscored"] = found.pop("size") - found["count"]
    return found.rename(columns={"count": counted})
