"""The embedded stand-in for MIR-1K: a singing voice over an accompaniment, made on the spot.

Singers, compositions and rooms are drawn from seeds; choir and solo-voice programs of a SoundFont
sing through formants of vowels, with vibrato, glides, consonants and pauses. It has MIR-1K's shape
(mono clips of 4 to 8 s, kept at 16 kHz in 16 bits, songs by singers) and about its difficulty for
an oracle mask, but not its variety: evidence from it says that a method runs and which way a trend
points, no more.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unmix import audio
from unmix.datasets import composing, rendering, singing, soundfont
from unmix.datasets.composing import Piece, compose
from unmix.datasets.rendering import Note
from unmix.datasets.singing import Singer, draw_singer, sing
from unmix.datasets.soundfont import general_midi
from unmix.datasets.standin import StandIn, drawing
from unmix.datasets.track import Clip, Track

RATE = 16000
"""Rate in Hz at which clips are kept, MIR-1K's own; other rates are resampled from it."""

SPLITS = ("standin", "paper", "clean", "huang", "leaky")
"""Names of MIR-1K's splits are taken too, so that its specs run: all mean the only one here."""

_OVERSAMPLING = 2
_SEED = 20140504
_SLOT = 9.0
_SONGS_A_SINGER = 2
_RUMBLE = 40.0
"""Frequency in Hz below which nobody sings or plays."""

# Harmony, one degree a bar; no two parts share a progression, rotated or not.
_PROGRESSIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "train": (
        (0, 4, 5, 3),
        (0, 5, 3, 4),
        (0, 3, 4, 0),
        (5, 3, 0, 4),
        (0, 2, 3, 4),
        (0, 3, 5, 4),
        (0, 5, 1, 4),
        (0, 0, 3, 4),
        (3, 4, 2, 5),
        (0, 4, 3, 3),
    ),
    "valid": ((0, 3, 0, 4), (5, 4, 3, 4), (0, 2, 5, 3), (1, 4, 0, 0)),
    "test": ((0, 5, 2, 4), (3, 0, 5, 4), (0, 4, 1, 3), (1, 5, 4, 0), (0, 3, 1, 4)),
}


@dataclass(frozen=True)
class Song:
    """A piece and who sings it. `cuts` holds start and length of its clips in seconds."""

    name: str
    part: str
    number: int
    singer: Singer
    piece: Piece
    cuts: tuple[tuple[float, float], ...]


class SyntheticVoice(StandIn[Song]):
    """Stand-in for MIR-1K: clips with the sources `voice` and `accompaniment`, mono."""

    name = "synthetic-voice"
    source_names: tuple[str, ...] = ("voice", "accompaniment")
    splits = SPLITS
    rate = RATE
    renderers = (composing, rendering, singing, soundfont, sys.modules[__name__])

    def write(self, part: str, number: int) -> Song:
        """See `write_song`."""
        return write_song(part, number)

    def cut(self, song: Song) -> list[Clip]:
        """Return the clips of a song, sung by one singer."""
        return [Clip(name, song.name, song.singer.name) for name in _clip_names(song)]

    def render(self, song: Song) -> dict[str, np.ndarray]:
        """See the function `render`."""
        return render(song)

    def load(self, clip_name: str, rate: int) -> Track:
        """Return one clip at `rate` Hz, each source of shape `(1, samples)`; see `StandIn`."""
        clip, song = self.found(clip_name)
        sound = audio.resample(self.kept(song, clip_name, len(self.source_names)), RATE, rate)
        sources = {name: sound[[row]] for row, name in enumerate(self.source_names)}
        return Track(clip, rate, sources)


def _clip_names(song: Song) -> list[str]:
    return [f"{song.name}_{number + 1}" for number in range(len(song.cuts))]


@functools.lru_cache(maxsize=256)
def write_song(part: str, number: int) -> Song:
    """Return the `number`-th song (from 0) of a part: a pure function of the two."""
    rng = drawing(_SEED, part, number, 0)
    singer = _singer(part, number // _SONGS_A_SINGER)
    clips = int(rng.integers(2, 5))
    piece = compose(rng, _SLOT * clips + 0.5, singer.low, _PROGRESSIONS[part])
    cuts = tuple(_cut(rng, piece.melody, _SLOT * slot) for slot in range(clips))
    name = f"{singer.name}_{number % _SONGS_A_SINGER + 1}"
    return Song(name, part, number, singer, piece, cuts)


def _cut(rng: np.random.Generator, melody: Sequence[Note], start: float) -> tuple[float, float]:
    """Return start and length of a clip of 4 to 8 s that is sung for about 60 % of its time."""
    options = []
    for _ in range(24):
        length = round(float(rng.uniform(4.0, 8.0)), 2)
        at = start + float(rng.uniform(0.0, _SLOT - length))
        sung = sum(
            max(0.0, min(note.start + note.seconds, at + length) - max(note.start, at))
            for note in melody
        )
        options.append((abs(sung / length - 0.6) > 0.08, abs(sung / length - 0.6), at, length))
    # The first that fits, so that the lengths stay spread evenly; else the nearest.
    fits = [option for option in options if not option[0]] or [min(options)]
    return fits[0][2], fits[0][3]


def _singer(part: str, number: int) -> Singer:
    """Return the `number`-th singer (from 0) of a part."""
    return draw_singer(drawing(_SEED, part, number, 1), f"{part}{number + 1:02d}")


def render(song: Song) -> dict[str, np.ndarray]:
    """Return the clips of a song: name -> float32 `(2, samples)` at `RATE`, voice first."""
    rng = drawing(_SEED, song.part, song.number, 2)
    tuning = float(rng.uniform(-0.4, 0.4))
    piece = _heard(song.piece, song.cuts)
    voice = sing(song.singer, piece.melody, piece.seconds, RATE, tuning, rng)
    band = accompany(piece, RATE, tuning)
    # One studio for both, but the singer stands nearer.
    size, wet = float(rng.uniform(0.2, 0.7)), float(rng.uniform(0.1, 0.35))
    voice = rendering.room(voice, RATE, size, 0.5 * wet, rng)
    band = rendering.room(band, RATE, size, wet, rng)
    snr = float(rng.uniform(-3.0, 5.0))
    both = np.stack([audio.at_level(voice, 0.1 * 10 ** (snr / 20)), audio.at_level(band, 0.1)])
    both = rendering.unclipped(rendering.highpass(both, _RUMBLE, RATE))
    fade = np.linspace(0.0, 1.0, round(0.01 * RATE), dtype=np.float32)
    clips = {}
    for name, (start, length) in zip(_clip_names(song), song.cuts, strict=True):
        first = round(start * RATE)
        cut = both[:, first : first + round(length * RATE)].copy()
        cut[:, : len(fade)] *= fade
        cut[:, -len(fade) :] *= fade[::-1]
        clips[name] = cut
    return clips


def _heard(piece: Piece, cuts: Sequence[tuple[float, float]]) -> Piece:
    """Return a piece without the notes that none of the cuts would hear: a third of the work."""

    def kept(notes: Sequence[Note]) -> tuple[Note, ...]:
        return tuple(
            note
            for note in notes
            if any(at - note.seconds - 1.5 < note.start < at + length for at, length in cuts)
        )

    band = tuple(replace(part, notes=kept(part.notes)) for part in piece.band)
    return replace(piece, melody=kept(piece.melody), band=band)


def accompany(piece: Piece, rate: int, tuning: float) -> np.ndarray:
    """Return the band's sound, shape `(samples,)`, at `rate` Hz, `tuning` semitones off."""
    font = general_midi()
    fine = rate * _OVERSAMPLING
    total = np.zeros(round(piece.seconds * fine), dtype=np.float32)
    for part in piece.band:
        bend = 0.0 if part.drums else tuning
        sound = rendering.perform(
            font, part.notes, part.program, piece.seconds, fine, bend=bend, drums=part.drums
        )
        if sound.any():
            total += audio.at_level(sound, part.level)
    return audio.resample(total[None], fine, rate)[0]
