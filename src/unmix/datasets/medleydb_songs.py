"""What MedleyDB's metadata say of a song: which instruments play, and which files hold them.

A multitrack has stems (an instrument each, processed as in the mix, stereo) and, below each stem,
raw tracks (what a microphone or a line gave, mostly mono). Both carry an instrument label of
MedleyDB's taxonomy. `files/medleydb-instruments.json` gives every label a **role**, which is what
the sources of a track are called: `guitar`, `drums`, `bass` and so on. It also says which labels
are left out, and why a label stands where it does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from unmix import audio
from unmix.datasets.headers import common_shape
from unmix.errors import AudioError, DatasetError, one_of
from unmix.files import from_yaml

FILES = Path(__file__).parent / "files"
INDEX_FILE = FILES / "medleydb-index.json"
INSTRUMENTS_FILE = FILES / "medleydb-instruments.json"

LEFT_OUT = "left out"
"""The role of voices, and of microphones before the whole ensemble: no source of a track."""

LAYERS = ("raw", "stems")
GUITARS = ("sum", "first")

ENDINGS = (".wav", ".flac")
"""A WAV goes before a FLAC; the metadata always say WAV."""

CLIP_SECONDS = 20.0
"""Length of a clip (Sec. 3.1)."""

SHORTEST = 10.0
"""Length of the shortest last clip of a song that is kept, in seconds: half a clip.

The paper's 110 clips last 2,180 s, so the last clips of its 12 songs lack 20 s in all. Of random
dozens of the songs that qualify, none lacks so little when rests of a second are kept; one in six
does when only rests of half a clip are."""

BLOCK = 1 << 18
"""Samples that are multiplied at a time, which keeps the float64 copy small."""


@dataclass(frozen=True)
class Part:
    """One file of a song: the role of its instrument, and the stem (such as `S03`) it is of."""

    path: Path
    role: str
    stem: str


@dataclass(frozen=True)
class Song:
    """One multitrack, without its sound.

    Attributes:
        parts: the files in use; all of them have `samples` samples at `rate` Hz.
        bleed: whether the metadata say that instruments are heard in each other's tracks.
    """

    name: str
    artist: str
    bleed: bool
    parts: tuple[Part, ...]
    rate: int
    samples: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.samples / self.rate

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that it has, in the order of `roles()`."""
        there = {part.role for part in self.parts}
        return tuple(role for role in roles() if role in there)


@cache
def index() -> dict[str, dict[str, Any]]:
    """Return what is known of each of the 122 multitracks of version 1, sorted by name.

    `files/medleydb-index.json` says where it comes from: `seconds`, `artist`, `excerpt`, `fault`
    (`bleed`, `errata` or empty), and the sets of labels of its `stems` and `raw` tracks.
    """
    return json.loads(INDEX_FILE.read_text(encoding="utf-8"))["songs"]  # type: ignore[no-any-return]


@cache
def _instruments() -> dict[str, Any]:
    return json.loads(INSTRUMENTS_FILE.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@cache
def roles() -> tuple[str, ...]:
    """Return the roles that a source can have, guitar and drums first."""
    return tuple(_instruments()["roles"])


@cache
def role_of_label() -> dict[str, str]:
    """Return the role of each label of the taxonomy; voices have the role `LEFT_OUT`."""
    found = {label: role for role, group in _instruments()["roles"].items() for label in group}
    return found | dict.fromkeys(_instruments()[LEFT_OUT], LEFT_OUT)


def role_of(label: str, stem_label: str) -> str:
    """Return the role of a track from its own label and that of its stem.

    Its own label decides, unless it names no instrument (`fx/processed sound`). What is left out
    by either label is left out: a voice in a stem of effects, an effect in a stem of voices.

    Raises:
        KeyError: a label is not of the taxonomy.
    """
    own, above = role_of_label()[label], role_of_label()[stem_label]
    if LEFT_OUT in (own, above):
        return LEFT_OUT
    return above if label in _instruments()["vague"] else own


def qualifying() -> list[str]:
    """Return the songs of version 1 with electric guitar and drums, by either kind of label.

    They are 49, as many as Lai and Wang (Sec. 3.1) count.
    """

    def has(song: Mapping[str, Any], role: str) -> bool:
        return any(role_of_label()[label] == role for label in song["stems"] + song["raw"])

    return [name for name, song in index().items() if has(song, "guitar") and has(song, "drums")]


def read_song(folder: Path, metadata: Path, layer: str = "raw", guitars: str = "sum") -> Song:
    """Read a song's metadata and the headers of the files that it needs.

    Args:
        folder: the song's folder, of its name, which holds `NAME_RAW` and `NAME_STEMS`.
        metadata: its `NAME_METADATA.yaml`.
        layer: `raw` tracks or `stems`.
        guitars: `sum` takes all electric guitars; `first` takes those of the first stem with one,
            and leaves the others out of the song altogether.

    Raises:
        DatasetError: the metadata are not there, cannot be read, lack an entry, hold an unknown
            label or name a file that is not there; or the files differ in length or rate.
    """
    name, content = folder.name, _read_yaml(metadata)
    wanted = [
        (stem, role, file)
        for stem, role, file in _tracks(content, metadata, layer)
        if role != LEFT_OUT
    ]
    if guitars == "first":
        with_guitar = [stem for stem, role, _ in wanted if role == "guitar"]
        wanted = [w for w in wanted if w[1] != "guitar" or w[0] == with_guitar[0]]
    if not wanted:
        raise DatasetError(f"{metadata}: names no instrument beside voices ({layer})")
    inside = folder / f"{name}_{layer.upper()}"
    parts = tuple(Part(_find(inside, file, metadata), role, stem) for stem, role, file in wanted)
    rate, samples = common_shape([part.path for part in parts], "tracks")
    artist, bleed = str(content.get("artist") or ""), str(content.get("has_bleed")) == "yes"
    return Song(name, artist, bleed, parts, rate, samples)


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise DatasetError(
            f"{path}: the song's metadata are not there",
            do="copy them from https://github.com/marl/medleydb (medleydb/data/Metadata)",
        )
    try:
        content = from_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, or no date
        where = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        line = f", line {where.line + 1}" if where else ""
        raise DatasetError(
            f"{path}: is not readable YAML ({reason}{line})", do="copy the metadata anew"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("stems"), dict):
        raise DatasetError(
            f"{path}: has no list of stems",
            expected="a mapping with the key `stems`, as MedleyDB's metadata have",
            do="copy the metadata anew",
        )
    return content


def _tracks(
    content: Mapping[str, Any], metadata: Path, layer: str
) -> Iterator[tuple[str, str, str]]:
    """Yield stem, role and file name of each track of a layer."""
    for stem, entry in sorted(content["stems"].items(), key=_key):
        label = _text(entry, "instrument", metadata, str(stem))
        if layer == "stems":
            below: Mapping[str, Any] = {"": entry}
        else:
            below = entry.get("raw") or {}
            if not isinstance(below, dict):
                raise DatasetError(f"{metadata}: {stem} has no mapping of raw tracks")
        for key, track in sorted(below.items(), key=_key):
            where = f"{stem} {key}".strip()
            own = _text(track, "instrument", metadata, where)
            file = _text(track, "filename", metadata, where)
            for each in (label, own):
                if each not in role_of_label():
                    raise DatasetError(
                        f"{metadata}: {one_of('instrument', each, role_of_label())} at {where}",
                        expected="a label of MedleyDB's taxonomy",
                        do="correct the metadata, or copy them anew",
                    )
            yield str(stem), role_of(own, label), file


def _key(item: tuple[object, object]) -> str:
    # YAML reads a key such as `01` as a number.
    return str(item[0])


def _text(entry: object, key: str, metadata: Path, where: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(f"{metadata}: {where} has no {key}", do="copy the metadata anew")
    return value.strip()


def _find(inside: Path, file: str, metadata: Path) -> Path:
    # A name from a file never leads out of the song's folder.
    stem = Path(file.replace("\\", "/")).stem
    for ending in ENDINGS:
        if (path := inside / (stem + ending)).is_file():
            return path
    other = [layer for layer in LAYERS if (inside.parent / _folder(inside, layer)).is_dir()]
    there = f"; there is {_folder(inside, other[0])}" if other and not inside.is_dir() else ""
    raise DatasetError(
        f"{metadata.name} names {stem}, which is not in {inside}{there}",
        expected=" or ".join(stem + ending for ending in ENDINGS),
        do="unpack the song anew",
    )


def _folder(inside: Path, layer: str) -> str:
    return f"{inside.parent.name}_{layer.upper()}"


def cuts(seconds: float, clip: float = CLIP_SECONDS, shortest: float = SHORTEST) -> int:
    """Return how many clips a song of that length gives; a short rest at its end is left out."""
    whole, rest = divmod(seconds, clip)
    return int(whole) + (rest >= shortest)


def decode(song: Song, rate: int) -> dict[str, np.ndarray]:
    """Return the sources of a whole song by role, each float32 `(1, samples)` at `rate` Hz.

    A file of several channels counts as their mean; files of one role are summed.

    Raises:
        AudioError: a file cannot be read, is cut short, or is not as its header said before.
    """
    sums = {role: np.zeros((1, song.samples), np.float32) for role in song.roles}
    for part in song.parts:
        sound, _ = audio.read(part.path, rate=song.rate, allow_silence=True)
        if sound.shape[1] != song.samples:
            raise AudioError(
                f"{part.path}: has {sound.shape[1]} samples",
                expected=f"{song.samples}, as the other tracks of {song.name}",
                do="copy the song anew; the file is cut short, or has changed since it was opened",
            )
        sums[part.role] += sound.mean(axis=0)
    return {role: audio.resample(sound, song.rate, rate) for role, sound in sums.items()}


def mean_products(sources: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """Return the mean over all samples of the product of each ordered pair of sources.

    Args:
        sources: arrays `(1, samples)` of one length.
    """
    together = np.concatenate(list(sources.values()))
    gram = np.zeros((len(together), len(together)))
    for start in range(0, together.shape[1], BLOCK):
        block = together[:, start : start + BLOCK].astype(np.float64)
        gram += block @ block.T
    gram /= together.shape[1]
    names = list(sources)
    return {(a, b): float(gram[i, j]) for i, a in enumerate(names) for j, b in enumerate(names)}
