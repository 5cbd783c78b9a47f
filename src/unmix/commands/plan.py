"""`unmix plan`: what is still to do, and how long it will take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from unmix.commands.options import (
    Backend,
    DataRoot,
    ProfileName,
    Seeds,
    StoreFolder,
    workbook,
)

if TYPE_CHECKING:
    from unmix.runs.plan import Plan


def plan(
    what: Annotated[str, typer.Argument(help="PAPER or PAPER/EXPERIMENT, e.g. parwal/table4.")],
    profile: ProfileName = "quick",
    seeds: Seeds = 0,
    device: Annotated[
        str, typer.Option(help="cpu or cuda: only runs on the same kind tell the time; or auto.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    backend: Backend = "unmix",
    store: StoreFolder = None,
    data_root: DataRoot = None,
) -> None:
    """Show which runs are still to do, with time, memory, and how both were estimated.

    Stored runs and those of results/ tell it: the same settings with other seeds, else the nearest
    run with the same kind of separator and number of layers, its learning scaled by training
    clips x epochs (or iterations) and its scoring by test clips. A run on another dataset is
    named so: its clips may be of another length, which is not allowed for. Where training may
    stop early, times are upper bounds; they are those of the machines that the runs were made on.
    Totals let the longest run go first, on workers that take one run at a time.
    """
    book = workbook(
        what,
        profile=profile,
        seeds=seeds,
        backend=backend,
        store=store,
        data_root=data_root,
        device=device,
    )
    found = book.plan(*book.named(what))
    if as_json:
        typer.echo(json.dumps(found.plain(), indent=1))
    else:
        _show(found, what)


def _show(found: Plan, what: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from unmix.runs.plan import WORKERS

    table = Table(title=f"To do for {what}, on {found.device}")
    for column, justify in (("run", "left"), ("time", "right"), ("memory", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_column("estimated from")
    for run in found.runs:
        table.add_row(run.label, duration(run.seconds), size(run.memory_mb), run.how)
    if found.runs:
        Console().print(table)
    stored, todo = _counted(found.stored), len(found.runs)
    typer.echo(f"{stored} stored, {todo} {'is' if todo == 1 else 'are'} to do.")
    if len(found.unknown) < len(found.runs):
        times = [f"{duration(found.seconds(n))} on {n} worker{'s' * (n > 1)}" for n in WORKERS]
        typer.echo(f"They take {', '.join(times)}, with {size(found.memory_mb)} each at most.")
    if found.unknown:
        typer.echo(f"Not in these sums: {len(found.unknown)} that cannot be estimated.")


def _counted(number: int) -> str:
    return f"{number} run is" if number == 1 else f"{number} runs are"


def duration(seconds: float | None) -> str:
    """Return a time in words, to two units at most."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


def size(memory_mb: float | None) -> str:
    """Return an amount of memory in words."""
    return "?" if memory_mb is None else f"{memory_mb / 1000:.1f} GB"
