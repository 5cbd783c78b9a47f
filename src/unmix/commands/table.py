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
    where: Annotated[
        list[str],
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only rows with this value, e.g. part=eval; several options narrow it down.",
        ),
    ] = [],  # noqa: B006 (typer copies it)
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
    from unmix.report.lookup import Asked, only
    from unmix.report.lookup import table as look_up
    from unmix.report.tables import key_columns
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
    wanted = _columns(where)
    found = only(look_up(asked, Store(store_folder(store))), wanted)
    note(found.note)
    if csv:
        typer.echo(found.long.to_csv(index=False, float_format="%.4f"), nl=False)
    else:
        same = list(wanted) if len(wanted) < len(key_columns(found.long)) else []
        title = ", ".join([found.title, *(wanted[column] for column in same)])
        run = asked.command("run", seeds=seeds)
        show(found.long.drop(columns=same), title, run, found.conditions)


def _columns(given: list[str]) -> dict[str, str]:
    """Return `COLUMN=VALUE` options by column."""
    wanted: dict[str, str] = {}
    for each in given:
        column, equals, value = each.partition("=")
        if not equals:
            raise SpecError(f"--where {each}", expected="COLUMN=VALUE, e.g. --where part=eval")
        if column in wanted:
            raise SpecError(
                f"--where {column} twice: {wanted[column]}, {value}", expected="one value a column"
            )
        wanted[column] = value
    return wanted
