"""uhlich's training at full size: least squares in one pass, L-BFGS, and the making of vectors.

    python benchmarks/layerwise.py                     about a minute on one core
    python benchmarks/layerwise.py --whole 1000000     and as many as in the paper through least
                                                       squares in one pass (five minutes more)
    python benchmarks/layerwise.py --device cuda --vectors 1000000 --held 1000000
    python benchmarks/layerwise.py --record FILE       write the figures as JSON for the book

On noise: nothing here depends on the sound. Least squares (Eq. 4) runs in fresh processes, so that
the peak of memory is its own: in one pass over vectors that are made as they are needed, over as
many and over half as many (memory is to be the same), and in the straightforward way, with all
vectors in memory and their covariance as one product of matrices. Times include making the vectors.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import torch
from measuring import apart, clock, device_name, matrix_peak, parser, resident
from recording import Record

from unmix.runs.machine import peak_memory
from unmix.training.descent import Lbfgs, Objective
from unmix.training.generator import BLOCK, Examples, Generator, Solo
from unmix.training.layerwise import Layerwise, flat, started
from unmix.training.leastsquares import Moments, least_squares

WINDOW, CONTEXT, BINS = 1024, 3, 513
FEATURES = (2 * CONTEXT + 1) * BINS


def generator(device: str, minutes: float = 1.0) -> Generator:
    """Return what draws vectors of three instruments, each of so many minutes of noise."""
    rng = np.random.default_rng(0)
    size = (2 * CONTEXT + 1) * WINDOW
    solos = []
    for name in ("horn", "piano", "violin"):
        sound = 0.1 * rng.standard_normal(round(60 * 32000 * minutes), dtype=np.float32)
        solos.append(Solo.of([sound], size, name, device=device))
    return Generator(tuple(solos), WINDOW, CONTEXT, seed=0)


def wait(device: str) -> None:
    """Let a GPU come to its end."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def streamed(examples: Examples) -> float:
    """Return the largest weight of the solution in one pass."""
    return float(least_squares(examples.blocks(BLOCK))[0][0].abs().max())


def straightforward(examples: Examples) -> float:
    """Return the largest weight of the solution with everything in memory at once."""
    pairs = list(examples.blocks(BLOCK))
    x, s = (torch.cat(each).double() for each in zip(*pairs, strict=True))
    x -= x.mean(0)
    s -= s.mean(0)
    return float(torch.linalg.solve(x.T @ x, x.T @ s).abs().max())


def solve(way: str, vectors: int, device: str) -> dict[str, Any]:
    """Return what least squares takes: time in s, memory in MiB beside the recordings."""
    torch.set_num_threads(1)
    examples = Examples(generator(device), 0, vectors, 0.0)
    if device != "cpu":
        examples._held = None  # a GPU would hold them; here they are to be streamed
    examples.rows(0, 1)
    # Libraries load what they need when they are first called.
    warm = Moments()
    warm.add(torch.rand(9, 4, device=device), torch.rand(9, 2, device=device))
    warm.solved()
    before = resident()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
    started_at, now = clock(device)(), clock(device)
    largest = {"streamed": streamed, "straightforward": straightforward}[way](examples)
    wait(device)
    found = {"seconds": now() - started_at, "largest": largest}
    found["beside_mib"] = peak_memory() - before
    if device != "cpu":
        found["device_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    return found


def operations(layers: int) -> float:
    """Return the operations of loss and gradient for one vector."""
    first, others = 2 * FEATURES * BINS, 2 * BINS * BINS * (layers - 1)
    return 2 * first + 3 * others


def descend(
    record: Record, made: Generator, vectors: int, turns: int, device: str, peak: float
) -> dict[int, float]:
    """Measure L-BFGS on vectors in memory; return the seconds of an evaluation, by layers."""
    examples = Examples(made, 0, vectors, float("inf"))
    objective = Objective(examples)
    layers: tuple[Any, ...] = ()
    each: dict[int, float] = {}
    for count in range(1, 6):
        layers = (
            *layers,
            started(objective, layers, Layerwise(start="identity"), np.random.default_rng(0))[0],
        )
        if count not in (1, 5):
            continue
        weights = flat(layers)
        optimiser = Lbfgs(objective, weights, 10)
        optimiser.turn()
        objective.seen = 0
        begun, wall = clock(device)(), time.perf_counter()
        for _ in range(turns):
            optimiser.turn()
        wait(device)
        spent, wall = clock(device)() - begun, time.perf_counter() - wall
        evaluations = objective.seen / vectors
        each[count] = spent / evaluations
        share = operations(count) * vectors * evaluations / spent / 1e9 / peak
        record.row(
            f"L-BFGS iteration, {count} layers, {vectors} vectors", [spent / turns],
            layers=count, vectors=vectors, iterations_per_s=turns / spent,
            evaluations_per_s=evaluations / spent, evaluations_per_iteration=evaluations / turns,
            peak_share=share,
        )  # fmt: skip
        print(
            f"    {turns / spent:.3g} iterations/s, {evaluations / spent:.3g} evaluations/s, "
            f"{100 * share:.0f} % of the peak of a matrix product; of this time "
            f"{100 * spent / wall:.0f} % on the processor"
        )
    return each


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--vectors", type=int, default=16384, help="of least squares, both ways")
    arguments.add_argument("--whole", type=int, help="vectors of one more pass of least squares")
    arguments.add_argument("--held", type=int, default=8192, help="vectors of L-BFGS, in memory")
    arguments.add_argument("--turns", type=int, default=5, help="iterations of L-BFGS")
    options = arguments.parse_args()
    if options.task:
        print(json.dumps(solve(**json.loads(options.call))))
        return
    torch.set_num_threads(1)
    device = options.device
    record = Record(
        "Layer-wise training at full size",
        f"python benchmarks/layerwise.py --device {device} --vectors {options.vectors} "
        f"{f'--whole {options.whole} ' if options.whole else ''}"
        f"--held {options.held} --turns {options.turns} --record results/benchmarks/layerwise.json",
    )
    peak = matrix_peak(device, torch.float32)
    record.about["device"] = device_name(device)
    record.about["matrix_peak_gflops"] = round(peak, 1)
    made = generator(device)
    each = descend(record, made, options.held, options.turns, device, peak)
    blocks = 8
    made.block(0, 0)
    begun = clock(device)()
    for number in range(blocks):
        made.block(number, 0)
    wait(device)
    making = (clock(device)() - begun) / blocks / BLOCK
    for count, seconds in each.items():
        share = making * options.held / seconds
        print(f"    making vectors takes {share:.2f} of an evaluation with {count} layers")
    record.row(
        f"Making {BLOCK} vectors", [making * BLOCK], vectors_per_s=1 / making,
        share_of_evaluation={str(n): making * options.held / s for n, s in each.items()},
    )  # fmt: skip
    found: dict[tuple[str, int], dict[str, Any]] = {}
    ways = [("streamed", options.vectors // 2), ("streamed", options.vectors)]
    if options.vectors <= 10**5:
        ways.append(("straightforward", options.vectors))
    if options.whole:
        ways.append(("streamed", options.whole))
    for way, vectors in ways:
        took = apart(__file__, way=way, vectors=vectors, device=device)
        seconds = took.pop("seconds")
        record.row(f"Least squares, {way}, {vectors} vectors", [seconds], vectors=vectors,
                   way=way, **took)  # fmt: skip
        print(f"    {took['beside_mib']:.0f} MiB beside the recordings")
        found[way, vectors] = took | {"seconds": seconds}
    if ("straightforward", options.vectors) in found:
        one, other = (found[way, options.vectors] for way in ("streamed", "straightforward"))
        print(
            f"    streamed against straightforward: {one['seconds'] / other['seconds']:.2f} of the "
            f"time, {one['beside_mib'] / other['beside_mib']:.2f} of the memory"
        )
    record.write(options.record, under=torch.device(device).type)


if __name__ == "__main__":
    main()
