"""Runs: repeatable to the bit, stored whole or not at all, and read back as they were."""

import dataclasses
import errno
import json
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from safetensors import SafetensorError

from unmix.errors import CheckpointError, DatasetError, SpecError, StoreError
from unmix.metrics.scores import global_scores
from unmix.models.nmf import ConvolutiveNmf
from unmix.models.oracle import Mixture, Oracle
from unmix.runs import cluster, execute, store
from unmix.runs.cluster import complete
from unmix.runs.execute import evaluate, key, restore, tracks
from unmix.runs.spec import Mixing
from unmix.runs.store import Store
from unmix.training import checkpoint, minibatch


@pytest.fixture
def tiny(make_dataset, monkeypatch):
    """Let the engine, in this process, find the tiny dataset under the stand-in's name."""
    dataset = make_dataset()
    monkeypatch.setattr(cluster, "open_dataset", lambda name, root=None, clips=None: dataset)
    return dataset


def carried_out(spec, folder, **more):
    return complete([spec], Store(folder), workers=1, device="cpu", **more)[0]


def text_of(run):
    return (run.folder / "scores.csv").read_text()


@pytest.fixture
def wanted(small_spec, tiny, tmp_path):
    """The scores of an undisturbed run."""
    return text_of(carried_out(small_spec, tmp_path / "undisturbed"))


def systems(small_spec):
    plain = dataclasses.replace(small_spec, training=None, separator=Mixture())
    return {
        "network": small_spec,
        "mixture": plain,
        "oracle": dataclasses.replace(plain, separator=Oracle("psm")),
        "nmf": dataclasses.replace(plain, separator=ConvolutiveNmf(4, 2, 5, 5)),
    }


# What a run is.


def test_a_run_holds_its_spec_scores_history_and_provenance(small_spec, tiny, tmp_path):
    run = carried_out(small_spec, tmp_path)
    assert run.key == key(small_spec, tiny)
    assert run.spec() == small_spec
    scores = run.scores()
    assert scores["clip"].tolist() == list(tiny.split("standin")["test"])
    assert scores[["sdr", "sir", "sar", "nsdr"]].notna().all(axis=None)
    assert scores["samples"].tolist() == [
        tiny.load(name, 8000).sources["voice"].shape[1] for name in scores["clip"]
    ]
    assert run.history()["epoch"].tolist() == [0, 1, 2, 3]
    about = run.provenance()
    assert about["fidelity"] == "stand-in"
    assert about["spec"] == small_spec.identity()
    assert about["data"] == tiny.fingerprint()
    assert about["clips"] == {"train": 4, "valid": 2, "test": 3}
    assert about["repeatable"] is True
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "checksums.json",
        "history.csv",
        "model.safetensors",
        "provenance.json",
        "scores.csv",
        "spec.json",
    ]


def test_a_part_of_the_full_dataset_is_a_subset(small_spec, tiny, tmp_path):
    tiny.fidelity = "full"
    part = dataclasses.replace(small_spec, clips=(2, 1, 1))
    assert carried_out(part, tmp_path).provenance()["fidelity"] == "subset"
    assert carried_out(small_spec, tmp_path).provenance()["fidelity"] == "full"


@pytest.mark.parametrize("name", ["network", "mixture", "oracle", "nmf"])
def test_the_same_spec_gives_the_same_bits_and_a_restored_system_too(
    small_spec, tiny, tmp_path, name
):
    spec = systems(small_spec)[name]
    one, again = (carried_out(spec, tmp_path / folder) for folder in ("one", "again"))
    assert text_of(one) == text_of(again)
    separator = restore(one.spec(), one.weights)
    names = tiny.split(spec.split)["test"]
    scores = evaluate(spec, tracks(spec, tiny, names, spec.rate), separator)
    store.write_table(tmp_path / "restored.csv", scores)
    assert (tmp_path / "restored.csv").read_text() == text_of(one)
    if one.weights.exists():
        assert one.weights.read_bytes() == again.weights.read_bytes()


def test_anchors_stand_where_they_must(small_spec, tiny, tmp_path):
    found = {
        name: global_scores(carried_out(spec, tmp_path).scores())["GNSDR"]
        for name, spec in systems(small_spec).items()
    }
    assert found["mixture"] == 0.0
    assert found["oracle"] > found["network"] > found["mixture"]


def test_weights_are_chosen_on_the_part_that_the_spec_names(small_spec, tiny, tmp_path):
    """The same training, whose losses are of the clips of the other part."""
    assert small_spec.training is not None
    peeking = dataclasses.replace(small_spec.training, chosen_on="test")
    runs = [
        carried_out(spec, tmp_path)
        for spec in (small_spec, dataclasses.replace(small_spec, training=peeking))
    ]
    valid, test = (run.history() for run in runs)
    assert valid["train_loss"].tolist() == test["train_loss"].tolist()
    assert not (valid["valid_loss"] == test["valid_loss"]).any()
    swapped = {"standin": {**tiny.split("standin"), "valid": tiny.split("standin")["test"]}}
    tiny.split = swapped.__getitem__
    again = carried_out(small_spec, tmp_path / "swapped")
    assert again.history()["valid_loss"].tolist() == test["valid_loss"].tolist()


def test_a_separator_is_built_for_the_snr_of_its_spec(small_spec):
    levels = [
        execute.around(spec, execute.fresh_network(spec)).level
        for spec in (small_spec, dataclasses.replace(small_spec, mixing=Mixing(5.0)))
    ]
    assert levels[1] > 1.2 * levels[0]


def test_another_seed_gives_another_network(small_spec, tiny, tmp_path, wanted):
    assert text_of(carried_out(small_spec.with_seed(1), tmp_path)) != wanted


def test_stored_scores_keep_nine_digits(tmp_path):
    table = pd.DataFrame({"clip": ["a"], "sdr": [9.123456789], "nsdr": [float("nan")]})
    (tmp_path / "run").mkdir()
    store.write_table(tmp_path / "run" / "scores.csv", table)
    store.write_json(tmp_path / "run" / "provenance.json", {"clips": {"test": 1}})
    back = store.Run(tmp_path / "run").scores()
    assert back["sdr"][0] == 9.12345679
    assert back["nsdr"].isna().all()


def test_scores_that_were_cut_short_are_refused(tmp_path):
    (tmp_path / "run").mkdir()
    store.write_table(tmp_path / "run" / "scores.csv", pd.DataFrame({"clip": ["a"], "sdr": [1.0]}))
    store.write_json(tmp_path / "run" / "provenance.json", {"clips": {"test": 2}})
    with pytest.raises(StoreError, match=r"scores.csv: holds 1 rows.*Expected: 2"):
        store.Run(tmp_path / "run").scores()


# The engine.


def test_nothing_is_computed_twice(small_spec, tiny, tmp_path, monkeypatch):
    plain = systems(small_spec)["mixture"]
    specs = [plain, small_spec, plain]
    told = []
    runs = complete(specs, Store(tmp_path), workers=1, labels=list("abc"), watch=told.append)
    assert runs[0] == runs[2]
    assert [run.spec() for run in runs] == specs
    ends = [(event.done, event.total) for event in told if event.row is None]
    assert ends == [(1, 2), (2, 2)]
    monkeypatch.setattr(cluster, "carry_out", lambda *args, **more: pytest.fail("computed again"))
    assert complete(specs, Store(tmp_path), workers=1) == runs
    assert Store(tmp_path).runs() == sorted(set(runs), key=lambda run: run.key)


@pytest.mark.parametrize(
    ("changes", "more", "kind", "message"),
    [
        ({}, {"engine": "slurm"}, SpecError, "unknown engine 'slurm'.*Expected: local"),
        ({}, {"device": "tpu"}, SpecError, "unknown device 'tpu'"),
        (
            {"split": "standim"},
            {},
            DatasetError,
            r"unknown split 'standim' \(did you mean 'standin'",
        ),
        ({"dataset": "mir2k"}, {}, DatasetError, r"unknown dataset 'mir2k' \(did you mean 'mir1k'"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_written(
    small_spec, tmp_path, changes, more, kind, message
):
    spec = dataclasses.replace(small_spec, clips=(1, 1, 1), **changes)
    with pytest.raises(kind, match=message):
        complete([spec], Store(tmp_path / "runs"), **more)
    assert not (tmp_path / "runs").exists()


def test_a_dataset_that_must_be_fetched_says_how(small_spec, tmp_path, monkeypatch):
    monkeypatch.delenv("UNMIX_DATA", raising=False)
    spec = dataclasses.replace(small_spec, dataset="mir1k", split="paper")
    with pytest.raises(DatasetError, match="unmix data fetch mir1k"):
        carried_out(spec, tmp_path)
    with pytest.raises(DatasetError, match="MIR-1K was not found"):
        carried_out(spec, tmp_path, data_root=tmp_path)


def test_a_part_without_clips_is_refused(small_spec, tiny, tmp_path):
    tiny.splits["standin"] = {**tiny.splits["standin"], "test": ()}
    with pytest.raises(DatasetError, match=r"split 'standin' .* has a part without clips"):
        carried_out(small_spec, tmp_path)
    assert Store(tmp_path).runs() == []


# Failures.


def full(*args, **more):
    raise OSError(errno.ENOSPC, "No space left on device")


def full_in_rust(*args, **more):
    raise SafetensorError(
        "Error while serializing: I/O error: No space left on device (os error 28)"
    )


@pytest.mark.parametrize(
    ("place", "name", "failure"),
    [
        (checkpoint, "save_file", full_in_rust),
        (checkpoint, "save_file", full),
        (execute, "write_table", full),
        (execute, "write_json", full),
        (store.os, "replace", full),
        (pd.DataFrame, "to_csv", full),
    ],
)
def test_a_full_disk_is_said_and_the_next_call_goes_on(
    small_spec, tiny, tmp_path, wanted, monkeypatch, place, name, failure
):
    with monkeypatch.context() as patch:
        patch.setattr(place, name, failure)
        with pytest.raises(StoreError, match=r"cannot be written \(the disk is full\).*free some"):
            carried_out(small_spec, tmp_path / "runs")
    found = Store(tmp_path / "runs")
    assert found.runs() == []
    assert found.get(key(small_spec, tiny)) is None
    assert text_of(carried_out(small_spec, tmp_path / "runs")) == wanted
    assert len(found.runs()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["progress.jsonl", "scores.csv", "spec.json", "provenance.json"])
def test_a_device_that_is_really_full_is_said_too(small_spec, tiny, tmp_path, wanted, name):
    run_key = key(small_spec, tiny)
    partial = tmp_path / "runs" / "partial" / run_key
    partial.mkdir(parents=True)
    (partial / name).symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"cannot be written \(the disk is full\)"):
        cluster.one(run_key, small_spec, str(tmp_path / "runs"), None, "cpu")
    assert Store(tmp_path / "runs").runs() == []
    (partial / name).unlink()
    assert text_of(carried_out(small_spec, tmp_path / "runs")) == wanted


def test_what_fails_while_scoring_is_not_trained_again(
    small_spec, tiny, tmp_path, wanted, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(execute, "score_answers", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            carried_out(small_spec, tmp_path / "runs")
    assert Store(tmp_path / "runs").runs() == []
    monkeypatch.setattr(minibatch, "_one_epoch", lambda *args: pytest.fail("trained again"))
    assert text_of(carried_out(small_spec, tmp_path / "runs")) == wanted


def test_runs_finished_before_a_failure_stay(small_spec, tiny, tmp_path, monkeypatch):
    mixture, oracle = (systems(small_spec)[name] for name in ("mixture", "oracle"))
    separate = execute.evaluate

    def failing(spec, *args):
        if spec == oracle:
            raise KeyboardInterrupt
        return separate(spec, *args)

    monkeypatch.setattr(execute, "evaluate", failing)
    with pytest.raises(KeyboardInterrupt):
        complete([mixture, oracle], Store(tmp_path), workers=1)
    (run,) = Store(tmp_path).runs()
    assert run.spec() == mixture


def test_a_store_that_cannot_be_made_says_so(small_spec, tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written .*choose another folder with --store"):
        carried_out(small_spec, tmp_path / "file" / "runs")


def test_two_that_carry_out_one_run_do_it_once(small_spec, tiny, tmp_path, wanted, monkeypatch):
    run_key, calls = key(small_spec, tiny), []
    work, both = cluster.carry_out, threading.Barrier(2)

    def counted(*args, **more):
        calls.append(None)
        work(*args, **more)

    def one():
        both.wait()
        cluster.one(run_key, small_spec, str(tmp_path / "runs"), None, "cpu")

    monkeypatch.setattr(cluster, "carry_out", counted)
    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    (run,) = Store(tmp_path / "runs").runs()
    assert text_of(run) == wanted
    assert not (tmp_path / "runs" / "partial" / run_key).exists()


# Damage.


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("spec.json", lambda run: run.spec()),
        ("provenance.json", lambda run: run.provenance()),
        ("scores.csv", lambda run: run.scores()),
        ("history.csv", lambda run: run.history()),
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00garbage\x80", None])
def test_a_damaged_file_of_a_run_is_named(small_spec, tiny, tmp_path, name, read, content):
    run = carried_out(small_spec, tmp_path)
    path = run.folder / name
    if content is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(content)
    said = f"{name}: (cannot be read|is not what the run wrote) .*unmix runs verify --quarantine"
    with pytest.raises(StoreError, match=said):
        read(run)
    (run.folder / "checksums.json").unlink()  # as runs from before checksums are
    with pytest.raises(StoreError, match=f"{name}: cannot be read .*unmix runs verify"):
        read(run)


def test_weights_that_are_damaged_or_of_other_settings_are_refused(small_spec, tiny, tmp_path):
    run = carried_out(small_spec, tmp_path)
    with pytest.raises(CheckpointError, match="holds the weights of other settings"):
        restore(small_spec.with_seed(1), run.weights)
    run.weights.write_bytes(run.weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read"):
        restore(small_spec, run.weights)


def test_an_edited_spec_is_refused_with_the_setting(small_spec, tiny, tmp_path):
    run = carried_out(small_spec, tmp_path)
    data = json.loads((run.folder / "spec.json").read_text())
    data["training"]["epoch"] = 3
    (run.folder / "spec.json").write_text(json.dumps(data))
    with pytest.raises(StoreError, match=r"spec\.json: is not what the run wrote"):
        run.spec()
    about = json.loads((run.folder / "provenance.json").read_text())
    del about["checksums"]  # as in runs from before checksums
    (run.folder / "provenance.json").write_text(json.dumps(about))
    (run.folder / "checksums.json").unlink()
    with pytest.raises(SpecError, match=r"'epoch' \(did you mean 'epochs'\?\)"):
        run.spec()


def test_the_peak_of_memory_is_of_this_process_not_of_the_one_that_started_it():
    child = "from unmix.runs.machine import peak_memory; print(peak_memory())"
    parent = (
        "import subprocess, sys\n"
        "held = b'1' * (400 * 2**20)\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)\n"
        "from unmix.runs.machine import peak_memory\n"
        "print(peak_memory())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", parent], capture_output=True, text=True, check=True
    ).stdout.split()
    small, large = map(int, told)
    assert large > 400
    assert small < 200
