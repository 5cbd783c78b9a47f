"""The claims of a paper: testable statements, each with the rule that decides it.

They stand in `papers/NAME/claims.yaml`, in the form that `schemas/claims.json` declares.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from unmix.errors import SpecError, command, one_of
from unmix.papers.published import PUBLISHED, Cell, cells, folder
from unmix.verdicts.rules import Comparison, claimed, comparisons, needed
from unmix.verdicts.schema import read_yaml

MARGIN = 0.5
"""Largest difference in dB that counts as none, where a claim says nothing else."""


@dataclass(frozen=True)
class TestSongs:
    """What is known of the songs behind the paper's scores.

    Attributes:
        same: whether they are known, and ours are the same.
        count: how many there are; None if the paper does not say.
        why: the reason, in words.
        a_row: how many songs a row of the paper's tables is a mean of; None for all of them.
    """

    __test__ = False  # its name is no test's

    same: bool
    count: int | None
    why: str
    a_row: int | None = None


@dataclass(frozen=True)
class Claim:
    """One testable statement of a paper.

    Attributes:
        id: a letter for the paper and two digits.
        paper: its name.
        place: where the paper makes it.
        kind: `ordering`, `value`, `difference`, `trend` or `qualitative`.
        stated: the text says it; otherwise it is read off the numbers.
        statement: in our words.
        cells: the published numbers that it rests on, as written in the file.
        experiment: what tests it; None if nothing does, and `without` says why.
        without: why no experiment tests it; empty otherwise.
        aggregation: what the published numbers are (mean, length-weighted mean …).
        unit: what is drawn independently: song, track, listener.
        margin: in dB; None leaves it to `MARGIN` and the gap.
        rule: how it is decided, see `rules`.
        note: what else must be known; empty if nothing.
        reading: `wide` if the sentence is taken to say more than it need mean; empty otherwise.
    """

    id: str
    paper: str
    place: str
    kind: str
    stated: bool
    statement: str
    cells: tuple[Mapping[str, Any], ...]
    experiment: str | None
    without: str
    aggregation: str
    unit: str
    margin: float | None
    rule: Mapping[str, Any]
    note: str
    reading: str = ""

    @property
    def comparisons(self) -> list[Comparison]:
        """Return the single comparisons of the rule."""
        return comparisons(self.rule)

    @property
    def needed(self) -> int:
        """Return how many of the comparisons must hold."""
        return needed(self.rule, len(self.comparisons))

    @property
    def published(self) -> list[Cell]:
        """Return the published numbers that it rests on."""
        return [
            cell
            for each in self.cells
            for cell in cells(self.paper, each["table"], each.get("where"), each["metric"])
        ]

    def plain(self) -> dict[str, Any]:
        """Return the claim as plain data."""
        return {**asdict(self), "cells": list(self.cells)}


@functools.cache
def _read(paper: str) -> Mapping[str, Any]:
    return read_yaml(folder(paper) / "claims.yaml", "claims")


def songs_of(paper: str) -> TestSongs:
    """Return what is known of the songs behind a paper's scores."""
    return TestSongs(**_read(_known(paper))["test_songs"])


def claims(paper: str) -> tuple[Claim, ...]:
    """Return the claims of a paper, in the order of its file.

    Raises:
        SpecError: there is no such paper, its file breaks the schema, or two claims share an id.
    """
    found = tuple(_claim(paper, entry) for entry in _read(_known(paper))["claims"])
    ids = [claim.id for claim in found]
    if len(set(ids)) < len(ids):
        twice = sorted({name for name in ids if ids.count(name) > 1})
        raise SpecError(
            f"{folder(paper) / 'claims.yaml'}: more than one claim is named {', '.join(twice)}",
            do="give each its own id",
        )
    return found


def claim(name: str) -> Claim:
    """Return a claim by its id, of whatever paper.

    Raises:
        SpecError: there is no such claim.
    """
    (paper,), found = named(name)
    if not found:
        raise SpecError(f"{name} is a paper, not a claim", do=f"`{command('claims', name)}`")
    return next(each for each in claims(paper) if each.id == found)


def named(what: str) -> tuple[tuple[str, ...], str]:
    """Return the papers that a reader names, and the claim if it is one: all of them for ''.

    Raises:
        SpecError: it is neither a paper nor a claim.
    """
    if not what or what in PUBLISHED:
        return (what,) if what else PUBLISHED, ""
    known: list[str] = []
    for paper in PUBLISHED:
        of_paper = [each.id for each in claims(paper)]
        for name in of_paper:
            if name.casefold() == what.casefold():
                return (paper,), name
        known += of_paper
    # Whoever has just asked for a table may ask for its claims in the same way.
    whole = [paper for paper in PUBLISHED if what.startswith(f"{paper}/")]
    raise SpecError(
        one_of("paper or claim", what, [*PUBLISHED, *known]),
        expected=f"{', '.join(PUBLISHED)}, or the id of a claim, such as {known[0]}",
        do=f"`{command('claims', *whole)}` lists all {'of its ' if whole else ''}claims",
    )


def dropped(paper: str) -> Mapping[str, str]:
    """Return the statements that were considered and left out, by id, each with the reason."""
    return {entry["id"]: entry["why"] for entry in _read(_known(paper)).get("dropped", [])}


def margin(claim: Claim) -> float:
    """Return what counts as no difference, in dB.

    That is what the claim says, else half the smallest gap that it rests on, and `MARGIN` at most.
    """
    if claim.margin is not None:
        return claim.margin
    halves = [
        abs(claimed(claim.paper, each)) / 2.0
        for each in claim.comparisons
        if each.kind in ("greater", "difference", "trend", "peak")
    ]
    # A tie rests on no gap, and what is not printed (nan) on none that is known.
    return min([MARGIN, *(half for half in halves if half > 0.0)])


def _known(paper: str) -> str:
    if paper not in PUBLISHED:
        raise SpecError(one_of("paper", paper, PUBLISHED), expected=", ".join(PUBLISHED))
    return paper


def _claim(paper: str, entry: Mapping[str, Any]) -> Claim:
    return Claim(
        id=entry["id"],
        paper=paper,
        place=entry["place"],
        kind=entry["kind"],
        stated=entry["stated"],
        statement=" ".join(entry["statement"].split()),
        cells=tuple(entry["cells"]),
        experiment=entry["experiment"],
        without=" ".join((entry.get("without") or "").split()),
        aggregation=entry["aggregation"],
        unit=entry["unit"],
        margin=entry.get("margin"),
        rule=entry["rule"],
        note=" ".join((entry.get("note") or "").split()),
        reading=entry.get("reading", ""),
    )
