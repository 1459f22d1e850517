"""The options of ``geogan info``."""

from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.options import (
    Dims,
    Domain,
    Group,
    Variable,
    Where,
)


def info(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Field, filled product, or folder of a run.")],
    variable: Variable = None,
    domain: Domain = None,
    group: Group = None,
    dims: Dims = None,
    where: Where = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.", show_default="no")] = False,
) -> None:
    """Say what is in a field or a run, and what to do with it."""
    from geogan.pipelines.info import info as run

    console = None if as_json else make_console(results=True)
    found = run(path, variable=variable, domain=domain, group=group, dims=dims, where=where, console=console)
    if as_json:
        import json

        echo(json.dumps(found, indent=2))
