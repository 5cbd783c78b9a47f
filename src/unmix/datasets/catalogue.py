"""The datasets by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from unmix.datasets.track import PARTS, Dataset
from unmix.errors import DatasetError, command, one_of

MODULES = {
    "mir1k": "unmix.datasets.mir1k",
    "medleydb": "unmix.datasets.medleydb",
    "medleydb-stems": "unmix.datasets.medleydb",
    "medleydb-first-guitar": "unmix.datasets.medleydb",
    "trios": "unmix.datasets.trios",
    "dsd100": "unmix.datasets.dsd100",
    "dsd100-like": "unmix.datasets.dsd100",
    "synthetic-voice": "unmix.datasets.synthetic",
    "synthetic-band": "unmix.datasets.band",
    "synthetic-trios": "unmix.datasets.synthetic_trios",
    "synthetic-songs": "unmix.datasets.synthetic_songs",
}
"""The datasets, and the module of each (imported when it is opened, so that a change in one dataset
leaves the stored runs of the others valid)."""


CLASSES = {
    "unmix.datasets.mir1k": "Mir1k",
    "unmix.datasets.medleydb": "MedleyDb",
    "unmix.datasets.trios": "Trios",
    "unmix.datasets.dsd100": "Dsd100",
}
"""The class of each module whose datasets are recordings. Beside it the module has `here(root)`,
`get_it(root)`, `verify(root)` and `fetch(root)`."""


MATERIAL = {"solos": "unmix.datasets.solos"}
"""Recordings that datasets take from the data root and that make none by themselves; the module of
each has all of `CLASSES` but the class."""


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "medleydb-stems": {"layer": "stems"},
    "medleydb-first-guitar": {"guitars": "first"},
    "dsd100-like": {"folder": "DSD100-like", "like": True},
}
"""Datasets that are another one with other options."""


MADE = {"dsd100-like": "medleydb"}
"""Of those, what `unmix data make NAME --from DATASET` makes of another dataset's recordings. They
lie in a folder of their own, so that all functions of their module take the options."""


STAND_INS = {
    "synthetic-voice": "SyntheticVoice",
    "synthetic-band": "SyntheticBand",
    "synthetic-trios": "SyntheticTrios",
    "synthetic-songs": "SyntheticSongs",
}
"""Datasets that are rendered, and the class of each."""


def data_root(given: str | os.PathLike | None = None) -> Path | None:
    """Return the folder with datasets: what is given, else `UNMIX_DATA`, else None."""
    value = str(given or os.environ.get("UNMIX_DATA") or "")
    return Path(value).expanduser() if value else None


def existing_root(given: str | os.PathLike | None = None) -> Path | None:
    """Return `data_root(given)`, which must be a folder where one is named.

    Raises:
        DatasetError: it is none.
    """
    root = data_root(given)
    if root is not None and not root.is_dir():
        fetch = command("data", "fetch", "mir1k", data_root=root)
        raise DatasetError(
            f"{root}: no such folder for datasets",
            expected="--data-root or UNMIX_DATA naming a folder, or neither for the stand-ins",
            do=f"check the name, or fetch a dataset into it, e.g. `{fetch}`",
        )
    return root


def function(name: str, what: str) -> Callable[..., Any]:
    """Return `here`, `get_it`, `verify` or `fetch` of a dataset or material that is recordings."""
    found = getattr(import_module({**MODULES, **MATERIAL}[name]), what)
    return partial(found, **OPTIONS[name]) if name in MADE else found  # type: ignore[no-any-return]


def available(name: str, root: str | os.PathLike | None = None) -> bool:
    """Return whether a dataset that is not embedded lies in the data root."""
    folder = data_root(root)
    return folder is not None and name not in STAND_INS and bool(function(name, "here")(folder))


def whole(name: str, root: str | os.PathLike | None = None) -> bool:
    """Return whether all of a dataset lies in the data root, and not a part of it."""
    try:
        return available(name, root) and open_dataset(name, root).fidelity != "subset"
    except DatasetError:  # told where it is used
        return False


def open_dataset(
    name: str,
    root: str | os.PathLike | None = None,
    clips: tuple[int, int, int] | None = None,
) -> Dataset:
    """Open a dataset by its name.

    Args:
        name: one of `MODULES`.
        root: folder with datasets; None takes `UNMIX_DATA`. The stand-ins need none.
        clips: how many clips of each part are wanted; decides how much a stand-in renders.

    Raises:
        DatasetError: the name is unknown, or the dataset is not there.
    """
    if name not in MODULES:
        raise DatasetError(one_of("dataset", name, MODULES), expected=", ".join(MODULES))
    module = import_module(MODULES[name])
    if name in STAND_INS:
        counts = (dict(zip(PARTS, clips, strict=True)),) if clips else ()
        return getattr(module, STAND_INS[name])(*counts)  # type: ignore[no-any-return]
    folder = data_root(root)
    if folder is None:
        raise DatasetError(f"{name}: no folder with datasets is set", do=function(name, "get_it")())
    opened = getattr(module, CLASSES[MODULES[name]])
    return opened(folder, **OPTIONS.get(name, {}))  # type: ignore[no-any-return]


def chosen(split: Mapping[str, Sequence[str]], clips: tuple[int, int, int] | None) -> dict:
    """Return the clip names of each part, at most `clips` of them, spread evenly over the part."""
    parts = {}
    for part, count in zip(PARTS, clips or (None,) * 3, strict=True):
        names = list(split[part])
        if count is not None and count < len(names):
            step = len(names) / count
            names = [names[int(i * step)] for i in range(count)]
        parts[part] = names
    return parts
