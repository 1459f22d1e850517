"""The command line: one short function a verb; the work is done in `geogan.pipelines`.

Nothing heavy is imported before a verb is chosen, so that ``geogan --help`` answers at once.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from geogan import defaults
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

# What a run that is gone on with may be given anew.
_WITH_RESUME = ("data", "resume", "steps", "minutes", "threads", "device")
# Typer names the mother of what is wrong with a command line by its daughters only.
_USAGE_ERROR: Any = typer.BadParameter.__base__
_USAGE, _INTERRUPTED = 2, 130  # exit codes; 130 is what shells give a command stopped by Ctrl-C


class _Verbs(TyperGroup):
    """All verbs, with one way out for what goes wrong."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; an `InputError` is its sentence alone, any other error is a defect and keeps its trace."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except InputError as error:
            if ctx.params.get("verbose"):
                import traceback

                traceback.print_exception(error)
            else:
                typer.echo(str(error), err=True)
            raise typer.Exit(_USAGE) from None
        except _USAGE_ERROR as error:
            command = error.ctx.command_path if error.ctx else "geogan"
            typer.echo(f"{error.format_message().rstrip('.')}; see {command} --help", err=True)
            raise typer.Exit(_USAGE) from None
        except KeyboardInterrupt:
            typer.echo("stopped; what was finished is kept", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            # The reader (head, less) has gone; the interpreter must not complain about it at its end either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

Data = Annotated[
    list[str],
    typer.Option(
        help="Field to read: Zarr store, NetCDF file, glob in quotes, or URL, may be given several times; or images: a "
        "folder of PNG or JPEG files, an .npy or .npz array."
    ),
]
Model = Annotated[Path, typer.Option(help="Folder of a run, made by geogan train.")]
Variable = Annotated[
    str | None,
    typer.Option(
        help="Name of the variable; or of several of one grid and the same dates, with commas between, for one model.",
        show_default="the only measured one",
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        help="Dates: a year, month or day such as 2001-07-14, or two with a slash between, both included.",
        show_default="all",
    ),
]
OperatorNames = Annotated[
    list[str],
    typer.Option(
        metavar="NAME[:PARAMETERS]",
        help="How the field is measured: a name with parameters after a colon, such as "
        "cloud_mask:coverage=0.4,scale=12 (share hidden; size of clouds in grid cells); several are applied "
        "in order.",
    ),
]
Domain = Annotated[
    str | None,
    typer.Option(
        help="Variable that is 1 where the quantity exists (sea) and 0 elsewhere (land).",
        show_default="where anything was ever observed",
    ),
]
Minutes = Annotated[float, typer.Option(min=0.0, help="Length of training, in minutes.")]
Seed = Annotated[int, typer.Option(help="Seed of every random draw, a whole number.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to compute with.", show_default="what suits the machine")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an output that geogan made before.", show_default="no")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.", show_default="no")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"geogan {version('geogan')}")
        raise typer.Exit


def _check_resume(ctx: typer.Context, run: Path | None) -> None:
    """A resumed run keeps its settings: one that is given again would be ignored without a word."""
    if run is None:
        return
    given = [name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    for name in given:
        if name not in _WITH_RESUME:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{run} is resumed under its own settings, but {option} was given; leave {option} out")


def _console(*, results: bool = False) -> "Console":
    """Results go to stdout, all else to stderr, so that output can be piped."""
    from rich.console import Console

    return Console(stderr=not results)


@app.callback()
def geogan(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show where an error comes from.", show_default="no")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.", show_default="no"),
    ] = False,
) -> None:
    """Fill the gaps in geophysical fields by learning from the gappy measurements alone."""


@app.command()
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
    transform: Annotated[
        str,
        typer.Option(
            help="none; log for positive quantities spread over decades; identity for values that stand as they are "
            "(images always do); or one a band or variable, with commas between."
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
    seed: Seed = defaults.SEED,
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
    from geogan.pipelines.train import train as run
    from geogan.ranks import joined

    with joined() as ranks:
        path = run(
            data or None,
            operator=operator,
            out=out,
            variable=variable,
            domain=domain,
            time=time,
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
            seed=seed,
            threads=threads,
            device=device,
            resume=resume,
            overwrite=overwrite,
            console=_console(),
        )
        if ranks.first:
            typer.echo(path)


@app.command()
def fill(
    data: Data,
    model: Model,
    out: Annotated[Path, typer.Option(help="Product to write, .zarr or .nc.")],
    variable: Variable = None,
    time: Time = None,
    keep_observed: Annotated[
        bool | None,
        typer.Option(
            help="Return measured cells as they were measured, or estimate them too.",
            show_default="keep, unless they are known to be noisy or blurred",
        ),
    ] = None,
    members: Annotated[
        int,
        typer.Option(help="Draws of the ensemble to write beside the estimate; 1 for none."),
    ] = 1,
    max_error: Annotated[
        str | None,
        typer.Option(
            metavar="FLOAT",
            help="Leave cells empty whose predicted error (a standard deviation) is larger, in the field's unit; of "
            "several variables one each, with commas between.",
            show_default="no limit",
        ),
    ] = None,
    seed: Seed = defaults.SEED,
    overwrite: Overwrite = False,
    append: Annotated[
        bool,
        typer.Option(
            "--append", help="Add the dates that the archive has gained to a finished product.", show_default="no"
        ),
    ] = False,
    refill: Annotated[
        bool,
        typer.Option(
            help="When appending, fill again those last dates that had none after them, or leave all that is there."
        ),
    ] = True,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Take chunks of the data that cannot be read for gaps, and flag their cells.",
            show_default="stop",
        ),
    ] = False,
    threads: Threads = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Fill on the cluster of this dask.distributed scheduler, such as tcp://10.0.0.1:8786; its workers "
            "must see data and output under the same names.",
            show_default="this process",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Fill in so many processes of this machine.", show_default="threads of this process"),
    ] = None,
    device: Device = "auto",
) -> None:
    """Fill the gaps of a field with a trained model."""
    from geogan.pipelines.fill import fill as run

    path = run(
        data,
        model,
        out,
        variable=variable,
        time=time,
        keep_observed=keep_observed,
        members=members,
        max_error=max_error,
        seed=seed,
        overwrite=overwrite,
        append=append,
        refill=refill,
        skip_bad=skip_bad,
        threads=threads,
        scheduler=scheduler,
        workers=workers,
        device=device,
        console=_console(),
    )
    typer.echo(path)


@app.command()
def evaluate(
    data: Data,
    model: Model,
    variable: Variable = None,
    truth: Annotated[
        str | None,
        typer.Option(
            help="Fuller field of the same grid and unit: cells that are in it but not in the data are scored.",
            show_default="the observations withheld from training",
        ),
    ] = None,
    method: Annotated[
        list[str],
        typer.Option(
            "--methods",
            "--method",
            metavar="NAME",
            help="climatology, linear_time, biharmonic, gaussian, model, total_variation, deep_image_prior, dineof, "
            "ambientgan, or all, with commas between; the last four take minutes or more.",
            show_default="the first five",
        ),
    ] = [],  # noqa: B006
    members: Annotated[
        int, typer.Option(help="Draws of the ensembles of model and Gaussian MAP; 2 or more are scored, with spectra.")
    ] = 1,
    by: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="Scores apart by distance, cloud or season.", show_default="no"),
    ] = [],  # noqa: B006
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for figures: reliability, rank histogram, power spectra.", show_default="no"),
    ] = None,
    ablation: Annotated[
        bool, typer.Option(help="Train once more, for as many steps, without the adversarial term, and score that too.")
    ] = True,
    json: Annotated[
        Path | None,
        typer.Option(help="Write the scores to a JSON file too, - for stdout.", show_default="no"),
    ] = None,
    threads: Threads = None,
    device: Device = "auto",
) -> None:
    """Compare a model with simpler methods on the same hidden cells."""
    from geogan.pipelines.evaluate import evaluate as run

    run(
        data,
        model,
        variable=variable,
        truth=truth,
        methods=method or None,
        members=members,
        by=by,
        figures=figures,
        ablation=ablation,
        json=json,
        threads=threads,
        device=device,
        # JSON on stdout must not be mixed with a table.
        console=_console(results=str(json) != "-"),
    )


@app.command()
def corrupt(
    data: Data,
    out: Annotated[Path, typer.Option(help="Product to write, .zarr or .nc.")],
    operator: OperatorNames = ["cloud_mask"],  # noqa: B006
    variable: Variable = None,
    time: Time = None,
    seed: Seed = defaults.SEED,
    overwrite: Overwrite = False,
) -> None:
    """Make a field gappy, to try methods where the truth is known."""
    from geogan.pipelines.corrupt import corrupt as run

    path = run(
        data,
        out,
        operator=operator,
        variable=variable,
        time=time,
        seed=seed,
        overwrite=overwrite,
        console=_console(),
    )
    typer.echo(path)


@app.command()
def plot(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Filled product, gappy field, or folder of a run.")],
    out: Annotated[Path, typer.Option(help="Figure to write: .png, .pdf or .svg.")],
    variable: Variable = None,
    date: Annotated[
        str | None,
        typer.Option(
            help="Date of the map, such as 2015-01-31, the nearest one is drawn; or number of the sample.",
            show_default="one that is about half observed",
        ),
    ] = None,
    band: Annotated[
        str | None,
        typer.Option(
            help="Name or number of the band to draw.",
            show_default="red, green and blue together, or the first",
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Field of the same grid and unit to subtract.", show_default="no difference"),
    ] = None,
    observed: Annotated[
        str | None,
        typer.Option(
            help="Gappy field to show beside the filled one.",
            show_default="what the product marks as observed",
        ),
    ] = None,
    domain: Domain = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing figure.", show_default="no")
    ] = False,
) -> None:
    """Draw a product, a field, or the course of a training."""
    from geogan.pipelines.plot import plot as run

    path = run(
        data,
        out=out,
        variable=variable,
        date=date,
        band=band,
        truth=truth,
        observed=observed,
        domain=domain,
        overwrite=overwrite,
        console=_console(),
    )
    typer.echo(path)


@app.command()
def info(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Field, filled product, or folder of a run.")],
    variable: Variable = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in a field or a run, and what to do with it."""
    from geogan.pipelines.info import info as run

    found = run(path, variable=variable, console=None if as_json else _console(results=True))
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2))


@app.command()
def table1(
    data: Annotated[str, typer.Option(help="Clean images: a folder of PNG or JPEG files, or an .npy or .npz array.")],
    out: Annotated[Path, typer.Option(help="Folder for the table, the figure and the cells.")],
    variable: Annotated[
        str | None, typer.Option(help="Array of an .npz file.", show_default="the first that holds images")
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Side that images are reduced to, in cells: 32 or 64.")] = 32,
    images: Annotated[int | None, typer.Option(min=20, help="Use the first so many.", show_default="all")] = None,
    row: Annotated[
        list[str] | None, typer.Option(help="System to train and score; several.", show_default="all")
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="Measurement process; several.", show_default="all")] = None,
    generator: Annotated[str, typer.Option(help="unet, or the paper's sagan.")] = "unet",
    width: Annotated[
        int | None, typer.Option(min=2, help="Channels of its first layer.", show_default=str(defaults.WIDTH))
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Training of each cell, in minutes.", show_default="2 where no steps are given"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training of each cell, in steps.", show_default="by minutes")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cells at a time.", show_default="one a core, one on a GPU")
    ] = None,
    seed: Seed = defaults.SEED,
    device: Device = "auto",
) -> None:
    """Regenerate the paper's Table 1 in kind: every system on every measurement process; goes on where it was."""
    from geogan.pipelines.table1 import COLUMNS, ROWS
    from geogan.pipelines.table1 import table1 as run

    run(
        data,
        out,
        variable=variable,
        size=size,
        images=images,
        rows=row or ROWS,
        columns=column or COLUMNS,
        generator=generator,
        width=width,
        minutes=minutes,
        steps=steps,
        jobs=jobs,
        seed=seed,
        device=device,
        console=_console(),
    )
    typer.echo(out / "table.md")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for what is made.")] = Path("demo"),
    days: Annotated[int, typer.Option(min=1, help="Daily maps of the synthetic sea.")] = 160,
    size: Annotated[int, typer.Option(min=16, help="Side of its maps, in grid cells.")] = 64,
    minutes: Minutes = 2.0,
    seed: Seed = defaults.SEED,
    threads: Threads = None,
) -> None:
    """Do all of it on a small synthetic sea under clouds."""
    from geogan.pipelines.demo import demo as run

    run(out, days=days, size=size, minutes=minutes, seed=seed, threads=threads, console=_console())
    typer.echo(out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and leave the interpreter with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``geogan``; by default what the process was started with.

    Raises
    ------
    SystemExit
        0 when all went well, 2 for what cannot be used, 130 when interrupted.

    Notes
    -----
    Figures go to files here, so that neither a window nor a display is needed.

    Examples
    --------
    >>> try:
    ...     main(["corrupt", "--data", "nowhere.zarr", "--out", "gappy.zarr"])
    ... except SystemExit as end:
    ...     end.code
    2
    """
    os.environ.setdefault("MPLBACKEND", "agg")
    app(arguments, prog_name="geogan")
