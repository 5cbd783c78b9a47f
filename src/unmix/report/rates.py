"""How often the rules of the verdicts err, as `benchmarks/errors.py` measured it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from unmix.report.measured import recorded
from unmix.report.tables import Shown, scrolling


def rates() -> Shown:
    """Return the worst rates of wrong outcomes by kind of comparison and number of seeds.

    Below them stand the worst rates where the evidence is not like ours, by what is different.

    Raises:
        UnmixError: the file is not what the benchmark wrote.
    """
    return recorded("errors", _shown)


def _shown(found: Mapping[str, Any]) -> Shown:
    like_ours = _worst(found, "errors", "kind")
    others = _worst(found, "elsewhere", "where")
    seeds = sorted({row["seeds"] for row in found["rows"]})
    body = _lines(like_ours, seeds) + _part("where the evidence is unlike ours, any kind", seeds)
    body += _lines(others, seeds)
    names = ["comparison", *(f"{count} seed{'s' * (count > 1)}" for count in seeds)]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    caption = (
        f"Wrong outcomes in % of {found['simulations']:,} simulations with known truth, at the "
        f"least favourable truth of each kind; {100 * found['level']:g} % are aimed at. Scatter as "
        f"in our evidence of Table IV of parwal. {_power(found)}Measured {found['made']} by "
        f"`{found['command']}`."
    )
    text = [
        f"{kind}: {', '.join(_percent(by_seed.get(count)) for count in seeds)}"
        for kind, by_seed in {**like_ours, **others}.items()
    ]
    return Shown(scrolling(f"<tr>{head}</tr>", body, caption), "\n".join([caption, *text]))


def _power(found: Mapping[str, Any]) -> str:
    """Return how often a difference of 1 dB is found by the kind that finds it least often."""
    rows = [row for row in found["rows"] if row["part"] == "found" and "1 dB" in row["truth"]]
    if not rows:
        return ""
    least = min(rows, key=lambda row: row["right"])
    share = f"{_percent(least['right'])} % of cases or more"
    return f"A difference of 1 dB is found in {share} (least often: {least['kind']}). "


def _worst(found: Mapping[str, Any], part: str, by: str) -> dict[str, dict[int, float]]:
    """Return the largest rate of wrong outcomes by a column and the number of seeds."""
    worst: dict[str, dict[int, float]] = {}
    for row in found["rows"]:
        if row["part"] == part:
            of_kind = worst.setdefault(row[by], {})
            of_kind[row["seeds"]] = max(of_kind.get(row["seeds"], 0.0), row["wrong"])
    return worst


def _part(name: str, seeds: list[int]) -> str:
    return f'<tr class="first"><th scope="rowgroup" colspan="{1 + len(seeds)}">{name}</th></tr>'


def _lines(worst: Mapping[str, Mapping[int, float]], seeds: list[int]) -> str:
    lines = []
    for kind, by_seed in worst.items():
        values = "".join(f"<td>{_percent(by_seed.get(count))}</td>" for count in seeds)
        lines.append(f'<tr><th scope="row">{html.escape(kind)}</th>{values}</tr>')
    return "".join(lines)


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.1f}"
