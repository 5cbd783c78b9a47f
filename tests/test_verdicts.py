"""What the evidence says of claims: every outcome, every reason, and what has changed since."""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from aids import FULL, fabricate
from unmix.papers.evidence import Evidence, in_full
from unmix.papers.experiment import PROFILES, Setting, experiment, experiments
from unmix.verdicts import judge
from unmix.verdicts.claims import Claim, claims
from unmix.verdicts.schema import check

TABLE4 = experiments("parwal", FULL)["table4"]


@dataclass(frozen=True)
class Fake:
    """A run with scores and nothing else."""

    key: str
    fidelity: str
    table: pd.DataFrame = field(hash=False)
    kind: str = "recurrent"

    def scores(self, of=None):
        return self.table

    def settings(self):
        return {"separator": {"kind": self.kind}}

    def provenance(self):
        return {"fidelity": self.fidelity, "family": ""}


def runs(label, mean, *, seeds=3, songs=40, fidelity="full", chance=0.02, song=0.2, start=0):
    """Runs whose mean NSDR is about `mean`: songs differ alike in all rows, and `song` by row."""
    shared = np.random.default_rng(1).normal(0.0, 2.0, songs)
    own = np.random.default_rng([2, *label.encode()]).normal(0.0, 1.0, songs)
    rng = np.random.default_rng([3, *label.encode()])
    found = []
    for seed in range(seeds):
        values = mean + shared - shared.mean() + song * (own - own.mean())
        values = values + chance * rng.standard_normal()
        table = pd.DataFrame(
            {
                "clip": [f"{start + at}_1" for at in range(songs)],
                "song": [f"s{start + at}" for at in range(songs)],
                "samples": 1000,
                "nsdr": values,
                "sdr": values,
                "sir": values + 4.0,
                "sar": values + 5.0,
            }
        )
        found.append(Fake(f"{label}-{fidelity}-{seed}".replace(" ", "").lower(), fidelity, table))
    return tuple(found)


def evidence(means, **more):
    """Evidence of some rows of Table IV with MSE, as `look`; other rows were not run."""

    def look(name):
        if name != "table4":
            return []
        found = []
        for row in TABLE4.rows:
            label = row.keys["model"]
            here = row.keys["loss"] == "MSE" and label in means
            of_row = runs(label, means[label], **more) if here else ()
            found.append([Evidence(row, of_row)])
        return found

    return look


def row(model):
    return {"model": model, "loss": "MSE"}


def made(rule, name="P99", margin=0.3, **changes):
    plain = {
        "id": name,
        "paper": "parwal",
        "place": "nowhere",
        "kind": "ordering",
        "stated": True,
        "statement": "One beats the other.",
        "cells": (),
        "experiment": "table4",
        "without": "",
        "aggregation": "mean",
        "unit": "song",
        "margin": margin,
        "rule": {"table": "table4", "metrics": ["GNSDR"], **rule},
        "note": "",
    }
    return Claim(**{**plain, **changes})


MORE = made({"test": "greater", "pairs": [[row("2 RNN"), row("1 RNN")]]})
BY = made({"test": "difference", "by": 0.5, "pairs": [[row("2 RNN"), row("1 RNN")]]})
VALUE = made({"test": "value", "rows": [row("2 RNN")]}, margin=0.5)  # 7.18 in print
LEAST = made(
    {"test": "difference", "by": 0.0, "at_least": True, "pairs": [[row("2 RNN"), row("1 RNN")]]}
)


def decided(claim, look, **more):
    (found,) = judge.verdicts("parwal", [claim], look, **more)
    check([found.plain()], "verdicts", "this verdict")
    return found


# Outcomes. The truth of each row is known, its songs and seeds scatter about it.


@pytest.mark.parametrize(
    ("claim", "means", "more", "outcome", "direction"),
    [
        (MORE, (7.0, 8.0), {}, "reproduced", "as claimed"),
        (MORE, (8.0, 7.0), {}, "not reproduced", "contradicted"),
        (MORE, (7.0, 7.0), {}, "negligible difference", ""),
        (MORE, (7.0, 7.0), {"song": 3.0}, "inconclusive", ""),
        (MORE, (7.0, 8.0), {"song": 3.0, "songs": 4}, "inconclusive", ""),
        (BY, (7.0, 7.5), {}, "reproduced", "as claimed"),
        (BY, (7.0, 9.0), {}, "not reproduced", "exceeds"),
        (BY, (7.0, 6.0), {}, "not reproduced", "contradicted"),
        (BY, (7.0, 7.5), {"song": 2.0}, "compatible", ""),
        (LEAST, (7.0, 9.0), {}, "reproduced", None),
        (VALUE, (7.0, 12.0), {"songs": 80}, "not reproduced", "exceeds"),
        (VALUE, (7.0, 2.0), {"songs": 80}, "not reproduced", "falls short"),
        (VALUE, (7.0, 7.2), {}, "compatible", ""),
    ],
)
def test_outcomes_with_known_truth(claim, means, more, outcome, direction):
    found = decided(claim, evidence(dict(zip(("1 RNN", "2 RNN"), means, strict=True)), **more))
    assert found.outcome == outcome
    if direction is not None:
        assert found.direction == direction
    assert found.fidelity == "full"
    assert (found.n_songs, found.n_seeds) == (more.get("songs", 40), 3)
    assert found.margin == claim.margin
    assert (outcome in ("inconclusive", "compatible")) == bool(found.needs)


def test_the_estimate_is_that_of_the_songs():
    found = decided(MORE, evidence({"1 RNN": 7.0, "2 RNN": 8.0}, chance=0.0))
    assert found.estimate == pytest.approx(1.0)
    low, high = found.interval
    assert low < 1.0 < high
    assert found.p < 1e-6
    assert found.runs == tuple(f"{n}rnn-full-{seed}" for n in (2, 1) for seed in range(3))
    assert found.commands == ("unmix run parwal/table4 --profile full --seeds 3",)


def test_of_several_comparisons_as_many_must_hold_as_the_rule_says():
    rule = {"test": "order", "rows": [row("3 RNN"), row("2 RNN"), row("1 RNN")]}
    look = evidence({"1 RNN": 7.0, "2 RNN": 8.0, "3 RNN": 7.0})
    found = decided(made(rule), look)
    assert found.outcome == "not reproduced"
    assert found.why == (
        "1 of 2 comparisons hold by themselves, 2 must; the clearest against it: 3 RNN > "
        "2 RNN: MSE, GNSDR"
    )
    found = decided(made({**rule, "hold": {"at_least": 1}}), look)
    assert found.outcome == "reproduced"
    assert "the weakest: 2 RNN > 1 RNN: MSE, GNSDR" in found.why
    assert [each["estimate"] > 0 for each in found.comparisons] == [False, True]


# Material that is not the paper's.


@pytest.mark.parametrize("fidelity", ["stand-in", "subset"])
@pytest.mark.parametrize(
    ("means", "outcome", "why"),
    [
        ((7.0, 8.0), "compatible", "as claimed on "),
        ((8.0, 7.0), "inconclusive", "the material may be why"),
        ((7.0, 7.0), "negligible difference", "smaller than the margin of 0.30 dB"),
    ],
)
def test_other_material_says_so_and_neither_reproduces_nor_refutes(fidelity, means, outcome, why):
    rows = dict(zip(("1 RNN", "2 RNN"), means, strict=True))
    found = decided(MORE, evidence(rows, fidelity=fidelity))
    assert found.outcome == f"{fidelity}: {outcome}"
    assert found.direction == ""
    assert found.fidelity == fidelity
    assert why in found.why
    making = "the paper's dataset, which `unmix run parwal/table4 --profile full` makes"
    assert found.needs == {
        "subset": f"evidence on all of {making} where `unmix data verify mir1k` finds it",
        "stand-in": f"evidence on {making}",
    }.get(fidelity)
    assert found.commands == ("unmix run parwal/table4 --seeds 3",)


def test_runs_of_a_part_of_the_dataset_are_made_again_by_the_profile_that_made_them(tmp_path):
    """Profile `full` gives fidelity `subset` where only the part is there."""
    setting = Setting(PROFILES["full"], True, part=True)
    scores = pd.DataFrame({"clip": ["a"], "source": ["guitar"]})
    for number, row in enumerate(experiment("lai", "table2", setting).rows[:2]):
        made = fabricate(tmp_path / str(number), row.spec, "subset", scores)
        assert in_full("lai", "table2", [Evidence(row, (made,))])
        quick = experiment("lai", "table2", Setting(PROFILES["quick"], True, part=True)).rows[0]
        own = fabricate(tmp_path / f"quick{number}", quick.spec, "subset", scores)
        assert not in_full("lai", "table2", [Evidence(row, (made, own))])
    assert not in_full("lai", "table2", [Evidence(row, ())])


def test_rows_are_compared_at_the_best_fidelity_that_all_have():
    both = evidence({"1 RNN": 7.0, "2 RNN": 8.0}, fidelity="stand-in")
    full = evidence({"2 RNN": 3.0})

    def look(name):
        return [
            [one[0], *other] if one[0].runs else list(other)
            for one, other in zip(full(name), both(name), strict=True)
        ]

    found = decided(MORE, look)
    assert found.fidelity == "stand-in"
    assert found.estimate == pytest.approx(1.0, abs=0.2)


# Why a claim is not assessed.


def different(name):
    both = [evidence({"1 RNN": 7.0})(name), evidence({"2 RNN": 7.0}, fidelity="subset")(name)]
    return [one if one[0].runs else other for one, other in zip(*both, strict=True)]


def elsewhere(name):
    both = [evidence({"1 RNN": 7.0})(name), evidence({"2 RNN": 7.0}, start=100)(name)]
    return [one if one[0].runs else other for one, other in zip(*both, strict=True)]


RUN = evidence({"1 RNN": 7.0, "2 RNN": 8.0})
NOTHING = evidence({})
TABLE = [dict(each.keys) for each in TABLE4.rows]
PAIR = {"test": "greater", "pairs": [[row("2 RNN"), row("1 RNN")]]}


@pytest.mark.parametrize(
    ("claim", "look", "why", "needs"),
    [
        (
            made({"test": "audit", "checks": ["sums"]}, experiment=None, without="no."),
            RUN,
            "a matter of the paper's own numbers: `unmix audit parwal`, sums",
            "",
        ),
        (made({"test": "none"}, without="It has no number."), RUN, "It has no number.", ""),
        (made(PAIR, experiment=None, without="Nobody can."), RUN, "Nobody can.", ""),
        (made({**PAIR, "table": "table9"}), RUN, "there is no experiment parwal/table9", ""),
        (
            made({"test": "greater", "pairs": [[row("5 RNN"), row("1 RNN")]]}),
            RUN,
            "the experiment parwal/table4 has no row 5 RNN, MSE",
            "",
        ),
        (made({**PAIR, "metrics": ["MOS"]}), RUN, "no scores in MOS are kept", ""),
        (
            MORE,
            NOTHING,
            "not run yet: 2 RNN, MSE (table4); 1 RNN, MSE (table4)",
            "evidence, which `unmix run parwal/table4 --profile full` makes",
        ),
        (
            made({"test": "trend", "rows": TABLE, "direction": "rising"}),
            NOTHING,
            "not run yet: DNN, MSE (table4); 1 RNN, MSE (table4); 2 RNN, MSE (table4) and 5 more",
            "evidence, which `unmix run parwal/table4 --profile full` makes",
        ),
        (
            MORE,
            evidence({"1 RNN": 7.0}),
            "not run yet: 2 RNN, MSE (table4)",
            "evidence, which `unmix run parwal/table4 --profile full` makes",
        ),
        (
            MORE,
            different,
            "its rows were run on different material",
            "evidence, which `unmix run parwal/table4 --profile full` makes",
        ),
        (
            MORE,
            evidence({"1 RNN": 7.0, "2 RNN": 8.0}, songs=1),
            "its rows have 1 song with scores in common, and a verdict needs two",
            "",
        ),
        (MORE, elsewhere, "its rows have no song with scores in common", ""),
    ],
)
def test_a_claim_that_is_not_assessed_says_why(claim, look, why, needs):
    found = decided(claim, look)
    assert found.outcome == "not assessed"
    assert why in found.why
    assert found.needs == needs
    assert (found.fidelity, found.runs, found.comparisons) == ("", (), ())
    assert math.isnan(found.estimate)


def test_where_a_row_is_one_song_no_run_on_the_papers_dataset_is_asked_for(monkeypatch):
    songs = judge.TestSongs(same=True, count=2, why="named", a_row=1)
    monkeypatch.setattr(judge, "songs_of", lambda paper: songs)
    found = decided(MORE, evidence({"1 RNN": 7.0, "2 RNN": 8.0}, fidelity="stand-in"))
    assert found.outcome == "stand-in: compatible"
    assert "one song for each row where a verdict needs two" in found.needs
    assert "unmix run" not in found.needs


def test_a_paper_without_experiments_says_so(monkeypatch):
    monkeypatch.setattr(judge, "PAPERS", ("parwal",))
    each = next(one for one in claims("nugraha") if one.experiment and one.comparisons)
    (found,) = judge.verdicts("nugraha", [each], lambda name: [])
    assert found.outcome == "not assessed"
    wanted = f"no experiments of nugraha are here yet; {each.experiment} would test it"
    assert found.why.startswith(wanted)


def test_without_a_second_seed_nothing_is_known_of_chance():
    found = decided(MORE, evidence({"1 RNN": 7.0, "2 RNN": 8.0}, seeds=1))
    assert found.outcome == "inconclusive"
    assert "no row was run with a second seed" in found.why
    assert found.needs == (
        "rows with more than one seed: `unmix run parwal/table4 --profile full --seeds 2`"
    )


def test_separators_that_are_the_same_with_any_seed_need_no_second_one():
    def look(name):
        fixed = [
            Evidence(item.row, tuple(Fake(r.key, "full", r.table, "oracle") for r in item.runs))
            for (item,) in evidence({"1 RNN": 7.0, "2 RNN": 8.0}, seeds=1)(name)
        ]
        return [[item] for item in fixed]

    assert decided(MORE, look).outcome == "reproduced"


def test_rows_of_other_tables_are_looked_up_there():
    rows = experiments("parwal", FULL)["baselines"].rows
    base = {"Convolutive NMF": 4.0}

    def look(name):
        if name == "baselines":
            return [
                [Evidence(one, runs(label, base[label]) if label in base else ())]
                for one in rows
                for label in one.keys.values()
            ]
        return evidence({"2 RNN": 7.0})(name)

    pair = [{"table": "table4", **row("2 RNN")}, {"system": "Convolutive NMF"}]
    claim = made({"test": "greater", "table": "baselines", "pairs": [pair]})
    assert decided(claim, NOTHING).why == "there is no experiment parwal/baselines"
    found = decided(claim, look)
    assert found.outcome == "reproduced"
    assert found.estimate == pytest.approx(3.0, abs=0.2)
    assert found.commands == (
        "unmix run parwal/table4 --profile full --seeds 3",
        "unmix run parwal/baselines --profile full --seeds 3",
    )


# What a verdict does not depend on.

SEVERAL = [
    made({"test": "greater", "pairs": [[row("2 RNN"), row("1 RNN")]]}, "P01"),
    made({"test": "greater", "pairs": [[row("DNN"), row("1 RNN")]]}, "P02"),
    made({"test": "value", "rows": [row("DNN")]}, "P03"),
    made(
        {
            "test": "trend",
            "rows": [row("1 RNN"), row("2 RNN"), row("3 RNN")],
            "direction": "rising",
        },
        "P04",
    ),
    made(
        {"test": "peak", "rows": [row("1 RNN"), row("2 RNN"), row("3 RNN")], "at": row("3 RNN")},
        "P05",
    ),
]
ROWS = {"DNN": 6.9, "1 RNN": 7.0, "2 RNN": 7.1, "3 RNN": 7.2}


def test_the_same_evidence_gives_the_same_verdicts():
    both = [judge.verdicts("parwal", SEVERAL, evidence(ROWS)) for _ in range(2)]
    assert [each.plain() for each in both[0]] == [each.plain() for each in both[1]]


def test_a_claims_numbers_are_the_same_whatever_other_claims_there_are():
    """But for the corrected p-value, and with it the outcome."""
    together = judge.verdicts("parwal", SEVERAL, evidence(ROWS), names=["table4"])
    for each, found in zip(SEVERAL, together, strict=True):
        (alone,) = judge.verdicts("parwal", [each], evidence(ROWS), names=["table4"])
        for name in ("estimate", "interval", "margin", "detectable", "runs", "comparisons"):
            assert alone.plain()[name] == found.plain()[name], name
        assert alone.p <= found.p or alone.outcome != found.outcome


def test_chance_is_told_by_the_seeds_of_all_experiments():
    """Rows with one seed borrow the spread of others, also those that no claim compares."""
    rows = experiments("parwal", FULL)["table2"].rows

    def look(name):
        if name == "table2":
            return [[Evidence(one, runs("Augmented", 7.0))] for one in rows]
        return evidence({"1 RNN": 7.0, "2 RNN": 8.0}, seeds=1)(name)

    (alone,) = judge.verdicts("parwal", [MORE], look)
    (found,) = judge.verdicts("parwal", [MORE], look, names=["table2", "table4"])
    assert (alone.outcome, found.outcome) == ("inconclusive", "reproduced")


def test_a_few_songs_cannot_decide_whatever_they_say():
    found = decided(MORE, evidence({"1 RNN": 7.0, "2 RNN": 9.0}, songs=4))
    assert found.outcome == "inconclusive"
    assert found.needs == "at least 6 songs (here are 4)"
