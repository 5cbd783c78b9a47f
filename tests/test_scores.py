"""What papers report: NSDR, and means weighted by length."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from unmix.audio import mix
from unmix.errors import UnmixError
from unmix.metrics.bsseval import bss_eval
from unmix.metrics.exchange import from_museval, to_museval
from unmix.metrics.means import CEILING, selected
from unmix.metrics.scores import (
    TIDY,
    global_scores,
    over_frames,
    over_tracks,
    score_answers,
    score_clip,
    tidy,
    unscored,
)


@pytest.fixture
def clip(make_track):
    track = make_track("eve_1_01", 0.6)
    mixture, voice, other = mix(track.sources["voice"], track.sources["accompaniment"], 0.0)
    return track.clip, {"voice": voice, "accompaniment": other}, mixture


def table(**columns):
    return pd.DataFrame(columns)


def test_the_mixture_has_no_gain_over_itself(clip):
    about, references, mixture = clip
    same = {"voice": mixture, "accompaniment": mixture}
    row = score_clip(about, references, mixture, same, "voice", 32)
    assert row["nsdr"] == 0.0
    assert row["sdr"] == row["mixture_sdr"]


def test_a_row_says_whose_scores_it_holds(clip):
    about, references, mixture = clip
    estimates = {name: sound + 0.1 * mixture for name, sound in references.items()}
    rows = {
        source: score_clip(about, references, mixture, estimates, source, 32)
        for source in references
    }
    for source, row in rows.items():
        assert (row["clip"], row["song"], row["artist"]) == ("eve_1_01", "eve_1", "eve")
        assert (row["source"], row["samples"]) == (source, 4800)
        assert row["nsdr"] == row["sdr"] - row["mixture_sdr"]
        assert row["nsdr"] > 5
    assert rows["voice"]["sdr"] != rows["accompaniment"]["sdr"]


def test_the_order_of_the_sources_does_not_matter(clip):
    about, references, mixture = clip
    estimates = {name: sound + 0.1 * mixture for name, sound in references.items()}
    backwards = dict(reversed(estimates.items()))
    row = score_clip(about, references, mixture, estimates, "voice", 32)
    assert row == score_clip(about, references, mixture, backwards, "voice", 32)


def test_scores_are_means_weighted_by_length_and_plain_ones():
    scores = table(
        samples=[1000, 3000, 4000],
        sdr=[1.0, 2.0, 10.0],
        sir=[3.0, 5.0, 7.0],
        sar=[0.0, 4.0, -2.0],
        nsdr=[2.0, 4.0, 8.0],
    )
    found = global_scores(scores)
    assert found == {
        "GNSDR": (2.0 * 1 + 4.0 * 3 + 8.0 * 4) / 8,
        "GSDR": (1.0 * 1 + 2.0 * 3 + 10.0 * 4) / 8,
        "GSIR": (3.0 * 1 + 5.0 * 3 + 7.0 * 4) / 8,
        "GSAR": (0.0 * 1 + 4.0 * 3 - 2.0 * 4) / 8,
        "NSDR": (2.0 + 4.0 + 8.0) / 3,
        "SDR": (1.0 + 2.0 + 10.0) / 3,
        "SIR": (3.0 + 5.0 + 7.0) / 3,
        "SAR": (0.0 + 4.0 - 2.0) / 3,
        "clips": 3,
        "unscored": 0,
    }


def test_clips_without_a_score_are_left_out_and_counted():
    nan = math.nan
    scores = table(
        samples=[1000, 9000, 1000, 9000],
        sdr=[1.0, nan, 3.0, 5.0],
        sir=[1.0, nan, 3.0, 5.0],
        sar=[1.0, nan, 3.0, 5.0],
        nsdr=[1.0, nan, 3.0, nan],
    )
    found = global_scores(scores)
    assert (found["clips"], found["unscored"]) == (2, 2)
    assert found["GNSDR"] == found["GSDR"] == 2.0


def test_without_any_score_the_means_are_no_numbers():
    scores = table(samples=[10], sdr=[math.nan], sir=[math.nan], sar=[math.nan], nsdr=[math.nan])
    found = global_scores(scores)
    assert (found["clips"], found["unscored"]) == (0, 1)
    assert all(math.isnan(found[name]) for name in ("GNSDR", "GSDR", "GSIR", "GSAR"))


def test_both_versions_of_bss_eval_stand_in_rows_of_their_own(clip):
    about, references, mixture = clip
    half = {name: 0.5 * sound + 0.05 * mixture for name, sound in references.items()}
    both = ("3-sources", "3-images")
    rows = score_answers(about, references, mixture, {"": half}, ["voice"], 32, versions=both)
    sources, images = rows
    assert (sources["version"], images["version"]) == both
    # A filter on the source is an error for images alone: half of a source is 6 dB away from it.
    assert images["isr"] == pytest.approx(images["sdr"], abs=1.0)
    assert 5.0 < images["sdr"] < 7.0 < sources["sdr"]
    assert "isr" not in sources
    # What is added to the source is the same to both.
    for name in ("sir", "sar"):
        assert images[name] == pytest.approx(sources[name], abs=1e-6)


def test_half_of_a_source_is_six_decibels_off_its_image(clip):
    about, references, mixture = clip
    half = {name: 0.5 * sound for name, sound in references.items()}
    (row,) = score_answers(
        about, references, mixture, {"": half}, ["voice"], 32, versions=["3-images"]
    )
    assert row["sdr"] == row["isr"] == pytest.approx(20 * math.log10(2), abs=1e-4)
    assert "version" not in row


def test_of_several_versions_the_first_is_meant(clip):
    about, references, mixture = clip
    estimates = {name: 0.5 * sound + 0.05 * mixture for name, sound in references.items()}
    both = ("3-sources", "3-images")
    found = pd.DataFrame(
        score_answers(about, references, mixture, {"": estimates}, ["voice"], 32, versions=both)
    )
    usual, images = (selected(found, of) for of in (None, {"version": "3-images"}))
    assert len(usual) == len(images) == 1
    assert usual["sdr"][0] > images["sdr"][0]
    assert "version" not in images
    assert global_scores(images)["ISR"] == images["isr"][0]


def test_scores_of_frames_are_their_mean_and_silent_frames_are_counted(clip):
    about, references, mixture = clip
    estimates = {name: sound + 0.1 * mixture for name, sound in references.items()}
    quiet = {name: sound.copy() for name, sound in references.items()}
    quiet["voice"][:, 2400:3600] = 0
    mixed = sum(quiet.values())
    (row,) = score_answers(about, quiet, mixed, {"": estimates}, ["voice"], 8, frames=(1200, 600))
    each = [
        score_clip(
            about,
            *(
                {name: sound[:, first : first + 1200] for name, sound in sounds.items()}
                if isinstance(sounds, dict)
                else sounds[:, first : first + 1200]
                for sounds in (quiet, mixed, estimates)
            ),
            "voice",
            8,
        )
        for first in range(0, 3601, 600)
        if first != 2400
    ]
    assert (row["frames"], row["silent"]) == (6, 1)
    for name in ("sdr", "sir", "sar", "mixture_sdr"):
        assert row[name] == pytest.approx(np.mean([one[name] for one in each]), abs=1e-6)


def test_stereo_images_are_scored_with_both_channels(clip):
    about, references, _ = clip
    pan = np.array([[1.0], [0.5]], np.float32)
    stereo = {
        "voice": pan * references["voice"],
        "accompaniment": pan[::-1] * references["accompaniment"],
    }
    swapped = {name: sound[::-1].copy() for name, sound in stereo.items()}
    mixture = sum(stereo.values())
    rows = {
        name: score_answers(
            about, stereo, mixture, {"": found}, ["voice"], 1, versions=["3-images"]
        )[0]
        for name, found in (("same", stereo), ("swapped", swapped))
    }
    assert rows["same"]["isr"] == CEILING
    # (1, 0.5) against (0.5, 1): an energy of 1.25 over the difference's 0.5.
    assert rows["swapped"]["isr"] == pytest.approx(10 * math.log10(1.25 / 0.5), abs=0.01)


def test_a_row_may_be_of_several_sources():
    scores = table(clip=["a"] * 3, source=["voice", "accompaniment", "bass"], sdr=[1.0, 3.0, 9.0])
    assert selected(scores, {"source": "voice and accompaniment"})["sdr"].tolist() == [1.0, 3.0]


def test_a_clip_without_scores_has_a_row_by_each_version(clip):
    rows = unscored(clip[0], 100, ["voice", "accompaniment"], ("3-sources", "3-images"))
    assert [(row["version"], row["source"]) for row in rows] == [
        ("3-sources", "voice"),
        ("3-sources", "accompaniment"),
        ("3-images", "voice"),
        ("3-images", "accompaniment"),
    ]


def test_a_silent_voice_makes_a_row_without_scores(clip):
    about, references, _ = clip
    silent = {**references, "voice": np.zeros_like(references["voice"])}
    row = score_clip(about, silent, references["accompaniment"], references, "voice", 32)
    assert all(math.isnan(row[name]) for name in ("sdr", "sir", "sar", "nsdr"))
    assert global_scores(pd.DataFrame([row]))["unscored"] == 1


def test_museval_gives_the_same_row(clip):
    about, references, mixture = clip
    estimates = {name: sound + 0.1 * mixture for name, sound in references.items()}
    ours, theirs = (
        score_clip(about, references, mixture, estimates, "voice", 64, backend=backend)
        for backend in ("unmix", "museval")
    )
    assert ours.keys() == theirs.keys()
    for name in ("sdr", "sir", "mixture_sdr", "nsdr"):
        assert ours[name] == pytest.approx(theirs[name], abs=1e-4)


# Tidy frames.


@pytest.fixture
def frames():
    """Two systems, two sources, three frames of one second; one frame is silent."""
    rng = np.random.default_rng(0)
    references = torch.tensor(rng.standard_normal((2, 1, 3500)))
    systems = references + 0.3 * torch.tensor(rng.standard_normal((2, 2, 1, 3500)))
    references[1, :, 1000:2000] = 0.0
    scores = bss_eval(references, systems, "v4", taps=4, window=1000)
    table = tidy(
        scores,
        ("voice", "rest"),
        "v4",
        taps=4,
        rate=1000,
        samples=3500,
        window=1000,
        track="song",
        systems=("one", "two"),
    )
    return table, scores


def test_tidy_frames_have_a_row_a_track_system_source_score_and_frame(frames):
    table, scores = frames
    assert tuple(table.columns) == TIDY
    assert len(table) == 2 * 2 * 4 * 3
    some = table[(table["system"] == "two") & (table["source"] == "rest")]
    found = some[some["score"] == "SIR"].sort_values("frame")
    assert np.array_equal(found["value"], scores.sir[1, 1].numpy(), equal_nan=True)
    assert found["time"].tolist() == [0.0, 1.0, 2.0]
    assert set(found["duration"]) == {1.0}
    assert (set(table["metric"]), set(table["taps"])) == ({"v4"}, {4})
    assert set(table["weighting"]) == {"none"}


def test_sources_have_no_isr():
    scores = bss_eval(torch.eye(2)[:, None], torch.eye(2)[None, :, None], taps=1)
    table = tidy(scores, ("a", "b"), "sdr-v3", taps=1, rate=8000, samples=2)
    assert set(table["score"]) == {"SDR", "SIR", "SAR"}
    assert set(table["duration"]) == {2 / 8000}


def test_medians_over_frames_then_tracks_are_sisecs_rule(frames):
    table, scores = frames
    songs = over_frames(table)
    sdr = songs[(songs["system"] == "one") & (songs["source"] == "voice")].set_index("score")
    assert sdr.loc["SDR", "value"] == pytest.approx(scores.sdr[0, 0].nanmean().item())
    assert (sdr.loc["SDR", "frames"], sdr.loc["SDR", "unscored"]) == (2, 1)
    others = [songs.assign(track=name, value=value) for name, value in (("b", 1.0), ("c", 90.0))]
    silent = songs.assign(track="d", value=math.nan)
    tracks = over_tracks(pd.concat([songs, *others, silent]))
    row = tracks[(tracks["system"] == "one") & (tracks["source"] == "voice")].set_index("score")
    assert row.loc["SDR", "value"] == sdr.loc["SDR", "value"], "the median of three"
    assert (row.loc["SDR", "tracks"], row.loc["SDR", "unscored"]) == (3, 1)
    assert row.loc["SDR", "weighting"] == "median of frames, median of tracks"
    means = over_tracks(over_frames(table, "mean"), "mean")
    assert set(means["weighting"]) == {"mean of frames, mean of tracks"}


# museval's files.


def test_museval_files_come_back_as_they_were(frames, tmp_path):
    table, _ = frames
    one = table[table["system"] == "one"]
    path = tmp_path / "song.json"
    path.write_text(json.dumps(to_museval(one)))
    back = from_museval(path, "v4", system="one")
    by = ["source", "score", "frame"]
    both = [each.sort_values(by).reset_index(drop=True) for each in (one, back)]
    columns = ["track", "system", *by, "time", "duration", "value", "metric"]
    pd.testing.assert_frame_equal(both[0][columns], both[1][columns])


def test_museval_accepts_our_files(frames):
    jsonschema = pytest.importorskip("jsonschema")
    place = importlib.util.find_spec("museval").submodule_search_locations[0]
    schema = json.loads((Path(place) / "musdb.schema.json").read_text())
    table, _ = frames
    jsonschema.validate(to_museval(table[table["system"] == "one"]), schema)


def test_files_as_museval_writes_them_are_read(tmp_path):
    path = tmp_path / "AM Contra.json"
    path.write_text(
        '{"targets": [{"name": "vocals", "frames": [{"time": 0.0, "duration": 1.0, "metrics": '
        '{"SDR": 1.5, "SIR": NaN, "ISR": null, "SAR": Infinity}}]}]}'
    )
    found = from_museval(path).set_index("score")["value"]
    assert found["SDR"] == 1.5
    assert math.isnan(found["SIR"])
    assert math.isnan(found["ISR"])
    assert math.isinf(found["SAR"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"targets": [{"name": "x"}]}', '{"sources": {}}'])
def test_other_files_are_no_museval_evaluations(tmp_path, text):
    path = tmp_path / "scores.json"
    path.write_text(text)
    with pytest.raises(UnmixError, match=r"scores\.json: not an evaluation as museval writes it"):
        from_museval(path)


def test_a_missing_museval_file_is_named(tmp_path):
    with pytest.raises(UnmixError, match=r"none\.json: cannot be read"):
        from_museval(tmp_path / "none.json")
