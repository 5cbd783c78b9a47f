"""A content-addressed store of runs: one folder a run, complete or absent.

A run's folder holds `spec.json`, `provenance.json`, `scores.csv`, and `history.csv` and
`model.safetensors` where something was learnt. It is written under `partial/` and renamed into
place, so a killed process leaves nothing half there, and the checkpoint in the partial folder lets
the next call go on.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unmix.errors import StoreError
from unmix.runs.spec import Spec, spec_from_plain

FORMAT = 1
"""Version of the folder's layout."""


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
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path}: cannot be read ({error})", do="delete the folder and run it again"
            ) from error
        return data  # type: ignore[no-any-return]

    def spec(self) -> Spec:
        """Return the spec that was carried out."""
        return spec_from_plain(self._json("spec.json"))

    def provenance(self) -> dict[str, Any]:
        """Return where the scores come from: fidelity, fingerprints, device, time, memory."""
        return self._json("provenance.json")

    def scores(self) -> pd.DataFrame:
        """Return a row a clip: `clip`, `song`, `artist`, `samples`, `source` and the metrics."""
        table = self._table("scores.csv")
        expected = self.provenance()["clips"]["test"]
        if len(table) != expected or table["clip"].isna().any():
            raise StoreError(
                f"{self.folder / 'scores.csv'}: holds {len(table)} rows",
                expected=f"{expected}, one for each test clip",
                do="delete the folder and run it again; the file was cut short",
            )
        return table

    def history(self) -> pd.DataFrame:
        """Return a row an epoch; empty where nothing was trained by epochs."""
        if not (self.folder / "history.csv").exists():
            return pd.DataFrame()
        return self._table("history.csv")

    def _table(self, name: str) -> pd.DataFrame:
        path = self.folder / name
        try:
            return pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path}: cannot be read ({error})", do="delete the folder and run it again"
            ) from error

    @property
    def weights(self) -> Path:
        """Path of what was learnt (it does not exist for oracles, nor in `results/`)."""
        return self.folder / "model.safetensors"


class Store:
    """Runs in a folder."""

    def __init__(self, root: str | os.PathLike) -> None:
        self.root = Path(root)

    def get(self, key: str) -> Run | None:
        """Return the run stored under `key`, or None."""
        run = Run(self.root / key)
        return run if (run.folder / "provenance.json").is_file() else None

    def runs(self) -> list[Run]:
        """Return all runs, sorted by key."""
        found = sorted(self.root.glob("*/provenance.json"))
        return [Run(path.parent) for path in found]

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Give out the partial folder of `key`; rename it into place when the block succeeds.

        One process at a time holds it; another one waits, and finds the run stored when it gets
        in (look again with `get` inside the block).

        Raises:
            StoreError: the disk is full or the folder cannot be written; the partial folder stays,
                so that the next call goes on from its checkpoint.
        """
        partial = self.root / "partial" / key
        try:
            partial.mkdir(parents=True, exist_ok=True)
            with (partial.parent / f"{key}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                partial.mkdir(exist_ok=True)
                yield partial
                if self.get(key) is None and (partial / "provenance.json").exists():
                    (partial / "checkpoint.safetensors").unlink(missing_ok=True)
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
