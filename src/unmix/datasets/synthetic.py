"""The embedded stand-in for MIR-1K: a singing voice over an accompaniment, made on the spot.

Singers, compositions and rooms are drawn from seeds; choir and solo-voice programs of a SoundFont
sing through formants of vowels, with vibrato, glides, consonants and pauses. It has MIR-1K's shape
(mono clips of 4 to 8 s, kept at 16 kHz in 16 bits, songs by singers) and about its difficulty for
an oracle mask, but not its variety: evidence from it says that a method runs and which way a trend
points, no more.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unmix import audio
from unmix.datasets import composing, rendering, singing, soundfont
from unmix.datasets.composing import Piece, compose
from unmix.datasets.rendering import Note
from unmix.datasets.singing import Singer, draw_singer, sing
from unmix.datasets.soundfont import general_midi
from unmix.datasets.track import PARTS, Clip, Track
from unmix.errors import AudioError, DatasetError, one_of

RATE = 16000
"""Rate in Hz at which clips are kept, MIR-1K's own; other rates are resampled from it."""

SPLITS = ("standin", "paper", "clean", "huang", "leaky")
"""Names of MIR-1K's splits are taken too, so that its specs run: all mean the only one here."""

COUNTS = {"train": 60, "valid": 12, "test": 24}

_OVERSAMPLING = 2
_SEED = 20140504
_SLOT = 9.0
_SONGS_A_SINGER = 2
_PEAK = 0.9

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


class SyntheticVoice:
    """Stand-in for MIR-1K: clips with the sources `voice` and `accompaniment`, mono."""

    name = "synthetic-voice"
    fidelity = "stand-in"
    source_names: tuple[str, ...] = ("voice", "accompaniment")

    def __init__(self, counts: Mapping[str, int] = COUNTS, cache: Path | None = None) -> None:
        """Take `counts` clips for each part, kept below the folder `cache` once rendered.

        A clip's sound does not depend on the counts: more of them only add clips. Without
        `cache`, the folder that the environment variable `UNMIX_CACHE` names is taken, else
        `~/.cache/unmix`.

        Raises:
            DatasetError: a count is negative, or given for a part that does not exist.
        """
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

    def clips(self) -> Sequence[Clip]:
        """Return all clips, training first."""
        return [clip for clip, _ in self._clips.values()]

    def split(self, name: str) -> Mapping[str, Sequence[str]]:
        """Return the clip names of each part; every name in `SPLITS` means the same split.

        Raises:
            DatasetError: there is no such split.
        """
        if name not in SPLITS:
            raise DatasetError(
                one_of("split", name, SPLITS),
                expected=f"one of {', '.join(SPLITS)} (the stand-in's are all the same)",
            )
        return dict(self._split)

    def load(self, clip_name: str, rate: int) -> Track:
        """Return one clip at `rate` Hz, each source of shape `(1, samples)`.

        Its song is rendered first if the cache does not hold it undamaged.

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
        folder = self.cache / self.name / _recipe()[:16]
        with _LOCK:
            sound = _stored(folder, song, clip_name)
            if sound is None:
                _store(folder, song)
                sound = _stored(folder, song, clip_name)
        if sound is None:
            raise DatasetError(
                f"{folder}: what was written there a moment ago reads differently",
                do="check the disk, or set UNMIX_CACHE to a folder on another one",
            )
        sound = audio.resample(sound, RATE, rate)
        sources = {name: sound[[row]] for row, name in enumerate(self.source_names)}
        return Track(clip, rate, sources)

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
    modules = (composing, rendering, singing, soundfont, sys.modules[__name__])
    sources = rendering.source_hash(*modules)
    return hashlib.sha256((sources + general_midi().digest).encode()).hexdigest()


def _stored(folder: Path, song: Song, clip_name: str) -> np.ndarray | None:
    """Return a clip from the cache, shape `(sources, samples)`; None if missing or damaged."""
    try:
        index = json.loads((folder / f"{song.name}.json").read_text(encoding="utf-8"))
        path = folder / f"{clip_name}.flac"
        if hashlib.sha256(path.read_bytes()).hexdigest() != index[clip_name]:
            return None
        return audio.read(path, rate=RATE, channels=2)[0]
    except (OSError, ValueError, KeyError, TypeError, AudioError):
        return None


def _store(folder: Path, song: Song) -> None:
    """Render a song and write its clips, then the index that makes them valid."""
    index = {}
    for clip_name, sound in render(song).items():
        path = folder / f"{clip_name}.flac"
        audio.write(path, sound, RATE)
        index[clip_name] = hashlib.sha256(path.read_bytes()).hexdigest()
    beside = folder / f".{song.name}.{os.getpid()}.json"
    try:
        beside.write_text(json.dumps(index), encoding="utf-8")
        os.replace(beside, folder / f"{song.name}.json")
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
        found += [(Clip(name, song.name, song.singer.name), song) for name in _clip_names(song)]
        number += 1
    return found[:count]


def _clip_names(song: Song) -> list[str]:
    return [f"{song.name}_{number + 1}" for number in range(len(song.cuts))]


def _rng(part: str, number: int, purpose: int) -> np.random.Generator:
    """Return the source of randomness for a song or singer: parts never meet."""
    return np.random.default_rng([_SEED, PARTS.index(part), number, purpose])


@functools.lru_cache(maxsize=256)
def write_song(part: str, number: int) -> Song:
    """Return the `number`-th song (from 0) of a part: a pure function of the two."""
    rng = _rng(part, number, 0)
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
    return draw_singer(_rng(part, number, 1), f"{part}{number + 1:02d}")


def render(song: Song) -> dict[str, np.ndarray]:
    """Return the clips of a song: name -> float32 `(2, samples)` at `RATE`, voice first."""
    rng = _rng(song.part, song.number, 2)
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
    both = _without_rumble(both)
    # Neither a source nor the mixture may clip.
    both *= np.float32(_PEAK / max(np.abs(both).max(), np.abs(both.sum(axis=0)).max()))
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


def _without_rumble(sound: np.ndarray) -> np.ndarray:
    from scipy import signal

    sections = signal.butter(2, 40.0, "highpass", fs=RATE, output="sos")
    return signal.sosfilt(sections, sound, axis=-1).astype(np.float32)


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
