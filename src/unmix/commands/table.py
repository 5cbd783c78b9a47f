"""`unmix table`: published beside reproduced."""

from __future__ import annotations

from typing import Annotated

import typer

from unmix.commands.options import Backend, DataRoot, ProfileName, Seeds, StoreFolder, note
from unmix.errors import SpecError


def table(
    what: Annotated[str, typer.Argument(help="PAPER/TABLE, e.g. parwal/table4.")],
    csv: Annotated[bool, typer.Option("--csv", help="Print the long form as CSV.")] = False,
    own: Annotated[
        bool, typer.Option("--own", help="Only runs of this profile from the local store.")
    ] = False,
    profile: ProfileName = "quick",
    seeds: Seeds = 0,
    backend: Backend = "unmix",
    store: StoreFolder = None,
    data_root: DataRoot = None,
) -> None:
    """Show a table: published beside reproduced, each row with the best evidence there is.

    Best is the evidence of the highest fidelity (full, subset, stand-in), from the store or from
    results/; with --own it is what `unmix run` has stored for this profile. Fidelity is about the
    material alone: full is the paper's dataset, trained on in this book's way.

    The long form has the row's key columns, metric, published, reproduced, spread (standard
    deviation over seeds), seeds, fidelity and runs (keys of the runs).
    """
    from unmix.report.lookup import Asked
    from unmix.report.lookup import table as look_up
    from unmix.report.terminal import show
    from unmix.runs.places import store_folder
    from unmix.runs.store import Store

    paper, _, name = what.partition("/")
    if not name:
        from unmix.papers.evidence import setting
        from unmix.papers.experiment import experiments

        known = ", ".join(experiments(paper, setting(paper, profile, data_root, backend)))
        raise SpecError(f"'{what}' names no table", expected=f"{paper}/TABLE, TABLE one of {known}")
    asked = Asked(paper, name, profile, seeds, backend, not own, data_root, store)
    found = look_up(asked, Store(store_folder(store)))
    note(found.note)
    if csv:
        typer.echo(found.long.to_csv(index=False, float_format="%.4f"), nl=False)
    else:
        show(found.long, found.title, asked.command("run", seeds=seeds), found.conditions)
