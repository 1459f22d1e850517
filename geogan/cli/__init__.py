"""The command line: one short function for each verb, which calls its pipeline in `geogan.pipelines`.

Nothing heavy is imported before a verb runs, so that ``geogan --help`` answers at once.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from geogan.cli.animate import animate
from geogan.cli.console import echo, show_defect
from geogan.cli.corrupt import corrupt
from geogan.cli.demo import demo
from geogan.cli.evaluate import evaluate
from geogan.cli.fill import fill
from geogan.cli.group import Verbs
from geogan.cli.identifiability import identifiability
from geogan.cli.info import info
from geogan.cli.operators import operators
from geogan.cli.plot import plot
from geogan.cli.report import report
from geogan.cli.table1 import table1
from geogan.cli.train import train
from geogan.cli.update import update
from geogan.pipelines.command import COMMAND

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        echo(f"geogan {version('geogan')}")
        raise typer.Exit


@app.callback()
def geogan(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print the traceback of an error.", show_default=False)
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.", show_default=False),
    ] = False,
) -> None:
    """Fill the gaps of geophysical fields by learning from the gappy observations alone."""


for verb in (train, fill, update, evaluate, report, corrupt, plot, animate, info, identifiability, table1, demo):
    app.command()(verb)
app.add_typer(operators, name="operators")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments after ``geogan``; by default those of the process.

    Raises
    ------
    SystemExit
        With exit code 0 after success, 2 for input that cannot be used, 130 after an interrupt.

    Notes
    -----
    Figures are written to files, so no display is needed.

    Examples
    --------
    >>> try:
    ...     main(["corrupt", "nowhere.zarr", "--out", "gappy.zarr"])
    ... except SystemExit as end:
    ...     end.code
    2
    """
    os.environ.setdefault("MPLBACKEND", "agg")
    sys.excepthook = show_defect
    COMMAND.set(shlex.join(["geogan", *(sys.argv[1:] if arguments is None else arguments)]))
    app(arguments, prog_name="geogan")
