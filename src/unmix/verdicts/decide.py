"""From test results to outcomes.

A claim may need several comparisons, all or some of which must hold. The p-value of "at least k of
n hold" is that of the partial conjunction test: (n - k + 1) times the k-th smallest (Benjamini and
Heller, Biometrics 64, 2008); for k = n it is the largest. The claims of a paper are decided
together, with Holm's correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unmix.verdicts.panel import LEVEL
from unmix.verdicts.statistics import Result

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
COMPATIBLE = "compatible"
NEGLIGIBLE = "negligible difference"
INCONCLUSIVE = "inconclusive"
NOT_ASSESSED = "not assessed"

OUTCOMES = (REPRODUCED, NOT_REPRODUCED, COMPATIBLE, NEGLIGIBLE, INCONCLUSIVE, NOT_ASSESSED)

FULL = "full"
"""The fidelity without which nothing is called reproduced or not."""


@dataclass(frozen=True)
class Tendency:
    """What the comparisons of one claim say together.

    Attributes:
        p_for: p-value for "as many hold as must".
        p_against: p-value for "so many do not that the claim fails".
        p_negligible: p-value for "none of them is a difference worth the name".
        compatible: as many as must hold are compatible with what is published.
        deciding: index of the comparison on which the claim hangs.
    """

    p_for: float
    p_against: float
    p_negligible: float
    compatible: bool
    deciding: int


NOTHING = Tendency(1.0, 1.0, 1.0, False, 0)
"""Of a claim that was not compared."""


def at_least(p_values: Sequence[float], count: int) -> float:
    """Return the p-value for "at least `count` of these alternatives are true"."""
    ordered = sorted(p_values)
    return min(1.0, (len(ordered) - count + 1) * ordered[count - 1])


def together(results: Sequence[Result], needed: int) -> Tendency:
    """Return what the results of a claim's comparisons say together.

    Args:
        results: one a comparison.
        needed: how many must hold.
    """
    p_for = [each.p_for for each in results]
    p_against = [each.p_against for each in results]
    against = at_least(p_against, len(results) - needed + 1)
    order = sorted(
        range(len(results)), key=lambda i: (p_for[i], -p_against[i], -results[i].estimate)
    )
    falls = at_least(p_for, needed) > against
    deciding = p_against.index(min(p_against)) if falls else order[needed - 1]
    return Tendency(
        at_least(p_for, needed),
        against,
        max(each.p_negligible for each in results),
        sum(each.compatible or each.p_for <= LEVEL / 2.0 for each in results) >= needed,
        deciding,
    )


@dataclass(frozen=True)
class Decision:
    """An outcome, and the p-value behind it after Holm's correction.

    Where nothing is decided, that is the smallest of the claim's three questions.
    """

    outcome: str
    p: float


def decide(tendencies: Sequence[Tendency], level: float = LEVEL) -> list[Decision]:
    """Return the outcomes of the claims of a paper, decided together.

    Each claim asks three one-sided questions at half the level, and Holm's correction is for the
    number of claims: the chance of any wrong outcome among them is `level`. Differences shown to be
    negligible are called so even where their sign is certain.
    """
    sided = [2.0 * min(each.p_for, each.p_against) for each in tendencies]
    negligible = [2.0 * each.p_negligible for each in tendencies]
    corrected, times = holm([min(pair) for pair in zip(sided, negligible, strict=True)])
    found = []
    for i, each in enumerate(tendencies):
        p, small = corrected[i], times[i] * negligible[i]
        if p <= level and small <= level:
            found.append(Decision(NEGLIGIBLE, max(p, small)))
        elif p <= level:
            holds = each.p_for <= each.p_against
            p = max(p, times[i] * sided[i])
            found.append(Decision(REPRODUCED if holds else NOT_REPRODUCED, p))
        else:
            found.append(Decision(COMPATIBLE if each.compatible else INCONCLUSIVE, p))
    return found


def holm(p_values: Sequence[float]) -> tuple[list[float], list[int]]:
    """Return p-values after Holm's correction, and what each one was multiplied by.

    The smallest of n counts n times, the next one n - 1 times, and none less than one before it.
    (statsmodels has it too, without the factors, and collects the whole process's garbage in each
    call.)
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda i: p_values[i])
    corrected, times, largest = [1.0] * count, [1] * count, 0.0
    for rank, i in enumerate(order):
        times[i] = count - rank
        largest = max(largest, min(1.0, times[i] * p_values[i]))
        corrected[i] = largest
    return corrected, times


def graded(outcome: str, fidelity: str) -> str:
    """Return what evidence of a fidelity may say of an outcome.

    Only the paper's own dataset says *reproduced* or *not reproduced*. Other material that bears a
    claim out is compatible with it; where it speaks against the claim, the material may be why, and
    the outcome stays open.
    """
    if fidelity == FULL or outcome == NOT_ASSESSED:
        return outcome
    less = {REPRODUCED: COMPATIBLE, NOT_REPRODUCED: INCONCLUSIVE}.get(outcome, outcome)
    return f"{fidelity}: {less}"
