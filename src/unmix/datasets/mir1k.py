"""MIR-1K: 1,000 clips of Chinese pop songs, sung by amateurs over karaoke tracks (Hsu, 2010).

A clip is a stereo file: channel 0 holds the accompaniment, channel 1 the singing voice, so any
mixing ratio can be made. A name such as `abjones_1_01` stands for the singer `abjones`, the song
`abjones_1` and the clip `01`; there are 19 singers and 110 songs.

Two layouts are read from `ROOT/MIR-1K/Wavfile`: the original (16 kHz, 16-bit WAV) and a packed
one (8 kHz FLAC, lossless from there), a third of the size and enough for work at 8 kHz.

Splits, stored by name in `files/mir1k-splits.json` and explained in `make_splits`: `paper`,
`leaky`, `clean` and `huang`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from unmix import audio
from unmix.datasets import remote, splits
from unmix.datasets.fetching import fetched
from unmix.datasets.track import PARTS, Clip, Track
from unmix.errors import AudioError, DatasetError, command, one_of

FILES = Path(__file__).parent / "files"
INDEX_FILE = FILES / "mir1k-index.json"
BACKING_FILE = FILES / "mir1k-backing.json"
SPLITS_FILE = FILES / "mir1k-splits.json"

RATE, PACKED_RATE = 16_000, 8_000
"""Sampling rates in Hz of the original and of the packed files."""

CHANNELS = {"accompaniment": 0, "voice": 1}
"""Which channel of a file holds which source."""

SIZES = {"train": 50, "valid": 20, "test": 40}
"""Songs of each part of the paper's split."""

ARCHIVES = (
    remote.Archive("https://zenodo.org/records/3532216/files/MIR-1K.zip"),
    remote.Archive("http://mirlab.org/dataset/public/MIR-1K.rar"),
)
"""A mirror, and the authors' own host. No checksum of either archive is known, which is why
`fetch` holds what comes out of it, file by file, against the index."""


class Mir1k:
    """The dataset, from files on disk.

    Attributes:
        folder: the folder under the data root.
        fidelity: `full`, or `subset` where clips are missing.
        paths: the file of each clip, in the order of `clips()`.
    """

    name = "mir1k"
    source_names: tuple[str, ...] = ("voice", "accompaniment")

    def __init__(
        self, root: str | os.PathLike, *, folder: str = "MIR-1K", complete: bool = True
    ) -> None:
        """Find the clips.

        Args:
            root: the data root, which holds `folder/Wavfile/*.wav` or `*.flac`.
            folder: the folder under it.
            complete: whether all 1,000 clips must be there.

        Raises:
            DatasetError: the folder is missing or holds no clip, or clips are missing although
                `complete` is asked for.
        """
        self.folder = folder
        self.root = Path(root)
        self.paths = find_files(self.root, folder)
        missing = [name for name in index() if name not in self.paths]
        if missing and complete:
            first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise DatasetError(
                f"{wavfile_folder(self.root, folder)}: {len(missing)} of {len(index())} clips of "
                f"MIR-1K are missing ({first})",
                expected="all clips, as .wav (16 kHz) or packed as .flac (8 kHz)",
                do=f"{get_it(self.root)}; `unmix data verify mir1k` says more",
            )
        self.fidelity = "subset" if missing else "full"
        self._fingerprint: str | None = None

    def clips(self) -> list[Clip]:
        """Return all clips that are there, sorted by name."""
        return [clip(name) for name in self.paths]

    def split(self, name: str) -> dict[str, list[str]]:
        """Return the clip names of each part; in a partial folder, those that are there.

        The names are `paper`, `leaky`, `clean` and `huang`; see `make_splits`.

        Raises:
            DatasetError: there is no such split.
        """
        entry = splits.stored_split(stored_splits(), name)
        by_clip = "clips" in entry
        wanted = {part: set(entry["clips" if by_clip else "songs"][part]) for part in PARTS}
        unit = {name: name if by_clip else song_of(name) for name in self.paths}
        return {part: [name for name in unit if unit[name] in wanted[part]] for part in PARTS}

    def load(self, clip_name: str, rate: int) -> Track:
        """Return one clip's voice and accompaniment, each float32 `(1, samples)` at `rate` Hz.

        Raises:
            DatasetError: there is no such clip.
            AudioError: the file cannot be read, is cut short, is not stereo, has another rate
                than 16 or 8 kHz, or one of its channels is silent.
        """
        if clip_name not in self.paths:
            raise DatasetError(
                one_of("clip", clip_name, self.paths),
                expected=f"one of the {len(self.paths)} clips in {self.root / self.folder}",
            )
        path = self.paths[clip_name]
        sound, found = audio.read(path, channels=2)
        if found not in (RATE, PACKED_RATE):
            raise AudioError(
                f"{path}: is sampled at {found} Hz",
                expected=f"{RATE} Hz (original) or {PACKED_RATE} Hz (packed)",
                do="use the dataset's own files, or resample this one",
            )
        for source, channel in CHANNELS.items():
            if not sound[channel].any():
                raise AudioError(
                    f"{path}: channel {channel} ({source}) is silent throughout",
                    expected="accompaniment in channel 0, voice in channel 1",
                    do="fetch the file anew; a silent source can be neither separated nor scored",
                )
        sound = audio.resample(sound, found, rate)
        sources = {name: sound[CHANNELS[name]][None] for name in self.source_names}
        return Track(clip(clip_name), rate, sources)

    def fingerprint(self) -> str:
        """Return a SHA-256 over the name and content of every clip's file, computed once."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for path in self.paths.values():
                content = path.read_bytes()
                # The length keeps the boundary between two files from being ambiguous.
                digest.update(f"{path.name}\0{len(content)}\0".encode())
                digest.update(content)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def get_it(root: str | os.PathLike = "data") -> str:
    """Return what to do where the dataset, or a part of it, is missing from a data root."""
    fetch = command("data", "fetch", "mir1k", data_root=root)
    return f"run `{fetch}`, or set UNMIX_DATA or --data-root to the folder above MIR-1K"


def wavfile_folder(root: str | os.PathLike, folder: str = "MIR-1K") -> Path:
    """Return the folder that holds the clips."""
    return Path(root) / folder / "Wavfile"


def here(root: str | os.PathLike) -> bool:
    """Return whether the folder of clips is in a data root."""
    return wavfile_folder(root).is_dir()


def find_files(root: str | os.PathLike, folder: str = "MIR-1K") -> dict[str, Path]:
    """Return the file of each clip of the index that is there; a WAV goes before a FLAC.

    Raises:
        DatasetError: the folder is missing, or holds no clip.
    """
    where = wavfile_folder(root, folder)
    if not where.is_dir():
        inside = (Path(root) / "Wavfile").is_dir()
        raise DatasetError(
            f"MIR-1K was not found: there is no folder {where}",
            expected="the dataset's own layout, MIR-1K/Wavfile/*.wav (or *.flac, packed)",
            do=f"give the folder above {root} as the data root" if inside else get_it(root),
        )
    there = {entry.name for entry in os.scandir(where)}
    found = {}
    for name in index():
        if ending := next((e for e in (".wav", ".flac") if name + e in there), ""):
            found[name] = where / (name + ending)
    if not found:
        expected = "files such as abjones_1_01.wav"
        raise DatasetError(f"{where}: holds no clip of MIR-1K", expected=expected, do=get_it(root))
    return found


def song_of(clip_name: str) -> str:
    """Return the song of a clip: `abjones_1` of `abjones_1_01`."""
    return clip_name.rsplit("_", 1)[0]


def singer_of(name: str) -> str:
    """Return the singer of a clip or song: `abjones` of `abjones_1_01`."""
    return name.split("_", 1)[0]


def clip(name: str) -> Clip:
    """Return the clip of that name."""
    return Clip(name, song_of(name), singer_of(name))


@cache
def index() -> dict[str, tuple[str, int, int]]:
    """Return md5, bytes and frames (at 16 kHz) of each original WAV, sorted by clip name."""
    clips = json.loads(INDEX_FILE.read_text(encoding="utf-8"))["clips"]
    return {name: tuple(clips[name]) for name in sorted(clips)}


@cache
def backing_groups() -> tuple[tuple[str, ...], ...]:
    """Return the groups of songs that share a backing track, as `backing.py` found them."""
    return tuple(map(tuple, json.loads(BACKING_FILE.read_text(encoding="utf-8"))["groups"]))


@cache
def stored_splits() -> dict[str, dict[str, Any]]:
    """Return the stored splits by name."""
    return splits.read_splits(SPLITS_FILE)


def verify(root: str | os.PathLike, folder: str = "MIR-1K") -> remote.Report:
    """Hold every file against the index.

    An original WAV must have the MD5 of the index. A packed FLAC cannot have it: it is decoded
    in full and its length compared, which finds what is lost or cut short, but not what was
    exchanged for something equally long. The report says so.

    Raises:
        DatasetError: the folder is missing, or holds no clip.
    """
    paths = find_files(root, folder)
    where = wavfile_folder(root, folder)
    missing = [name for name in index() if name not in paths]
    altered = [line for name, path in paths.items() if (line := _altered(name, path))]
    unknown = sorted(set(os.listdir(where)) - {path.name for path in paths.values()})
    packed = sum(path.suffix == ".flac" for path in paths.values())
    notes = []
    if packed:
        notes.append(
            f"{packed} files are packed copies (FLAC), verified by name and by decoded length "
            "only: the checksums of the original WAV files do not apply to them."
        )
    if missing or altered:
        notes.append(f"What to do: {get_it(root)}, or replace these files.")
    counts = len(index()), len(paths) - len(altered)
    return remote.Report(f"{where}", *counts, missing, altered, unknown, tuple(notes))


def _altered(name: str, path: Path) -> str:
    """Return what is wrong with a file, empty where nothing is."""
    md5, size, frames = index()[name]
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found == md5:
        return ""
    try:
        sound, rate = audio.read(path, channels=2)
    except AudioError as error:
        return str(error)
    length = sound.shape[1]
    if path.suffix == ".wav":
        return (
            f"{path.name}: md5 {found}, {len(content)} bytes, {length} frames "
            f"(expected {md5}, {size} bytes, {frames} frames)"
        )
    # Half of an odd number of frames is rounded up by the resampler.
    wanted = {RATE: frames, PACKED_RATE: (frames + 1) // 2}.get(rate)
    if length != wanted:
        return (
            f"{path.name}: {length} frames at {rate} Hz (expected {frames} at {RATE} Hz, or "
            f"{(frames + 1) // 2} at {PACKED_RATE} Hz)"
        )
    return ""


def fetch(
    root: str | os.PathLike,
    *,
    archives: Sequence[remote.Archive] = ARCHIVES,
    progress: remote.Progress | None = None,
) -> remote.Report:
    """Download, unpack and verify MIR-1K, unless a complete copy is there already.

    The archive is kept in `ROOT/downloads` until what it held has been verified.
    An incomplete `ROOT/MIR-1K` is renamed to `MIR-1K.old-1`, not deleted.

    Args:
        root: the data root; made if it does not exist.
        archives: where to look, in this order.
        progress: called while bytes arrive; see `remote.bar`.

    Returns:
        the report of `verify`; a caller must look at its `ok`.

    Raises:
        DatasetError: no host gives the archive, it is damaged or unsafe, or the disk is full.
    """
    root = Path(root)
    return fetched(
        root / "MIR-1K",
        verify,
        archives,
        inside="Wavfile",
        get=f"get one of {', '.join(each.url for each in archives)}",
        example=wavfile_folder(root) / "abjones_1_01.wav",
        progress=progress,
    )


def left_out(split: str) -> list[str]:
    """Return the songs that a split leaves out (of `clean`; the others leave out none)."""
    return list(splits.stored_split(stored_splits(), split).get("left_out", []))


def leak_songs() -> list[str]:
    """Return the test songs of `paper` and `leaky` whose backing `leaky` alone trains on.

    What a model trained on `leaky` scores higher on them than one trained on `paper` is what
    the leak is worth.
    """
    stored = stored_splits()
    return splits.leaked(stored["paper"]["songs"], stored["leaky"]["songs"], backing_groups())


def make_splits() -> dict[str, dict[str, Any]]:
    """Draw the splits anew, from the index and the backing groups alone.

    `huang` (Huang et al. 2014, by clip): the singers abjones and amy train (171 clips) less
    four clips for validation; the other 17 singers test (825 clips).

    `paper` (50, 20 and 40 songs): the published text gives the sizes and no list. Songs over
    one backing track stay in one part. Shuffle the groups and single songs with a seed, deal
    each to the first part with room; the seed is the smallest non-negative one that puts at
    least three groups into the train part and three into the test part, so that `leaky` has
    something to leak.

    `leaky` (50, 20, 40): `paper`, but one song of each group of its test part trains, in
    exchange for an ungrouped train song, of the same singer where there is one.

    `clean` (about 50, 20, 40): no singer and no backing track in two parts. As few songs as
    possible are left out for that; they stand under `left_out`.
    """
    songs = sorted({song_of(name) for name in index()})
    singers = {song: singer_of(song) for song in songs}
    groups = backing_groups()
    seed, paper = splits.deal_with_groups(songs, groups, SIZES, {"train": 3, "test": 3})
    least = {"train": 40, "valid": 10, "test": 30}
    clean, out = splits.apart(singers, groups, SIZES, least)
    return {
        "paper": {"rule": f"seed {seed}; a backing track in one part only", "songs": paper},
        "leaky": {
            "rule": "paper, with one song of each backing group of its test part in train",
            "songs": splits.leak(paper, groups, singers, seed),
        },
        "clean": {
            "rule": "no singer and no backing track in two parts",
            "songs": clean,
            "left_out": out,
        },
        "huang": {
            "rule": "singers abjones and amy train, less four clips; the others test",
            "clips": _huang(list(index())),
        },
    }


def _huang(names: Sequence[str]) -> Mapping[str, list[str]]:
    valid = ["abjones_5_08", "abjones_5_09", "amy_9_08", "amy_9_09"]
    test = [name for name in names if singer_of(name) not in ("abjones", "amy")]
    train = [name for name in names if name not in {*valid, *test}]
    return {"train": train, "valid": valid, "test": test}


def write_splits(path: Path = SPLITS_FILE) -> None:
    """Write `make_splits()` as JSON."""
    text = json.dumps({"dataset": "MIR-1K", "splits": make_splits()}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_splits()
