"""Places and rooms in stereo, against what follows from their definition."""

import numpy as np
import pytest

from aids import noise
from unmix import audio
from unmix.datasets import panning

RATE = 16000


def correlation(stereo):
    return float(np.corrcoef(stereo.astype(float))[0, 1])


@pytest.mark.parametrize("place", [-1.0, -0.4, 0.0, 0.4, 1.0])
def test_a_place_keeps_the_power_and_delays_the_far_channel(place):
    sound = noise(RATE)[0]
    nobody = np.random.default_rng(0)
    left, right = panning.stage([(sound, place)], RATE, 0.3, 0.0, nobody)
    late = round(abs(place) * panning.FARTHER * RATE)
    near, far = (right, left) if place > 0 else (left, right)
    assert np.sum(near**2) + np.sum(far**2) == pytest.approx(np.sum(sound**2), rel=1e-3)
    assert np.allclose(near, audio.rms(near) / audio.rms(sound) * sound, atol=1e-5)
    if abs(place) < 1:
        scaled = audio.rms(far) / audio.rms(sound) * np.pad(sound, (late, 0))[: len(sound)]
        assert np.allclose(far, scaled, atol=2e-3)
        turn = np.arctan2(audio.rms(right), audio.rms(left))
        assert turn == pytest.approx(np.pi / 4 * (1 + place), abs=1e-3)
    else:
        assert np.abs(far).max() < 1e-6
    mirrored = panning.stage([(sound, -place)], RATE, 0.3, 0.0, nobody)
    assert np.allclose(mirrored[::-1], (left, right), atol=1e-6)


def test_a_stage_hears_the_sum_of_its_players():
    one, other = noise(RATE)[0], noise(RATE, seed=1)[0]
    both, *alone = (
        panning.stage(players, RATE, 0.2, 0.3, np.random.default_rng(4))
        for players in ([(one, -0.5), (other, 0.2)], [(one, -0.5)], [(other, 0.2)])
    )
    assert np.allclose(both, sum(alone), atol=1e-4)


@pytest.mark.parametrize("wet", [0.25, 1.0])
def test_a_room_takes_its_share_from_the_correlation_of_white_noise(wet):
    """In the centre both channels share one half of the power; of the room's, they share none."""
    stereo = panning.stage([(noise(20 * RATE)[0], 0.0)], RATE, 0.2, wet, np.random.default_rng(7))
    assert correlation(stereo) == pytest.approx(1 / (1 + wet**2), abs=0.03)
    assert np.sum(np.mean(stereo.astype(float) ** 2, axis=1)) == pytest.approx(1 + wet**2, rel=0.04)


def test_a_room_answers_late_and_dies_away_by_sixty_decibels():
    impulse, seconds = np.zeros(RATE, np.float32), 0.4
    impulse[0] = 1.0
    stereo = panning.stage([(impulse, 0.0)], RATE, seconds, 1.0, np.random.default_rng(9))
    first = round(panning.BEFORE * RATE)
    answers = stereo[:, first : first + round(seconds * RATE)].astype(float)
    assert np.allclose(stereo[:, 0], 0.5**0.5)
    assert not stereo[:, 1:first].any()
    assert np.sum(answers**2) == pytest.approx(1.0, rel=1e-3)
    assert abs(correlation(answers)) < 0.1
    tenths = np.array_split(np.sum(answers**2, axis=0), 10)
    levels = 10 * np.log10([each.mean() for each in tenths])
    assert levels[0] - levels[-1] == pytest.approx(0.9 * 60, abs=3)
