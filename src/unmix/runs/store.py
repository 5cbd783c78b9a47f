"""A content-addressed store of runs: one folder a run, complete or absent.

A run's folder holds `spec.json`, `provenance.json`, `scores.csv`, `checksums.json`, and
`history.csv`, `findings.json` and `model.safetensors` where something was learnt. It is written
under `partial/` and renamed into place, so a killed process leaves nothing half there, and the
checkpoint in the partial folder lets the next call go on. What is found damaged is moved to
`quarantine/`.

Not every file system renames a folder in one step. Before a run begins, an empty one takes the way
of the finished run; and while a run still lies in `partial/` too, its copy in place counts only if
its checksums fit, because then a copying rename was cut off.

Torch and pandas are imported where a run is read, so that a listing need not wait for them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmix.errors import StoreError, one_of
from unmix.runs import checksums, remote

if TYPE_CHECKING:
    import pandas as pd

    from unmix.runs.spec import Spec

FORMAT = 1
"""Version of the folder's layout."""

PARTIAL, QUARANTINE = "partial", "quarantine"
"""Folders of a store that hold no finished run: what is being written, and what is damaged."""

TRIAL = ".trial"
"""Beginning of the name of a folder that tries out whether the store takes finished runs."""

CHECKPOINT = "checkpoint.safetensors"
"""What a finished run does not keep; once it is gone, only the rename is left to do."""


def _remedy(error: OSError) -> str:
    """Return what to do about a store that cannot be written."""
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "give yourself the right to write there, or choose another folder with --store"
    return (
        "free some space, or choose another folder with --store; the next call goes on from the "
        "last checkpoint, if there is one"
    )


@dataclass(frozen=True)
class Run:
    """A stored run."""

    folder: Path

    @property
    def key(self) -> str:
        """The key under which it is stored."""
        return self.folder.name

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        content = checksums.checked(path)
        try:
            data = json.loads(content)
        except ValueError as error:
            raise StoreError(f"{path}: cannot be read ({error})", do=checksums.REPAIR) from error
        if not isinstance(data, dict):
            raise StoreError(f"{path}: cannot be read (no dictionary)", do=checksums.REPAIR)
        return data

    def settings(self) -> dict[str, Any]:
        """Return the spec as plain data, as it was stored, whatever today's settings are.

        Raises:
            StoreError: the file is damaged.
        """
        return self._json("spec.json")

    def spec(self) -> Spec:
        """Return the spec that was carried out.

        Raises:
            StoreError: the file is damaged.
            SpecError: it names settings that there are no more.
        """
        from unmix.runs.spec import spec_from_plain

        return spec_from_plain(self._json("spec.json"))

    def provenance(self) -> dict[str, Any]:
        """Return where the scores come from: fidelity, fingerprints, device, time, memory.

        Older runs lack what `execute.provenance` has learnt to say since.
        """
        return self._json("provenance.json")

    def scores(self, of: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Return clips: `clip`, `song`, `artist`, `samples`, `source`, and metrics.

        `of` says which, see `metrics.means.selected`.

        Raises:
            StoreError: the file is damaged, or the provenance that says how long it is.
        """
        table = self._table("scores.csv")
        try:
            counts = self.provenance()["clips"]
            parts = set(table["part"]) if "part" in table else {"test"}
            # A clip has a row for each source that was scored, each variant and each version.
            columns = {"source", "variant", "version"} & set(table)
            several = [table[name].nunique() for name in columns]
            rows = max(1, math.prod(several))
            expected = rows * sum(counts[each] for each in parts)
        except (LookupError, TypeError) as error:
            raise StoreError(
                f"{self.folder / 'provenance.json'}: does not say how many clips were scored",
                do=checksums.REPAIR,
            ) from error
        if len(table) != expected or "clip" not in table or table["clip"].isna().any():
            raise StoreError(
                f"{self.folder / 'scores.csv'}: holds {len(table)} rows",
                expected=f"{expected}, {'one' if rows == 1 else rows} for each "
                f"{' and '.join(sorted(parts))} clip",
                do=f"{checksums.REPAIR}; if there are no checksums, delete the folder",
            )
        from unmix.metrics.means import selected

        return selected(table, of)

    def history(self) -> pd.DataFrame:
        """Return a row an epoch; empty where nothing was trained by epochs."""
        import pandas as pd

        listed = checksums.read(self.folder) or {}
        if "history.csv" not in listed and not (self.folder / "history.csv").exists():
            return pd.DataFrame()
        return self._table("history.csv")

    def findings(self, name: str) -> dict[str, float]:
        """Return what a separator found out about itself while it learnt, by metric.

        Raises:
            StoreError: the run has no finding of that name, or the file is damaged.
        """
        path = self.folder / "findings.json"
        found = self._json("findings.json") if path.exists() else {}
        if name not in found:
            raise StoreError(one_of(f"finding of {self.folder}:", name, found), do=checksums.REPAIR)
        return dict(found[name])

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        path = self.folder / name
        content = checksums.checked(path)
        try:
            return pd.read_csv(io.BytesIO(content))
        except ValueError as error:
            raise StoreError(f"{path}: cannot be read ({error})", do=checksums.REPAIR) from error

    @property
    def weights(self) -> Path:
        """Path of what was learnt (it does not exist for oracles, nor in `results/`)."""
        return self.folder / "model.safetensors"


class Store:
    """Runs in a folder.

    Attributes:
        root: the folder; that of the local mirror where the store is elsewhere.
        remote: the store elsewhere, None where the folder is the store.
    """

    def __init__(self, root: str | os.PathLike) -> None:
        """Open the store in a folder, or at a URL; see `unmix.runs.remote`.

        Raises:
            StoreError: the URL cannot be used.
        """
        self.root = remote.mirror(str(root)) if remote.is_url(root) else Path(root)
        self.remote = remote.of(self.root)

    def get(self, key: str) -> Run | None:
        """Return the run stored under `key`, or None.

        Nothing is hashed, unless the run lies in `partial/` too: being renamed, or left so.

        Raises:
            StoreError: the store is elsewhere, and out of reach or damaged.
        """
        run = Run(self.root / key)
        if self.remote and not (run.folder / "provenance.json").is_file() and self.remote.has(key):
            self._fetch(key)
        if not (run.folder / "provenance.json").is_file():
            return None
        if (self.root / PARTIAL / key).exists() and checksums.damage(run.folder):
            return None  # whoever writes it next moves this half of it away
        return run

    def runs(self) -> list[Run]:
        """Return all runs, sorted by key.

        Raises:
            StoreError: the store is elsewhere, and out of reach or damaged.
        """
        self.fetch_all()
        found = sorted(self.root.glob("*/provenance.json"))
        return [Run(path.parent) for path in found]

    def fetch_all(self) -> None:
        """Bring the mirror of a store elsewhere up to date; nothing else needs it.

        Raises:
            StoreError: the store is out of reach, or a run in it is damaged.
        """
        for key in self.remote.keys() if self.remote else ():
            self.get(key)

    def _fetch(self, key: str) -> None:
        assert self.remote is not None
        beside = self.root / PARTIAL / f".fetched-{key}-{os.getpid()}"
        self.remote.fetch(key, beside)
        try:
            os.replace(beside, self.root / key)
        except OSError:  # another process was first
            shutil.rmtree(beside, ignore_errors=True)

    def quarantine(self, key: str) -> Path:
        """Move a run out of the store's sight into `quarantine/`; return where it lies now.

        Raises:
            StoreError: it cannot be moved.
        """
        place = self.root / QUARANTINE / key
        try:
            place.parent.mkdir(exist_ok=True)
            number = 1
            while place.exists():
                number += 1
                place = place.with_name(f"{key}.{number}")
            os.replace(self.root / key, place)
        except OSError as error:
            raise StoreError(
                f"{self.root / key}: cannot be moved to {place} ({error})",
                do="give yourself the right to write there, or move it by hand",
            ) from error
        return place

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Give out the partial folder of `key`; rename it into place when the block succeeds.

        One process at a time holds it; another one waits, and finds the run stored when it gets
        in (look again with `get` inside the block). So does one that finds the run whole in the
        partial folder, because its process died or was refused at the last step.

        Raises:
            StoreError: the disk is full, the folder cannot be written, or no run can be renamed
                into its place, which is tried before the block; the partial folder stays, so that
                the next call goes on from its checkpoint.
        """
        partial = self.root / PARTIAL / key
        try:
            partial.mkdir(parents=True, exist_ok=True)
            with _held(partial.parent / f"{key}.lock"):
                partial.mkdir(exist_ok=True)
                if self.get(key) is None:
                    self._try_out(partial, key)
                    if _is_whole(partial):
                        self._finish(partial, key)
                        partial.mkdir()
                yield partial
                if self.get(key) is None and (partial / "provenance.json").exists():
                    checksums.write(partial, but=(CHECKPOINT,))
                    self._finish(partial, key)
                else:
                    shutil.rmtree(partial, ignore_errors=True)
        except OSError as error:
            if not _in_store(error, self.root):
                raise
            raise StoreError(
                f"{partial}: cannot be written ({_reason(error)})",
                expected="a folder that may be written, with room for the run",
                do=_remedy(error),
            ) from error

    def _try_out(self, partial: Path, key: str) -> None:
        """Rename a small folder the way of the finished run: better now than after the training.

        Raises:
            OSError: the disk is full, or the partial folder cannot be written.
            StoreError: the folder cannot be renamed into the store.
        """
        trial, place = partial / TRIAL, self.root / f"{TRIAL}-{key}"
        trial.mkdir(exist_ok=True)
        (trial / "file").touch()
        try:
            shutil.rmtree(place, ignore_errors=True)  # of a process that was killed here
            os.replace(trial, place)
            shutil.rmtree(place)
        except OSError as error:
            shutil.rmtree(trial, ignore_errors=True)
            if _is_full(error):
                raise
            raise StoreError(
                f"{self.root}: cannot take finished runs ({error})",
                expected=f"a folder that can be written, on one file system with {PARTIAL}/ in it, "
                "which renames folders",
                do="give yourself the right to write there, or choose another folder with --store",
            ) from error

    def _finish(self, partial: Path, key: str) -> None:
        """Put what `partial` holds, a whole run with its checksums, into its place."""
        if self.remote:
            self.remote.upload(partial, key)
        (partial / CHECKPOINT).unlink(missing_ok=True)
        place = self.root / key
        if place.exists() and self.get(key) is None:
            self.quarantine(key)  # what lies there is half a run
        try:
            os.replace(partial, place)
        except OSError as error:
            # Another machine, which our lock does not reach, may have been first.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or self.get(key) is None:
                raise
            shutil.rmtree(partial, ignore_errors=True)


def _is_whole(partial: Path) -> bool:
    """Return whether a run that is being written lacks nothing but its place."""
    if not (partial / checksums.NAME).is_file() or (partial / CHECKPOINT).exists():
        return False
    return checksums.damage(partial) == []


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold a lock file that is still the one at its path: `gc` may have removed it meanwhile."""
    while True:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if same_file(lock.fileno(), path):
                yield
                return


def same_file(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the one that lies at a path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _in_store(error: OSError, root: Path) -> bool:
    """Return whether an error comes from writing the store, not from reading something else."""
    if _is_full(error):
        return True
    return error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(root)


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def _reason(error: OSError) -> str:
    return "the disk is full" if _is_full(error) else str(error)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a dictionary as readable JSON with a stable order."""
    text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV; nine digits are in dB far below what any metric resolves."""
    table.to_csv(path, index=False, float_format="%.9g")
