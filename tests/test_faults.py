"""Faults that really happen: kill -9 at each step, full and read-only disks, clocks that jump."""

import calendar
import dataclasses
import errno
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aids import FULL, commands, fabricate, obeying_rights, refused, scores, spec_of
from unmix.errors import StoreError
from unmix.papers.evidence import gather
from unmix.runs import checksums, cluster, machine
from unmix.runs.cluster import complete
from unmix.runs.execute import key
from unmix.runs.store import Store

PROGRAM = Path(__file__).with_name("disasters.py")
OWN_DISK = ("unshare", "-Urm", "sh", "-ec")
"""Runs a script in which disks can be mounted that nobody else sees."""


@pytest.fixture(scope="module")
def spec(small_spec):
    """Two epochs of two steps."""
    training = dataclasses.replace(small_spec.training, epochs=2, patience=2)
    return dataclasses.replace(small_spec, training=training, clips=(2, 1, 1))


@pytest.fixture
def tiny(make_dataset, monkeypatch):
    dataset = make_dataset()
    monkeypatch.setattr(cluster, "open_dataset", lambda name, root=None, clips=None: dataset)
    return dataset


@pytest.fixture(scope="module")
def own_disks(tmp_path_factory):
    """Skips where this user cannot mount anything, as in many containers."""
    place = tmp_path_factory.mktemp("mount")
    try:
        subprocess.run([*OWN_DISK, 'mount -t tmpfs none "$0"', place], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")


def carried_out(spec, root):
    return complete([spec], Store(root), workers=1, device="cpu")[0]


def answer(*words):
    """What the program says, as plain data."""
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def content(run):
    """All of a run that must not depend on what happened while it was made."""
    files = {name: (run.folder / name).read_bytes() for name in ("scores.csv", "spec.json")}
    files["weights"] = run.weights.read_bytes()
    return files, run.history().drop(columns="seconds").to_csv()


# Each step.


@pytest.fixture(scope="module")
def disasters(spec, tmp_path_factory):
    """The stores of `disasters.py`, and what it tells of them."""
    folder = tmp_path_factory.mktemp("disasters")
    plain = json.dumps(spec.plain())
    return folder, answer(sys.executable, PROGRAM, "at_each_step", folder, plain)


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        # Folders, checkpoints and files are made, written and renamed; two epochs of two steps.
        ("killed before a change", 20),
        ("killed in a file", 7),
        ("killed in training", 4),
        ("killed in a copying rename", 10),
        ("full", 20),
    ],
)
def test_whatever_happens_at_whatever_step_the_same_call_completes(disasters, kind, least):
    folder, told = disasters
    *struck, last = told[kind]
    assert last["status"] == 0, "the run that ended before its disaster"
    assert len(struck) >= least
    (wanted,) = Store(folder / "undisturbed").runs()
    for number, entry in enumerate(struck, 1):
        store = Store(folder / kind / str(number))
        if kind == "full":
            said = rf"StoreError: {store.root}/partial/\w+: cannot be written \(the disk is full\)"
            assert re.match(said, entry["said"]), entry["said"]
        else:
            assert (entry["status"], entry["said"]) == (-signal.SIGKILL, "")
        whole = [run_key for run_key, damage in entry["left"].items() if damage == []]
        assert entry["served"] == whole, "half a run was served"
        (run,) = store.runs()
        assert run.key == wanted.key
        assert checksums.damage(run.folder) == []
        assert content(run) == content(wanted), f"disaster {number}"
        assert not list(store.root.glob(".*")), "what was tried out is gone"


def test_only_a_copying_rename_leaves_half_a_run_and_that_is_moved_away(disasters):
    folder, told = disasters
    for kind in told:
        for number, entry in enumerate(told[kind], 1):
            torn = [run_key for run_key, damage in entry["left"].items() if damage]
            assert not torn or kind == "killed in a copying rename"
            moved = folder / kind / str(number) / "quarantine"
            if kind == "killed in a copying rename":
                assert not torn or [path.name for path in moved.iterdir()] == torn
            else:
                assert not moved.exists()
    assert sum(any(entry["left"].values()) for entry in told["killed in a copying rename"]) >= 4


def test_a_run_that_lacks_only_its_rename_is_not_made_again(spec, tiny, tmp_path, monkeypatch):
    rename, run_key = os.replace, key(spec, tiny)

    def refusing(source, target):
        if Path(target).name == run_key:
            raise PermissionError(errno.EACCES, "not today", str(target))
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refusing)
        with pytest.raises(StoreError, match=r"cannot be written .*not today"):
            carried_out(spec, tmp_path)
    assert Store(tmp_path).runs() == []
    monkeypatch.setattr(cluster, "carry_out", lambda *args, **more: pytest.fail("made again"))
    run = carried_out(spec, tmp_path)
    assert checksums.damage(run.folder) == []
    assert not (tmp_path / "partial" / run_key).exists()


def test_two_machines_that_finish_at_once_leave_one_whole_run(spec, tiny, tmp_path, monkeypatch):
    """The lock of one need not hold on the other: the run is there when it is to be renamed."""
    first = carried_out(spec, tmp_path / "first")
    rename, place = os.replace, tmp_path / "runs" / first.key

    def late(source, target):
        if Path(target) == place:
            shutil.copytree(first.folder, place)
        rename(source, target)

    monkeypatch.setattr(os, "replace", late)
    run = carried_out(spec, tmp_path / "runs")
    assert (run.folder / "provenance.json").read_bytes() == (
        first.folder / "provenance.json"
    ).read_bytes()
    assert checksums.damage(run.folder) == []
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [run.key, "partial"]
    assert not (tmp_path / "runs" / "partial" / run.key).exists()


# Disks.


def test_a_small_disk_that_fills_up_is_one_message_and_loses_nothing(spec, tmp_path, own_disks):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=1m none "$0"; exec "$@"'
    words = (sys.executable, PROGRAM, "with_little_room", disk, json.dumps(spec.plain()))
    for kind, (*struck, last) in answer(*OWN_DISK, script, disk, *words).items():
        assert (last["status"], last["runs"]) == (0, 1)
        names = {Path(path).name for entry in struck for path in entry["left"]}
        late = "checkpoint.safetensors" if kind == "network" else "provenance.json"
        assert late in names, "the disk was never full late in a run"
        for entry in struck:
            said = rf"StoreError: {disk}/runs/partial/\w+: cannot be written \(the disk is full\)"
            assert re.match(said, entry["said"]), entry["said"]
            assert (entry["runs"], entry["same"], entry["damage"]) == (0, True, [])


def everything(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("how", ["rights", "mount"])
def test_a_read_only_store_is_read_and_refuses_a_run_before_it_begins(
    store, tmp_path, monkeypatch, request, how
):
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path / "empty cache"))
    one, other = (run.key for run in store.runs())
    tiny = ("--profile", "tiny", "--store", store.root)
    calls = [
        ("runs", "list", "--store", store.root),
        ("runs", "show", one, "--store", store.root),
        ("runs", "diff", one, other, "--store", store.root),
        ("runs", "verify", "--store", store.root),
        ("table", "parwal/table2", "--own", *tiny),
        ("run", "parwal/table2", *tiny),
        ("run", "parwal/table4", "--workers", "1", *tiny),
        ("runs", "gc", "--yes", "--store", store.root),
    ]
    half = tmp_path / "half"
    for folder in (store.root / "partial", half / "partial"):
        folder.mkdir(parents=True)
        (folder / "k.lock").touch()
    before = everything(store.root)
    if how == "rights":
        for path in (half, store.root, *before):
            path.chmod(0o555 if path.is_dir() else 0o444)
        calls.append(("run", "parwal/table4", "--profile", "tiny", "--store", half))
        *read, run, tidied, other = commands(*calls, preexec_fn=obeying_rights)
        # Only the last rename of a run would fail here, after the training.
        refused(other, rf"{half}: cannot take finished runs .*Permission denied.*--store")
    else:
        request.getfixturevalue("own_disks")
        script = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; exec "$@"'
        *read, run, tidied = commands(*calls, before=(*OWN_DISK, script, store.root))
    for words, (status, out, err) in zip(calls, read, strict=False):
        assert (status, bool(out)) == (0, True), (words, out, err)
        assert "Traceback" not in err
    refused(run, rf"{store.root}/partial/\w+: cannot be written .*another folder with --store")
    refused(tidied, rf"{store.root}: cannot be tidied up .*give yourself the right")
    assert everything(store.root) == before
    assert not list((tmp_path / "empty cache").rglob("*.flac")), "nothing was loaded to train on"


@pytest.mark.parametrize(
    "number", [errno.EXDEV, errno.ENOTSUP, errno.EACCES, errno.EROFS], ids=errno.errorcode.get
)
def test_a_store_that_cannot_rename_folders_says_so_before_the_training(
    spec, tiny, tmp_path, monkeypatch, number
):
    rename = os.replace

    def refusing(source, target):
        if Path(source).is_dir():
            raise OSError(number, os.strerror(number), str(source), None, str(target))
        rename(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    monkeypatch.setattr(cluster, "carry_out", lambda *args, **more: pytest.fail("began"))
    said = rf"{tmp_path}: cannot take finished runs \(.*{os.strerror(number)}.*Expected: .*--store"
    with pytest.raises(StoreError, match=said):
        carried_out(spec, tmp_path)
    assert Store(tmp_path).runs() == []
    monkeypatch.undo()
    monkeypatch.setattr(cluster, "open_dataset", lambda name, root=None, clips=None: tiny)
    assert checksums.damage(carried_out(spec, tmp_path).folder) == []


def test_a_cache_that_takes_no_run_from_elsewhere_is_named(spec, tiny, tmp_path, monkeypatch):
    url = f"file://{tmp_path}/far"
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path / "one cache"))
    run = complete([spec], Store(url), workers=1, device="cpu")[0]
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path / "other"))
    store = Store(url)
    said = rf"{store.root}/partial: cannot be written .*Expected: a cache.*with UNMIX_CACHE"
    (store.root / "partial").touch()
    with pytest.raises(StoreError, match=said):
        store.get(run.key)
    (store.root / "partial").unlink()

    def full(self, source, target, **more):
        Path(target).touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    with monkeypatch.context() as patch:
        patch.setattr(type(store.remote.system), "get_file", full)
        with pytest.raises(StoreError, match=said):
            store.get(run.key)
    assert list((store.root / "partial").iterdir()) == []
    assert content(store.get(run.key)) == content(run)


# Clocks.


@pytest.mark.parametrize("hours", [-5, 5, -24 * 400], ids=lambda hours: f"{hours} h")
def test_a_clock_that_is_set_during_a_run_changes_nothing(spec, tiny, tmp_path, monkeypatch, hours):
    wanted = content(carried_out(spec, tmp_path / "undisturbed"))
    clock, utc, work, began = time.time, time.gmtime, cluster.carry_out, time.monotonic()
    lock = tmp_path / "runs" / "partial" / f"{key(spec, tiny)}.lock"

    def jumping(row):
        # After the first epoch, while this process holds the run.
        monkeypatch.setattr(time, "time", lambda: clock() + 3600 * hours)
        monkeypatch.setattr(
            time, "gmtime", lambda at=None: utc(clock() + 3600 * hours if at is None else at)
        )
        with lock.open("r+") as held, pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setattr(
        cluster, "carry_out", lambda *args, log, **more: work(*args, log=jumping, **more)
    )
    run = carried_out(spec, tmp_path / "runs")
    about, took = run.provenance(), time.monotonic() - began
    assert content(run) == wanted
    started, finished = (
        calendar.timegm(time.strptime(about[name], "%Y-%m-%dT%H:%M:%SZ"))
        for name in ("started", "finished")
    )
    assert 0 <= finished - started <= took + 1
    assert 0 < about["learning_s"] <= about["wall_s"] <= took
    assert (run.history()["seconds"] > 0).all()
    assert run.history()["seconds"].sum() <= took
    assert machine.Meter().started[:10] == time.strftime("%Y-%m-%d", utc(time.time())), "it jumped"
    with Store(tmp_path / "runs").writing(run.key):  # no lock outlived it
        assert Store(tmp_path / "runs").get(run.key) == run


@pytest.mark.parametrize("other", ["2031-01-01T00:00:00Z", "2001-01-01T00:00:00Z", ""])
def test_a_clock_that_was_wrong_chooses_one_whole_run_of_a_seed(results, tmp_path, other):
    """Of two runs of one spec by two versions of the code, the clock says which counts."""
    spec = spec_of(FULL, "Augmented")
    for name, finished, nsdr in (("a", "2026-01-02T03:04:05Z", 1.0), ("b", other, 2.0)):
        about = {"finished": finished, "global": {"GNSDR": nsdr}}
        fabricate(results / (name * 64), spec, "full", scores(s_1=nsdr), **about)
    rows = gather("parwal", "table2", Store(tmp_path / "none"), profile_name="full")
    (found,) = (item.runs for item in rows if item.row.spec == spec)
    (run,) = found
    assert run.key[0] == ("b" if other > "2026-02" else "a")
    assert run.scores()["nsdr"].tolist() == [run.provenance()["global"]["GNSDR"]]
