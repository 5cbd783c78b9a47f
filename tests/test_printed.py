"""Published tables shown: in a terminal of any width, as CSV, and as HTML."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from aids import refused
from unmix.papers.published import PUBLISHED, TEXT, about, cells, tables
from unmix.report.layout import DASH, END, layout, number, signed
from unmix.report.printed import printed

TABLES = [(paper, table.name) for paper in PUBLISHED for table in about(paper).tables]
every_table = pytest.mark.parametrize(
    ("paper", "name"), TABLES, ids=["/".join(pair) for pair in TABLES]
)
every_paper = pytest.mark.parametrize("paper", PUBLISHED)


class Grid(HTMLParser):
    """The cells of an HTML table, each at every place that it spans: `{(line, column): text}`."""

    def __init__(self, markup):
        super().__init__()
        self.places, self.bold, self.line, self.tags = {}, set(), -1, []
        self.here, self.caption = [], ""
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.line += 1
        if tag in ("th", "td"):
            spans = {name: int(value) for name, value in attrs if name.endswith("span")}
            column = next(n for n in range(1000) if (self.line, n) not in self.places)
            self.here = [
                (self.line + down, column + right)
                for down in range(spans.get("rowspan", 1))
                for right in range(spans.get("colspan", 1))
            ]
            assert not set(self.here) & set(self.places), "two cells at one place"
            self.places |= dict.fromkeys(self.here, "")

    def handle_endtag(self, tag):
        while self.tags.pop() != tag:
            pass

    def handle_data(self, data):
        if "caption" in self.tags:
            self.caption += data
        elif {"th", "td"} & set(self.tags):
            self.places |= {place: self.places[place] + data for place in self.here}
            if "b" in self.tags:
                self.bold |= set(self.here)

    def lines(self):
        """The lines, which must all be equally long."""
        height, width = (1 + max(place[axis] for place in self.places) for axis in (0, 1))
        assert len(self.places) == height * width, "a hole, or a line that sticks out"
        return [[self.places[line, column] for column in range(width)] for line in range(height)]


def flattened(texts):
    return re.sub(r"\s+", " ", texts)


# Laid out.


@every_table
def test_every_number_stands_in_one_place_of_its_table(paper, name):
    found = layout(paper, name)
    shown = [cell.label for place in found.places.values() for cell in place]
    assert sorted(shown) == sorted(cell.label for cell in cells(paper, name))
    assert set(found.places) <= {(row, column) for row in found.rows for column in found.columns}
    for (row, column), place in found.places.items():
        for cell in place:
            heads = {*row, *(label.partition(" (")[0] for label in column), *column}
            keys = {value for key, value in cell.keys.items() if key != END}
            assert keys <= heads, cell.label


@every_table
def test_columns_stand_in_the_order_in_which_each_row_has_its_numbers(paper, name):
    found = layout(paper, name)
    for row in found.rows:
        order = [column for at, column in found.places if at == row]
        assert order == [column for column in found.columns if column in order]


def test_a_range_is_one_place_and_a_table_has_its_dashes():
    found = layout("lai", "table4")
    ranges = [number(place) for place in found.places.values() if len(place) == 2]
    assert "2.4–23.5" in ranges
    assert "−0.8–5.5" in ranges
    assert len(ranges) == sum(cell.keys[END] == "to" for cell in found.cells)
    wanted = ("Wave-U-Net", "SH-4stack", "Simple RNN", "Proposed", "Equal")
    assert layout("lai", "table6").columns == tuple((label,) for label in wanted)


# As HTML.


@every_table
def test_the_page_has_every_number_under_its_heads(paper, name):
    found, grid = layout(paper, name), Grid(printed(paper, name).markup)
    lines, depth, heads = grid.lines(), max(1, len(found.columns[0])), len(found.levels)
    assert len(lines) == depth + len(found.rows)
    for at, row in enumerate(found.rows):
        assert tuple(lines[depth + at][:heads]) == row
        for place, column in enumerate(found.columns, start=heads):
            assert tuple(lines[n][place] for n in range(len(column))) == column
            numbers = found.places.get((row, column), ())
            assert lines[depth + at][place] == number(numbers)
            bold = any(cell.bold for cell in numbers)
            assert ((depth + at, place) in grid.bold) == bold


@every_table
def test_the_caption_has_place_heading_statistic_and_unit(paper, name):
    words = layout(paper, name).about
    caption = flattened(Grid(printed(paper, name).markup).caption)
    assert caption.startswith(f"{words.place}: {words.title}. ")
    assert f"Statistic: {flattened(words.statistic)}." in caption
    assert (f"Unit: {words.unit}." in caption) == bool(words.unit)


@every_table
def test_each_damaged_place_has_a_dagger_and_a_footnote_with_token_and_reason(paper, name):
    markup = printed(paper, name).markup
    table, _, below = markup.partition("</table>")
    damaged = [cell for cell in cells(paper, name) if cell.corrected]
    assert table.count("†") == len(damaged)
    assert ("†" in below) == bool(damaged)
    for cell in damaged:
        assert f"{signed(cell.text)}<sup>†</sup>" in table
        assert f"the scan reads &quot;{cell.raw}&quot;; " in below
    assert [cell for cell in damaged if cell.note.partition('"')[0] not in below] == []


@every_paper
def test_the_running_text_is_a_list_of_its_numbers(paper):
    shown = printed(paper, TEXT)
    head, *lines = Grid(shown.markup).lines()
    found = cells(paper, TEXT)
    assert head[:4] == ["what", "place", "value", "unit"]
    assert [line[:4] for line in lines] == [
        [cell.row, cell.place, signed(cell.text), cell.metric] for cell in found
    ]
    if head[4:]:
        assert [line[4] for line in lines] == [c.raw if c.corrected else "" for c in found]
    assert f"{found[0].row} ({found[0].place}): {signed(found[0].text)}" in repr(shown)


def test_labels_are_escaped_and_consoles_get_plain_text():
    shown = printed("parwal", "table4")
    assert "DNN, MSE, GNSDR: 6.18" in repr(shown)
    assert "<" not in repr(shown)
    assert shown._repr_html_() == shown.markup
    assert '<div class="unmix-scroll"><table class="unmix-table">' in shown.markup


# In a terminal.


@pytest.fixture
def shown(unmix, monkeypatch):
    def call(*words, columns=200):
        monkeypatch.setenv("COLUMNS", str(columns))
        status, out, err = unmix("published", *words)
        assert (status, err) == (0, "")
        return out

    return call


@every_table
@pytest.mark.parametrize("columns", [20, 60, 80, 120, 200])
def test_no_number_is_cut_short_in_any_terminal(shown, paper, name, columns):
    out, found = shown(f"{paper}/{name}", columns=columns), layout(paper, name)
    table = out.partition(found.legend)[0]
    assert "…" not in table
    tokens = re.findall(r"(?<!\S)[−\d][^ \n]*(?= |\n)", table)
    for text in {number(place) for place in found.places.values()}:
        wanted = sum(number(place) == text for place in found.places.values())
        assert tokens.count(text) >= wanted, text


def test_a_table_that_is_too_wide_is_blocks_that_keep_groups_together(shown):
    wide, narrow = shown("uhlich/table2", columns=200), shown("uhlich/table2", columns=80)
    assert wide.count("Trumpet") == 1
    assert narrow.count("Trumpet") > 1
    assert max(map(len, narrow.splitlines())) <= 80
    heads = [line.split() for line in narrow.splitlines() if "SDR" in line]
    assert [line.count("SDR") for line in heads] == [line.count("SAR") for line in heads]


def test_digits_stand_under_digits_beside_a_mark(shown):
    lines = shown("uhlich/table3").splitlines()
    (place,) = [line.index("11.81†") for line in lines if "11.81†" in line and "reads" not in line]
    (above,) = [line.index("10.74") for line in lines if "9.69" in line]
    assert above == place


def test_a_damaged_place_is_explained_below(shown):
    out = shown("uhlich/table3")
    assert out.count("11.81†") == 1
    (line,) = [line for line in out.splitlines() if "T1.8T" in line]
    assert line.startswith('† Brahms, Average, Shifted-NMF, SAR: the scan reads "T1.8T"; ')


def test_equal_heads_of_rows_are_printed_once_and_minus_signs_are_true(shown):
    out = shown("uhlich/table3")
    body = out.partition("Unit: dB")[0]
    assert (body.count("Brahms"), body.count("Lussier"), body.count("Piano")) == (1, 1, 2)
    assert "−8.35" in body
    assert not re.search(r"-\d", body)


def test_a_paper_shows_what_it_is_and_all_its_tables(shown):
    out, words = shown("parwal"), about("parwal")
    assert out.startswith(f"{words.title}\n{words.authors}\n")
    assert flattened(words.about) in flattened(out)
    places = [out.index(f"{table.place}: {table.title}\n") for table in words.tables]
    assert places == sorted(places)
    assert out.index("Numbers of the running text") > places[-1]
    assert out.count(f" {DASH} ") == 0
    assert re.search(r"gain over NMF +Sec\. V\.B +2\.4 +dB", out)


def test_without_a_name_papers_and_tables_are_listed_with_the_number_of_values(shown):
    out = shown()
    for paper in PUBLISHED:
        assert about(paper).title in flattened(out)
        for name in tables(paper):
            count = len(cells(paper, name))
            assert re.search(rf"^ {paper}/{name} .* {count} +$", out, re.MULTILINE)
    first = f"{PUBLISHED[0]}/{tables(PUBLISHED[0])[0]}"
    assert out.rstrip().endswith(f"Look at one: unmix published {first}")


# As CSV.


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_long_form_has_values_as_printed_with_token_and_note(shown):
    out = shown("uhlich/table3", "--csv")
    assert out.startswith("paper,table,trio,instrument,method,metric,value,raw,note\n")
    found = rows(out)
    assert [line["value"] for line in found] == [c.text for c in cells("uhlich", "table3")]
    (line,) = [line for line in found if line["raw"] == "T1.8T"]
    assert (line["paper"], line["table"], line["method"]) == ("uhlich", "table3", "Shifted-NMF")
    assert line["note"]


def test_the_long_form_of_all_papers_has_each_number_once(shown):
    found = rows(shown("--csv"))
    wanted = [c for paper in PUBLISHED for name in tables(paper) for c in cells(paper, name)]
    assert [(line["paper"], line["table"], line["value"]) for line in found] == [
        (cell.paper, cell.table, cell.text) for cell in wanted
    ]
    for line, cell in zip(found, wanted, strict=True):
        assert {key: line[key] for key in cell.keys} == dict(cell.keys)
        assert (line["metric"], line["raw"], line["note"]) == (cell.metric, cell.raw, cell.note)
    assert {line["place"] for line in found if line["table"] != TEXT} == {""}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["uhlic"], "unknown paper 'uhlic'.*did you mean 'uhlich'.*parwal"),
        (["uhlich/"], "'uhlich/' names no table.*uhlich/TABLE, TABLE one of table1, .*, text"),
        (["uhlich/tabel2"], "unknown table of uhlich: 'tabel2'.*did you mean 'table2'"),
        (["uhlich/tabel2", "--csv"], "unknown table of uhlich: 'tabel2'.*did you mean 'table2'"),
    ],
)
def test_unknown_names_are_one_message_with_the_known_ones(unmix, words, said):
    refused(unmix("published", *words), said)


def test_help_teaches(unmix):
    status, out, _ = unmix("published", "--help")
    plain = flattened(re.sub("[│╭╮╰╯─]", " ", out))
    wanted = [
        "PAPER/TABLE",
        "--csv",
        "†",
        "unmix published uhlich --csv > uhlich.csv",
        "key columns",
    ]
    assert (status, [word for word in wanted if word not in plain]) == (0, [])
    assert "published" in unmix("--help")[1]
