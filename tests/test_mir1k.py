"""MIR-1K: files, channels, errors, and what is held against the index."""

import os
import shutil
import zipfile

import numpy as np
import pytest
import soundfile

from unmix import audio
from unmix.datasets import mir1k, remote
from unmix.datasets.mir1k import Mir1k
from unmix.errors import AudioError, DatasetError

DATA = os.environ.get("UNMIX_DATA", "")
needs_data = pytest.mark.skipif(
    not os.path.isdir(os.path.join(DATA, "MIR-1K", "Wavfile")) or not DATA,
    reason="needs MIR-1K: set UNMIX_DATA to the folder above MIR-1K",
)
needs_originals = pytest.mark.skipif(
    not os.path.isdir(os.path.join(DATA, "MIR-1K-16k", "Wavfile")) or not DATA,
    reason="needs some clips of MIR-1K at 16 kHz in UNMIX_DATA/MIR-1K-16k",
)
NAMES = ("abjones_1_01", "abjones_5_08", "amy_9_01", "stool_1_01")


def two_sines(samples=4000, rate=16_000):
    """Accompaniment at 440 Hz in channel 0, voice at 1 kHz in channel 1: `(2, samples)`."""
    time_axis = np.arange(samples) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * f * time_axis) for f in (440, 1000)])


@pytest.fixture
def folder(tmp_path):
    """Return the `Wavfile` folder of a partial MIR-1K with four invented clips."""
    where = tmp_path / "MIR-1K" / "Wavfile"
    where.mkdir(parents=True)
    for name in NAMES:
        soundfile.write(where / f"{name}.wav", two_sines().T, 16_000, subtype="PCM_16")
    return where


@pytest.fixture
def few(tmp_path, folder):
    return Mir1k(tmp_path, complete=False)


# --- the contract, on invented clips


def test_index_holds_the_published_numbers():
    names = list(mir1k.index())
    assert len(names) == 1000
    assert names == sorted(names)
    assert len({mir1k.song_of(name) for name in names}) == 110
    assert len({mir1k.singer_of(name) for name in names}) == 19
    minutes = sum(frames for _, _, frames in mir1k.index().values()) / mir1k.RATE / 60
    assert minutes == pytest.approx(133.4, abs=0.1)
    # A canonical WAV file: 44 bytes of header, 4 bytes a frame.
    assert all(size == 44 + 4 * frames for _, size, frames in mir1k.index().values())


def test_names_give_song_and_singer(few):
    clip = few.clips()[1]
    assert (clip.name, clip.song, clip.artist) == ("abjones_5_08", "abjones_5", "abjones")


def test_partial_folder_is_a_subset_with_the_splits_of_its_clips(few):
    assert few.fidelity == "subset"
    assert few.split("huang") == {
        "train": ["abjones_1_01", "amy_9_01"],
        "valid": ["abjones_5_08"],
        "test": ["stool_1_01"],
    }
    for name in ("paper", "leaky", "clean"):
        found = [clip for clips in few.split(name).values() for clip in clips]
        assert sorted(found) == sorted(NAMES)


def test_load_gives_each_source_its_channel(few):
    track = few.load("abjones_1_01", 16_000)
    for source, frequency in (("accompaniment", 440), ("voice", 1000)):
        sound = track.sources[source]
        assert sound.shape == (1, 4000)
        assert sound.dtype == np.float32
        assert np.argmax(np.abs(np.fft.rfft(sound[0]))) * 4 == frequency
    assert tuple(track.sources) == few.source_names == ("voice", "accompaniment")


def test_load_resamples(few):
    track = few.load("abjones_1_01", 8000)
    assert track.rate == 8000
    assert track.sources["voice"].shape == (1, 2000)
    assert np.argmax(np.abs(np.fft.rfft(track.sources["voice"][0]))) * 4 == 1000


def test_packed_clip_is_read_and_a_wav_goes_before_it(tmp_path, folder):
    soundfile.write(folder / "amy_1_01.flac", two_sines(2000, 8000).T, 8000)
    soundfile.write(folder / "amy_9_01.flac", two_sines(2000, 8000).T, 8000)
    dataset = Mir1k(tmp_path, complete=False)
    assert dataset.load("amy_1_01", 16_000).sources["voice"].shape == (1, 4000)
    assert dataset.paths["amy_9_01"].suffix == ".wav"


def test_fingerprint_follows_content_and_names(tmp_path, folder):
    def fresh():
        return Mir1k(tmp_path, complete=False).fingerprint()

    first = fresh()
    assert fresh() == first
    path = folder / "amy_9_01.wav"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    changed = fresh()
    assert changed != first
    path.rename(folder / "amy_9_02.wav")
    assert fresh() not in (first, changed)


def test_fingerprint_is_computed_once(few, folder):
    first = few.fingerprint()
    (folder / "amy_9_01.wav").write_bytes(b"")
    assert few.fingerprint() == first


# --- what goes wrong


def test_missing_folder_says_where_and_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match=r"no folder .*Wavfile.*unmix data fetch mir1k.*UNMIX"):
        Mir1k(tmp_path)


def test_root_that_is_the_dataset_itself_is_recognised(tmp_path, folder):
    with pytest.raises(DatasetError, match=r"give the folder above .*MIR-1K as the data root"):
        Mir1k(tmp_path / "MIR-1K")


def test_folder_without_clips(tmp_path, folder):
    for path in folder.iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(DatasetError, match=r"holds no clip of MIR-1K.*abjones_1_01\.wav"):
        Mir1k(tmp_path, complete=False)


def test_missing_clips_are_counted_and_named(tmp_path, folder):
    with pytest.raises(DatasetError, match=r"996 of 1000 clips .*\(Ani_1_01, .*data verify mir1k"):
        Mir1k(tmp_path)


def test_unknown_split_and_clip(few):
    with pytest.raises(DatasetError, match=r"unknown split 'papper' \(did you mean 'paper'\?\)"):
        few.split("papper")
    with pytest.raises(DatasetError, match=r"unknown clip 'amy_9_1'.*one of the 4 clips"):
        few.load("amy_9_1", 8000)


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        (two_sines()[:1], 16_000, r"has 1 channel\(s\).*2 channels"),
        (np.zeros((2, 4000)), 16_000, "is silent throughout"),
        (two_sines() * [[1], [0]], 16_000, r"channel 1 \(voice\) is silent"),
        (two_sines() * [[0], [1]], 16_000, r"channel 0 \(accompaniment\) is silent"),
        (two_sines(), 44_100, r"sampled at 44100 Hz.*16000 Hz \(original\) or 8000 Hz \(packed\)"),
    ],
)
def test_clips_that_are_not_what_they_should_be(few, folder, sound, rate, message):
    soundfile.write(folder / "amy_9_01.wav", sound.T, rate, subtype="PCM_16")
    with pytest.raises(AudioError, match=message):
        few.load("amy_9_01", 8000)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_truncated_clip(tmp_path, folder, ending):
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 40_000))
    (folder / "amy_9_01.wav").unlink()
    path = folder / f"amy_9_01.{ending}"
    soundfile.write(path, noise.T, 16_000, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(AudioError, match=r"amy_9_01.*(truncated|cannot be read)"):
        Mir1k(tmp_path, complete=False).load("amy_9_01", 8000)


def test_deleted_clip(few, folder):
    (folder / "amy_9_01.wav").unlink()
    with pytest.raises(AudioError, match="no such file"):
        few.load("amy_9_01", 8000)


# --- verify


def test_verify_names_what_is_missing_altered_and_unknown(tmp_path, folder):
    (folder / "notes.txt").write_text("mine")
    report = mir1k.verify(tmp_path)
    text = "\n".join(report.lines(most=3))
    assert not report.ok
    assert (report.fine, len(report.missing), len(report.altered)) == (0, 996, 4)
    assert "0 of 1000 files are as expected" in text
    assert "996 missing:\n  Ani_1_01\n" in text
    md5, size, frames = mir1k.index()["abjones_1_01"]
    assert "16044 bytes, 4000 frames" in text
    assert f"(expected {md5}, {size} bytes, {frames} frames)" in text
    assert "notes.txt" in text
    assert f"What to do: run `unmix data fetch mir1k --data-root {tmp_path}`" in text


def test_verify_compares_lengths_of_packed_files_and_says_so(tmp_path, folder):
    frames = mir1k.index()["amy_1_01"][2]
    noise = np.random.default_rng(0).normal(0, 0.1, ((frames + 1) // 2, 2))
    for name, cut in (("amy_1_01", 0), ("amy_1_02", 5)):
        length = (mir1k.index()[name][2] + 1) // 2 - cut
        soundfile.write(folder / f"{name}.flac", np.resize(noise, (length, 2)), 8000)
    report = mir1k.verify(tmp_path)
    assert report.fine == 1
    assert sum("amy_1_02.flac" in line and "at 8000 Hz" in line for line in report.altered) == 1
    assert any("2 files are packed copies" in note and "only" in note for note in report.notes)


def test_verify_reports_files_that_cannot_be_read(tmp_path, folder):
    (folder / "amy_9_01.wav").write_bytes(b"")
    assert any("empty (0 bytes)" in line for line in mir1k.verify(tmp_path).altered)


# --- fetch


@pytest.fixture
def small(monkeypatch, folder, tmp_path):
    """Make the four invented clips the whole of MIR-1K, and return an archive of them."""
    import hashlib

    def entry(path):
        return hashlib.md5(path.read_bytes()).hexdigest(), path.stat().st_size, 4000

    index = {name: entry(folder / f"{name}.wav") for name in NAMES}
    monkeypatch.setattr(mir1k, "index", lambda: index)
    archive = tmp_path / "made" / "MIR-1K.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        for path in folder.iterdir():
            opened.write(path, f"MIR-1K/Wavfile/{path.name}")
    return archive


def test_fetch_uses_an_archive_that_was_put_in_place_by_hand(tmp_path, small):
    root = tmp_path / "data"
    (root / "downloads").mkdir(parents=True)
    shutil.copy(small, root / "downloads" / "MIR-1K.zip")
    report = mir1k.fetch(root)
    assert report.ok
    assert not (root / "downloads" / "MIR-1K.zip").exists()
    assert Mir1k(root).fidelity == "full"


def test_fetch_leaves_a_verified_copy_alone(tmp_path, small):
    nowhere = remote.Archive("http://127.0.0.1:9/MIR-1K.zip")
    assert mir1k.fetch(tmp_path, archives=[nowhere]).ok


def test_fetch_keeps_an_incomplete_folder_under_another_name(tmp_path, folder, small):
    (folder / "amy_9_01.wav").unlink()
    (tmp_path / "downloads").mkdir()
    shutil.copy(small, tmp_path / "downloads" / "MIR-1K.zip")
    report = mir1k.fetch(tmp_path)
    assert report.ok
    assert len(list((tmp_path / "MIR-1K.old-1" / "Wavfile").iterdir())) == 3
    assert "MIR-1K.old-1" in report.lines()[-1]


def test_fetch_reports_an_archive_that_holds_something_else(tmp_path, folder, small):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as opened:
        opened.write(folder / "amy_9_01.wav", "MIR-1K/Wavfile/amy_9_01.wav")
        opened.writestr("MIR-1K/Wavfile/stool_1_01.wav", b"RIFF")
    root = tmp_path / "data"
    (root / "downloads").mkdir(parents=True)
    shutil.move(tmp_path / "other.zip", root / "downloads" / "MIR-1K.zip")
    report = mir1k.fetch(root)
    assert not report.ok
    assert (report.fine, len(report.missing), len(report.altered)) == (1, 2, 1)
    assert any("downloads/MIR-1K.zip to make the next fetch" in note for note in report.notes)


def test_fetch_says_how_to_place_the_files_by_hand(tmp_path):
    nowhere = remote.Archive("http://127.0.0.1:9/MIR-1K.zip")
    with pytest.raises(DatasetError, match=r"127.0.0.1:9.*by hand.*downloads.*abjones_1_01\.wav"):
        mir1k.fetch(tmp_path, archives=[nowhere])
    assert not (tmp_path / "MIR-1K").exists()


# --- the real recordings


@pytest.fixture(scope="module")
def real():
    return Mir1k(DATA)


def pauses(sound, frame=256):
    """Return the share of frames whose RMS lies 40 dB or more below that of the loudest."""
    framed = sound[0, : sound.shape[1] // frame * frame].reshape(-1, frame)
    rms = np.sqrt(np.mean(framed**2, axis=1))
    return np.mean(rms < rms.max() / 100)


def share_with_pauses_in_the_voice(dataset):
    """Return the share of clips whose voice pauses for longer than the accompaniment does."""
    tracks = [dataset.load(clip.name, 8000).sources for clip in dataset.clips()[::20]]
    return np.mean([pauses(t["voice"]) > pauses(t["accompaniment"]) for t in tracks])


@needs_data
def test_singers_breathe_and_karaoke_tracks_do_not(real, monkeypatch):
    # Of all 1,000 clips, 79 % have more pauses in channel 1, 0.2 % in channel 0.
    assert share_with_pauses_in_the_voice(real) > 0.6
    monkeypatch.setattr(mir1k, "CHANNELS", {"accompaniment": 1, "voice": 0})
    assert share_with_pauses_in_the_voice(real) < 0.1, "this test cannot tell the channels apart"


@needs_data
def test_all_clips_are_there_and_the_fingerprint_comes_twice_the_same(real):
    assert real.fidelity == "full"
    assert len(real.clips()) == 1000
    assert Mir1k(DATA).fingerprint() == real.fingerprint()


@needs_data
def test_real_files_verify(real):
    report = mir1k.verify(DATA)
    assert report.ok, report.lines()


@needs_data
@needs_originals
def test_originals_verify_by_checksum_and_agree_with_the_packed_copy(real):
    originals = Mir1k(DATA, folder="MIR-1K-16k", complete=False)
    report = mir1k.verify(DATA, "MIR-1K-16k")
    assert report.fine == len(originals.clips()) > 0
    assert not report.altered
    for clip in originals.clips():
        here, packed = originals.load(clip.name, 8000), real.load(clip.name, 8000)
        for source in ("voice", "accompaniment"):
            assert here.sources[source].shape == packed.sources[source].shape
            # Half a step of 16 bits from rounding, if the resampler is the same.
            np.testing.assert_allclose(here.sources[source], packed.sources[source], atol=1e-4)


@needs_data
def test_no_source_of_the_first_clips_is_silent(real):
    for clip in real.clips()[:20]:
        assert all(audio.rms(s) > 1e-3 for s in real.load(clip.name, 8000).sources.values())
