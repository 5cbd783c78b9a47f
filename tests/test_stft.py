"""The transform there and back, and the frames of context."""

import math

import numpy as np
import pytest
import torch

from unmix.errors import SpecError
from unmix.stft import SHAPES, STFT, with_context

LENGTHS = [1, 2, 100, 255, 256, 257, 511, 512, 1023, 1024, 1025, 12345]


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error_db(found, wanted):
    return 10 * math.log10(float((found - wanted).square().sum() / wanted.square().sum()) + 1e-30)


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_identity_mask_gives_the_sound_back_at_any_length(shape, samples):
    stft, sound = STFT(shape=shape), noise(2, samples)
    spectrum = stft.forward(sound)
    assert spectrum.shape == (2, stft.bins, 1 + samples // stft.hop)
    back = stft.inverse(torch.ones(stft.bins, 1) * spectrum, samples)
    assert back.shape == sound.shape
    assert error_db(back, sound) < -100


@pytest.mark.parametrize(
    ("window", "hop", "shape"),
    [
        (512, 256, "boxcar"),
        (512, 256, "hamming"),
        (256, 64, "hann"),
        (300, 77, "hann"),
        (2, 1, "boxcar"),
    ],
)
def test_other_windows_and_hops_give_the_sound_back(window, hop, shape):
    stft, sound = STFT(window=window, hop=hop, shape=shape), noise(1, 4321)
    assert error_db(stft.inverse(stft.forward(sound), 4321), sound) < -100


def test_a_real_clip_comes_back(real_tracks):
    stft = STFT()
    for track in real_tracks:
        for array in track.sources.values():
            sound = torch.from_numpy(array)
            assert error_db(stft.inverse(stft.forward(sound), sound.shape[-1]), sound) < -100


def test_the_transform_is_linear():
    stft, a, b = STFT(), noise(1, 5000), noise(1, 5000, seed=1)
    both = stft.forward(0.3 * a - 2.0 * b)
    assert torch.allclose(both, 0.3 * stft.forward(a) - 2.0 * stft.forward(b), atol=1e-4)


def test_a_bin_and_frame_are_the_sum_that_defines_them():
    stft, sound = STFT(window=16, hop=4), noise(1, 101)
    spectrum = stft.forward(sound)[0]
    padded = np.pad(sound[0].numpy().astype(float), 8)
    taps = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(16) / 16)
    for frame in (0, 3, 25):
        wanted = np.fft.rfft(taps * padded[4 * frame : 4 * frame + 16])
        assert np.allclose(spectrum[:, frame].numpy(), wanted, atol=1e-5)


def test_energy_is_kept_up_to_the_overlap_of_the_windows():
    stft, sound = STFT(), torch.zeros(1, 20480)
    sound[:, 4000:16000] = noise(1, 12000)
    power = stft.forward(sound).abs().square().double()
    # Bins between zero and Nyquist stand for two; squared Hann windows at a quarter sum to 1.5.
    power[:, 1:-1] *= 2
    assert float(power.sum()) / stft.window == pytest.approx(
        1.5 * float(sound.double().square().sum()), rel=1e-5
    )


def test_a_tone_stands_in_its_bin():
    stft = STFT()
    tone = torch.sin(2 * math.pi * 1000.0 * torch.arange(8000) / stft.rate)[None]
    frames = stft.forward(tone).abs()[0, :, 3:-3]
    assert set(frames.argmax(0).tolist()) == {round(1000 * stft.window / stft.rate)}
    assert frames.max(0).values == pytest.approx(stft.window / 4, rel=1e-3)


def test_context_holds_the_frames_before_newest_first_and_silence_before_the_first():
    features = noise(2, 7, 3)
    assert with_context(features, 0) is features
    wide = with_context(features, 2)
    assert wide.shape == (2, 7, 9)
    for frame in range(7):
        for lag in range(3):
            found = wide[:, frame, 3 * lag : 3 * lag + 3]
            wanted = features[:, frame - lag] if frame >= lag else torch.zeros(2, 3)
            assert torch.equal(found, wanted)
    assert with_context(features[:, :1], 4).shape == (2, 1, 15), "more context than frames"


@pytest.mark.parametrize(
    "wrong", [{"hop": 0}, {"hop": 2000}, {"window": 1, "hop": 1}, {"rate": 0}, {"window": -4}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(SpecError, match=r"an STFT with window .* Expected: 0 < hop <= window"):
        STFT(**wrong)


def test_an_unknown_window_is_refused_with_the_nearest_name():
    with pytest.raises(SpecError, match=r"unknown window shape 'han' \(did you mean 'hann'\?\)"):
        STFT(shape="han")
