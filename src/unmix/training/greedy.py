"""Greedy layer-wise training by Nesterov's gradient, whose rate follows the validation error.

Paper: nugraha Section 2.2.3. A perceptron with one hidden layer is trained; then its output layer
makes way for a new hidden and a new output layer, and all of it is trained again, until there are
as many hidden layers as wanted. The rate rises while the validation error falls and falls when it
rises; after a few iterations without a better one the best weights come back (Duffner and Garcia
2007). An iteration is a pass over all training frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn, optim

from unmix.errors import SpecError, UnmixError
from unmix.training.checkpoint import Keeping

Layers = list[tuple[Tensor, Tensor]]
"""Weight `(units, inputs)` and bias `(units,)` of each layer; all but the last have a ReLU."""

PARTS = ("weight", "bias")
OUTPUT_SPREAD = 0.01
"""Standard deviation of an output layer's first weights."""

START, ORDER = 5, 6
"""Streams of random numbers: first weights, and the order of frames."""

SAVE_S = 60.0
"""Seconds from checkpoint to checkpoint; there is one at the end of each depth as well."""


@dataclass(frozen=True)
class Greedy:
    """How a network is trained; the defaults are the paper's.

    Attributes:
        hidden: number of hidden layers.
        units: width of each.
        batch: frames a step.
        rate: the first learning rate of each depth.
        down: factor on the rate after a validation error above the one before.
        up: factor on the rate after one that is not.
        momentum: of Nesterov's gradient.
        iterations: at each depth, at most.
        reversion: iterations without a better validation error after which the best weights return.
        patience: reversions after which a depth ends.
        decay: weight of the squared weights in the loss (lambda of Eq. 6).
    """

    hidden: int = 3
    units: int = 2050
    batch: int = 100
    rate: float = 1e-3
    down: float = 0.7
    up: float = 1.1
    momentum: float = 0.9
    iterations: int = 250
    reversion: int = 5
    patience: int = 3
    decay: float = 1e-5

    def __post_init__(self) -> None:
        counts = (self.hidden, self.units, self.batch, self.iterations, self.reversion)
        if min(*counts, self.patience) < 1:
            raise SpecError(
                f"{self.hidden} hidden layers of {self.units}, {self.batch} frames a step, "
                f"{self.iterations} iterations, {self.reversion} before a reversion, a patience of "
                f"{self.patience}",
                expected="at least one of each",
            )
        if not (self.rate > 0.0 and 0.0 < self.down <= 1.0 <= self.up and self.decay >= 0.0):
            raise SpecError(
                f"a rate of {self.rate} that goes down by {self.down} and up by {self.up}, a decay "
                f"of {self.decay}",
                expected="a positive rate, down by at most 1, up by at least 1, a decay of 0 or "
                "more",
            )
        if not 0.0 < self.momentum < 1.0:
            raise SpecError(f"a momentum of {self.momentum}", expected="between 0 and 1")


class Frames(NamedTuple):
    """Inputs `(frames, features)` and targets `(frames, outputs)` of one part."""

    inputs: Tensor
    targets: Tensor


def answer(layers: Layers, inputs: Tensor) -> Tensor:
    """Return what a network puts out, `(frames, outputs)`."""
    for weight, bias in layers[:-1]:
        inputs = nn.functional.relu(nn.functional.linear(inputs, weight, bias))
    return nn.functional.linear(inputs, *layers[-1])


def misfit(layers: Layers, frames: Frames, block: int = 8192) -> float:
    """Return half the mean squared error, the first term of Eq. 6."""
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(frames.inputs), block):
            found = answer(layers, frames.inputs[first : first + block])
            total += float((found - frames.targets[first : first + block]).double().square().sum())
    return total / (2 * frames.targets.numel())


def fresh(rng: np.random.Generator, outputs: int, inputs: int, spread: float) -> Layers:
    """Return one layer with Gaussian weights and no bias."""
    weight = spread * rng.standard_normal((outputs, inputs))
    return [(torch.from_numpy(weight.astype(np.float32)), torch.zeros(outputs))]


def begun(
    before: Layers, inputs: int, outputs: int, settings: Greedy, rng: np.random.Generator
) -> Layers:
    """Return the network of the next depth: `before` without its output layer, and two new ones."""
    kept = before[:-1]
    width = settings.units if kept else inputs
    hidden = fresh(rng, settings.units, width, (2.0 / width) ** 0.5)
    return [*kept, *hidden, *fresh(rng, outputs, settings.units, OUTPUT_SPREAD)]


@dataclass
class Standing:
    """Where a training stands, apart from its tensors.

    Attributes:
        depth: hidden layers of the network in work; 0 before there is one.
        iteration: at this depth.
        rate: of the next iteration.
        last, best: validation error of the iteration before, and the lowest at this depth.
        waited: iterations since then, or since the last reversion.
        reversions: at this depth.
        epoch: iterations over all networks.
        history: a row an iteration.
    """

    depth: int = 0
    iteration: int = 0
    rate: float = 0.0
    last: float = float("inf")
    best: float = float("inf")
    waited: int = 0
    reversions: int = 0
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def deepen(self, rate: float) -> None:
        """Begin the next depth."""
        self.depth, self.iteration, self.rate = self.depth + 1, 0, rate
        self.last = self.best = float("inf")
        self.waited = self.reversions = 0

    def note(self, error: float, settings: Greedy) -> bool:
        """Take in a validation error and set the next rate; return whether it is the best."""
        self.iteration, self.epoch = self.iteration + 1, self.epoch + 1
        self.rate *= settings.down if error > self.last else settings.up
        self.last = error
        better = error < self.best
        self.waited = 0 if better else self.waited + 1
        self.best = min(self.best, error)
        return better

    def revert(self) -> None:
        """Take in that the best weights are back."""
        self.last = self.best
        self.waited, self.reversions = 0, self.reversions + 1

    def ended(self, settings: Greedy) -> bool:
        """Return whether a depth is through."""
        return self.reversions >= settings.patience or self.iteration >= settings.iterations


class Apprentices:
    """Networks that are trained one after the other, and the state of that.

    Attributes:
        learnt: layers of those that are done, by name.
        known: other tensors to keep with them, by name.
        standing: where the one in work stands.
    """

    def __init__(self, settings: Greedy, seed: int, keeping: Keeping) -> None:
        """Take the settings, and the state that a checkpoint holds.

        Raises:
            CheckpointError: the checkpoint is damaged or belongs to other settings.
        """
        self.settings, self.seed, self.keeping = settings, seed, keeping
        self.learnt: dict[str, Layers] = {}
        self.known: dict[str, Tensor] = {}
        self.standing = Standing()
        self.saved: dict[str, Tensor] = {}
        self.written = time.perf_counter()
        found = keeping.load()
        if found is not None:
            tensors = {name: value.to(keeping.device) for name, value in found[0].items()}
            self.learnt, self.known, self.saved = _unpacked(tensors)
            self.standing = Standing(**found[1])

    def keep(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return a tensor of `known`, made and kept if it is not there."""
        if name not in self.known:
            self.known[name] = make()
            self._save({})
        return self.known[name]

    def train(self, name: str, frames: Callable[[], tuple[Frames, Frames]]) -> Layers:
        """Return a trained network; one that is learnt already is not trained again.

        Args:
            name: of the network.
            frames: gives what to train with and what to validate on, on the device.

        Raises:
            UnmixError: an error is not finite.
        """
        if name not in self.learnt:
            train, valid = frames()
            best: Layers = []
            while self.standing.depth < self.settings.hidden or not self._through():
                if self._through():
                    self.standing.deepen(self.settings.rate)
                best = self._deep(name, train, valid, best)
            self.learnt[name] = best or layers_of(self.saved, "best")
            self.saved = {}
            self.standing = Standing(epoch=self.standing.epoch, history=self.standing.history)
            self._save({})
        return self.learnt[name]

    def _through(self) -> bool:
        return not self.standing.depth or self.standing.ended(self.settings)

    def _deep(self, name: str, train: Frames, valid: Frames, before: Layers) -> Layers:
        """Train at one depth; return the best layers."""
        settings, standing, device = self.settings, self.standing, train.inputs.device
        layers, best, speed = (layers_of(self.saved, each) for each in ("now", "best", "speed"))
        if standing.iteration == 0:
            rng = np.random.default_rng([self.seed, START, *name.encode(), standing.depth])
            sizes = train.inputs.shape[1], train.targets.shape[1]
            layers = begun(before or best, *sizes, settings, rng)
            layers = best = [(weight.to(device), bias.to(device)) for weight, bias in layers]
            speed = []
        layers = [(weight.clone(), bias.clone()) for weight, bias in layers]
        nesterov = _nesterov(layers, settings, speed)
        self.saved = {}
        while not standing.ended(settings):
            began = time.perf_counter()
            loss = self._pass(name, layers, nesterov, train)
            error = misfit(layers, valid)
            if not error < float("inf"):
                raise UnmixError(
                    f"the validation error of the network for {name} is {error} after "
                    f"{standing.iteration + 1} iterations at depth {standing.depth}",
                    do="look for damaged recordings, or begin with a smaller rate",
                )
            rate = standing.rate
            if standing.note(error, settings):
                best = [(weight.detach().clone(), bias.detach().clone()) for weight, bias in layers]
            elif standing.waited >= settings.reversion:
                _revert(layers, best, nesterov)
                standing.revert()
            self._row(name, loss, error, rate, len(train.inputs), time.perf_counter() - began)
            if standing.ended(settings) or time.perf_counter() - self.written >= SAVE_S:
                speed = [
                    (_speed(nesterov, weight), _speed(nesterov, bias)) for weight, bias in layers
                ]
                self._save({**named("now", layers), **named("best", best), **named("speed", speed)})
        return best

    def _pass(self, name: str, layers: Layers, nesterov: optim.Optimizer, train: Frames) -> float:
        """Go once over all frames in an order of their own; return the mean misfit on the way."""
        standing, settings = self.standing, self.settings
        key = [self.seed, ORDER, *name.encode(), standing.depth, standing.iteration]
        order = torch.from_numpy(np.random.default_rng(key).permutation(len(train.inputs)))
        for group in nesterov.param_groups:
            group["lr"] = standing.rate
        total = torch.zeros((), dtype=torch.float64, device=train.inputs.device)
        for rows in order.to(train.inputs.device).split(settings.batch):
            nesterov.zero_grad(set_to_none=True)
            loss = (answer(layers, train.inputs[rows]) - train.targets[rows]).square().mean() / 2
            loss.backward()
            nesterov.step()
            total += loss.detach() * len(rows)
        return float(total) / len(order)

    def _row(
        self, name: str, loss: float, error: float, rate: float, frames: int, seconds: float
    ) -> None:
        standing = self.standing
        row = {
            "epoch": standing.epoch,
            "network": name,
            "stage": f"{standing.depth} hidden",
            "iteration": standing.iteration,
            "train_loss": loss,
            "valid_loss": error,
            "rate": rate,
            "frames": frames,
            "seconds": seconds,
        }
        standing.history.append(row)
        self.keeping.log(row)

    def _save(self, tensors: dict[str, Tensor]) -> None:
        done = {
            key: value
            for name, layers in self.learnt.items()
            for key, value in named(f"learnt/{name}", layers).items()
        }
        known = {f"known/{name}": value for name, value in self.known.items()}
        self.keeping.save({**done, **known, **tensors}, asdict(self.standing))
        self.written = time.perf_counter()


def _nesterov(layers: Layers, settings: Greedy, speed: Layers) -> optim.SGD:
    """Return the optimiser of layers, whose squared weights (not biases) count in the loss."""
    for pair in layers:
        for each in pair:
            each.requires_grad_()
    groups = [
        {"params": [weight for weight, _ in layers], "weight_decay": settings.decay},
        {"params": [bias for _, bias in layers], "weight_decay": 0.0},
    ]
    made = optim.SGD(groups, lr=settings.rate, momentum=settings.momentum, nesterov=True)
    for pair, moved in zip(layers, speed, strict=False):
        for each, value in zip(pair, moved, strict=True):
            made.state[each]["momentum_buffer"] = value.clone()
    return made


def _speed(nesterov: optim.Optimizer, weights: Tensor) -> Tensor:
    """Return the momentum of weights; at rest it is zero."""
    found = nesterov.state[weights].get("momentum_buffer")
    return torch.zeros_like(weights) if found is None else found


def _revert(layers: Layers, best: Layers, nesterov: optim.Optimizer) -> None:
    """Bring the best weights back, at rest."""
    with torch.no_grad():
        for pair, kept in zip(layers, best, strict=True):
            for each, value in zip(pair, kept, strict=True):
                each.copy_(value)
    nesterov.state.clear()


def named(prefix: str, layers: Layers) -> dict[str, Tensor]:
    """Return the tensors of layers under names that begin with a prefix."""
    return {
        f"{prefix}/{number}/{part}": value
        for number, layer in enumerate(layers)
        for part, value in zip(PARTS, layer, strict=True)
    }


def layers_of(tensors: Mapping[str, Tensor], prefix: str) -> Layers:
    """Return the layers under a prefix of names; none where there are none."""
    found: Layers = []
    while f"{prefix}/{len(found)}/{PARTS[0]}" in tensors:
        weight, bias = (tensors[f"{prefix}/{len(found)}/{part}"] for part in PARTS)
        found.append((weight, bias))
    return found


def _unpacked(
    tensors: dict[str, Tensor],
) -> tuple[dict[str, Layers], dict[str, Tensor], dict[str, Tensor]]:
    """Return what is learnt, what else is known, and the rest."""
    names = {name.split("/")[1]: None for name in tensors if name.startswith("learnt/")}
    learnt = {name: layers_of(tensors, f"learnt/{name}") for name in names}
    known = {
        name.removeprefix("known/"): value
        for name, value in tensors.items()
        if name.startswith("known/")
    }
    rest = {
        name: value for name, value in tensors.items() if not name.startswith(("learnt/", "known/"))
    }
    return learnt, known, rest
