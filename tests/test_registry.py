"""What is in a store: listed, shown, compared, verified, promoted and tidied up."""

import json
import os
import re
import subprocess
import sys

import pytest

from aids import FULL, TINY, fabricate, refused, scores, spec_of
from unmix.papers.families import families
from unmix.report import inventory, upkeep
from unmix.runs import checksums, registry
from unmix.runs.store import Store


def test_every_row_of_every_profile_has_its_family():
    found = families()
    for setting, profile in ((TINY, "tiny"), (FULL, "full")):
        places = found[spec_of(setting, "Augmented").family()]
        assert {place.profile for place in places} == {profile}
        assert ("parwal", "table2", "Augmented") in [
            (place.paper, place.experiment, place.row) for place in places
        ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", ["list", "show", "diff", "verify", "gc", "promote"]),
        ("list", ["--paper", "--experiment", "--system", "--results", "--json", "--store"]),
        ("show", ["first digits", "--data-root"]),
        ("diff", ["provenance", "--store"]),
        ("verify", ["--quarantine", "--results", "git", "status 1"]),
        ("gc", ["--dry-run", "--yes", "--older", "any profile"]),
        ("promote", ["--all", "--paper", "--stand-in", "without weights"]),
    ],
)
def test_help_teaches(unmix, words, told):
    status, out, err = unmix("runs", *words.split(), "--help")
    assert (status, err) == (0, "")
    for each in told:
        assert each in " ".join(out.replace("│", " ").split()), each


# Listing.


def test_the_list_names_rows_seeds_and_scores(call, full, store):
    status, out, err = call("list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == list(" ".join(inventory.HEADING).split())
    assert len(lines) == 4
    (line,) = [line for line in lines if line.startswith("f" * 12 + " ")]
    assert "parwal/table2: Augmented (full)" in line
    assert line.split()[-6:] == ["2", "full", "2026-01-02", "03:04", "166.1", "7.25"]
    tiny = [line.split()[-1] for line in lines[1:] if "stand-in" in line]
    assert sorted(tiny) == ["2.00", "3.25"], "read from the scores of runs without the mean"


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--paper", "parwal"], 3),
        (["--experiment", "table2"], 3),
        (["--experiment", "baselines"], 0),
        (["--system", "not augm"], 1),
        (["--experiment", "table2", "--system", "augmented"], 3),
    ],
)
def test_the_list_is_narrowed(call, full, words, count):
    status, out, err = call("list", "--json", *words)
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert len(found) == count
    for each in found:
        assert len(each["key"]) == 64
        names = {place["experiment"] for place in each["places"]}
        assert names == {"table2"} if "--experiment" in words else "table2" in names


def test_unknown_names_are_refused(call, full):
    refused(call("list", "--paper", "parval"), r"unknown paper 'parval' \(did you mean 'parwal'")
    refused(call("list", "--experiment", "tabel2"), "unknown experiment 'tabel2' .did you mean")
    assert call("list", "--system", "zither") == (0, "", call("list", "--system", "zither")[2])


def test_runs_of_no_experiment_and_evidence_are_listed(call, full, small_spec, results, store):
    fabricate(store.root / "own", small_spec, "stand-in", scores(a_1=1.0))
    fabricate(results / ("e" * 64), spec_of(FULL, "Augmented"), "full", scores(a_1=1.0))
    out = call("list", "--results")[1]
    assert "(no experiment of today)" in out
    assert "e" * 12 in out
    assert "e" * 12 not in call("list")[1]
    assert sorted(path.name for path in results.iterdir()) == ["e" * 64], "no cache in git"


def test_an_empty_store_is_said(unmix, tmp_path):
    status, out, err = unmix("runs", "list", "--store", tmp_path / "none")
    assert (status, out) == (0, "")
    assert err.startswith("no runs in")
    assert "no such runs in" in unmix("runs", "list", "--paper", "lai", "--store", tmp_path)[2]
    assert not (tmp_path / "none").exists()


def test_the_index_spares_reading_but_is_never_believed(full, store, monkeypatch):
    first = registry.listing(store.root)
    assert len(first) == 3
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_read", lambda *args: pytest.fail("read again"))
        assert registry.listing(store.root) == first
    # Changed, gone and new runs.
    about = json.loads((full.folder / "provenance.json").read_text())
    (full.folder / "provenance.json").write_text(json.dumps({**about, "fidelity": "subset"}))
    checksums.write(full.folder)
    gone = first[0].key
    upkeep.remove(store.get(gone))
    fabricate(store.root / "new", spec_of(TINY, "Augmented"), "stand-in", scores(a_1=1.0))
    found = {entry.key: entry for entry in registry.listing(store.root)}
    assert set(found) == {each.key for each in first} - {gone} | {"new"}
    assert found[full.key].fidelity == "subset"


@pytest.mark.parametrize("content", ["", "garbage", "[1]\n", '{"key": 1}\n', '["x", 1, 2]\n[]\n'])
def test_a_damaged_index_is_made_anew(full, store, content):
    first = registry.listing(store.root)
    (store.root / registry.INDEX).write_text(content)
    assert registry.listing(store.root) == first
    assert len((store.root / registry.INDEX).read_text().splitlines()) == 3


def test_a_store_that_cannot_be_written_is_listed(full, store, monkeypatch):
    (store.root / registry.INDEX).mkdir()
    assert len(registry.listing(store.root)) == 3
    assert [path.name for path in store.root.glob(".index*")] == []


def test_damaged_provenance_does_not_stop_the_list(call, full):
    (full.folder / "provenance.json").write_text("{")
    status, out, _ = call("list")
    assert status == 0
    assert "unreadable" in out


def test_listing_and_comparing_import_neither_torch_nor_pandas(call, full, store):
    call("list")  # makes the caches
    code = (
        "import sys; from unmix.cli import main; sys.argv[0] = 'unmix'; main(); "
        "print([name for name in ('torch', 'pandas') if name in sys.modules])"
    )
    (other,) = [e.key for e in registry.listing(store.root) if e.gnsdr is None][:1]
    for words in (["list", "--system", "zither"], ["diff", "ffff", other]):
        command = [sys.executable, "-c", code, "runs", *words, "--store", str(store.root)]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.stdout.splitlines()[-1] == "[]", ended.stderr


def test_where_runs_belong_is_found_anew_when_the_package_changes(store, monkeypatch):
    first = inventory.places(store.root)
    path = store.root / inventory.FAMILIES
    kept = json.loads(path.read_text())
    assert kept["families"] == first
    path.write_text(json.dumps({"source": kept["source"], "families": {"a": []}}))
    assert inventory.places(store.root) == {"a": []}
    path.write_text(json.dumps({"source": "other", "families": {"a": []}}))
    assert inventory.places(store.root) == first


# One run.


def test_a_run_is_shown_whole(call, full, store):
    status, out, err = call("show", "FFFF")
    assert (status, err) == (0, "")
    assert out.startswith(f"run {full.key}\n  {full.folder}\n")
    command = f"unmix run parwal/table2 --profile full --seeds 3 --store {store.root}"
    for line in (
        "  parwal/table2: Augmented (full)",
        f"  {command}",
        "  training.loss.divergence = ",
        '  dataset = "mir1k"',
        '  fidelity = "full"',
        "  global.GNSDR = 7.25",
        "  GNSDR = 7.50",
        "  scored, a clip once for each source = 2",
        "  model.safetensors, 0.0 kB",
    ):
        assert f"\n{line}" in out, line


def test_a_damaged_run_is_not_shown(call, full):
    (full.folder / "scores.csv").write_text("clip\n")
    refused(call("show", "ffff"), r"scores\.csv: is not what the run wrote")


def test_a_key_must_name_one_run(call, full, store):
    spec = spec_of(FULL, "Augmented")
    fabricate(store.root / ("f" * 63 + "0"), spec, "full", scores(a_1=1.0))
    refused(call("show", "zz"), "no run's key begins with 'zz' in .*`unmix runs list` shows")
    refused(call("show", "ffff"), "the keys of 2 runs begin with 'ffff' .*Expected: enough digits")
    refused(call("show", " "), "an empty key.*Expected: the first digits")
    assert registry.find("f" * 64, [store.root]) == full
    assert registry.find("f" * 63 + "0", [store.root]).key.endswith("0")


def test_evidence_is_found_by_its_key(call, results, store):
    fabricate(results / ("e" * 64), spec_of(FULL, "Augmented"), "full", scores(a_1=1.0))
    assert call("show", "eee")[1].startswith(f"run {'e' * 64}\n  {results}")


def test_a_difference_is_exactly_what_differs(call, full, store):
    spec = spec_of(FULL, "Augmented")
    about = {"wall_s": 166.1, "seed": 0, "global": {"GNSDR": 7.25}}
    fabricate(
        store.root / ("a" * 64), spec, "full", scores(a_1=1.0, b_1=2.0), **about, finished="2027"
    )
    status, out, _ = call("diff", "aaa", "fff")
    assert status == 0
    assert out.splitlines() == [
        "settings",
        "  seed: 0 | 2",
        "provenance",
        '  finished: "2027" | "2026-01-02T03:04:05Z"',
        "  seed: 0 | 2",
        '  torch: none | "2.0"',
    ]
    assert call("diff", "fff", "fff")[1].splitlines() == [
        "settings: no difference",
        "provenance: no difference",
    ]


def test_nested_settings_differ_by_dotted_path(store):
    one, other = store.runs()
    assert [each.path for each in registry.diff(one, other) if each.part == "settings"] == [
        "training.augmentation"
    ]


# Verifying.


def test_damage_is_named_and_moved_away(call, full, store, results):
    older = f"{store.root}: 3 runs, 1 sound, 0 damaged, 2 with no checksums"
    status, out, _ = call("verify")
    assert status == 0
    assert out.startswith(older)
    full.weights.write_bytes(b"weightz")
    status, out, _ = call("verify")
    assert status == 1
    assert f"damaged: {full.weights}: does not fit its checksum" in out
    assert "3 runs, 0 sound, 1 damaged, 2 with no checksums" in out
    status, out, _ = call("verify", "--quarantine")
    assert status == 0
    assert f"moved to {store.root / 'quarantine' / full.key}" in out
    assert store.get(full.key) is None
    assert "2 runs, 0 sound, 0 damaged" in call("verify")[1]


def test_evidence_is_verified_but_never_moved(call, full, results):
    kept = fabricate(results / ("e" * 64), full.spec(), "full", scores(a_1=1.0))
    checksums.write(kept.folder)
    status, out, _ = call("verify", "--results")
    assert status == 0
    assert f"{results}: 1 runs, 1 sound" in out
    (kept.folder / "scores.csv").write_text("clip\n")
    status, out, _ = call("verify", "--results", "--quarantine")
    assert status == 1
    assert f"damaged: {kept.folder / 'scores.csv'}" in out
    assert kept.folder.exists()


@pytest.mark.parametrize("name", ["spec.json", "provenance.json", "scores.csv", "checksums.json"])
@pytest.mark.parametrize("how", ["edited", "cut", "gone"])
def test_no_table_is_made_of_damaged_evidence(call, unmix, full, results, store, name, how):
    about = json.loads((full.folder / "provenance.json").read_text())
    about["checksums"] = checksums.ALGORITHM
    (full.folder / "provenance.json").write_text(json.dumps(about))
    checksums.write(full.folder)
    assert call("promote", "fff")[0] == 0
    words = ("table", "parwal/table2", "--profile", "tiny", "--store", store.root)
    status, out, _ = unmix(*words)
    assert status == 0
    assert "7.5" in out, "the mean of the promoted scores stands in the table"
    path = results / full.key / name
    content = path.read_text()
    if how == "gone":
        path.unlink()
    else:
        path.write_text(re.sub("[1-8]", "9", content) if how == "edited" else content[:-9])
    os.utime(results)  # as after a visit of git
    if (name, how) == ("provenance.json", "gone"):
        status, out, _ = unmix(*words)  # what has none is no evidence
        assert status == 0
        assert "7.5" not in out
        assert unmix("runs", "verify", "--results", "--store", store.root)[0] == 1
    else:
        refused(unmix(*words), rf"{results / full.key}/\S+: (is not what|cannot be read)")


def test_what_was_left_of_trying_out_a_store_is_no_run_and_is_swept(call, store):
    left = store.root / ".trial-k"
    left.mkdir()
    (left / "file").touch()
    assert len(store.runs()) == len(registry.listing(store.root)) == 2
    assert "2 runs" in call("verify")[1]
    assert registry.sweep(store, older=1.0, remove=True) == []
    os.utime(left / "file", (0, 0))
    os.utime(left, (0, 0))
    assert registry.sweep(store, older=1.0, remove=True) == [(left, 0)]
    assert not left.exists()


def test_a_missing_store_has_nothing_damaged(unmix, tmp_path):
    status, out, _ = unmix("runs", "verify", "--store", tmp_path / "none")
    assert status == 0
    assert "0 runs" in out


def test_stores_are_told_apart(store, tmp_path):
    assert Store(tmp_path / "other").runs() == []
    assert registry.listing(tmp_path / "other") == []
    assert not (tmp_path / "other").exists()
