"""The model of a training: its best weights, their scores, and the calibration of their predicted error."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geogan.archive import Archive
from geogan.model import Calibration, Model, fit_smoothing
from geogan.training.arithmetic import Arithmetic
from geogan.training.judge import Judge
from geogan.training.state import TrainState


def best_model(first: Model, state: TrainState, archive: Archive, judge: Judge | None, used: Arithmetic) -> Model:
    """Return the model with the best weights so far and their scores, without calibration.

    Parameters
    ----------
    first : Model
        The model without networks; its settings are those of the training.
    state : TrainState
    archive : Archive
    judge : Judge, optional
        What the best weights were chosen by.
    used : Arithmetic
        Precision and threads of the training.
    """
    error = state.error
    by_clouds = judge is not None and not judge.by_noise
    unit, _ = archive.standardiser.error_unit(first.units)
    score = state.best_score * unit
    return replace(
        first,
        network=_frozen(state.average, state.best),
        error=None if error is None or not error.best else _frozen(error.average, error.best),
        calibration=Calibration(),
        smoothing=0,
        precision=used.precision,
        settings=dict(first.settings) | {"dates": len(archive.days), "threads_used": used.threads},
        scores=_scores(first, archive)
        | {
            "withheld": score if by_clouds else None,
            "first_guess": judge.guessed * unit if judge is not None and by_clouds else None,
            "judged_by": None if judge is None else f"withheld {'observations' if by_clouds else 'noise'}",
            "judged": None if judge is None else score,
            "cells": judge.cells if judge is not None and by_clouds else None,
            "step": state.best_step,
            "steps": state.step,
            "seconds": state.seconds,
        },
    )


def first_guess_scores(first: Model, archive: Archive, judge: Judge | None) -> dict[str, Any]:
    """Return the scores of a model without a network."""
    unit, _ = archive.standardiser.error_unit(first.units)
    error = None if judge is None else judge.guessed * unit
    by_clouds = judge is not None and not judge.by_noise
    return _scores(first, archive) | {
        "withheld": error if by_clouds else None,
        "first_guess": error if by_clouds else None,
        "judged_by": None if judge is None else f"withheld {'observations' if by_clouds else 'noise'}",
        "judged": error,
        "cells": judge.cells if judge is not None and by_clouds else None,
        "step": 0,
        "steps": 0,
        "seconds": 0.0,
    }


def _scores(first: Model, archive: Archive) -> dict[str, Any]:
    return {"units": archive.standardiser.error_unit(first.units)[1], "dates": len(first.withheld.dates)}


def _frozen(average: Any, weights: dict[str, Tensor]) -> Any:
    """Return a copy of a network with other weights, on the CPU and without gradients."""
    network = copy.deepcopy(average).to("cpu")
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def with_scores(model: Model, judge: Judge | None, unit: float) -> Model:
    """Return the model with its error and the first guess's on the withheld observations of a judge, times ``unit``."""
    if judge is None:
        return model
    error = judge.error(model.network, precision=getattr(torch, model.precision)) * unit
    scores = {"withheld": error, "judged": error, "first_guess": judge.guessed * unit, "cells": judge.cells}
    return replace(model, scores=model.scores | scores)


def with_calibration(model: Model, judge: Judge | None) -> Model:
    """Return the model with its predicted error and its members' texture calibrated on a judge's observations."""
    if judge is None or model.error is None or model.operator.blurs:
        return model
    precision = getattr(torch, model.precision)
    calibration = judge.calibration(model.network, model.error, precision=precision)
    ensembles = judge.ensembles(model.network, model.error, calibration, precision=precision)
    smoothing = fit_smoothing(ensembles, blur=judge.operator.blur, is_periodic=judge.is_periodic)
    return replace(model, calibration=calibration, smoothing=smoothing)
