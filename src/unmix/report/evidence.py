"""Finding the evidence behind the rows of an experiment."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from unmix.datasets.catalogue import available, open_dataset
from unmix.datasets.catalogue import data_root as root_of
from unmix.datasets.track import Dataset
from unmix.errors import DatasetError, UnmixError
from unmix.metrics.scores import global_scores
from unmix.papers.experiment import PROFILES, Experiment, Row, Setting, experiment, paper, profile
from unmix.papers.published import by_row, published
from unmix.runs.execute import key
from unmix.runs.places import results_folder
from unmix.runs.store import Run, Store

RANK = {"full": 2, "subset": 1, "stand-in": 0}
"""How much a fidelity can bear out."""


def setting(paper_name: str, profile_name: str, data_root: str | os.PathLike | None) -> Setting:
    """Return what experiments are built for.

    `tiny` always takes the stand-in and `full` always the paper's dataset; `quick` takes a subset
    of the dataset where it is there, else the stand-in.

    Raises:
        DatasetError: a data root is named that does not exist (the stand-in would hide it).
    """
    chosen = profile(profile_name)
    real = chosen.name == "full"
    if chosen.name == "quick":
        root = root_of(data_root)
        if root is not None and not root.is_dir():
            raise DatasetError(
                f"{root}: no such folder for datasets",
                expected="--data-root or UNMIX_DATA naming a folder, or neither for the stand-in",
                do="check the name, or fetch the dataset into it with `unmix data fetch`",
            )
        real = available(paper(paper_name).DATASET, data_root)
    return Setting(chosen, real)


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


def gather(
    paper_name: str,
    name: str,
    store: Store,
    *,
    profile_name: str = "quick",
    data_root: str | os.PathLike | None = None,
    seeds: int = 0,
    best: bool = True,
) -> list[Evidence]:
    """Return the evidence for each row of an experiment.

    Args:
        paper_name: the paper.
        name: the experiment.
        store: the local store.
        profile_name: which runs of the local store to take.
        data_root: folder with datasets.
        seeds: how many repetitions to look for; 0 takes the profile's.
        best: also look at `full` evidence, in the local store and in `results/`, and take for each
            row what can bear out most, then what has most repetitions.
    """
    own = setting(paper_name, profile_name, data_root)
    experiments = {"own": (own, experiment(paper_name, name, own))}
    if best:
        whole = Setting(PROFILES["full"], True)
        experiments["full"] = (whole, experiment(paper_name, name, whole))
    found: dict[tuple[str, ...], list[Evidence]] = {}
    for chosen, candidate in experiments.values():
        count = seeds_of(candidate, chosen, seeds)
        for row in candidate.rows:
            offers = found.setdefault(tuple(row.keys.values()), [])
            offers.append(Evidence(row, from_store(row, store, data_root, count)))
            if best:
                offers.append(Evidence(row, from_results(paper_name, row)))
    chosen_rows = [max(offers, key=_worth) for offers in found.values()]
    if best:
        # Rows that only a stand-in has say nothing beside those of the paper's dataset.
        papers = [row.keys for row in experiments["full"][1].rows]
        if any(item.runs for item in chosen_rows):
            return [item for item in chosen_rows if item.runs or item.row.keys in papers]
    return chosen_rows


def _worth(offer: Evidence) -> tuple[int, int]:
    return (RANK.get(offer.fidelity, -1), len(offer.runs))


def comparison(
    paper_name: str, name: str, rows: Sequence[Evidence], metrics: Sequence[str]
) -> pd.DataFrame:
    """Return a table in long form: published beside reproduced, for each row and metric.

    Columns: the row's key columns, `metric`, `published`, `reproduced` (mean over seeds), `spread`
    (standard deviation over seeds; nan for one), `seeds`, `fidelity`, `runs` (their keys, the
    first twelve digits each).
    """
    values = by_row(published(paper_name, name))
    lines = []
    for item in rows:
        scores = item.globals()
        for metric in metrics:
            column = scores[metric] if len(scores) else pd.Series(dtype=float)
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
