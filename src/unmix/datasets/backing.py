"""Which songs of MIR-1K are sung over the same backing track.

MIR-1K was recorded by amateurs who sang to karaoke tracks of their choice, so that two singers
may have sung over the very same recording. A split by song or even by singer then trains and
tests on one accompaniment. The groups are found from the sound: a shared recording shows as one
sharp peak in the whitened cross-correlation (phase transform: every frequency counts the same,
whatever its level; Knapp and Carter, 1976) of two accompaniments, at any offset and level.

**Score of two songs**: the largest magnitude of their circular whitened cross-correlation, over
its standard deviation. Each song is the concatenation of its clips' accompaniments at `RATE`;
frequencies outside `BAND` are left out, because below it hum and offset, and above it the slope
of the resampler, are common to unrelated songs. Two songs are grouped from a score of `THRESHOLD`
on, and groups are closed under "shares with".

On MIR-1K the scores leave no doubt: 20 pairs lie above 110, the pair heycat_4 and titon_1 at 29
(its peak lies at one and the same offset all along both songs), all others below 12.1.

What this cannot find: the same arrangement played anew, or transposed, or at another tempo.

`python -m unmix.datasets.backing DATA_ROOT` writes the stored file anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from unmix.datasets.mir1k import BACKING_FILE, Mir1k
from unmix.datasets.track import Dataset

RATE = 4000
"""Sampling rate in Hz of the comparison."""

BAND = (100.0, 1800.0)
"""Frequencies in Hz that are compared."""

THRESHOLD = 20.0
"""Score from which on two songs share a backing track."""


@dataclass(frozen=True)
class Backing:
    """Groups of songs over one backing track, with what they rest on.

    `pairs` holds `(score, song, song)` of all pairs from `THRESHOLD` on, highest first;
    `next_highest` is the pair with the highest score below it, None where there is no such pair.
    """

    groups: tuple[tuple[str, ...], ...]
    pairs: tuple[tuple[float, str, str], ...]
    next_highest: tuple[float, str, str] | None
    songs: int


def accompaniments(dataset: Dataset, songs: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Return the accompaniment of each song: its clips one after the other, `(samples,)`, `RATE`.

    Args:
        dataset: one with a source `accompaniment`; channels are averaged.
        songs: the songs wanted; None takes all.
    """
    wanted = None if songs is None else set(songs)
    parts: dict[str, list[np.ndarray]] = {}
    for clip in dataset.clips():
        if wanted is None or clip.song in wanted:
            sound = dataset.load(clip.name, RATE).sources["accompaniment"]
            parts.setdefault(clip.song, []).append(sound.mean(axis=0))
    return {song: np.concatenate(clips) for song, clips in parts.items()}


def scores(sounds: Mapping[str, np.ndarray]) -> list[tuple[float, str, str]]:
    """Return `(score, song, song)` of every pair of songs, highest first.

    Args:
        sounds: maps a song to its accompaniment `(samples,)` at `RATE`.
    """
    from scipy.fft import irfft, next_fast_len

    length = next_fast_len(max(len(sound) for sound in sounds.values()), real=True)
    white = {song: _whitened(sound, length) for song, sound in sounds.items()}
    found = []
    for a, b in combinations(sorted(white), 2):
        correlation = irfft(white[a] * white[b].conj(), length)
        found.append((float(np.abs(correlation).max() / correlation.std()), a, b))
    return sorted(found, reverse=True)


def _whitened(sound: np.ndarray, length: int) -> np.ndarray:
    """Return the spectrum `(length // 2 + 1,)` with magnitude 1 inside `BAND` and 0 outside."""
    from scipy.fft import rfft

    spectrum = rfft(sound.astype(np.float32), length)
    magnitude = np.abs(spectrum)
    frequency = np.arange(len(spectrum)) * (RATE / length)
    inside = (frequency >= BAND[0]) & (frequency <= BAND[1])
    # The floor keeps bins that hold nothing (a song far shorter than the longest) from exploding.
    return np.where(inside, spectrum / np.maximum(magnitude, 1e-9 * magnitude.max()), 0.0)


def find_groups(dataset: Dataset, songs: Iterable[str] | None = None) -> Backing:
    """Compare every pair of songs and return the groups that share a backing track.

    For all of MIR-1K this takes about half a minute on one core and half a gigabyte of memory.

    Args:
        dataset: one with a source `accompaniment`.
        songs: the songs to compare; None takes all.

    Raises:
        AudioError: a clip cannot be read.
    """
    sounds = accompaniments(dataset, songs)
    ranked = scores(sounds) if len(sounds) > 1 else []
    pairs = tuple((round(score, 1), a, b) for score, a, b in ranked if score >= THRESHOLD)
    below = [(round(score, 1), a, b) for score, a, b in ranked if score < THRESHOLD]
    groups = closed((a, b) for _, a, b in pairs)
    return Backing(groups, pairs, below[0] if below else None, len(sounds))


def closed(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Return the sorted groups that `pairs` connect, directly or through others."""
    group_of: dict[str, set[str]] = {}
    for a, b in pairs:
        joined = group_of.get(a, {a}) | group_of.get(b, {b})
        for song in joined:
            group_of[song] = joined
    return tuple(sorted({tuple(sorted(group)) for group in group_of.values()}))


def write(backing: Backing, path: Path = BACKING_FILE) -> None:
    """Write the groups, their scores and the definition of the score as JSON, one a line."""
    head = {
        "what": "songs of MIR-1K that are sung over the same backing track",
        "score": "max |c| / std(c) of the circular whitened (phase transform) cross-correlation c "
        "of two songs' accompaniments, their clips concatenated",
        "rate_hz": RATE,
        "band_hz": BAND,
        "threshold": THRESHOLD,
        "songs_compared": backing.songs,
        "next_highest": backing.next_highest,
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, rows in (("groups", backing.groups), ("pairs", backing.pairs)):
        lines.append(f'"{key}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write(find_groups(Mir1k(sys.argv[1])))
    print(f"wrote {BACKING_FILE}; now write the splits anew: python -m unmix.datasets.mir1k")
