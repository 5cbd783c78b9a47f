"""Singers for the embedded stand-ins: choir programs through the formants of vowels.

A singer is a blend of two programs of a SoundFont, one for the body of the voice and one for the
cords, with vibrato, glides from note to note, breath and consonants of his own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unmix import audio
from unmix.datasets import rendering
from unmix.datasets.composing import pick
from unmix.datasets.rendering import Note
from unmix.datasets.soundfont import general_midi

_OVERSAMPLING = 2

# First three formants in Hz of a grown man (Peterson and Barney, 1952); singers scale them.
_VOWELS = (
    (730, 1090, 2440),
    (530, 1840, 2480),
    (270, 2290, 3010),
    (570, 840, 2410),
    (300, 870, 2240),
)
_BODIES = (52, 53, 54, 85)
_CORDS = (42, 68, 69, 71, 81, 22)


@dataclass(frozen=True)
class Singer:
    """A voice: two programs blended, and how it sings.

    `low` is the lowest key; `tract` scales the formants; `vibrato` is rate in Hz, depth in
    semitones and time in seconds until it sets in; `glide` is in seconds, `scoop` in semitones;
    `cords`, `breath` and `hiss` are levels relative to the choir program.
    """

    name: str
    body: int
    cords_program: int
    cords: float
    low: int
    tract: float
    vibrato: tuple[float, float, float]
    glide: float
    scoop: float
    breath: float
    hiss: float
    sharpness: float


def draw_singer(rng: np.random.Generator, name: str) -> Singer:
    """Draw a singer."""
    high = bool(rng.integers(2))
    return Singer(
        name=name,
        body=pick(rng, _BODIES),
        cords_program=pick(rng, _CORDS),
        cords=float(rng.uniform(0.4, 1.2)),
        low=int(rng.integers(57, 63) if high else rng.integers(47, 54)),
        tract=float(rng.uniform(1.08, 1.28) if high else rng.uniform(0.9, 1.08)),
        vibrato=(
            float(rng.uniform(4.8, 6.8)),
            float(rng.uniform(0.2, 0.6)),
            float(rng.uniform(0.12, 0.35)),
        ),
        glide=float(rng.uniform(0.03, 0.09)),
        scoop=float(rng.uniform(0.0, 1.2)),
        breath=float(rng.uniform(0.02, 0.1)),
        hiss=float(rng.uniform(0.03, 0.15)),
        sharpness=float(rng.uniform(4.0, 8.0)),
    )


def sing(
    singer: Singer,
    melody: Sequence[Note],
    seconds: float,
    rate: int,
    tuning: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a melody as a singer sings it.

    Args:
        singer: the voice.
        melody: notes in order, not overlapping; those that touch are sung legato.
        seconds: length of the result.
        rate: sampling rate in Hz.
        tuning: semitones by which all is off concert pitch.
        rng: draws vowels, consonants and small deviations.

    Returns:
        float32 samples of shape `(samples,)`.
    """
    count, fine = round(seconds * rate), rate * _OVERSAMPLING
    source = np.zeros(count * _OVERSAMPLING, np.float32)
    hiss, vowels = np.zeros(count, np.float32), np.zeros((len(_VOWELS), count), np.float32)
    before: Note | None = None
    for note in melody:
        if before is not None and note.start - before.start - before.seconds > 0.05:
            before = None
        first = round(note.start * fine)
        tone = _syllable(singer, note, before, fine, tuning, rng)[: len(source) - first]
        source[first : first + len(tone)] += tone
        first //= _OVERSAMPLING
        vowels[pick(rng, range(len(_VOWELS))), first : first + len(tone) // _OVERSAMPLING] = 1.0
        if rng.random() < 0.45:
            _consonant(hiss, first, singer.hiss * (note.velocity / 127) ** 2, rate, rng)
        before = note
    source = audio.resample(source[None], fine, rate)[0][:count]
    # A microphone is never quite silent; and filters crawl where numbers become subnormal.
    source = source + np.float32(1e-4) * rng.standard_normal(len(source)).astype(np.float32)
    return _through_tract(singer, source, vowels, rate) + hiss


def _syllable(
    singer: Singer,
    note: Note,
    before: Note | None,
    rate: int,
    tuning: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return one sung note with its bends, rise and fall, a little longer than written."""
    font = general_midi()
    # A legato note fades into the next, the last of a phrase dies away by itself.
    tail = 0.06
    time = np.arange(round((note.seconds + tail) * rate)) / rate
    origin = -singer.scoop * rng.uniform(0, 1) if before is None else before.key - note.key
    bend = float(np.clip(origin, -7, 7)) * np.exp(-time / singer.glide)
    speed, depth, onset = singer.vibrato
    swell = np.clip((time - onset) / 0.25, 0.0, 1.0)
    phase = 2 * np.pi * (speed * rng.uniform(0.94, 1.06) * time + rng.uniform())
    bend = bend + depth * swell * np.sin(phase) + tuning + rng.normal(0.0, 0.06)
    length = len(time) / rate
    tone = _balanced(rendering.tone(font, singer.body, note.key, length, rate, bend=bend))
    tone += singer.cords * _balanced(
        rendering.tone(font, singer.cords_program, note.key, length, rate, bend=bend)
    )
    tone += singer.breath * rng.standard_normal(len(tone)).astype(np.float32)
    rise = np.clip(time / rng.uniform(0.03, 0.07), 0.0, 1.0)
    fall = np.clip((length - time) / (tail + 0.03), 0.0, 1.0)
    force = (note.velocity / 127) ** 2 * (1 + 0.15 * swell * np.sin(phase + 1.0))
    return (tone * np.sin(0.5 * np.pi * rise) * fall**2 * force).astype(np.float32)


def _balanced(tone: np.ndarray) -> np.ndarray:
    """Return a tone at an RMS of 1, so that blends do not depend on the recordings' levels."""
    return tone / np.float32(max(1e-6, audio.rms(tone)))


def _consonant(
    hiss: np.ndarray, onset: int, level: float, rate: int, rng: np.random.Generator
) -> None:
    """Add a consonant just before `onset` (a sample number) to `hiss`, in place."""
    from scipy import signal

    count = round(rng.uniform(0.03, 0.1) * rate)
    first = onset - round(0.6 * count)
    if first < 0 or first + count > len(hiss):
        return
    low = float(rng.uniform(900, 3500))
    sections = signal.butter(2, (low, 2.2 * low), "bandpass", fs=rate, output="sos")
    noise = signal.sosfilt(sections, rng.standard_normal(count)) * np.hanning(count)
    hiss[first : first + count] += (level * noise / max(1e-9, noise.std())).astype(np.float32)


def _through_tract(singer: Singer, source: np.ndarray, vowels: np.ndarray, rate: int) -> np.ndarray:
    """Return the source through the formants of the vowels sung at each moment.

    Args:
        singer: scales the formants and says how sharp they are.
        source: what the vocal cords give, shape `(samples,)`.
        vowels: which vowel is sung, 0 or 1, shape `(vowels, samples)`.
        rate: sampling rate in Hz.
    """
    from scipy import ndimage, signal

    voice = 0.12 * source
    weights = ndimage.uniform_filter1d(vowels, round(0.05 * rate), axis=-1)
    for formants, weight in zip(_VOWELS, weights, strict=True):
        shaped = np.zeros_like(source, dtype=np.float64)
        for frequency, gain in zip(formants, (1.0, 0.6, 0.35), strict=True):
            tops = signal.iirpeak(frequency * singer.tract, singer.sharpness, fs=rate)
            shaped += gain * signal.lfilter(*tops, source)
        voice = voice + weight * shaped
    return np.asarray(voice, dtype=np.float32)
