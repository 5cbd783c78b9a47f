"""Arrangements for the stand-in band: what each of its members plays, drawn from a seed.

A bar has four beats. Guitars riff, strum, break chords and play lines; drums keep time with fills
and crashes; the others follow the chords. Pitches are MIDI keys, chords are sets of pitch classes
with the root first, one a bar.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unmix.datasets import composing
from unmix.datasets.composing import MAJOR, MINOR, pick
from unmix.datasets.rendering import Note

ROLES = ("guitar", "drums", "bass", "keys", "strings", "brass")
"""Who may play in a band, in MedleyDB's words."""

KICKS, SNARES, TOMS = (35, 36), (37, 38, 40), (50, 48, 47, 45, 43, 41)
CLOSED, OPEN, PEDAL, RIDE, BELL, CRASHES = 42, 46, 44, 51, 53, (49, 57)
METAL = (CLOSED, OPEN, PEDAL, RIDE, BELL, *CRASHES)
"""Keys of a General MIDI drum kit: skins and metal."""

LOW, HIGH = 40, 79
"""Lowest and highest key of the guitar."""

PROGRESSIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "train": (
        (0, 4, 5, 3),
        (0, 5, 3, 4),
        (0, 3, 4, 3),
        (0, 0, 3, 4),
        (0, 6, 3, 0),
        (0, 5, 1, 4),
        (0, 2, 3, 4),
        (0, 0, 5, 3),
        (0, 3),
        (0, 4, 3, 3),
    ),
    "valid": ((0, 3, 0, 4), (0, 6, 5, 4), (0, 2, 5, 3), (0, 5)),
    "test": ((0, 3, 1, 4), (0, 5, 6, 0), (3, 0, 5, 4), (0, 6), (0, 2, 1, 4), (0, 6, 2, 3)),
}
"""Harmony by part, one degree a bar; no two parts share a progression, rotated or not."""

_PAUSE, _BUSY = 2.4, 4
"""For how many seconds of a clip a guitar or the drums may pause, and the half seconds in which
they must strike something nevertheless."""


@dataclass(frozen=True)
class Frame:
    """What all members of a band agree on; `beat` is in seconds."""

    tonic: int
    scale: tuple[int, ...]
    chords: tuple[tuple[int, ...], ...]
    beat: float

    @property
    def bar(self) -> float:
        """Length of a bar in seconds."""
        return 4 * self.beat


@dataclass(frozen=True)
class Arrangement:
    """A song on paper: `swing` is the first eighth's share of a beat, `notes` goes by role."""

    seconds: float
    tempo: float
    swing: float
    tonic: int
    scale: tuple[int, ...]
    progression: tuple[int, ...]
    notes: Mapping[str, tuple[Note, ...]]


Texture = Callable[[np.random.Generator, Frame], list[Note]]


def arrange(
    rng: np.random.Generator,
    clips: Sequence[tuple[float, float]],
    progressions: Sequence[tuple[int, ...]],
    roles: Collection[str],
    driven: bool,
) -> Arrangement:
    """Draw an arrangement.

    Args:
        rng: what it is drawn from.
        clips: start and end in seconds of each cut; guitar and drums sound in each of them.
        progressions: what the harmony is chosen from; scale degrees from 0, one a bar.
        roles: who plays, of `ROLES`.
        driven: whether the guitar is overdriven, which decides what suits it.
    """
    seconds = max(end for _, end in clips)
    tempo, swing = float(rng.uniform(76, 152)), float(pick(rng, (0.5, 0.5, 0.5, 0.58, 0.64)))
    tonic, scale = int(rng.integers(12)), pick(rng, (MAJOR, MINOR))
    progression, bars = pick(rng, progressions), int(np.ceil(seconds * tempo / 240))
    degrees = [progression[bar % len(progression)] for bar in range(bars)]
    chords = tuple(composing.triad(tonic, scale, degree) for degree in degrees)
    frame = Frame(tonic, scale, chords, 60 / tempo)
    quiet = float(rng.uniform(0.7, 1.0))
    notes = {}
    # Everybody draws, so that who else plays changes nothing for the others.
    for role, sheet in zip(ROLES, rng.spawn(len(ROLES)), strict=True):
        if role not in roles:
            continue
        played = _guitar(sheet, frame, driven) if role == "guitar" else _PLAYED[role](sheet, frame)
        if role in ("guitar", "drums"):
            played = _paused(sheet, played, frame, clips)
        played = [_softer(_swung(note, frame.beat, swing), frame, quiet) for note in played]
        notes[role] = composing.humanised(sheet, played, seconds)
    return Arrangement(seconds, tempo, swing, tonic, scale, progression, notes)


def _swung(note: Note, beat: float, swing: float) -> Note:
    """Return a note moved so that the second half of its beat starts at the share `swing`."""
    whole, rest = divmod(note.start / beat, 1.0)
    late = 2 * rest * swing if rest < 0.5 else swing + (2 * rest - 1) * (1 - swing)
    return replace(note, start=(whole + late) * beat)


def _softer(note: Note, frame: Frame, quiet: float) -> Note:
    """Return a note softer by `quiet` in the first of every two pairs of bars."""
    loud = int(note.start / (2 * frame.bar) + 1e-6) % 2
    return note if loud else replace(note, velocity=round(note.velocity * quiet))


def _paused(
    rng: np.random.Generator,
    notes: list[Note],
    frame: Frame,
    clips: Sequence[tuple[float, float]],
) -> list[Note]:
    """Return the notes, perhaps without those of a bar or two; every clip keeps enough of them."""
    bars = int(rng.integers(1, 3))
    first = float(rng.integers(1, max(2, len(frame.chords)))) * frame.bar
    last, wanted = first + bars * frame.bar, rng.random() < 0.4
    # What was struck before the pause is damped.
    kept = [
        replace(note, seconds=min(note.seconds, first - note.start)) if note.start < first else note
        for note in notes
        if not first - 0.01 <= note.start < last - 0.01
    ]
    most = max(min(last, end) - max(first, start) for start, end in clips)
    # Half seconds in which something is struck.
    busy = min(len({int(2 * n.start) for n in kept if a <= n.start < b}) for a, b in clips)
    return kept if wanted and most <= _PAUSE and busy >= _BUSY else notes


# The guitar.


def _guitar(rng: np.random.Generator, frame: Frame, driven: bool) -> list[Note]:
    """Return two kinds of playing in turns of two bars."""
    suited = (_riff, _power, _line, _power, _strum) if driven else (_strum, _broken, _line, _riff)
    kinds = [pick(rng, suited), pick(rng, suited)]
    sounds = [kind(rng, frame) for kind in kinds]
    return [
        note
        for turn, notes in enumerate(sounds)
        for note in notes
        if int(note.start / (2 * frame.bar) + 1e-6) % 2 == turn
    ]


def _strings(chord: Sequence[int], low: int) -> list[int]:
    """Return a chord as a guitarist grips it: root, fifth, octave, third, fifth, upwards."""
    root, third, fifth = chord
    keys = [low + (root - low) % 12]
    for pitch in (fifth, root, third, fifth):
        keys.append(keys[-1] + 1 + (pitch - keys[-1] - 1) % 12)
    return [key for key in keys if key <= HIGH]


def _strum(rng: np.random.Generator, frame: Frame) -> list[Note]:
    """Return strummed chords: down and up in eighths, some left out, in a pattern of one bar."""
    struck = [eighth for eighth in range(8) if eighth == 0 or rng.random() < 0.65]
    low, delay = int(rng.integers(LOW, LOW + 8)), float(rng.uniform(0.006, 0.02))
    held = float(rng.uniform(0.5, 1.0))
    notes = []
    for bar, chord in enumerate(frame.chords):
        keys = _strings(chord, low)
        for eighth, after in zip(struck, [*struck[1:], 8], strict=True):
            up = eighth % 2 == 1
            length = held * 0.5 * (after - eighth) * frame.beat
            at = (4 * bar + eighth / 2) * frame.beat
            for string, key in enumerate(keys[:1:-1] if up else keys):
                force = 94 if eighth % 4 == 0 else 70 if up else 80
                notes.append(Note(at + delay * string, length, key, force))
    return notes


def _power(rng: np.random.Generator, frame: Frame) -> list[Note]:
    """Return chords of root, fifth and octave: chugged in eighths, or held between accents."""
    low, chugged = int(rng.integers(LOW, LOW + 5)), rng.random() < 0.5
    accents = [eighth for eighth in range(8) if eighth == 0 or rng.random() < 0.3]
    struck = list(range(8)) if chugged else accents
    notes = []
    for bar, chord in enumerate(frame.chords):
        root = low + (chord[0] - low) % 12
        for eighth, after in zip(struck, [*struck[1:], 8], strict=True):
            accent = eighth in accents
            length = 0.5 * (after - eighth) * (0.95 if accent else 0.5) * frame.beat
            at, force = (4 * bar + eighth / 2) * frame.beat, 102 if accent else 82
            notes += [Note(at, length, root + above, force) for above in (0, 7, 12)]
    return notes


def _riff(rng: np.random.Generator, frame: Frame) -> list[Note]:
    """Return a figure of single low notes, moved along with the root of each chord."""
    low, steps = int(rng.integers(LOW, LOW + 6)), 8 if frame.beat < 0.5 else 16
    # Steps of the scale above the root; None holds on. The root starts it.
    cell = [0] + [pick(rng, (None, 0, 0, 2, 4, 4, 6, 7)) for _ in range(steps - 1)]
    notes = []
    for bar, chord in enumerate(frame.chords):
        root = low + (chord[0] - low) % 12
        # A scale that starts at the root: the keys of the song above it.
        above = [root + up for up in range(13) if (root + up - frame.tonic) % 12 in frame.scale]
        struck = [(at, step) for at, step in enumerate(cell) if step is not None]
        for (at, step), after in zip(struck, [at for at, _ in struck[1:]] + [steps], strict=True):
            start, length = 4 * at / steps, 4 * (after - at) / steps
            force = 96 if at % (steps // 4) == 0 else 80
            notes.append(
                Note(
                    bar * frame.bar + start * frame.beat,
                    0.9 * length * frame.beat,
                    above[step],
                    force,
                )
            )
    return notes


def _line(rng: np.random.Generator, frame: Frame) -> list[Note]:
    """Return a melody of single notes, an octave apart at the most."""
    low = int(rng.integers(55, HIGH - 13))
    return composing.draw_melody(rng, frame.tonic, frame.scale, frame.chords, low, frame.beat)


def _broken(rng: np.random.Generator, frame: Frame) -> list[Note]:
    """Return chords broken into eighths that ring on till the next bar."""
    low, order = int(rng.integers(LOW, LOW + 10)), rng.integers(1, 5, 8)
    order[0] = 0
    return [
        Note(
            (4 * bar + eighth / 2) * frame.beat,
            min(2.0, 4 - eighth / 2) * frame.beat,
            keys[min(order[eighth], len(keys) - 1)],
            92 if eighth % 4 == 0 else 74,
        )
        for bar, chord in enumerate(frame.chords)
        for keys in [_strings(chord, low)]
        for eighth in range(8)
    ]


# The drums.


def _drums(rng: np.random.Generator, frame: Frame) -> list[Note]:
    """Return a beat of one bar, with a fill before every second or fourth bar and crashes after."""
    beat, period = _beat(rng, frame), pick(rng, (2, 4, 4))
    crash, notes = pick(rng, CRASHES), []
    for bar in range(len(frame.chords)):
        start, stop = bar * frame.bar, 16
        if (bar + 1) % period == 0:
            stop = 16 - pick(rng, (2, 4, 4, 8))
            notes += [_struck(start, step, *hit, frame) for step, hit in _fill(rng, stop)]
        notes += [_struck(start, step, *hit, frame) for step, hit in beat if step < stop]
        if bar % period == 0 and (bar == 0 or rng.random() < 0.8):
            notes.append(_struck(start, 0, crash, 104, frame))
    return notes


def _struck(start: float, step: int, key: int, force: int, frame: Frame) -> Note:
    return Note(start + step * frame.beat / 4, 0.2, key, force)


def _beat(rng: np.random.Generator, frame: Frame) -> list[tuple[int, tuple[int, int]]]:
    """Return sixteenth, key and velocity of each stroke in a bar."""
    kick, snare, metal = pick(rng, KICKS), pick(rng, SNARES), pick(rng, (CLOSED, CLOSED, RIDE))
    backbeats = pick(rng, ((4, 12), (4, 12), (8,), (4, 12, 15)))
    every = pick(rng, (2, 2, 4) if frame.beat < 0.5 else (1, 2, 2))
    hits = [(0, (kick, 108))]
    hits += [
        (step, (kick, 92))
        for step in range(2, 16)
        if step not in backbeats and rng.random() < (0.35 if step % 2 == 0 else 0.08)
    ]
    hits += [(step, (snare, 106)) for step in backbeats]
    ghosts = float(pick(rng, (0.0, 0.0, 0.12)))
    hits += [(step, (snare, 42)) for step in range(1, 16, 2) if rng.random() < ghosts]
    opened = int(pick(rng, (6, 14, 16, 16)))
    for step in range(0, 16, every):
        key = OPEN if step == opened and metal == CLOSED else metal
        hits.append((step, (key, 92 if step % 4 == 0 else 68)))
    if metal == RIDE:
        hits += [(step, (PEDAL, 70)) for step in (4, 12)]
    return hits


def _fill(rng: np.random.Generator, first: int) -> list[tuple[int, tuple[int, int]]]:
    """Return strokes down the toms from a sixteenth to the end of the bar."""
    drums = (pick(rng, SNARES[1:]), *TOMS[int(rng.integers(2)) :: 2])
    steps = [step for step in range(first, 16) if step == first or rng.random() < 0.85]
    return [
        (step, (drums[(step - first) * len(drums) // (16 - first)], 84 + 2 * (step - first)))
        for step in steps
    ]


# The others.


def _bass(rng: np.random.Generator, frame: Frame) -> list[Note]:
    return composing.bass_line(rng, frame.chords, frame.beat)


def _keys(rng: np.random.Generator, frame: Frame) -> list[Note]:
    return composing.comping(rng, frame.chords, frame.beat, int(rng.integers(50, 62)))


def _pads(rng: np.random.Generator, frame: Frame) -> list[Note]:
    return composing.sustained(frame.chords, frame.beat, int(rng.integers(52, 66)))


def _stabs(rng: np.random.Generator, frame: Frame) -> list[Note]:
    """Return short chords off the beat, or a swell into the next bar, in a pattern of two bars."""
    low = int(rng.integers(52, 62))
    cell = sorted(
        {(int(bar), float(pick(rng, (0, 0.5, 1.5, 2.5, 3, 3.5)))) for bar in (0, 0, 1, 1)}
    )
    held = float(pick(rng, (0.4, 0.4, 0.9, 1.8)))
    return [
        Note(bar * frame.bar + at * frame.beat, held * frame.beat, key, 98)
        for bar, chord in enumerate(frame.chords)
        for turn, at in cell
        if bar % 2 == turn
        for key in composing.voiced(chord, low)
    ]


_PLAYED: dict[str, Texture] = {
    "drums": _drums,
    "bass": _bass,
    "keys": _keys,
    "strings": _pads,
    "brass": _stabs,
}
