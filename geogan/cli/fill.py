"""The options of ``geogan fill``."""

from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.options import (
    AllowProduct,
    DataArgument,
    DataOption,
    Device,
    Dims,
    Group,
    Model,
    Overwrite,
    Product,
    Seed,
    Threads,
    Time,
    Variable,
    Where,
    given_data,
)
from geogan.settings import Settings


def fill(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    model: Model,
    out: Product,
    variable: Variable = None,
    time: Time = None,
    group: Group = None,
    dims: Dims = None,
    where: Where = None,
    keep_observed: Annotated[
        bool | None,
        typer.Option(
            help="Return observed values bit for bit, or estimate observed cells too.",
            show_default="keep, unless they are known to be noisy or blurred",
        ),
    ] = None,
    members: Annotated[
        int,
        typer.Option(metavar="N", help="Ensemble members to write beside the estimate; 1 for none."),
    ] = 1,
    max_error: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Leave cells empty whose predicted error (standard deviation) is larger, in the field's unit; for "
            "several variables one number each, with commas between.",
            show_default="no limit",
        ),
    ] = None,
    seed: Seed = Settings.seed,
    overwrite: Overwrite = False,
    append: Annotated[
        bool,
        typer.Option(
            "--append", help="Extend a finished product by the dates that were added to the data.", show_default=False
        ),
    ] = False,
    refill: Annotated[
        bool,
        typer.Option(
            help="When appending, fill again those last dates that had none after them, or leave all that is there."
        ),
    ] = True,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Treat chunks that cannot be read as gaps, and flag their cells.",
            show_default=False,
        ),
    ] = False,
    allow_product: AllowProduct = False,
    screen: Annotated[
        bool | None,
        typer.Option(
            help="Leave out observations that neither their neighbours nor the climatology support, estimate their "
            "cells, and flag them as screened.",
            show_default="as the model was trained",
        ),
    ] = None,
    threads: Threads = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Fill on the cluster of this dask.distributed scheduler, such as tcp://10.0.0.1:8786; its workers "
            "must see data and output under the same names.",
            show_default="this process",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of local processes that fill.", show_default="threads of this process"),
    ] = None,
    device: Device = "auto",
) -> None:
    """Fill the gaps of a field with a trained model."""
    from geogan.pipelines.fill import fill as run

    path = run(
        given_data(data, data_option),
        model,
        out,
        variable=variable,
        time=time,
        group=group,
        dims=dims,
        where=where,
        keep_observed=keep_observed,
        members=members,
        max_error=max_error,
        seed=seed,
        overwrite=overwrite,
        append=append,
        refill=refill,
        skip_bad=skip_bad,
        allow_product=allow_product,
        screen=screen,
        threads=threads,
        scheduler=scheduler,
        workers=workers,
        device=device,
        console=make_console(),
    )
    echo(path)
