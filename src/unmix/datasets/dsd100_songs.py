"""What lies in a folder of DSD100's layout, its cuts, and the order of its songs in rounds.

A song is a folder of one name in `Sources/Dev` or `Sources/Test`, with a sound file a source, and
in `Mixtures` with their mixture. The order in which the 100 songs are tested in rounds is stored in
`files/dsd100-rounds.json`; run as a module, this writes the file anew.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from unmix import audio
from unmix.datasets.headers import common_shape
from unmix.errors import AudioError, DatasetError

FILES = Path(__file__).parent / "files"
ROUNDS_FILE = FILES / "dsd100-rounds.json"

SOURCES = ("vocals", "bass", "drums", "other")
SUBSETS = ("Dev", "Test")
NUMBERS = range(1, 101)
"""The numbers before the names of the 100 songs."""

CHANNELS = 2
ENDINGS = (".wav", ".flac")
"""A WAV goes before a FLAC of the same name."""

CLIP_SECONDS = 30.0
"""Length of a clip: that of the windows in which the campaign's own script scores a song."""

SHORTEST = 15.0
"""A last cut shorter than this, in seconds, is joined to the one before it."""

EIGHTH = 8
"""Of so many songs of `Dev`, the first validates in the split `dev-test`."""

MARGIN = 0.1
"""Seconds beyond either end of a cut that the resampling filter hears."""

FULL_SCALE = 1.0 - 2.0**-15
"""The largest sample of 16 bit; a sample of a mixture as large as that is clipped."""

SEED = 100
ROUNDS = 10
"""Rounds that Li et al. speak of, which `files/dsd100-rounds.json` spells out."""


@dataclass(frozen=True)
class Song:
    """One song, without its sound.

    Attributes:
        name: its folder's name, `NNN - ARTIST - TITLE`.
        subset: `Dev` or `Test`.
        paths: the file of each source; each has `samples` samples of two channels at `rate` Hz.
        mixture: the file of the mixture, if there is one.
    """

    name: str
    subset: str
    paths: Mapping[str, Path] = field(repr=False)
    mixture: Path | None
    rate: int
    samples: int

    @property
    def artist(self) -> str:
        """The middle part of the name; of a name of two parts, the first."""
        parts = self.name.split(" - ")
        return parts[0 if len(parts) == 2 else 1] if len(parts) > 1 else ""


def number_of(name: str) -> int | None:
    """Return the number before a song's name; None where there is none."""
    found = re.match(r"(\d+) - ", name)
    return int(found.group(1)) if found else None


def song_folders(home: Path) -> dict[str, list[str]]:
    """Return the subsets in which each song's folder lies (one, if all is well), by name."""
    found: dict[str, list[str]] = {}
    for subset in SUBSETS:
        place = home / "Sources" / subset
        for path in place.iterdir() if place.is_dir() else ():
            if path.is_dir() and not path.name.startswith("."):
                found.setdefault(path.name, []).append(subset)
    return dict(sorted(found.items()))


def read_song(home: Path, name: str, subsets: Sequence[str]) -> Song:
    """Read the headers of a song's files.

    Raises:
        DatasetError: the song lies in both subsets; a source is missing or cannot be read, is not
            in stereo, or differs from the others in length or rate; or all are empty.
    """
    if len(subsets) > 1:
        raise DatasetError(
            f"{home / 'Sources'}: {name} lies in {' and in '.join(subsets)}",
            expected="a song in one of them, so that what trains is never tested",
            do="delete one of the two",
        )
    (subset,) = subsets
    inside = home / "Sources" / subset / name
    found = {source: sound_file(inside, source) for source in SOURCES}
    if lacks := [source for source, path in found.items() if path is None]:
        raise DatasetError(
            f"{inside}: has no {' and no '.join(lacks)}",
            expected=f"{', '.join(f'{source}.wav' for source in SOURCES)} (or .flac)",
            do="copy or unpack the song anew",
        )
    paths = {source: path for source, path in found.items() if path is not None}
    rate, samples = common_shape(list(paths.values()), "sources")
    _check_sound(list(paths.values()), samples)
    mixture = sound_file(home / "Mixtures" / subset / name, "mixture")
    return Song(name, subset, paths, mixture, rate, samples)


def sound_file(inside: Path, stem: str) -> Path | None:
    """Return the WAV or FLAC of that name in a folder, if there is one."""
    paths = (inside / (stem + ending) for ending in ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def _check_sound(paths: Sequence[Path], samples: int) -> None:
    """Refuse files that are not in stereo, or hold nothing."""
    import soundfile

    for path in paths:
        channels = soundfile.info(str(path)).channels
        if channels != CHANNELS:
            raise DatasetError(
                f"{path}: has {channels} channel{'s' if channels != 1 else ''}",
                expected="stereo, as all sources of DSD100 are",
                do="use the dataset's own files, not a mixdown",
            )
    if samples == 0:
        raise DatasetError(f"{paths[0].parent}: its files hold no sound", do="copy the song anew")


def cuts(song: Song, seconds: float = CLIP_SECONDS, shortest: float = SHORTEST) -> list[range]:
    """Return the samples of each clip of a song, at the song's own rate.

    Clips follow each other without a gap; a song shorter than a clip is one.
    """
    clip = round(seconds * song.rate)
    whole, rest = divmod(song.samples, clip)
    count = max(1, whole + (rest >= shortest * song.rate))
    ends = [*(clip * number for number in range(1, count)), song.samples]
    return [range(clip * number, end) for number, end in enumerate(ends)]


def read_cut(song: Song, cut: range, rate: int) -> dict[str, np.ndarray]:
    """Return the sources of a cut at `rate` Hz, each float32 `(2, samples)`.

    No more of a file is read than the cut and what the resampling filter hears around it, so that
    clips put together are the resampled song.

    Raises:
        AudioError: a file cannot be read, is cut short, is not as its header said before, or holds
            NaN or infinity.
    """
    # Samples of both rates fall together every `step` samples of the file's.
    step = song.rate // math.gcd(song.rate, rate)
    margin = math.ceil(MARGIN * song.rate) if rate != song.rate else 0
    start = max(0, cut.start - margin) // step * step
    stop = min(song.samples, cut.stop + margin)
    begin = start // step * (rate // math.gcd(song.rate, rate))
    first, last = (round(place * rate / song.rate) - begin for place in (cut.start, cut.stop))
    found = {}
    for source, path in song.paths.items():
        sound = audio.resample(_read(path, song, start, stop), song.rate, rate)
        found[source] = np.ascontiguousarray(sound[:, first:last])
    return found


def _read(path: Path, song: Song, start: int, stop: int) -> np.ndarray:
    """Return the samples from `start` to `stop` of a file, float32 `(2, samples)`."""
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            shape = (file.samplerate, file.frames, file.channels)
            file.seek(start)
            data = file.read(stop - start, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(error).rsplit(":", 1)[-1].strip().rstrip(".") or "unreadable"
        raise AudioError(
            f"{path}: cannot be read as sound ({reason})",
            do="copy the song anew; the file may be cut short",
        ) from error
    if shape != (song.rate, song.samples, CHANNELS) or len(data) != stop - start:
        raise AudioError(
            f"{path}: has {shape[1]} samples of {shape[2]} channel(s) at {shape[0]} Hz, of which "
            f"{len(data)} of {stop - start} could be read from sample {start} on",
            expected=f"{song.samples} samples of {CHANNELS} channels at {song.rate} Hz",
            do="copy the song anew; the file is cut short, or has changed since it was opened",
        )
    if not np.isfinite(data).all():
        raise AudioError(f"{path}: holds samples that are NaN or infinite", do="copy it anew")
    return np.ascontiguousarray(data.T)


def rest(song: Song) -> float | None:
    """Return by how many dB mixture less sources lies above the mixture; None without a mixture.

    Clipped samples of the mixture are left out; nothing below -200 dB is told apart.

    Raises:
        AudioError: a file cannot be read, is cut short, or is not as its header said before.
    """
    total = np.zeros((CHANNELS, song.samples))
    for path in song.paths.values():
        total += _whole(path, song)
    if song.mixture is None:
        return None
    mixture = _whole(song.mixture, song)
    inside = np.abs(mixture) < FULL_SCALE
    left = np.sum((mixture - total) ** 2, where=inside)
    power = np.sum(mixture**2, where=inside, dtype=np.float64)
    return float(10 * np.log10(max(left / max(power, 1e-20), 1e-20)))


def _whole(path: Path, song: Song) -> np.ndarray:
    sound, _ = audio.read(path, rate=song.rate, channels=CHANNELS, allow_silence=True)
    if sound.shape[1] != song.samples:
        raise AudioError(
            f"{path}: has {sound.shape[1]} samples",
            expected=f"{song.samples}, as the sources of {song.name}",
            do="copy the song anew",
        )
    return sound


def stored_order() -> list[int]:
    """Return the numbers of the 100 songs in the order in which rounds test them."""
    return list(_stored()["order"])


@cache
def _stored() -> dict[str, Any]:
    return json.loads(ROUNDS_FILE.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def shuffled(names: Collection[Any]) -> list[Any]:
    """Return names in an order drawn with `SEED`, which their set alone decides."""
    order = sorted(names)
    random.Random(SEED).shuffle(order)
    return order


def round_parts(order: Sequence[Any], number: int, count: int) -> dict[str, list[Any]]:
    """Return what trains, validates and is tested in one of `count` rounds of cross-validation.

    The song at place i of the order (from 0) is tested in round i mod `count`, so that every song
    is tested once. The first half (at least one) of the songs that the next round tests validates,
    all others train.

    Args:
        order: all songs.
        number: of the round, from 1.
        count: how many rounds there are.
    """
    following = list(order[number % count :: count])
    test = list(order[number - 1 :: count])
    valid = following[: max(1, len(following) // 2)]
    train = [song for song in order if song not in test and song not in valid]
    return {"train": train, "valid": valid, "test": test}


def make_rounds() -> dict[str, Any]:
    """Draw the order of the 100 songs anew, from their numbers alone; see `round_parts`."""
    order = shuffled(NUMBERS)
    rule = (
        f"order: the numbers 1 to 100 shuffled with random.Random({SEED}); of N rounds, round K "
        "tests the songs at the places K-1, K-1+N, K-1+2N, ... of it (from 0), and the first half "
        "of what the next round tests validates; rounds: the ten rounds of ten songs"
    )
    rounds = {
        str(number): round_parts(order, number, ROUNDS)["test"] for number in range(1, ROUNDS + 1)
    }
    return {"dataset": "DSD100", "rule": rule, "seed": SEED, "order": order, "rounds": rounds}


def write_rounds(path: Path = ROUNDS_FILE) -> None:
    """Write `make_rounds()` as JSON, a list a line."""
    found = make_rounds()
    rounds = ",\n".join(f'  "{number}": {songs}' for number, songs in found["rounds"].items())
    head = {key: found[key] for key in ("dataset", "rule", "seed", "order")}
    lines = [f' "{key}": {json.dumps(value)}' for key, value in head.items()]
    text = "{\n" + ",\n".join(lines) + ',\n "rounds": {\n' + rounds + "\n }\n}\n"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_rounds()
