"""One step of Algorithm 1 of Pajot, de Bézenac and Gallinari (ICLR 2019), one function for each of its lines and terms.

    draw a batch y, a fresh theta ~ p(theta)               `geogan.training.windows`, `Operator.sample`
    x_hat = G(y)                                           `reconstruct`
    y_hat = F(x_hat; theta)                                `simulate`
    D ascends   log D(y) + log(1 - D(y_hat))               `update_discriminator`
    G descends  lambda |y_hat - F(G(y_hat); theta)|^2      `likelihood_term`
                - log D(y_hat)                             `prior_term`

The noise of a measurement is a part of theta, as in the paper's Convolve-Noise: it is the same in ``y_hat`` and in
``F(G(y_hat); theta)``. Noise in ``y_hat`` alone would ask G to reproduce white noise.

Not in the paper: the first guess that both networks start from, the withheld term, members and their score, and the
network that predicts the error. One pass of G serves the prior and the withheld term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from geogan.fields.circle import around, rim_of
from geogan.operators.operator import Observation, Operator, each_tensor
from geogan.operators.within import applied_within, blurred_within
from geogan.prior import Film, Prior
from geogan.settings import Objective, TrainConfig
from geogan.training import objective as terms
from geogan.training.recorruption import ASKED_ERROR, RECORRUPTION, SHOWN_ERROR, total_noise
from geogan.training.state import ErrorState, TrainState, follow


@dataclass(frozen=True)
class Problem:
    """The inverse problem that a training solves.

    Attributes
    ----------
    operator : Operator
        The measurement process F.
    prior : Prior or None
        Solved for the first guess; None for a first guess of 0.
    is_periodic : bool
        Whether the last column of a window touches its first, as on a grid that goes once round the globe: networks,
        operator and prior then see across the seam.
    """

    operator: Operator
    prior: Prior | None = None
    is_periodic: bool = False

    @classmethod
    def of(cls, operator: Operator, prior: Prior | None, *, is_periodic: bool) -> Problem:
        """Return the problem with an operator and a prior that treat the seam alike."""
        prior = None if prior is None else prior.around(is_periodic)
        return cls(operator.around(is_periodic), prior, is_periodic)


class Batch(Protocol):
    """How a step draws noise for its windows, takes means over the batch, and makes gradients those of the batch."""

    def normal(self, like: Tensor, generator: torch.Generator, axis: int = 0) -> Tensor:
        """Return standard normal numbers of the shape of ``like``, whose windows lie along ``axis``."""

    def mean(self, mean: Tensor, where: Tensor) -> Tensor:
        """Return the mean over the batch, from the mean over the cells ``where`` (or weights) of the windows."""

    def average_gradients(self, network: Any) -> None:
        """Replace gradients, and running statistics of batch norm, by their means over the batch."""


class WholeBatch:
    """A step whose windows are all of the batch."""

    def normal(self, like: Tensor, generator: torch.Generator, axis: int = 0) -> Tensor:
        """Return standard normal numbers, drawn on the generator's device."""
        drawn = torch.randn(tuple(like.shape), generator=generator, device=generator.device)
        return drawn.to(like.device, non_blocking=True)

    def mean(self, mean: Tensor, where: Tensor) -> Tensor:
        """Return the mean as it is."""
        return mean

    def average_gradients(self, network: Any) -> None:
        """Leave gradients as they are."""


WHOLE_BATCH = WholeBatch()


class Target(NamedTuple):
    """Measurements that a reconstruction should predict, each (B, T, C, H, W)."""

    values: Tensor
    where: Tensor  # 1 where known
    weight: Tensor  # in the withheld term, 0 where not known
    noise: Tensor | float  # standard deviation of the errors of the values, independent of the values shown


@dataclass(frozen=True)
class Step:
    """One step: what all of its terms need."""

    state: TrainState
    windows: Film
    problem: Problem
    objective: Objective
    config: TrainConfig
    batch: Batch

    @property
    def scale(self) -> Tensor:
        """Unit of all squares: standard deviation of the error of the first guess, or 1."""
        return self.state.generator.scale

    @property
    def likelihood_scale(self) -> Tensor | float:
        """Unit of the likelihood term: ``scale`` beside the withheld term, else 1, the paper's unit.

        A first guess has a small error. In units of it, the term outweighs a prior term that is the only other one.
        """
        return self.scale if self.objective.weight_withheld > 0 else 1.0

    @property
    def cast(self) -> AbstractContextManager[Any]:
        """Context in which networks compute in the precision of the training; losses are float32."""
        is_half = self.config.precision == "bfloat16"
        return torch.autocast(self.windows.values.device.type, torch.bfloat16, enabled=is_half)

    def generate(self, *parts: Tensor | None, extra: Tensor | None) -> Tensor:
        """Return G of values, mask, first guess, domain and perhaps noise."""
        network: Callable[..., Tensor] = self.state.generator
        if self.problem.is_periodic:
            network = around(network, rim_of(self.state.generator.reach))
        with self.cast:
            return network(*parts, extra=extra)


Diagnose = Callable[[Step, dict[str, Tensor], Tensor], None]
"""Is given a step, its terms with their graphs, and ``x_hat``."""


def train_step(
    state: TrainState,
    windows: Film,
    problem: Problem,
    objective: Objective,
    config: TrainConfig,
    *,
    theta: Any = None,
    rate: float = 1.0,
    batch: Batch = WHOLE_BATCH,
    diagnose: Diagnose | None = None,
) -> dict[str, Tensor]:
    """Do one step of Algorithm 1.

    Parameters
    ----------
    state : TrainState
        Changed in place.
    windows : Film
        A batch of measurements y, with observations that are hidden. Where windows have clean fields (the paper's
        paired and unpaired variants), D compares those with reconstructions.
    problem : Problem
    objective : Objective
        Weights of the terms. A weight of 0 leaves the term, and its cost, out.
    config : TrainConfig
        Precision ("auto" counts as float32), averaging, clipping and learning rates.
    theta : Theta, optional
        A fresh draw for ``windows``, on their device; by default it is drawn from ``state.random``.
    rate : float
        Factor of both learning rates, beside those of ``config``.
    batch : Batch
        By default ``windows`` are the whole batch.
    diagnose : callable, optional
        Called before the step of G, see :data:`Diagnose`.

    Returns
    -------
    losses : dict of Tensor
        Each term without its weight; scalars on the device, so that no step waits for it.
    """
    state.whole = False
    step = Step(state, windows, problem, objective, config, batch)
    is_adversarial, has_likelihood = is_prior_step(objective, state.step), is_likelihood_step(objective, state.step)
    rate *= config.decay ** (state.step // config.decay_every)
    losses: dict[str, Tensor] = {}

    shown = what_is_shown(step, windows.kept if objective.weight_withheld > 0 else windows.mask)
    reconstruction = reconstruct(step, shown)
    targets = withheld_targets(step)
    if objective.weight_withheld > 0:
        measured = blurred_within(problem.operator, reconstruction, windows.domain)
        losses["withheld"] = withheld_term(step, measured, targets)
        if state.error is not None and targets:
            losses["error"] = update_error_network(step, state.error, shown, reconstruction, measured, targets)
    if objective.weight_paired > 0:
        losses["paired"] = paired_term(step, reconstruction)
    if windows.members is not None and targets:
        # As many members in all as there are windows: as dear as the pass for the mean, where all would double it.
        count = max(1, len(windows.values) // windows.members.shape[1])
        step, theta = replace(step, windows=windows.first(count)), each_tensor(theta, lambda part: part[:count])
        members = draw_members(step)
        losses["ensemble"] = ensemble_term(step, members, targets)
        # y_hat measures a member: the mean of an ensemble is smoother than any field.
        reconstruction = members[0]
    if has_likelihood or (is_adversarial and windows.clean is None):
        theta = fresh_theta(step) if theta is None else theta
        y_hat, y_hat_with_error = simulate(step, reconstruction, theta)
    if is_adversarial:
        real, fake = real_and_fake(step, y_hat_with_error if windows.clean is None else reconstruction)
        losses["discriminator"] = update_discriminator(step, real, fake, rate)
        losses["prior"] = prior_term(step, fake)
    if has_likelihood:
        losses["likelihood"] = likelihood_term(step, y_hat, y_hat_with_error, theta)

    if diagnose is not None:
        diagnose(step, losses, reconstruction)
    update_generator(step, total_loss(step, losses), rate * min(1.0, (state.step + 1) / max(1, config.warm_up)))
    follow(state.average, state.generator, state.step, config.averaging)
    state.step += 1
    state.whole = True
    return {name: loss.detach() for name, loss in losses.items()}


# ---- x_hat = G(y) -------------------------------------------------------------------------------------------------


def what_is_shown(step: Step, where: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values shown to G, and a mask that is the smaller, the larger the known error of an observation is."""
    windows = step.windows
    values = windows.values if windows.noise is None else windows.values + RECORRUPTION * windows.noise
    if windows.uncertainty is None:
        return values * where, where
    factor = 1.0 if windows.noise is None else SHOWN_ERROR
    return values * where, terms.trust(where, factor * windows.uncertainty, step.scale)


def reconstruct(step: Step, shown: tuple[Tensor, Tensor]) -> Tensor:
    """Return ``x_hat = G(y)``, third line of Algorithm 1, from the observations shown."""
    windows = step.windows
    return step.generate(*shown, windows.guess, windows.domain, extra=windows.covariates)


# ---- Terms that compare x_hat with measurements or clean fields; not in Algorithm 1 -------------------------------


def is_recorrupted(step: Step) -> bool:
    """Return whether noise of one known size is all that can be withheld."""
    windows = step.windows
    return windows.noise is not None and not step.problem.operator.masks and windows.uncertainty is None


def withheld_targets(step: Step) -> list[Target]:
    """Return what G should predict: hidden observations, and those shown with independent noise where noise is known.

    An observation counts by the inverse of its variance, to which the error of the reconstruction (``scale``) adds.
    """
    windows, noise = step.windows, total_noise(step.problem.operator, step.windows.uncertainty)
    if step.objective.weight_withheld == 0 or is_recorrupted(step):
        return []
    confidence = terms.confidence(windows.kept)

    def target(values: Tensor, where: Tensor, noise: Tensor | float) -> Target:
        weight = where * confidence
        is_exact = isinstance(noise, float) and noise == 0
        return Target(values, where, weight if is_exact else terms.trust(weight, noise, step.scale), noise)

    targets = [target(windows.values, windows.hidden, noise)]
    if windows.noise is not None:
        targets.append(target(windows.values - windows.noise / RECORRUPTION, windows.kept, ASKED_ERROR * noise))
    return targets


def withheld_term(step: Step, measured: Tensor, targets: Sequence[Target]) -> Tensor:
    """Return the mean square error of ``F(x_hat)``, without gaps and noise, on what G was not shown."""
    windows = step.windows
    if not targets:
        assert windows.noise is not None
        again = windows.values - windows.noise / RECORRUPTION
        loss = terms.recorrupted(measured, again, windows.mask, step.problem.operator.noise)
        return step.batch.mean(loss, windows.mask)
    losses = [terms.withheld(measured, target.values, target.weight, step.scale) for target in targets]
    return torch.stack(
        [step.batch.mean(loss, target.weight) for loss, target in zip(losses, targets, strict=True)]
    ).sum()


def paired_term(step: Step, reconstruction: Tensor) -> Tensor:
    """Return the regression on clean fields of the paper's paired variant (section 4.3.1).

    Raises
    ------
    ValueError
        If the windows have no clean fields.
    """
    windows = step.windows
    if windows.clean is None:
        raise ValueError("the paired term needs clean windows")
    loss = terms.paired(reconstruction, windows.clean, windows.domain, step.scale)
    return step.batch.mean(loss, windows.domain.expand(windows.clean.shape))


def draw_members(step: Step) -> Tensor:
    """Return ensemble members, shape (M, B, T, C, H, W), from one pass of G with different noise."""
    windows = step.windows
    assert windows.members is not None
    noise = windows.members.transpose(0, 1)
    count = len(noise)

    def repeated(part: Tensor) -> Tensor:
        return part.repeat(count, 1, 1, 1, 1)

    values, mask = (repeated(part) for part in what_is_shown(step, windows.kept))
    extra = None if windows.covariates is None else windows.covariates.repeat(count, 1, 1, 1)
    members = step.generate(
        values, mask, repeated(windows.guess), repeated(windows.domain), noise.flatten(0, 1), extra=extra
    )
    return members.unflatten(0, (count, -1))


def ensemble_term(step: Step, members: Tensor, targets: Sequence[Target]) -> Tensor:
    """Return the fair CRPS of the members on what G was not shown."""
    count, domain = members.shape[1], step.windows.domain
    measured = torch.stack([blurred_within(step.problem.operator, member, domain) for member in members.unbind(0)])
    losses = []
    for values, _, weight, noise in targets:
        # The target has measurement noise, so members are given noise of the same size.
        noisy = measured
        if not isinstance(noise, float):
            noisy = measured + noise[:count] * step.batch.normal(measured, step.state.random, axis=1)
        elif noise > 0:
            noisy = measured + noise * step.batch.normal(measured, step.state.random, axis=1)
        loss = terms.fair_crps(noisy, values[:count], weight[:count], step.scale)
        losses.append(step.batch.mean(loss, weight[:count]))
    return torch.stack(losses).sum()


def update_error_network(
    step: Step,
    error: ErrorState,
    shown: tuple[Tensor, Tensor],
    reconstruction: Tensor,
    measured: Tensor,
    targets: Sequence[Target],
) -> Tensor:
    """Do one step of the error network, through which no gradient reaches G; return its negative log-likelihood."""
    windows, scale = step.windows, error.network.scale
    predict: Callable[..., tuple[Tensor, Tensor | None]] = error.network.predict
    if step.problem.is_periodic:
        predict = around(predict, rim_of(error.network.reach))
    with step.cast:
        std, spread = predict(
            *shown, windows.guess, reconstruction.detach(), windows.domain, windows.covariates, windows.near
        )
    losses = []
    for values, where, _, noise in targets:
        square = (measured.detach() - values) ** 2
        losses.append(step.batch.mean(terms.error_likelihood(std, square, where, scale, noise), where))
    if spread is not None and windows.deviation is not None:
        # Observed cells keep their value, so their spread is not used, unless observations are noisy.
        cells = windows.domain if len(targets) > 1 else windows.domain * (1 - shown[1])
        where = cells.expand_as(spread)
        losses.append(step.batch.mean(terms.error_likelihood(spread, windows.deviation**2, where, scale), where))
    loss = torch.stack(losses).sum()
    error.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    step.batch.average_gradients(error.network)
    nn.utils.clip_grad_norm_(error.network.parameters(), 1.0, foreach=True)
    error.optimiser.step()
    follow(error.average, error.network, step.state.step, step.config.averaging)
    return loss.detach()


# ---- y_hat = F(x_hat; theta) --------------------------------------------------------------------------------------


def fresh_theta(step: Step) -> Any:
    """Return theta for the windows, second line of Algorithm 1: independent of what y was measured with."""
    windows = step.windows
    theta = step.problem.operator.sample(tuple(windows.values.shape), generator=step.state.random)  # type: ignore[arg-type]
    return each_tensor(theta, lambda part: part.to(windows.values.device))


def simulate(step: Step, reconstruction: Tensor, theta: Any) -> tuple[Observation, Observation]:
    """Return ``y_hat = F(x_hat; theta)``, fourth line of Algorithm 1, without and with known errors.

    D sees known errors of observations in y, so it must see them in y_hat. The likelihood term asks for y_hat without
    them: they are no part of F.
    """
    windows, operator = step.windows, step.problem.operator
    y_hat = inside(applied_within(operator, reconstruction, theta, windows.domain), windows.domain)
    if windows.uncertainty is None:
        return y_hat, y_hat
    disturbance = windows.uncertainty * step.batch.normal(y_hat.values, step.state.random) * y_hat.mask
    return y_hat, Observation(y_hat.values + disturbance, y_hat.mask)


def inside(observation: Observation, domain: Tensor) -> Observation:
    """Return an observation of the domain alone: land carries no information under any theta."""
    return Observation(observation.values * domain, observation.mask * domain)


# ---- Prior term, equation 8 ---------------------------------------------------------------------------------------


def real_and_fake(step: Step, simulated: Observation | Tensor) -> tuple[Observation, Observation]:
    """Return what D compares: y with y_hat (equation 8), or clean fields with x_hat where the windows have some."""
    windows = step.windows
    if isinstance(simulated, Observation):
        return Observation(windows.values, windows.mask), simulated
    assert windows.clean is not None
    everywhere = windows.domain.expand(windows.clean.shape)
    return Observation(windows.clean * everywhere, everywhere), Observation(simulated * everywhere, everywhere)


def update_discriminator(step: Step, real: Observation, fake: Observation, rate: float) -> Tensor:
    """Ascend ``log D(y) + log(1 - D(y_hat))``, fifth line of Algorithm 1; return its negative, without the penalty."""
    discriminator, optimiser = step.state.discriminator, step.state.discriminator_optimiser
    count, weight_r1 = len(real.values), step.objective.weight_r1
    values = real.values.clone().requires_grad_() if weight_r1 > 0 else real.values
    with step.cast:
        scores = discriminator(torch.cat([values, fake.values.detach()]), torch.cat([real.mask, fake.mask.detach()]))
    loss = terms.prior_discriminator(scores[:count], scores[count:])
    total = loss if weight_r1 == 0 else loss + weight_r1 * terms.r1_penalty(scores[:count], values)
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    step.batch.average_gradients(discriminator)
    set_rate(optimiser, rate)
    optimiser.step()
    return loss.detach()


def prior_term(step: Step, fake: Observation) -> Tensor:
    """Return ``-log D(y_hat)``, the prior term of equation 8; D is frozen."""
    discriminator = step.state.discriminator
    discriminator.requires_grad_(False)
    with step.cast:
        loss = terms.prior_generator(discriminator(*fake))
    discriminator.requires_grad_(True)
    return loss


def prior_interval(objective: Objective) -> int:
    """Return the interval between steps that include the prior term; 1 without a withheld or paired term."""
    return objective.prior_every if objective.weight_withheld > 0 or objective.weight_paired > 0 else 1


def is_prior_step(objective: Objective, step: int) -> bool:
    """Return whether a step includes the prior term, and trains D."""
    return objective.weight_prior > 0 and step % prior_interval(objective) == 0


# ---- Likelihood term, equation 9 ----------------------------------------------------------------------------------


def likelihood_interval(objective: Objective) -> int:
    """Return the interval between steps that include the likelihood term; 1 if it is the only term."""
    has_others = objective.weight_prior > 0 or objective.weight_withheld > 0 or objective.weight_paired > 0
    return objective.likelihood_every if has_others else 1


def is_likelihood_step(objective: Objective, step: int) -> bool:
    """Return whether a step includes the likelihood term."""
    return objective.weight_likelihood > 0 and step % likelihood_interval(objective) == 0


def likelihood_term(step: Step, y_hat: Observation, y_hat_with_error: Observation, theta: Any) -> Tensor:
    """Return ``|y_hat - F(G(y_hat); theta)|^2``, equation 9, with the theta that made y_hat.

    The first guess of y_hat is solved by two iterations that start at that of y, without gradient.
    """
    windows, prior = step.windows, step.problem.prior
    with torch.no_grad():
        guess, mask = torch.zeros_like(windows.guess), y_hat.mask
        if prior is not None:
            guess = windows.prior(prior).map(
                *y_hat_with_error,
                windows.cells,
                windows.days,
                start=windows.guess,
                tolerance=0.0,
                rounds=2,
                uncertainty=windows.uncertainty,
            )
        if windows.uncertainty is not None:
            mask = terms.trust(mask, windows.uncertainty, step.scale)
    twice = step.generate(y_hat_with_error.values, mask, guess, windows.domain, extra=windows.covariates)
    again = inside(applied_within(step.problem.operator, twice, theta, windows.domain), windows.domain)
    return step.batch.mean(terms.likelihood(y_hat, again, step.likelihood_scale), y_hat.mask)


# ---- Descent of G, last line of Algorithm 1 -----------------------------------------------------------------------


def total_loss(step: Step, losses: dict[str, Tensor]) -> Tensor:
    """Return the weighted sum of the terms of G."""
    objective = step.objective
    weights = {
        "ensemble": objective.weight_withheld,
        # A term of every n-th step counts n times.
        "prior": objective.weight_prior * prior_interval(objective),
        "likelihood": objective.weight_likelihood * likelihood_interval(objective),
        "withheld": objective.weight_withheld,
        "paired": objective.weight_paired,
    }
    total = torch.zeros((), device=step.windows.values.device)
    for name, weight in weights.items():
        if name in losses:
            total = total + losses[name] * weight
    return total


def update_generator(step: Step, loss: Tensor, rate: float) -> None:
    """Descend the loss of G."""
    generator, optimiser = step.state.generator, step.state.generator_optimiser
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    step.batch.average_gradients(generator)
    if step.config.clip is not None:
        nn.utils.clip_grad_norm_(generator.parameters(), step.config.clip, foreach=True)
    set_rate(optimiser, rate)
    optimiser.step()


def set_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate to a multiple of the first one."""
    for group in optimiser.param_groups:
        group["lr"] = optimiser.defaults["lr"] * factor
