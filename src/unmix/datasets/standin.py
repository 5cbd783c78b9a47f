"""What the embedded stand-ins share: counts of clips, one split, and a cache of rendered songs.

A stand-in writes its songs one after the other, each a pure function of a part and a number, and
cuts clips from them. It is a subclass of `StandIn` that says how a song is written, how it sounds
and how a clip is cut from the sound.
"""

from __future__ import annotations

import abc
import functools
import hashlib
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np

from unmix import audio
from unmix.datasets import rendering
from unmix.datasets.soundfont import general_midi
from unmix.datasets.track import PARTS, Clip, Track
from unmix.errors import AudioError, DatasetError, one_of
from unmix.files import cache_folder, put

COUNTS = {"train": 60, "valid": 12, "test": 24}
"""How many clips each part has where nothing else is said."""


class Written(Protocol):
    """What every song on paper has."""

    @property
    def name(self) -> str:
        """Its name, which no other song of the dataset has."""
        ...


S = TypeVar("S", bound=Written)


class StandIn(abc.ABC, Generic[S]):
    """A dataset that is rendered where it is used.

    Attributes:
        splits: names of its splits, which all mean the same one unless `dealt` says otherwise.
        rate: in Hz, at which rendered sound is kept.
        renderers: the modules whose source decides the samples, beside this one.
    """

    name: str
    fidelity = "stand-in"
    source_names: tuple[str, ...]
    splits: ClassVar[tuple[str, ...]]
    rate: ClassVar[int]
    renderers: ClassVar[tuple[ModuleType, ...]]

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
        self.cache = Path(cache or cache_folder())
        self._clips: dict[str, tuple[Clip, S]] = {}
        self._split: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in self.splits}
        for part in PARTS:
            for name, found in self.dealt(part).items():
                self._clips |= {clip.name: (clip, song) for clip, song in found}
                self._split.setdefault(name, {})[part] = tuple(clip.name for clip, _ in found)

    def dealt(self, part: str) -> Mapping[str, Sequence[tuple[Clip, S]]]:
        """Return the clips of a part, with their songs, by split: here the same for all."""
        return dict.fromkeys(self.splits, self._first(part, self.counts[part]))

    def _first(self, part: str, count: int) -> list[tuple[Clip, S]]:
        """Return the first `count` clips of a part, with their songs."""
        found: list[tuple[Clip, S]] = []
        number = 0
        while len(found) < count:
            song = self.write(part, number)
            found += [(clip, song) for clip in self.cut(song)]
            number += 1
        return found[:count]

    @abc.abstractmethod
    def write(self, part: str, number: int) -> S:
        """Return the `number`-th song (from 0) of a part: a pure function of the two."""

    @abc.abstractmethod
    def cut(self, song: S) -> Sequence[Clip]:
        """Return all clips of a song, by time."""

    @abc.abstractmethod
    def render(self, song: S) -> Mapping[str, np.ndarray]:
        """Return the sounds of a song by name, float32 `(sources, samples)` at `rate`."""

    @abc.abstractmethod
    def load(self, clip_name: str, rate: int) -> Track:
        """Return one clip at `rate` Hz, each source of shape `(channels, samples)`.

        Its song is rendered first if the cache does not hold it undamaged.

        Raises:
            DatasetError: there is no such clip, or the SoundFont is missing.
            AudioError: the cache cannot be written.
        """

    def clips(self) -> Sequence[Clip]:
        """Return all clips, training first, by song and then by time."""
        return [clip for clip, _ in self._clips.values()]

    def split(self, name: str) -> Mapping[str, Sequence[str]]:
        """Return the clip names of each part.

        Raises:
            DatasetError: there is no such split.
        """
        if name not in self.splits:
            one = f"{self.splits[0]} (the stand-in has no other)"
            alike = all(parts == self._split[self.splits[0]] for parts in self._split.values())
            many = f"one of {', '.join(self.splits)}"
            many += " (the stand-in's are all the same)" if alike else ""
            raise DatasetError(
                one_of("split", name, self.splits), expected=many if len(self.splits) > 1 else one
            )
        return dict(self._split[name])

    def found(self, clip_name: str) -> tuple[Clip, S]:
        """Return a clip and its song.

        Raises:
            DatasetError: there is no such clip.
        """
        if clip_name not in self._clips:
            raise DatasetError(
                one_of("clip", clip_name, self._clips),
                expected=f"one of the {len(self._clips)} clips that this stand-in holds",
                do="take a name from clips() or split(), or raise the counts",
            )
        return self._clips[clip_name]

    def kept(self, song: S, sound_name: str, sources: int) -> np.ndarray:
        """Return a sound of a song from the cache, rendered first if need be.

        Args:
            song: whose sound it is.
            sound_name: a name that `render` gives it.
            sources: how many sources it has.

        Returns:
            float32 samples of shape `(sources, samples)` at `rate`, as the file holds them.

        Raises:
            DatasetError: the SoundFont is missing, or the disk does not keep what is written.
            AudioError: the cache cannot be written.
        """
        folder = self.cache / self.name / self.recipe()[:16]
        with _LOCK:
            sound = self._stored(folder, song, sound_name, sources)
            if sound is None:
                self._store(folder, song)
                sound = self._stored(folder, song, sound_name, sources)
        if sound is None:
            raise DatasetError(
                f"{folder}: what was written there a moment ago reads differently",
                do="check the disk, or set UNMIX_CACHE to a folder on another one",
            )
        return sound

    def _stored(self, folder: Path, song: S, sound_name: str, sources: int) -> np.ndarray | None:
        """Return a sound from the cache; None if it is missing or damaged."""
        try:
            index = json.loads((folder / f"{song.name}.json").read_text(encoding="utf-8"))
            path = folder / f"{sound_name}.flac"
            if hashlib.sha256(path.read_bytes()).hexdigest() != index[sound_name]:
                return None
            return audio.read(path, rate=self.rate, channels=sources)[0]
        except (OSError, ValueError, KeyError, TypeError, AudioError):
            return None

    def _store(self, folder: Path, song: S) -> None:
        """Render a song and write its sounds, then the index that makes them valid."""
        index = {}
        for name, sound in self.render(song).items():
            path = folder / f"{name}.flac"
            audio.write(path, sound, self.rate)
            index[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        try:
            put(folder / f"{song.name}.json", json.dumps(index))
        except OSError as error:
            raise AudioError(
                f"{folder}: could not be written ({error})",
                do="free some disk space, or set UNMIX_CACHE to another folder",
            ) from error

    def recipe(self) -> str:
        """Return a hash over what decides the samples.

        Raises:
            DatasetError: a SoundFont is missing.
        """
        return recipe(self.renderers)

    def fingerprint(self) -> str:
        """Return a hash over what renders the clips, and how many there are of each part.

        Raises:
            DatasetError: the SoundFont is missing.
        """
        state = f"{self.recipe()} {json.dumps(self.counts, sort_keys=True)}"
        return hashlib.sha256(state.encode()).hexdigest()


# Threads of one process would write to the same file beside the final one.
_LOCK = threading.Lock()


@functools.lru_cache(maxsize=8)
def recipe(renderers: tuple[ModuleType, ...]) -> str:
    """Return a hash over what decides the samples: the source texts and the SoundFont.

    Raises:
        DatasetError: the SoundFont is missing.
    """
    sources = rendering.source_hash(*renderers, sys.modules[__name__])
    return hashlib.sha256((sources + general_midi().digest).encode()).hexdigest()


def drawing(seed: int, part: str, number: int, purpose: int) -> np.random.Generator:
    """Return the source of randomness for one purpose of a song or player: parts never meet."""
    return np.random.default_rng([seed, PARTS.index(part), number, purpose])
