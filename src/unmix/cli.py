"""The command line: `unmix …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from unmix import __version__
from unmix.commands.audit import audit
from unmix.commands.claims import claims
from unmix.commands.data import data
from unmix.commands.evaluate import evaluate
from unmix.commands.options import (
    Backend,
    DataRoot,
    Device,
    ProfileName,
    Seeds,
    StoreFolder,
    folder,
    note,
    workbook,
)
from unmix.commands.plan import plan
from unmix.commands.published import published
from unmix.commands.runs import runs
from unmix.commands.table import table
from unmix.commands.verdicts import verdicts
from unmix.errors import UnmixError

app = typer.Typer(
    name="unmix",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reproduce papers on music source separation, table by table: "
    "parwal (voice), lai (guitar, drums), uhlich (trios), li (parts of a song) and nugraha (the "
    "same in stereo).\n\n"
    "Start with `unmix run parwal/table2`, then `unmix table parwal/table2 --own`. Without a "
    "dataset everything runs on an embedded stand-in.",
)
app.add_typer(data, name="data")
app.add_typer(runs, name="runs")
app.command()(evaluate)
app.command()(plan)
app.command()(published)
app.command()(audit)
app.command()(claims)
app.command()(verdicts)
app.command()(table)

INTERRUPTED = 130
"""Exit status of a command that Ctrl-C ended."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unmix {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version.")
    ] = False,
) -> None:
    """Options before a command; what they do, their callbacks do."""


@app.command()
def run(
    what: Annotated[str, typer.Argument(help="PAPER or PAPER/EXPERIMENT, e.g. parwal/table4.")],
    profile: ProfileName = "quick",
    seeds: Seeds = 0,
    device: Device = "auto",
    engine: Annotated[
        str,
        typer.Option(
            help="How runs are spread: local (processes here), or dask (the workers of a cluster; "
            "without --scheduler, of one made here for this call)."
        ),
    ] = "local",
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Dask cluster to use: tcp://HOST:8786, or the file of `dask scheduler "
            "--scheduler-file`.",
        ),
    ] = "",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes at a time; 0: one a core, or one on a GPU.")
    ] = 0,
    backend: Backend = "unmix",
    store: StoreFolder = None,
    data_root: DataRoot = None,
) -> None:
    """Carry out the runs of a paper or of one experiment; what is stored is not repeated.

    Stop it with Ctrl-C whenever you like: the same command goes on from the last checkpoint.

    On a cluster, store and data must lie under the same path on all machines. If any worker says
    that it has a GPU (dask worker --resources "GPU=1"), trainings go to such workers alone, unless
    --device is cpu; oracles and factorisations go anywhere. With --device auto or cuda each worker
    looks for its own GPU.
    """
    from unmix.papers.evidence import stand_in_note

    book = workbook(
        what,
        profile=profile,
        seeds=seeds,
        backend=backend,
        store=store,
        data_root=data_root,
        device=device,
        engine=engine,
        scheduler=scheduler,
        workers=workers,
    )
    names = book.named(what)
    note(stand_in_note(book.paper, profile, data_root))
    book.run(*names)
    look = book.command("table", names[0], own=True, seeds=seeds)
    if not book.carried_out:
        count = len(set(map(repr, book.specs(*names)[0])))  # experiments may share runs
        typer.echo(f"{count} of {count} were stored already.")
    typer.echo(f"Stored in {book.store.root}. Look at it: {look}")


@app.command()
def separate(
    file: Annotated[
        Path | None, typer.Argument(help="Sound file of any rate and number of channels.")
    ] = None,
    system: Annotated[
        str,
        typer.Option(
            help="PAPER/EXPERIMENT/ROW; `--system list` lists those that work on files, "
            "`--system lai/list` those of one paper."
        ),
    ] = "parwal/table4/3-rnn-mse",
    out: Annotated[
        Path,
        typer.Option("--out", "-o", parser=folder, metavar="DIR", help="Folder for the estimates."),
    ] = Path("."),
    profile: ProfileName = "quick",
    store: StoreFolder = None,
    data_root: DataRoot = None,
) -> None:
    """Separate a sound file with a stored system, e.g. into voice and accompaniment.

    Which sources a system finds, and at which sampling rate it works (parwal: 8 kHz), stands in
    `--system list`; the estimates have that rate. Channels are separated one by one, but by systems
    for stereo, which hear both. If a peak goes beyond full scale, all estimates are scaled by one
    factor. A system must have been trained first, in the same profile, e.g. by `unmix run
    parwal/table4`: scores are shipped, weights not.
    """
    from unmix.report.separating import separate_file, systems

    if system == "list" or system.endswith("/list"):
        for line in systems(profile, store, data_root, system.removesuffix("list").rstrip("/")):
            typer.echo(line)
        return
    if file is None:
        raise typer.BadParameter("a sound file is missing: unmix separate FILE --system ...")
    for line in separate_file(file, system, out, profile, store, data_root).lines():
        typer.echo(line)


@app.command()
def book(
    profile: ProfileName = "quick",
    store: StoreFolder = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    seeds: Seeds = 0,
    out: Annotated[
        Path | None,
        typer.Option(parser=folder, metavar="DIR", help="Where to build. Default: _build/."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            help="Notebooks at a time, of different papers; 0: two with profile tiny, else one, "
            "whose runs take all cores.",
        ),
    ] = 0,
) -> None:
    """Run the notebooks, check them, build the book, check it, and say where it lies.

    The build fails on a failed or unexecuted cell, a warning, a dead link, a missing sound file,
    or a picture without alternative text.
    """
    from unmix.book import build

    parameters = {
        "profile": profile,
        "data_root": str(data_root or ""),
        "store": str(store or ""),
        "device": device,
        "seeds": seeds,
        "engine": "local",
    }
    build(parameters, out, workers)


def main() -> None:
    """Run the command line; an error that a user can cause is one message and exit status 1."""
    try:
        # With standalone_mode off, typer returns the status of `typer.Exit`, and 130 for Ctrl-C.
        status = app(prog_name="unmix", standalone_mode=False) or 0
    except UnmixError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        # With standalone_mode off, typer hands its own usage errors to us.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(error.exit_code)
        raise
    if status == INTERRUPTED:
        typer.echo("interrupted; the same command goes on where this one stopped", err=True)
    if status:
        sys.exit(status)
