"""The model without a network: the Gaussian first guess with the spread of its posterior, calibrated."""

from __future__ import annotations

from dataclasses import replace

import torch

from geogan.archive import Archive
from geogan.model import Calibration, Model
from geogan.model.networks import ErrorNet, SpreadTable
from geogan.training.gap_error import expected_gap_error
from geogan.training.judge import Judge
from geogan.training.learned import first_guess_scores
from geogan.training.posterior_spread import fit_spread_table


def model_without_network(first: Model, archive: Archive, judge: Judge | None, *, draws: int, seed: int) -> Model:
    """Return the model of the first guess alone, with its predicted error and its scores.

    Parameters
    ----------
    first : Model
        The model without networks, with a prior.
    archive : Archive
        The archive that it was fitted to.
    judge : Judge, optional
        What its error is calibrated by.
    draws : int
        As for :func:`geogan.training.posterior_spread.fit_spread_table`.
    seed : int
        Seed of the draws of the posterior.
    """
    assert first.prior is not None
    table = fit_spread_table(first, archive, frames=1, draws=draws, seed=seed)
    # Without a network there is no window of frames, and only a regression needs covariates.
    covariates = None if first.standardiser.regression is None else first.covariates
    model = replace(first, frames=1, covariates=covariates, error=table.eval(), calibration=Calibration())
    # Blurred observations do not show the error of the field; their errors gave the prior its amplitude.
    if judge is not None and not judge.by_noise and not first.operator.blurs:
        model = replace(model, calibration=judge.calibration(None, table))
    model = replace(
        model,
        settings=dict(first.settings) | {"dates": len(archive.days)},
        scores=first_guess_scores(first, archive, judge),
    )
    return with_gap_error(model, first, archive, judge, seed=seed)


def with_gap_error(model: Model, first: Model, archive: Archive, judge: Judge | None, *, seed: int) -> Model:
    """Return the model with the error to expect in the gaps in its scores, if its predicted error has a table.

    A network is expected to change the error in the gaps by the same factor as that on withheld observations.

    Parameters
    ----------
    model : Model
        With scores.
    first : Model
        The model without networks.
    archive : Archive
    judge : Judge, optional
    seed : int
        As for :func:`geogan.training.gap_error.expected_gap_error`.
    """
    table = model.error.table if isinstance(model.error, ErrorNet) else model.error
    if judge is None or judge.by_noise or first.prior is None or not isinstance(table, SpreadTable):
        return model
    # Where observations are blurred, errors on them are not those of the field.
    if first.operator.blurs:
        return model
    expected = expected_gap_error(first, archive, judge, table, seed=seed)
    if expected is None or not model.scores["first_guess"]:
        return model
    unit, _ = archive.standardiser.error_unit(first.units)
    ratio = model.scores["withheld"] / model.scores["first_guess"]
    return replace(model, scores=model.scores | {"expected_in_gaps": expected * unit * ratio})


def outlook(first: Model, archive: Archive, judge: Judge | None, *, expected: float | None = None) -> str:
    """Return a sentence about the error without a network, and about the most that training might add.

    Parameters
    ----------
    first : Model
    archive : Archive
    judge : Judge, optional
    expected : float, optional
        Error to expect in the gaps, in units of the field.
    """
    assert first.prior is not None
    own = "so the predicted error is the Gaussian's own, and nothing tells what training might add"
    if first.operator.blurs:
        return f"observations are blurred, {own}"
    if judge is None or judge.by_noise:
        return f"no observations were withheld, {own}"
    unit, label = archive.standardiser.error_unit(first.units)
    targets = torch.cat([film.target[film.withheld > 0] for film in judge.films]).double()
    climatology, error = float(targets.square().mean()), judge.guessed**2
    noise = min(error, (first.prior.noise * first.prior.amplitude) ** 2)
    in_gaps = "" if expected is None else f", {expected:.4g} {label} expected in the gaps"
    on_withheld = f"error without a network: {judge.guessed * unit:.4g} {label} on withheld observations{in_gaps}"
    if not climatology > 0:
        return on_withheld
    filled, scatter = max(0.0, 1 - error / climatology), noise / climatology
    return (
        f"{on_withheld}; of the variance of these observations the "
        f"first guess explains {filled:.0%}, {scatter:.0%} is scatter between neighbouring observations, and the other "
        f"{max(0.0, 1 - filled - scatter):.0%} is the most that training might add (geogan train measures it)"
    )
