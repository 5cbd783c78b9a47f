"""Solo recordings: any folder of them, one sub-folder an instrument (Uhlich et al., Table 1).

The paper's own database is private: its Table 1 says how many files and hours it holds of nine
instruments, and nothing else. What the method needs is recordings of these *types* of instruments,
so the recordings here are the user's own. What is read is `ROOT/solos/INSTRUMENT/**`, in any format
that libsndfile reads; a folder below the instrument's is taken for the player, so that
`solos/piano/RICHTER/x.flac` was played by RICHTER, and `solos/piano/x.flac` by nobody known.

A clip is a whole recording, in mono (the mean of its channels), at the level at which it was
recorded: the paper stores its files at 48 kHz and resamples them, and so is done here with each
file, whatever its own rate.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from unmix import audio
from unmix.datasets import remote
from unmix.datasets.digests import digests
from unmix.datasets.solos_files import (
    EXPECTED,
    INSTRUMENTS,
    get_it,
    listing,
    mono,
)
from unmix.datasets.track import Clip, Track
from unmix.errors import AudioError, DatasetError, one_of

RATE = 32_000
"""The paper's rate, in Hz; only words depend on it, for clips are loaded at any rate."""

SHORTEST = 7 * 1024 / RATE
"""Length in seconds of the context that a network hears at once: 7 windows of 1,024 samples at
32 kHz. A shorter recording holds no example."""

NEEDED = ("bassoon", "horn", "piano", "trumpet", "violin")
"""The instruments of the two trios."""

HELD_OUT = 0.1
"""Share of an instrument's material that validates, about."""

MOST = 0.25
"""The largest share that is held out without a word."""

ON_REQUEST = "your own: solos/INSTRUMENT/*.flac (or .wav, ...) in the data root"
"""How the recordings are had, in a few words."""


@dataclass(frozen=True)
class Recording:
    """One file: its clip's name, instrument, player (empty if unknown), rate and length."""

    name: str
    instrument: str
    player: str
    path: Path
    rate: int
    seconds: float


class Solos:
    """The recordings of a folder.

    Attributes:
        home: the folder.
        recordings: those in use, by clip name, by instrument and then by name.
        left_out: files shorter than the context, by clip name, with the reason.
        broken: files that cannot be read, by clip name, with the error.
        notes: what was made of the folder, in lines to be read.
    """

    def __init__(self, root: str | os.PathLike) -> None:
        """Find the recordings; reads headers, no sound.

        Args:
            root: the data root, which holds the folder solos.

        Raises:
            DatasetError: the folder is missing, or holds no recording that can be used.
        """
        found = listing(root)
        self.home = found.home
        self.recordings: dict[str, Recording] = {}
        self.left_out: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        for instrument, files in found.files.items():
            for name, path in files.items():
                self._sort(name, instrument, path, found.players[name])
        if not self.recordings:
            reasons = [*self.broken.values(), *self.left_out.values(), *found.notes]
            raise DatasetError(
                f"{self.home}: holds no solo recording that can be used"
                + (f" ({'; '.join(each.rstrip('.') for each in reasons[:2])})" if reasons else ""),
                expected=EXPECTED,
                do=get_it(root),
            )
        self.notes = (*found.notes, *self._rates())
        self._fingerprint: str | None = None

    def _sort(self, name: str, instrument: str, path: Path, player: str) -> None:
        try:
            frames, rate = audio.header(path)
        except AudioError as error:
            self.broken[name] = str(error)
            return
        seconds = frames / rate
        if not frames:
            self.broken[name] = f"{path}: is cut short; a header stands there, and no sound"
        elif seconds < SHORTEST:
            self.left_out[name] = (
                f"{path} lasts {seconds:.3f} s, less than the {SHORTEST:.3f} s of a context "
                f"(7 windows of 1,024 samples at {RATE // 1000} kHz)"
            )
        else:
            self.recordings[name] = Recording(name, instrument, player, path, rate, seconds)

    def _rates(self) -> list[str]:
        """Say which sampling rates there are, where that matters to whoever listens."""
        rates = sorted(Counter(each.rate for each in self.recordings.values()).items())
        lines = []
        if len(rates) > 1:
            counts = ", ".join(f"{rate} Hz ({count} files)" for rate, count in rates)
            lines.append(f"Sampling rates differ: {counts}. Each file is resampled by itself.")
        if dull := sum(count for rate, count in rates if rate < RATE):
            lines.append(
                f"{dull} files are sampled below the paper's {RATE} Hz: above half of their own "
                "rate, nothing is heard in them."
            )
        return lines

    def of(self, instrument: str) -> list[Recording]:
        """Return the recordings of one instrument, sorted by name."""
        return [each for each in self.recordings.values() if each.instrument == instrument]

    def missing(self, instruments: Iterable[str]) -> list[str]:
        """Return which of the instruments have no recording."""
        there = {each.instrument for each in self.recordings.values()}
        return [each for each in instruments if each not in there]

    def clips(self) -> list[Clip]:
        """Return a clip a recording, by instrument and then by name."""
        return [Clip(each.name, each.name, each.player) for each in self.recordings.values()]

    def parts(self, instruments: Iterable[str]) -> dict[str, list[str]]:
        """Return the clip names of the parts `train` and `valid`, see `held_out`.

        Raises:
            DatasetError: an instrument has no recording, or one that cannot be read.
        """
        wanted = tuple(instruments)
        for name, error in self.broken.items():
            if name.split("/")[0] in wanted:
                raise DatasetError(
                    error,
                    do=f"repair it or take it out of {self.home}; `unmix data verify solos` names "
                    "all such files",
                )
        if missing := self.missing(wanted):
            why = [
                text
                for name, text in (self.left_out | self.broken).items()
                if name.split("/")[0] in missing
            ]
            raise DatasetError(
                f"{self.home}: no solo recording of {' and '.join(missing)}"
                + (f" that can be used ({why[0].rstrip('.')})" if why else ""),
                expected=f"recordings of {', '.join(wanted)}",
                do=f"put some into {self.home / missing[0]}; `unmix data verify solos` says what "
                "is there",
            )
        valid = {name for each in wanted for name in held_out(self.of(each))}
        names = [each.name for instrument in wanted for each in self.of(instrument)]
        return {
            "train": [name for name in names if name not in valid],
            "valid": [name for name in names if name in valid],
        }

    def load(self, clip_name: str, rate: int) -> Track:
        """Return a whole recording, float32 `(1, samples)` at `rate` Hz, under its instrument.

        Raises:
            DatasetError: there is no such clip.
            AudioError: the file cannot be read, is cut short, or is silent throughout.
        """
        if clip_name not in self.recordings:
            why = (self.left_out | self.broken).get(clip_name)
            raise DatasetError(
                f"{clip_name}: is left out ({why})"
                if why
                else one_of("clip", clip_name, self.recordings),
                expected=f"one of the {len(self.recordings)} recordings in {self.home}",
            )
        each = self.recordings[clip_name]
        clip = Clip(each.name, each.name, each.player)
        return Track(clip, rate, {each.instrument: mono(each.path, rate)})

    def material(self) -> dict[str, list[float]]:
        """Return the length of each recording in seconds, for all nine instruments of Table 1."""
        return {name: [each.seconds for each in self.of(name)] for name in INSTRUMENTS}

    def fingerprint(self) -> str:
        """Return a SHA-256 over the name and content of every recording, computed once.

        Digests of files are kept in the cache, see `digests`.
        """
        if self._fingerprint is None:
            whole = hashlib.sha256()
            of_file = digests("solos", (each.path for each in self.recordings.values()))
            for each in self.recordings.values():
                whole.update(f"{each.name}\0{each.player}\0{of_file[each.path]}\n".encode())
            self._fingerprint = whole.hexdigest()
        return self._fingerprint


def held_out(recordings: Sequence[Recording], seed: int = 0) -> list[str]:
    """Return the names of one instrument's recordings that validate, about a tenth of its material.

    The rule: shuffle the players (a recording whose player is unknown counts as one of its own)
    with a seed, and take each that still fits into a tenth of the seconds; where none fits, take
    the one who plays least (with two players, up to a half). Where one player has recorded
    everything, recordings are taken in the same way. An instrument with one recording has none to
    validate.
    """
    if len(recordings) < 2:
        return []
    by_player: dict[str, list[Recording]] = {}
    for each in recordings:
        by_player.setdefault(each.player or each.name, []).append(each)
    units = list(by_player.values())
    if len(units) < 2:
        units = [[each] for each in recordings]
    return sorted(each.name for each in _about_a_tenth(units, seed))


def _about_a_tenth(units: Sequence[list[Recording]], seed: int) -> list[Recording]:
    order = list(units)
    random.Random(f"{seed} {order[0][0].instrument}").shuffle(order)
    room = HELD_OUT * sum(map(_seconds, order))
    taken: list[Recording] = []
    for unit in order:
        if _seconds(taken) + _seconds(unit) <= room:
            taken += unit
    return taken or min(order, key=_seconds)


def _seconds(recordings: Iterable[Recording]) -> float:
    return sum(each.seconds for each in recordings)


def here(root: str | os.PathLike) -> bool:
    """Return whether there is any solo recording in a data root."""
    with suppress(DatasetError):
        return any(listing(root).files.values())
    return False


@dataclass(frozen=True)
class SolosReport(remote.Report):
    """A report with the material that was found, see `Solos.material`."""

    material: dict[str, list[float]] = field(kw_only=True)

    def lines(self, most: int = 10) -> list[str]:
        """Return the report as text, with at most `most` entries of each kind."""
        first = f"{self.title}: {self.fine} of {self.expected} recordings can be used."
        return [first, *super().lines(most)[1:]]


def verify(root: str | os.PathLike) -> SolosReport:
    """Decode every recording, and say what there is and what is wrong.

    There is no index to hold the recordings against, for they are the user's own. A recording that
    is too short is left out and named; a file that cannot be read, is cut short or is silent
    is an error. Of the nine instruments, those that the two trios need must be there.

    Raises:
        DatasetError: the folder is missing, or holds no recording that can be used.
    """
    solos = Solos(root)
    wrong = dict(solos.broken)
    for each in solos.recordings.values():
        try:
            mono(each.path, each.rate)
        except AudioError as error:
            wrong[each.name] = str(error)
    missing = solos.missing(NEEDED)
    notes = [*solos.notes, *(f"Left out: {why}." for why in solos.left_out.values())]
    notes += _of_players(solos)
    if spare := [each for each in solos.missing(INSTRUMENTS) if each not in NEEDED]:
        notes.append(f"No recording of {', '.join(spare)}, which neither trio has.")
    if missing or wrong:
        notes.append(f"What to do: {get_it(root)}.")
    expected = len(solos.recordings) + len(solos.broken)
    return SolosReport(
        str(solos.home),
        expected,
        expected - len(wrong),
        [f"{each} (no recording)" for each in missing],
        list(wrong.values()),
        notes=notes,
        material=solos.material(),
    )


def _of_players(solos: Solos) -> list[str]:
    """Say of which instruments something else validates than a tenth by other players."""
    single, much, shared, nobody = [], [], [], []
    for instrument in INSTRUMENTS:
        recordings = solos.of(instrument)
        names = set(held_out(recordings))
        valid = [each for each in recordings if each.name in names]
        train = [each for each in recordings if each.name not in names]
        if _seconds(valid) > MOST * _seconds(recordings):
            much.append(f"{instrument} ({_seconds(valid) / _seconds(recordings):.0%})")
        if recordings and not valid:
            single.append(instrument)
        elif {each.player for each in valid} & {each.player for each in train} - {""}:
            shared.append(instrument)
        elif not all(each.player for each in recordings):
            nobody.append(instrument)
    return [
        f"{text}: {', '.join(which)}."
        for text, which in (
            ("One recording, so none for the validation", single),
            ("Few players or recordings, so that much of the material validates", much),
            ("Validated with other recordings, but not with other players", shared),
            ("Players are not all known (no sub-folder names them)", nobody),
        )
        if which
    ]


def fetch(root: str | os.PathLike) -> NoReturn:
    """Say why there is nothing to fetch.

    Raises:
        DatasetError: always.
    """
    raise DatasetError(
        "the solo recordings cannot be fetched: the paper's database is private", do=get_it(root)
    )
