"""A content-addressed store of runs: one folder a run, complete or absent.

A run's folder holds `spec.json`, `provenance.json`, `scores.csv`, `checksums.json`, and
`history.csv` and `model.safetensors` where something was learnt. It is written under `partial/` and
renamed into place, so a killed process leaves nothing half there, and the checkpoint in the partial
folder lets the next call go on. What is found damaged is moved to `quarantine/`.

Torch and pandas are imported where a run is read, so that a listing need not wait for them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmix.errors import StoreError
from unmix.runs import checksums, remote

if TYPE_CHECKING:
    import pandas as pd

    from unmix.runs.spec import Spec

FORMAT = 1
"""Version of the folder's layout."""

PARTIAL, QUARANTINE = "partial", "quarantine"
"""Folders of a store that hold no finished run: what is being written, and what is damaged."""


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
        return data  # type: ignore[no-any-return]

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

    def scores(self) -> pd.DataFrame:
        """Return a row a clip: `clip`, `song`, `artist`, `samples`, `source` and the metrics."""
        table = self._table("scores.csv")
        expected = self.provenance()["clips"]["test"]
        if len(table) != expected or table["clip"].isna().any():
            raise StoreError(
                f"{self.folder / 'scores.csv'}: holds {len(table)} rows",
                expected=f"{expected}, one for each test clip",
                do=f"{checksums.REPAIR}; if there are no checksums, delete the folder",
            )
        return table

    def history(self) -> pd.DataFrame:
        """Return a row an epoch; empty where nothing was trained by epochs."""
        import pandas as pd

        listed = checksums.read(self.folder) or {}
        if "history.csv" not in listed and not (self.folder / "history.csv").exists():
            return pd.DataFrame()
        return self._table("history.csv")

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
        """Return the run stored under `key`, or None; nothing is hashed.

        Raises:
            StoreError: the store is elsewhere, and out of reach or damaged.
        """
        run = Run(self.root / key)
        if self.remote and not (run.folder / "provenance.json").is_file() and self.remote.has(key):
            self._fetch(key)
        return run if (run.folder / "provenance.json").is_file() else None

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
        in (look again with `get` inside the block).

        Raises:
            StoreError: the disk is full or the folder cannot be written; the partial folder stays,
                so that the next call goes on from its checkpoint.
        """
        partial = self.root / PARTIAL / key
        try:
            partial.mkdir(parents=True, exist_ok=True)
            with _held(partial.parent / f"{key}.lock"):
                partial.mkdir(exist_ok=True)
                yield partial
                if self.get(key) is None and (partial / "provenance.json").exists():
                    checksums.write(partial, but=("checkpoint.safetensors",))
                    if self.remote:
                        self.remote.upload(partial, key)
                    (partial / "checkpoint.safetensors").unlink(missing_ok=True)
                    if (self.root / key).exists():
                        self.quarantine(key)  # what lies there has lost its provenance
                    os.replace(partial, self.root / key)
                else:
                    shutil.rmtree(partial, ignore_errors=True)
        except OSError as error:
            if not _in_store(error, self.root):
                raise
            raise StoreError(
                f"{partial}: cannot be written ({_reason(error)})",
                expected="a folder with room for the run",
                do="free some space, or choose another folder with --store; the next call goes on "
                "from the last checkpoint",
            ) from error


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
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return True
    return error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(root)


def _reason(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    return "the disk is full" if full else str(error)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a dictionary as readable JSON with a stable order."""
    text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV; nine digits are in dB far below what any metric resolves."""
    table.to_csv(path, index=False, float_format="%.9g")
