"""The options of ``geogan table1``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.options import Device, Seed
from geogan.settings import NetworkConfig, Settings


def table1(
    data: Annotated[str, typer.Option(help="Clean images: a folder of PNG or JPEG files, or an .npy or .npz array.")],
    out: Annotated[Path, typer.Option(help="Folder for the table, the figure and the cells.")],
    variable: Annotated[
        str | None, typer.Option(help="Array of an .npz file.", show_default="the first one with images")
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Side to reduce images to, in cells: a divisor of theirs.")] = 32,
    images: Annotated[
        int | None, typer.Option(min=20, help="Use only this number of images, the first ones.", show_default="all")
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(help="System to train and score; may be repeated.", show_default="all"),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Measurement process; may be repeated.", show_default="all")
    ] = None,
    generator: Annotated[str, typer.Option(help="unet, or the paper's sagan.")] = "unet",
    width: Annotated[
        int | None, typer.Option(min=2, help="Channels of its first layer.", show_default=str(NetworkConfig.width))
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Training of each cell, in minutes.", show_default="2 without --steps"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training of each cell, in steps.", show_default="by minutes")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cells at a time.", show_default="one a core, one on a GPU")
    ] = None,
    seed: Seed = Settings.seed,
    device: Device = "auto",
) -> None:
    """Regenerate the paper's Table 1 on your images: every system, every measurement process; cells are kept."""
    from geogan.paper import COLUMNS, ROWS, TableSettings
    from geogan.paper import table1 as run

    settings = TableSettings(variable, size, images, generator, width, minutes, steps, seed, device)
    run(data, out, settings, rows=row or ROWS, columns=column or COLUMNS, jobs=jobs, console=make_console())
    echo(out / "table.md")
