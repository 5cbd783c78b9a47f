"""The rivals of lai, Wave-U-Net and SH-4stack, on this machine: training, separation, memory.

Each line is measured in a process of its own, on one thread:

    python benchmarks/rivals.py train [--networks waveunet ...] [--precision bfloat16]
    python benchmarks/rivals.py separate [--seconds 30 180 720]

`train`: seconds of audio a second through forward, backward and Adam; GFLOP/s; and their share of
what a product of large matrices reaches here, measured just before. `separate`: time for a song of
noise with fresh weights (time depends on neither), and how far memory rises beyond the song itself
while its estimates are thrown away piece by piece.

Times are given twice, by the clock and by the processor; on a CPU, GFLOP/s go by the processor's.
Where something else runs at the same time the two differ, and the processor's time is still too
long, for caches and memory are shared; the load of the machine stands at the end of each line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

NETWORKS = {
    "waveunet": ("waveunet", {}, 16, (22050, 44100)),
    "waveunet-reduced": ("waveunet", {"levels": 9, "filters": 8}, 16, (22050, 44100)),
    "hourglass": ("hourglass", {}, 4, (8000, 44100)),
    "hourglass-reduced": (
        "hourglass",
        {"stacks": 2, "depth": 3, "features": 32, "stem": (16, 32)},
        4,
        (8000, 44100),
    ),
}
"""Name: module, settings, the authors' batch, and the authors' and lai's sampling rate in Hz."""


# --- in a process of its own ---------------------------------------------------------------------


def made(name: str, device: str):
    """Return settings and network, with the same weights every time."""
    import torch

    from unmix.models.hourglass import StackedHourglass
    from unmix.models.waveunet import WaveUNet

    module, changes, _, _ = NETWORKS[name]
    settings = {"waveunet": WaveUNet, "hourglass": StackedHourglass}[module](**changes)
    torch.manual_seed(0)
    return settings, settings.build(2).to(device)


def clock(device: str) -> Callable[[], float]:
    """Return the clock by which arithmetic is rated: on a CPU its own, which stops for others."""
    return time.process_time if device == "cpu" else time.perf_counter


def matrix_peak(device: str, dtype, size: int = 2048, times: int = 8) -> float:
    """Return the GFLOP/s of a square matrix product, the best of several."""
    import torch

    a, b = torch.randn(2, size, size, device=device).to(dtype)
    best = float("inf")
    for _ in range(times):
        started = clock(device)()
        float((a @ b)[0, 0])  # waits for a GPU
        best = min(best, clock(device)() - started)
    return 2 * size**3 / best / 1e9


def step_of(name: str, batch: int, device: str, half: bool):
    """Return a function that does one training step, and the samples (or hops) of a batch."""
    import torch

    from unmix.models.hourglass import stacked_loss
    from unmix.models.waveunet import waveform_loss

    settings, network = made(name, device)
    kind = torch.device(device).type
    if NETWORKS[name][0] == "waveunet":
        sources = 0.05 * torch.randn(batch, 2, settings.samples, device=device)
        mixture, size = sources.sum(dim=1), settings.samples
        loss = lambda output: waveform_loss(output, sources)  # noqa: E731
    else:
        sources = torch.rand(batch, 2, settings.frames, settings.bins, device=device)
        mixture, size = sources.sum(dim=1), settings.frames * 256
        loss = lambda output: stacked_loss(output, mixture, sources)  # noqa: E731
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, fused=device != "meta")

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu" if kind == "meta" else kind, torch.bfloat16, enabled=half):
            output = network(mixture)
        value = loss(output)
        value.backward()
        if device != "meta":
            adam.step()
            value.item()

    return step, batch * size


def train(name: str, batch: int, steps: int, device: str, half: bool) -> dict:
    """Return what a training step takes: the median over `steps`, after one that does not count."""
    import numpy as np
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from unmix.runs.machine import peak_memory

    with FlopCounterMode(display=False) as counter:
        step_of(name, batch, "meta", False)[0]()
    best = matrix_peak(device, torch.bfloat16 if half else torch.float32)
    before = peak_memory()
    step, samples = step_of(name, batch, device, half)
    times = []
    for _ in range(steps + 1):
        started = time.perf_counter(), time.process_time()
        step()
        times.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    wall, cpu = np.median(times[1:], axis=0)
    speed = counter.get_total_flops() / (cpu if device == "cpu" else wall) / 1e9
    return {
        "weights": sum(p.numel() for p in made(name, "meta")[1].parameters()),
        "samples": samples,
        "wall": wall,
        "cpu": cpu,
        "gflops": speed,
        "share": speed / best,
        "memory": peak_memory() - before,
    }


def separate(name: str, rate: int, seconds: float, device: str, half: bool) -> dict:
    """Return what the separation of a song takes, whose estimates nobody keeps."""
    import numpy as np
    import torch

    from unmix.models.hourglass import HourglassSeparator
    from unmix.models.waveunet import WaveUNetSeparator
    from unmix.runs.machine import peak_memory
    from unmix.stft import STFT

    settings, network = made(name, device)
    if NETWORKS[name][0] == "waveunet":
        separator = WaveUNetSeparator(network, settings)
    else:
        separator = HourglassSeparator(network, settings, STFT(rate, 1024, 256))
    mixture = np.empty((1, round(seconds * rate)), np.float32)
    rng = np.random.default_rng(0)
    for first in range(0, mixture.shape[1], 2**18):
        part = mixture[:, first : first + 2**18]
        part[:] = 0.07 * rng.standard_normal(part.shape)
    before, done = peak_memory(), 0
    started = time.perf_counter(), time.process_time()
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
        for _, piece in separator.stream(mixture):
            done += piece.shape[1]
    assert done == mixture.shape[1]
    return {
        "wall": time.perf_counter() - started[0],
        "cpu": time.process_time() - started[1],
        "memory": peak_memory() - before,
        "song": mixture.nbytes / 2**20,
    }


# --- around it -----------------------------------------------------------------------------------


def apart(task: str, *arguments) -> dict:
    """Carry out a measurement in a fresh process, so that its peak of memory is its own."""
    words = [sys.executable, __file__, "one", json.dumps([task, *arguments])]
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)


def one(call: str) -> None:
    import torch

    torch.set_num_threads(1)
    task, *arguments = json.loads(call)
    found = {"train": train, "separate": separate}[task](*arguments)
    print(json.dumps({key: float(value) for key, value in found.items()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["train", "separate", "one"])
    parser.add_argument("call", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--batch", type=int, help="instead of the authors'")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seconds", type=float, nargs="+", default=[180.0])
    parser.add_argument("--rates", type=int, nargs="+", help="instead of the authors' and lai's")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.task == "one":
        one(options.call)
        return
    half = options.precision == "bfloat16"
    for name in options.networks:
        _, _, batch, rates = NETWORKS[name]
        rates = options.rates or rates
        if options.task == "train":
            batch = options.batch or batch
            found = apart("train", name, batch, options.steps, options.device, half)
            audio = "; ".join(
                f"at {rate} Hz {found['samples'] / rate / found['wall']:.3g} s of audio a second "
                f"({found['samples'] / rate / found['cpu']:.3g} by the processor)"
                for rate in rates
            )
            print(
                f"{name}, {found['weights'] / 1e6:.2f} M, {options.precision}, batch {batch}: "
                f"{found['wall']:.3g} s a step; {audio}; {found['gflops']:.0f} GFLOP/s, "
                f"{100 * found['share']:.0f} % of a matrix product; "
                f"{found['memory']:.0f} MiB; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
            continue
        for rate in rates:
            for seconds in options.seconds:
                found = apart("separate", name, rate, seconds, options.device, half)
                print(
                    f"{name}, {options.precision}, {seconds:g} s at {rate} Hz: "
                    f"{found['wall']:.1f} s ({found['cpu']:.1f} s by the processor), "
                    f"{found['memory']:.0f} MiB beyond the song's {found['song']:.1f}; "
                    f"load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
