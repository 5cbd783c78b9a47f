"""The datasets by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from unmix.datasets.track import PARTS, Dataset
from unmix.errors import DatasetError, one_of

MODULES = {"mir1k": "unmix.datasets.mir1k", "synthetic-voice": "unmix.datasets.synthetic"}
"""The datasets, and the module of each."""


def data_root(given: str | os.PathLike | None = None) -> Path | None:
    """Return the folder with datasets: what is given, else `UNMIX_DATA`, else None."""
    value = str(given or os.environ.get("UNMIX_DATA") or "")
    return Path(value).expanduser() if value else None


def available(name: str, root: str | os.PathLike | None = None) -> bool:
    """Return whether a dataset that must be fetched lies in the data root."""
    from unmix.datasets.mir1k import wavfile_folder

    folder = data_root(root)
    return name == "mir1k" and folder is not None and wavfile_folder(folder).is_dir()


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
    if name == "synthetic-voice":
        from unmix.datasets.synthetic import SyntheticVoice

        return SyntheticVoice(dict(zip(PARTS, clips, strict=True))) if clips else SyntheticVoice()
    if name == "mir1k":
        from unmix.datasets.mir1k import GET_IT, Mir1k

        folder = data_root(root)
        if folder is None:
            raise DatasetError("mir1k: no folder with datasets is set", do=GET_IT)
        return Mir1k(folder)
    raise DatasetError(one_of("dataset", name, MODULES), expected=", ".join(MODULES))


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
