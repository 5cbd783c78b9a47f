"""Networks inside an EM-like iteration: separation of several channels, after nugraha.

Networks tell the power spectral densities of the sources; the iteration of `unmix.spatial` fits a
spatial covariance to each, and a multichannel Wiener filter separates.

| system | networks | hear |
| --- | --- | --- |
| I | one a source | z of the separation step, from the second iteration on of separated sources |
| II | as I; a second one a source from the second iteration on | the same, and trained on it |
| IIIa, IIIb | one for all sources, once | the magnitudes of all channels of the mixture |

IIIa and IIIb differ in the filter's regularisation. What it does depends on the scale of spectra:
here they are divided by the sum of the window, and `IIIa as summed` and `IIIb as summed` have the
filter of spectra that are not. `mask` is the answer of the same networks without any spatial model:
every covariance the identity, which is a mask that channels share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unmix.datasets.track import Scene
from unmix.errors import SpecError
from unmix.models.multichannel_learning import DELTAS, Song, learnt
from unmix.models.supervectors import supervectors
from unmix.spatial import SpatialModel, check_mixture, fitted, images, smallest, updated
from unmix.stft import STFT
from unmix.training.checkpoint import Keeping
from unmix.training.greedy import Apprentices, Greedy, answer, layers_of

FIXED = 1e-5
"""delta_1 of System IIIa, of spectra divided by the sum of the window."""

AMONG = tuple(10.0**power for power in range(-10, -4))
"""Of which System IIIb takes the smallest that leaves matrices invertible."""

MASK = "mask"
SUMMED = " as summed"
"""What follows a system's name where its regularisation is that of spectra as a transform sums
them, of samples of at most 1."""

BLOCK = 4096
"""Frames that go through a network at once."""


@dataclass(frozen=True)
class MultichannelNetwork(Greedy):
    """Settings of the networks, of their training, and of the iteration.

    Attributes:
        joint: one network for all sources (System III), or one a source (Systems I and II).
        second: whether there is a second set, for the second iteration and those after it.
        context: frames of a supervector on either side.
        components: that PCA keeps.
        fitted: frames that PCA looks at, at most.
        times: iterations, of each of which there is an answer.
        usual: of them, how many the usual answer has (L). The paper does not give it; it uses
            System II's second networks in iterations, so that there are three or more.
    """

    joint: bool = False
    second: bool = True
    context: int = 2
    components: int = 2050
    fitted: int = 50_000
    times: int = 3
    usual: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.context, self.components - 1, self.fitted - 1, self.times - 1) < 0:
            raise SpecError(
                f"a context of {self.context}, {self.components} components of {self.fitted} "
                f"frames, {self.times} iterations",
                expected="a context of 0 or more, and at least one of the others",
            )
        if not 1 <= self.usual <= self.times:
            raise SpecError(
                f"the answer after iteration {self.usual} of {self.times}",
                expected=f"1 to {self.times}",
            )
        if self.joint and self.second:
            raise SpecError(
                "a second set of networks beside one for all sources",
                expected="a second set for Systems I and II only",
            )

    @property
    def schooling(self) -> str:
        """Return in words how long the networks are trained."""
        return (
            f"at most {self.iterations} passes for each of {self.hidden} hidden layers, "
            f"{self.batch} frames a step"
        )

    def learn(
        self,
        mixed: Callable[[str], Iterator[Scene]],
        stft: STFT,
        seed: int,
        sources: Sequence[str],
        keeping: Keeping,
    ) -> tuple[MultichannelSeparator, list[dict[str, Any]]]:
        """Train the networks on the songs of `train` and `valid`, whose middles validate.

        Args:
            mixed: gives the scenes of a part, mixtures `(channels, samples)`.
            stft: the transform.
            seed: decides weights, the order of frames, and which of them PCA looks at.
            sources: names of the sources.
            keeping: where checkpoints go, whom to tell, and on which device to compute.

        Raises:
            AudioError: there is no song, or one is too short to have a middle.
        """
        learner = Apprentices(self, seed, keeping)
        parts: dict[str, Tensor] = {}
        for stage in ("first", "second")[: 1 + self.second]:
            before = MultichannelSeparator(parts, stft, sources, self) if parts else None
            songs = [
                Song.of(each, stft, sources, self, before, keeping.device)
                for part in ("train", "valid")
                for each in mixed(part)
            ]
            parts |= learnt(learner, stage, songs, sources, self, seed)
        return MultichannelSeparator(parts, stft, sources, self), learner.standing.history

    def restore(
        self, tensors: Mapping[str, Tensor], stft: STFT, sources: Sequence[str]
    ) -> MultichannelSeparator:
        """Rebuild the separator from what `MultichannelSeparator.tensors` gave out."""
        return MultichannelSeparator(dict(tensors), stft, sources, self)


class MultichannelSeparator:
    """Trained networks and the iteration around them, for mixtures `(channels, samples)`."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        stft: STFT,
        sources: Sequence[str],
        settings: MultichannelNetwork,
    ) -> None:
        """Take the networks: by set and name a reduction and layers, see `tensors`."""
        self._tensors, self.stft = dict(tensors), stft
        self.sources, self.settings = tuple(sources), settings

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights of all networks."""
        return dict(self._tensors)

    @property
    def usual(self) -> str:
        """Return which variant `separate` gives: the last system's."""
        return f"{self._systems()[-1]}, {self.settings.usual}"

    def separate(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the usual answer: the image of each source, `(channels, samples)`."""
        return self._answered(mixture, [self.usual])[self.usual]

    def answers(
        self, mixture: np.ndarray, references: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, dict[str, np.ndarray]]:
        """Return the images by every system after each iteration, and by the mask alone.

        Those of spectra as summed are made after the usual number of iterations alone.

        Args:
            mixture: `(channels, samples)`.
            references: not looked at.

        Raises:
            AudioError: the mixture is silent or not finite.
        """
        steps = range(1, self.settings.times + 1)
        summed = self._systems() if self.settings.joint else ()
        wanted = [
            MASK,
            *(f"{each}{SUMMED}, {self.settings.usual}" for each in summed),
            *(f"{each}, {step}" for each in self._systems() for step in steps),
        ]
        # The usual answer is the last.
        return self._answered(mixture, sorted(wanted, key=lambda name: name == self.usual))

    def _systems(self) -> tuple[str, ...]:
        if self.settings.joint:
            return ("IIIa", "IIIb")
        return ("I", "II") if self.settings.second else ("I",)

    @torch.no_grad()
    def _answered(
        self, mixture: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        device = next(iter(self._tensors.values())).device
        spectrum = self.stft.forward(torch.from_numpy(np.asarray(mixture, np.float32)).to(device))
        check_mixture(spectrum)
        # All systems begin alike: what the networks say first is asked of them once.
        if self.settings.joint:
            first = self._joint(spectrum)
        else:
            alike = SpatialModel.alike(spectrum, len(self.sources))
            first = self.iterate(spectrum, alike, "first")
        found: dict[str, dict[str, np.ndarray]] = {}
        for system in {name.split(", ")[0]: None for name in wanted}:
            names = [name for name in wanted if name.split(", ")[0] == system]
            found |= dict(self._by(system, spectrum, first, names, mixture.shape[1]))
        return {name: found[name] for name in wanted}

    def _by(
        self,
        system: str,
        spectrum: Tensor,
        first: SpatialModel,
        names: Sequence[str],
        samples: int,
    ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Yield the answers of one system, iteration by iteration.

        `first` is the model that the mixture's own networks give: before the first iteration of
        System III, after that of Systems I and II.
        """
        model, delta = first, DELTAS[0]
        if system == MASK:
            model = SpatialModel.isotropic(first.psds, len(spectrum))
            yield MASK, self._sounds(spectrum, model, DELTAS[0], samples)
            return
        for step in range(1, max(int(name.split(", ")[1]) for name in names) + 1):
            if self.settings.joint:
                delta = self._delta(system, spectrum, model)
                covariances = updated(spectrum, model, delta, "psds")
                model = SpatialModel(model.psds, covariances)
                delta = self._delta(system, spectrum, model)
            elif step > 1:
                model = self.iterate(spectrum, model, "second" if system == "II" else "first")
            name = f"{system}, {step}"
            if name in names:
                yield name, self._sounds(spectrum, model, delta, samples)

    def _delta(self, system: str, spectrum: Tensor, model: SpatialModel) -> float:
        # A coefficient for spectra that are divided by s, in the unit of those that are not.
        unit = 1.0 if system.endswith(SUMMED) else float(self.stft.taps().double().sum()) ** 2
        if system.startswith("IIIa"):
            return unit * FIXED
        return smallest(spectrum, model, [unit * each for each in AMONG])

    def iterate(self, spectrum: Tensor, model: SpatialModel, stage: str) -> SpatialModel:
        """Return the model after an iteration of Systems I and II with one set of networks."""
        after, z = fitted(spectrum, model, DELTAS)
        psds = torch.stack(
            [
                self._power(f"{stage} {name}", supervectors(own.sqrt().T.float(), self._context))
                for name, own in zip(self.sources, z, strict=True)
            ]
        )
        return SpatialModel(psds.transpose(1, 2), after)

    @property
    def _context(self) -> int:
        return self.settings.context

    def _joint(self, spectrum: Tensor) -> SpatialModel:
        """Return the model before the first iteration of System III."""
        vectors = supervectors(spectrum.abs().transpose(1, 2), self._context)
        psds = self._power("first all", vectors).unflatten(1, (len(self.sources), -1))
        return SpatialModel.isotropic(psds.permute(1, 2, 0), len(spectrum))

    def _power(self, place: str, vectors: Tensor) -> Tensor:
        """Return the squared outputs of a network, floored at zero before, `(frames, outputs)`."""
        (weight, bias), *layers = layers_of(self._tensors, place)
        parts = []
        for block in vectors.split(BLOCK):
            inputs = nn.functional.linear(block, weight, bias)
            parts.append(answer(layers, inputs).clamp(min=0.0).square())
        return torch.cat(parts)

    def _sounds(
        self, spectrum: Tensor, model: SpatialModel, delta: float, samples: int
    ) -> dict[str, np.ndarray]:
        found = images(spectrum, model, delta)
        sounds = self.stft.inverse(found, samples).cpu().numpy()
        return dict(zip(self.sources, sounds, strict=True))
