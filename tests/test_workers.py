"""Workers of a Dask cluster: which are refused, which get what, and clusters that are not there."""

import dataclasses
import sys

import pytest
import torch

from unmix.errors import SpecError, StoreError, UnmixError
from unmix.models.oracle import Mixture
from unmix.runs import workers
from unmix.runs.cluster import complete
from unmix.runs.store import Store

distributed = pytest.importorskip("distributed")
Client = distributed.Client
pytestmark = pytest.mark.usefixtures("standin_cache")

OWN = {"unmix": "1", "Python": "3.11", "torch": "2.9", "numpy": "2.1", "source": "abc"}
OWN |= {"store": "", "dataset mir1k": ""}
LIKE = {**OWN, "threads": "1", "GPU": "0"}


@pytest.fixture(scope="module")
def specs(small_spec):
    """A training, and a run without."""
    small = dataclasses.replace(small_spec, clips=(3, 1, 2))
    mixture = dataclasses.replace(small, separator=Mixture(), training=None)
    return {"short": small, "mixture": mixture}


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
        (KeyboardInterrupt(), UnmixError, r"cannot say what it is \(KeyboardInterrupt\)"),
    ],
)
def test_a_worker_that_differs_is_refused_with_the_difference(said, kind, message):
    workers.refuse(OWN, {"tcp://a:1": LIKE})
    strange = said if isinstance(said, BaseException) else {**LIKE, **said}
    with pytest.raises(kind, match=message):
        workers.refuse(OWN, {"tcp://a:1": LIKE, "tcp://b:1": strange})


@pytest.fixture(scope="module")
def threads():
    """A cluster in this process: one worker says that it has a GPU, one does not."""

    def one(**options):
        return {"cls": distributed.Worker, "options": {"nthreads": 1, "dashboard": False} | options}

    scheduler = {"cls": distributed.Scheduler, "options": {"port": 0, "dashboard_address": ":0"}}
    made = {"plain": one(), "gpu": one(resources={"GPU": 1})}
    loop = workers.event_loop()
    with distributed.SpecCluster(made, scheduler, silence_logs=50, loop=loop) as found:
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
    with Client(threads, set_as_default=False, loop=threads.loop) as client:
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
        Client(threads, set_as_default=False, loop=threads.loop) as client,
        pytest.raises(UnmixError, match=r"worker tcp://.* has numpy 0\.1; here it is"),
    ):
        workers.spread(client, print, [job], question, {}, print)


def test_other_data_on_a_worker_is_refused(specs, threads, question):
    spec = specs["short"]
    pair = ((spec.dataset, spec.clips), "0123")
    other, job = dataclasses.replace(question, data=(pair,)), ("k", spec, "", None, "cpu")
    with (
        Client(threads, set_as_default=False, loop=threads.loop) as client,
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


@pytest.mark.parametrize("content", [None, "a b", '{"address": "a b"}', "{}", "[]"])
def test_a_client_that_does_not_come_about_is_closed(tmp_path, monkeypatch, content):
    where, made, start = tmp_path / "scheduler.json", [], Client.start
    if content is not None:
        where.write_text(content)

    def noted(self, **more):
        made.append(self)
        start(self, **more)

    monkeypatch.setattr(Client, "start", noted)
    with (
        pytest.raises(UnmixError, match=r"no Dask scheduler answers at .*scheduler\.json \([^)]"),
        workers.connected(str(where), 1),
    ):
        pytest.fail("there is none")
    assert [client.status for client in made] == ["closed"]


def test_a_cluster_without_workers_says_so(specs, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "JOIN_S", 0.2)
    scheduler = {"cls": distributed.Scheduler, "options": {"port": 0, "dashboard_address": ":0"}}
    with (
        distributed.SpecCluster({}, scheduler, silence_logs=50, loop=workers.event_loop()) as made,
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
