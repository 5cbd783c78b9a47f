"""Separating a file from outside any dataset with a stored system."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from unmix import audio
from unmix.errors import SpecError, UnmixError, one_of
from unmix.papers.experiment import PAPERS, experiments
from unmix.report.evidence import Evidence, gather, setting
from unmix.report.player import slug
from unmix.runs.execute import restore
from unmix.runs.places import store_folder
from unmix.runs.store import Store

Root = str | os.PathLike | None


def row_name(item: Evidence) -> str:
    """Return the last part of a system's name."""
    return slug(" ".join(item.row.keys.values()))


def systems(profile: str, store: Root, data_root: Root) -> list[str]:
    """Return the names of all systems of a profile, marked where they are not stored."""
    place, lines = Store(store_folder(store)), []
    for paper in PAPERS:
        for name in experiments(paper, setting(paper, profile, data_root)):
            rows = gather(paper, name, place, profile_name=profile, data_root=data_root, best=False)
            for item in rows:
                missing = "" if item.runs else f"   (not stored: unmix run {paper}/{name})"
                lines.append(f"{paper}/{name}/{row_name(item)}{missing}")
    return lines


def separate_file(
    file: Path, system: str, out: Path, profile: str, store: Root, data_root: Root
) -> list[Path]:
    """Separate `file` and write an estimate of each source into `out`; return the paths.

    Raises:
        AudioError: the file cannot be read, or an estimate not be written.
        SpecError: there is no such system, or it cannot separate without references.
        UnmixError: the system is not in the store.
    """
    sound, rate = audio.read(file)
    run = _stored(system, profile, store, data_root)
    spec = run.spec()
    separator = restore(spec, run.weights)
    mixture = audio.resample(sound, rate, spec.stft.rate).astype(np.float32)
    estimates: dict[str, list[np.ndarray]] = {}
    for channel in mixture:
        # A silent channel beside a sounding one has silent sources.
        parts = (
            separator.separate(channel[None])
            if channel.any()
            else {"voice": channel[None], "accompaniment": channel[None]}
        )
        for source, estimate in parts.items():
            estimates.setdefault(source, []).append(estimate)
    paths = []
    for source, channels in estimates.items():
        path = out / f"{file.stem}.{source}.wav"
        audio.write(path, np.concatenate(channels), spec.stft.rate)
        paths.append(path)
    return paths


def _stored(system: str, profile: str, store: Root, data_root: Root):
    paper, _, rest = system.partition("/")
    name, _, row = rest.partition("/")
    if not row:
        raise SpecError(
            f"'{system}' names no system",
            expected="PAPER/EXPERIMENT/ROW, e.g. parwal/table4/3-rnn-mse",
            do="`unmix separate FILE --system list` lists them",
        )
    known = experiments(paper, setting(paper, profile, data_root))
    if name not in known:
        raise SpecError(one_of("experiment", name, known), expected=", ".join(known))
    place = Store(store_folder(store))
    rows = gather(paper, name, place, profile_name=profile, data_root=data_root, best=False)
    found = {row_name(item): item for item in rows}
    if row not in found:
        raise SpecError(one_of("system", row, found), expected=", ".join(found))
    if not found[row].runs:
        raise UnmixError(
            f"{system} is not trained under profile {profile} (store {place.root})",
            do=f"run `unmix run {paper}/{name} --profile {profile}` first",
        )
    return found[row].runs[0]
