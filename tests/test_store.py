"""The store: checksums, damage that is found and named, quarantine, provenance."""

import fcntl
import json
import re
import shutil
import subprocess

import pytest

from unmix.errors import StoreError
from unmix.runs import checksums, cluster, machine, registry
from unmix.runs.cluster import complete
from unmix.runs.execute import key
from unmix.runs.store import Store

FILES = ["history.csv", "model.safetensors", "provenance.json", "scores.csv", "spec.json"]


@pytest.fixture
def tiny(make_dataset, monkeypatch):
    """Let the engine, in this process, find the tiny dataset under the stand-in's name."""
    dataset = make_dataset()
    for module in {cluster.one.__module__, cluster.complete.__module__}:
        monkeypatch.setattr(f"{module}.open_dataset", lambda name, root=None, clips=None: dataset)
    return dataset


@pytest.fixture(scope="session")
def finished(small_spec, make_dataset, tmp_path_factory):
    """A run of a network, made once and copied by `run`."""
    with pytest.MonkeyPatch.context() as patch:
        dataset = make_dataset()
        patch.setattr(cluster, "open_dataset", lambda name, root=None, clips=None: dataset)
        folder = tmp_path_factory.mktemp("finished")
        return complete([small_spec], Store(folder), workers=1, device="cpu")[0]


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "runs" / finished.key)
    return Store(tmp_path / "runs").get(finished.key)


READ = {
    "spec.json": lambda run: run.spec(),
    "provenance.json": lambda run: run.provenance(),
    "scores.csv": lambda run: run.scores(),
    "history.csv": lambda run: run.history(),
}


# Checksums.


def test_a_finished_run_has_a_checksum_of_each_other_file(run):
    table = json.loads((run.folder / "checksums.json").read_text())
    assert sorted(table) == FILES
    out = subprocess.run(["sha256sum", *FILES], cwd=run.folder, capture_output=True, text=True)
    assert [line.split() for line in out.stdout.splitlines()] == [[table[n], n] for n in FILES]
    assert checksums.damage(run.folder) == []


@pytest.mark.parametrize("name", list(READ))
@pytest.mark.parametrize("how", ["cut", "edited", "gone"])
def test_damage_is_found_when_the_file_is_read(run, name, how):
    path = run.folder / name
    whole = path.read_bytes()
    if how == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "edited":
        digit = re.search(rb"[1-8]", whole).start()
        path.write_bytes(whole[:digit] + b"9" + whole[digit + 1 :])
    else:
        path.unlink()
    said = "cannot be read" if how == "gone" else "is not what the run wrote"
    with pytest.raises(StoreError, match=rf"{re.escape(name)}: {said}.*verify --quarantine"):
        READ[name](run)
    (line,) = checksums.damage(run.folder)
    assert str(path) in line


def test_scores_cut_at_the_end_of_a_line_are_found_too(run):
    lines = (run.folder / "scores.csv").read_text().splitlines(keepends=True)
    (run.folder / "scores.csv").write_text("".join(lines[:-1]))
    with pytest.raises(StoreError, match=r"scores\.csv: is not what the run wrote"):
        run.scores()


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"scores.csv"', "cannot be read"), ("[1]", "is no list"), ('{"a": 1}', "is no list")],
)
def test_a_damaged_list_of_checksums_is_named(run, content, said):
    (run.folder / "checksums.json").write_text(content)
    with pytest.raises(StoreError, match=rf"checksums\.json: {said}"):
        run.scores()
    (line,) = checksums.damage(run.folder)
    assert "checksums.json" in line


def test_looking_for_a_run_hashes_nothing(run, monkeypatch):
    monkeypatch.setattr(checksums, "read", lambda folder: pytest.fail("hashed"))
    monkeypatch.setattr(checksums, "of_file", lambda path: pytest.fail("hashed"))
    store = Store(run.folder.parent)
    assert store.get(run.key) == run
    assert store.runs() == [run]


def test_a_run_that_lost_its_checksums_is_damaged_but_an_older_one_is_not(run):
    (run.folder / "checksums.json").unlink()
    assert checksums.damage(run.folder) == [f"{run.folder / 'checksums.json'}: is missing"]
    about = json.loads((run.folder / "provenance.json").read_text())
    del about["checksums"]
    (run.folder / "provenance.json").write_text(json.dumps(about))
    assert checksums.damage(run.folder) is None
    assert len(run.scores()) == 3


@pytest.mark.parametrize("name", ["spec.json", "provenance.json", "scores.csv", "history.csv"])
def test_nothing_is_read_from_a_run_that_lost_its_checksums(run, name):
    """Scores that were cut within their last number would pass otherwise."""
    (run.folder / "checksums.json").unlink()
    content = (run.folder / "scores.csv").read_bytes().rstrip()
    (run.folder / "scores.csv").write_bytes(content[:-4])
    said = rf"{re.escape(name)}: cannot be read \(checksums\.json is missing.*verify --quarantine"
    with pytest.raises(StoreError, match=said):
        READ[name](run)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("provenance.json", "[]", r"provenance\.json: cannot be read \(no dictionary\)"),
        ("provenance.json", "{}", r"provenance\.json: does not say how many clips"),
        ("provenance.json", '{"clips": 3}', r"provenance\.json: does not say how many clips"),
        ("scores.csv", "sdr\n1\n2\n3\n", r"scores\.csv: holds 3 rows.*one for each test clip"),
        ("scores.csv", "clip,sdr\na,1\n,2\nc,3\n", r"scores\.csv: holds 3 rows"),
    ],
)
def test_older_runs_that_were_edited_are_named_too(run, name, content, said):
    about = json.loads((run.folder / "provenance.json").read_text())
    (run.folder / "provenance.json").write_text(json.dumps({"clips": about["clips"]}))
    (run.folder / "checksums.json").unlink()
    assert len(run.scores()) == 3
    (run.folder / name).write_text(content)
    with pytest.raises(StoreError, match=said):
        run.scores()


def test_a_file_that_never_ends_is_damage(run):
    (run.folder / "scores.csv").unlink()
    (run.folder / "scores.csv").symlink_to("/dev/zero")
    (line,) = checksums.damage(run.folder)
    assert "scores.csv: does not fit its checksum" in line


def test_what_a_killed_process_left_is_not_in_the_list(tmp_path, run):
    (run.folder / ".checksums.json.1").write_text("half")
    shutil.copytree(run.folder, tmp_path / "again")
    (tmp_path / "again" / ".checksums.json.1").unlink()
    checksums.write(tmp_path / "again")
    assert checksums.damage(tmp_path / "again") == []
    assert checksums.damage(run.folder) == [
        f"{run.folder / '.checksums.json.1'}: was not written by the run"
    ]


# Quarantine.


def test_a_run_in_quarantine_is_repeated(run, small_spec, tiny, finished):
    store = Store(run.folder.parent)
    (run.folder / "scores.csv").write_text("clip\n")
    place = store.quarantine(run.key)
    assert place == store.root / "quarantine" / run.key
    assert store.get(run.key) is None
    assert store.runs() == []
    (again,) = complete([small_spec], store, workers=1, device="cpu")
    assert (again.folder / "scores.csv").read_bytes() == (
        finished.folder / "scores.csv"
    ).read_bytes()
    assert store.quarantine(run.key) == place.with_name(f"{run.key}.2")


@pytest.mark.parametrize("name", list(READ))
def test_a_damaged_run_is_not_taken_for_done(run, small_spec, tiny, name):
    path = run.folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=rf"{name}: .*unmix runs verify --quarantine"):
        complete([small_spec], Store(run.folder.parent), workers=1, device="cpu")


def test_a_run_that_lost_its_provenance_makes_way_for_the_next(run, small_spec, tiny):
    store = Store(run.folder.parent)
    (run.folder / "provenance.json").unlink()
    (found,) = registry.verify(store.root)
    assert found.damage == [f"{run.folder / 'provenance.json'}: is missing"]
    (again,) = complete([small_spec], store, workers=1, device="cpu")
    assert checksums.damage(again.folder) == []
    assert (store.root / "quarantine" / run.key / "scores.csv").exists()


def test_a_quarantine_that_cannot_be_made_is_said(run):
    (run.folder.parent / "quarantine").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be moved to .*quarantine.*move it by hand"):
        Store(run.folder.parent).quarantine(run.key)


def test_a_lock_file_that_was_removed_meanwhile_does_not_count(tmp_path):
    store, (path, moved) = Store(tmp_path), (tmp_path / "partial" / n for n in ("k.lock", "old"))
    path.parent.mkdir()
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path.rename(moved)  # as if removed
        with store.writing("k") as folder:  # would wait for ever on the old file
            assert folder.is_dir()
            with path.open("r+") as held, pytest.raises(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Provenance.


def test_provenance_says_what_ran_on_what_and_what_it_took(run):
    about = run.provenance()
    assert about["threads"] == 1
    assert about["seed"] == 0
    assert about["resumed"] is False
    assert 0 < about["cpu_s"] < 100
    assert about["started"] <= about["finished"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", about["started"])
    assert about["energy_j"] is None or about["energy_j"] > 0
    for name in ("unmix", "python", "numpy", "scipy", "pandas", "torch"):
        assert re.match(r"\d+\.\d+", about[name]), name
    assert (about["commit"] is None) == (about["clean"] is None)
    assert about["global"]["clips"] + about["global"]["unscored"] == 3
    assert about["global"]["GNSDR"] == pytest.approx(
        (run.scores()["nsdr"] * run.scores()["samples"]).sum() / run.scores()["samples"].sum()
    )


def test_a_training_that_goes_on_says_so(small_spec, tiny, tmp_path, monkeypatch):
    from unmix.runs import execute

    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(execute, "score_answers", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            complete([small_spec], store, workers=1, device="cpu")
    (run,) = complete([small_spec], store, workers=1, device="cpu")
    assert run.key == key(small_spec, tiny)
    assert run.provenance()["resumed"] is True


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_the_checkout_is_clean_until_it_is_changed(tmp_path):
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    assert machine.tree(package) == {"commit": None, "clean": None}
    (package / "__init__.py").write_text("")
    git(tmp_path, "init")
    assert machine.tree(package) == {"commit": None, "clean": None}, "of somebody else's checkout"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    found = machine.tree(package)
    assert re.fullmatch("[0-9a-f]{40}", found["commit"])
    assert found["clean"] is True
    (package / "more.py").write_text("")
    assert machine.tree(package) == {**found, "clean": False}
    (package / "more.py").unlink()
    (package / "__init__.py").write_text("changed = True")
    assert machine.tree(package) == {**found, "clean": False}


def test_energy_is_the_packages_and_survives_a_wrap(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "POWERCAP", tmp_path)
    assert machine.Meter().energy() is None
    for name, spent in (("intel-rapl:0", 5e6), ("intel-rapl:1", 90e6), ("intel-rapl:0:0", 1e6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{spent:.0f}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("100000000\n")
    meter = machine.Meter()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("7000000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("3000000\n")
    assert meter.energy() == pytest.approx(2 + 13)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.energy() == pytest.approx(13)
