"""What the benchmarks of networks share: a process of one's own, clocks, the machine's peak."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all have, and `task` and `call` for `apart`."""
    made = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("task", nargs="?", choices=["one"], help=argparse.SUPPRESS)
    made.add_argument("call", nargs="?", help=argparse.SUPPRESS)
    made.add_argument("--device", default="cpu")
    made.add_argument("--record", type=Path, metavar="FILE")
    return made


def device_name(device: str) -> str:
    """Return what a record says of where it was made."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return "CPU, one thread"


def clock(device: str) -> Callable[[], float]:
    """Return the clock by which arithmetic is rated: on a CPU its own, which stops for others."""
    return time.process_time if device == "cpu" else time.perf_counter


def matrix_peak(device: str, dtype: torch.dtype, size: int = 2048, times: int = 4) -> float:
    """Return the GFLOP/s of a square matrix product, the best of several."""
    a, b = torch.randn(2, size, size, device=device).to(dtype)
    best = float("inf")
    for _ in range(times):
        started = clock(device)()
        float((a @ b)[0, 0])  # waits for a GPU
        best = min(best, clock(device)() - started)
    return 2 * size**3 / best / 1e9


def apart(file: str, **call: Any) -> dict[str, Any]:
    """Carry out a measurement in a fresh process, so that its peak of memory is its own.

    `file` is run with `one` and the call as JSON, and prints what it found as JSON.
    """
    words = [sys.executable, file, "one", json.dumps(call)]
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)


def resident() -> float:
    """Return how much memory this process holds now, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20
