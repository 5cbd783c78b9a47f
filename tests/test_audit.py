"""The audit: each check on a table that fits and on one that does not, and what that rests on."""

import re

import pytest

from toypaper import cell, constant, entry, side_lobes, table, writer
from unmix.verdicts import audit as auditing
from unmix.verdicts.audit import audit, together
from unmix.verdicts.checks import CHECKS, sensitivity
from unmix.verdicts.schema import check


@pytest.fixture
def paper(tmp_path, monkeypatch):
    return writer(tmp_path, monkeypatch)


SCORES = "row,metric,value"
GOOD = ("A,SDR,4.38", "A,SIR,10.00", "A,SAR,6.19")  # 10^-1 + 1.1 * 10^-0.619 = 10^-0.438
MIXED = ("row,metric,value", "A,SDR,5.00", "A,NSDR,4.90", "B,SDR,3.12", "B,NSDR,3.02")
MEANS = ("part,metric,value", "x,SDR,1.25", "y,SDR,2.26", "mean,SDR,1.76")
SHARES = ("answer,metric,value", "A,preference,47", "B,preference,27", "Equal,preference,27")
TEXT = "name,place,metric,value,raw,near,note"
NUMBERS = (TEXT, "layers,1,count,5,,,", "each,1,count,600,,,", "all,1,count,3000,,,")
WEIGHTED = entry(
    "weighting", table="t", metrics={"SDR": "GSDR"}, clips=constant(30), longest=constant(20),
    total=constant(589), range={"from": -10, "to": 30, "why": "constructed"},
)  # fmt: skip
PRODUCT = {"product": [cell("layers"), cell("each")]}

CASES = {
    # name: (entry, table that fits, table that does not, what the finding then says)
    "bss_identity": (
        entry("bss_identity", table="t"),
        (SCORES, *GOOD), (SCORES, "A,SDR,4.60", *GOOD[1:]), "above what SIR and SAR make",
    ),
    "bss_bound": (
        entry("bss_bound", table="t"),
        (SCORES, "A,SDR,4.35", *GOOD[1:]), (SCORES, "A,SDR,4.60", *GOOD[1:]),
        "possible if the numbers are medians.*spatial images",
    ),
    "bss_bound of gains": (
        entry("bss_bound", table="t", metrics={"SDR": "NSDR"}, mixture={"at": -1, "why": "so"}),
        (SCORES, "A,NSDR,5.30", *GOOD[1:]), (SCORES, "A,NSDR,5.60", *GOOD[1:]),
        r"mean SDR is -1\.\d\d dB or lower instead of -1 dB",
    ),
    "mixture_sdr": (
        entry("mixture_sdr", table="t", over=["row"]),
        (*MIXED, "C,SDR,2.00", "C,NSDR,1.91"), (*MIXED, "C,SDR,2.00", "C,NSDR,1.80"),
        r"A 0\.10, B 0\.10, C 0\.20\. Apart from the others: C",
    ),
    "mixture_sdr at": (
        entry("mixture_sdr", table="t", at={"value": 0.1, "why": "so"}),
        MIXED, (*MIXED[:-1], "B,NSDR,3.12"), r"0\.10 dB below it",
    ),
    "mean": (
        entry("mean", table="t", over="part", at="mean"),
        MEANS, (*MEANS[:-1], "mean,SDR,1.78"), "Would agree if",
    ),
    "mean, weighted": (
        entry("mean", table="t", over="part", at="mean", parts=["x", "y"],
              weights={"x": constant(3), "y": constant(1)}),
        (*MEANS[:-1], "mean,SDR,1.50"), MEANS, "Would agree if",
    ),
    "total": (
        entry("total", table="t", over="answer", expected=constant(100)),
        (*SHARES[:-1], "Equal,preference,26"), (*SHARES[:-1], "Equal,preference,22"), "were 25",
    ),
    "total, printed": (
        entry("total", table="t", over="part", at="mean"),
        (*MEANS[:-1], "mean,SDR,3.51"), MEANS, "",
    ),
    "arithmetic": (
        entry("arithmetic", equations=[{"left": PRODUCT, "right": cell("all")}]),
        NUMBERS, (*NUMBERS[:-1], "all,1,count,3001,,,"), r"3001 \(text: all, count\) were 3000",
    ),
    "same": (
        entry("same", rows=[[{"table": "t", "row": "A"}, {"table": "one", "row": "A"}]],
              metrics=["SDR"], chosen_on_test=True),
        (SCORES, "A,SDR,2.04"), (SCORES, "A,SDR,2.06"), "Would agree",
    ),
    "best_in_bold": (
        entry("best_in_bold", table="t", over="row"),
        (SCORES + ",bold", "A,SDR,2.0,yes", "B,SDR,1.0,"),
        (SCORES + ",bold", "A,SDR,2.0,yes", "B,SDR,3.0,"), "Marked, but not the best: A",
    ),
    "multiple": (
        entry("multiple", table="t", n=constant(15)),
        (SCORES, "A,MOS,3.47", "B,MOS,2.6", "C,MOS,4"), (SCORES, "A,MOS,3.45", "B,MOS,2.6"),
        r"1 of 2 numbers are no multiples of 1/15: 3\.45",
    ),
    "shares": (
        entry("shares", table="t", over="answer", n=constant(30)),
        SHARES, (SHARES[0], "A,preference,52", SHARES[2], "Equal,preference,21"),
        r"No count of 30 is 52, 21 %\. The nearest counts are A 16, B 8, Equal 6; .*make 100 %",
    ),
    "weighting": (
        WEIGHTED, (SCORES, "A,SDR,5.00", "A,GSDR,5.10"), (SCORES, "A,SDR,5.00", "A,GSDR,5.40"),
        r"lack 11 s in all, would score 21\.4 dB less than the mean",
    ),
    "counts": (
        entry("counts", dataset="mir1k", facts={"songs": cell("all")}),
        (TEXT, "all,1,count,110,,,"), (TEXT, "all,1,count,111,,,"), "list of files",
    ),
    "side_lobes": (side_lobes(), None, None, ""),
}  # fmt: skip


def place_of(case):
    """The table that a case writes: numbers of the text, or `t`."""
    return "text" if "place" in case[1][0] else "t"


def of_entry(name):
    return [each for each in audit(name) if each.id == "toy"]


@pytest.mark.parametrize("name", [name for name in CASES if name != "side_lobes"])
def test_checks_on_tables_that_fit_and_that_do_not(paper, name):
    wanted, good, bad, said = CASES[name]
    where = place_of(CASES[name])
    fits = "possible" if wanted["check"] in ("bss_bound", "weighting") else "agrees"
    found = of_entry(paper({where: table(*good)}, [wanted]))
    assert [each.outcome for each in found] == [fits] * len(found)
    assert found
    assert all(each.rests_on is None for each in found)
    wrong = [
        each
        for each in of_entry(paper({where: table(*bad)}, [wanted]))
        if each.outcome != fits
    ]  # fmt: skip
    assert [each.outcome for each in wrong] == ["disagrees"]
    assert re.search(said, wrong[0].explanation), wrong[0].explanation
    assert wrong[0].cells
    assert wrong[0].rests_on
    check([each.plain() for each in [*found, *wrong]], "findings", "findings")


def test_every_check_has_a_case_and_a_rule():
    assert {case[0]["check"] for case in CASES.values()} | {"sign_test", "paired"} == set(CHECKS)
    for function in CHECKS.values():
        assert auditing.first_line(function).endswith((".", "?"))


def test_side_lobes_both_ways(paper):
    fits = CASES["side_lobes"][0]
    [found] = of_entry(paper({}, [fits]))
    assert (found.outcome, found.rests_on) == ("agrees", None)
    [found] = of_entry(paper({}, [{**fits, "is": "higher"}]))
    assert (found.outcome, found.rests_on) == ("disagrees", "no digit"), "it has no printed number"


def test_sign_test_says_when_it_cannot_tell(paper):
    wanted = entry("sign_test", table="t", over="answer", ties="Equal", n=constant(30))
    lines = ("A,preference,{}", "B,preference,{}", "Equal,preference,{}")

    def outcome(*shares):
        text = table(SHARES[0], *(line.format(x) for line, x in zip(lines, shares, strict=True)))
        [found] = of_entry(paper({"t": text}, [wanted]))
        return found

    clear, even, odd = outcome(73, 20, 7), outcome(43, 27, 30), outcome(80, 80, 7)
    assert clear.outcome == "agrees"
    assert clear.computed == pytest.approx(0.0037, abs=1e-4)
    assert even.outcome == "possible"
    assert odd.outcome == "cannot be told"
    assert "No counts of 30 answers" in odd.explanation


def test_a_swap_of_digits_is_found(paper):
    lines = ("part,metric,value", "x,SDR,12.47", "y,SDR,10.00", "mean,SDR,11.37")
    wanted = entry("mean", table="t", over="part", at="mean", explanation="A slip of the pen.")
    [found] = of_entry(paper({"t": table(*lines)}, [wanted]))
    assert (found.computed, found.expected) == (pytest.approx(11.235), 11.37)
    assert found.tolerance == pytest.approx(0.01)
    assert found.rests_on == "one digit"
    assert "12.47 (t: x, SDR) were 12.74" in found.explanation
    assert found.explanation.endswith("A slip of the pen.")


def test_what_a_disagreement_rests_on(paper):
    wanted = entry("mixture_sdr", table="t", over=["row"])
    lines = [*MIXED, "C,SDR,2.00", "C,NSDR,1.76"]
    [found] = of_entry(paper({"t": table(*lines, "D,SDR,2.00", "D,NSDR,1.90")}, [wanted]))
    assert found.rests_on == "several digits"
    [found] = of_entry(paper({"t": table(*lines, "D,SDR,2.00", "D,NSDR,1.55")}, [wanted]))
    assert found.rests_on == "redundant numbers"


@pytest.mark.parametrize("name", [name for name in CASES if name != "side_lobes"])
def test_one_digit_is_found_where_trying_all_finds_one(paper, name):
    wanted, _, bad, _ = CASES[name]
    toy = paper({place_of(CASES[name]): table(*bad)}, [wanted])
    for group in CHECKS[wanted["check"]](toy, wanted):
        given = [term.number() for term in group.terms]
        if group.judge(given).outcome != "disagrees":
            continue
        tried = [
            group.judge([*given[:n], term.number(text), *given[n + 1 :]]).outcome
            for n, term in enumerate(group.terms)
            for text in sensitivity.edits(term.cell.text)
            if not (term.exact and text.startswith("-"))
        ]
        one = any(outcome != "disagrees" for outcome in tried)
        assert (sensitivity.rests_on(group)[0] == "one digit") == one


def test_groups_taken_together(paper):
    means = (*MEANS[:-1], "mean,SDR,1.90", "x,SIR,1.0", "y,SIR,2.0", "mean,SIR,1.9")
    fits = ("x,SAR,1.0", "y,SAR,2.0", "mean,SAR,1.5")
    wanted = entry("mean", table="t", over="part", at="mean", together=True)
    [found] = of_entry(paper({"t": table(*means, *fits)}, [wanted]))
    assert found.where == "all 3"
    assert found.computed == "1 agrees, 2 disagree (of 3)"
    assert found.rests_on == "redundant numbers", "each alone would rest on one digit"
    assert re.search(r"Disagree: t: SDR \(1\.755, expected 1\.9\); t: SIR", found.explanation)
    apart = of_entry(paper({"t": table(*means, *fits)}, [{**wanted, "together": False}]))
    assert [each.outcome for each in apart] == ["disagrees", "disagrees", "agrees"]
    assert together(apart) == "disagrees"
    assert together(apart[2:]) == "agrees"


def test_tolerance_beyond_rounding(paper):
    wanted = entry("mean", table="t", over="part", at="mean", within={"by": 0.2, "why": "about"})
    [found] = of_entry(paper({"t": table(*MEANS[:-1], "mean,SDR,1.90")}, [wanted]))
    assert found.outcome == "agrees"
    assert found.tolerance == pytest.approx(0.21)
    assert "Allowed beyond rounding: 0.2 (about)." in found.explanation


def test_missing_parts_cannot_be_told(paper):
    wanted = entry("mean", table="t", over="part", at="mean", parts=["x", "y"])
    lines = ("x,SIR,1.0", "mean,SIR,1.0")
    [_, found] = of_entry(paper({"t": table(*MEANS, *lines)}, [wanted]))
    assert found.outcome == "cannot be told"
    assert "Not all parts along part are printed" in found.explanation
    check([found.plain()], "findings", "findings")


def test_equations_expand_over_lists_and_select(paper):
    scores = {"A": (4, 3.5), "B": (3, 3.6), "C": (2, 1)}
    lines = [f"{row},{n + 1},MOS,{scores[row][n]}" for row in scores for n in range(2)]
    each = {"table": "t", "who": [1, 2], "metric": "MOS"}
    equation = {"left": {**each, "row": "A"}, "is": "greater"}
    most = {**equation, "right": {"max": {**each, "but": {"row": ["A"]}}}}
    second = {**equation, "right": {"max": {**each, "where": {"row": ["C"]}}}}
    name = paper(
        {"t": table("row,who,metric,value", *lines)},
        [entry("arithmetic", equations=[most, second])],
    )
    outcomes = {(n, each.where): each.outcome for n, each in enumerate(of_entry(name))}
    assert list(outcomes.values()) == ["agrees", "disagrees", "agrees", "agrees"]
    assert [where for _, where in outcomes] == ["1", "2", "1", "2"]
