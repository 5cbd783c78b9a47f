"""What a notebook calls: a paper's experiments run, compared, drawn and heard in one line each."""

from __future__ import annotations

import html
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unmix.datasets.catalogue import open_dataset
from unmix.errors import SpecError, one_of
from unmix.papers.evidence import (
    MATERIAL,
    Evidence,
    comparable,
    comparison,
    in_full,
    material,
    offers,
    seeds_of,
    setting,
)
from unmix.papers.experiment import DEFAULT_PROFILE, Experiment, experiment, experiments
from unmix.papers.experiment import paper as paper_of
from unmix.papers.published import about, published
from unmix.report import contrast, examples, figures, player, selection, tables
from unmix.report import material as holdings
from unmix.report.behind import Panels
from unmix.report.drawings import Drawings, suffix
from unmix.report.drawings import variant as variant_of
from unmix.report.lookup import Asked
from unmix.report.progress import watcher
from unmix.runs.cluster import Event, complete
from unmix.runs.execute import resolve_device
from unmix.runs.places import results_folder, store_folder
from unmix.runs.plan import Plan
from unmix.runs.plan import make as make_plan
from unmix.runs.spec import Spec
from unmix.runs.store import Run, Store


class Workbook(Drawings):
    """One paper under one set of notebook parameters."""

    def __init__(
        self,
        paper: str,
        *,
        profile: str = DEFAULT_PROFILE,
        data_root: str | os.PathLike = "",
        store: str | os.PathLike = "",
        device: str = "auto",
        seeds: int = 0,
        engine: str = "local",
        scheduler: str = "",
        workers: int | None = None,
        backend: str = "unmix",
    ) -> None:
        """Take the parameters of a notebook; empty ones mean the defaults of `unmix run`.

        Raises:
            SpecError: the paper or the profile is unknown.
            DatasetError: the data root does not exist.
        """
        self.paper, self.profile = paper, profile
        self.data_root = data_root or None
        self.given_store = store or None
        self.store = Store(store_folder(store))
        self.device, self.seeds, self.engine, self.workers = device, seeds, engine, workers
        self.scheduler = scheduler or None
        self.setting = setting(paper, profile, self.data_root, backend)
        self.panels = Panels()
        self.carried_out = 0  # runs, by the last call of `run`

    def experiment(self, name: str) -> Experiment:
        """Return an experiment under this notebook's profile."""
        return experiment(self.paper, name, self.setting)

    def command(self, verb: str, name: str, **options: object) -> str:
        """Return the command line that does `verb` with an experiment as this notebook would."""
        asked = Asked(
            self.paper,
            name,
            self.profile,
            backend=self.setting.backend,
            data_root=self.data_root,
            given_store=self.given_store,
        )
        return asked.command(verb, **options)

    def named(self, what: str) -> list[str]:
        """Return the experiments that `PAPER` or `PAPER/EXPERIMENT` names.

        Raises:
            SpecError: it names none.
        """
        _, slash, name = what.partition("/")
        known = list(experiments(self.paper, self.setting))
        if slash and not name:
            raise SpecError(
                f"'{what}' names no experiment",
                expected=f"{self.paper} for all of them, or {self.paper}/EXPERIMENT, one of "
                f"{', '.join(known)}",
            )
        return [self.experiment(name).name] if name else known

    def specs(self, *names: str) -> tuple[list[Spec], list[str]]:
        """Return the specs of the named experiments, all seeds, and what each is called."""
        specs: list[Spec] = []
        labels: list[str] = []
        for name in names:
            found = self.experiment(name)
            for seed in range(seeds_of(found, self.setting, self.seeds)):
                for row in found.rows:
                    specs.append(row.spec.with_seed(seed))
                    labels.append(f"{name}: {', '.join(row.keys.values())}, seed {seed}")
        return specs, labels

    def plan(self, *names: str) -> Plan:
        """Return what is not stored yet of the named experiments, with time and memory."""
        specs, labels = self.specs(*names)
        pairs = {(spec.dataset, spec.clips): None for spec in specs}
        opened = {pair: open_dataset(pair[0], self.data_root, pair[1]) for pair in pairs}
        evidence = [*Store(results_folder(self.paper)).runs(), *self.store.runs()]
        device = resolve_device(self.device)
        return make_plan(specs, labels, opened, self.store, evidence, device)

    def run(self, *names: str) -> None:
        """Carry out what is not stored yet of the named experiments."""
        specs, labels = self.specs(*names)
        self.carried_out = 0
        with watcher() as watch:

            def count(event: Event) -> None:
                self.carried_out += event.row is None
                watch(event)

            complete(
                specs,
                self.store,
                data_root=self.data_root,
                device=self.device,
                workers=self.workers,
                engine=self.engine,
                scheduler=self.scheduler,
                labels=labels,
                watch=count,
            )

    def offers(self, name: str, *, best: bool = True) -> list[list[Evidence]]:
        """Return for each row all evidence, the best first: any there is, or this profile's."""
        return offers(
            self.paper,
            name,
            self.store,
            profile_name=self.profile,
            data_root=self.data_root,
            seeds=self.seeds,
            best=best,
            backend=self.setting.backend,
        )

    def evidence(self, name: str, *, best: bool = True) -> list[Evidence]:
        """Return the evidence of an experiment: the best there is, or this profile's alone."""
        return [of_row[0] for of_row in self.offers(name, best=best)]

    def long(self, name: str, *, best: bool = True) -> pd.DataFrame:
        """Return published beside reproduced in long form, see `evidence.comparison`."""
        rows = self.evidence(name, best=best)
        return comparison(self.paper, name, rows, self.experiment(name).metrics)

    def table(
        self, name: str, *, where: Mapping[str, str] | None = None, best: bool = True
    ) -> tables.Shown:
        """Return published beside reproduced as HTML, with how it was obtained below.

        Args:
            name: the experiment.
            where: key columns that the rows must have; None takes all rows.
            best: see `offers`.
        """
        wanted = [item for item in self.evidence(name, best=best) if item.has(where)]
        rows = [item for item in wanted if item.runs or not best]
        if not best and rows == [item for item in self.evidence(name) if item.has(where)]:
            words = "The runs of this build are the evidence that the table above shows."
            return tables.Shown(f"<p>{words}</p>", words)
        title = self.experiment(name).title
        if not any(item.runs for item in rows):
            make = self.command("run", name, profile="full")
            return tables.Shown(
                f"<p>{title}: there is no evidence yet. <code>{html.escape(make)}</code> makes it."
                "</p>",
                f"no evidence yet: {make}",
            )
        long = comparison(self.paper, name, rows, self.experiment(name).metrics)
        budget = paper_of(self.paper).BUDGET
        of = "".join(f", {value}" for value in (where or {}).values())
        shown = tables.page(
            long.drop(columns=list(where or {})), rows, f"{title}{of}: {material(rows)}", budget
        )
        panel = f"{self.paper}-{name}{suffix(where)}{'' if best else '-own'}"
        return shown + self.panels.of_table(panel, rows, self._repeat(name, rows))

    def _repeat(self, name: str, rows: Sequence[Evidence]) -> str:
        """Return the command that makes the runs behind some rows of an experiment again."""
        full = in_full(self.paper, name, rows)
        chosen = setting(self.paper, "full", self.data_root) if full else self.setting
        found = max((len(item.runs) for item in rows), default=0)
        own = seeds_of(self.experiment(name), chosen, 0)
        options: dict[str, object] = {"profile": "full"} if full else {}
        return self.command("run", name, **options, seeds=0 if found == own else found)

    def _behind(
        self, what: str, panel: str, rows: Sequence[Evidence], name: str = ""
    ) -> tables.Shown:
        """Return what leads from a figure of an experiment to the runs that it shows."""
        again = self._repeat(name or panel, rows)
        return self.panels.behind(what, f"{self.paper}-{panel}", rows, again)

    def contrast(
        self,
        name: str,
        pairs: Mapping[str, tuple[str, str]],
        *,
        songs: Collection[str] | None = None,
    ) -> tables.Shown:
        """Return differences between rows, paired by clip, with intervals over songs.

        Two rows are compared at the best fidelity that both have.

        Args:
            name: the experiment.
            pairs: what is compared, in words, to two labels of rows (first minus second); a label
                is the row's key columns joined by commas, as in the box plots.
            songs: only clips of these songs; None takes all.
        """
        rows = {figures.label(of_row[0]): of_row for of_row in self.offers(name)}
        for label in (label for pair in pairs.values() for label in pair):
            if label not in rows:
                raise SpecError(one_of("row", label, rows), expected="; ".join(rows))
        found = [
            (words, *comparable(rows[one], rows[other])) for words, (one, other) in pairs.items()
        ]
        there = published(self.paper, name)
        lines = contrast.differences(found, there, self.experiment(name).metrics, songs)
        both = [item for _, *pair in found for item in pair]
        # A row may be compared at one fidelity here, and at another one there.
        used = list({(figures.label(item), item.fidelity): item for item in both}.values())
        shown = contrast.table(
            list(lines),
            f"{self.experiment(name).title}, differences in dB: {material(used)}. Means over pairs "
            "of clips, from scores that are not rounded.",
        )
        return shown + self._behind("these differences", name, used)

    def claims(self, name: str) -> tables.Shown:
        """Return the paper's claims that rest on a table, each with its outcome and a link."""
        # Who plans, runs or looks up a table needs no statistics.
        from unmix.report.claims import Claims

        of_paper = Claims(
            self.paper,
            profile=self.profile,
            data_root=self.data_root or "",
            store=self.given_store or "",
            seeds=self.seeds,
            backend=self.setting.backend,
        )
        return of_paper.of_table(name)

    def material(self, table: str) -> tables.Shown:
        """Return what this notebook's dataset holds, in the form of a published table.

        Raises:
            SpecError: the dataset does not say what it holds.
        """
        spec = next(iter(experiments(self.paper, self.setting).values())).rows[0].spec
        dataset = open_dataset(spec.dataset, self.data_root, spec.clips)
        if not hasattr(dataset, "material"):
            raise SpecError(f"{spec.dataset}: does not say what it holds in a table's form")
        title = next(each.title for each in about(self.paper).tables if each.name == table)
        caption = f"{title}: {MATERIAL[dataset.fidelity]}"
        return holdings.shown(self.paper, table, dataset.material(), caption)

    def selection(self, name: str, metric: str) -> tables.Shown:
        """Return which row each part of the songs would choose, see `selection`."""
        rows = self._with_runs(name, best=True)
        chosen_by = f"{self.experiment(name).title}, by {metric}: {material(rows)}"
        return selection.table(rows, metric, chosen_by) + self._behind("this choice", name, rows)

    def separated(
        self, run: Run, clip: str | None = None, variant: str = ""
    ) -> dict[str, dict[str, Any]]:
        """Return mixture, references and estimates of a test clip, see `examples.separated`."""
        return examples.separated(run, self.data_root, clip, variant)

    def listen(
        self,
        name: str,
        clip: str | None = None,
        rows: Sequence[Mapping[str, str]] = (),
        *,
        where: Mapping[str, str] | None = None,
    ) -> tables.Shown:
        """Return players of one test clip: mixture, each row's estimates, and the true sources.

        The true sources come last: whoever heard them hears them in the estimates.

        Args:
            name: the experiment.
            clip: see `separated`.
            rows: key columns of the rows to hear; none named: all.
            where: key columns that the rows must have; None takes all.

        Raises:
            UnmixError: nothing of this experiment is stored with its weights.
        """
        sounds: dict[str, dict] = {}
        true: dict[str, Any] = {}
        rate, heard = 0, ""
        used = []
        for item in self.evidence(name, best=False):
            if not item.runs or (rows and dict(item.row.keys) not in [dict(r) for r in rows]):
                continue
            if not item.has(where):
                continue
            used.append(Evidence(item.row, item.runs[:1]))
            run = item.runs[0]
            parts, rate = self.separated(run, clip, variant_of(item)), run.spec().rate
            if not sounds:
                heard, true = parts["clip"]["words"], parts["references"]
                sounds["mixture"] = parts["mixture"]
            estimates, mixture = parts["estimates"], sounds["mixture"]["mixture"]
            if not all(np.array_equal(each, mixture) for each in estimates.values()):
                sounds[figures.label(item)] = estimates  # what gives the mixture back is heard
        if not sounds:
            raise self._nothing(name)
        sounds["true sources"] = true
        caption = f"{heard}. Systems of profile {self.profile}."
        files = f"{self.paper}-{name}{'-chosen' if rows else ''}{suffix(where)}"
        shown = player.panel(files, sounds, rate, caption)
        return shown + self._behind("these sounds", f"{name}{suffix(where)}", used, name)
