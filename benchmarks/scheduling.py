"""Time that the engine dask spends on a run beside the run itself.

Hands 10,000 specs that do nothing to worker processes with one thread each, in the engine's own
way: each worker is asked what it is, each job is guarded, and each end comes back. The goal is
less than 5 ms a run.

    python benchmarks/scheduling.py [--runs 10000] [--workers 2] [--record FILE]

`--record` writes the figures as JSON, as the book shows them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from recording import Record

from unmix.models.oracle import Mixture
from unmix.runs import workers
from unmix.runs.spec import Spec

GOAL = 0.005
"""Seconds that the engine may spend on a run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--record", type=Path, metavar="FILE")
    options = parser.parse_args()
    record = Record(
        f"{options.runs:,} runs that do nothing, through Dask on {options.workers} workers",
        "python benchmarks/scheduling.py --record results/benchmarks/scheduling.json",
    )

    def nothing(key, spec, root, data_root, device):
        """Stand in for a run. Defined here, it travels by value."""

    spec = Spec(dataset="synthetic-voice", split="standin", separator=Mixture())
    with tempfile.TemporaryDirectory() as root, workers.probe(root) as file:
        jobs = [
            (f"{seed:064d}", spec.with_seed(seed), root, None, "cpu")
            for seed in range(options.runs)
        ]
        question = workers.Question(("unmix.runs.execute",), file, None, ())
        with workers.connected(None, options.workers) as client:
            # Asking the workers imports torch there; that is once a worker, not once a run.
            workers.spread(client, nothing, jobs[:1], question, {}, lambda key: None)
            done: list[str] = []
            started = time.perf_counter()
            workers.spread(client, nothing, jobs, question, {}, done.append)
            seconds = time.perf_counter() - started
    assert len(set(done)) == len(done) == options.runs
    record.row("all runs", [seconds])
    record.row("each run", [seconds / options.runs], GOAL)
    record.write(options.record)


if __name__ == "__main__":
    main()
