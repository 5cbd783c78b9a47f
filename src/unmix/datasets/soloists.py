"""Soloists for the stand-in of trios: nine instruments, and players who sound different.

A player is a program of a SoundFont with a tuning, a touch, a vibrato, a body that colours the
sound, and a room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unmix.datasets import rendering
from unmix.datasets.rendering import Note
from unmix.datasets.soloing import Voice
from unmix.datasets.soundfont import SoundFont
from unmix.datasets.standin import drawing
from unmix.errors import DatasetError

RATE = 32000
"""Rate in Hz at which sound is kept, the paper's own; other rates are resampled from it."""

SEED = 20150419

_CENTRES = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
"""Frequencies in Hz at which bodies and microphones raise or lower the sound."""


@dataclass(frozen=True)
class Instrument:
    """What an instrument plays and is played with.

    Attributes:
        voice: what it can play.
        programs: General MIDI programs that stand for it, in turns of the players of a part.
        train: seconds of each training recording; each is by another player. Together they are
            ten minutes for each hour of it in the paper's Table 1, and twice that for the trumpet.
        vibrato: depth in semitones at the most.
    """

    voice: Voice
    programs: Mapping[str, tuple[int, ...]]
    train: tuple[float, ...]
    vibrato: float = 0.0


def _programs(train: Sequence[int], valid: int, test: Sequence[int]) -> dict[str, tuple[int, ...]]:
    return {"train": tuple(train), "valid": (valid,), "test": tuple(test)}


INSTRUMENTS = {
    "bassoon": Instrument(Voice(36, 67), _programs([70], 70, [70]), (22.0,) * 40, 0.08),
    "cello": Instrument(Voice(36, 72, 0.5, 0.15), _programs([42], 42, [42]), (28.0,) * 40, 0.2),
    "clarinet": Instrument(Voice(52, 86), _programs([71], 71, [71]), (18.0,) * 40),
    "horn": Instrument(Voice(43, 74), _programs([60], 60, [60]), (15.0,) * 40),
    "piano": Instrument(
        Voice(33, 96, 0.3, 0.5, piano=True),
        _programs([0, 2, 1, 3, 0, 2], 1, [1, 0, 2, 0]),
        (60.0,) * 60,
    ),
    "saxophone": Instrument(
        Voice(49, 75), _programs([65, 66, 64, 67], 65, [66]), (18.0,) * 40, 0.15
    ),
    "trumpet": Instrument(Voice(55, 82), _programs([56], 56, [56]), (12.0,) * 40, 0.08),
    "viola": Instrument(Voice(48, 81, 0.5, 0.15), _programs([41], 41, [41]), (24.0,) * 40, 0.2),
    "violin": Instrument(
        Voice(55, 93, 0.5, 0.15), _programs([40, 110], 40, [110, 40]), (55.0,) * 60, 0.2
    ),
}


@dataclass(frozen=True)
class Player:
    """A player with an instrument, a room and a microphone.

    Attributes:
        name: which no other player has.
        instrument: of `INSTRUMENTS`.
        font: place of its SoundFont among all; 0 is the one that is always there.
        program: General MIDI program.
        borrowed: how many keys further on its recordings are taken, played at the right pitch: the
            same instrument in another size.
        tuning: semitones off concert pitch.
        stretch: semitones by which each octave above the middle one is wider.
        touch: what is added to the velocity of notes.
        attack: seconds in which a blown or bowed tone rises.
        vibrato: rate in Hz and depth in semitones.
        body: gains in dB at `_CENTRES`.
        reverberation: of the room, in seconds.
        wet: level of the room relative to the direct sound, as a factor.
        level: of the peak of its solo recordings, as a factor.
    """

    name: str
    instrument: str
    font: int
    program: int
    borrowed: int
    tuning: float
    stretch: float
    touch: int
    attack: float
    vibrato: tuple[float, float]
    body: tuple[float, ...]
    reverberation: float
    wet: float
    level: float


def draw_player(part: str, name: str, number: int, font: int) -> Player:
    """Return a player of an instrument: a pure function of part, instrument and number."""
    instrument = INSTRUMENTS[name]
    rng = drawing(SEED, part, 1000 * tuple(INSTRUMENTS).index(name) + number, 1)
    programs = instrument.programs[part]
    tilt = float(rng.uniform(-1.0, 1.0))
    body = tuple(tilt * (at - 3) + float(rng.uniform(-3, 3)) for at in range(len(_CENTRES)))
    keyboard = instrument.voice.piano
    return Player(
        name=f"{name} {part} {number + 1}",
        instrument=name,
        font=font,
        program=programs[0 if font else number % len(programs)],
        # A user's SoundFont is another instrument anyway, and may end where its range does.
        borrowed=int(rng.integers(-3, 4)) * (font == 0),
        tuning=float(rng.uniform(-0.12, 0.12)),
        stretch=float(rng.uniform(0.0, 0.02)) if keyboard else float(rng.uniform(-0.01, 0.01)),
        touch=int(rng.integers(-14, 15)),
        attack=float(rng.uniform(0.005, 0.06)),
        vibrato=(float(rng.uniform(4.8, 6.4)), instrument.vibrato * float(rng.uniform(0.3, 1.0))),
        body=body,
        reverberation=float(rng.uniform(0.25, 1.4)),
        wet=float(rng.uniform(0.08, 0.4)),
        level=float(10 ** (rng.uniform(-8, 0) / 20)),
    )


def has(font: SoundFont, name: str) -> bool:
    """Return whether a SoundFont has an instrument, and it sounds in the midst of its range."""
    instrument = INSTRUMENTS[name]
    middle = (instrument.voice.low + instrument.voice.high) // 2
    try:
        zones = font.zones(instrument.programs["train"][0])
    except DatasetError:
        return False
    return any(zone.plays(middle, 80) for zone in zones)


def _from(font: SoundFont, player: Player, note: Note) -> int:
    """Return the key whose recording a note takes: what is borrowed, or the nearest that sounds."""
    zones = font.zones(player.program)
    wanted = note.key + player.borrowed
    for key in sorted(range(128), key=lambda key: abs(key - wanted)):
        if any(zone.plays(key, note.velocity) for zone in zones):
            return key
    return wanted


def play(
    font: SoundFont, player: Player, notes: Sequence[Note], seconds: float, rng: np.random.Generator
) -> np.ndarray:
    """Return what a player makes of notes: float32 `(samples,)` at `RATE`, no room in it.

    Args:
        font: what the player plays with.
        player: who plays.
        notes: the part, in any order.
        seconds: length of the result.
        rng: draws where each vibrato sets in.
    """
    touched = [
        replace(note, velocity=int(np.clip(note.velocity + player.touch, 20, 127)))
        for note in notes
    ]
    total = np.zeros(round(seconds * RATE), np.float32)
    if INSTRUMENTS[player.instrument].voice.piano:
        alike: dict[float, list[Note]] = {}
        for note in touched:
            key = _from(font, player, note)
            bend = player.tuning + player.stretch * (note.key // 12 - 5) + note.key - key
            alike.setdefault(bend, []).append(replace(note, key=key))
        for bend, group in alike.items():
            total += rendering.perform(font, group, player.program, seconds, RATE, bend=bend)
    else:
        for note in touched:
            first, phase = round(note.start * RATE), float(rng.uniform(0, 2 * np.pi))
            sound = _tone(font, player, note, phase)[: len(total) - first]
            total[first : first + len(sound)] += sound
    return _bodied(total, player.body)


def _tone(font: SoundFont, player: Player, note: Note, phase: float) -> np.ndarray:
    """Return a blown or bowed tone with its rise, vibrato and end."""
    ending, held = 0.08, max(0.05, note.seconds)
    time = np.arange(round((held + ending) * RATE)) / RATE
    rate, depth = player.vibrato
    # A vibrato sets in when the tone stands.
    swing = depth * np.clip((time - 0.15) / 0.3, 0, 1) * np.sin(2 * np.pi * rate * time + phase)
    key = _from(font, player, note)
    bend = player.tuning + player.stretch * (note.key - 60) / 12 + note.key - key + swing
    sound = rendering.tone(
        font, player.program, key, len(time) / RATE, RATE, velocity=note.velocity, bend=bend
    )
    rise = np.clip(time / player.attack, 0, 1)
    fall = np.clip((held + ending - time) / ending, 0, 1) ** 2
    return np.asarray(sound * rise * fall * (note.velocity / 127) ** 2, dtype=np.float32)


def _bodied(sound: np.ndarray, gains: Sequence[float]) -> np.ndarray:
    """Return `sound` (`(samples,)`) with gains in dB at `_CENTRES`, smooth between them."""
    from scipy import signal

    grid = np.linspace(0.0, RATE / 2, 257)
    curve = np.interp(np.log2(np.maximum(grid, 1.0)), np.log2(_CENTRES), gains)
    answer = signal.firwin2(511, grid, 10.0 ** (curve / 20), fs=RATE)
    return np.asarray(signal.oaconvolve(sound, answer, mode="same"), dtype=np.float32)
