"""What validation songs and test songs would choose among rows, seed by seed."""

from dataclasses import replace

import numpy as np
import pytest

from aids import TINY, fabricate, scores, spec_of
from unmix.models.oracle import Mixture
from unmix.papers.evidence import Evidence
from unmix.papers.experiment import Row
from unmix.report import selection


def candidate(folder, name, runs):
    """A row of runs, each `(seed, validation losses, NSDR of the test clip)`."""
    spec = spec_of(TINY, "Augmented")
    made = tuple(
        fabricate(folder / f"{name}{seed}", spec.with_seed(seed), "full", scores(x_1=nsdr), losses)
        for seed, losses, nsdr in runs
    )
    return Evidence(Row({"network": name}, spec), made)


@pytest.fixture
def rows(tmp_path):
    return [
        candidate(tmp_path, "small", [(0, [0.5, 0.3, 0.4], 7.0), (1, [0.5, 0.4], 6.0)]),
        candidate(tmp_path, "large", [(0, [0.5, 0.35, 0.2], 6.2), (1, [0.5, 0.3], 8.0)]),
    ]


def test_the_lowest_loss_chooses_on_validation_and_the_highest_score_on_test(rows):
    assert selection.choices(rows, "NSDR") == [
        selection.Choice(0, "large", "small", pytest.approx(6.2), pytest.approx(7.0)),
        selection.Choice(1, "large", "large", pytest.approx(8.0), pytest.approx(8.0)),
    ]


def test_only_seeds_that_every_trained_row_has_are_compared(rows, tmp_path):
    rows.append(candidate(tmp_path, "middle", [(1, [0.1], 5.0)]))
    anchor = replace(spec_of(TINY, "Augmented"), separator=Mixture(), training=None)
    run = fabricate(tmp_path / "mixture", anchor, "full", scores(x_1=99.0))
    rows.append(Evidence(Row({"network": "Mixture"}, anchor), (run,)))
    (choice,) = selection.choices(rows, "NSDR")
    assert (choice.seed, choice.valid, choice.test) == (1, "middle", "large")
    assert np.isclose(choice.test_score - choice.valid_score, 3.0)


def test_a_table_shows_a_line_a_seed_and_what_the_peek_is_worth(rows):
    shown = selection.table(rows, "NSDR", "Sizes")
    assert shown.markup.count("<tr>") == 3
    assert "<td>+0.80</td>" in shown.markup
    assert (
        "seed 0: large (6.20 dB) on validation songs, small (7.00 dB) on test songs" in shown.text
    )


def test_nothing_to_choose_among_is_said(rows):
    assert "needs two trained rows" in selection.table(rows[:1], "NSDR", "Sizes").text
