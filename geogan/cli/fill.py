"""The options of ``geogan fill``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.next_step import print_next, shown_data
from geogan.cli.options import (
    AllowProduct,
    DataArgument,
    DataOption,
    Device,
    Dims,
    Given,
    Group,
    KeepObserved,
    MaxError,
    Members,
    OperatorNames,
    Overwrite,
    Quiet,
    Scheduler,
    Screen,
    Seed,
    SkipBad,
    Threads,
    Time,
    Variable,
    Where,
    WorkerCount,
    given_data,
    pick,
    takes,
)
from geogan.operators.errors import InputError
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
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Store or file to write: .zarr or .nc.", show_default=False)
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Instead of --out: fill each file into a product of the same name in this folder, with the dates of "
            "the eight files before and after it. Names must be in the order of the dates.",
            show_default=False,
        ),
    ] = None,
    skip_existing: Annotated[
        bool,
        typer.Option("--skip-existing", help="Leave products that exist as they are.", show_default=False),
    ] = False,
    operator: OperatorNames = [],  # noqa: B006 (typer copies it)
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
    keep_observed: KeepObserved = None,
    members: Members = 1,
    max_error: MaxError = None,
    seed: Seed = Settings.seed,
    overwrite: Overwrite = False,
    append: Annotated[
        bool,
        typer.Option(
            "--append", help="Extend a finished product by the dates that were added to the data.", show_default=False
        ),
    ] = False,
    skip_bad: SkipBad = False,
    allow_product: AllowProduct = False,
    screen: Screen = None,
    threads: Threads = None,
    scheduler: Scheduler = None,
    workers: WorkerCount = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Fill the gaps of a field, with a trained model or with a Gaussian that is fitted to the field.

    Options of the fit (domain, error variable, operator, transform, noise, save-model) go without --model. With it, a
    covariate says where one of the model's covariates is now.
    """
    _check_outputs(out, out_dir, model=model, append=append, overwrite=overwrite, skip_existing=skip_existing)
    paths = given_data(data, data_option)
    if out is not None and skip_existing and out.exists():
        echo(out)
        return
    from geogan.filling import FillOptions, Workers
    from geogan.pipelines.fill import Selection
    from geogan.pipelines.fill import fill as run

    beside: dict[str, Any] = {
        "options": FillOptions(keep_observed, members, max_error, seed, screen),
        "selection": Selection(variable, time, group, dims, where, skip_bad, allow_product),
        "mode": "append" if append else "overwrite" if overwrite else "new",
        "workers": Workers(threads, scheduler, workers, device),
        "console": make_console(quiet=quiet),
    }
    if model is None:
        from geogan.pipelines.fill_without_model import Fitting, fill_without_model

        assert out is not None
        own = {"operator": operator} if operator else {}
        product = fill_without_model(paths, out, fitting=pick(Fitting, given, save_model=save_model, **own), **beside)
        echo(product)
        _print_plot(beside["console"], product, variable)
        return
    covariates = names("covariates", given.pop("covariates", ()))
    beside["selection"] = replace(beside["selection"], covariates=covariates)
    fitted = given | {"operator": operator, "save_model": save_model}
    for name in (name for name, value in fitted.items() if value not in (None, [])):
        option = f"--{name.replace('_', '-')}"
        raise InputError(f"{option} belongs to the fit of a model, but --model {model} was given; leave one out")
    if out_dir is None:
        product = run(paths, model, out, **beside)  # type: ignore[arg-type]  # checked above
        echo(product)
        _print_plot(beside["console"], product, variable)
        return
    from geogan.pipelines.fill_each import fill_each

    for product in fill_each(paths, model, out_dir, skip_existing=skip_existing, **beside):
        echo(product)


def _print_plot(console: Any, product: Path, variable: str | None) -> None:
    """Print the command that draws a product."""
    option = f" --variable {shown_data(variable.split(',')[0])}" if variable else ""
    print_next(console, f"geogan plot {shown_data(product)}{option} --out map.png")


def _check_outputs(
    out: Path | None, out_dir: Path | None, *, model: Path | None, append: bool, overwrite: bool, skip_existing: bool
) -> None:
    """Refuse options of the output that contradict each other."""
    if out is None and out_dir is None:
        raise InputError("a fill needs the name of its product; give --out FILE, or --out-dir FOLDER for many files")
    if out is not None and out_dir is not None:
        raise InputError("a product has one name; leave --out or --out-dir out")
    if append and overwrite:
        raise InputError("a product is either appended to or overwritten; leave --append or --overwrite out")
    if skip_existing and (append or overwrite):
        raise InputError(
            "products that exist are either left or changed; leave --skip-existing out, or --append and --overwrite"
        )
    if out_dir is not None and model is None:
        raise InputError("--out-dir fills each file with the same model; give --model RUN")
    if out_dir is not None and append:
        raise InputError("--append extends one product, but --out-dir makes many; leave one of them out")
