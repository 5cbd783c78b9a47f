"""How long commands take on a large store.

    python benchmarks/store.py                   100,000 made-up runs in a temporary folder
    python benchmarks/store.py --runs 5000       fewer
    python benchmarks/store.py --folder DIR      keep them there, and use what is there again
    python benchmarks/store.py --record FILE     write the figures as JSON, as the book shows them

Times are wall times of whole commands, from the shell's point of view, the interpreter's start
included; the median of three. Files come from the page cache. Among the runs are those of a table
under its true keys, ten seeds a row, on the stand-in: the table is made of them.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recording import Record

from unmix.papers.evidence import wanted
from unmix.papers.experiment import PAPERS, PROFILES, Setting, experiments
from unmix.runs import checksums
from unmix.runs.store import write_json

CALL = "from unmix.cli import main; main()"

BAR = 2.0
"""Seconds that a listing, a comparison and a table of 100,000 runs may take."""

TABLE, SEEDS, CLIPS = ("parwal", "table4"), 10, 370
"""The table that the store feeds, seeds a row, and test clips a run (those of MIR-1K)."""


def runs_of_a_table() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield key, plain spec and fidelity of the runs that a table takes from a store."""
    for of_row in wanted(*TABLE, seeds=SEEDS, best=False):
        for each in of_row:
            for seed, key in enumerate(each.stored):
                yield key, each.row.spec.with_seed(seed).plain(), "stand-in"


def other_runs() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield runs of all rows of all papers under `full`, with as many seeds as it takes."""
    setting = Setting(PROFILES["full"], True)
    specs = [
        row.spec.plain()
        for paper in PAPERS
        for experiment in experiments(paper, setting).values()
        for row in experiment.rows
    ]
    for number in itertools.count():
        seed, which = divmod(number, len(specs))
        key = hashlib.sha256(str(number).encode()).hexdigest()
        yield key, {**specs[which], "seed": seed}, "full"


def scores(number: int, clips: int) -> str:
    """Return made-up scores as CSV."""
    lines = ["clip,song,artist,samples,source,sdr,sir,sar,mixture_sdr,nsdr"]
    for clip in range(clips):
        level = 5 + (number + clip) % 7
        lines.append(
            f"a_{clip},a,a,{8000 + clip},voice,{level},{level + 3},{level + 4},0.5,{level}"
        )
    return "\n".join(lines) + "\n"


def generate(root: Path, count: int) -> None:
    """Write so many runs."""
    from unmix.plain import digest

    every = itertools.chain(runs_of_a_table(), other_runs())
    for number, (key, spec, fidelity) in enumerate(itertools.islice(every, count)):
        folder, clips = root / key, CLIPS if fidelity == "stand-in" else 1
        folder.mkdir(parents=True)
        write_json(folder / "spec.json", spec)
        (folder / "scores.csv").write_text(scores(number, clips), encoding="utf-8")
        family = digest({name: value for name, value in spec.items() if name != "seed"})
        about = {"family": family, "seed": spec["seed"], "fidelity": fidelity, "wall_s": 166.102}
        about |= {"finished": "2026-11-21T05:21:32Z", "global": {"GNSDR": 2.5 + number % 7}}
        about |= {"clips": {"test": clips}, "device": "made up", "commit": f"{number:040x}"}
        write_json(folder / "provenance.json", about)
        checksums.write(folder)


def timed(store: Path, *words: str, times: int = 3) -> list[float]:
    """Return wall times of a command in s."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", CALL, *words, "--store", str(store)],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        taken.append(time.perf_counter() - start)
    return taken


def measure(store: Path, record: Record) -> None:
    """Take all figures of a store."""
    keys = sorted(name for name in os.listdir(store) if len(name) == 64)
    one, other = keys[0], keys[len(keys) // 2]
    table = ("table", "/".join(TABLE), "--seeds", str(SEEDS))
    first = {
        "unmix runs list, without its index": ("runs", "list"),
        "unmix table, the first after a change of code": table,
    }
    for cache in ("index.jsonl", "families.json", "tables.json"):
        (store / cache).unlink(missing_ok=True)
    for what, words in first.items():
        record.row(f"{what} (once)", timed(store, *words, times=1))
    rows = {
        "unmix runs list": ("runs", "list"),
        "unmix runs list, one row of a table": (
            *("runs", "list", "--experiment", "table4"),
            *("--system", "3 RNN, KL"),
        ),
        "unmix runs diff": ("runs", "diff", one[:12], other[:12]),
        "unmix table, the best evidence": table,
        f"unmix table --own, {SEEDS} seeds a row": (*table, "--own"),
    }
    for what, words in rows.items():
        record.row(what, timed(store, *words), BAR)
    record.row("unmix runs list --json", timed(store, "runs", "list", "--json"))


def sound(store: Path) -> None:
    """Make sure that the table is made of the store's runs: what is measured must be what is meant.

    Raises:
        SystemExit: it is not; the store was made by other code.
    """
    words = ["table", "/".join(TABLE), "--seeds", str(SEEDS), "--own", "--csv"]
    told = subprocess.run(
        [sys.executable, "-c", CALL, *words, "--store", str(store)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if told.count(f",{SEEDS},stand-in,") != len(told.splitlines()) - 1:
        sys.exit(f"{store}: holds no runs of {'/'.join(TABLE)} for today's code; make it anew")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--record", type=Path, metavar="FILE")
    asked = parser.parse_args()
    # A dataset at hand would change which runs a table looks for.
    os.environ.pop("UNMIX_DATA", None)
    with tempfile.TemporaryDirectory() as scratch:
        store = asked.folder or Path(scratch)
        start = time.perf_counter()
        if not any(store.glob("*/provenance.json")):
            generate(store, asked.runs)
        count = sum(len(name) == 64 for name in os.listdir(store))
        print(f"{count} runs, generated in {time.perf_counter() - start:.1f} s")
        sound(store)
        record = Record(
            f"Whole commands on a store of {count:,} runs",
            "python benchmarks/store.py --record results/benchmarks/store.json",
        )
        measure(store, record)
        record.write(asked.record)


if __name__ == "__main__":
    main()
