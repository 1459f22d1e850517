"""The options of ``geogan update``."""

from geogan.cli.console import echo, make_console
from geogan.cli.options import (
    AllowProduct,
    CovariatePlaces,
    DataArgument,
    DataOption,
    Device,
    Dims,
    Group,
    KeepObserved,
    MaxError,
    Members,
    Model,
    Product,
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
)
from geogan.settings import Settings, names


def update(
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
    keep_observed: KeepObserved = None,
    members: Members = 1,
    max_error: MaxError = None,
    seed: Seed = Settings.seed,
    skip_bad: SkipBad = False,
    allow_product: AllowProduct = False,
    screen: Screen = None,
    covariates: CovariatePlaces = [],  # noqa: B006 (typer copies it)
    threads: Threads = None,
    scheduler: Scheduler = None,
    workers: WorkerCount = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Bring a product up to date: fill new dates and those that were revised; make it if there is none.

    Safe to run twice. Prints one line for a log to standard output, messages to standard error.
    """
    from geogan.filling import FillOptions, Workers
    from geogan.pipelines.fill import Selection
    from geogan.pipelines.update import update as run

    line = run(
        given_data(data, data_option),
        model,
        out,
        options=FillOptions(keep_observed, members, max_error, seed, screen),
        selection=Selection(
            variable, time, group, dims, where, skip_bad, allow_product, names("covariates", covariates)
        ),
        workers=Workers(threads, scheduler, workers, device),
        console=make_console(quiet=quiet),
    )
    echo(line)
