"""The options of ``geogan corrupt``."""

from geogan.cli.console import echo, make_console
from geogan.cli.options import (
    Data,
    Dims,
    Group,
    OperatorNames,
    Overwrite,
    Product,
    Seed,
    Time,
    Variable,
    Where,
)
from geogan.settings import Settings


def corrupt(
    data: Data,
    out: Product,
    operator: OperatorNames = ["cloud_mask"],  # noqa: B006
    variable: Variable = None,
    time: Time = None,
    group: Group = None,
    dims: Dims = None,
    where: Where = None,
    seed: Seed = Settings.seed,
    overwrite: Overwrite = False,
) -> None:
    """Make a field gappy, to try methods where the truth is known."""
    from geogan.pipelines.corrupt import CorruptOptions
    from geogan.pipelines.corrupt import corrupt as run

    options = CorruptOptions(
        operator=operator, variable=variable, time=time, group=group, dims=dims, where=where, seed=seed
    )
    echo(run(data, out, options, overwrite=overwrite, console=make_console()))
