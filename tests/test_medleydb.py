"""MedleyDB: roles, files, errors, song lists, and what `verify` says."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from unmix.datasets import medleydb, medleydb_lists, medleydb_songs
from unmix.datasets.medleydb import MedleyDb
from unmix.datasets.medleydb_songs import LEFT_OUT, index, qualifying, role_of, role_of_label
from unmix.datasets.splits import in_two_parts
from unmix.datasets.track import PARTS
from unmix.errors import AudioError, DatasetError

DATA = os.environ.get("UNMIX_DATA", "")
needs_data = pytest.mark.skipif(
    not DATA or not medleydb.here(DATA),
    reason="needs songs of MedleyDB: set UNMIX_DATA to the folder above MedleyDB",
)
RATE, SECONDS = 4000, 3.0
ROCK, SHADOWS = "MusicDelta_Rock", "MusicDelta_Shadows"
BAND = {
    "S01": ("drum set", ["kick drum", "snare drum"]),
    "S02": ("electric bass", ["electric bass"]),
    "S03": ("clean electric guitar", ["clean electric guitar", "fx/processed sound"]),
    "S04": ("distorted electric guitar", ["distorted electric guitar"]),
    "S05": ("male singer", ["male singer"]),
}
"""Label of each stem, and of the raw tracks below it."""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("UNMIX_CACHE", str(folder))
    return folder / "medleydb" / "digests.json"


def tone(number, seconds=SECONDS, rate=RATE):
    """A sine at `100 * number` Hz, of a level that tells tracks apart."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.01 * number * np.sin(2 * np.pi * 100 * number * time)


def tracks(band):
    """Yield the number, layer, stem, raw track, and label of each file of a song."""
    number = 0
    for stem, (label, raw) in band.items():
        yield (number := number + 1), "STEM", stem, "", label
        for place, each in enumerate(raw, 1):
            yield (number := number + 1), "RAW", stem, f"R{place:02d}", each


def write_song(root, name, band=BAND, ending="wav", layers=("RAW", "STEM"), **about):
    """Write a song: every file a sine of its own, stems in stereo, the right channel silent."""
    folder = root / "MedleyDB" / "Audio" / name
    stems = {}
    for number, layer, stem, raw, label in tracks(band):
        number_of = stem[1:] + (f"_{raw[1:]}" if raw else "")
        file = f"{name}_{layer}_{number_of}.wav"
        entry = {"filename": file, "instrument": label}
        (stems.setdefault(stem, {"raw": {}})["raw"] if raw else stems).setdefault(
            raw or stem, {}
        ).update(entry | ({} if raw else {"raw": {}}))
        where = folder / (f"{name}_RAW" if raw else f"{name}_STEMS")
        where.mkdir(parents=True, exist_ok=True)
        sound = tone(number) if raw else np.stack([tone(number), 0 * tone(number)], axis=1)
        if layer in layers:
            soundfile.write((where / file).with_suffix(f".{ending}"), sound, RATE)
    content = {"artist": "A Band", "has_bleed": "no", "stems": stems, **about}
    (folder / f"{name}_METADATA.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture
def root(tmp_path):
    """Return a data root with two invented songs, one in WAV and one in FLAC."""
    write_song(tmp_path, ROCK)
    write_song(tmp_path, SHADOWS, {s: BAND[s] for s in ("S01", "S02", "S04")}, ending="flac")
    return tmp_path


def opened(root, **options):
    """Open with clips of a second, of which half a second is enough."""
    return MedleyDb(root, **{"seconds": 1.0, "shortest": 0.5} | options)


def change(folder, path, value):
    """Set or (None) remove an entry of a song's metadata."""
    file = folder / f"{folder.name}_METADATA.yaml"
    content = yaml.safe_load(file.read_text())
    entry = content
    for key in path[:-1]:
        entry = entry[key]
    if value is None:
        del entry[path[-1]]
    else:
        entry[path[-1]] = value
    file.write_text(yaml.safe_dump(content))


def numbers(sound):
    """Return the numbers of the tones that a sound is the sum of, with their levels."""
    spectrum = np.abs(np.fft.rfft(sound[0])) * 2 / sound.shape[1]
    bins = np.flatnonzero(spectrum > 1e-3)
    return {round(b * RATE / sound.shape[1] / 100): round(spectrum[b], 4) for b in bins}


def mixed(*those, of=1.0):
    return {number: pytest.approx(0.01 * number * of, abs=2e-4) for number in those}


# --- the taxonomy, held against what the paper counts


def test_49_of_122_songs_have_electric_guitar_and_drums_as_the_paper_counts(monkeypatch):
    assert len(index()) == 122
    assert sum(song["excerpt"] for song in index().values()) == 17
    assert len(qualifying()) == 49
    roles = dict(role_of_label())
    monkeypatch.setattr(medleydb_songs, "role_of_label", lambda: roles)
    roles["drum machine"] = "synth"
    assert len(qualifying()) == 43, "drum machines are counted as drums"
    roles |= {"drum machine": "drums", "lap steel guitar": "guitar"}
    assert len(qualifying()) == 50, "lap steel guitars are no electric guitars"


def test_every_label_of_the_songs_has_one_role():
    roles = medleydb_songs._instruments()["roles"]
    labels = [label for group in roles.values() for label in group]
    labels += medleydb_songs._instruments()[LEFT_OUT]
    assert len(labels) == len(set(labels)) == 117
    used = {label for song in index().values() for label in song["stems"] + song["raw"]}
    assert used <= set(labels)


@pytest.mark.parametrize(
    ("label", "stem", "role"),
    [
        ("clean electric guitar", "fx/processed sound", "guitar"),
        ("fx/processed sound", "clean electric guitar", "guitar"),
        ("acoustic guitar", "clean electric guitar", "plucked"),
        ("kick drum", "drum set", "drums"),
        ("tambourine", "drum set", "percussion"),
        ("double bass", "double bass", "bass"),
        ("male singer", "fx/processed sound", LEFT_OUT),
        ("fx/processed sound", "vocalists", LEFT_OUT),
        ("synthesizer", "female singer", LEFT_OUT),
        ("Main System", "piano", LEFT_OUT),
    ],
)
def test_role_of_a_track(label, stem, role):
    assert role_of(label, stem) == role


# --- the contract, on invented songs


def test_clips_are_cuts_of_songs_in_the_order_of_time(root):
    dataset = opened(root, seconds=1.2)
    assert [clip.name for clip in dataset.clips()] == [
        *(f"{ROCK}_{i:03d}" for i in range(3)),
        *(f"{SHADOWS}_{i:03d}" for i in range(3)),
    ]
    assert (dataset.clips()[4].song, dataset.clips()[4].artist) == (SHADOWS, "A Band")
    lengths = [dataset.load(f"{ROCK}_{i:03d}", RATE).sources["bass"].shape for i in range(3)]
    assert lengths == [(1, 4800), (1, 4800), (1, 2400)]


def test_a_short_rest_is_left_out(root):
    assert len(opened(root, seconds=1.2, shortest=0.7).clips()) == 4
    assert len(opened(root, seconds=1.2, shortest=0.6).clips()) == 6
    assert len(opened(root, seconds=2.0, shortest=1.0).clips()) == 4


def test_raw_tracks_are_summed_by_role_and_voices_left_out(root):
    sources = opened(root).load(f"{ROCK}_001", RATE).sources
    assert list(sources) == ["guitar", "drums", "bass"]
    assert all(s.dtype == np.float32 and s.shape == (1, RATE) for s in sources.values())
    assert numbers(sources["drums"]) == mixed(2, 3)
    assert numbers(sources["bass"]) == mixed(5)
    assert numbers(sources["guitar"]) == mixed(7, 8, 10)


def test_stems_are_made_mono_by_their_mean(root):
    sources = opened(root, layer="stems").load(f"{ROCK}_001", RATE).sources
    assert numbers(sources["drums"]) == mixed(1, of=0.5)
    assert numbers(sources["guitar"]) == mixed(6, 9, of=0.5)


@pytest.mark.parametrize(("layer", "those", "of"), [("raw", (7, 8), 1), ("stems", (6,), 0.5)])
def test_the_first_guitar_is_that_of_the_first_stem_and_the_others_are_gone(root, layer, those, of):
    track = opened(root, layer=layer, guitars="first").load(f"{ROCK}_001", RATE)
    assert numbers(track.sources["guitar"]) == mixed(*those, of=of)
    assert set(numbers(sum(track.sources.values()))).isdisjoint({9, 10})


def test_clips_of_a_song_put_together_are_the_song(root):
    dataset = opened(root)
    cut = [dataset.load(clip.name, RATE).sources["drums"] for clip in dataset.clips()[:3]]
    np.testing.assert_allclose(np.concatenate(cut, axis=1)[0], tone(2) + tone(3), atol=1e-4)


def test_load_resamples_the_song_before_it_is_cut(root):
    track = opened(root).load(f"{SHADOWS}_001", 2 * RATE)
    assert (track.rate, track.sources["bass"].shape) == (2 * RATE, (1, 2 * RATE))
    expected = tone(5, rate=2 * RATE)[2 * RATE : 4 * RATE]
    np.testing.assert_allclose(track.sources["bass"][0], expected, atol=1e-3)


def test_flac_and_wav_give_the_same_and_a_wav_goes_before(root):
    folder = root / "MedleyDB" / "Audio" / SHADOWS / f"{SHADOWS}_RAW"
    before = opened(root).load(f"{SHADOWS}_000", RATE).sources["bass"]
    path = folder / f"{SHADOWS}_RAW_02_01.flac"
    sound, _ = soundfile.read(path)
    soundfile.write(path.with_suffix(".wav"), sound, RATE)
    np.testing.assert_array_equal(opened(root).load(f"{SHADOWS}_000", RATE).sources["bass"], before)
    soundfile.write(path.with_suffix(".wav"), 2 * sound, RATE)
    after = opened(root).load(f"{SHADOWS}_000", RATE).sources["bass"]
    np.testing.assert_allclose(after, 2 * before, atol=1e-4)


def test_energies_are_those_of_the_whole_song(root):
    dataset = opened(root)
    track = dataset.load(f"{ROCK}_000", RATE)
    # Tones of whole periods are orthogonal, and a tone's power is half its amplitude squared.
    power = {"guitar": (7, 8, 10), "drums": (2, 3), "bass": (5,)}
    for a in power:
        for b in power:
            expected = sum((0.01 * n) ** 2 / 2 for n in power[a]) if a == b else 0.0
            assert track.song_energies[a, b] == pytest.approx(expected, rel=1e-3, abs=1e-7)
    assert dataset.load(f"{ROCK}_002", RATE).song_energies == track.song_energies


def test_energies_of_a_song_longer_than_a_block(monkeypatch):
    monkeypatch.setattr(medleydb_songs, "BLOCK", 64)
    a, b = np.random.default_rng(0).normal(size=(2, 1, 1000)).astype(np.float32)
    found = medleydb_songs.mean_products({"a": a, "b": b})
    assert found["a", "b"] == found["b", "a"] == pytest.approx(np.mean(a.astype(float) * b))
    assert found["b", "b"] == pytest.approx(np.mean(b.astype(float) ** 2))


def test_a_song_is_decoded_once_and_never_two_are_held(root, monkeypatch):
    calls, dataset, decode = [], opened(root), medleydb.decode

    def counted(song, rate):
        assert dataset._held is None, "the song before is still held"
        calls.append(song.name)
        return decode(song, rate)

    monkeypatch.setattr(medleydb, "decode", counted)
    tracks = [dataset.load(clip.name, RATE) for clip in dataset.clips()]
    assert calls == [ROCK, SHADOWS]
    assert dataset._held.song == SHADOWS
    assert all(sound.base is None for track in tracks for sound in track.sources.values())


def test_metadata_and_audio_may_lie_apart_as_they_are_given_out(root):
    home = root / "MedleyDB"
    before = opened(root).fingerprint()
    (home / "Metadata").mkdir()
    for name in (ROCK, SHADOWS):
        file = f"{name}_METADATA.yaml"
        shutil.move(home / "Audio" / name / file, home / "Metadata" / file)
    (home / "Audio").rename(home / "V1")
    assert opened(root).fingerprint() == before


def test_partial_folder_is_a_subset_with_the_clips_of_its_songs(root):
    dataset = opened(root)
    assert dataset.fidelity == "subset"
    for name in ("musicdelta", "paper"):
        songs = medleydb.stored_splits()[name]["songs"]
        for part, clips in dataset.split(name).items():
            expected = [song for song in (ROCK, SHADOWS) if song in songs[part]]
            assert clips == [f"{song}_{i:03d}" for song in expected for i in range(3)]


def test_full_where_all_songs_that_qualify_are_there(root, monkeypatch):
    monkeypatch.setattr(medleydb, "qualifying", lambda: [ROCK, SHADOWS])
    assert opened(root).fidelity == "full"
    change(root / "MedleyDB" / "Audio" / ROCK, ["stems", "S02", "instrument"], "electric boss")
    assert opened(root).fidelity == "subset"


# --- the fingerprint


def test_fingerprint_follows_content_roles_and_options(root):
    folder = root / "MedleyDB" / "Audio" / ROCK
    seen = [opened(root).fingerprint()]
    assert opened(root).fingerprint() == seen[0]
    options = [{"layer": "stems"}, {"guitars": "first"}, {"shortest": 0.4}, {"needs": ("drums",)}]
    seen += [opened(root, **each).fingerprint() for each in options]
    path = folder / f"{ROCK}_RAW" / f"{ROCK}_RAW_02_01.wav"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    seen.append(opened(root).fingerprint())
    change(folder, ["stems", "S02", "raw", "R01", "instrument"], "synthesizer")
    seen.append(opened(root).fingerprint())
    assert len(set(seen)) == len(seen)
    # A singer's track is not in use, so that it may change or be gone.
    (folder / f"{ROCK}_RAW" / f"{ROCK}_RAW_05_01.wav").unlink()
    assert opened(root).fingerprint() == seen[-1]


def test_digests_are_kept_and_files_read_again_only_when_they_change(root, cache, monkeypatch):
    first = opened(root).fingerprint()
    assert cache.is_file()
    read = []
    digest = medleydb.hashlib.file_digest
    monkeypatch.setattr(
        medleydb.hashlib, "file_digest", lambda f, kind: read.append(f.name) or digest(f, kind)
    )
    assert opened(root).fingerprint() == first
    assert read == []
    path = root / "MedleyDB" / "Audio" / SHADOWS / f"{SHADOWS}_RAW" / f"{SHADOWS}_RAW_02_01.flac"
    os.utime(path, ns=(1, 1))
    assert opened(root).fingerprint() == first
    assert read == [str(path)]


@pytest.mark.parametrize("spoilt", ["", "[]", '{"x": 1', "null"])
def test_a_spoilt_or_read_only_cache_costs_time_alone(root, cache, monkeypatch, spoilt):
    first = opened(root).fingerprint()
    cache.write_text(spoilt)
    assert opened(root).fingerprint() == first
    monkeypatch.setenv("UNMIX_CACHE", str(cache / "below a file"))
    assert opened(root).fingerprint() == first


# --- what goes wrong


def test_missing_folder_says_how_to_ask_for_access(tmp_path):
    with pytest.raises(
        DatasetError,
        match=r"no such folder.*Audio/NAME/NAME_RAW.*ask for access at https://zenodo\.org/records/"
        r"1649325.*medleydb\.weebly\.com.*Metadata of https://github\.com/marl/medleydb.*UNMIX_DATA",
    ):
        MedleyDb(tmp_path)
    assert not medleydb.here(tmp_path)


def test_folder_without_songs_and_root_that_is_the_dataset_itself(root):
    with pytest.raises(DatasetError, match=r"give the folder above .*MedleyDB as the data root"):
        MedleyDb(root / "MedleyDB")
    shutil.rmtree(root / "MedleyDB" / "Audio")
    with pytest.raises(DatasetError, match="holds no song of MedleyDB"):
        MedleyDb(root)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "raws"}, r"unknown layer 'raws' \(did you mean 'raw'.*raw, stems"),
        ({"guitars": "second"}, r"unknown guitars 'second'.*sum, first"),
        ({"needs": ("guitars",)}, r"unknown role 'guitars' \(did you mean 'guitar'"),
        ({"shortest": 2.0}, r"clips of 1 s with a shortest of 2 s.*0 < shortest <= seconds"),
    ],
)
def test_unknown_options(root, options, message):
    with pytest.raises(DatasetError, match=message):
        opened(root, **options)


def test_unknown_split_and_clip(root):
    dataset = opened(root)
    with pytest.raises(DatasetError, match=r"unknown split 'papper' \(did you mean 'paper'"):
        dataset.split("papper")
    with pytest.raises(DatasetError, match=r"unknown clip 'MusicDelta_Rock_003'.*of the 6 clips"):
        dataset.load(f"{ROCK}_003", RATE)


def no_file(folder):
    (folder / f"{ROCK}_RAW" / f"{ROCK}_RAW_02_01.wav").unlink()


def no_folder(folder):
    shutil.rmtree(folder / f"{ROCK}_RAW")


def short_track(folder):
    soundfile.write(folder / f"{ROCK}_RAW" / f"{ROCK}_RAW_02_01.wav", tone(5)[:-7], RATE)


def other_rate(folder):
    soundfile.write(folder / f"{ROCK}_RAW" / f"{ROCK}_RAW_02_01.wav", tone(5), 8000)


def no_sound(folder):
    (folder / f"{ROCK}_RAW" / f"{ROCK}_RAW_02_01.wav").write_bytes(b"RIFF")


def no_yaml(folder):
    (folder / f"{ROCK}_METADATA.yaml").write_text("artist: [\nstems: {")


def no_text(folder):
    (folder / f"{ROCK}_METADATA.yaml").write_bytes(b"artist: \xff\xfe")


def no_date(folder):
    (folder / f"{ROCK}_METADATA.yaml").write_text("artist: 2014-99-99")


def no_metadata(folder):
    (folder / f"{ROCK}_METADATA.yaml").unlink()


def edit(*path, to):
    return lambda folder: change(folder, path, to)


BROKEN = {
    "missing file": (no_file, r"METADATA.yaml names MusicDelta_Rock_RAW_02_01, which is not in"),
    "missing folder": (no_folder, r"which is not in .*_RAW; there is MusicDelta_Rock_STEMS"),
    "length": (
        short_track,
        r"unequal length: \S+_RAW_02_01.wav has 11993 samples at 4000 Hz, \S+ has 12000",
    ),
    "rate": (other_rate, r"unequal rate: MusicDelta_Rock_RAW_02_01.wav has 12000 samples at 8000"),
    "no sound": (no_sound, r"RAW_02_01.wav: cannot be read as sound.*cut short"),
    "broken YAML": (no_yaml, r"METADATA.yaml: is not readable YAML \(.*line \d\)"),
    "no text": (no_text, r"METADATA.yaml: is not readable YAML \(.*utf-8"),
    "no metadata": (no_metadata, r"metadata are not there.*github.com/marl/medleydb"),
    "no stems": (edit("stems", to=None), r"METADATA.yaml: has no list of stems"),
    "a list": (edit("stems", to=["S01"]), r"METADATA.yaml: has no list of stems"),
    "unknown label": (
        edit("stems", "S02", "raw", "R01", "instrument", to="electric boss"),
        r"unknown instrument 'electric boss' \(did you mean 'electric bass'\?\) at S02 R01",
    ),
    "unknown stem label": (edit("stems", "S01", "instrument", to="drumset"), "'drum set'.*at S01"),
    "no label": (edit("stems", "S04", "instrument", to=None), r"S04 has no instrument"),
    "no file name": (edit("stems", "S04", "raw", "R01", "filename", to=""), r"S04 R01 has no file"),
    "raw list": (edit("stems", "S04", "raw", to=["R01"]), r"S04 has no mapping of raw tracks"),
    "no date": (no_date, r"METADATA.yaml: is not readable YAML"),
    "keys of two kinds": (
        edit("stems", 6, to={"instrument": "oboe", "raw": {1: {"instrument": "oboe"}}}),
        r"METADATA.yaml: 6 1 has no filename",
    ),
    "only voices": (
        edit("stems", to={"S05": {"instrument": "vocalists", "raw": {}}}),
        r"names no instrument beside voices \(raw\)",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_song_is_left_out_and_named(root, what):
    spoil, message = BROKEN[what]
    spoil(root / "MedleyDB" / "Audio" / ROCK)
    dataset = opened(root)
    assert list(dataset.songs) == [SHADOWS]
    assert list(dataset.broken) == [ROCK]
    with pytest.raises(DatasetError, match=f"(?s)song is left out.*{message}"):
        dataset.load(f"{ROCK}_000", RATE)
    (line,) = [line for line in medleydb.verify(root).altered if line.startswith(ROCK)]
    assert line == f"{ROCK}: {dataset.broken[ROCK]}"


def test_a_song_without_the_target_is_left_out_unless_it_is_not_needed(root):
    band = {stem: BAND[stem] for stem in ("S01", "S02")}
    write_song(root, ROCK, band)
    dataset = opened(root)
    assert dataset.left_out == {ROCK: "MusicDelta_Rock has no guitar (raw)"}
    with pytest.raises(DatasetError, match=r"song is left out .*has no guitar"):
        dataset.load(f"{ROCK}_000", RATE)
    with_it = opened(root, needs=("drums",))
    assert list(with_it.songs) == [ROCK, SHADOWS]
    assert list(with_it.load(f"{ROCK}_000", RATE).sources) == ["drums", "bass"]


def test_a_song_shorter_than_a_clip_is_left_out(root):
    dataset = MedleyDb(root, usable=False)
    assert not dataset.songs
    assert dataset.left_out[ROCK] == "MusicDelta_Rock lasts 3.0 s, less than a clip"


def test_no_song_of_use_is_an_error_with_reasons(root):
    for name in (ROCK, SHADOWS):
        (root / "MedleyDB" / "Audio" / name / f"{name}_METADATA.yaml").unlink()
    with pytest.raises(DatasetError, match=r"no song can be used \(of 2; .*metadata are not there"):
        opened(root)


def test_a_recording_cut_short_is_refused_when_it_is_read(root):
    # The header of a FLAC keeps its length, so that only reading finds what is lost.
    folder = root / "MedleyDB" / "Audio" / SHADOWS / f"{SHADOWS}_RAW"
    path = folder / f"{SHADOWS}_RAW_02_01.flac"
    noise = np.random.default_rng(0).normal(0, 0.1, len(tone(1)))
    soundfile.write(path, noise, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"RAW_02_01.flac.*(truncated|cannot be read)"):
        opened(root).load(f"{SHADOWS}_000", RATE)


def test_a_file_that_changes_after_opening_is_refused(root):
    dataset = opened(root)
    short_track(root / "MedleyDB" / "Audio" / ROCK)
    with pytest.raises(AudioError, match=r"has 11993 samples.*12000.*has changed"):
        dataset.load(f"{ROCK}_000", RATE)


def test_a_target_silent_throughout_is_refused_and_a_pause_is_not(root):
    path = root / "MedleyDB" / "Audio" / SHADOWS / f"{SHADOWS}_RAW" / f"{SHADOWS}_RAW_04_01.flac"
    sound = tone(7)
    sound[: 2 * RATE] = 0
    soundfile.write(path, sound, RATE)
    assert not opened(root).load(f"{SHADOWS}_001", RATE).sources["guitar"].any()
    assert opened(root).load(f"{SHADOWS}_002", RATE).sources["guitar"].any()
    soundfile.write(path, 0 * sound, RATE)
    with pytest.raises(AudioError, match="MusicDelta_Shadows: its guitar is silent throughout"):
        opened(root).load(f"{SHADOWS}_000", RATE)


def test_metadata_do_not_lead_out_of_the_song(root):
    change(
        root / "MedleyDB" / "Audio" / ROCK,
        ["stems", "S02", "raw", "R01", "filename"],
        f"../../{SHADOWS}/{SHADOWS}_RAW/{SHADOWS}_RAW_02_01.flac",
    )
    assert "names MusicDelta_Shadows_RAW_02_01, which is not in" in opened(root).broken[ROCK]


# --- verify, list, fetch


@pytest.fixture
def long(root, monkeypatch):
    """Make the two songs the whole of MedleyDB, and clips short enough for them."""
    known = {name: index()[name] | {"seconds": SECONDS} for name in (ROCK, SHADOWS)}
    monkeypatch.setattr(medleydb, "index", lambda: known)
    monkeypatch.setattr(medleydb, "qualifying", lambda: [ROCK, SHADOWS])
    monkeypatch.setattr(MedleyDb, "_cuts", lambda self, song: 1)
    return root


def test_verify_is_content_with_all_songs(long):
    report = medleydb.verify(long)
    assert report.ok
    home = long / "MedleyDB"
    assert report.lines() == [
        f"{home}: 2 of 2 songs with electric guitar and drums are as expected."
    ]


def test_verify_names_what_is_missing_altered_and_unknown(long):
    home = long / "MedleyDB" / "Audio"
    shutil.rmtree(home / SHADOWS)
    (home / "MyOwn_Song").mkdir()
    for path in (home / ROCK / f"{ROCK}_RAW").iterdir():
        soundfile.write(path, soundfile.read(path)[0][: 2 * RATE], RATE)
    report = medleydb.verify(long)
    text = "\n".join(report.lines())
    assert not report.ok
    assert "0 of 2 songs" in text
    assert f"1 missing:\n  {SHADOWS}\n" in text
    assert f"{ROCK}: lasts 2.0 s (expected 3.0 s)" in text
    assert "MyOwn_Song" in text
    assert "ask for access at https://zenodo.org/records/1649325" in text


def test_verify_reads_the_sound_and_tells_of_bleed(long):
    folder = long / "MedleyDB" / "Audio" / SHADOWS
    path = folder / f"{SHADOWS}_RAW" / f"{SHADOWS}_RAW_02_01.flac"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    change(folder, ["has_bleed"], "yes")
    report = medleydb.verify(long)
    assert (report.fine, len(report.altered)) == (1, 1)
    assert "RAW_02_01.flac" in report.altered[0]
    assert f"Instruments are heard in each other's tracks: {SHADOWS}." in report.notes


def test_commands_list_verify_and_fetch(unmix, root):
    def here():
        out = unmix("data", "list", "--data-root", root)[1]
        return next(line for line in out.splitlines() if "medleydb" in line)

    assert "a part" in here()
    assert "on request: https://zenodo.org/records/1649325" in here()
    status, out, _ = unmix("data", "verify", "medleydb", "--data-root", root)
    assert status == 1
    assert "of 49 songs with electric guitar and drums are as expected" in out
    assert "47 missing:\n  AClassicEducation_NightOwl\n" in out
    status, _, err = unmix("data", "fetch", "medleydb", "--data-root", root)
    assert status == 1
    assert "given on request" in " ".join(err.split())
    shutil.rmtree(root / "MedleyDB")
    assert "no" in here().split()


# --- the song lists


def test_stored_lists_are_those_that_the_rules_draw():
    assert medleydb.stored_splits() == medleydb_lists.make_splits()


def test_musicdelta_has_guitar_and_drums_where_it_is_scored():
    songs = medleydb.stored_splits()["musicdelta"]["songs"]
    assert {part: len(songs[part]) for part in PARTS} == {"train": 7, "valid": 2, "test": 4}
    assert sorted(song for part in PARTS for song in songs[part]) == list(medleydb_lists.MUSICDELTA)
    assert set(songs["valid"] + songs["test"]) <= set(qualifying())


def test_paper_has_the_papers_numbers_of_songs_and_clips():
    songs = medleydb.stored_splits()["paper"]["songs"]
    learning = songs["train"] + songs["valid"]
    assert (len(learning), len(songs["test"])) == (8, 4)

    def clips(names):
        return sum(medleydb_songs.cuts(index()[name]["seconds"]) for name in names)

    assert (clips(learning), clips(songs["test"])) == (80, 30)
    artists = {name: song["artist"] for name, song in index().items() if "Delta" not in name}
    assert not in_two_parts(songs, artists)
    heard = {label for name in learning + songs["test"] for label in index()[name]["raw"]}
    assert {"electric bass", "piano", "cello", "trombone"} <= heard
    # The violin, which the paper names too, is in none of the songs that qualify.
    everywhere = {label for name in qualifying() for label in index()[name]["raw"]}
    assert "violin" not in everywhere


def test_no_list_where_no_seed_fits(monkeypatch):
    monkeypatch.setattr(medleydb_lists, "MOST_SEEDS", 3)
    with pytest.raises(DatasetError, match="no seed below 3 fits"):
        medleydb_lists.make_splits()


# --- the real recordings


@pytest.fixture(scope="module")
def real():
    return MedleyDb(DATA)


@needs_data
def test_the_songs_of_music_delta_are_there(real):
    here = [song for song in medleydb_lists.MUSICDELTA if song != "MusicDelta_Country1"]
    assert set(here) <= set(real.songs)
    assert set(here).isdisjoint(real.broken)
    assert real.left_out.get("MusicDelta_Country1", "no guitar").endswith("no guitar (raw)")
    split = real.split("musicdelta")
    assert {part: len(split[part]) for part in PARTS} == {"train": 7, "valid": 4, "test": 7}
    assert len(MedleyDb(DATA, needs=("drums",)).split("musicdelta")["train"]) == 9


@needs_data
def test_lengths_agree_with_the_index(real):
    for song in real.songs.values():
        assert song.seconds == pytest.approx(index()[song.name]["seconds"], abs=0.05)
        labels = {role_of_label()[label] for label in index()[song.name]["raw"]}
        assert set(song.roles) == labels - {LEFT_OUT}


@needs_data
def test_guitar_and_drums_sound_in_every_clip_and_energies_are_those_of_the_song(real):
    song = "MusicDelta_Beatles"
    tracks = [real.load(f"{song}_{i:03d}", 44_100) for i in range(2)]
    whole = {
        role: np.concatenate([track.sources[role][0] for track in tracks]).astype(float)
        for role in tracks[0].sources
    }
    assert len(whole["drums"]) == real.songs[song].samples
    for (a, b), energy in tracks[0].song_energies.items():
        assert energy == pytest.approx(np.mean(whole[a] * whole[b]), rel=1e-9)
    for part in PARTS:
        for name in real.split("musicdelta")[part]:
            sources = real.load(name, 8000).sources
            for role in medleydb.NEEDS:
                assert np.sqrt(np.mean(sources[role] ** 2)) > 10 ** (-42 / 20)


@needs_data
def test_a_raw_track_of_the_real_songs_stands_in_its_role(real):
    home = Path(DATA) / "MedleyDB" / "Audio" / "MusicDelta_Rockabilly" / "MusicDelta_Rockabilly_RAW"
    read = [soundfile.read(home / f"MusicDelta_Rockabilly_RAW_0{i}_01.flac")[0] for i in (1, 3, 4)]
    sources = real.load("MusicDelta_Rockabilly_000", 44_100).sources
    stop = 20 * 44_100
    np.testing.assert_allclose(sources["drums"][0], read[0][:stop], atol=1e-6)
    np.testing.assert_allclose(sources["guitar"][0], (read[1] + read[2])[:stop], atol=1e-6)
