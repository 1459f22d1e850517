"""The options of ``geogan plot``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.options import (
    Dims,
    Domain,
    Group,
    Variable,
    Where,
)


def plot(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Filled product, gappy field, or folder of a run.")],
    out: Annotated[Path, typer.Option(help="Figure to write: .png, .pdf or .svg.")],
    variable: Variable = None,
    date: Annotated[
        str | None,
        typer.Option(
            help="Date of the map, such as 2015-01-31, the nearest one is drawn; or number of the sample.",
            show_default="one that is about half observed",
        ),
    ] = None,
    band: Annotated[
        str | None,
        typer.Option(
            help="Name or number of the band to draw.",
            show_default="red, green and blue together, or the first",
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Field of the same grid and unit to subtract.", show_default="no difference"),
    ] = None,
    observed: Annotated[
        str | None,
        typer.Option(
            help="Gappy field to show beside the filled one.",
            show_default="what the product marks as observed",
        ),
    ] = None,
    domain: Domain = None,
    group: Group = None,
    dims: Dims = None,
    where: Where = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing figure.", show_default="no")
    ] = False,
) -> None:
    """Draw a product, a field, or the course of a training."""
    from geogan.pipelines.plot import PlotOptions
    from geogan.pipelines.plot import plot as run

    options = PlotOptions(
        variable=variable,
        date=date,
        band=band,
        truth=truth,
        observed=observed,
        domain=domain,
        group=group,
        dims=dims,
        where=where,
    )
    echo(run(data, out, options, overwrite=overwrite, console=make_console()))
