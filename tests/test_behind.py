"""Tables and figures name the runs behind them: once a page, in a panel and in a file."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from aids import FULL, TINY, fabricate, item, scores, spec_of
from unmix.datasets.catalogue import open_dataset
from unmix.report.behind import Drawn, Panels
from unmix.report.tables import Shown
from unmix.report.workbook import Workbook
from unmix.runs.execute import key

REPEAT = "unmix run parwal/table2"


@pytest.fixture
def rows(tmp_path):
    return [item(tmp_path, "one", scores(a_1=1.0), scores(a_1=2.0), fidelity="full")]


@pytest.fixture
def book(store, tmp_path, monkeypatch):
    """A workbook whose page lies in a folder of its own."""
    page = tmp_path / "page"
    page.mkdir()
    monkeypatch.chdir(page)
    return Workbook("parwal", profile="tiny", store=store.root)


def links(markup):
    """The anchors that a piece of a page leads to, and the files."""
    found = re.findall('href="([^"]+)"', markup)
    return [each for each in found if each[0] == "#"], [each for each in found if each[0] != "#"]


def written(shown):
    """What is in the one JSON file that a piece of a page writes when it is shown."""
    markup = shown._repr_html_()
    (file,) = shown.files
    assert links(markup) == ([], [file])
    return json.loads(Path(file).read_text())


def test_a_table_names_the_runs_behind_it(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = Shown("<table></table>", "text") + Panels().of_table("parwal-table2", rows, REPEAT)
    assert not (tmp_path / "media").exists(), "written when it is shown"
    markup = shown._repr_html_()
    assert markup.startswith("<table></table><details")
    assert repr(shown) == "text"
    assert "The 2 runs behind this table" in markup
    assert 'href="media/parwal-table2-runs.json"' in markup
    assert f"To repeat: <code>{REPEAT}</code>" in markup
    data = json.loads((tmp_path / "media" / "parwal-table2-runs.json").read_text())
    assert data["repeat"] == REPEAT
    assert [run["seed"] for run in data["runs"]] == [0, 1]
    assert [run["run"] for run in data["runs"]] == [run.key for run in rows[0].runs]
    assert data["runs"][0]["spec"]["training"]["loss"]["divergence"] == "mse"
    assert data["runs"][0]["provenance"]["fidelity"] == "full"


def test_the_same_runs_are_named_once_a_page(rows):
    page = Panels()
    table = page.of_table("parwal-table2", rows, REPEAT)
    line = page.behind("this box plot", "parwal-table2", rows, REPEAT)
    assert "<details" not in line.markup
    assert line.files == {}
    assert "the 2 runs of the table above" in line.markup
    (anchor,), (file,) = links(line.markup)
    assert f'id="{anchor[1:]}"' in table.markup
    assert file in table.files
    another = Panels().behind("this box plot", "parwal-table2", rows, REPEAT)
    assert "The 2 runs behind this box plot" in another.markup, "another page names them itself"


def test_other_runs_and_fewer_runs_have_a_panel_of_their_own(rows, tmp_path):
    page = Panels()
    page.of_table("parwal-table2", rows, REPEAT)
    fewer = [type(rows[0])(rows[0].row, rows[0].runs[:1])]
    sounds = page.behind("these sounds", "parwal-table2", fewer, REPEAT)
    assert "<summary>The run behind these sounds</summary>" in sounds.markup
    other = [item(tmp_path, "two", scores(a_1=1.0))]
    curves = page.behind("these curves", "parwal-table2", other, REPEAT)
    assert "behind these curves</summary>" in curves.markup
    files = {*sounds.files, *curves.files}
    assert len(files) == 2, "no file is written by two panels"
    assert "media/parwal-table2-runs.json" not in files


def test_a_cell_that_runs_again_shows_its_panel_again(rows):
    page = Panels()
    first = page.behind("this box plot", "x", rows, REPEAT)
    again = page.behind("this box plot", "x", rows, REPEAT)
    assert first.markup == again.markup
    assert "<details" in first.markup
    table = page.of_table("x", rows, REPEAT).markup
    assert table == page.of_table("x", rows, REPEAT).markup


def test_the_anchor_of_a_panel_lies_inside_of_it(rows):
    """Browsers open a folded element when a link leads to something inside of it."""

    class Inside(HTMLParser):
        depth, found = 0, ""

        def handle_starttag(self, tag, attrs):
            self.depth += tag == "details"
            if self.depth and tag != "details" and dict(attrs).get("id"):
                self.found = dict(attrs)["id"]

        def handle_endtag(self, tag):
            self.depth -= tag == "details"

    page = Inside()
    page.feed(Panels().of_table("parwal-table2", rows, REPEAT).markup)
    assert page.found == "parwal-table2-runs"


def test_nothing_is_behind_a_figure_without_runs(rows):
    none = [type(rows[0])(rows[0].row, ())]
    assert Panels().behind("these differences", "x", none, REPEAT).markup == ""


# What a workbook shows.


@pytest.mark.parametrize("method", ["boxplot", "histories"])
def test_figures_of_a_table_lead_to_its_panel(book, method):
    table = book.table("table2")
    drawn = getattr(book, method)("table2")
    (anchor,), files = links(drawn.below.markup)
    assert anchor == "#parwal-table2-runs"
    assert f'id="{anchor[1:]}"' in table.markup
    assert files == list(table.files)
    plt.close(drawn.figure)


def test_a_figure_without_a_table_names_its_runs(book):
    drawn = book.boxplot("table2")
    data = written(drawn.below)
    assert [run["row"] for run in data["runs"]] == ["Not augmented", "Augmented"]
    assert data["repeat"].startswith("unmix run parwal/table2 --profile tiny")
    plt.close(drawn.figure)


def test_the_command_names_the_seeds_where_they_are_not_the_experiments_own(book):
    found = book.evidence("table2")
    assert "--seeds" not in book._repeat("table2", found), "one, as the profile itself has"
    more = [*found[:1], type(found[1])(found[1].row, found[1].runs * 3)]
    assert book._repeat("table2", more).endswith("--seeds 3")


def test_differences_name_the_runs_that_they_compare(book, results):
    """Not those of the table: what is compared may be of another fidelity than what it shows."""
    full = fabricate(results / "f00d", spec_of(FULL, "Augmented"), "full", scores(a_1=7.0))
    shown = book.contrast("table2", {"with against without": ("Augmented", "Not augmented")})
    runs = {run["row"]: run for run in written(shown)["runs"]}
    assert set(runs) == {"Augmented", "Not augmented"}
    assert runs["Augmented"]["fidelity"] == "stand-in"
    assert full.key not in {run["run"] for run in runs.values()}


def test_a_row_that_is_compared_at_two_fidelities_is_named_at_both(book, store, results):
    dataset = open_dataset("synthetic-voice", None, TINY.profile.clips)
    for label in ("1", "3"):  # two frames stand in Table II too, and are there
        spec = spec_of(TINY, label, "table1")
        fabricate(store.root / key(spec, dataset), spec, "stand-in", scores(a_1=1.0))
    for label in ("1", "2"):
        spec = spec_of(FULL, label, "table1")
        fabricate(results / f"f{label}", spec, "full", scores(a_1=7.0))
    shown = book.contrast("table1", {"two": ("2", "1"), "three": ("3", "1")})
    runs = {(run["row"], run["fidelity"]) for run in written(shown)["runs"]}
    assert runs == {("1", "full"), ("2", "full"), ("1", "stand-in"), ("3", "stand-in")}


def heard(run, clip=None, variant=""):
    """In place of `Workbook.separated`, which needs weights and a dataset."""
    sound = np.full((1, 8000), 0.1, np.float32)
    sources = {"voice": sound, "accompaniment": sound}
    return {
        "clip": {"name": "a", "words": "Test clip a"},
        "mixture": {"mixture": sound},
        "references": sources,
        "estimates": sources,
    }


def test_what_is_heard_and_seen_names_the_one_run_a_row(book, store, monkeypatch):
    monkeypatch.setattr(book, "separated", heard)
    keys = {"input": "Augmented"}
    drawn = book.spectrograms("table2", keys)
    (run,) = written(drawn.below)["runs"]
    assert run["row"] == "Augmented"
    one = book.listen("table2", rows=[keys])
    assert "the run of the spectrograms above" in one.markup
    assert one.files == {}
    both = book.listen("table2")
    assert [run["row"] for run in written(both)["runs"]] == ["Not augmented", "Augmented"]
    plt.close(drawn.figure)


def test_a_system_that_gives_the_mixture_back_is_heard_once(book, monkeypatch):
    silent = {name: np.zeros((1, 8000), np.float32) for name in ("voice", "accompaniment")}
    monkeypatch.setattr(book, "separated", lambda *given: {**heard(*given), "estimates": silent})
    assert "Augmented: voice" in book.listen("table2").markup
    monkeypatch.setattr(book, "separated", heard)  # whose estimates are the mixture
    shown = book.listen("table2")
    assert "Augmented: voice" not in shown.markup
    assert shown.markup.count("<audio") == 3, "the mixture and two true sources"
    assert len(written(shown)["runs"]) == 2


def test_a_figure_and_its_runs_are_two_outputs_of_a_cell_and_the_figure_is_closed(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    figure = plt.figure()
    below = Shown("<p>runs</p>")
    Drawn(figure, below)._ipython_display_()
    assert shown == [figure, below]
    assert figure.number not in plt.get_fignums(), "a notebook would show it twice"
    assert "a figure" in repr(Drawn(figure, below))
