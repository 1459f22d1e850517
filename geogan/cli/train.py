"""The options of ``geogan train``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan import defaults
from geogan.cli.console import echo, make_console
from geogan.cli.options import (
    AllowProduct,
    Data,
    Device,
    Dims,
    Domain,
    Group,
    OperatorNames,
    Overwrite,
    Seed,
    Threads,
    Time,
    Variable,
    Where,
)
from geogan.operators.errors import InputError

# What a run that is gone on with may be given anew.
_WITH_RESUME = ("data", "resume", "steps", "minutes", "threads", "device")


def train(
    ctx: typer.Context,
    data: Data = [],  # noqa: B006 (typer copies it)
    operator: OperatorNames = ["cloud_mask"],  # noqa: B006
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run.", show_default="runs/<name of data>"),
    ] = None,
    variable: Variable = None,
    domain: Domain = None,
    time: Time = None,
    group: Group = None,
    dims: Dims = None,
    where: Where = None,
    transform: Annotated[
        str,
        typer.Option(
            help="none; log for positive quantities spread over decades; bounded:LOW,HIGH for fractions and other "
            "quantities between bounds (bounded:0,1), or beside one (bounded:0,inf, as rain); circular for directions "
            "(the default where the standard name and units tell, or circular:0,360); identity for values that "
            "stand as they are (images always do); or one a band or variable, with commas between, such as "
            "bounded:0,1,log."
        ),
    ] = "none",
    noise: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the observations' errors, in the field's unit: observed cells are then "
            "estimated too.",
            show_default="not known",
        ),
    ] = None,
    error_variable: Annotated[
        str | None,
        typer.Option(
            help="Variable of the data with the standard deviation of each observation's error, in the field's unit; "
            "fill and evaluate read it too.",
            show_default="none",
        ),
    ] = None,
    covariate: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Shown to the network beside the field: day_of_year, latitude, distance_to_coast, or a static "
            "variable of the data such as its bathymetry; may be given several times, or with commas between.",
            show_default="none",
        ),
    ] = [],  # noqa: B006
    preset: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="unir (the paper's objective, networks and optimisers), paired or unpaired (its variants that learn "
            "from --clean); several are applied in order, and options given beside them hold.",
            show_default="geogan's own",
        ),
    ] = [],  # noqa: B006
    clean: Annotated[
        list[str] | None,
        typer.Option(help="Fields without gaps, for the presets paired and unpaired.", show_default="none"),
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="unet, or the paper's sagan.", show_default="unet, or the preset's")
    ] = None,
    discriminator: Annotated[
        str | None,
        typer.Option(help="convolutional, or the paper's sagan.", show_default="convolutional, or the preset's"),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Dates seen on each side of the one filled, in time steps.",
            show_default=f"{defaults.WINDOW}, or the preset's",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(min=2, help="Channels of the network's first layer.", show_default=str(defaults.WIDTH)),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(min=1, help="Side of a training window, in grid cells.", show_default=str(defaults.CROP)),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Training windows a step, of all processes together.",
            show_default=f"{defaults.BATCH}, or the preset's",
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            help="Draws of the ensemble in a training step: 2 or more train one, and the fill can draw its members.",
            show_default=str(defaults.MEMBERS),
        ),
    ] = None,
    weight_prior: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Weight of the adversarial term, unitless; 0 leaves it out.",
            show_default=f"{defaults.WEIGHT_PRIOR:g}, or the preset's",
        ),
    ] = None,
    weight_likelihood: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Weight of the likelihood term, unitless; 0 leaves it out.",
            show_default=f"{defaults.WEIGHT_LIKELIHOOD:g}, or the preset's",
        ),
    ] = None,
    weight_withheld: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Weight of the withheld term, unitless; 0 leaves it out.",
            show_default=f"{defaults.WEIGHT_WITHHELD:g}, or the preset's",
        ),
    ] = None,
    first_guess: Annotated[
        bool | None,
        typer.Option(
            "--first-guess/--no-first-guess",
            help="Start from the Gaussian estimate, or let the network do all.",
            show_default="first-guess, or the preset's",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Length of training, in steps.", show_default="by minutes")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Length of training, in minutes.",
            show_default=f"{defaults.MINUTES:g} where no steps are given",
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    screen: Annotated[
        bool,
        typer.Option(
            "--screen",
            help="Leave out single observations that neither their neighbours nor the climatology support; the fill "
            "does the same, and flags them.",
            show_default="no",
        ),
    ] = False,
    screen_threshold: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            help="Robust standard deviations beyond which --screen leaves an observation out; implies --screen.",
            show_default="5",
        ),
    ] = None,
    seed: Seed = defaults.SEED,
    allow_product: AllowProduct = False,
    threads: Threads = None,
    device: Device = "auto",
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a run to go on with, under its own settings; needs no --data.",
            show_default="start anew",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a reconstructor on a gappy field; started by torchrun, several processes share its batch."""
    _check_resume(ctx, resume)
    if not data and resume is None:
        raise InputError("training needs a field or a run, got neither; give --data FIELD or --resume RUN")
    from geogan.compute.processes import joined
    from geogan.pipelines.train import train as run

    with joined() as ranks:
        path = run(
            data or None,
            operator=operator,
            out=out,
            variable=variable,
            domain=domain,
            time=time,
            group=group,
            dims=dims,
            where=where,
            transform=transform,
            covariate=covariate,
            noise=noise,
            error_variable=error_variable,
            clean=clean,
            preset=preset,
            generator=generator,
            discriminator=discriminator,
            window=window,
            width=width,
            crop=crop,
            batch=batch,
            members=members,
            weight_prior=weight_prior,
            weight_likelihood=weight_likelihood,
            weight_withheld=weight_withheld,
            first_guess=first_guess,
            steps=steps,
            minutes=minutes,
            precision=precision,
            screen=screen if screen_threshold is None else screen_threshold,
            seed=seed,
            allow_product=allow_product,
            threads=threads,
            device=device,
            resume=resume,
            overwrite=overwrite,
            console=make_console(),
        )
        if ranks.first:
            echo(path)


def _check_resume(ctx: typer.Context, run: Path | None) -> None:
    """A resumed run keeps its settings: one that is given again would be ignored without a word."""
    if run is None:
        return
    given = [name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    for name in given:
        if name not in _WITH_RESUME:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{run} is resumed under its own settings, but {option} was given; leave {option} out")
