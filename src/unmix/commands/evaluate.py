"""`unmix evaluate`: score files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unmix.commands.options import Backend


def evaluate(
    references: Annotated[
        Path, typer.Argument(help="Folder with a file for each true source, or one file.")
    ],
    estimates: Annotated[
        Path, typer.Argument(help="Folder with estimates of the same names, or one file.")
    ],
    metric: Annotated[
        str,
        typer.Option(
            help="sdr-v3 (BSS Eval 3, sources), images-v3 (with ISR), or v4 (as museval)."
        ),
    ] = "sdr-v3",
    taps: Annotated[
        int,
        typer.Option(
            help="Length of the distortion filters; 1 allows for a gain only (version 2)."
        ),
    ] = 512,
    window: Annotated[
        float | None,
        typer.Option(help="Length of a frame in s. Default: the whole signal; v4: 1 s."),
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help="From frame to frame in s. Default: the window.")
    ] = None,
    align: Annotated[
        bool,
        typer.Option(
            "--align", help="Bring estimates to the references' rate, length and channel count."
        ),
    ] = False,
    permute: Annotated[
        bool,
        typer.Option(
            "--permute", help="Find the best order of the estimates (SIR); their names may differ."
        ),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is the terminal.")
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="Write a row a frame, source and score; - as above."
        ),
    ] = None,
    museval_file: Annotated[
        Path | None, typer.Option("--museval", metavar="FILE", help="Write museval's own JSON.")
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="museval's JSON, to be set beside these scores."),
    ] = None,
    backend: Backend = "unmix",
) -> None:
    """Score estimates of known sources with BSS Eval: SDR, ISR, SIR, SAR in dB.

    A source's name is its file's name without the ending; all sources of the mixture should be
    there, since interference is measured against them. For SiSEC 2015's way: --metric images-v3
    --window 30 --hop 15. Frames in which a source or an estimate is silent are left out and
    counted; the aggregate is the median of the others. The book's page "What the scores mean"
    shows how far these ways are apart.
    """
    from rich.console import Console

    from unmix.report import evaluating

    if [json_file, csv_file, museval_file].count(Path("-")) > 1:
        raise typer.BadParameter("only one of --json, --csv and --museval can be the terminal")
    found = evaluating.evaluate_files(
        references,
        estimates,
        metric,
        taps=taps,
        window=window,
        hop=hop,
        align=align,
        permute=permute,
        backend=backend,
    )
    other = evaluating.read_beside(beside, found) if beside else None
    texts = {
        json_file: evaluating.as_json,
        csv_file: evaluating.as_csv,
        museval_file: evaluating.as_museval,
    }
    wanted = {path: text(found) for path, text in texts.items() if path is not None}
    for path, text in wanted.items():
        evaluating.write(path, text)
    if Path("-") in wanted:
        return
    console = Console()
    console.print(evaluating.heading(found), highlight=False, soft_wrap=True)
    console.print(evaluating.printed(found, other))
    for line in evaluating.remarks(found):
        console.print(line, highlight=False, soft_wrap=True)
