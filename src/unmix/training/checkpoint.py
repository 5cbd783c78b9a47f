"""Checkpoints: one safetensors file with weights, optimiser, best weights, history and identity."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from unmix.errors import CheckpointError

if TYPE_CHECKING:
    from unmix.training.minibatch import Progress

NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Keeping:
    """Where a separator that trains itself keeps its state, and whom it tells.

    Attributes:
        folder: of the checkpoint; None keeps none.
        identity: what the checkpoint belongs to; one of another identity is refused.
        device: to compute on.
        log: called with each row of the history (`epoch`, `train_loss`, `valid_loss`, `frames`,
            `seconds`, and what else there is to say).
    """

    folder: Path | None = None
    identity: str = ""
    device: str = "cpu"
    log: Callable[[dict[str, Any]], None] = lambda row: None

    def save(self, tensors: dict[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Replace the checkpoint by tensors and plain data."""
        if self.folder:
            meta = {"identity": self.identity, "progress": json.dumps(progress)}
            write_tensors(self.folder / NAME, tensors, meta)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the last checkpoint's tensors and plain data, None if there is none.

        Raises:
            CheckpointError: it is damaged, or belongs to other settings.
        """
        saved = load(self.folder, self.identity) if self.folder else None
        return None if saved is None else (saved["tensors"], saved["progress"])


def save(
    folder: Path,
    identity: str,
    network: nn.Module,
    adam: optim.Optimizer,
    progress: Progress,
    best: dict[str, Tensor],
) -> None:
    """Write the whole state of a training to `folder`, replacing the last one at once."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, state in adam.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
    meta = {"identity": identity, "progress": json.dumps(dataclasses.asdict(progress))}
    write_tensors(folder / NAME, tensors, meta)


def write_tensors(path: Path, tensors: dict[str, Tensor], meta: dict[str, str]) -> None:
    """Write a safetensors file beside its place and rename it into it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    cpu = {name: value.detach().to("cpu").contiguous() for name, value in tensors.items()}
    try:
        save_file(cpu, str(beside), metadata=meta)
        os.replace(beside, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        beside.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file whole.

    Raises:
        CheckpointError: the file is missing, cut short, or no safetensors file.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint ({error})",
            expected="a complete safetensors file",
            do="delete it; training then starts anew",
        ) from error


def load(folder: Path, identity: str) -> dict[str, Any] | None:
    """Return the checkpoint in `folder`, or None if there is none.

    Raises:
        CheckpointError: it is damaged, or belongs to other settings than `identity`.
    """
    path = folder / NAME
    if not path.exists():
        return None
    tensors, meta = read_tensors(path)
    if meta.get("identity") != identity or "progress" not in meta:
        raise CheckpointError(
            f"{path}: belongs to settings {meta.get('identity', '(none named)')!r}",
            expected=f"{identity!r}",
            do="delete it, or go back to the settings it was written with",
        )
    return {"tensors": tensors, "progress": json.loads(meta["progress"])}


def restore(
    saved: dict[str, Any], network: nn.Module, adam: optim.Optimizer, progress: Progress
) -> dict[str, Tensor]:
    """Put a loaded checkpoint back in place; return the best weights so far."""
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "adam": {}}
    for name, value in saved["tensors"].items():
        kind, rest = name.split(".", 1)
        parts[kind][rest] = value
    network.load_state_dict(parts["network"])
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["adam"].items():
        index, key = name.split(".", 1)
        states.setdefault(int(index), {})[key] = value
    adam.load_state_dict({"state": states, "param_groups": adam.state_dict()["param_groups"]})
    for name, value in saved["progress"].items():
        setattr(progress, name, value)
    return parts["best"]


def weights_of(path: Path, spec: str) -> dict[str, Tensor]:
    """Return the weights of a finished run, checked against the identity of its spec.

    Raises:
        CheckpointError: the file is damaged or belongs to other settings.
    """
    tensors, meta = read_tensors(path)
    if meta.get("spec") != spec:
        raise CheckpointError(
            f"{path}: holds the weights of other settings ({meta.get('spec', 'none named')})",
            expected=spec,
            do="run it again; the folder was mixed up",
        )
    return tensors
