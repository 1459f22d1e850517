"""The options of ``geogan operators``, ``geogan operators fit`` and ``geogan operators show``."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.completion import complete_operator
from geogan.cli.console import echo, make_console
from geogan.cli.group import Verbs
from geogan.cli.next_step import print_next, shown_data
from geogan.cli.options import Given, Overwrite, Quiet, Seed, takes
from geogan.settings import DataConfig, Settings

operators = typer.Typer(cls=Verbs, invoke_without_command=True, rich_markup_mode=None)

_BESIDE = ("error_variable", "clean", "allow_product")
_Data = Annotated[list[str], typer.Argument(metavar="DATA", help="Gappy field; several files are joined.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.", show_default=False)]


@operators.callback()
def list_all(ctx: typer.Context, as_json: _Json = False, quiet: Quiet = False) -> None:
    """List the measurement operators; fit them to gaps; draw their gaps."""
    if ctx.invoked_subcommand is not None:
        return
    from geogan.pipelines.operators import list_operators

    found = list_operators(None if as_json else make_console(results=True))
    if as_json:
        echo(json.dumps(found, indent=2))
    elif not quiet:
        print_next(make_console(), "geogan operators fit DATA")


@operators.command()
@takes(DataConfig, leave_out=_BESIDE)
def fit(
    data: _Data,
    *,
    operator: Annotated[
        list[str],
        typer.Option(
            metavar="OPERATOR",
            help="Operator to fit, with the parameters that are known. Repeat to compare several.",
            show_default="cloud_mask and observed_gaps",
            autocompletion=complete_operator,
        ),
    ] = [],  # noqa: B006 (typer copies it)
    given: Given,
    seed: Seed = Settings.seed,
    as_json: _Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit operators to the gaps of a field; test whether their gaps look real."""
    from geogan.pipelines.operators import CANDIDATES, GapSource
    from geogan.pipelines.operators import fit as run

    console = None if as_json else make_console(results=True)
    found = run(data, operator or CANDIDATES, GapSource(**given), seed=seed, console=console)
    if as_json:
        echo(json.dumps(found, indent=2))
    elif not quiet:
        best = shlex.quote(found[0]["operator"])
        print_next(make_console(), f"geogan train {shown_data(data)} --operator {best}")


@operators.command()
@takes(DataConfig, leave_out=_BESIDE)
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="OPERATOR", help="Such as cloud_mask or cloud_mask:scale=8.", autocompletion=complete_operator
        ),
    ],
    data: _Data,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Figure to write: .png, .pdf or .svg.")],
    given: Given,
    seed: Seed = Settings.seed,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw gaps of an operator, fitted to a field, below real ones."""
    from geogan.pipelines.operators import GapSource
    from geogan.pipelines.operators import show as run

    echo(run(data, name, out, GapSource(**given), seed=seed, overwrite=overwrite, console=make_console(quiet=quiet)))
