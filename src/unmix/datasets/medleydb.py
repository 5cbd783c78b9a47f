"""MedleyDB: multitracks of 122 songs, with an instrument label for each track (Bittner, 2014).

A clip is a cut of 20 s out of a song, named after the song and its place: `MusicDelta_Rock_000`.
Its sources are mono and named by role (`medleydb_songs.roles`); tracks of one role are summed at
the level at which they were recorded (raw tracks) or mixed (stems), and voices are left out.

What is read is `ROOT/MedleyDB/Audio/NAME/NAME_RAW` or `NAME_STEMS`, WAV or FLAC, with
`NAME_METADATA.yaml` in the song's folder or in `ROOT/MedleyDB/Metadata`. The audio is given on
request; there is nothing to fetch.

A song whose files or metadata cannot be used is left out, and `verify` says why. Song lists, in
`files/medleydb-splits.json` and explained in `medleydb_lists`: `musicdelta` and `paper`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from unmix.datasets import remote, splits
from unmix.datasets.digests import digests
from unmix.datasets.medleydb_songs import (
    CLIP_SECONDS,
    FILES,
    GUITARS,
    LAYERS,
    SHORTEST,
    Song,
    cuts,
    decode,
    index,
    mean_products,
    qualifying,
    read_song,
    roles,
)
from unmix.datasets.track import PARTS, Clip, Track
from unmix.errors import AudioError, DatasetError, one_of

SPLITS_FILE = FILES / "medleydb-splits.json"

ON_REQUEST = "on request: https://zenodo.org/records/1649325"
"""How the dataset is had, in a few words."""

AUDIO_FOLDERS = ("Audio", "V1")
"""Where the songs lie under the dataset's folder: in its tools' layout, and as it is unpacked."""

NEEDS = ("guitar", "drums")
"""What a song must have: every song of the paper (Lai and Wang, Sec. 3.1) has both."""

TOLERANCE = 0.5
"""Difference from the length in the index, in seconds, beyond which a song is said to be cut."""


class MedleyDb:
    """The dataset, from files on disk.

    Attributes:
        songs: the songs in use, by name.
        left_out: songs that are sound but of no use here, by name, with the reason: an instrument
            is missing, or the song is shorter than the shortest clip.
        broken: songs that cannot be used as they are, by name, with the error.
        fidelity: `full` where all 49 songs with electric guitar and drums are here and unbroken,
            else `subset`.
        source_names: the roles that occur.
    """

    name = "medleydb"
    subsets = ("musicdelta",)
    """Splits that leave most of the paper's songs out."""

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        layer: str = "raw",
        guitars: str = "sum",
        needs: Collection[str] = NEEDS,
        seconds: float = CLIP_SECONDS,
        shortest: float = SHORTEST,
        usable: bool = True,
    ) -> None:
        """Find the songs; reads metadata and headers, no sound.

        Args:
            root: the data root, which holds the folder MedleyDB.
            layer: `raw` tracks (as recorded) or `stems` (as mixed).
            guitars: `sum` takes all electric guitars of a song as one source; `first` takes those
                of the first stem that has one, and leaves the others out of the mixture as well,
                so that nothing in the background sounds like the target.
            needs: roles that a song must have.
            seconds: length of a clip.
            shortest: length of the shortest last clip of a song that is kept.
            usable: whether there must be a song that can be used.

        Raises:
            DatasetError: an option is unknown, the folder is missing, or no song can be used
                although `usable` is asked for.
        """
        for what, given, known in (
            ("layer", [layer], LAYERS),
            ("guitars", [guitars], GUITARS),
            ("role", needs, roles()),
        ):
            for each in given:
                if each not in known:
                    raise DatasetError(one_of(what, each, known), expected=", ".join(known))
        if not 0 < shortest <= seconds:
            raise DatasetError(
                f"clips of {seconds:g} s with a shortest of {shortest:g} s",
                expected="0 < shortest <= seconds",
            )
        self.root = Path(root)
        self.layer, self.guitars, self.needs = layer, guitars, tuple(needs)
        self.seconds, self.shortest = seconds, shortest
        self.songs: dict[str, Song] = {}
        self.left_out: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        self._sort(song_folders(self.root))
        if usable and not self.songs:
            reasons = [*self.broken.values(), *self.left_out.values()]
            raise DatasetError(
                f"{self.root / 'MedleyDB'}: no song can be used (of {len(reasons)}; "
                f"{'; '.join(reasons[:2])})",
                expected=f"songs with {' and '.join(self.needs) or 'any instrument'} ({layer})",
                do=f"{get_it(self.root)}; `unmix data verify medleydb` says more",
            )
        whole = set(self.songs) | set(self.left_out)
        self.fidelity = "full" if whole >= set(qualifying()) else "subset"
        there = {role for song in self.songs.values() for role in song.roles}
        self.source_names = tuple(role for role in roles() if role in there)
        self._held: _Sound | None = None
        self._energies: dict[tuple[str, int], dict[tuple[str, str], float]] = {}
        self._fingerprint: str | None = None

    def _sort(self, folders: Mapping[str, Path]) -> None:
        for name, folder in folders.items():
            try:
                song = read_song(folder, self._metadata(folder), self.layer, self.guitars)
            except DatasetError as error:
                self.broken[name] = str(error)
                continue
            lacks = [role for role in self.needs if role not in song.roles]
            if lacks:
                self.left_out[name] = f"{name} has no {' and no '.join(lacks)} ({self.layer})"
            elif not self._cuts(song):
                self.left_out[name] = f"{name} lasts {song.seconds:.1f} s, less than a clip"
            else:
                self.songs[name] = song

    def _metadata(self, folder: Path) -> Path:
        file = f"{folder.name}_METADATA.yaml"
        elsewhere = self.root / "MedleyDB" / "Metadata" / file
        return elsewhere if elsewhere.is_file() and not (folder / file).is_file() else folder / file

    def _cuts(self, song: Song) -> int:
        return cuts(song.seconds, self.seconds, self.shortest)

    def clips(self) -> list[Clip]:
        """Return all clips, by song and then by time, so that a song is decoded once."""
        return [
            Clip(f"{song.name}_{number:03d}", song.name, song.artist)
            for song in self.songs.values()
            for number in range(self._cuts(song))
        ]

    def split(self, name: str) -> dict[str, list[str]]:
        """Return the clip names of each part, of the songs that are there.

        The names are `musicdelta` and `paper`; see `medleydb_lists.make_splits`.

        Raises:
            DatasetError: there is no such split.
        """
        songs = splits.stored_split(stored_splits(), name)["songs"]
        clips = self.clips()
        return {part: [c.name for c in clips if c.song in songs[part]] for part in PARTS}

    def load(self, clip_name: str, rate: int) -> Track:
        """Return the sources of one clip, each float32 `(1, samples)` at `rate` Hz.

        A song is decoded and resampled whole and kept until another one is asked for. A source is
        silent where its instrument pauses for the clip; every role of the song is there.

        Raises:
            DatasetError: there is no such clip.
            AudioError: a file cannot be read, is cut short or has changed, or a role that is
                needed is silent throughout the song.
        """
        name, _, number = clip_name.rpartition("_")
        if name in self.broken or name in self.left_out:
            why = self.broken.get(name) or self.left_out[name]
            raise DatasetError(f"{clip_name}: its song is left out ({why})")
        clips = {clip.name: clip for clip in self.clips()}
        if clip_name not in clips:
            raise DatasetError(
                one_of("clip", clip_name, clips),
                expected=f"one of the {len(clips)} clips in {self.root / 'MedleyDB'}",
            )
        sound = self.decoded(self.songs[name], rate)
        start = round(int(number) * self.seconds * rate)
        stop = start + round(self.seconds * rate)
        # Copies: a view would keep the whole song in memory.
        sources = {role: each[:, start:stop].copy() for role, each in sound.sources.items()}
        return Track(clips[clip_name], rate, sources, self._energies[name, rate])

    def decoded(self, song: Song, rate: int) -> _Sound:
        """Return a whole song at `rate` Hz; raises what `load` raises."""
        if self._held is None or (self._held.song, self._held.rate) != (song.name, rate):
            self._held = None  # two songs are never held at once
            sources = decode(song, rate)
            for role in self.needs:
                if not sources[role].any():
                    raise AudioError(
                        f"{song.name}: its {role} is silent throughout",
                        expected="sound",
                        do="copy the song anew; what is silent can be neither separated nor scored",
                    )
            if (song.name, rate) not in self._energies:
                self._energies[song.name, rate] = mean_products(sources)
            self._held = _Sound(song.name, rate, sources)
        return self._held

    def fingerprint(self) -> str:
        """Return a SHA-256 over the options and the role and content of every file in use.

        Digests of files are kept in the cache (see `digests`), so that the dataset's many
        gigabytes are read once and not at every start.
        """
        if self._fingerprint is None:
            options = [self.layer, self.guitars, self.needs, self.seconds, self.shortest]
            whole = hashlib.sha256(json.dumps(options).encode())
            of_file = digests(
                "medleydb", (part.path for song in self.songs.values() for part in song.parts)
            )
            for song in self.songs.values():
                for part in song.parts:
                    line = (song.name, part.path.name, part.role, of_file[part.path])
                    whole.update("\0".join(line).encode() + b"\n")
            self._fingerprint = whole.hexdigest()
        return self._fingerprint


@dataclass(frozen=True)
class _Sound:
    """A whole song at a rate."""

    song: str
    rate: int
    sources: Mapping[str, np.ndarray] = field(repr=False)


def get_it(root: str | os.PathLike = "data") -> str:
    """Return what to do where the dataset, or a part of it, is missing from a data root."""
    where = Path(root) / "MedleyDB"
    return (
        "ask for access at https://zenodo.org/records/1649325 (it is granted by hand, which can "
        "take weeks; https://medleydb.weebly.com says what the dataset is), unpack it so that "
        f"{where / 'Audio' / 'NAME' / 'NAME_RAW'} exists for each song, and put the metadata, "
        "medleydb/data/Metadata of https://github.com/marl/medleydb, into "
        f"{where / 'Metadata'}; or set UNMIX_DATA or --data-root to the folder above MedleyDB"
    )


def here(root: str | os.PathLike) -> bool:
    """Return whether there is any song of MedleyDB in a data root."""
    with suppress(DatasetError):
        return bool(song_folders(root))
    return False


def song_folders(root: str | os.PathLike) -> dict[str, Path]:
    """Return the folder of each song of version 1 that is there, sorted by name.

    Raises:
        DatasetError: there is no folder MedleyDB, or no song in it.
    """
    home = Path(root) / "MedleyDB"
    found = {path.name: path for path in reversed(_folders(home)) if path.name in index()}
    if not found:
        inside = any((Path(root) / name).is_dir() for name in AUDIO_FOLDERS)
        what = "holds no song of MedleyDB" if home.is_dir() else "there is no such folder"
        raise DatasetError(
            f"MedleyDB was not found: {home}: {what}",
            expected="the dataset's own layout, MedleyDB/Audio/NAME/NAME_RAW/*.wav (or *.flac)",
            do=f"give the folder above {root} as the data root" if inside else get_it(root),
        )
    return dict(sorted(found.items()))


def _folders(home: Path) -> list[Path]:
    places = [home / name for name in AUDIO_FOLDERS if (home / name).is_dir()]
    return [path for place in places for path in sorted(place.iterdir()) if path.is_dir()]


@cache
def stored_splits() -> dict[str, dict[str, Any]]:
    """Return the stored song lists by name."""
    return splits.read_splits(SPLITS_FILE)


@dataclass(frozen=True)
class SongReport(remote.Report):
    """A report that counts songs."""

    def lines(self, most: int = 10) -> list[str]:
        """Return the report as text, with at most `most` entries of each kind."""
        first = (
            f"{self.title}: {self.fine} of {self.expected} songs with electric guitar and drums "
            "are as expected."
        )
        return [first, *super().lines(most)[1:]]


def verify(root: str | os.PathLike) -> SongReport:
    """Decode every raw track in use, and hold the songs against the index.

    Of the 122 multitracks of version 1, the 49 with electric guitar and drums are expected. No
    checksums are known: the metadata, the tracks that they name, equal lengths, and the length of
    each song are what is looked at.

    Raises:
        DatasetError: the folder is missing, or holds no song of version 1.
    """
    dataset, home = MedleyDb(root, usable=False), Path(root) / "MedleyDB"
    wanted = set(qualifying())
    wrong = {name: why for name, song in dataset.songs.items() if (why := _wrong(dataset, song))}
    wrong |= dataset.broken
    fine = (set(dataset.songs) | set(dataset.left_out)) & wanted - set(wrong)
    missing = sorted(wanted - {*dataset.songs, *dataset.left_out, *dataset.broken})
    unknown = [folder.name for folder in _folders(home) if folder.name not in index()]
    notes = [f"Left out: {why}." for why in dataset.left_out.values()]
    if bleed := [song.name for song in dataset.songs.values() if song.bleed]:
        notes.append(f"Instruments are heard in each other's tracks: {', '.join(bleed)}.")
    if missing:
        notes += [_part(dataset, name) for name in MedleyDb.subsets]
    if missing or wrong:
        notes.append(f"What to do: {get_it(root)}.")
    altered = [f"{name}: {why}" for name, why in sorted(wrong.items())]
    return SongReport(str(home), len(wanted), len(fine), missing, altered, unknown, tuple(notes))


def _part(dataset: MedleyDb, name: str) -> str:
    """Return how much there is of a split that stands in for the whole."""
    songs = splits.stored_split(stored_splits(), name)["songs"]
    every = [song for part in PARTS for song in songs[part]]
    here = sum(song in dataset.songs or song in dataset.left_out for song in every)
    return (
        f"Of the {len(every)} songs of the split {name}, which experiments take where not all 49 "
        f"are there, {here} are here."
    )


def _wrong(dataset: MedleyDb, song: Song) -> str:
    """Return what is wrong with a song's sound, empty where nothing is."""
    try:
        dataset.decoded(song, song.rate)
    except AudioError as error:
        return str(error)
    expected = index()[song.name]["seconds"]
    if abs(song.seconds - expected) > TOLERANCE:
        return f"lasts {song.seconds:.1f} s (expected {expected:.1f} s)"
    return ""


def fetch(root: str | os.PathLike) -> NoReturn:
    """Say why this dataset cannot be fetched, and how it is had.

    Raises:
        DatasetError: always.
    """
    raise DatasetError("MedleyDB cannot be fetched: it is given on request", do=get_it(root))
