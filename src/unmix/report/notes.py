"""How the numbers of a table were obtained: a short list below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unmix.papers.evidence import MATERIAL, Evidence, between, fidelities
from unmix.runs.spec import EVERY, Mixing
from unmix.runs.store import Run


def notes(rows: Sequence[Evidence], published_budget: str = "") -> list[str]:
    """Return what a reader must know of a table's numbers, an entry a subject.

    Args:
        rows: the table's; those without runs are passed over.
        published_budget: how long the paper itself trains, in words; empty if it does not say.
    """
    done = [item for item in rows if item.runs]
    if not done:
        return ["Nothing was run yet."]
    kinds = fidelities(done)
    of_kind = {kind: [item for item in done if item.fidelity == kind] for kind in kinds}
    several = len(kinds) > 1
    lines = [_material(kind, items) for kind, items in of_kind.items()]
    lines += [_scores(done), _seeds(done)]
    for kind, items in of_kind.items():
        lines += _training(items, f" ({kind})" if several else "", published_budget)
    return [*lines, _time(done)]


def _runs(rows: Iterable[Evidence]) -> list[Run]:
    return [run for item in rows for run in item.runs]


def _material(kind: str, rows: Sequence[Evidence]) -> str:
    specs = [run.spec() for run in _runs(rows)]
    parts = {item.row.of.get("part", "test") for item in rows}
    # Of a run that scores several sources, `globals` counts each of them.
    found = (run.provenance()["clips"] for run in _runs(rows))
    clips = [counts[part] for counts in found for part in parts if part in counts]
    plural = "s" * (max(clips, default=0) != 1)
    return (
        f"Material: {kind} ({MATERIAL[kind]}): {_set(spec.dataset for spec in specs)}, split "
        f"{_set(spec.split for spec in specs)}, {between(clips)} "
        f"{_set(parts)} clip{plural}, "
        f"{_mixed([spec.mixing for spec in specs])}."
    )


def _mixed(found: Sequence[Mixing]) -> str:
    if any(mixing.targets for mixing in found):
        return f"{_set(name for mixing in found for name in mixing.targets)} mixed as recorded"
    levels = (f"{mixing.snr_db:g} dB".replace("-", "−") for mixing in found)
    return f"{_set(mixing.target for mixing in found)} mixed at {_set(levels)}"


def _scores(rows: Sequence[Evidence]) -> str:
    if all("finding" in item.row.of for item in rows):
        return "Values: J is the squared error over that of the identity, on the training vectors."
    evaluation = _runs(rows)[0].spec().evaluation
    version = _set(
        item.row.of.get("version", evaluation.version).replace("-", " (", 1) + ")" for item in rows
    )
    sources = _set(run.spec().evaluation.source for run in _runs(rows))
    unscored = int(max(item.globals()["unscored"].max() for item in rows))
    missing = f"; up to {unscored} clips a run have no score and are left out" if unscored else ""
    whose = sources if EVERY in sources else f"the {sources}"
    how, over = "whole clip", "clips"
    if evaluation.window:
        how = f"chunks of {evaluation.window:g} s every {evaluation.hop:g} s, their mean a clip"
        silent = int(max(_silent(item) for item in rows))
        least = f"up to {silent} a row" if silent else "none"
        over += f" (chunks that a silent source leaves without a score: {least})"
    return (
        f"Scores: BSS Eval {version}, {evaluation.taps} taps, {how}, of {whose}; means over "
        f"{over}, those with a G weighted by length{missing}."
    )


def _silent(item: Evidence) -> float:
    """Return how many chunks of a row have no score, the most of its runs."""
    found = [run.scores(item.row.of) for run in item.runs]
    # A chunk without a score has none for any of the sources that a row may be the mean of.
    return max(
        float(scores.groupby("clip")["silent"].max().sum()) if "silent" in scores else 0.0
        for scores in found
    )


def _seeds(rows: Sequence[Evidence]) -> str:
    counts = [len(item.runs) for item in rows]
    if max(counts) == 1:
        return "Seeds: one a row, so that no spread over seeds is known."
    return f"Seeds: {between(counts)} a row; ± is the standard deviation over them."


def _training(rows: Sequence[Evidence], which: str, published: str) -> list[str]:
    """Return how long networks were trained, beside the paper's own training; [] without any."""
    trained = [(run, each) for run in _runs(rows) if (each := run.spec().training)]
    # A separator that trains itself says how.
    own = _set(
        words for run in _runs(rows) if (words := getattr(run.spec().separator, "schooling", ""))
    )
    if own:
        paper = f"; the paper: {published}" if published else ""
        return [f"Training{which}: {own}{paper}."]
    if not trained:
        return []
    settings = [each for _, each in trained]
    allowed = between(each.epochs for each in settings)
    made = between(count for run, _ in trained for count in _passes(run))
    limit = "" if made == allowed else f", of at most {allowed}"
    steps = f"{between(each.batch for each in settings)} chunks a step"
    paper = f"; the paper: {published}" if published else ""
    return [f"Training{which}: {made} passes over the training part{limit}, {steps}{paper}."]


def _passes(run: Run) -> list[int]:
    """Return how many epochs a network was trained; one number for each round that there was."""
    history = run.history()
    return list(history.groupby("round").size()) if "round" in history else [len(history)]


def _time(rows: Sequence[Evidence]) -> str:
    made = [(run.provenance(), run.history()) for run in _runs(rows)]
    # A resumed training spent the epochs before in an earlier process.
    learning = [
        max(entry["learning_s"], history["seconds"].sum() if len(history) else 0.0)
        for entry, history in made
    ]
    spent = between(round(seconds) for seconds in learning)
    return f"Time: learning took {spent} s a run, on {_set(entry['device'] for entry, _ in made)}."


def _set(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))
