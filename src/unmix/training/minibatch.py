"""Mini-batch training with Adam, early stopping, and checkpoints that resume to the bit."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unmix.errors import SpecError, UnmixError, one_of
from unmix.plain import later
from unmix.training import checkpoint
from unmix.training.examples import Bank, epoch, in_order
from unmix.training.losses import Loss

PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("plateau", "cosine", "staircase", "stages")
CHOSEN_ON = ("valid", "test")
Log = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        epochs: at most so many passes over the training chunks.
        patience: stop after so many epochs without a better validation loss.
        batch: chunks a step.
        chunk: length of a chunk in seconds (the paper: 4).
        rate: Adam's learning rate at the start.
        schedule: `plateau` halves the rate after a third of the patience without progress;
            `cosine` brings it to zero over `epochs`; `staircase` leaves a fifth of it for the last
            fifth of `epochs` (SH-4stack on MIR-1K); `stages` begins a second stage when patience
            is at its end, with twice the batch at a tenth of the rate (Wave-U-Net).
        augmentation: whether voices meet other songs' accompaniments (parwal Table II).
        precision: `float32`, or `bfloat16` for the products with large weights.
        loss: see `Loss`; a network that has an objective of its own does not look at it.
        gains: each source of a training chunk is multiplied by a number drawn from this range.
        chosen_on: the part whose loss decides which epoch's weights are kept. On `test` it shows
            what a choice that peeks is worth, and nothing else.
    """

    epochs: int = 200
    patience: int = 20
    batch: int = 16
    chunk: float = 4.0
    rate: float = 1e-3
    schedule: str = "plateau"
    augmentation: bool = True
    precision: str = "float32"
    loss: Loss = dataclasses.field(default_factory=Loss)
    gains: tuple[float, float] = later((1.0, 1.0))
    chosen_on: str = later("valid")

    def __post_init__(self) -> None:
        for what, value, known in (
            ("precision", self.precision, PRECISIONS),
            ("schedule", self.schedule, SCHEDULES),
            ("chosen_on", self.chosen_on, CHOSEN_ON),
        ):
            if value not in known:
                raise SpecError(one_of(what, value, known), expected=", ".join(known))
        if min(self.epochs, self.patience, self.batch) < 1 or min(self.chunk, self.rate) <= 0:
            raise SpecError(
                f"training with {self.epochs} epochs, patience {self.patience}, batch "
                f"{self.batch}, chunks of {self.chunk} s and rate {self.rate}",
                expected="positive numbers",
            )


@dataclass
class Progress:
    """Where a training stands, apart from weights and optimiser."""

    number: int = 0
    rate: float = 0.0
    best: float = float("inf")
    best_number: int = -1
    since: int = 0
    stage: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def note(self, loss: float, settings: Training) -> bool:
        """Take in a validation loss and set the next rate; return whether it is the best."""
        better = loss < self.best
        if better:
            self.best, self.best_number, self.since = loss, self.number, 0
        else:
            self.since += 1
        self.number += 1
        if settings.schedule == "cosine":
            turn = torch.pi * self.number / settings.epochs
            self.rate = settings.rate * 0.5 * (1.0 + float(torch.cos(torch.tensor(turn))))
        elif settings.schedule == "staircase":
            self.rate = settings.rate * (0.2 if 5 * self.number >= 4 * settings.epochs else 1.0)
        elif settings.schedule == "stages":
            if self.since >= settings.patience and self.stage == 0:
                self.stage, self.since, self.rate = 1, 0, settings.rate / 10.0
        elif self.since and self.since % max(1, settings.patience // 3) == 0:
            self.rate *= 0.5
        return better


def train(
    network: nn.Module,
    banks: tuple[Bank, Bank],
    settings: Training,
    chunk_frames: int,
    *,
    seed: int,
    folder: Path | None = None,
    identity: str = "",
    log: Log = lambda row: None,
) -> list[dict[str, Any]]:
    """Train `network` in place and leave it with the weights of the best validation epoch.

    Args:
        network: maps magnitudes `(batch, frames, bins)` to outputs (see `Loss`).
        banks: the part to train with and the part to choose on, on the network's device.
        settings: see `Training`.
        chunk_frames: length of a chunk in frames.
        seed: decides the order of chunks and the pairings; the weights are the caller's.
        folder: where checkpoints go, one an epoch; None keeps none.
        identity: what the checkpoint belongs to; one of another identity is refused.
        log: called after each epoch with its row of the history.

    Returns:
        the history: a row an epoch with `epoch`, `train_loss`, `valid_loss`, `rate`, `frames`,
        `seconds`.

    Raises:
        CheckpointError: the checkpoint in `folder` is damaged or belongs to other settings.
        UnmixError: the loss is not finite.
    """
    adam = torch.optim.Adam(network.parameters(), lr=settings.rate, fused=True)
    progress, best = Progress(rate=settings.rate), _copy(network)
    saved = checkpoint.load(folder, identity) if folder else None
    if saved is not None:
        best = checkpoint.restore(saved, network, adam, progress)
    while progress.number < settings.epochs and progress.since < settings.patience:
        started = time.perf_counter()
        for group in adam.param_groups:
            group["lr"] = progress.rate
        row: dict[str, Any] = {"epoch": progress.number, "rate": progress.rate}
        step = dataclasses.replace(settings, batch=settings.batch * (1 + progress.stage))
        row["train_loss"], row["frames"] = _one_epoch(
            network, adam, banks[0], step, chunk_frames, seed, progress.number
        )
        row["valid_loss"] = _validate(network, banks[1], settings, chunk_frames)
        row["seconds"] = time.perf_counter() - started
        if not row["valid_loss"] < float("inf"):
            raise UnmixError(
                f"the loss of epoch {progress.number} is {row['valid_loss']}",
                do="lower the learning rate (training.rate) or use precision float32",
            )
        progress.history.append(row)
        if progress.note(row["valid_loss"], settings):
            best = _copy(network)
        if folder:
            checkpoint.save(folder, identity, network, adam, progress, best)
        log(row)
    network.load_state_dict(best)
    return progress.history


def _one_epoch(
    network: nn.Module,
    adam: torch.optim.Optimizer,
    bank: Bank,
    settings: Training,
    frames: int,
    seed: int,
    number: int,
) -> tuple[float, int]:
    """Return the mean training loss and the number of frames seen."""
    network.train()
    total, seen = torch.zeros((), dtype=torch.float64), 0
    for mixture, *sources in epoch(
        bank,
        frames,
        settings.batch,
        augment=settings.augmentation,
        seed=seed,
        number=number,
        gains=settings.gains,
    ):
        adam.zero_grad(set_to_none=True)
        loss = _loss(network, settings, mixture, sources)
        loss.backward()
        adam.step()
        # The sum stays on the device, so that a GPU need not wait at each step.
        total = total.to(loss.device) + loss.detach().double() * len(mixture)
        seen += len(mixture)
    return float(total) / seen, seen * frames


@torch.no_grad()
def _validate(network: nn.Module, bank: Bank, settings: Training, frames: int) -> float:
    """Return the mean loss over the validation chunks as they were recorded."""
    network.eval()
    total, seen = 0.0, 0
    for mixture, *sources in in_order(bank, frames, settings.batch):
        total += float(_loss(network, settings, mixture, sources)) * len(mixture)
        seen += len(mixture)
    return total / seen


def _loss(network: nn.Module, settings: Training, mixture: Tensor, sources: list[Tensor]) -> Tensor:
    half = settings.precision == "bfloat16"
    with torch.autocast(mixture.device.type, torch.bfloat16, enabled=half):
        if hasattr(network, "objective"):
            return network.objective(mixture, *sources)  # type: ignore[no-any-return,operator]
        output = network(mixture)
    return settings.loss(output, mixture, *sources)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
