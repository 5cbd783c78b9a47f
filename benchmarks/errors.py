"""How often the rules of the verdicts err, and what they find, on evidence with known truth.

    python benchmarks/errors.py                     2,000 simulations of each truth
    python benchmarks/errors.py --simulations 200   fewer
    python benchmarks/errors.py --jobs 4            on so many cores
    python benchmarks/errors.py --record FILE       write the rates as JSON, as the book shows them

Songs and seeds scatter as in the evidence of parwal's Table IV (40 songs; eight rows with several
seeds). Four parts: truths on the edge between two outcomes, where the rules may be wrong in 5 % of
cases; truths that they should find; how often the smallest difference that they say they find in
four of five cases is found, alone and among twenty claims; and the errors where the evidence is not
as the rules take it to be.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from recording import Record

from unmix.papers.evidence import offers
from unmix.runs.store import Store
from unmix.verdicts import scenarios
from unmix.verdicts.panel import LEVEL, SEEDS, panel
from unmix.verdicts.simulated import Case, Components, Scenario, World, components, rates

BAR = 0.06
"""Share of wrong outcomes that is no cause for concern at a level of 5 % and 2,000 simulations."""

CLAIMS = 20
"""Claims that are decided together, where power is asked after correction."""

TABLE, METRIC = ("parwal", "table4"), "nsdr"

OTHER_WORLDS: dict[str, dict[str, Any]] = {
    "songs differ with heavy tails": {"shape": "heavy"},
    "songs differ with a skew": {"shape": "skewed"},
    "6 songs": {"songs": 6},
    "songs of very unequal weight": {"weights": np.geomspace(1.0, 10.0, 40)},
    "2 rows with several seeds": {"repeated": 2},
    "seeds move these rows twice as far as others": {"uneven": 2.0},
}
"""Where the evidence is not as the rules take it to be, or less."""

EDGES = (
    ("greater", "no difference"),
    ("equal", "apart by the margin"),
    ("value, same songs", "as measured by the paper, but for chance"),
    ("value, other songs", "as measured by the paper, but for chance"),
    ("threshold", "at the limit"),
    ("trend", "level"),
    ("peak", "two are best"),
)
"""Truths that are asked there."""


def evidence() -> Components:
    """Return how far songs and seeds scatter in the table's rows."""
    with tempfile.TemporaryDirectory() as folder:
        found = [of_row[0] for of_row in offers(*TABLE, Store(folder))]
        runs = [item.runs for item in found if item.fidelity == "full" and len(item.runs) > 1]
        # The same number of seeds in each row.
        seeds = min(len(of_row) for of_row in runs)
        return components(
            [panel([run.scores() for run in of_row[:seeds]], METRIC) for of_row in runs]
        )


def world(parts: Components, seeds: int, name: str, **more: Any) -> World:
    """Return a world whose draws depend on its name and the number of seeds alone."""
    return World(parts, np.random.default_rng([seeds, *name.encode()]), seeds=seeds, **more)


def told(part: str, scenario: Scenario, found: World, where: str, count: int) -> dict[str, Any]:
    """Return one row of the result."""
    shares = rates(scenario, found, count)
    row = {"part": part, "kind": scenario.kind, "truth": scenario.truth, "seeds": found.seeds}
    if where:
        row["where"] = where
    right = {"right": shares.wanted} if part == "found" else {"wrong": shares.wrong}
    return {**row, **right, "outcomes": dict(shares.outcomes)}


def powered(found: World, claims: int, count: int) -> dict[str, Any]:
    """Return how often a difference is found that evidence says it finds in four of five cases."""
    test = scenarios.greater(0.0, margin=0.0)
    stated = float(
        np.median([test(found).reach.at(LEVEL / claims) for _ in range(max(count // 10, 20))])
    )
    test = scenarios.greater(stated, margin=0.0)

    def cases(there: World) -> list[Case]:
        return [Case([test(there)], (), ("reproduced",))]

    scenario = Scenario("greater", "as stated", cases)
    shares = rates(scenario, found, count, LEVEL / claims)
    row = {"part": "power", "kind": "greater", "seeds": found.seeds, "claims": claims}
    return {**row, "stated": round(stated, 4), "right": shares.wanted}


def jobs(parts: Components, count: int) -> list[Any]:
    """Return all that is to be simulated, in the order in which it is told."""
    work = [
        delayed(told)(part, scenario, world(parts, seeds, scenario.truth), "", count)
        for part, several in (("errors", scenarios.ERRORS), ("found", scenarios.FINDINGS))
        for scenario in several
        for seeds in scenario.seeds
    ]
    edges = [each for each in scenarios.ERRORS if (each.kind, each.truth) in EDGES]
    for name, more in OTHER_WORLDS.items():
        for scenario in edges:
            work += [
                delayed(told)(
                    "elsewhere", scenario, world(parts, seeds, scenario.truth, **more), name, count
                )
                for seeds in scenario.seeds
            ]
    for claims in (1, CLAIMS):
        work += [
            delayed(powered)(world(parts, seeds, "power"), claims, count) for seeds in (1, 3, SEEDS)
        ]
    return work


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows of each part."""
    for row in rows:
        if row["part"] == "power":
            what = f"{row['stated']:.3f} dB, stated as found in 80 %; {row['claims']} claims"
        else:
            what = ": ".join(filter(None, (row.get("where"), row["kind"], row["truth"])))
        name = "wrong" if "wrong" in row else "right"
        mark = "  above the bar" if row.get("wrong", 0.0) > BAR else ""
        seeds, share = f"{row['seeds']} seeds", f"{100 * row[name]:5.1f} %"
        print(f"{row['part']:9s} {what:106s} {seeds}  {name} {share}{mark}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    record = Record(
        "Rules of the verdicts on evidence with known truth",
        f"python benchmarks/errors.py --simulations {options.simulations}",
    )
    parts = evidence()
    print(f"standard deviations in dB: {parts}")
    record.rows = Parallel(options.jobs)(jobs(parts, options.simulations))
    record.about |= {
        "simulations": options.simulations,
        "level": LEVEL,
        "bar": BAR,
        "components": {name: round(value, 4) for name, value in vars(parts).items()},
        "margin": scenarios.MARGIN,
        "wide": scenarios.WIDE,
    }
    show(record.rows)
    record.write(options.record)


if __name__ == "__main__":
    main()
