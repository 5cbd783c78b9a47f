"""From p-values to outcomes: by hand, and against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from unmix.verdicts import decide
from unmix.verdicts.decide import NOTHING, Tendency
from unmix.verdicts.result import Result


def tendency(p_for=1.0, p_against=1.0, p_negligible=1.0, compatible=False):
    return Tendency(p_for, p_against, p_negligible, compatible, 0)


def result(p_for=1.0, p_against=1.0, p_negligible=1.0, compatible=False, estimate=0.0):
    numbers = {"low": 0.0, "high": 0.0, "detectable": 0.0, "songs": 9, "seeds": 3}
    return Result(
        **numbers,
        estimate=estimate,
        p_for=p_for,
        p_against=p_against,
        p_negligible=p_negligible,
        compatible=compatible,
        direction="",
    )


def outcomes(*tendencies):
    return [each.outcome for each in decide.decide(tendencies)]


# Several comparisons.


def test_how_many_hold_is_asked_of_the_weakest_of_so_many():
    p_values = [0.04, 0.001, 0.5]
    assert decide.at_least(p_values, 1) == pytest.approx(3 * 0.001)
    assert decide.at_least(p_values, 2) == pytest.approx(2 * 0.04)
    assert decide.at_least(p_values, 3) == pytest.approx(0.5)
    assert decide.at_least([0.9, 0.8], 1) == 1.0


@pytest.mark.parametrize(
    ("needed", "true"), [(needed, true) for needed in (1, 2, 3, 4) for true in range(needed)]
)
def test_too_few_true_ones_are_seldom_taken_for_enough(needed, true):
    rng = np.random.default_rng([31, needed, true])
    p_values = rng.uniform(size=(20000, 4))
    p_values[:, :true] = 0.0  # true, and certainly found
    wrong = np.mean([decide.at_least(row, needed) <= 0.05 for row in p_values])
    assert wrong <= 0.055


def test_a_claim_hangs_on_the_weakest_that_must_hold_or_on_the_clearest_against_it():
    results = [result(0.01, 0.9), result(0.3, 0.6), result(0.02, 0.8)]
    assert decide.together(results, 3).deciding == 1
    assert decide.together(results, 2).deciding == 2
    assert decide.together(results, 1).deciding == 0
    failing = [result(0.001, 0.9), result(0.8, 0.01), result(0.7, 0.02)]
    assert decide.together(failing, 3).deciding == 1
    assert decide.together(failing, 3).p_against == pytest.approx(0.03)
    assert decide.together(failing, 3).p_for == pytest.approx(0.8)
    # Two of three hold unless two fail.
    assert decide.together(failing, 2).p_against == pytest.approx(2 * 0.02)


def test_a_claim_is_negligible_where_all_its_comparisons_are():
    results = [result(p_negligible=0.001), result(p_negligible=0.2)]
    assert decide.together(results, 1).p_negligible == 0.2


def test_as_many_must_be_compatible_as_must_hold():
    results = [result(compatible=True), result(p_for=0.02), result()]
    assert decide.together(results, 2).compatible
    assert not decide.together(results, 3).compatible


# Several claims.


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_holms_correction_is_that_of_statsmodels(count):
    rng = np.random.default_rng([32, count])
    for power in (1, 4):
        p_values = rng.uniform(size=count) ** power
        p_values[: count // 3] = p_values[0]  # ties
        corrected, times = decide.holm(list(p_values))
        np.testing.assert_allclose(corrected, multipletests(p_values, method="holm")[1])
        assert sorted(times) == list(range(1, count + 1))


def test_holms_correction_by_hand():
    corrected, times = decide.holm([0.03, 0.01, 0.02, 0.6])
    assert corrected == pytest.approx([0.06, 0.04, 0.06, 0.6])
    assert times == [2, 4, 3, 1]


@pytest.mark.parametrize(
    ("p", "outcome"),
    [
        ({"p_for": 0.02}, "reproduced"),
        ({"p_for": 0.03}, "inconclusive"),
        ({"p_for": 0.03, "compatible": True}, "compatible"),
        ({"p_against": 0.02}, "not reproduced"),
        ({"p_against": 0.02, "compatible": True}, "not reproduced"),
        ({"p_negligible": 0.02}, "negligible difference"),
        ({"p_negligible": 0.03}, "inconclusive"),
        ({"p_negligible": 0.02, "p_for": 1e-6}, "negligible difference"),
        ({"p_negligible": 0.03, "p_for": 1e-6}, "reproduced"),
        ({}, "inconclusive"),
        ({"compatible": True}, "compatible"),
    ],
)
def test_a_claim_by_itself_is_decided_at_half_the_level_on_each_side(p, outcome):
    (found,) = decide.decide([tendency(**p)])
    assert found.outcome == outcome
    assert outcome in decide.OUTCOMES


def test_claims_are_decided_together():
    clear, faint = tendency(p_for=0.001), tendency(p_for=0.02)
    assert outcomes(faint) == ["reproduced"]
    assert outcomes(faint, faint) == ["inconclusive"] * 2
    # What is clear leaves the rest of the error to the others.
    assert outcomes(clear, faint) == ["reproduced"] * 2
    assert outcomes(clear, faint, NOTHING) == ["reproduced", "inconclusive", "inconclusive"]
    assert outcomes() == []


def test_small_and_certain_differences_are_one_family():
    small, certain = tendency(p_negligible=0.005), tendency(p_for=0.01, p_negligible=0.02)
    found = decide.decide([small, certain, tendency(p_against=0.3)])
    assert [each.outcome for each in found] == [
        "negligible difference",
        "reproduced",  # twice 0.02 twice over is too much, twice 0.01 is not
        "inconclusive",
    ]
    assert [each.p for each in found] == pytest.approx([0.03, 0.04, 0.6])


def test_a_corrected_p_value_is_never_below_one_before_it():
    p_values = [0.001, 0.012, 0.0125, 0.2]
    found = [each.p for each in decide.decide([tendency(p_for=p) for p in p_values])]
    assert found == pytest.approx([0.008, 0.072, 0.072, 0.4])


# Other material than the paper's.


def test_only_the_papers_own_dataset_decides():
    for outcome in decide.OUTCOMES:
        assert decide.graded(outcome, "full") == outcome
    assert decide.graded("reproduced", "subset") == "subset: compatible"
    assert decide.graded("not reproduced", "stand-in") == "stand-in: inconclusive"
    assert decide.graded("negligible difference", "subset") == "subset: negligible difference"
    assert decide.graded("not assessed", "stand-in") == "not assessed"


def test_of_comparisons_that_are_equally_sure_the_claim_hangs_on_the_one_that_is_furthest():
    found = [result(estimate=estimate) for estimate in (-2.35, 2.85, 0.5)]
    assert decide.together(found, 1).deciding == 1
