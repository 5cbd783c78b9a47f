"""The engine: many specs, several at a time, each into the store, none twice."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmix.datasets.catalogue import open_dataset
from unmix.errors import SpecError, UnmixError, one_of
from unmix.runs.execute import carry_out, key, resolve_device
from unmix.runs.spec import Spec
from unmix.runs.store import Run, Store

ENGINES = ("local",)


@dataclass(frozen=True)
class Event:
    """What an engine tells while it works: an epoch of a run, or its end (`row` is None)."""

    label: str
    row: dict[str, Any] | None
    done: int
    total: int


Watch = Callable[[Event], None]


def complete(
    specs: Sequence[Spec],
    store: Store,
    *,
    data_root: str | os.PathLike | None = None,
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    labels: Sequence[str] | None = None,
    watch: Watch = lambda event: None,
) -> list[Run]:
    """Carry out what is not stored yet, and return the runs of all specs in their order.

    Args:
        specs: what to do; doubles are done once.
        store: where runs are kept.
        data_root: folder with datasets; None takes `UNMIX_DATA`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        workers: processes at a time; None takes one a core on a CPU, one on a GPU.
        engine: one of `ENGINES`.
        labels: names of the specs in messages.
        watch: told of each epoch and of each run's end.

    Raises:
        UnmixError: a run failed; what was finished before is stored.
    """
    if engine not in ENGINES:
        raise SpecError(one_of("engine", engine, ENGINES), expected=", ".join(ENGINES))
    device = resolve_device(device)
    data_root = str(data_root) if data_root else None
    datasets = {(spec.dataset, spec.clips): None for spec in specs}
    opened = {pair: open_dataset(pair[0], data_root, pair[1]) for pair in datasets}
    keys = [key(spec, opened[spec.dataset, spec.clips]) for spec in specs]
    names = dict(zip(keys, labels or [name[:12] for name in keys], strict=True))
    missing = {k: spec for k, spec in zip(keys, specs, strict=True) if store.get(k) is None}
    if missing:
        count = workers or (1 if device != "cpu" else os.cpu_count() or 1)
        with _Watcher(store, names, missing, watch) as watcher:
            _carry_out_all(missing, store, data_root, device, min(count, len(missing)), watcher)
    return [_stored(store, k) for k in keys]


def _stored(store: Store, run_key: str) -> Run:
    run = store.get(run_key)
    if run is None:
        raise UnmixError(f"run {run_key} is not in the store {store.root}", do="run it again")
    return run


def _carry_out_all(
    missing: dict[str, Spec],
    store: Store,
    data_root: str | None,
    device: str,
    workers: int,
    watcher: _Watcher,
) -> None:
    jobs = [(k, spec, str(store.root), data_root, device) for k, spec in missing.items()]
    if workers == 1:
        for job in jobs:
            one(*job)
            watcher.finished(job[0])
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
    try:
        for run_key in parallel(delayed(one)(*job) for job in jobs):
            watcher.finished(run_key)
    except BrokenProcessPool as error:
        raise UnmixError(
            "a worker process ended unexpectedly (killed, or out of memory)",
            do="run the same command again, it goes on from the last checkpoint; "
            "with --workers 1 it needs less memory",
        ) from error


def one(run_key: str, spec: Spec, root: str, data_root: str | None, device: str) -> str:
    """Carry out one spec into the store at `root`; return its key."""
    store = Store(root)
    with store.writing(run_key) as folder:
        if store.get(run_key) is None:
            for left in folder.glob(".*"):
                left.unlink()  # half a file, of a process that was killed
            dataset = open_dataset(spec.dataset, data_root, spec.clips)

            def log(row: dict[str, Any]) -> None:
                with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")

            carry_out(spec, dataset, folder, identity=run_key, device=device, log=log)
            (folder / "progress.jsonl").unlink(missing_ok=True)
    return run_key


class _Watcher(threading.Thread):
    """Reads the epochs that workers write beside their checkpoints, and passes them on."""

    def __init__(
        self, store: Store, names: dict[str, str], missing: dict[str, Spec], watch: Watch
    ) -> None:
        super().__init__(daemon=True)
        self.names, self.total, self.watch, self.done = names, len(missing), watch, 0
        self.files = {k: store.root / "partial" / k / "progress.jsonl" for k in missing}
        # Epochs of an earlier, interrupted call are not news.
        self.seen = {k: len(_lines(path)) for k, path in self.files.items()}
        self.stop, self.lock = threading.Event(), threading.Lock()

    def __enter__(self) -> _Watcher:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join()

    def run(self) -> None:
        while not self.stop.wait(0.5):
            for run_key, path in list(self.files.items()):
                self._pass_on(run_key, path)

    def _pass_on(self, run_key: str, path: Path) -> None:
        lines = _lines(path)
        for line in lines[self.seen[run_key] :]:
            self._tell(run_key, json.loads(line))
        self.seen[run_key] = max(len(lines), self.seen[run_key])

    def finished(self, run_key: str) -> None:
        """Count a finished run and say so."""
        with self.lock:
            # Epochs that were read before the end are no news after it.
            self.files.pop(run_key, None)
            self.done += 1
        self._tell(run_key, None)

    def _tell(self, run_key: str, row: dict[str, Any] | None) -> None:
        with self.lock:
            if row is None or run_key in self.files:
                self.watch(Event(self.names[run_key], row, self.done, self.total))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    # The last line may still be being written.
    return text.split("\n")[:-1]
