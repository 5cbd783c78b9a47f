"""What the benchmarks write for the book: figures, and on what machine they were taken."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from unmix.runs import machine
from unmix.runs.store import write_json


def load() -> float:
    """Return how many processes wanted a core during the last minute, on average."""
    return round(os.getloadavg()[0], 2)


class Record:
    """The rows of one benchmark, printed as they come."""

    def __init__(self, title: str, command: str) -> None:
        """Note the day, the machine and its load, before anything is measured.

        Args:
            title: what was measured, in words.
            command: that measures it again.
        """
        self.about: dict[str, Any] = {
            "title": title,
            "command": command,
            "made": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": {
                "architecture": platform.machine(),
                "cores": os.cpu_count(),
                "load": load(),
            },
            "versions": machine.versions(),
            **machine.tree(),
        }
        self.rows: list[dict[str, Any]] = []

    def row(
        self, what: str, seconds: Sequence[float], goal: float | None = None, **more: Any
    ) -> None:
        """Add one figure.

        Args:
            what: was measured.
            seconds: each measurement; their median counts.
            goal: the time in s that it shall stay below, if there is any.
            more: other columns of the row.
        """
        rounded = [float(f"{value:.4g}") for value in seconds]
        self.rows.append({"what": what, "seconds": rounded, "goal": goal, **more})
        middle = median(seconds)
        bar = "" if goal is None else f", below {goal:g} s: {'yes' if middle < goal else 'NO'}"
        print(f"{what:60s} {middle:8.4g} s{bar}", flush=True)

    def write(self, path: Path | None, under: str | None = None) -> None:
        """Write all of it as JSON, if a file is named.

        Under a name (a kind of device) it joins what stands there under other names.
        """
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            about = {**self.about, "rows": self.rows}
            about["machine"] |= {"load_after": load()}
            if under:
                known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
                about = {**known, under: about}
            write_json(path, about)
            print(f"written: {path}")
