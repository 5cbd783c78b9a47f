"""The engine: many specs, several at a time, each into the store, none twice."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unmix.datasets.catalogue import data_root as root_of
from unmix.datasets.catalogue import open_dataset
from unmix.errors import SpecError, UnmixError, one_of
from unmix.runs import checksums
from unmix.runs.execute import carry_out, code_modules, key, resolve_device
from unmix.runs.spec import Spec
from unmix.runs.store import Run, Store
from unmix.runs.watching import Event, Watch, Watcher, epochs_file

if TYPE_CHECKING:
    from unmix.runs.workers import Job

__all__ = ["ENGINES", "Event", "Watch", "complete", "one"]

ENGINES = ("local", "dask")
"""How runs are spread: processes of this machine (joblib), or the workers of a Dask cluster."""


def complete(
    specs: Sequence[Spec],
    store: Store,
    *,
    data_root: str | os.PathLike | None = None,
    device: str = "auto",
    workers: int | None = None,
    engine: str = "local",
    scheduler: str | None = None,
    labels: Sequence[str] | None = None,
    watch: Watch = lambda event: None,
) -> list[Run]:
    """Carry out what is not stored yet, and return the runs of all specs in their order.

    Args:
        specs: what to do; doubles are done once.
        store: where runs are kept.
        data_root: folder with datasets; None takes `UNMIX_DATA`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; on a cluster each worker looks for its own.
        workers: processes at a time; None takes one a core on a CPU, one on a GPU.
        engine: one of `ENGINES`.
        scheduler: address or scheduler file of a Dask cluster; None starts one on this machine.
        labels: names of the specs in messages.
        watch: told of each epoch and of each run's end.

    Raises:
        StoreError: a stored run is damaged.
        UnmixError: a run failed, or the cluster did; what was finished before is stored.
    """
    device = _checked(device, workers, engine, scheduler)
    if engine == "dask":
        # Workers have other working folders and other environments.
        store = Store(store.root.expanduser().resolve())
        data_root = root_of(data_root)
        data_root = data_root.resolve() if data_root else None
    data_root = str(data_root) if data_root else None
    datasets = {(spec.dataset, spec.clips): None for spec in specs}
    opened = {pair: open_dataset(pair[0], data_root, pair[1]) for pair in datasets}
    keys = [key(spec, opened[spec.dataset, spec.clips]) for spec in specs]
    # A run of several rows is called after the first, as in a plan.
    called = list(zip(keys, labels or [name[:12] for name in keys], strict=True))
    names = dict(reversed(called))
    missing = {k: spec for k, spec in zip(keys, specs, strict=True) if _sound(store, k) is None}
    if missing:
        jobs = [(k, spec, str(store.root), data_root, device) for k, spec in missing.items()]
        count = min(workers or (1 if device != "cpu" else os.cpu_count() or 1), len(missing))
        with Watcher(store, names, missing, watch) as watcher:
            if engine == "dask":
                data = {
                    pair: opened[pair].fingerprint()
                    for pair in {(spec.dataset, spec.clips): None for spec in missing.values()}
                }
                _on_cluster(jobs, data, scheduler, count, names, watcher)
            else:
                _carry_out_all(jobs, count, watcher)
    return [_stored(store, k) for k in keys]


def _sound(store: Store, run_key: str) -> Run | None:
    """Return a stored run whose small files are what it wrote; None where none is stored.

    Weights are not read: that would take long, and `unmix runs verify` does it.

    Raises:
        StoreError: a file is damaged or missing.
    """
    run = store.get(run_key)
    if run is not None:
        of_training = {"history.csv"} & set(checksums.read(run.folder) or {})
        for name in ("provenance.json", "spec.json", "scores.csv", *of_training):
            checksums.checked(run.folder / name)
    return run


def _checked(device: str, workers: int | None, engine: str, scheduler: str | None) -> str:
    """Return the device to ask for, once the options have been found to fit each other."""
    if engine not in ENGINES:
        raise SpecError(one_of("engine", engine, ENGINES), expected=", ".join(ENGINES))
    if scheduler and engine != "dask":
        raise SpecError(
            f"--scheduler {scheduler} with engine {engine}",
            expected="a scheduler for engine dask only",
            do="add --engine dask",
        )
    if scheduler and workers:
        raise SpecError(
            f"--workers {workers} with --scheduler {scheduler}",
            expected="one of the two: a running cluster has its own workers",
            do="leave --workers away, and start or stop workers of the cluster",
        )
    if scheduler and (device == "auto" or re.fullmatch(r"cuda(:\d+)?", device)):
        # This machine need not have what the cluster's workers have.
        return device
    return resolve_device(device)


def _stored(store: Store, run_key: str) -> Run:
    run = store.get(run_key)
    if run is None:
        raise UnmixError(f"run {run_key} is not in the store {store.root}", do="run it again")
    return run


def _carry_out_all(jobs: Sequence[Job], workers: int, watcher: Watcher) -> None:
    """Carry out jobs in processes of this machine, or in this one where one is enough."""
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


def _on_cluster(
    jobs: Sequence[Job],
    data: Mapping[tuple[str, Any], str],
    scheduler: str | None,
    workers: int,
    names: Mapping[str, str],
    watcher: Watcher,
) -> None:
    """Carry out jobs on a Dask cluster, after each worker was found to be like this process."""
    from unmix.runs import workers as engine

    modules = sorted({module for job in jobs for module in code_modules(job[1])})
    with (
        engine.probe(jobs[0][2]) as file,
        engine.connected(scheduler, workers) as client,
    ):
        question = engine.Question(tuple(modules), file, jobs[0][3], tuple(data.items()))
        engine.spread(client, one, jobs, question, names, watcher.finished)


def one(run_key: str, spec: Spec, root: str, data_root: str | None, device: str) -> str:
    """Carry out one spec into the store at `root`; return its key."""
    store = Store(root)
    with store.writing(run_key) as folder:
        if store.get(run_key) is None:
            for left in folder.glob(".*"):
                left.unlink()  # half a file, of a process that was killed
            dataset = open_dataset(spec.dataset, data_root, spec.clips)
            epochs = epochs_file(root, run_key)

            def log(row: dict[str, Any]) -> None:
                with epochs.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")

            carry_out(spec, dataset, folder, identity=run_key, device=device, log=log)
            epochs.unlink(missing_ok=True)
    return run_key
