"""The paper `nugraha`: what its rows say, what they run on, and what is drawn of them."""

from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from aids import TINY, fabricate, scores
from unmix import audio
from unmix.errors import AudioError
from unmix.metrics.means import AND
from unmix.models.multichannel import MultichannelNetwork
from unmix.papers import nugraha
from unmix.papers.evidence import Evidence
from unmix.papers.experiment import PROFILES, Setting, experiment, experiments
from unmix.papers.published import by_row, published
from unmix.report import figures, separating, speed
from unmix.report.notes import notes
from unmix.report.workbook import Workbook
from unmix.runs.spec import spec_from_plain

LIKE = Setting(PROFILES["full"], True, part=True)
WHOLE = Setting(PROFILES["full"], True)
SETTINGS = [TINY, Setting(PROFILES["quick"], False), LIKE, WHOLE]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def rows_of(name, setting):
    return {tuple(row.keys.values()): row for row in experiment("nugraha", name, setting).rows}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_spec_can_be_written_and_read_and_is_one_of_whole_stereo_songs(setting):
    for found in experiments("nugraha", setting).values():
        for row in found.rows:
            assert spec_from_plain(row.spec.plain()) == row.spec
            assert row.spec.mixing.whole
            assert row.spec.mixing.channels == 2
            assert row.spec.scored == nugraha.SOURCES
            scoring = row.spec.evaluation
            assert (scoring.version, scoring.window, scoring.hop) == ("3-images", 30.0, 15.0)


@pytest.mark.parametrize("name", ["table1", "table2"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_published_row_is_run(name, setting):
    wanted = {keys[:-1] for keys in by_row(published("nugraha", name))}
    assert wanted <= set(rows_of(name, setting))


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_trainings_and_three_anchors_carry_all_tables(setting):
    specs = {row.spec for each in experiments("nugraha", setting).values() for row in each.rows}
    assert len(specs) == 5
    assert sum(isinstance(each.separator, MultichannelNetwork) for each in specs) == 2


def test_rows_say_which_answer_source_and_part_they_are():
    rows = rows_of("table1", TINY)
    assert rows["System II", "drums", "eval"].of == {
        "source": "drums",
        "part": "test",
        "variant": "II, 3",
    }
    average = rows["System IIIa", "average", "full"].of
    assert average["source"].split(AND) == list(nugraha.SOURCES)
    assert average["part"].split(AND) == ["train", "valid", "test"]
    accompaniment = rows_of("table2", TINY)["System I", "accompaniment", "dev"].of
    assert accompaniment["source"] == "accompaniment"
    assert accompaniment["part"].split(AND) == ["train", "valid"]
    assert rows_of("iterations", TINY)["System I", "vocals", "4"].of["variant"] == "I, 4"
    summed = rows_of("regularisation", TINY)["System IIIa", "bass", "as summed"]
    assert summed.of["variant"] == "IIIa as summed, 3"
    assert rows_of("worth", TINY)["of System III", "bass", "mask alone"].of["variant"] == "mask"


def test_full_is_the_papers_transform_networks_and_training():
    own, joint = nugraha.base(WHOLE), nugraha.base(WHOLE, joint=True)
    assert (own.stft.rate, own.stft.window, own.stft.hop) == (44100, 2048, 1024)
    assert own.stft.shape == "hamming"
    for spec, units in ((own, 2050), (joint, 4100)):
        network = spec.separator
        assert (network.components, network.units, network.hidden) == (2050, units, 3)
        assert network.context == 2
        schooling = (network.rate, network.iterations, network.batch, network.decay)
        assert schooling == (1e-3, 250, 100, 1e-5)
    assert (own.dataset, own.split, own.clips) == ("dsd100", "dev-test", None)
    assert nugraha.base(LIKE).dataset == "dsd100-like"
    assert nugraha.base(TINY).dataset == "synthetic-songs"


@pytest.mark.parametrize("setting", SETTINGS)
def test_widths_follow_the_bins_and_frames_the_same_time(setting):
    spec = nugraha.base(setting)
    assert spec.separator.units == 2 * spec.stft.bins
    assert nugraha.base(setting, joint=True).separator.units == 4 * spec.stft.bins
    assert 0.03 < spec.stft.window / spec.stft.rate < 0.05


def test_curves_over_iterations_have_a_panel_a_metric_and_a_line_a_system(tmp_path):
    rows = []
    for step in (1, 2, 3):
        for system, level in (("System I", 0.0), ("System II", 0.5)):
            row = rows_of("iterations", TINY)[system, "average", str(step)]
            runs = [
                fabricate(
                    tmp_path / f"{system}{step}{seed}",
                    row.spec.with_seed(seed),
                    "stand-in",
                    scores(a_1=level + step + seed),
                )
                for seed in (0, 1)
            ]
            rows.append(Evidence(replace(row, of={}), tuple(runs)))
    figure = figures.trends(rows, "iterations", ("NSDR", "SIR"))
    assert [axis.get_ylabel() for axis in figure.axes] == ["NSDR (dB)", "SIR (dB)"]
    assert all(axis.get_xlabel() == "iterations" for axis in figure.axes)
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["System I", "System II"], (
        "they share the source"
    )
    assert list(lines[0].get_xdata()) == [1, 2, 3]
    assert list(lines[0].get_ydata()) == [1.5, 2.5, 3.5], "means over two seeds"
    assert list(lines[1].get_ydata()) == [2, 3, 4]


def test_the_speed_of_an_iteration_names_the_ratio_to_norbert():
    shown = speed.iteration()
    assert "norbert" in shown.text
    assert "times as long" in shown.text


def test_a_table_says_that_it_is_scored_in_chunks_and_how_many_were_silent(tmp_path):
    row = rows_of("table1", TINY)["System I", "vocals", "eval"]
    table = scores(a_1=1.0, b_1=2.0).assign(
        source="vocals", part="test", variant="I, 3", frames=[3, 4], silent=[2, 0]
    )
    run = fabricate(tmp_path / "run", row.spec, "stand-in", table)
    (said,) = (each for each in notes([Evidence(row, (run,))]) if each.startswith("Scores"))
    assert "chunks of 30 s every 15 s" in said
    assert "whole clip" not in said
    assert "up to 2 a row" in said
    row = rows_of("table1", TINY)["System I", "average", "eval"]
    four = pd.concat([table.assign(source=each) for each in nugraha.SOURCES])
    run = fabricate(tmp_path / "mean", row.spec, "stand-in", four, clips={"test": 2})
    (said,) = (each for each in notes([Evidence(row, (run,))]) if each.startswith("Scores"))
    assert "up to 2 a row" in said, "a chunk is one, however many sources are silent in it"


def test_a_table_of_some_rows_leaves_out_the_column_that_they_share(tmp_path, monkeypatch):
    row = rows_of("table1", TINY)["System I", "vocals", "eval"]
    table = scores(a_1=1.0).assign(source="vocals", part="test", variant="I, 3", silent=0)
    found = Evidence(row, (fabricate(tmp_path / "run", row.spec, "stand-in", table),))
    monkeypatch.setattr(Workbook, "evidence", lambda self, name, best=True: [found])
    book = Workbook("nugraha", profile="tiny", store=tmp_path / "store")
    shown = book.table("table1", where={"part": "eval"})
    assert ", eval: " in shown.markup
    assert ">part<" not in shown.markup
    assert "System I" in shown.markup
    assert ">part<" in book.table("table1").markup


# Files from outside.


class Crossed:
    """Answers what only who hears both channels can: each with the other's sound."""

    sources, usual = nugraha.SOURCES, "II, 3"

    def separate(self, mixture, references=None):
        return {name: mixture[::-1] / 4 for name in self.sources}


def cancelling(self, mixture, references=None):
    """Answer with estimates that add up to the mixture, and have 2.5 times its energy."""
    return {name: mixture * weight for name, weight in zip(self.sources, WEIGHTS, strict=True)}


WEIGHTS = (1.0, 1.0, -0.5, -0.5)


@pytest.fixture
def outside(monkeypatch, tmp_path):
    """Separate a sound `(channels, samples)` with a system for stereo; returns the estimates."""
    row = rows_of("table1", TINY)["System II", "vocals", "eval"]
    made = {"fidelity": "stand-in", "clips": {"train": 4, "valid": 1}}
    run = SimpleNamespace(spec=lambda: row.spec, provenance=lambda: made, key="0" * 64)
    run.settings = lambda: row.spec.plain()
    run.weights = tmp_path / "weights"
    run.weights.touch()
    monkeypatch.setattr(separating, "_stored", lambda *asked: (row, run))
    monkeypatch.setattr(separating, "restore", lambda spec, weights: Crossed())

    def separate(sound, rate=8000):
        audio.write(tmp_path / "song.wav", sound.astype(np.float32), rate)
        where = tmp_path / "song.wav", "nugraha/table1/system-ii", tmp_path / "out", "tiny"
        found = separating.separate_file(*where, None, None)
        return [audio.read(path)[0] for path in found.paths], found.lines()

    return separate


def test_a_stereo_file_is_heard_as_a_whole(outside):
    sound = np.stack([np.full(4000, 0.4), np.zeros(4000)])
    estimates, lines = outside(sound)
    assert len(estimates) == 4
    assert "trained on 5 clips" in lines[0]  # those of the validation part as well
    assert not any("cancel" in line for line in lines)
    for each in estimates:
        assert np.allclose(each[0], 0.0, atol=1e-3)
        assert np.allclose(each[1], 0.1, atol=1e-3)


def test_estimates_that_cancel_each_other_are_told(outside, monkeypatch):
    monkeypatch.setattr(Crossed, "separate", cancelling)
    _, lines = outside(np.stack([np.full(4000, 0.2), np.full(4000, -0.2)]))
    (note,) = [line for line in lines if "in part cancel each other" in line]
    assert "together have 4.0 dB more energy than the mixture" in note
    assert "the same but for rounding" in note


def test_a_file_that_a_system_for_stereo_cannot_take_is_one_clear_error(outside):
    with pytest.raises(AudioError, match=r"song.wav: 1 channel\..*Expected: 2 channels"):
        outside(np.ones((1, 4000)) / 2)
    with pytest.raises(AudioError, match=r"song.wav: 6 channels\."):
        outside(np.ones((6, 4000)) / 2)
    with pytest.raises(AudioError, match=r"song.wav: 1 samples at 44100 Hz, none at 8000 Hz"):
        outside(np.ones((2, 1)) / 2, rate=44100)


def test_a_system_for_files_is_named_without_what_is_scored_of_it():
    rows = [Evidence(row, ()) for row in experiment("nugraha", "table1", TINY).rows]
    found = separating.named(rows)
    assert list(found)[:4] == ["system-i", "system-ii", "system-iiia", "system-iiib"]
    assert len(found) == 4 + 3
    steps = [Evidence(row, ()) for row in experiment("nugraha", "iterations", TINY).rows]
    assert "system-ii-3" in separating.named(steps)
    alone = [Evidence(row, ()) for row in experiment("parwal", "table4", TINY).rows]
    assert "3-rnn-mse" in separating.named(alone)
