"""Makes a collection in DSD100's layout out of MedleyDB's raw tracks: `dsd100-like`.

Each song with voices, bass, drums and something else becomes four stereo sources and their mixture.
Raw tracks are what a microphone gave, without place or level, so both are drawn, by these rules:

- A track stands at a place between the channels that its song's and its own name decide, near the
  middle for voices, bass and drums and anywhere for the rest (`SPREAD`), by a constant-power law.
- Tracks of one source keep their levels relative to each other. The source as a whole has an RMS,
  over the parts where it sounds, that is the same for all sources up to `LEVEL_DB`.
- One gain for all sources brings the loudest sample of mixture and sources to `PEAK_DB`.

Sources are rounded to 24 bit and then added, so that the mixture is their sum to the last bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from unmix import audio
from unmix.datasets.digests import digests
from unmix.datasets.dsd100_songs import CHANNELS, SOURCES, SUBSETS, sound_file
from unmix.datasets.medleydb import MedleyDb, song_folders
from unmix.datasets.medleydb_songs import INSTRUMENTS_FILE, role_of_label
from unmix.datasets.panning import gains
from unmix.errors import AudioError, DatasetError
from unmix.files import from_yaml, put

FOLDER = "DSD100-like"

RULE = 1
"""Raised with every change of what is written, so that songs made before are made anew."""

VOICES = (
    *("male singer", "female singer", "male speaker", "female speaker"),
    *("male rapper", "female rapper", "beatboxing", "vocalists"),
)
PITCHED = ("timpani", "xylophone", "vibraphone", "marimba", "glockenspiel", "chimes", "whistle")
"""Percussion that plays notes, and so is no drum."""

EVERYTHING = "Main System"
"""Microphones before the whole ensemble, which belong to no source."""

SPREAD = {"vocals": 0.15, "bass": 0.1, "drums": 0.3, "other": 0.8}
"""How far from the middle (0) towards one channel (1) a track of a source may stand."""

LEVEL_DB = 3.0
PEAK_DB = -1.0
BLOCK_SECONDS, PAUSE_DB = 0.4, 40.0
"""A source pauses in a block of that length which lies that far below its loudest one."""

STEPS = 2**23
"""Steps of 24 bit between 0 and full scale."""

LICENCE = (
    "MedleyDB (Bittner et al., 2014, https://medleydb.weebly.com) is licensed under CC BY-NC-SA "
    "4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/), and so is what is made of it: name "
    "its authors, use it for no commercial purpose, pass it on under this licence alone."
)

MADE = "made.json"
Progress = Callable[[int, int, str], None]
"""Called before each song with the songs done, the songs in all, and the song's name."""


@dataclass(frozen=True)
class Take:
    """A raw track: its key (such as `S01 R02`), the source that it is part of, and its file."""

    key: str
    source: str
    path: Path


@dataclass(frozen=True)
class Planned:
    """A song to be made. `title` is its name in MedleyDB, `name` that of its folder here."""

    title: str
    name: str
    subset: str
    rate: int
    samples: int
    takes: tuple[Take, ...] = field(repr=False)

    def mark(self) -> dict[str, Any]:
        """Return what `made.json` holds of the song once it is made: rule and inputs."""
        of_file = digests("medleydb", (take.path for take in self.takes))
        lines = [[take.key, take.source, of_file[take.path]] for take in self.takes]
        whole = json.dumps([self.title, self.rate, self.samples, lines])
        return {"rule": RULE, "inputs": hashlib.sha256(whole.encode()).hexdigest()}


@dataclass(frozen=True)
class Summary:
    """What `make` did: names of songs made, found made, and removed; left out, with the reason."""

    home: Path
    made: list[str]
    kept: list[str]
    removed: list[str]
    left_out: Mapping[str, str]


@cache
def vague() -> tuple[str, ...]:
    """Return the labels that name no instrument: such a track is what its stem is."""
    return tuple(json.loads(INSTRUMENTS_FILE.read_text(encoding="utf-8"))["vague"])


def source_of(label: str, stem_label: str) -> str | None:
    """Return the source that a track is part of, from its own label and that of its stem.

    None stands for a microphone before the whole ensemble, which is part of none.

    Raises:
        KeyError: a label is not of MedleyDB's taxonomy.
    """
    if EVERYTHING in (label, stem_label):
        return None
    named = stem_label if label in vague() else label
    role = role_of_label()[named]
    if named in VOICES:
        return "vocals"
    if role in ("drums", "percussion") and named not in PITCHED:
        return "drums"
    return "bass" if role == "bass" else "other"


def plan(root: str | os.PathLike) -> tuple[list[Planned], dict[str, str]]:
    """Return the songs that can be made of those in a data root, and why others cannot.

    By name, the first is of `Dev`, the second of `Test`, and so on in turn.

    Raises:
        DatasetError: MedleyDB is not there, or no song of it has all four sources.
    """
    songs = MedleyDb(root, needs=(), usable=False)
    left_out, found, folders = {**songs.broken, **songs.left_out}, {}, song_folders(root)
    for title, song in songs.songs.items():
        try:
            takes = _takes(Path(root), folders[title], song.samples)
        except (AudioError, DatasetError) as error:
            left_out[title] = str(error)
            continue
        there = {take.source for take in takes}
        if lacks := [source for source in SOURCES if source not in there]:
            left_out[title] = f"has no {' and no '.join(lacks)}"
        else:
            found[title] = takes
    if not found:
        told = "; ".join(f"{title}: {why}" for title, why in list(left_out.items())[:2])
        raise DatasetError(
            f"{Path(root) / 'MedleyDB'}: no song can be used (of {len(left_out)}; {told})",
            expected=f"a song whose raw tracks are {', '.join(SOURCES)}",
            do="`unmix data verify medleydb` says which songs are there, and how to get others",
        )
    planned = [
        Planned(
            title,
            f"{number:03d} - MedleyDB - {title}",
            SUBSETS[(number - 1) % 2],
            songs.songs[title].rate,
            songs.songs[title].samples,
            takes,
        )
        for number, (title, takes) in enumerate(sorted(found.items()), 1)
    ]
    return planned, dict(sorted(left_out.items()))


def _takes(root: Path, folder: Path, samples: int) -> tuple[Take, ...]:
    """Return the raw tracks of a song whose metadata `MedleyDb` has found sound."""
    file = f"{folder.name}_METADATA.yaml"
    places = (folder / file, root / "MedleyDB" / "Metadata" / file)
    text = next(place for place in places if place.is_file()).read_text(encoding="utf-8")
    takes = []
    for stem, entry in from_yaml(text)["stems"].items():
        for key, track in (entry.get("raw") or {}).items():
            source = source_of(track["instrument"].strip(), entry["instrument"].strip())
            if source is not None:
                # A name from a file never leads out of the song's folder.
                file_name = Path(track["filename"].strip().replace("\\", "/")).stem
                path = sound_file(folder / f"{folder.name}_RAW", file_name)
                if path is None:
                    raise DatasetError(f"{folder}: has no {file_name}.wav (or .flac)")
                if (found := audio.header(path)[0]) != samples:
                    raise DatasetError(f"{path.name} has {found} samples, others {samples}")
                takes.append(Take(f"{stem} {key}", source, path))
    return tuple(sorted(takes, key=lambda take: take.key))


def place_of(title: str, take: Take) -> float:
    """Return where a track stands, from -1 (left) to 1 (right)."""
    width = SPREAD[take.source]
    return random.Random(f"place {title} {take.key}").uniform(-width, width)


def panned(sound: np.ndarray, place: float) -> np.ndarray:
    """Return a mono sound `(samples,)` at a place, `(2, samples)`, of the same power anywhere."""
    return np.array(gains(place), sound.dtype)[:, None] * sound


def level_of(title: str, source: str) -> float:
    """Return by how many dB a source of a song is raised over the common level."""
    return random.Random(f"level {title} {source}").uniform(-LEVEL_DB, LEVEL_DB)


def sounding_level(sound: np.ndarray, rate: int) -> float:
    """Return the RMS of `(channels, samples)`, summed over channels, over blocks without pauses."""
    starts = np.arange(0, sound.shape[1], max(1, round(BLOCK_SECONDS * rate)))
    lengths = np.diff([*starts, sound.shape[1]])
    power = np.sum(np.square(sound, dtype=np.float64), axis=0)
    energies = np.add.reduceat(power, starts)
    sounds = energies / lengths >= max(energies / lengths) * 10.0 ** (-PAUSE_DB / 10.0)
    return float(np.sqrt(energies[sounds].sum() / lengths[sounds].sum()))


def render(song: Planned) -> dict[str, np.ndarray]:
    """Return the sources of a song and their mixture, int32 `(2, samples)` in steps of 24 bit.

    Raises:
        AudioError: a raw track cannot be read, or a source is silent throughout.
    """
    sums = {source: np.zeros((CHANNELS, song.samples), np.float32) for source in SOURCES}
    for take in song.takes:
        sound, _ = audio.read(take.path, rate=song.rate, allow_silence=True)
        sums[take.source] += panned(sound.mean(axis=0), place_of(song.title, take))
    total = np.zeros((CHANNELS, song.samples), np.float32)
    for source, sound in sums.items():
        if not sound.any():
            raise AudioError(f"{song.title}: its {source} is silent throughout")
        gain = 10.0 ** (level_of(song.title, source) / 20.0) / sounding_level(sound, song.rate)
        sound *= np.float32(gain)
        total += sound
    peak = max(float(np.abs(sound).max()) for sound in (*sums.values(), total))
    scale = 10.0 ** (PEAK_DB / 20.0) * STEPS / peak
    steps = {source: np.rint(sound * scale).astype(np.int32) for source, sound in sums.items()}
    return {**steps, "mixture": np.sum(list(steps.values()), axis=0, dtype=np.int32)}


def make(
    root: str | os.PathLike, out: str | os.PathLike, progress: Progress | None = None
) -> Summary:
    """Make the collection, song by song; songs made before by the same rule are left alone.

    A song is written beside its place and renamed into it. Songs made here that are no longer asked
    for, because MedleyDB has more or fewer songs now, are removed.

    Args:
        root: the data root, which holds the folder MedleyDB.
        out: the collection's own folder; made if it does not exist.
        progress: called before each song.

    Raises:
        DatasetError: there is no song to make it of, or `out` holds other things or cannot be
            written.
    """
    songs, left_out = plan(root)
    home, made, kept = Path(out), [], []
    with _writing(home):
        removed = _tidied(home, {song.name: song.subset for song in songs})
        home.mkdir(parents=True, exist_ok=True)
        put(home / "README.md", about(home))
        for done, song in enumerate(songs):
            if progress:
                progress(done, len(songs), song.name)
            if _is_made(home, song):
                kept.append(song.name)
                continue
            try:
                sounds = render(song)
            except AudioError as error:
                left_out[song.title] = str(error)
                _remove(home, song.subset, song.name)
            else:
                _write(home, song, sounds)
                made.append(song.name)
        if progress:
            progress(len(songs), len(songs), "")
    return Summary(home, made, kept, removed, dict(sorted(left_out.items())))


def _places(home: Path, subset: str, name: str) -> tuple[Path, Path]:
    return home / "Mixtures" / subset / name, home / "Sources" / subset / name


def _is_made(home: Path, song: Planned) -> bool:
    mixture, sources = _places(home, song.subset, song.name)
    files = [mixture / "mixture.wav", *(sources / f"{source}.wav" for source in SOURCES)]
    with contextlib.suppress(OSError, ValueError):
        mark = json.loads((sources / MADE).read_text(encoding="utf-8"))
        return all(path.is_file() for path in files) and mark == song.mark()
    return False


def _tidied(home: Path, wanted: Mapping[str, str]) -> list[str]:
    """Remove what is no longer wanted; return its names.

    Raises:
        DatasetError: there is something that this module did not make.
    """
    for unfinished in home.glob(".*.making"):
        shutil.rmtree(unfinished)
    there = {
        (path.parent.name, path.name)
        for kind in ("Sources", "Mixtures")
        for path in (home / kind).glob("*/*")
        if path.parent.name in SUBSETS and path.is_dir() and not path.name.startswith(".")
    }
    foreign = {path.name for path in home.glob("[!.]*")} - {"README.md", "Sources", "Mixtures"}
    foreign |= {each[1] for each in there if not (_places(home, *each)[1] / MADE).is_file()}
    if foreign:
        raise DatasetError(
            f"{home}: holds what this command did not make ({min(foreign)})",
            do="choose another folder with --out, empty or filled by this command before",
        )
    old = sorted((subset, name) for subset, name in there if wanted.get(name) != subset)
    for subset, name in old:
        _remove(home, subset, name)
    return sorted(name for _, name in old)


def _remove(home: Path, subset: str, name: str) -> None:
    # The folder with the mark goes last, so that what is half removed is still known as made here.
    for path in _places(home, subset, name):
        if path.exists():
            shutil.rmtree(path)


def _write(home: Path, song: Planned, sounds: Mapping[str, np.ndarray]) -> None:
    """Write a song's files beside their place and rename them into it."""
    import soundfile

    work = home / f".{song.name}.making"
    try:
        (work / "mixture").mkdir(parents=True)
        (work / "sources").mkdir()
        for name, sound in sounds.items():
            path = work / ("mixture" if name == "mixture" else "sources") / f"{name}.wav"
            # 24 bit are the upper ones of 32.
            soundfile.write(str(path), sound.T << 8, song.rate, subtype="PCM_24")
        put(work / "sources" / MADE, json.dumps(song.mark()))
        _remove(home, song.subset, song.name)
        mixture, sources = _places(home, song.subset, song.name)
        for place in (sources, mixture):
            place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / "sources", sources)
        os.replace(work / "mixture", mixture)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _writing(home: Path) -> Iterator[None]:
    """Turn what a disk refuses into one error."""
    import soundfile

    try:
        yield
    except (OSError, soundfile.LibsndfileError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise DatasetError(
            f"{getattr(error, 'filename', None) or home}: cannot be used ({what})",
            expected=f"{home} to be a folder that you can write to, with room for the songs",
            do="free some disk space, or choose another folder with --out",
        ) from error


def about(home: Path) -> str:
    """Return what the folder's README says."""
    return f"""# {home.name}: songs of MedleyDB in the layout of DSD100

Made by `unmix data make dsd100-like --from medleydb` (rule {RULE}). It is not DSD100.

Each song has `vocals`, `bass`, `drums` and `other` in `Sources`, summed from its raw tracks, and
their plain sum in `Mixtures`, to the last bit: 24-bit stereo WAV at the rate of the recording.

- Place: constant-power panning. A track's place is drawn from the song's and its own name, at most
  {SPREAD["vocals"]:g} (vocals), {SPREAD["bass"]:g} (bass), {SPREAD["drums"]:g} (drums) and \
{SPREAD["other"]:g} (other) from the middle, where 1 is a channel.
- Level: all sources of a song have the same RMS where they sound, up to {LEVEL_DB:g} dB, drawn from
  its name; the loudest sample lies at {PEAK_DB:g} dBFS. No effect is applied.

## Licence

{LICENCE}
"""
