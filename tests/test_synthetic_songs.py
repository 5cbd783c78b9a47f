"""The stand-in for DSD100: honest about its parts, stereo, and songs. See also test_standin.py."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from aids import apart, turns
from unmix import audio
from unmix.datasets import arranging, band, catalogue, soundfont, standin, synthetic_songs
from unmix.datasets.rendering import Note
from unmix.datasets.synthetic_songs import (
    BALANCE,
    CLIP_SECONDS,
    KIT,
    RATE,
    SOURCES,
    SPREAD,
    SyntheticSongs,
    render,
    write_song,
)
from unmix.datasets.track import PARTS

COUNTS = {"train": 3, "valid": 1, "test": 2}


@pytest.fixture(scope="module")
def dataset(standin_cache):
    return SyntheticSongs(COUNTS)


@pytest.fixture(scope="module")
def tracks(dataset):
    return {clip.name: dataset.load(clip.name, RATE) for clip in dataset.clips()}


@pytest.fixture(scope="module")
def songs():
    return [write_song(part, number) for part in PARTS for number in range(24)]


@pytest.fixture(scope="module")
def with_intro(songs):
    """A song whose first clip is without vocals, and its sound `(sources, 2, samples)`."""
    song = next(song for song in songs if song.intro)
    return song, render(song)


def decibels(sound):
    return 20 * np.log10(audio.rms(sound))


def correlation(stereo):
    return float(np.corrcoef(stereo.astype(float))[0, 1])


# The contract.


def test_shape_of_a_track(dataset, tracks):
    assert dataset.fidelity == "stand-in"
    assert len(tracks) == sum(COUNTS.values())
    for name, track in tracks.items():
        assert (track.clip.name, track.rate) == (name, RATE)
        assert tuple(track.sources) == dataset.source_names == ("vocals", "bass", "drums", "other")
        for sound in track.sources.values():
            assert sound.shape == (2, round(CLIP_SECONDS * RATE))
            assert sound.dtype == np.float32


def test_a_clip_is_its_part_of_the_song(dataset, tracks):
    song = write_song("train", 0)
    whole = render(song)
    names = [clip.name for clip in dataset.clips() if clip.song == song.name]
    assert len(names) == song.clips >= 2
    found = np.concatenate([np.stack([*tracks[n].sources.values()]) for n in names], axis=-1)
    assert found.shape == whole.shape
    # Files have 16 bits.
    assert np.abs(found - whole).max() <= 2**-15


@pytest.mark.parametrize("rate", [16000, 32000])
def test_other_rates_hold_the_same_sound(dataset, tracks, rate):
    name = dataset.split("standin")["test"][1]
    for source, sound in dataset.load(name, rate).sources.items():
        assert sound.shape == (2, round(CLIP_SECONDS * rate))
        kept = tracks[name].sources[source]
        assert np.array_equal(sound, audio.resample(kept, RATE, rate))


def test_the_catalogue_opens_it_and_data_make_writes_it_in_stereo(
    tracks, tmp_path, monkeypatch, capsys
):
    from unmix.commands.data import data_make

    opened = catalogue.open_dataset("synthetic-songs", None, (6, 2, 3))
    assert {part: len(names) for part, names in opened.split("standin").items()} == {
        "train": 6,
        "valid": 2,
        "test": 3,
    }
    monkeypatch.setattr(standin, "COUNTS", {"valid": 1})
    data_make(name="synthetic-songs", out=tmp_path)
    assert f"1 clips rendered and written to {tmp_path}" in capsys.readouterr().out
    written = {path.name: soundfile.info(path) for path in tmp_path.iterdir()}
    assert set(written) == {f"valid01_1.{source}.wav" for source in SOURCES}
    for info in written.values():
        assert (info.channels, info.duration) == (2, CLIP_SECONDS)


# Parts share nothing.


def test_parts_share_no_song_player_or_composition(songs):
    def of(part, what):
        return {each for song in songs if song.part == part for each in what(song)}

    def voice(singer):
        return {singer.body, singer.cords_program}

    for what in (
        lambda song: {song.name},
        lambda song: {song.singer.name},
        lambda song: {replace(song.singer, name="")},
        lambda song: voice(song.singer),
        lambda song: {(player.role, player.programs) for player in song.band.players},
        lambda song: {replace(player, level=0.0) for player in song.band.players},
        lambda song: set(song.mix.rooms.values()),
        lambda song: {turns(song.arrangement.progression)},
        lambda song: {tuple(note.key for note in song.melody)},
        lambda song: {
            (role, tuple((note.key, note.start) for note in notes))
            for role, notes in song.arrangement.notes.items()
        },
    ):
        apart(*(of(part, what) for part in PARTS))
    # Test is heard from programs that training never uses, in any role.
    train, test = (
        of(part, lambda song: {(p.role, n) for p in song.band.players for n in p.programs})
        for part in ("train", "test")
    )
    assert not train & test


def test_voices_of_two_parts_share_no_recording(songs):
    font = soundfont.general_midi()
    heard = {
        part: {
            zone.start
            for song in songs
            if song.part == part
            for program in (song.singer.body, song.singer.cords_program)
            for zone in font.zones(program)
        }
        for part in PARTS
    }
    apart(*heard.values())


def test_songs_of_a_part_differ_and_are_no_songs_of_the_band(songs):
    for what in (
        lambda song: round(song.arrangement.tempo, 3),
        lambda song: tuple((n.key, n.start) for n in song.melody),
        lambda song: tuple((n.key, n.start) for n in song.arrangement.notes["drums"]),
        lambda song: song.singer,
        lambda song: song.band.players,
    ):
        assert len({what(song) for song in songs}) == len(songs)
    assert {song.clips for song in songs} == {2, 3}
    others = [band.write_song(part, number) for part in PARTS for number in range(24)]
    members = {player for other in others for player in other.band.players}
    assert not members & {player for song in songs for player in song.band.players}


# It is a song: all follow one composition.


def chord_at(arrangement, bar):
    """Pitch classes of a bar's triad, root first."""
    degree = arrangement.progression[bar % len(arrangement.progression)]
    steps = (degree, degree + 2, degree + 4)
    return [(arrangement.tonic + arrangement.scale[step % 7]) % 12 for step in steps]


def test_the_singer_sings_over_the_chords_of_the_band(songs):
    on_beats = 0
    for song in songs:
        plan, beat = song.arrangement, 60 / song.arrangement.tempo
        scale = {(plan.tonic + step) % 12 for step in plan.scale}
        assert {note.key % 12 for note in song.melody} <= scale
        for note in song.melody:
            whole = round(note.start / beat)
            if abs(note.start - whole * beat) < 1e-6:
                on_beats += 1
                assert note.key % 12 in chord_at(plan, whole // 4), (song.name, note)
        for note in plan.notes["bass"]:
            bar = round(note.start / (4 * beat))
            # Players are some milliseconds late.
            if abs(note.start - 4 * bar * beat) < 0.05:
                assert note.key % 12 == chord_at(plan, bar)[0], (song.name, note)
    assert on_beats > 10 * len(songs)


def test_the_singer_swings_as_the_band_does(songs):
    assert {song.arrangement.swing for song in songs} > {0.5}
    for start in np.linspace(0.0, 3.0, 25):
        note = Note(start, 0.3, 60)
        for swing in (0.5, 0.64):
            moved = synthetic_songs._swung(note, 0.4, swing)
            assert moved.start == pytest.approx(arranging._swung(note, 0.4, swing).start, abs=1e-9)
            end = arranging._swung(replace(note, start=start + 0.3), 0.4, swing).start
            assert moved.start + moved.seconds == pytest.approx(end, abs=1e-9)


def test_singers_sing_much_of_every_clip_but_intros_and_rest_between(songs):
    for song in songs:
        gaps = [b.start - a.start - a.seconds for a, b in pairwise(song.melody)]
        assert min(gaps) > -1e-9, "one note at a time"
        assert sum(gap > 0.2 for gap in gaps) >= 1
        for clip in range(song.clips):
            start, end = CLIP_SECONDS * clip, CLIP_SECONDS * (clip + 1)
            sung = sum(
                max(0.0, min(n.start + n.seconds, end) - max(n.start, start)) for n in song.melody
            )
            if song.intro and clip == 0:
                assert sung == 0
            else:
                assert 0.3 < sung / CLIP_SECONDS <= 1.0, (song.name, clip)
    intros = sum(song.intro for song in songs)
    assert 0 < intros < 0.2 * sum(song.clips for song in songs)


def test_nobody_sings_before_his_entry_and_all_play_in_the_end(with_intro):
    _, sound = with_intro
    first = round(CLIP_SECONDS * RATE)
    assert np.abs(sound[0, :, :first]).max() < 1e-7, "zeros in the 16 bits of a file"
    for source in sound:
        assert audio.rms(source[:, -first:]) > 0.1 * audio.rms(source)


def test_bands_have_bass_drums_and_others_who_begin_within_the_first_clip(songs):
    late = 0
    for song in songs:
        others = [role for role in song.band.roles if role not in SOURCES]
        assert {"bass", "drums"} <= set(song.band.roles)
        assert len(others) in (2, 3)
        starts = {r: min(n.start for n in found) for r, found in song.arrangement.notes.items()}
        assert set(starts) == set(song.band.roles)
        bar = 240 / song.arrangement.tempo
        assert min(starts.values()) < 0.6 * bar
        assert max(starts.values()) < CLIP_SECONDS
        late += max(starts.values()) > 0.9 * bar
    assert late > 5
    with_role = {
        role: np.mean([role in song.band.roles for song in songs])
        for role in ("guitar", "keys", "strings", "brass")
    }
    assert all(0.3 < share < 0.95 for share in with_role.values()), with_role


def test_no_source_but_the_vocals_pauses_for_a_whole_clip(songs):
    for song in songs:
        sources = {"bass": ["bass"], "drums": ["drums"]}
        sources["other"] = [role for role in song.band.roles if role not in SOURCES]
        for source, roles in sources.items():
            starts = [note.start for role in roles for note in song.arrangement.notes[role]]
            struck = {int(start // CLIP_SECONDS) for start in starts}
            assert struck == set(range(song.clips)), (song.name, source)


def test_every_program_in_use_sounds_over_its_range(songs):
    font = soundfont.general_midi()

    def sounds(key, program, drums=False):
        return any(zone.plays(key, 95) for zone in font.zones(program, drums=drums))

    for song in songs:
        for program in (song.singer.body, song.singer.cords_program):
            assert all(sounds(note.key, program) for note in song.melody)
        for player in song.band.players:
            keys = {note.key for note in song.arrangement.notes[player.role]}
            for program in player.programs:
                assert all(sounds(key, program, player.role == "drums") for key in keys)


# It is a mix.


def test_sources_sound_and_the_sum_has_headroom(tracks, with_intro):
    for sources in (*(track.sources.values() for track in tracks.values()), with_intro[1]):
        mixture = sum(sources)
        assert 0.4 < np.abs(mixture).max() < 10 ** (-1 / 20)
        for sound in (*sources, mixture):
            assert np.isfinite(sound).all()
            assert np.abs(sound).max() < 10 ** (-1 / 20)
            assert np.abs(sound.mean(axis=1)).max() <= 0.01 * audio.rms(sound)
    for song in (render(write_song("train", 0)), with_intro[1]):
        assert all(decibels(sound) > -40 for sound in song)


def test_levels_over_a_song_are_those_of_its_mix(with_intro):
    song, sound = with_intro
    found = np.array([decibels(source) for source in sound])
    wanted = np.array([song.mix.levels[source] for source in SOURCES])
    assert found - found[0] == pytest.approx(wanted - wanted[0], abs=0.01)


def test_levels_lie_around_the_usual_balance(songs):
    off = {s: np.array([song.mix.levels[s] - BALANCE[s] for song in songs]) for s in SOURCES}
    for each in off.values():
        assert np.abs(each).max() <= SPREAD
        assert np.abs(each).max() > 0.8 * SPREAD
        assert abs(each.mean()) < 0.25 * SPREAD


def test_a_bass_is_darker_than_drums(tracks):
    def centroid(sound):
        spectrum = np.abs(np.fft.rfft(sound.mean(axis=0)))
        return np.average(np.fft.rfftfreq(sound.shape[1], 1 / RATE), weights=spectrum)

    for name, track in tracks.items():
        assert centroid(track.sources["bass"]) < 0.5 * centroid(track.sources["drums"]), name


def test_the_pieces_of_a_kit_add_up_to_the_kit(with_intro):
    song, _ = with_intro
    pieces = synthetic_songs._drums(song)
    assert len(pieces) == len(KIT) == len({place for _, place in pieces})
    (player,) = (player for player in song.band.players if player.role == "drums")
    whole = band.play(player, song.arrangement.notes["drums"], song.arrangement.seconds)
    added = sum(sound for sound, _ in pieces)
    assert np.abs(added - whole).max() < 1e-4 * np.abs(whole).max()


def test_every_stroke_belongs_to_one_piece_of_the_kit(songs):
    keys = [key for piece in KIT.values() for key in piece]
    assert len(keys) == len(set(keys))
    struck = {note.key for song in songs for note in song.arrangement.notes["drums"]}
    assert struck <= set(keys)


# It is in stereo.


def test_voice_and_bass_stand_in_the_centre_and_the_others_apart(songs, tracks):
    for song in songs:
        places = song.mix.places
        assert all(abs(places[name]) < 0.1 for name in ("vocals", "bass", "kick and snare"))
        others = [places[role] for role in song.band.roles if role not in SOURCES]
        assert all(0.3 <= abs(place) <= 0.85 for place in others)
        assert min(others) < 0 < max(others), "on both sides"
    assert {song.mix.places["hats and high toms"] > 0 for song in songs} == {True, False}
    for name, track in tracks.items():
        for source in ("vocals", "bass"):
            left, right = track.sources[source]
            assert abs(decibels(left) - decibels(right)) < 2.0, (name, source)
            assert 0.75 < correlation(track.sources[source]) < 0.9999, (name, source)
        assert -0.2 < correlation(track.sources["other"]) < 0.98, name
        assert 0.2 < correlation(track.sources["drums"]) < 0.99, name


def eigenvalue_ratios(stereo):
    """The smaller over the larger eigenvalue of the channels' covariance, in each of the bands."""
    from scipy import signal

    _, _, bins = signal.stft(stereo, RATE, nperseg=2048)
    bins = bins[:, 5:120]
    covariance = np.einsum("ift,jft->fij", bins, bins.conj())
    values = np.linalg.eigvalsh(covariance)
    return values[:, 0] / values[:, 1]


def test_no_source_is_one_sound_scaled_in_two_channels(tracks):
    for name, track in tracks.items():
        for source, sound in track.sources.items():
            ratio = np.median(eigenvalue_ratios(sound))
            assert ratio > (1e-4 if source == "bass" else 1e-3), (name, source, ratio)
