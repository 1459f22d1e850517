"""The options of ``geogan demo``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.console import echo, make_console
from geogan.cli.options import Seed, Threads
from geogan.settings import Settings


def demo(
    out: Annotated[Path, typer.Option(help="Folder for what is made.")] = Path("demo"),
    days: Annotated[int, typer.Option(min=1, help="Daily maps of the synthetic sea.")] = 160,
    size: Annotated[int, typer.Option(min=16, help="Side of its maps, in grid cells.")] = 64,
    minutes: Annotated[float, typer.Option(min=0.0, help="Length of training, in minutes.")] = 2.0,
    seed: Seed = Settings.seed,
    threads: Threads = None,
) -> None:
    """Do all of it on a small synthetic sea under clouds."""
    from geogan.pipelines.demo import demo as run

    run(out, days=days, size=size, minutes=minutes, seed=seed, threads=threads, console=make_console())
    echo(out)
