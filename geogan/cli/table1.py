"""The options of ``geogan table1``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan import defaults
from geogan.cli.console import echo, make_console
from geogan.cli.options import Device, Seed


def table1(
    data: Annotated[str, typer.Option(help="Clean images: a folder of PNG or JPEG files, or an .npy or .npz array.")],
    out: Annotated[Path, typer.Option(help="Folder for the table, the figure and the cells.")],
    variable: Annotated[
        str | None, typer.Option(help="Array of an .npz file.", show_default="the first that holds images")
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Side to reduce images to, in cells: a divisor of theirs.")] = 32,
    images: Annotated[int | None, typer.Option(min=20, help="Use the first so many.", show_default="all")] = None,
    row: Annotated[
        list[str] | None, typer.Option(help="System to train and score; several.", show_default="all")
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="Measurement process; several.", show_default="all")] = None,
    generator: Annotated[str, typer.Option(help="unet, or the paper's sagan.")] = "unet",
    width: Annotated[
        int | None, typer.Option(min=2, help="Channels of its first layer.", show_default=str(defaults.WIDTH))
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Training of each cell, in minutes.", show_default="2 where no steps are given"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training of each cell, in steps.", show_default="by minutes")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cells at a time.", show_default="one a core, one on a GPU")
    ] = None,
    seed: Seed = defaults.SEED,
    device: Device = "auto",
) -> None:
    """Regenerate the paper's Table 1 in kind: every system on every measurement process; goes on where it was."""
    from geogan.pipelines.table1 import COLUMNS, ROWS
    from geogan.pipelines.table1 import table1 as run

    run(
        data,
        out,
        variable=variable,
        size=size,
        images=images,
        rows=row or ROWS,
        columns=column or COLUMNS,
        generator=generator,
        width=width,
        minutes=minutes,
        steps=steps,
        jobs=jobs,
        seed=seed,
        device=device,
        console=make_console(),
    )
    echo(out / "table.md")
