"""From a clip with its sources to what is heard: targets, levels, pauses, rates, parts."""

import dataclasses

import numpy as np
import pytest
import torch

from unmix.audio import LEVEL, rms
from unmix.datasets.medleydb_songs import mean_products
from unmix.datasets.track import Clip, Track
from unmix.errors import AudioError, DatasetError, SpecError
from unmix.metrics.means import global_scores, selected
from unmix.models.oracle import Mixture
from unmix.models.waveunet import WaveUNet
from unmix.papers import lai
from unmix.papers.experiment import PROFILES, Setting
from unmix.runs.execute import evaluate, separated, tracks
from unmix.runs.scene import scene, scenes
from unmix.runs.spec import Evaluation, Mixing, Spec, spec_from_plain
from unmix.stft import STFT
from unmix.training.examples import WaveBank, epoch

RATE = 8000


def song(*, pause=False, quiet=0.0):
    """Two clips of a song of four sources; in the second the guitar may pause or be near silent."""
    rng = np.random.default_rng(0)
    whole = {
        name: (level * rng.standard_normal((1, 2 * RATE))).astype(np.float32)
        for name, level in {"guitar": 0.2, "drums": 0.1, "bass": 0.3, "keys": 0.02}.items()
    }
    if pause:
        whole["guitar"][:, RATE:] *= quiet
    energies = mean_products(whole)
    return [
        Track(
            Clip(f"song_{number}", "song"),
            RATE,
            {name: sound[:, number * RATE : (number + 1) * RATE] for name, sound in whole.items()},
            energies,
        )
        for number in (0, 1)
    ]


@pytest.mark.parametrize("target", ["guitar", "drums"])
@pytest.mark.parametrize("snr", [0.0, -5.0])
def test_a_target_stands_over_the_sum_of_all_others(target, snr):
    track = song()[0]
    mixed = scene(track, Mixing(snr, target=target))
    assert list(mixed.references) == [target, "accompaniment"]
    wanted, rest = mixed.references.values()
    assert np.array_equal(wanted + rest, mixed.mixture)
    assert 20 * np.log10(rms(wanted) / rms(rest)) == pytest.approx(snr, abs=1e-4)
    others = sum(track.sources[name] for name in track.sources if name != target)
    assert np.allclose(rest / rms(rest), others / rms(others), atol=1e-4)


def test_what_is_left_out_is_not_heard():
    track = song()[0]
    mixed = scene(track, Mixing(target="guitar", without=("drums", "keys")))
    bass = track.sources["bass"]
    assert np.allclose(mixed.references["accompaniment"], bass * (LEVEL / rms(bass)), atol=1e-6)


def test_levels_by_song_keep_the_clips_in_proportion():
    mixing = Mixing(3.0, target="guitar", level="song")
    clips = song(pause=True, quiet=0.1)
    found = [scene(track, mixing).references["guitar"] for track in clips]
    given = [track.sources["guitar"] for track in clips]
    assert rms(found[1]) / rms(found[0]) == pytest.approx(rms(given[1]) / rms(given[0]), rel=1e-5)
    over_song = rms(np.concatenate(found, axis=1))
    rest = [scene(track, mixing).references["accompaniment"] for track in clips]
    assert 20 * np.log10(over_song / rms(np.concatenate(rest, axis=1))) == pytest.approx(
        3, abs=1e-3
    )


@pytest.mark.parametrize("quiet", [0.0, 1e-5])
def test_a_clip_whose_target_pauses_is_left_out_and_counted(quiet):
    first, second = song(pause=True, quiet=quiet)
    mixing = Mixing(target="guitar")
    with pytest.raises(AudioError, match="song_1: its guitar pauses for the whole clip"):
        scene(second, mixing)
    assert [each.clip.name for each in scenes([first, second], mixing)] == ["song_0"]
    spec = dataclasses.replace(plain(), mixing=mixing)
    scores = evaluate(spec, iter([first, second]), Mixture().fit([], STFT(), 0, mixing.sources))
    assert scores["sdr"].isna().tolist() == [False, True]
    assert (global_scores(scores)["clips"], global_scores(scores)["unscored"]) == (1, 1)


def plain(**evaluation):
    return Spec(
        "synthetic-band",
        "standin",
        Mixture(),
        mixing=Mixing(target="guitar"),
        evaluation=Evaluation(source="guitar", taps=8, **evaluation),
    )


@pytest.mark.parametrize(
    ("mixing", "message"),
    [
        (Mixing(target="guitars"), "unknown source of song_0: 'guitars'.*guitar"),
        (Mixing(target="guitar", without=("horn",)), "unknown source of song_0: 'horn'"),
        (
            Mixing(target="guitar", without=("drums", "bass", "keys")),
            "song_0: no source is left beside the guitar",
        ),
    ],
)
def test_sources_that_are_not_there_are_named(mixing, message):
    with pytest.raises(SpecError, match=message):
        scene(song()[0], mixing)


def test_levels_by_song_need_a_dataset_that_knows_songs():
    track = dataclasses.replace(song()[0], song_energies=None)
    with pytest.raises(SpecError, match="its dataset knows clips, not songs"):
        scene(track, Mixing(target="guitar", level="song"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixing(level="bar"), "unknown level 'bar'.*clip, song"),
        (lambda: Mixing(target="drums", without=("drums",)), "target 'drums', left out: drums"),
        (lambda: Evaluation(parts=("exam",)), "scored parts"),
        (lambda: Evaluation(rate=0), "scores at 0 Hz"),
        (
            lambda: Spec("d", "s", Mixture(), mixing=Mixing(target="guitar")),
            "unknown source 'voice'",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def test_a_separator_of_another_rate_hears_and_answers_at_the_rate_of_the_scores():
    class Listener:
        def separate(self, mixture, references=None):
            self.heard = mixture
            return dict.fromkeys(("guitar", "accompaniment"), mixture)

    seconds = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 200 * seconds, dtype=np.float32)[None]
    track = Track(Clip("a", "a"), RATE, {"guitar": tone, "drums": tone[:, ::-1].copy()})
    spec = dataclasses.replace(plain(rate=RATE), stft=STFT(4000, 256, 128))
    listener, mixed = Listener(), scene(track, spec.mixing)
    found = separated(spec, listener, mixed)["guitar"]
    assert listener.heard.shape == (1, RATE // 2)
    assert found.shape == mixed.mixture.shape
    middle = slice(500, -500)
    assert np.abs(found - mixed.mixture)[:, middle].max() < 0.01 * np.abs(mixed.mixture).max()


def test_training_clips_are_scored_where_they_are_asked_for(standin_cache):
    from unmix.datasets.catalogue import open_dataset

    spec = dataclasses.replace(plain(parts=("train", "test")), clips=(2, 1, 2))
    dataset = open_dataset("synthetic-band", None, spec.clips)
    parts = dataset.split("standin")
    mixture = Mixture().fit([], STFT(), 0, spec.mixing.sources)
    scores = evaluate(spec, tracks(spec, dataset, parts["train"][:2], spec.rate), mixture, "train")
    assert len(selected(scores, {"part": "train"})) == 2
    assert selected(scores).empty


def test_chunks_of_sound_add_up_and_gains_hold_a_source_each():
    bank = WaveBank.of(scenes(song(), Mixing(target="guitar")), 1000, LEVEL / 2, "cpu")
    for mixture, target, rest in epoch(bank, 1000, 4, augment=True, seed=0, number=0):
        assert torch.equal(mixture, target + rest)
    assert float(bank.sounds[0].square().mean().sqrt()) == pytest.approx(LEVEL / 2, rel=1e-4)
    rows = bank.chunks(1000)[:2]
    _, whole, _ = bank.batch([rows, rows], 1000)
    _, half, rest = bank.batch([rows, rows], 1000, np.array([[0.5, 1.0], [1.0, 0.0]]))
    assert torch.allclose(half, whole * torch.tensor([[0.5], [1.0]]))
    assert rest[0].any()
    assert not rest[1].any()


def test_a_table_shows_the_scores_of_the_part_that_its_row_is_of(tmp_path, standin_cache):
    from unmix.papers.experiment import experiment
    from unmix.report.lookup import Asked, table
    from unmix.runs.cluster import complete
    from unmix.runs.store import Store

    store = Store(tmp_path)
    rows = experiment("lai", "table3", Setting(PROFILES["tiny"], False)).rows
    complete([row.spec for row in rows if row.keys["method"].startswith("Oracle")], store)
    for _ in range(2):  # made, then read from what was kept of it
        long = table(Asked("lai", "table3", "tiny", best=False), store).long
        sdr = long[(long["metric"] == "SDR") & (long["method"] == "Oracle ratio mask (IRM)")]
        found = sdr.set_index(["instrument", "part"])["reproduced"]
        assert found.notna().all()
        for target in ("guitar", "drums"):
            (row,) = (
                row
                for row in rows
                if row.keys
                == {"instrument": target, "part": "train", "method": "Oracle ratio mask (IRM)"}
            )
            (run,) = (run for run in store.runs() if run.spec() == row.spec)
            for part in ("train", "test"):
                assert found[target, part] == pytest.approx(
                    run.scores({"part": part})["sdr"].mean()
                )
            assert found[target, "train"] != found[target, "test"]


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("real", [False, True])
def test_every_spec_of_lai_survives_the_way_through_plain_data(name, real):
    for part in (False, True):
        for each in lai.experiments(Setting(PROFILES[name], real, part=part)):
            for row in each.rows:
                assert spec_from_plain(row.spec.plain()) == row.spec
                if isinstance(row.spec.separator, WaveUNet):
                    seconds = row.spec.training.chunk
                    samples = round(seconds * row.spec.stft.rate)
                    assert samples == row.spec.separator.samples


# Channels.


def stereo():
    rng = np.random.default_rng(0)
    sources = {name: rng.standard_normal((2, 50)).astype(np.float32) for name in ("a", "b")}
    return Track(Clip("s_0", "s"), 8000, sources)


def test_a_stereo_clip_is_heard_as_the_mean_of_its_channels_or_as_it_is():
    track, both = stereo(), {"level": "recorded", "targets": ("a", "b")}
    mono = scene(track, Mixing(**both))
    assert mono.mixture.shape == (1, 50)
    for name, sound in track.sources.items():
        assert np.allclose(mono.references[name][0], 0.5 * (sound[0] + sound[1]))
    whole = scene(track, Mixing(channels=2, **both))
    assert np.array_equal(whole.references["b"], track.sources["b"])
    assert np.allclose(whole.mixture, track.sources["a"] + track.sources["b"])


def test_fewer_channels_than_are_asked_for_are_one_clear_error():
    track = stereo()
    track = dataclasses.replace(track, sources={"a": track.sources["a"][:1]})
    with pytest.raises(DatasetError, match=r"s_0: its a has 1 channel\. Expected: 2 channels"):
        scene(track, Mixing(channels=2, level="recorded", targets=("a",)))
    with pytest.raises(SpecError, match="0 channels"):
        Mixing(channels=0)
