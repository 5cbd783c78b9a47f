"""Runs in other processes: workers, and kill -9 at the worst moments."""

import dataclasses
import json
import signal
import subprocess
import sys

import pytest

from unmix.models.oracle import Mixture
from unmix.runs.cluster import complete, one
from unmix.runs.execute import key
from unmix.runs.store import Store

pytestmark = pytest.mark.usefixtures("standin_cache")

KILLED = """
import json, os, signal, sys
from pathlib import Path
from unmix.runs.cluster import complete
from unmix.runs.spec import spec_from_plain
from unmix.runs.store import Store
from unmix.training import checkpoint

replace, count = os.replace, 0

def killing(source, target):
    # Once the checkpoint's file lies beside its place, or the run's folder beside its own.
    global count
    count += Path(target).name == checkpoint.NAME
    if sys.argv[3] == ("end" if Path(source).is_dir() else str(count)):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = killing
complete([spec_from_plain(json.loads(sys.argv[1]))], Store(sys.argv[2]), workers=1, device="cpu")
"""


@pytest.fixture(scope="module")
def spec(small_spec):
    return dataclasses.replace(small_spec, clips=(3, 1, 2))


@pytest.fixture(scope="module")
def wanted(spec, standin_cache, tmp_path_factory):
    (run,) = complete([spec], Store(tmp_path_factory.mktemp("serial")), workers=1, device="cpu")
    return run


def text_of(run):
    return (run.folder / "scores.csv").read_text()


@pytest.mark.parametrize("when", ["1", "3", "end"])
def test_a_killed_run_leaves_nothing_half_there_and_goes_on(spec, wanted, tmp_path, when):
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(spec.plain()), str(tmp_path), when],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    store, run_key = Store(tmp_path), wanted.key
    assert store.runs() == []
    partial = tmp_path / "partial" / run_key
    done = (partial / "checkpoint.safetensors").exists()
    assert done == (when == "3"), "the first checkpoint was not yet in place; the last one is gone"
    (run,) = complete([spec], store, workers=1, device="cpu")
    assert text_of(run) == text_of(wanted)
    weights = run.weights.read_bytes(), wanted.weights.read_bytes()
    assert weights[0] == weights[1]
    assert not partial.exists()
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(
        path.name for path in wanted.folder.iterdir()
    ), "what a killed process left beside is gone"


def test_workers_give_the_bits_of_one_process_and_share_a_run(spec, wanted, tmp_path):
    from joblib import Parallel, delayed

    specs = [spec, dataclasses.replace(spec, separator=Mixture(), training=None)]
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


def test_an_error_in_a_worker_arrives_as_it_was(spec, tmp_path):
    from unmix.errors import StoreError

    seeds = [spec.with_seed(seed) for seed in (0, 1)]
    (tmp_path / "partial").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written .*What to do: free some space"):
        complete(seeds, Store(tmp_path), workers=2, device="cpu")


def test_the_standin_is_keyed_by_its_counts(spec):
    from unmix.datasets.catalogue import open_dataset

    more = dataclasses.replace(spec, clips=(4, 1, 2))
    keys = {key(each, open_dataset(each.dataset, None, each.clips)) for each in (spec, more)}
    assert len(keys) == 2
