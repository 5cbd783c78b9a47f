"""The embedded stand-in for MedleyDB: bands with an electric guitar and drums, made on the spot.

Bands, arrangements and rooms are drawn from seeds; programs of a SoundFont play, the guitar through
an amplifier. It has the shape of MedleyDB's songs as they are used here (mono sources by role at
44.1 kHz, a song cut into clips of one length, not every role in every song), but not their variety:
evidence from it says that a method runs and which way a trend points, no more.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
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
from unmix.datasets.track import PARTS, Clip, Track
from unmix.errors import AudioError, DatasetError, one_of
from unmix.files import put

RATE = 44100
"""Rate in Hz at which songs are kept, MedleyDB's own; other rates are resampled from it."""

CLIP_SECONDS = 5.0
"""Length of every clip: a song of two or three of them, one after the other."""

SPLIT = "standin"

COUNTS = {"train": 60, "valid": 12, "test": 24}

_SEED = 20160131
_PEAK = 0.9

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


class SyntheticBand:
    """Stand-in for MedleyDB: mono sources by role, `guitar` and `drums` in every clip."""

    name = "synthetic-band"
    fidelity = "stand-in"
    source_names: tuple[str, ...] = ROLES

    def __init__(self, counts: Mapping[str, int] | None = None, cache: Path | None = None) -> None:
        """Take `counts` clips for each part (None: `COUNTS`), kept below the folder `cache`.

        A clip's sound does not depend on the counts: more of them only add clips. Without
        `cache`, the folder that the environment variable `UNMIX_CACHE` names is taken, else
        `~/.cache/unmix`.

        Raises:
            DatasetError: a count is negative, or given for a part that does not exist.
        """
        counts = COUNTS if counts is None else counts
        for part, count in counts.items():
            if part not in PARTS or count < 0:
                raise DatasetError(
                    one_of("part", part, PARTS) if part not in PARTS else f"{part}: {count} clips",
                    expected=f"for each of {', '.join(PARTS)} a number of clips, 0 or more",
                )
        self.counts = {part: int(counts.get(part, 0)) for part in PARTS}
        root = cache or os.environ.get("UNMIX_CACHE") or Path.home() / ".cache" / "unmix"
        self.cache = Path(root)
        self._clips: dict[str, tuple[Clip, Song]] = {}
        self._split: dict[str, tuple[str, ...]] = {}
        for part in PARTS:
            found = _first(part, self.counts[part])
            self._clips |= {clip.name: (clip, song) for clip, song in found}
            self._split[part] = tuple(clip.name for clip, _ in found)
        self._held: tuple[tuple[str, int], _Sound] | None = None

    def clips(self) -> Sequence[Clip]:
        """Return all clips, training first, by song and then by time."""
        return [clip for clip, _ in self._clips.values()]

    def split(self, name: str) -> Mapping[str, Sequence[str]]:
        """Return the clip names of each part of the only split, `SPLIT`.

        Raises:
            DatasetError: there is no such split.
        """
        if name != SPLIT:
            raise DatasetError(
                one_of("split", name, (SPLIT,)), expected=f"{SPLIT} (the stand-in has no other)"
            )
        return dict(self._split)

    def load(self, clip_name: str, rate: int) -> Track:
        """Return one clip at `rate` Hz, each source of shape `(1, samples)`.

        Every role of the song is there; all but guitar and drums may pause for the clip. A song is
        resampled whole and kept until another one is asked for; it is rendered first if the cache
        does not hold it undamaged.

        Raises:
            DatasetError: there is no such clip, or the SoundFont is missing.
            AudioError: the cache cannot be written.
        """
        if clip_name not in self._clips:
            raise DatasetError(
                one_of("clip", clip_name, self._clips),
                expected=f"one of the {len(self._clips)} clips that this stand-in holds",
                do="take a name from clips() or split(), or raise the counts",
            )
        clip, song = self._clips[clip_name]
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
                sound = audio.resample(self._kept(song), RATE, rate)
                rows = {role: sound[[row]] for row, role in enumerate(song.band.roles)}
                self._held = (song.name, rate), (rows, medleydb_songs.mean_products(rows))
            return self._held[1]

    def _kept(self, song: Song) -> np.ndarray:
        """Return a song from the cache, rendered first if need be: `(roles, samples)`, `RATE`."""
        folder = self.cache / self.name / _recipe()[:16]
        sound = _stored(folder, song)
        if sound is None:
            _store(folder, song)
            sound = _stored(folder, song)
        if sound is None:
            raise DatasetError(
                f"{folder}: what was written there a moment ago reads differently",
                do="check the disk, or set UNMIX_CACHE to a folder on another one",
            )
        return sound

    def fingerprint(self) -> str:
        """Return a hash over what renders the clips, and how many there are of each part.

        Raises:
            DatasetError: the SoundFont is missing.
        """
        state = f"{_recipe()} {json.dumps(self.counts, sort_keys=True)}"
        return hashlib.sha256(state.encode()).hexdigest()


# Threads of one process would write to the same file beside the final one.
_LOCK = threading.Lock()


@functools.lru_cache(maxsize=1)
def _recipe() -> str:
    """Return a hash over what decides the samples: the source texts and the SoundFont."""
    modules = (arranging, composing, rendering, soundfont, sys.modules[__name__])
    sources = rendering.source_hash(*modules)
    return hashlib.sha256((sources + general_midi().digest).encode()).hexdigest()


def _stored(folder: Path, song: Song) -> np.ndarray | None:
    """Return a song from the cache, shape `(roles, samples)`; None if missing or damaged."""
    path = folder / f"{song.name}.flac"
    try:
        digest = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return None
        return audio.read(path, rate=RATE, channels=len(song.band.players))[0]
    except (OSError, ValueError, AudioError):
        return None


def _store(folder: Path, song: Song) -> None:
    """Render a song and write it, then the digest that makes it valid."""
    path = folder / f"{song.name}.flac"
    audio.write(path, render(song), RATE)
    try:
        put(path.with_suffix(".json"), json.dumps(hashlib.sha256(path.read_bytes()).hexdigest()))
    except OSError as error:
        raise AudioError(
            f"{folder}: could not be written ({error})",
            do="free some disk space, or set UNMIX_CACHE to another folder",
        ) from error


def _first(part: str, count: int) -> list[tuple[Clip, Song]]:
    """Return the first `count` clips of a part, with their songs."""
    found: list[tuple[Clip, Song]] = []
    number = 0
    while len(found) < count:
        song = write_song(part, number)
        found += [(Clip(name, song.name, song.band.name), song) for name in _clip_names(song)]
        number += 1
    return found[:count]


def _clip_names(song: Song) -> list[str]:
    return [f"{song.name}_{number}" for number in range(song.clips)]


def _rng(part: str, number: int, purpose: int) -> np.random.Generator:
    """Return the source of randomness for a song or band: parts never meet."""
    return np.random.default_rng([_SEED, PARTS.index(part), number, purpose])


@functools.lru_cache(maxsize=256)
def write_song(part: str, number: int) -> Song:
    """Return the `number`-th song (from 0) of a part: a pure function of the two."""
    rng = _rng(part, number, 0)
    band = draw_band(part, number)
    clips = int(rng.integers(2, 4))
    cuts = [(CLIP_SECONDS * clip, CLIP_SECONDS * (clip + 1)) for clip in range(clips)]
    driven = bool(set(band.players[0].programs) & set(_DRIVEN))
    arrangement = arrange(rng, cuts, PROGRESSIONS[part], band.roles, driven)
    return Song(band.name, part, number, band, arrangement, clips)


def draw_band(part: str, number: int) -> Band:
    """Return the `number`-th band (from 0) of a part: a pure function of the two."""
    rng = _rng(part, number, 1)
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
    rng, band = _rng(song.part, song.number, 2), song.band
    sounds = []
    for player in band.players:
        notes = song.arrangement.notes[player.role]
        sound = play(player, notes, song.arrangement.seconds)
        wet = band.wet * player.distance
        sound = rendering.room(sound, RATE, band.reverberation, wet, rng)
        sounds.append(audio.at_level(_without_rumble(sound), 0.1 * player.level))
    together = np.stack(sounds)
    # Neither a source nor the mixture may clip.
    most = max(np.abs(together).max(), np.abs(together.sum(axis=0)).max())
    return together * np.float32(_PEAK / most)


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


def _without_rumble(sound: np.ndarray) -> np.ndarray:
    from scipy import signal

    sections = signal.butter(2, 25.0, "highpass", fs=RATE, output="sos")
    return signal.sosfilt(sections, sound, axis=-1).astype(np.float32)
