"""Training speed of a paper's systems at full size; lai's have an LSTM beside the GRU.

    python benchmarks/systems.py                        about ten minutes on one core
    python benchmarks/systems.py --paper li             DRDNN, its variants and its baselines
    python benchmarks/systems.py --quick                about two minutes
    python benchmarks/systems.py --device cuda
    python benchmarks/systems.py --record FILE          write the figures as JSON for the book

A step is forward, loss, backward and Adam, on a batch and chunk as the paper's module trains with,
of noise (time does not depend on it). All systems stand in one process on one thread and take
turns, a step each and a product of large matrices between them, so that what else the machine does
meets all of them alike. On a CPU, rates go by the processor's own clock, which stops for others;
where something else runs it is still too long, for caches and memory are shared.

On a CPU torch has a kernel for the LSTM as a whole (oneDNN's), and none for the GRU. So lai's LSTM
is there twice, with that kernel and without it.

`--quick` takes three turns and gives SH-4stack one patch instead of four, five turns else.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from measuring import clock, device_name, matrix_peak
from recording import Record
from torch.utils.flop_counter import FlopCounterMode

from unmix.models.recurrent import RecurrentNetwork
from unmix.papers import lai, li
from unmix.papers.experiment import PROFILES, Setting
from unmix.runs.execute import fresh_network
from unmix.runs.spec import Spec

SETTING = Setting(PROFILES["full"], True)
PLAIN = ", without oneDNN"
"""What ends the name of a system that may not use oneDNN's kernels."""

GATES = {"relu": 1, "gru": 3, "lstm": 4, "dense": 1}


def specs(paper: str) -> dict[str, Spec]:
    """Return what is measured, by name; lai's network and the LSTM stand side by side."""
    if paper == "li":
        return {**li.systems(SETTING), **li.variants(SETTING)}
    systems = lai.systems(SETTING, "drums")
    own, hourglass = systems["Proposed"], systems["SH-4stack"]
    assert hourglass.training is not None
    exact = replace(hourglass, training=replace(hourglass.training, precision="float32"))

    def stacked(*sizes: Any) -> Spec:
        return replace(own, separator=lai.stacked(SETTING, *sizes))

    return {
        "Proposed: GRU, 3 x 1000": own,
        "LSTM, 3 x 1000": stacked(3, 1000, "lstm"),
        f"LSTM, 3 x 1000{PLAIN}": stacked(3, 1000, "lstm"),
        "GRU, 3 x 500": stacked(3, 500),
        "GRU, 4 x 500": stacked(4, 500),
        "Simple RNN: 1 x 1000": systems["Simple RNN"],
        "Wave-U-Net": systems["Wave-U-Net"],
        "SH-4stack": hourglass,
        "SH-4stack, float32": exact,
    }


def recurrent_flops(settings: RecurrentNetwork, bins: int, outputs: int, frames: int) -> float:
    """Return what a training step does in products of matrices, over all frames of a batch.

    torch's counter does not look into kernels of whole layers. Each weight costs two operations a
    frame going forward, two for the gradient of what it multiplies and two for its own; the
    spectra that the first layer hears need no gradient.
    """
    gates, recurrent = GATES[settings.cell], settings.cell != "dense"
    size, each = bins * settings.context, 4.0
    total = 0.0
    for _ in range(settings.layers):
        total += each * size * gates * settings.units
        total += 6.0 * recurrent * gates * settings.units**2
        size, each = settings.units, 6.0
    return frames * (total + each * size * outputs * bins)


class Contender:
    """A system in training."""

    def __init__(self, name: str, spec: Spec, device: str, batch: int) -> None:
        assert spec.training is not None
        self.name, self.spec, self.device, self.batch = name, spec, device, batch
        self.precision = spec.training.precision
        self.network = fresh_network(spec).to(device)
        self.adam = torch.optim.Adam(self.network.parameters(), lr=1e-4, fused=True)
        self.seconds: list[float] = []
        self.by_processor: list[float] = []

    @property
    def audio(self) -> float:
        """Seconds of sound in a step."""
        return self.batch * self.spec.training.chunk  # type: ignore[union-attr]

    def example(self, device: str) -> tuple[torch.Tensor, ...]:
        """Return mixture and sources: magnitudes, or samples for a network that hears them."""
        spec, settings = self.spec, self.spec.separator
        seconds = spec.training.chunk  # type: ignore[union-attr]
        count = len(spec.mixing.sources)
        if getattr(settings, "bank", "spectra") == "waves":
            sources = 0.03 * torch.randn(count, self.batch, settings.samples, device=device)
        else:
            frames = round(seconds * spec.stft.rate / spec.stft.hop)
            sources = torch.rand(count, self.batch, frames, spec.stft.bins, device=device)
        return sources.sum(0), *sources

    def loss(self, network: Any, example: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return a batch's loss, as `training/minibatch.py` forms it."""
        kind, half = torch.device(self.device).type, self.precision == "bfloat16"
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            if hasattr(network, "objective"):
                return network.objective(*example)
            output = network(example[0])
        return self.spec.training.loss(output, *example)  # type: ignore[union-attr]

    def step(self, counts: bool) -> None:
        """Train for a step, and note what it took if it counts."""
        example = self.example(self.device)
        started = time.perf_counter(), time.process_time()
        self.adam.zero_grad(set_to_none=True)
        torch.backends.mkldnn.enabled = not self.name.endswith(PLAIN)
        loss = self.loss(self.network, example)
        loss.backward()
        torch.backends.mkldnn.enabled = True
        self.adam.step()
        float(loss.detach())  # waits for a GPU
        if torch.device(self.device).type == "cuda":
            torch.cuda.synchronize()
        if counts:
            self.seconds.append(time.perf_counter() - started[0])
            self.by_processor.append(time.process_time() - started[1])
        self.adam.zero_grad(set_to_none=True)

    def gflop(self) -> float:
        """Return the operations of a step in products of matrices and convolutions, in 1e9."""
        settings = self.spec.separator
        if isinstance(settings, RecurrentNetwork):
            frames = self.batch * self.example("meta")[0].shape[1]
            return recurrent_flops(settings, self.spec.stft.bins, 2, frames) / 1e9
        with FlopCounterMode(display=False) as counter:
            network = settings.build(len(self.spec.mixing.sources)).to("meta")
            self.loss(network, self.example("meta")).backward()
        return counter.get_total_flops() / 1e9


def measure(field: list[Contender], turns: int, device: str) -> dict[str, float]:
    """Let all take turns, and return the machine's peak by precision in GFLOP/s."""
    peaks: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for turn in range(turns + 1):
        for each in field:
            # A turn to warm up, but not where a step fills a minute.
            if turn or not each.name.startswith("SH"):
                each.step(counts=turn > 0)
        for name, found in peaks.items():
            found.append(matrix_peak(device, getattr(torch, name)))
        print(f"turn {turn} of {turns}", flush=True)
    return {name: round(max(found), 1) for name, found in peaks.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paper", default="lai", choices=["lai", "li"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="systems whose name holds this")
    parser.add_argument("--record", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    turns = options.turns or (3 if options.quick else 5)
    words = [] if options.paper == "lai" else ["--paper", options.paper]
    words += [*(["--quick"] if options.quick else []), *_unless_cpu(options.device)]
    record = Record(
        "Training at full size: seconds of sound a second",
        f"python benchmarks/systems.py {' '.join([*words, '--record'])} "
        f"results/benchmarks/systems-{options.paper}.json",
    )
    field = []
    for name, spec in specs(options.paper).items():
        on_cpu = options.device == "cpu"
        if options.only in name and (on_cpu or not name.endswith(PLAIN)):
            slow = options.quick and name.startswith("SH")
            batch = 1 if slow else spec.training.batch  # type: ignore[union-attr]
            field.append(Contender(name, spec, options.device, batch))
    record.about["peak_gflops"] = measure(field, turns, options.device)
    record.about["device"] = device_name(options.device)
    for each in field:
        rated = each.seconds if clock(options.device) is time.perf_counter else each.by_processor
        more = {
            "precision": each.precision,
            "batch": each.batch,
            "audio_s": round(each.audio, 4),
            "gflop": round(each.gflop(), 2),
            "weights": sum(values.numel() for values in each.network.parameters()),
            "rated": [float(f"{value:.4g}") for value in rated],
        }
        record.row(f"{each.name}: a step", each.seconds, **more)
        record.rows[-1]["what"] = each.name
        speed = more["gflop"] / median(rated)
        share = 100 * speed / record.about["peak_gflops"][each.precision]
        print(f"    {each.audio / median(rated):.3g} s/s, {speed:.0f} GFLOP/s, {share:.0f} %")
    record.write(options.record, under=torch.device(options.device).type)


def _unless_cpu(device: str) -> list[str]:
    return [] if device == "cpu" else ["--device", device]


if __name__ == "__main__":
    main()
