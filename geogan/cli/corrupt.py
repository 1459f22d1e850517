"""The options of ``geogan corrupt``."""

from geogan.cli.console import echo, make_console
from geogan.cli.options import (
    DataArgument,
    DataOption,
    Given,
    OperatorNames,
    Overwrite,
    Product,
    Quiet,
    Seed,
    given_data,
    takes,
)
from geogan.settings import DataConfig, Settings


@takes(DataConfig, leave_out=("domain", "error_variable", "clean", "allow_product"))
def corrupt(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    out: Product,
    operator: OperatorNames = ["cloud_mask"],  # noqa: B006 (typer copies it)
    given: Given,
    seed: Seed = Settings.seed,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Add gaps, blur or noise to a field, to test methods against a known truth."""
    from geogan.pipelines.corrupt import CorruptOptions
    from geogan.pipelines.corrupt import corrupt as run

    paths = given_data(data, data_option)
    options = CorruptOptions(operator=operator, seed=seed, **given)
    echo(run(paths, out, options, overwrite=overwrite, console=make_console(quiet=quiet)))
