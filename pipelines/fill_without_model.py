"""``geogan fill`` without ``--model``: fit a Gaussian to the gappy archive, calibrate its error, and fill."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from geogan.compute.threads import steady_memory
from geogan.fields.covariates import files_of
from geogan.files.lock import locked
from geogan.files.places import check_apart
from geogan.files.plain_file import read_json
from geogan.files.run_folder import METRICS, MODEL, RUN, TEXT, check_free, is_run
from geogan.files.swap import write_text
from geogan.files.user_path import user_path
from geogan.filling import FillOptions, Workers
from geogan.io import describe_source, find_paths
from geogan.model import digest
from geogan.operators.errors import InputError
from geogan.operators.wording import counted
from geogan.pipelines.fill import Data, Mode, Selection, checked_job, fill_job
from geogan.pipelines.train import with_operator
from geogan.pipelines.train_progress import TrainingProgress
from geogan.pipelines.training_inputs import open_inputs
from geogan.product import FittingFolder, PreviousProduct, check_output, fitting_folder
from geogan.reconstructor import Reconstructor
from geogan.settings import DataConfig, Settings, TrainConfig
from geogan.training import Checkpoint, RunLog, settings_json


@dataclass(frozen=True)
class Fitting:
    """What the Gaussian is fitted with, beside the data.

    Attributes
    ----------
    domain, error_variable : str, optional
        As in `geogan.settings.DataConfig`.
    transform : str
    noise : float, optional
        As in `geogan.settings.Settings`.
    save_model : Path, optional
        Folder in which the model is kept; by default it is removed when the product is complete.
    training : TrainConfig
        Evaluations of the search for the parameters of the Gaussian.
    covariates : tuple of str
        As in `geogan.settings.Settings`.
    operator : str or sequence of str
        As in `geogan.settings.Settings`: what makes the gaps, and what blurs the measurements.
    """

    domain: str | None = None
    error_variable: str | None = None
    transform: str = Settings.transform
    noise: float | None = Settings.noise
    save_model: Path | None = None
    training: TrainConfig = TrainConfig()
    covariates: tuple[str, ...] = ()
    operator: str | Sequence[str] = Settings.operator


def fill_without_model(
    data: Data,
    out: str | Path,
    *,
    fitting: Fitting | None = None,
    options: FillOptions | None = None,
    selection: Selection | None = None,
    mode: Mode = "new",
    workers: Workers | None = None,
    console: Console | None = None,
) -> Path:
    """Fit a Gaussian to an archive, calibrate its error on withheld observations, and fill the archive with it.

    The model is fitted to all dates. It is kept beside the unfinished product, so that a fill that was stopped resumes
    with the same model.

    Parameters
    ----------
    data, out, options, selection, mode, workers, console
        As for `geogan.pipelines.fill.fill`; the seed of the options decides the fit too.
    fitting : Fitting, optional

    Returns
    -------
    Path
        The product.

    Raises
    ------
    InputError
        If something cannot be used, or ``mode`` is ``"append"``: that needs the model of the product.
    """
    fitting, options, selection = fitting or Fitting(), options or FillOptions(), selection or Selection()
    workers = workers or Workers()
    if mode == "append":
        raise InputError(
            "--append needs the model that filled the product; give --model RUN, where --save-model RUN kept it, or "
            "fill the product anew with --overwrite"
        )
    place = check_output(out, overwrite=True)
    if mode == "new" and place.exists() and PreviousProduct.open(place).settings.get("network", True):
        # The product of a given model is refused before anything is fitted.
        check_output(place)
    config, settings = _configured(data, fitting, options, selection, workers)
    check_apart(out, {"--data": data})
    if fitting.save_model is not None:
        check_apart(fitting.save_model, {"--data": data, "--out": place}, what="the run")
    steady_memory()
    settings = with_operator(settings, config, console=console)
    asked = _question(config, settings)
    question = _digest(asked, options, selection)
    if mode == "new" and fitting.save_model is None and _is_product_of(place, question):
        if console is not None:
            console.print(f"{place} is finished already", markup=False, highlight=False, soft_wrap=True)
        return place
    with fitting_folder(place) as folder:
        if not _is_answered(folder, asked):
            if folder.regions_done and mode != "overwrite":
                raise InputError(
                    f"{place} was begun from other data, with another model or with other options, with "
                    f"{counted(folder.regions_done, 'finished task')}; give that command again to resume it, or "
                    "--overwrite to begin anew"
                )
            _check_save(fitting.save_model, None, overwrite=mode == "overwrite")
            folder.record.unlink(missing_ok=True)
            if folder.model.exists():
                shutil.rmtree(folder.model)
            _fit(config, settings, folder.model, skip_bad=selection.skip_bad, device=workers.device, console=console)
            # Written last: a model without it is fitted again.
            write_text(folder.record, json.dumps(asked))
        if fitting.save_model is not None:
            _check_save(fitting.save_model, folder.model, overwrite=mode == "overwrite")
            _copy_run(folder.model, user_path(fitting.save_model))
    job = checked_job(data, folder.model, place, options, selection, device=workers.device)
    return fill_job(replace(job, question=question), place, mode, workers=workers, console=console)


def _configured(
    data: Data, fitting: Fitting, options: FillOptions, selection: Selection, workers: Workers
) -> tuple[DataConfig, Settings]:
    """Return the data and the settings of the fit."""
    config = DataConfig(
        data=(data,) if isinstance(data, str | Path) else tuple(data),
        variable=selection.variable,  # type: ignore[arg-type]  # several names are joined
        domain=fitting.domain,
        group=selection.group,
        dims=selection.dims,
        where=selection.where,
        error_variable=fitting.error_variable,
        allow_product=selection.allow_product,
    )
    settings = Settings(
        network=None,
        operator=fitting.operator,
        transform=fitting.transform,
        covariates=fitting.covariates,
        noise=fitting.noise,
        screen=False if options.screen is None else options.screen,
        training=replace(fitting.training, threads=workers.threads),
        seed=options.seed,
    )
    return config, settings


def _question(config: DataConfig, settings: Settings) -> dict[str, Any]:
    """Return what decides the model, as JSON holds it: data with their state, settings, version."""
    paths = find_paths(config.data)
    places = [path if "://" in path else str(Path(path).absolute()) for path in paths]
    asked = {name: str(value) for name, value in vars(config).items() if name != "data"}
    fitted = settings_json(settings)
    # The number of threads decides nothing.
    fitted["training"].pop("threads")
    return {
        "version": version("geogan"),
        "data": places,
        "config": asked,
        "settings": json.loads(json.dumps(fitted)),
        "state": describe_source([*paths, *files_of(settings.covariates)]),
    }


def _digest(asked: dict[str, Any], options: FillOptions, selection: Selection) -> str:
    """Return a digest of all that decides a product; empty if the state of the data is unknown."""
    if asked["state"] is None:
        return ""
    text = json.dumps([asked, repr(options), selection.time, selection.skip_bad], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _is_product_of(place: Path, question: str) -> bool:
    """Return whether a finished product was asked for by the same question, of the data as they are."""
    if not question:
        return False
    product = PreviousProduct.find(place)
    return product is not None and product.settings.get("question") == question


def _is_answered(folder: FittingFolder, asked: dict[str, Any]) -> bool:
    """Return whether a folder holds the model that is asked for.

    Once regions are filled with it, it stays the model of the product where the archive changes.
    """
    try:
        found = read_json(folder.record)
    except (OSError, ValueError):
        return False
    if not isinstance(found, dict) or not is_run(folder.model):
        return False
    if folder.regions_done:
        return found | {"state": None} == asked | {"state": None}
    return found == asked and asked["state"] is not None


def _fit(
    config: DataConfig, settings: Settings, folder: Path, *, skip_bad: bool, device: str, console: Console | None
) -> None:
    """Fit the model into a folder, as a run that ``--model`` takes."""
    reconstructor = Reconstructor(**vars(settings), device=device)
    opened = open_inputs(config, reconstructor.settings, dates=None, begins=True, skip_bad=skip_bad)
    log = RunLog(folder, opened.description, settings_json(reconstructor.settings), -1)
    with locked(folder, folder), TrainingProgress(reconstructor, log, console) as report:
        for note in opened.notes:
            report.message(note)
        reconstructor.fit(
            opened.field.array,
            **opened.beside,
            checkpoint=Checkpoint(folder, overwrite=True),
            progress=report.show,
            message=report.message,
        )


def _check_save(folder: Path | None, model: Path | None, *, overwrite: bool) -> None:
    """Refuse a folder in which the model cannot be kept; one that holds this model already is free."""
    if folder is None or (model is not None and is_run(folder) and digest(folder) == digest(model)):
        return
    check_free(
        user_path(folder),
        overwrite=overwrite,
        ways=f"fill with it by --model {folder}, replace it with --overwrite, or give another --save-model",
        other="--save-model",
    )


def _copy_run(source: Path, target: Path) -> None:
    """Copy the files of a run; the model last, which makes the folder a run."""
    with locked(target, target):
        names: Sequence[str] = (RUN, METRICS, TEXT, MODEL)
        for name in names:
            aside = target / f".{name}.partial"
            shutil.copyfile(source / name, aside)
            aside.replace(target / name)
