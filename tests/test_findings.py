"""Findings: sentences against tables, what is wrong in audit.yaml, the papers, the command."""

import json
import re
import subprocess
import sys

import pytest

from toypaper import CLAIM, constant, entry, side_lobes, table, writer
from unmix.errors import SpecError
from unmix.papers.published import PUBLISHED
from unmix.verdicts.audit import audit, entries
from unmix.verdicts.claims import claims
from unmix.verdicts.schema import check, read_yaml


@pytest.fixture
def paper(tmp_path, monkeypatch):
    return writer(tmp_path, monkeypatch)


def claim(rule, **more):
    return {**CLAIM, "rule": {"table": "t", "metrics": ["SDR"], **rule}, **more}


A, B, C, D = ({"row": row} for row in "ABCD")
ROWS = table("row,metric,value", "A,SDR,3.0", "B,SDR,2.0", "C,SDR,2.0", "D,SDR,4.5")


@pytest.mark.parametrize(
    ("rule", "outcome", "said"),
    [
        ({"test": "greater", "pairs": [[A, B]]}, "agrees", ""),
        ({"test": "greater", "pairs": [[C, B]]}, "disagrees", r"C > B: SDR \(2 and 2\)"),
        ({"test": "best", "row": D, "among": [A, B, C]}, "agrees", ""),
        ({"test": "best", "row": B, "among": [A, D], "lowest": True}, "agrees", ""),
        ({"test": "best", "row": A, "among": [B, C, D]}, "disagrees", r"A > D: SDR \(3 and 4.5\)"),
        ({"test": "best", "row": A, "among": [B, C, D], "hold": "most"}, "agrees", ""),
        ({"test": "order", "rows": [D, A, B]}, "agrees", ""),
        ({"test": "order", "rows": [A, D, B]}, "disagrees", "A > D"),
        ({"test": "trend", "rows": [B, A, D], "direction": "rising"}, "agrees", ""),
        ({"test": "trend", "rows": [B, C, D], "direction": "rising"}, "disagrees", "2, 2, 4.5"),
        ({"test": "trend", "rows": [D, A, B], "direction": "falling"}, "agrees", ""),
        ({"test": "peak", "rows": [B, D, C], "at": D}, "agrees", ""),
        ({"test": "peak", "rows": [A, D, C], "at": A}, "disagrees", "3, 4.5, 2"),
        ({"test": "above", "rows": [A, B], "threshold": 1.9}, "agrees", ""),
        ({"test": "above", "rows": [A, B], "threshold": 2.0}, "disagrees", "B: SDR above 2"),
        ({"test": "below", "rows": [A, B], "threshold": 4.0}, "agrees", ""),
        ({"test": "below", "rows": [A, D], "threshold": 4.0}, "disagrees", "D: SDR below 4"),
        ({"test": "difference", "pairs": [[D, A]], "by": 1.5}, "agrees", ""),
        ({"test": "difference", "pairs": [[D, A]], "by": 2}, "agrees", ""),
        ({"test": "difference", "pairs": [[D, A]], "by": 1.7}, "disagrees", "is 1.50, stated 1.7"),
        ({"test": "difference", "pairs": [[B, C]], "by": 0, "at_least": True}, "agrees", ""),
        ({"test": "difference", "pairs": [[D, A], [A, B]], "by": 1.3, "pool": True}, "agrees", ""),
        (
            {"test": "difference", "pairs": [[B, A]], "by": 0, "at_least": True},
            "disagrees",
            "is -1.00, stated at least 0",
        ),
        ({"test": "equal", "pairs": [[B, C]]}, "agrees", ""),
        ({"test": "equal", "pairs": [[A, B]]}, "disagrees", "A = B"),
        ({"test": "greater", "pairs": [[A, {"row": "E"}]]}, "cannot be told", "no numbers for 1"),
    ],
)
def test_sentences_against_the_table(paper, rule, outcome, said):
    found = audit(paper({"t": ROWS}, [side_lobes()], [claim(rule)]))
    [found] = [each for each in found if each.id == "T01"]
    assert found.check == "statement"
    assert found.outcome == outcome
    assert re.search(said, found.explanation), found.explanation
    check([found.plain()], "findings", "findings")


@pytest.mark.parametrize(
    "unsaid",
    [
        claim({"test": "greater", "pairs": [[A, B]]}, stated=False),
        claim({"test": "value", "rows": [A]}),
        claim({"test": "difference", "pairs": [[A, B]]}),
    ],
)
def test_what_repeats_the_table_or_is_not_stated_is_no_finding(paper, unsaid):
    found = audit(paper({"t": ROWS}, [side_lobes()], [unsaid]))
    assert [each.id for each in found] == ["toy"]


def test_no_difference_means_the_claims_margin(paper):
    rule = {"test": "equal", "pairs": [[A, B]]}
    name = paper({"t": ROWS}, [side_lobes()], [claim(rule, margin=1.0)])
    assert audit(name)[-1].outcome == "agrees"


def arithmetic(left, right):
    return entry("arithmetic", equations=[{"left": left, "right": right}])


WEIGHTING = entry(
    "weighting", table="one", metrics={"SDR": "SDR"}, clips=constant(30), longest=constant(20),
    total=constant(600), range={"from": -10, "to": 30, "why": "constructed"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (entry("sums", table="one"), r"at toy/check: must be one of \['bss_identity'"),
        (entry("mean", table="one", over="row"), r"at toy: must contain \['at'\]"),
        (entry("mean", table="one", over="row", at="A", n=3), "at toy: must be named by"),
        (entry("total", table="one", over="row"), "at toy: must be valid exactly by one"),
        (arithmetic({"constant": 3}, constant(3)), r"toy/equations/0/left: must contain .*'why'"),
        (arithmetic({"log": [constant(3)]}, constant(3)), r"left: must not contain \{'log'\}"),
        (entry("same", rows=[[{"table": "one", "row": "A"}]], metrics=["SDR"]), "at least 2 items"),
        ({**entry("bss_identity", table="one"), "id": "Toy 1"}, "at Toy 1/id: must match pattern"),
        (entry("bss_identity", table="two"), r"at toy: unknown table of toy\d+: 'two'.*one"),
        (
            entry("mixture_sdr", table="three", over=["row"]),
            "at toy: no row has all of SDR, NSDR.*mend its `table`",
        ),
        (
            entry("bss_bound", table="one", metrics={"SDR": "GNSDR"}),
            "a bound of GNSDR without the SDR of the mixture",
        ),
        (
            entry("mean", table="one", over="row", at="all"),
            "'all' stands nowhere along row.*mend `at`",
        ),
        (
            entry("mean", table="one", over="row", at="A", weights={"C": constant(1)}),
            "no weight of B.*mend `weights`",
        ),
        (entry("best_in_bold", table="one", over="row"), "nothing there is printed in bold"),
        (
            arithmetic({"table": "one", "metric": "SDR"}, constant(3)),
            "2 numbers of .* are SDR of.*name as many key columns",
        ),
        (
            arithmetic(
                {"table": "one", "row": ["A", "B"], "metric": "SDR"},
                {"table": "one", "row": ["A"], "metric": "SDR"},
            ),
            "rows of one equation list different values of 'row'",
        ),
        (
            arithmetic({"sum": {"table": "one", "but": {"row": ["A", "B"]}}}, constant(3)),
            "no number is selected.*mend the selection",
        ),
        (entry("side_lobes", window="bartlet", **{"is": "lower"}, against=["hann"]), "'bartlet'"),
        (WEIGHTING, "do not last longer than the 600 s"),
    ],
)
def test_what_is_wrong_in_audit_yaml_is_said(paper, wrong, said):
    with pytest.raises(SpecError, match=rf"audit\.yaml: .*{said}"):
        audit(paper({"three": table("row,metric,value", "A,SDR,1.0", "B,NSDR,1.0")}, [wrong]))


def test_yaml_makes_plain_data_only(tmp_path):
    for text in (
        "checks: !!python/object/apply:os.getcwd []",
        "checks: [",
        "checks: !!python/name:len",
    ):
        (tmp_path / "audit.yaml").write_text(text)
        with pytest.raises(SpecError, match=r"(?s)audit\.yaml is no YAML: .*mend the line"):
            read_yaml(tmp_path / "audit.yaml", "audit")


def test_two_entries_of_one_name(paper):
    with pytest.raises(SpecError, match=r"audit\.yaml: more than one check is named toy"):
        audit(paper({}, [side_lobes()] * 2))


def test_unknown_paper():
    with pytest.raises(SpecError, match=r"unknown paper 'parval' .did you mean 'parwal'"):
        audit("parval")


@pytest.mark.parametrize("name", PUBLISHED)
def test_papers_as_they_are(name, monkeypatch):
    monkeypatch.setenv("UNMIX_DATA", "nowhere")
    found = audit(name)
    check([each.plain() for each in found], "findings", name)
    named = {each for claim in claims(name) if claim.rule["test"] == "audit"
             for each in claim.rule["checks"]}  # fmt: skip
    assert named <= {entry["id"] for entry in entries(name)}, "claims.yaml names no other checks"
    for each in found:
        assert (each.rests_on is None) == (each.outcome != "disagrees")
        if each.outcome in ("disagrees", "cannot be told"):
            assert each.explanation


def test_a_paper_without_audit_yaml_has_its_sentences_left(paper, tmp_path):
    name = paper({}, [side_lobes()])
    (tmp_path / name / "audit.yaml").unlink()
    assert [each.id for each in audit(name)] == ["T01"]


def test_level_of_parwals_mixtures():
    [found] = [each for each in audit("parwal") if each.id == "mixing-level"]
    above = [float(each) for each in re.findall(r"([\d.]+) dB above the bound", found.explanation)]
    assert (found.outcome, found.rests_on) == ("disagrees", "redundant numbers")
    assert sorted(above)[-4:] == [0.39, 0.44, 0.79, 0.84]
    assert len(above) == 4 + 7
    assert max(sorted(above)[:-4]) == 0.12


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("shared-rows", ["agrees"] * 6),
        ("split-units", ["agrees", "disagrees"]),
        ("dataset-files", ["cannot be told"] * 2),
    ],
)
def test_findings_of_parwal(name, outcomes, monkeypatch):
    monkeypatch.setenv("UNMIX_DATA", "nowhere")
    found = [each for each in audit("parwal") if each.id == name]
    assert [each.outcome for each in found] == outcomes
    if name == "split-units":
        assert (found[1].computed, found[1].expected) == (19, 110)
        assert found[1].rests_on == "redundant numbers"
    if name == "dataset-files":
        assert "UNMIX_DATA may name the folder" in found[0].explanation


def test_counts_of_real_files(real_data, monkeypatch):
    monkeypatch.setenv("UNMIX_DATA", str(real_data))
    found = [each for each in audit("parwal") if each.id == "dataset-files"]
    assert [(each.outcome, each.computed) for each in found] == [("agrees", 1000), ("agrees", 110)]


def run(*words):
    command = [sys.executable, "-c", "from unmix.cli import main; main()", "audit", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def test_command_prints_findings():
    status, out, _ = run("parwal")
    assert status == 0
    assert re.match(r"parwal: \d+ findings: \d+ agree, \d+ disagree, \d+ possible", out)
    assert re.search(r"disagrees +split-units +singers\n +Training, .*\n.*\n +computed 19", out)
    assert re.search(r"agrees +shared-rows +6 groups\n", out)
    long = run("parwal", "--verbose")[1]
    assert len(re.findall(r"agrees +shared-rows +table", long)) == 6


def test_command_prints_json():
    status, out, _ = run("--json")
    assert status == 0
    found = json.loads(out)
    check(found, "findings", "findings")
    assert {each["paper"] for each in found} == set(PUBLISHED)


def test_command_with_an_unknown_paper():
    status, _, err = run("parval")
    assert status == 1
    assert err.startswith("error: unknown paper 'parval'")


def test_an_audit_needs_no_torch():
    code = (
        "import sys; from unmix.verdicts.audit import audits; audits(); "
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
