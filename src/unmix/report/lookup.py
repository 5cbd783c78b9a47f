"""A table from a store, without building the experiment that it belongs to.

Under which keys the runs of a table would lie takes seconds to say: torch is imported, all specs
are built, and the source of what carries them out is parsed. So a store keeps the answer in
`tables.json`, for one state of the package, its libraries and the datasets. What lies under these
keys is looked at anew each time, and nothing is kept of it. The file may be deleted at any time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import pandas as pd

from unmix.datasets.catalogue import MODULES, available, existing_root, whole
from unmix.datasets.catalogue import data_root as root_of
from unmix.errors import SpecError, command, one_of
from unmix.papers.evidence import (
    FIXED,
    MATERIAL,
    Evidence,
    Wanted,
    between,
    comparison,
    fidelities,
    look_up,
    opened,
    setting,
    stand_in_line,
    taught,
    wanted,
)
from unmix.papers.experiment import DEFAULT_PROFILE, Row, experiment, profile, taken
from unmix.plain import digest
from unmix.report.inventory import package_source
from unmix.runs.places import results_folder
from unmix.runs.registry import write_lines
from unmix.runs.store import Store

KEPT = "tables.json"

Root = str | os.PathLike | None


class Named(Row):
    """A row that is only looked up: its spec was never built, and asking for it is a defect."""

    def __init__(self, keys: Mapping[str, str], of: Mapping[str, str]) -> None:
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "of", of)


@dataclass(frozen=True)
class Asked:
    """Which table is asked for, in which way; `given_store` is the store as the user named it."""

    paper: str
    name: str
    profile: str = DEFAULT_PROFILE
    seeds: int = 0
    backend: str = "unmix"
    best: bool = True
    data_root: Root = None
    given_store: Root = None

    def command(self, verb: str, **options: object) -> str:
        """Return the command line that does `verb` with the experiment in the same way."""
        given = {
            "profile": "" if self.profile == DEFAULT_PROFILE else self.profile,
            "store": self.given_store,
            "data_root": self.data_root,
            "backend": "" if self.backend == "unmix" else self.backend,
        }
        return command(verb, f"{self.paper}/{self.name}", **{**given, **options})

    def place(self) -> str:
        """Return a hash over what decides which rows there are and which runs are looked for."""
        # A profile may take the paper's dataset where it is, and a stand-in where it is not.
        there = (name for name in MODULES if available(name, self.data_root))
        here = [[name, whole(name, self.data_root)] for name in there]
        asked = [self.paper, self.name, self.profile, self.seeds, self.backend, self.best]
        return digest([*asked, here])


@dataclass(frozen=True)
class Found:
    """A table: heading, long form, what whoever named a data root should know, and its rows."""

    title: str
    long: pd.DataFrame
    note: str
    rows: tuple[Evidence, ...] = ()

    @property
    def conditions(self) -> list[str]:
        """Return a line for each fidelity: on what its runs were, see `conditions`."""
        return list(conditions(self.rows))


def table(asked: Asked, store: Store) -> Found:
    """Return a table, published beside reproduced.

    Raises:
        SpecError: the paper, the experiment or the profile is unknown.
        DatasetError: the data root does not exist.
        StoreError: a run is damaged.
    """
    existing_root(asked.data_root)
    profile(asked.profile)
    state = digest([package_source(), version("torch"), version("numpy")])
    tables, place = _kept(store, state), asked.place()
    known = tables.get(place)
    if known is None or known["data"] != _fingerprints(known["data"], asked.data_root):
        known = tables[place] = _made(asked)
        if store.root.is_dir():
            kept = {"state": state, "tables": tables, "digest": digest([state, tables])}
            write_lines(store.root / KEPT, [json.dumps(kept)])
    rows = [[_wanted(each) for each in of_row] for of_row in known["rows"]]
    found = [of_row[0] for of_row in look_up(rows, store, results_folder(asked.paper))]
    return Found(
        known["title"],
        comparison(asked.paper, asked.name, found, known["metrics"]),
        stand_in_line(known["dataset"], known["real"], asked.profile, asked.data_root),
        tuple(found),
    )


def only(found: Found, where: Mapping[str, str]) -> Found:
    """Return the rows of a table that have these key columns, e.g. `{"part": "eval"}`.

    Raises:
        SpecError: the table has no such column, or no row with such a value in it.
    """
    known = list(dict.fromkeys(name for item in found.rows for name in item.row.keys))
    for column, value in where.items():
        if column not in known:
            raise SpecError(one_of("column", column, known), expected=", ".join(known))
        values = [item.row.keys[column] for item in found.rows if column in item.row.keys]
        if value not in values:
            raise SpecError(
                one_of(column, value, values), expected=", ".join(dict.fromkeys(values))
            )
    rows = tuple(item for item in found.rows if item.has(where))
    if not rows:
        asked = ", ".join(f"{column}={value}" for column, value in where.items())
        raise SpecError(f"no row has {asked} at once", expected="columns that go together")
    long = found.long
    for column, value in where.items():
        long = long[long[column] == value]
    return replace(found, long=long, rows=rows)


def conditions(rows: Sequence[Evidence]) -> Iterator[str]:
    """Yield a line for each fidelity: on what its runs were, and how long their networks trained.

    It is `notes.notes` in short, from files alone: specs would bring torch along.
    """
    for kind in fidelities(rows):
        # Rows share runs, each of which is read once.
        runs = {run.key: run for item in rows if item.fidelity == kind for run in item.runs}
        settings = [run.settings() for run in runs.values()]
        material = sorted({f"{each['dataset']}, split {each['split']}" for each in settings})
        clips = [run.provenance()["clips"] for run in runs.values()]
        both = zip(settings, clips, strict=True)
        numbers = {
            "training": [
                taught(*each)
                for each in both
                if "train" in each[1] and each[0]["separator"]["kind"] not in FIXED
            ],
            "test": [each["test"] for each in clips if "test" in each],
        }
        counts = [f"{between(of)} {words}" for words, of in numbers.items() if of]
        trained = [each["training"] for each in settings if each.get("training")]
        passes = between(each["epochs"] for each in trained)
        learnt = f"; at most {passes} passes over the training part" if trained else ""
        yield (
            f"{kind} ({MATERIAL[kind]}): {'; '.join(material)}; {' and '.join(counts)} "
            f"clips{learnt}."
        )


def _kept(store: Store, state: str) -> dict[str, Any]:
    """Return what a store keeps for this state of code and libraries; nothing if in doubt."""
    try:
        kept = json.loads((store.root / KEPT).read_text(encoding="utf-8"))
        sound = kept["digest"] == digest([state, kept["tables"]])  # not cut short, nor edited
        return dict(kept["tables"]) if sound else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _made(asked: Asked) -> dict[str, Any]:
    """Return as plain data what is kept of a table."""
    chosen = setting(asked.paper, asked.profile, asked.data_root, asked.backend)
    found = experiment(asked.paper, asked.name, chosen)
    rows = wanted(
        asked.paper,
        asked.name,
        profile_name=asked.profile,
        data_root=asked.data_root,
        seeds=asked.seeds,
        best=asked.best,
        backend=asked.backend,
    )
    specs = [each.row.spec for of_row in rows for each in of_row]
    data = dict.fromkeys((spec.dataset, spec.clips) for spec in specs)
    return {
        "title": found.title,
        "metrics": list(found.metrics),
        "dataset": taken(asked.paper, chosen),
        "real": chosen.real,
        "data": _fingerprints(([*pair, ""] for pair in data), asked.data_root),
        "rows": [
            [
                {
                    "keys": dict(each.row.keys),
                    "of": dict(each.row.of),
                    "stored": list(each.stored),
                    "family": each.family,
                    "whole": each.whole,
                }
                for each in of_row
            ]
            for of_row in rows
        ],
    }


def _fingerprints(data: Iterable[list[Any]], data_root: Root) -> list[Any]:
    """Return name, clips and today's fingerprint of datasets; empty where one is not there."""
    root, found = str(root_of(data_root) or ""), []
    for name, clips, _ in data:
        dataset = opened(name, root, tuple(clips) if clips else None)  # type: ignore[arg-type]
        found.append(
            [name, list(clips) if clips else None, dataset.fingerprint() if dataset else ""]
        )
    return found


def _wanted(each: Mapping[str, Any]) -> Wanted:
    stored = tuple(each["stored"])
    row = Named(each["keys"], each["of"])
    return Wanted(row, stored, each["family"], each["whole"])
