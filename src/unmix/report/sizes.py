"""How many weights the networks of a table have."""

from __future__ import annotations

from unmix.papers.experiment import Experiment
from unmix.report.tables import Shown, plain


def weights(found: Experiment) -> Shown:
    """Return a table of the networks of an experiment that know the number of their weights."""
    seen: dict[object, tuple[str, int]] = {}
    for row in found.rows:
        count = getattr(row.spec.separator, "weights", None)
        if count:
            first = next(iter(row.keys.values()))
            seen.setdefault(row.spec.separator, (first, count(len(row.spec.mixing.sources))))
    lines = [[name, f"{count:,}"] for name, count in seen.values()]
    text = "\n".join(", ".join(line) for line in lines)
    return Shown(plain([found.keys[0], "weights"], lines, f"{found.title}: weights"), text)
