"""`unmix runs`: list, show, compare, verify, promote and tidy up stored runs."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from unmix.commands.options import DataRoot, StoreFolder
from unmix.errors import StoreError, UnmixError, command

runs = typer.Typer(
    no_args_is_help=True, help="List, show, compare, verify, promote and tidy up stored runs."
)

Key = Annotated[str, typer.Argument(help="A run's key, or its first digits.")]
Paper = Annotated[str, typer.Option(help="Only runs of this paper, e.g. parwal.")]
Results = Annotated[bool, typer.Option("--results", help="Also the evidence in results/.")]


def _root(store: Path | None) -> Path:
    """Return the folder of the store; the mirror of one elsewhere is brought up to date."""
    from unmix.runs.places import store_folder
    from unmix.runs.store import Store

    home = Store(store_folder(store))
    home.fetch_all()
    return home.root


def _roots(store: Path | None) -> list[Path]:
    """Return the store and the folders of evidence, in which a key is looked for."""
    from unmix.runs.places import results_folder

    results = results_folder("")
    below = sorted(path for path in results.glob("[!.]*") if path.is_dir())
    return [_root(store), *below]


@runs.command("list")
def runs_list(
    paper: Paper = "",
    experiment: Annotated[str, typer.Option(help="Only of this experiment, e.g. table4.")] = "",
    system: Annotated[str, typer.Option(help="Only of rows whose label holds this text.")] = "",
    results: Results = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with whole keys.")] = False,
    store: StoreFolder = None,
) -> None:
    """List stored runs: key, row of a table, seed, fidelity, end, time, GNSDR.

    A run belongs to all rows that have its settings, in whatever profile; the first is shown.
    """
    from unmix.report.inventory import Wanted, inventory, table

    root = _root(store)
    with _uncollected():
        found = inventory(root, Wanted(paper, experiment, system), results=results)
        if as_json:
            lines = ",\n".join(json.dumps(each.plain()) for each in found)
            typer.echo(f"[\n{lines}\n]")
        elif found:
            typer.echo("\n".join(table(found)))
    if not found and not as_json:
        asked = results or paper or experiment or system
        typer.echo(f"no {'such ' if asked else ''}runs in {root}", err=True)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Pause Python's search for cycles: of a large store's entries all are needed to the end."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@runs.command("show")
def runs_show(key: Key, store: StoreFolder = None, data_root: DataRoot = None) -> None:
    """Show a run: where it belongs, the command that repeats it, settings, provenance, scores."""
    from unmix.report.inventory import described
    from unmix.runs.registry import find

    run = find(key, _roots(store))
    options = {"store": store, "data_root": data_root}
    for line in described(run, _root(store), options):
        typer.echo(line)


@runs.command("diff")
def runs_diff(
    one: Key,
    other: Annotated[str, typer.Argument(help="The other run's.")],
    store: StoreFolder = None,
) -> None:
    """Show the settings and the provenance in which two runs differ, a line for each."""
    from unmix.report.inventory import compared
    from unmix.runs.registry import find

    roots = _roots(store)
    for line in compared(find(one, roots), find(other, roots)):
        typer.echo(line)


@runs.command("verify")
def runs_verify(
    results: Results = False,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Move damaged runs of the store to quarantine/.")
    ] = False,
    store: StoreFolder = None,
) -> None:
    """Hash all files of all runs and name those that are damaged; status 1 if any is left.

    Damaged is what does not fit the checksums that the run wrote: cut short, edited, missing, or
    put there by somebody else. Evidence in results/ is never moved: git brings it back.
    """
    from unmix.runs.registry import verify
    from unmix.runs.store import Store

    home = Store(_root(store))
    roots = _roots(store) if results else [home.root]
    left = 0
    for root in roots:
        found = verify(root)
        damaged = [each for each in found if each.damage]
        for each in damaged:
            for line in each.damage or ():
                typer.echo(f"damaged: {line}")
            if quarantine and root == home.root:
                typer.echo(f"moved to {home.quarantine(each.run.key)}; the next run repeats it")
            else:
                left += 1
        without = sum(each.damage is None for each in found)
        sound = len(found) - len(damaged) - without
        typer.echo(
            f"{root}: {len(found)} runs, {sound} sound, {len(damaged)} damaged, "
            f"{without} with no checksums (from before there were any)"
        )
    if left:
        raise typer.Exit(1)


@runs.command("gc")
def runs_gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    older: Annotated[
        float, typer.Option(min=0.0, help="Days after which an unfinished run is given up.")
    ] = 7.0,
    store: StoreFolder = None,
    data_root: DataRoot = None,
) -> None:
    """Remove runs of other code, data or settings than today's, and what was left half done.

    A run stays as long as an experiment in any profile would use it. Where its dataset is not in
    the data root, it stays if code and versions are today's.
    """
    from unmix.report import upkeep
    from unmix.report.inventory import megabytes
    from unmix.runs.registry import SHOWN, sweep
    from unmix.runs.store import Store

    home = Store(_root(store))
    if home.remote:
        raise StoreError(
            f"{home.remote.url}: runs elsewhere are not removed from here",
            expected="a store in a folder",
            do=f"remove them there; the mirror {home.root} may be deleted at any time",
        )
    old = upkeep.unreferenced(home, data_root)
    stale = sweep(home, older=older, remove=False)
    for run, size in old:
        typer.echo(f"run {run.key[:SHOWN]}, {megabytes(size)}: no experiment uses it today")
    folders = [(path, size) for path, size in stale if path.suffix != ".lock"]
    for path, size in folders:
        typer.echo(f"{path}, {megabytes(size)}: left unfinished")
    space = megabytes(sum(size for _, size in [*old, *stale]))
    locks = len(stale) - len(folders)
    summary = f"{len(old)} runs, {len(folders)} unfinished ones, {locks} old lock files: {space}"
    if dry_run or not (old or stale):
        typer.echo(f"{summary}; nothing was removed")
        return
    if old or folders:
        _ask(f"Remove {summary}?", yes)
    for run, _ in old:
        upkeep.remove(run)
    sweep(home, older=older, remove=True)
    typer.echo(f"removed {summary}")


def _ask(question: str, yes: bool) -> None:
    """Ask before something is deleted, unless told not to.

    Raises:
        UnmixError: there is nobody at a terminal to ask.
    """
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise UnmixError(
            f"'{question}' needs an answer, and there is no terminal",
            do="add --yes to remove, or --dry-run to look only",
        )
    if not typer.confirm(question):
        typer.echo("nothing was removed")
        raise typer.Exit()


@runs.command("promote")
def runs_promote(
    keys: Annotated[
        list[str] | None, typer.Argument(help="Keys of runs, or their first digits.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All runs of the store that are worth it.")
    ] = False,
    paper: Paper = "",
    stand_in: Annotated[bool, typer.Option("--stand-in", help="Those of stand-ins too.")] = False,
    store: StoreFolder = None,
) -> None:
    """Copy evidence of fidelity full or subset into results/PAPER/KEY, without weights.

    What it copies it hashes; damaged runs are refused.
    """
    from unmix.report import upkeep
    from unmix.report.inventory import places
    from unmix.runs.registry import SHOWN, find
    from unmix.runs.store import Store

    home = Store(_root(store))
    if bool(keys) == everything or (keys and paper):
        raise StoreError(
            "it is not clear which runs are to be promoted",
            expected="the keys of some, or --all, which --paper may narrow",
            do=f"see `{command('runs', 'list')}`",
        )
    if keys:
        known = places(home.root)
        for run in [find(key, [home.root]) for key in keys]:
            typer.echo(f"{run.key[:SHOWN]}: {upkeep.promote(run, known, stand_in)}")
        return
    told = upkeep.promote_all(home, paper, stand_in)
    if not told:
        raise upkeep.nothing_to_promote(home)
    for each in told:
        typer.echo(f"{each.run.key[:SHOWN]}: {each.place or f'left out. {each.why}'}")
    if any(each.damaged for each in told):
        raise typer.Exit(1)
