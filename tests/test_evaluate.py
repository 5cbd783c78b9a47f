"""`unmix evaluate`: files in, scores out, and every way in which files do not belong together."""

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from aids import refused
from unmix.metrics.bsseval import bss_eval
from unmix.metrics.exchange import from_museval
from unmix.metrics.scores import TIDY
from unmix.report.evaluating import evaluate_files

RATE = 1000


def write(path, data, rate=RATE):
    """`(channels, samples)` into a file of floats, or of 16 bits where floats cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "FLOAT" if path.suffix == ".wav" else "PCM_16"
    soundfile.write(path, np.asarray(data).T, rate, subtype=kind)
    return path


@pytest.fixture
def folders(tmp_path):
    """Two stereo sources of 3.2 s, and estimates of them."""
    rng = np.random.default_rng(0)
    true = 0.1 * rng.standard_normal((2, 2, 3200)).astype(np.float32)
    found = (true + 0.3 * true[::-1] + 0.01 * rng.standard_normal(true.shape)).astype(np.float32)
    for number, name in enumerate(("bass", "voice")):
        write(tmp_path / "true" / f"{name}.wav", true[number])
        write(tmp_path / "found" / f"{name}.wav", found[number])
    return tmp_path / "true", tmp_path / "found", torch.tensor(true), torch.tensor(found)


@pytest.mark.parametrize("metric", ["sdr-v3", "images-v3"])
def test_folders_are_scored_as_the_package_scores_their_sounds(unmix, folders, metric):
    true, found, references, estimates = folders
    status, out, err = unmix("evaluate", true, found, "--metric", metric, "--json", "-")
    assert (status, err) == (0, "")
    data = json.loads(out)
    wanted = bss_eval(references, estimates[None], metric).named()
    assert data["metric"] == metric
    assert (data["taps"], data["rate"], data["aggregation"]) == (512, RATE, "whole signal")
    assert list(data["sources"]) == ["bass", "voice"]
    for number, scores in enumerate(data["sources"].values()):
        assert ("ISR" in scores) == (metric == "images-v3")
        assert "frames" not in scores
        for name, value in scores.items():
            assert value == pytest.approx(wanted[name][0, number, 0].item(), abs=1e-9)


def test_frames_stand_beside_their_median(unmix, folders):
    true, found, references, estimates = folders
    options = ("--metric", "v4", "--taps", 64, "--window", 1, "--hop", 0.5)
    status, out, _ = unmix("evaluate", true, found, *options, "--json", "-")
    data = json.loads(out)
    assert (status, data["window"], data["hop"]) == (0, 1.0, 0.5)
    assert data["aggregation"] == "median of frames"
    wanted = bss_eval(references, estimates[None], "v4", taps=64, window=1000, hop=500).sdr[0, 1]
    voice = data["sources"]["voice"]
    assert [frame["SDR"] for frame in voice["frames"]] == pytest.approx(wanted.tolist())
    assert [frame["time"] for frame in voice["frames"]] == [0, 0.5, 1, 1.5, 2]
    assert {frame["duration"] for frame in voice["frames"]} == {1.0}
    assert voice["SDR"] == pytest.approx(np.median(wanted))


def test_version_4_takes_frames_of_a_second_at_any_rate(folders):
    true, found, *_ = folders
    frames = evaluate_files(true, found, "v4", taps=4).frames
    assert set(frames["duration"]) == {1.0}
    assert frames["frame"].max() == 2


def test_the_table_says_which_scores_these_are(unmix, folders):
    true, found, *_ = folders
    write(true / "mixture.wav", np.zeros((2, 3200)))
    silent = np.zeros((2, 3200), dtype=np.float32)
    silent[:, :1000] = 0.1
    write(found / "voice.wav", silent)
    status, out, err = unmix("evaluate", true, found, "--metric", "v4", "--taps", 8)
    assert (status, err) == (0, "")
    assert "BSS Eval 4, images (v4), 8 taps, median of frames of 1 s every 1 s, dB" in out
    assert "mixture.wav: left out, a mixture is no source" in out
    assert "voice: 2 of 3 frames not scored, a source or an estimate is silent" in out
    for name in ("SDR", "ISR", "SIR", "SAR", "bass"):
        assert name in out


def test_silence_throughout_is_undefined_and_said_to_be(unmix, folders):
    true, found, *_ = folders
    write(found / "voice.wav", np.zeros((2, 3200)))
    status, out, _ = unmix("evaluate", true, found, "--taps", 8)
    assert status == 0
    assert "undefined" in out
    assert "voice: not scored, a source or an estimate is silent" in out
    _, out, _ = unmix("evaluate", true, found, "--taps", 8, "--json", "-")
    assert json.loads(out)["sources"]["voice"] == {"SDR": None, "SIR": None, "SAR": None}


def test_two_files_are_a_source_alone(unmix, folders):
    true, found, *_ = folders
    status, out, _ = unmix(
        "evaluate", true / "voice.wav", found / "voice.wav", "--taps", 8, "--json", "-"
    )
    scores = json.loads(out)["sources"]["voice"]
    assert (status, scores["SIR"]) == (0, None)
    assert math.isfinite(scores["SDR"])


def test_files_of_other_endings_and_museval_give_the_same(folders, tmp_path):
    true, found, *_ = folders
    for name in ("bass", "voice"):
        data, _ = soundfile.read(found / f"{name}.wav")
        write(tmp_path / "flac" / f"{name}.flac", data.T)
    (tmp_path / "flac" / "notes.txt").write_text("no sound")
    ours = evaluate_files(true, tmp_path / "flac", "images-v3", taps=16).totals()
    theirs = evaluate_files(
        true, tmp_path / "flac", "images-v3", taps=16, backend="museval"
    ).totals()
    pd.testing.assert_frame_equal(ours, theirs, atol=1e-4)


def test_scores_go_into_files(unmix, folders, tmp_path):
    true, found, *_ = folders
    names = {"--json": "s.json", "--csv": "s.csv", "--museval": "m.json"}
    options = [part for option, name in names.items() for part in (option, tmp_path / name)]
    status, out, err = unmix("evaluate", true, found, "--metric", "v4", "--taps", 8, *options)
    assert (status, err) == (0, "")
    assert "BSS Eval 4" in out
    assert json.loads((tmp_path / "s.json").read_text())["metric"] == "v4"
    table = pd.read_csv(tmp_path / "s.csv")
    assert tuple(table.columns) == TIDY
    assert len(from_museval(tmp_path / "m.json")) == len(table) == 2 * 4 * 3
    status, out, _ = unmix(
        "evaluate", true, found, "--metric", "v4", "--taps", 8, "--beside", tmp_path / "m.json"
    )
    assert status == 0
    rows = [line for line in out.splitlines() if "bass" in line or "voice" in line]
    for row in rows:
        cells = [cell.strip() for cell in row.strip("│").split("│")][1:]
        assert cells[0::2] == cells[1::2], "they are the same scores"


def test_csv_on_the_terminal_is_csv_alone(unmix, folders):
    true, found, *_ = folders
    _, out, _ = unmix("evaluate", true, found, "--taps", 8, "--csv", "-")
    assert tuple(pd.read_csv(io.StringIO(out)).columns) == TIDY


def test_the_best_order_is_found_and_said(unmix, folders):
    true, found, *_ = folders
    swapped = found.parent / "swapped"
    swapped.mkdir()
    (found / "bass.wav").rename(swapped / "voice.wav")
    (found / "voice.wav").rename(swapped / "bass.wav")
    status, out, _ = unmix("evaluate", true, swapped, "--taps", 8, "--permute")
    assert status == 0
    assert "bass: best matched by the estimate of voice" in out


def test_with_the_best_order_names_need_not_be_the_same(unmix, folders):
    true, found, *_ = folders
    (found / "bass.wav").rename(found / "b.wav")
    (found / "voice.wav").rename(found / "a.wav")
    status, out, _ = unmix("evaluate", true, found, "--taps", 8, "--permute")
    assert status == 0
    assert "estimates in the order a.wav, b.wav" in out
    assert "bass: best matched by the estimate of voice" in out


def test_what_a_reader_should_know_of_the_sounds_is_said(unmix, folders):
    true, found, *_ = folders
    write(true / "bass.wav", np.zeros((2, 3200)))
    options = ("--taps", 1, "--window", 1.5)
    status, out, _ = unmix("evaluate", true, found, *options)
    assert status == 0
    assert "BSS Eval 2, gain only (sdr-v3), 1 tap, median of frames of 1.5 s every 1.5 s" in out
    assert "bass: the reference is silent throughout" in out
    assert "the last 0.20 s are in no frame, and not scored" in out
    _, out, _ = unmix("evaluate", true, found, "--metric", "v4", "--window", 30)
    assert "the sounds are shorter than a window: one frame of 3200 samples" in out
    assert "3200 samples are few for 2048 filter taps" in out
    _, out, _ = unmix("evaluate", true / "voice.wav", found / "voice.wav", "--taps", 8)
    assert "one source: there is no interference to be measured, so no SIR" in out


def test_what_differs_is_aligned_where_that_is_asked_for(unmix, folders):
    true, found, references, _ = folders
    write(found / "bass.wav", references[0, :1, :3000].numpy())
    write(found / "voice.wav", np.repeat(references[1].numpy(), 2, axis=1), 2 * RATE)
    status, out, err = unmix("evaluate", true, found, "--taps", 8, "--align")
    assert (status, err) == (0, "")
    assert "bass.wav: one channel copied to 2" in out
    assert "bass.wav: 200 samples of silence added at the end" in out
    assert f"voice.wav: resampled from {2 * RATE} to {RATE} Hz" in out
    write(found / "bass.wav", np.ones((2, 4000)))
    _, out, _ = unmix("evaluate", true, found, "--taps", 8, "--align")
    assert "bass.wav: 800 samples cut at the end" in out


# Bad input.


@pytest.mark.parametrize(
    ("shape", "rate", "message"),
    [
        ((2, 3200), 2000, r"voice\.wav: 2000 Hz\. Expected: 1000 Hz, as .*\(or --align\)"),
        ((1, 3200), RATE, r"voice\.wav: 1 channel\(s\)\. Expected: 2 channel\(s\), as"),
        ((2, 3100), RATE, r"voice\.wav: 3100 samples\. Expected: 3200 samples, as .*bass\.wav has"),
    ],
)
def test_files_that_differ_are_refused(unmix, folders, shape, rate, message):
    true, found, *_ = folders
    write(found / "voice.wav", np.ones(shape), rate)
    refused(unmix("evaluate", true, found), message)


def test_references_that_differ_among_themselves_are_refused(unmix, folders):
    true, found, *_ = folders
    write(true / "voice.wav", np.ones((2, 3100)))
    answer = unmix("evaluate", true, found, "--align")
    refused(answer, r"voice\.wav: 3100 samples\. Expected: 3200 samples")
    assert "--align" not in answer[2], "it does not help here"


def test_names_must_be_the_same(unmix, folders):
    true, found, *_ = folders
    (found / "voice.wav").rename(found / "voices.wav")
    said = r"voices\.wav: no reference of that name.*did you mean 'voice'\?"
    refused(unmix("evaluate", true, found), said)
    (found / "voices.wav").unlink()
    refused(unmix("evaluate", true, found), "no estimate of voice")


def test_other_misfits_are_named(unmix, folders, tmp_path):
    true, found, *_ = folders
    (tmp_path / "empty").mkdir()
    cases = {
        (true, tmp_path / "none"): "none: no such file or folder",
        (true, tmp_path / "empty"): "empty: holds no sound files",
        (true, found / "voice.wav"): "are a file and a folder",
        (true, found, "--metric", "v5"): "unknown metric 'v5'",
        (true, found, "--backend", "matlab"): "unknown backend 'matlab'",
        (true, found, "--taps", 0): "taps of 0 samples",
        (true, found, "--window", 0): "a window of 0 s",
        (true, found, "--window", "nan"): "a window of nan s",
        (true, found, "--window", 1, "--hop", "inf"): "a hop of inf s",
        (tmp_path, found): "holds no sound files, but folders.*the folders of one track",
        (true, found, "--museval", tmp_path / "n.json"): "museval's files hold scores of frames",
        (true, found, "--hop", 1): "a hop of 1000 samples without a window",
        (
            true,
            found,
            "--metric",
            "v4",
            "--beside",
            tmp_path / "m.json",
        ): r"m\.json: cannot be read",
        (true, found, "--json", tmp_path / "no" / "s.json"): r"s\.json: could not be written",
    }
    for words, said in cases.items():
        refused(unmix("evaluate", *words), said)
    write(found / "voice.flac", np.ones((2, 3200)))
    refused(unmix("evaluate", true, found), "two files for source 'voice'")


def test_a_broken_file_is_named(unmix, folders):
    true, found, *_ = folders
    (found / "voice.wav").write_bytes(b"RIFF no sound")
    refused(unmix("evaluate", true, found), r"voice\.wav: cannot be read as sound")


def test_an_evaluation_of_another_track_is_not_set_beside(unmix, folders, tmp_path):
    true, found, *_ = folders
    frame = {"time": 0, "duration": 1, "metrics": {"SDR": 1.0}}
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"targets": [{"name": "drums", "frames": [frame]}]}))
    said = r"m\.json: has no scores of bass, voice"
    refused(unmix("evaluate", true, found, "--metric", "v4", "--beside", path), said)
    said = "others' scores of museval can stand beside scores of frames and images, not sdr-v3"
    refused(unmix("evaluate", true, found, "--beside", path), said)
    both = unmix("evaluate", true, found, "--json", "-", "--csv", "-")
    refused(both, "only one of --json, --csv and --museval can be the terminal", 2)
