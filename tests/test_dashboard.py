"""Pages on claims and printed numbers: what is shown, where it leads, and that it can be read."""

import html
import math
import re
from pathlib import Path

import pytest

from aids import FULL, fabricate, scores, spec_of
from unmix.papers.published import PUBLISHED
from unmix.report import audits, claims, compared, outcomes
from unmix.report.audits import Numbers
from unmix.report.claims import Claims
from unmix.report.dashboard import Dashboard
from unmix.report.forest import Mark
from unmix.report.workbook import Workbook
from unmix.verdicts import decide
from unmix.verdicts.audit import Finding
from unmix.verdicts.claims import claim
from unmix.verdicts.judge import Verdict

ROOT = Path(__file__).resolve().parents[1]
CSS = (ROOT / "book" / "static" / "book.css").read_text()
NOTHING = Mark(math.nan, math.nan, math.nan, math.nan)


def ids(markup):
    return re.findall(r' id="([^"]+)"', markup)


def text(markup):
    """What is left of markup without its tags."""
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", markup)).split())


def result(**given):
    """What a verdict tells of one comparison."""
    told = {"what": "A > B", "kind": "greater", "metric": "GNSDR", "published": 0.3}
    told |= {"estimate": 0.2, "low": 0.1, "high": 0.3, "songs": 40, "seeds": 3}
    return told | {"p_for": 0.4, "p_against": 0.4, "p_negligible": 1.0, "direction": ""} | given


def judged(name, *told, **given):
    """A verdict on a claim whose comparisons came out as told; it hangs on the first."""
    first = told[0]
    known = {
        "outcome": decide.INCONCLUSIVE,
        "fidelity": "full",
        "estimate": first["estimate"],
        "interval": (first["low"], first["high"]),
        "n_songs": 40,
        "n_seeds": 3,
        "margin": 0.055,
        "p": 0.21,
    }
    return Verdict(name, "parwal", **{**known, **given}, comparisons=told)


# The sections of claims.


@pytest.fixture(scope="module")
def pages():
    """Each paper's two pages, without evidence."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "bearing", unassessed)
        found = {name: Claims(name, store="nowhere") for name in PUBLISHED}
        return {name: (of, of.sections().markup, Numbers(name)) for name, of in found.items()}


def unassessed(paper, *_):
    return [
        Verdict(each.id, paper, decide.NOT_ASSESSED, why="not run yet")
        for each in claims.claims(paper)
    ]


@pytest.mark.parametrize("paper", PUBLISHED)
def test_every_claim_has_a_section_and_every_link_a_place(pages, paper):
    of, sections, numbers = pages[paper]
    there = ids(sections)
    assert len(set(there)) == len(there)
    tiles = re.findall(r'href="claims.html#([^"]+)"', of.overview().markup)
    assert tiles == [claims.anchor(each.id) for each in of.claims]
    assert set(tiles) <= set(there)
    found = ids(numbers.audit().markup)
    assert len(set(found)) == len(found)
    assert set(re.findall(r'href="numbers.html#([^"]+)"', sections)) <= set(found)
    back = re.findall(r'href="claims.html#([^"]+)"', numbers.audit().markup)
    assert set(back) <= set(there)


@pytest.mark.parametrize("paper", PUBLISHED)
def test_a_claim_without_evidence_says_why_and_prints_its_numbers_as_published(pages, paper):
    of, sections, _ = pages[paper]
    for each in of.claims:
        start = sections.index(f'id="{claims.anchor(each.id)}"')
        section = text(sections[start:].split("</section>")[0])
        answered = "numbers answer it" if each.rule["test"] == "audit" else "not run yet"
        assert answered in section.lower(), each.id
        assert each.statement in section
        assert "nan" not in section.lower().split(), each.id


def test_papers_without_experiments_say_so_at_the_top(pages, monkeypatch):
    assert "not there yet" not in pages["nugraha"][0].overview().markup
    monkeypatch.setattr("unmix.report.claims.PAPERS", ("parwal",))
    assert "not there yet" in pages["nugraha"][0].overview().markup
    assert "not there yet" not in pages["parwal"][0].overview().markup


def test_published_numbers_keep_their_digits():
    printed = text(compared.numbers(claim("P01")))
    assert printed == "Table I: Frames of input input size GNSDR (dB) 1 6.23 2 6.55 3 6.46"
    assert "8.50" in text(compared.numbers(claim("P09"))), "not 8.5"


def test_long_lists_are_folded_behind_the_comparison_that_decides():
    every = claim("P09")
    told = [result(estimate=at / 10, low=-1.0, high=2.0) for at in range(len(every.comparisons))]
    verdict = judged("P09", *told, estimate=0.4, interval=(-1.0, 2.0))
    assert compared.deciding(verdict) == 4
    markup = compared.table(every, verdict, "the paper's dataset")
    first, opened = markup.split("<details")
    assert first.count("<svg class") == 2, "axis and one line"
    assert "+0.40 [−1.00, +2.00]" in first
    assert "All 12 comparisons" in opened
    assert opened.count('role="img"') == 12


def test_few_comparisons_stand_open():
    verdict = judged("P01", result(), result(estimate=-0.1))
    markup = compared.table(claim("P01"), verdict, "the paper's dataset")
    assert "<details" not in markup
    assert "40 × 3" in markup


def test_a_value_is_shown_as_itself_and_drawn_as_its_distance():
    """Ours lies 1.72 dB above the published 7.25 dB."""
    verdict = judged("P16a", result(kind="value", estimate=1.72, low=1.2, high=2.3), margin=0.5)
    (line,) = compared.lines(claim("P16a"), verdict)
    assert (line.paper, line.here) == ("7.25", "8.97 [8.45, 9.55]")
    assert line.mark == Mark(0.0, 1.72, 1.2, 2.3, (-0.5, 0.5))


def test_the_band_of_a_difference_lies_about_what_is_published():
    (line, *_) = compared.lines(claim("P04b"), judged("P04b", result(), result(), result()))
    assert line.mark.published == pytest.approx(0.58)
    assert line.mark.band == pytest.approx((0.525, 0.635))


def test_the_papers_mark_of_a_trend_is_its_slope_a_step():
    """Table IV, MSE: 7.13, 7.17 and 7.22 dB with one to three layers."""
    (line, _) = compared.lines(claim("P13a"), judged("P13a", result(), result()))
    assert line.mark.published == pytest.approx((7.22 - 7.13) / 2)
    assert line.mark.band == pytest.approx((-0.0275, 0.0275))


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"p_for": 0.02}, "holds"),
        ({"p_for": 0.03}, "open"),
        ({"p_against": 0.02}, "speaks against"),
        ({"p_for": 0.001, "p_negligible": 0.01}, "negligible"),
    ],
)
def test_what_a_comparison_says_by_itself(told, word):
    assert compared.alone(result(**told)) == word


@pytest.fixture
def full(results):
    """Runs of both rows of Table II on the paper's dataset: six songs, two seeds."""
    for row, label in enumerate(("Not augmented", "Augmented")):
        for seed in range(2):
            spec = spec_of(FULL, label).with_seed(seed)
            songs = {f"s{song}_1": 5.0 + song + 2 * row + 0.1 * seed for song in range(6)}
            fabricate(results / f"{row}{seed}", spec, "full", scores(**songs))
    return results


def test_evidence_leads_to_its_runs_and_commands(full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of = Claims("parwal", profile="tiny", store=tmp_path / "store")
    shown = of.section(claim("P04a"))
    markup = shown._repr_html_()
    said = text(markup)
    assert "the paper's dataset" in said
    assert "+2.00" in said
    assert "6 × 2" in said
    assert "unmix run parwal/table2 --profile full" in said
    assert "unmix verdicts P04a --store" in said
    (file,) = re.findall('href="(media/[^"]+json)"', markup)
    kept = (tmp_path / file).read_text()
    assert [key for key in ("00", "01", "10", "11") if f'"run": "{key}"' in kept] == [
        "00",
        "01",
        "10",
        "11",
    ]


def test_a_notebook_ends_with_the_claims_of_its_table(full, tmp_path):
    book = Workbook("parwal", profile="tiny", store=tmp_path / "store")
    shown = book.claims("table2")
    rows = re.findall(r'href="claims.html#claim-(\w+)"', shown.markup)
    assert rows[:2] == ["p04a", "p04b"]
    assert "p09" not in rows
    assert f"P04a: {of_p04a(book)}" in shown.text


def of_p04a(book):
    of = Claims("parwal", profile="tiny", store=book.given_store)
    return outcomes.said(of.verdicts["P04a"])


def test_a_table_without_claims_says_so(pages):
    assert "No claim rests on this table" in pages["parwal"][0].of_table("objective").markup


# The audit.


def finding(**given):
    told = {
        "id": "mean",
        "paper": "parwal",
        "check": "mean",
        "rule": "a mean",
        "where": "table1",
        "place": "Table I",
        "says": "A mean is that of its parts.",
        "cells": (),
        "computed": 3.25,
        "expected": -3.1,
        "tolerance": 0.019999999,
        "outcome": "disagrees",
        "rests_on": "one digit",
        "explanation": "It is 6.35 off. A slip would explain it.",
    }
    return Finding(**(told | given))


def audited(*findings):
    numbers = Numbers("parwal")
    numbers.__dict__["findings"] = findings
    return numbers.audit().markup


def test_what_disagrees_comes_first_and_open():
    markup = audited(finding(id="a", outcome="agrees"), finding(id="b"))
    assert ids(markup) == ["audit-disagrees", "finding-b", "audit-agrees", "finding-a"]
    assert "<details" not in markup[: markup.index("audit-agrees")]
    assert markup.index("<details") < markup.index("finding-a")


def test_a_finding_shows_all_that_it_rests_on():
    said = text(audited(finding()))
    for part in ("computed 3.25", "expected −3.1", "tolerance 0.02", "rests on one digit"):
        assert part in said
    assert "A slip would explain it." in said


def test_findings_of_one_entry_share_their_words():
    same = "A slip would explain it. Nothing rests on it."
    markup = audited(
        finding(where="one", explanation=f"It is 1 off. {same}"),
        finding(where="two", explanation=f"It is 2 off. {same}"),
    )
    assert text(markup).count("A slip would explain it.") == 1
    assert ids(markup).count("finding-mean") == 1
    assert "It is 1 off." in markup
    assert "It is 2 off." in markup


def test_findings_that_say_no_more_than_their_numbers_are_a_table():
    markup = audited(*(finding(where=name, outcome="agrees", rests_on=None) for name in "ab"))
    assert markup.count("<table") == 1
    assert "where computed expected tolerance a 3.25 −3.1 0.02 b 3.25 −3.1 0.02" in text(markup)


@pytest.mark.parametrize(
    ("texts", "shared"),
    [
        (["A. B.", "C. B."], "B."),
        (["B.", "C. B."], "B."),
        (["A 1.5 dB. B.", "A 2.5 dB. B."], "B."),
        (["A.", "B."], ""),
        (["A. B."], "A. B."),
    ],
)
def test_shared_ends_are_whole_sentences(texts, shared):
    assert audits.shared_end(texts) == shared


def test_the_whole_audit_is_on_the_page(pages):
    for paper, (_, _, numbers) in pages.items():
        markup = numbers.audit().markup
        assert f"{len(numbers.findings)} findings" in markup, paper
        for each in numbers.findings:
            assert f'id="{audits.anchor(each.id)}"' in markup


# The dashboard.


@pytest.fixture
def board(monkeypatch):
    """Two papers whose claims are not assessed, but for two of the first."""

    def bearing(paper, *_):
        found = unassessed(paper)
        if paper == "parwal":
            found[0] = judged("P01", result(), result(), outcome=decide.REPRODUCED)
            found[1] = judged("P02", *[result()] * 6, outcome="stand-in: compatible")
        return found

    monkeypatch.setattr(claims, "bearing", bearing)
    return Dashboard(papers=("parwal", "li"), store="nowhere")


def test_every_claim_has_a_tile_that_leads_to_its_section(board, pages):
    markup = board.matrix().markup
    tiles = re.findall(r'<li data-paper="(\w+)"[^>]*><a class="outcome[^>]*href="([^"]+)"', markup)
    for paper in ("parwal", "li"):
        of, sections, _ = pages[paper]
        mine = [where for name, where in tiles if name == paper]
        assert mine == [f"../{paper}/claims.html#{claims.anchor(each.id)}" for each in of.claims]
        assert {where.partition("#")[2] for where in mine} <= set(ids(sections))


def test_counts_add_up_and_keep_other_material_apart(board):
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", board.counts().markup)
    numbers = {
        text(row).split(" on ")[0]: re.findall(r">(\+?\d+)</(?:a|span)>", row) for row in rows
    }
    by_outcome = {
        name: next(n for said, n in numbers.items() if f" {name} " in f"{said} ")
        for name in (decide.REPRODUCED, decide.COMPATIBLE, decide.NOT_ASSESSED)
    }
    every = [len(board.papers[name].claims) for name in ("parwal", "li")]
    assert by_outcome[decide.NOT_ASSESSED] == [str(every[0] - 2), str(every[1])]
    assert by_outcome[decide.COMPATIBLE] == ["0", "+1", "0"]
    assert f"not assessed {every[0] - 2}" in board.counts().text


def test_the_page_is_a_list_without_its_script(board):
    markup = board.matrix().markup
    assert re.search(r"<form[^>]* hidden", markup)
    assert "<script" not in markup
    assert "display" not in markup


def test_script_and_page_have_the_same_names(board):
    script = (ROOT / "book" / "static" / "dashboard.js").read_text()
    markup = board.matrix().markup
    names = re.findall(r'"(\w+)"', re.search(r"names = \[(.*?)\]", script)[1])
    assert re.findall(r'<select name="(\w+)"', markup) == names
    entries = re.findall(r"<li ([^>]*)>", markup)
    for name in names:
        options = re.findall(r'value="([^"]+)"', markup.split(f'<select name="{name}">')[1])
        values = {re.search(rf'data-{name}="([^"]*)"', entry)[1] for entry in entries}
        assert values <= set(options), name
    for selector in re.findall(r'querySelector(?:All)?\("\.([\w-]+)"\)', script):
        assert f'class="{selector}"' in markup
    assert "dashboard.js" in (ROOT / "_config.yml").read_text()


def test_a_claim_of_the_papers_own_numbers_shows_what_they_say(board):
    entry = re.search(
        r'<li data-paper="parwal"[^>]*><a [^>]*>P18</a>.*?</li>', board.matrix().markup
    )
    assert "By the paper's own numbers: shared-rows" in text(entry[0])
    assert "not run yet" not in text(entry[0])
