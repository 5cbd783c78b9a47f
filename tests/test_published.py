"""Published numbers: what the papers print, to the digit, and read as what they are."""

import csv
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from scans import FOLDER, ROOT, is_number, table_problems, text_problems, tokens
from unmix.errors import SpecError
from unmix.papers import experiment
from unmix.papers.experiment import PAPERS, PROFILES, Setting, experiments
from unmix.papers.published import (
    HOME,
    PUBLISHED,
    TEXT,
    about,
    cells,
    one,
    tables,
)

FILES = sorted(
    (path.parent.name, path.stem)
    for path in HOME.glob("*/*.csv")
    if (path.parent / "paper.yaml").is_file()
)
TABLES = [(paper, name) for paper, name in FILES if name != TEXT]


def named(pairs):
    return {"argvalues": pairs, "ids": ["/".join(pair) for pair in pairs]}


every_table = pytest.mark.parametrize(("paper", "name"), **named(TABLES))
every_file = pytest.mark.parametrize(("paper", "name"), **named(FILES))
every_paper = pytest.mark.parametrize("paper", PUBLISHED)


def scan(paper):
    """The text of a paper, which need not be there."""
    path = FOLDER / f"{paper}.txt"
    if not path.is_file():
        pytest.skip(f"no text of {paper}: UNMIX_PAPERS names no folder with {path.name}")
    return path.read_text(encoding="utf-8")


def described(paper, name):
    return {table.name: table for table in about(paper).tables}[name]


def slips(number):
    """A number with one digit wrong, for each of its digits."""
    for place, digit in enumerate(number):
        if digit.isdigit():
            yield f"{number[:place]}{(int(digit) + 1) % 10}{number[place + 1 :]}"


# Against the papers.


@every_table
def test_a_table_is_what_the_paper_prints(paper, name):
    assert table_problems(cells(paper, name), scan(paper), described(paper, name).text) == []


@every_table
def test_any_slipped_digit_in_a_table_is_found(paper, name):
    text, where, found = scan(paper), described(paper, name).text, cells(paper, name)
    for at, cell in enumerate(found):
        # Where the scan is damaged, the value is not in it, and `raw` is what can be held.
        field = "raw" if cell.raw else "text"
        for wrong in slips(getattr(cell, field)):
            changed = [*found[:at], replace(cell, **{field: wrong}), *found[at + 1 :]]
            assert table_problems(changed, text, where), f"{cell.label}: {field} {wrong}"


@every_table
def test_a_table_with_numbers_lost_doubled_or_exchanged_is_found(paper, name):
    text, where, found = scan(paper), described(paper, name).text, cells(paper, name)
    damaged = [cell.raw for cell in found if is_number(cell.raw)]
    found = [cell for cell in found if not cell.raw]
    where = replace(where, others=(*where.others, *damaged))
    assert table_problems(found, text, where) == []
    assert table_problems(found[1:], text, where)
    assert table_problems([found[0], *found], text, where)
    assert table_problems(found, text, replace(where, others=(*where.others, "99999")))
    assert table_problems(found, text, replace(where, start="no such words"))
    assert table_problems(found, text, replace(where, start=where.end, end=where.start))
    for at, (first, second) in enumerate(pairwise(found)):
        if first.text != second.text:
            assert table_problems([*found[:at], second, first, *found[at + 2 :]], text, where)


@every_paper
def test_numbers_of_the_running_text_stand_beside_their_words(paper):
    text, found = scan(paper), cells(paper, TEXT)
    assert [line for cell in found for line in text_problems(cell, text, found)] == []


@every_paper
def test_any_slipped_digit_in_the_running_text_is_found(paper):
    text, found = scan(paper), cells(paper, TEXT)
    for cell in found:
        for wrong in slips(cell.text) if not cell.raw else ():
            assert text_problems(replace(cell, text=wrong), text, found), f"{cell.label}: {wrong}"
        assert text_problems(replace(cell, near="no such words"), text, found)
        assert text_problems(replace(cell, raw="no such word"), text, found)


def test_numbers_are_told_from_labels_minus_signs_from_hyphens_and_dashes():
    line = "-1.5|–2 2.4–23.5 SH-4stack 3,000 10^{-3} ($-4$) v2 0.9–11.5 7.90\n−6 a.5 2-3 100,50"
    wanted = "-1.5 -2 2.4 23.5 4 3000 10 3 -4 0.9 11.5 7.90 -6 2 3 100,50"
    assert list(tokens(line)) == wanted.split()


# What is in the files.


def test_papers_with_experiments_have_published_numbers():
    assert set(PAPERS) <= set(PUBLISHED)
    assert "parwal" in PAPERS
    assert all((HOME / paper / f"{TEXT}.csv").is_file() for paper in PUBLISHED)


@every_paper
def test_every_table_is_described_and_every_description_has_its_table(paper):
    names = [table.name for table in about(paper).tables]
    assert names
    assert tables(paper) == [*names, TEXT]
    assert sorted(tables(paper)) == sorted(path.stem for path in (HOME / paper).glob("*.csv"))
    assert all(re.fullmatch(r"(table|figure)\d+[a-z]?", name) for name in names)


@every_paper
def test_a_paper_stands_in_the_bibliography_with_its_year(paper):
    words = about(paper)
    if words.cite is None:
        return
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    (entry,) = re.findall(rf"^@\w+\{{{words.cite},\n(.*?)^\}}", text, re.MULTILINE | re.DOTALL)
    year = re.search(r"^ *year *= *\{(\d+)\}", entry, re.MULTILINE)
    assert (int(year.group(1)) if year else None) == words.year


@every_file
def test_every_value_is_a_plain_decimal_and_no_number_stands_twice(paper, name):
    with (HOME / paper / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    found = cells(paper, name)
    assert [line["value"] for line in lines] == [cell.text for cell in found]
    assert all(re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", cell.text) for cell in found)
    most = Counter((*cell.keys.values(), cell.metric) for cell in found).most_common(1)
    assert most[0][1] == 1
    assert len({tuple(cell.keys) for cell in found}) == 1
    assert [cell for cell in found if bool(cell.near) != (name == TEXT)] == []
    assert [cell for cell in found if bool(cell.place) != (name == TEXT)] == []


@every_table
def test_a_damaged_token_differs_from_its_number_and_the_reason_is_given(paper, name):
    for cell in cells(paper, name):
        assert cell.raw != cell.text, cell.label
        assert cell.note or not cell.raw, cell.label


@every_table
def test_units_and_heads_are_those_of_the_table(paper, name):
    words, found = described(paper, name), cells(paper, name)
    metrics = {cell.metric for cell in found}
    assert metrics == set(words.units) or (words.unit and not words.units)
    assert all(words.unit_of(metric) for metric in metrics)
    heads = [*words.rows, *words.columns]
    assert {*found[0].keys} <= {*heads} <= {*found[0].keys, "metric"}
    assert "metric" in heads or len(metrics) == 1


@every_paper
def test_a_key_is_spelled_alike_in_all_tables_of_a_paper(paper):
    spellings = {}
    for name in tables(paper):
        for cell in cells(paper, name) if name != TEXT else ():
            for column, value in [*cell.keys.items(), ("metric", cell.metric)]:
                bare = re.sub(r"\W", "", value).casefold()
                spellings.setdefault((column, bare), set()).add(value)
    assert [found for found in spellings.values() if len(found) > 1] == []


# Reading them.


def test_digits_are_kept_and_tell_the_last_ones_unit():
    cell = one("parwal", "table4", {"model": "DNN", "loss": "KL"}, "GSIR")
    assert (cell.text, cell.value, cell.label) == ("8.50", 8.5, "table4: DNN, KL, GSIR")
    assert (cell.step, cell.half) == (0.01, 0.005)
    for text, step in (("11.3", 0.1), ("80", 1.0), ("-0.10", 0.01), ("0.003", 0.001)):
        other = replace(cell, text=text)
        assert (other.step, other.half, other.value) == (step, step / 2, float(text))
    assert {cell, replace(cell)} == {cell}
    assert not replace(cell, text="3000", raw="3,000").corrected
    assert replace(cell, text="10.13", raw="-10.13").corrected


def test_rows_are_chosen_by_key_columns_and_metric_in_the_printed_order():
    found = cells("parwal", "table4", {"model": ["3 RNN", "DNN"], "loss": "MSE"}, ["GSAR", "GSIR"])
    assert [cell.text for cell in found] == ["8.92", "9.11", "10.53", "11.04"]
    assert [cell.text for cell in cells("parwal", "table1", {"input size": 2})] == [
        "6.55",
        "9.45",
        "9.89",
    ]
    assert len(cells("parwal", "table4")) == 24


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cells("parwall", "table4"), "unknown paper 'parwall'.*did you mean 'parwal'"),
        (lambda: tables("os"), "unknown paper 'os'.*Expected: .*parwal"),
        (lambda: cells("parwal", "tabel4"), "unknown table of parwal: 'tabel4'.*table1, .*, text"),
        (
            lambda: cells("parwal", "table4", {"models": "DNN"}),
            "unknown column of parwal/table4: 'models'.*did you mean 'model'.*model, loss",
        ),
        (
            lambda: cells("parwal", "table4", {"model": ["DNN", "4 RNN"]}),
            "unknown model of parwal/table4: '4 RNN'.*DNN; 1 RNN; 2 RNN; 3 RNN",
        ),
        (
            lambda: cells("parwal", "table4", None, "SDR"),
            "unknown metric of .*: 'SDR'.*GNSDR; GSIR",
        ),
        (
            lambda: one("parwal", "table4", {"model": "DNN"}, "GSIR"),
            "2 numbers of parwal/table4 are GSIR of model DNN.*DNN, MSE; DNN, KL.*name as many",
        ),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(call, said):
    with pytest.raises(SpecError, match=said):
        call()


def test_reading_needs_neither_torch_nor_pandas():
    code = (
        "import sys, unmix.cli, unmix.papers.published as p, unmix.report.layout as l\n"
        "[l.layout(paper, t.name) for paper in p.PUBLISHED for t in p.about(paper).tables]\n"
        "assert p.cells('parwal', 'table4')\n"
        "print([name for name in ('torch', 'pandas', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_paper_without_experiments_names_the_command_that_shows_its_numbers(monkeypatch):
    monkeypatch.setattr(experiment, "PUBLISHED", ("parwal", "toy"))
    with pytest.raises(SpecError, match=r"toy has .* no experiments yet.*`unmix published toy`"):
        experiments("toy", Setting(PROFILES["tiny"], False))
