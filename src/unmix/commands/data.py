"""`unmix data`: list, verify, fetch and render datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    from unmix.datasets.catalogue import MATERIAL, MODULES, OPTIONS, STAND_INS, existing_root

    root = existing_root(data_root)
    table = Table(title=f"Datasets (data root: {root or 'not set'})")
    for column in ("dataset", "here", "how to get it"):
        table.add_column(column)
    for name, where in {**MODULES, **MATERIAL}.items():
        if name in STAND_INS:
            table.add_row(name, "embedded", f"unmix data make {name}")
        elif name not in OPTIONS:
            module = import_module(where)
            here = "yes" if root is not None and module.here(root) else "no"
            how = getattr(module, "ON_REQUEST", "")
            how = how or command("data", "fetch", name, data_root=root or "data")
            beside = getattr(module, "BESIDE", "")
            table.add_row(name, here, f"{how}, and {beside}" if beside else how)
    Console().print(table)


@data.command("verify")
def data_verify(
    name: Annotated[str, typer.Argument(help="Dataset, e.g. mir1k.")], data_root: DataRoot = None
) -> None:
    """Check a dataset file by file: against an index where one is known, else by decoding it."""
    from unmix.datasets.catalogue import existing_root

    module, root = _real(name), _root(data_root)
    report = module.verify(existing_root(root))
    if name == "solos":
        _beside_table1(report.material)
    _told(report)


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


def _beside_table1(material: Mapping[str, Sequence[float]]) -> None:
    """Print the solo recordings as Table 1 of `uhlich` does, beside what it prints."""
    from rich.console import Console
    from rich.table import Table

    from unmix.report.material import lines

    head, *body = lines("uhlich", "table1", material)
    table = Table(title="Solo recordings, and those of the paper (uhlich, Table 1)")
    for number, column in enumerate(head):
        table.add_column(column, justify="right" if number else "left")
    for line in body:
        table.add_row(*line)
    Console().print(table)


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

    from unmix.datasets.catalogue import MATERIAL, MODULES, OPTIONS, STAND_INS

    modules = {**MODULES, **MATERIAL}
    known = [each for each in modules if each not in (*OPTIONS, *STAND_INS)]
    if name not in known:
        raise DatasetError(one_of("dataset", name, known), expected=", ".join(known))
    return import_module(modules[name])


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
