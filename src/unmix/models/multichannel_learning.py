"""How networks of nugraha learn: what each of them hears of each song, and its training.

See `models/multichannel.py` for what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from unmix.datasets.track import Scene
from unmix.errors import AudioError
from unmix.models.supervectors import Reduction, Standard, supervectors
from unmix.spatial import SpatialModel, fitted, mean_power
from unmix.stft import STFT
from unmix.training.greedy import PARTS, Apprentices, Frames, named

if TYPE_CHECKING:
    from unmix.models.multichannel import MultichannelNetwork, MultichannelSeparator

DELTAS = (1e-20, 1e-10)
"""delta_1 of the filter and delta_2 of what the networks hear, in Systems I and II."""

MIDDLE = 0.1
"""The share in the middle of each song that validates (two of twenty chunks)."""


@dataclass(frozen=True)
class Song:
    """What the networks learn from one song.

    Attributes:
        heard: magnitudes `(inputs, frames, bins)`: of all channels (System III), of z of the first
            separation step, which is one for all sources, or of z of each source in the second.
        true: magnitudes `(sources, frames, bins)`, the root of the mean power over channels.
        valid: which frames validate, `(frames,)`.
    """

    heard: Tensor
    true: Tensor
    valid: Tensor

    @classmethod
    def of(
        cls,
        scene: Scene,
        stft: STFT,
        sources: Sequence[str],
        settings: MultichannelNetwork,
        before: MultichannelSeparator | None,
        device: str,
    ) -> Song:
        """Transform a song; `before` has the networks of the first iteration, for the second."""
        mixture = stft.forward(torch.from_numpy(scene.mixture).to(device))
        sounds = np.stack([scene.references[name] for name in sources])
        true = mean_power(stft.forward(torch.from_numpy(sounds).to(device))).sqrt()
        if settings.joint:
            found = mixture.abs()
        else:
            model = SpatialModel.alike(mixture, len(sources))
            if before is not None:
                model = before.iterate(mixture, model, "first")
            found = fitted(mixture, model, DELTAS)[1].sqrt()
            found = found[:1] if before is None else found
        count = true.shape[-1]
        middle, half = count / 2, MIDDLE * count / 2
        frames = torch.arange(count, device=device)
        valid = (frames >= middle - half) & (frames < middle + half)
        if not bool(valid.any()) or bool(valid.all()):
            raise AudioError(
                f"{scene.clip.name}: {count} frames",
                expected="enough to train with and a middle to validate on",
            )
        return cls(found.transpose(1, 2).float(), true.transpose(1, 2), valid)

    def vectors(self, number: int, settings: MultichannelNetwork) -> Tensor:
        """Return the supervectors of all frames for a network."""
        own = self.heard if settings.joint else self.heard[min(number, len(self.heard) - 1)]
        return supervectors(own, settings.context)


def names_of(sources: Sequence[str], joint: bool) -> tuple[str, ...]:
    """Return the names of the networks of a set."""
    return ("all",) if joint else tuple(sources)


def learnt(
    learner: Apprentices,
    stage: str,
    songs: Sequence[Song],
    sources: Sequence[str],
    settings: MultichannelNetwork,
    seed: int,
) -> dict[str, Tensor]:
    """Train a set of networks; return its tensors."""
    if not songs:
        raise AudioError("no songs to learn from", expected="at least one in the training part")
    found: dict[str, Tensor] = {}
    for number, name in enumerate(names_of(sources, settings.joint)):
        place = f"{stage} {name}"
        # The first set hears the same, whatever the source: its PCA is made once.
        shared = f"{stage} {names_of(sources, settings.joint)[0]}" if stage == "first" else place
        reduction = _reduction(learner, shared, number, songs, settings, seed)
        standard = _standard(learner, place, number, songs, settings)

        def frames(
            number: int = number, reduction: Reduction = reduction, standard: Standard = standard
        ) -> tuple[Frames, Frames]:
            inputs = [reduction(song.vectors(number, settings)) for song in songs]
            targets = [standard(_targets(song, number, settings)) for song in songs]
            train, valid = (
                Frames(
                    torch.cat([part[rows] for part, rows in zip(inputs, chosen, strict=True)]),
                    torch.cat([part[rows] for part, rows in zip(targets, chosen, strict=True)]),
                )
                for chosen in (
                    [~song.valid for song in songs],
                    [song.valid for song in songs],
                )
            )
            return train, valid

        layers = learner.train(place, frames)
        weight, bias = layers[-1]
        last = (weight * standard.scale[:, None], bias * standard.scale + standard.mean)
        # A copy: stored tensors may not share memory.
        first = (reduction.weight.clone(), reduction.bias.clone())
        found |= named(place, [first, *layers[:-1], last])
    return found


def _targets(song: Song, number: int, settings: MultichannelNetwork) -> Tensor:
    """Return what a network is to put out, `(frames, outputs)`."""
    if not settings.joint:
        return song.true[number]
    return song.true.transpose(0, 1).flatten(1)


def _reduction(
    learner: Apprentices,
    place: str,
    number: int,
    songs: Sequence[Song],
    settings: MultichannelNetwork,
    seed: int,
) -> Reduction:
    """Return a network's reduction, made where it is not kept yet."""

    def make() -> tuple[Tensor, ...]:
        made = Reduction.of(
            lambda: (song.vectors(number, settings)[~song.valid] for song in songs),
            settings.components,
            settings.fitted,
            seed,
        )
        return made.weight, made.bias

    weight, bias = _kept(learner, [f"{place} reduction {part}" for part in PARTS], make)
    return Reduction(weight, bias)


def _standard(
    learner: Apprentices,
    place: str,
    number: int,
    songs: Sequence[Song],
    settings: MultichannelNetwork,
) -> Standard:
    """Return what standardises a network's targets; over all sources alike where it has all."""

    def blocks() -> Iterator[Tensor]:
        for song in songs:
            own = song.true[:, ~song.valid]
            yield own.flatten(0, 1) if settings.joint else own[number]

    def make() -> tuple[Tensor, ...]:
        made = Standard.of(blocks)
        times = len(songs[0].true) if settings.joint else 1
        return made.mean.repeat(times), made.scale.repeat(times)

    return Standard(*_kept(learner, [f"{place} {part}" for part in ("mean", "scale")], make))


def _kept(
    learner: Apprentices, names: Sequence[str], make: Callable[[], tuple[Tensor, ...]]
) -> list[Tensor]:
    """Return tensors that a checkpoint keeps, made where it has them not."""
    if any(name not in learner.known for name in names):
        for name, value in zip(names, make(), strict=True):
            learner.keep(name, value.clone)
    return [learner.known[name] for name in names]
