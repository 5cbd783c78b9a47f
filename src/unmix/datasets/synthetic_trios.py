"""The embedded stand-in for TRIOS and a database of solo performances, made on the spot.

Nine instruments play alone, each by several players; two trios play pieces, by players and from
sheets that training never hears. Programs of a SoundFont play, and every further SoundFont that
`UNMIX_SOUNDFONTS` names brings as many training players of each instrument it has. There is most of
piano and violin and least of the trumpet, as in the paper's database. Evidence from it says that a
method runs and which way a trend points, no more.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unmix import audio
from unmix.datasets import arranging, composing, rendering, soloing, soloists, soundfont
from unmix.datasets.soloing import Sheet
from unmix.datasets.soloists import INSTRUMENTS, RATE, SEED, Player, draw_player, has, play
from unmix.datasets.soundfont import SoundFont, general_midi
from unmix.datasets.standin import StandIn, drawing
from unmix.datasets.track import Clip, Track
from unmix.errors import DatasetError

TRIOS = {"brahms": ("horn", "piano", "violin"), "lussier": ("bassoon", "piano", "trumpet")}
"""The splits, and who plays in their pieces."""

SHORT = 6.0
"""Seconds of every clip where fewer than `FEW` training recordings a split are asked for."""
FEW = 12

VARIABLE = "UNMIX_SOUNDFONTS"
"""The environment variable with paths of further SoundFonts, separated as in PATH."""

PIECES = 8
"""Pieces that a trio plays."""

_RUMBLE = 25.0
_SPREAD = 2.0
"""A member of a trio is at most so many dB louder or softer than all should be."""

_VALID = (14.0, 14.0)
"""Seconds of each validation recording of an instrument; one player plays them."""


@dataclass(frozen=True)
class Performance:
    """A recording or piece, on paper: who plays what of `sheet`, and how loud in the mixture.

    `name` tells a clip that is cut short from the whole one, `clip` does not.
    """

    name: str
    clip: str
    part: str
    players: tuple[Player, ...]
    sheet: Sheet = field(hash=False, repr=False)
    levels: tuple[float, ...]
    seed: tuple[int, int]


class SyntheticTrios(StandIn[Performance]):
    """Stand-in for TRIOS and solo recordings; splits as in `TRIOS`.

    Of a split's training recordings, `counts["train"]` are taken in turn: the first of each of the
    trio's instruments, then the second of each, until there are no more; one of each at least. So
    are the validation recordings. `counts["test"]` takes that many of its pieces. `clips` holds
    the recordings of the other instruments too, as many.
    """

    name = "synthetic-trios"
    source_names: tuple[str, ...] = tuple(INSTRUMENTS)
    splits = tuple(TRIOS)
    rate = RATE
    renderers = (
        arranging,
        composing,
        rendering,
        soloing,
        soloists,
        soundfont,
        sys.modules[__name__],
    )

    def __init__(
        self,
        counts: Mapping[str, int] | None = None,
        cache: Path | None = None,
        fonts: Sequence[str | os.PathLike] | None = None,
    ) -> None:
        """See `StandIn`; `fonts` are further SoundFonts (None: those that `VARIABLE` names).

        Raises:
            DatasetError: a count is wrong, or a SoundFont is missing, damaged or of no use here.
        """
        if fonts is None:
            fonts = [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
        self.fonts = tuple(_further(Path(path).expanduser()) for path in fonts)
        super().__init__(counts, cache)

    def dealt(self, part: str) -> dict[str, list[tuple[Clip, Performance]]]:
        """Return the clips of a part by split, those of no split under an empty name."""
        order = self._order(part)
        others = set(INSTRUMENTS).difference(*TRIOS.values())
        found = {}
        for split, names in {**TRIOS, "": others}.items():
            wanted = [n for n, (who, _) in enumerate(order) if who in (split, *names)]
            count = self.counts[part]
            if part != "test" and count > 0:
                count = max(count, len(names))
            performances = [self.write(part, number) for number in wanted[:count]]
            found[split] = [(self.cut(each)[0], each) for each in performances]
        return found

    def material(self) -> dict[str, list[float]]:
        """Return the length of each training recording in seconds, by instrument."""
        lengths: dict[str, list[float]] = {name: [] for name in INSTRUMENTS}
        for _, song in self._clips.values():
            if song.part == "train":
                lengths[song.players[0].instrument].append(song.sheet.seconds)
        return lengths

    def _order(self, part: str) -> list[tuple[str, int]]:
        """Return whose turn it is, an instrument's or in test a trio's, and which of its turns."""
        if part == "test":
            return [(trio, number) for number in range(PIECES) for trio in TRIOS]
        lengths = {
            name: len(_VALID) if part == "valid" else len(each.train) * len(self._able(name))
            for name, each in INSTRUMENTS.items()
        }
        turns = range(max(lengths.values()))
        return [(name, turn) for turn in turns for name in lengths if turn < lengths[name]]

    def write(self, part: str, number: int) -> Performance:
        """Return the `number`-th recording or piece (from 0) of a part."""
        short = self.counts["train"] < FEW
        who, turn = self._order(part)[number]
        if part == "test":
            return write_piece(who, turn, short)
        able = self._able(who) if part == "train" else [0]
        return write_solo(part, who, turn, able[turn % len(able)], short)

    def _able(self, name: str) -> list[int]:
        """Return the places of the SoundFonts that have an instrument, which train in turns."""
        return [0, *(at for at, font in enumerate(self.fonts, start=1) if has(font, name))]

    def cut(self, song: Performance) -> list[Clip]:
        """Return the one clip of a performance."""
        artist = song.players[0].name if len(song.players) == 1 else ""
        return [Clip(song.clip, song.clip, artist)]

    def render(self, song: Performance) -> dict[str, np.ndarray]:
        """See the function `render`."""
        return {song.name: render(song, (general_midi(), *self.fonts))}

    def load(self, clip_name: str, rate: int) -> Track:
        """Return one clip at `rate` Hz, each source of shape `(1, samples)`; see `StandIn`."""
        clip, song = self.found(clip_name)
        sound = audio.resample(self.kept(song, song.name, len(song.players)), RATE, rate)
        return Track(
            clip, rate, {who.instrument: sound[[row]] for row, who in enumerate(song.players)}
        )

    def recipe(self) -> str:
        """Return a hash over what decides the samples, further SoundFonts included."""
        state = " ".join([super().recipe(), *(font.digest for font in self.fonts)])
        return hashlib.sha256(state.encode()).hexdigest()


# Further SoundFonts.


def _further(path: Path) -> SoundFont:
    """Return a SoundFont that a user names."""
    do = f"correct {VARIABLE}: paths of .sf2 files, with '{os.pathsep}' between them"
    try:
        state = path.stat()
        font = _opened(path, state.st_mtime_ns, state.st_size)
        playable = [name for name in INSTRUMENTS if has(font, name)]
    except (OSError, DatasetError, LookupError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else "no SoundFont, or a damaged one"
        raise DatasetError(
            f"{path}: cannot be read as a SoundFont ({told})", expected="a file .sf2", do=do
        ) from error
    if not playable:
        raise DatasetError(
            f"{path}: a SoundFont without any of the instruments",
            expected=f"General MIDI programs in bank 0 for some of {', '.join(INSTRUMENTS)}",
            do=do,
        )
    return font


@functools.lru_cache(maxsize=8)
def _opened(path: Path, changed: int, size: int) -> SoundFont:
    return SoundFont(path)


# On paper.


@functools.lru_cache(maxsize=256)
def write_solo(part: str, name: str, turn: int, font: int, short: bool) -> Performance:
    """Return an instrument's recording number `turn`, played from SoundFont number `font`."""
    instrument = INSTRUMENTS[name]
    number = 1000 * tuple(INSTRUMENTS).index(name) + turn
    player = draw_player(part, name, 0 if part == "valid" else turn, font)
    lengths = _VALID if part == "valid" else instrument.train
    seconds = lengths[turn % len(lengths)]
    sheet = soloing.solo(
        drawing(SEED, part, number, 0),
        part,
        name,
        instrument.voice,
        seconds,
        min(seconds, SHORT) if short else seconds,
    )
    return Performance(
        f"{name}-{part}{turn + 1}{'-short' if short else ''}",
        f"{name}/{part}{turn + 1}",
        part,
        (player,),
        sheet,
        (1.0,),
        (number, 2),
    )


@functools.lru_cache(maxsize=32)
def write_piece(trio: str, turn: int, short: bool) -> Performance:
    """Return a trio's piece number `turn`, by players who play nothing else."""
    names, number = TRIOS[trio], 10 * tuple(TRIOS).index(trio) + turn
    rng = drawing(SEED, "test", number, 0)
    seconds = float(rng.uniform(20, 32))
    voices = {name: INSTRUMENTS[name].voice for name in names}
    sheet = soloing.together(rng, voices, seconds, SHORT if short else seconds)
    levels = tuple(float(10 ** (rng.uniform(-_SPREAD, _SPREAD) / 20)) for _ in names)
    players = tuple(draw_player("test", name, number, 0) for name in names)
    name = f"{trio}_{turn}"
    return Performance(
        f"{name}{'-short' if short else ''}", name, "test", players, sheet, levels, (number, 2)
    )


# In sound.


def render(performance: Performance, fonts: Sequence[SoundFont]) -> np.ndarray:
    """Return what is heard, float32 `(players, samples)` at `RATE`, in the order of the players."""
    rng, sheet = drawing(SEED, performance.part, *performance.seed), performance.sheet
    sounds = []
    for player, level in zip(performance.players, performance.levels, strict=True):
        notes = sheet.notes[player.instrument]
        sound = play(fonts[player.font], player, notes, sheet.seconds, rng)
        sound = rendering.room(sound, RATE, player.reverberation, player.wet, rng)
        sounds.append(audio.at_level(rendering.highpass(sound, _RUMBLE, RATE), 0.1 * level))
    whole = rendering.unclipped(np.stack(sounds))
    return whole * np.float32(performance.players[0].level if len(sounds) == 1 else 1.0)
