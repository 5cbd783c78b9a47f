"""The engine `dask`: the bits of one process, whatever dies meanwhile."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from unmix.errors import UnmixError
from unmix.models.oracle import Mixture
from unmix.runs import workers
from unmix.runs.cluster import complete
from unmix.runs.store import Store
from unmix.runs.watching import epochs_file, lines

distributed = pytest.importorskip("distributed")
Client = distributed.Client
pytestmark = pytest.mark.usefixtures("standin_cache")


@pytest.fixture(scope="module")
def specs(small_spec):
    """A training that takes some seconds, a short one, and a run without training."""
    small = dataclasses.replace(small_spec, clips=(3, 1, 2))
    long = dataclasses.replace(small, training=dataclasses.replace(small.training, epochs=120))
    return {
        "long": dataclasses.replace(
            long, training=dataclasses.replace(long.training, patience=120)
        ),
        "short": small,
        "mixture": dataclasses.replace(small, separator=Mixture(), training=None),
    }


@pytest.fixture(scope="module")
def wanted(specs, standin_cache, tmp_path_factory):
    """What one process makes of the specs."""
    store = Store(tmp_path_factory.mktemp("serial"))
    runs = complete(list(specs.values()), store, workers=1, device="cpu")
    return dict(zip(specs, runs, strict=True))


def same(run, other):
    """The scores to the bit, and the epochs but for their seconds and last digits."""
    assert (run.folder / "scores.csv").read_text() == (other.folder / "scores.csv").read_text()
    if not run.history().empty:
        assert run.weights.read_bytes() == other.weights.read_bytes()
        mine, theirs = (each.history().drop(columns="seconds") for each in (run, other))
        assert mine.equals(theirs)


class Cluster:
    """A scheduler and workers as processes of their own, as on a cluster."""

    def __init__(self, folder, count=1, **settings):
        self.folder, self.processes, self.count = folder, [], count
        self.settings = {f"DASK_DISTRIBUTED__{name}": str(each) for name, each in settings.items()}
        self.file = folder / "scheduler.json"
        self.begin()

    def begin(self):
        """Start a scheduler, again if need be, with its workers."""
        self.file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", self.file
        )
        wait(lambda: self.file.exists() and self.file.read_text().rstrip().endswith("}"))
        self.address = json.loads(self.file.read_text())["address"]
        self.workers = [self.worker() for _ in range(self.count)]

    def _start(self, *words):
        command = [sys.executable, "-m", "distributed.cli.dask_" + words[0], *map(str, words[1:])]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{len(self.processes)}.log").open("w"),
            env={**os.environ, **self.settings, "OMP_NUM_THREADS": "1"},
        )
        self.processes.append(process)
        return process

    def worker(self):
        return self._start(
            *("worker", self.address, "--no-nanny", "--no-dashboard", "--memory-limit", "0"),
            *("--nthreads", "1", "--local-directory", self.folder),
        )

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def cluster(folder, count=1, **settings):
    folder.mkdir(exist_ok=True)
    made = Cluster(folder, count, **settings)
    try:
        yield made
    finally:
        made.close()


def wait(ready, seconds=300.0):
    ends = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.02)


def holder(made):
    """The worker process that carries out a run at this moment."""
    with Client(made.address, set_as_default=False, loop=workers.event_loop()) as client:
        pids = client.run(os.getpid)
        (address,) = [where for where, keys in client.processing().items() if keys]
    return next(process for process in made.workers if process.pid == pids[address])


class Call(threading.Thread):
    """`complete` in another thread, so that a test can disturb it."""

    def __init__(self, specs, store, **more):
        super().__init__(daemon=True)
        self.specs, self.store, self.more = specs, store, more
        self.told, self.error, self.runs = [], None, []
        self.start()

    def run(self):
        try:
            self.runs = complete(self.specs, self.store, watch=self.told.append, **self.more)
        except BaseException as error:
            self.error = error

    def ended(self, seconds=90.0):
        self.join(seconds)
        assert not self.is_alive(), "complete did not end in time"
        return self


# Equal results.


def test_two_workers_give_the_bits_of_one_process(specs, wanted, tmp_path):
    names, told = ["short", "mixture"], []
    found = complete(
        [specs[name] for name in names],
        Store(tmp_path),
        workers=2,
        device="cpu",
        engine="dask",
        labels=names,
        watch=told.append,
    )
    for name, run in zip(names, found, strict=True):
        same(run, wanted[name])
    assert [event.row["epoch"] for event in told if event.row] == [0, 1, 2, 3], "each epoch once"
    assert [(event.done, event.total) for event in told if event.row is None] == [(1, 2), (2, 2)]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "partial") == sorted(
        run.key for run in found
    ), "the probe is gone"


# Workers that die.


@pytest.mark.parametrize("deaths", [3, 0])
def test_a_killed_worker_s_training_goes_on_on_another(
    specs, wanted, tmp_path, monkeypatch, deaths
):
    """Once by Dask alone, and once where Dask gives a run up at its first death."""
    further, given_up = workers._further, []
    monkeypatch.setattr(
        workers, "_further", lambda error, *rest: given_up.append(error) or further(error, *rest)
    )
    store, run_key = Store(tmp_path / "store"), wanted["long"].key
    checkpoint = store.root / "partial" / run_key / "checkpoint.safetensors"
    with cluster(tmp_path / "dask", 2, SCHEDULER__ALLOWED_FAILURES=deaths) as made:
        call = Call([specs["long"]], store, engine="dask", scheduler=made.address, device="cpu")
        wait(lambda: len(lines(epochs_file(store.root, run_key))) >= 3 and checkpoint.exists())
        holder(made).send_signal(signal.SIGKILL)
        call.ended()
        assert call.error is None
        assert sum(process.poll() is None for process in made.workers) == 1
    assert len(given_up) == (deaths == 0)
    same(call.runs[0], wanted["long"])
    told = [event.row["epoch"] for event in call.told if event.row]
    assert told == sorted(set(told)), "no epoch was told twice"
    assert call.runs[0].history()["epoch"].tolist() == list(range(120))
    assert [run.key for run in store.runs()] == [run_key]


def test_a_lost_scheduler_is_one_message_and_the_same_command_completes(specs, wanted, tmp_path):
    store, run_key = Store(tmp_path / "store"), wanted["long"].key
    with cluster(tmp_path / "dask") as made:
        command = {"engine": "dask", "scheduler": str(made.file), "device": "cpu"}
        call = Call([specs["long"]], store, **command)
        wait(lambda: len(lines(epochs_file(store.root, run_key))) >= 3)
        made.scheduler.kill()
        call.ended()
        assert isinstance(call.error, UnmixError)
        said = r"scheduler at tcp://.* was lost, with 1 of 1 runs not done.*then run the same comm"
        assert re.search(said, str(call.error))
        assert store.runs() == []
        made.workers[0].kill()
        made.begin()
        again = Call([specs["long"]], store, **command).ended()
        assert again.error is None
    same(again.runs[0], wanted["long"])
    first = min(event.row["epoch"] for event in again.told if event.row)
    assert first >= 3, "it went on from its checkpoint"


def test_a_run_that_only_ends_its_workers_is_given_up(specs, tmp_path):
    error = distributed.KilledWorker("task", SimpleNamespace(address="tcp://a:1"), 3)
    job = ("k", specs["short"], str(tmp_path), None, "cpu")
    said = r"run short ended its worker again and again .*tcp://a:1.*What to do: give them more"
    with pytest.raises(UnmixError, match=said):
        workers._further(error, job, 0, {"k": "short"})
    path = epochs_file(tmp_path, "k")
    path.parent.mkdir(parents=True)
    path.write_text('{"epoch": 0}\n')
    assert workers._further(error, job, 0, {"k": "short"})
    assert not workers._further(ValueError("of the run itself"), job, 0, {"k": "short"})
