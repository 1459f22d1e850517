"""The options of ``geogan train``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from geogan.cli.completion import complete_preset
from geogan.cli.console import echo, make_console
from geogan.cli.next_step import print_next, shown_data
from geogan.cli.options import (
    DataArgument,
    DataOption,
    Device,
    Given,
    OperatorNames,
    Overwrite,
    Quiet,
    given_data,
    pick,
    takes,
)
from geogan.operators.errors import InputError
from geogan.presets import PRESETS, preset_settings
from geogan.settings import DataConfig, NetworkConfig, Objective, Settings, TrainConfig

# Options that a run that is resumed may be given anew.
_WITH_RESUME = ("data", "data_option", "resume", "steps", "minutes", "threads", "device", "quiet")


@takes(
    DataConfig,
    Settings,
    NetworkConfig,
    Objective,
    TrainConfig,
    preset_names={name for changes in PRESETS.values() for name in changes},
)
def train(
    ctx: typer.Context,
    data: DataArgument = None,
    data_option: DataOption = None,
    operator: OperatorNames = ["cloud_mask"],  # noqa: B006 (typer copies it)
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for the run.", show_default="runs/ and the name of the data"),
    ] = None,
    preset: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="unir (the paper's objective, networks and optimisers), unir-light (with networks for a CPU), "
            "unir-global (for images of which few pixels are observed), paired or unpaired (variants that learn from "
            "--clean). Repeat to combine; other options override presets.",
            show_default=False,
            autocompletion=complete_preset,
        ),
    ] = [],  # noqa: B006
    given: Given = {},  # noqa: B006 (filled by the decorator)
    screen: Annotated[
        bool,
        typer.Option(
            "--screen",
            help="Leave out single observations that neither neighbours nor climatology support; a fill does the same "
            "and flags them.",
            show_default=False,
        ),
    ] = False,
    screen_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Threshold of --screen, in robust standard deviations; implies --screen.",
            show_default="5",
        ),
    ] = None,
    device: Device = "auto",
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Resume the training of this run, with its own settings; needs no DATA.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a gappy field. Under torchrun, several processes share the batch."""
    _check_resume(ctx, resume)
    paths = given_data(data, data_option, is_needed=False)
    if not paths and resume is None:
        raise InputError("training needs a field or a run, got neither; give DATA or --resume RUN")
    if given.get("steps") == 0:
        # Python accepts 0 for a model without a trained network, which no verb needs.
        raise InputError("--steps must be at least 1, got 0; give a larger number")
    screening: Any = screen if screen_threshold is None else screen_threshold
    config = pick(DataConfig, given, data=paths)
    changes = {name: value for name, value in given.items() if name not in vars(config)}
    settings = preset_settings(preset).replaced(operator=operator, screen=screening, **changes)
    from geogan.compute.processes import joined
    from geogan.pipelines import train as pipeline

    with joined() as ranks:
        console = make_console(quiet=quiet)
        if resume is None:
            run = pipeline.train(config, settings, out=out, device=device, overwrite=overwrite, console=console)
        else:
            run = pipeline.resume(resume, changes, data=paths, device=device, console=console)
        if ranks.first:
            echo(run)
            print_next(console, f"geogan evaluate {shown_data(paths)} --model {shown_data(run)} --no-ablation")


def _check_resume(ctx: typer.Context, run: Path | None) -> None:
    """Refuse options of a new training beside a run that is resumed, which keeps its settings."""
    if run is None:
        return
    given = [name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    for name in given:
        if name not in _WITH_RESUME:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{run} is resumed under its own settings, but {option} was given; leave {option} out")
