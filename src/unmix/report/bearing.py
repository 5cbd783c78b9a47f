"""What the evidence at hand says of a paper's claims."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from unmix.errors import command
from unmix.papers.evidence import Evidence, offers, seeds_of, setting
from unmix.papers.experiment import DEFAULT_PROFILE, PAPERS, experiment, experiments
from unmix.papers.published import PUBLISHED
from unmix.runs.places import store_folder
from unmix.runs.store import Store
from unmix.verdicts import judge
from unmix.verdicts.claims import claims
from unmix.verdicts.judge import Verdict
from unmix.verdicts.schema import check

FORM = "verdicts"
"""Name of the schema of what is written."""


def bearing(
    paper: str,
    store: Store,
    profile: str = DEFAULT_PROFILE,
    data_root: str | os.PathLike | None = None,
    seeds: int = 0,
    backend: str = "unmix",
) -> list[Verdict]:
    """Return a verdict on each claim of a paper, in the order of its claims.

    Args:
        paper: its name; one without experiments has claims that are not assessed.
        store: the local store; `results/` is always looked at too.
        profile: which runs of the store count beside those of profile `full`.
        data_root: folder with datasets.
        seeds: how many repetitions to look for in the store; 0 takes the profile's.
        backend: who computed the scores.

    Raises:
        SpecError: the paper or the profile is unknown, or its claims break the schema.
        DatasetError: the data root does not exist.
        StoreError: a run is damaged.
    """
    of_paper = claims(paper)
    if paper not in PAPERS:
        return judge.verdicts(paper, of_paper, lambda _: [])
    names = list(experiments(paper, setting(paper, profile, data_root, backend)))

    def look(name: str) -> Sequence[Sequence[Evidence]]:
        if name not in names:
            return []
        return offers(
            paper,
            name,
            store,
            profile_name=profile,
            data_root=data_root,
            seeds=seeds,
            backend=backend,
        )

    def own(name: str, taken: str) -> int:
        # What `unmix run` repeats when nobody asks for a number.
        chosen = setting(paper, taken, data_root, backend)
        return seeds_of(experiment(paper, name, chosen), chosen, 0)

    def make(name: str, full: bool, repetitions: int) -> str:
        taken = "full" if full else profile
        return command(
            "run",
            f"{paper}/{name}",
            profile=_unless(DEFAULT_PROFILE, taken),
            seeds=0 if repetitions == own(name, taken) else repetitions or seeds,
            store=_given(store),
            data_root=data_root,
            backend=_unless("unmix", backend),
        )

    return judge.verdicts(paper, of_paper, look, names=names, make=make)


def every(store: Store, papers: Iterable[str] = PUBLISHED, **choice: Any) -> list[Verdict]:
    """Return the verdicts on the claims of all papers; for `choice` see `bearing`."""
    return [each for paper in papers for each in bearing(paper, store, **choice)]


def _unless(usual: str, given: str) -> str:
    return "" if given == usual else given


def _given(store: Store) -> str:
    """Return what `--store` must say for a store, empty if nothing."""
    if store.remote:
        return store.remote.url
    return "" if store.root == store_folder() else str(store.root)


def as_json(verdicts: Iterable[Verdict]) -> str:
    """Return verdicts as they stand in `verdicts.json`."""
    plain = [each.plain() for each in verdicts]
    check(plain, FORM, "verdicts.json")
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
