"""The stand-in for MedleyDB: honest about its parts, and a band. See also test_standin.py."""

from dataclasses import replace

import numpy as np
import pytest

from aids import apart, turns
from unmix import audio
from unmix.datasets import arranging, band, medleydb_songs, soundfont
from unmix.datasets.arranging import CRASHES, LOW, PROGRESSIONS, ROLES, TOMS
from unmix.datasets.band import CLIP_SECONDS, RATE, SyntheticBand, write_song
from unmix.datasets.rendering import Note
from unmix.datasets.track import PARTS

COUNTS = {"train": 4, "valid": 2, "test": 3}
LOWER = 16000


@pytest.fixture(scope="module")
def dataset(standin_cache):
    return SyntheticBand(COUNTS)


@pytest.fixture(scope="module")
def tracks(dataset):
    return {clip.name: dataset.load(clip.name, LOWER) for clip in dataset.clips()}


@pytest.fixture(scope="module")
def songs():
    return [write_song(part, number) for part in PARTS for number in range(24)]


def flatness(sound):
    """Spectral flatness: geometric over arithmetic mean of the power, over all frames that sound.

    1 for white noise, 0 for tones.
    """
    frames = np.lib.stride_tricks.sliding_window_view(sound[0], 1024)[::512] * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2 + 1e-12
    power = power[power.sum(1) > 1e-3 * power.sum(1).max()]
    return float(np.mean(np.exp(np.log(power).mean(1)) / power.mean(1)))


# The contract.


def test_shape_of_a_track(dataset, tracks):
    assert dataset.fidelity == "stand-in"
    assert len(tracks) == sum(COUNTS.values())
    for name, track in tracks.items():
        assert (track.clip.name, track.rate) == (name, LOWER)
        assert list(track.sources) == [r for r in dataset.source_names if r in track.sources]
        assert {sound.shape for sound in track.sources.values()} == {
            (1, round(CLIP_SECONDS * LOWER))
        }
        assert all(sound.dtype == np.float32 for sound in track.sources.values())


def test_roles_are_those_of_medleydb_and_of_a_band(dataset, songs):
    assert set(dataset.source_names) <= set(medleydb_songs.roles())
    for song in songs:
        roles = song.band.roles
        assert roles[:2] == ("guitar", "drums")
        assert len(roles) >= 4
        assert roles == tuple(role for role in ROLES if role in roles)
        assert set(song.arrangement.notes) == set(roles)
        assert all(song.arrangement.notes.values())
    with_role = {role: np.mean([role in song.band.roles for song in songs]) for role in ROLES}
    assert 0.8 < with_role["bass"] < 1.0
    assert all(0.3 < with_role[role] < 0.95 for role in ("keys", "strings", "brass"))


@pytest.mark.parametrize("rate", [8000, 22050, RATE])
def test_other_rates_hold_the_same_sound(dataset, tracks, rate):
    name = dataset.split("standin")["test"][1]
    track = dataset.load(name, rate)
    lower, higher = sorted((rate, LOWER))
    for role, sound in track.sources.items():
        assert sound.shape == (1, round(CLIP_SECONDS * rate))
        sounds = {rate: sound, LOWER: tracks[name].sources[role]}
        brought = audio.resample(sounds[higher], higher, lower)
        # The edges of a clip, and what lies at the top of the band, differ.
        error = audio.rms((brought - sounds[lower])[:, 400:-400])
        assert error < 0.05 * audio.rms(sounds[lower])


def test_energies_are_those_of_the_whole_song(dataset, tracks):
    name = dataset.split("standin")["test"][0]
    track, song = tracks[name], write_song("test", 0)
    more = SyntheticBand({"test": song.clips})
    clips = [more.load(clip.name, LOWER) for clip in more.clips()]
    whole = {r: np.concatenate([c.sources[r] for c in clips], axis=1) for r in track.sources}
    for (a, b), energy in track.song_energies.items():
        expected = np.mean(whole[a].astype(float) * whole[b])
        assert energy == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert set(track.song_energies) == {(a, b) for a in whole for b in whole}
    assert clips[-1].song_energies == track.song_energies


# Parts share nothing.


def test_parts_share_no_song_player_or_composition(songs):
    def of(part, what):
        return {each for song in songs if song.part == part for each in what(song)}

    for what in (
        lambda song: {song.name},
        lambda song: {song.band.name},
        lambda song: {(player.role, player.programs) for player in song.band.players},
        lambda song: {replace(player, level=0.0) for player in song.band.players},
        lambda song: {(song.band.reverberation, song.band.wet)},
        lambda song: {turns(song.arrangement.progression)},
        lambda song: {
            (role, tuple((note.key, note.start) for note in notes))
            for role, notes in song.arrangement.notes.items()
        },
    ):
        apart(*(of(part, what) for part in PARTS))
    # Test is heard from programs that training never uses; valid only combines them otherwise.
    train, test = (
        of(part, lambda song: {(p.role, n) for p in song.band.players for n in p.programs})
        for part in ("train", "test")
    )
    assert not train & test


def test_no_progression_of_a_part_is_one_of_another_turned():
    apart(*({turns(progression) for progression in PROGRESSIONS[part]} for part in PARTS))


def test_songs_of_a_part_differ(songs):
    for what in (
        lambda song: round(song.arrangement.tempo, 3),
        lambda song: tuple((n.key, n.start) for n in song.arrangement.notes["guitar"]),
        lambda song: tuple((n.key, n.start) for n in song.arrangement.notes["drums"]),
        lambda song: song.band.players[0],
    ):
        assert len({what(song) for song in songs}) == len(songs)
    assert {song.clips for song in songs} == {2, 3}


# It is a band.


def test_sources_sound_and_do_not_clip(tracks):
    for track in tracks.values():
        for sound in (*track.sources.values(), sum(track.sources.values())):
            assert np.isfinite(sound).all()
            assert np.abs(sound).max() < 1.0
        for role, sound in track.sources.items():
            assert track.song_energies[role, role] > 1e-6
            assert abs(sound.mean()) < 1e-3


def test_guitar_and_drums_are_heard_in_every_clip(tracks):
    for track in tracks.values():
        for role in ("guitar", "drums"):
            sound = track.sources[role]
            assert audio.rms(sound) > 0.4 * track.song_energies[role, role] ** 0.5
            frames = np.abs(sound[0].reshape(-1, LOWER // 10)).max(axis=1)
            assert np.mean(frames > 0.05 * frames.max()) > 0.4


def test_guitar_and_drums_play_half_of_every_clip(songs):
    paused = 0
    for song in songs:
        for role in ("guitar", "drums"):
            starts = np.array([note.start for note in song.arrangement.notes[role]])
            for clip in range(song.clips):
                first = CLIP_SECONDS * clip
                inside = starts[(starts >= first) & (starts < first + CLIP_SECONDS)]
                assert len(np.unique(inside // 0.5)) >= 3, (song.name, role, clip)
                edges = np.concatenate([[first], np.sort(inside), [first + CLIP_SECONDS]])
                paused += np.diff(edges).max() > 1.2
    assert paused > 5, "some pause"


def test_drums_are_noise_and_guitars_are_tones(tracks):
    for name, track in tracks.items():
        guitar, drums = (flatness(track.sources[role]) for role in ("guitar", "drums"))
        assert drums > 2 * guitar, name


def test_kits_are_played_whole(songs):
    struck = [{note.key for note in song.arrangement.notes["drums"]} for song in songs]
    for keys in (arranging.KICKS, arranging.SNARES, CRASHES, TOMS):
        assert np.mean([bool(found & set(keys)) for found in struck]) > 0.8
    assert np.mean([bool(found & {arranging.CLOSED, arranging.RIDE}) for found in struck]) == 1
    assert {song.arrangement.swing for song in songs} > {0.5}


def test_what_has_a_pitch_is_in_the_key(songs):
    for song in songs:
        scale = {(song.arrangement.tonic + step) % 12 for step in song.arrangement.scale}
        for role in ("keys", "strings", "brass"):
            notes = song.arrangement.notes.get(role, ())
            assert {note.key % 12 for note in notes} <= scale
        # Power chords and bass take perfect fifths, which one degree of a scale lacks.
        guitar = [note.key % 12 in scale for note in song.arrangement.notes["guitar"]]
        assert np.mean(guitar) > 0.8


def test_swing_moves_only_what_is_between_the_beats():
    beat, swing = 0.4, 0.64
    halves = [arranging._swung(Note(n * beat / 2, 0.1, 60), beat, swing) for n in range(8)]
    starts = np.array([note.start for note in halves]) / beat
    assert starts[::2] == pytest.approx([0, 1, 2, 3])
    assert starts[1::2] == pytest.approx([0.64, 1.64, 2.64, 3.64])
    straight = arranging._swung(Note(0.7 * beat, 0.1, 60), beat, 0.5)
    assert straight.start == pytest.approx(0.7 * beat)


def test_a_guitar_grips_chords_upwards_within_reach():
    for root in range(12):
        keys = arranging._strings((root, (root + 4) % 12, (root + 7) % 12), LOW)
        assert keys == sorted(set(keys))
        assert keys[0] % 12 == root
        assert {key % 12 for key in keys} == {root, (root + 4) % 12, (root + 7) % 12}
        assert keys[-1] - keys[0] <= 24


def test_every_program_in_use_sounds_over_its_range(songs):
    font = soundfont.general_midi()
    for song in songs:
        for player in song.band.players:
            drums = player.role == "drums"
            for key in {note.key for note in song.arrangement.notes[player.role]}:
                for program in player.programs:
                    zones = font.zones(program, drums=drums)
                    assert any(zone.plays(key, 95) for zone in zones), (program, key)


def test_an_amplifier_adds_what_two_tones_make_of_each_other():
    time = np.arange(RATE) / RATE
    two = (np.sin(2 * np.pi * 1000 * time) + np.sin(2 * np.pi * 1500 * time)).astype(np.float32)
    driven = np.abs(np.fft.rfft(band._amplified(two, 2.0)))
    clean = np.abs(np.fft.rfft(band._amplified(two, 0.05)))
    # One second: bins are hertz. Second and third order: 1500 - 1000, 2 * 1000 - 1500.
    assert driven[500] > 0.02 * driven[1000]
    assert driven[2000] > 0.02 * driven[1000]
    assert clean[2000] < 0.02 * clean[1000]
