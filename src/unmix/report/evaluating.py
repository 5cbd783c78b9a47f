"""Scoring files: references and estimates from two folders or two files, as a table and as JSON."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from unmix import files
from unmix.errors import UnmixError, one_of
from unmix.metrics.bsseval import METRICS, Scores, bss_eval, names_of
from unmix.metrics.exchange import from_museval, to_museval
from unmix.metrics.scores import over_frames, tidy
from unmix.report.pairing import Sounds, gather
from unmix.runs.spec import BACKENDS


@dataclass(frozen=True)
class Evaluation:
    """Scores of files, and how they came about.

    Attributes:
        frames: tidy, see `unmix.metrics.scores`.
        metric: one of `METRICS`.
        taps: length of the distortion filters.
        rate: in Hz.
        window: length of a frame in s; None: scores are of the whole signals.
        hop: from frame to frame in s.
        notes: what was changed or left out, a sentence each.
        backend: who computed the scores.
    """

    frames: pd.DataFrame
    metric: str
    taps: int
    rate: int
    window: float | None = None
    hop: float | None = None
    notes: tuple[str, ...] = ()
    backend: str = "unmix"

    @property
    def framewise(self) -> bool:
        """Whether scores are of frames."""
        return self.window is not None

    @property
    def aggregation(self) -> str:
        """What a source's one number is."""
        return "median of frames" if self.framewise else "whole signal"

    @property
    def names(self) -> tuple[str, ...]:
        """The scores that the metric has."""
        return names_of(self.metric)

    def totals(self) -> pd.DataFrame:
        """Return one row a source, one column a score, and the number of frames without a score."""
        aggregated = over_frames(self.frames)
        table = aggregated.pivot(index="source", columns="score", values="value")
        order = list(dict.fromkeys(self.frames["source"]))
        table = table.reindex(index=order, columns=list(self.names))
        sdr = aggregated[aggregated["score"] == "SDR"].set_index("source")
        return table.assign(frames=sdr["frames"] + sdr["unscored"], unscored=sdr["unscored"])

    def plain(self) -> dict[str, Any]:
        """Return the evaluation as it stands in a JSON file; undefined scores are null."""
        sources: dict[str, Any] = {}
        for source, row in self.totals().iterrows():
            found: dict[str, Any] = {name: _plain(row[name]) for name in self.names}
            if self.framewise:
                found["frames"] = self._frames_of(str(source))
            sources[str(source)] = found
        return {
            "metric": self.metric,
            "taps": self.taps,
            "rate": self.rate,
            **({"window": self.window, "hop": self.hop} if self.framewise else {}),
            "aggregation": self.aggregation,
            "backend": self.backend,
            "notes": list(self.notes),
            "sources": sources,
        }

    def _frames_of(self, source: str) -> list[dict[str, Any]]:
        rows = self.frames[self.frames["source"] == source]
        table = rows.pivot(index=["time", "duration"], columns="score", values="value")
        return [
            {name: _plain(row[name]) for name in ("time", "duration", *self.names)}
            for row in table.reset_index().to_dict("records")
        ]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def evaluate_files(
    references: Path,
    estimates: Path,
    metric: str = "sdr-v3",
    *,
    taps: int = 512,
    window: float | None = None,
    hop: float | None = None,
    align: bool = False,
    permute: bool = False,
    backend: str = "unmix",
) -> Evaluation:
    """Score the files of two folders, or one file against one.

    Args:
        references: folder of true sources, a file each, or a file.
        estimates: folder of files with the same names (endings may differ), or a file.
        metric: one of `unmix.metrics.bsseval.METRICS`.
        taps: length of the distortion filters.
        window: length of a frame in s; None: the whole, for `v4` one second.
        hop: from frame to frame in s; None: the window.
        align: whether estimates of another rate, length or number of channels are brought to the
            references'.
        permute: whether to find the order of the estimates with the best mean SIR.
        backend: `unmix` or `museval`.

    Raises:
        UnmixError: files do not belong together, cannot be read, or a setting is unknown.
    """
    for what, seconds in (("window", window), ("hop", hop)):
        if seconds is not None and not 0 < seconds < math.inf:
            raise UnmixError(f"a {what} of {seconds:g} s", expected="a positive number of seconds")
    for what, value, known in (("metric", metric, METRICS), ("backend", backend, BACKENDS)):
        if value not in known:
            raise UnmixError(one_of(what, value, known), expected=", ".join(known))
    sounds = gather(Path(references), Path(estimates), align, permute)
    if metric == "v4" and window is None:
        window = 1.0
    wide, step = _samples(window, sounds.rate), _samples(hop, sounds.rate)
    ask = bss_eval if backend == "unmix" else _museval
    scores = ask(
        sounds.references,
        sounds.estimates[None],
        metric,
        taps=taps,
        window=wide,
        hop=step,
        permute=permute,
    )
    if permute:
        sounds.notes.extend(_order(scores, sounds.names))
    sounds.notes.extend(_doubts(sounds, taps, wide, step))
    length = sounds.references.shape[-1]
    frames = tidy(
        scores,
        sounds.names,
        metric,
        taps=taps,
        rate=sounds.rate,
        samples=length,
        window=wide,
        hop=step,
    )
    said = tuple(sounds.notes)
    return Evaluation(frames, metric, taps, sounds.rate, window, hop or window, said, backend)


def _museval(*sounds: torch.Tensor | str, **settings: Any) -> Scores:
    from unmix.metrics.referee import museval_scores

    return museval_scores(*sounds, **settings)  # type: ignore[arg-type]


def _order(scores: Scores, names: list[str]) -> list[str]:
    """Say which estimates were taken for which sources."""
    notes = []
    for name, numbers in zip(names, scores.permutation[0].tolist(), strict=True):
        taken = dict.fromkeys(names[number] for number in numbers)
        if list(taken) != [name]:
            notes.append(f"{name}: best matched by the estimate of {', '.join(taken)}")
    return notes


def _doubts(sounds: Sounds, taps: int, window: int | None, hop: int | None) -> list[str]:
    """Say what a reader of the scores should know about these sounds."""
    sources, channels, samples = sounds.references.shape
    notes = []
    for kind, stack in (("reference", sounds.references), ("estimate", sounds.estimates)):
        silent = [n for n, sound in zip(sounds.names, stack, strict=True) if not sound.any()]
        notes += [f"{name}: the {kind} is silent throughout" for name in silent]
    if sources == 1:
        notes.append("one source: there is no interference to be measured, so no SIR")
    length = min(window or samples, samples)
    if length < 4 * taps * channels * sources:
        notes.append(
            f"{length} samples are few for {taps * channels * sources} filter taps, which explain "
            "much of anything: scores are too good"
        )
    rest = (samples - length) % (hop or length)
    if rest:
        notes.append(f"the last {rest / sounds.rate:.2f} s are in no frame, and not scored")
    if window is not None and window > samples:
        notes.append(f"the sounds are shorter than a window: one frame of {samples} samples")
    return notes


def _samples(seconds: float | None, rate: int) -> int | None:
    return None if seconds is None else round(seconds * rate)


VERSIONS = {"sdr-v3": "3, sources", "images-v3": "3, images", "v4": "4, images"}


def heading(evaluation: Evaluation) -> str:
    """Say which scores these are: version, taps, aggregation, units."""
    frames = ""
    if evaluation.framewise:
        frames = f" of {evaluation.window:g} s every {evaluation.hop:g} s"
    version = VERSIONS[evaluation.metric]
    if (evaluation.metric, evaluation.taps) == ("sdr-v3", 1):
        version = "2, gain only"
    return (
        f"BSS Eval {version} ({evaluation.metric}), {evaluation.taps} "
        f"tap{'s' * (evaluation.taps > 1)}, "
        f"{evaluation.aggregation}{frames}, dB"
    )


def printed(evaluation: Evaluation, beside: pd.DataFrame | None = None) -> Any:
    """Return a rich table of the scores; `beside` gives others' scores, see `read_beside`."""
    from rich.table import Table

    table = Table()
    table.add_column("source")
    for name in evaluation.names:
        table.add_column(name, justify="right")
        if beside is not None:
            table.add_column("theirs", justify="right")
    for source, row in evaluation.totals().iterrows():
        others = [] if beside is None else [beside.loc[str(source)]]
        cells = [_cell(each[name]) for name in evaluation.names for each in (row, *others)]
        table.add_row(str(source), *cells)
    return table


def _cell(value: Any) -> str:
    return "undefined" if math.isnan(value) else f"{value:.2f}"


def read_beside(path: Path, evaluation: Evaluation) -> pd.DataFrame:
    """Return the medians of one of museval's files, a row for each source of `evaluation`.

    Raises:
        UnmixError: the file is no such file, or lacks a source.
    """
    _framewise_images(evaluation, "others' scores of museval can stand beside")
    table = over_frames(from_museval(path)).pivot(index="source", columns="score", values="value")
    sources = list(dict.fromkeys(evaluation.frames["source"]))
    if missing := [source for source in sources if source not in table.index]:
        raise UnmixError(
            f"{path}: has no scores of {', '.join(missing)}",
            expected=f"the sources {', '.join(sources)}",
            do=f"compare with an evaluation of the same track; this one has {list(table.index)}",
        )
    return table.reindex(index=sources, columns=list(evaluation.names))


def remarks(evaluation: Evaluation) -> list[str]:
    """Say what was done to the files, and what could not be scored."""
    found = list(evaluation.notes)
    totals = evaluation.totals()
    for source, row in totals[totals["unscored"] > 0].iterrows():
        frames = f"{row['unscored']:.0f} of {row['frames']:.0f} frames " * evaluation.framewise
        found.append(f"{source}: {frames}not scored, a source or an estimate is silent")
    return found


def as_json(evaluation: Evaluation) -> str:
    """Return the evaluation as JSON text."""
    return json.dumps(evaluation.plain(), indent=1, allow_nan=False) + "\n"


def as_csv(evaluation: Evaluation) -> str:
    """Return the tidy frames as CSV text."""
    return evaluation.frames.to_csv(index=False, float_format="%.9g")


def _framewise_images(evaluation: Evaluation, what: str) -> None:
    """Refuse scores that are not what museval's files hold.

    Raises:
        UnmixError: they are of wholes, or of sources.
    """
    if evaluation.metric == "sdr-v3" or not evaluation.framewise:
        raise UnmixError(
            f"{what} scores of frames and images, not {evaluation.metric} of the whole signal",
            expected="--metric v4, or --metric images-v3 with --window",
        )


def as_museval(evaluation: Evaluation) -> str:
    """Return the frames as museval writes them."""
    _framewise_images(evaluation, "museval's files hold")
    return json.dumps(to_museval(evaluation.frames), indent=2) + "\n"


def write(path: Path, text: str) -> None:
    """Write a text, whole or not at all; `-` is standard output.

    Raises:
        UnmixError: the file cannot be written.
    """
    if path == Path("-"):
        sys.stdout.write(text)
        return
    try:
        files.put(path, text)
    except OSError as error:
        raise UnmixError(
            f"{path}: could not be written ({error.strerror})",
            do="check that its folder exists, and that there is space",
        ) from error
