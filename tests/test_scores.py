"""What papers report: NSDR, and means weighted by length."""

import math

import numpy as np
import pandas as pd
import pytest

from unmix.audio import mix
from unmix.metrics.scores import global_scores, score_clip


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


def test_global_scores_are_means_weighted_by_length():
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


def test_a_silent_voice_makes_a_row_without_scores(clip):
    about, references, _ = clip
    silent = {**references, "voice": np.zeros_like(references["voice"])}
    row = score_clip(about, silent, references["accompaniment"], references, "voice", 32)
    assert all(math.isnan(row[name]) for name in ("sdr", "sir", "sar", "nsdr"))
    assert global_scores(pd.DataFrame([row]))["unscored"] == 1
