"""dsd100-like: sources of labels, panning, levels, the sum, going on, and what is refused."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from aids import refused
from unmix.datasets import dsd100, dsd100_like, medleydb
from unmix.datasets.dsd100 import Dsd100
from unmix.datasets.dsd100_like import (
    LEVEL_DB,
    PITCHED,
    SPREAD,
    STEPS,
    VOICES,
    Take,
    level_of,
    make,
    panned,
    place_of,
    plan,
    render,
    sounding_level,
    source_of,
)
from unmix.datasets.dsd100_songs import SOURCES
from unmix.datasets.medleydb_lists import MUSICDELTA
from unmix.datasets.medleydb_songs import role_of_label
from unmix.errors import AudioError, DatasetError

DATA = os.environ.get("UNMIX_DATA", "")
needs_data = pytest.mark.skipif(
    not DATA or not medleydb.here(DATA),
    reason="needs songs of MedleyDB: set UNMIX_DATA to the folder above MedleyDB",
)
RATE, SECONDS = 2000, 11.0
BEATLES, PUNK, ROCK, SHADOWS = (
    f"MusicDelta_{name}" for name in ("Beatles", "Punk", "Rock", "Shadows")
)
BAND = {
    "S01": ("drum set", ["kick drum", "tambourine"]),
    "S02": ("electric bass", ["electric bass"]),
    "S03": ("clean electric guitar", ["clean electric guitar", "fx/processed sound"]),
    "S04": ("male singer", ["male singer", "fx/processed sound"]),
}
"""Label of each stem, and of the raw tracks below it."""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path_factory.mktemp("cache")))


def tone(pitch, level):
    return level * np.sin(2 * np.pi * pitch * np.arange(round(SECONDS * RATE)) / RATE)


def write_song(root, name, band=BAND):
    """Write a multitrack, every raw track a tone of its own pitch (40, 80, ... Hz) and level."""
    folder = root / "MedleyDB" / "Audio" / name
    (folder / f"{name}_RAW").mkdir(parents=True)
    stems, number = {}, 0
    for stem, (label, raw) in band.items():
        stems[stem] = {"instrument": label, "filename": f"{stem}.wav", "raw": {}}
        for at, each in enumerate(raw, 1):
            number += 1
            file = f"{name}_RAW_{stem[1:]}_{at:02d}.wav"
            stems[stem]["raw"][f"R{at:02d}"] = {"instrument": each, "filename": file}
            sound = tone(40 * number, 0.01 * number)
            soundfile.write(folder / f"{name}_RAW" / file, sound, RATE, subtype="FLOAT")
    content = {"artist": "A Band", "has_bleed": "no", "stems": stems}
    (folder / f"{name}_METADATA.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture
def root(tmp_path):
    """Return a data root with three songs that have all four sources, and one without voices."""
    for name in (PUNK, BEATLES, ROCK):
        write_song(tmp_path, name)
    write_song(tmp_path, SHADOWS, {stem: BAND[stem] for stem in ("S01", "S02", "S03")})
    return tmp_path


def steps(path):
    """Return the samples of a file in steps of 24 bit, `(channels, samples)`."""
    assert soundfile.info(path).subtype == "PCM_24"
    sound, _ = soundfile.read(path, dtype="int32", always_2d=True)
    return sound.T >> 8


def amplitude(sound, pitch):
    """Return the amplitude of a tone in each channel."""
    spectrum = np.abs(np.fft.rfft(sound)) * 2 / sound.shape[1]
    return spectrum[:, round(pitch * SECONDS)]


def contents(home):
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


# --- which track is part of which source


@pytest.mark.parametrize(
    ("label", "stem", "source"),
    [
        ("male singer", "male singer", "vocals"),
        ("vocalists", "vocalists", "vocals"),
        ("female rapper", "fx/processed sound", "vocals"),
        ("fx/processed sound", "female speaker", "vocals"),
        ("electric bass", "electric bass", "bass"),
        ("double bass", "string section", "bass"),
        ("bass drum", "drum set", "drums"),
        ("drum machine", "drum machine", "drums"),
        ("tambourine", "auxiliary percussion", "drums"),
        ("Unlabeled", "drum set", "drums"),
        ("vibraphone", "vibraphone", "other"),
        ("synthesizer", "female singer", "other"),
        ("bass clarinet", "bass clarinet", "other"),
        ("fx/processed sound", "fx/processed sound", "other"),
        ("Main System", "piano", None),
        ("violin", "Main System", None),
    ],
)
def test_source_of_a_track(label, stem, source):
    assert source_of(label, stem) == source


def test_every_label_has_a_source_and_every_list_names_labels():
    found = {label: source_of(label, label) for label in role_of_label()}
    assert {label for label, source in found.items() if source is None} == {"Main System"}
    assert set(VOICES) == {label for label, source in found.items() if source == "vocals"}
    assert {role_of_label()[label] for label in PITCHED} == {"percussion"}
    assert set(found.values()) == {*SOURCES, None}


def test_songs_are_dev_and_test_in_turn_and_what_they_lack_is_said(root):
    songs, left_out = plan(root)
    assert [(song.name, song.subset) for song in songs] == [
        (f"001 - MedleyDB - {BEATLES}", "Dev"),
        (f"002 - MedleyDB - {PUNK}", "Test"),
        (f"003 - MedleyDB - {ROCK}", "Dev"),
    ]
    assert left_out == {SHADOWS: "has no vocals"}
    assert [take.key for take in songs[0].takes if take.source == "vocals"] == [
        "S04 R01",
        "S04 R02",
    ]


def test_metadata_may_lie_apart(root):
    (root / "MedleyDB" / "Metadata").mkdir()
    file = f"{PUNK}_METADATA.yaml"
    before = plan(root)
    shutil.move(root / "MedleyDB" / "Audio" / PUNK / file, root / "MedleyDB" / "Metadata" / file)
    assert plan(root) == before


# --- places and levels


@pytest.mark.parametrize("place", np.linspace(-1, 1, 9))
def test_panning_keeps_the_power_and_follows_the_sine_law(place):
    sound = tone(100, 0.5).astype(np.float32)
    left, right = panned(sound, place)
    np.testing.assert_allclose(left**2 + right**2, sound**2, rtol=1e-5, atol=1e-9)
    # The law of sines: (L - R) / (L + R) is the tangent of the angle from the middle.
    difference, total = np.sum((left - right) * sound), np.sum((left + right) * sound)
    assert difference / total == pytest.approx(np.tan(-place * np.pi / 4), abs=1e-5)


def test_panning_at_the_ends_and_in_the_middle():
    sound = np.ones(3, np.float32)
    np.testing.assert_allclose(panned(sound, -1), [[1] * 3, [0] * 3], atol=1e-7)
    np.testing.assert_allclose(panned(sound, 1), [[0] * 3, [1] * 3], atol=1e-7)
    np.testing.assert_allclose(panned(sound, 0), np.full((2, 3), np.sqrt(0.5)), atol=1e-7)


@pytest.mark.parametrize("source", SOURCES)
def test_places_fill_their_range_by_name_alone(source):
    takes = [Take(f"S{stem:02d} R01", source, Path()) for stem in range(100)]
    places = np.array([place_of("A Song", take) for take in takes])
    assert abs(places).max() <= SPREAD[source]
    assert places.min() < -0.8 * SPREAD[source] < 0.8 * SPREAD[source] < places.max()
    assert place_of("A Song", takes[0]) == places[0] != place_of("B Song", takes[0])


def test_voices_bass_and_drums_stand_nearer_to_the_middle_than_the_rest():
    assert max(SPREAD[source] for source in ("vocals", "bass")) < SPREAD["drums"] < SPREAD["other"]


def test_levels_are_drawn_evenly_within_their_range():
    drawn = np.array([level_of(f"Song {number}", "bass") for number in range(200)])
    assert abs(drawn).max() <= LEVEL_DB
    assert abs(drawn.mean()) < 0.5
    assert drawn.std() == pytest.approx(LEVEL_DB / np.sqrt(3), rel=0.1)


def test_the_level_of_a_source_is_that_of_where_it_sounds():
    sound = np.stack([tone(100, 0.3), tone(100, 0.4)])
    expected = np.sqrt((0.3**2 + 0.4**2) / 2)
    assert sounding_level(sound, RATE) == pytest.approx(expected, rel=1e-6)
    sound[:, 10 * round(0.4 * RATE) :] *= 1e-4
    assert sounding_level(sound, RATE) == pytest.approx(expected, rel=1e-6)


# --- a song


@pytest.fixture
def song(root):
    return plan(root)[0][0]


def test_the_mixture_is_the_sum_to_the_last_bit_and_its_peak_is_stated(song):
    sounds = render(song)
    np.testing.assert_array_equal(sounds["mixture"], sum(sounds[source] for source in SOURCES))
    assert all(sound.shape == (2, round(SECONDS * RATE)) for sound in sounds.values())
    peak = max(int(abs(sound).max()) for sound in sounds.values())
    assert 20 * np.log10(peak / STEPS) == pytest.approx(-1, abs=1e-4)


def test_sources_that_cancel_out_in_the_mixture_are_not_clipped(root, song, monkeypatch):
    monkeypatch.setattr(dsd100_like, "SPREAD", dict.fromkeys(SOURCES, 0.0))
    inside = root / "MedleyDB" / "Audio" / BEATLES / f"{BEATLES}_RAW"
    for number, path in enumerate(sorted(inside.iterdir())):
        soundfile.write(path, tone(100, (-1) ** number * 0.3), RATE, subtype="FLOAT")
    monkeypatch.setattr(dsd100_like, "level_of", lambda title, source: 0.0)
    inside = [take for take in song.takes if take.key.endswith("R01")]
    sounds = render(dsd100_like.Planned(song.title, "n", "Dev", RATE, song.samples, tuple(inside)))
    assert max(abs(sounds[source]).max() for source in SOURCES) <= STEPS * 10 ** (-1 / 20) + 1
    assert abs(sounds["mixture"]).max() < abs(sounds["bass"]).max()


def test_sources_have_equal_levels_up_to_what_is_drawn(song):
    sounds = render(song)
    found = {each: 20 * np.log10(sounding_level(sounds[each], RATE)) for each in SOURCES}
    for source in SOURCES:
        drawn = level_of(BEATLES, source) - level_of(BEATLES, "vocals")
        assert found[source] - found["vocals"] == pytest.approx(drawn, abs=1e-3)


def test_tracks_of_a_source_keep_their_levels_and_stand_where_they_are_put(song):
    sounds = render(song)
    # By pitch: kick and tambourine, bass, guitar and its effect, voice and its effect.
    of_source = {"drums": (1, 2), "bass": (3,), "other": (4, 5), "vocals": (6, 7)}
    takes = dict(enumerate(song.takes, 1))
    for source, numbers in of_source.items():
        found = {number: amplitude(sounds[source], 40 * number) for number in numbers}
        for number in numbers:
            raw = number / numbers[0]
            power = np.hypot(*found[number]) / np.hypot(*found[numbers[0]])
            assert power == pytest.approx(raw, rel=1e-4)
            angle = np.arctan2(*found[number][::-1]) * 4 / np.pi - 1
            assert angle == pytest.approx(place_of(BEATLES, takes[number]), abs=1e-4)
        for number in set(takes) - set(numbers):
            assert amplitude(sounds[source], 40 * number).max() < 1e-5 * STEPS


def test_a_track_of_two_channels_counts_as_their_mean(root, song):
    before = render(song)
    path = song.takes[0].path
    mono, _ = soundfile.read(path)
    soundfile.write(path, np.stack([1.5 * mono, 0.5 * mono], axis=1), RATE, subtype="FLOAT")
    after = render(song)
    assert abs(after["drums"] - before["drums"]).max() <= 2


def test_a_silent_source_is_refused(song):
    path = next(take.path for take in song.takes if take.source == "bass")
    soundfile.write(path, 0 * tone(1, 1), RATE)
    with pytest.raises(AudioError, match="MusicDelta_Beatles: its bass is silent throughout"):
        render(song)


# --- the collection


def test_what_is_made_is_read_as_a_stand_in_and_verified_to_the_last_bit(root):
    summary = make(root, root / "DSD100-like")
    assert (len(summary.made), summary.kept, summary.removed) == (3, [], [])
    dataset = Dsd100(root, folder="DSD100-like", like=True)
    assert dataset.fidelity == "stand-in"
    assert {clip.artist for clip in dataset.clips()} == {"MedleyDB"}
    parts = dataset.split("dev-test")
    assert parts["test"] == [f"002 - MedleyDB - {PUNK}_000"]
    report = dsd100.verify(root, folder="DSD100-like", like=True)
    assert report.ok
    assert list(report.notes) == [
        "The mixtures of 3 songs are the sums of their sources to the last bit."
    ]
    home = summary.home / "Sources" / "Test" / f"002 - MedleyDB - {PUNK}"
    mixture = steps(summary.home / "Mixtures" / "Test" / home.name / "mixture.wav")
    total = sum(steps(home / f"{source}.wav") for source in SOURCES)
    np.testing.assert_array_equal(mixture, total)


def test_made_twice_it_is_the_same_and_the_second_time_nothing_is_done(root):
    one, other = (make(root, root / name).home for name in ("one", "other"))
    readme = "README.md"  # names its folder
    assert contents(one) | {readme: b""} == contents(other) | {readme: b""}
    times = {path: path.stat().st_mtime_ns for path in one.rglob("*.wav")}
    again = make(root, one)
    assert (again.made, len(again.kept)) == ([], 3)
    assert {path: path.stat().st_mtime_ns for path in one.rglob("*.wav")} == times


def test_interrupted_it_leaves_no_half_song_and_goes_on(root, monkeypatch):
    whole = contents(make(root, root / "out" / "whole").home)
    home, write, count = root / "whole", soundfile.write, []

    def stopped(path, *rest, **more):
        count.append(path)
        if len(count) == 8:  # in the second song
            raise KeyboardInterrupt
        return write(path, *rest, **more)

    monkeypatch.setattr(soundfile, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        make(root, home)
    monkeypatch.undo()
    monkeypatch.setenv("UNMIX_CACHE", str(root / "cache"))
    assert [path.name for path in home.glob("Sources/*/*")] == [f"001 - MedleyDB - {BEATLES}"]
    assert not list(home.glob(".*"))
    summary = make(root, home)
    assert (len(summary.made), len(summary.kept)) == (2, 1)
    assert contents(home) == whole


def test_what_a_killed_process_left_is_made_anew(root):
    home = make(root, root / "made").home
    whole = contents(home)
    name = f"001 - MedleyDB - {BEATLES}"
    (home / f".{name}.making" / "sources").mkdir(parents=True)
    shutil.rmtree(home / "Mixtures" / "Dev" / name)
    (home / "Sources" / "Test" / f"002 - MedleyDB - {PUNK}" / "bass.wav").unlink()
    summary = make(root, home)
    assert [song[:3] for song in summary.made] == ["001", "002"]
    assert contents(home) == whole


def test_a_changed_track_and_a_changed_rule_are_made_anew(root, monkeypatch):
    home = make(root, root / "made").home
    before = contents(home)
    song = plan(root)[0][1]
    soundfile.write(song.takes[0].path, tone(77, 0.1), RATE)
    assert make(root, home).made == [song.name]
    changed = [path for path, content in contents(home).items() if content != before[path]]
    assert changed
    assert all(song.name in path for path in changed)
    monkeypatch.setattr(dsd100_like, "RULE", 2)
    assert len(make(root, home).made) == 3


def test_a_damaged_mark_costs_time_alone(root):
    home = make(root, root / "made").home
    for number, text in enumerate(("", "[]", '{"rule"')):
        song = plan(root)[0][number]
        (home / "Sources" / song.subset / song.name / "made.json").write_text(text)
    assert len(make(root, home).made) == 3


def test_songs_that_are_no_longer_asked_for_are_removed(root):
    home = make(root, root / "made").home
    shutil.rmtree(root / "MedleyDB" / "Audio" / BEATLES)
    names = [f"001 - MedleyDB - {BEATLES}", f"002 - MedleyDB - {PUNK}", f"003 - MedleyDB - {ROCK}"]
    assert make(root, home).removed == names, "numbers and subsets go by what is there"
    fresh = make(root, root / "fresh").home
    assert set(contents(home)) == set(contents(fresh))


def test_a_song_that_cannot_be_rendered_is_left_out_and_the_others_are_made(root):
    song = plan(root)[0][0]
    for take in song.takes:
        if take.source == "bass":
            soundfile.write(take.path, 0 * tone(1, 1), RATE)
    summary = make(root, root / "made")
    assert [name[:3] for name in summary.made] == ["002", "003"]
    assert "its bass is silent throughout" in summary.left_out[BEATLES]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / f"{PUNK}_RAW" / f"{PUNK}_RAW_04_01.wav").unlink(), "has no Mus"),
        (lambda folder: (folder / f"{PUNK}_RAW" / f"{PUNK}_RAW_02_01.wav").unlink(), "not in"),
        (lambda folder: (folder / f"{PUNK}_METADATA.yaml").unlink(), "metadata are not there"),
        (
            lambda folder: soundfile.write(
                folder / f"{PUNK}_RAW" / f"{PUNK}_RAW_04_01.wav", tone(1, 1)[:-9], RATE
            ),
            "has 21991 samples, others 22000",
        ),
    ],
)
def test_a_broken_multitrack_is_left_out_with_the_reason(root, spoil, said):
    spoil(root / "MedleyDB" / "Audio" / PUNK)
    songs, left_out = plan(root)
    assert [song.title for song in songs] == [BEATLES, ROCK]
    assert said in left_out[PUNK]


def test_no_song_of_use_is_an_error_with_reasons(root):
    for name in (BEATLES, PUNK, ROCK):
        shutil.rmtree(root / "MedleyDB" / "Audio" / name)
    with pytest.raises(
        DatasetError, match=r"no song can be used \(of 1; MusicDelta_Shadows: has no vocals\)"
    ):
        plan(root)


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(root, tmp_path):
    home = tmp_path / "DSD100"
    song = home / "Sources" / "Test" / "001 - ANiMAL - Clinic A"
    song.mkdir(parents=True)
    (song / "bass.wav").write_bytes(b"precious")
    with pytest.raises(
        DatasetError, match=r"did not make \(001 - ANiMAL - Clinic A\).*another folder with --out"
    ):
        make(root, home)
    assert contents(home) == {"Sources/Test/001 - ANiMAL - Clinic A/bass.wav": b"precious"}
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "thesis.tex").write_text("precious")
    with pytest.raises(DatasetError, match=r"did not make \(thesis\.tex\)"):
        make(root, tmp_path / "docs")
    assert contents(tmp_path / "docs") == {"thesis.tex": b"precious"}


def test_a_folder_that_cannot_be_written_is_one_error(root, monkeypatch):
    (root / "file").touch()
    with pytest.raises(DatasetError, match=r"file.*cannot be used \(.*\).*--out"):
        make(root, root / "file" / "made")

    def full(*_, **__):
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(DatasetError, match=r"made: cannot be used .*free some disk space"):
        make(root, root / "made")
    assert not list((root / "made").glob(".*")), "nothing half written is left"


def test_the_folder_says_what_it_is_and_its_licence(root):
    text = (make(root, root / "made").home / "README.md").read_text()
    assert "It is not DSD100" in text
    assert "CC BY-NC-SA 4.0" in text


# --- the command line


def test_the_command_makes_says_what_it_left_out_and_goes_on(unmix, root):
    words = ("data", "make", "dsd100-like", "--from", "medleydb", "--data-root", root)
    status, out, err = unmix(*words)
    assert (status, err) == (0, "")
    assert f"left out: {SHADOWS}: has no vocals\n" in out
    assert f"dsd100-like: 3 songs in {root / 'DSD100-like'}\n" in out
    assert "CC BY-NC-SA" in out
    assert f"Look at it: unmix data verify dsd100-like --data-root {root}\n" in out
    told = unmix("data", "verify", "dsd100-like", "--data-root", root)[1]
    assert "3 of 3 songs are as expected" in told
    status, out, _ = unmix(*words)
    assert "DSD100-like, 3 of them there already\n" in out
    shutil.rmtree(root / "MedleyDB" / "Audio" / ROCK)
    assert f"removed, no longer asked for: 003 - MedleyDB - {ROCK}\n" in unmix(*words)[1]


def test_the_command_writes_elsewhere_and_says_how_it_is_found(unmix, root):
    words = ("data", "make", "dsd100-like", "--from", "medleydb", "--data-root", root, "--out")
    assert "It is found where its name is DSD100-like" in unmix(*words, root / "x")[1]
    assert f"--data-root {root / 'y'}\n" in unmix(*words, root / "y" / "DSD100-like")[1]


def test_progress_on_a_terminal(root, monkeypatch, capsys):
    from unmix.commands import data

    seen = []
    make(root, root / "made", lambda *told: seen.append(told))
    assert [told[:2] for told in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert seen[0][2] == f"001 - MedleyDB - {BEATLES}"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with data._counting() as progress:
        progress(1, 3, "a song")
    assert "1/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dsd100-like", "--from names none. Expected: --from medleydb.*make dsd100-like --from"),
        ("dsd100-like --from medlydb", "unknown dataset to make dsd100-like of 'medlydb' .did you"),
        ("synthetic-voice --from medleydb", "synthetic-voice is rendered.*leave out --from"),
        ("dsd100 --from medleydb", "unknown stand-in 'dsd100' .did you mean 'dsd100-like'"),
        ("dsd100-like --from medleydb", "no folder for datasets is set"),
        ("dsd100-like --from medleydb --data-root nowhere", "nowhere: no such folder for datasets"),
    ],
)
def test_bad_input_is_one_message(unmix, words, said, monkeypatch):
    monkeypatch.delenv("UNMIX_DATA", raising=False)
    refused(unmix("data", "make", *words.split()), said)


def test_without_medleydb_the_command_says_how_to_get_it(unmix, tmp_path):
    words = ("data", "make", "dsd100-like", "--from", "medleydb", "--data-root", tmp_path)
    refused(unmix(*words), "MedleyDB was not found.*ask for access at https://zenodo.org")
    assert not (tmp_path / "DSD100-like").exists()


# --- the real recordings


@needs_data
def test_ten_songs_of_music_delta_have_all_four_sources():
    songs, left_out = plan(DATA)
    lacking = {f"MusicDelta_{name}" for name in ("Shadows", "SpeedMetal", "Zeppelin")}
    assert set(MUSICDELTA) - lacking <= {song.title for song in songs}
    assert {left_out[name] for name in lacking} == {"has no vocals"}


@needs_data
def test_two_real_songs_add_up_and_lie_at_the_levels_of_a_mix(tmp_path, monkeypatch):
    songs = [song for song in plan(DATA)[0] if song.title in (ROCK, "MusicDelta_Reggae")]
    monkeypatch.setattr(dsd100_like, "plan", lambda root: (songs, {}))
    make(DATA, tmp_path / "DSD100-like")
    report = dsd100.verify(tmp_path, folder="DSD100-like", like=True)
    assert (report.ok, report.fine) == (True, 2)
    dataset = Dsd100(tmp_path, folder="DSD100-like", like=True)
    for song in songs:
        sources = dataset.load(f"{song.name}_000", 44_100).sources
        mixture = sum(sources.values()).astype(float)
        assert sources["vocals"].shape == (2, song.samples), "shorter than 45 s: one clip"
        for sound in sources.values():
            over = 10 * np.log10(np.mean(sound.astype(float) ** 2) / np.mean(mixture**2))
            assert -15 < over < 0
        raw, _ = soundfile.read(next(t.path for t in song.takes if t.source == "bass"))
        bass = sources["bass"].sum(axis=0)
        assert np.corrcoef(raw, bass)[0, 1] > 0.99999
