"""The options of ``geogan demo``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.next_step import print_next
from geogan.cli.options import Quiet, Seed, Threads
from geogan.settings import Settings


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for all results.")] = Path("demo"),
    days: Annotated[int, typer.Option(min=1, metavar="N", help="Number of daily maps.")] = 160,
    size: Annotated[int, typer.Option(min=16, metavar="N", help="Side of a map, in cells.")] = 64,
    minutes: Annotated[float, typer.Option(min=0.0, metavar="NUMBER", help="Length of training, in minutes.")] = 2.0,
    seed: Seed = Settings.seed,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train, fill, score and draw on a small synthetic sea under clouds."""
    from geogan.pipelines.demo import demo as run

    console = make_console(quiet=quiet)
    run(out, days=days, size=size, minutes=minutes, seed=seed, threads=threads, console=console)
    echo(out)
    print_next(console, "geogan info DATA")
