"""museval's JSON files, read and written, so that evaluations from elsewhere can stand beside ours.

A file holds one track: `{"targets": [{"name", "frames": [{"time", "duration", "metrics": {"SDR",
"SIR", "ISR", "SAR"}}]}]}`, in dB and seconds. Undefined scores are NaN there, in the JavaScript
spelling that museval itself writes and reads.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from unmix.errors import UnmixError
from unmix.metrics.scores import TIDY


def to_museval(table: pd.DataFrame) -> dict[str, Any]:
    """Return tidy frames of one track and one system in museval's form."""
    targets = []
    for source, of_source in table.groupby("source", sort=False):
        frames = []
        for _, of_frame in of_source.groupby("frame", sort=True):
            first = of_frame.iloc[0]
            metrics = dict(zip(of_frame["score"], of_frame["value"].astype(float), strict=True))
            frames.append(
                {
                    "time": float(first["time"]),
                    "duration": float(first["duration"]),
                    "metrics": {"ISR": math.nan, **metrics},
                }
            )
        targets.append({"name": source, "frames": frames})
    return {"targets": targets}


def from_museval(path: Path | str, metric: str = "v4", system: str = "museval") -> pd.DataFrame:
    """Read one of museval's files as tidy frames.

    Args:
        path: the file; its name without the ending becomes the track's.
        metric: what the file holds (it does not say): `v4`, or `images-v3` for museval's mode v3.
        system: name for the evaluated system.

    Raises:
        UnmixError: the file is missing, or not in museval's form.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            (path.stem, system, target["name"], number, *_times(frame), name, _number(value))
            for target in data["targets"]
            for number, frame in enumerate(target["frames"])
            for name, value in frame["metrics"].items()
        ]
    except OSError as error:
        raise UnmixError(
            f"{path}: cannot be read ({error.strerror})", do="check the name and the folder"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnmixError(
            f"{path}: not an evaluation as museval writes it ({type(error).__name__}: {error})",
            expected='JSON with "targets", their "frames" and each frame\'s "metrics"',
        ) from error
    table = pd.DataFrame(rows, columns=list(TIDY[:8]))
    return table.assign(metric=metric, taps=512, weighting="none")


def _times(frame: dict[str, Any]) -> tuple[float, float]:
    return float(frame["time"]), float(frame["duration"])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
