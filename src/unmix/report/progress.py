"""Progress of long work: bars in a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from unmix.runs.cluster import Event, Watch


def _line(event: Event) -> None:
    if event.row is None:
        print(f"[{event.done}/{event.total}] done: {event.label}", flush=True)
        return
    row = event.row
    rate = row["frames"] / max(row["seconds"], 1e-9)
    print(
        f"{event.label}: epoch {row['epoch'] + 1}, training loss {row['train_loss']:.5f}, "
        f"validation loss {row['valid_loss']:.5f}, {rate:,.0f} frames/s",
        flush=True,
    )


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
                text = (
                    f"{event.label}: epoch {event.row['epoch'] + 1}, "
                    f"validation loss {event.row['valid_loss']:.5f}"
                )
                bars.update(task, description=text, advance=1)  # type: ignore[arg-type]

        yield watch
