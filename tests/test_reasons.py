"""What evidence an open claim would need, in numbers that can be checked by hand."""

import math
import re

import pytest

from unmix.verdicts import decide, reasons
from unmix.verdicts.result import Result
from unmix.verdicts.rules import comparisons


def row(model):
    return {"model": model, "loss": "MSE"}


def weighed(kind, songs, seeds, *, error, size=0.4, estimate=0.0, alone=0.5):
    """A claim that is open, on rows that differ by 1.04 dB (3 RNN and DNN) in print."""
    rules = {
        "greater": {"pairs": [[row("3 RNN"), row("DNN")]]},
        "equal": {"pairs": [[row("3 RNN"), row("DNN")]]},
        "value": {"rows": [row("DNN")]},
    }
    rule = {"test": kind, "table": "table4", "metrics": ["GNSDR"], **rules[kind]}
    numbers = (estimate, 0.0, 0.0, 0.5, 0.5, 1.0, False, "", math.nan, songs, seeds)
    result = Result(*numbers, error=error)
    open_ = decide.Decision(decide.INCONCLUSIVE, 1.0)
    return reasons.Weighed(
        "parwal", comparisons(rule), [result], 1, 0, size, open_, alone, "full", 20
    )


def test_enough_seeds_are_asked_for_and_no_more():
    """With 20 claims a difference must measure 3.02 + 0.84 standard errors (normal quantiles)."""
    span = 3.0233 + 0.8416
    words, seeds = reasons.needs(weighed("greater", 40, 3, error=(0.1, 0.4)))
    assert words == f"about {seeds} seeds a row, to find what is published (1.04 dB)"
    errors = [math.hypot(0.1, 0.4 * math.sqrt(3 / count)) for count in (seeds - 1, seeds)]
    assert span * errors[1] <= 1.04 < span * errors[0]


def test_where_seeds_cannot_help_songs_are_asked_for():
    words, seeds = reasons.needs(weighed("greater", 40, 3, error=(0.5, 0.05)))
    assert seeds == 0
    count = int(re.match(r"about (\d+) songs \(here are 40\), to find what is published", words)[1])
    exact = 40 * 0.5**2 / ((1.04 / 3.865) ** 2 - 0.05**2)
    assert count == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (weighed("greater", 40, 3, error=(math.nan, 0.1)), "more than one song"),
        (weighed("greater", 40, 1, error=(0.1, math.nan)), "rows with more than one seed"),
        (
            weighed("greater", 40, 3, error=(0.12, 0.1)),
            "to find a difference as small as the margin (0.40 dB)",
        ),
        (
            weighed("greater", 40, 3, error=(0.2, 0.1), estimate=0.5, alone=0.01),
            "to confirm what was found (0.50 dB)",
        ),
        (weighed("value", 40, 3, error=(0.1, 0.1)), "at least 5 seeds, for a number to be"),
        (weighed("value", 40, 5, error=(1.0, 0.1)), "to tell whether it lies within the margin"),
        (weighed("equal", 40, 3, error=(0.01, 0.01)), "it lies so near to the border"),
        (weighed("greater", 40, 3, error=(9.0, 0.1)), "more than 1000 songs (here are 40)"),
    ],
)
def test_what_an_open_claim_needs(found, words):
    assert words in reasons.needs(found)[0]
