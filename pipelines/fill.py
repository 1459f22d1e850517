"""``geogan fill``: from a gappy archive and a model to a filled archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from geogan.compute.threads import steady_memory
from geogan.fields.covariates import files_of, label, relocated
from geogan.files.places import check_apart
from geogan.files.run_folder import RUN, holds, read_run
from geogan.files.user_path import Data, user_path
from geogan.filling import FillOptions, Job, Reports, Workers, fill_product
from geogan.io import Reading, find_paths
from geogan.model import digest, load_model
from geogan.pipelines.command import COMMAND
from geogan.pipelines.progress import shown_progress
from geogan.product import check_output

Mode = Literal["new", "overwrite", "append", "update"]


@dataclass(frozen=True)
class Selection:
    """Options that select and read the data.

    Attributes
    ----------
    variable : str or sequence of str, optional
        By default the model's variables if the data have them, else the only variable of the data. Several variables
        are written, each with source flags and predicted error.
    time : str, optional
        Dates to write; the dates around them are read too.
    group, dims, where : optional
        Options of the reading, as in `geogan.io.open_field`; by default those of the training. An empty text
        stands for none.
    skip_bad : bool
        Treat unreadable chunks of the data as gaps; their cells are flagged and counted at the end. Otherwise the
        first unreadable chunk stops the fill.
    allow_product : bool
        Accept a filled product of geogan as the data; its estimates count as observations.
    covariates : tuple of str
        Where covariates of the model are that change in time, as FILE:VARIABLE or as a variable of the data; by default
        as in the training.
    """

    variable: str | Sequence[str] | None = None
    time: str | None = None
    group: str | None = None
    dims: str | Mapping[str, str] | None = None
    where: str | None = None
    skip_bad: bool = False
    allow_product: bool = False
    covariates: tuple[str, ...] = ()


def fill(
    data: Data,
    model: str | Path,
    out: str | Path,
    *,
    options: FillOptions | None = None,
    selection: Selection | None = None,
    mode: Mode = "new",
    workers: Workers | None = None,
    console: Console | None = None,
) -> Path:
    """Fill an archive into a Zarr store or a NetCDF file.

    A run that was stopped goes on where it was; one that is finished reports so.

    Parameters
    ----------
    data : path or URL, or several
        The archive.
    model : Path
        Folder of a run.
    out : Path
        ``.zarr`` or ``.nc``.
    options : FillOptions, optional
    selection : Selection, optional
    mode : {"new", "overwrite", "append", "update"}
        ``"overwrite"`` replaces an earlier product of geogan, and an unfinished one with other options. If the archive
        has changed since the same fill was finished, only tasks that read changed dates are filled.
        ``"append"``: ``out`` is a finished product whose dates are dates of the archive, and only tasks that read new
        or changed dates are filled. The old product stays in place until the longer one is finished. ``"update"``: the
        same if there is a product, else a new one, which replaces an unfinished one of other data.
    workers : Workers, optional
    console : Console, optional
        Console for messages and progress; None for silence.

    Returns
    -------
    Path
        The product.

    Raises
    ------
    InputError
        If an input cannot be used; nothing is then written under the name ``out``.
    """
    workers = workers or Workers()
    job = checked_job(data, model, out, options, selection, device=workers.device)
    return fill_job(job, out, mode, workers=workers, console=console)


def checked_job(
    data: Data,
    model: str | Path,
    out: str | Path,
    options: FillOptions | None,
    selection: Selection | None,
    *,
    device: str = "auto",
) -> Job:
    """Describe a fill after a check that its output may be written.

    Parameters and errors are those of `fill`.
    """
    check_output(out, overwrite=True)
    check_apart(out, {"--data": data, "--model": model})
    job = job_of(data, model, options or FillOptions(), selection or Selection(), device=device)
    check_apart(out, {"--covariate": files_of(job.covariates) or None})
    return job


def fill_job(
    job: Job,
    out: str | Path,
    mode: Mode,
    *,
    workers: Workers,
    console: Console | None,
    start: Callable[[str], None] = lambda note: None,
) -> Path:
    """Fill a job, and show messages and progress.

    Parameters
    ----------
    job : Job
    out, mode, workers, console
        As for `fill`.
    start : callable
        As in `geogan.filling.Reports`.
    """
    place = check_output(out, overwrite=True)
    steady_memory()

    def message(sentence: str) -> None:
        if console is not None:
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    with shown_progress(console, "filling", "tasks") as progress:
        reports = Reports(message, progress, start=start)
        return fill_product(job, place, mode, workers=workers, reports=reports)


def job_of(data: Data, model: str | Path, options: FillOptions, selection: Selection, *, device: str = "auto") -> Job:
    """Describe the fill of some data; model and data must exist.

    Raises
    ------
    InputError
    """
    variable = selection.variable
    return Job(
        data=tuple(find_paths(data)),
        model=str(user_path(model)),
        digest=digest(model),
        variable=variable if variable is None or isinstance(variable, str) else tuple(variable),
        time=selection.time,
        options=options,
        reading=reading_of(model, group=selection.group, dims=selection.dims, where=selection.where),
        skip_bad=selection.skip_bad,
        allow_product=selection.allow_product,
        device=device,
        covariates=covariates_of(model, selection.covariates),
        command=COMMAND.get(),
    )


def covariates_of(model: str | Path, given: Sequence[str]) -> tuple[str, ...]:
    """Return the covariates of a model that a fill reads again, at the places where some are given now.

    Raises
    ------
    InputError
        If one is given that the model was not trained with.
    """
    trained = load_model(model)
    places = relocated(trained.settings.get("covariates", ()), given)
    varying = () if trained.covariates is None else [each.name for each in trained.covariates.varying]
    return tuple(place for place in places if label(place) in varying)


def reading_of(
    model: str | Path, *, group: str | None, dims: str | Mapping[str, str] | None, where: str | None
) -> Reading:
    """Return the options of the reading: those given, else those of the training of a model."""
    run = read_run(Path(model)) if holds(Path(model), RUN) else {}
    trained = Reading.of(run.get("group"), run.get("dims"), run.get("where"))
    trained = replace(trained, is_beside=not (group or dims))
    asked = trained.unless({"group": group, "dims": dims, "where": where})
    return replace(asked, is_beside=trained.is_beside and bool(trained.group or trained.dims))
