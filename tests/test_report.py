"""What a reader sees: which evidence is taken, and how it is counted, compared, drawn and heard."""

import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from aids import FULL, TINY, fabricate, item, scores, spec_of
from unmix import audio
from unmix.datasets.catalogue import open_dataset
from unmix.errors import DatasetError, UnmixError
from unmix.metrics.bsseval import CEILING
from unmix.papers.evidence import comparison, gather, ready, setting, stand_in_note
from unmix.papers.experiment import PROFILES
from unmix.report import figures, player, separating, tables
from unmix.report.notes import notes
from unmix.report.workbook import Workbook
from unmix.runs.execute import key
from unmix.runs.store import Store

METRICS = ("GNSDR", "GSIR", "GSAR")


def look(store, **more):
    more = {"profile_name": "tiny", **more}
    return {figures.label(item): item for item in gather("parwal", "table2", store, **more)}


def lines(rows):
    table = comparison("parwal", "table2", list(rows.values()), METRICS)
    return {(line["input"], line["metric"]): line for line in table.to_dict("records")}


# Which evidence is taken.


def test_full_evidence_goes_before_the_stand_in_row_by_row(store, results):
    full = fabricate(results / "f00d", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0))
    rows = look(store)
    assert rows["Augmented"].runs == (full,)
    assert rows["Augmented"].fidelity == "full"
    assert rows["Not augmented"].fidelity == "stand-in"
    own = look(store, best=False)
    assert [item.fidelity for item in own.values()] == ["stand-in", "stand-in"]


def test_a_subset_goes_before_the_stand_in_and_behind_full_evidence(store, results):
    subset = replace(spec_of(FULL, "Augmented"), clips=PROFILES["quick"].clips)
    assert subset.family() != spec_of(FULL, "Augmented").family()
    fabricate(results / "aaaa", subset, "subset", scores(x_1=5.0))
    assert look(store)["Augmented"].fidelity == "stand-in", "tiny does not ask for the subset"
    fabricate(results / "bbbb", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0))
    assert look(store)["Augmented"].fidelity == "full"


def test_rows_that_only_a_stand_in_has_do_not_stand_beside_real_ones(store, results):
    def labels():
        rows = gather("parwal", "conditions", store, profile_name="tiny")
        return [figures.label(found) for found in rows if found.runs]

    spec = spec_of(TINY, "standin, 0 dB", "conditions")
    dataset = open_dataset("synthetic-voice", None, TINY.profile.clips)
    fabricate(store.root / key(spec, dataset), spec, "stand-in", scores(a_1=1.0))
    assert labels() == ["standin, 0 dB"]
    spec = spec_of(FULL, "paper, 0 dB", "conditions")
    fabricate(results / "f", spec, "full", scores(x_1=7.0))
    assert labels() == ["paper, 0 dB"]


def test_evidence_of_other_settings_is_not_taken(store, results):
    other = replace(spec_of(FULL, "Augmented"), split="leaky")
    fabricate(results / "cccc", other, "full", scores(x_1=9.0))
    assert look(store)["Augmented"].fidelity == "stand-in"


def test_one_run_a_seed_counts_and_it_is_the_newest(store, results):
    spec = spec_of(FULL, "Augmented")
    days = {"old": "2026-01-01T00:00:00Z", "new": "2026-02-01T00:00:00Z"}
    for name, value in (("old", 1.0), ("new", 7.0)):
        fabricate(results / name, spec, "full", scores(x_1=value), finished=days[name])
    (run,) = look(store)["Augmented"].runs
    assert run.key == "new"


# The long form.


def test_rows_are_compared_with_spread_over_seeds(store, results):
    spec = spec_of(FULL, "Augmented")
    for seed, value in enumerate((6.0, 7.0, 9.5)):
        table = scores(x_1=value, y_3=value + 4)
        fabricate(results / f"{seed}-0123456789abcdef", spec.with_seed(seed), "full", table)
    line = lines(look(store))["Augmented", "GNSDR"]
    seeds = [value + 3.0 for value in (6.0, 7.0, 9.5)]  # the clip of weight 3 is 4 dB better
    assert line["reproduced"] == pytest.approx(np.mean(seeds))
    assert line["spread"] == pytest.approx(np.std(seeds, ddof=1))
    assert (line["published"], line["seeds"], line["fidelity"]) == (7.13, 3, "full")
    assert line["runs"] == "0-0123456789 1-0123456789 2-0123456789"


def test_one_seed_has_no_spread_and_metrics_are_not_confused(store):
    found = lines(look(store))
    weighted = (1 * 1.0 + 2 * 2.0 + 1 * 3.0) / 4
    for metric, published, shift in (("GNSDR", 6.55, 0), ("GSIR", 9.45, 3), ("GSAR", 9.89, 4)):
        line = found["Not augmented", metric]
        assert line["reproduced"] == pytest.approx(weighted + shift)
        assert line["published"] == published
        assert np.isnan(line["spread"])


def test_rows_without_runs_give_nan_and_no_fidelity(results, tmp_path):
    for line in lines(look(Store(tmp_path / "nothing"))).values():
        assert np.isnan(line["reproduced"])
        assert np.isnan(line["spread"])
        assert (line["seeds"], line["fidelity"], line["runs"]) == (0, "", "")
        assert line["published"] > 0


def test_a_score_at_the_ceiling_is_none(results, tmp_path):
    table = scores(x_1=2.0, x_2=3.0).assign(sar=CEILING)
    found = item(tmp_path, "mixture", table, table)
    lines = comparison("parwal", "table2", [found], METRICS).set_index("metric")
    assert lines.loc["GNSDR", "reproduced"] == pytest.approx(8 / 3)
    assert np.isnan(lines.loc["GSAR", "reproduced"])
    assert np.isnan(lines.loc["GSAR", "spread"])


@pytest.mark.parametrize("profile", ["tiny", "quick", "full"])
def test_a_data_root_that_does_not_exist_is_no_stand_in(tmp_path, monkeypatch, profile):
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        setting("parwal", profile, tmp_path / "nowhere")
    monkeypatch.setenv("UNMIX_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match="no such folder"):
        setting("parwal", profile, None)


def test_a_data_root_without_the_dataset_gives_the_stand_in_and_a_line(tmp_path, monkeypatch):
    monkeypatch.delenv("UNMIX_DATA", raising=False)
    assert stand_in_note("parwal", "quick", None) == ""
    assert "no mir1k lies in" in stand_in_note("parwal", "quick", tmp_path)
    assert not setting("parwal", "quick", tmp_path).real
    (tmp_path / "MIR-1K" / "Wavfile").mkdir(parents=True)
    assert setting("parwal", "quick", tmp_path).real
    assert stand_in_note("parwal", "quick", tmp_path) == ""
    assert "profile tiny always takes it" in stand_in_note("parwal", "tiny", tmp_path)
    assert not ready("parwal", "tiny", tmp_path).real
    with pytest.raises(DatasetError, match="holds no clip of MIR-1K"):
        ready("parwal", "quick", tmp_path)


# Tables.


def page_of(rows, **more):
    return tables.page(comparison("parwal", "table2", rows, METRICS), rows, "Table <II>", **more)


def test_page_has_caption_and_escapes(store):
    rows = list(look(store).values())
    long = comparison("parwal", "table2", rows, METRICS)
    long["input"] = long["input"].replace("Augmented", "<b>&")
    markup = tables.page(long, rows, "Table <II>").markup
    assert "<caption>Table &lt;II&gt;</caption>" in markup
    assert '<th scope="row">&lt;b&gt;&amp;</th>' in markup
    assert "<b>&" not in markup


def test_only_the_papers_own_material_has_a_distance_to_its_number(store, results):
    markup = page_of(list(look(store).values())).markup
    assert "<td>7.13</td><td>3.25</td><td>10.03</td>" in markup
    assert "diff." not in markup
    fabricate(results / "f", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0))
    rows = list(look(store).values())
    assert [found.fidelity for found in rows] == ["stand-in", "full"]
    markup = page_of(rows).markup
    assert "<td>7.13</td><td>7.00</td><td>−0.13</td>" in markup
    assert "<td>6.55</td><td>2.00</td><td></td>" in markup
    assert markup.count("diff.") == len(METRICS)


def test_numbers_and_labels_are_written_for_people():
    written = [tables.number(value, signed=True) for value in (-0.004, 0.004, -0.006, 1.0)]
    assert written == ["0.00", "0.00", "−0.01", "+1.00"]
    assert tables.number(float("nan")) == "–"
    assert tables.words("paper, -5 dB") == "paper, −5 dB"
    assert tables.words("3-RNN x-5") == "3-RNN x-5"


def test_notes_say_how_numbers_were_obtained(store):
    said = notes(list(look(store).values()), "1000 epochs")
    assert said == [
        "Material: stand-in (a stand-in, not the paper's dataset): synthetic-voice, split "
        "standin, 3 test clips, voice mixed at 0 dB.",
        "Scores: BSS Eval 3 (sources), 512 taps, whole clip, of the voice; means over clips, "
        "those with a G weighted by length.",
        "Seeds: one a row, so that no spread over seeds is known.",
        "Training: 2 passes over the training part, 4 chunks a step; the paper: 1000 epochs.",
        # The 61 s of the provenance are those of the last, resumed, process alone.
        "Time: learning took 80 s a run, on abacus.",
    ]
    assert notes([]) == ["Nothing was run yet."]


def test_notes_tell_each_material_seeds_stops_and_what_has_no_score(store, results):
    spec, gap = spec_of(FULL, "Augmented"), scores(x_1=7.0, y_1=float("nan"))
    for seed in range(3):
        fabricate(results / f"{seed}", spec.with_seed(seed), "full", gap, history=(0.5,) * 9)
    said = notes(list(look(store).values()))
    assert [entry.partition(":")[0] for entry in said] == [
        *("Material", "Material", "Scores", "Seeds"),
        *("Training (full)", "Training (stand-in)", "Time"),
    ]
    assert said[0].startswith("Material: full (the paper's dataset): mir1k, split paper, 2 test")
    assert said[2].endswith("up to 1 clips a run have no score and are left out.")
    assert said[3] == "Seeds: 1 to 3 a row; ± is the standard deviation over them."
    assert "9 passes over the training part, of at most 24, 4 chunks" in said[4]


def test_notes_are_a_list_below_the_table(store):
    markup = page_of(list(look(store).values()), published_budget="1000 epochs").markup
    (listed,) = re.findall("<ul class=.unmix-provenance.>(.*)</ul>", markup)
    assert listed.count("<li>") == 5
    assert "<li><b>Seeds:</b> one a row" in listed
    assert "the paper: 1000 epochs." in listed
    assert "not the paper&#x27;s dataset" in listed


def test_tables_of_a_workbook_say_what_they_show(store, results):
    book = Workbook("parwal", profile="tiny", store=store.root)
    markup = book.table("table2").markup
    assert "a stand-in, not the paper" in markup
    assert "the paper: 1000 epochs, one chunk a step" in markup
    assert "are the evidence that the table above shows" in repr(book.table("table2", best=False))
    fabricate(results / "f", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0))
    assert re.search("<caption>[^<]*dataset and a stand-in", book.table("table2").markup)
    missing = repr(book.table("patience"))
    assert f"unmix run parwal/patience --profile full --store {store.root}" in missing


def test_rows_of_different_fidelity_are_marked_in_one_table(store, results):
    rows = list(look(store).values())
    assert "fidelity-" not in page_of(rows).markup
    fabricate(results / "f", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0))
    assert page_of(list(look(store).values())).markup.count('class="fidelity fidelity-') == 2


# Figures.


def texts(axes):
    return [(axis.get_xlabel(), axis.get_ylabel()) for axis in axes]


def test_box_plots_have_a_box_a_row_and_units(store):
    figure = figures.boxes(list(look(store).values()))
    labels = [x for x, _ in texts(figure.axes)]
    assert labels == [f"{name} of the voice (dB)" for name in ("NSDR", "SIR", "SAR")]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [
        "Not augmented",
        "Augmented",
    ]
    assert figure.get_suptitle() == "Evidence: a stand-in, not the paper's dataset"
    plt.close(figure)


def test_box_plots_of_mixed_material_name_it_at_each_row(store, results):
    fabricate(results / "f", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0, y_2=8.0))
    figure = figures.boxes(list(look(store).values()))
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels == ["Not augmented (stand-in)", "Augmented (full)"]
    assert figure.get_suptitle().startswith("Evidence: the paper's dataset and a stand-in")
    plt.close(figure)


def test_histories_have_a_curve_a_run_relative_to_the_first_epoch(store):
    figure = figures.histories(list(look(store).values()))
    (axis,) = figure.axes
    assert texts([axis]) == [("epoch", "validation loss / its value after the first epoch")]
    curves = [line.get_xydata().tolist() for line in axis.lines]
    assert curves == [[[1.0, 1.0], [2.0, 0.5]]] * 2
    assert [t.get_text() for t in axis.get_legend().texts] == ["Not augmented", "Augmented"]
    assert axis.get_title() == "Evidence: a stand-in, not the paper's dataset"
    plt.close(figure)


def test_spectrograms_show_true_and_estimated_in_hertz_seconds_and_decibels(small_stft):
    time = np.arange(12000) / 8000
    tone = (0.5 * np.sin(2 * np.pi * 1000 * time))[None].astype(np.float32)
    sounds = {"voice": tone, "accompaniment": 0.1 * tone}
    figure = figures.spectrograms(sounds, {**sounds, "voice": 0 * tone}, small_stft, "a clip")
    assert figure.get_suptitle() == "a clip"
    *panels, bar = figure.axes
    assert [panel.get_title() for panel in panels] == [
        "voice, true",
        "voice, estimated",
        "accompaniment, true",
        "accompaniment, estimated",
    ]
    assert {panel.get_xlabel() for panel in panels[2:]} == {"time (s)"}
    assert {panel.get_ylabel() for panel in panels[::2]} == {"frequency (kHz)"}
    assert bar.get_ylabel() == "level (dB below the loudest bin)"
    image = panels[0].get_images()[0]
    assert image.get_extent() == pytest.approx([0, 1.5, 0, 4])
    level = image.get_array().max(axis=1)
    assert level.max() == pytest.approx(0.0, abs=1e-3)
    assert np.argmax(level) == pytest.approx(1000 / (8000 / 256), abs=1)
    assert panels[1].get_images()[0].get_array().max() < -100
    assert panels[2].get_images()[0].get_array().max() == pytest.approx(-20.0, abs=0.01)
    plt.close(figure)


# Listening.


def test_players_are_files_that_keep_proportions_and_do_not_clip(tmp_path):
    time = np.arange(16000) / 8000
    tone = np.sin(2 * np.pi * 440 * time)[None].astype(np.float32)
    sounds = {"mixture": {"mixture": 3.0 * tone}, "3 RNN, KL": {"voice": 0.3 * tone}}
    shown = player.panel("parwal-x", sounds, 8000, "clip <1>", tmp_path)
    sources = re.findall('src="([^"]+)"', shown.markup)
    assert sources == ["media/parwal-x-mixture-mixture.mp3", "media/parwal-x-3-rnn-kl-voice.mp3"]
    assert "base64" not in shown.markup
    assert 'aria-label="3 RNN, KL: voice"' in shown.markup
    assert "clip &lt;1&gt;" in shown.markup
    heard = []
    for source in sources:
        sound, rate = audio.read(tmp_path / source)
        assert rate == 8000
        assert sound.shape[0] == 1
        assert 16000 <= sound.shape[1] <= 16000 + 3 * 1152  # MP3 pads to whole frames
        heard.append(audio.rms(sound[:, 2000:14000]) * np.sqrt(2))
    assert heard[0] == pytest.approx(player.PEAK, rel=0.05)
    assert heard[0] / heard[1] == pytest.approx(10.0, rel=0.05)


def test_a_silent_panel_is_written_too(tmp_path):
    player.panel("x", {"a": {"a": np.zeros((1, 8000), np.float32)}}, 8000, "", tmp_path)
    sound, _ = audio.read(tmp_path / "media" / "x-a-a.mp3", allow_silence=True)
    assert np.abs(sound).max() < 1e-4


def test_names_of_files_and_systems_keep_signs_apart():
    names = ("standin -5 dB", "standin +5 dB", "standin 0 dB", "standin −5 dB")
    assert [player.slug(name) for name in names] == [
        "standin-minus-5-db",
        "standin-plus-5-db",
        "standin-0-db",
        "standin-minus-5-db",
    ]
    assert player.slug("Oracle ratio mask (IRM)") == "oracle-ratio-mask-irm"


def test_every_system_has_a_name_of_its_own(results, tmp_path, standin_cache):
    names = separating.systems("tiny", tmp_path, None)
    assert len(set(names)) == len(names) > 30
    assert all("not stored: unmix run " in name for name in names)


# A workbook with nothing behind it.


@pytest.mark.parametrize("method", ["boxplot", "histories", "listen"])
def test_a_workbook_without_runs_says_what_to_run(results, tmp_path, method):
    book = Workbook("parwal", profile="tiny", store=tmp_path)
    command = f"unmix run parwal/table2 --profile tiny --store {tmp_path}"
    with pytest.raises(UnmixError, match=f"run `{command}`"):
        getattr(book, method)("table2")


def test_spectrograms_without_a_run_say_which_row(results, tmp_path):
    book = Workbook("parwal", profile="tiny", store=tmp_path)
    keys = {"input": "Augmented"}
    with pytest.raises(UnmixError, match=r"no stored run for .*Augmented.*unmix run parwal/table2"):
        book.spectrograms("table2", keys)
