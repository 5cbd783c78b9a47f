"""Runs in worker processes of this machine; `test_faults.py` kills processes at each step."""

import dataclasses
import threading
import time

import psutil
import pytest

from unmix.errors import StoreError, UnmixError
from unmix.models.oracle import Mixture
from unmix.runs.cluster import complete, one
from unmix.runs.execute import key
from unmix.runs.store import Store

pytestmark = pytest.mark.usefixtures("standin_cache")


@pytest.fixture(scope="module")
def spec(small_spec):
    return dataclasses.replace(small_spec, clips=(3, 1, 2))


@pytest.fixture(scope="module")
def wanted(spec, standin_cache, tmp_path_factory):
    (run,) = complete([spec], Store(tmp_path_factory.mktemp("serial")), workers=1, device="cpu")
    return run


def without_training(spec):
    return dataclasses.replace(spec, separator=Mixture(), training=None)


def text_of(run):
    return (run.folder / "scores.csv").read_text()


def test_workers_give_the_bits_of_one_process_and_share_a_run(spec, wanted, tmp_path):
    from joblib import Parallel, delayed

    specs = [spec, without_training(spec)]
    told = []
    runs = complete(specs, Store(tmp_path), workers=2, device="cpu", watch=told.append)
    assert text_of(runs[0]) == text_of(wanted)
    assert runs[0].weights.read_bytes() == wanted.weights.read_bytes()
    assert runs[1].spec() == specs[1]
    assert [event.done for event in told if event.row is None] == [1, 2]

    # Two processes at once on one run, as two notebooks might.
    again = tmp_path / "again"
    job = delayed(one)(wanted.key, spec, str(again), None, "cpu")
    assert Parallel(n_jobs=2)([job, job]) == [wanted.key] * 2
    (run,) = Store(again).runs()
    assert text_of(run) == text_of(wanted)


def test_a_killed_worker_is_one_message_and_the_same_call_completes(spec, tmp_path):
    training = dataclasses.replace(spec.training, epochs=60, patience=60)
    specs = [dataclasses.replace(spec, training=training), without_training(spec)]
    wanted = complete(specs, Store(tmp_path / "serial"), workers=1, device="cpu")
    store, said, told = Store(tmp_path / "runs"), [], []

    def call(watch=lambda event: None):
        return complete(specs, store, workers=2, device="cpu", watch=watch)

    def disturbed():
        try:
            call()
        except UnmixError as error:
            said.append(str(error))

    thread = threading.Thread(target=disturbed)
    thread.start()
    until = time.monotonic() + 300
    while not (store.root / "partial" / wanted[0].key / "checkpoint.safetensors").exists():
        assert thread.is_alive(), said
        assert time.monotonic() < until, "no training began"
        time.sleep(0.01)
    for child in psutil.Process().children():
        if "popen_loky" in " ".join(child.cmdline()):
            child.kill()
    thread.join()
    assert len(said) == 1
    assert "a worker process ended unexpectedly" in said[0]
    assert "What to do: run the same command again" in said[0]
    assert store.get(wanted[0].key) is None
    runs = call(told.append)
    assert min(event.row["epoch"] for event in told if event.row) > 0, "from the checkpoints"
    for run, other in zip(runs, wanted, strict=True):
        assert run.key == other.key
        assert text_of(run) == text_of(other)
    assert runs[0].weights.read_bytes() == wanted[0].weights.read_bytes()
    assert runs[0].history()["epoch"].tolist() == list(range(60))
    assert len(store.runs()) == 2


def test_an_error_in_a_worker_arrives_as_it_was(spec, tmp_path):
    seeds = [spec.with_seed(seed) for seed in (0, 1)]
    (tmp_path / "partial").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written .*What to do: free some space"):
        complete(seeds, Store(tmp_path), workers=2, device="cpu")


def test_the_standin_is_keyed_by_its_counts(spec):
    from unmix.datasets.catalogue import open_dataset

    more = dataclasses.replace(spec, clips=(4, 1, 2))
    keys = {key(each, open_dataset(each.dataset, None, each.clips)) for each in (spec, more)}
    assert len(keys) == 2
