"""The embedded stand-in for DSD100: stereo songs with four sources, made on the spot.

A singer stands before a band, and all of them follow one composition: one key, one tempo, one
progression. Voices are made as in `singing`, instruments are those of `band`, each has a place in
the stereo field, and each source a room of its own. It has DSD100's shape (four stereo sources at
44.1 kHz whose plain sum is the mixture), but not its variety: evidence from it says that a method
runs and which way a trend points, no more.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from unmix import audio
from unmix.datasets import arranging, band, composing, panning, rendering, singing, soundfont
from unmix.datasets.arranging import PROGRESSIONS, Arrangement, arrange
from unmix.datasets.band import Band, draw_band
from unmix.datasets.composing import pick
from unmix.datasets.rendering import Note
from unmix.datasets.singing import Singer, draw_singer, sing
from unmix.datasets.standin import StandIn, drawing
from unmix.datasets.track import Clip, Track

RATE = 44100
"""Rate in Hz at which clips are kept, DSD100's own; other rates are resampled from it."""

CLIP_SECONDS = 6.0
"""Length of every clip: a song of two or three of them, one after the other."""

SPLIT = "standin"

SOURCES = ("vocals", "bass", "drums", "other")
"""The sources in DSD100's words."""

BALANCE = {"vocals": 0.0, "bass": -2.0, "drums": 0.0, "other": -1.0}
"""Typical level of each source over a song in dB relative to the vocals'."""

SPREAD = 3.0
"""A source is at most so many dB off its typical level."""

KIT: dict[str, tuple[int, ...]] = {
    "kick and snare": (*arranging.KICKS, *arranging.SNARES),
    "hats and high toms": (
        arranging.CLOSED,
        arranging.OPEN,
        arranging.PEDAL,
        *arranging.TOMS[:3],
    ),
    "cymbals and low toms": (
        arranging.RIDE,
        arranging.BELL,
        *arranging.CRASHES,
        *arranging.TOMS[3:],
    ),
}
"""The pieces of a kit that share a place, as keys of General MIDI."""

# Bodies and cords of the voices, as in `singing`: the parts share no program and no recording.
_BODIES = {"train": (53, 54), "valid": (85,), "test": (52,)}
_CORDS = {"train": (42, 68, 81), "valid": (22,), "test": (69, 71)}

# Level of the room by source, lowest and highest: a mix keeps its bass dry.
_WET = {"vocals": (0.05, 0.12), "bass": (0.02, 0.05), "drums": (0.05, 0.15), "other": (0.1, 0.25)}

_SEED = 20161214
_RUMBLE = 25.0
"""Frequency in Hz below which nobody sings or plays."""
_HEADROOM = 0.95
"""Factor that takes the peaks from `rendering.PEAK` to 1.4 dB below full scale."""
_SUNG_AT = RATE // 2
"""Rate in Hz at which the singer is made: a voice has hardly anything above 11 kHz."""
_SUNG = 0.4
"""Share of a clip that is sung at least."""
_LATEST = 3.5
"""Seconds after which nobody of the band enters any more."""
_SPARE = 1000
"""Bands to choose from for each song."""


@dataclass(frozen=True)
class Mix:
    """What a mixing engineer decides.

    Attributes:
        places: where the vocals, each piece of `KIT` and the other players stand; see `panning`.
        rooms: reverberation time in seconds and level of each source's room.
        levels: level of each source in dB, of which only the differences count.
    """

    places: Mapping[str, float]
    rooms: Mapping[str, tuple[float, float]]
    levels: Mapping[str, float]


@dataclass(frozen=True)
class Song:
    """A composition, who sings and plays it, its mix, and how many clips it gives.

    `intro` says that the singer is silent in the first clip.
    """

    name: str
    part: str
    number: int
    singer: Singer
    band: Band
    arrangement: Arrangement = field(hash=False, repr=False)
    melody: tuple[Note, ...] = field(repr=False)
    mix: Mix = field(hash=False, repr=False)
    intro: bool
    clips: int


class SyntheticSongs(StandIn[Song]):
    """Stand-in for DSD100: stereo clips with the sources `vocals`, `bass`, `drums`, `other`."""

    name = "synthetic-songs"
    source_names: tuple[str, ...] = SOURCES
    splits = (SPLIT,)
    rate = RATE
    renderers = (
        arranging,
        band,
        composing,
        panning,
        rendering,
        singing,
        soundfont,
        sys.modules[__name__],
    )

    def write(self, part: str, number: int) -> Song:
        """See `write_song`."""
        return write_song(part, number)

    def cut(self, song: Song) -> list[Clip]:
        """Return the clips of a song, one after the other."""
        return [Clip(name, song.name, song.singer.name) for name in _clip_names(song)]

    def render(self, song: Song) -> dict[str, np.ndarray]:
        """Return the clips of a song, all channels of a source after those of the one before."""
        sound = render(song)
        cuts = np.split(sound, song.clips, axis=-1)
        return {
            name: cut.reshape(2 * len(SOURCES), -1)
            for name, cut in zip(_clip_names(song), cuts, strict=True)
        }

    def load(self, clip_name: str, rate: int) -> Track:
        """Return one clip at `rate` Hz, each source of shape `(2, samples)`.

        Vocals may pause for a whole clip, as zeros; no other source does. The song is rendered
        first if the cache does not hold the clip undamaged.

        Raises:
            DatasetError: there is no such clip, or the SoundFont is missing.
            AudioError: the cache cannot be written.
        """
        clip, song = self.found(clip_name)
        sound = audio.resample(self.kept(song, clip_name, 2 * len(SOURCES)), RATE, rate)
        pairs = np.split(sound, len(SOURCES))
        return Track(clip, rate, dict(zip(SOURCES, pairs, strict=True)))


def _clip_names(song: Song) -> list[str]:
    return [f"{song.name}_{number + 1}" for number in range(song.clips)]


# On paper.


@functools.lru_cache(maxsize=256)
def write_song(part: str, number: int) -> Song:
    """Return the `number`-th song (from 0) of a part: a pure function of the two."""
    rng = drawing(_SEED, part, number, 0)
    clips = int(rng.integers(2, 4))
    intro = clips == 3 and rng.random() < 0.15
    members = _draw_band(rng, part, number)
    cuts = [(CLIP_SECONDS * clip, CLIP_SECONDS * (clip + 1)) for clip in range(clips)]
    # An amplifier is driven by less than 0.7 where the guitar is clean.
    driven = any(player.drive > 0.7 for player in members.players)
    arrangement = arrange(rng, cuts, PROGRESSIONS[part], members.roles, driven)
    singer = _draw_singer(part, number)
    melody = _draw_melody(rng, arrangement, singer.low, cuts[1 if intro else 0 :])
    return Song(
        name=f"{part}{number + 1:02d}",
        part=part,
        number=number,
        singer=singer,
        band=members,
        arrangement=_entering(rng, arrangement),
        melody=tuple(melody),
        mix=_draw_mix(drawing(_SEED, part, number, 3), members.roles),
        intro=intro,
        clips=clips,
    )


def _draw_band(rng: np.random.Generator, part: str, number: int) -> Band:
    """Return a band of bass, drums and two or three others; a guitar is among most of them."""
    drawn = (draw_band(part, _SPARE * (number + 1) + spare) for spare in itertools.count())
    found = next(each for each in drawn if "bass" in each.roles)
    others = rng.permutation([role for role in found.roles if role not in SOURCES])
    chosen = {"bass", "drums", *others[: int(rng.integers(2, 4))]}
    players = tuple(player for player in found.players if player.role in chosen)
    return replace(found, name=f"{part}{number + 1:02d}", players=players)


def _draw_singer(part: str, number: int) -> Singer:
    """Return the `number`-th singer (from 0) of a part, with a voice that no other part has."""
    rng = drawing(_SEED, part, number, 1)
    singer = draw_singer(rng, f"{part}{number + 1:02d}")
    return replace(singer, body=pick(rng, _BODIES[part]), cords_program=pick(rng, _CORDS[part]))


def _draw_melody(
    rng: np.random.Generator,
    arrangement: Arrangement,
    low: int,
    cuts: Sequence[tuple[float, float]],
) -> list[Note]:
    """Return what is sung over an arrangement in the given cuts, start and end of each in seconds.

    A phrase in four is left to the band, where every cut has `_SUNG` of its time left.
    """
    beat, tonic, scale = 60 / arrangement.tempo, arrangement.tonic, arrangement.scale
    bars = int(np.ceil(arrangement.seconds / (4 * beat)))
    degrees = itertools.islice(itertools.cycle(arrangement.progression), bars)
    chords = [composing.triad(tonic, scale, degree) for degree in degrees]
    notes = composing.draw_melody(rng, tonic, scale, chords, low, beat)
    # A breath before a consonant belongs to the note, so it must not come before the first cut.
    first, last = cuts[0][0] + (0.15 if cuts[0][0] > 0 else 0.0), cuts[-1][1] - 0.1
    phrases = [
        [note for note in phrase if first <= note.start < last]
        for _, phrase in itertools.groupby(notes, lambda note: int(note.start / (8 * beat) + 1e-6))
    ]
    for at in range(len(phrases)):
        without = [note for phrase in phrases[:at] + phrases[at + 1 :] for note in phrase]
        if rng.random() < 0.25 and _sung(without, cuts) >= _SUNG:
            phrases[at] = []
    return [_swung(note, beat, arrangement.swing) for phrase in phrases for note in phrase]


def _sung(notes: Sequence[Note], cuts: Sequence[tuple[float, float]]) -> float:
    """Return the share of a cut's time that is sung, in the cut where it is least."""
    return min(
        sum(max(0.0, min(n.start + n.seconds, end) - max(n.start, start)) for n in notes)
        / (end - start)
        for start, end in cuts
    )


def _swung(note: Note, beat: float, swing: float) -> Note:
    """Return a note in the swing of the band: what begins or ends between two beats is moved."""
    beats = np.array([note.start, note.start + note.seconds]) / beat
    moved = np.floor(beats) + np.interp(beats % 1.0, (0.0, 0.5, 1.0), (0.0, swing, 1.0))
    start, end = (moved * beat).tolist()
    return replace(note, start=start, seconds=end - start)


def _entering(rng: np.random.Generator, arrangement: Arrangement) -> Arrangement:
    """Return an arrangement whose players do not all begin at once: some are a bar or two late."""
    bar = 240 / arrangement.tempo
    entries = {role: int(pick(rng, (0, 0, 0, 1, 2))) for role in arrangement.notes}
    soonest, latest = min(entries.values()), int(_LATEST / bar)
    notes = {}
    for role, entry in entries.items():
        start = min(entry - soonest, latest) * bar
        notes[role] = tuple(n for n in arrangement.notes[role] if n.start > start - 0.01)
    return replace(arrangement, notes=notes)


def _draw_mix(rng: np.random.Generator, roles: Sequence[str]) -> Mix:
    """Draw a mix: voice, bass, kick and snare near the centre, the others to alternate sides."""
    side = float(pick(rng, (-1.0, 1.0)))
    centre, one, other = KIT
    places = {name: rng.uniform(-0.06, 0.06) for name in ("vocals", "bass", centre)}
    places |= {one: side * rng.uniform(0.2, 0.6), other: -side * rng.uniform(0.2, 0.6)}
    others = [role for role in roles if role not in SOURCES]
    for turn, role in enumerate(rng.permutation(others)):
        places[str(role)] = -side * (-1) ** turn * rng.uniform(0.3, 0.85)
    return Mix(
        places={name: float(place) for name, place in places.items()},
        rooms={
            name: (float(rng.uniform(0.15, 0.5)), float(rng.uniform(*_WET[name])))
            for name in SOURCES
        },
        levels={
            name: level + float(rng.uniform(-SPREAD, SPREAD)) for name, level in BALANCE.items()
        },
    )


# In sound.


def render(song: Song) -> np.ndarray:
    """Return a song, float32 `(sources, 2, samples)` at `RATE`, in the order of `SOURCES`."""
    rng, mix = drawing(_SEED, song.part, song.number, 2), song.mix
    heard = {
        "vocals": [(_vocals(song, rng), mix.places["vocals"])],
        "drums": _drums(song),
        "bass": [(_played(song, "bass"), mix.places["bass"])],
        "other": [
            (audio.at_level(_played(song, player.role), player.level), mix.places[player.role])
            for player in song.band.players
            if player.role not in SOURCES
        ],
    }
    sounds = []
    for name in SOURCES:
        sound = panning.stage(heard[name], RATE, *mix.rooms[name], rng)
        sound = rendering.highpass(sound, _RUMBLE, RATE)
        sounds.append(audio.at_level(sound, 10.0 ** (mix.levels[name] / 20)))
    return rendering.unclipped(np.stack(sounds)) * np.float32(_HEADROOM)


def _vocals(song: Song, rng: np.random.Generator) -> np.ndarray:
    """Return what is sung, `(samples,)` at `RATE`; the microphone is shut until it begins."""
    (tuning, *_) = next(p.tunings for p in song.band.players if p.role == "bass")
    seconds = song.arrangement.seconds
    sound = sing(song.singer, song.melody, seconds, _SUNG_AT, tuning, rng)
    sound = audio.resample(sound[None], _SUNG_AT, RATE)[0]
    sound[: max(0, round((song.melody[0].start - 0.1) * RATE))] = 0.0
    return sound


def _drums(song: Song) -> list[tuple[np.ndarray, float]]:
    """Return the pieces of the kit that are struck, each with its place."""
    notes = song.arrangement.notes["drums"]
    return [
        (_played(song, "drums", keys), song.mix.places[piece])
        for piece, keys in KIT.items()
        if any(note.key in keys for note in notes)
    ]


def _played(song: Song, role: str, keys: Sequence[int] | None = None) -> np.ndarray:
    """Return what a player of the band plays (None: on all keys), `(samples,)` at `RATE`."""
    (player,) = (player for player in song.band.players if player.role == role)
    notes = [n for n in song.arrangement.notes[role] if keys is None or n.key in keys]
    return band.play(player, notes, song.arrangement.seconds)
