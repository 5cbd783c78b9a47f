"""What is still to do, and how long it will take, from what earlier runs took."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unmix.datasets.track import Dataset
from unmix.errors import UnmixError
from unmix.models.separator import describe
from unmix.runs.execute import key
from unmix.runs.rounds import counts, rounds
from unmix.runs.spec import Spec
from unmix.runs.store import Run, Store

WORKERS = (1, 8, 64)
"""Numbers of workers that a plan is made for."""

PROCESS_MB = 300.0
"""Memory of a process with torch before it has any data, in MB: it does not grow with the clips."""


@dataclass(frozen=True)
class Known:
    """What a stored run took.

    Attributes:
        key: of the run.
        spec: what was done.
        clips: number of clips of each part.
        passes: over the training part, in epochs or in iterations of its separator; else 1.
        learning_s: time to train or fit, in seconds.
        rest_s: time of all else, mostly separating and scoring, in seconds.
        memory_mb: the process's peak, which may be an earlier run's in that process.
        device: `cpu` or `cuda`.
    """

    key: str
    spec: Spec
    clips: Mapping[str, int]
    passes: int
    learning_s: float
    rest_s: float
    memory_mb: float
    device: str


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        label: what the run is called.
        key: of the run.
        seconds: wall time on one worker; None where nothing tells it.
        memory_mb: peak memory; None likewise.
        how: how it was estimated, or why it was not.
    """

    label: str
    key: str
    seconds: float | None
    memory_mb: float | None
    how: str


@dataclass(frozen=True)
class Plan:
    """The runs that are still to do.

    Attributes:
        stored: how many runs are done already.
        runs: those that are not, in the order of the specs.
        device: `cpu` or `cuda`.
    """

    stored: int
    runs: tuple[Estimate, ...]
    device: str

    @property
    def unknown(self) -> tuple[Estimate, ...]:
        """Return the runs that cannot be estimated."""
        return tuple(run for run in self.runs if run.seconds is None)

    @property
    def memory_mb(self) -> float | None:
        """Return the most memory that a run takes."""
        return max((run.memory_mb for run in self.runs if run.memory_mb is not None), default=None)

    def seconds(self, workers: int) -> float:
        """Return how long the runs that can be estimated take on so many workers."""
        return makespan([run.seconds for run in self.runs if run.seconds is not None], workers)

    def plain(self) -> dict[str, Any]:
        """Return the plan as dictionaries, lists and scalars."""
        return {
            "device": self.device,
            "stored": self.stored,
            "runs": [vars(run) for run in self.runs],
            "not_estimated": len(self.unknown),
            "peak_memory_mb": self.memory_mb,
            "seconds": {str(count): self.seconds(count) for count in WORKERS},
        }


def makespan(seconds: Iterable[float], workers: int) -> float:
    """Return when the last worker is done if the longest job always goes first."""
    busy = [0.0] * workers
    for job in sorted(seconds, reverse=True):
        heapq.heapreplace(busy, busy[0] + job)
    return max(busy)


def known(runs: Iterable[Run]) -> list[Known]:
    """Return what runs took, a run each; those that do not say it are left out."""
    found: dict[str, Known] = {}
    for run in runs:
        try:
            about, spec = run.provenance(), run.spec()
            learning = float(about["learning_s"])
            found[run.key] = Known(
                run.key,
                spec,
                {part: int(about["clips"][part]) for part in ("train", "valid", "test")},
                max(1, len(run.history())) if spec.training else _passes(spec),
                learning,
                max(0.0, float(about["wall_s"]) - learning),
                float(about["peak_memory_mb"]),
                "cpu" if about["repeatable"] else "cuda",
            )
        except (UnmixError, KeyError, TypeError, ValueError):
            # Evidence of an older layout is no reason to refuse a plan.
            continue
    return list(found.values())


def make(
    specs: Sequence[Spec],
    labels: Sequence[str],
    opened: Mapping[Any, Dataset],
    store: Store,
    evidence: Iterable[Run],
    device: str = "cpu",
) -> Plan:
    """Return what is not stored yet, with estimates.

    Args:
        specs: what is wanted; doubles count once.
        labels: names of the specs.
        opened: the dataset for each pair of a spec's `dataset` and `clips`.
        store: where runs are kept.
        evidence: runs that may tell how long others take.
        device: `cpu` or a CUDA device; only runs on the same kind count.
    """
    kind = "cpu" if device == "cpu" else "cuda"
    like = [item for item in known(evidence) if item.device == kind]
    stored, runs = set(), {}
    for spec, label in zip(specs, labels, strict=True):
        dataset = opened[spec.dataset, spec.clips]
        name = key(spec, dataset)
        if store.get(name) is not None:
            stored.add(name)
        elif name not in runs:
            clips = counts(rounds(spec, dataset))
            runs[name] = Estimate(label, name, *estimate(spec, clips, like))
    return Plan(len(stored), tuple(runs.values()), kind)


def estimate(
    spec: Spec, clips: Mapping[str, int], like: Sequence[Known]
) -> tuple[float | None, float | None, str]:
    """Return seconds, MB, and how they were found, for a run.

    Runs of the same family tell it directly. Else the nearest run does, among those with the same
    kind of separator and number of layers, the one with the fewest other settings: its learning
    is scaled by training clips x passes, the rest by test clips. What is another run's dataset
    is said, since its clips may be of another length.
    """
    family = [item for item in like if item.spec.family() == spec.family()]
    if family:
        seconds = statistics.median(item.learning_s + item.rest_s for item in family)
        memory = max(item.memory_mb for item in family)
        count = "1 run" if len(family) == 1 else f"median of {len(family)} runs"
        return seconds, memory, f"{count} of the same settings"
    same = [item for item in like if _sort(item.spec) == _sort(spec)]
    if not same:
        return None, None, f"no known run of {_words(spec)}"
    settings = _flat(spec.plain())
    near = min(same, key=lambda item: _differences(_flat(item.spec.plain()), settings))
    other = _differences(_flat(near.spec.plain()), settings)
    more = clips["train"] / max(1, near.clips["train"])
    tested = clips["test"] / max(1, near.clips["test"])
    longer = more * _passes(spec) / near.passes
    learning = near.learning_s * longer
    memory = near.memory_mb + max(0.0, near.memory_mb - PROCESS_MB) * max(0.0, more - 1.0)
    of = "" if near.spec.dataset == spec.dataset else f" on {near.spec.dataset}"
    how = f"run {near.key[:8]}{of}, {other} setting{'s' * (other != 1)} apart: learning "
    how += f"x {longer:.2g}, scoring x {tested:.2g}"
    return learning + near.rest_s * tested, memory, how


def _passes(spec: Spec) -> int:
    """Return how often training goes over its part: at most, where it may stop early."""
    if spec.training:
        return spec.training.epochs
    return getattr(spec.separator, "iterations", 1)


def _sort(spec: Spec) -> tuple[Any, ...]:
    """Return what two specs must share for one to tell how long the other takes."""
    layers = getattr(spec.separator, "layers", None)
    return describe(spec.separator), layers, spec.evaluation.backend


def _words(spec: Spec) -> str:
    kind, layers, backend = _sort(spec)
    depth = f" with {layers} layer{'s' * (layers > 1)}" if layers else ""
    words = f"separator {kind}{depth}"
    return words + (f", scored by {backend}" if backend != "unmix" else "")


def _flat(data: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{name}.")
        elif above + name != "seed":
            found[above + name] = value
    return found


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return sum(one.get(name) != other.get(name) for name in one.keys() | other.keys())
