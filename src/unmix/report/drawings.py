"""The figures that a notebook draws of a paper's experiments, each with the runs behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from unmix.errors import UnmixError
from unmix.papers.evidence import Evidence
from unmix.report import courses, figures
from unmix.report.behind import Drawn
from unmix.report.player import slug
from unmix.report.tables import Shown
from unmix.runs.store import Run, Store


class Drawings(ABC):
    """What a `Workbook` draws, given what it knows."""

    paper: str
    store: Store

    @abstractmethod
    def evidence(self, name: str, *, best: bool = True) -> list[Evidence]:
        """See `Workbook.evidence`."""

    @abstractmethod
    def command(self, verb: str, name: str, **options: object) -> str:
        """See `Workbook.command`."""

    @abstractmethod
    def separated(
        self, run: Run, clip: str | None = None, variant: str = ""
    ) -> dict[str, dict[str, Any]]:
        """See `Workbook.separated`."""

    @abstractmethod
    def _behind(self, what: str, panel: str, rows: Sequence[Evidence], name: str = "") -> Shown: ...

    def boxplot(
        self,
        name: str,
        *,
        where: Mapping[str, str] | None = None,
        metrics: Sequence[str] = ("nsdr", "sir", "sar"),
        best: bool = True,
    ) -> Drawn:
        """Return box plots over the clips of an experiment's rows.

        Args:
            name: the experiment.
            where: key columns that the rows must have; None takes all rows.
            metrics: columns of the clips' scores, one panel each.
            best: see `offers`.
        """
        rows = [item for item in self._with_runs(name, best) if item.has(where)]
        below = self._behind("this box plot", f"{name}{suffix(where)}", rows, name)
        return Drawn(figures.boxes(rows, metrics), below)

    def histories(self, name: str, part: str = "valid", *, best: bool = True) -> Drawn:
        """Return the losses of an experiment's rows over epochs, see `figures.histories`."""
        rows = self._with_runs(name, best)
        return Drawn(figures.histories(rows, part), self._behind("these curves", name, rows))

    def courses(
        self,
        name: str,
        key: str,
        *,
        where: Mapping[str, str] | None = None,
        over: str = "iterations",
        best: bool = True,
    ) -> Drawn:
        """Return how the error of networks trained in stages came down, see `courses.courses`."""
        rows = [item for item in self._with_runs(name, best) if item.has(where)]
        below = self._behind("these curves", f"{name}-{over}{suffix(where)}", rows, name)
        return Drawn(courses.courses(rows, key, over), below)

    def stages(self, name: str, key: str, *, best: bool = True) -> Drawn:
        """Return the error after each stage of a training, see `courses.stages`."""
        rows = self._with_runs(name, best)
        below = self._behind("these curves", f"{name}-stages", rows, name)
        return Drawn(courses.stages(rows, key), below)

    def trends(
        self,
        name: str,
        over: str,
        *,
        where: Mapping[str, str] | None = None,
        metrics: Sequence[str] = ("SDR",),
        best: bool = True,
    ) -> Drawn:
        """Return scores over a key column of numbers, see `figures.trends`."""
        rows = [item for item in self._with_runs(name, best) if item.has(where)]
        below = self._behind("these curves", f"{name}-{over}{suffix(where)}", rows, name)
        return Drawn(figures.trends(rows, over, metrics), below)

    def spectrograms(self, name: str, keys: Mapping[str, str], clip: str | None = None) -> Drawn:
        """Return spectrograms of true and estimated sources of a clip, by one row's separator.

        Raises:
            UnmixError: the row with these key columns is not in the store.
        """
        rows = [
            item for item in self.evidence(name, best=False) if dict(item.row.keys) == dict(keys)
        ]
        used = [Evidence(item.row, item.runs[:1]) for item in rows if item.runs]
        if not used:
            raise UnmixError(
                f"{self.paper}/{name} has no stored run for {dict(keys)}",
                do=f"run `{self.command('run', name)}`",
            )
        run = used[0].runs[0]
        parts, stft = self.separated(run, clip, variant(used[0])), run.spec().stft
        words = parts["clip"]["words"]
        drawn = figures.spectrograms(parts["references"], parts["estimates"], stft, words)
        return Drawn(drawn, self._behind("these spectrograms", name, used))

    def _with_runs(self, name: str, best: bool) -> list[Evidence]:
        rows = [item for item in self.evidence(name, best=best) if item.runs]
        if not rows:
            raise self._nothing(name)
        return rows

    def _nothing(self, name: str) -> UnmixError:
        return UnmixError(
            f"nothing of {self.paper}/{name} is in the store {self.store.root}",
            do=f"run `{self.command('run', name)}`",
        )


def variant(item: Evidence) -> str:
    """Return which of its separator's answers a row is about; empty: the usual one."""
    return item.row.of.get("variant", "")


def suffix(where: Mapping[str, str] | None) -> str:
    """Return what tells the files of some rows from those of others."""
    return "".join(f"-{slug(value)}" for value in (where or {}).values())
