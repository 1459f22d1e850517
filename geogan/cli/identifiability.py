"""The options of ``geogan identifiability``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.next_step import print_next, shown_data
from geogan.cli.options import DataArgument, DataOption, Given, Overwrite, Quiet, given_data, takes
from geogan.settings import DataConfig


@takes(DataConfig, leave_out=("error_variable", "clean", "allow_product"))
def identifiability(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Map to write: .png, .pdf or .svg.", show_default=False),
    ] = None,
    given: Given,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.", show_default=False)] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Show which cells are observed together, and what the gaps leave unknown."""
    from geogan.pipelines.identifiability import identifiability as run

    paths = given_data(data, data_option)
    console = None if as_json else make_console(results=True)
    found = run(paths, out, **given, overwrite=overwrite, console=console)
    if as_json:
        import json

        echo(json.dumps(found, indent=2))
    elif not quiet:
        print_next(make_console(), f"geogan train {shown_data(paths)}")
