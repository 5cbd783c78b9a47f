"""The paper `uhlich`: what its rows say, its curves, and what a judge makes of its findings."""

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from aids import TINY, fabricate
from unmix.models.extraction import InstrumentNetwork
from unmix.papers import uhlich
from unmix.papers.evidence import Evidence, comparison
from unmix.papers.experiment import PROFILES, Setting, experiment, experiments
from unmix.papers.published import by_row, published
from unmix.report import courses, tables
from unmix.report.notes import notes
from unmix.runs.store import Run
from unmix.verdicts import judge
from unmix.verdicts.claims import claims

SETTINGS = [Setting(PROFILES[name], real) for name in PROFILES for real in (False, True)]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def rows_of(name, setting):
    return {tuple(row.keys.values()): row for row in experiment("uhlich", name, setting).rows}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ["table2", "table3", "figure2"])
def test_every_published_row_has_a_row_here(name, setting):
    there = {keys[:-1] for keys in by_row(published("uhlich", name))}
    assert there <= set(rows_of(name, setting))


def test_full_is_the_papers_network_on_the_papers_transform():
    spec = uhlich.base(Setting(PROFILES["full"], True), "Brahms")
    assert (spec.stft.rate, spec.stft.window, spec.stft.hop, spec.stft.shape) == (
        *(32000, 1024, 512),
        "boxcar",
    )
    assert (spec.separator.layers, spec.separator.context) == (5, 3)
    assert spec.mixing.targets == ("horn", "piano", "violin")
    assert spec.clips is None
    whole = rows_of("training", Setting(PROFILES["full"], True))["the paper's numbers", "1,000,000"]
    own = whole.spec.separator
    assert (own.examples, own.iterations, own.fine) == (1_000_000, 600, 3000)
    assert own.layers * own.iterations + own.fine == 6000


@pytest.mark.parametrize("setting", SETTINGS)
def test_rows_of_a_trio_share_its_training_and_differ_in_what_they_compare(setting):
    stages = rows_of("table2", setting)
    for trio in uhlich.TRIOS:
        (spec,) = {row.spec for keys, row in stages.items() if keys[0] == trio}
        last = rows_of("table3", setting)[trio, "Average", "DNN with WF"]
        assert last.spec == spec
        assert last.of == {"variant": "fine tuning, WF"}
    horn = stages["Brahms", "Horn", "Raw", "2nd layer"]
    assert horn.of == {"source": "horn", "variant": "2nd layer, Raw"}
    for keys, row in rows_of("training", setting).items():
        base = uhlich.base(setting, uhlich.DRAWN)
        changed = {
            name
            for name, value in vars(row.spec.separator).items()
            if value != getattr(base.separator, name)
        }
        assert replace(row.spec, separator=base.separator) == base
        fewer = {"examples"} & changed
        assert bool(fewer) == (keys[1] != f"{base.separator.examples:,}")
        assert len(changed - fewer) == {
            "as in the tables": 0,
            "as in the rows below": 0,
            "the paper's numbers": 2,
        }.get(keys[0], 1)


def test_a_stand_in_has_more_vectors_than_an_input_has_values():
    """Else the least squares start learns them by heart, and J says nothing."""
    for setting in SETTINGS:
        spec = uhlich.base(setting, "Brahms")
        inputs = (2 * spec.separator.context + 1) * (spec.stft.window // 2 + 1)
        assert spec.separator.examples > 1.5 * inputs


# Curves.

STAGES = ("1st layer", "2nd layer", "fine tuning")


def run(folder, fall=0.5, seed=0, findings=None):
    spec = uhlich.base(TINY, "Brahms").with_seed(seed)
    made = fabricate(folder, spec, "stand-in", pd.DataFrame({"clip": ["a"], "source": ["horn"]}))
    lines, value, epoch = [], 0.5, 0
    for network in ("horn", "piano", "violin"):
        for stage in STAGES:
            for iteration in range(3):
                epoch += iteration > 0
                value *= fall if iteration == 0 else 0.9
                errors = {"train_loss": value, "valid_loss": 2 * value, "seconds": 2.0}
                about = {"epoch": epoch, "network": network, "stage": stage}
                lines.append({**about, "iteration": iteration, **errors})
        value = 0.5
    pd.DataFrame(lines).to_csv(folder / "history.csv", index=False)
    (folder / "findings.json").write_text(json.dumps(findings or {}))
    return made


def evidence(name, runs):
    """Rows of Brahms with a run each, chosen by their last key but one or by the only one."""
    rows = experiment("uhlich", name, TINY).rows
    return [Evidence(row, (runs[key],)) for row in rows for key in runs if key in row.keys.values()]


def test_curves_have_a_panel_a_network_and_jumps_where_layers_are_added(tmp_path):
    runs = {"Least squares": run(tmp_path / "a"), "Identity": run(tmp_path / "b", 0.8)}
    rows = evidence("figure2", runs)
    figure = courses.courses(rows, "initialisation")
    assert [axis.get_title() for axis in figure.axes] == ["horn", "piano", "violin"]
    for axis in figure.axes:
        assert axis.get_yscale() == "log"
        first, second, *marks = axis.get_lines()
        assert (first.get_label(), second.get_label()) == ("Least squares", "Identity")
        # Six iterations; a new stage begins where the one before ended.
        assert list(first.get_xdata()) == [0, 1, 2, 2, 3, 4, 4, 5, 6]
        at_jump = first.get_ydata()[2:4]
        assert at_jump[1] == pytest.approx(0.5 * at_jump[0])
        assert [mark.get_xdata()[0] for mark in marks] == [2, 4]
    assert figure.axes[0].get_ylabel() == "J on the training vectors"
    over_time = courses.courses(rows, "initialisation", over="seconds").axes[1].get_lines()[0]
    assert list(over_time.get_xdata()) == list(np.arange(2.0, 20.0, 2.0))


def test_the_ends_of_stages_are_drawn_for_training_and_validation(tmp_path):
    rows = evidence("table2", {"Brahms": run(tmp_path / "a")})
    figure = courses.stages(rows, "trio")
    assert [axis.get_title() for axis in figure.axes] == [
        f"Brahms: {name}" for name in ("horn", "piano", "violin")
    ]
    train, valid = figure.axes[0].get_lines()
    assert list(train.get_xdata()) == ["1st", "2nd", "fine tuning"]
    assert np.allclose(valid.get_ydata(), 2 * np.asarray(train.get_ydata()))


# Findings.


def figure2(tmp_path):
    found = {
        "horn": {"J": 0.2, "J by least squares": 0.2},
        "piano": {"J": 1.0, "J by least squares": 0.2, "iterations": 333.0},
    }
    made = run(tmp_path / "a", findings=found)
    rows = rows_of("figure2", TINY)
    wanted = [("Horn", "Least squares"), ("Piano", "Identity")]
    return [Evidence(rows[(*keys, "start of 1st layer")], (Run(made.folder),)) for keys in wanted]


def test_a_finding_that_was_not_come_to_is_a_dash_and_a_count_is_no_level(tmp_path):
    rows = figure2(tmp_path)
    long = comparison("uhlich", "figure2", rows, ("J", "iterations"))
    values = long.set_index(["instrument", "metric"])["reproduced"]
    assert values["Piano", "iterations"] == 333.0, "no score, so that 100 is no ceiling"
    assert np.isnan(values["Horn", "iterations"])
    markup = tables.page(long, rows, "Figure 2").markup
    assert ">J<" in markup
    assert "(dB)" not in markup
    assert ">333<" in markup
    told = notes(rows, uhlich.BUDGET)
    assert any(line.startswith("Values: J is the squared error") for line in told)
    (training,) = (line for line in told if line.startswith("Training"))
    assert training == (
        "Training: 2 L-BFGS iterations for each of 5 layers and 3 of fine tuning, on 1,500 "
        "vectors; the paper: 6000 L-BFGS iterations on 1,000,000 vectors."
    )


def test_claims_on_findings_name_the_table_that_has_them(tmp_path):
    each = next(one for one in claims("uhlich") if one.id == "U19")
    rows = [[Evidence(row, ())] for row in experiment("uhlich", "figure2", TINY).rows]
    (found,) = judge.verdicts("uhlich", [each], lambda name: rows)
    assert found.outcome == "not assessed"
    assert found.why.startswith("J is no score of songs; `unmix table uhlich/figure2` has it")


def test_every_claims_rows_are_there():
    known = experiments("uhlich", TINY)
    for each in claims("uhlich"):
        if each.experiment:
            assert each.experiment in known, each.id


def test_the_schooling_is_told_in_words():
    adam = InstrumentNetwork(layers=2, iterations=7, fine=0, examples=1000, optimiser="adam")
    assert adam.schooling == "7 passes of Adam for each of 2 layers, on 1,000 vectors"
