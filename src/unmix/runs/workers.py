"""The engine `dask`: runs on the workers of a Dask cluster, equal to those of one process.

It takes plain futures, not joblib's backend for Dask, because of what happens when workers die:

- A run is one future with the resources that it needs (a GPU for trainings, none for the rest);
  joblib knows one set of resources for all calls.
- A run whose worker died is given to another worker, where it goes on from its checkpoint. After
  several deaths Dask gives a run up; here it is handed in again as long as it gets further each
  time, so that a training may be longer than any worker lives.
- When the scheduler is lost, the futures say so at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmix import __version__
from unmix.datasets.catalogue import open_dataset
from unmix.errors import StoreError, UnmixError
from unmix.runs import source
from unmix.runs.execute import resolve_device
from unmix.runs.spec import Spec
from unmix.runs.watching import epochs_file, lines

if TYPE_CHECKING:
    import distributed
    from distributed import Client
    from tornado.ioloop import IOLoop

Job = tuple[str, Spec, str, str | None, str]
"""What a run needs: its key, its spec, the store's folder, the data root, the device."""

Answer = dict[str, str]
"""What a worker says of itself, by subject."""

CONNECT_S = 10.0
"""How long a scheduler may take to answer, in seconds."""

JOIN_S = 30.0
"""How long the first worker may take to join, in seconds."""

SAME = ("unmix", "Python", "torch", "numpy", "source")
"""Subjects in which a worker must not differ."""


@dataclass(frozen=True)
class Question:
    """What every worker is asked.

    Attributes:
        modules: whose source, with all that they import, decides the results.
        probe: a file in the store.
        data_root: folder with datasets, under the same path everywhere.
        data: name and clips of each dataset, with its fingerprint.
    """

    modules: tuple[str, ...]
    probe: str
    data_root: str | None
    data: tuple[tuple[tuple[str, Any], str], ...]


@contextlib.contextmanager
def probe(root: str) -> Iterator[str]:
    """Give out the path of a small file in the store at `root`, there while the block lasts.

    Raises:
        StoreError: it cannot be written.
    """
    path = Path(root) / f".probe-{uuid.uuid4().hex}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{root}: cannot be written ({error})", do="choose another folder with --store"
        ) from error
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


@functools.cache
def event_loop() -> IOLoop:
    """Return the event loop of this process's clients, which runs in a thread of its own.

    distributed starts one by itself, but gives its thread 10 s to begin, and a machine that swaps
    or starts many processes at once takes longer.
    """
    from tornado.ioloop import IOLoop

    ready: Future[IOLoop] = Future()

    async def main() -> None:
        ready.set_result(IOLoop.current())
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(main()), name="Dask's loop", daemon=True).start()
    return ready.result()


def _client(**options: Any) -> Client:
    """Return a connected client; one that cannot connect is closed.

    distributed closes it where nothing answers, but not where an address is none. It would be
    collected later by whichever thread: by the loop's, it would leave coroutines never awaited.
    """
    from distributed import Client

    class Closed(Client):
        def start(self, **more: Any) -> None:
            try:
                super().start(**more)
            except BaseException:
                self.close(timeout=2)
                raise

    return Closed(**options)


@contextlib.contextmanager
def connected(scheduler: str | None, workers: int) -> Iterator[Client]:
    """Give out a client of a running cluster, or of one that lasts as long as the block.

    Args:
        scheduler: address (`tcp://HOST:8786`) or scheduler file; None starts a cluster of
            processes with one thread each on this machine.
        workers: how many of them.

    Raises:
        UnmixError: distributed is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UnmixError(
            f"engine dask needs the package distributed ({error})",
            do="pip install 'dask[distributed]', here and on the workers, or leave --engine away",
        ) from error
    # What goes wrong is said once, by us.
    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)
    if scheduler is None:
        own: dict[str, Any] = {
            "threads_per_worker": 1,
            "memory_limit": None,
            "dashboard_address": None,
        }
        own |= {"n_workers": workers, "silence_logs": logging.CRITICAL, "loop": event_loop()}
        with (
            LocalCluster(**own) as cluster,
            Client(cluster, set_as_default=False, loop=event_loop()) as client,
        ):
            yield client
        return
    where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = _client(**where, timeout=CONNECT_S, set_as_default=False, loop=event_loop())
    except (OSError, ValueError, TypeError, AssertionError) as error:  # also of a file of no use
        raise UnmixError(
            f"no Dask scheduler answers at {scheduler} ({str(error) or type(error).__name__})",
            expected="the address that `dask scheduler` prints, e.g. tcp://HOST:8786, or the file "
            "that it writes with --scheduler-file",
            do="start the scheduler, or correct --scheduler",
        ) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=2)


@functools.lru_cache(maxsize=4)
def answer(question: Question) -> Answer:
    """Return what this process says of itself: versions, source, and what it sees."""
    import numpy
    import torch

    said = {
        "unmix": __version__,
        "Python": "{}.{}".format(*sys.version_info),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "source": source.fingerprint(question.modules)[:12],
    }
    path = Path(question.probe)
    try:
        found = path.read_text(encoding="utf-8")
        said["store"] = "" if found == path.name else f"{path} holds something else"
    except OSError as error:
        said["store"] = str(error)
    for (name, clips), _ in question.data:
        try:
            open_dataset(name, question.data_root, clips)
            said[f"dataset {name}"] = ""
        except UnmixError as error:
            said[f"dataset {name}"] = error.found
    return said


def asked(question: Question, dask_worker: Any = None) -> Answer:
    """Return a worker's answer, with its number of threads and of GPUs (Dask fills it in)."""
    gpus = dask_worker.state.total_resources.get("GPU", 0)
    return {**answer(question), "threads": str(dask_worker.state.nthreads), "GPU": str(gpus)}


def refuse(own: Answer, answers: Mapping[str, Answer | BaseException]) -> None:
    """Refuse workers that are not like this process, or do not see what it sees.

    Args:
        own: what this process says.
        answers: what each worker said, by its address, or the error instead.

    Raises:
        UnmixError: one is refused; the message names the difference.
    """
    for address, said in answers.items():
        if isinstance(said, BaseException):
            raise UnmixError(
                f"worker {address} cannot say what it is ({str(said) or type(said).__name__})",
                expected="workers with unmix and the packages that it needs",
                do="install there what is installed here, and start the workers anew",
            )
        other = [name for name in SAME if said.get(name) != own[name]]
        if other:
            theirs, ours = (
                ", ".join(f"{name} {which.get(name, '(none)')}" for name in other)
                for which in (said, own)
            )
            raise UnmixError(
                f"worker {address} has {theirs}; here it is {ours}",
                expected="the same on all workers, or results would differ",
                do="install there what is installed here, and start the workers anew",
            )
        _refuse_blind(address, said)
        if said.get("threads", "1") != "1":
            raise UnmixError(
                f"worker {address} carries out {said['threads']} runs at a time",
                expected="1, since runs in one process would disturb each other",
                do="start more workers with one thread each: dask worker --nthreads 1 --nworkers N",
            )


def _refuse_blind(address: str, said: Answer) -> None:
    if said["store"]:
        raise StoreError(
            f"worker {address} does not see the store ({said['store']})",
            expected="a folder that all machines see under the same path",
            do="choose a shared folder with --store",
        )
    for name, problem in said.items():
        if name.startswith("dataset ") and problem:
            raise UnmixError(
                f"worker {address} does not see {name} ({problem})",
                expected="a data root that all machines see under the same path",
                do="choose a shared folder with --data-root",
            )


def guarded(function: Callable[..., Any], own: Answer, question: Question, job: Job) -> None:
    """Carry out a job on a worker, which may have joined after the others were asked."""
    from distributed import get_worker

    worker = get_worker()
    refuse(own, {worker.address: asked(question, worker)})
    key, spec, root, data_root, device = job
    expected = dict(question.data).get((spec.dataset, spec.clips))
    if expected and _fingerprint(spec.dataset, data_root, spec.clips) != expected:
        raise UnmixError(
            f"worker {worker.address} has other files of dataset {spec.dataset} than this process",
            expected="the same data on all machines",
            do="choose a shared folder with --data-root",
        )
    # Only networks use the device; what needs none may be on a worker that has none.
    function(key, spec, root, data_root, resolve_device(device if spec.training else "cpu"))


@functools.lru_cache(maxsize=8)
def _fingerprint(name: str, data_root: str | None, clips: Any) -> str:
    return open_dataset(name, data_root, clips).fingerprint()


def spread(
    client: Client,
    function: Callable[..., Any],
    jobs: Sequence[Job],
    question: Question,
    names: Mapping[str, str],
    finished: Callable[[str], None],
) -> None:
    """Carry out jobs on the client's workers.

    Args:
        client: of the cluster.
        function: called on a worker with the parts of a job; importable there.
        jobs: what to do.
        question: what each worker is asked first.
        names: what a run is called in messages, by key.
        finished: told of the key of each job that was done.

    Raises:
        UnmixError: a worker is refused, a job failed or ends its workers, or the scheduler was
            lost; jobs that did not begin are taken back.
    """
    from distributed import as_completed

    address = client.scheduler.address if client.scheduler else "(gone)"
    own = answer(question)
    gpus = _ask(client, own, question)
    waiting: dict[str, tuple[distributed.Future, Job, int]] = {}

    def submit(job: Job) -> distributed.Future:
        needs = {"GPU": 1} if gpus and job[1].training and job[4] != "cpu" else None
        name = f"unmix-{job[0][:12]}-{uuid.uuid4().hex[:8]}"
        future = client.submit(
            guarded, function, own, question, job, key=name, pure=False, resources=needs
        )
        waiting[name] = future, job, len(lines(epochs_file(job[2], job[0])))
        return future

    with client.as_current():
        completed = as_completed([submit(job) for job in jobs])
    try:
        for future in completed:
            _, job, before = waiting.pop(future.key)
            if future.status == "finished":
                finished(job[0])
            elif future.status == "error":
                if not _further(future.exception(), job, before, names):
                    raise future.exception()
                completed.add(submit(job))
            else:
                raise UnmixError(
                    f"the Dask scheduler at {address} was lost, with {len(waiting) + 1} of "
                    f"{len(jobs)} runs not done",
                    do="start it again with its workers, then run the same command: what is "
                    "stored is not repeated, and trainings go on from their checkpoints",
                )
    finally:
        if waiting and client.status == "running":
            client.cancel([future for future, _, _ in waiting.values()], force=True)


def _ask(client: Client, own: Answer, question: Question) -> bool:
    """Ask all workers what they are, refuse strangers; return whether any declares GPUs."""
    try:
        client.wait_for_workers(1, timeout=JOIN_S)
    except (TimeoutError, OSError) as error:
        raise UnmixError(
            f"no worker joined the Dask scheduler within {JOIN_S:.0f} s",
            expected="at least one worker",
            do="start workers (dask worker ADDRESS --nthreads 1), and run the same command then",
        ) from error
    answers = client.run(asked, question, on_error="return")
    refuse(own, answers)
    return any(float(said["GPU"]) > 0 for said in answers.values())


def _further(error: BaseException, job: Job, before: int, names: Mapping[str, str]) -> bool:
    """Return whether to hand in a job again: its workers died, but it got further each time.

    Raises:
        UnmixError: its workers died, and it got no further.
    """
    from distributed import KilledWorker

    if not isinstance(error, KilledWorker):
        return False
    if len(lines(epochs_file(job[2], job[0]))) > before:
        return True
    raise UnmixError(
        f"run {names[job[0]]} ended its worker again and again without getting further (the last "
        f"one was {error.last_worker.address})",
        expected="workers with memory and time for at least one epoch",
        do="give them more (`unmix plan` says how much), then run the same command",
    ) from error
