"""Runs on whole stereo songs: joined clips, frames, accompaniment, and a network that iterates."""

from dataclasses import replace

import numpy as np
import pytest

from unmix.datasets.synthetic_songs import SyntheticSongs
from unmix.errors import SpecError
from unmix.models.multichannel import MultichannelNetwork
from unmix.models.oracle import Mixture
from unmix.papers.experiment import PROFILES
from unmix.runs.cluster import complete
from unmix.runs.execute import restore, separated
from unmix.runs.rounds import rounds
from unmix.runs.scene import loaded, scene
from unmix.runs.spec import EVERY, Evaluation, Mixing, Spec, spec_from_plain
from unmix.runs.store import Store
from unmix.stft import STFT

SOURCES = ("vocals", "bass", "drums", "other")
SPEC = Spec(
    dataset="synthetic-songs",
    split="standin",
    clips=PROFILES["tiny"].clips,
    separator=Mixture(),
    mixing=Mixing(level="recorded", targets=SOURCES, channels=2, whole=True),
    stft=STFT(8000, 256, 128, "hamming"),
    evaluation=Evaluation(
        version="3-images", taps=8, source=EVERY, window=3.0, hop=1.5, against="vocals"
    ),
)


@pytest.fixture(scope="module")
def songs():
    return SyntheticSongs(dict(zip(("train", "valid", "test"), SPEC.clips, strict=True)))


def test_a_song_is_its_clips_one_after_the_other(songs):
    parts = rounds(SPEC, songs)[0]
    clips = {clip.name: clip.song for clip in songs.clips()}
    for part, names in songs.split("standin").items():
        assert parts[part] == list(dict.fromkeys(clips[name] for name in names))
    song = parts["train"][0]
    whole = loaded(songs, song, 8000, SPEC.mixing)
    pieces = [songs.load(name, 8000) for name, of in clips.items() if of == song]
    assert len(pieces) > 1
    assert (whole.clip.name, whole.clip.song) == (song, song)
    for source in SOURCES:
        wanted = np.concatenate([piece.sources[source] for piece in pieces], axis=1)
        assert np.array_equal(whole.sources[source], wanted)
    mixed = scene(whole, SPEC.mixing)
    assert mixed.mixture.shape == (2, wanted.shape[1])


def test_a_song_has_a_row_for_each_source_and_for_what_accompanies_one(tmp_path, songs):
    (run,) = complete([SPEC], Store(tmp_path), workers=1, device="cpu")
    scores = run.scores()
    tested = rounds(SPEC, songs)[0]["test"]
    assert run.provenance()["clips"]["test"] == len(tested)
    assert sorted(scores["source"].unique()) == sorted([*SOURCES, "accompaniment"])
    assert scores["clip"].unique().tolist() == tested
    assert (scores["frames"] + scores["silent"] > 1).all()
    alone = scores[scores["source"] != "accompaniment"]
    assert np.allclose(alone["nsdr"].dropna(), 0.0)
    pair = run.scores({"source": "vocals and accompaniment"})
    assert len(pair) == 2 * len(tested)
    before = scores.groupby("source")["mixture_sdr"].mean()
    assert before["accompaniment"] > before["bass"], "three sources are louder than one of them"


@pytest.mark.parametrize("joint", [False, True])
def test_networks_iterate_through_a_whole_run(tmp_path, joint):
    network = MultichannelNetwork(
        joint=joint,
        second=not joint,
        hidden=2,
        units=32,
        components=40,
        rate=0.05,
        iterations=4,
        times=2,
        usual=2,
    )
    spec = replace(SPEC, separator=network)
    assert spec_from_plain(spec.plain()) == spec
    (run,) = complete([spec], Store(tmp_path), workers=1, device="cpu")
    last = "IIIb, 2" if joint else "II, 2"
    rows = run.scores()
    assert rows["sdr"].notna().any()
    first = run.scores({"variant": "mask", "source": "vocals"})
    assert len(first) == len(run.scores({"variant": last, "source": "vocals"}))
    history = run.history()
    names = {"first all"} if joint else {f"{s} {n}" for s in ("first", "second") for n in SOURCES}
    assert set(history["network"]) == names
    assert history.groupby(["network", "stage"])["train_loss"].last().notna().all()
    # What the store keeps answers as the run did.
    dataset = SyntheticSongs(dict(zip(("train", "valid", "test"), SPEC.clips, strict=True)))
    name = rounds(spec, dataset)[0]["test"][0]
    mixed = scene(loaded(dataset, name, 8000, spec.mixing), spec.mixing)
    answer = separated(spec, restore(spec, run.weights), mixed)
    assert list(answer) == list(SOURCES)
    assert answer["bass"].shape == mixed.mixture.shape


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window": 1.0, "hop": 2.0}, r"frames of 1 s every 2 s"),
        ({"hop": 0.0}, r"frames of 3 s every 0 s"),
        ({"against": "flute"}, "what accompanies 'flute'"),
        ({"also": ("3-images",)}, "BSS Eval versions 3-images, 3-images"),
    ],
)
def test_evaluations_that_make_no_sense_are_one_clear_error(change, said):
    with pytest.raises(SpecError, match=said):
        replace(SPEC, evaluation=replace(SPEC.evaluation, **change))
