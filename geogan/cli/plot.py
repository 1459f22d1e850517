"""The options of ``geogan plot``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.options import (
    Colormap,
    DataArgument,
    DataOption,
    Dpi,
    Given,
    Limits,
    Log,
    Overwrite,
    Projection,
    Quiet,
    given_data,
    map_style,
    names_in,
    takes,
)
from geogan.settings import DataConfig


@takes(DataConfig, leave_out=("time", "error_variable", "clean", "allow_product"))
def plot(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Figure to write: .png, .pdf or .svg.")],
    date: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="Date to draw, such as 2015-01-31 (the nearest is taken); for samples, their number.",
            show_default="a date that is about half observed",
        ),
    ] = None,
    band: Annotated[
        str | None,
        typer.Option(
            metavar="BAND",
            help="Name or number of the band to draw.",
            show_default="red, green and blue together, or the first",
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="True field on the same grid and in the same unit; the figure shows the difference.",
            show_default=False,
        ),
    ] = None,
    observed: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Gappy field to show beside the filled one.",
            show_default="the cells that the product marks as observed",
        ),
    ] = None,
    panels: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Maps of a product, with commas between: observed, filled, truth, difference, error, source.",
            show_default="observed, filled, and difference, error or source",
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Draw N members of a product, the estimate and their spread.", show_default=False
        ),
    ] = None,
    hovmoller: Annotated[
        str | None,
        typer.Option(
            metavar="SIDE",
            help="Draw all dates against longitude or latitude (x or y), as means over the other.",
            show_default=False,
        ),
    ] = None,
    projection: Projection = None,
    limits: Limits = None,
    colormap: Colormap = None,
    log: Log = None,
    dpi: Dpi = 150,
    given: Given,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw a product, a field, or the curves of a training."""
    from geogan.pipelines.plot import PlotOptions
    from geogan.pipelines.plot import plot as run

    paths = given_data(data, data_option)
    options = PlotOptions(
        date=date,
        band=band,
        truth=truth,
        observed=observed,
        panels=names_in(panels),
        members=members,
        hovmoller=hovmoller,
        style=map_style(projection, limits, colormap, log, dpi),
        **given,
    )
    echo(run(paths, out, options, overwrite=overwrite, console=make_console(quiet=quiet)))
