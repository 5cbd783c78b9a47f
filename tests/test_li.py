"""The paper `li`: what its rows say, what it runs on, and what is shown of its networks."""

import math
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from aids import TINY, fabricate
from unmix.errors import UnmixError
from unmix.models.decoupling import DecouplingNetwork
from unmix.papers import evidence, li
from unmix.papers.evidence import Evidence, comparison, schooling
from unmix.papers.experiment import (
    PROFILES,
    Setting,
    experiment,
    experiments,
    materials,
    taken,
)
from unmix.papers.published import by_row, published
from unmix.report import figures, latent, readings, sizes, tables
from unmix.runs.spec import spec_from_plain
from unmix.verdicts import judge
from unmix.verdicts.claims import claims

LIKE = Setting(PROFILES["full"], True, part=True)
WHOLE = Setting(PROFILES["full"], True)
SETTINGS = [
    *(Setting(PROFILES[name], False) for name in ("tiny", "quick")),
    Setting(PROFILES["quick"], True),
    Setting(PROFILES["quick"], True, part=True),
    LIKE,
    WHOLE,
]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def rows_of(name, setting):
    return {tuple(row.keys.values()): row for row in experiment("li", name, setting).rows}


# Specs.


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_spec_can_be_written_and_read_and_is_one_of_mono_songs_in_four_sources(setting):
    for found in experiments("li", setting).values():
        for row in found.rows:
            assert spec_from_plain(row.spec.plain()) == row.spec
            assert row.spec.mixing.sources == ("vocals", "bass", "drums", "other")
            assert row.spec.mixing.channels == 1
            assert row.spec.scored == row.spec.mixing.sources


@pytest.mark.parametrize("name", ["table1", "figure6", "figure7", "figure8"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_published_row_is_run(name, setting):
    wanted = {keys[:-1] for keys in by_row(published("li", name))}
    assert wanted <= set(rows_of(name, setting))


def test_a_row_of_a_source_is_one_of_what_its_network_answers():
    rows = rows_of("table1", TINY)
    assert rows["DRDNN", "Drum"].of == {"source": "drums"}
    assert rows["DRDNN", "all"].of == {}
    specs = {row.spec for keys, row in rows.items() if keys[0] == "DRDNN"}
    assert len(specs) == 1
    assert len({row.spec for row in rows.values()}) == 4 + 2


def test_full_is_the_papers_transform_on_ten_rounds():
    spec = li.base(WHOLE)
    assert (spec.stft.window, spec.stft.hop, spec.stft.shape) == (1024, 256, "blackmanharris")
    assert (spec.separator.frames, spec.separator.overlap) == (50, 15)
    assert spec.training.chunk * spec.stft.rate == 50 * 256
    assert (spec.dataset, spec.split, spec.clips) == ("dsd100", "rounds-of-10", None)
    assert (li.base(LIKE).dataset, li.base(LIKE).split) == ("dsd100-like", "rounds-of-5")
    assert li.base(TINY).dataset == "synthetic-songs"


@pytest.mark.parametrize("setting", SETTINGS)
def test_baselines_have_the_weights_the_mask_and_the_training_of_drdnn(setting):
    for mask in (True, False):
        found = li.systems(setting, mask)
        own = found["DRDNN"]
        for name, kind in li.BASELINES.items():
            spec = found[name]
            assert (spec.separator.system, spec.separator.mask) == (kind, mask)
            assert abs(spec.separator.weights() / own.separator.weights() - 1) < 0.05
            assert replace(spec, separator=own.separator) == own


def test_variants_and_choices_change_what_they_are_called_after():
    own = li.base(TINY)
    changed = {
        keys[0]: {
            name
            for part in ("separator", "training")
            for name, value in vars(getattr(row.spec, part)).items()
            if value != getattr(getattr(own, part), name)
        }
        for name in ("figure6", "choices")
        for keys, row in rows_of(name, TINY).items()
    }
    assert changed == {
        "DRDNN": set(),
        "DRDNN-wDCP": {"layers"},
        "DRDNN-wDR": {"convolutions", "start"},
        "as in the tables": set(),
        "filters drawn at random": {"start"},
        "one state a patch": {"unroll"},
        "discriminative, 0.05": {"beta"},
        "songs not mixed anew": {"augmentation"},
    }
    assert rows_of("choices", LIKE)["discriminative, 0.2", "all"].spec.separator.beta == 0.2


# Recordings that are like the paper's.


@pytest.mark.parametrize(
    ("there", "profile", "dataset"),
    [
        ((), "quick", None),
        ((), "full", "dsd100"),
        (("dsd100-like",), "tiny", None),
        (("dsd100-like",), "quick", "dsd100-like"),
        (("dsd100-like",), "full", "dsd100-like"),
        (("dsd100", "dsd100-like"), "quick", "dsd100"),
        (("dsd100", "dsd100-like"), "full", "dsd100"),
    ],
)
def test_recordings_that_are_alike_are_taken_where_the_papers_are_not(
    there, profile, dataset, monkeypatch, tmp_path
):
    monkeypatch.setattr(evidence, "available", lambda name, root=None: name in there)
    chosen = evidence.setting("li", profile, tmp_path)
    assert chosen.real == (dataset is not None)
    if dataset:
        assert taken("li", chosen) == dataset
        assert li.base(chosen).dataset == dataset


def test_full_knows_both_materials():
    assert materials("li", "full") == [(True, False), (True, True)]


# What is known of a run beside its scores.


def run(folder, rows, seconds=90.0):
    spec = li.base(TINY)
    scores = pd.DataFrame({"clip": ["a"] * 4, "source": list(spec.mixing.sources), "samples": 9})
    scores[["sdr", "sir", "sar", "nsdr"]] = 1.0
    made = fabricate(folder, spec, "stand-in", scores, learning_s=seconds, clips={"test": 1})
    if rows:
        pd.DataFrame(rows).to_csv(folder / "history.csv", index=False)
    return made


def test_training_loss_is_that_of_the_last_epochs_of_all_rounds(tmp_path):
    rows = [
        {"round": number, "epoch": epoch, "train_loss": loss, "seconds": 1.0}
        for number, losses in ((1, (0.9, 0.2)), (2, (0.8, 0.4)))
        for epoch, loss in enumerate(losses)
    ]
    found = schooling(run(tmp_path / "a", rows))
    assert found == {"training time": 90.0, "training loss": pytest.approx(0.3)}
    plain = [{key: row[key] for key in ("epoch", "train_loss", "seconds")} for row in rows[:2]]
    assert schooling(run(tmp_path / "b", plain))["training loss"] == pytest.approx(0.2)
    assert schooling(run(tmp_path / "c", [])) == {"training time": 90.0}


def test_training_losses_are_drawn_as_they_are_over_the_epochs_of_all_rounds(tmp_path):
    rows = [
        {"round": number, "epoch": epoch, "train_loss": loss, "valid_loss": 9.0, "seconds": 1.0}
        for number, losses in ((1, (0.9, 0.2)), (2, (0.7, 0.4)))
        for epoch, loss in enumerate(losses)
    ]
    of = Evidence(experiment("li", "figure7", TINY).rows[0], (run(tmp_path / "a", rows),))
    (axis,) = figures.histories([of], "train").axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "training loss")
    (curve,) = axis.lines
    assert np.allclose(curve.get_xydata(), [[1.0, 0.8], [2.0, 0.3]])
    (axis,) = figures.histories([of]).axes
    assert np.allclose(axis.lines[0].get_ydata(), 1.0)


def test_a_time_is_no_level_and_has_no_ceiling(tmp_path):
    made = run(tmp_path / "a", [], seconds=600.0)
    row = experiment("li", "figure6", TINY).rows[0]
    long = comparison("li", "figure6", [Evidence(row, (made,))], ("training time",))
    assert long["reproduced"].tolist() == [600.0]
    assert tables.headed("training time") == "training time (s)"
    assert "<td>600</td>" in tables.page(long, [Evidence(row, (made,))], "Figure 6").markup


@pytest.mark.parametrize(("name", "metric"), [("D13b", "training time"), ("D15", "training loss")])
def test_claims_on_times_and_losses_point_to_their_table(name, metric, unmix):
    each = next(one for one in claims("li") if one.id == name)
    rows = [[Evidence(row, ())] for row in experiment("li", each.experiment, TINY).rows]
    (found,) = judge.verdicts("li", [each], lambda name: rows)
    assert found.outcome == "not assessed"
    assert found.why.startswith(f"{metric} is no score of songs; `unmix table li/")
    assert "Margin" not in unmix("claims", name)[1], "what is not judged has none"
    assert "Margin" in unmix("claims", "D13a")[1]


# Which reading of the scores the paper's own table allows.


def test_both_readings_are_scored_in_the_runs_of_table_1():
    table1 = {row.spec for row in experiment("li", "table1", TINY).rows}
    rows = rows_of("readings", TINY)
    assert {row.spec for row in rows.values()} <= table1
    assert {row.spec.evaluation.versions for row in rows.values()} == {("3-sources", "3-images")}
    assert rows["MLP", "Bass", "images"].of == {"source": "bass", "version": "3-images"}
    assert rows["MLP", "Bass", "sources"].of == {"source": "bass", "version": "3-sources"}


def test_lines_with_sdr_above_sir_are_counted_in_the_paper_and_by_reading():
    keys = {"system": "MLP", "source": "Bass"}
    long = pd.DataFrame(
        {**keys, "reading": reading, "metric": metric, "reproduced": value}
        for reading, scores in {
            "sources": {"SDR": 1.0, "SIR": 2.0, "ISR": math.nan},
            "images": {"SDR": 3.5, "SIR": 2.0, "ISR": 4.0},
        }.items()
        for metric, value in scores.items()
    )
    book = SimpleNamespace(paper="li", long=lambda name, best: long)
    assert repr(readings.above(book, "readings", "table1", "reading")).splitlines() == [
        # Bass of the DRDNN 3.41 over 3.14, other of the MLP 1.57 over 1.17.
        "the paper, 16, 3, 0.40 dB",
        "here, by sources, 1, 0, ",
        "here, by images, 1, 1, 1.50 dB",
    ]


# What is shown of the networks.


def test_weights_are_told_once_a_network():
    shown = sizes.weights(experiment("li", "table1", TINY))
    own = li.base(TINY).separator
    lines = repr(shown).splitlines()
    assert lines[-1] == f"DRDNN, {own.weights():,}"
    assert [line.split(",")[0] for line in lines] == ["MLP", "DCNN", "DRNN", "DRDNN"]


def test_stages_are_drawn_with_a_column_for_each_source():
    settings = DecouplingNetwork(bins=17, frames=10, overlap=3, maps=2, convolutions=2, cells=5)
    heard = torch.rand(1, 10, 17)
    with torch.no_grad():
        found = settings.build(4).stages(heard)
    sources = ("vocals", "bass", "drums", "other")
    shown = {name: values[0].numpy() for name, values in found.items()}
    figure = latent.drawn(
        {"clip": "a", "second": 1.5, "sources": sources, "heard": heard[0].numpy(), **shown}
    )
    titles = [axis.get_title() for part in figure.subfigs for axis in part.axes]
    assert titles[:3] == ["the patch, in dB", "after the convolutions", "first LSTM"]
    assert titles[3:7] == [f"decoupled: {source}" for source in sources]
    assert titles[7:] == [f"restored: {source}, in dB" for source in sources]
    pictures = [axis.images[0].get_array() for part in figure.subfigs for axis in part.axes]
    assert pictures[0].shape == (17, 10)
    assert float(pictures[0].max()) == pytest.approx(0.0, abs=1e-4)
    assert np.allclose(pictures[4], shown["decoupled"][1].T)


def test_without_a_stored_run_the_command_is_named():
    class Book:
        paper = "li"

        def evidence(self, name, best):
            return []

        def command(self, *words):
            return " ".join(("unmix", *words))

    with pytest.raises(UnmixError, match=r"li/table1 has no stored run .*unmix run table1"):
        latent.stages(Book(), "table1", {"system": "DRDNN", "source": "all"})
