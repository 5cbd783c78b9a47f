"""Progress of long work: bars in a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from unmix.runs.cluster import Event, Watch


def _line(event: Event) -> None:
    if event.row is None:
        print(f"[{event.done}/{event.total}] done: {event.label}", flush=True)
        return
    row = event.row
    rate = row["frames"] / max(row["seconds"], 1e-9)
    where, loss, unit = _step(row)
    print(
        f"{event.label}: {where}, training {loss} {row['train_loss']:.5f}, "
        f"validation {loss} {row['valid_loss']:.5f}, {rate:,.0f} {unit}/s",
        flush=True,
    )


def _step(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return where a training stands, what its loss is called, and of what it sees so many.

    What is trained in stages says of which network and stage, see `Layerwise` and `Apprentices`.
    """
    if "stage" in row:
        # Layers that are trained one by one by gradients have a rate, those by L-BFGS have none.
        by_gradients = "rate" in row
        each = "pass" if by_gradients else "iteration"
        where = f"{row['network']}, {row['stage']}, {each} {row['iteration']}"
        return (where, "loss", "frames") if by_gradients else (where, "J", "vectors")
    where = f"round {row['round']}, " if "round" in row else ""
    return f"{where}epoch {row['epoch'] + 1}", "loss", "frames"


@contextlib.contextmanager
def watcher() -> Iterator[Watch]:
    """Give out what tells a person how far the runs are."""
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        whole = bars.add_task("runs", total=None)
        running: dict[str, int] = {}

        def watch(event: Event) -> None:
            bars.update(whole, total=event.total, completed=event.done)
            if event.label not in running:
                running[event.label] = bars.add_task(event.label, total=None)  # type: ignore[assignment]
            task = running[event.label]
            if event.row is None:
                bars.remove_task(task)  # type: ignore[arg-type]
            else:
                where, loss, _ = _step(event.row)
                text = f"{event.label}: {where}, validation {loss} {event.row['valid_loss']:.5f}"
                bars.update(task, description=text, advance=1)  # type: ignore[arg-type]

        yield watch
