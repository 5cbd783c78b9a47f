"""Scoring a clip: BSS Eval 3 here against museval, on the same clips in one process.

python benchmarks/scoring.py [--clips 12]
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np
import torch

from unmix.audio import mix
from unmix.datasets.catalogue import available, open_dataset
from unmix.metrics.bsseval import bss_eval_sources


def museval_metrics():
    """Load museval's metrics by their file: importing museval itself needs ffmpeg."""
    place = importlib.util.find_spec("museval").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("museval_metrics", Path(place) / "metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    museval = museval_metrics()
    dataset = open_dataset("mir1k" if available("mir1k") else "synthetic-voice")
    rng = np.random.default_rng(0)
    ours = theirs = worst = 0.0
    for clip in dataset.clips()[: options.clips]:
        sources = dataset.load(clip.name, 8000).sources
        mixture, voice, other = mix(sources["voice"], sources["accompaniment"], 0.0)
        true = np.concatenate([voice, other])
        noise = 0.01 * rng.standard_normal(true.shape)
        estimates = np.concatenate([voice + 0.3 * other, other + 0.3 * voice]) + noise
        started = time.perf_counter()
        systems = np.stack([estimates, np.concatenate([mixture, mixture])])
        sdr, _, _ = bss_eval_sources(torch.from_numpy(true), torch.from_numpy(systems))
        ours += time.perf_counter() - started
        started = time.perf_counter()
        for number, system in enumerate(systems):
            result = museval.bss_eval(
                true[..., None],
                system[..., None],
                window=np.inf,
                compute_permutation=False,
                filters_len=512,
                framewise_filters=False,
                bsseval_sources_version=True,
            )
            if number == 0:
                worst = max(worst, float(np.abs(result[0][:, 0] - sdr[0].numpy()).max()))
        theirs += time.perf_counter() - started
    print(
        f"{dataset.name}, {options.clips} clips, estimates and mixture scored, ms a clip: "
        f"{ours / options.clips * 1e3:.0f} here, {theirs / options.clips * 1e3:.0f} museval, "
        f"ratio {theirs / ours:.1f}, largest difference in SDR {worst:.1e} dB"
    )


if __name__ == "__main__":
    main()
