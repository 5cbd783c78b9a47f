"""Extraction of instruments by one ReLU network each, after uhlich.

A network hears the magnitudes of a frame and of its neighbours that do not overlap, divided by
their mean norm, and puts out the magnitudes of its instrument in that frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unmix import masks
from unmix.datasets.track import Scene
from unmix.errors import DatasetError, SpecError
from unmix.models.blocks import StreamingSeparator, check_mono, overlap_added, spectrum_of
from unmix.stft import STFT
from unmix.training.checkpoint import Keeping
from unmix.training.descent import Layers, activations
from unmix.training.generator import Examples, Generator, gamma, solos
from unmix.training.layerwise import Course, Layerwise, packed, unpacked

OUTPUTS = ("Raw", "WF")
"""What a network puts out, with the mixture's phase; the Wiener filter of all networks' outputs."""

TRAINING, WATCHED = 0, 1
"""Streams of random numbers of the two sets of examples."""

FRAMES = 1024
"""Frames that the networks hear at once."""


@dataclass(frozen=True)
class InstrumentNetwork(Layerwise):
    """Settings of the networks, one for each instrument, and of their training.

    The networks have as many units in each layer as a frame has bins. See `Layerwise` for stages.

    Attributes:
        context: frames on either side of the middle one (C).
        examples: training vectors (P).
        watched: vectors of the validation part on which J is told as well; it decides nothing.
        pauses: whether segments in which an instrument pauses are drawn as well.
        minutes_of: at most so many minutes of material of an instrument, the same share of each
            recording; others give all they have.
        exponent: of the Wiener filter.
        memory: GB that training vectors may take on a CPU. Beyond that they are made anew for each
            evaluation, which takes longer and changes no value.
    """

    context: int = 3
    examples: int = 100_000
    watched: int = 10_000
    pauses: bool = True
    minutes_of: tuple[tuple[str, float], ...] = ()
    exponent: float = 2.0
    memory: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        # Plain data has lists where there were tuples.
        limits = tuple((str(name), float(minutes)) for name, minutes in self.minutes_of)
        object.__setattr__(self, "minutes_of", limits)
        if self.context < 0 or min(self.examples, self.watched) < 1:
            raise SpecError(
                f"{self.context} context frames, {self.examples} training vectors, "
                f"{self.watched} to watch",
                expected="a context of 0 or more, and at least one vector of either kind",
            )
        if not self.exponent > 0.0 or not self.memory >= 0.0:
            raise SpecError(
                f"an exponent of {self.exponent} and {self.memory} GB of memory",
                expected="a positive exponent, and 0 GB or more",
            )
        names = [name for name, _ in limits]
        if len(set(names)) < len(names) or not all(minutes > 0.0 for _, minutes in limits):
            raise SpecError(
                f"minutes of material: {', '.join(f'{n} {m:g}' for n, m in limits)}",
                expected="each instrument once, with a positive number",
            )

    @property
    def schooling(self) -> str:
        """Return in words how long the networks are trained."""
        optimiser = {"lbfgs": "L-BFGS iterations", "adam": "passes of Adam"}[self.optimiser]
        of = f"for each of {self.layers} layers" if self.layers > 1 else "on one layer"
        fine = f" and {self.fine:,} of fine tuning" if self.fine else ""
        return f"{self.iterations:,} {optimiser} {of}{fine}, on {self.examples:,} vectors"

    def learn(
        self,
        mixed: Callable[[str], Iterator[Scene]],
        stft: STFT,
        seed: int,
        sources: Sequence[str],
        keeping: Keeping,
    ) -> tuple[InstrumentSeparator, list[dict[str, Any]]]:
        """Train a network for each source on the solo recordings of all; see `Course.run`.

        Args:
            mixed: gives the scenes of a part, `train` or `valid`; a solo has one reference.
            stft: the transform.
            seed: decides which vectors are drawn.
            sources: names of the instruments.
            keeping: where checkpoints go, whom to tell, and on which device to compute.

        Raises:
            DatasetError: an instrument has no recording that can be used.
            SpecError: the transform or the limits of material do not go with this.
        """
        context_step(stft)
        limits = {name: round(60.0 * each * stft.rate) for name, each in self.minutes_of}
        for name in limits:
            if name not in sources:
                raise SpecError(
                    f"minutes of material for '{name}'", expected=f"one of {', '.join(sources)}"
                )
        course = Course(sources, self, seed, keeping)
        if course.standing.network < len(sources):
            course.run(
                partial(
                    self._examples,
                    *self._generators(mixed, stft, seed, sources, limits, keeping.device),
                    sources=tuple(sources),
                )
            )
        separator = self._around(course.learnt, stft)
        separator.findings = course.standing.findings
        return separator, course.standing.history

    def _generators(
        self,
        mixed: Callable[[str], Iterator[Scene]],
        stft: STFT,
        seed: int,
        sources: Sequence[str],
        limits: dict[str, int],
        device: str,
    ) -> tuple[Generator, Generator]:
        """Return what draws the vectors of the training and of the validation part."""
        size, made = (2 * self.context + 1) * stft.window, []
        for part, stream in (("train", TRAINING), ("valid", WATCHED)):
            try:
                bank = solos(mixed(part), sources, size, limits if part == "train" else {}, device)
            except DatasetError as error:
                raise DatasetError(
                    f"the part '{part}': {error.found}", expected=error.expected
                ) from error
            made.append(Generator(bank, stft.window, self.context, seed, stream, self.pauses))
        return made[0], made[1]

    def _examples(
        self, train: Generator, valid: Generator, name: str, sources: tuple[str, ...]
    ) -> tuple[Examples, Examples]:
        target, memory = sources.index(name), 1e9 * self.memory
        return (
            Examples(train, target, self.examples, memory),
            Examples(valid, target, self.watched, memory),
        )

    def restore(
        self, tensors: Mapping[str, Tensor], stft: STFT, sources: Sequence[str]
    ) -> InstrumentSeparator:
        """Rebuild the separator from what `InstrumentSeparator.tensors` gave out."""
        return self._around(unpacked(tensors, sources, self), stft)

    def _around(
        self, networks: Mapping[str, Mapping[str, Layers]], stft: STFT
    ) -> InstrumentSeparator:
        return InstrumentSeparator(networks, stft, self.context, self.exponent)


def context_step(stft: STFT) -> int:
    """Return how many frames further the next one begins that does not overlap.

    Raises:
        SpecError: none begins there, or the window is not rectangular.
    """
    if stft.window % stft.hop or stft.shape != "boxcar":
        raise SpecError(
            f"an STFT with a {stft.shape} window of {stft.window} and a hop of {stft.hop} samples",
            expected="a boxcar window, and a hop that divides it, for context without overlap",
        )
    return stft.window // stft.hop


def with_neighbours(frames: Tensor, context: int, step: int) -> tuple[Tensor, Tensor]:
    """Return inputs `(frames, features)`, normalised, and what they were divided by, `(frames,)`.

    Args:
        frames: magnitudes `(frames + 2 * context * step, bins)`; the outer ones are context alone.
        context: frames on either side.
        step: from one of them to the next.
    """
    count = len(frames) - 2 * context * step
    shifted = [frames[first * step : first * step + count] for first in range(2 * context + 1)]
    together = torch.stack(shifted, dim=1)
    norm = gamma(together)
    scale = 1.0 / torch.where(norm == 0.0, 1.0, norm)
    return together.flatten(1) * scale[:, None], norm


class InstrumentSeparator(StreamingSeparator):
    """A piece's trained networks; it streams the filtered answer of the last stage."""

    findings: dict[str, dict[str, float]]

    def __init__(
        self,
        networks: Mapping[str, Mapping[str, Layers]],
        stft: STFT,
        context: int,
        exponent: float = 2.0,
    ) -> None:
        """Take the layers of each instrument's network after each stage.

        Args:
            networks: by instrument and stage, the same stages for all.
            stft: the transform that they were trained with.
            context: frames on either side.
            exponent: of the Wiener filter.
        """
        self.networks = {name: dict(stages) for name, stages in networks.items()}
        self.stft, self.context, self.exponent = stft, context, exponent
        self.sources = tuple(networks)
        self.stages = tuple(next(iter(self.networks.values())))
        self.step = context_step(stft)

    @property
    def usual(self) -> str:
        """Return which variant `separate` and `stream` give: the last of `answers`."""
        return f"{self.stages[-1]}, {OUTPUTS[-1]}"

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights of all stages."""
        return packed(self.networks)

    def answers(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, dict[str, np.ndarray]]:
        """Return the estimates `(1, samples)` of all stages, raw and filtered: the best come last.

        Args:
            mixture: `(1, samples)`.
            references: not looked at.

        Raises:
            AudioError: the mixture has not one channel.
        """
        check_mono(mixture)
        count, variants = len(self.sources), [(s, o) for s in self.stages for o in OUTPUTS]
        found = np.empty((len(variants), count, mixture.shape[1]), np.float32)
        rows = found.reshape(-1, mixture.shape[1])
        for first, piece in self._sounds(mixture, self.stages, OUTPUTS):
            rows[:, first : first + piece.shape[1]] = piece
        return {
            f"{stage}, {output}": {
                name: each[row : row + 1] for row, name in enumerate(self.sources)
            }
            for (stage, output), each in zip(variants, found, strict=True)
        }

    def stream(self, mixture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield `(first sample, estimates (sources, samples))`, one piece after the other.

        Beside a mixture that may be a memory map no more is held than `FRAMES` frames take.
        """
        return self._sounds(mixture, self.stages[-1:], OUTPUTS[-1:])

    def _sounds(
        self, mixture: np.ndarray, stages: Sequence[str], outputs: Sequence[str]
    ) -> Iterator[tuple[int, np.ndarray]]:
        check_mono(mixture)
        spectra = self._spectra(mixture, stages, outputs)
        return overlap_added(spectra, self.stft, mixture.shape[1])

    @torch.no_grad()
    def _spectra(
        self, mixture: np.ndarray, stages: Sequence[str], outputs: Sequence[str]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield `(last, spectra (stages * outputs * sources, bins, frames))` up to frame `last`."""
        frames, margin = 1 + mixture.shape[1] // self.stft.hop, self.context * self.step
        device = next(iter(self.tensors().values())).device
        for first in range(0, frames, FRAMES):
            last = min(first + FRAMES, frames)
            begin = max(0, first - margin)
            whole = spectrum_of(mixture, self.stft, begin, last + margin - begin, device)
            # Before the sound and after it there is silence.
            heard = nn.functional.pad(whole.abs().T, (0, 0, margin - (first - begin), 0))
            spectrum = whole[:, first - begin : last - begin]
            yield (
                last,
                torch.cat(
                    [
                        self._answer(raw, spectrum, output)
                        for raw in (self._raw(heard, stage) for stage in stages)
                        for output in outputs
                    ]
                ),
            )

    def _raw(self, heard: Tensor, stage: str) -> Tensor:
        """Return the magnitudes `(sources, bins, frames)` that the networks put out."""
        inputs, norm = with_neighbours(heard, self.context, self.step)
        found = [activations(each[stage], inputs)[-1] for each in self.networks.values()]
        return torch.stack(found).mul_(norm[:, None]).transpose(1, 2)

    def _answer(self, raw: Tensor, spectrum: Tensor, output: str) -> Tensor:
        """Return the complex spectra `(sources, bins, frames)` of one kind of output."""
        if output == "WF":
            return masks.wiener(raw, self.exponent) * spectrum
        # A bin in which the mixture has no phase stays silent.
        size = spectrum.abs()
        return raw * (spectrum / torch.where(size == 0.0, 1.0, size))
