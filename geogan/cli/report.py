"""The options of ``geogan report``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.completion import complete_method
from geogan.cli.console import echo, make_console
from geogan.cli.options import DataArgument, DataOption, Device, Model, Overwrite, Quiet, Threads, given_data


def report(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    model: Model,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Page to write, .html; it needs no other file.")],
    product: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Filled product to draw.", show_default="the dates of the maps are filled"),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Fuller field on the same grid, in the same units: cells that it has and the data lack are scored.",
            show_default="the observations withheld from training",
        ),
    ] = None,
    methods: Annotated[
        list[str],
        typer.Option(
            "--methods",
            "--method",
            metavar="NAME",
            help="Methods to score, as in geogan evaluate.",
            show_default="all but the slow ones",
            autocompletion=complete_method,
        ),
    ] = [],  # noqa: B006
    members: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Ensemble members of the model and of the Gaussian MAP; 2 or more are scored, with power spectra.",
        ),
    ] = 1,
    maps: Annotated[int, typer.Option(min=0, metavar="N", help="Dates of which maps are drawn.")] = 6,
    threads: Threads = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write one page on data, gaps, training, scores and maps, to show to others."""
    from geogan.pipelines.report import ReportOptions
    from geogan.pipelines.report import report as run

    options = ReportOptions(product, truth, methods, members, maps)
    echo(
        run(
            given_data(data, data_option),
            model,
            out,
            options,
            overwrite=overwrite,
            threads=threads,
            device=device,
            console=make_console(quiet=quiet),
        )
    )
