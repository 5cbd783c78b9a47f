"""Differences between rows: paired by clip, at one fidelity, and read by a stated rule."""

import math

import numpy as np
import pytest

from aids import FULL, TINY, fabricate, item, scores, spec_of
from unmix.errors import SpecError
from unmix.papers.evidence import Evidence, comparable, look_up
from unmix.papers.experiment import Row
from unmix.papers.published import published
from unmix.report import contrast
from unmix.report.contrast import Difference
from unmix.report.workbook import Workbook

NOTHING_PUBLISHED = published("parwal", "none")
PAIRS = {"more & more": ("Augmented", "Not augmented")}


@pytest.fixture
def pair(tmp_path):
    one = item(
        tmp_path,
        "one",
        scores(a_1=4.0, a_2=5.0, b_1=7.0, c_3=1.0),
        scores(a_1=6.0, a_2=5.0, b_1=7.0, c_3=1.0),
    )
    return one, item(tmp_path, "other", scores(a_1=1.0, a_2=4.0, b_1=9.0, d_1=0.0))


def test_paired_difference_by_hand(pair):
    # Common clips and their lengths: a_1 (1), a_2 (2), b_1 (1); c and d have no partner.
    differences, lengths = np.array([5.0 - 1.0, 5.0 - 4.0, 7.0 - 9.0]), np.array([1, 2, 1])
    mean, low, high, songs = contrast.paired(*pair, "nsdr")
    assert mean == pytest.approx(np.average(differences, weights=lengths)) == pytest.approx(1.0)
    # Two songs: a draw holds a twice (mean 2), b twice (mean -2), or both (mean 1).
    assert (low, high, songs) == (pytest.approx(-2.0), pytest.approx(2.0), 2)
    assert contrast.paired(*pair[::-1], "nsdr")[0] == pytest.approx(-1.0)


def test_interval_holds_the_mean_and_narrows_with_songs(tmp_path):
    rng = np.random.default_rng(3)
    widths = []
    for songs in (9, 90):
        noise = {f"s{n}_{1 + n % 3}": rng.normal(0.5, 1.0) for n in range(songs)}
        flat = scores(**dict.fromkeys(noise, 0.0))
        both = item(tmp_path / f"{songs}", "x", scores(**noise)), item(tmp_path, f"{songs}", flat)
        mean, low, high, count = contrast.paired(*both, "sir")
        assert low < mean < high
        assert count == songs
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


def test_songs_can_be_chosen_and_need_clips_in_common(pair):
    assert contrast.paired(*pair, "nsdr", songs=["b"]) == (-2.0, -2.0, -2.0, 1)
    mean, low, high, songs = contrast.paired(*pair, "nsdr", songs=["c", "d"])
    assert np.isnan([mean, low, high]).all()
    assert songs == 0


def test_clips_without_a_score_have_no_difference(tmp_path):
    gap = item(tmp_path, "gap", scores(a_1=float("nan"), b_1=3.0))
    whole = item(tmp_path, "whole", scores(a_1=1.0, b_1=1.0))
    assert contrast.paired(gap, whole, "nsdr") == (2.0, 2.0, 2.0, 1)


# At which fidelity.


def rows_of(tmp_path, **seeds):
    """All evidence of a row: so many runs of each fidelity, named with underscores."""
    found = []
    for kind, count in seeds.items():
        tables = [scores(a_1=1.0)] * count
        fidelity = kind.replace("_", "-")
        found.append(item(tmp_path / kind, "x", *tables, fidelity=fidelity))
    return found


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ({"full": 3, "stand_in": 1}, {"full": 1, "subset": 1}, "full"),
        ({"full": 3, "subset": 1, "stand_in": 1}, {"subset": 1, "stand_in": 1}, "subset"),
        ({"full": 1, "stand_in": 1}, {"stand_in": 1}, "stand-in"),
        ({"stand_in": 1}, {"stand_in": 1, "full": 1}, "stand-in"),
    ],
)
def test_rows_are_compared_at_the_best_fidelity_that_both_have(tmp_path, one, other, common):
    pair = comparable(rows_of(tmp_path / "one", **one), rows_of(tmp_path / "other", **other))
    assert [found.fidelity for found in pair] == [common, common]


def heard(folder, where):
    """Evidence of a row on the material that a setting takes, called a stand-in."""
    spec = spec_of(where, "Augmented")
    return Evidence(
        Row({"input": "x"}, spec), (fabricate(folder, spec, "stand-in", scores(a_1=1.0)),)
    )


def test_rows_are_compared_on_one_of_two_stand_ins(tmp_path):
    small, large = heard(tmp_path / "small", TINY), heard(tmp_path / "large", FULL)
    assert comparable([large, small], [small]) == (small, small)
    assert comparable([large, small], [small, large]) == (large, large)
    assert comparable([large], [small]) == (large, small), "there is no other"


class Lying:
    """In place of `Wanted`: evidence that lies there, of profile full or of a smaller one."""

    def __init__(self, whole, *found):
        self.whole, self.found = whole, found

    def look(self, store, results):
        return list(self.found)


def test_a_table_shows_profile_full_where_all_its_rows_have_it(tmp_path):
    small, large = heard(tmp_path / "small", TINY), heard(tmp_path / "large", FULL)
    none = Evidence(small.row, ())
    both = [Lying(False, small), Lying(True, large)]
    lacking = [Lying(False, small), Lying(True, none)]
    unknown = [Lying(False, none), Lying(True, none)]

    def shown(*rows):
        return [of_row[0] for of_row in look_up(rows, None, None)]

    assert shown(both, both) == [large, large]
    assert shown(both, unknown) == [large, none], "what has nothing decides nothing"
    assert shown(both, lacking) == [small, small], "one table, one material"


def test_rows_without_a_common_fidelity_are_not_compared(tmp_path):
    one, other = (rows_of(tmp_path / kind, **{kind: 1}) for kind in ("full", "stand_in"))
    pair = comparable(one, other)
    assert [found.fidelity for found in pair] == ["full", "stand-in"]
    (line,) = contrast.differences([("x", *pair)], NOTHING_PUBLISHED, ["GNSDR"])
    assert (line.why, line.reading) == ("not run on the same material", "–")
    missing = Evidence(one[0].row, ())
    (line,) = contrast.differences(
        [("x", *comparable([missing], other))], NOTHING_PUBLISHED, ["GNSDR"]
    )
    assert line.why == "not run yet"


def test_what_is_no_score_of_songs_has_no_difference_over_them(store):
    book = Workbook("parwal", profile="tiny", store=store.root)
    one, other = (comparable([item], [item]) for item in book.evidence("table2")[:2])
    pairs = [("x", one[0], other[0])]
    metrics = ["training time", "GNSDR", "training loss"]
    found = list(contrast.differences(pairs, NOTHING_PUBLISHED, metrics))
    assert [line.metric for line in found] == ["GNSDR"]


def test_mixed_tables_compare_like_with_like(store, results):
    fabricate(results / "f", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0, y_1=8.0))
    book = Workbook("parwal", profile="tiny", store=store.root)
    first = repr(book.contrast("table2", PAIRS)).splitlines()[0]
    assert "2 songs, stand-in; paper +0.58: as in the paper (stand-in)" in first
    plain = scores(x_1=5.0, y_1=7.0)
    fabricate(results / "g", spec_of(FULL, "Not augmented"), "full", plain)
    first = repr(book.contrast("table2", PAIRS)).splitlines()[0]
    assert first == (
        "more & more, GNSDR: +1.50 [+1.00, +2.00], 2 songs, full; paper +0.58: as in the paper"
    )


# The reading.


@pytest.mark.parametrize(
    ("printed", "low", "high", "said"),
    [
        (0.58, 0.1, 0.9, "as in the paper"),
        (-0.2, -0.9, -0.1, "as in the paper"),
        (0.58, -0.9, -0.1, "opposite"),
        (-0.2, 0.1, 0.9, "opposite"),
        (0.58, -0.1, 0.9, "undecided"),
        (-0.2, -0.9, 0.0, "undecided"),
        (math.nan, 0.1, 0.9, "–"),
        (7.13 - 7.13, 0.1, 0.9, "–"),
        (1e-12, 0.1, 0.9, "–"),
    ],
)
def test_a_difference_is_read_by_the_rule(printed, low, high, said):
    made = ("x", "GNSDR", printed, (low + high) / 2, low, high, 40)
    assert Difference(*made, "full").reading == said
    for kind in ("subset", "stand-in"):
        assert Difference(*made, kind).reading == (said if said == "–" else f"{said} ({kind})")


def test_one_song_makes_no_interval():
    line = Difference("x", "GNSDR", 0.58, 0.5, 0.5, 0.5, 1, "full")
    assert line.reading == "undecided"


# The table.


def test_contrast_table_says_published_here_reading_and_what_is_missing(store, results):
    book = Workbook("parwal", profile="tiny", store=store.root)
    shown = book.contrast("table2", PAIRS)
    assert '<th scope="rowgroup" rowspan="3">more &amp; more</th>' in shown.markup
    cells = "<td>GNSDR</td><td>+0.58</td><td>+1.25</td><td>[+1.00, +2.00]</td><td>2</td>"
    assert cells + "<td>as in the paper (stand-in)</td>" in shown.markup
    assert shown.markup.count('class="fidelity fidelity-stand-in"') == 3
    assert "scores that are not rounded" in shown.markup
    assert "more & more, GNSDR: +1.25 [+1.00, +2.00], 2 songs, stand-in; paper +0.58" in repr(shown)
    assert "no common clips" in repr(book.contrast("table2", PAIRS, songs=["z"]))
    empty = Workbook("parwal", profile="tiny", store=store.root / "empty")
    assert "not run yet" in repr(empty.contrast("table2", PAIRS))
    with pytest.raises(SpecError, match="did you mean 'Augmented'"):
        book.contrast("table2", {"x": ("augmented", "Not augmented")})


def test_a_table_that_the_paper_does_not_have_is_not_read(pair):
    found = list(contrast.differences([("x at -5 dB", *pair)], NOTHING_PUBLISHED, ["GNSDR"]))
    shown = contrast.table(found, "c")
    assert "reading" not in shown.markup
    assert '<th scope="col">paper</th>' not in shown.markup
    assert "x at −5 dB" in shown.markup
    assert repr(shown) == "x at -5 dB, GNSDR: +1.00 [−2.00, +2.00], 2 songs, stand-in"
