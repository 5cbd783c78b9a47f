"""Cross-validation: one run that learns anew for each round, and tests each song in one of them.

A split called `rounds-of-10` stands for those called `round-1-of-10` to `round-10-of-10` of the
dataset. What the run is then, scores, history and weights, is that of all rounds together.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from unmix.datasets.catalogue import chosen
from unmix.datasets.track import Dataset
from unmix.errors import DatasetError
from unmix.models.separator import Separator
from unmix.runs.spec import Spec
from unmix.runs.store import write_json, write_table
from unmix.training import checkpoint

Parts = Mapping[str, Sequence[str]]
Learnt = tuple[Separator, list[dict[str, Any]], pd.DataFrame, float]
"""A separator, its history, the scores of what it was tested on, and how long this call learnt."""

TESTED = "tested"
"""The tensor that holds the names of the clips of each round, as bytes of JSON."""

_SPLIT = re.compile(r"rounds-of-([1-9]\d*)")


def splits(name: str) -> tuple[str, ...]:
    """Return the splits that a name stands for: itself, unless it is one of several rounds."""
    found = _SPLIT.fullmatch(name)
    if not found:
        return (name,)
    count = int(found[1])
    return tuple(f"round-{number}-of-{count}" for number in range(1, count + 1))


def rounds(spec: Spec, dataset: Dataset) -> list[dict[str, list[str]]]:
    """Return the clips of each part, in each round; the songs, where they are heard whole.

    Raises:
        DatasetError: the dataset has no such split, or a clip is tested in two rounds.
    """
    songs = {clip.name: clip.song for clip in dataset.clips()} if spec.mixing.whole else {}
    found = []
    for name in splits(spec.split):
        parts = dataset.split(name)
        if songs:
            parts = {part: list({songs[clip]: None for clip in parts[part]}) for part in parts}
        found.append(chosen(parts, spec.clips))
    tested = [clip for parts in found for clip in parts["test"]]
    if len(set(tested)) < len(tested):
        raise DatasetError(
            f"{spec.dataset}, {spec.split}: a clip is tested in two rounds",
            expected="rounds that share no song",
        )
    return found


def counts(found: Sequence[Parts]) -> dict[str, int]:
    """Return the number of clips of each part: all that are tested, and most that a round has."""
    sizes = {part: [len(parts[part]) for parts in found] for part in found[0]}
    return {part: sum(of) if part == "test" else max(of) for part, of in sizes.items()}


class Rounds:
    """The separators of all rounds: to each clip answers the one that is tested on it.

    To a sound that no round knows, the first one's answers.
    """

    def __init__(self, separators: Sequence[Separator], tested: Sequence[Sequence[str]]) -> None:
        """Take the separators in order, and the names of the clips that each is tested on."""
        self.separators, self.tested = list(separators), [list(names) for names in tested]
        self._by_clip = {
            name: separator
            for separator, names in zip(separators, tested, strict=True)
            for name in names
        }

    def of(self, clip: str) -> Separator:
        """Return the separator that never heard the song of a clip."""
        return self._by_clip.get(clip, self.separators[0])

    def separate(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the first round's estimates of a mixture, see `Separator`."""
        return self.separators[0].separate(mixture, references)

    def tensors(self) -> dict[str, Tensor]:
        """Return what was learnt in all rounds, and which clips each tests; {} for no learning."""
        found = {
            f"{number}/{name}": value
            for number, separator in enumerate(self.separators)
            for name, value in separator.tensors().items()
        }
        told = json.dumps(self.tested).encode()
        return {**found, TESTED: torch.tensor(list(told), dtype=torch.uint8)} if found else {}

    @classmethod
    def restored(
        cls, tensors: Mapping[str, Tensor], restore: Callable[[dict[str, Tensor]], Separator]
    ) -> Rounds:
        """Rebuild them from `tensors`; `restore` rebuilds one."""
        tested = json.loads(bytes(tensors[TESTED].tolist()))
        own: list[dict[str, Tensor]] = [{} for _ in tested]
        for name, value in tensors.items():
            if name != TESTED:
                number, rest = name.split("/", 1)
                own[int(number)][rest] = value
        return cls([restore(each) for each in own], tested)


@dataclass(frozen=True)
class InTurn:
    """Carries out rounds one after the other, and keeps each that is done.

    Attributes:
        folder: of the run.
        identity: what weights belong to.
        learn: carries out one round: its parts, its folder, and whom to tell of its epochs.
        restore: rebuilds a separator from what was learnt.
    """

    folder: Path
    identity: str
    learn: Callable[[Parts, Path, Callable[[dict[str, Any]], None]], Learnt]
    restore: Callable[[dict[str, Tensor]], Separator]

    def all(self, found: Sequence[Parts], log: Callable[[dict[str, Any]], None]) -> Learnt:
        """Return what all rounds found; rounds that an interrupted call finished are read.

        One alone is the run itself.
        """
        if len(found) == 1:
            return self.learn(found[0], self.folder, log)
        each = [self._round(number, parts, log) for number, parts in enumerate(found)]
        separators, histories, scores, seconds = zip(*each, strict=True)
        together = Rounds(separators, [parts["test"] for parts in found])
        history = [row for rows in histories for row in rows]
        return together, history, pd.concat(scores, ignore_index=True), sum(seconds)

    def done(self) -> None:
        """Leave no trace of single rounds, once the run's own files are written."""
        for path in self.folder.glob("round-*"):
            shutil.rmtree(path)

    def _round(self, number: int, parts: Parts, log: Callable[[dict[str, Any]], None]) -> Learnt:
        folder, own = self.folder / f"round-{number + 1}", {"round": number + 1}
        folder.mkdir(exist_ok=True)
        scores, history = folder / "scores.csv", folder / "history.json"
        weights, spent = folder / "model.safetensors", 0.0
        if not scores.exists():
            learnt = self.learn(parts, folder, lambda row: log({**own, **row}))
            checkpoint.write_tensors(weights, learnt[0].tensors(), {"spec": self.identity})
            write_json(history, {"rows": [{**own, **row} for row in learnt[1]]})
            write_table(folder / ".scores.csv", learnt[2])
            (folder / ".scores.csv").replace(scores)
            (folder / checkpoint.NAME).unlink(missing_ok=True)
            spent = learnt[3]
        separator = self.restore(checkpoint.weights_of(weights, self.identity))
        rows = json.loads(history.read_text(encoding="utf-8"))["rows"]
        return separator, rows, pd.read_csv(scores), spent
