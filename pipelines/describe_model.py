"""Describe a trained model in plain values that JSON can hold."""

from typing import Any

import numpy as np

from geogan.model import Model
from geogan.operators.parse import describe
from geogan.prior import GaussianPrior
from geogan.settings import flattened

Section = dict[str, Any]


def describe_model(model: Model) -> dict[str, Section]:
    """Return sections on training data, operator, first guess, training, errors and settings of a model.

    Parameters
    ----------
    model : Model

    Returns
    -------
    sections : dict of dict
        Values in the units of the field; durations in minutes or days, as their names state. None where the model
        does not hold a value.
    """
    scores, seconds = model.scores, model.scores.get("seconds")
    return {
        "trained_on": {
            "variable": model.variable,
            "units": ", ".join(model.band_units) or model.units,
            "bands": _bands(model),
            "cells": list(model.domain.shape),
            "domain_cells": int(model.domain.sum()),
            "climatology": model.standardiser.note,
            "transform": model.standardiser.field_transform,
        },
        "operator": {"operator": describe(model.operator)},
        "first_guess": _first_guess(model),
        "training": {
            "steps": scores.get("steps"),
            "minutes": None if seconds is None else seconds / 60,
            "network_parameters": _parameter_count(model),
            "precision": model.precision,
        },
        "errors_on_withheld_observations": {
            "units": scores.get("units", model.units),
            "rmse": finite_number(scores.get("withheld")),
            "rmse_expected_in_gaps": finite_number(scores.get("expected_in_gaps")),
            "rmse_of_first_guess": finite_number(scores.get("first_guess")),
            "share_gained": finite_number(scores.get("gain")),
            "share_gained_at_least": finite_number(scores.get("gain_low")),
            "share_gained_at_most": finite_number(scores.get("gain_high")),
            "clouds": scores.get("clouds"),
            "cells": scores.get("cells"),
            "dates": scores.get("dates"),
        },
        "members": {"smoothing_steps": model.smoothing},
        "settings": flattened(model.settings),
    }


def finite_number(value: Any) -> float | None:
    """Return a finite number, else None: JSON has no NaN."""
    return float(value) if value is not None and np.isfinite(value) else None


def _bands(model: Model) -> list[str] | int:
    """Return the names of the bands, or their number if they have no names."""
    own = model.standardiser.field_bands
    return [model.bands[band] for band in own if model.bands] or len(own)


def _first_guess(model: Model) -> Section:
    """Return kind and parameters of the Gaussian prior."""
    prior = model.prior
    if prior is None:
        return {"used": False}
    section: Section = {
        "used": True,
        "covariance": "stationary" if prior.stationary else prior.extent,
        "length_cells": finite_number(prior.length),
        "persistence_days": finite_number(prior.persistence),
        "noise": finite_number(prior.noise),
    }
    if isinstance(prior, GaussianPrior) and prior.is_moving:
        section |= {"drift_rows_per_day": prior.drift_y, "drift_columns_per_day": prior.drift_x}
    if isinstance(prior, GaussianPrior) and prior.brief:
        section |= {"brief_field": prior.brief, "brief_length_cells": prior.brief_length}
    return section


def _parameter_count(model: Model) -> int:
    """Return the number of parameters of the generator; 0 without one."""
    return 0 if model.network is None else sum(parameter.numel() for parameter in model.network.parameters())
