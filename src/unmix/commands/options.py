"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
