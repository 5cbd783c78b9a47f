"""Finding the evidence behind the rows of an experiment."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unmix.datasets.catalogue import available, existing_root, open_dataset
from unmix.datasets.catalogue import data_root as root_of
from unmix.datasets.track import Dataset
from unmix.errors import UnmixError
from unmix.metrics.bsseval import CEILING
from unmix.metrics.scores import global_scores
from unmix.papers.experiment import PROFILES, Experiment, Row, Setting, experiment, paper, profile
from unmix.papers.published import by_row, published
from unmix.runs.execute import key
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


def setting(
    paper_name: str,
    profile_name: str,
    data_root: str | os.PathLike | None,
    backend: str = "unmix",
) -> Setting:
    """Return what experiments are built for.

    `tiny` always takes the stand-in and `full` always the paper's dataset; `quick` takes a subset
    of the dataset where it is there, else the stand-in.

    Raises:
        DatasetError: a data root is named that does not exist (the stand-in would hide it).
    """
    chosen = profile(profile_name)
    existing_root(data_root)
    here = chosen.name == "quick" and available(paper(paper_name).DATASET, data_root)
    return Setting(chosen, here or chosen.name == "full", backend)


def ready(paper_name: str, profile_name: str, data_root: str | os.PathLike | None) -> Setting:
    """Return `setting`, once the dataset that it needs has been found whole.

    Raises:
        DatasetError: it is missing or incomplete, or the data root does not exist.
    """
    chosen = setting(paper_name, profile_name, data_root)
    if chosen.real:
        open_dataset(paper(paper_name).DATASET, data_root)
    return chosen


def stand_in_note(paper_name: str, profile_name: str, data_root: str | os.PathLike | None) -> str:
    """Return a line for whoever names a data root and gets the stand-in all the same, else ''."""
    chosen, root = setting(paper_name, profile_name, data_root), root_of(data_root)
    if root is None or chosen.real:
        return ""
    dataset = paper(paper_name).DATASET
    always = available(dataset, data_root)
    why = f"profile {profile_name} always takes it" if always else f"no {dataset} lies in {root}"
    return f"note: this profile's runs are on the embedded stand-in ({why})"


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

    def globals(self) -> pd.DataFrame:
        """Return a row a run: the global scores, `clips` and `unscored`."""
        return pd.DataFrame([global_scores(run.scores()) for run in self.runs])


def fidelities(rows: Iterable[Evidence]) -> list[str]:
    """Return the fidelities of rows that were run, the one that can bear out most first."""
    return sorted({item.fidelity for item in rows if item.runs}, key=RANK.__getitem__, reverse=True)


def material(rows: Iterable[Evidence]) -> str:
    """Return in words on what material the rows were run."""
    return " and ".join(MATERIAL[kind] for kind in fidelities(rows)) or MATERIAL[""]


@functools.lru_cache(maxsize=8)
def _by_family(folder: str, stamp: int) -> dict[str, list[Run]]:
    """Return the runs of a folder by family, one a seed; `stamp` makes the cache see changes.

    Where a seed was run by several versions of the code, the newest run counts, and only that.
    """
    found: dict[str, dict[int, Run]] = {}
    for run in sorted(Store(folder).runs(), key=lambda run: run.provenance()["finished"]):
        found.setdefault(run.provenance()["family"], {})[run.spec().seed] = run
    return {family: [runs[seed] for seed in sorted(runs)] for family, runs in found.items()}


def from_results(paper_name: str, row: Row) -> tuple[Run, ...]:
    """Return the runs of a row that are kept in `results/`."""
    folder = results_folder(paper_name)
    stamp = folder.stat().st_mtime_ns if folder.exists() else 0
    return tuple(_by_family(str(folder), stamp).get(row.spec.family(), ()))


@functools.lru_cache(maxsize=8)
def _opened(name: str, root: str, clips: tuple[int, int, int] | None) -> Dataset | None:
    """Return a dataset, opened and hashed once a process."""
    try:
        return open_dataset(name, root or None, clips)
    except UnmixError:
        return None


def from_store(
    row: Row, store: Store, data_root: str | os.PathLike | None, seeds: int
) -> tuple[Run, ...]:
    """Return the runs of a row in the local store that are valid for today's code and data."""
    spec = row.spec
    dataset = _opened(spec.dataset, str(root_of(data_root) or ""), spec.clips)
    if dataset is None:
        return ()
    found = (store.get(key(row.spec.with_seed(seed), dataset)) for seed in range(seeds))
    return tuple(run for run in found if run is not None)


def offers(
    paper_name: str,
    name: str,
    store: Store,
    *,
    profile_name: str = "quick",
    data_root: str | os.PathLike | None = None,
    seeds: int = 0,
    best: bool = True,
    backend: str = "unmix",
) -> list[list[Evidence]]:
    """Return for each row of an experiment all evidence of it, the best first; never none.

    Args:
        paper_name: the paper.
        name: the experiment.
        store: the local store.
        profile_name: which runs of the local store to take.
        data_root: folder with datasets.
        seeds: how many repetitions to look for; 0 takes the profile's.
        best: also look at `full` evidence, in the local store and in `results/`. Best is what can
            bear out most, then what has most repetitions.
        backend: who computed the scores.
    """
    own = setting(paper_name, profile_name, data_root, backend)
    experiments = {"own": (own, experiment(paper_name, name, own))}
    if best:
        whole = Setting(PROFILES["full"], True, backend)
        experiments["full"] = (whole, experiment(paper_name, name, whole))
    found: dict[tuple[str, ...], list[Evidence]] = {}
    for chosen, candidate in experiments.values():
        count = seeds_of(candidate, chosen, seeds)
        for row in candidate.rows:
            of_row = found.setdefault(tuple(row.keys.values()), [])
            of_row.append(Evidence(row, from_store(row, store, data_root, count)))
            if best:
                of_row.append(Evidence(row, from_results(paper_name, row)))
    rows = [sorted(of_row, key=_worth, reverse=True) for of_row in found.values()]
    if best and any(of_row[0].runs for of_row in rows):
        # Rows that only a stand-in has say nothing beside those of the paper's dataset.
        papers = [row.keys for row in experiments["full"][1].rows]
        real = any(RANK.get(of_row[0].fidelity, 0) for of_row in rows)
        rows = [each for each in rows if each[0].row.keys in papers or (each[0].runs and not real)]
    return rows


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
        pair = [
            next((item for item in rows if item.fidelity == kind), None) for rows in (one, other)
        ]
        if pair[0] is not None and pair[1] is not None:
            return pair[0], pair[1]
    return one[0], other[0]


def _worth(offer: Evidence) -> tuple[int, int]:
    return (RANK.get(offer.fidelity, -1), len(offer.runs))


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
        for metric in metrics:
            column = scores[metric] if len(scores) else pd.Series(dtype=float)
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
