"""How long the commands of `unmix runs` take on a large store.

python benchmarks/store.py                   100,000 made-up runs in a temporary folder
python benchmarks/store.py --runs 5000       fewer
python benchmarks/store.py --folder DIR      keep them there, and use what is there again

Times are wall times of whole commands, from the shell's point of view, the interpreter's start
included; the best of three. Files come from the page cache.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from unmix.papers.experiment import PAPERS, PROFILES, Setting, experiments
from unmix.runs import checksums
from unmix.runs.store import write_json

CALL = "from unmix.cli import main; main()"

BAR = 2.0
"""Seconds that a listing and a comparison of 100,000 runs may take."""


def generate(root: Path, count: int) -> None:
    """Write runs of all rows of all papers under `full`, with as many seeds as it takes."""
    setting = Setting(PROFILES["full"], True)
    specs = [
        row.spec
        for paper in PAPERS
        for experiment in experiments(paper, setting).values()
        for row in experiment.rows
    ]
    families = [spec.family() for spec in specs]
    plain = [spec.plain() for spec in specs]
    for number in range(count):
        which, seed = number % len(specs), number // len(specs)
        folder = root / hashlib.sha256(str(number).encode()).hexdigest()
        folder.mkdir(parents=True)
        write_json(folder / "spec.json", {**plain[which], "seed": seed})
        (folder / "scores.csv").write_text("clip,samples,nsdr\na,1,2.5\n", encoding="utf-8")
        about = {"family": families[which], "seed": seed, "fidelity": "full", "wall_s": 166.102}
        about |= {"finished": "2026-11-21T05:21:32Z", "global": {"GNSDR": 2.5 + number % 7}}
        about |= {"clips": {"test": 1}, "device": "made up", "commit": f"{number:040x}"}
        write_json(folder / "provenance.json", about)
        checksums.write(folder)


def timed(store: Path, *words: str, times: int = 3) -> float:
    """Return the best wall time of a command in s."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", CALL, "runs", *words, "--store", str(store)],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = asked.folder or Path(scratch)
        start = time.perf_counter()
        if not any(store.glob("*/provenance.json")):
            generate(store, asked.runs)
        keys = sorted(name for name in os.listdir(store) if len(name) == 64)
        print(f"{len(keys)} runs, generated in {time.perf_counter() - start:.1f} s")
        one, other = keys[0], keys[len(keys) // 2]
        print(f"list, without an index     {timed(store, 'list', times=1):6.2f} s (once)")
        rows = {
            "list": ("list",),
            "list of one row": ("list", "--experiment", "table4", "--system", "3 RNN, KL"),
            "list --json": ("list", "--json"),
            "diff": ("diff", one[:12], other[:12]),
        }
        for name, words in rows.items():
            took = timed(store, *words)
            bar = f"at most {BAR} s: {'met' if took < BAR else 'MISSED'}"
            print(f"{name:26s} {took:6.2f} s ({'no bar' if '--json' in words else bar})")
        os.utime(store / one / "provenance.json")
        print(f"list, one run touched      {timed(store, 'list', times=1):6.2f} s (once)")


if __name__ == "__main__":
    main()
