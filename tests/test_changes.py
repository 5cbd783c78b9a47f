"""Verdicts as they are written down and printed, and what has changed since."""

import json
import re

import pytest

from aids import refused
from unmix import book
from unmix.papers.experiment import PROFILES, Setting, experiment
from unmix.report import bearing, changes
from unmix.runs.store import Store
from unmix.verdicts.claims import claims
from unmix.verdicts.schema import check, schema

# What is written down.


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Verdicts on parwal's claims from the evidence of this repository."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("UNMIX_DATA", "UNMIX_RESULTS"):
            patch.delenv(name, raising=False)
        return bearing.bearing("parwal", Store(tmp_path_factory.mktemp("none")))


def test_the_evidence_of_this_repository_bears_on_all_claims_that_have_an_experiment(judged):
    assert [each.id for each in judged] == [each.id for each in claims("parwal")]
    for each, claim in zip(judged, claims("parwal"), strict=True):
        assessed = bool(claim.experiment)
        assert (each.outcome != "not assessed") == assessed, each.why
        assert len(each.comparisons) == (len(claim.comparisons) if assessed else 0)
        assert bool(each.runs) == assessed
        assert each.fidelity == ("full" if assessed else "")
        open_ = each.outcome in ("compatible", "inconclusive")
        assert bool(each.needs) == open_, "what would settle it"


def test_the_commands_repeat_as_many_seeds_as_there_are(judged):
    """Experiments of `full` differ in their own number, and only another one is named."""
    full = Setting(PROFILES["full"], True)
    told = set()
    for each in judged:
        for words in each.commands:
            name = words.split()[2].partition("/")[2]
            named = "--seeds" in words.split()
            count = words.partition("--seeds ")[2].split()[0] if named else ""
            own = experiment("parwal", name, full).seeds
            told.add(named)
            assert not named or int(count) != own
            if len(each.commands) == 1:  # no other table has runs of more seeds
                assert (int(count) if named else own) >= each.n_seeds
    assert told == {True, False}


def test_the_schema_knows_all_that_is_written_and_nothing_else(judged):
    found = next(each for each in judged if each.comparisons).plain()
    declared = schema("verdicts")["$defs"]
    assert set(found) == set(declared["verdict"]["properties"])
    assert set(found["comparisons"][0]) == set(declared["comparison"]["properties"])


def test_numbers_that_there_are_not_are_null(judged):
    text = bearing.as_json(judged)
    assert "NaN" not in text
    assert "Infinity" not in text
    found = next(each for each in json.loads(text) if each["outcome"] == "not assessed")
    assert (found["estimate"], found["interval"], found["p"]) == (None, [None, None], None)


def test_records_stand_beside_the_pages(tmp_path, store, monkeypatch):
    monkeypatch.setattr(book, "_audits", lambda: "[]\n")  # takes seconds, and test_book has it
    book._write_records(tmp_path, {"profile": "tiny", "store": str(store.root), "seeds": 0})
    written = json.loads((tmp_path / "verdicts.json").read_text())
    assert {each["outcome"] for each in written} >= {"not assessed", "stand-in: inconclusive"}
    for name, form in (("verdicts", "verdicts"), ("audit", "findings")):
        assert json.loads((tmp_path / f"{name}.schema.json").read_text()) == schema(form)
    assert (tmp_path / "audit.json").read_text() == "[]\n"


# The command, on a store with a run on the stand-in for each row of Table II.


@pytest.fixture
def ask(unmix, store):
    """Call `unmix verdicts` on that store."""
    options = ("--profile", "tiny", "--store", store.root)
    return lambda *words: unmix("verdicts", *words, *options)


def test_a_line_a_claim_and_a_summary(ask):
    status, out, err = ask("parwal")
    assert (status, err) == (0, "")
    for each in claims("parwal"):
        assert re.search(rf"^{each.id} +[✓✗≈=?–] ", out, re.M)
    assert re.search(
        r"^P04a +\? stand-in: inconclusive +\+1\.\d\d \[.*\] dB +2 × 1  Aug", out, re.M
    )
    assert re.search(r"^P01 +– not assessed .*not run yet: ", out, re.M)
    assert re.search(r"^31 claims: 2 stand-in: inconclusive, 29 not assessed$", out, re.M)
    assert "\x1b" not in out


def test_all_papers_have_their_counts(ask):
    out = ask()[1]
    assert re.search(r"^All papers: \d+ claims: ", out, re.M)
    assert len(re.findall(r"^\d+ claims: ", out, re.M)) == 5


def test_one_verdict_is_told_whole(ask, store):
    out = ask("P04a")[1]
    told = " ".join(out.split())
    assert out.startswith("P04a (parwal)  ? stand-in: inconclusive\n")
    assert "Found Augmented > Not augmented: " in told
    assert "2 songs, 1 seed; a stand-in, not the paper's dataset" in told
    assert f"Again unmix run parwal/table2 --profile tiny --store {store.root}" in told
    assert f"`unmix run parwal/table2 --profile full --store {store.root}` makes" in told
    assert re.search(r"^Augmented > Not augmented: GNSDR +\+0\.58 +\+1\.\d\d ", out, re.M)
    told = " ".join(ask("P01")[1].split())
    assert "Why not run yet: input size 1 (table1); input size 3 (table1)" in told
    assert f"`unmix run parwal/table1 --profile full --store {store.root}` makes" in told


def test_options_of_the_call_stand_in_the_commands(unmix, store, tmp_path):
    (tmp_path / "data").mkdir()
    options = ("--store", store.root, "--data-root", tmp_path / "data", "--seeds", "2")
    (found,) = json.loads(unmix("verdicts", "P01", "--json", *options)[1])
    assert found["commands"] == [
        f"unmix run parwal/table1 --profile full --seeds 2 --store {store.root} "
        f"--data-root {tmp_path / 'data'}"
    ]


def test_verdicts_as_json(ask):
    found = json.loads(ask("--json")[1])
    check(found, "verdicts", "what was printed")
    assert [each["id"] for each in found if each["paper"] == "parwal"] == [
        each.id for each in claims("parwal")
    ]
    (one,) = json.loads(ask("P04a", "--json")[1])
    assert one == next(each for each in found if each["id"] == "P04a")


# What has changed since.


def plain(name, outcome, direction="", paper="parwal"):
    return {"id": name, "paper": paper, "outcome": outcome, "direction": direction}


def test_changes_are_other_outcomes_or_directions_and_claims_that_come_and_go():
    before = [
        plain("P01", "inconclusive"),
        plain("P02", "reproduced", "as claimed"),
        plain("P03", "not reproduced", "exceeds"),
        plain("P04", "compatible"),
    ]
    now = [
        plain("P01", "stand-in: inconclusive"),
        plain("P02", "reproduced", "as claimed"),
        plain("P03", "not reproduced", "contradicted"),
        plain("P05", "not assessed"),
    ]
    assert [each.plain() for each in changes.changes(before, now)] == [
        {"id": "P01", "paper": "parwal", "before": "inconclusive", "now": "stand-in: inconclusive"},
        {
            "id": "P03",
            "paper": "parwal",
            "before": "not reproduced: exceeds",
            "now": "not reproduced: contradicted",
        },
        {"id": "P05", "paper": "parwal", "before": "", "now": "not assessed"},
        {"id": "P04", "paper": "parwal", "before": "compatible", "now": ""},
    ]
    assert changes.changes(now, now) == []


@pytest.fixture
def earlier(ask, tmp_path):
    """A file of verdicts as they are."""
    path = tmp_path / "earlier.json"
    path.write_text(ask("--json")[1])
    return path


def test_nothing_has_changed(ask, earlier):
    status, out, err = ask("--since", earlier)
    assert (status, err) == (0, "")
    assert re.fullmatch(r"\d+ claims: no outcome has changed\n", out)


def test_papers_that_a_file_does_not_hold_are_one_line(ask, earlier):
    earlier.write_text(ask("parwal", "--json")[1])
    status, out, err = ask("--since", earlier)
    assert (status, err) == (0, "")
    first, second = out.splitlines()
    assert first.endswith("no outcome has changed")
    assert re.fullmatch(rf"\d+ claims of other papers: not in {re.escape(str(earlier))}", second)


def test_a_claim_is_found_in_either_case(ask):
    assert ask("p04A")[1] == ask("P04a")[1]


def test_what_has_changed_is_said(ask, earlier):
    found = json.loads(earlier.read_text())
    by_name = {each["id"]: each for each in found}
    by_name["P04a"] |= {"outcome": "reproduced", "direction": "as claimed"}
    found.append({**by_name["P18"], "id": "X01", "paper": "gone"})
    earlier.write_text(json.dumps([each for each in found if each["id"] != "L01"]))
    status, out, err = ask("--since", earlier)
    assert (status, err) == (0, "")
    assert out.splitlines()[:-1] == [
        "L01 (lai): new, not assessed",
        "P04a (parwal): reproduced -> stand-in: inconclusive",
        "X01 (gone): no longer a claim, was not assessed",
    ]
    assert out.splitlines()[-1].endswith("3 changed")
    assert ask("parwal", "--since", earlier)[1].splitlines()[-1] == "31 claims: 1 changed"
    assert json.loads(ask("P04a", "--since", earlier, "--json")[1]) == [
        {
            "id": "P04a",
            "paper": "parwal",
            "before": "reproduced",
            "now": "stand-in: inconclusive",
        }
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"No such file.*`unmix verdicts --json` has written"),
        ("[", r"is no JSON: .*`unmix verdicts --json` has written"),
        ("{}", "at the top: must be array.*`unmix verdicts --json` has written"),
        ('[{"id": "P01"}]', "at P01: must contain"),
    ],
)
def test_a_file_that_holds_no_verdicts_is_refused(ask, tmp_path, text, said):
    path = tmp_path / "earlier.json"
    if text is not None:
        path.write_text(text)
    refused(ask("--since", path), said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("parval",), "did you mean 'parwal'"),
        (("parwal", "--profile", "big"), "unknown profile 'big'"),
        (("parwal", "--data-root", "/no/such/folder"), "/no/such/folder"),
    ],
)
def test_bad_input_is_one_message(unmix, results, words, said):
    refused(unmix("verdicts", *words), said)
