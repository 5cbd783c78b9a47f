"""`unmix data`: list, verify, fetch and render datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmix.commands.options import DataRoot, folder
from unmix.errors import DatasetError, command, one_of

if TYPE_CHECKING:
    from unmix.datasets.remote import Report

data = typer.Typer(no_args_is_help=True, help="List, verify, fetch and render datasets.")


@data.command("list")
def data_list(data_root: DataRoot = None) -> None:
    """Show which datasets are known and which are here."""
    from importlib import import_module

    from rich.console import Console
    from rich.table import Table

    from unmix.datasets.catalogue import MODULES, OPTIONS, STAND_INS, available, existing_root

    root = existing_root(data_root)
    table = Table(title=f"Datasets (data root: {root or 'not set'})")
    for column in ("dataset", "here", "how to get it"):
        table.add_column(column)
    for name in (each for each in MODULES if each not in OPTIONS):
        if name in STAND_INS:
            table.add_row(name, "embedded", f"unmix data make {name}")
        else:
            here = "yes" if available(name, data_root) else "no"
            fetch = command("data", "fetch", name, data_root=root or "data")
            asked = getattr(import_module(MODULES[name]), "ON_REQUEST", "")
            table.add_row(name, here, asked or fetch)
    Console().print(table)


@data.command("verify")
def data_verify(
    name: Annotated[str, typer.Argument(help="Dataset, e.g. mir1k.")], data_root: DataRoot = None
) -> None:
    """Check a dataset file by file against the index that the package ships."""
    from unmix.datasets.catalogue import existing_root

    module, root = _real(name), _root(data_root)
    _told(module.verify(existing_root(root)))


@data.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="Dataset, e.g. mir1k.")], data_root: DataRoot = None
) -> None:
    """Download a dataset (an interrupted download goes on), unpack and verify it."""
    module, root = _real(name), _root(data_root)
    _told(module.fetch(root))


def _told(report: Report) -> None:
    """Print what a verification found; exit with status 1 unless all is as expected."""
    for line in report.lines():
        typer.echo(line)
    if not report.ok:
        raise typer.Exit(1)


@data.command("make")
def data_make(
    name: Annotated[str, typer.Argument(help="Stand-in, e.g. synthetic-voice.")],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=folder, metavar="DIR", help="Also write its sources as WAV files here."
        ),
    ] = None,
) -> None:
    """Render an embedded stand-in into its cache, and write it out if asked to."""
    from unmix import audio
    from unmix.datasets.catalogue import STAND_INS, open_dataset

    known = list(STAND_INS)
    if name not in known:
        raise DatasetError(one_of("stand-in", name, known), expected=", ".join(known))
    dataset = open_dataset(name)
    rate = 16000
    clips = dataset.clips()
    for clip in clips:
        track = dataset.load(clip.name, rate)
        for source, sound in track.sources.items() if out else ():
            assert out is not None
            audio.write(out / f"{clip.name}.{source}.wav", sound, rate)
    typer.echo(f"{name}: {len(clips)} clips rendered" + (f" and written to {out}" if out else ""))


def _real(name: str):
    from importlib import import_module

    from unmix.datasets.catalogue import MODULES, OPTIONS, STAND_INS

    known = [each for each in MODULES if each not in (*OPTIONS, *STAND_INS)]
    if name not in known:
        raise DatasetError(one_of("dataset", name, known), expected=", ".join(known))
    return import_module(MODULES[name])


def _root(given: Path | None) -> Path:
    from unmix.datasets.catalogue import data_root

    root = data_root(given)
    if root is None:
        raise DatasetError(
            "no folder for datasets is set",
            expected="--data-root DIR, or the environment variable UNMIX_DATA",
            do="choose a folder with some space, e.g. --data-root data",
        )
    return root
