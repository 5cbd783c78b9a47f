"""Stereo for the embedded stand-ins: where players stand, and the room around them.

A place is a number from -1 (left) over 0 (the centre) to 1 (right). Sounds of one player have the
shape `(samples,)`, stereo ones `(2, samples)`, left first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmix.datasets import rendering

FARTHER = 2.5e-4
"""Seconds by which a player at the very side is late in the channel of the other side."""

BEFORE, DULL = 0.012, 3500.0
"""Seconds until a room answers, and the frequency in Hz above which it answers little."""


def gains(place: float) -> tuple[float, float]:
    """Return the gains of both channels at a place; their squares add up to 1 (constant power)."""
    angle = 0.25 * np.pi * (place + 1)
    return float(np.cos(angle)), float(np.sin(angle))


def stage(
    players: Sequence[tuple[np.ndarray, float]],
    rate: int,
    seconds: float,
    wet: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return players in their places, in one room whose two channels answer differently.

    Beside the `gains` of his place, as with a pair of microphones, the far channel hears the player
    late, by `FARTHER` at most.

    The room hears every player as well, wherever he stands, and each channel has an answer of its
    own. So the result is no sum of scaled copies of the players' sounds: in every narrow band its
    covariance between the channels has full rank.

    Args:
        players: sound and place of each, all of one length.
        rate: sampling rate in Hz.
        seconds: reverberation time (to -60 dB).
        wet: level of the room relative to the direct sound for white noise, both channels together,
            as a factor; 0 leaves the room out. Music, most of it below 3 kHz, excites it more.
        rng: draws the room.
    """
    count = len(players[0][0])
    heard, total = np.zeros(count, np.float32), np.zeros((2, count), np.float32)
    for sound, place in players:
        heard += sound
        late = round(abs(place) * FARTHER * rate)
        far = 0 if place > 0 else 1
        for channel, gain in enumerate(gains(place)):
            delay = late if channel == far else 0
            total[channel, delay:] += np.float32(gain) * sound[: count - delay]
    delay = round(BEFORE * rate)
    total[:, delay:] += _tails(heard[: count - delay], rate, seconds, wet * 0.5**0.5, rng)
    return total


def _tails(
    sound: np.ndarray, rate: int, seconds: float, wet: float, rng: np.random.Generator
) -> np.ndarray:
    """Return what two rooms made of decaying noise add to a sound, `(2, samples)`.

    Each is as in `rendering.room`, at the level `wet`; together they share the sound's transform.
    """
    from scipy import signal

    count = max(1, round(seconds * rate))
    decay = 10.0 ** (-3.0 * np.arange(count) / count)
    answers = rendering.lowpass(rng.standard_normal((2, count)) * decay, DULL, rate)
    answers *= np.float32(wet) / np.linalg.norm(answers, axis=-1, keepdims=True)
    return signal.oaconvolve(sound[None], answers, axes=-1)[:, : len(sound)]
