"""What a reader sees: which evidence is taken, and how it is counted, compared, drawn and heard."""

import json
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from unmix import audio
from unmix.datasets.catalogue import open_dataset
from unmix.errors import DatasetError, SpecError, UnmixError
from unmix.papers.experiment import PROFILES, Row, Setting, experiment
from unmix.report import contrast, figures, player, separating, tables
from unmix.report.evidence import Evidence, comparison, gather, setting
from unmix.report.workbook import Workbook
from unmix.runs.execute import key
from unmix.runs.store import Run, Store

METRICS = ("GNSDR", "GSIR", "GSAR")
FULL = Setting(PROFILES["full"], True)
TINY = Setting(PROFILES["tiny"], False)


def scores(**nsdr):
    """A row a clip, `song_clip=nsdr`; the clip's number decides its length."""
    rows = []
    for clip, value in nsdr.items():
        row = {"clip": clip, "song": clip.split("_")[0], "artist": "a", "source": "voice"}
        row |= {"samples": 1000 * int(clip[-1]), "sdr": value + 0.5, "mixture_sdr": 0.5}
        rows.append(row | {"nsdr": value, "sir": value + 3, "sar": value + 4})
    return pd.DataFrame(rows)


def fabricate(folder, spec, fidelity, table, history=(), **more):
    """A stored run of `spec` with the given scores."""
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(spec.plain()))
    made = {"fidelity": fidelity, "family": spec.family(), "learning_s": 61.4, "device": "abacus"}
    made |= {"clips": {"test": len(table)}, "finished": "2026-01-02T03:04:05Z", **more}
    (folder / "provenance.json").write_text(json.dumps(made))
    table.to_csv(folder / "scores.csv", index=False)
    if history:
        epochs = {"epoch": range(len(history)), "valid_loss": history, "seconds": 40.0}
        pd.DataFrame(epochs).to_csv(folder / "history.csv", index=False)
    return Run(folder)


def spec_of(where, label, name="table2"):
    rows = experiment("parwal", name, where).rows
    return next(row.spec for row in rows if ", ".join(row.keys.values()) == label)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty `results/parwal`."""
    monkeypatch.setenv("UNMIX_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("UNMIX_DATA", raising=False)
    (tmp_path / "results" / "parwal").mkdir(parents=True)
    return tmp_path / "results" / "parwal"


@pytest.fixture
def store(tmp_path, results, standin_cache):
    """A store with a run on the stand-in for each row of Table II under `tiny`."""
    found = Store(tmp_path / "store")
    dataset = open_dataset("synthetic-voice", None, TINY.profile.clips)
    for shift, label in enumerate(("Not augmented", "Augmented")):
        spec = spec_of(TINY, label)
        table = scores(a_1=1.0 + shift, a_2=2.0 + shift, b_1=3.0 + 2 * shift)
        fabricate(found.root / key(spec, dataset), spec, "stand-in", table, history=(0.5, 0.25))
    return found


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


def test_a_data_root_that_does_not_exist_is_no_stand_in(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        setting("parwal", "quick", tmp_path / "nowhere")
    monkeypatch.setenv("UNMIX_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match="no such folder"):
        setting("parwal", "quick", None)
    assert not setting("parwal", "quick", tmp_path).real
    (tmp_path / "MIR-1K" / "Wavfile").mkdir(parents=True)
    assert setting("parwal", "quick", tmp_path).real


# Differences.


def item(folder, name, *seeds):
    """Evidence of one row from tables of scores, one a seed."""
    spec = spec_of(TINY, "Augmented")
    runs = [
        fabricate(folder / f"{name}{seed}", spec.with_seed(seed), "stand-in", table)
        for seed, table in enumerate(seeds)
    ]
    return Evidence(Row({"input": name}, spec), tuple(runs))


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


def test_contrast_table_says_published_here_and_what_is_missing(store, results):
    book = Workbook("parwal", profile="tiny", store=store.root)
    pairs = {"more & more": ("Augmented", "Not augmented")}
    shown = book.contrast("table2", pairs)
    assert "more &amp; more" in shown.markup
    assert "<td>+0.58</td>" in shown.markup  # 7.13 - 6.55
    assert "<td>+1.25 [+1.00, +2.00]</td>" in shown.markup
    assert "more & more, GNSDR: +1.25 [+1.00, +2.00]" in repr(shown)
    assert "no common clips" in repr(book.contrast("table2", pairs, songs=["z"]))
    fabricate(results / "f", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0))
    assert "no common clips" in repr(book.contrast("table2", pairs))
    empty = Workbook("parwal", profile="tiny", store=store.root / "empty")
    assert "not run yet" in repr(empty.contrast("table2", pairs))
    with pytest.raises(SpecError, match="did you mean 'Augmented'"):
        book.contrast("table2", {"x": ("augmented", "Not augmented")})


# Tables.


def test_page_has_caption_provenance_and_escapes(store):
    rows = look(store)
    long = comparison("parwal", "table2", list(rows.values()), METRICS)
    long["input"] = long["input"].replace("Augmented", "<b>&")
    markup = tables.page(long, list(rows.values()), "Table <II>").markup
    assert "<caption>Table &lt;II&gt;</caption>" in markup
    assert '<th scope="row">&lt;b&gt;&amp;</th>' in markup
    assert "<b>" not in markup
    assert "<td>7.13</td><td>3.25</td><td>−3.88</td>" in markup
    words = re.search("unmix-provenance'>(.*)</p>", markup).group(1)
    for said in ("stand-in, not the paper", "512 taps", "weighted by length", "abacus"):
        assert said in words
    assert "took 80 to 80 s" in words, "61 s is the last, resumed, process alone"


def test_tables_of_a_workbook_say_what_they_show(store, results):
    book = Workbook("parwal", profile="tiny", store=store.root)
    assert "a stand-in, not the paper" in book.table("table2").markup
    assert "are the evidence that the table above shows" in repr(book.table("table2", best=False))
    fabricate(results / "f", spec_of(FULL, "Augmented"), "full", scores(x_1=7.0))
    assert re.search("<caption>[^<]*dataset and a stand-in", book.table("table2").markup)
    assert "unmix run parwal/patience --profile full" in repr(book.table("patience"))


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
    plt.close(figure)


def test_histories_have_a_curve_a_run_relative_to_the_first_epoch(store):
    figure = figures.histories(list(look(store).values()))
    (axis,) = figure.axes
    assert texts([axis]) == [("epoch", "validation loss / its value after the first epoch")]
    curves = [line.get_xydata().tolist() for line in axis.lines]
    assert curves == [[[1.0, 1.0], [2.0, 0.5]]] * 2
    assert [t.get_text() for t in axis.get_legend().texts] == ["Not augmented", "Augmented"]
    plt.close(figure)


def test_spectrograms_show_true_and_estimated_in_hertz_seconds_and_decibels(small_stft):
    time = np.arange(12000) / 8000
    tone = (0.5 * np.sin(2 * np.pi * 1000 * time))[None].astype(np.float32)
    sounds = {"voice": tone, "accompaniment": 0.1 * tone}
    figure = figures.spectrograms(sounds, {**sounds, "voice": 0 * tone}, small_stft)
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
    assert all("not stored: unmix run parwal/" in name for name in names)


# A workbook with nothing behind it.


@pytest.mark.parametrize("method", ["boxplot", "histories", "listen"])
def test_a_workbook_without_runs_says_what_to_run(results, tmp_path, method):
    book = Workbook("parwal", profile="tiny", store=tmp_path)
    with pytest.raises(UnmixError, match="run `unmix run parwal/table2 --profile tiny`"):
        getattr(book, method)("table2")


def test_spectrograms_without_a_run_say_which_row(results, tmp_path):
    book = Workbook("parwal", profile="tiny", store=tmp_path)
    keys = {"input": "Augmented"}
    with pytest.raises(UnmixError, match=r"no stored run for .*Augmented.*unmix run parwal/table2"):
        book.spectrograms("table2", keys)


def test_rows_of_different_fidelity_are_marked_in_one_table():
    line = {"metric": "GNSDR", "published": 1.0, "reproduced": 2.0, "spread": float("nan")}
    rows = [
        {"row": name, **line, "seeds": 1, "fidelity": kind, "runs": "k"}
        for name, kind in (("a", "full"), ("b", "stand-in"))
    ]
    both = tables.page(pd.DataFrame(rows), [], "caption")._repr_html_()
    assert both.count('class="fidelity fidelity-') == 2
    assert "fidelity" not in tables.page(pd.DataFrame(rows[:1]), [], "caption")._repr_html_()
