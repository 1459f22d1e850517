"""The training loop: steps of Algorithm 1, validation, and the best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import torch

from geogan.compute.processes import ALONE, Ranks
from geogan.model.networks import ErrorNet, Generator
from geogan.operators.errors import InputError
from geogan.prior import Film
from geogan.settings import Objective, TrainConfig
from geogan.training.block_pool import BlockPool
from geogan.training.diagnosis import CopyTrap, Diagnosis, RecentFilms, may_copy
from geogan.training.state import TrainState, weights_of
from geogan.training.step import Problem, is_likelihood_step, is_prior_step, train_step
from geogan.training.supply import Supply
from geogan.training.windows import WindowSampler

Validate = Callable[[Generator, ErrorNet | None], tuple[float, float | None]]
"""Returns the error of a generator on withheld observations, in anomalies, and the loss of the error network."""


class Progress(NamedTuple):
    """Where training stands; one record of ``metrics.jsonl``.

    Attributes
    ----------
    step : int
    seconds : float
        Time spent training, in all runs together.
    losses : dict of float
        Latest value of each term, without its weight; empty where none was read.
    score : float or None
        Error on the withheld observations, in anomalies; None where it was not measured.
    best_score : float
    steps_per_second : float
    waited : float
        Share of the time spent waiting for windows.
    diagnosis : dict of float
        Norms of the gradients of prior and likelihood terms, the discriminator's logits, and the spread of the fill, at
        the validations of an adversarial training; else empty. ``raw_score`` is the error of the weights that are not
        averaged, in anomalies.
    advice : str
        A sentence for the user, or an empty text.
    """

    step: int
    seconds: float
    losses: dict[str, float]
    score: float | None
    best_score: float
    steps_per_second: float
    waited: float
    diagnosis: dict[str, float] = {}
    advice: str = ""


def train(
    state: TrainState,
    pool: BlockPool,
    sampler: WindowSampler,
    problem: Problem,
    objective: Objective,
    config: TrainConfig,
    *,
    validate: Validate | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Progress]:
    """Train until the budget of ``config`` is spent.

    Parameters
    ----------
    state : TrainState
        Changed in place.
    pool : BlockPool
    sampler : WindowSampler
    problem : Problem
        Periodic where ``sampler`` is.
    objective : Objective
    config : TrainConfig
        ``batch`` counts the windows of all processes together. Over the last ``cooling`` of the budget learning rates
        fall linearly to 0, which takes the noise of the last steps out of the weights. ``precision`` "auto" counts as
        float32.
    validate : callable, optional
        Chooses the best weights, see :data:`Validate`; it is called before the first step, where the model is its
        first guess, and every ``validate_every`` steps. Without it the last average is kept.
    ranks : Ranks
        The processes of the training: each draws the whole batch and trains on its share, so that several do what one
        would.

    Yields
    ------
    Progress
        Every ``report_every`` steps, and after each validation.

    Raises
    ------
    InputError
        If a loss is not finite, or the discriminator has collapsed; ``state`` holds the best weights.
    """
    supply = Supply(
        lambda step: draw_step(step, pool, sampler, problem, objective, config.batch, ranks),
        count(state.step) if config.steps is None else range(state.step, config.steps),
        state.generator.scale.device,
    )
    clock, collapse, trap, recent = Clock(state, supply), CollapseWatch(), CopyTrap(), RecentFilms(state)
    is_adversarial = may_copy(objective)
    latest: dict[str, torch.Tensor] = {}
    try:
        if state.step == 0:
            yield clock.progress({}, select_best(state, validate, ranks))
        while (used := clock.used(config, ranks)) < 1:
            windows, theta = supply.take()
            rate = min(1.0, (1 - used) / config.cooling) if config.cooling > 0 else 1.0
            is_validated = (state.step + 1) % config.validate_every == 0
            diagnosis = Diagnosis() if is_validated and is_adversarial else None
            recent.add(windows)
            losses = train_step(
                state, windows, problem, objective, config, theta=theta, rate=rate, batch=ranks, diagnose=diagnosis
            )
            # Some terms come at intervals that never meet those of the reports.
            latest |= losses
            if not is_validated and state.step % config.report_every:
                continue
            read, found = _means(latest, ranks), {} if diagnosis is None else _means(diagnosis.values, ranks)
            collapse.check(read, state.step)
            if not is_validated:
                yield clock.progress(read, None)
                continue
            recent.refresh(state, problem, objective, config, ranks)
            score = select_best(state, validate, ranks)
            if diagnosis is not None and validate is not None and ranks.first:
                found["raw_score"] = raw_score(state, validate)
            yield clock.progress(read, score)._replace(diagnosis=found, advice=trap.check(read, found))
        if state.step % config.validate_every:
            recent.refresh(state, problem, objective, config, ranks)
            yield clock.progress({}, select_best(state, validate, ranks))
    finally:
        supply.close()


def _means(values: dict[str, torch.Tensor], ranks: Ranks) -> dict[str, float]:
    """Return means over all processes as Python numbers."""
    return dict(zip(values, ranks.means(torch.stack(list(values.values())).tolist()), strict=True)) if values else {}


def raw_score(state: TrainState, validate: Validate) -> float:
    """Return the error of the generator whose weights are not averaged."""
    network: torch.nn.Module = state.generator  # type: ignore[assignment]
    network.eval()
    score, _ = validate(state.generator, None)
    network.train()
    return score


def draw_step(
    step: int,
    pool: BlockPool,
    sampler: WindowSampler,
    problem: Problem,
    objective: Objective,
    batch: int,
    ranks: Ranks,
) -> tuple[Film, Any]:
    """Return windows and a fresh theta of a step, first two lines of Algorithm 1; theta None if no term needs one."""
    generator = sampler.generator(step)
    windows = sampler.draw(pool.at(step), batch, generator, ranks.share)
    if not is_likelihood_step(objective, step) and (not is_prior_step(objective, step) or windows.clean is not None):
        return windows, None
    theta = problem.operator.sample(ranks.whole(windows.values.shape), generator=generator)  # type: ignore[arg-type]
    return windows, ranks.mine(theta)


def select_best(state: TrainState, validate: Validate | None, ranks: Ranks) -> float | None:
    """Validate the average, keep its weights if they are the best so far, and return its error.

    The error network is chosen by its own score. Without validation the latest weights are the best.
    """
    # Share of the first guess's error that a network must gain before its weights replace those of step 0: on a single
    # scene smaller gains on the withheld observations went with losses elsewhere.
    least_gain = 0.003
    error = state.error
    scores = None
    if validate is not None and ranks.first:
        scores = validate(state.average, None if error is None else error.average)
    scores = _scores_of_first(scores, ranks)
    margin = least_gain * abs(state.best_score) if state.best and state.best_step == 0 else 0.0
    if scores is None or scores[0] < state.best_score - margin:
        state.best_score = state.best_score if scores is None else scores[0]
        state.best_step = state.step
        state.best = weights_of(state.average)
    if error is not None and (scores is None or scores[1] is None or scores[1] < error.best_score):
        error.best_score = error.best_score if scores is None or scores[1] is None else scores[1]
        error.best = weights_of(error.average)
    return None if scores is None else scores[0]


def _scores_of_first(scores: tuple[float, float | None] | None, ranks: Ranks) -> tuple[float, float | None] | None:
    """Return on every process the scores that rank 0 measured, None where it measured none."""
    if ranks.size == 1:
        return scores
    score, loss = (None, None) if scores is None else scores
    values = [math.nan if value is None else value for value in (score, loss)]
    score, loss, is_measured = ranks.from_first([*values, float(scores is not None)])
    return (score, None if math.isnan(loss) else loss) if is_measured else None


class Clock:
    """Time, steps and the budget of a training that runs, or that goes on."""

    def __init__(self, state: TrainState, supply: Supply) -> None:
        self._state, self._supply = state, supply
        self._began, self._seconds, self._step = time.perf_counter(), state.seconds, state.step

    def used(self, config: TrainConfig, ranks: Ranks) -> float:
        """Return the share of the budget that is used, of steps or of time whichever is larger; 1 at its end."""
        used = 0.0
        if config.steps is not None:
            used = self._state.step / config.steps if self._state.step < config.steps else 1.0
        if config.time_limit is not None:
            (seconds,) = ranks.from_first([self._seconds + time.perf_counter() - self._began])
            used = max(used, seconds / max(1e-9, 60 * config.time_limit))
        return used

    def progress(self, losses: dict[str, float], score: float | None) -> Progress:
        """Return the record of this moment; the time spent is noted in the state."""
        state, seconds = self._state, time.perf_counter() - self._began
        state.seconds = self._seconds + seconds
        speed = (state.step - self._step) / seconds if seconds > 0 else 0.0
        waited = self._supply.waited / seconds if seconds > 0 else 0.0
        return Progress(state.step, state.seconds, losses, score, state.best_score, speed, waited)


@dataclass
class CollapseWatch:
    """Check that stops a training when losses are not finite or the discriminator has collapsed.

    A discriminator whose loss stays near 0 separates y and y_hat with certainty, and gives G no gradient.

    Attributes
    ----------
    least : float
        Loss of the discriminator below which it counts as collapsed.
    patience : int
        Consecutive records with such a loss.
    """

    least: float = 1e-3
    patience: int = 50
    first: int | None = None  # step of the first of those records
    records: int = 0

    def check(self, losses: dict[str, float], step: int) -> None:
        """Check the losses of a step.

        Raises
        ------
        InputError
            If training must stop.
        """
        if not all(math.isfinite(value) for value in losses.values()):
            raise InputError(
                f"training stopped at step {step}: a loss is not finite ({losses}); the best weights so far are kept; "
                "train again with --precision float32, or with another --seed"
            )
        if losses.get("discriminator", math.inf) >= self.least:
            self.records, self.first = 0, None
            return
        self.records, self.first = self.records + 1, step if self.first is None else self.first
        if self.records >= self.patience:
            raise InputError(
                f"training stopped at step {step}: the discriminator has collapsed (loss under {self.least:g} since "
                f"step {self.first}), so its gaps differ from the simulated ones; the best weights so far are kept; "
                "use --operator observed_gaps or lower --weight-prior"
            )
