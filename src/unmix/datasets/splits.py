"""Splits of a dataset's songs into parts, and the rules that a split can be held to.

A split is made of songs, never of clips, so that no recording stands in two parts. Songs can
have more in common than a recording: the singer, or the backing track that they are sung over.
The functions here keep such groups together, keep them apart, or leak them on purpose.

All of them are repeatable: they sort what they are given and draw from `random.Random(seed)`,
whose `shuffle`, `sample` and `choice` are stable across the versions of Python in use. Drawn
splits are nevertheless stored, because a list can be read and a seed cannot.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unmix.datasets.track import PARTS
from unmix.errors import DatasetError, one_of

Split = dict[str, list[str]]
"""Maps each of `PARTS` to sorted names (of songs, or of clips)."""


def read_splits(path: Path) -> dict[str, dict[str, Any]]:
    """Return the stored splits: a name maps to its rule, and to `songs` or `clips` of each part."""
    return json.loads(path.read_text(encoding="utf-8"))["splits"]


def stored_split(splits: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the entry of one stored split.

    Raises:
        DatasetError: there is no such split.
    """
    if name not in splits:
        raise DatasetError(one_of("split", name, splits), expected=f"one of {', '.join(splits)}")
    return splits[name]


def in_two_parts(split: Mapping[str, Iterable[str]], group_of: Mapping[str, str]) -> list[str]:
    """Return the groups (songs, singers, backing tracks) that stand in more than one part.

    `group_of` maps the split's names to groups; names that it does not hold are in none.
    """
    parts: dict[str, set[str]] = {}
    for part, names in split.items():
        for name in names:
            if name in group_of:
                parts.setdefault(group_of[name], set()).add(part)
    return sorted(group for group, found in parts.items() if len(found) > 1)


def grouped(songs: Collection[str], groups: Iterable[Collection[str]]) -> list[list[str]]:
    """Return `songs` as units that must stay together: the groups, and every other song alone."""
    units = [sorted(group) for group in groups]
    together = {song for unit in units for song in unit}
    return sorted(units + [[song] for song in songs if song not in together])


def deal(units: Sequence[Sequence[str]], sizes: Mapping[str, int], seed: int) -> Split | None:
    """Shuffle the units and deal each to the first part that still has room for all of it.

    Args:
        units: songs that must stay together.
        sizes: the number of songs of each part; their sum is the number of songs.
        seed: of the shuffle.

    Returns:
        the split; None where some group came so late that no part had room for it.
    """
    order = list(units)
    random.Random(seed).shuffle(order)
    split: Split = {part: [] for part in sizes}
    for unit in order:
        part = next((p for p in sizes if len(split[p]) + len(unit) <= sizes[p]), None)
        if part is None:
            return None
        split[part].extend(unit)
    return {part: sorted(songs) for part, songs in split.items()}


def deal_with_groups(
    songs: Collection[str],
    groups: Sequence[Collection[str]],
    sizes: Mapping[str, int],
    at_least: Mapping[str, int],
) -> tuple[int, Split]:
    """Deal with the smallest seed that puts enough groups into the parts named by `at_least`.

    Without that condition a draw may leave no group in a part where an experiment needs some.

    Returns:
        the seed, and the split.

    Raises:
        DatasetError: no seed below 10,000 does it.
    """
    units = grouped(songs, groups)
    for seed in range(10_000):
        split = deal(units, sizes, seed)
        if split is None:
            continue
        found = {part: sum(set(g) <= set(split[part]) for g in groups) for part in sizes}
        if all(found[part] >= number for part, number in at_least.items()):
            return seed, split
    raise DatasetError(
        f"no split of {len(songs)} songs into {dict(sizes)} has the groups {dict(at_least)}",
        do="ask for fewer groups, or other sizes",
    )


def leak(
    split: Mapping[str, Sequence[str]],
    groups: Sequence[Collection[str]],
    artist_of: Mapping[str, str],
    seed: int,
) -> Split:
    """Return `split` with one song of each group of the test part moved to the train part.

    An ungrouped train song takes the place of each, so that all sizes stay; it is by the same
    artist where there is one, so that what a model hears of each artist changes as little as
    possible and the difference in its scores is the leak's.

    Raises:
        DatasetError: the train part has too few ungrouped songs.
    """
    generator = random.Random(seed)
    together = {song for group in groups for song in group}
    train, test = set(split["train"]), set(split["test"])
    free = sorted(train - together)
    for group in sorted(sorted(group) for group in groups if set(group) <= set(split["test"])):
        if not free:
            raise DatasetError(
                "too few ungrouped songs in the train part to exchange for leaked ones",
                do="draw the split with another seed",
            )
        moved = group[0]
        same = [song for song in free if artist_of[song] == artist_of[moved]]
        back = generator.choice(same or free)
        free.remove(back)
        train, test = train - {back} | {moved}, test - {moved} | {back}
    return {"train": sorted(train), "valid": sorted(split["valid"]), "test": sorted(test)}


def leaked(
    clean: Mapping[str, Iterable[str]],
    leaky: Mapping[str, Iterable[str]],
    groups: Iterable[Collection[str]],
) -> list[str]:
    """Return the test songs of both splits whose group reaches into `leaky`'s train part alone."""
    both = set(clean["test"]) & set(leaky["test"])
    with_leak, without = set(leaky["train"]), set(clean["train"])
    return sorted(
        song
        for group in groups
        if set(group) & with_leak and not set(group) & without
        for song in set(group) & both
    )


def apart(
    artist_of: Mapping[str, str],
    groups: Sequence[Collection[str]],
    sizes: Mapping[str, int],
    least: Mapping[str, int],
    seed: int = 0,
    restarts: int = 60,
) -> tuple[Split, list[str]]:
    """Split so that the parts share neither an artist nor a group, leaving out few songs.

    Each artist is assigned to a part. A group whose artists fall into several parts keeps its
    songs in the part that has most of them and loses the others. The assignment is searched
    from `restarts` random ones, by changing the part of one or two artists for as long as that
    helps. Fewest songs left out come first, then sizes close to `sizes`.

    Args:
        artist_of: maps every song to its artist.
        groups: songs that share a backing track.
        sizes: the wanted number of songs of each part.
        least: the number of songs that each part must have.
        seed: of the random assignments.
        restarts: how many of them.

    Returns:
        the split, and the songs left out.

    Raises:
        DatasetError: no assignment found gives every part its least number of songs.
    """
    search = _Search(artist_of, groups, sizes, least)
    generator = random.Random(seed)
    best = min(
        (
            search.improve([generator.choice(PARTS) for _ in search.artists])
            for _ in range(restarts)
        ),
        key=search.cost,
    )
    if search.cost(best)[0] > 0:
        raise DatasetError(
            f"no assignment of {len(search.artists)} artists gives the parts {dict(least)} songs",
            do="ask for fewer songs in each part",
        )
    return search.split(best)


class _Search:
    """Local search over assignments: a list that gives each artist (by position) a part."""

    def __init__(
        self,
        artist_of: Mapping[str, str],
        groups: Sequence[Collection[str]],
        sizes: Mapping[str, int],
        least: Mapping[str, int],
    ) -> None:
        self.artists = sorted(set(artist_of.values()))
        self.artist_of, self.sizes, self.least = artist_of, sizes, least
        self.groups = sorted(sorted(group) for group in groups)
        place = {artist: i for i, artist in enumerate(self.artists)}
        self._songs = Counter(place[artist] for artist in artist_of.values())
        self._members = [[place[artist_of[song]] for song in group] for group in self.groups]

    def cost(self, parts: Sequence[str]) -> tuple[int, int, int]:
        """Return songs lacking to `least`, songs left out, distance from `sizes`."""
        number = dict.fromkeys(PARTS, 0)
        for artist, songs in self._songs.items():
            number[parts[artist]] += songs
        out = 0
        for members in self._members:
            found = Counter(parts[artist] for artist in members)
            if len(found) > 1:
                keep = _most(found)
                for part, songs in found.items():
                    if part != keep:
                        number[part] -= songs
                        out += songs
        lacking = sum(max(0, self.least[part] - number[part]) for part in PARTS)
        return lacking, out, sum(abs(self.sizes[part] - number[part]) for part in PARTS)

    def improve(self, parts: list[str]) -> list[str]:
        """Change the part of one artist, or of two, until no change lowers the cost."""
        here, count = self.cost(parts), len(parts)
        singles = [((i, p),) for i in range(count) for p in PARTS]
        pairs = [(*a, *b) for i, a in enumerate(singles) for b in singles[i + 1 :]]
        improved = True
        while improved:
            improved = False
            for change in singles + pairs:
                trial = list(parts)
                for artist, part in change:
                    trial[artist] = part
                if trial != parts and (there := self.cost(trial)) < here:
                    parts, here, improved = trial, there, True
                    break
        return parts

    def split(self, parts: Sequence[str]) -> tuple[Split, list[str]]:
        """Return the split that an assignment stands for, and the songs it leaves out."""
        part_of = dict(zip(self.artists, parts, strict=True))
        out: list[str] = []
        for group in self.groups:
            keep = _most(Counter(part_of[self.artist_of[song]] for song in group))
            out += [song for song in group if part_of[self.artist_of[song]] != keep]
        split: Split = {part: [] for part in PARTS}
        for song in sorted(set(self.artist_of) - set(out)):
            split[part_of[self.artist_of[song]]].append(song)
        return split, sorted(out)


def _most(found: Mapping[str, int]) -> str:
    """Return the part that has most songs; of equals, the one that stands first in `PARTS`."""
    return max(PARTS, key=lambda part: (found.get(part, 0), -PARTS.index(part)))
