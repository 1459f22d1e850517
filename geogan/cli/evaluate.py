"""The options of ``geogan evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from geogan.cli.console import make_console
from geogan.cli.options import AllowProduct, Data, Device, Dims, Group, Model, Threads, Variable, Where


def evaluate(
    data: Data,
    model: Model,
    variable: Variable = None,
    group: Group = None,
    dims: Dims = None,
    where: Where = None,
    truth: Annotated[
        str | None,
        typer.Option(
            help="Fuller field of the same grid and unit: cells that are in it but not in the data are scored.",
            show_default="the observations withheld from training",
        ),
    ] = None,
    truth_variable: Annotated[
        str | None,
        typer.Option(help="Its variable, where that has another name there.", show_default="as in the data"),
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
    allow_product: AllowProduct = False,
    screen: Annotated[
        bool | None,
        typer.Option(
            help="Leave out single observations that neither their neighbours nor the climatology support.",
            show_default="as the model was trained",
        ),
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
        group=group,
        dims=dims,
        where=where,
        truth=truth,
        truth_variable=truth_variable,
        methods=method or None,
        members=members,
        by=by,
        figures=figures,
        ablation=ablation,
        json=json,
        allow_product=allow_product,
        screen=screen,
        threads=threads,
        device=device,
        # JSON on stdout must not be mixed with a table.
        console=make_console(results=str(json) != "-"),
    )
