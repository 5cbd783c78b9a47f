"""Reader of SoundFont files, which hold the recorded tones of instruments.

It exists because symusic 0.5.8, which would render whole scores, does not do what the stand-ins
need with the SoundFont that `pretty_midi` ships: it does not keep root keys and tunings (the
piano is up to four semitones off, differently from zone to zone), decay, release, velocity or
pitch bend.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unmix.errors import DatasetError

FONT_NAME = "TimGM6mb.sf2"

# Numbers of the SoundFont generators that this player obeys (SoundFont 2.04, section 8.1.2).
_ADDRESSES = {"start": (0, 4), "end": (1, 12), "loop_start": (2, 45), "loop_end": (3, 50)}
_ENVELOPE_TO_CUTOFF, _CUTOFF = 11, 8
_ATTACK, _HOLD, _DECAY, _SUSTAIN, _RELEASE = 34, 35, 36, 37, 38
_INSTRUMENT, _KEYS, _VELOCITIES, _ATTENUATION = 41, 43, 44, 48
_COARSE, _FINE, _SAMPLE, _MODES, _SCALE, _ROOT = 51, 52, 53, 54, 56, 58
_DEFAULTS = {_CUTOFF: 13500, _SCALE: 100, _ROOT: -1} | dict.fromkeys(
    (_ATTACK, _HOLD, _DECAY, _RELEASE), -12000
)
_WHOLE = 127 << 8

_RECORDS = {
    b"phdr": [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("_", "V12")],
    b"inst": [("name", "S20"), ("bag", "<u2")],
    b"pbag": [("gen", "<u2"), ("mod", "<u2")],
    b"ibag": [("gen", "<u2"), ("mod", "<u2")],
    b"pgen": [("kind", "<u2"), ("amount", "<i2")],
    b"igen": [("kind", "<u2"), ("amount", "<i2")],
    b"shdr": [
        ("name", "S20"),
        ("start", "<u4"),
        ("end", "<u4"),
        ("loop_start", "<u4"),
        ("loop_end", "<u4"),
        ("rate", "<u4"),
        ("root", "u1"),
        ("correction", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ],
}


@dataclass(frozen=True)
class Zone:
    """A recording in the SoundFont as one program plays it over a range of keys and velocities.

    Positions are sample numbers in the file, `tune` is in semitones on top of the recorded pitch,
    times are in seconds, `gain` and `sustain` are factors, `cutoff` is in Hz.
    """

    keys: tuple[int, int]
    velocities: tuple[int, int]
    start: int
    end: int
    loop: tuple[int, int] | None
    rate: int
    root: float
    scale: float
    gain: float
    attack: float
    hold: float
    decay: float
    sustain: float
    release: float
    cutoff: float

    def plays(self, key: int, velocity: int) -> bool:
        """Return whether this zone sounds at a key and velocity."""
        low, high = self.keys
        soft, loud = self.velocities
        return low <= key <= high and soft <= velocity <= loud


class SoundFont:
    """The programs of one SoundFont file, played tone by tone."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path`.

        Raises:
            DatasetError: it is missing or is not a SoundFont.
        """
        try:
            content = path.read_bytes()
            chunks = dict(_chunks(content))
            self.samples = np.frombuffer(chunks[b"smpl"], "<i2").astype(np.float32) / 32768
            tables = {name: np.frombuffer(chunks[name], kind) for name, kind in _RECORDS.items()}
        except (OSError, KeyError, ValueError, IndexError) as error:
            raise DatasetError(
                f"{path}: cannot be read as a SoundFont ({error!r})",
                expected="the SoundFont file that pretty_midi ships",
                do="install pretty_midi anew: pip install --force-reinstall pretty_midi",
            ) from error
        self.digest = hashlib.sha256(content).hexdigest()
        self._tables = tables
        self._programs: dict[tuple[int, int], list[Zone]] = {}

    def zones(self, program: int, *, drums: bool = False) -> list[Zone]:
        """Return the zones of a General MIDI program (0 to 127; 0 is the standard drum kit).

        Raises:
            DatasetError: the SoundFont has no such program.
        """
        bank = 128 if drums else 0
        if (bank, program) not in self._programs:
            table = self._tables[b"phdr"]
            found = np.flatnonzero((table["program"] == program) & (table["bank"] == bank))
            if len(found) == 0:
                raise DatasetError(f"the SoundFont has no program {program} in bank {bank}")
            self._programs[bank, program] = self._resolve(int(found[0]))
        return self._programs[bank, program]

    def _resolve(self, preset: int) -> list[Zone]:
        zones = []
        for outer in _bags(self._tables, "p", b"phdr", preset, _INSTRUMENT):
            for inner in _bags(self._tables, "i", b"inst", outer[_INSTRUMENT], _SAMPLE):
                zones.append(self._zone(outer, inner))
        return [zone for zone in zones if zone.end > zone.start]

    def _zone(self, outer: dict[int, int], inner: dict[int, int]) -> Zone:
        sample = self._tables[b"shdr"][inner[_SAMPLE]]

        def value(kind: int) -> int:
            return inner.get(kind, _DEFAULTS.get(kind, 0)) + outer.get(kind, 0)

        def seconds(kind: int) -> float:
            return float(2.0 ** (value(kind) / 1200))

        position = {
            name: int(sample[name]) + inner.get(fine, 0) + 32768 * inner.get(coarse, 0)
            for name, (fine, coarse) in _ADDRESSES.items()
        }
        looped = value(_MODES) & 1 and position["loop_end"] > position["loop_start"] + 1
        root = inner.get(_ROOT, -1)
        tune = value(_COARSE) + (value(_FINE) + int(sample["correction"])) / 100
        return Zone(
            keys=_common(inner.get(_KEYS, _WHOLE), outer.get(_KEYS, _WHOLE)),
            velocities=_common(inner.get(_VELOCITIES, _WHOLE), outer.get(_VELOCITIES, _WHOLE)),
            start=position["start"],
            end=position["end"],
            loop=(position["loop_start"], position["loop_end"]) if looped else None,
            rate=int(sample["rate"]),
            root=(root if root >= 0 else int(sample["root"])) - tune,
            scale=value(_SCALE) / 100,
            # The factor 0.4 is what the E-mu hardware made of this unit, and all fonts count on.
            gain=10.0 ** (-0.4 * max(0, value(_ATTENUATION)) / 200),
            attack=seconds(_ATTACK),
            hold=seconds(_HOLD),
            decay=seconds(_DECAY),
            sustain=10.0 ** (-min(1000, max(0, value(_SUSTAIN))) / 200),
            release=seconds(_RELEASE),
            # The filter's own envelope is not followed: its peak is taken throughout.
            cutoff=8.176 * 2.0 ** ((value(_CUTOFF) + max(0, value(_ENVELOPE_TO_CUTOFF))) / 1200),
        )


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and body of the chunks in a RIFF file, those in lists included."""
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
        raise ValueError("no RIFF file of type sfbk")
    place = 12
    while place + 8 <= len(content):
        name, size = content[place : place + 4], content[place + 4 : place + 8]
        if name == b"LIST":
            place += 12
            continue
        length = int.from_bytes(size, "little")
        yield name, content[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _bags(tables: dict, level: str, owner: bytes, number: int, leaf: int) -> list[dict[int, int]]:
    """Return the generators of each zone of a preset or instrument, global ones filled in."""
    bags, generators = tables[f"{level}bag".encode()], tables[f"{level}gen".encode()]
    first, last = tables[owner]["bag"][number], tables[owner]["bag"][number + 1]
    common: dict[int, int] = {}
    zones = []
    for bag in range(first, last):
        part = generators[bags["gen"][bag] : bags["gen"][bag + 1]]
        found = dict(zip(part["kind"].tolist(), part["amount"].tolist(), strict=True))
        if leaf in found:
            zones.append({**common, **found})
        elif bag == first:
            common = found
    return zones


def _common(one: int, other: int) -> tuple[int, int]:
    """Return what two ranges, each stored as low and high byte of a word, have in common."""
    return max(one & 255, other & 255), min((one >> 8) & 255, (other >> 8) & 255)


@functools.lru_cache(maxsize=1)
def general_midi() -> SoundFont:
    """Return the SoundFont that `pretty_midi` ships, read once a process.

    Raises:
        DatasetError: pretty_midi is not installed, or came without its SoundFont.
    """
    # Looked up, not imported: pretty_midi itself is not needed and takes a second.
    found = importlib.util.find_spec("pretty_midi")
    path = Path(found.origin).parent / FONT_NAME if found and found.origin else None
    if path is None or not path.is_file():
        raise DatasetError(
            f"the SoundFont {FONT_NAME} was not found",
            expected="pretty_midi, which ships it",
            do="pip install pretty_midi",
        )
    return SoundFont(path)
