"""`geogan.evaluate`: score a model and the baselines on a field."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from geogan.archive import Archive, check_field
from geogan.compute.device import find_device
from geogan.compute.extent import Extent
from geogan.evaluation.league import check_scoring, score_methods
from geogan.evaluation.score_dataset import score_dataset
from geogan.evaluation.scoring import Scoring
from geogan.evaluation.tables import LeagueTable
from geogan.evaluation.truth import match_truth
from geogan.fields.field import Field
from geogan.fields.observation_error import error_checker
from geogan.filling import FillOptions, Regime, adapt_model
from geogan.io import as_field, marked
from geogan.model import Model, prepare_archive
from geogan.operators.errors import InputError
from geogan.reconstructor import Reconstructor


def evaluate(
    model: Reconstructor | str | Path,
    field: xr.DataArray | xr.Dataset,
    *,
    truth: xr.DataArray | xr.Dataset | None = None,
    error: xr.DataArray | xr.Dataset | None = None,
    covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
    methods: Sequence[str] | str = (),
    members: int = 1,
    by: Sequence[str] | str = (),
    screen: bool | float | None = None,
) -> xr.Dataset:
    """Score a model and the baselines on the same hidden cells of a field.

    The numbers are those of ``geogan evaluate --json`` without the ablation.

    Parameters
    ----------
    model : Reconstructor, str or Path
        A trained model, or the folder of a run.
    field : DataArray or Dataset, shape ([time,] [band,] y, x)
        The field that the model was trained on. Without ``truth``, the observations withheld from training are scored.
    truth : DataArray or Dataset, optional
        A fuller field on the same grid, in the same units: the cells to score are those that it has and ``field``
        lacks. ``field`` may then have other dates than the training.
    error : DataArray or Dataset, optional
        Standard deviation of each observation's error, if the model was trained with one.
    covariates : mapping of DataArray, or Dataset, optional
        Those of the model's covariates that change in time, on the grid and the dates of the field.
    methods : str or sequence of str
        Methods to score, or ``"all"``: ``"climatology"``, ``"linear_time"``, ``"biharmonic"``, ``"gaussian"`` and
        ``"model"`` by default. The slow baselines take minutes or more: ``"total_variation"``,
        ``"deep_image_prior"``, ``"dineof"``, ``"ambientgan"``.
    members : int
        Number of ensemble members of the model and of the Gaussian MAP; two or more are scored, with power spectra.
    by : str or sequence of str
        Report scores by ``"distance"`` to the nearest observation, ``"cloud"`` fraction, or ``"season"``.
    screen : bool or float, optional
        Hide observations that neither neighbours nor the climatology support, and do not score them; a number is
        the threshold in robust standard deviations. By default as in training.

    Returns
    -------
    Dataset
        Scores with the dimension ``method``: ``rmse``, ``bias``, ``mae``, ``crps``, ``coverage``, ... with units; see
        :func:`~geogan.evaluation.score_dataset.score_dataset`. Select a method by
        ``scores.sel({"method": "model"})``, because ``method`` is also a keyword of ``sel``;
        ``scores[["rmse", "bias"]].to_dataframe()`` gives a table.

    Raises
    ------
    InputError
        If a name is unknown, the field is not the one that the model was trained on, the truth does not fit, or there
        is no cell to score.

    Warns
    -----
    UserWarning
        If most observations lie far from the model's climatology.
    """
    scoring = Scoring(methods, members, by)
    reconstructor = model if isinstance(model, Reconstructor) else Reconstructor.load(model)
    if not hasattr(reconstructor, "model_"):
        raise InputError("nothing was learned yet; call fit, or load a run")
    trained = adapt_model(reconstructor.model_, FillOptions(screen=screen))
    measured = as_field(field)
    errors = None if error is None else as_field(error).array
    archive, sentences = scored_archive(
        trained,
        measured,
        scoring,
        error=errors,
        covariates=None if covariates is None else marked(covariates),
        has_truth=truth is not None,
    )
    for sentence in sentences:
        warnings.warn(sentence, stacklevel=2)
    rows = score_methods(
        {"model": trained},
        archive,
        scoring,
        truth=None if truth is None else match_truth(as_field(truth), measured),
        device=find_device(reconstructor.device),
    )
    return score_dataset(LeagueTable.of(rows, trained, archive, has_truth=truth is not None))


def scored_archive(
    model: Model,
    field: Field,
    scoring: Scoring,
    *,
    error: xr.DataArray | None,
    covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
    has_truth: bool,
) -> tuple[Archive, list[str]]:
    """Return the field for scoring, and warnings about values that the model does not expect.

    Parameters
    ----------
    model : Model
    field : Field
    scoring : Scoring
    error : DataArray, optional
        Standard deviation of each observation's error.
    covariates : mapping of DataArray, or Dataset, optional
        Those of the model's covariates that change in time.
    has_truth : bool
        Whether methods are compared with a truth, rather than with withheld observations.

    Raises
    ------
    InputError
        If the model cannot fill the field, or there is nothing to score.
    """
    archive = prepare_archive(model, field, error=error, covariates=covariates, withheld=not has_truth)
    check_scoring(scoring, model, archive)
    regime = Regime(archive, field.name, model.bands if model.band_units else ())
    check_error = error_checker(field.with_error(archive.error))

    def look(region: Extent, values: np.ndarray) -> None:
        check_error(region, values)
        regime.add(region, values)

    check_field(field, look=look)
    return archive.held(), regime.sentences()
