"""Training frames a second on this machine: the package's way against the straightforward one.

The straightforward way builds the same network from torch's own parts: nn.RNN, masks and loss by
automatic differentiation, examples from complex spectra. Both train on the same noise, one after
the other in one process on one thread; the ratio is what counts.

    python benchmarks/training.py [--device cuda] [--steps 40]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn

from unmix.datasets.track import Clip, Track
from unmix.models.recurrent import RecurrentNetwork
from unmix.runs.scene import scenes
from unmix.runs.spec import Mixing
from unmix.stft import STFT, with_context
from unmix.training.examples import SpectrumBank, epoch
from unmix.training.losses import Loss

FRAMES = 125


class Plain(nn.Module):
    """One recurrent layer of 256 ReLU units between torch's own modules."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(2 * bins, 256, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(256, 2 * bins)

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(with_context(mixture, 1))[0])


def plain_loss(output, mixture, voice, other):
    first, second = output.abs().chunk(2, dim=-1)
    mask = first / (first + second + 1e-8)
    return ((mask * mixture - voice) ** 2 + ((1 - mask) * mixture - other) ** 2).mean() / 2


def plain_examples(spectra, batch, steps):
    voice, other = (torch.complex(planes[0], planes[1]) for planes in spectra)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        at = rng.integers(0, voice.shape[0] - FRAMES, size=(2, batch))
        v = torch.stack([voice[i : i + FRAMES] for i in at[0]])
        a = torch.stack([other[i : i + FRAMES] for i in at[1]])
        yield (v + a).abs(), v.abs(), a.abs()


def rate(network, loss, examples) -> float:
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    times = []
    frames = 0
    for example in examples:
        adam.zero_grad(set_to_none=True)
        value = loss(network(example[0]), *example)
        value.backward()
        adam.step()
        if example[0].is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter())
        frames = example[0].shape[0] * FRAMES
    return frames / float(np.median(np.diff(times)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 16])
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    tracks = [
        Track(
            Clip(f"c{i}", f"s{i}"),
            8000,
            {
                name: rng.standard_normal((1, 8000 * 8)).astype(np.float32)
                for name in ("voice", "accompaniment")
            },
        )
        for i in range(max(options.batches) * options.steps // 2)
    ]
    bank = SpectrumBank.of(scenes(tracks, Mixing()), STFT(), FRAMES, options.device)
    for batch in options.batches:
        ours = rate(
            RecurrentNetwork().build(513, 2).to(options.device),
            Loss(),
            epoch(bank, FRAMES, batch, augment=True, seed=0, number=0),
        )
        plain = rate(
            Plain(513).to(options.device),
            plain_loss,
            plain_examples(bank.sounds, batch, options.steps),
        )
        print(
            f"batch {batch}: {ours:,.0f} frames/s, straightforward {plain:,.0f}, "
            f"ratio {ours / plain:.2f}"
        )


if __name__ == "__main__":
    main()
