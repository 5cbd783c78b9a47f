"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unmix.report.workbook import Workbook


def folder(text: object) -> Path:
    """Return the folder that an option names; it need not exist."""
    path = Path(str(text)).expanduser()
    if not str(text).strip():
        raise typer.BadParameter("an empty name is no folder")
    if path.exists() and not path.is_dir():
        raise typer.BadParameter(f"{path} is a file, not a folder")
    return path


def store_place(text: object) -> Path:
    """Return the folder of a store: the one named, or the local mirror of a URL.

    Raises:
        StoreError: the URL cannot be used.
    """
    from unmix.runs.remote import is_url, mirror

    return mirror(str(text)) if is_url(text) else folder(text)


def workbook(
    what: str,
    *,
    profile: str,
    seeds: int,
    backend: str,
    store: Path | None,
    data_root: Path | None,
    device: str = "auto",
    engine: str = "local",
    scheduler: str = "",
    workers: int = 0,
) -> Workbook:
    """Return the workbook of the paper in `what` (PAPER or PAPER/EXPERIMENT) under options."""
    from unmix.report.workbook import Workbook

    return Workbook(
        what.partition("/")[0],
        profile=profile,
        data_root=data_root or "",
        store=store or "",
        device=device,
        seeds=seeds,
        engine=engine,
        scheduler=scheduler,
        workers=workers or None,
        backend=backend,
    )


def note(line: str) -> None:
    """Print what a user should know beside the output, if there is anything."""
    if line:
        typer.echo(line, err=True)


DataRoot = Annotated[
    Path | None,
    typer.Option(
        parser=folder,
        metavar="DIR",
        help="Folder that holds the datasets, e.g. MIR-1K/. Default: $UNMIX_DATA.",
    ),
]
StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store",
        parser=store_place,
        metavar="DIR|URL",
        help="Folder of stored runs, or a URL such as s3://bucket/runs. Default: $UNMIX_STORE, "
        "else runs/.",
    ),
]
Backend = Annotated[
    str, typer.Option(help="Who computes the scores: unmix, or museval as a referee (slow).")
]
ProfileName = Annotated[
    str,
    typer.Option(
        help="How much is run: tiny (seconds), quick (minutes), full (the whole dataset and the "
        "longest training that this book does; not the paper's own training)."
    ),
]
Seeds = Annotated[int, typer.Option(min=0, help="Repetitions; 0: the profile's own.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
