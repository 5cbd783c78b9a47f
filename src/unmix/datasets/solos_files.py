"""Files with solo recordings: the names that their folders have, and what lies in them."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unmix import audio
from unmix.errors import AudioError, DatasetError

INSTRUMENTS = (
    "bassoon",
    "cello",
    "clarinet",
    "horn",
    "piano",
    "saxophone",
    "trumpet",
    "viola",
    "violin",
)
"""The instruments of Table 1, in its order."""

ALIASES = {
    "basson": "bassoon",
    "fagotto": "bassoon",
    "violoncello": "cello",
    "celli": "cello",
    "bb clarinet": "clarinet",
    "french horn": "horn",
    "corno": "horn",
    "piano forte": "piano",
    "pianoforte": "piano",
    "grand piano": "piano",
    "sax": "saxophone",
    "soprano sax": "saxophone",
    "soprano saxophone": "saxophone",
    "alto sax": "saxophone",
    "alto saxophone": "saxophone",
    "tenor sax": "saxophone",
    "tenor saxophone": "saxophone",
    "baritone sax": "saxophone",
    "baritone saxophone": "saxophone",
}
"""Other names that folders have; plurals are understood of all."""

ENDINGS = (".wav", ".flac", ".aiff", ".aif", ".ogg", ".mp3")
"""What is read; of two files of one name, the one whose ending stands first."""

OTHER_SOUND = (".m4a", ".aac", ".wma", ".opus", ".ape", ".wv")
"""Endings of sound that is not read; said, so that nobody wonders where these files are."""

CANCELLED = 1e-4
"""Peak of the mean of all channels, over theirs, below which they cancel each other: one step of a
16-bit file is 3e-5."""

EXPECTED = f"files such as solos/horn/NAME.flac, of {', '.join(INSTRUMENTS)}"


@dataclass(frozen=True)
class Listing:
    """What lies in a folder of solos.

    Attributes:
        home: the folder.
        files: instrument, then clip name, then file; sorted.
        players: the player of each clip; empty where nobody is named.
        notes: names that were understood, files and folders that were not, in lines to be read.
    """

    home: Path
    files: dict[str, dict[str, Path]]
    players: dict[str, str]
    notes: tuple[str, ...]


def plain(name: str) -> str:
    """Return a name in lower case, its words parted by single spaces: `french horn`."""
    return " ".join(re.findall(r"[a-z0-9]+", name.casefold()))


def instrument_of(name: str) -> str:
    """Return the instrument that a name stands for, in any case, singular or plural; else ''."""
    words = plain(name)
    for each in (words, words.removesuffix("s"), words.removesuffix("es")):
        if (found := ALIASES.get(each, each)) in INSTRUMENTS:
            return found
    return ""


def sound_files(folder: Path) -> list[Path]:
    """Return the files below a folder that can be read, by path; hidden ones are left out."""
    return [path for path in _visible(folder) if path.suffix.lower() in ENDINGS]


def _visible(folder: Path) -> list[Path]:
    found = []
    # Folders that are links are followed: large recordings often lie on another disk.
    for place, inside, files in os.walk(folder, followlinks=True):
        inside[:] = [name for name in inside if not name.startswith((".", "__MACOSX"))]
        found += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(found)


def listing(root: str | os.PathLike) -> Listing:
    """Return what lies in a data root's folder of solos; nothing is opened.

    Raises:
        DatasetError: there is no such folder.
    """
    home = child(Path(root), "solos")
    if home is None:
        raise _not_found(Path(root))
    files: dict[str, dict[str, Path]] = {each: {} for each in INSTRUMENTS}
    players: dict[str, str] = {}
    notes: list[str] = []
    for folder in folders(home):
        instrument = instrument_of(folder.name)
        if not instrument:
            notes.append(f"{folder.name} is ignored: it names none of {', '.join(INSTRUMENTS)}.")
            continue
        if folder.name.casefold() != instrument:
            notes.append(f"{folder.name} is read as {instrument}.")
        for path in sorted(sound_files(folder), key=_preferred):
            inner = path.relative_to(folder).with_suffix("")
            name = f"{instrument}/{inner.as_posix()}"
            if name in players:
                notes.append(
                    f"{path.relative_to(home)} is ignored: it bears the name of "
                    f"{files[instrument][name].relative_to(home)}. Rename it if it is another one."
                )
                continue
            files[instrument][name] = path
            players[name] = inner.parts[0] if len(inner.parts) > 1 else ""
    ordered = {each: dict(sorted(there.items())) for each, there in files.items()}
    return Listing(home, ordered, players, (*notes, *_unread(home)))


def _not_found(root: Path) -> DatasetError:
    do = get_it(root)
    if any(instrument_of(each.name) for each in folders(root)):
        do = f"give the folder above {root} as the data root"
        if root.name.casefold() != "solos":
            do = f"name the folder {root} 'solos', and {do}"
    return DatasetError(
        f"solo recordings were not found: there is no folder {root / 'solos'}",
        expected=EXPECTED,
        do=do,
    )


def _preferred(path: Path) -> tuple[int, str]:
    return ENDINGS.index(path.suffix.lower()), path.as_posix()


def _unread(home: Path) -> list[str]:
    """Say which files that hold sound are not read."""
    lines = []
    if loose := [path.name for path in home.iterdir() if path.suffix.lower() in ENDINGS]:
        first = sorted(loose)[0]
        lines.append(f"{len(loose)} files in no instrument's folder are ignored ({first}).")
    kinds = Counter(path.suffix.lower() for path in _visible(home))
    if other := {kind: kinds[kind] for kind in OTHER_SOUND if kinds[kind]}:
        counts = ", ".join(f"{count} {kind}" for kind, count in other.items())
        lines.append(f"Files of kinds that are not read: {counts}. Convert them to FLAC.")
    return lines


def child(folder: Path, *names: str) -> Path | None:
    """Return the sub-folder that bears one of the names in any case; an exact one goes first."""
    found = [each for each in folders(folder) if plain(each.name) in map(plain, names)]
    return min(found, key=lambda each: (each.name not in names, each.name), default=None)


def folders(folder: Path) -> list[Path]:
    """Return the visible sub-folders, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if each.is_dir() and each.name[:1] != ".")


def get_it(root: str | os.PathLike = "data") -> str:
    """Return what to do where there are no solo recordings."""
    return (
        f"put recordings of your own into {Path(root) / 'solos' / 'INSTRUMENT'}, one sub-folder an "
        "instrument, or set UNMIX_DATA or --data-root to the folder above solos"
    )


def mono(path: Path, rate: int) -> np.ndarray:
    """Return a file in mono, the mean of its channels, float32 `(1, samples)` at `rate` Hz.

    Raises:
        AudioError: the file cannot be read, is cut short, or is silent throughout.
    """
    sound, found = audio.read(path)
    peak = np.abs(sound).max()
    sound = sound.mean(axis=0, keepdims=True)
    if np.abs(sound).max() < CANCELLED * peak:
        raise AudioError(
            f"{path}: is silent in mono, for its channels cancel each other",
            expected="sound",
            do="turn the sign of one channel, or leave the file out",
        )
    return audio.resample(sound, found, rate).astype(np.float32, copy=False)
