"""The types that every dataset gives out: clips, their sources, and a dataset's contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

PARTS = ("train", "valid", "test")

ACCOMPANIMENT = "accompaniment"
"""The sum of all sources but the target."""

VOICE = ("voice", ACCOMPANIMENT)
"""The sources where nothing else is said: those of singing voice separation."""


@dataclass(frozen=True)
class Clip:
    """One clip of a dataset, without its sound.

    `song` groups the clips that come from one recording: the unit of statistics and of splits.
    """

    name: str
    song: str
    artist: str = ""


@dataclass(frozen=True)
class Track:
    """The sound of one clip: `sources` maps a name to an array `(channels, samples)`.

    `song_energies` maps each ordered pair of sources to the mean of their product over all samples
    of the whole song that the clip is cut from; it is None where a dataset knows no more than its
    clips. The power of any sum of sources over the song follows from it: the sum over all pairs.
    """

    clip: Clip
    rate: int
    sources: Mapping[str, np.ndarray] = field(repr=False)
    song_energies: Mapping[tuple[str, str], float] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Scene:
    """A clip as it is mixed: what a separator hears, and what it should find.

    `references` maps the target's name, then `ACCOMPANIMENT`, or the names of all targets, to
    arrays `(channels, samples)` that add up to `mixture`, of the same shape.
    """

    clip: Clip
    rate: int
    mixture: np.ndarray = field(repr=False)
    references: Mapping[str, np.ndarray] = field(repr=False)


class Dataset(Protocol):
    """What a run needs of a dataset.

    `fidelity` is `full` (the paper's dataset), `subset` (a part of it) or `stand-in`.
    """

    name: str
    fidelity: str
    source_names: tuple[str, ...]

    def clips(self) -> Sequence[Clip]:
        """Return all clips, in a fixed order."""
        ...

    def split(self, name: str) -> Mapping[str, Sequence[str]]:
        """Return the clip names of each of `PARTS` for the named split.

        Raises:
            DatasetError: there is no such split.
        """
        ...

    def load(self, clip_name: str, rate: int) -> Track:
        """Return the sound of one clip, resampled to `rate` Hz."""
        ...

    def fingerprint(self) -> str:
        """Return a hash over the content of every file (or over what renders it)."""
        ...
