"""The options of ``geogan fill``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.options import (
    AllowProduct,
    DataArgument,
    DataOption,
    Device,
    Dims,
    Given,
    Group,
    Overwrite,
    Product,
    Seed,
    Threads,
    Time,
    Variable,
    Where,
    given_data,
    pick,
    takes,
)
from geogan.settings import DataConfig, Settings, names

# Parameters of the fit of a model, which only a fill without a model has.
_FITTED = ("domain", "error_variable", "transform", "covariates", "noise")


@takes(DataConfig, Settings, only=_FITTED)
def fill(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of a run that geogan train wrote.",
            show_default="fit a Gaussian to the data, without a network",
        ),
    ] = None,
    out: Product,
    save_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Without --model: keep the fitted model in this folder, for --append and for other fields.",
            show_default="none",
        ),
    ] = None,
    given: Given = {},  # noqa: B006 (filled by the decorator)
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
    """Fill the gaps of a field, with a trained model or with a Gaussian that is fitted to the field.

    Options of the fit (domain, error variable, transform, noise, save-model) go without --model. With --model, a
    covariate says where one of the model's covariates is now.
    """
    from geogan.filling import FillOptions, Workers
    from geogan.operators.errors import InputError
    from geogan.pipelines.fill import Selection
    from geogan.pipelines.fill import fill as run

    if append and overwrite:
        raise InputError("a product is either appended to or overwritten; leave --append or --overwrite out")
    beside: dict[str, Any] = {
        "options": FillOptions(keep_observed, members, max_error, seed, screen),
        "selection": Selection(variable, time, group, dims, where, skip_bad, allow_product),
        "mode": "append" if append else "overwrite" if overwrite else "new",
        "workers": Workers(threads, scheduler, workers, device),
        "console": make_console(),
    }
    paths = given_data(data, data_option)
    if model is not None:
        covariates = names("covariates", given.pop("covariates", ()))
        beside["selection"] = replace(beside["selection"], covariates=covariates)
        for name in (*given, *(["save_model"] if save_model is not None else [])):
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} belongs to the fit of a model, but --model {model} was given; leave one out")
        echo(run(paths, model, out, **beside))
        return
    from geogan.pipelines.fill_without_model import Fitting, fill_without_model

    echo(fill_without_model(paths, out, fitting=pick(Fitting, given, save_model=save_model), **beside))
