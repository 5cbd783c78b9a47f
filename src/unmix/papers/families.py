"""To which papers, experiments and rows a run belongs, whatever profile it was run in."""

from __future__ import annotations

from dataclasses import dataclass

from unmix.papers.experiment import PAPERS, PROFILES, Setting, experiments, materials
from unmix.runs.spec import BACKENDS


@dataclass(frozen=True)
class Place:
    """Where a run belongs.

    Attributes:
        paper: the paper.
        experiment: its name.
        row: the row's key columns, joined by commas.
        profile: of the spec.
        backend: who computed the scores.
    """

    paper: str
    experiment: str
    row: str
    profile: str
    backend: str = "unmix"


def families() -> dict[str, list[Place]]:
    """Return the places of every family of specs that an experiment of a profile has today.

    A spec may stand in several tables, and its family is then named once for each.
    """
    found: dict[str, list[Place]] = {}
    for paper in PAPERS:
        settings = [
            Setting(profile, real, backend, part)
            for profile in PROFILES.values()
            for real, part in materials(paper, profile.name)
            for backend in BACKENDS
        ]
        for setting in settings:
            for experiment in experiments(paper, setting).values():
                for row in experiment.rows:
                    label = ", ".join(row.keys.values())
                    names = (setting.profile.name, setting.backend)
                    place = Place(paper, experiment.name, label, *names)
                    found.setdefault(row.spec.family(), []).append(place)
    return found
