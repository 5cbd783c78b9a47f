"""The engine `dask`: the bits of one process, workers that are refused, and what dies meanwhile."""

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
import torch

from unmix.errors import SpecError, StoreError, UnmixError
from unmix.models.oracle import Mixture
from unmix.runs import workers
from unmix.runs.cluster import complete
from unmix.runs.store import Store
from unmix.runs.watching import Watcher, epochs_file, lines

distributed = pytest.importorskip("distributed")
Client = distributed.Client
pytestmark = pytest.mark.usefixtures("standin_cache")

OWN = {"unmix": "1", "Python": "3.11", "torch": "2.9", "numpy": "2.1", "source": "abc"}
OWN |= {"store": "", "dataset mir1k": ""}
LIKE = {**OWN, "threads": "1", "GPU": "0"}


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


def wait(ready, seconds=60.0):
    ends = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.02)


def holder(made):
    """The worker process that carries out a run at this moment."""
    with Client(made.address, set_as_default=False) as client:
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


# Workers that are refused.


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ({"torch": "2.5"}, UnmixError, r"worker tcp://b:1 has torch 2\.5; here it is torch 2\.9"),
        ({"Python": "3.12"}, UnmixError, r"has Python 3\.12; here it is Python 3\.11"),
        (
            {"source": "f", "unmix": "2"},
            UnmixError,
            r"has unmix 2, source f; here it is unmix 1, so",
        ),
        (
            {"store": "no such file"},
            StoreError,
            r"does not see the store \(no such file\).*--store",
        ),
        (
            {"dataset mir1k": "gone"},
            UnmixError,
            r"does not see dataset mir1k \(gone\).*--data-root",
        ),
        ({"threads": "4"}, UnmixError, r"carries out 4 runs at a time.*--nthreads 1"),
        (
            ModuleNotFoundError("no unmix"),
            UnmixError,
            r"cannot say what it is \(no unmix\).*install",
        ),
    ],
)
def test_a_worker_that_differs_is_refused_with_the_difference(said, kind, message):
    workers.refuse(OWN, {"tcp://a:1": LIKE})
    strange = said if isinstance(said, Exception) else {**LIKE, **said}
    with pytest.raises(kind, match=message):
        workers.refuse(OWN, {"tcp://a:1": LIKE, "tcp://b:1": strange})


@pytest.fixture(scope="module")
def threads():
    """A cluster in this process: one worker says that it has a GPU, one does not."""

    def one(**options):
        return {"cls": distributed.Worker, "options": {"nthreads": 1, "dashboard": False} | options}

    scheduler = {"cls": distributed.Scheduler, "options": {"port": 0, "dashboard_address": ":0"}}
    made = {"plain": one(), "gpu": one(resources={"GPU": 1})}
    with distributed.SpecCluster(workers=made, scheduler=scheduler, silence_logs=50) as found:
        yield found


@pytest.fixture
def question(tmp_path):
    with workers.probe(str(tmp_path)) as path:
        yield workers.Question(("unmix.runs.execute",), path, None, ())


def test_trainings_go_to_workers_with_a_gpu(specs, threads, question, tmp_path):
    found = tmp_path / "found"
    found.mkdir()

    def function(run_key, spec, root, data_root, device):
        name = distributed.get_worker().name
        (found / run_key).write_text(f"{name} {device}")

    # The way of auto is cuda's: only what each worker finds differs.
    jobs = [(f"{name}{i}", specs[name], "", None, "auto") for i in range(4) for name in specs]
    with Client(threads, set_as_default=False) as client:
        workers.spread(client, function, jobs, question, {}, lambda run_key: None)
        where = {path.name: path.read_text().split() for path in found.iterdir()}
        assert len(where) == len(jobs)
        assert {where[name][0] for name in where if "mixture" not in name} == {"gpu"}
        assert {where[name][1] for name in where if "mixture" in name} == {"cpu"}
        on_cpu = [(f"cpu{i}", specs["short"], "", None, "cpu") for i in range(20)]
        workers.spread(client, function, on_cpu, question, {}, lambda run_key: None)
    assert {path.read_text() for path in found.glob("cpu*")} == {"plain cpu", "gpu cpu"}


def test_a_worker_that_joins_later_is_asked_too(specs, threads, question, monkeypatch):
    asked = workers.asked

    def strange(question, dask_worker=None):
        return {**asked(question, dask_worker), "numpy": "0.1"}

    monkeypatch.setattr(workers, "_ask", lambda *args: False)
    monkeypatch.setattr(workers, "asked", strange)
    job = ("k", specs["short"], "", None, "cpu")
    with (
        Client(threads, set_as_default=False) as client,
        pytest.raises(UnmixError, match=r"worker tcp://.* has numpy 0\.1; here it is"),
    ):
        workers.spread(client, print, [job], question, {}, print)


def test_other_data_on_a_worker_is_refused(specs, threads, question):
    spec = specs["short"]
    pair = ((spec.dataset, spec.clips), "0123")
    other, job = dataclasses.replace(question, data=(pair,)), ("k", spec, "", None, "cpu")
    with (
        Client(threads, set_as_default=False) as client,
        pytest.raises(UnmixError, match=r"has other files of dataset synthetic-voice than this"),
    ):
        workers.spread(client, print, [job], other, {}, print)


def test_an_answer_holds_what_the_worker_really_sees(specs, question, tmp_path):
    said = workers.answer(question)
    assert said["torch"] == torch.__version__
    assert said["Python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert said["store"] == ""
    gone = dataclasses.replace(
        question, probe=str(tmp_path / "gone"), data=((("mir1k", None), ""),)
    )
    blind = workers.answer(dataclasses.replace(gone, data_root=str(tmp_path)))
    assert "No such file" in blind["store"]
    assert "MIR-1K was not found" in blind["dataset mir1k"]


# Options, and clusters that are not there.


@pytest.mark.parametrize(
    ("more", "kind", "message"),
    [
        (
            {"scheduler": "tcp://a:1"},
            SpecError,
            "--scheduler tcp://a:1 with engine local.*--engine d",
        ),
        (
            {"engine": "dask", "scheduler": "tcp://a:1", "workers": 2},
            SpecError,
            "--workers 2 with --scheduler tcp://a:1.*leave --workers away",
        ),
        (
            {"engine": "dask", "scheduler": "tcp://127.0.0.1:9"},
            UnmixError,
            r"no Dask scheduler answers at tcp://127\.0\.0\.1:9.*start the scheduler",
        ),
        ({"engine": "dask", "scheduler": "a b"}, UnmixError, "no Dask scheduler answers at a b"),
        ({"engine": "dask", "device": "tpu", "scheduler": "x"}, SpecError, "unknown device 'tpu'"),
    ],
)
def test_options_that_cannot_be_are_refused(specs, tmp_path, monkeypatch, more, kind, message):
    monkeypatch.setattr(workers, "CONNECT_S", 1.0)
    with pytest.raises(kind, match=message):
        complete([specs["mixture"]], Store(tmp_path), **more)


def test_a_cluster_without_workers_says_so(specs, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "JOIN_S", 0.2)
    scheduler = {"cls": distributed.Scheduler, "options": {"port": 0, "dashboard_address": ":0"}}
    with (
        distributed.SpecCluster(workers={}, scheduler=scheduler, silence_logs=50) as made,
        pytest.raises(UnmixError, match=r"no worker joined .*dask worker ADDRESS --nthreads 1"),
    ):
        complete(
            [specs["mixture"]], Store(tmp_path), engine="dask", scheduler=made.scheduler_address
        )


def test_engine_dask_without_distributed_says_how_to_get_it(specs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UnmixError, match=r"needs the package distributed.*pip install 'dask\[dist"):
        complete([specs["mixture"]], Store(tmp_path), engine="dask")


def test_a_store_that_cannot_be_written_is_told_before_any_worker_starts(specs, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written .*another folder with --store"):
        complete([specs["mixture"]], Store(tmp_path / "file" / "store"), engine="dask")


# The watcher.


def test_the_last_epochs_are_told_before_the_end(wanted, tmp_path):
    """The watcher that never looked tells all; one that saw some tells the others, each once."""
    run, told = wanted["short"], []
    store = Store(run.folder.parent)
    watcher = Watcher(store, {run.key: "a"}, [run.key], told.append)
    watcher.last[run.key] = 1
    watcher.finished(run.key)
    assert [event.row and event.row["epoch"] for event in told] == [2, 3, None]
    assert set(told[0].row) == {"epoch", "rate", "train_loss", "frames", "valid_loss", "seconds"}
    watcher._pass_on(run.key)
    assert len(told) == 3, "nothing comes after the end"


def test_an_epoch_that_is_written_twice_is_told_once(tmp_path):
    told, path = [], epochs_file(tmp_path, "k")
    path.parent.mkdir(parents=True)
    path.write_text('{"epoch": 0}\n')
    watcher = Watcher(Store(tmp_path), {"k": "a"}, ["k"], told.append)
    path.write_text("".join(f'{{"epoch": {number}}}\n' for number in (0, 1, 1, 2)))
    watcher._pass_on("k")
    assert [event.row["epoch"] for event in told] == [1, 2]
