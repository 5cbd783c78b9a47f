"""Panels and errors of means: by hand, against textbook tests, and against the bootstrap."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unmix.errors import StoreError
from unmix.verdicts.estimate import (
    LEVEL,
    POWER,
    SPAN,
    Estimate,
    contrast,
    crossed,
    draws,
    one_run,
    span,
)
from unmix.verdicts.panel import SEEDS, Noise, Panel, common, noise, noise_of, panel

NONE = Noise(math.nan, 0)


def made(values, weights=None, songs=None, random=True):
    values = np.atleast_2d(np.asarray(values, float))
    names = songs or tuple(f"s{at:03d}" for at in range(values.shape[1]))
    weights = np.ones(values.shape[1]) if weights is None else np.asarray(weights, float)
    return Panel(values, weights, tuple(names), random)


def drawn(rng, seeds=3, songs=40, *, song=1.5, seed=0.3, rest=0.4, weights=None):
    values = song * rng.standard_normal(songs) + seed * rng.standard_normal((seeds, 1))
    return made(values + rest * rng.standard_normal((seeds, songs)), weights)


def clips(*rows):
    return pd.DataFrame(rows, columns=["song", "samples", "nsdr"])


# Panels.


def test_a_songs_score_is_the_mean_of_its_clips_by_length():
    one = clips(("b", 100, 3.0), ("a", 300, 1.0), ("a", 100, 5.0))
    two = clips(("a", 300, 2.0), ("a", 100, 2.0), ("b", 100, 4.0))
    found = panel([one, two], "nsdr")
    assert found.songs == ("a", "b")
    np.testing.assert_allclose(found.values, [[2.0, 3.0], [2.0, 4.0]])
    np.testing.assert_allclose(found.weights, [400.0, 100.0])
    np.testing.assert_allclose(found.seed_means(), [2.2, 2.4])
    assert found.mean() == pytest.approx(2.3)
    assert found.seeds == 2
    assert found.random
    assert not panel([one], "nsdr", random=False).random


def test_clips_without_a_score_are_left_out_and_so_are_songs_without_any():
    whole = clips(("a", 100, 1.0), ("a", 300, 3.0), ("b", 100, 4.0))
    silent = clips(("a", 100, 1.0), ("a", 300, None), ("b", 100, None))
    found = panel([whole, silent], "nsdr")
    assert found.songs == ("a",)
    np.testing.assert_allclose(found.values, [[2.5], [1.0]])
    np.testing.assert_allclose(found.weights, [(400.0 + 100.0) / 2])


def test_rows_are_compared_on_the_songs_that_all_have():
    one = made([[1.0, 2.0, 3.0]], weights=[5, 6, 7], songs=["a", "b", "c"])
    two = made([[30.0, 10.0]], weights=[1, 1], songs=["c", "a"], random=False)
    first, second = common([one, two])
    assert first.songs == second.songs == ("a", "c")
    np.testing.assert_array_equal(first.values, [[1.0, 3.0]])
    np.testing.assert_array_equal(second.values, [[10.0, 30.0]])
    np.testing.assert_array_equal(first.weights, [5.0, 7.0])
    np.testing.assert_array_equal(second.weights, [5.0, 7.0])
    assert first.random
    assert not second.random


def test_rows_without_a_common_song_cannot_be_compared():
    one, two = made([[1.0, 2.0]], songs=["a", "b"]), made([[1.0]], songs=["c"])
    words = "no song in common: a, b here, c there. Expected: runs that were scored on the same"
    with pytest.raises(StoreError, match=words):
        common([one, one, two])
    with pytest.raises(StoreError, match="no song in common: none here, c there"):
        common([one.on([]), two])


# From seed to seed.


def test_the_spread_is_pooled_over_rows_that_were_repeated():
    rows = [
        made([[0.0, 2.0], [2.0, 4.0]]),  # means 1 and 3: squares 2, one degree of freedom
        made([[0.0], [3.0], [6.0]]),  # means 0, 3, 6: squares 18, two
        made([[5.0, 7.0]]),
        made([[5.0], [9.0]], random=False),
    ]
    found = noise(rows)
    assert found.sd == pytest.approx(math.sqrt(20.0 / 3.0))
    assert found.df == 3
    assert noise(rows[2:]).df == 0
    assert math.isnan(noise(rows[2:]).sd)


def test_noise_of_single_songs_is_told_from_what_moves_all_of_them():
    together = made([[0.0, 2.0, 5.0], [1.0, 3.0, 6.0]])
    assert noise([together]).rest == pytest.approx(0.0, abs=1e-15)
    rng, weights = np.random.default_rng(5), np.linspace(0.5, 2.0, 12)
    share = weights / weights.sum()
    rows = [drawn(rng, songs=12, weights=weights) for _ in range(4000)]
    found = noise(rows)
    assert found.rest == pytest.approx(0.4**2 * share @ share, rel=0.03)
    assert found.sd**2 == pytest.approx(0.3**2 + 0.4**2 * share @ share, rel=0.05)


def test_enough_seeds_speak_for_their_row_and_an_oracle_has_no_spread():
    rng, pooled = np.random.default_rng(6), Noise(0.7, 16)
    few, many = drawn(rng, SEEDS - 1), drawn(rng, SEEDS)
    assert noise_of(few, pooled) is pooled
    assert noise_of(many, pooled) == noise([many])
    assert noise_of(dataclasses.replace(many, random=False), pooled) == Noise(0.0, 0)


# Errors in closed form.


def test_a_difference_of_fixed_rows_is_the_paired_t_test():
    rng = np.random.default_rng(7)
    one, two = (made(rng.normal(size=(1, 17)), random=False) for _ in range(2))
    found = contrast([one, two], (1.0, -1.0), NONE)
    for alternative, p in (("greater", found.p_above(0.1)), ("less", found.p_below(0.1))):
        test = stats.ttest_rel(one.values[0] - 0.1, two.values[0], alternative=alternative)
        assert p == pytest.approx(test.pvalue, rel=1e-9)
    low, high = stats.ttest_rel(one.values[0], two.values[0]).confidence_interval()
    assert found.interval() == pytest.approx((low, high), rel=1e-9)
    assert found.parts == pytest.approx((found.se, 0.0))


def test_two_parts_of_an_error_add_up_as_in_welchs_test():
    rng = np.random.default_rng(8)
    one, two = rng.normal(0.3, 1.0, 9), rng.normal(0.0, 3.0, 5)
    parts = one.var(ddof=1) / 9, two.var(ddof=1) / 5
    found = Estimate(float(one.mean() - two.mean()), *parts, 8, 4)
    test = stats.ttest_ind(one, two, equal_var=False, alternative="greater")
    assert found.df == pytest.approx(test.df)
    assert found.p_above(0.0) == pytest.approx(test.pvalue)
    assert found.parts == pytest.approx(tuple(np.sqrt(parts)))


def test_the_variance_is_unbiased_with_unequal_weights():
    rng, weights = np.random.default_rng(9), np.array([1.0, 1.0, 2.0, 3.0, 9.0])
    share = weights / weights.sum()
    rows = [made(rng.normal(size=(1, 5)), weights, random=False) for _ in range(20000)]
    found = [contrast([row], (1.0,), NONE) for row in rows]
    variances = np.array([each.songs for each in found])
    assert variances.mean() == pytest.approx(share @ share, rel=0.03)
    # A scaled chi-squared variable has 2 mean² / variance degrees of freedom.
    assert found[0].df_songs == pytest.approx(2 * variances.mean() ** 2 / variances.var(), rel=0.1)


@pytest.mark.parametrize(("weights", "df"), [([1.0, 9.0], 1.0), ([2.0] * 7, 6.0)])
def test_two_songs_have_one_degree_of_freedom_and_equal_ones_all_but_one(weights, df):
    row = made([np.arange(float(len(weights)))], weights, random=False)
    assert contrast([row], (1.0,), NONE).df == pytest.approx(df)


@pytest.mark.parametrize("seeds", [1, 3, SEEDS])
def test_the_error_of_a_difference_is_what_it_scatters_by(seeds):
    rng = np.random.default_rng([10, seeds])
    others = noise([drawn(rng, 3, 20) for _ in range(2000)])
    values, variances = [], []
    for _ in range(3000):
        song = rng.normal(0.0, 5.0, 20)
        pair = [made(drawn(rng, seeds, 20).values + song) for _ in range(2)]
        found = contrast(pair, (1.0, -1.0), others)
        values.append(found.value)
        variances.append(found.variance)
    truth = 2 * (1.5**2 / 20 + 0.3**2 / seeds + 0.4**2 / seeds / 20)
    assert np.mean(variances) == pytest.approx(truth, rel=0.05)
    assert np.var(values) == pytest.approx(truth, rel=0.08)


def test_an_error_is_never_less_than_either_of_its_parts():
    assert Estimate(0.0, 4.0, 1.0, 9, 9, shared=2.0).se == pytest.approx(2.0)
    assert Estimate(0.0, 4.0, 9.0, 9, 9, shared=2.0).se == pytest.approx(math.sqrt(11.0))
    assert Estimate(0.0, 0.0, 9.0, 0, 9, shared=2.0).se == pytest.approx(3.0)


def test_rows_with_few_seeds_share_the_error_of_their_spread():
    rng, pooled = np.random.default_rng(11), Noise(0.3, 16, 0.01)
    few, many, fixed = drawn(rng, 2), drawn(rng, SEEDS), drawn(rng, 1)
    fixed = dataclasses.replace(fixed, random=False)
    found = contrast([few, few, fixed], (1.0, -1.0, 1.0), pooled)
    assert found.seeds == pytest.approx(0.3**2)
    assert found.shared == pytest.approx(0.01)
    assert found.df_seeds == pytest.approx(16)
    own = noise([many])
    found = contrast([few, many], (1.0, -1.0), pooled)
    parts = 0.3**2 / 2, own.sd**2 / SEEDS
    assert found.seeds == pytest.approx(sum(parts))
    below = parts[0] ** 2 / 16 + parts[1] ** 2 / (SEEDS - 1)
    assert found.df_seeds == pytest.approx(sum(parts) ** 2 / below)
    assert one_run([few, many], (1.0, -1.0), pooled) == pytest.approx(0.3**2 + own.sd**2)


def test_nothing_is_shown_where_the_error_is_unknown():
    rng = np.random.default_rng(12)
    alone = contrast([drawn(rng, 1), drawn(rng, 1)], (1.0, -1.0), NONE)
    short = contrast([drawn(rng, 3, songs=1)], (1.0,), Noise(0.1, 8))
    for found in (alone, short):
        assert math.isnan(found.se)
        assert found.p_above(-99.0) == found.p_below(99.0) == found.p_within(0.0, 99.0) == 1.0
        assert all(map(math.isnan, found.interval()))


def test_without_any_error_a_number_is_what_it_is():
    found = Estimate(2.0, 0.0, 0.0, 0, 0)
    assert (found.p_above(1.9), found.p_above(2.0)) == (0.0, 1.0)
    assert (found.p_below(2.1), found.p_below(2.0)) == (0.0, 1.0)
    assert found.interval() == (2.0, 2.0)


def test_within_and_beyond_a_margin_are_asked_at_the_nearer_end():
    found = Estimate(1.0, 0.01, 0.0, 20, 0)
    assert found.p_within(0.9, 0.3) == pytest.approx(found.p_below(1.2))
    assert found.p_within(1.1, 0.3) == pytest.approx(found.p_above(0.8))
    assert found.p_beyond(0.6, 0.2) == pytest.approx(found.p_above(0.8))
    assert found.p_beyond(1.5, 0.2) == pytest.approx(found.p_below(1.3))
    assert found.p_beyond(1.0, 0.2) == 0.5


def test_the_span_of_a_test_is_that_of_the_non_central_distribution():
    for df in (4, 8, 39):
        limit = stats.t.ppf(1 - LEVEL / 2, df)
        assert stats.nct.sf(limit, df, span(df)) == pytest.approx(POWER, abs=0.01)
    assert span(1e9) == pytest.approx(SPAN, rel=1e-6)


# By drawing anew.


@pytest.mark.parametrize("weights", [None, np.linspace(1.0, 3.0, 60)])
def test_the_crossed_bootstrap_and_the_closed_form_agree(weights):
    rng = np.random.default_rng(13)
    row = drawn(rng, 12, 60, rest=0.1, weights=weights)
    songs, seeds = crossed(row, rng, 20000)
    found = contrast([row], (1.0,), NONE)
    assert songs == pytest.approx(found.songs, rel=0.06)
    assert seeds == pytest.approx(found.seeds, rel=0.06)


def test_what_was_not_repeated_cannot_be_drawn_anew():
    rng = np.random.default_rng(14)
    assert all(map(math.isnan, crossed(drawn(rng, 3, songs=1), rng)))
    assert math.isnan(crossed(drawn(rng, 1), rng)[1])
    assert crossed(dataclasses.replace(drawn(rng, 1), random=False), rng)[1] == 0.0


@pytest.mark.parametrize("seeds", [2, 20])
def test_drawing_rows_anew_and_the_closed_form_agree(seeds):
    rng = np.random.default_rng(15)
    song = rng.normal(0.0, 5.0, 60)
    pair = [made(drawn(rng, seeds, 60).values + song) for _ in range(2)]
    spread = noise([drawn(rng, 3, 60) for _ in range(20)])
    moved = draws(pair, spread, rng, 40000) @ [1.0, -1.0]
    found = contrast(pair, (1.0, -1.0), spread)
    assert np.quantile(moved, [0.025, 0.975]) == pytest.approx(found.interval(), abs=found.se / 8)


def test_intervals_of_few_songs_are_as_wide_as_t_intervals():
    rng = np.random.default_rng(16)
    ratios = []
    for _ in range(200):
        row = made(rng.normal(size=(1, 8)), random=False)
        low, high = np.quantile(draws([row], NONE, rng, 1000), [0.025, 0.975])
        wide = contrast([row], (1.0,), NONE).interval()
        ratios.append((high - low) / (wide[1] - wide[0]))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.06)


def test_where_nothing_is_known_of_the_seeds_the_songs_alone_are_drawn():
    row = made([[1.0, 1.0, 1.0]])
    assert np.ptp(draws([row], NONE, np.random.default_rng(17))) == 0.0
