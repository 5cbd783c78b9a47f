"""What every paper is made of: profiles, experiments, and their rows.

A paper is a module of this package with `DATASET`, `BUDGET` (its own training, in words), `FIGURES`
(a figure's notebook to the experiment that it draws), maybe `SUBSET` (the split of a part of the
dataset that stands in where the whole is not there), maybe `ALIKE` (another dataset of recordings
that stands in where the paper's is not there), maybe `STANDS_IN` (true where `full` takes the
stand-in if the dataset is not there) and `experiments(setting)`, and a folder of the same name with
what it published, see `published`. Nothing in it computes. A folder without a module has published
numbers and no experiments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from unmix.errors import SpecError, command, one_of
from unmix.papers.published import PUBLISHED, folder, tables

if TYPE_CHECKING:
    from unmix.runs.spec import Spec

PAPERS = tuple(
    sorted(path.stem for path in Path(__file__).parent.glob("*.py") if folder(path.stem).is_dir())
)
"""The papers: every module here that has a folder of its name."""


@dataclass(frozen=True)
class Profile:
    """How much is run.

    Attributes:
        name: `tiny`, `quick` or `full`.
        clips: at most so many clips of (train, valid, test); None takes all.
        seeds: repetitions of each row with other seeds.
    """

    name: str
    clips: tuple[int, int, int] | None
    seeds: int


DEFAULT_PROFILE = "quick"

PROFILES = {
    "tiny": Profile("tiny", (6, 2, 3), 1),
    "quick": Profile("quick", (60, 12, 24), 1),
    "full": Profile("full", None, 3),
}


@dataclass(frozen=True)
class Setting:
    """What an experiment is built for.

    Attributes:
        profile: how much is run.
        real: whether real data is there.
        backend: who computes the scores, see `Evaluation`.
        part: whether it is that part of the dataset which a paper names in `SUBSET`, and not all,
            or the dataset that it names in `ALIKE`, and not its own.
    """

    profile: Profile
    real: bool
    backend: str = "unmix"
    part: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table: its key columns, the spec that reproduces it (with seed 0), and of what.

    `of` says which of a run's scores are the row's: the `part` of the split, the `source`, the
    `variant` of what the separator answers, see `metrics.means.selected`; or it names the `finding`
    of the run whose values the row shows, see `Run.findings`.
    """

    keys: Mapping[str, str]
    spec: Spec
    of: Mapping[str, str] = field(default_factory=dict)

    def scored_by(self, backend: str) -> Row:
        """Return the row with another backend of evaluation."""
        evaluation = replace(self.spec.evaluation, backend=backend)
        return replace(self, spec=replace(self.spec, evaluation=evaluation))


@dataclass(frozen=True)
class Experiment:
    """The runs behind one published table or figure, or behind one question of ours.

    Attributes:
        name: as in `unmix run PAPER/NAME`.
        title: one line for headings.
        metrics: names of the scores that the table shows.
        rows: in the published order.
        seeds: repetitions in profile `full`; other profiles have their own number.
    """

    name: str
    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    seeds: int = 1
    keys: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", tuple(self.rows[0].keys))


def profile(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        SpecError: there is no such profile.
    """
    if name not in PROFILES:
        raise SpecError(one_of("profile", name, PROFILES), expected=", ".join(PROFILES))
    return PROFILES[name]


def paper(name: str) -> ModuleType:
    """Return a paper's module.

    Raises:
        SpecError: there is no such paper, or it has no experiments.
    """
    if name in PUBLISHED and name not in PAPERS:
        raise SpecError(
            f"{name} has published numbers here, and no experiments yet",
            expected=f"a paper with experiments: {', '.join(PAPERS)}",
            do=f"look at its numbers with `{command('published', name)}`",
        )
    if name not in PAPERS:
        raise SpecError(one_of("paper", name, PAPERS), expected=", ".join(PAPERS))
    return import_module(f"unmix.papers.{name}")


def has_subset(paper_name: str) -> bool:
    """Return whether a paper names a part of its dataset that can be had without the whole."""
    return hasattr(paper(paper_name), "SUBSET")


def alike(paper_name: str) -> str:
    """Return the dataset of recordings that stands in for a paper's own, empty without one."""
    return getattr(paper(paper_name), "ALIKE", "")


def taken(paper_name: str, setting: Setting) -> str:
    """Return the dataset of recordings that a setting means, whether or not it takes any."""
    own: str = paper(paper_name).DATASET
    return (setting.part and alike(paper_name)) or own


def stands_in(paper_name: str) -> bool:
    """Return whether the stand-in has the full training where a paper's dataset is not there."""
    return getattr(paper(paper_name), "STANDS_IN", False)


def materials(paper_name: str, profile_name: str) -> list[tuple[bool, bool]]:
    """Return what a profile may be run on: `Setting.real` and `Setting.part`, the best first."""
    in_part = has_subset(paper_name) or bool(alike(paper_name))
    dataset = [(True, False)] + [(True, True)] * in_part
    if profile_name == "tiny":
        return [(False, False)]
    if profile_name == "full" and not stands_in(paper_name):
        return dataset
    return [*dataset, (False, False)]


def experiments(paper_name: str, setting: Setting) -> dict[str, Experiment]:
    """Return a paper's experiments by name."""
    found = {each.name: each for each in paper(paper_name).experiments(setting)}
    return {
        name: replace(each, rows=tuple(row.scored_by(setting.backend) for row in each.rows))
        for name, each in found.items()
    }


def experiment(paper_name: str, name: str, setting: Setting) -> Experiment:
    """Return one experiment.

    Raises:
        SpecError: the paper or the experiment is unknown, or is a figure of another experiment.
    """
    known = experiments(paper_name, setting)
    drawn = paper(paper_name).FIGURES.get(name)
    if drawn:
        raise SpecError(
            f"{paper_name}/{name} is a figure: notebooks/{paper_name}/{name}.ipynb draws it from "
            f"the runs of {drawn}",
            expected=", ".join(known),
            do=f"run `{command('run', f'{paper_name}/{drawn}')}`, then the notebook (`make lab`), "
            "or build the book, which does both",
        )
    if name not in known and name in tables(paper_name):
        raise SpecError(
            f"{paper_name}/{name} is published, and nothing here can be run for it",
            expected=", ".join(known),
            do=f"look at its numbers with `{command('published', f'{paper_name}/{name}')}`",
        )
    if name not in known:
        raise SpecError(
            one_of(f"experiment of {paper_name}:", name, known), expected=", ".join(known)
        )
    return known[name]
