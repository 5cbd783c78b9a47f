"""What an engine tells while runs go on: each epoch once, then the end of the run."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from unmix.runs.store import Store

EVERY_S = 0.5
"""How often the files with epochs are looked at, in seconds."""


@dataclass(frozen=True)
class Event:
    """What an engine tells while it works: an epoch of a run, or its end (`row` is None)."""

    label: str
    row: dict[str, Any] | None
    done: int
    total: int


Watch = Callable[[Event], None]


def epochs_file(root: str | os.PathLike, key: str) -> Path:
    """Return the file in the store at `root` to which a run adds a line after each epoch."""
    return Path(root) / "partial" / key / "progress.jsonl"


def lines(path: Path) -> list[str]:
    """Return the whole lines of a file; none where there is no file (any more)."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    # The last line may still be being written.
    return text.split("\n")[:-1]


def _row(line: str) -> dict[str, Any] | None:
    """Return the epoch that a line tells, None if it is none.

    Where a process died in the middle of a line, or the disk was full, the next one wrote on.
    """
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("epoch"), int) else None


class Watcher(threading.Thread):
    """Reads the epochs that workers write beside their checkpoints, and passes them on.

    The workers may be processes of this machine or of others: the store is all that they share.
    """

    def __init__(
        self, store: Store, names: Mapping[str, str], missing: Collection[str], watch: Watch
    ) -> None:
        """Take the runs to watch.

        Args:
            store: where the runs are written.
            names: what a run is called in events, by key.
            missing: keys of the runs that are to be done.
            watch: told of everything, by one thread at a time.
        """
        super().__init__(daemon=True)
        self.store, self.names, self.watch = store, names, watch
        self.total, self.done = len(missing), 0
        self.files = {key: epochs_file(store.root, key) for key in missing}
        # Epochs of an earlier, interrupted call are not news.
        self.seen = {key: len(lines(path)) for key, path in self.files.items()}
        self.last = {key: self._last(path) for key, path in self.files.items()}
        self.stop, self.lock = threading.Event(), threading.Lock()

    @staticmethod
    def _last(path: Path) -> int:
        return max((row["epoch"] for row in map(_row, lines(path)) if row), default=-1)

    def __enter__(self) -> Watcher:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop.set()
        self.join()

    def run(self) -> None:
        """Look at the files until the block ends."""
        while not self.stop.wait(EVERY_S):
            for key in list(self.files):
                self._pass_on(key)

    def _pass_on(self, key: str) -> None:
        with self.lock:
            # A run that ended meanwhile has no file here any more.
            found = lines(self.files[key]) if key in self.files else []
            for row in map(_row, found[self.seen.get(key, 0) :]):
                if row:
                    self._tell_epoch(key, row)
            self.seen[key] = max(len(found), self.seen.get(key, 0))

    def _tell_epoch(self, key: str, row: dict[str, Any]) -> None:
        # A run that goes on on another worker may repeat the epoch after its checkpoint.
        if row["epoch"] > self.last[key]:
            self.last[key] = row["epoch"]
            self.watch(Event(self.names[key], row, self.done, self.total))

    def finished(self, key: str) -> None:
        """Pass on the epochs of a finished run that were not read yet, count it and say so."""
        with self.lock:
            del self.files[key]
            run = self.store.get(key)
            for row in run.history().to_dict("records") if run else ():
                self._tell_epoch(key, {str(name): value for name, value in row.items()})
            self.done += 1
            self.watch(Event(self.names[key], None, self.done, self.total))
