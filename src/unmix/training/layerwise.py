"""Layer-wise training of ReLU networks (uhlich Sec. 2.3).

Each layer starts from the linear least squares solution (Eq. 4) and is then trained together with
those before it, by L-BFGS on all examples at once; in the end the whole network is fine-tuned.
What is minimised is the paper's J: the sum of squared errors over that of the identity.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unmix.errors import SpecError, UnmixError, one_of
from unmix.training.checkpoint import Keeping
from unmix.training.descent import OPTIMISERS, Layers, Objective, activations
from unmix.training.generator import Examples
from unmix.training.leastsquares import Layer, least_squares

STARTS = ("least squares", "identity", "random")
FINE = "fine tuning"

ROWS = 10
"""The history has the first so many iterations of a stage, then each so-manieth."""

PARTS = ("weight", "bias")

START, ORDER = 3, 4
"""Streams of random numbers: random starts, and the order of mini-batches (see `Generator.stream`
for those of the examples)."""

SAVE_S = 60.0
"""Seconds from checkpoint to checkpoint; there is one at the end of each stage as well."""


@dataclass(frozen=True)
class Layerwise:
    """How a network is trained, layer after layer.

    Attributes:
        layers: number of ReLU layers (K).
        iterations: of L-BFGS for each new layer, on all layers so far.
        fine: iterations on the complete network, after all layers; with 0 there is no such stage.
        history: pairs of steps and gradient changes that L-BFGS remembers.
        start: of a new layer: `least squares` (Eq. 4), `identity` (the middle frame, or what the
            layer before puts out), or `random` (He et al. 2015).
        ridge: of the least squares, relative to the features' mean variance; it draws to the
            identity. 0 is Eq. 4 to the letter, with one only where it has no solution: exact
            solutions have weights in the thousands, on which L-BFGS gets nowhere in float32.
        optimiser: `lbfgs`, or `adam` in mini-batches, of which an iteration is a pass over all
            vectors: about what one of L-BFGS costs.
        minutes: at most so long for one network, each stage at most its share by iterations; 0 sets
            no limit. What the clock decides is not repeatable.
    """

    layers: int = 5
    iterations: int = 600
    fine: int = 3000
    history: int = 10
    start: str = "least squares"
    ridge: float = 1e-3
    optimiser: str = "lbfgs"
    minutes: float = 0.0

    def __post_init__(self) -> None:
        for what, value, known in (
            ("start", self.start, STARTS),
            ("optimiser", self.optimiser, OPTIMISERS),
        ):
            if value not in known:
                raise SpecError(one_of(what, value, known), expected=", ".join(known))
        never_below_0 = (self.iterations, self.fine, self.minutes, self.ridge)
        if min(self.layers, self.history) < 1 or min(never_below_0) < 0:
            raise SpecError(
                f"{self.layers} layers, {self.iterations} iterations each and {self.fine} of fine "
                f"tuning, a history of {self.history}, {self.minutes} minutes, a ridge of "
                f"{self.ridge}",
                expected="at least one layer and a history of 1; no number below 0",
            )

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, `1st layer` first."""
        layers = tuple(f"{ordinal(number)} layer" for number in range(1, self.layers + 1))
        return (*layers, FINE) if self.fine else layers

    def depth(self, stage: int) -> int:
        """Return how many layers the network has in a stage, counted from 0."""
        return min(stage + 1, self.layers)

    def wanted(self, stage: int) -> int:
        """Return the iterations of a stage, counted from 0."""
        return self.iterations if stage < self.layers else self.fine

    def deadline(self, stage: int) -> float:
        """Return the time in s, from the beginning of a network, at which a stage has to end."""
        if not self.minutes:
            return float("inf")
        counts = [self.wanted(number) for number in range(len(self.stages))]
        return 60.0 * self.minutes * sum(counts[: stage + 1]) / max(1, sum(counts))


def ordinal(number: int) -> str:
    """Return `1st`, `2nd`, `3rd`, ..."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0)
    return f"{number}{ending or 'th'}"


def started(
    objective: Objective, layers: Layers, settings: Layerwise, rng: np.random.Generator
) -> tuple[Layer, float]:
    """Return a new layer on top of `layers`, and the ridge that it has."""
    device = objective.examples.generator.device
    width = objective.bins if layers else objective.features
    bias = torch.zeros(objective.bins, device=device)
    if settings.start != "random":
        weight = torch.zeros(objective.bins, width, device=device)
        (weight if layers else weight[:, objective.middle]).fill_diagonal_(1.0)
        if settings.start == "identity":
            return (weight, bias), 0.0
        pairs = (
            (activations(layers, inputs)[-1], targets) for inputs, targets in objective.portions()
        )
        return least_squares(pairs, settings.ridge, weight)
    drawn = rng.standard_normal((objective.bins, width)) * (2.0 / width) ** 0.5
    return (torch.from_numpy(drawn.astype(np.float32)).to(device), bias), 0.0


def flat(layers: Layers) -> Tensor:
    """Return layers as one vector of weights."""
    return torch.cat([part.reshape(-1) for layer in layers for part in layer])


@dataclass
class Standing:
    """Where a training of several networks stands, apart from weights and optimiser.

    Attributes:
        network, stage: numbers of the current ones.
        iteration: of the stage; -1 before its layers are there.
        epoch: iterations over all networks.
        elapsed: seconds in this network.
        frames, seconds: vectors seen and time since the last row of the history.
        history: its rows.
        findings: by network, see `Course.run`.
        plain: what the optimiser keeps beside its tensors.
    """

    network: int = 0
    stage: int = 0
    iteration: int = -1
    epoch: int = 0
    elapsed: float = 0.0
    frames: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    findings: dict[str, dict[str, float]] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)


class Course:
    """Trains networks one after the other, stage after stage, and keeps its state.

    `learnt` has the layers of each network after each stage, by name and stage.
    """

    def __init__(
        self, sources: Sequence[str], settings: Layerwise, seed: int, keeping: Keeping
    ) -> None:
        """Take what to train, and the state that a checkpoint holds.

        Args:
            sources: names of the networks.
            settings: see `Layerwise`.
            seed: decides random starts and the order of mini-batches.
            keeping: where the state goes, and the rows of the history.

        Raises:
            CheckpointError: the checkpoint is damaged or belongs to other settings.
        """
        self.sources, self.settings = tuple(sources), settings
        self.seed, self.keeping = seed, keeping
        self.standing = Standing()
        self.learnt: dict[str, dict[str, Layers]] = {name: {} for name in self.sources}
        self.saved: dict[str, Tensor] = {}
        self.marked = self.written = time.perf_counter()
        found = keeping.load()
        if found is not None:
            self.saved = {name: value.to(keeping.device) for name, value in found[0].items()}
            self.learnt = unpacked(self.saved, self.sources, settings)
            self.standing = Standing(**found[1])

    def run(self, examples: Callable[[str], tuple[Examples, Examples]]) -> None:
        """Train all networks that are not done.

        The history has a row before the first iteration of each stage, for the first iterations and
        each tenth after them: `epoch` (iterations over all networks), `network`, `stage`,
        `iteration` (of the stage), `train_loss` and `valid_loss` (J), `frames` (vectors seen since
        the row before), `seconds`, and at a stage's beginning `ridge`, see `Moments.solved`.

        Findings are J at the start of the first layer, J there with the least squares start, and,
        for other starts, after how many iterations on one layer that was reached, if it was.

        Args:
            examples: gives those to train with and those to watch, by the network's name.

        Raises:
            UnmixError: J is not finite.
        """
        while self.standing.network < len(self.sources):
            self._network(*map(Objective, examples(self.sources[self.standing.network])))
            standing = self.standing
            standing.network, standing.stage, standing.elapsed = standing.network + 1, 0, 0.0
            self._save({})

    def _network(self, objective: Objective, watched: Objective) -> None:
        standing, stages = self.standing, self.settings.stages
        while standing.stage < len(stages):
            weights = self._begun(objective, watched)
            key = (self.seed, ORDER, standing.network, standing.stage)
            made = OPTIMISERS[self.settings.optimiser]
            optimiser = made(objective, weights, self.settings.history, key)
            if self.saved:
                start = "optimiser/"
                own = {
                    name.removeprefix(start): value
                    for name, value in self.saved.items()
                    if name.startswith(start)
                }
                optimiser.load(own, standing.plain)
                self.saved = {}
            self._iterate(objective, watched, optimiser)
            done = tuple(
                (weight.clone(), bias.clone()) for weight, bias in objective.layers(weights)
            )
            self.learnt[self._name()][stages[standing.stage]] = done
            standing.stage, standing.iteration, standing.plain = standing.stage + 1, -1, {}
            self._save({})

    def _name(self) -> str:
        return self.sources[self.standing.network]

    @torch.no_grad()
    def _begun(self, objective: Objective, watched: Objective) -> Tensor:
        """Return the weights that a stage begins with, or that it was interrupted at."""
        standing, settings = self.standing, self.settings
        if standing.iteration >= 0:
            return self.saved["weights"]
        self.saved = {}
        before = self.learnt[self._name()]
        layers = before[settings.stages[standing.stage - 1]] if standing.stage else ()
        about = {}
        if len(layers) < settings.depth(standing.stage):
            rng = np.random.default_rng([self.seed, START, standing.network, standing.stage])
            layer, about["ridge"] = started(objective, layers, settings, rng)
            layers = (*layers, layer)
        standing.iteration = 0
        value = objective.value(layers)
        if standing.stage == 0:
            self._find(objective, layers, value)
        self._row(value, watched.value(layers), objective, **about)
        return flat(layers)

    def _find(self, objective: Objective, layers: Layers, value: float) -> None:
        closed = value
        if self.settings.start != "least squares":
            solution = replace(self.settings, start="least squares")
            layer, _ = started(objective, (), solution, np.random.default_rng())
            closed = objective.value((layer,))
        self.standing.findings[self._name()] = {"J": value, "J by least squares": closed}

    def _iterate(self, objective: Objective, watched: Objective, optimiser: Any) -> None:
        """Do the iterations of a stage."""
        standing, settings = self.standing, self.settings
        wanted, moved = settings.wanted(standing.stage), True
        deadline = settings.deadline(standing.stage)
        while standing.iteration < wanted and moved and standing.elapsed < deadline:
            value, moved = optimiser.turn()
            standing.iteration += 1
            standing.epoch += 1
            if not value < float("inf"):
                raise UnmixError(
                    f"J of the network for the {self._name()} is {value} after "
                    f"{standing.iteration} iterations ({settings.stages[standing.stage]})",
                    do="look for damaged recordings, or begin from least squares",
                )
            self._reached(value)
            self._pass_time()
            last = standing.iteration == wanted or not moved or standing.elapsed >= deadline
            if last or standing.iteration <= ROWS or standing.iteration % ROWS == 0:
                layers = objective.layers(optimiser.weights)
                self._row(value, watched.value(layers), objective)
            if time.perf_counter() - self.written >= SAVE_S and not last:
                standing.frames, objective.seen = standing.frames + objective.seen, 0
                tensors, standing.plain = optimiser.state()
                own = {f"optimiser/{name}": value for name, value in tensors.items()}
                self._save({"weights": optimiser.weights, **own})

    def _reached(self, value: float) -> None:
        """Note after how many iterations on one layer the least squares start is reached."""
        found, standing = self.standing.findings[self._name()], self.standing
        on_one = self.settings.depth(standing.stage) == 1
        if on_one and "iterations" not in found and self.settings.start != "least squares":
            before = self.settings.iterations if standing.stage else 0
            if value <= found["J by least squares"]:
                found["iterations"] = before + standing.iteration

    def _pass_time(self) -> None:
        now = time.perf_counter()
        self.standing.seconds += now - self.marked
        self.standing.elapsed += now - self.marked
        self.marked = now

    def _row(self, value: float, watched: float, objective: Objective, **more: float) -> None:
        self._pass_time()
        standing = self.standing
        row: dict[str, Any] = {
            "epoch": standing.epoch,
            "network": self._name(),
            "stage": self.settings.stages[standing.stage],
            "iteration": standing.iteration,
            "train_loss": value,
            "valid_loss": watched,
            "frames": standing.frames + objective.seen,
            "seconds": standing.seconds,
            **more,
        }
        standing.history.append(row)
        standing.frames, standing.seconds, objective.seen = 0, 0.0, 0
        self.keeping.log(row)

    def _save(self, tensors: dict[str, Tensor]) -> None:
        self.keeping.save({**packed(self.learnt), **tensors}, asdict(self.standing))
        self.written = time.perf_counter()


def packed(learnt: Mapping[str, Mapping[str, Layers]]) -> dict[str, Tensor]:
    """Return layers by network and stage as named tensors."""
    return {
        f"{name}/{stage}/{number}/{part}": value
        for name, stages in learnt.items()
        for stage, layers in stages.items()
        for number, layer in enumerate(layers)
        for part, value in zip(PARTS, layer, strict=True)
    }


def unpacked(
    tensors: Mapping[str, Tensor], sources: Sequence[str], settings: Layerwise
) -> dict[str, dict[str, Layers]]:
    """Return what `packed` was given, as far as it is there."""
    learnt: dict[str, dict[str, Layers]] = {name: {} for name in sources}
    for name in sources:
        for index, stage in enumerate(settings.stages):
            if f"{name}/{stage}/0/{PARTS[0]}" in tensors:
                learnt[name][stage] = tuple(
                    (
                        tensors[f"{name}/{stage}/{number}/weight"],
                        tensors[f"{name}/{stage}/{number}/bias"],
                    )
                    for number in range(settings.depth(index))
                )
    return learnt
