"""BSS Eval here against museval and fast_bss_eval: times, ratios, differences, peak memory.

python benchmarks/scoring.py                 the table (about ten minutes, museval's)
python benchmarks/scoring.py --only clip     rows whose name holds "clip"
python benchmarks/scoring.py --memory        a whole song of four minutes, v4 and v3 framewise
python benchmarks/scoring.py --gpu           the same rows and 365 clips at once on a GPU

One thread. A row's ratio is the median of the ratios of its repetitions; each times calls here
for some tenths of a second, as in scoring clip after clip, and then at least one of the other.
museval repeats all its work for each system: ten systems are ten calls of it, and for songs, where
that would take long, ten times the time of one.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from unmix import audio
from unmix.datasets.catalogue import data_root, open_dataset
from unmix.metrics.bsseval import Scores, bss_eval
from unmix.metrics.referee import museval_scores


@dataclass(frozen=True)
class Row:
    """One line of the table: what is scored, how, and how fast it has to be."""

    name: str
    sounds: Callable[[], torch.Tensor]
    metric: str
    bar: float
    systems: int = 1
    window: int | None = None
    hop: int | None = None


def clip() -> torch.Tensor:
    """Two mono sources of 8 s at 8 kHz, from MIR-1K where it is, else its stand-in."""
    name = "mir1k" if data_root() else "synthetic-voice"
    dataset = open_dataset(name)
    for each in dataset.clips():
        sources = dataset.load(each.name, 8000).sources
        if sources["voice"].shape[1] >= 64000:
            return torch.from_numpy(np.stack(list(sources.values()))[..., :64000])
    return coloured(2, 64000)


def song(seconds: float, channels: int) -> torch.Tensor:
    """Four sources of 44.1 kHz, from MedleyDB where it is, else coloured noise."""
    samples = round(seconds * 44100)
    root = data_root()
    folders = sorted((root / "MedleyDB" / "Audio").glob("*/*_RAW")) if root else []
    if folders:
        tracks = [audio.read(path, rate=44100)[0][0] for path in sorted(folders[0].glob("*"))[:4]]
        # Raw tracks are short: longer material repeats them.
        mono = np.stack([np.resize(track, samples) for track in tracks])
    else:
        mono = coloured(4, samples)[:, 0].numpy()
    if channels == 1:
        return torch.from_numpy(mono.astype(np.float32))[:, None]
    return torch.from_numpy(np.stack([in_a_room(each, seed) for seed, each in enumerate(mono)]))


def coloured(sources: int, samples: int) -> torch.Tensor:
    """Noise that falls with frequency, `(sources, 1, samples)`."""
    spectrum = torch.fft.rfft(torch.randn(sources, samples, generator=torch.manual_seed(0)))
    fall = 1 + torch.arange(spectrum.shape[1]) / samples * 200
    return torch.fft.irfft(spectrum / fall, samples)[:, None]


def in_a_room(sound: np.ndarray, seed: int) -> np.ndarray:
    """A stereo recording of a mono sound: two responses of 50 ms that decay."""
    from scipy.signal import fftconvolve

    rng = np.random.default_rng(seed)
    response = rng.standard_normal((2, 2205)) * np.exp(-np.arange(2205) / 400)
    response[:, 0] += 3
    return fftconvolve(sound[None], response, axes=1)[:, : len(sound)].astype(np.float32)


def estimates_of(references: torch.Tensor, systems: int) -> torch.Tensor:
    """Estimates with some interference and noise, `(systems, sources, channels, samples)`."""
    rng = torch.manual_seed(1)
    level = references.square().mean().sqrt()
    leak = references.sum(0) * torch.linspace(0.05, 0.3, systems)[:, None, None, None]
    return references + leak + 0.03 * level * torch.randn(systems, *references.shape, generator=rng)


SECOND = 44100
ROWS = (
    Row("clip, v3 sources, 2 x 8 s at 8 kHz", clip, "sdr-v3", 4.5),
    Row("clip, the same, 10 systems", clip, "sdr-v3", 25, systems=10),
    Row("song, v3 sources, 4 x 30 s at 44.1 kHz", lambda: song(30, 1), "sdr-v3", 15),
    Row("song, the same, 10 systems", lambda: song(30, 1), "sdr-v3", 45, systems=10),
    Row("stereo song, v3 images, 4 x 30 s", lambda: song(30, 2), "images-v3", 20),
    Row("stereo song, v4, frames of 1 s", lambda: song(30, 2), "v4", 14, 1, SECOND, SECOND),
    Row("stereo song, the same, 10 systems", lambda: song(30, 2), "v4", 45, 10, SECOND, SECOND),
    Row("stereo song, v3 in frames of 1 s, 4 s", lambda: song(4, 2), "images-v3", 30, 1, SECOND),
)


def timed(call: Callable[[], Scores], at_least: float = 0.3) -> tuple[Scores, float]:
    """The result, and the mean time of calls in a row that together last `at_least` seconds."""
    started, count, elapsed = time.perf_counter(), 0, 0.0
    while elapsed < at_least:
        result, count = call(), count + 1
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - started
    return result, elapsed / count


def fast_bss_eval_time(references: torch.Tensor, estimates: torch.Tensor) -> float | None:
    """Seconds of fast_bss_eval for mono sources, float64, direct solution; None: not installed."""
    try:
        import fast_bss_eval
    except ImportError:
        return None
    true = references[:, 0].double().expand(len(estimates), -1, -1)
    started = time.perf_counter()
    fast_bss_eval.bss_eval_sources(
        true, estimates[:, :, 0].double(), filter_length=512, compute_permutation=False
    )
    return time.perf_counter() - started


def measure(row: Row, repeats: int, device: str) -> str:
    references = row.sounds()
    estimates = estimates_of(references, row.systems)
    here = references.to(device), estimates.to(device)
    settings = {"window": row.window, "hop": row.hop}
    rule = {"silence": "frame"} if row.window else {}
    bss_eval(*here, row.metric, **settings, **rule)
    ratios, ours, theirs, fast = [], [], [], []
    for _ in range(repeats):
        found, seconds = timed(lambda: bss_eval(*here, row.metric, **settings, **rule))
        wanted, one = timed(
            lambda: museval_scores(references, estimates[:1], row.metric, **settings)
        )
        if row.systems > 1 and row.name.startswith("clip"):
            for number in range(1, row.systems):
                one += timed(
                    lambda k=number: museval_scores(
                        references, estimates[k : k + 1], row.metric, **settings
                    )
                )[1]
        else:
            one *= row.systems
        ours.append(seconds)
        theirs.append(one)
        ratios.append(one / seconds)
        if row.metric == "sdr-v3":
            fast.append(fast_bss_eval_time(references, estimates))
    worst = 0.0
    for name, values in found.named().items():
        first = wanted.named()[name][0]
        near = first < 60
        worst = max(worst, (values[0].cpu() - first)[near].abs().max().item() if near.any() else 0)
    middle = statistics.median
    other = f"{middle(fast):8.3f}" if fast and fast[0] is not None else "       -"
    return (
        f"{row.name:42s} {middle(ours):8.3f} {middle(theirs):8.2f} {other} "
        f"{middle(ratios):7.1f} {row.bar:6.1f}   {worst:.0e}"
    )


def memory() -> None:
    """Score four minutes of four stereo sources in a process of its own; print times and its peak.

    The sounds are read from files: making them would take more memory than scoring them.
    """
    with tempfile.TemporaryDirectory() as folder:
        references = song(240, 2)
        np.save(f"{folder}/references.npy", references.numpy())
        np.save(f"{folder}/estimates.npy", estimates_of(references, 1).numpy())
        del references
        subprocess.run([sys.executable, __file__, "--memory-in", folder], check=True)


def memory_in(folder: str) -> None:
    references, estimates = (
        torch.from_numpy(np.load(f"{folder}/{name}.npy")) for name in ("references", "estimates")
    )
    sounds = 4 * (references.numel() + estimates.numel()) / 1e6
    print(f"before scoring: peak {peak():.0f} MB, of which sounds {sounds:.0f} MB")
    for name, metric, window, hop in (
        ("v4, frames of 1 s", "v4", SECOND, SECOND),
        ("v3 images, frames of 30 s every 15 s", "images-v3", 30 * SECOND, 15 * SECOND),
        ("v3 images, frames of 1 s", "images-v3", SECOND, SECOND),
    ):
        started = time.perf_counter()
        bss_eval(references, estimates, metric, window=window, hop=hop)
        print(f"{name}: {time.perf_counter() - started:.1f} s, peak so far {peak():.0f} MB")


def peak() -> float:
    """The process's peak of resident memory in MB, where the system tells it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def clips_at_once(device: str) -> None:
    """Score 365 clips of two sources, together."""
    references = torch.stack([coloured(2, 64000) for _ in range(365)])
    estimates = (references + 0.3 * references.flip(1))[:, None]
    sounds = references.to(device), estimates.to(device)
    bss_eval(*(each[:8] for each in sounds))
    _, seconds = timed(lambda: bss_eval(*sounds))
    print(f"365 clips, 2 sources of 8 s at 8 kHz, on {device}: {seconds:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-in", default="", help=argparse.SUPPRESS)
    parser.add_argument("--clips", action="store_true", help="365 clips together")
    parser.add_argument("--gpu", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = "cuda" if options.gpu else "cpu"
    if options.memory_in:
        return memory_in(options.memory_in)
    if options.memory:
        return memory()
    if options.clips or options.gpu:
        clips_at_once(device)
    if options.clips:
        return
    columns = ("seconds:", "here", "museval", "fast", "ratio", "bar", "dB off")
    print("{:42s} {:>8s} {:>8s} {:>8s} {:>7s} {:>6s} {:>7s}".format(*columns))
    for row in ROWS:
        if options.only in row.name:
            print(measure(row, options.repeats, device), flush=True)


if __name__ == "__main__":
    main()
