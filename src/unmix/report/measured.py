"""What the benchmarks measured, as the book shows it: from the files that they wrote."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from unmix.errors import UnmixError
from unmix.report.tables import Shown, listed, scrolling
from unmix.runs.places import results_folder


def measured(name: str) -> Shown:
    """Return the figures of a benchmark as a table, with the machine, the day and the command.

    Raises:
        UnmixError: the file is not what a benchmark wrote.
    """
    return recorded(name, _shown)


def recorded(name: str, show: Callable[[Mapping[str, Any]], Shown]) -> Shown:
    """Return what a benchmark wrote as `show` shows it.

    It comes from `results/benchmarks/NAME.json`, which `python benchmarks/NAME.py --record FILE`
    writes; what a benchmark measures of one paper is called NAME-PAPER. Where there is no such
    file, the command that makes it is shown.

    Raises:
        UnmixError: the file is not what a benchmark wrote.
    """
    path = results_folder("benchmarks") / f"{name}.json"
    script, _, paper = name.partition("-")
    option = f" --paper {paper}" if paper else ""
    again = f"python benchmarks/{script}.py{option} --record {path}"
    if not path.is_file():
        words = f"Not measured yet: {again}"
        return Shown(f"<p>{html.escape(words)}</p>", words)
    try:
        return show(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnmixError(
            f"{path}: cannot be read ({type(error).__name__}: {error})",
            expected="the figures of a benchmark, as it wrote them",
            do=f"measure again: {again}",
        ) from error


def _shown(found: Mapping[str, Any]) -> Shown:
    body, lines = "", []
    for row in found["rows"]:
        taken, goal = median(row["seconds"]), row["goal"]
        cells = [duration(taken), f"below {duration(goal)}" if goal else "", _met(taken, goal)]
        values = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        body += f'<tr><th scope="row">{html.escape(row["what"])}</th>{values}</tr>'
        lines.append(", ".join([row["what"], *filter(None, cells)]))
    head = "".join(f'<th scope="col">{name}</th>' for name in ("what", "time", "goal", "met"))
    entries = _origin(found)
    markup = scrolling(f"<tr>{head}</tr>", body, found["title"]) + listed(entries)
    return Shown(markup, "\n".join([found["title"], *lines, *entries]))


def _met(taken: float, goal: float | None) -> str:
    return "" if goal is None else "yes" if taken < goal else "no"


def _origin(found: Mapping[str, Any]) -> list[str]:
    """Return where and when figures were taken, and how they are taken again."""
    machine, count = found["machine"], max(len(row["seconds"]) for row in found["rows"])
    versions = ", ".join(f"{name} {number}" for name, number in sorted(found["versions"].items()))
    times = f"; times are medians of {count}, unless it says once" if count > 1 else ""
    return [
        f"Measured: on {found['made']}, on {machine['cores']} cores ({machine['architecture']}) "
        f"with a load of {machine['load']:g} from other work at the start and of "
        f"{machine['load_after']:g} in all at the end{times}.",
        f"Versions: {versions}.",
        f"To repeat: {found['command']}",
    ]


def duration(seconds: float) -> str:
    """Return a time with two digits or three: in ms below a tenth of a second, else in s."""
    value, unit = (seconds, "s") if seconds >= 0.1 else (1000 * seconds, "ms")
    return f"{value:.0f} {unit}" if value >= 10 or value == round(value) else f"{value:.2f} {unit}"
