"""Separating whole songs at full size: time, and memory that does not grow with the song.

    python benchmarks/separating.py                     lai's: about ten minutes on one core
    python benchmarks/separating.py --paper li          DRDNN and its baselines
    python benchmarks/separating.py --budget 1e9        every song to its end: about two hours
    python benchmarks/separating.py --device cuda
    python benchmarks/separating.py --record FILE       write the figures as JSON for the book

Songs of noise, weights untrained (time depends on neither), each in a fresh process on one thread.
The estimates are thrown away as they come, so that what memory rises by is what separating takes
beside the song and its estimates. A song that is not through when the budget is spent ends there;
memory has long reached its peak by then, and what it took is scaled up to the whole song. The
recurrent networks of lai also take the song in one piece ("at once"), as a comparison.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from measuring import apart, device_name, parser, resident
from recording import Record

from unmix.models.separator import NetworkSeparator
from unmix.papers import lai, li
from unmix.papers.experiment import PROFILES, Setting
from unmix.runs.execute import around, fresh_network
from unmix.runs.machine import peak_memory
from unmix.runs.spec import Spec

MINUTES = (3, 12)
LAI = (
    *(("Proposed", "float32", minutes, False) for minutes in MINUTES),
    ("Proposed", "float32", 3, True),
    ("LSTM, 3 x 1000", "float32", 3, False),
    *(
        ("Simple RNN", "float32", minutes, at_once)
        for at_once in (False, True)
        for minutes in MINUTES
    ),
    *(("Wave-U-Net", "float32", minutes, False) for minutes in MINUTES),
    *(
        ("SH-4stack", precision, minutes, False)
        for precision in ("bfloat16", "float32")
        for minutes in MINUTES
    ),
)
LI = tuple(
    (system, "float32", minutes, False)
    for system in ("MLP", "DCNN", "DRNN", "DRDNN")
    for minutes in MINUTES
)
CALLS = {"lai": LAI, "li": LI}
"""System, precision, length of the song in minutes, and whether it is taken at once."""


def specs(paper: str) -> dict[str, Spec]:
    """Return a paper's systems by name; lai's with an LSTM beside its GRU."""
    setting = Setting(PROFILES["full"], True)
    if paper == "li":
        return li.systems(setting)
    systems = lai.systems(setting, "drums")
    lstm = lai.stacked(setting, 3, 1000, "lstm")
    return {**systems, "LSTM, 3 x 1000": replace(systems["Proposed"], separator=lstm)}


def song(samples: int) -> np.ndarray:
    """Noise `(1, samples)`, made in pieces so that nothing but the song takes memory."""
    mixture = np.empty((1, samples), np.float32)
    rng = np.random.default_rng(0)
    for first in range(0, samples, 2**18):
        part = mixture[:, first : first + 2**18]
        part[:] = 0.07 * rng.standard_normal(part.shape, dtype=np.float32)
    return mixture


def separate(
    paper: str,
    system: str,
    precision: str,
    minutes: float,
    at_once: bool,
    device: str,
    budget: float,
) -> dict[str, Any]:
    """Return what separating a song takes: times in s, memory in MiB."""
    torch.set_num_threads(1)
    spec = specs(paper)[system]
    separator = around(spec, fresh_network(spec).to(device))
    if at_once:
        assert isinstance(separator, NetworkSeparator)
        separator.block = sys.maxsize
    mixture = song(round(60 * minutes * spec.stft.rate))
    before, kind = resident(), torch.device(device).type
    heard, started = [], time.perf_counter()
    with torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16"):
        for first, piece in separator.stream(mixture):
            heard.append((time.perf_counter() - started, first + piece.shape[1]))
            if len(heard) > 1 and heard[-1][0] > budget:
                break
    # What comes before the first piece, a look at the level of the whole song, is paid once.
    (begun, beginning), (wall, done) = heard[0], heard[-1]
    left = mixture.shape[1] - done
    found = {
        "seconds": wall + (left * (wall - begun) / (done - beginning) if left else 0.0),
        "part": done / mixture.shape[1],
        "rate": spec.stft.rate,
        "song_mib": mixture.nbytes / 2**20,
        "peak_mib": peak_memory(),
        "beside_mib": peak_memory() - before,
    }
    if kind == "cuda":
        found["device_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    return found


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--paper", default="lai", choices=list(CALLS))
    arguments.add_argument("--budget", type=float, default=60.0, help="seconds a song at most")
    arguments.add_argument("--only", default="", help="systems whose name holds this")
    options = arguments.parse_args()
    if options.task:
        print(json.dumps(separate(**json.loads(options.call))))
        return
    words = [] if options.paper == "lai" else [f"--paper {options.paper}"]
    words += [f"--budget {options.budget:g}"] if options.budget != 60 else []
    words += [] if options.device == "cpu" else [f"--device {options.device}"]
    record = Record(
        "Separating whole songs at full size",
        f"python benchmarks/separating.py {' '.join([*words, '--record'])} "
        f"results/benchmarks/separating-{options.paper}.json",
    )
    record.about["device"] = device_name(options.device)
    for system, precision, minutes, at_once in CALLS[options.paper]:
        if options.only not in system:
            continue
        common = {"paper": options.paper, "device": options.device, "budget": options.budget}
        call = {"system": system, "precision": precision, "minutes": minutes, "at_once": at_once}
        found = apart(__file__, **call, **common)
        seconds = found.pop("seconds")
        rounded = {name: float(f"{value:.4g}") for name, value in found.items()}
        record.row(f"{system}, {minutes} min", [seconds], **call, **rounded)
        print(
            f"    {precision}{', at once' if at_once else ''}: {60 * minutes / seconds:.3g} times "
            f"real time, {found['beside_mib']:.0f} MiB beside a song of {found['song_mib']:.0f}, "
            f"{100 * found['part']:.1f} % of it heard",
            flush=True,
        )
    record.write(options.record, under=torch.device(options.device).type)


if __name__ == "__main__":
    main()
