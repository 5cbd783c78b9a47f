"""Tests and estimates from ranks, against brute force and textbooks."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from unmix.verdicts import ranks


def by_flipping_signs(values):
    """Wilcoxon's p-value from all ways to give the values signs; zeros have ranks, but no sign."""
    ranked = stats.rankdata(np.abs(values)) * (values != 0)
    sums = [np.dot(ranked, signs) for signs in itertools.product((0, 1), repeat=len(values))]
    return np.mean(np.array(sums) >= ranked[values > 0].sum() - 1e-9)


@pytest.mark.parametrize("values", [[3, -1, 2, 5, -4, 6, 7.5], [0.2, 0.1, 0.7], [-1, -2, 3, -4]])
def test_the_signed_rank_test_counts_all_signs(values):
    values = np.array(values, float)
    assert ranks.signed_rank(values) == pytest.approx(by_flipping_signs(values))
    assert ranks.signed_rank(values + 1.5, 1.5) == pytest.approx(by_flipping_signs(values))


def test_zeros_have_ranks_after_pratt():
    values = np.array([0.0, 0.0, 0.0, 0.0, 0.1, -0.2, 0.3, 0.4, 0.5, 0.6, -0.7, 0.8])
    exact = by_flipping_signs(values)
    dropped = by_flipping_signs(values[4:])
    assert ranks.signed_rank(values) == pytest.approx(exact)
    assert abs(dropped - exact) > 0.01


def test_nothing_is_shown_by_one_song_or_by_none_that_differs():
    assert ranks.signed_rank(np.array([5.0])) == 1.0
    assert ranks.signed_rank(np.full(9, 0.3), 0.3) == 1.0
    # What rounding leaves of equal numbers is no difference.
    assert ranks.signed_rank(np.full(9, 0.1 + 0.2), 0.3) == 1.0


@pytest.mark.parametrize("songs", [2, 5, 6, 12])
def test_so_many_songs_give_no_smaller_p_value(songs):
    assert ranks.least(songs) == pytest.approx(0.5**songs)
    assert ranks.least(songs, 3) < ranks.least(songs)


def test_the_shift_is_the_median_of_all_means_of_two():
    values = np.array([1.0, 2.0, 4.0, 30.0])
    pairs = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2)]
    assert ranks.shift(values) == np.median(pairs) == 3.5
    assert ranks.shift(values + 7.0) == pytest.approx(ranks.shift(values) + 7.0)


def test_pages_test_is_that_of_the_textbook():
    # Ratings of tutorials, lectures and seminars: the example of scipy's documentation.
    marks = "3 4 3;2 2 4;3 3 5;1 3 2;2 3 2;2 4 5;1 2 4;3 4 4;2 4 5;1 3 4"
    table = np.array([[float(mark) for mark in row.split()] for row in marks.split(";")])
    songs, count = table.shape
    statistic = float((stats.rankdata(table, axis=1) @ np.arange(1, count + 1)).sum())
    assert statistic == 133.5
    mean = songs * count * (count + 1) ** 2 / 4
    variance = songs * count**2 * (count + 1) * (count**2 - 1) / 144
    expected = stats.norm.sf((statistic - mean) / math.sqrt(variance))
    assert ranks.page(table) == pytest.approx(expected)


def test_pages_test_counts_all_orders_of_few_songs():
    table = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [1.0, 2.5, 2.0]])

    def statistic(orders):
        return sum(np.dot(order, (1, 2, 3)) for order in orders)

    observed = statistic(stats.rankdata(table, axis=1))
    orders = itertools.product(itertools.permutations((1, 2, 3)), repeat=3)
    expected = np.mean([statistic(each) >= observed for each in orders])
    assert ranks.page(table) == pytest.approx(expected)


def test_a_trend_over_two_rows_is_a_difference_and_over_one_nothing():
    rng = np.random.default_rng(22)
    table = rng.normal(size=(12, 2))
    assert ranks.page(table) == ranks.signed_rank(table[:, 1] - table[:, 0])
    assert ranks.page(table[:, :1]) == ranks.page(rng.normal(size=(1, 4))) == 1.0
