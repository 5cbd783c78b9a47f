"""The embedded stand-in for MedleyDB: bands with an electric guitar and drums, made on the spot.

Bands, arrangements and rooms are drawn from seeds; programs of a SoundFont play, the guitar through
an amplifier. It has the shape of MedleyDB's songs as they are used here (mono sources by role at
44.1 kHz, a song cut into clips of one length, not every role in every song), but not their variety:
evidence from it says that a method runs and which way a trend points, no more.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unmix import audio
from unmix.datasets import arranging, composing, medleydb_songs, rendering, soundfont
from unmix.datasets.arranging import PROGRESSIONS, ROLES, Arrangement, arrange
from unmix.datasets.composing import pick
from unmix.datasets.rendering import Note
from unmix.datasets.soundfont import general_midi
from unmix.datasets.standin import StandIn, drawing
from unmix.datasets.track import Clip, Track

RATE = 44100
"""Rate in Hz at which songs are kept, MedleyDB's own; other rates are resampled from it."""

CLIP_SECONDS = 5.0
"""Length of every clip: a song of two or three of them, one after the other."""

SPLIT = "standin"

_SEED = 20160131
_RUMBLE = 25.0
"""Frequency in Hz below which no instrument has a part."""

# Who plays, as General MIDI programs that sound together: no combination is in two parts, and no
# program of test is one of training. (Some share recordings: the pianos, and most kits' hats.)
_PROGRAMS: dict[str, dict[str, tuple[tuple[int, ...], ...]]] = {
    "guitar": {
        "train": ((27,), (27,), (29,), (29,), (28, 27), (29, 27)),
        "valid": ((28,), (29, 28)),
        "test": ((26,), (30,), (30, 26)),
    },
    "drums": {"train": ((0,), (0,), (25,)), "valid": ((40,),), "test": ((16,), (24,))},
    "bass": {
        "train": ((33,), (34,), (36,), (38,)),
        "valid": ((37,),),
        "test": ((32,), (35,)),
    },
    "keys": {
        "train": ((0,), (4,), (16,), (4, 16)),
        "valid": ((1,), (18,)),
        "test": ((2,), (5,), (17,)),
    },
    "strings": {"train": ((48,), (50,)), "valid": ((51,),), "test": ((49,),)},
    "brass": {"train": ((61,), (62,), (61, 62)), "valid": ((60,),), "test": ((56, 57), (57,))},
}
_DRIVEN = (29, 30)
_LEVELS = {"guitar": 1.0, "drums": 1.0, "bass": 0.8, "keys": 0.6, "strings": 0.5, "brass": 0.5}


_Sound = tuple[dict[str, np.ndarray], dict[tuple[str, str], float]]


@dataclass(frozen=True)
class Player:
    """A member of a band with an instrument of its own.

    Attributes:
        role: what it plays, of `ROLES`.
        programs: General MIDI programs that sound together; for drums the kit.
        tunings: semitones off concert pitch of each program; for drums of skins and metal.
        touch: what is added to the velocity of its notes.
        drive: how far its amplifier is driven, in units of the sound's RMS; 0 leaves it out.
        cutoff: upper limit of its loudspeaker or microphone in Hz.
        level: RMS in the song, relative to the others'.
        distance: level of the room in its sound, relative to the others'.
    """

    role: str
    programs: tuple[int, ...]
    tunings: tuple[float, ...]
    touch: int
    drive: float
    cutoff: float
    level: float
    distance: float


@dataclass(frozen=True)
class Band:
    """Players who share a room with a reverberation time in seconds and a level, `wet`."""

    name: str
    players: tuple[Player, ...]
    reverberation: float
    wet: float

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of its players, in the order of `ROLES`."""
        return tuple(player.role for player in self.players)


@dataclass(frozen=True)
class Song:
    """An arrangement, the band that plays it and no other, and how many clips it gives."""

    name: str
    part: str
    number: int
    band: Band
    arrangement: Arrangement = field(hash=False, repr=False)
    clips: int


class SyntheticBand(StandIn[Song]):
    """Stand-in for MedleyDB: mono sources by role, `guitar` and `drums` in every clip."""

    name = "synthetic-band"
    source_names: tuple[str, ...] = ROLES
    splits = (SPLIT,)
    rate = RATE
    renderers = (arranging, composing, rendering, soundfont, sys.modules[__name__])

    def __init__(self, counts: Mapping[str, int] | None = None, cache: Path | None = None) -> None:
        """See `StandIn`."""
        super().__init__(counts, cache)
        self._held: tuple[tuple[str, int], _Sound] | None = None

    def write(self, part: str, number: int) -> Song:
        """See `write_song`."""
        return write_song(part, number)

    def cut(self, song: Song) -> list[Clip]:
        """Return the clips of a song, one after the other."""
        return [Clip(name, song.name, song.band.name) for name in _clip_names(song)]

    def render(self, song: Song) -> dict[str, np.ndarray]:
        """Return a whole song under its name."""
        return {song.name: render(song)}

    def load(self, clip_name: str, rate: int) -> Track:
        """Return one clip at `rate` Hz, each source of shape `(1, samples)`.

        Every role of the song is there; all but guitar and drums may pause for the clip. A song is
        resampled whole and kept until another one is asked for; it is rendered first if the cache
        does not hold it undamaged.

        Raises:
            DatasetError: there is no such clip, or the SoundFont is missing.
            AudioError: the cache cannot be written.
        """
        clip, song = self.found(clip_name)
        sound, energies = self._sound(song, rate)
        start = round(_clip_names(song).index(clip_name) * CLIP_SECONDS * rate)
        stop = start + round(CLIP_SECONDS * rate)
        # Copies: a view would keep the whole song in memory.
        sources = {role: each[:, start:stop].copy() for role, each in sound.items()}
        return Track(clip, rate, sources, energies)

    def _sound(self, song: Song, rate: int) -> _Sound:
        """Return a whole song at `rate` Hz by role, each `(1, samples)`, and its energies."""
        with _LOCK:
            if self._held is None or self._held[0] != (song.name, rate):
                kept = self.kept(song, song.name, len(song.band.players))
                sound = audio.resample(kept, RATE, rate)
                rows = {role: sound[[row]] for row, role in enumerate(song.band.roles)}
                self._held = (song.name, rate), (rows, medleydb_songs.mean_products(rows))
            return self._held[1]


# Threads of one process would resample the same song at the same time.
_LOCK = threading.Lock()


def _clip_names(song: Song) -> list[str]:
    return [f"{song.name}_{number}" for number in range(song.clips)]


@functools.lru_cache(maxsize=256)
def write_song(part: str, number: int) -> Song:
    """Return the `number`-th song (from 0) of a part: a pure function of the two."""
    rng = drawing(_SEED, part, number, 0)
    band = draw_band(part, number)
    clips = int(rng.integers(2, 4))
    cuts = [(CLIP_SECONDS * clip, CLIP_SECONDS * (clip + 1)) for clip in range(clips)]
    driven = bool(set(band.players[0].programs) & set(_DRIVEN))
    arrangement = arrange(rng, cuts, PROGRESSIONS[part], band.roles, driven)
    return Song(band.name, part, number, band, arrangement, clips)


def draw_band(part: str, number: int) -> Band:
    """Return the `number`-th band (from 0) of a part: a pure function of the two."""
    rng = drawing(_SEED, part, number, 1)
    with_bass = rng.random() < 0.92
    others = rng.permutation(ROLES[3:])[: int(rng.integers(1 if with_bass else 2, 4))]
    roles = [r for r in ROLES if r in ("guitar", "drums", *others) or (r == "bass" and with_bass)]
    tuning = float(rng.uniform(-0.4, 0.4))
    # Everybody draws, as in an arrangement.
    draws = dict(zip(ROLES, rng.spawn(len(ROLES)), strict=True))
    players = tuple(_player(draws[role], part, role, tuning) for role in roles)
    return Band(
        f"{part}{number + 1:02d}",
        players,
        reverberation=float(rng.uniform(0.2, 0.8)),
        wet=float(rng.uniform(0.1, 0.35)),
    )


def _player(rng: np.random.Generator, part: str, role: str, tuning: float) -> Player:
    programs = pick(rng, _PROGRAMS[role][part])
    drums, guitar = role == "drums", role == "guitar"
    # Skins and metal of a kit have no pitch to agree on; two programs are a few cents apart.
    spread = (2.0, 1.5) if drums else (0.06,) * len(programs)
    centre = 0.0 if drums else tuning
    driven = bool(set(programs) & set(_DRIVEN))
    return Player(
        role,
        programs,
        tunings=tuple(centre + float(rng.uniform(-width, width)) for width in spread),
        touch=int(rng.integers(-14, 11)),
        drive=float(rng.uniform(0.8, 3.0) if driven else rng.uniform(0.1, 0.6)) if guitar else 0.0,
        cutoff=float(rng.uniform(3500, 7000) if guitar else rng.uniform(9000, 18000)),
        level=_LEVELS[role] * float(10 ** (rng.uniform(-4, 4) / 20)),
        distance=float(rng.uniform(0.4, 1.0)),
    )


def render(song: Song) -> np.ndarray:
    """Return a song's sources, float32 `(roles, samples)` at `RATE`, in the order of the band."""
    rng, band = drawing(_SEED, song.part, song.number, 2), song.band
    sounds = []
    for player in band.players:
        notes = song.arrangement.notes[player.role]
        sound = play(player, notes, song.arrangement.seconds)
        wet = band.wet * player.distance
        sound = rendering.room(sound, RATE, band.reverberation, wet, rng)
        sounds.append(audio.at_level(rendering.highpass(sound, _RUMBLE, RATE), 0.1 * player.level))
    return rendering.unclipped(np.stack(sounds))


def play(player: Player, notes: Sequence[Note], seconds: float) -> np.ndarray:
    """Return what a player makes of its notes: float32 `(samples,)` at `RATE`, no room in it."""
    touched = [
        Note(n.start, n.seconds, n.key, int(np.clip(n.velocity + player.touch, 20, 127)))
        for n in notes
    ]
    if player.role == "drums":
        metal = [note for note in touched if note.key in arranging.METAL]
        skins = [note for note in touched if note.key not in arranging.METAL]
        layers = [(skins, player.programs[0]), (metal, player.programs[0])]
    else:
        layers = [(touched, program) for program in player.programs]
    font, total = general_midi(), np.zeros(round(seconds * RATE), np.float32)
    for (part, program), bend in zip(layers, player.tunings, strict=True):
        total += rendering.perform(
            font, part, program, seconds, RATE, bend=bend, drums=player.role == "drums"
        )
    if player.drive > 0.0:
        total = _amplified(total, player.drive)
    return rendering.lowpass(total, player.cutoff, RATE)


def _amplified(sound: np.ndarray, drive: float) -> np.ndarray:
    """Return `sound` through a valve: soft, a little lopsided, so that chords intermodulate."""
    pushed = sound * np.float32(drive / max(1e-9, audio.rms(sound)))
    return np.tanh(pushed + np.float32(0.2)) - np.float32(np.tanh(0.2))
