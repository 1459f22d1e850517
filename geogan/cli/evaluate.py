"""The options of ``geogan evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.completion import complete_method
from geogan.cli.console import make_console
from geogan.cli.next_step import print_next, shown_data
from geogan.cli.options import (
    AllowProduct,
    CovariatePlaces,
    DataArgument,
    DataOption,
    Device,
    Dims,
    Group,
    Model,
    Quiet,
    Threads,
    Variable,
    Where,
    given_data,
)
from geogan.evaluation import METHODS


def evaluate(
    data: DataArgument = None,
    data_option: DataOption = None,
    *,
    model: Model,
    variable: Variable = None,
    group: Group = None,
    dims: Dims = None,
    where: Where = None,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Fuller field on the same grid, in the same units: cells that it has and the data lack are scored.",
            show_default="the observations withheld from training",
        ),
    ] = None,
    truth_variable: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="Variable of the truth, if it has another name there.",
            show_default="as in the data",
        ),
    ] = None,
    method: Annotated[
        list[str],
        typer.Option(
            "--methods",
            "--method",
            metavar="NAME",
            help=f"Methods to score, with commas between: {', '.join(METHODS)}, or all. Slow methods take minutes "
            "or more.",
            show_default="all but the slow ones",
            autocompletion=complete_method,
        ),
    ] = [],  # noqa: B006
    members: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Ensemble members of the model and of the Gaussian MAP; 2 or more are scored, with power spectra.",
        ),
    ] = 1,
    by: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Report scores by distance to the nearest observation (distance), cloud fraction (cloud) or season.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    figures: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for figures: maps of one date, reliability, rank histogram, power spectra.",
            show_default=False,
        ),
    ] = None,
    ablation: Annotated[
        bool,
        typer.Option(
            help="Train once more, for as many steps, without the adversarial prior term, and score that too."
        ),
    ] = True,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON file for the scores, or - for standard output.", show_default=False),
    ] = None,
    allow_product: AllowProduct = False,
    screen: Annotated[
        bool | None,
        typer.Option(
            help="Hide single observations that neither their neighbours nor the climatology support.",
            show_default="as the model was trained",
        ),
    ] = None,
    covariates: CovariatePlaces = [],  # noqa: B006
    threads: Threads = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Score a model and simpler methods on the same hidden cells."""
    from geogan.evaluation import Scoring
    from geogan.pipelines.evaluate import Inputs
    from geogan.pipelines.evaluate import evaluate as run
    from geogan.pipelines.score_outputs import Outputs

    paths, messages = given_data(data, data_option), make_console(quiet=quiet)
    run(
        paths,
        model,
        Scoring(method, members, by),
        inputs=Inputs(variable, group, dims, where, truth, truth_variable, allow_product, screen, tuple(covariates)),
        # JSON on standard output must not be mixed with a table.
        outputs=Outputs(
            json,
            figures,
            make_console(results=True) if str(json) != "-" else messages,
            messages,
        ),
        ablation=ablation,
        threads=threads,
        device=device,
    )
    print_next(messages, f"geogan fill {shown_data(paths)} --model {shown_data(model)} --out filled.zarr")
