"""An iteration of the multichannel Wiener filter, against norbert's, on one thread.

    python benchmarks/spatial.py                    about a minute
    python benchmarks/spatial.py --record FILE      write the figures as JSON for the book

A stereo song of three minutes at 44.1 kHz with four sources, windows of 2048 samples at a hop of
1024, of noise (time does not depend on it). An iteration fits PSDs and covariances to the images
and filters anew; `unmix.spatial` needs no images before the last one, so it stands there without
and with. All take turns in one process, by the processor's own clock; memory is that of a process
of its own each, beyond spectrum, PSDs and images.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from measuring import apart, device_name, parser, resident
from recording import Record

from unmix.runs.machine import peak_memory
from unmix.spatial import SpatialModel, filtered, powers, updated

RATE, WINDOW, HOP, SECONDS = 44100, 2048, 1024, 180
SOURCES, DELTA = 4, 1e-10
WHAT = ("unmix", "unmix, with images", "norbert")


def song(seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mixture's spectrum and PSDs of the sources, of noise."""
    generator = torch.Generator().manual_seed(0)
    frames, bins = 1 + round(seconds * RATE) // HOP, WINDOW // 2 + 1
    mixture = torch.randn(2, bins, frames, dtype=torch.complex64, generator=generator)
    return mixture, torch.rand(SOURCES, bins, frames, generator=generator)


class Ours:
    """Our iteration, into memory that is there already, as norbert's writes over its images."""

    def __init__(self, seconds: float) -> None:
        self.mixture, psds = song(seconds)
        self.model = SpatialModel.isotropic(psds, 2)
        self.powers = torch.zeros_like(psds)
        self.images = torch.zeros(SOURCES, *self.mixture.shape, dtype=self.mixture.dtype)

    def iterate(self) -> None:
        """Fit covariances and PSDs to the images of the model, which are not formed."""
        after = updated(self.mixture, self.model, DELTA)
        for first, part in powers(self.mixture, self.model, DELTA):
            self.powers[..., first : first + part.shape[-1]] = part
        self.model = SpatialModel(self.powers, after)

    def filter(self) -> None:
        """Form the images."""
        for first, part in filtered(self.mixture, self.model, DELTA):
            self.images[..., first : first + part.shape[-1]] = part


class Norberts:
    """norbert's iteration, from images of equal shares."""

    def __init__(self, seconds: float) -> None:
        mixture, _ = song(seconds)
        self.x = np.ascontiguousarray(mixture.permute(2, 1, 0).numpy())
        self.images = np.repeat(self.x[..., None] / SOURCES, SOURCES, axis=-1)

    def iterate(self) -> None:
        """Fit, and filter."""
        from norbert import expectation_maximization

        self.images, _, _ = expectation_maximization(self.images, self.x, 1)


def timed(*calls: Callable[[], None]) -> float:
    """Return what calls take together, in s of the processor's own clock."""
    begun = time.process_time()
    for call in calls:
        call()
    return time.process_time() - begun


def turns(seconds: float, times: int) -> dict[str, list[float]]:
    """Return how long everything takes, turn by turn."""
    unmix, norbert = Ours(seconds), Norberts(seconds)
    found: dict[str, list[float]] = {what: [] for what in WHAT}
    for _ in range(times):
        for what, calls in zip(
            WHAT, ((unmix.iterate,), (unmix.iterate, unmix.filter), (norbert.iterate,)), strict=True
        ):
            found[what].append(timed(*calls))
    return found


def memory(what: str, seconds: float) -> dict[str, float]:
    """Return what an iteration takes beside spectrum, PSDs and images, in MiB."""
    if what.startswith("unmix"):
        unmix = Ours(seconds)
        before = resident()
        unmix.iterate()
        if what == WHAT[1]:
            unmix.filter()
    else:
        norbert = Norberts(seconds)
        before = resident()
        norbert.iterate()
    return {"peak_mib": round(peak_memory()), "beside_mib": round(peak_memory() - before)}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=SECONDS, help="length of the song")
    arguments.add_argument("--turns", type=int, default=3)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    if options.task:
        print(json.dumps(memory(**json.loads(options.call))))
        return
    record = Record(
        "An iteration of the multichannel Wiener filter",
        "python benchmarks/spatial.py --record results/benchmarks/spatial.json",
    )
    record.about["device"] = device_name("cpu")
    taken = turns(options.seconds, options.turns)
    for what in WHAT:
        held: dict[str, Any] = apart(__file__, what=what, seconds=options.seconds)
        record.row(what, taken[what], song_s=options.seconds, **held)
    theirs = taken[WHAT[-1]]
    for what in WHAT[:-1]:
        ratios = [b / a for a, b in zip(taken[what], theirs, strict=True)]
        print(f"    norbert takes {median(ratios):.2f} times as long as {what}")
    record.write(options.record)


if __name__ == "__main__":
    main()
