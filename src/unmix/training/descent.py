"""Full-batch descent on the error of a ReLU network: its gradient, L-BFGS, and Adam beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unmix.training.generator import BLOCK, Examples
from unmix.training.leastsquares import Layer

Layers = tuple[Layer, ...]

PORTION = {"cpu": 1024, "cuda": 16384}
"""Vectors that go through the network together."""

SEARCH = 25
"""Evaluations of a line search at most, torch's own limit where none is given."""

KNOWN = 4
"""Evaluations that are remembered within an iteration; the one that is taken is among the last."""

BATCH, RATE = 256, 1e-3
"""Vectors of a mini-batch and learning rate of Adam."""


def activations(layers: Layers, inputs: Tensor) -> list[Tensor]:
    """Return the inputs `(batch, features)` and what each layer puts out, Eq. 2."""
    heard = [inputs]
    for weight, bias in layers:
        heard.append(torch.addmm(bias, heard[-1], weight.T).relu_())
    return heard


class Objective:
    """J of a network on examples, and its gradient.

    Weights are one vector, each layer's weights and biases in turn. Products are float32; the error
    is summed in float64. `seen` counts the vectors that were looked at.
    """

    def __init__(self, examples: Examples) -> None:
        """Take examples, and go through them once for the error of the identity."""
        self.examples, self.seen = examples, 0
        made = examples.generator
        self.bins, self.features = made.bins, made.frames * made.bins
        self.middle = slice(made.context * made.bins, (made.context + 1) * made.bins)
        self.portion = PORTION[made.device.type]
        total = sum(
            _squares(inputs[:, self.middle] - targets) for inputs, targets in self.portions()
        )
        # Where all others pause the identity is perfect; J then is the plain error.
        self.identity, self.seen = float(total) or 1.0, 0

    def portions(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Return all examples in portions that suit the device, and count them as seen."""
        self.seen += self.examples.count
        return self.examples.blocks(self.portion)

    def layers(self, weights: Tensor) -> Layers:
        """Return the layers that a vector of weights holds, as views."""
        found, first, width = [], 0, self.features
        while first < len(weights):
            last = first + self.bins * width
            weight = weights[first:last].view(self.bins, width)
            found.append((weight, weights[last : last + self.bins]))
            first, width = last + self.bins, self.bins
        return tuple(found)

    def value(self, layers: Layers) -> float:
        """Return J."""
        total = sum(
            _squares(activations(layers, inputs)[-1] - targets)
            for inputs, targets in self.portions()
        )
        return float(total) / self.identity

    def gradient(self, weights: Tensor) -> tuple[float, Tensor]:
        """Return J and its gradient, shaped as `weights`."""
        gradient = torch.zeros_like(weights)
        total = sum(self.add(weights, gradient, *portion) for portion in self.portions())
        return float(total) / self.identity, gradient.mul_(2.0 / self.identity)

    def add(self, weights: Tensor, gradient: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        """Add half the gradient of the squared error of a portion; return that error."""
        layers, slots = self.layers(weights), self.layers(gradient)
        heard = activations(layers, inputs)
        error = heard[-1] - targets
        total = _squares(error)
        for number in reversed(range(len(layers))):
            error = error.mul_(heard[number + 1] > 0.0)
            weight, bias = slots[number]
            weight.addmm_(error.T, heard[number])
            bias += error.sum(0)
            if number:
                error = error @ layers[number][0]
        return total


def _squares(error: Tensor) -> Tensor:
    return error.square().sum(dtype=torch.float64)


class Lbfgs:
    """torch's L-BFGS with strong Wolfe line search, an iteration at a time.

    Between iterations the state is a few tensors, so that a training can be told of, timed and
    resumed; the weights are those of one long call. torch computes each starting point anew; here
    the line search before remembers it.
    """

    def __init__(
        self, objective: Objective, weights: Tensor, history: int, key: Sequence[int] = ()
    ) -> None:
        """Take the weights, which turns change in place, and how many pairs are remembered."""
        self.objective, self.weights, self.history = objective, weights, history
        self.known: list[tuple[Tensor, float, Tensor]] = []
        self.lbfgs = self._fresh()

    def _fresh(self) -> torch.optim.LBFGS:
        # torch's tolerances are absolute: they would end a training at an arbitrary error.
        return torch.optim.LBFGS(
            [self.weights],
            max_iter=1,
            max_eval=1 + SEARCH,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            history_size=self.history,
            line_search_fn="strong_wolfe",
        )

    @torch.no_grad()
    def _closure(self) -> float:
        for point, value, gradient in self.known:
            if torch.equal(point, self.weights):
                self.weights.grad = gradient
                return value
        value, gradient = self.objective.gradient(self.weights)
        self.known = [*self.known[1 - KNOWN :], (self.weights.clone(), value, gradient)]
        self.weights.grad = gradient
        return value

    def turn(self) -> tuple[float, bool]:
        """Do one iteration; return J after it, and whether the weights have moved.

        Where no step makes J smaller, what is remembered is forgotten and the gradient alone tried.
        """
        before = self.weights.clone()
        for _ in range(2):
            self.lbfgs.step(self._closure)
            moved = not torch.equal(before, self.weights)
            if moved:
                break
            self.lbfgs = self._fresh()
        value = self._closure()
        self.known = [each for each in self.known if torch.equal(each[0], self.weights)]
        return value, moved

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain data from which `load` goes on to the bit."""
        tensors: dict[str, Tensor] = {}
        plain: dict[str, Any] = {}
        for name, value in self.lbfgs.state[self.weights].items():
            if name == "al":  # scratch
                continue
            if isinstance(value, list):
                tensors |= {f"{name}.{number}": each for number, each in enumerate(value)}
                plain[name] = len(value)
            elif isinstance(value, Tensor):
                tensors[name] = value
            else:
                plain[name] = value
        for _, known, gradient in self.known:
            tensors["gradient"], plain["known"] = gradient, known
        return tensors, plain

    def load(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        state: dict[str, Any] = {name: tensors[name] for name in tensors if "." not in name}
        state |= plain
        for name in ("old_dirs", "old_stps", "ro"):
            if name in plain:
                state[name] = [tensors[f"{name}.{number}"] for number in range(plain[name])]
        if "known" in state:
            self.known = [(self.weights.clone(), state.pop("known"), state.pop("gradient"))]
        self.lbfgs.state[self.weights] = state


class Adam:
    """Adam in mini-batches: a turn is a pass over all examples, in an order of its own."""

    def __init__(
        self, objective: Objective, weights: Tensor, history: int = 0, key: Sequence[int] = ()
    ) -> None:
        """Take the weights, which turns change in place, and what the order is drawn from."""
        self.objective, self.weights = objective, weights
        self.key, self.number = tuple(key), 0
        self.adam = torch.optim.Adam([weights], lr=RATE)

    @torch.no_grad()
    def turn(self) -> tuple[float, bool]:
        """Do one pass; return J as it was met on the way, and that the weights have moved.

        Blocks of examples are shuffled, not the examples, which were drawn at random.
        """
        examples, total = self.objective.examples, 0.0
        order = np.random.default_rng([*self.key, self.number])
        for block in order.permutation(-(-examples.count // BLOCK)).tolist():
            rows = block * BLOCK, min((block + 1) * BLOCK, examples.count)
            for part in zip(*(whole.split(BATCH) for whole in examples.rows(*rows)), strict=True):
                gradient = torch.zeros_like(self.weights)
                total += float(self.objective.add(self.weights, gradient, *part))
                self.weights.grad = gradient.mul_(2.0 / len(part[0]))
                self.adam.step()
        self.number += 1
        self.objective.seen += examples.count
        return total / self.objective.identity, True

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain data from which `load` goes on to the bit."""
        return dict(self.adam.state[self.weights]), {"number": self.number}

    def load(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.number = plain["number"]
        if tensors:
            self.adam.state[self.weights] = dict(tensors)


OPTIMISERS = {"lbfgs": Lbfgs, "adam": Adam}
