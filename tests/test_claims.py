"""What the papers claim: the files, what their rules rest on, and how they are told."""

import json
import re
from dataclasses import replace

import pytest

from aids import FULL, refused
from unmix.errors import SpecError
from unmix.papers.experiment import PAPERS, experiments
from unmix.papers.published import PUBLISHED, cells, tables
from unmix.verdicts import audit, rules
from unmix.verdicts import claims as module
from unmix.verdicts.claims import MARGIN, Claim, claim, claims, dropped, margin, named, songs_of
from unmix.verdicts.wording import in_words, unit

EVERY = [each for paper in PUBLISHED for each in claims(paper)]
TESTED = [each for each in EVERY if each.experiment]


def made(rule, **changes):
    """A claim on parwal's Table IV with a rule."""
    plain = Claim(
        id="P99",
        paper="parwal",
        place="nowhere",
        kind="ordering",
        stated=True,
        statement="One beats the other.",
        cells=(),
        experiment="table4",
        without="",
        aggregation="mean",
        unit="song",
        margin=None,
        rule={"table": "table4", "metrics": ["GNSDR"], **rule},
        note="",
    )
    return replace(plain, **changes)


# The files.


def test_all_five_papers_have_claims_and_no_id_stands_twice():
    assert {each.paper for each in EVERY} == {"lai", "li", "nugraha", "parwal", "uhlich"}
    ids = [each.id for each in EVERY]
    assert len(set(ids)) == len(ids)
    left_out = {name for paper in PUBLISHED for name in dropped(paper)}
    assert not left_out & set(ids), "what is dropped is no claim"


@pytest.mark.parametrize("paper", PUBLISHED)
def test_a_paper_says_what_is_known_of_its_test_songs(paper):
    songs = songs_of(paper)
    assert songs.why
    assert songs.count is None or songs.count > 0


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.id)
def test_the_cells_that_a_claim_rests_on_are_published(each):
    assert len(each.published) >= len(each.cells)


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.id)
def test_a_claim_has_an_experiment_and_comparisons_or_says_why_not(each):
    assert each.without or (each.experiment and each.comparisons)


@pytest.mark.parametrize("each", TESTED, ids=lambda each: each.id)
def test_rows_of_rules_are_those_of_a_published_table_or_of_an_experiment(each):
    known = experiments(each.paper, FULL) if each.paper in PAPERS else {}
    for place in {place for one in each.comparisons for place in one.places}:
        run = place.table in known and place.row in [row.keys for row in known[place.table].rows]
        figure = place.table.startswith("figure")
        assert run or rules.printed(each.paper, place) or (figure and drawn(each.paper, place))


def drawn(paper, place):
    """Of a figure's bars the text gives only some numbers: their labels must be the paper's."""
    every = [cell for table in tables(paper) for cell in cells(paper, table)]
    labels = {(name, value) for cell in every for name, value in cell.keys.items()}
    scores = {cell.metric for cell in every} | {"training time"}
    return set(place.keys) <= labels and place.metric in scores


@pytest.mark.parametrize(
    "each", [each for each in TESTED if each.paper in PAPERS], ids=lambda each: each.id
)
def test_where_a_paper_has_experiments_those_of_its_claims_are_among_them(each):
    known = experiments(each.paper, FULL)
    assert each.experiment in known
    for place in {place for one in each.comparisons for place in one.places}:
        assert place.row in [dict(row.keys) for row in known[place.table].rows]


@pytest.mark.parametrize("paper", PUBLISHED)
def test_a_claim_that_the_audit_decides_names_checks_that_it_makes(paper):
    made_there = {entry["id"] for entry in audit.entries(paper)}
    asked = {
        check
        for each in claims(paper)
        if each.rule["test"] == "audit"
        for check in each.rule["checks"]
    }
    assert asked
    assert asked <= made_there


# A broken file is one message.

FILE = """
test_songs: {same: false, count: 40, why: not named}
claims:
  - &one
    id: P01
    from: []
    place: Table I
    kind: ordering
    stated: true
    statement: One beats the other.
    cells: []
    experiment: null
    without: no reason
    aggregation: mean
    unit: song
    rule: {test: none}
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Let parwal's claims be what is written."""
    monkeypatch.setattr(module, "folder", lambda paper: tmp_path)
    module._read.cache_clear()
    yield lambda text: (tmp_path / "claims.yaml").write_text(text)
    module._read.cache_clear()


def test_a_sound_file_is_read(written):
    written(FILE)
    (found,) = claims("parwal")
    assert (found.id, found.experiment, found.without) == ("P01", None, "no reason")
    assert songs_of("parwal").count == 40
    assert dropped("parwal") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE.replace("unit: song", "units: song"), r"at P01: must contain \['unit'\]"),
        (FILE.replace("ordering", "guess"), "at P01/kind"),
        (FILE.replace("id: P01", "id: first"), "at first/id"),
        (FILE.replace("{test: none}", "{test: luck}"), "at P01/rule"),
        (FILE.replace("test_songs", "songs"), "at the top"),
        (FILE + "  - *one\n", "more than one claim is named P01"),
        (FILE + "  - [", "is no YAML"),
    ],
)
def test_a_broken_file_is_one_message_that_names_the_place(written, text, said):
    written(text)
    with pytest.raises(SpecError, match=said) as error:
        claims("parwal")
    assert "claims.yaml" in str(error.value)


def test_a_missing_file_is_one_message(written):
    with pytest.raises(SpecError, match=r"claims\.yaml: No such file"):
        claims("parwal")


# Which claim is meant.


def test_papers_and_claims_are_found_by_name():
    assert named("") == (PUBLISHED, "")
    assert named("li") == (("li",), "")
    assert named("P09") == (("parwal",), "P09")
    assert claim("U11b").paper == "uhlich"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("parwal/table4", r"`unmix claims parwal` lists all of its claims"),
        ("P9", r"unknown paper or claim 'P9' \(did you mean 'P"),
        ("parval", "did you mean 'parwal'"),
        ("zzz", "What to do: `unmix claims`"),
    ],
)
def test_an_unknown_name_is_one_message(what, said):
    with pytest.raises(SpecError, match=said):
        named(what)


def test_a_paper_is_no_claim():
    with pytest.raises(SpecError, match=r"parwal is a paper, not a claim.*`unmix claims parwal`"):
        claim("parwal")


# What counts as no difference. Printed GNSDR of Table IV: MSE 6.18, 7.13, 7.18, 7.22 (DNN and one
# to three layers), KL 6.53, 7.13, 7.20, 7.25.


def pair(one, other):
    return [{"model": one, "loss": "MSE"}, {"model": other, "loss": "MSE"}]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"test": "greater", "pairs": [pair("2 RNN", "1 RNN")]}, 0.025),
        ({"test": "greater", "pairs": [pair("3 RNN", "DNN"), pair("2 RNN", "1 RNN")]}, 0.025),
        ({"test": "greater", "pairs": [pair("3 RNN", "DNN")]}, MARGIN),
        ({"test": "difference", "by": 0.3, "pairs": [pair("3 RNN", "DNN")]}, 0.15),
        ({"test": "value", "rows": [{"model": "DNN", "loss": "MSE"}]}, MARGIN),
        ({"test": "equal", "pairs": [pair("2 RNN", "1 RNN")]}, MARGIN),
    ],
)
def test_the_margin_is_half_the_smallest_gap_and_half_a_decibel_at_most(rule, expected):
    assert margin(made(rule)) == pytest.approx(expected)


def test_a_tie_is_no_gap_and_a_claims_own_margin_goes_first():
    tie = [{"model": "1 RNN", "loss": "KL"}, {"model": "1 RNN", "loss": "MSE"}]
    rule = {"test": "greater", "pairs": [tie, pair("2 RNN", "1 RNN")]}
    assert margin(made(rule)) == pytest.approx(0.025)
    assert margin(made(rule, margin=1.0)) == 1.0


# Rules in words.

ROWS = [{"model": f"{layers} RNN", "loss": ["MSE", "KL"]} for layers in (1, 2, 3)]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"test": "none"}, "no rule of the vocabulary can decide it"),
        (
            {"test": "audit", "checks": ["sums", "means"]},
            "the paper's own numbers decide it (audit: sums and means)",
        ),
        ({"test": "greater", "pairs": [pair("2 RNN", "DNN")]}, "2 RNN > DNN, for MSE, in GNSDR"),
        (
            {"test": "best", "row": ROWS[2], "among": ROWS[:2]},
            "3 RNN > each of 1 RNN and 2 RNN, for each loss (MSE, KL), in GNSDR; all 4 comparisons "
            "must hold",
        ),
        (
            {"test": "best", "row": ROWS[0], "among": ROWS[1:2], "lowest": True},
            "1 RNN < 2 RNN, for each loss (MSE, KL), in GNSDR; both must hold",
        ),
        (
            {"test": "order", "rows": ROWS[::-1], "hold": "most"},
            "3 RNN > 2 RNN > 1 RNN, for each loss (MSE, KL), in GNSDR; 3 of 4 comparisons must "
            "hold",
        ),
        (
            {"test": "difference", "pairs": [pair("2 RNN", "DNN")], "by": 0.5, "at_least": True},
            "2 RNN minus DNN is 0.5 dB or more, within the margin, for MSE, in GNSDR",
        ),
        (
            {
                "test": "difference",
                "pairs": [pair("2 RNN", "DNN"), pair("3 RNN", "DNN")],
                "pool": True,
            },
            "the mean of 2 RNN minus DNN and 3 RNN minus DNN is as published, within the margin, "
            "for MSE, in GNSDR",
        ),
        (
            {"test": "equal", "pairs": [pair("2 RNN", "DNN")]},
            "2 RNN = DNN within the margin, for MSE, in GNSDR",
        ),
        (
            {"test": "value", "rows": [{"model": "DNN", "loss": "KL"}], "metrics": ["GSIR"]},
            "DNN, KL as published, within the margin, in GSIR",
        ),
        (
            {"test": "above", "rows": ROWS[:1], "threshold": 6},
            "1 RNN, MSE|KL above 6 dB, in GNSDR; both must hold",
        ),
        (
            {"test": "trend", "rows": ROWS, "direction": "rising"},
            "rising over 1 RNN, 2 RNN and 3 RNN, for each loss (MSE, KL), in GNSDR; both must hold",
        ),
        (
            {"test": "peak", "rows": ROWS, "at": ROWS[1]},
            "2 RNN is the best of 1 RNN, 2 RNN and 3 RNN, for each loss (MSE, KL), in GNSDR; both "
            "must hold",
        ),
        (
            {
                "test": "greater",
                "pairs": [[{"table": "table1", "input size": 2}, pair("DNN", "")[0]]],
            },
            "input size 2 (table1) > DNN, MSE, in GNSDR",
        ),
    ],
)
def test_a_rule_in_words(rule, words):
    assert in_words(made(rule)) == words


def test_many_pairs_are_counted_and_not_named_all():
    names = ("1 RNN", "2 RNN", "3 RNN")
    pairs = [pair(one, other) for one in names for other in names if one != other] * 2
    assert "; and 7 more, for MSE" in in_words(made({"test": "greater", "pairs": pairs}))


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.id)
def test_every_rule_can_be_told(each):
    words = in_words(each)
    assert words
    assert "{" not in words
    assert "None" not in words


def test_units_are_those_of_the_table():
    assert unit(claim("P09")) == "dB"
    assert unit(claim("P17a")) == "dB", "an experiment that no table prints"
    assert unit(claim("P19")) == ""
    assert unit(claim("U20")) == "iterations"


# The command.


def test_the_list_has_each_claim_with_rule_and_test(unmix):
    status, out, err = unmix("claims", "parwal")
    assert (status, err) == (0, "")
    for each in claims("parwal"):
        assert re.search(rf"^{each.id} +{each.kind}, ", out, re.M)
    told = " ".join(out.split())
    assert "Rule: KL > MSE, for each model (DNN, 1 RNN, 2 RNN, 3 RNN), in GNSDR" in told
    assert "Test: the experiment parwal/table4." in told
    assert f"Test: no experiment. {claim('P19').without}" in told
    assert out.splitlines()[-1] == "What the evidence says: unmix verdicts parwal"
    assert max(map(len, out.splitlines())) <= 100


def test_without_a_paper_all_are_listed(unmix, monkeypatch):
    out = unmix("claims")[1]
    assert f"{len(EVERY)} claims, {len(TESTED)} of them with an experiment" in out
    assert "not here yet" not in out
    monkeypatch.setattr("unmix.papers.experiment.PAPERS", ("parwal",))
    later = next(each for each in TESTED if each.paper != "parwal")
    assert f"{later.paper}/{later.experiment}, which is not here yet" in unmix("claims")[1]


def test_one_claim_is_shown_whole(unmix):
    out = unmix("claims", "P09")[1]
    assert re.search(r"^3 RNN, MSE +7\.22 +10\.53 +11\.04$", out, re.M)
    assert re.search(r"^KL > MSE: DNN, GSIR +−0\.42$", out, re.M)
    assert "0.01 dB counts as no difference\n" in out
    assert "unmix verdicts P09" in out
    assert "half the smallest gap" in unmix("claims", "P01")[1]


def test_claims_as_json(unmix):
    found = json.loads(unmix("claims", "--json")[1])
    assert [each["id"] for each in found] == [each.id for each in EVERY]
    (one,) = json.loads(unmix("claims", "P09", "--json")[1])
    assert one["rule"]["pairs"] == claim("P09").rule["pairs"]
    assert one["in_words"] == in_words(claim("P09"))


def test_the_command_refuses_an_unknown_name(unmix):
    refused(unmix("claims", "P100"), "unknown paper or claim 'P100'")
