"""A test clip as a stored run separates it."""

from __future__ import annotations

import os
from typing import Any

from unmix.datasets.catalogue import open_dataset
from unmix.papers.evidence import MATERIAL
from unmix.runs import execute
from unmix.runs.rounds import rounds
from unmix.runs.scene import loaded, scene
from unmix.runs.store import Run


def separated(
    run: Run, data_root: str | os.PathLike | None, clip: str | None = None, variant: str = ""
) -> dict[str, dict[str, Any]]:
    """Return mixture, references and estimates of a test clip by a stored run.

    Args:
        run: with its weights.
        data_root: folder with datasets.
        clip: its name; where the run's test part has none of that name, its first is taken.
        variant: one of the separator's answers, see `execute.separated`.
    """
    spec = run.spec()
    dataset = open_dataset(spec.dataset, data_root, spec.clips)
    test = [name for parts in rounds(spec, dataset) for name in parts["test"]]
    name = clip if clip and clip in test else test[0]
    mixed = scene(loaded(dataset, name, spec.rate, spec.mixing), spec.mixing)
    separator = execute.restore(spec, run.weights)
    return {
        "clip": {"name": name, "words": _which(run, name, clip)},
        "mixture": {"mixture": mixed.mixture},
        "references": dict(mixed.references),
        "estimates": execute.separated(spec, separator, mixed, variant),
    }


def _which(run: Run, drawn: str, wanted: str | None) -> str:
    """Return in words which clip is shown, of what material, and instead of which other one."""
    instead = f" (the test part has no {wanted})" if wanted and wanted != drawn else ""
    return f"Test clip {drawn}{instead}: {MATERIAL[run.provenance()['fidelity']]}"
