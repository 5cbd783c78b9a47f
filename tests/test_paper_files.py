"""The files of a paper: read in every form that they may have, refused in every other."""

import pytest
import yaml

from unmix.errors import SpecError, UnmixError
from unmix.papers import about as about_module
from unmix.papers import published as module
from unmix.papers.published import Cell, about, by_row, cells, one, published, tables
from unmix.report.layout import layout, merged, remarks

TABLE = {
    "title": "A table",
    "place": "Table 1",
    "unit": "dB",
    "statistic": "mean",
    "rows": ["a"],
    "columns": ["metric"],
    "text": {"from": "x", "to": "y", "others": []},
}
PAPER = {
    "title": "A toy",
    "authors": "A. Toy",
    "year": None,
    "venue": None,
    "cite": None,
    "dataset": "none",
    "about": "Nothing.",
    "tables": {"table1": TABLE},
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Make a paper `toy` of one table, from its CSV and changes to its `paper.yaml`."""
    folder = tmp_path / "toy"
    folder.mkdir()
    monkeypatch.setattr(module, "HOME", tmp_path)
    monkeypatch.setattr(module, "PUBLISHED", ("toy",))

    def make(table="a,metric,value\nx,SDR,1\n", paper=None, **changes):
        if not isinstance(paper, str):
            described = {"tables": {"table1": {**TABLE, **changes}}}
            paper = yaml.safe_dump({**PAPER, **described, **(paper or {})})
        (folder / "table1.csv").write_text(table)
        (folder / "paper.yaml").write_text(paper)
        module._read.cache_clear()
        module._cells.cache_clear()
        about_module.read_about.cache_clear()

    return make


def test_a_row_for_which_the_paper_has_a_dash_gives_no_cell(toy):
    toy("a,metric,value\nx,SDR,1\ny,SIR,2\n")
    assert cells("toy", "table1", {"a": "x"}, "SIR") == []
    with pytest.raises(SpecError, match="no numbers of toy/table1 are SIR of a x"):
        one("toy", "table1", {"a": "x"}, "SIR")


def test_frames_have_numbers_and_text_and_rows_their_values(toy):
    toy("a,b,metric,value,bold\nx,1,SDR,7.90,yes\n")
    table = published("toy", "table1")
    assert list(table.columns) == ["a", "b", "metric", "value", "bold", "raw", "note"]
    assert table.to_dict("records")[0] == {
        "a": "x",
        "b": "1",
        "metric": "SDR",
        "value": 7.9,
        "bold": "yes",
        "raw": "",
        "note": "",
    }
    assert by_row(table) == {("x", "1", "SDR"): 7.9}
    (cell,) = cells("toy", "table1")
    assert cell == Cell("toy", "table1", {"a": "x", "b": "1"}, "SDR", "7.90", bold=True)
    assert published("toy", "table2").empty


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "table1.csv: columns missing.*key columns, metric, value"),
        ("metric,value\nSDR,1\n", "columns metric, value"),
        ("a,value,metric\nx,1,SDR\n", "columns a, value, metric"),
        ("a,metric,value,why\nx,SDR,1,\n", "columns a, metric, value, why.*raw, near, note, bold"),
        ("a,a,metric,value\nx,x,SDR,1\n", "columns a, a, metric, value"),
        ("a,metric,value\nx,SDR\n", "line 2: 2 fields.*3: a, metric, value"),
        ("a,metric,value\nx,SDR,1\ny,SDR,1 dB\n", "line 3: value '1 dB'.*plain decimal"),
        ("a,metric,value\nx,SDR,–\n", "value '–'.*plain decimal"),
        ("a,metric,value\nx,SDR,1e3\n", "value '1e3'"),
        ("a,metric,value\nx,SDR,.5\n", "value '.5'"),
        ("a,metric,value\n,SDR,1\n", "line 2: no a"),
        ("a,metric,value\nx ,SDR,1\n", "a 'x '.*no blanks around it"),
        ("a,metric,value,bold\nx,SDR,1,no\n", "bold 'no'.*yes, or nothing"),
        ("a,metric,value\nx,SDR,1\nx,SDR,2\n", "more than one number is table1: x, SDR"),
    ],
)
def test_a_bad_csv_is_refused_with_its_name_and_line(toy, table, said):
    toy(table)
    with pytest.raises(UnmixError, match=said):
        cells("toy", "table1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"paper": "title: ["}, "paper.yaml is no YAML: .*line 1.*mend it there"),
        ({"paper": "- title"}, r"paper.yaml: \['title'\] is no mapping"),
        (
            {"paper": "title: A toy"},
            "missing keys authors, year, venue, cite, dataset, about, tables",
        ),
        ({"paper": {"journal": "x"}}, "paper.yaml: unknown key journal"),
        ({"paper": {"year": "2015"}}, "year is '2015'.*a whole number, or null"),
        ({"paper": {"title": ""}}, "title is ''.*words"),
        ({"paper": {"tables": {"table1": {}}}}, "table table1: missing keys title, place"),
        ({"unit": None}, "table table1: no unit.*units by metric"),
        ({"units": {"SDR": "dB"}}, "table table1: unit and units"),
        ({"rows": "a"}, "rows is 'a'.*a list"),
        ({"rows": []}, "rows is empty"),
        ({"text": {"from": "x"}}, "table1: text: missing keys to, others"),
        (
            {"text": {"from": "x", "to": "y", "others": [7.9]}},
            "text: others: 7.9 is no string.*loses its last digit.*put it in quotes",
        ),
    ],
)
def test_a_bad_paper_yaml_is_refused_with_its_name_and_place(toy, changes, said):
    toy(**changes)
    with pytest.raises(UnmixError, match=said):
        about("toy")


def test_a_missing_paper_yaml_is_one_message(toy, tmp_path):
    toy()
    (tmp_path / "toy" / "paper.yaml").unlink()
    with pytest.raises(UnmixError, match=r"paper.yaml: No such file.*restore the file"):
        about("toy")


def test_a_table_that_the_text_does_not_have_says_why(toy):
    toy(text={"note": "the scan has no such page"})
    (table,) = about("toy").tables
    assert (table.text.start, table.text.note) == ("", "the scan has no such page")


def test_tables_stand_in_the_described_order_and_text_behind_them(toy, tmp_path):
    toy()
    for name in ("text", "figure2"):
        (tmp_path / "toy" / f"{name}.csv").write_text("name,metric,value\nx,count,1\n")
    assert tables("toy") == ["table1", "figure2", "text"]


# Tables laid out.


@pytest.mark.parametrize(
    ("table", "changes", "said"),
    [
        (
            "a,b,metric,value\nx,1,SDR,1\nx,2,SDR,2\n",
            {},
            "2 numbers at x, SDR.*name all key columns",
        ),
        ("a,metric,value\nx,SDR,1\n", {"rows": ["b"]}, "table1: 'b'.*Expected: a, metric"),
        ("a,metric,value\nx,SDR,1\n", {"columns": ["a"]}, "a heads both rows and columns"),
        (
            "a,end,metric,value\nx,to,SDR,1\nx,from,SDR,2\n",
            {"columns": ["metric", "end"]},
            "2 numbers at x, SDR",
        ),
    ],
)
def test_a_layout_that_does_not_fit_its_table_is_refused(toy, table, changes, said):
    toy(table, **changes)
    with pytest.raises(UnmixError, match=said):
        layout("toy", "table1")


def test_a_table_that_is_not_described_is_named(toy, tmp_path):
    toy()
    (tmp_path / "toy" / "table2.csv").write_text("a,metric,value\nx,SDR,1\n")
    with pytest.raises(UnmixError, match=r"does not describe table2.*table1.*under `tables`"):
        layout("toy", "table2")


def test_columns_stand_in_the_order_of_rows_that_each_lack_some():
    rows = [["b", "d"], ["a", "d"], ["a", "b", "c"], ["c", "d"]]
    assert merged([[(label,) for label in row] for row in rows]) == [("a",), ("b",), ("c",), ("d",)]
    # Where rows contradict each other, both columns are still there once.
    assert sorted(merged([[("a",), ("b",)], [("b",), ("a",)]])) == [("a",), ("b",)]


def test_a_metric_names_its_unit_where_units_differ(toy):
    toy(
        "a,metric,value\nx,files,1\nx,Hz,2\n",
        unit=None,
        units={"files": "count", "Hz": "Hz"},
    )
    found = layout("toy", "table1")
    assert found.columns == (("files (count)",), ("Hz",))
    assert found.legend == "Statistic: mean."


def test_a_score_that_heads_nothing_stands_below_the_table(toy):
    toy("a,metric,value\nx,MOS,1\n", columns=[], unit="grade")
    found = layout("toy", "table1")
    assert (found.columns, found.legend) == (((),), "Score: MOS. Unit: grade. Statistic: mean.")


def test_remarks_name_rows_as_short_as_they_can_and_each_remark_once(toy):
    lines = ["x,1,SDR,1,,odd", "x,1,SIR,2,,odd", "x,2,SDR,3,8,smudge", "x,2,SIR,4,,odd"]
    toy("\n".join(["a,b,metric,value,raw,note", *lines, "y,2,SDR,5,,odd", "y,2,SIR,6,,"]))
    found = cells("toy", "table1")
    assert remarks(found) == [
        "x, 1; x, 2, SIR; y, SDR: odd",
        '† x, 2, SDR: the scan reads "8"; smudge',
    ]
    assert remarks(found, tokens=False) == ["x, 1; x, 2, SIR; y, SDR: odd", "x, 2, SDR: smudge"]
