"""A table from a store without building its experiment: the same table, and never a stale one."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from aids import FULL, TINY, fabricate, scores, spec_of
from unmix.datasets.catalogue import open_dataset
from unmix.errors import DatasetError, SpecError, StoreError
from unmix.papers import evidence
from unmix.report import lookup
from unmix.report.lookup import KEPT, Asked, Named, table
from unmix.report.workbook import Workbook
from unmix.runs import checksums
from unmix.runs.execute import key

TABLE2 = Asked("parwal", "table2", "tiny")


@pytest.fixture
def building(monkeypatch):
    """The experiments that were built since, in order."""
    built = []

    def watched(*words, **choice):
        built.append(words)
        return evidence.wanted(*words, **choice)

    monkeypatch.setattr(lookup, "wanted", watched)
    # A process opens a dataset once; here each call shall look at it anew, as commands do.
    monkeypatch.setattr(lookup, "opened", evidence.opened.__wrapped__)
    return built


def same(found, wanted):
    pd.testing.assert_frame_equal(found.long, wanted)


@pytest.mark.parametrize("best", [True, False])
def test_it_is_the_workbooks_table_whether_kept_or_not(store, results, building, best):
    fabricate(results / "f00d", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0))
    asked = Asked("parwal", "table2", "tiny", best=best)
    book = Workbook("parwal", profile="tiny", store=store.root)
    wanted = book.long("table2", best=best)
    assert list(wanted["fidelity"].unique()) == ["stand-in", "full"][: 1 + best]
    first, second = table(asked, store), table(asked, store)
    assert len(building) == 1
    for found in (first, second):
        same(found, wanted)
        assert found.title == book.experiment("table2").title
        assert found.note == ""


def test_what_is_stored_later_is_seen(store, results, building):
    before = table(TABLE2, store).long
    fabricate(results / "f00d", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0))
    after = table(TABLE2, store).long
    assert set(before["fidelity"]) == {"stand-in"}
    assert set(after["fidelity"]) == {"stand-in", "full"}
    spec = spec_of(TINY, "Augmented").with_seed(1)
    dataset = open_dataset("synthetic-voice", None, TINY.profile.clips)
    two = Asked("parwal", "table2", "tiny", seeds=2, best=False)
    assert list(table(two, store).long["seeds"]) == [1] * 6
    fabricate(store.root / key(spec, dataset), spec, "stand-in", scores(a_1=4.0))
    assert list(table(two, store).long["seeds"]) == [1] * 3 + [2] * 3
    assert len(building) == 2, "for each number of seeds once"


def test_a_run_that_was_edited_is_refused_all_the_same(store, results, building):
    table(TABLE2, store)
    for run in store.runs():
        checksums.write(run.folder)
    edited = store.runs()[0].folder / "scores.csv"
    edited.write_text(edited.read_text().replace("3.0", "9.0"))
    with pytest.raises(StoreError, match=r"scores\.csv: is not what the run wrote"):
        table(TABLE2, store)


@pytest.mark.parametrize("change", ["source", "torch", "data", "edited", "cut", "strange"])
def test_an_answer_of_another_state_is_not_taken(store, results, building, monkeypatch, change):
    wanted = table(TABLE2, store).long
    kept = store.root / KEPT
    if change == "source":
        monkeypatch.setattr(lookup, "package_source", lambda: "another")
    elif change == "torch":
        monkeypatch.setattr(lookup, "version", lambda name: "0.1")
    elif change == "data":
        monkeypatch.setattr("unmix.datasets.standin.recipe", lambda renderers: "another")
    elif change == "edited":
        data = json.loads(kept.read_text())
        (entry,) = data["tables"].values()
        entry["rows"].reverse()
        kept.write_text(json.dumps(data))
    elif change == "cut":
        kept.write_text(kept.read_text()[:-20])
    else:
        kept.write_text(json.dumps([1, 2]))
    found = table(TABLE2, store)
    assert len(building) == 2
    if change == "data":
        assert set(found.long["seeds"]) == {0}, "no run is valid for other data"
    else:
        same(found, wanted)
    table(TABLE2, store)
    assert len(building) == 2, "and the new answer is kept"


def test_a_store_that_is_not_there_is_not_made(store, results, building):
    gone = type(store)(store.root / "gone")
    assert set(table(TABLE2, gone).long["seeds"]) == {0}
    assert not gone.root.exists()


def test_errors_are_those_of_a_workbook(store, results, tmp_path):
    table(TABLE2, store)
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        table(Asked("parwal", "table2", "tiny", data_root=tmp_path / "nowhere"), store)
    for words in (("parwa", "table2"), ("parwal", "table9"), ("parwal", "table2", "tinny")):
        with pytest.raises(SpecError, match=r"did you mean '(parwal|table4|tiny)'"):
            table(Asked(*words), store)


def test_whoever_names_a_data_root_is_told_what_is_taken(store, results, tmp_path, building):
    rooted = Asked("parwal", "table2", "tiny", data_root=tmp_path)
    for _ in range(2):
        assert "embedded stand-in" in table(rooted, store).note
    (tmp_path / "MIR-1K" / "Wavfile").mkdir(parents=True)
    assert "profile tiny always takes it" in table(rooted, store).note
    assert len(building) == 2


def test_a_command_repeats_what_was_asked_for(tmp_path):
    asked = Asked("parwal", "table2", "tiny", backend="museval", given_store=tmp_path)
    told = asked.command("run", seeds=3)
    assert told == (
        f"unmix run parwal/table2 --profile tiny --store {tmp_path} --backend museval --seeds 3"
    )
    assert Asked("parwal", "table2").command("table", own=True) == "unmix table parwal/table2 --own"


def test_a_row_that_is_looked_up_has_no_spec():
    row = Named({"input": "Augmented"}, {})
    assert row.keys == {"input": "Augmented"}
    with pytest.raises(AttributeError):
        _ = row.spec


def test_the_second_look_needs_no_torch(store, results):
    table(TABLE2, store)
    look = (
        "import sys\nfrom unmix.report.lookup import Asked, table\nfrom unmix.runs.store import "
        f"Store\nfound = table(Asked('parwal', 'table2', 'tiny'), Store({str(store.root)!r}))\n"
        "print(found.long['seeds'].sum(), sorted({'torch', 'scipy', 'sklearn', 'matplotlib'} "
        "& set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ended.stdout == "6 []\n"


def test_a_table_says_on_what_its_runs_were(results, store):
    made = {"clips": {"train": 9, "valid": 2, "test": 1}}
    fabricate(results / "f00d", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0), **made)
    lines = table(TABLE2, store).conditions
    assert lines[0] == (
        "full (the paper's dataset): mir1k, split paper; 9 training and 1 test clips; at most 24 "
        "passes over the training part."
    )
    assert lines[1].startswith(
        "stand-in (a stand-in, not the paper's dataset): synthetic-voice, split standin; "
    )
    assert len(lines) == 2


def test_columns_that_do_not_go_together_are_refused():
    rows = [{"system": "DNN", "layers": "1"}, {"system": "NMF", "layers": "0"}]
    found = lookup.Found(
        "two rows",
        pd.DataFrame([{**keys, "metric": "SDR"} for keys in rows]),
        "",
        tuple(evidence.Evidence(Named(keys, {}), ()) for keys in rows),
    )
    (one,) = lookup.only(found, {"system": "NMF"}).rows
    assert one.row.keys["layers"] == "0"
    with pytest.raises(SpecError, match="no row has system=NMF, layers=1 at once"):
        lookup.only(found, {"system": "NMF", "layers": "1"})
