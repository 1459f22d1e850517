"""The options of ``geogan animate``."""

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
    given_data,
    map_style,
    names_in,
    takes,
)
from geogan.settings import DataConfig


@takes(DataConfig, only=("variable", "time", "group", "dims", "where"))
def animate(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Animation to write: .gif, or .mp4 with ffmpeg.")],
    rate: Annotated[int, typer.Option(metavar="N", help="Dates a second, 1 to 60.")] = 8,
    band: Annotated[
        str | None,
        typer.Option(
            metavar="BAND",
            help="Name or number of the band to draw.",
            show_default="red, green and blue together, or the first",
        ),
    ] = None,
    panels: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Maps of a product: observed, filled, or both with a comma.", show_default="both"
        ),
    ] = None,
    projection: Projection = None,
    limits: Limits = None,
    colormap: Colormap = None,
    log: Log = None,
    dpi: Dpi = 100,
    given: Given,
    overwrite: Overwrite = False,
) -> None:
    """Write the dates of a product or a field as an animation."""
    from geogan.pipelines.animate import AnimateOptions
    from geogan.pipelines.animate import animate as run

    paths = given_data(data, data_option)
    options = AnimateOptions(
        rate=rate,
        band=band,
        panels=names_in(panels),
        style=map_style(projection, limits, colormap, log, dpi),
        **given,
    )
    echo(run(paths, out, options, overwrite=overwrite, console=make_console()))
