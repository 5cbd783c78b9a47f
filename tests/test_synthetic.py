"""The stand-in for MIR-1K: honest about its parts, and music. See also test_standin.py."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from aids import apart, turns
from unmix import audio
from unmix.datasets import composing, rendering, singing, soundfont
from unmix.datasets.rendering import Note
from unmix.datasets.synthetic import SPLITS, SyntheticVoice, write_song
from unmix.datasets.track import PARTS
from unmix.errors import DatasetError

COUNTS = {"train": 3, "valid": 1, "test": 2}
RATE = 16000


@pytest.fixture(scope="module")
def dataset(standin_cache):
    return SyntheticVoice(COUNTS)


@pytest.fixture(scope="module")
def tracks(dataset):
    return {clip.name: dataset.load(clip.name, RATE) for clip in dataset.clips()}


def levels(sound, seconds=0.02):
    """RMS of each frame in dB below the loudest frame."""
    size = round(seconds * RATE)
    frames = sound[0, : sound.shape[1] // size * size].reshape(-1, size)
    level = 10 * np.log10(np.mean(frames.astype(float) ** 2, axis=1) + 1e-12)
    return level - level.max()


def pitch(sound, rate, near):
    """Pitch in MIDI keys of a frame, by the highest peak of its autocorrelation near a key."""
    spectrum = np.fft.rfft(sound * np.hanning(len(sound)), 4 * len(sound))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    expected = rate / (440 * 2 ** ((near - 69) / 12))
    lags = np.arange(int(expected / 1.2), int(expected * 1.2) + 2)
    best = lags[np.argmax(correlation[lags])]
    left, top, right = correlation[best - 1 : best + 2]
    lag = best + 0.5 * (left - right) / (left - 2 * top + right)
    return 69 + 12 * np.log2(rate / lag / 440)


# The contract.


def test_shape_of_a_track(dataset, tracks):
    assert dataset.fidelity == "stand-in"
    assert len(tracks) == sum(COUNTS.values())
    for name, track in tracks.items():
        assert track.clip.name == name
        assert track.rate == RATE
        assert tuple(track.sources) == dataset.source_names
        shapes = {sound.shape for sound in track.sources.values()}
        assert len(shapes) == 1
        channels, samples = shapes.pop()
        assert channels == 1
        assert 4.0 <= samples / RATE <= 8.0
        assert all(sound.dtype == np.float32 for sound in track.sources.values())


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_other_rates_hold_the_same_sound(dataset, tracks, rate):
    name = dataset.split("standin")["test"][0]
    track, kept = dataset.load(name, rate), tracks[name]
    for source, sound in track.sources.items():
        assert sound.shape[1] == pytest.approx(kept.sources[source].shape[1] * rate / RATE, abs=1)
        assert audio.rms(sound) == pytest.approx(audio.rms(kept.sources[source]), rel=0.15)


def test_every_name_of_a_split_means_the_same(dataset):
    for name in SPLITS:
        assert dataset.split(name) == dataset.split("standin")
    named = [name for part in PARTS for name in dataset.split("paper")[part]]
    assert named == [clip.name for clip in dataset.clips()]


# Parts share nothing.


def test_parts_share_no_song_singer_or_composition(tmp_path):
    whole = SyntheticVoice(cache=tmp_path)
    by_name = {clip.name: clip for clip in whole.clips()}
    assert len(by_name) == 60 + 12 + 24
    clips = {p: [by_name[n] for n in names] for p, names in whole.split("standin").items()}
    songs = {p: {whole._clips[c.name][1] for c in found} for p, found in clips.items()}

    for what in (
        lambda p: {clip.song for clip in clips[p]},
        lambda p: {clip.artist for clip in clips[p]},
        lambda p: {replace(song.singer, name="") for song in songs[p]},
        lambda p: {turns(song.piece.progression) for song in songs[p]},
        lambda p: {tuple(note.key for note in song.piece.melody) for song in songs[p]},
    ):
        apart(*(what(part) for part in PARTS))
    lengths = {cut[1] for found in songs.values() for song in found for cut in song.cuts}
    assert len(lengths) > 50


# It is music.


def test_sources_sound_and_the_voice_pauses(tracks):
    silent = []
    for track in tracks.values():
        voice, band = track.sources["voice"], track.sources["accompaniment"]
        silent.append(np.mean(levels(voice) < -40))
        assert 1 - silent[-1] >= 0.4
        assert np.mean(levels(band) > -40) >= 0.95
        for sound in (voice, band, voice + band):
            assert np.abs(sound).max() < 1.0
            assert np.abs(sound[0, [0, -1]]).max() < 1e-3, "cuts without a click"
            assert abs(sound.mean()) < 0.01 * audio.rms(sound)
        assert audio.rms(voice) > 0.01
        assert audio.rms(band) > 0.01
    assert 0.15 < np.mean(silent) < 0.45


def test_the_sources_overlap_where_voices_are(tracks):
    for track in tracks.values():
        for sound in track.sources.values():
            power = np.abs(np.fft.rfft(sound[0])) ** 2
            frequency = np.fft.rfftfreq(sound.shape[1], 1 / RATE)
            assert power[(frequency > 150) & (frequency < 3000)].sum() > 0.3 * power.sum()


def test_melody_and_chords_are_in_the_key():
    for number in range(4):
        piece = write_song("train", number).piece
        scale = {(piece.tonic + step) % 12 for step in piece.scale}
        assert {note.key % 12 for note in piece.melody} <= scale
        for part in piece.band:
            if not part.drums and part.program not in composing.BASSES:
                assert {note.key % 12 for note in part.notes} <= scale


def test_melody_has_notes_in_order_and_rests():
    melody = write_song("test", 0).piece.melody
    gaps = [after.start - at.start - at.seconds for at, after in pairwise(melody)]
    assert min(gaps) > -1e-9
    assert sum(gap > 0.2 for gap in gaps) >= 3


def test_singer_has_vibrato_about_the_pitch():
    singer = singing.draw_singer(np.random.default_rng(1), "nobody")
    singer = replace(singer, body=53, cords=0.0, breath=0.0, hiss=0.0, vibrato=(6.0, 0.5, 0.2))
    notes = [Note(0.2, 2.5, 60)]
    sound = singing.sing(singer, notes, 3.0, RATE, 0.0, np.random.default_rng(2))
    size = 800
    frames = [sound[at : at + size] for at in range(RATE, 2 * RATE, size // 5)]
    track = np.array([pitch(frame, RATE, 60) for frame in frames])
    assert np.median(track) == pytest.approx(60, abs=0.2)
    assert 0.5 < np.ptp(track) < 1.3
    spectrum = np.abs(np.fft.rfft(track - track.mean()))
    speed = np.fft.rfftfreq(len(track), size / 5 / RATE)[np.argmax(spectrum)]
    assert speed == pytest.approx(6.0, abs=1.0)


# The SoundFont and its player.


@pytest.mark.parametrize("program", [0, 24, 33, 48, 53, 68])
@pytest.mark.parametrize("key", [45, 57, 64])
def test_programs_are_in_tune(program, key):
    rate = 32000
    tone = rendering.tone(soundfont.general_midi(), program, key, 0.5, rate)
    assert pitch(tone[6400:], rate, key) == pytest.approx(key, abs=0.12)


def test_every_program_in_use_sounds_over_its_range():
    font = soundfont.general_midi()
    voices = (*singing._BODIES, *singing._CORDS)
    ranges = {
        (47, 76): (*voices, *composing.CHORDAL, *composing.PADS, *composing.LEADS),
        (28, 60): composing.BASSES,
    }
    for (low, high), programs in ranges.items():
        for program in programs:
            for key in range(low, high + 1):
                assert any(zone.plays(key, 95) for zone in font.zones(program)), (program, key)
    for pattern in composing._BEATS:
        for key in (*pattern, 49):
            assert any(zone.plays(key, 95) for zone in font.zones(0, drums=True)), key


def test_velocity_bend_and_release_are_obeyed():
    font, rate = soundfont.general_midi(), 32000
    loud = rendering.perform(font, [Note(0.0, 0.5, 60, 120)], 16, 2.0, rate)
    soft = rendering.perform(font, [Note(0.0, 0.5, 60, 60)], 16, 2.0, rate)
    assert audio.rms(loud) / audio.rms(soft) == pytest.approx(4.0, rel=0.1)
    assert np.abs(loud[round(0.5 * rate) : round(0.51 * rate)]).max() > 0
    assert not loud[round(1.2 * rate) :].any()
    bent = rendering.tone(font, 71, 60, 0.5, rate, bend=2.0)
    assert pitch(bent[6400:], rate, 62) == pytest.approx(62, abs=0.1)


def test_a_highpass_halves_the_power_at_its_cutoff_and_leaves_the_rest():
    time = np.arange(4 * RATE) / RATE
    for frequency, power in ((40, 0.5), (400, 1.0), (4, 1e-4)):
        sine = np.sin(2 * np.pi * frequency * time)
        left = rendering.highpass(sine, 40.0, RATE)[RATE:]
        assert audio.rms(left) ** 2 / 0.5 == pytest.approx(power, rel=0.02)


def test_neither_sources_nor_their_sum_clip_and_one_of_them_is_at_the_peak():
    one = np.array([[0.1, -0.4, 0.2]], np.float32)
    for other, highest in ((one, 0.8), (-one, 0.4), (-3 * one, 1.2)):
        both = np.concatenate([one, other])
        found = rendering.unclipped(both)
        assert np.allclose(found, both * rendering.PEAK / highest, rtol=1e-6)
        assert max(np.abs(found).max(), np.abs(found.sum(axis=0)).max()) < 1


def test_a_missing_or_broken_soundfont_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(soundfont.importlib.util, "find_spec", lambda name: None)
    soundfont.general_midi.cache_clear()
    with pytest.raises(DatasetError, match="pip install pretty_midi"):
        soundfont.general_midi()
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFF\0\0\0\0WAVE")
    with pytest.raises(DatasetError, match="cannot be read as a SoundFont"):
        soundfont.SoundFont(broken)
    monkeypatch.undo()
    with pytest.raises(DatasetError, match="no program 127"):
        soundfont.general_midi().zones(127, drums=True)
