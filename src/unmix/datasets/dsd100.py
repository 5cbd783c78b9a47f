"""DSD100: 100 whole songs in stereo as vocals, bass, drums and other (SiSEC, 2016).

A clip is a cut of 30 s out of a song, named after the song and its place, such as
`003 - Actions - One Minute Smile_000`. Its sources are in stereo, and **their sum is the mixture**
of an experiment; `mixture.wav` is read by `verify` alone.

The layout, as released: `DSD100/Sources/{Dev,Test}/NNN - ARTIST - TITLE/{vocals,bass,drums,other}
.wav` and `DSD100/Mixtures/{Dev,Test}/NNN - ARTIST - TITLE/mixture.wav`, 44.1 kHz, 16 bit; FLAC is
read as well. The folder decides whether a song is of `Dev` or `Test`, not its number.

Any collection in this layout can be opened (`folder`, `like`); `dsd100-like` is one, see
`dsd100_like`. Whatever is in it, it is a stand-in.

SiSEC's page of 2016 says that DSD100 has the same songs and stems as MSD100, which SiSEC 2015 had,
mixed anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from unmix.datasets import remote
from unmix.datasets.digests import digests
from unmix.datasets.dsd100_songs import (
    CLIP_SECONDS,
    EIGHTH,
    NUMBERS,
    SHORTEST,
    SOURCES,
    SUBSETS,
    Song,
    cuts,
    number_of,
    read_cut,
    read_song,
    rest,
    round_parts,
    shuffled,
    song_folders,
    stored_order,
)
from unmix.datasets.fetching import fetched
from unmix.datasets.track import PARTS, Clip, Track
from unmix.errors import AudioError, DatasetError, command, one_of

FOLDER = "DSD100"
LIKE = "dsd100-like"
"""The dataset of this layout that is made from other recordings."""

ARCHIVES = (remote.Archive("http://liutkus.net/DSD100.zip"),)
"""Where the dataset's own page and public programs point to, 14 GB."""

MD5 = "e8964d97d6f320962647e24ebc6773e3"
"""Of the archive, by SiSEC's page of 2016. Whether `ARCHIVES` has that very file is not known, so
`fetch` says what it got and refuses nothing for it."""

REST_DB = -40.0
"""Level of the rest, relative to the mixture, up to which the sources are said to add up to it.

Rounding to 16 bit leaves -94 dB of full scale (five files, each a twelfth of the squared step), or
-86 dB where it is always down, so that songs above -46 dB pass. Clipped samples do not count."""


EXACT_DB = -199.0
"""Where nothing is left, `dsd100_songs.rest` says -200 dB."""


class Dsd100:
    """A collection in DSD100's layout, from files on disk.

    Attributes:
        home: its folder.
        songs: the songs in use, by name.
        left_out: folders that are none of DSD100's songs, by name, with the reason.
        broken: songs that cannot be used as they are, by name, with the error.
        fidelity: `full` where all 100 songs are here and unbroken, else `subset`; `stand-in` for
            another collection.
    """

    source_names: tuple[str, ...] = SOURCES

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        folder: str = FOLDER,
        like: bool = False,
        seconds: float = CLIP_SECONDS,
        shortest: float = SHORTEST,
        usable: bool = True,
    ) -> None:
        """Find the songs; reads headers, no sound.

        Args:
            root: the data root.
            folder: name of the collection's folder in it.
            like: whether it is another collection than DSD100.
            seconds: length of a clip.
            shortest: length of the shortest last cut of a song that is a clip of its own.
            usable: whether there must be a song that can be used.

        Raises:
            DatasetError: the folder is missing or holds no songs, or no song can be used although
                `usable` is asked for.
        """
        self.name = LIKE if like else "dsd100"
        self.home, self.like = Path(root) / folder, like
        self.seconds, self.shortest = seconds, shortest
        self.songs: dict[str, Song] = {}
        self.left_out: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        self._subsets = _folders(root, folder, like)
        for name, subsets in self._subsets.items():
            if not like and number_of(name) not in NUMBERS:
                self.left_out[name] = f"{name} is not one of the songs 001 to 100"
                continue
            try:
                self.songs[name] = read_song(self.home, name, subsets)
            except DatasetError as error:
                self.broken[name] = str(error)
        if usable and not self.songs:
            reasons = [*self.broken.values(), *self.left_out.values()]
            raise DatasetError(
                f"{self.home}: no song can be used (of {len(reasons)}; {'; '.join(reasons[:2])})",
                expected=f"songs with {', '.join(SOURCES)}",
                do=f"{get_it(root, folder=folder, like=like)}; `unmix data verify {self.name}` "
                "says more",
            )
        there = {number_of(name) for name in self.songs}
        whole = there >= set(NUMBERS) and not self.broken
        self.fidelity = "stand-in" if like else "full" if whole else "subset"
        self._fingerprint: str | None = None

    def clips(self) -> list[Clip]:
        """Return all clips, by song and then by time."""
        return [clip for song in self.songs.values() for clip in self._of(song)]

    def _of(self, song: Song) -> list[Clip]:
        count = len(cuts(song, self.seconds, self.shortest))
        return [Clip(f"{song.name}_{at:03d}", song.name, song.artist) for at in range(count)]

    def split(self, name: str) -> dict[str, list[str]]:
        """Return the clip names of each part, of the songs that are there.

        `dev-test`: the songs of `Test` are tested; of those of `Dev`, by name, the first of every
        eight validates and the others train.

        `round-K-of-N` (N from 2 to the number of songs, K from 1 to N): cross-validation, see
        `dsd100_songs.round_parts`. The order is the stored one for DSD100, and the names shuffled
        with a fixed seed for another collection. A broken song leaves the others where they are.

        Raises:
            DatasetError: there is no such split.
        """
        if name == "dev-test":
            parts = self._dev_test()
        else:
            number, count = self._round(name)
            parts = round_parts(self._order(), number, count)
        clips = self.clips()
        return {part: [c.name for c in clips if c.song in parts[part]] for part in PARTS}

    def _known(self) -> list[str]:
        """Return the names of all songs whose folders are here, sorted."""
        return sorted([*self.songs, *self.broken])

    def _dev_test(self) -> dict[str, list[str]]:
        dev, test = (
            [name for name in self._known() if self._subsets[name] == [subset]]
            for subset in SUBSETS
        )
        valid = dev[::EIGHTH]
        return {"train": [n for n in dev if n not in valid], "valid": valid, "test": test}

    def _order(self) -> list[str]:
        """Return all songs in the order of the rounds; what is not here stands there by number."""
        if self.like:
            return shuffled(self._known())
        named = {number_of(name): name for name in self._known()}
        return [named.get(number, f"{number:03d}") for number in stored_order()]

    def _round(self, name: str) -> tuple[int, int]:
        most = len(self._known()) if self.like else len(NUMBERS)
        found = re.fullmatch(r"round-(\d{1,4})-of-(\d{1,4})", name)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not (2 <= count <= most and 1 <= number <= count):
            raise DatasetError(
                one_of("split", name, ["dev-test"]),
                expected="dev-test, or round-K-of-N such as round-1-of-10, with N from 2 to the "
                f"number of songs ({most}) and K from 1 to N",
            )
        return number, count

    def load(self, clip_name: str, rate: int) -> Track:
        """Return the sources of one clip, each float32 `(2, samples)` at `rate` Hz.

        No more of a song is read than the clip; a source is silent where it pauses.

        Raises:
            DatasetError: there is no such clip.
            AudioError: a file cannot be read, is cut short or has changed.
        """
        name, _, number = clip_name.rpartition("_")
        if why := self.broken.get(name) or self.left_out.get(name):
            raise DatasetError(f"{clip_name}: its song is left out ({why})")
        song = self.songs.get(name)
        clips = {} if song is None else {clip.name: clip for clip in self._of(song)}
        if song is None or clip_name not in clips:
            raise DatasetError(
                one_of("clip", clip_name, clips or [clip.name for clip in self.clips()]),
                expected=f"one of the clips of {len(self.songs)} songs in {self.home}",
            )
        cut = cuts(song, self.seconds, self.shortest)[int(number)]
        return Track(clips[clip_name], rate, read_cut(song, cut, rate))

    def fingerprint(self) -> str:
        """Return a SHA-256 over the length of clips, and subset and content of every file in use.

        Digests of files are kept in the cache (see `digests`), so that the dataset's many
        gigabytes are read once and not at every start.
        """
        if self._fingerprint is None:
            whole = hashlib.sha256(json.dumps([self.seconds, self.shortest]).encode())
            paths = (path for song in self.songs.values() for path in song.paths.values())
            of_file = digests(self.name, paths)
            for song in self.songs.values():
                for source, path in song.paths.items():
                    line = (song.subset, song.name, source, of_file[path])
                    whole.update("\0".join(line).encode() + b"\n")
            self._fingerprint = whole.hexdigest()
        return self._fingerprint


def _folders(root: str | os.PathLike, folder: str, like: bool) -> dict[str, list[str]]:
    """Return `song_folders` of a collection in a data root.

    Raises:
        DatasetError: it is not there.
    """
    home = Path(root) / folder
    if found := song_folders(home):
        return found
    what = "holds no song" if home.is_dir() else "there is no such folder"
    itself = bool(song_folders(Path(root)))
    raise DatasetError(
        f"{folder} was not found: {home}: {what}",
        expected=f"the dataset's own layout, {folder}/Sources/Dev/NNN - ARTIST - TITLE/vocals.wav",
        do=f"give the folder above {root} as the data root, and let its name be {folder}"
        if itself
        else get_it(root, folder=folder, like=like),
    )


def get_it(root: str | os.PathLike = "data", *, folder: str = FOLDER, like: bool = False) -> str:
    """Return what to do where the dataset, or a part of it, is missing from a data root."""
    make = command("data", "make", LIKE, **{"from": "medleydb"}, data_root=root)
    if like:
        return f"run `{make}`, which makes it from the songs of MedleyDB that are there"
    fetch = command("data", "fetch", "dsd100", data_root=root)
    return (
        f"run `{fetch}` (14 GB), or unpack the archive by hand so that {Path(root) / folder} holds "
        "Sources and Mixtures; or set UNMIX_DATA or --data-root to the folder above it. "
        f"Who has MedleyDB alone gets songs like these by `{make}`"
    )


def here(root: str | os.PathLike, *, folder: str = FOLDER, like: bool = False) -> bool:
    """Return whether there is any song of the collection in a data root."""
    return bool(song_folders(Path(root) / folder))


@dataclass(frozen=True)
class SongReport(remote.Report):
    """A report that counts songs."""

    def lines(self, most: int = 10) -> list[str]:
        """Return the report as text, with at most `most` entries of each kind."""
        first = f"{self.title}: {self.fine} of {self.expected} songs are as expected."
        return [first, *super().lines(most)[1:]]


def verify(root: str | os.PathLike, *, folder: str = FOLDER, like: bool = False) -> SongReport:
    """Decode every source, and hold each song's mixture against their sum.

    No checksums of files are known. What is looked at: that there are 100 songs (of another
    collection: that none is broken), in stereo, of equal length in all sources and the mixture, and
    that the mixture differs from the sum of the sources by less than `REST_DB`.

    Raises:
        DatasetError: the folder is missing, or holds no song.
    """
    dataset = Dsd100(root, folder=folder, like=like, usable=False)
    wrong, rests, alone = dict(dataset.broken), {}, []
    for name, song in dataset.songs.items():
        try:
            level = rest(song)
        except AudioError as error:
            wrong[name] = str(error)
            continue
        if level is None:
            alone.append(name)
        elif level > REST_DB:
            wrong[name] = f"its mixture differs from the sum of its sources by {level:.1f} dB"
        else:
            rests[name] = level
    known = {number_of(name) for name in (*dataset.songs, *dataset.broken)}
    missing = [] if like else [f"song {each:03d}" for each in NUMBERS if each not in known]
    notes = _on_sums(rests, alone)
    if wrong or missing:
        notes.append(f"What to do: {get_it(root, folder=folder, like=like)}.")
    return SongReport(
        str(dataset.home),
        len(dataset.songs) + len(dataset.broken) if like else len(NUMBERS),
        len(dataset.songs) - sum(name in wrong for name in dataset.songs),
        missing=missing,
        altered=[f"{name}: {why}" for name, why in sorted(wrong.items())],
        unknown=list(dataset.left_out),
        notes=notes,
    )


def _on_sums(rests: Mapping[str, float], alone: Sequence[str]) -> list[str]:
    """Say how well mixtures and sources agree, and which songs have no mixture to hold."""
    notes = []
    if rests:
        worst = max(rests, key=lambda name: rests[name])
        told = f"up to a rest of {rests[worst]:.0f} dB ({worst})"
        told = "to the last bit" if rests[worst] <= EXACT_DB else told
        notes.append(f"The mixtures of {len(rests)} songs are the sums of their sources {told}.")
    if alone:
        told = f"{alone[0]}{', ...' if len(alone) > 1 else ''}"
        notes.append(f"Without a mixture.wav, which is not read otherwise: {len(alone)} ({told}).")
    return notes


def fetch(
    root: str | os.PathLike,
    *,
    folder: str = FOLDER,
    like: bool = False,
    archives: Sequence[remote.Archive] = ARCHIVES,
    progress: remote.Progress | None = None,
) -> remote.Report:
    """Download, unpack and verify DSD100, unless a complete copy is there already.

    The archive is kept in `ROOT/downloads` until what it held has been verified.
    An incomplete `ROOT/DSD100` is renamed to `DSD100.old-1`, not deleted.

    Args:
        root: the data root; made if it does not exist.
        folder: name of the folder in it.
        like: whether it is another collection, of which there is no archive.
        archives: where to look, in this order.
        progress: called while bytes arrive; see `remote.bar`.

    Returns:
        the report of `verify`; a caller must look at its `ok`.

    Raises:
        DatasetError: no host gives the archive, it is damaged or unsafe, the disk is full, or it
            is another collection.
    """
    if like:
        raise DatasetError(
            f"{LIKE} cannot be fetched: it is made from other recordings",
            do=get_it(root, folder=folder, like=like),
        )
    home = Path(root) / folder
    return fetched(
        home,
        _with_archive([home.parent / "downloads" / each.file_name for each in archives]),
        archives,
        inside="Sources",
        get=f"get {' or '.join(each.url for each in archives)}",
        example=home / "Sources" / "Test" / "003 - Actions - One Minute Smile" / "vocals.wav",
        progress=progress,
    )


def _with_archive(paths: Sequence[Path]) -> Callable[[Path], remote.Report]:
    """Return `verify` with a note on the archive's checksum, where the archive is still there."""

    def checked(root: Path) -> remote.Report:
        report, notes = verify(root), []
        for path in paths:
            with suppress(OSError), path.open("rb") as opened:
                found = hashlib.file_digest(opened, "md5").hexdigest()
                same = "as SiSEC published it" if found == MD5 else f"SiSEC published {MD5}"
                notes.append(f"{path.name} had the MD5 {found} ({same}).")
        return replace(report, notes=[*report.notes, *notes])

    return checked
