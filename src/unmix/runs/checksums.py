"""Checksums of a run's files: damage is found, and named, before anything is read from a file.

A finished run carries `checksums.json`: the SHA-256 of each of its other files. Small files (spec,
provenance, scores, history) are held against it whenever they are read; all of them, weights
included, by `unmix runs verify`. Runs from before checksums have none, and are read without; where
the provenance says that there were some, nothing is read until they are back.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from unmix import files
from unmix.errors import StoreError, command

NAME = "checksums.json"

ALGORITHM = "sha256"
"""Stands in the provenance of a run that has checksums, so that their loss is seen too."""

REPAIR = (
    f"`{command('runs', 'verify', quarantine=True)}` moves damaged runs of the store away and the "
    "next `unmix run` repeats them; evidence in results/ comes back from git"
)


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, without holding the file in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, ALGORITHM).hexdigest()


def write(folder: Path, but: Collection[str] = ()) -> None:
    """Write `checksums.json` over all files of a folder, whole or not at all.

    Args:
        folder: the run's.
        but: names of files that are no part of the run.

    Raises:
        OSError: the disk is full, or a file cannot be read.
    """
    table = {
        str(path.relative_to(folder)): of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (NAME, *but)
    }
    files.put(folder / NAME, json.dumps(table, indent=1, sort_keys=True) + "\n")


def read(folder: Path) -> dict[str, str] | None:
    """Return the checksums of a run by file name; None where it has none.

    Raises:
        StoreError: the list itself is damaged.
    """
    path = folder / NAME
    try:
        status = path.stat()
    except OSError:
        return None
    return _parsed(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1024)
def _parsed(path: Path, changed: int, size: int) -> dict[str, str]:
    """Return the list in `path`; when and how long it was written makes the cache see changes."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error})", do=REPAIR) from error
    if not isinstance(table, dict) or not all(isinstance(item, str) for item in table.values()):
        raise StoreError(f"{path}: is no list of checksums", do=REPAIR)
    return table


def checked(path: Path) -> bytes:
    """Return the content of a run's file, once it is known to be what the run wrote.

    Raises:
        StoreError: the file cannot be read, or is not what the run wrote; the message names it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error})", do=REPAIR) from error
    table = read(path.parent)
    if table is None and _announced(path.parent):
        raise StoreError(
            f"{path}: cannot be read ({NAME} is missing, so nobody knows whether it is whole)",
            do=REPAIR,
        )
    if table is not None and table.get(path.name) != hashlib.sha256(content).hexdigest():
        raise StoreError(
            f"{path}: is not what the run wrote (cut short, or edited by hand)",
            expected=f"a file that fits its checksum in {NAME}",
            do=REPAIR,
        )
    return content


def damage(folder: Path) -> list[str] | None:
    """Return what is wrong with a run's files, a line a file; None where there are no checksums.

    A file that the run did not write counts as damage: it may be a stranger's. Nothing is parsed
    but the list and, where that is missing, the provenance that may say that there was one.
    """
    try:
        table = read(folder)
    except StoreError as error:
        return [str(error.found)]
    if table is None:
        lost = _announced(folder)
        return [f"{folder / NAME}: is missing"] if lost else None
    here = {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if not path.is_dir() and path.name != NAME
    }
    lines = [f"{folder / name}: is missing" for name in sorted(set(table) - set(here))]
    for name, path in sorted(here.items()):
        if name not in table:
            lines.append(f"{path}: was not written by the run")
        elif not _fits(path, table[name]):
            lines.append(f"{path}: does not fit its checksum (cut short, or edited by hand)")
    return lines


def _fits(path: Path, wanted: str) -> bool:
    try:
        # A device or a pipe in a file's place might never end.
        return path.is_file() and of_file(path) == wanted
    except OSError:
        return False


def _announced(folder: Path) -> bool:
    try:
        about = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        return bool(about.get("checksums"))
    except (OSError, ValueError, AttributeError):
        return False
