"""Music for the stand-in of trios: what a soloist plays alone, and what three play together.

A bar has three or four beats. Harmony is one triad a bar. Pitches are MIDI keys; times of notes are
in beats until a sheet is finished, in seconds afterwards. Training, validation and test have keys,
progressions, rhythms and figures of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unmix.datasets import composing
from unmix.datasets.arranging import PROGRESSIONS
from unmix.datasets.composing import MAJOR, MINOR, pick
from unmix.datasets.rendering import Note

KEYS: dict[str, tuple[tuple[int, tuple[int, ...]], ...]] = {
    "valid": ((6, MAJOR), (9, MAJOR), (3, MINOR), (7, MINOR)),
    "test": ((3, MAJOR), (8, MAJOR), (11, MAJOR), (1, MINOR), (6, MINOR), (10, MINOR)),
}
"""Tonic and scale by part; training has the other fourteen."""
KEYS["train"] = tuple(
    (tonic, scale)
    for scale in (MAJOR, MINOR)
    for tonic in range(12)
    if (tonic, scale) not in (*KEYS["valid"], *KEYS["test"])
)

# Rhythms that a phrase is put together from (beats), by part and manner.
_THIRD = 1 / 3
_MOTIFS: dict[str, dict[str, tuple[tuple[float, ...], ...]]] = {
    "train": {
        "sung": ((1, 1), (0.5, 0.5, 1), (1.5, 0.5), (2,), (1, 0.5, 0.5)),
        "slow": ((2,), (3, 1), (1, 2), (1.5, 1.5)),
        "study": ((0.25,) * 4, (0.5, 0.25, 0.25), (0.5, 0.5), (0.25, 0.25, 0.5)),
        "dance": ((0.75, 0.25), (1, 0.5, 0.5), (0.75, 0.25, 1), (0.5, 0.5)),
    },
    "valid": {
        "sung": ((1, 1), (0.5, 1, 0.5), (2.5, 0.5)),
        "study": ((0.5, 0.25, 0.25), (0.25, 0.5, 0.25)),
    },
    "test": {
        "sung": ((1.5, 0.25, 0.25), (1, 2 * _THIRD, _THIRD), (0.5, 1.5), (2,), (1, 1)),
        "study": ((_THIRD,) * 3, (0.5, 0.25, 0.25), (0.25, 0.75), (_THIRD,) * 3),
        "dance": ((2 * _THIRD, _THIRD), (1,), (0.25, 0.5, 0.25), (2 * _THIRD, _THIRD)),
    },
}
# Left hands: beat, length and step of a chord laid out from its root upwards, by part and meter.
_Figure = tuple[tuple[float, float, int], ...]


def _even(steps: Sequence[int], each: float) -> _Figure:
    return tuple((number * each, each, step) for number, step in enumerate(steps))


_FIGURES: dict[str, dict[int, tuple[_Figure, ...]]] = {
    "train": {
        4: (
            _even((0, 2, 1, 2, 0, 2, 1, 2), 0.5),
            _even((0, 1, 2, 3, 4, 3, 2, 1), 0.5),
            _even((0, 2, 3, 4), 1),
            ((0, 2, 0), (2, 2, 2)),
            _even((0, 2, 4, 2) * 4, 0.25),
        ),
        3: (
            ((0, 1, 0), (1, 1, 2), (1, 1, 3), (2, 1, 2), (2, 1, 3)),
            _even((0, 2, 3, 4, 3, 2), 0.5),
            ((0, 3, 0), (0, 3, 2)),
        ),
    },
    "valid": {
        4: (_even((0, 3, 2, 3, 1, 3, 2, 3), 0.5), ((0, 1.5, 0), (1.5, 2.5, 2))),
        3: (_even((0, 3, 1, 3, 2, 3), 0.5),),
    },
    "test": {
        4: (
            ((0, 1.5, 0), (0.5, 0.5, 2), (1, 0.5, 4), (1.5, 1, 5), (2.5, 0.5, 4), (3, 1, 3)),
            _even((0, 3, 5, 4, 2, 4), 2 * _THIRD),
            ((0, 1, 0), (0, 1, 3), (1.5, 1, 2), (1.5, 1, 4), (2.5, 1.5, 2), (2.5, 1.5, 5)),
        ),
        3: (
            ((0, 1, 0), (1, 0.5, 4), (1.5, 1, 5), (2.5, 0.5, 3)),
            _even((0, 4, 2, 5, 3, 4, 5, 3, 4), _THIRD),
        ),
    },
}
_SECTION = 2
"""Bars after which a soloist may change the manner, and a trio its roles."""


@dataclass(frozen=True)
class Frame:
    """What all who play agree on: a part's rhythms and figures, the key, chords, beats a bar."""

    part: str
    tonic: int
    scale: tuple[int, ...]
    progression: tuple[int, ...]
    chords: tuple[tuple[int, ...], ...]
    beat: float
    meter: int

    def chord(self, at: float) -> tuple[int, ...]:
        """Return the pitch classes of the chord at a beat."""
        return self.chords[min(int(at // self.meter), len(self.chords) - 1)]


@dataclass(frozen=True)
class Voice:
    """What an instrument can play: from `low` to `high`, and whether it is a `piano`.

    `breath` is how long a player pauses between phrases, in beats at the most; `doubled` is the
    share of long notes that strings play as double stops.
    """

    low: int
    high: int
    breath: float = 1.5
    doubled: float = 0.0
    piano: bool = False


@dataclass(frozen=True)
class Sheet:
    """Finished music: `notes` goes by instrument."""

    seconds: float
    frame: Frame
    notes: Mapping[str, tuple[Note, ...]]


def solo(
    rng: np.random.Generator,
    part: str,
    instrument: str,
    voice: Voice,
    seconds: float,
    heard: float,
) -> Sheet:
    """Draw what a soloist plays; the first `heard` of its `seconds` are kept."""
    frame = _frame(rng, part, seconds)
    notes: list[Note] = []
    manners, held = _manners(rng, part, 2), float(rng.uniform(0.6, 1.0))
    for first in range(0, len(frame.chords), _SECTION):
        if first % (4 * _SECTION) == 0:
            window = _window(rng, voice)
        manner = manners[(first // _SECTION) % 2]
        notes += _phrase(rng, frame, first, voice, window, manner, held)
        if voice.piano:
            notes += _left_hand(rng, frame, first, window[0])
    return Sheet(heard, frame, {instrument: _finished(rng, notes, frame.beat, heard)})


def together(
    rng: np.random.Generator, voices: Mapping[str, Voice], seconds: float, heard: float
) -> Sheet:
    """Draw what a trio of a piano and two others plays; its first `heard` seconds are kept.

    In turns, one leads, another answers in long notes, and the piano accompanies or leads with one
    hand. All enter within the first bar; later the one who answers pauses here and there.
    """
    frame = _frame(rng, "test", seconds)
    notes: dict[str, list[Note]] = {name: [] for name in voices}
    others = [name for name, voice in voices.items() if not voice.piano]
    (piano,) = (name for name, voice in voices.items() if voice.piano)
    windows = {name: _window(rng, voice) for name, voice in voices.items()}
    held, shift = float(rng.uniform(0.75, 1.0)), int(rng.integers(2))
    for first in range(0, len(frame.chords), _SECTION):
        turn = first // _SECTION
        leader, second = others[:: 1 if (turn + shift) % 2 else -1]
        manner = pick(rng, tuple(_MOTIFS["test"]))
        notes[piano] += _left_hand(rng, frame, first, windows[piano][0])
        pauses = turn > 0 and rng.random() < 0.25
        if turn % 3 == 2:
            notes[piano] += _phrase(rng, frame, first, voices[piano], windows[piano], manner, held)
            notes[leader] += _answer(rng, frame, first, windows[leader], False)
        else:
            lead = replace(voices[leader], breath=0.75)
            notes[leader] += _phrase(rng, frame, first, lead, windows[leader], manner, held)
        notes[second] += _answer(rng, frame, first, windows[second], pauses)
    played = zip(voices, rng.spawn(len(voices)), strict=True)
    return Sheet(
        heard, frame, {name: _finished(own, notes[name], frame.beat, heard) for name, own in played}
    )


def _frame(rng: np.random.Generator, part: str, seconds: float) -> Frame:
    tonic, scale = pick(rng, KEYS[part])
    progression, meter = pick(rng, PROGRESSIONS[part]), pick(rng, (3, 4, 4))
    beat = 60 / float(rng.uniform(66, 132))
    bars = int(np.ceil(seconds / (meter * beat)))
    chords = tuple(
        composing.triad(tonic, scale, progression[bar % len(progression)]) for bar in range(bars)
    )
    return Frame(part, tonic, scale, progression, chords, beat, meter)


def _manners(rng: np.random.Generator, part: str, count: int) -> list[str]:
    known = tuple(_MOTIFS[part])
    return [known[at] for at in rng.permutation(len(known))[:count]]


def _window(rng: np.random.Generator, voice: Voice) -> tuple[int, int]:
    """Return the keys between which an instrument plays here: an octave and a half, or more."""
    if voice.piano:
        return int(rng.integers(voice.low, voice.low + 13)), voice.high
    width = int(rng.integers(18, 25))
    low = int(rng.integers(voice.low, max(voice.low, voice.high - width) + 1))
    return low, min(voice.high, low + width)


def _phrase(
    rng: np.random.Generator,
    frame: Frame,
    first: int,
    voice: Voice,
    window: tuple[int, int],
    manner: str,
    held: float,
) -> list[Note]:
    """Return a melody of two bars from bar `first` on, and a breath; `held` is their legato."""
    low, high = (60, min(voice.high, 88)) if voice.piano else window
    keys = [key for key in range(low, high + 1) if (key - frame.tonic) % 12 in frame.scale]
    at = float(first * frame.meter) + pick(rng, (0.0, 0.0, 0.0, 0.5))
    end = (first + _SECTION) * frame.meter - float(rng.uniform(0.25, 1.0)) * voice.breath
    place, way = int(rng.integers(len(keys) // 4, 3 * len(keys) // 4 + 1)), pick(rng, (-1, 1))
    notes: list[Note] = []
    start = at
    while at < end - 0.2:
        for length in pick(rng, _MOTIFS[frame.part][manner]):
            length = min(length, end - at)
            if length < 0.2:
                break
            if manner == "study":  # in one direction, by steps or thirds
                way = -way if rng.random() < 0.15 else way
                place += way * pick(rng, (1, 1, 2))
            else:
                place += pick(rng, (-3, -2, -1, -1, 0, 1, 1, 2, 3, 4))
            if not 0 <= place < len(keys):
                way, place = -way, int(np.clip(place, 1, len(keys) - 2)) - way
            if abs(at - round(at)) < 0.01:
                place = _nearest(keys, place, frame.chord(at))
            arch = np.sin(np.pi * (at - start) / max(1.0, end - start))
            loud = round(float(76 + 24 * arch + rng.uniform(-10, 10)))
            notes.append(Note(at, held * length, keys[place], loud))
            if length >= 1 and rng.random() < voice.doubled:
                notes += _below(notes[-1], frame, low)
            at += length
    return notes


def _nearest(keys: Sequence[int], place: int, chord: Sequence[int]) -> int:
    """Return the place of the key in a chord that is nearest."""
    fits = [at for at, key in enumerate(keys) if key % 12 in chord]
    return min(fits, key=lambda at: abs(at - place))


def _below(note: Note, frame: Frame, low: int) -> list[Note]:
    """Return the lower note of a double stop: of the chord, a third to an octave below."""
    chord = frame.chord(note.start)
    fits = [key for key in range(note.key - 12, note.key - 2) if key % 12 in chord and key >= low]
    return [replace(note, key=fits[-1], velocity=note.velocity - 8)] if fits else []


def _left_hand(rng: np.random.Generator, frame: Frame, first: int, low: int) -> list[Note]:
    """Return a figure over two bars, each on its chord."""
    figure = pick(rng, _FIGURES[frame.part][frame.meter])
    notes = []
    for bar, chord in list(enumerate(frame.chords))[first : first + _SECTION]:
        laid = [low + (chord[0] - low) % 12]
        for pitch in (chord[2], chord[0], chord[1], chord[2], chord[0]):
            laid.append(laid[-1] + 1 + (pitch - laid[-1] - 1) % 12)
        notes += [
            Note(bar * frame.meter + at, 0.95 * length, laid[step], 84 if at == 0 else 68)
            for at, length, step in figure
        ]
    return notes


def _answer(
    rng: np.random.Generator, frame: Frame, first: int, window: tuple[int, int], pauses: bool
) -> list[Note]:
    """Return long notes of the chords over two bars, close to each other; half of it may pause."""
    low, high = window
    key, notes = int(rng.integers(low + 4, high - 3)), []
    for bar in range(first, min(first + _SECTION, len(frame.chords))):
        at, end = float(bar * frame.meter), float((bar + 1) * frame.meter)
        if pauses and bar == first + 1:
            break
        if bar == first:
            at += pick(rng, (0.0, 1.0, 0.5))
        while at < end - 0.2:
            length = min(pick(rng, (1.0, 1.5, 2.0, 2.0, 2.5, 3.0)), end - at)
            fits = [each for each in range(low, high + 1) if each % 12 in frame.chord(at)]
            # Not the same note again, so that it moves like a voice.
            near = sorted(fits, key=lambda each: (each == key, abs(each - key)))
            key = pick(rng, near[:3])
            notes.append(Note(at, 0.95 * length, key, int(rng.integers(70, 92))))
            at += length
    return notes


def _finished(
    rng: np.random.Generator, notes: Sequence[Note], beat: float, heard: float
) -> tuple[Note, ...]:
    """Return notes in seconds, by time and key, as people play them."""
    in_order = sorted(notes, key=lambda note: (note.start, note.key))
    timed = [replace(n, start=n.start * beat, seconds=n.seconds * beat) for n in in_order]
    played = composing.humanised(rng, timed, heard)
    return tuple(replace(n, seconds=min(n.seconds, heard - n.start)) for n in played)
