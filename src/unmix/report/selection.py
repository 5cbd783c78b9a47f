"""Which row would be chosen on validation songs, which on test songs, and what the peek is worth.

A paper that reports the best of several networks on the songs it was chosen by reports the largest
of several numbers that chance has moved. The gap to the row that validation songs point at, at the
same seed, is what that is worth here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unmix.papers.evidence import Evidence
from unmix.report.figures import label
from unmix.report.tables import Shown, number, plain, words


@dataclass(frozen=True)
class Choice:
    """What one seed's runs would choose.

    Attributes:
        seed: of the runs.
        valid, test: label of the row with the lowest validation loss, and of that with the highest
            score on the test part.
        valid_score, test_score: scores of both on the test part, in dB.
    """

    seed: int
    valid: str
    test: str
    valid_score: float
    test_score: float


def choices(rows: Sequence[Evidence], metric: str) -> list[Choice]:
    """Return the choices of each seed that all rows with a training history have.

    Args:
        rows: what is chosen among; rows that were not trained are left out. Validation losses of
            two rows can be compared only if both minimise the same loss.
        metric: a score of `means.COLUMNS`.
    """
    found: dict[int, list[tuple[float, float, str]]] = {}
    trained = [item for item in rows if item.runs and item.row.spec.training is not None]
    for item in trained:
        for run, score in zip(item.runs, item.globals()[metric], strict=True):
            loss = float(run.history()["valid_loss"].min())
            found.setdefault(run.spec().seed, []).append((loss, float(score), label(item)))
    complete = {seed: each for seed, each in sorted(found.items()) if len(each) == len(trained) > 1}
    result = []
    for seed, candidates in complete.items():
        _, valid_score, valid = min(candidates)
        _, test_score, test = max(candidates, key=lambda one: one[1])
        result.append(Choice(seed, valid, test, valid_score, test_score))
    return result


def table(rows: Sequence[Evidence], metric: str, caption: str) -> Shown:
    """Return the choices as a table: a line a seed; without any, what they need."""
    found = choices(rows, metric)
    if not found:
        text = "A choice needs two trained rows with a seed in common."
        return Shown(f"<p>{text}</p>", text)
    heads = (
        "seed",
        "chosen on validation songs",
        f"its {metric} on test songs (dB)",
        "chosen on test songs",
        f"its {metric} on test songs (dB)",
        "worth of the peek (dB)",
    )
    lines = [
        (
            str(each.seed),
            words(each.valid),
            number(each.valid_score),
            words(each.test),
            number(each.test_score),
            number(each.test_score - each.valid_score, signed=True),
        )
        for each in found
    ]
    text = "\n".join(
        f"seed {each.seed}: {each.valid} ({number(each.valid_score)} dB) on validation songs, "
        f"{each.test} ({number(each.test_score)} dB) on test songs"
        for each in found
    )
    return Shown(plain(heads, lines, caption), text)
