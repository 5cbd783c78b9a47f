"""The audit's fairness: stricter readings, slips, what is unprinted, and what is only possible."""

import math
import re

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from toypaper import CLAIM, cell, constant, entry, side_lobes, table, writer
from unmix.errors import SpecError
from unmix.verdicts import rules
from unmix.verdicts.audit import audit
from unmix.verdicts.checks import bsseval, listening
from unmix.verdicts.checks.numbers import rounded
from unmix.verdicts.checks.paired import compared
from unmix.verdicts.claims import claims
from unmix.verdicts.schema import check

SCORES = "row,metric,value"
TEXT = "name,place,metric,value,raw,near,note"
MEANS = ("part,metric,value", "x,SDR,1.25", "y,SDR,2.26", "mean,SDR,1.90")
MEAN = entry("mean", table="t", over="part", at="mean")


@pytest.fixture
def paper(tmp_path, monkeypatch):
    return writer(tmp_path, monkeypatch)


def of_entry(name, wanted="toy"):
    found = [each for each in audit(name) if each.id == wanted]
    check([each.plain() for each in found], "findings", "findings")
    return found


def compare(left, right, **more):
    """An entry with one inequality between numbers of the text."""
    is_ = more.pop("is", "at most")
    equation = {"left": cell(left, "dB"), "is": is_, "right": cell(right, "dB")}
    return entry("arithmetic", equations=[equation], **more)


def text(**values):
    return table(TEXT, *(f"{name},1,dB,{value},,," for name, value in values.items()))


def test_a_stricter_reading_is_counted_apart(paper):
    toy = paper({"t": table(*MEANS)}, [{**MEAN, "reading": True}])
    [found] = of_entry(toy)
    assert (found.outcome, found.said) == ("disagrees", "a stricter reading")
    assert found.explanation.startswith("This reading asks for more than the paper need mean.")
    [fits] = of_entry(
        paper({"t": table(*MEANS[:-1], "mean,SDR,1.76")}, [{**MEAN, "reading": True}])
    )
    assert (fits.said, fits.explanation) == ("agrees", "")


def test_a_claim_at_its_widest_is_a_stricter_reading(paper):
    rule = {**CLAIM["rule"], "pairs": [[{"row": "B"}, {"row": "A"}]]}
    wide = {**CLAIM, "rule": rule, "reading": "wide"}
    name = paper({}, [side_lobes()], [wide])
    assert claims(name)[0].reading == "wide"
    assert of_entry(name, "T01")[0].said == "a stricter reading"
    plain = paper({}, [side_lobes()], [{**CLAIM, "rule": rule}])
    assert of_entry(plain, "T01")[0].said == "disagrees"


def test_no_median_has_an_sdr_above_its_sir(paper):
    def said(sdr):
        lines = (SCORES, f"A,SDR,{sdr}", "A,SIR,6.00", "A,SAR,8.00")
        return of_entry(paper({"t": table(*lines)}, [entry("bss_bound", table="t")]))[0].explanation

    assert "possible if the numbers are medians" in said("5.00")
    assert "median" not in said("6.50")
    assert "spatial images" in said("6.50")


def test_what_is_well_below_the_bound_needs_no_explanation(paper):
    wanted = entry("bss_bound", table="t", explanation="Left out clips would explain it.")
    lines = (SCORES, "A,SDR,1.00", "A,SIR,6.00", "A,SAR,8.00")
    [found] = of_entry(paper({"t": table(*lines)}, [wanted]))
    assert found.outcome == "possible"
    below = bsseval.sdr_of(6.0, 8.0) - 1.0
    assert found.explanation == f"It stays {below:.2f} dB below the bound."


def test_a_slip_must_not_break_what_agrees_elsewhere(paper):
    identity = entry("bss_identity", table="t", where={"row": "A"})
    lines = ["A,SDR,4.38", "A,SIR,11.00", "A,SAR,6.19"]  # 10.00 would fit, or 4.59
    other = {**entry("mean", table="t", over="row", at="mean", metric=["SDR", "SIR", "SAR"]),
             "id": "averages"}  # fmt: skip
    fixed = ["mean,SDR,4.38", "mean,SIR,11.00", "mean,SAR,6.19"]
    [alone] = of_entry(paper({"t": table(SCORES, *lines)}, [identity]))
    assert alone.rests_on == "one digit"
    assert "11.00 (t: A, SIR) were 10.00" in alone.explanation
    [held] = of_entry(paper({"t": table(SCORES, *lines, *fixed)}, [identity, other]))
    assert held.rests_on == "redundant numbers"
    assert re.search(r"were [\d.]+, but then averages \(t: S..\) would not\.", held.explanation)


def test_what_is_given_is_no_slip(paper):
    numbers = table(TEXT, "beta,1,weight,1,,,", "limit,1,weight,0.5,,,")

    def found(**more):
        equation = {"left": cell("beta", "weight", **more), "is": "at most",
                    "right": cell("limit", "weight", exact=True)}  # fmt: skip
        [one] = of_entry(paper({"text": numbers}, [entry("arithmetic", equations=[equation])]))
        return one

    assert found().rests_on == "one digit"
    assert "beta, weight) were 0" in found().explanation
    assert found(exact=True).rests_on == "no digit"
    assert "were" not in found(exact=True).explanation


def test_a_change_that_leaves_a_formula_undefined_helps_nothing(paper):
    ratio = {"ratio": [constant(3), cell("stride", "bands")]}
    wanted = entry("arithmetic", equations=[{"left": ratio, "right": constant(100)}])
    [found] = of_entry(paper({"text": table(TEXT, "stride,1,bands,1,,,")}, [wanted]))
    assert found.outcome == "disagrees"
    assert "were 0" not in found.explanation


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("A,SDR,5.0,yes", "B,SDR,3.0,yes", "C,SDR,1.0,"), "Would agree if B were not marked."),
        (
            ("A,SDR,11.55,", "B,SDR,3.12,yes", "C,SDR,4.41,"),
            "if B were not marked, and A were marked instead",
        ),
        (("A,SDR,5.0,", "B,SDR,3.0,", "C,SDR,1.0,"), "None is marked. Would agree if A were"),
    ],
)
def test_the_mark_itself_may_be_the_slip(paper, lines, said):
    other = ("D,SIR,1.0,yes", "E,SIR,0.5,")
    wanted = entry("best_in_bold", table="t", over="row")
    found = of_entry(paper({"t": table(SCORES + ",bold", *lines, *other)}, [wanted]))
    assert [each.outcome for each in found] == ["disagrees", "agrees"]
    assert said in found[0].explanation
    assert found[0].rests_on in ("one mark", "one digit")


def test_a_whole_entry_leaves_rows_out(paper):
    lines = ("A,SDR,5.0,yes", "B,SDR,3.0,", "average,SDR,9.0,")
    wanted = entry("best_in_bold", table="t", over="row", but={"row": "average"})
    [found] = of_entry(paper({"t": table(SCORES + ",bold", *lines)}, [wanted]))
    assert found.outcome == "agrees"


def test_inequalities_are_said_in_words(paper):
    wanted = [compare("a", "b", **{"is": relation}) for relation in ("less", "greater")]
    for each, words in zip(wanted, ("less than 3.2", "greater than 3.2"), strict=True):
        [found] = of_entry(paper({"text": text(a=3.2, b=3.2)}, [each]))
        assert (found.expected, found.outcome) == (words, "disagrees")


@pytest.mark.parametrize(
    ("a", "rounding", "outcome"),
    [
        ("3.21", False, "disagrees"),
        ("3.21", True, "agrees"),  # 3.205 and 3.205
        ("3.22", True, "disagrees"),
    ],
)
def test_inequalities_with_rounding(paper, a, rounding, outcome):
    [found] = of_entry(paper({"text": text(a=a, b="3.20")}, [compare("a", "b", rounding=rounding)]))
    assert found.outcome == outcome
    assert found.tolerance == (pytest.approx(0.01) if rounding else None)


def test_an_inequality_whose_failure_is_possible(paper):
    [found] = of_entry(
        paper(
            {"text": text(a=8, b=3)},
            [compare("a", "b", explanation="So it is.", **{"else": "possible"})],
        )
    )
    assert (found.outcome, found.rests_on, found.explanation) == ("possible", None, "So it is.")


def test_a_number_that_is_only_reported(paper):
    both = {"floor": [{"ratio": [cell("a", "dB"), cell("b", "dB")]}]}
    [found] = of_entry(
        paper({"text": text(a=7, b=2)}, [entry("arithmetic", equations=[{"left": both}])])
    )
    assert (found.outcome, found.computed, found.expected) == (
        "possible", 3.0, "nothing: reported only",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("hold", "outcome"), [("all", "disagrees"), ("most", "agrees"), ({"at_least": 3}, "disagrees")]
)
def test_how_many_of_a_group_must_hold(paper, hold, outcome):
    scores = {"table": "t", "row": ["A", "B", "C"], "metric": "SDR"}
    equation = {"left": scores, "is": "greater", "right": constant(0)}
    wanted = entry("arithmetic", equations=[equation], together=True, hold=hold)
    lines = (SCORES, "A,SDR,1.0", "B,SDR,2.0", "C,SDR,-1.0")
    [found] = of_entry(paper({"t": table(*lines)}, [wanted]))
    assert (found.outcome, found.computed) == (outcome, "2 agree, 1 disagrees (of 3)")
    assert "C (-1, expected greater than 0)" in found.explanation


def test_hold_asks_for_together(paper):
    wanted = compare("a", "b", hold="most")
    with pytest.raises(SpecError, match=r"at toy: .*together"):
        audit(paper({"text": text(a=1, b=2)}, [wanted]))


def test_groups_taken_together_keep_the_words_of_those_that_agree(paper):
    rows = [[{"table": "t", "row": name}, {"table": "one", "row": name}] for name in "AB"]
    wanted = entry("same", rows=rows, metrics=["SDR"], chosen_on_test=True, together=True)
    [found] = of_entry(paper({"t": table(SCORES, "A,SDR,2.0", "B,SDR,1.0")}, [wanted]))
    assert found.outcome == "agrees"
    assert found.explanation.count("was chosen on the clips it is tested on") == 1


def test_a_note_is_said_whatever_the_outcome(paper):
    for value in ("1.76", "1.90"):
        wanted = {**MEAN, "note": "Weights are equal.", "explanation": "A slip."}
        [found] = of_entry(paper({"t": table(*MEANS[:-1], f"mean,SDR,{value}")}, [wanted]))
        assert found.explanation.endswith("Weights are equal.")
        assert ("A slip." in found.explanation) == (value == "1.90")


def test_zeros_at_the_end_that_a_table_leaves_out(paper):
    wanted = entry("same", rows=[[{"table": "t", "row": "A"}, {"table": "t", "row": "B"}]],
                   metrics=["MOS"])  # fmt: skip
    toy = {"t": table(SCORES, "A,MOS,4", "B,MOS,4.07")}
    assert of_entry(paper(toy, [wanted]))[0].outcome == "agrees", "4 may be a rounded 4.07"
    [found] = of_entry(paper(toy, [{**wanted, "step": 0.01}]))
    assert (found.outcome, found.tolerance) == ("disagrees", pytest.approx(0.01))


def test_fractions_of_the_text_are_no_corrections(paper):
    lines = (TEXT, "share,1,dB,0.5,1/2,,half of it", "b,1,dB,9,,,")
    found = of_entry(
        paper({"text": table(*lines)}, [compare("b", "share", explanation="So.")])
    )[0]  # fmt: skip
    assert "Corrected" not in found.explanation
    scan = {"t": table(SCORES + ",raw,note", "A,SDR,2.80,2.08,digits swapped", "B,SDR,1.00,,")}
    same = entry("same", rows=[[{"table": "t", "row": "A"}, {"table": "t", "row": "B"}]],
                 metrics=["SDR"])  # fmt: skip
    said = of_entry(paper(scan, [same]))[0].explanation
    assert "Corrected from the scan: t: A, SDR: 2.80 for '2.08' (digits swapped)." in said


def test_percentages_adjusted_to_make_100(paper):
    lines = ("answer,metric,value", "A,preference,46", "B,preference,27", "Equal,preference,27")
    wanted = entry("shares", table="t", over="answer", n=constant(30))
    [found] = of_entry(paper({"t": table(*lines)}, [wanted]))
    assert (found.outcome, found.rests_on) == ("possible", None)
    assert "can be A 14, B 8, Equal 8 of 30" in found.explanation


def test_adjusted_percentages_come_back():
    rng = np.random.default_rng(3)
    seen = 0
    for _ in range(300):
        true = tuple(int(k) for k in rng.multinomial(30, [0.5, 0.3, 0.2]))
        singly = [round(100 * k / 30) for k in true]
        off = sum(singly) - 100
        given = [singly[0] - off, *singly[1:]]
        found = listening.adjusted([rounded(float(p), 0.5) for p in given], [1.0] * 3, 30)
        assert (true in found) == bool(off)
        seen += bool(off)
    assert seen > 20


def test_paired_gaps_against_scipy():
    gaps = [0.27, 0.4, 0.13, 0.9, 0.33, 0.6, -0.05, 0.8, 0.21, 0.55]
    gap, half, p = compared(gaps)
    interval = ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert (gap - half, gap + half) == pytest.approx((interval.low, interval.high))
    assert p == pytest.approx(2 * 2 / 2**10), "only rank 1 is negative: two of 1024 signings a side"
    assert compared([0.0] * 4)[2] == 1.0


def test_paired_test_over_listeners(paper):
    better = ["3.5", "4.0", "3.9", "4.2", "3.1", "4.4", "3.3"]
    worse = ["3.1", "3.2", "3.8", "3.7", "2.8", "3.6", "3.4"]
    level = ["3.4", "4.1", "3.8", "4.3", "3.0", "4.5", "3.3"]
    rows = {"P": better, "W": worse, "L": level}
    lines = [f"{n},{name},MOS,{x}" for name, each in rows.items() for n, x in enumerate(each)]
    wanted = entry("paired", table="t", over="listener", metric="MOS",
                   first={"method": "P"}, second={"method": ["W", "L"]})  # fmt: skip
    found = of_entry(paper({"t": table("listener,method,metric,value", *lines)}, [wanted]))
    assert [each.where for each in found] == ["t: MOS, P and W", "t: MOS, P and L"]
    assert [each.outcome for each in found] == ["agrees", "possible"]
    assert "above in 6 of 7 listeners" in found[0].explanation
    assert "above in 3 of 7 listeners, 1 level" in found[1].explanation
    assert math.isclose(found[0].computed, 2.8 / 7)
    few = table("listener,method,metric,value", *[line for line in lines if line[0] in "01"])
    assert [each.outcome for each in of_entry(paper({"t": few}, [wanted]))] == [
        "cannot be told"
    ] * 2


def test_a_paired_test_without_pairs(paper):
    lines = ("1,P,MOS,3", "2,W,MOS,4")
    wanted = entry("paired", table="t", over="listener", first={"method": "P"},
                   second={"method": "W"})  # fmt: skip
    with pytest.raises(SpecError, match=r"no listener has both P and another row.*mend `over`"):
        audit(paper({"t": table("listener,method,metric,value", *lines)}, [wanted]))


PAIR = [{"model": "DNN", "loss": "KL"}, {"model": "DNN", "loss": "MSE"}]


@pytest.mark.parametrize(
    ("rule", "label"),
    [
        ({"test": "greater", "pairs": [PAIR]}, "KL > MSE: DNN, SIR"),
        ({"test": "greater", "pairs": [[{"model": "DNN"}, PAIR[0]]]}, "DNN > DNN, KL: SIR"),
        ({"test": "greater", "pairs": [[{"model": "A"}, {"model": "B"}]]}, "A > B: SIR"),
        (
            {"test": "difference", "by": 0, "pool": True,
             "pairs": [PAIR, [{**row, "model": "RNN"} for row in PAIR]]},
            "mean of KL − MSE over DNN, RNN: SIR",
        ),
        (
            {"test": "difference", "by": 0, "pool": True,
             "pairs": [PAIR, [{"model": "A"}, {"model": "B"}]]},
            "mean over 2 differences in SIR",
        ),
        (
            {"test": "greater", "pairs": [[{"frames": 2}, {"frames": 1}]]},
            "frames 2 > frames 1: SIR",
        ),
        (
            {"test": "trend", "direction": "rising",
             "rows": [{"model": "1 RNN", "loss": "KL"}, {"model": "2 RNN", "loss": "KL"}]},
            "SIR over 1 RNN, 2 RNN: KL",
        ),
    ],
)  # fmt: skip
def test_comparisons_are_named_by_what_tells_their_rows_apart(rule, label):
    found = rules.comparisons({"table": "t", "metrics": ["SIR"], **rule})
    assert [each.label for each in found] == [label]


@pytest.mark.parametrize(
    ("name", "readings"),
    [
        ("parwal", {"mixing-level", "P02", "P09"}),
        ("nugraha", {"gain-by-metric", "isr-gain-on-average", "N04b"}),
    ],
)
def test_readings_of_the_papers(name, readings):
    assert {each.id for each in audit(name) if each.said == "a stricter reading"} == readings
