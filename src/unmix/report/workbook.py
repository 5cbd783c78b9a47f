"""What a notebook calls: a paper's experiments run, compared, drawn and heard in one line each."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from unmix.audio import mix
from unmix.datasets.catalogue import chosen, open_dataset
from unmix.datasets.track import Track
from unmix.errors import UnmixError
from unmix.papers.experiment import Experiment, experiment
from unmix.report import figures, player, tables
from unmix.report.evidence import Evidence, comparison, gather, seeds_of, setting
from unmix.report.progress import watcher
from unmix.runs.cluster import complete
from unmix.runs.execute import restore
from unmix.runs.places import store_folder
from unmix.runs.spec import Spec
from unmix.runs.store import Run, Store


class Workbook:
    """One paper under one set of notebook parameters."""

    def __init__(
        self,
        paper: str,
        *,
        profile: str = "quick",
        data_root: str | os.PathLike = "",
        store: str | os.PathLike = "",
        device: str = "auto",
        seeds: int = 0,
        engine: str = "local",
        workers: int | None = None,
    ) -> None:
        """Take the parameters of a notebook; empty ones mean the defaults of `unmix run`.

        Raises:
            SpecError: the paper or the profile is unknown.
        """
        self.paper, self.profile = paper, profile
        self.data_root = data_root or None
        self.store = Store(store_folder(store))
        self.device, self.seeds, self.engine, self.workers = device, seeds, engine, workers
        self.setting = setting(paper, profile, self.data_root)

    def experiment(self, name: str) -> Experiment:
        """Return an experiment under this notebook's profile."""
        return experiment(self.paper, name, self.setting)

    def run(self, *names: str) -> None:
        """Carry out what is not stored yet of the named experiments."""
        specs: list[Spec] = []
        labels: list[str] = []
        for name in names:
            found = self.experiment(name)
            for seed in range(seeds_of(found, self.setting, self.seeds)):
                for row in found.rows:
                    specs.append(row.spec.with_seed(seed))
                    labels.append(f"{name}: {', '.join(row.keys.values())}, seed {seed}")
        with watcher() as watch:
            complete(
                specs,
                self.store,
                data_root=self.data_root,
                device=self.device,
                workers=self.workers,
                engine=self.engine,
                labels=labels,
                watch=watch,
            )

    def evidence(self, name: str, *, best: bool = True) -> list[Evidence]:
        """Return the evidence of an experiment: the best there is, or this profile's alone."""
        return gather(
            self.paper,
            name,
            self.store,
            profile_name=self.profile,
            data_root=self.data_root,
            seeds=self.seeds,
            best=best,
        )

    def long(self, name: str, *, best: bool = True) -> pd.DataFrame:
        """Return published beside reproduced in long form, see `evidence.comparison`."""
        rows = self.evidence(name, best=best)
        return comparison(self.paper, name, rows, self.experiment(name).metrics)

    def table(self, name: str, *, best: bool = True) -> tables.Shown:
        """Return published beside reproduced as HTML, with how it was obtained below."""
        rows = [item for item in self.evidence(name, best=best) if item.runs or not best]
        long = comparison(self.paper, name, rows, self.experiment(name).metrics)
        kinds = sorted({item.fidelity for item in rows if item.runs})
        words = " and ".join(tables.FIDELITY[kind] for kind in kinds) or tables.FIDELITY[""]
        return tables.page(long, rows, f"{self.experiment(name).title}: {words}")

    def boxplot(self, name: str, *, best: bool = True) -> Figure:
        """Return box plots over the test clips of an experiment's rows."""
        return figures.boxes([item for item in self.evidence(name, best=best) if item.runs])

    def histories(self, name: str, *, best: bool = True) -> Figure:
        """Return the validation losses of an experiment's rows over epochs."""
        return figures.histories([item for item in self.evidence(name, best=best) if item.runs])

    def _example(self, run: Run, clip: str | None) -> Track:
        spec = run.spec()
        dataset = open_dataset(spec.dataset, self.data_root, spec.clips)
        test = chosen(dataset.split(spec.split), spec.clips)["test"]
        return dataset.load(clip if clip and clip in test else test[0], spec.stft.rate)

    def separated(self, run: Run, clip: str | None = None) -> dict[str, dict]:
        """Return mixture, references and estimates of a test clip by a stored run.

        `clip` names the clip; where the run's test part has none of that name, its first is taken.
        """
        spec, track = run.spec(), self._example(run, clip)
        mixture, voice, other = mix(
            track.sources["voice"], track.sources["accompaniment"], spec.mixing.snr_db
        )
        references = {"voice": voice, "accompaniment": other}
        estimates = restore(spec, run.weights).separate(mixture, references)
        return {
            "clip": {"name": track.clip.name},
            "mixture": {"mixture": mixture},
            "references": references,
            "estimates": estimates,
        }

    def listen(self, name: str, clip: str | None = None) -> tables.Shown:
        """Return players of one test clip: mixture, true sources, and each row's estimates.

        Raises:
            UnmixError: nothing of this experiment is stored with its weights.
        """
        sounds: dict[str, dict] = {}
        rate, heard = 0, ""
        for item in self.evidence(name, best=False):
            if not item.runs:
                continue
            run = item.runs[0]
            parts, rate = self.separated(run, clip), run.spec().stft.rate
            heard = parts["clip"]["name"]
            if not sounds:
                sounds["mixture"] = parts["mixture"]
                sounds["true sources"] = parts["references"]
            sounds[figures.label(item)] = parts["estimates"]
        if not sounds:
            raise UnmixError(
                f"nothing of {self.paper}/{name} is in the store {self.store.root}",
                do=f"run `unmix run {self.paper}/{name} --profile {self.profile}`",
            )
        caption = f"Test clip {heard}, profile {self.profile}"
        return player.panel(f"{self.paper}-{name}", sounds, rate, caption, Path.cwd())

    def spectrograms(self, name: str, row: int, clip: str | None = None) -> Figure:
        """Return spectrograms of true and estimated sources of a clip, by one row's separator."""
        run = self.evidence(name, best=False)[row].runs[0]
        parts = self.separated(run, clip)
        return figures.spectrograms(parts["references"], parts["estimates"], run.spec().stft)
