"""What a notebook calls: a paper's experiments run, compared, drawn and heard in one line each."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from unmix.audio import mix
from unmix.datasets.catalogue import chosen, open_dataset
from unmix.datasets.track import Track
from unmix.errors import SpecError, UnmixError, one_of
from unmix.papers.experiment import Experiment, experiment
from unmix.papers.published import published
from unmix.report import contrast, figures, player, tables
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
        if not best and rows == self.evidence(name):
            words = "The runs of this build are the evidence that the table above shows."
            return tables.Shown(f"<p>{words}</p>", words)
        if not any(item.runs for item in rows):
            command = f"unmix run {self.paper}/{name} --profile full"
            return tables.Shown(
                f"<p>{self.experiment(name).title}: there is no evidence yet. "
                f"<code>{command}</code> makes it.</p>",
                f"no evidence yet: {command}",
            )
        long = comparison(self.paper, name, rows, self.experiment(name).metrics)
        kinds = sorted({item.fidelity for item in rows if item.runs})
        words = " and ".join(tables.FIDELITY[kind] for kind in kinds) or tables.FIDELITY[""]
        return tables.page(long, rows, f"{self.experiment(name).title}: {words}")

    def contrast(
        self,
        name: str,
        pairs: Mapping[str, tuple[str, str]],
        *,
        songs: Collection[str] | None = None,
    ) -> tables.Shown:
        """Return differences between rows, paired by clip, with intervals over songs.

        Args:
            name: the experiment.
            pairs: what is compared, in words, to two labels of rows (first minus second); a label
                is the row's key columns joined by commas, as in the box plots.
            songs: only clips of these songs; None takes all.
        """
        rows = {figures.label(item): item for item in self.evidence(name)}
        for label in (label for pair in pairs.values() for label in pair):
            if label not in rows:
                raise SpecError(one_of("row", label, rows), expected="; ".join(rows))
        found = [(words, rows[one], rows[other]) for words, (one, other) in pairs.items()]
        return contrast.table(
            found,
            published(self.paper, name),
            self.experiment(name).metrics,
            f"Differences between rows of {self.experiment(name).title}",
            songs,
        )

    def boxplot(self, name: str, *, best: bool = True) -> Figure:
        """Return box plots over the test clips of an experiment's rows."""
        return figures.boxes(self._with_runs(name, best))

    def histories(self, name: str, *, best: bool = True) -> Figure:
        """Return the validation losses of an experiment's rows over epochs."""
        return figures.histories(self._with_runs(name, best))

    def _with_runs(self, name: str, best: bool) -> list[Evidence]:
        rows = [item for item in self.evidence(name, best=best) if item.runs]
        if not rows:
            raise self._nothing(name)
        return rows

    def _nothing(self, name: str) -> UnmixError:
        return UnmixError(
            f"nothing of {self.paper}/{name} is in the store {self.store.root}",
            do=f"run `unmix run {self.paper}/{name} --profile {self.profile}`",
        )

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

    def listen(
        self, name: str, clip: str | None = None, rows: Sequence[Mapping[str, str]] = ()
    ) -> tables.Shown:
        """Return players of one test clip: mixture, true sources, and each row's estimates.

        Args:
            name: the experiment.
            clip: see `separated`.
            rows: key columns of the rows to hear; none named: all.

        Raises:
            UnmixError: nothing of this experiment is stored with its weights.
        """
        sounds: dict[str, dict] = {}
        rate, heard = 0, ""
        for item in self.evidence(name, best=False):
            if not item.runs or (rows and dict(item.row.keys) not in [dict(r) for r in rows]):
                continue
            run = item.runs[0]
            parts, rate = self.separated(run, clip), run.spec().stft.rate
            heard = parts["clip"]["name"]
            if not sounds:
                sounds["mixture"] = parts["mixture"]
                sounds["true sources"] = parts["references"]
            sounds[figures.label(item)] = parts["estimates"]
        if not sounds:
            raise self._nothing(name)
        caption = f"Test clip {heard}, profile {self.profile}"
        return player.panel(
            f"{self.paper}-{name}{'-chosen' if rows else ''}", sounds, rate, caption
        )

    def spectrograms(self, name: str, keys: Mapping[str, str], clip: str | None = None) -> Figure:
        """Return spectrograms of true and estimated sources of a clip, by one row's separator.

        Raises:
            UnmixError: the row with these key columns is not in the store.
        """
        rows = [item for item in self.evidence(name, best=False) if item.runs]
        run = next((item.runs[0] for item in rows if dict(item.row.keys) == dict(keys)), None)
        if run is None:
            raise UnmixError(
                f"{self.paper}/{name} has no stored run for {dict(keys)}",
                do=f"run `unmix run {self.paper}/{name} --profile {self.profile}`",
            )
        parts = self.separated(run, clip)
        return figures.spectrograms(parts["references"], parts["estimates"], run.spec().stft)
