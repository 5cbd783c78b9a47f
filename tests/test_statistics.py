"""The tests behind the verdicts, against brute force, textbooks, and each other."""

import math

import numpy as np
import pytest
from scipy import stats

from unmix.verdicts import ranks, statistics
from unmix.verdicts.panel import SEEDS, Noise, Panel
from unmix.verdicts.result import Reach, wins

NONE = Noise(math.nan, 0)
STEADY = Noise(0.01, 16)


def made(values, random=True):
    values = np.atleast_2d(np.asarray(values, float))
    names = tuple(f"s{at:03d}" for at in range(values.shape[1]))
    return Panel(values, np.ones(values.shape[1]), names, random)


def rows(*means, songs=40, seeds=3, chance=0.0, apart=0.2, seed=0):
    """Rows with exactly these means, whose songs differ far more from each other than by row."""
    rng = np.random.default_rng([21, seed])
    song = rng.normal(0.0, 3.0, songs)
    found = []
    for mean in means:
        own = rng.normal(0.0, apart, songs)
        moved = chance * rng.normal(size=(seeds, 1))
        values = song - song.mean() + own - own.mean() + moved - moved.mean()
        found.append(made(mean + values))
    return found


# One row above another.


def test_a_row_that_is_clearly_above_is_so_from_either_side():
    high, low = rows(1.0, 0.0, chance=0.02)
    found = statistics.greater([high, low], STEADY, margin=0.2)
    assert found.p_for < 1e-6
    assert found.p_against > 0.5
    assert found.p_negligible > 0.5
    assert found.direction == "as claimed"
    assert found.estimate == pytest.approx(1.0)
    assert found.wins == 1.0
    assert (found.songs, found.seeds) == (40, 3)
    for other in (
        statistics.greater([low, high], STEADY, margin=0.2),
        statistics.greater([high, low], STEADY, margin=0.2, sign=-1.0),
    ):
        assert other.p_against == found.p_for
        assert other.direction == "contradicted"
        assert other.estimate == pytest.approx(-1.0)
        assert other.shift == pytest.approx(-found.shift)
        assert other.wins == 0.0


def test_both_tests_must_agree():
    fixed = made(np.zeros(20), random=False)
    outlier = made(np.r_[np.linspace(0.1, 0.2, 19), -9.0], random=False)
    found = statistics.greater([outlier, fixed], NONE, margin=0.0)
    assert ranks.signed_rank(outlier.values[0]) < 0.01
    assert found.p_for > 0.5  # the mean is below zero
    leap = made(np.r_[np.full(10, -0.1), np.full(10, 0.5)] + np.linspace(0, 0.01, 20), random=False)
    found = statistics.greater([leap, fixed], NONE, margin=0.0)
    t_test = stats.ttest_1samp(leap.values[0], 0.0, alternative="greater").pvalue
    assert found.p_for == ranks.signed_rank(leap.values[0]) > t_test


def test_many_songs_do_not_make_up_for_seeds_that_scatter():
    pair = rows(0.3, 0.0, songs=400)
    assert statistics.greater(pair, STEADY, margin=0.0).p_for < 1e-9
    assert statistics.greater(pair, Noise(0.5, 16), margin=0.0).p_for > 0.2


def test_without_repetitions_nothing_is_said():
    pair = rows(1.0, 0.0, seeds=1)
    found = statistics.greater(pair, NONE, margin=0.2, rng=np.random.default_rng(0))
    assert found.p_for == found.p_against == found.p_negligible == 1.0
    assert math.isnan(found.detectable)
    assert math.isnan(found.error[1])
    assert found.low < found.estimate < found.high  # of songs alone
    one = statistics.peak([*pair, pair[1]], 0, NONE, rng=np.random.default_rng(0))
    assert one.p_for == one.p_against == 1.0


def test_a_difference_is_negligible_only_where_a_margin_says_so():
    pair = rows(0.01, 0.0, apart=0.1)
    assert statistics.greater(pair, STEADY, margin=0.2).p_negligible < 1e-3
    assert statistics.greater(pair, STEADY, margin=0.0).p_negligible == 1.0
    assert statistics.greater(rows(0.2, 0.0), STEADY, margin=0.2).p_negligible >= 0.5


def test_wins_are_counted_over_pairs_of_seeds_and_ties_count_half():
    assert wins(made([[1.0], [2.0]]), made([[0.0], [1.0], [3.0]])) == pytest.approx(3.5 / 6)


def test_the_bootstrap_and_the_t_interval_agree():
    pair = rows(0.5, 0.0)
    drawn = statistics.greater(pair, Noise(0.05, 16), margin=0.0, rng=np.random.default_rng(1))
    plain = statistics.greater(pair, Noise(0.05, 16), margin=0.0)
    assert (drawn.low, drawn.high) == pytest.approx((plain.low, plain.high), abs=0.02)
    assert drawn.p_for == plain.p_for


# What could have been found.


def test_five_songs_find_nothing_whatever_the_difference():
    assert statistics.greater(rows(9.0, 0.0, songs=5), STEADY, margin=0.0).detectable == math.inf
    assert statistics.greater(rows(9.0, 0.0, songs=6), STEADY, margin=0.0).detectable < 1.0


def test_a_correction_for_many_claims_makes_the_smallest_difference_larger():
    reach = Reach(error=0.1, df=39.0, least=0.5**12)
    quantiles = stats.t.ppf(1 - 0.05 / 2 / 20, 39) + stats.t.ppf(0.8, 39)
    assert reach.at(0.05 / 20) == pytest.approx(0.1 * quantiles)
    assert reach.at(0.05 / 20) > reach.at() > 0.2
    assert reach.at(1e-6) == math.inf
    assert Reach(0.1, 39.0, edge=0.5).at() == pytest.approx(0.5 + reach.at())
    assert Reach(0.0, math.inf, edge=0.5).at() == 0.5
    assert math.isnan(Reach(math.nan, math.nan).at())


# Equal, and apart by so much.


@pytest.mark.parametrize(
    ("gap", "direction", "smallest"), [(0.02, "as claimed", 0), (-0.9, "exceeds", 1)]
)
def test_equal_rows_differ_by_less_than_the_margin(gap, direction, smallest):
    found = statistics.equal(rows(gap, 0.0), STEADY, margin=0.3)
    p_values = found.p_for, found.p_against
    assert p_values[smallest] < 1e-4
    assert p_values[1 - smallest] >= 0.5
    assert found.direction == direction
    assert found.compatible == (smallest == 0)
    assert found.p_negligible == 1.0
    assert found.detectable > 0.3


@pytest.mark.parametrize(
    ("gap", "by", "direction"),
    [
        (1.0, 1.1, "as claimed"),
        (1.6, 1.1, "exceeds"),
        (-1.6, -1.1, "exceeds"),
        (0.4, 1.1, "falls short"),
        (-0.4, -1.1, "falls short"),
        (-0.02, 1.1, "falls short"),  # below zero, but by chance
        (-0.5, 1.1, "contradicted"),
        (0.5, -1.1, "contradicted"),
    ],
)
def test_a_difference_lies_somewhere_beside_the_published_one(gap, by, direction):
    found = statistics.difference(rows(gap, 0.0), by, STEADY, margin=0.2, count=40)
    assert found.direction == direction
    met, missed = found.p_for, found.p_against
    assert (met < 0.025) == (direction == "as claimed")
    assert (missed < 0.025) == (direction != "as claimed")
    assert found.compatible == (direction == "as claimed")
    assert (found.p_negligible < 0.025) == (abs(gap) < 0.1)


@pytest.mark.parametrize(
    ("gap", "by", "direction"),
    [
        (2.0, 1.0, "as claimed"),
        (0.5, 1.0, "falls short"),
        (-0.5, 1.0, "contradicted"),
        (0.0, 0.0, "as claimed"),
        (-0.5, 0.0, "contradicted"),
    ],
)
def test_more_than_at_least_is_met_too(gap, by, direction):
    found = statistics.difference(rows(gap, 0.0), by, STEADY, margin=0.2, count=40, at_least=True)
    assert found.direction == direction
    assert (found.p_for < 0.025) == (direction == "as claimed")
    assert (found.p_against < 0.025) == (direction != "as claimed")
    # Level is as claimed where level is enough: not a difference that is missing.
    assert found.p_negligible >= 0.5 or gap == 0.0 < by


def test_the_fewer_songs_are_published_the_less_can_be_missed():
    pair = rows(0.78, 0.0)
    many, ours, few = (
        statistics.difference(pair, 1.0, STEADY, margin=0.2, count=count)
        for count in (4000, None, 4)
    )
    assert many.p_against < ours.p_against < few.p_against
    assert many.p_for == few.p_for
    assert few.compatible
    assert not many.compatible
    assert many.detectable < few.detectable


def test_a_bound_of_zero_has_no_error_of_its_own():
    pair = rows(-0.3, 0.0)
    bound = statistics.difference(pair, 0.0, STEADY, margin=0.2, count=40, at_least=True)
    number = statistics.difference(pair, 1e-9, STEADY, margin=0.2, count=40, at_least=True)
    assert bound.p_against < number.p_against


def test_pairs_of_the_same_runs_count_as_moved_together():
    one, two = rows(1.0, 0.0)
    spread = Noise(0.3, 16)
    single = statistics.difference([one, two], 1.0, spread, margin=0.5, count=40)
    twice = statistics.difference([one, two, one, two], 1.0, spread, margin=0.5, count=40)
    assert twice.estimate == pytest.approx(single.estimate)
    assert twice.error == pytest.approx(single.error)
    assert twice.p_for == pytest.approx(single.p_for)
    assert twice.p_against == pytest.approx(single.p_against)


# A number.


def test_on_the_same_songs_a_number_is_met_by_five_seeds_and_no_fewer():
    values = 6.0 + np.linspace(-3, 3, 10) + np.array([[-0.2], [-0.1], [0.0], [0.1], [0.2]])
    whole, short = made(values), made(values[:-1])
    found = statistics.value(whole, 6.1, STEADY, margin=0.5, same=True, count=None)
    spread = math.sqrt(0.025)
    assert found.p_for == pytest.approx(stats.t.sf(0.4 / (spread / math.sqrt(5)), 4))
    assert found.error == pytest.approx((0.0, spread / math.sqrt(5)))
    wide = stats.t.ppf(0.975, 4) * spread * math.sqrt(1 + 1 / 5)
    for published, inside in ((6.0 + 0.99 * wide, True), (6.0 + 1.01 * wide, False)):
        found = statistics.value(whole, published, STEADY, margin=0.1, same=True, count=None)
        assert found.compatible == inside
    assert len(short.values) == SEEDS - 1
    assert statistics.value(short, 6.0, STEADY, margin=0.5, same=True, count=None).p_for == 1.0


def test_with_fewer_seeds_the_other_rows_tell_what_one_run_may_give():
    row = made(6.0 + np.linspace(-3, 3, 10))
    wide = stats.t.ppf(0.975, 16) * 0.3 * math.sqrt(2)
    for published, inside in ((6.0 + 0.99 * wide, True), (6.0 + 1.01 * wide, False)):
        found = statistics.value(row, published, Noise(0.3, 16), margin=0.1, same=True, count=None)
        assert found.compatible == inside
    far = statistics.value(row, 9.0, Noise(0.3, 16), margin=0.1, same=True, count=None)
    assert far.p_against < 1e-4
    assert far.direction == "falls short"
    assert not statistics.value(row, 6.0, NONE, margin=0.1, same=True, count=None).compatible


def test_an_oracle_meets_a_number_or_does_not():
    row = made(np.arange(9.0), random=False)
    near, far = (
        statistics.value(row, number, NONE, margin=0.1, same=True, count=None)
        for number in (4.05, 3.8)
    )
    assert (near.p_for, near.p_against, near.direction) == (0.0, 0.5, "as claimed")
    assert (far.p_for, far.p_against, far.direction) == (1.0, 0.0, "exceeds")


@pytest.mark.parametrize("seeds", [1, 3, SEEDS])
def test_on_other_songs_bootstrap_and_closed_form_agree(seeds):
    (row,) = rows(6.0, seeds=seeds, chance=0.3)
    drawn, plain = (
        statistics.value(row, 6.5, Noise(0.3, 16), margin=2.0, same=False, count=40, rng=rng)
        for rng in (np.random.default_rng(2), None)
    )
    assert drawn.error[0] == pytest.approx(plain.error[0], rel=0.06)
    assert (drawn.low, drawn.high) == pytest.approx((plain.low, plain.high), abs=0.1)
    assert drawn.estimate == plain.estimate == pytest.approx(-0.5)
    assert drawn.p_against == pytest.approx(plain.p_against, abs=0.02)
    assert (drawn.p_for < 1.0) == (seeds >= SEEDS)
    assert drawn.compatible


def test_a_limit_is_passed_upwards_or_downwards():
    (row,) = rows(1.0)
    above = statistics.threshold(row, -2.0, STEADY)
    below = statistics.threshold(row, -2.0, STEADY, sign=-1.0)
    assert above.estimate == pytest.approx(3.0)
    assert below.estimate == pytest.approx(-3.0)
    assert above.p_for == below.p_against < 1e-4
    assert above.direction == "as claimed"
    assert below.direction == "contradicted"
    assert above.low < 3.0 < above.high


# Series.


def test_the_slope_of_a_trend_is_that_of_a_straight_line():
    series = rows(1.0, 1.3, 1.2, 1.9)
    rising = statistics.trend(series, STEADY, sign=1.0, margin=0.1)
    line = np.polyfit(np.arange(4), [1.0, 1.3, 1.2, 1.9], 1)
    assert rising.estimate == pytest.approx(line[0])
    assert rising.p_for < 1e-3
    falling = statistics.trend(series, STEADY, sign=-1.0, margin=0.1)
    assert falling.estimate == pytest.approx(-line[0])
    assert falling.p_against == rising.p_for
    assert falling.direction == "contradicted"


def test_a_trend_is_negligible_if_its_ends_are_within_the_margin():
    series = rows(0.0, 0.02, 0.04, apart=0.05)
    assert statistics.trend(series, STEADY, sign=1.0, margin=0.2).p_negligible < 1e-3
    assert statistics.trend(series, STEADY, sign=1.0, margin=0.04).p_negligible >= 0.4


def test_between_two_rows_a_peak_is_a_difference():
    pair = rows(0.1, 0.0)
    best = statistics.peak(pair, 0, STEADY, rng=np.random.default_rng(3), count=40000)
    more = statistics.greater(pair, STEADY, margin=0.0)
    t_test = stats.ttest_rel(*(row.values.mean(axis=0) for row in pair), alternative="greater")
    assert best.estimate == pytest.approx(more.estimate)
    assert best.p_for == pytest.approx(t_test.pvalue, abs=0.006)
    assert best.p_against == pytest.approx(1.0 - t_test.pvalue, abs=0.006)
    assert (best.low, best.high) == pytest.approx((more.low, more.high), abs=0.02)


def test_of_many_level_rows_none_is_said_not_to_be_the_best():
    level = rows(*[0.0] * 8)
    found = [statistics.peak(level, at, STEADY, rng=np.random.default_rng(4)) for at in range(8)]
    assert all(each.p_against > 0.2 for each in found)
    assert all(each.p_for > 0.5 for each in found)


def test_a_row_behind_one_of_many_is_not_the_best():
    series = rows(0.0, 0.0, 0.5, 0.0)
    found = statistics.peak(series, 0, STEADY, rng=np.random.default_rng(5))
    assert found.p_against == pytest.approx(1 / 4001)
    assert found.direction == "contradicted"
    assert found.low < found.estimate < found.high < 0.0
    best = statistics.peak(series, 2, STEADY, rng=np.random.default_rng(5))
    assert best.p_for == pytest.approx(1 / 4001)
    assert 0.0 < best.low < best.estimate == pytest.approx(0.5)
