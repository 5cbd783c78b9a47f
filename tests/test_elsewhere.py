"""Stores elsewhere: finished runs go there whole, and come back from there checked."""

import shutil

import fsspec
import pytest

from aids import refused
from unmix.errors import StoreError
from unmix.runs import checksums, cluster, remote
from unmix.runs.cluster import complete
from unmix.runs.execute import key
from unmix.runs.places import store_folder
from unmix.runs.store import Store


@pytest.fixture
def tiny(make_dataset, monkeypatch):
    dataset = make_dataset()
    monkeypatch.setattr(cluster, "open_dataset", lambda name, root=None, clips=None: dataset)
    return dataset


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path, monkeypatch):
    """A store elsewhere, empty, and an empty cache."""
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path / "cache"))
    place = "memory://bucket/runs" if request.param == "memory" else f"file://{tmp_path}/far/runs"
    yield place
    system, base = fsspec.core.url_to_fs(place)
    if system.exists(base):
        system.rm(base, recursive=True)


@pytest.fixture
def elsewhere(url, tmp_path, monkeypatch):
    """Make another machine of this one: a cache of its own."""

    def move():
        monkeypatch.setenv("UNMIX_CACHE", str(tmp_path / "other cache"))
        return Store(url)

    return move


def carried_out(spec, url):
    return complete([spec], Store(url), workers=1, device="cpu")[0]


def names(url, run_key):
    system, base = fsspec.core.url_to_fs(url)
    return sorted(path.split("/")[-1] for path in system.ls(f"{base}/{run_key}", detail=False))


def test_a_run_goes_there_and_comes_back(small_spec, tiny, url, elsewhere, monkeypatch):
    run = carried_out(small_spec, url)
    assert run.folder.is_relative_to(Store(url).root)
    assert names(url, run.key) == sorted(path.name for path in run.folder.iterdir())
    assert "checkpoint.safetensors" not in names(url, run.key)
    there = elsewhere()
    assert not (there.root / run.key).exists()
    back = there.get(run.key)
    assert back.folder != run.folder
    assert checksums.damage(back.folder) == []
    assert back.spec() == small_spec
    assert back.scores().equals(run.scores())
    assert back.history().equals(run.history())
    assert back.weights.read_bytes() == run.weights.read_bytes()
    monkeypatch.setattr(cluster, "carry_out", lambda *args, **more: pytest.fail("again"))
    assert carried_out(small_spec, url) == back


def test_all_runs_are_listed_and_missing_ones_are_none(small_spec, tiny, url, elsewhere):
    assert Store(url).runs() == []
    assert Store(url).get("nothing") is None
    keys = [carried_out(small_spec.with_seed(seed), url).key for seed in (0, 1)]
    assert [run.key for run in elsewhere().runs()] == sorted(keys)


def test_provenance_comes_last_and_without_it_there_is_no_run(
    small_spec, tiny, url, elsewhere, monkeypatch
):
    system = fsspec.core.url_to_fs(url)[0]
    put, order = type(system).put_file, []

    def failing(self, source, target, **more):
        order.append(target.split("/")[-1])
        if order[-1] == "provenance.json" and order.count("provenance.json") == 1:
            raise ConnectionError("the line went dead")
        return put(self, source, target, **more)

    monkeypatch.setattr(type(system), "put_file", failing)
    with pytest.raises(StoreError, match=r"cannot be used \(ConnectionError: the line went dead"):
        carried_out(small_spec, url)
    first = list(order)
    assert first[-1] == "provenance.json"
    assert len(first) == 6
    run_key = key(small_spec, tiny)
    store = Store(url)
    assert store.get(run_key) is None
    assert (store.root / "partial" / run_key / "checkpoint.safetensors").exists()
    assert "provenance.json" not in names(url, run_key)
    monkeypatch.setattr("unmix.training.minibatch._one_epoch", lambda *args: pytest.fail("again"))
    run = carried_out(small_spec, url)
    assert run.provenance()["resumed"] is True
    assert elsewhere().get(run_key).scores().equals(run.scores())


def test_what_was_damaged_there_is_refused(small_spec, tiny, url, elsewhere):
    run = carried_out(small_spec, url)
    system, base = fsspec.core.url_to_fs(url)
    with system.open(f"{base}/{run.key}/scores.csv", "wb") as file:
        file.write(b"clip\n")
    there = elsewhere()
    with pytest.raises(StoreError, match=r"is damaged: scores\.csv: does not fit.*delete .*://"):
        there.get(run.key)
    assert not (there.root / run.key).exists()
    assert list((there.root / "partial").iterdir()) == []


def test_a_damaged_copy_here_is_fetched_again(small_spec, tiny, url):
    run = carried_out(small_spec, url)
    good = run.scores()
    (run.folder / "scores.csv").write_text("clip\n")
    store = Store(url)
    store.quarantine(run.key)
    assert store.get(run.key).scores().equals(good)


def test_whoever_has_the_mirror_has_the_store(small_spec, tiny, url):
    store = Store(url)
    assert Store(store.root).remote.url == url
    assert store_folder(url) == store.root
    cluster.one(key(small_spec, tiny), small_spec, str(store.root), None, "cpu")
    assert "provenance.json" in names(url, key(small_spec, tiny))
    (store.root / remote.MARK).write_text("{")
    with pytest.raises(StoreError, match=r"remote\.json: cannot be read .*delete the file and"):
        Store(store.root)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere://bucket", "no such store can be used here .*e.g. s3://bucket/runs.*--store"),
        ("gs://bucket/runs", "no such store can be used here .*install the package"),
    ],
)
def test_a_protocol_that_cannot_be_used_is_refused(unmix, tmp_path, monkeypatch, name, said):
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path / "cache"))
    refused(unmix("runs", "list", "--store", name), said)
    monkeypatch.setenv("UNMIX_STORE", name)
    refused(unmix("runs", "list"), said)
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"cannot be written .*another folder with UNMIX_CACHE"):
        Store("memory://bucket/runs")


def test_the_commands_work_on_it(small_spec, tiny, url, elsewhere, unmix):
    run = carried_out(small_spec, url)
    elsewhere()
    status, out, err = unmix("runs", "list", "--store", url)
    assert (status, err) == (0, "")
    assert run.key[:12] in out
    assert unmix("runs", "show", run.key[:6], "--store", url)[1].startswith(f"run {run.key}")
    assert "1 runs, 1 sound, 0 damaged" in unmix("runs", "verify", "--store", url)[1]
    refused(unmix("runs", "gc", "--yes", "--store", url), "runs elsewhere are not removed")


def test_the_mirror_may_be_deleted(small_spec, tiny, url):
    run = carried_out(small_spec, url)
    shutil.rmtree(Store(url).root)
    assert Store(url).get(run.key) == run
