"""What a run ran on and what it took: code, processor, time, memory, energy."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from unmix import __version__

POWERCAP = Path("/sys/class/powercap")
"""Where Linux counts the energy of processor packages, if the machine and its rights allow."""


def _utc(seconds: float) -> str:
    """Return a time of the clock in UTC, in seconds, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _elapsed() -> float:
    """Return a time in s that nobody sets; on Linux it goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def versions() -> dict[str, str | None]:
    """Return the versions of this package, of Python, and of the libraries behind the numbers."""
    found: dict[str, str | None] = {"unmix": __version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "pandas"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def processor() -> str:
    """Return the processor's name and its number of cores."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{name}, 1 thread of {os.cpu_count()} cores"


def peak_memory() -> int:
    """Return the most memory that this process has held so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux hands the peak of `getrusage` down to child processes; this one is a process's own.
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
        if found:
            return round(int(found[1]) / 1024)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def tree(folder: Path = Path(__file__).parent) -> dict[str, Any]:
    """Return `commit` and `clean` of the git checkout that the code in `folder` belongs to.

    Clean means that no tracked file was changed and no file was added. Both are None where the
    code is no part of a checkout, and be it installed inside of somebody else's.
    """
    commit = None
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is not None:
        commit = _git(folder, "rev-parse", "HEAD")
    changes = None if commit is None else _git(folder, "status", "--porcelain")
    return {"commit": commit, "clean": None if changes is None else not changes}


def _git(folder: Path, *words: str) -> str | None:
    """Return what a git command says, which takes no lock; None where it fails."""
    try:
        return subprocess.run(
            ["git", "--no-optional-locks", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def energy() -> dict[str, tuple[float, float]]:
    """Return the counters of all processor packages: energy so far and where it wraps, in J."""
    found = {}
    for package in sorted(POWERCAP.glob("*-rapl:*")):
        if package.name.count(":") == 1:  # those with two are parts of these
            try:
                spent, top = (
                    int((package / name).read_text()) / 1e6
                    for name in ("energy_uj", "max_energy_range_uj")
                )
            except (OSError, ValueError):
                continue
            found[package.name] = (spent, top)
    return found


class Meter:
    """Measures from its making on: wall time, CPU time, energy.

    Attributes:
        started: when it was made, in UTC.
        tree: the checkout at that time; later changes were not what ran.
    """

    def __init__(self) -> None:
        self._clock, self._since, self.tree = time.time(), _elapsed(), tree()
        self.started = _utc(self._clock)
        self._wall, self._cpu, self._energy = time.perf_counter(), time.process_time(), energy()

    def wall(self) -> float:
        """Return the wall time so far in s."""
        return time.perf_counter() - self._wall

    def finished(self) -> str:
        """Return the time in UTC by the clock that `started` was read from.

        It is the start plus what has passed, so that a clock which is set meanwhile, by hours in
        either direction, does not end a run before it began or in another year.
        """
        return _utc(self._clock + _elapsed() - self._since)

    def cpu(self) -> float:
        """Return the CPU time of all threads of this process so far in s."""
        return time.process_time() - self._cpu

    def energy(self) -> float | None:
        """Return what the processor packages took so far in J; None where nothing counts it.

        It is the whole machine's: what else ran on it is in it. A counter may have wrapped once.
        """
        spent = None
        for name, (after, top) in energy().items():
            if name in self._energy:
                before = self._energy[name][0]
                spent = (spent or 0.0) + (
                    after - before if after >= before else after - before + top
                )
        return spent
