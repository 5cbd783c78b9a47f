"""Compositions for the embedded stand-ins: a sung melody over a small band, drawn from a seed.

A bar has four beats. A piece is a progression of triads that repeats, a melody in phrases of two
bars with rests between them, and parts that follow the chords. Pitches are MIDI keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from unmix.datasets.rendering import Note

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)

CHORDAL = (0, 1, 2, 4, 5, 6, 11, 16, 18, 24, 25, 26, 27, 28, 46)
PADS = (16, 19, 48, 49, 50, 61, 89)
BASSES = (32, 33, 34, 35, 36, 38)
LEADS = (11, 40, 42, 56, 66, 68, 71, 73)
"""General MIDI programs of the band: who plays broken or repeated chords, and so on."""

# Where chords are struck in a bar, and for how long (beats). None: broken into eighths.
_STRIKES: tuple[tuple[tuple[float, float], ...] | None, ...] = (
    ((0, 4),),
    ((0, 2), (2, 2)),
    ((0, 1), (1, 1), (2, 1), (3, 1)),
    ((0.5, 0.5), (1.5, 0.5), (2.5, 0.5), (3.5, 0.5)),
    ((0, 1.5), (1.5, 1), (2.5, 1.5)),
    ((0, 1), (1, 0.5), (1.5, 1), (2.5, 0.5), (3, 0.5), (3.5, 0.5)),
    None,
    None,
)
# Bass figures: beat, length in beats, semitones above the root.
_FIGURES: tuple[tuple[tuple[float, float, int], ...], ...] = (
    ((0, 3.5, 0),),
    ((0, 1.8, 0), (2, 1.8, 7)),
    ((0, 1.4, 0), (1.5, 0.5, 0), (2, 1.4, 0), (3.5, 0.5, 7)),
    tuple((beat / 2, 0.4, 12 if beat in (3, 7) else 0) for beat in range(8)),
    ((0, 0.9, 0), (1, 0.9, 7), (2, 0.9, 12), (3, 0.9, 7)),
)
# Drum patterns in sixteenths: key of the kit -> where it is struck.
_BEATS: tuple[dict[int, str], ...] = (
    {36: "x.......x.......", 38: "....x.......x...", 42: "x.x.x.x.x.x.x.x."},
    {
        36: "x..x....x.x.....",
        38: "....x.......x..x",
        42: "x.x.x.x.x.x.x.x.",
        46: "..............x.",
    },
    {36: "x...x...x...x...", 39: "....x.......x...", 46: "..x...x...x...x."},
    {35: "x.....x...x.....", 37: "....x.......x...", 51: "x..xx..xx..xx..x"},
    {
        36: "x.......x.x.....",
        40: "....x.......x...",
        70: "xxxxxxxxxxxxxxxx",
        54: "....x.......x...",
    },
    {35: "x...............", 37: "........x.......", 70: "x.x.x.x.x.x.x.x."},
    {},
)
# Rhythms that a phrase is put together from (beats).
_MOTIFS: tuple[tuple[float, ...], ...] = (
    (1, 1),
    (0.5, 0.5, 1),
    (1, 0.5, 0.5),
    (1.5, 0.5),
    (0.5, 1, 0.5),
    (2,),
    (0.5, 0.5, 0.5, 0.5),
)

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """What one member of the band plays; `level` is its RMS relative to the others'."""

    program: int
    drums: bool
    level: float
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Piece:
    """A composition of `seconds`; `progression` holds the scale degree of each bar's chord."""

    seconds: float
    tempo: float
    tonic: int
    scale: tuple[int, ...]
    progression: tuple[int, ...]
    melody: tuple[Note, ...]
    band: tuple[Part, ...]


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of `options`, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def compose(
    rng: np.random.Generator, seconds: float, low: int, progressions: Sequence[tuple[int, ...]]
) -> Piece:
    """Draw a piece.

    Args:
        rng: what it is drawn from.
        seconds: its length.
        low: lowest key of the singer, who has twelve keys above it to sing in.
        progressions: what the harmony is chosen from; scale degrees from 0, one a bar.
    """
    tempo, tonic = float(rng.uniform(72, 126)), int(rng.integers(12))
    scale = pick(rng, (MAJOR, MAJOR, MINOR))
    progression = pick(rng, progressions)
    bars = int(np.ceil(seconds * tempo / 240))
    chords = [triad(tonic, scale, progression[bar % len(progression)]) for bar in range(bars)]
    beat = 60 / tempo
    melody = draw_melody(rng, tonic, scale, chords, low, beat)
    return Piece(
        seconds=seconds,
        tempo=tempo,
        tonic=tonic,
        scale=scale,
        progression=progression,
        melody=tuple(note for note in melody if note.start + 0.1 < seconds),
        band=tuple(_band(rng, chords, beat, seconds)),
    )


def triad(tonic: int, scale: tuple[int, ...], degree: int) -> tuple[int, ...]:
    """Return the pitch classes of a scale's triad, its root first."""
    return tuple((tonic + scale[(degree + step) % 7]) % 12 for step in (0, 2, 4))


def draw_melody(
    rng: np.random.Generator,
    tonic: int,
    scale: tuple[int, ...],
    chords: Sequence[tuple[int, ...]],
    low: int,
    beat: float,
) -> list[Note]:
    """Return a melody in phrases of two bars: steps of the scale, chord tones where it counts."""
    keys = [key for key in range(low, low + 13) if (key - tonic) % 12 in scale]
    place, notes = len(keys) // 2, []
    for bar in range(0, len(chords), 2):
        at = 4.0 * bar + pick(rng, (0.0, 0.0, 0.5, 1.0))
        end = 4.0 * bar + pick(rng, (6.0, 6.5, 7.0, 7.0))
        rhythm: list[float] = []
        while at + sum(rhythm) < end:
            rhythm.extend(pick(rng, _MOTIFS))
        for length in rhythm:
            length = min(length, end - at)
            if length < 0.5:
                break
            place = int(np.clip(place + pick(rng, (-2, -1, -1, 0, 1, 1, 2, 3)), 0, len(keys) - 1))
            chord = chords[min(int(at // 4), len(chords) - 1)]
            if at % 1 == 0 and keys[place] % 12 not in chord:
                place = min(range(len(keys)), key=lambda p: _distance(p, place, keys, chord))
            loud = 78 + 24 * np.sin(np.pi * (at - 4 * bar) / 7.5) + rng.uniform(-14, 14)
            notes.append(Note(at * beat, length * beat, keys[place], round(float(loud))))
            at += length
    return notes


def _distance(place: int, wanted: int, keys: Sequence[int], chord: Sequence[int]) -> int:
    return abs(place - wanted) + (0 if keys[place] % 12 in chord else 100)


def _band(
    rng: np.random.Generator, chords: Sequence[tuple[int, ...]], beat: float, seconds: float
) -> list[Part]:
    """Return the parts below the melody: chords, perhaps a pad and a second voice, bass, drums."""

    def part(program: int, level: float, notes: list[Note], drums: bool = False) -> Part:
        spread = float(10 ** (rng.uniform(-4, 4) / 20))
        return Part(program, drums, level * spread, humanised(rng, notes, seconds))

    parts = [part(pick(rng, CHORDAL), 1.0, comping(rng, chords, beat, int(rng.integers(50, 60))))]
    if rng.random() < 0.6:
        parts.append(part(pick(rng, PADS), 0.6, sustained(chords, beat, int(rng.integers(50, 62)))))
    if rng.random() < 0.5:
        parts.append(part(pick(rng, LEADS), 0.5, _answers(rng, chords, beat)))
    parts.append(part(pick(rng, BASSES), 0.8, bass_line(rng, chords, beat)))
    beats = _drums(rng, len(chords), beat)
    if beats:
        parts.append(part(0, 0.6, beats, drums=True))
    return parts


def voiced(chord: Sequence[int], low: int) -> list[int]:
    """Return a chord's pitch classes as keys within the octave above `low`."""
    return sorted(low + (pitch - low) % 12 for pitch in chord)


def comping(
    rng: np.random.Generator, chords: Sequence[tuple[int, ...]], beat: float, low: int
) -> list[Note]:
    """Return chords struck in one pattern a bar, or broken into eighths, from key `low` on."""
    strikes, order = pick(rng, _STRIKES), pick(rng, ((0, 1, 2, 1), (0, 2, 1, 2), (0, 1, 2, 3)))
    strum = float(rng.uniform(0.0, 0.02))
    notes = []
    for bar, chord in enumerate(chords):
        keys = voiced(chord, low)
        keys.append(keys[0] + 12)
        if strikes is None:
            for eighth in range(8):
                accent = 92 if eighth % 4 == 0 else 74
                when = (4 * bar + eighth / 2) * beat
                notes.append(Note(when, 0.9 * beat, keys[order[eighth % 4]], accent))
            continue
        for at, length in strikes:
            when, accent = (4 * bar + at) * beat, 90 if at == 0 else 76
            for string, key in enumerate(keys):
                notes.append(Note(when + strum * string, 0.92 * length * beat, key, accent))
    return notes


def sustained(chords: Sequence[tuple[int, ...]], beat: float, low: int) -> list[Note]:
    """Return chords held for their bar, within the octave above `low`."""
    return [
        Note(4 * bar * beat, 3.95 * beat, key, 80)
        for bar, chord in enumerate(chords)
        for key in voiced(chord, low)
    ]


def _answers(
    rng: np.random.Generator, chords: Sequence[tuple[int, ...]], beat: float
) -> list[Note]:
    """Return a second voice, in long tones mostly where the singer breathes."""
    low, notes = int(rng.integers(58, 70)), []
    for bar, chord in enumerate(chords):
        starts = (2.0, 3.0) if bar % 2 else pick(rng, ((0.0,), (0.0, 2.0), ()))
        for start, end in pairwise((*starts, 4.0)):
            key = pick(rng, voiced(chord, low))
            notes.append(Note((4 * bar + start) * beat, 0.95 * (end - start) * beat, key, 84))
    return notes


def bass_line(
    rng: np.random.Generator, chords: Sequence[tuple[int, ...]], beat: float
) -> list[Note]:
    """Return one figure a bar on the roots of the chords, below the others."""
    figure, low = pick(rng, _FIGURES), int(rng.integers(28, 36))
    return [
        Note((4 * bar + at) * beat, length * beat, low + (chord[0] - low) % 12 + above, 92)
        for bar, chord in enumerate(chords)
        for at, length, above in figure
    ]


def _drums(rng: np.random.Generator, bars: int, beat: float) -> list[Note]:
    pattern = pick(rng, _BEATS)
    notes = [
        Note((4 * bar + step / 4) * beat, 0.2, key, 100 if step % 4 == 0 else 76)
        for bar in range(bars)
        for key, line in pattern.items()
        for step, mark in enumerate(line)
        if mark == "x"
    ]
    if pattern:
        notes += [Note(4 * bar * beat, 0.2, 49, 70) for bar in range(0, bars, 8)]
    return notes


def humanised(rng: np.random.Generator, notes: list[Note], seconds: float) -> tuple[Note, ...]:
    """Return the notes that start in time, a few milliseconds and a little force off."""
    late = np.abs(rng.normal(0.0, 0.006, len(notes)))
    force = rng.normal(0.0, 6.0, len(notes))
    return tuple(
        Note(
            note.start + float(delay),
            note.seconds,
            note.key,
            int(np.clip(round(note.velocity + float(change)), 20, 127)),
        )
        for note, delay, change in zip(notes, late, force, strict=True)
        if note.start + 0.05 < seconds
    )
