"""Sound files in and out: every bad file has its error, and levels are what they are called."""

import errno
import struct

import numpy as np
import pytest
import soundfile

from unmix import audio
from unmix.errors import AudioError

RATE = 8000


@pytest.fixture
def stereo():
    rng = np.random.default_rng(3)
    return (0.2 * rng.standard_normal((2, 3000))).astype(np.float32)


@pytest.fixture
def wav(tmp_path, stereo):
    path = tmp_path / "clip.wav"
    audio.write(path, stereo, RATE)
    return path


# Bad files.


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        audio.read(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match="is a folder"):
        audio.read(tmp_path)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_an_empty_file_is_refused(tmp_path, ending):
    path = tmp_path / f"empty.{ending}"
    path.touch()
    with pytest.raises(AudioError, match=r"the file is empty \(0 bytes\)"):
        audio.read(path)


def test_a_file_without_samples_is_refused(tmp_path):
    path = tmp_path / "none.wav"
    soundfile.write(path, np.zeros((0, 2)), RATE)
    with pytest.raises(AudioError, match="holds no samples"):
        audio.read(path)


@pytest.mark.parametrize("keep", [10, 30, 44])
def test_a_wav_cut_in_its_header_is_refused(wav, keep):
    wav.write_bytes(wav.read_bytes()[:keep])
    with pytest.raises(AudioError, match=r"cannot be read as sound|holds no samples|truncated"):
        audio.read(wav)


@pytest.mark.parametrize("lost", [4, 1000, 11000])
def test_a_wav_cut_in_its_samples_is_refused_with_both_lengths(wav, lost):
    whole = wav.read_bytes()
    wav.write_bytes(whole[:-lost])
    found = 3000 - -(-lost // 4)
    message = f"truncated, {found} frames found where the header promises 3000"
    with pytest.raises(AudioError, match=message):
        audio.read(wav)
    wav.write_bytes(whole)
    assert audio.read(wav)[0].shape == (2, 3000)


def test_chunks_before_the_samples_do_not_hide_a_cut(wav):
    whole = wav.read_bytes()
    note = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"  # an odd length is padded
    longer = whole[:12] + note + whole[12:]
    longer = longer[:4] + struct.pack("<I", len(longer) - 8) + longer[8:]
    wav.write_bytes(longer)
    assert audio.read(wav)[0].shape == (2, 3000)
    wav.write_bytes(longer[:-400])
    with pytest.raises(AudioError, match="truncated, 2900 frames"):
        audio.read(wav)


def test_a_streamed_wav_of_unknown_length_is_read(wav, stereo):
    whole = bytearray(wav.read_bytes())
    at = whole.index(b"data") + 4
    whole[at : at + 4] = b"\xff\xff\xff\xff"
    wav.write_bytes(whole)
    assert np.allclose(audio.read(wav)[0], stereo, atol=2**-15)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_flac_cut_short_is_refused(tmp_path, stereo, share):
    path = tmp_path / "clip.flac"
    audio.write(path, np.tile(stereo, 10), RATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(AudioError, match=r"truncated|cannot be read as sound"):
        audio.read(path)


def test_what_is_not_sound_is_refused(tmp_path):
    path = tmp_path / "notes.wav"
    path.write_text("a page of prose, " * 100)
    with pytest.raises(AudioError, match=r"notes\.wav: cannot be read as sound .* What to do:"):
        audio.read(path)


def test_another_number_of_channels_is_refused(wav, tmp_path, stereo):
    mono = tmp_path / "mono.wav"
    audio.write(mono, stereo[:1], RATE)
    with pytest.raises(AudioError, match=r"has 1 channel\(s\).*Expected: 2 channels"):
        audio.read(mono, channels=2)
    with pytest.raises(AudioError, match=r"has 2 channel\(s\)"):
        audio.read(wav, channels=1)
    assert audio.read(mono, channels=1)[0].shape == (1, 3000)


def test_another_rate_is_refused(wav):
    with pytest.raises(AudioError, match=r"is sampled at 8000 Hz.*Expected: 16000 Hz"):
        audio.read(wav, rate=16000)
    assert audio.read(wav, rate=RATE)[1] == RATE


def test_silence_is_refused_unless_allowed(tmp_path):
    path = tmp_path / "silent.wav"
    audio.write(path, np.zeros((2, 500)), RATE)
    with pytest.raises(AudioError, match="is silent throughout"):
        audio.read(path)
    assert not audio.read(path, allow_silence=True)[0].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_counted(tmp_path, stereo, bad):
    path = tmp_path / "bad.wav"
    stereo[1, [7, 9, 11]] = bad
    soundfile.write(path, stereo.T, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="3 of 6000 samples are NaN or infinite"):
        audio.read(path)


# Writing.


@pytest.mark.parametrize(("ending", "step"), [("wav", 2**-15), ("flac", 2**-15)])
def test_what_is_written_is_read_to_the_step_of_the_format(tmp_path, stereo, ending, step):
    path = tmp_path / "new" / "folder" / f"clip.{ending}"
    audio.write(path, stereo, RATE)
    sound, rate = audio.read(path)
    assert rate == RATE
    assert sound.dtype == np.float32
    assert np.abs(sound - stereo).max() <= step


def test_loud_sound_is_brought_down_together_and_not_clipped(tmp_path, stereo):
    loud = stereo * np.float32(4.0 / np.abs(stereo).max())
    audio.write(tmp_path / "loud.wav", loud, RATE)
    sound, _ = audio.read(tmp_path / "loud.wav")
    assert np.abs(sound).max() == pytest.approx(0.999, abs=1e-4)
    assert np.allclose(sound, loud * (0.999 / 4.0), atol=2**-15)


def test_sound_that_is_no_numbers_is_not_written(tmp_path, stereo):
    stereo[0, 0] = np.nan
    with pytest.raises(AudioError, match="refuses to write"):
        audio.write(tmp_path / "bad.wav", stereo, RATE)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(wav, stereo, monkeypatch):
    old = wav.read_bytes()

    def full(name, *args, **more):
        with open(name, "wb") as file:
            file.write(old[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(AudioError, match=r"could not be written .*No space left.*free some disk"):
        audio.write(wav, -stereo, RATE)
    assert wav.read_bytes() == old
    assert list(wav.parent.iterdir()) == [wav]


def test_a_file_takes_its_place_whole(wav, stereo, monkeypatch):
    replace, seen = audio.os.replace, []

    def looking(source, target):
        seen.append((audio.read(source)[0], audio.read(target)[0]))
        replace(source, target)

    monkeypatch.setattr(audio.os, "replace", looking)
    audio.write(wav, -stereo, RATE)
    ((beside, before),) = seen
    assert np.allclose(beside, -stereo, atol=2**-15)
    assert np.allclose(before, stereo, atol=2**-15)


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(wav, stereo):
    with pytest.raises(AudioError, match="could not be written"):
        audio.write(wav / "inside.wav", stereo, RATE)


# Levels.


def decibels(ratio):
    return 20 * np.log10(ratio)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 5.0])
def test_a_mix_has_the_snr_and_the_level_it_is_asked_for(make_track, snr):
    sources = make_track("a_1_01").sources
    mixture, target, other = audio.mix(0.3 * sources["voice"], 7 * sources["accompaniment"], snr)
    assert decibels(audio.rms(target) / audio.rms(other)) == pytest.approx(snr, abs=1e-5)
    assert audio.rms(other) == pytest.approx(audio.LEVEL, rel=1e-6)
    assert np.array_equal(mixture, target + other)
    assert mixture.dtype == np.float32
    for mixed, source in ((target, sources["voice"]), (other, sources["accompaniment"])):
        gain = audio.rms(mixed) / audio.rms(source)
        assert np.allclose(mixed, gain * source, atol=1e-6), "the same sound, only its level"


def test_a_mix_does_not_depend_on_the_levels_it_comes_from(make_track):
    sources = make_track("a_1_01").sources
    one = audio.mix(sources["voice"], sources["accompaniment"], -5.0)[0]
    other = audio.mix(1e3 * sources["voice"], 1e-3 * sources["accompaniment"], -5.0)[0]
    assert np.allclose(one, other, atol=1e-7)


def test_silence_and_unequal_lengths_cannot_be_mixed():
    sound, silence = np.ones((1, 10), np.float32), np.zeros((1, 10), np.float32)
    with pytest.raises(AudioError, match="a silent sound cannot be brought to a level"):
        audio.mix(silence, sound, 0.0)
    with pytest.raises(AudioError, match=r"shape \(1, 10\) and accompaniment of shape \(1, 9\)"):
        audio.mix(sound, sound[:, :9], 0.0)


def test_resampling_keeps_pitch_level_and_length():
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 440 * time)[None].astype(np.float32)
    lower = audio.resample(tone, 16000, 8000)
    assert lower.shape == (1, 8000)
    middle = slice(500, 7500)
    assert np.allclose(lower[:, middle], tone[:, ::2][:, middle], atol=1e-4)
    assert audio.resample(tone, 8000, 8000) is tone
