"""What is in a store: a fast listing, runs by the beginning of their key, what two runs differ in.

A listing reads one line a run from `index.jsonl`. The folder decides, never the index: a line
counts only while the run's `provenance.json` is the file that it was made from (time of change and
size), runs without a valid line are read, lines without a run are dropped, and an index that cannot
be read is none. Deleting it costs a few seconds, once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unmix import files
from unmix.errors import StoreError, UnmixError, command
from unmix.plain import canonical
from unmix.runs import checksums
from unmix.runs.store import PARTIAL, QUARANTINE, TRIAL, Run, Store, same_file

INDEX = "index.jsonl"

REMOVED = ".removed"
"""Folder under `partial/` in which runs end; a killed removal leaves some there."""

SHOWN = 12
"""Digits of a key that are shown; 48 bits tell 100,000 runs apart."""


class Entry(NamedTuple):
    """What a listing says of a run; None where its provenance does not tell.

    Attributes:
        key: the whole key.
        changed: when its `provenance.json` was last written, in ns.
        size: of that file in bytes.
        family: of its spec.
        seed: of its spec.
        fidelity: `full`, `subset` or `stand-in`; empty where the provenance cannot be read.
        finished: when, in UTC.
        wall: wall time in s.
        gnsdr: global NSDR in dB.
    """

    key: str
    changed: int
    size: int
    family: str
    seed: int | None
    fidelity: str
    finished: str
    wall: float | None
    gnsdr: float | None


def stamps(root: Path) -> dict[str, tuple[int, int]]:
    """Return for each finished run of a folder when its provenance was written, and its size."""
    found = {}
    try:
        names = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    except OSError:
        return {}
    top = str(root)
    for name in names:
        try:
            status = os.stat(f"{top}/{name}/provenance.json")
        except OSError:
            continue
        found[name] = (status.st_mtime_ns, status.st_size)
    return found


def listing(root: Path, *, keep: bool = True) -> list[Entry]:
    """Return an entry a run of a folder, sorted by key.

    Args:
        root: the folder.
        keep: whether to bring its index up to date; folders in git shall have none.
    """
    here, known = stamps(root), _index(root)
    entries = []
    fresh = len(known) != len(here)
    for key in sorted(here):
        entry = known.get(key)
        if entry is None or (entry.changed, entry.size) != here[key]:
            entry, fresh = _read(root / key, here[key]), True
        entries.append(entry)
    if fresh and keep:
        write_lines(root / INDEX, (json.dumps(entry) for entry in entries))
    return entries


def _index(root: Path) -> dict[str, Entry]:
    """Return the entries of the index by key; none where it is missing or damaged."""
    try:
        lines = (root / INDEX).read_text(encoding="utf-8").splitlines()
        rows = json.loads("[" + ",".join(lines) + "]")
        return {row[0]: Entry._make(row) for row in rows}
    except (OSError, ValueError, TypeError, LookupError):
        return {}


def _read(folder: Path, stamp: tuple[int, int]) -> Entry:
    """Return the entry of a run from its files, with empty fields where they are damaged."""
    run, about, seed = Run(folder), {}, None
    try:
        about = run.provenance()
        seed = about["seed"] if "seed" in about else run.settings()["seed"]
    except (StoreError, LookupError, TypeError):
        pass
    if not isinstance(about, dict):
        about = {}
    return Entry(
        run.key,
        *stamp,
        str(about.get("family", "")),
        seed,
        str(about.get("fidelity", "")),
        str(about.get("finished", "")),
        about.get("wall_s"),
        (about.get("global") or {}).get("GNSDR"),
    )


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a cache; a folder that takes none goes without."""
    with contextlib.suppress(OSError):
        files.put(path, "".join(f"{line}\n" for line in lines))


def find(beginning: str, roots: Iterable[Path]) -> Run:
    """Return the run whose key begins so, from the first of some folders that has it.

    Raises:
        StoreError: no run's key begins so, or those of several do.
    """
    roots, word = list(roots), beginning.strip().lower()
    where = ", ".join(str(root) for root in roots)
    do = f"`{command('runs', 'list')}` shows the keys"
    if not word:
        raise StoreError("an empty key", expected="the first digits of a run's key", do=do)
    found: dict[str, Run] = {}
    for root in roots:
        for key in sorted(_keys(root, word)):
            found.setdefault(key, Run(root / key))
    if word in found:
        return found[word]
    if not found:
        raise StoreError(f"no run's key begins with '{beginning}' in {where}", do=do)
    if len(found) > 1:
        keys = ", ".join(key[: max(SHOWN, len(word) + 4)] for key in sorted(found)[:4])
        raise StoreError(
            f"the keys of {len(found)} runs begin with '{beginning}' ({keys}"
            f"{', …' if len(found) > 4 else ''})",
            expected="enough digits to name one run",
            do=do,
        )
    return next(iter(found.values()))


def _keys(root: Path, beginning: str) -> list[str]:
    """Return the finished runs of a folder whose keys begin so; only those are looked at."""
    try:
        names = [name for name in os.listdir(root) if name.startswith(beginning)]
    except OSError:
        return []
    return [name for name in names if (root / name / "provenance.json").is_file()]


def flat(data: Any, where: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, by dotted path; lists and scalars are values."""
    if not isinstance(data, Mapping) or not data:
        return {where: data}
    found: dict[str, Any] = {}
    for name, item in data.items():
        found |= flat(item, f"{where}.{name}" if where else str(name))
    return found


@dataclass(frozen=True)
class Difference:
    """One entry in which two runs differ; a text in JSON each, empty where a run has none."""

    part: str
    path: str
    one: str
    other: str


def diff(one: Run, other: Run) -> list[Difference]:
    """Return the settings and the provenance entries in which two runs differ, by dotted path.

    Raises:
        StoreError: a spec or a provenance is damaged.
    """
    parts: dict[str, Callable[[Run], dict[str, Any]]] = {
        "settings": Run.settings,
        "provenance": Run.provenance,
    }
    found = []
    for part, read in parts.items():
        a, b = ({k: canonical(v) for k, v in flat(read(run)).items()} for run in (one, other))
        for path in sorted(set(a) | set(b)):
            if a.get(path) != b.get(path):
                found.append(Difference(part, path, a.get(path, ""), b.get(path, "")))
    return found


@dataclass(frozen=True)
class Checked:
    """What hashing a run found: its damage, a line a file, or that it has no checksums (None)."""

    run: Run
    damage: list[str] | None


def verify(root: Path) -> list[Checked]:
    """Hash all files of all runs of a folder, sorted by key, weights included."""
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except OSError:
        return []
    folders = [
        root / name for name in names if name not in (PARTIAL, QUARANTINE) and name[0] != "."
    ]
    return [Checked(Run(folder), _damage(folder)) for folder in folders]


def _damage(folder: Path) -> list[str] | None:
    """Return `checksums.damage`; without its provenance a folder is no run, and is damaged."""
    lines = checksums.damage(folder)
    if lines is None and not (folder / "provenance.json").is_file():
        return [f"{folder / 'provenance.json'}: is missing"]
    return lines


def sound(run: Run) -> None:
    """Make sure that nothing of a run is damaged, and that what has no checksums can be read.

    Raises:
        UnmixError: something is; the message names the files.
    """
    lines = checksums.damage(run.folder)
    if lines:
        raise StoreError(
            f"run {run.key[:SHOWN]} is damaged: {'; '.join(lines)}", do=checksums.REPAIR
        )
    try:
        run.spec()
        run.scores()
        run.history()
    except UnmixError as error:
        raise StoreError(
            f"run {run.key[:SHOWN]} is damaged: {error.found}", do=checksums.REPAIR
        ) from error


def size(folder: Path) -> int:
    """Return how many bytes the files below a folder have."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def sweep(store: Store, *, older: float, remove: bool) -> list[tuple[Path, int]]:
    """Find, and remove if asked to, what nobody holds any more under `partial/`.

    That is the partial folders of runs that are stored meanwhile or that nobody has written to
    for some days, and lock files without a folder. Younger folders hold checkpoints to go on from.

    Args:
        store: the store.
        older: days after which a partial folder is stale.
        remove: whether to remove them.

    Returns:
        What was found, and how many bytes each takes.

    Raises:
        StoreError: the store cannot be written, not even to lock what is looked at.
    """
    try:
        return _swept(store, older, remove)
    except OSError as error:
        raise StoreError(
            f"{store.root}: cannot be tidied up ({error})",
            do="give yourself the right to write there",
        ) from error


def _swept(store: Store, older: float, remove: bool) -> list[tuple[Path, int]]:
    top = store.root / PARTIAL
    ended = [top / REMOVED, *top.glob(".fetched-*"), *store.root.glob(f"{TRIAL}-*")]
    found = [(folder, size(folder)) for folder in ended if folder.is_dir() and _over(folder, older)]
    for folder, _ in found if remove else ():
        shutil.rmtree(folder)
    for path in sorted(top.glob("*.lock")):
        folder = path.with_suffix("")
        with path.open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # a run is being carried out
            if not same_file(lock.fileno(), path):
                continue
            if folder.exists():
                if store.get(folder.name) is None and _age(folder) < older:
                    continue
                found.append((folder, size(folder)))
                if remove:
                    shutil.rmtree(folder)
            found.append((path, 0))
            if remove:
                path.unlink()
    return found


def _over(folder: Path, older: float) -> bool:
    """Return whether nobody needs a hidden folder: what was removed at once, the rest when old."""
    return (folder.name == REMOVED and any(folder.iterdir())) or _age(folder) >= older


def _age(folder: Path) -> float:
    """Return the days since anything in a folder was written."""
    newest = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    return (time.time() - newest) / 86400
