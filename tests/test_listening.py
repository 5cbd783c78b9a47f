"""A published listening test, aggregated again: closed forms, the real tables, broken ones."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from toypaper import table, writer
from unmix.errors import SpecError, UnmixError
from unmix.papers.published import folder
from unmix.report import opinions
from unmix.report.listening import Listening
from unmix.report.opinions import AVERAGE, OPEN, PROPOSED, RESTS, SHOWN, Opinions
from unmix.verdicts.checks.listening import FINEST, steps
from unmix.verdicts.checks.numbers import rounded

METHODS = "Proposed", "Other"
GRADES = {"L1": (4.0, 3.5), "L2": (4.5, 3.0), "L3": (3.0, 3.0), "L4": (4.0, 4.5)}
SHARES = {"Proposed": 50, "Equal": 25, "Other": 25}


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """Return a function that writes a listening test: four listeners, two answers each."""
    write = writer(tmp_path, monkeypatch)

    def made(grades=GRADES, shares=SHARES, averages=(3.88, 3.5), **more):
        rows = {**grades, AVERAGE: averages}
        tables = {
            "table3": table(
                "instrument,part,method,metric,value",
                "guitar,test,Proposed,SDR,2.0",
                "guitar,test,Other,SDR,3.0",
            ),
            "table5": table(
                "instrument,listener,method,metric,value",
                *(
                    f"guitar,{name},{method},MOS,{value}"
                    for name, values in rows.items()
                    for method, value in zip(METHODS, values, strict=False)
                ),
            ),
            "table6": table(
                "instrument,pair,preferred,metric,value",
                *(
                    f"guitar,Proposed : Other,{name},preference,{value}"
                    for name, value in shares.items()
                ),
            ),
            "text": table(
                "name,place,metric,value",
                "listening test,Sec. 1,listeners,4",
                '"CMOS pairs of sounds a listener, guitar and drums each",Sec. 1,count,2',
            ),
        }
        return write({**tables, **more}, [])

    return made


@pytest.fixture(scope="module")
def lai():
    return Opinions("lai")


@pytest.fixture(scope="module")
def page():
    return Listening("lai")


def test_a_sign_test_by_hand():
    assert opinions.sign(10, 0) == pytest.approx(2 / 2**10)
    assert opinions.sign(9, 1) == pytest.approx(2 * (1 + 10) / 2**10)
    assert opinions.sign(3, 3) == 1.0
    assert opinions.sign(0, 0) == 1.0, "all found both equal"


@pytest.mark.parametrize(("first", "decided"), [(14, 22), (28, 29), (0, 5), (22 / 3, 28 / 3)])
def test_wilsons_interval_by_its_formula(first, decided):
    z, share = stats.norm.ppf(0.975), first / decided
    centre = (share + z**2 / (2 * decided)) / (1 + z**2 / decided)
    root = math.sqrt(share * (1 - share) / decided + z**2 / (4 * decided**2))
    half = z / (1 + z**2 / decided) * root
    found = opinions.wilson(first, decided)
    assert found == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_where_nothing_is_decided_any_share_is_possible():
    assert opinions.wilson(0, 0) == (0.0, 1.0)


def test_the_interval_over_listeners_is_students():
    values = np.array([3.2, 2.9, 3.8, 3.1, 3.3])
    mean, *ends = opinions.interval(values)
    assert mean == pytest.approx(values.mean())
    wanted = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert ends == pytest.approx(list(wanted))


def test_the_step_of_a_scale_is_found_behind_two_decimals():
    def found(values):
        return steps([rounded(each, opinions.HALF) for each in values])

    for n in (1, 2, 3, 15):
        fitting = found(np.round(np.arange(n, 5 * n + 1) / n, 2))
        assert fitting[0] == n
        assert set(range(n, FINEST + 1, n)) <= set(fitting), "finer scales have these steps too"
    assert found(np.arange(1, 2, 0.01)) == []
    assert found([]) == list(range(1, FINEST + 1))


def test_answers_are_shared_out_in_every_way():
    wanted = {}
    each = [answers for answers in product((1, 0, -1), repeat=2)]
    for people in product(each, repeat=3):
        given = [answer for answers in people for answer in answers]
        lean = [sum(answers) for answers in people]
        place = given.count(1), given.count(-1)
        wanted.setdefault(place, set()).add((sum(x > 0 for x in lean), sum(x < 0 for x in lean)))
    assert {place: set(found) for place, found in opinions.shared_out(2, 3).items()} == wanted


def test_the_ends_of_sharing_out_by_hand():
    # One listener has all that is not for the method: 1 for, 1 against, 1 equal.
    found = opinions.spread(28, 1, 3, 10)
    assert (found.most, found.least) == ((10, 0), (9, 0))
    assert found.p_least == pytest.approx(2 / 2**9)
    # Six of one mind against four that hold the other answers: three have two each at most.
    found = opinions.spread(18, 6, 3, 10)
    assert found.least == (6, 4)
    assert found.p_least == pytest.approx(opinions.sign(6, 4))
    assert opinions.spread(10, 10, 3, 10).p_least == 1.0


def test_no_chance_sharing_out_is_beyond_the_ends():
    rng = np.random.default_rng(0)
    answers = np.repeat([1, -1, 0], [20, 6, 4])
    found = opinions.spread(20, 6, 3, 10)
    for _ in range(300):
        lean = rng.permutation(answers).reshape(10, 3).sum(axis=1)
        ahead, other = int((lean > 0).sum()), int((lean < 0).sum())
        p = opinions.sign(ahead, other) if ahead > other else 1.0
        assert found.p_most <= p <= found.p_least


@pytest.mark.parametrize(
    ("p_answers", "p_listeners", "wanted"),
    [(0.01, 0.02, SHOWN), (0.01, 0.2, RESTS), (0.2, 0.3, OPEN), (0.05, 0.05, OPEN)],
)
def test_what_a_preference_rests_on(p_answers, p_listeners, wanted):
    assert opinions.reading(p_answers, p_listeners) == wanted


def test_a_constructed_test_by_hand(paper):
    found = Opinions(paper())
    [row] = found.gaps().to_dict("records")
    gaps = np.array([one - other for one, other in GRADES.values()])
    assert (row["above"], row["below"], row["ties"]) == (2, 1, 1)
    assert row["gap"] == pytest.approx(gaps.mean())
    assert row["t"] == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)
    assert row["sign"] == 1.0, "two to one says nothing"
    [pair] = found.pairs
    assert pair.answers == (4, 2, 2)
    assert pair.exact
    # The worst: two are for it with both answers, two against it with one each.
    assert found.preferences().loc[0, "spread"].least == (2, 2)
    ranks = found.ranks().set_index("method")
    assert list(ranks.loc[PROPOSED, ["MOS rank", "pairs won rank", "SDR rank"]]) == [1, 1, 2]
    assert "orders are not the same" in repr(Listening(found.paper).ranks())


def test_a_wrong_average_is_seen(paper):
    found = Opinions(paper(averages=(3.95, 3.5))).averages()
    assert list(found["fits"]) == [False, True]


def test_the_papers_averages_are_those_of_its_listeners(lai):
    raw = pd.read_csv(folder("lai") / "table5.csv")
    raw = raw.assign(average=raw["listener"] == AVERAGE)
    means = raw.groupby(["instrument", "method", "average"])["value"].mean().unstack()
    found = lai.averages().set_index("method")
    for (instrument, method), row in means.iterrows():
        again = found.loc[f"{instrument}, {method}"]
        assert again["recomputed"] == pytest.approx(row[False])
        assert again["printed"] == row[True]
    assert found["fits"].all()
    assert (found["low"] < found["recomputed"]).all()


def test_the_papers_percentages_are_counts_of_its_answers(lai):
    assert lai.total == lai.listeners * lai.each
    for pair in lai.pairs:
        assert sum(pair.answers) == lai.total
        shares = [100 * each / lai.total for each in pair.answers]
        off = max(abs(a - b) for a, b in zip(shares, pair.percent, strict=True))
        assert off <= (0.5 if pair.exact else 1.0) + 1e-9, pair.name
    alone, loose = lai.fitting()
    assert lai.total in alone + loose
    assert 100 in alone
    assert all(pair.exact for pair in lai.pairs) == (lai.total in alone)


def test_holm_is_within_the_pairs_of_the_proposed_and_within_the_others(lai):
    found = lai.preferences()
    for family, some in found.groupby("family"):
        assert all((PROPOSED in pair) == family for pair in some["pair"])
        for name in ("p", "p least"):
            least = some.loc[some[name].idxmin()]
            assert least[f"{name} holm"] == pytest.approx(min(1.0, len(some) * least[name]))
            assert (some[f"{name} holm"] >= some[name]).all()


def test_listeners_as_the_unit_say_less_than_answers(lai):
    for row in lai.preferences().to_dict("records"):
        assert row["listeners"][0] < row["answers"][0] < row["share"] < row["answers"][1]
        assert row["spread"].p_most <= row["p least"]
        assert row["p"] <= row["p least"]


def test_the_page_says_which_average_its_own_steps_would_round_otherwise(lai, page):
    found = lai.averages()
    odd = found[(found["stepped"].round(2) - found["printed"]).abs() > 1e-6]
    said = repr(page.averages())
    for row in found.to_dict("records"):
        assert (f"{row['method']}: were all scores" in said) == (
            row["method"] in set(odd["method"])
        )


def test_every_preference_is_read_once_at_the_top_of_the_page(lai, page):
    said = repr(page.bears_out())
    for pair in lai.pairs:
        assert said.count(f"{pair.name} (") == (PROPOSED in (pair.first, pair.second))


def test_tables_have_a_line_for_each_of_what_they_compare(lai, page):
    methods = len(lai.instruments) * len(lai.methods)
    rivals = len(lai.instruments) * (len(lai.methods) - 1)
    for shown, count in (
        (page.averages(), methods), (page.gaps(), rivals), (page.counts(), len(lai.pairs)),
        (page.answers(), len(lai.pairs)), (page.listeners(), len(lai.pairs)),
        (page.ranks(), methods), (page.beside(), rivals),
    ):  # fmt: skip
        assert shown.markup.count('<th scope="row">') == count
        assert ">nan" not in shown.markup


def test_the_audit_is_quoted_with_a_way_to_it(page):
    shown = page.audited("mos-steps")
    assert 'href="numbers.html#finding-mos-steps"' in shown.markup
    with pytest.raises(SpecError, match=r"entry of the audit: 'mos-step' \(did you mean"):
        page.audited("mos-step")


def test_the_figure_of_scores_shows_every_listener(lai, page):
    for axis, instrument in zip(page.draw_scores().axes, lai.instruments, strict=True):
        points = [line for line in axis.lines if len(line.get_xdata()) == lai.listeners]
        found = [sorted(line.get_xdata()) for line in points]
        grades = lai.graded(instrument)
        assert found == [sorted(grades[method]) for method in lai.methods]
        places = {(x, y) for line in points for x, y in line.get_xydata()}
        assert len(places) == grades.size, "equal scores stand apart"
        assert axis.get_xlabel() == "mean opinion score (1 bad to 5 excellent)"


def test_the_figure_of_preferences_balances_about_equal(lai, page):
    drawn = page.draw_preferences()
    for axis, instrument in zip(drawn.axes, lai.instruments, strict=True):
        some = [pair for pair in lai.pairs if pair.instrument == instrument]
        for place, pair in enumerate(some):
            bars = [bars[place] for bars in axis.containers]
            assert [bar.get_width() for bar in bars] == list(pair.answers)
            ends = [bar.get_x() for bar in bars]
            assert ends[1] == -pair.answers[1] / 2
            assert ends[0] + pair.answers[0] == ends[1]
            assert ends[2] == pair.answers[1] / 2
    assert "answers" in drawn.axes[len(lai.instruments) - 1].get_xlabel()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            {"grades": {**GRADES, "L2": (4.5,)}},
            r"table5 has no score of L2 \(guitar\) for Other.*complete table5\.csv",
        ),
        (
            {"shares": {"Proposed": 50, "Other": 50}},
            "Proposed : Other has answers for Proposed, Other.*and Equal",
        ),
        ({"shares": {"Proposed": 45, "Equal": 35, "Other": 20}}, "45, 35, 20 %.*shares of 8"),
        ({"grades": {**GRADES, "L2": ("four", 3)}}, "value 'four'.*a plain decimal number"),
        ({"text": table("name,place,metric,value", "other,Sec. 1,count,2")}, "unknown name of toy"),
    ],
)
def test_a_broken_table_is_refused(paper, broken, said):
    with pytest.raises(UnmixError, match=said):
        Opinions(paper(**broken))


def test_a_paper_without_a_listening_test_is_refused():
    with pytest.raises(SpecError, match="unknown table of parwal: 'table5'"):
        Listening("parwal")
    with pytest.raises(SpecError, match=r"unknown paper 'lia' \(did you mean 'l"):
        Listening("lia")
