"""Finding the evidence behind the rows of an experiment.

`wanted` says where evidence would lie, `look_up` what lies there. Only the first needs torch, so
`lookup` can do without.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unmix.datasets.catalogue import available, existing_root, open_dataset, whole
from unmix.datasets.catalogue import data_root as root_of
from unmix.datasets.track import Dataset
from unmix.errors import UnmixError
from unmix.metrics.means import CEILING, COLUMNS, global_scores
from unmix.papers.experiment import (
    PROFILES,
    Experiment,
    Row,
    Setting,
    alike,
    experiment,
    has_subset,
    materials,
    paper,
    profile,
    stands_in,
    taken,
)
from unmix.papers.published import SCHOOLING, by_row, published
from unmix.runs.places import results_folder
from unmix.runs.store import Run, Store

RANK = {"full": 2, "subset": 1, "stand-in": 0}
"""How much a fidelity can bear out."""

MATERIAL = {
    "full": "the paper's dataset",
    "subset": "a part of the paper's dataset",
    "stand-in": "a stand-in, not the paper's dataset",
    "": "not run yet",
}
"""What a fidelity means, in words. It is about the material alone, not about the training."""

FIXED = ("oracle", "mixture")
"""Kinds of separators that learn nothing, and are the same with any seed."""

VALIDATED_WITHIN = ("multichannel",)
"""Kinds of separators that learn from the validation part too: a piece of each clip validates."""


def setting(
    paper_name: str,
    profile_name: str,
    data_root: str | os.PathLike | None,
    backend: str = "unmix",
) -> Setting:
    """Return what experiments are built for.

    `tiny` always takes the stand-in and `full` the paper's dataset; `quick` takes a subset of the
    dataset where it is there, else the stand-in, and so does `full` for papers that allow it. Where
    a paper names recordings that are like its dataset, they come before the stand-in.

    Raises:
        DatasetError: a data root is named that does not exist (the stand-in would hide it).
    """
    chosen = profile(profile_name)
    existing_root(data_root)
    name, other = paper(paper_name).DATASET, alike(paper_name)
    there = chosen.name != "tiny" and available(name, data_root)
    like = chosen.name != "tiny" and not there and bool(other) and available(other, data_root)
    real = there or like or (chosen.name == "full" and not stands_in(paper_name))
    part = like or (real and has_subset(paper_name) and not whole(name, data_root))
    return Setting(chosen, real, backend, part)


def ready(paper_name: str, profile_name: str, data_root: str | os.PathLike | None) -> Setting:
    """Return `setting`, once the dataset that it needs has been found whole.

    Raises:
        DatasetError: it is missing or incomplete, or the data root does not exist.
    """
    chosen = setting(paper_name, profile_name, data_root)
    if chosen.real:
        open_dataset(taken(paper_name, chosen), data_root)
    return chosen


def stand_in_note(paper_name: str, profile_name: str, data_root: str | os.PathLike | None) -> str:
    """Return a line for whoever names a data root and gets the stand-in all the same, else ''."""
    chosen = setting(paper_name, profile_name, data_root)
    return stand_in_line(taken(paper_name, chosen), chosen.real, profile_name, data_root)


def stand_in_line(
    dataset: str, real: bool, profile_name: str, data_root: str | os.PathLike | None
) -> str:
    """Return `stand_in_note`, given the paper's dataset and whether it is taken."""
    root = root_of(data_root)
    if root is None or real:
        return ""
    always = available(dataset, data_root)
    why = f"profile {profile_name} always takes it" if always else f"no {dataset} lies in {root}"
    return f"note: this profile's runs are on the embedded stand-in ({why})"


def taught(settings: Mapping[str, Any], clips: Mapping[str, int]) -> int:
    """Return how many clips a run's separator could learn from, of the clips of each part."""
    within = settings["separator"]["kind"] in VALIDATED_WITHIN
    return clips["train"] + (clips["valid"] if within else 0)


def seeds_of(found: Experiment, chosen: Setting, seeds: int) -> int:
    """Return the number of repetitions: what is asked for, else the profile's own."""
    if seeds:
        return seeds
    return found.seeds if chosen.profile.name == "full" else chosen.profile.seeds


@dataclass(frozen=True)
class Evidence:
    """The runs behind one row, one a seed; none where nothing was run yet."""

    row: Row
    runs: tuple[Run, ...]

    @property
    def fidelity(self) -> str:
        """Return the runs' fidelity, empty without runs."""
        return self.runs[0].provenance()["fidelity"] if self.runs else ""

    def has(self, where: Mapping[str, str] | None) -> bool:
        """Return whether the row has these key columns; every row has none."""
        return not where or where.items() <= self.row.keys.items()

    def globals(self) -> pd.DataFrame:
        """Return a row a run: the global scores (or findings), `clips` and `unscored`."""
        named = self.row.of.get("finding")
        if named:
            found = [run.findings(named) | {"clips": 0, "unscored": 0} for run in self.runs]
        else:
            found = [global_scores(run.scores(self.row.of)) for run in self.runs]
        return pd.DataFrame(found)


def schooling(run: Run) -> dict[str, float]:
    """Return how long a run learnt, in s, and the loss that its last epochs had (of all rounds)."""
    history = run.history()
    found = {"training time": float(run.provenance()["learning_s"])}
    if "train_loss" in history:
        rounds = history.get("round", pd.Series(0, index=history.index))
        found["training loss"] = float(history["train_loss"].groupby(rounds).last().mean())
    return found


@functools.lru_cache(maxsize=64)
def _whole_families(paper_name: str, name: str) -> frozenset[str]:
    """Return the families of an experiment's rows in profile `full`, on whatever material."""
    from unmix.runs.spec import BACKENDS

    found = [
        experiment(paper_name, name, Setting(PROFILES["full"], real, backend, part))
        for real, part in materials(paper_name, "full")
        for backend in BACKENDS
    ]
    return frozenset(row.spec.family() for each in found for row in each.rows)


def in_full(paper_name: str, name: str, rows: Iterable[Evidence]) -> bool:
    """Return whether it is profile `full` that makes the runs behind some rows again."""
    there = [item for item in rows if item.runs]
    if {item.fidelity for item in there} == {"full"}:
        return True
    families = {run.provenance()["family"] for item in there for run in item.runs}
    return bool(families) and families <= _whole_families(paper_name, name)


def fidelities(rows: Iterable[Evidence]) -> list[str]:
    """Return the fidelities of rows that were run, the one that can bear out most first."""
    return sorted({item.fidelity for item in rows if item.runs}, key=RANK.__getitem__, reverse=True)


def material(rows: Iterable[Evidence]) -> str:
    """Return in words on what material the rows were run."""
    return " and ".join(MATERIAL[kind] for kind in fidelities(rows)) or MATERIAL[""]


def between(values: Iterable[float]) -> str:
    """Return in words which whole numbers there are: one, or the least and the largest."""
    numbers = sorted({int(value) for value in values})
    if len(numbers) < 2:
        return "".join(map(str, numbers))
    return f"{numbers[0]} to {numbers[-1]}"


@functools.lru_cache(maxsize=8)
def _by_family(folder: str, stamp: int) -> dict[str, list[Run]]:
    """Return the runs of a folder by family, one a seed; `stamp` makes the cache see changes.

    Where a seed was run by several versions of the code, the newest run counts, and only that.
    """
    found: dict[str, dict[int, Run]] = {}
    for run in sorted(Store(folder).runs(), key=lambda run: run.provenance()["finished"]):
        found.setdefault(run.provenance()["family"], {})[run.settings()["seed"]] = run
    return {family: [runs[seed] for seed in sorted(runs)] for family, runs in found.items()}


@functools.lru_cache(maxsize=8)
def opened(name: str, root: str, clips: tuple[int, int, int] | None) -> Dataset | None:
    """Return a dataset, opened and hashed once a process; None where it is not there."""
    try:
        return open_dataset(name, root or None, clips)
    except UnmixError:
        return None


@dataclass(frozen=True)
class Wanted:
    """Where evidence of one row would lie.

    Attributes:
        row: the row.
        stored: keys in the store, one a seed, valid for today's code and data.
        family: of the runs in `results/`; empty where they are not to be looked at.
        whole: whether the row is one of profile `full`.
    """

    row: Row
    stored: tuple[str, ...]
    family: str = ""
    whole: bool = False

    def look(self, store: Store, results: Path) -> list[Evidence]:
        """Return what there is of it: in the store, and in `results/`."""
        runs = (store.get(key) for key in self.stored)
        found = [Evidence(self.row, tuple(run for run in runs if run is not None))]
        if self.family:
            stamp = results.stat().st_mtime_ns if results.exists() else 0
            kept = _by_family(str(results), stamp).get(self.family, ())
            found.append(Evidence(self.row, tuple(kept)))
        return found


def wanted(
    paper_name: str,
    name: str,
    *,
    profile_name: str = "quick",
    data_root: str | os.PathLike | None = None,
    seeds: int = 0,
    best: bool = True,
    backend: str = "unmix",
) -> list[list[Wanted]]:
    """Return for each row of an experiment where its evidence would lie; for `best` see `offers`.

    Args:
        paper_name: the paper.
        name: the experiment.
        profile_name: which runs of the local store to take.
        data_root: folder with datasets.
        seeds: how many repetitions to look for; 0 takes the profile's.
        best: also look at `full` evidence, in the local store and in `results/`.
        backend: who computed the scores.
    """
    from unmix.runs.execute import key

    chosen = [setting(paper_name, profile_name, data_root, backend)]
    if best:
        chosen += [
            Setting(PROFILES["full"], real, backend, part)
            for real, part in materials(paper_name, "full")
        ]
    root = str(root_of(data_root) or "")
    found: dict[tuple[str, ...], list[Wanted]] = {}
    for full, each in enumerate(chosen):
        candidate = experiment(paper_name, name, each)
        count = seeds_of(candidate, each, seeds)
        for row in candidate.rows:
            spec = row.spec
            dataset = opened(spec.dataset, root, spec.clips)
            stored = (
                (key(spec.with_seed(seed), dataset) for seed in range(count)) if dataset else ()
            )
            family = spec.family() if best else ""
            of_row = found.setdefault(tuple(row.keys.values()), [])
            of_row.append(Wanted(row, tuple(stored), family, bool(full)))
    return list(found.values())


def look_up(found: Sequence[Sequence[Wanted]], store: Store, results: Path) -> list[list[Evidence]]:
    """Return for each row all evidence of it that there is, the best first; never none.

    Best is what can bear out most; then what profile `full` made, which trains longest, and on
    recordings where a smaller profile may take rendered songs, but only where all rows have it:
    a table's rows are of one material if they can be. Then it is what has most repetitions.
    """
    offered = [
        [(each.whole, item) for each in of_row for item in each.look(store, results)]
        for of_row in found
    ]
    run = [[whole for whole, item in of_row if item.runs] for of_row in offered]
    alike = all(any(of_row) for of_row in run if of_row)

    def worth(offer: tuple[bool, Evidence]) -> tuple[int, bool, int]:
        whole, item = offer
        return (-RANK.get(item.fidelity, -1), whole != alike, -len(item.runs))

    rows = [[item for _, item in sorted(of_row, key=worth)] for of_row in offered]
    papers = [any(each.whole for each in of_row) for of_row in found]
    if any(papers) and any(of_row[0].runs for of_row in rows):
        # Rows that only a stand-in has say nothing beside those of the paper's dataset.
        real = any(RANK.get(of_row[0].fidelity, 0) for of_row in rows)
        rows = [
            of_row
            for of_row, of_paper in zip(rows, papers, strict=True)
            if of_paper or (of_row[0].runs and not real)
        ]
    return rows


def offers(paper_name: str, name: str, store: Store, **choice: Any) -> list[list[Evidence]]:
    """Return for each row of an experiment all evidence of it, the best first; never none.

    Args:
        paper_name: the paper.
        name: the experiment.
        store: the local store.
        **choice: see `wanted`.
    """
    return look_up(wanted(paper_name, name, **choice), store, results_folder(paper_name))


def gather(paper_name: str, name: str, store: Store, **choice: Any) -> list[Evidence]:
    """Return the best evidence for each row of an experiment; for `choice` see `offers`."""
    return [of_row[0] for of_row in offers(paper_name, name, store, **choice)]


def comparable(one: Sequence[Evidence], other: Sequence[Evidence]) -> tuple[Evidence, Evidence]:
    """Return evidence of two rows at the best fidelity that both have.

    A difference between two materials would say more about them than about the rows. Where no
    fidelity is common to both rows, the best of each is returned, and their fidelities differ.

    Args:
        one: all evidence of a row, see `offers`.
        other: that of another row.
    """
    for kind in RANK:
        pairs = [(a, b) for a in one for b in other if a.fidelity == b.fidelity == kind]
        if pairs:
            # Two stand-ins can be two materials.
            return next((pair for pair in pairs if _heard(pair[0]) == _heard(pair[1])), pairs[0])
    return one[0], other[0]


def _heard(item: Evidence) -> list[Any]:
    """Return what the runs of a row are scored on."""
    settings = item.runs[0].settings()
    return [settings[name] for name in ("dataset", "split", "clips")]


def comparison(
    paper_name: str, name: str, rows: Sequence[Evidence], metrics: Sequence[str]
) -> pd.DataFrame:
    """Return a table in long form: published beside reproduced, for each row and metric.

    Columns: the row's key columns, `metric`, `published`, `reproduced` (mean over seeds), `spread`
    (standard deviation over seeds; nan for one), `seeds`, `fidelity`, `runs` (their keys, the
    first twelve digits each). A score at the ceiling is rounding noise, and is nan.
    """
    values = by_row(published(paper_name, name))
    lines = []
    for item in rows:
        scores = item.globals()
        if set(metrics) & set(SCHOOLING):
            scores = scores.join(pd.DataFrame([schooling(run) for run in item.runs]))
        for metric in metrics:
            # A finding that a run did not come to, and all of a row without runs, is missing.
            column = scores.get(metric, pd.Series(dtype=float))
            if metric in COLUMNS:
                column = column.where(column < CEILING)
            lines.append(
                {
                    **item.row.keys,
                    "metric": metric,
                    "published": values.get((*item.row.keys.values(), metric), float("nan")),
                    "reproduced": column.mean(),
                    "spread": column.std(ddof=1) if len(column) > 1 else float("nan"),
                    "seeds": len(item.runs),
                    "fidelity": item.fidelity,
                    "runs": " ".join(run.key[:12] for run in item.runs),
                }
            )
    return pd.DataFrame(lines)
