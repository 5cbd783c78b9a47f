"""`unmix data`: list, verify, fetch and make datasets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmix.commands.options import DataRoot, folder
from unmix.errors import DatasetError, command, one_of

if TYPE_CHECKING:
    from unmix.datasets.remote import Report

data = typer.Typer(no_args_is_help=True, help="List, verify, fetch and make datasets.")


@data.command("list")
def data_list(data_root: DataRoot = None) -> None:
    """Show which datasets are known and which are here."""
    from importlib import import_module

    from rich.console import Console
    from rich.table import Table

    from unmix.datasets.catalogue import (
        MADE,
        MATERIAL,
        MODULES,
        OPTIONS,
        STAND_INS,
        existing_root,
    )

    root = existing_root(data_root)
    table = Table(title=f"Datasets (data root: {root or 'not set'})")
    for column in ("dataset", "here", "how to get it"):
        table.add_column(column)
    for name, where in {**MODULES, **MATERIAL}.items():
        if name in STAND_INS:
            table.add_row(name, "embedded", f"unmix data make {name}")
        elif name not in OPTIONS or name in MADE:
            module = import_module(where)
            here = _standing(name, root)
            how = _making(name, root) if name in MADE else getattr(module, "ON_REQUEST", "")
            how = how or command("data", "fetch", name, data_root=root or "data")
            beside = getattr(module, "BESIDE", "")
            table.add_row(name, here, f"{how}, and {beside}" if beside else how)
    Console().print(table)


def _standing(name: str, root: Path | None) -> str:
    """Return whether a dataset lies in the data root, or only a part of it."""
    from unmix.datasets.catalogue import MODULES, function, whole

    if root is None or not function(name, "here")(root):
        return "no"
    return "yes" if name not in MODULES or whole(name, root) else "a part"


@data.command("verify")
def data_verify(
    name: Annotated[str, typer.Argument(help="Dataset, e.g. mir1k.")], data_root: DataRoot = None
) -> None:
    """Check a dataset file by file: against an index where one is known, else by decoding it."""
    from unmix.datasets.catalogue import existing_root

    verify, root = _real(name, "verify"), _root(data_root)
    report = verify(existing_root(root))
    if name == "solos":
        _beside_table1(report.material)  # type: ignore[attr-defined]
    _told(report)


@data.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="Dataset, e.g. mir1k.")], data_root: DataRoot = None
) -> None:
    """Download a dataset (an interrupted download goes on), unpack and verify it."""
    fetch, root = _real(name, "fetch"), _root(data_root)
    _told(fetch(root))


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
    name: Annotated[str, typer.Argument(help="Stand-in, e.g. synthetic-voice or dsd100-like.")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="DATASET",
            help="Only for dsd100-like: the dataset whose recordings it is made of, medleydb.",
        ),
    ] = "",
    data_root: DataRoot = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=folder,
            metavar="DIR",
            help="Also write a stand-in's sources as WAV files here; for dsd100-like: the folder "
            "to make, if not DSD100-like in the data root.",
        ),
    ] = None,
) -> None:
    """Render an embedded stand-in into its cache, or make one of recordings.

    `unmix data make synthetic-voice` renders; no data is needed.

    `unmix data make dsd100-like --from medleydb` turns the songs of MedleyDB in the data root that
    have voices, bass, drums and something else into stereo songs in the layout of DSD100. Run
    again, it goes on where it was interrupted.
    """
    from unmix.datasets.catalogue import MADE, STAND_INS

    known = [*STAND_INS, *MADE]
    if name not in known:
        raise DatasetError(one_of("stand-in", name, known), expected=", ".join(known))
    if name in MADE:
        _made(name, source, data_root, out)
    elif source:
        raise DatasetError(
            f"{name} is rendered, and made of no dataset (--from {source})",
            do=f"leave out --from, or make one of {', '.join(MADE)}",
        )
    else:
        _rendered(name, out)


def _rendered(name: str, out: Path | None) -> None:
    from unmix import audio
    from unmix.datasets.catalogue import open_dataset

    dataset: Any = open_dataset(name)
    rate = dataset.rate
    clips = dataset.clips()
    for clip in clips:
        track = dataset.load(clip.name, rate)
        for source, sound in track.sources.items() if out else ():
            assert out is not None
            audio.write(out / f"{clip.name}.{source}.wav", sound, rate)
    typer.echo(f"{name}: {len(clips)} clips rendered" + (f" and written to {out}" if out else ""))


def _making(name: str, root: Path | None) -> str:
    """Return the command that makes a dataset of another's recordings."""
    from unmix.datasets.catalogue import MADE

    return command("data", "make", name, **{"from": MADE[name]}, data_root=root or "data")


def _made(name: str, source: str, data_root: Path | None, out: Path | None) -> None:
    from unmix.datasets import dsd100_like
    from unmix.datasets.catalogue import MADE, existing_root

    if source != MADE[name]:
        raise DatasetError(
            one_of(f"dataset to make {name} of", source, [MADE[name]])
            if source
            else f"{name} is made of another dataset's recordings, and --from names none",
            expected=f"--from {MADE[name]}",
            do=f"run `{_making(name, data_root)}`",
        )
    root = existing_root(_root(data_root))
    assert root is not None
    home = out or root / dsd100_like.FOLDER
    with _counting() as progress:
        done = dsd100_like.make(root, home, progress)
    for song in done.removed:
        typer.echo(f"removed, no longer asked for: {song}")
    for song, why in done.left_out.items():
        typer.echo(f"left out: {song}: {why}")
    songs = len(done.made) + len(done.kept)
    there = f", {len(done.kept)} of them there already" if done.kept else ""
    typer.echo(f"{name}: {songs} songs in {home}{there}")
    typer.echo(dsd100_like.LICENCE)
    if home.resolve().name == dsd100_like.FOLDER:
        look = command("data", "verify", name, data_root=home.resolve().parent)
        typer.echo(f"Look at it: {look}")
    else:
        typer.echo(f"It is found where its name is {dsd100_like.FOLDER}, in the data root.")


@contextmanager
def _counting() -> Iterator[Callable[[int, int, str], None]]:
    """Show on a terminal how far a long command is; gives the function to call."""
    if not sys.stderr.isatty():
        yield lambda done, total, what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, what: bar.update(
            task, completed=done, total=total, description=what
        )


def _real(name: str, what: str) -> Callable[..., Report]:
    """Return `verify` or `fetch` of a dataset that is recordings."""
    from unmix.datasets.catalogue import MADE, MATERIAL, MODULES, OPTIONS, STAND_INS, function

    other = {*OPTIONS, *STAND_INS} - {*MADE}
    known = [each for each in {**MODULES, **MATERIAL} if each not in other]
    if name not in known:
        raise DatasetError(one_of("dataset", name, known), expected=", ".join(known))
    return function(name, what)


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
