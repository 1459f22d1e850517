"""The options of ``geogan info``."""

from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.options import DataArgument, DataOption, Given, Quiet, given_data, takes
from geogan.settings import DataConfig


@takes(DataConfig, leave_out=("error_variable", "clean", "allow_product"))
def info(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    given: Given,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.", show_default=False)] = False,
    quiet: Quiet = False,
) -> None:
    """Describe data or a run, and propose the next command."""
    from geogan.pipelines.info import info as run

    paths = given_data(data, data_option)
    description = run(paths, **given, console=None)
    if as_json:
        import json

        echo(json.dumps(description, indent=2))
        return
    from geogan.pipelines.info_report import print_report

    print_report(description, make_console(results=True), has_next=not quiet)  # type: ignore[arg-type]
