"""DSD100: layout, cuts, stereo, splits and rounds, what cannot be used, verify and fetch."""

import hashlib
import shutil

import numpy as np
import pytest
import soundfile

from aids import hosting, refused, zipped
from unmix import audio
from unmix.datasets import catalogue, dsd100, dsd100_songs, remote
from unmix.datasets.dsd100 import Dsd100
from unmix.datasets.dsd100_songs import (
    NUMBERS,
    SOURCES,
    Song,
    cuts,
    make_rounds,
    round_parts,
    stored_order,
)
from unmix.datasets.splits import in_two_parts
from unmix.datasets.track import PARTS
from unmix.errors import AudioError, DatasetError

RATE = 4000
ROCK, WALTZ = "003 - A Band - Rock - Live", "051 - The Others - Waltz"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("UNMIX_CACHE", str(tmp_path_factory.mktemp("cache")))


def tone(pitch, seconds=3.0, rate=RATE, level=0.1):
    return level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


def stereo(number, seconds=3.0, rate=RATE):
    """A tone of another pitch and level in either channel, `(samples, 2)`."""
    left, right = tone(100 * number, seconds, rate), tone(100 * number + 50, seconds, rate, 0.05)
    return np.stack([left, right], axis=1)


def write(path, sound, rate=RATE, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, **more)


def write_song(home, subset, name, sounds=None, ending="wav", **more):
    """Write a song with its mixture; returns the folder of its sources."""
    sounds = sounds or {source: stereo(at) for at, source in enumerate(SOURCES, 1)}
    inside = home / "Sources" / subset / name
    for source, sound in sounds.items():
        write(inside / f"{source}.{ending}", sound, **more)
    mixture = home / "Mixtures" / subset / name / f"mixture.{ending}"
    write(mixture, sum(sounds.values()), **more)
    return inside


@pytest.fixture
def root(tmp_path):
    """Return a data root with a song of either subset, whose numbers do not tell it."""
    write_song(tmp_path / "DSD100", "Dev", ROCK)
    write_song(tmp_path / "DSD100", "Test", WALTZ, ending="flac")
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a data root with 100 songs of 16 ms, as many of each subset as there are."""
    folder = tmp_path_factory.mktemp("whole")
    sounds = {source: stereo(at, 0.016) for at, source in enumerate(SOURCES, 1)}
    for number in NUMBERS:
        subset = "Test" if number <= 50 else "Dev"
        write_song(folder / "DSD100", subset, f"{number:03d} - Artist - Title", sounds)
    return folder


def opened(root, **options):
    """Open with clips of a second, and half a second as the shortest."""
    return Dsd100(root, **{"seconds": 1.0, "shortest": 0.5} | options)


def songs_of(dataset, name):
    """The songs of each part of a split."""
    song = {clip.name: clip.song for clip in dataset.clips()}
    return {part: sorted({song[n] for n in names}) for part, names in dataset.split(name).items()}


# --- layout, clips and sources


def test_clips_are_cuts_named_after_song_and_place(root):
    dataset = opened(root)
    assert [clip.name for clip in dataset.clips()] == [
        *(f"{ROCK}_{i:03d}" for i in range(3)),
        *(f"{WALTZ}_{i:03d}" for i in range(3)),
    ]
    assert [clip.artist for clip in dataset.clips()] == ["A Band"] * 3 + ["The Others"] * 3
    assert {clip.song for clip in dataset.clips()} == {ROCK, WALTZ}
    assert dataset.name == "dsd100"


@pytest.mark.parametrize(
    ("name", "artist"),
    [("Band - Song", "Band"), ("Song", ""), ("001 - The - Dash - It", "The")],
)
def test_artist_is_the_middle_of_the_name(name, artist):
    assert Song(name, "Dev", {}, None, RATE, RATE).artist == artist


@pytest.mark.parametrize("song", [ROCK, WALTZ])
def test_a_clip_has_its_four_sources_in_stereo(root, song):
    track = opened(root).load(f"{song}_001", RATE)
    assert tuple(track.sources) == SOURCES
    assert track.song_energies is None
    for number, (source, sound) in enumerate(track.sources.items(), 1):
        assert (sound.shape, sound.dtype) == ((2, RATE), np.float32)
        expected = stereo(number)[RATE : 2 * RATE].T
        np.testing.assert_allclose(sound, expected, atol=1e-4, err_msg=source)


def test_the_sum_of_the_sources_is_the_mixture(root):
    sources = opened(root).load(f"{ROCK}_000", RATE).sources
    mixture, _ = soundfile.read(root / "DSD100" / "Mixtures" / "Dev" / ROCK / "mixture.wav")
    np.testing.assert_allclose(sum(sources.values()), mixture[:RATE].T, atol=2e-4)


def test_a_wav_goes_before_a_flac_and_gives_the_same(root):
    inside = root / "DSD100" / "Sources" / "Test" / WALTZ
    before = opened(root).load(f"{WALTZ}_000", RATE).sources["bass"]
    sound, _ = soundfile.read(inside / "bass.flac")
    write(inside / "bass.wav", sound)
    np.testing.assert_array_equal(opened(root).load(f"{WALTZ}_000", RATE).sources["bass"], before)
    write(inside / "bass.wav", -sound)
    np.testing.assert_array_equal(opened(root).load(f"{WALTZ}_000", RATE).sources["bass"], -before)


@pytest.mark.parametrize(
    ("seconds", "lengths"),
    [
        (1.0, [1.0]),
        (29.99, [29.99]),
        (30.0, [30.0]),
        (44.99, [44.99]),
        (45.0, [30.0, 15.0]),
        (60.0, [30.0, 30.0]),
        (74.99, [30.0, 44.99]),
        (75.0, [30.0, 30.0, 15.0]),
    ],
)
def test_a_short_last_cut_is_joined_to_the_one_before(seconds, lengths):
    found = cuts(Song("x", "Dev", {}, None, 100, round(100 * seconds)))
    assert [len(cut) / 100 for cut in found] == lengths
    assert [place for cut in found for place in cut] == list(range(round(100 * seconds)))


@pytest.mark.parametrize("rate", [RATE, 3000, 4410, 8000])
@pytest.mark.parametrize("seconds", [1.0, 0.7])
def test_clips_put_together_are_the_resampled_song(tmp_path, rate, seconds):
    """The second implementation resamples the whole song and never cuts it."""
    noise = np.random.default_rng(0).normal(0, 0.1, (4, 2 * RATE + 700, 2))
    sounds = dict(zip(SOURCES, noise, strict=True))
    inside = write_song(tmp_path / "DSD100", "Dev", ROCK, sounds, subtype="FLOAT")
    dataset = opened(tmp_path, seconds=seconds, shortest=seconds / 2)
    cut = [dataset.load(clip.name, rate).sources["drums"] for clip in dataset.clips()]
    assert len(cut) > 1
    song = audio.resample(audio.read(inside / "drums.wav")[0], RATE, rate)
    np.testing.assert_allclose(np.concatenate(cut, axis=1), song, atol=1e-4)


def test_no_more_of_a_song_is_read_than_the_clip(root, monkeypatch):
    counts, read = [], soundfile.SoundFile.read

    def counted(self, frames=-1, **more):
        counts.append(frames)
        return read(self, frames, **more)

    dataset = opened(root)
    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    dataset.load(f"{ROCK}_001", RATE)
    assert counts == [RATE] * 4
    dataset.load(f"{ROCK}_001", 8000)
    assert max(counts[4:]) <= RATE + 2 * round(dsd100_songs.MARGIN * RATE)


# --- splits


def test_dev_test_goes_by_folder_and_every_eighth_song_validates(tmp_path):
    sounds = dict.fromkeys(SOURCES, stereo(1, 0.1))
    dev = [f"{number:03d} - A - B" for number in range(1, 11)]
    test = [f"{number:03d} - A - B" for number in range(91, 94)]
    for subset, names in (("Dev", dev), ("Test", test)):
        for name in names:
            write_song(tmp_path / "DSD100", subset, name, sounds)
    found = songs_of(opened(tmp_path), "dev-test")
    assert found["valid"] == [dev[0], dev[8]]
    assert found["train"] == [*dev[1:8], dev[9]]
    assert found["test"] == test


def test_stored_rounds_are_those_that_the_rule_draws():
    assert dsd100_songs._stored() == make_rounds()
    assert sorted(stored_order()) == list(NUMBERS)


def test_the_ten_rounds_of_ten_songs_are_spelt_out(whole):
    rounds = dsd100_songs._stored()["rounds"]
    assert sorted(number for songs in rounds.values() for number in songs) == list(NUMBERS)
    dataset = opened(whole)
    for number, songs in rounds.items():
        tested = songs_of(dataset, f"round-{number}-of-10")["test"]
        assert [int(name[:3]) for name in tested] == sorted(songs)
        assert len(songs) == 10


@pytest.mark.parametrize("count", [2, 3, 10, 100])
@pytest.mark.parametrize("like", [False, True])
def test_every_song_is_tested_once_over_the_rounds(whole, count, like):
    dataset = opened(whole, like=like)
    names = [clip.name for clip in dataset.clips()]
    tested = []
    for number in range(1, count + 1):
        parts = dataset.split(f"round-{number}-of-{count}")
        tested += parts["test"]
        assert sorted(name for part in PARTS for name in parts[part]) == names
        assert not in_two_parts(parts, {clip.name: clip.song for clip in dataset.clips()})
        following = dataset.split(f"round-{number % count + 1}-of-{count}")["test"]
        assert set(parts["valid"]) <= set(following)
        assert len(parts["valid"]) == max(1, len(following) // 2)
    assert sorted(tested) == names


def test_rounds_by_hand():
    assert round_parts("abcdefg", 3, 3) == {
        "train": ["b", "d", "e", "g"],
        "valid": ["a"],
        "test": ["c", "f"],
    }
    assert round_parts("abc", 1, 3) == {"train": ["c"], "valid": ["b"], "test": ["a"]}


def test_missing_songs_leave_the_others_in_their_rounds(root):
    dataset = opened(root)
    for name in (ROCK, WALTZ):
        number = stored_order().index(int(name[:3])) % 10 + 1
        assert name in songs_of(dataset, f"round-{number}-of-10")["test"]
    tested = [songs_of(dataset, f"round-{k}-of-10")["test"] for k in range(1, 11)]
    assert sorted(name for names in tested for name in names) == [ROCK, WALTZ]


def test_a_broken_song_leaves_the_others_of_a_collection_in_their_rounds(tmp_path):
    home = tmp_path / "DSD100"
    for name in "abcdefgh":
        write_song(home, "Dev", name, dict.fromkeys(SOURCES, stereo(1, 0.1)))
    before = songs_of(opened(tmp_path, like=True), "round-1-of-4")
    (home / "Sources" / "Dev" / before["train"][0] / "bass.wav").unlink()
    after = songs_of(opened(tmp_path, like=True), "round-1-of-4")
    assert after == before | {"train": before["train"][1:]}


@pytest.mark.parametrize(
    "name", ["round-0-of-10", "round-11-of-10", "round-1-of-1", "round-1-of-101", "round-1", "dev"]
)
def test_unknown_splits(root, name):
    with pytest.raises(
        DatasetError,
        match=rf"unknown split '{name}'.*round-1-of-10, with N from 2 .*\(100\) and K from 1 to N",
    ):
        opened(root).split(name)


def test_a_collection_has_as_many_rounds_as_songs(root):
    dataset = opened(root, like=True)
    assert dataset.split("round-2-of-2")["test"]
    with pytest.raises(DatasetError, match=r"'round-1-of-3'.*number of songs \(2\)"):
        dataset.split("round-1-of-3")


# --- fidelity and fingerprint


def test_full_with_all_100_songs_unbroken(whole, tmp_path):
    assert Dsd100(whole).fidelity == "full"
    assert catalogue.whole("dsd100", whole)
    assert Dsd100(whole, like=True).fidelity == "stand-in"
    shutil.copytree(whole / "DSD100", tmp_path / "DSD100")
    inside = tmp_path / "DSD100" / "Sources" / "Dev" / "077 - Artist - Title"
    (inside / "drums.wav").unlink()
    assert Dsd100(tmp_path).fidelity == "subset"
    shutil.rmtree(inside)
    assert Dsd100(tmp_path).fidelity == "subset"


def test_fingerprint_follows_sources_subset_and_clips_but_not_the_mixture(root):
    home = root / "DSD100"
    seen = [opened(root).fingerprint()]
    write(home / "Mixtures" / "Dev" / ROCK / "mixture.wav", stereo(9))
    assert opened(root).fingerprint() == seen[0]
    seen.append(opened(root, seconds=1.5).fingerprint())
    write(home / "Sources" / "Dev" / ROCK / "bass.wav", stereo(9))
    seen.append(opened(root).fingerprint())
    (home / "Sources" / "Dev" / ROCK).rename(home / "Sources" / "Test" / ROCK)
    seen.append(opened(root).fingerprint())
    assert len(set(seen)) == len(seen)


# --- what cannot be used


def lacks_two(inside):
    (inside / "vocals.wav").unlink()
    (inside / "other.wav").unlink()


def short(inside):
    write(inside / "bass.wav", stereo(2)[:-7])


def other_rate(inside):
    write(inside / "bass.wav", stereo(2), 8000)


def mono(inside):
    write(inside / "bass.wav", tone(200))


def no_sound(inside):
    (inside / "bass.wav").write_bytes(b"RIFF")


def nothing(inside):
    for source in SOURCES:
        write(inside / f"{source}.wav", np.zeros((0, 2)))


def twice(inside):
    shutil.copytree(inside, inside.parents[1] / "Test" / inside.name)


BROKEN = {
    "missing": (lacks_two, r"Rock - Live: has no vocals and no other.*vocals\.wav, bass\.wav"),
    "length": (short, r"unequal length: bass\.wav has 11993 samples at 4000 Hz, vocals\.wav has"),
    "rate": (other_rate, r"unequal rate: bass\.wav has 12000 samples at 8000 Hz"),
    "mono": (mono, r"bass\.wav: has 1 channel\..*stereo.*not a mixdown"),
    "no sound": (no_sound, r"bass\.wav: cannot be read as sound.*cut short"),
    "empty": (nothing, r"Rock - Live: its files hold no sound"),
    "twice": (twice, r"Rock - Live lies in Dev and in Test.*delete one of the two"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_song_is_left_out_and_named(root, what):
    spoil, message = BROKEN[what]
    spoil(root / "DSD100" / "Sources" / "Dev" / ROCK)
    dataset = opened(root)
    assert (list(dataset.songs), list(dataset.broken)) == ([WALTZ], [ROCK])
    with pytest.raises(DatasetError, match=f"(?s)song is left out.*{message}"):
        dataset.load(f"{ROCK}_000", RATE)
    (line,) = dsd100.verify(root).altered
    assert line == f"{ROCK}: {dataset.broken[ROCK]}"
    assert songs_of(dataset, "dev-test")["test"] == [WALTZ]


def test_a_folder_that_is_no_song_of_dsd100_is_left_out(root):
    for name in ("My Own - Song", "101 - A - B", "000 - A - B"):
        write_song(root / "DSD100", "Dev", name)
    dataset = opened(root)
    assert list(dataset.songs) == [ROCK, WALTZ]
    assert dataset.left_out["101 - A - B"] == "101 - A - B is not one of the songs 001 to 100"
    with pytest.raises(DatasetError, match=r"its song is left out .*not one of the songs"):
        dataset.load("My Own - Song_000", RATE)
    assert len(dsd100.verify(root).unknown) == 3
    assert len(opened(root, like=True).songs) == 5


def test_a_missing_folder_says_the_layout_and_the_command(tmp_path):
    with pytest.raises(
        DatasetError,
        match=r"no such folder.*DSD100/Sources/Dev/NNN - ARTIST - TITLE/vocals\.wav.*unmix data "
        r"fetch dsd100 --data-root .*\(14 GB\).*UNMIX_DATA",
    ):
        Dsd100(tmp_path)
    assert not catalogue.available("dsd100", tmp_path)
    (tmp_path / "DSD100").mkdir()
    with pytest.raises(DatasetError, match="holds no song"):
        Dsd100(tmp_path)


def test_a_root_that_is_the_dataset_itself_is_recognised(root):
    with pytest.raises(DatasetError, match=r"give the folder above .*DSD100 as the data root"):
        Dsd100(root / "DSD100")


def test_no_song_of_use_is_an_error_with_reasons(root):
    for subset, name, ending in (("Dev", ROCK, "wav"), ("Test", WALTZ, "flac")):
        (root / "DSD100" / "Sources" / subset / name / f"bass.{ending}").unlink()
    with pytest.raises(DatasetError, match=r"no song can be used \(of 2; .*has no bass.*verify"):
        Dsd100(root)


def test_unknown_clip_with_the_nearest_name(root):
    with pytest.raises(DatasetError, match=rf"unknown clip '{ROCK}_003' \(did you mean '{ROCK}_00"):
        opened(root).load(f"{ROCK}_003", RATE)
    with pytest.raises(DatasetError, match=r"unknown clip 'nothing'.*clips of 2 songs"):
        opened(root).load("nothing", RATE)


def test_a_file_that_changes_after_opening_is_refused(root):
    dataset = opened(root)
    short(root / "DSD100" / "Sources" / "Dev" / ROCK)
    with pytest.raises(AudioError, match=r"bass\.wav: has 11993 samples.*12000.*has changed"):
        dataset.load(f"{ROCK}_000", RATE)


def test_a_recording_cut_short_is_refused_when_it_is_read(root):
    # The header of a FLAC keeps its length, so that only reading finds what is lost.
    path = root / "DSD100" / "Sources" / "Test" / WALTZ / "bass.flac"
    write(path, np.random.default_rng(0).normal(0, 0.1, (3 * RATE, 2)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    dataset = opened(root)
    assert dataset.load(f"{WALTZ}_000", RATE).sources["bass"].any()
    with pytest.raises(
        AudioError, match=r"bass\.flac: (has 12000 samples.* of 4000|cannot be rea)"
    ):
        dataset.load(f"{WALTZ}_002", RATE)
    assert "bass.flac" in "\n".join(dsd100.verify(root).altered)


def test_samples_that_are_no_numbers_are_refused(root):
    sound = stereo(2)
    sound[5000, 1] = np.nan
    write(root / "DSD100" / "Sources" / "Dev" / ROCK / "bass.wav", sound, subtype="FLOAT")
    assert opened(root).load(f"{ROCK}_000", RATE).sources["bass"].any()
    with pytest.raises(AudioError, match=r"bass\.wav: holds samples that are NaN or infinite"):
        opened(root).load(f"{ROCK}_001", RATE)


# --- verify


def test_verify_is_content_with_all_100_songs(whole):
    report = dsd100.verify(whole)
    assert report.ok
    first, second = report.lines()
    assert first == f"{whole / 'DSD100'}: 100 of 100 songs are as expected."
    assert second.startswith("The mixtures of 100 songs are the sums of their sources up to a rest")


def test_verify_names_the_songs_that_are_missing(root):
    report = dsd100.verify(root)
    assert (report.ok, report.fine, report.expected, len(report.missing)) == (False, 2, 100, 98)
    assert report.missing[:3] == ["song 001", "song 002", "song 004"]
    assert f"What to do: run `unmix data fetch dsd100 --data-root {root}`" in report.lines()[-1]


def test_the_rest_is_in_db_below_the_mixture(root):
    """A mixture of `1 + e` times the sum has a rest of `e / (1 + e)`."""
    write_song(root / "DSD100", "Dev", ROCK, subtype="FLOAT")
    path = root / "DSD100" / "Mixtures" / "Dev" / ROCK / "mixture.wav"
    total = sum(stereo(at) for at in range(1, 5))
    song = opened(root).songs[ROCK]
    for e in (0.05, 0.001, -0.2):
        write(path, (1 + e) * total, subtype="FLOAT")
        assert dsd100_songs.rest(song) == pytest.approx(20 * np.log10(abs(e / (1 + e))), abs=0.01)
    write(path, 1.05 * total)
    report = dsd100.verify(root)
    assert report.fine == 1
    assert report.altered == [
        f"{ROCK}: its mixture differs from the sum of its sources by -26.4 dB"
    ]
    write(path, 1.001 * total)
    assert "to a rest of -60 dB (003" in "\n".join(dsd100.verify(root).notes)


@pytest.mark.parametrize(("rounded", "offset"), [(np.rint, 0.0), (np.floor, 1.5)])
def test_rounding_of_soft_songs_to_16_bit_is_no_difference(tmp_path, rounded, offset):
    """Five files, each wrong by a twelfth of the squared step, and by half a step rounded down."""
    noise = np.random.default_rng(0).normal(0, 10 ** (-51 / 20), (4, 20 * RATE, 2))
    steps = [rounded(2**15 * sound).astype(np.int16) for sound in (*noise, noise.sum(axis=0))]
    write_song(tmp_path / "DSD100", "Dev", ROCK, dict(zip(SOURCES, steps[:4], strict=True)))
    write(tmp_path / "DSD100" / "Mixtures" / "Dev" / ROCK / "mixture.wav", steps[4])
    expected = 10 * np.log10((5 / 12 + offset**2) / np.mean(steps[4].astype(float) ** 2))
    assert expected < dsd100.REST_DB, "the mixture lies at -45 dB"
    (song,) = Dsd100(tmp_path).songs.values()
    assert dsd100_songs.rest(song) == pytest.approx(expected, abs=0.2)
    assert dsd100.verify(tmp_path).fine == 1


def test_clipping_of_loud_songs_is_no_difference(tmp_path):
    rng = np.random.default_rng(0)
    loud = {source: rng.normal(0, 0.15, (RATE, 2)) for source in SOURCES}
    write_song(tmp_path / "DSD100", "Dev", ROCK, loud)
    assert abs(sum(loud.values())).max() > 1.1
    assert dsd100_songs.rest(Dsd100(tmp_path).songs[ROCK]) < -70


def test_verify_looks_at_the_mixture_but_does_not_need_it(root):
    path = root / "DSD100" / "Mixtures" / "Dev" / ROCK / "mixture.wav"
    write(path, stereo(1)[:-5])
    assert "has 11995 samples. Expected: 12000" in dsd100.verify(root).altered[0]
    write(path, tone(100))
    assert "has 1 channel(s)" in dsd100.verify(root).altered[0]
    path.unlink()
    report = dsd100.verify(root)
    assert (report.fine, list(report.altered)) == (2, [])
    assert f"Without a mixture.wav, which is not read otherwise: 1 ({ROCK})." in report.notes


# --- fetch


@pytest.fixture(scope="module")
def host(whole, tmp_path_factory):
    """A web host that serves the archive under its name."""
    members = {str(p.relative_to(whole)): p.read_bytes() for p in whole.rglob("*.wav")}
    folder = tmp_path_factory.mktemp("host")
    (folder / "DSD100.zip").write_bytes(zipped(members))
    with hosting(folder) as address:
        yield remote.Archive(f"{address}/DSD100.zip")


NOWHERE = remote.Archive("http://127.0.0.1:9/DSD100.zip")


def test_fetch_downloads_unpacks_verifies_and_says_which_archive_it_was(
    tmp_path, host, monkeypatch
):
    report = dsd100.fetch(tmp_path, archives=[host])
    assert report.ok
    assert Dsd100(tmp_path).fidelity == "full"
    assert not (tmp_path / "downloads" / "DSD100.zip").exists()
    (note,) = [line for line in report.notes if "MD5" in line]
    assert note.endswith(f"(SiSEC published {dsd100.MD5}).")
    assert dsd100.fetch(tmp_path, archives=[NOWHERE]).ok, "a whole copy is left alone"


def test_fetch_knows_the_archive_that_sisec_published(tmp_path, host, monkeypatch):
    import requests

    found = hashlib.md5(requests.get(host.url, timeout=10).content).hexdigest()
    monkeypatch.setattr(dsd100, "MD5", found)
    report = dsd100.fetch(tmp_path, archives=[host])
    assert f"DSD100.zip had the MD5 {found} (as SiSEC published it)." in report.notes


def test_fetch_keeps_an_incomplete_folder_and_an_archive_that_lacks_songs(root, whole):
    song = "001 - Artist - Title"
    inside = f"DSD100/Sources/Test/{song}"
    (root / "downloads").mkdir()
    archive = root / "downloads" / "DSD100.zip"
    members = {f"{inside}/{source}.wav": (whole / inside / f"{source}.wav") for source in SOURCES}
    archive.write_bytes(zipped({name: path.read_bytes() for name, path in members.items()}))
    report = dsd100.fetch(root)
    assert (report.ok, report.fine) == (False, 1)
    assert (root / "DSD100.old-1" / "Sources" / "Dev" / ROCK / "bass.wav").is_file()
    assert archive.is_file()
    assert any("DSD100.zip to make the next fetch" in note for note in report.notes)


def test_fetch_says_how_to_place_the_files_by_hand(tmp_path):
    with pytest.raises(DatasetError, match=r"127\.0\.0\.1:9.*by hand.*downloads.*Sources.*vocals"):
        dsd100.fetch(tmp_path, archives=[NOWHERE])
    assert not (tmp_path / "DSD100").exists()


def test_the_archive_is_the_one_that_the_datasets_page_names():
    (archive,) = dsd100.ARCHIVES
    assert archive.file_name == "DSD100.zip"
    assert archive.known_hash is None


# --- the catalogue and the command line


def row(unmix, root, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # no line is broken
    out = unmix("data", "list", "--data-root", root)[1]
    cells = [line.split("│")[1:-1] for line in out.splitlines() if line.startswith("│")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in cells}[name]


def test_commands_list_verify_and_fetch(unmix, root, host, monkeypatch):
    assert row(unmix, root, "dsd100", monkeypatch) == [
        "a part",
        f"unmix data fetch dsd100 --data-root {root}",
    ]
    status, out, _ = unmix("data", "verify", "dsd100", "--data-root", root)
    assert status == 1
    assert "DSD100: 2 of 100 songs are as expected.\n98 missing:\n  song 001\n" in out
    defaults = dsd100.fetch.__kwdefaults__ | {"archives": (host,)}
    monkeypatch.setattr(dsd100.fetch, "__kwdefaults__", defaults)
    status, out, _ = unmix("data", "fetch", "dsd100", "--data-root", root)
    assert status == 0
    assert "100 of 100 songs are as expected" in out
    assert row(unmix, root, "dsd100", monkeypatch)[0] == "yes"


def test_another_collection_is_found_by_its_own_folder(unmix, root, monkeypatch):
    assert not catalogue.available("dsd100-like", root), "DSD100 is not dsd100-like"
    assert row(unmix, root, "dsd100-like", monkeypatch) == [
        "no",
        f"unmix data make dsd100-like --from medleydb --data-root {root}",
    ]
    (root / "DSD100").rename(root / "DSD100-like")
    assert not catalogue.available("dsd100", root)
    assert catalogue.available("dsd100-like", root)
    assert row(unmix, root, "dsd100-like", monkeypatch)[0] == "yes"
    dataset = catalogue.open_dataset("dsd100-like", root)
    assert (dataset.name, dataset.fidelity) == ("dsd100-like", "stand-in")
    assert catalogue.whole("dsd100-like", root)
    status, out, _ = unmix("data", "verify", "dsd100-like", "--data-root", root)
    assert status == 0
    assert "DSD100-like: 2 of 2 songs are as expected." in out
    short(root / "DSD100-like" / "Sources" / "Dev" / ROCK)
    status, out, _ = unmix("data", "verify", "dsd100-like", "--data-root", root)
    assert status == 1
    assert "1 of 2 songs" in out
    assert "data make dsd100-like --from medleydb" in out


def test_another_collection_is_made_and_not_fetched(unmix, tmp_path, monkeypatch):
    refused(
        unmix("data", "fetch", "dsd100-like", "--data-root", tmp_path),
        "dsd100-like cannot be fetched: it is made.*unmix data make dsd100-like --from medleydb",
    )
    refused(
        unmix("data", "verify", "dsd100-like", "--data-root", tmp_path),
        "DSD100-like was not found.*unmix data make dsd100-like --from medleydb --data-root",
    )
    refused(unmix("data", "verify", "medleydb-stems", "--data-root", tmp_path), "unknown dataset")
    monkeypatch.delenv("UNMIX_DATA", raising=False)
    with pytest.raises(DatasetError, match=r"dsd100-like: no folder.*make dsd100-like --from"):
        catalogue.open_dataset("dsd100-like")
