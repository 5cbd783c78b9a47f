"""Keeping a store: what can go, and what is worth keeping in git."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from unmix.datasets.catalogue import open_dataset
from unmix.datasets.track import Dataset
from unmix.errors import SpecError, StoreError, UnmixError, command
from unmix.report.inventory import Wanted, places
from unmix.runs import checksums, source
from unmix.runs.execute import code_modules, key
from unmix.runs.places import results_folder
from unmix.runs.registry import REMOVED, SHOWN, size, sound, stamps
from unmix.runs.store import PARTIAL, Run, Store

PROMOTED = ("spec.json", "provenance.json", "scores.csv", "history.csv", "findings.json")
"""What evidence consists of: no weights, and nothing that a stranger put there."""


def unreferenced(store: Store, data_root: str | os.PathLike | None) -> list[tuple[Run, int]]:
    """Return the runs that no experiment of any profile refers to with today's code, and sizes.

    A run is referred to if its family (its spec but the seed) stands in an experiment and its key
    is the one that it would get today. Where its dataset is not here, the key cannot be made;
    then code and versions decide. Damaged runs are left to `unmix runs verify`.

    Args:
        store: the store.
        data_root: folder with datasets; None takes `UNMIX_DATA`.
    """
    known = places(store.root)

    @functools.cache
    def opened(name: str, clips: tuple[int, int, int] | None) -> Dataset | None:
        try:
            return open_dataset(name, data_root, clips)
        except UnmixError:
            return None

    @functools.cache
    def fingerprint(modules: tuple[str, ...]) -> str:
        return source.fingerprint(modules)

    def referred(run: Run) -> bool:
        try:
            spec, about = run.spec(), run.provenance()
        except SpecError:
            return False  # it names settings that there are no more
        if spec.family() not in known:
            return False
        dataset = opened(spec.dataset, spec.clips)
        if dataset is not None:
            return key(spec, dataset) == run.key
        today = (fingerprint(tuple(code_modules(spec))), torch.__version__, np.__version__)
        return (about.get("code"), about.get("torch"), about.get("numpy")) == today

    found = []
    for name in sorted(stamps(store.root)):
        run = Run(store.root / name)
        try:
            if not referred(run):
                found.append((run, size(run.folder)))
        except StoreError:
            continue
    return found


def remove(run: Run) -> None:
    """Remove a run: out of the store's sight first, so that nobody finds half of it.

    Raises:
        StoreError: it cannot be removed.
    """
    doomed = run.folder.parent / PARTIAL / REMOVED / run.key
    try:
        doomed.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(run.folder, doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise StoreError(
            f"{run.folder}: cannot be removed ({error})",
            do="give yourself the right to write there, or remove it by hand",
        ) from error


@dataclass(frozen=True)
class Promotion:
    """What became of a run that was to be promoted: where it lies, or why it was left out.

    Attributes:
        run: the run.
        place: its folder in `results/`; None where it was left out.
        why: in words, empty where it was copied.
        damaged: whether damage was the reason.
    """

    run: Run
    place: Path | None
    why: str = ""
    damaged: bool = False


def promote(run: Run, known: Mapping[str, Sequence[Mapping[str, str]]], stand_in: bool) -> Path:
    """Copy a run's evidence into `results/PAPER/KEY`, whole or not at all; return that folder.

    The copy has checksums of its own, of what was copied; a sound copy that is there stays.

    Args:
        run: the run.
        known: see `inventory.places`.
        stand_in: whether evidence of stand-ins may be promoted.

    Raises:
        StoreError: it is damaged, belongs to no paper, is of a stand-in, or cannot be written.
    """
    sound(run)
    about = run.provenance()
    found = known.get(str(about.get("family", "")), ())
    if not found:
        raise StoreError(
            f"run {run.key[:SHOWN]} belongs to no experiment of today's papers",
            expected="a run whose settings stand in an experiment",
            do="promote it from the code that made it, or leave it in the store",
        )
    if about["fidelity"] == "stand-in" and not stand_in:
        raise StoreError(
            f"run {run.key[:SHOWN]} is of a stand-in",
            expected="fidelity full or subset",
            do="add --stand-in if it is worth keeping in git all the same",
        )
    place = results_folder(found[0]["paper"]) / run.key
    if (place / "provenance.json").is_file() and checksums.damage(place) == []:
        return place
    try:
        _copy(run, place)
    except OSError as error:
        raise StoreError(
            f"{place}: cannot be written ({error})",
            expected="a results folder with room for the evidence",
            do="free some space, or name another folder with UNMIX_RESULTS",
        ) from error
    return place


def _copy(run: Run, place: Path) -> None:
    """Write a copy beside the papers' folders, where nobody looks for runs, and rename it."""
    beside = place.parents[1] / ".promoting" / run.key
    old = beside.with_name(f"{run.key}.old")
    for left in (beside, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        place.parent.mkdir(exist_ok=True)
        for name in PROMOTED:
            if (run.folder / name).exists():
                (beside / name).write_bytes(checksums.checked(run.folder / name))
        checksums.write(beside)
        if place.exists():  # evidence without checksums, or damaged
            os.replace(place, old)
        os.replace(beside, place)
    finally:
        for left in (beside, old):
            shutil.rmtree(left, ignore_errors=True)
        if beside.parent.exists() and not any(beside.parent.iterdir()):
            beside.parent.rmdir()


def promote_all(store: Store, paper: str, stand_in: bool) -> list[Promotion]:
    """Promote all runs of a paper, or of all papers, and say of each what became of it.

    Runs of no experiment are passed over in silence, as are those of a stand-in unless wanted.

    Raises:
        SpecError: the paper is unknown.
        StoreError: the results folder cannot be written.
    """
    known, wanted = places(store.root), Wanted(paper)
    wanted.check(place for of_family in known.values() for place in of_family)
    told = []
    for name in sorted(stamps(store.root)):
        run = Run(store.root / name)
        try:
            sound(run)
        except StoreError as error:
            told.append(Promotion(run, None, str(error), damaged=True))
            continue
        about = run.provenance()
        fits = [place for place in known.get(str(about.get("family")), ()) if wanted.fits(place)]
        if not fits or (about["fidelity"] == "stand-in" and not stand_in):
            continue
        told.append(Promotion(run, promote(run, {about["family"]: fits}, stand_in)))
    return told


def nothing_to_promote(store: Store) -> StoreError:
    """Return the error of a promotion that found nothing."""
    return StoreError(
        f"nothing in {store.root} can be promoted",
        expected="runs of fidelity full or subset that stand in an experiment",
        do=f"see `{command('runs', 'list')}`; --stand-in takes those of stand-ins too",
    )
