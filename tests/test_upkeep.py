"""Evidence promoted into `results/`, and a store tidied up."""

import fcntl
import io
import os
import sys
import time

import pytest
import torch

from aids import FULL, TINY, fabricate, refused, scores, spec_of
from unmix.datasets import catalogue
from unmix.errors import StoreError
from unmix.report import inventory, upkeep
from unmix.runs import checksums, registry, source
from unmix.runs.execute import code_modules, key
from unmix.runs.machine import versions

# Promotion.


def test_promoted_evidence_is_whole_and_without_weights(call, full, results):
    status, out, err = call("promote", "fff")
    place = results / full.key
    assert (status, out, err) == (0, f"{'f' * 12}: {place}\n", "")
    assert sorted(path.name for path in place.iterdir()) == [
        "checksums.json",
        "history.csv",
        "provenance.json",
        "scores.csv",
        "spec.json",
    ]
    assert checksums.damage(place) == []
    assert (place / "scores.csv").read_bytes() == (full.folder / "scores.csv").read_bytes()
    assert [path.name for path in results.parent.iterdir()] == ["parwal"]
    before = (place / "checksums.json").stat()
    assert call("promote", "fff")[0] == 0
    assert (place / "checksums.json").stat().st_ino == before.st_ino, "a sound copy stays"
    (place / "scores.csv").write_text("clip\n")
    assert call("promote", "fff")[0] == 0
    assert checksums.damage(place) == [], "a damaged one is replaced"


def test_all_that_is_worth_it_is_promoted(call, full, results, store):
    assert call("promote", "--all", "--paper", "parwal")[0] == 0
    assert [path.name for path in results.iterdir()] == [full.key]
    assert call("promote", "--all", "--stand-in")[1].count("\n") == 3
    assert len(list(results.iterdir())) == 3


def test_damaged_runs_are_left_out_and_named(call, full, results):
    (full.folder / "stranger.pkl").write_bytes(b"x")
    status, out, _ = call("promote", "--all")
    assert status == 1
    assert "left out. run ffffffffffff is damaged" in out
    assert "stranger.pkl: was not written by the run" in out
    assert list(results.iterdir()) == []
    refused(call("promote", "fff"), r"damaged: .*stranger\.pkl.*What to do")


def test_older_runs_that_cannot_be_read_are_damaged(store):
    run = store.runs()[0]
    (run.folder / "scores.csv").write_text("")
    with pytest.raises(StoreError, match=r"is damaged: .*scores\.csv: cannot be read"):
        registry.sound(run)


def test_what_cannot_be_promoted_says_why(call, full, small_spec, store, results):
    tiny = next(run.key for run in store.runs() if run != full)
    refused(call("promote", tiny), r"is of a stand-in\. Expected: .*add --stand-in")
    fabricate(store.root / "own", small_spec, "full", scores(a_1=1.0))
    refused(call("promote", "own"), "belongs to no experiment of today's papers")
    refused(call("promote"), "not clear which runs.*Expected: the keys of some, or --all")
    refused(call("promote", "fff", "--all"), "not clear which runs")
    refused(call("promote", "--all", "--paper", "x"), "unknown paper 'x'")
    (results.parent / ".promoting").write_text("in the way")
    refused(call("promote", "fff"), "cannot be written .*name another folder with UNMIX_RESULTS")


def test_a_store_without_evidence_says_so(call, store):
    refused(call("promote", "--all"), "nothing in .* can be promoted.*--stand-in takes those")


def test_a_promotion_that_fails_leaves_nothing(full, results, monkeypatch):
    def broken(folder):
        raise OSError("no space")

    monkeypatch.setattr(upkeep.checksums, "write", broken)
    known = inventory.places(full.folder.parent)
    with pytest.raises(StoreError, match="cannot be written"):
        upkeep.promote(full, known, False)
    assert list(results.iterdir()) == []
    assert [path.name for path in results.parent.iterdir()] == ["parwal"]


# Tidying up.


@pytest.fixture
def current(full, store):
    """Key of a run by today's code on the paper's dataset, which is not here."""
    spec = spec_of(FULL, "Augmented")
    about = {"code": source.fingerprint(code_modules(spec)), "torch": torch.__version__}
    about["numpy"] = versions()["numpy"]
    fabricate(store.root / ("c" * 64), spec, "full", scores(a_1=1.0), **about)
    return "c" * 64


def test_only_what_no_experiment_uses_is_removed(call, full, current, small_spec, store):
    stale = fabricate(store.root / "stale", spec_of(TINY, "Augmented"), "stand-in", scores(a_1=1.0))
    own = fabricate(store.root / "own", small_spec, "stand-in", scores(a_1=1.0))
    odd = fabricate(store.root / "odd", small_spec, "stand-in", scores(a_1=1.0))
    (odd.folder / "spec.json").write_text('{"separator": {"kind": "zither"}}')
    damaged = fabricate(store.root / "damaged", small_spec, "stand-in", scores(a_1=1.0))
    (damaged.folder / "spec.json").write_text("{")
    gone = {run.key for run in (stale, own, odd, full)}
    before = {run.key for run in store.runs()}
    status, out, err = call("gc", "--dry-run")
    assert (status, err) == (0, "")
    assert "4 runs, 0 unfinished ones, 0 old lock files: " in out
    assert "nothing was removed" in out
    assert {run.key for run in store.runs()} == before
    refused_first = call("gc")
    assert refused_first[0] == 1
    assert "needs an answer, and there is no terminal. What to do: add --yes" in refused_first[2]
    assert {run.key for run in store.runs()} == before
    status, out, _ = call("gc", "--yes")
    assert status == 0
    assert {run.key for run in store.runs()} == before - gone
    assert {current, "damaged"} <= before - gone, "runs of today stay, damage is another matter"
    assert "0 runs, 0 unfinished ones, 0 old lock files: 0.0 kB; nothing" in call("gc")[1]


@pytest.mark.parametrize(("answer", "left"), [("n\n", 3), ("y\n", 2)])
def test_gc_asks_first(call, full, store, monkeypatch, answer, left):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    status, out, _ = call("gc")
    assert status == 0
    assert "Remove 1 runs, 0 unfinished ones, 0 old lock files: " in out
    assert len(store.runs()) == left


def test_runs_of_another_code_are_removed_when_the_dataset_is_here(store, monkeypatch):
    assert upkeep.unreferenced(store, None) == []
    monkeypatch.setattr(upkeep, "key", lambda spec, dataset: "other")
    assert len(upkeep.unreferenced(store, None)) == 2


def test_a_run_with_more_seeds_than_its_profile_stays(store):
    spec = spec_of(TINY, "Augmented").with_seed(7)
    dataset = catalogue.open_dataset("synthetic-voice", None, TINY.profile.clips)
    fabricate(store.root / key(spec, dataset), spec, "stand-in", scores(a_1=1.0))
    assert upkeep.unreferenced(store, None) == []


def test_left_folders_and_locks_are_swept(call, store):
    top = store.root / "partial"
    done = store.runs()[0].key
    for name in ("young", "old", "held", done):
        (top / name).mkdir(parents=True)
        (top / name / "checkpoint.safetensors").write_bytes(b"1" * 1000)
    for name in ("young", "old", "held", done, "nothing"):
        (top / f"{name}.lock").write_text("")
    (top / ".removed" / "half").mkdir(parents=True)
    for name in ("old", "held"):
        for path in (top / name / "checkpoint.safetensors", top / name):
            os.utime(path, (time.time() - 8 * 86400,) * 2)
    with (top / "held.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        out = call("gc", "--dry-run")[1]
        assert "0 runs, 3 unfinished ones, 3 old lock files: 2.0 kB; nothing was removed" in out
        assert call("gc", "--yes")[0] == 0
    assert sorted(path.name for path in top.iterdir()) == [
        "held",
        "held.lock",
        "young",
        "young.lock",
    ]
    assert call("gc", "--yes", "--older", "0")[0] == 0
    assert list(top.iterdir()) == []


def test_what_cannot_be_removed_is_said(full, monkeypatch):
    (full.folder.parent / "partial").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be removed .*remove it by hand"):
        upkeep.remove(full)
    assert full.scores() is not None
