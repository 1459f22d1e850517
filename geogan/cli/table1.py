"""The options of ``geogan table1``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.options import DataArgument, DataOption, Device, Quiet, Seed, given_data
from geogan.operators.errors import InputError
from geogan.settings import Settings


def table1(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the table, the figure and the cells.")],
    variable: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="Array of an .npz file.", show_default="the first one with images"),
    ] = None,
    size: Annotated[
        int, typer.Option(min=16, metavar="N", help="Side of the reduced images, in cells: a divisor of their side.")
    ] = 32,
    images: Annotated[
        int | None, typer.Option(min=20, metavar="N", help="Use the first N images.", show_default="all")
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="System to train and score; may be repeated.", show_default="all"),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Measurement process; may be repeated.", show_default="all"),
    ] = None,
    generator: Annotated[str, typer.Option(metavar="NAME", help="unet, or the paper's sagan.")] = "unet",
    width: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Channels of its first layer.", show_default="the row's"),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.0, metavar="NUMBER", help="Training of each cell, in minutes.", show_default="2 without --steps"
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Training of each cell, in steps.", show_default="by minutes")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Cells trained at a time.", show_default="number of cores, or 1 on a GPU"
        ),
    ] = None,
    seed: Seed = Settings.seed,
    seeds: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Train and score each cell with N seeds, from --seed on.")
    ] = 1,
    stop_after: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="MINUTES",
            help="Begin no further cell after this time; repeat the command for the others.",
            show_default="never",
        ),
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Repeat the paper's Table 1 on clean images; a repeated command continues."""
    paths = given_data(data, data_option)
    if len(paths) > 1:
        raise InputError(f"table1 reads one set of images, got {len(paths)}; give one folder or one array")
    from geogan.paper import COLUMNS, ROWS, TableSettings
    from geogan.paper import table1 as run

    settings = TableSettings(variable, size, images, generator, width, minutes, steps, seed, device, seeds)
    run(
        paths[0],
        out,
        settings,
        rows=row or ROWS,
        columns=column or COLUMNS,
        jobs=jobs,
        stop_after=stop_after,
        console=make_console(quiet=quiet),
    )
    echo(out / "table.md")
