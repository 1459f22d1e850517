"""Algorithm 1 of the paper, with a first guess before it and a withheld term beside it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geogan.compute.processes import ALONE, Ranks
from geogan.fields.circle import around, rim_of
from geogan.model.networks import Critic, ErrorNet, Generator
from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, dated_generator
from geogan.prior import Film
from geogan.prior.archive_covariance import Prior
from geogan.prior.gaussian import GaussianPrior
from geogan.training import objective
from geogan.training.blocks import ASKED_ERROR, RECORRUPTION, SHOWN_ERROR, BlockPool, total_noise
from geogan.training.supply import Supply, each_tensor
from geogan.training.windows import draw_windows

# The discriminator has collapsed when its loss stays under this for that many looks: it then tells real from
# measured-again with certainty, and G learns nothing from it.
COLLAPSED, LOOKS = 1e-3, 50
# What a network has to gain on what is withheld, as a share of the error before the first step, to be believed at all:
# of a single scene 0.04 % were gained once, and 9 % lost on what the scene did not show.
WORTH = 0.003


# Of the seed's streams, that of windows and theta.
STREAM = 5.0
# Learning rate of what predicts the error: there is nothing adversarial about it.
RATE_ERROR = 2e-3


class Weights(NamedTuple):
    """How much each term counts in the generator's loss; 0 leaves it out and costs nothing."""

    prior: float
    likelihood: float
    withheld: float
    paired: float = 0.0


class Target(NamedTuple):
    """What a reconstruction is asked for, (B, T, C, h, w)."""

    values: Tensor
    where: Tensor  # 1 where asked
    weight: Tensor
    noise: Tensor | float  # standard deviation of what the values are off by, independent of what was shown


class Step(NamedTuple):
    """What one training step measured; scalars still on the device, so that no step waits for it."""

    losses: dict[str, Tensor]


@dataclass
class ErrorState:
    """What changes of the network that predicts the error."""

    network: ErrorNet
    optimiser: torch.optim.Optimizer
    average: ErrorNet
    best: dict[str, Tensor] = field(default_factory=dict)
    best_score: float = math.inf  # its likelihood loss on the withheld clouds

    @classmethod
    def start(cls, network: ErrorNet) -> ErrorState:
        """The state before the first step."""
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE_ERROR, fused=True)
        return cls(network, optimiser, copy.deepcopy(network).requires_grad_(False).eval())


@dataclass
class TrainState:
    """Everything that changes while training."""

    generator: Generator
    discriminator: Critic
    generator_optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    average: Generator  # exponential moving average of the generator
    random: torch.Generator
    step: int = 0
    seconds: float = 0.0
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the best average so far
    best_score: float = math.inf
    best_step: int = -1
    error: ErrorState | None = None  # what predicts the generator's error, and learns beside it
    whole: bool = True  # False in the middle of a step: what there is then does not belong together

    @classmethod
    def start(
        cls,
        generator: Generator,
        discriminator: Critic,
        error: ErrorNet | None = None,
        *,
        rate_generator: float,
        rate_discriminator: float,
        betas: tuple[float, float],
        seed: int,
    ) -> TrainState:
        """The state before the first step."""
        return cls(
            generator,
            discriminator,
            torch.optim.Adam(generator.parameters(), lr=rate_generator, betas=betas, fused=True),
            torch.optim.Adam(discriminator.parameters(), lr=rate_discriminator, betas=betas, fused=True),
            copy.deepcopy(generator).requires_grad_(False).eval(),
            torch.Generator().manual_seed(seed),
            error=None if error is None else ErrorState.start(error),
        )


def train_step(
    state: TrainState,
    windows: Film,
    operator: Operator,
    prior: Prior | None,
    weights: Weights,
    *,
    likelihood_every: int = 1,
    precision: torch.dtype = torch.float32,
    averaging: float = 0.998,
    clip: float | None = None,
    warm_up: int = 0,
    decay: float = 1.0,
    decay_every: int = 400,
    cooled: float = 1.0,
    theta: Any = None,
    is_periodic: bool = False,
    ranks: Ranks = ALONE,
) -> Step:
    """One step of Algorithm 1.

    A fresh theta measures the reconstruction; the discriminator compares ``(y, mask)`` with
    ``(y_hat, theta's mask)``; the same theta measures the reconstruction of ``y_hat``. Where windows bring
    clean fields (the paper's paired and unpaired variants), the discriminator compares those with reconstructions.

    Parameters
    ----------
    state : TrainState
        Changed in place.
    windows : Film
        What is shown of real measurements, and what is hidden of them.
    operator : Operator
        The measurement process.
    prior : Prior or None
        Solved (some warm-started iterations, no gradient) for the first guess of ``y_hat``.
    weights : Weights
    likelihood_every : int
        The likelihood term, the dearest, comes at every so many steps and counts as many times more.
    precision : torch.dtype
        Of the networks' arithmetic; losses are float32.
    averaging : float
        Decay of the moving average of weights.
    clip : float, optional
        Norm that the generator's gradient is cut to: fronts make it heavy-tailed.
    warm_up : int
        Steps over which the generator's learning rate rises, while Adam learns the gradient's size.
    decay : float
        What both learning rates are multiplied by every ``decay_every`` steps.
    decay_every : int
    cooled : float
        What both are multiplied by now.
    theta : Theta, optional
        A fresh draw for ``windows``, on their device; by default drawn here, from ``state.random``.
    is_periodic : bool
        Whether windows go once round the globe: networks then see across the seam, as when filling. ``operator`` and
        ``prior`` must be of the same kind, see their ``around``.
    ranks : Ranks
        The processes that share the batch, of which ``windows`` are this one's. What is random is drawn for all of it
        in each, and gradients are those of the mean over all: several processes do what one would. The losses that are
        returned are this one's part, of which the mean over the processes is the whole.
    """
    state.whole = False
    generator, discriminator = state.generator, state.discriminator
    generate: Callable[..., Tensor] = around(generator, rim_of(generator.reach)) if is_periodic else generator
    device = windows.values.device
    scale = generator.scale
    cast = torch.autocast(device.type, precision, enabled=precision != torch.float32)
    adversarial = weights.prior > 0
    second = _second(weights, state.step, likelihood_every)
    rate = cooled * decay ** (state.step // decay_every)

    shown = windows.kept if weights.withheld > 0 else windows.mask
    seen = _seen(windows, shown, scale)
    with cast:
        reconstruction = generate(*seen, windows.guess, windows.domain, extra=windows.covariates)
    losses: dict[str, Tensor] = {}
    targets: list[Target] = []
    if weights.withheld > 0 and windows.noise is not None and not operator.masks and windows.uncertainty is None:
        asked = windows.values - windows.noise / RECORRUPTION
        loss = objective.recorrupted(operator.blur(reconstruction), asked, windows.mask, operator.noise)
        losses["withheld"] = ranks.weigh(loss, windows.mask)
    elif weights.withheld > 0:
        targets = _targets(windows, operator, scale)
        measured_again = operator.blur(reconstruction)
        terms = [
            ranks.weigh(objective.withheld(measured_again, each.values, each.weight, scale), each.weight)
            for each in targets
        ]
        losses["withheld"] = torch.stack(terms).sum()
        if state.error is not None:
            losses["error"] = _error_step(
                state.error,
                windows,
                seen,
                reconstruction,
                measured_again,
                targets,
                cast,
                step=state.step,
                averaging=averaging,
                is_periodic=is_periodic,
                ranks=ranks,
            )
    if weights.paired > 0:
        if windows.clean is None:
            raise ValueError("the paired term needs clean windows")
        loss = objective.paired(reconstruction, windows.clean, windows.domain, scale)
        losses["paired"] = ranks.weigh(loss, windows.domain.expand(windows.clean.shape))
    if windows.members is not None and targets:
        # Half of the windows: as dear as the pass for the mean, where all would double it.
        count = max(1, len(windows.values) // windows.members.shape[1])
        windows, theta = windows.first(count), each_tensor(theta, lambda part: part[:count])
        members = _members(generate, windows, scale, cast)
        found = torch.stack([operator.blur(each) for each in members.unbind(0)])
        crps = []
        for values, _, weight, noise in targets:
            # What is foretold is a measurement: members are given its noise.
            noisy = found
            if not isinstance(noise, float):
                noisy = found + noise[:count] * _normal(found, state.random, ranks, axis=1)
            elif noise > 0:
                noisy = found + noise * _normal(found, state.random, ranks, axis=1)
            loss = objective.fair_crps(noisy, values[:count], weight[:count], scale)
            crps.append(ranks.weigh(loss, weight[:count]))
        losses["ensemble"] = torch.stack(crps).sum()
        # What is measured again, for D and for the likelihood, is a member: their mean is smoother than any field.
        reconstruction = members[0]
    if second or (adversarial and windows.clean is None):
        if theta is None:
            theta = operator.sample(ranks.whole(windows.values.shape), generator=state.random)  # type: ignore[arg-type]
            theta = each_tensor(ranks.mine(theta), lambda part: part.to(device))
        measured = _inside(operator.apply(reconstruction, theta), windows.domain)
        if operator.noise > 0:
            epsilon = operator.noise * _normal(measured.values, state.random, ranks)
            measured = Observation(measured.values + epsilon * measured.mask, measured.mask)
        asked_again = measured
        if windows.uncertainty is not None:
            # D sees the known errors too. The paper asks G(y_hat) for y_hat, of which these are no part to be kept.
            disturbance = windows.uncertainty * _normal(measured.values, state.random, ranks) * measured.mask
            measured = Observation(measured.values + disturbance, measured.mask)
    if adversarial:
        if windows.clean is None:
            real, fake = Observation(windows.values, windows.mask), measured
        else:
            everywhere = windows.domain.expand(windows.clean.shape)
            real = Observation(windows.clean * everywhere, everywhere)
            fake = Observation(reconstruction * everywhere, everywhere)
        losses["discriminator"] = _discriminator_step(state, real, fake, cast, rate=rate, ranks=ranks)
        discriminator.requires_grad_(False)
        with cast:
            losses["prior"] = objective.prior_generator(discriminator(*fake))
        discriminator.requires_grad_(True)
    if second:
        with torch.no_grad():
            guess = torch.zeros_like(windows.guess)
            if prior is not None:
                guess = prior.map(
                    *measured,
                    windows.cells,
                    windows.days,
                    start=windows.guess,
                    tolerance=0.0,
                    rounds=2,
                    uncertainty=windows.uncertainty,
                )
            trusted = measured.mask
            if windows.uncertainty is not None:
                trusted = objective.trust(trusted, windows.uncertainty, scale)
        with cast:
            twice = generate(measured.values, trusted, guess, windows.domain, extra=windows.covariates)
        again = _inside(operator.apply(twice, theta), windows.domain)
        losses["likelihood"] = ranks.weigh(objective.likelihood(asked_again, again, scale), asked_again.mask)

    total = torch.zeros((), device=device)
    if "ensemble" in losses:
        total = total + weights.withheld * losses["ensemble"]
    for name, weight in weights._asdict().items():
        if name in losses and weight > 0:
            total = total + losses[name] * (
                weight * _every(weights, likelihood_every) if name == "likelihood" else weight
            )
    state.generator_optimiser.zero_grad(set_to_none=True)
    total.backward()
    ranks.average(generator)
    if clip is not None:
        nn.utils.clip_grad_norm_(generator.parameters(), clip, foreach=True)
    _set_rate(state.generator_optimiser, rate * min(1.0, (state.step + 1) / max(1, warm_up)))
    state.generator_optimiser.step()
    _follow(state.average, generator, state.step, averaging)
    state.step += 1
    state.whole = True
    return Step({name: loss.detach() for name, loss in losses.items()})


def _every(weights: Weights, every: int) -> int:
    """How often the likelihood term comes: a step without any term would learn nothing."""
    return every if weights.prior > 0 or weights.withheld > 0 or weights.paired > 0 else 1


def _second(weights: Weights, step: int, every: int) -> bool:
    """Whether a step has the likelihood term."""
    return weights.likelihood > 0 and step % _every(weights, every) == 0


def _seen(windows: Film, shown: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """What the generator sees of measurements, and a mask that trusts them the less, the larger their known error."""
    values = windows.values if windows.noise is None else windows.values + RECORRUPTION * windows.noise
    if windows.uncertainty is None:
        return values * shown, shown
    more = 1.0 if windows.noise is None else SHOWN_ERROR
    return values * shown, objective.trust(shown, more * windows.uncertainty, scale)


def _targets(windows: Film, operator: Operator, scale: Tensor) -> list[Target]:
    """What was hidden, and, where its noise is known, what was shown: with other noise, uncorrelated with the first.

    Each counts like the inverse of its variance, the reconstruction's own error (``scale``) in it.
    """
    around = objective.confidence(windows.kept)

    def target(values: Tensor, where: Tensor, noise: Tensor | float) -> Target:
        weight = where * around
        exact = isinstance(noise, float) and noise == 0
        return Target(values, where, weight if exact else objective.trust(weight, noise, scale), noise)

    noise = total_noise(operator, windows.uncertainty)
    found = [target(windows.values, windows.hidden, noise)]
    if windows.noise is not None:
        found.append(target(windows.values - windows.noise / RECORRUPTION, windows.kept, ASKED_ERROR * noise))
    return found


def _normal(like: Tensor, generator: torch.Generator, ranks: Ranks, axis: int = 0) -> Tensor:
    """Standard normal numbers, this process's along an axis; drawn where the generator is."""
    drawn = torch.randn(ranks.whole(like.shape, axis), generator=generator, device=generator.device)
    return ranks.mine(drawn, axis).to(like.device, non_blocking=True)


def _members(generate: Callable[..., Tensor], windows: Film, scale: Tensor, cast: Any) -> Tensor:
    """Members of the windows' ensembles, (M, B, T, C, h, w), in one pass."""
    assert windows.members is not None
    noise = windows.members.transpose(0, 1)
    count = len(noise)

    def each(part: Tensor) -> Tensor:
        return part.repeat(count, 1, 1, 1, 1)

    shown, kept = (each(part) for part in _seen(windows, windows.kept, scale))
    extra = None if windows.covariates is None else windows.covariates.repeat(count, 1, 1, 1)
    with cast:
        members = generate(shown, kept, each(windows.guess), each(windows.domain), noise.flatten(0, 1), extra)
    return members.unflatten(0, (count, -1))


def _error_step(
    state: ErrorState,
    windows: Film,
    seen: tuple[Tensor, Tensor],
    reconstruction: Tensor,
    measured: Tensor,
    targets: Sequence[Target],
    cast: Any,
    *,
    step: int,
    averaging: float,
    is_periodic: bool,
    ranks: Ranks,
) -> Tensor:
    """One step of what predicts the error; the generator learns nothing from it."""
    predict: Callable[..., tuple[Tensor, Tensor | None]] = state.network.predict
    if is_periodic:
        predict = around(predict, rim_of(state.network.reach))
    with cast:
        found = reconstruction.detach()
        std, spread = predict(*seen, windows.guess, found, windows.domain, windows.covariates, windows.near)
    terms = [
        ranks.weigh(
            objective.error_likelihood(
                std, (measured.detach() - each.values) ** 2, each.where, state.network.scale, each.noise
            ),
            each.where,
        )
        for each in targets
    ]
    if spread is not None and windows.deviation is not None:
        # Where what was observed is kept as it is, nobody asks for its spread.
        unsure = windows.domain if len(targets) > 1 else windows.domain * (1 - seen[1])
        where = unsure.expand_as(spread)
        term = objective.error_likelihood(spread, windows.deviation**2, where, state.network.scale)
        terms.append(ranks.weigh(term, where))
    loss = torch.stack(terms).sum()
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    ranks.average(state.network)
    nn.utils.clip_grad_norm_(state.network.parameters(), 1.0, foreach=True)
    state.optimiser.step()
    _follow(state.average, state.network, step, averaging)
    return loss.detach()


def _follow(average: Any, network: Any, step: int, averaging: float) -> None:
    """Move an average of weights after the network's."""
    with torch.no_grad():
        # Early averages follow quickly, or they would remember the untrained weights.
        kept = min(averaging, (1 + step) / (10 + step))
        ours: list[Tensor] = list(average.parameters())
        theirs: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - kept)
        # What a network has counted (batch statistics, singular vectors) is no weight: the last count holds.
        for count, latest in zip(average.buffers(), network.buffers(), strict=True):
            count.copy_(latest)


def _discriminator_step(
    state: TrainState, real: Observation, fake: Observation, cast: Any, *, rate: float, ranks: Ranks
) -> Tensor:
    """One ascent of D on like against like."""
    count = len(real.values)
    with cast:
        scores = state.discriminator(
            torch.cat([real.values, fake.values.detach()]), torch.cat([real.mask, fake.mask.detach()])
        )
    loss = objective.prior_discriminator(scores[:count], scores[count:])
    state.discriminator_optimiser.zero_grad(set_to_none=True)
    loss.backward()
    ranks.average(state.discriminator)
    _set_rate(state.discriminator_optimiser, rate)
    state.discriminator_optimiser.step()
    return loss.detach()


def _set_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = optimiser.defaults["lr"] * factor


def _inside(observation: Observation, domain: Tensor) -> Observation:
    """Land carries no information under any theta: it is never observed."""
    return Observation(observation.values * domain, observation.mask * domain)


class Progress(NamedTuple):
    """Where training stands; one record of ``metrics.jsonl``."""

    step: int
    seconds: float
    losses: dict[str, float]
    score: float | None  # error on the withheld clouds, in anomalies; only where it was just measured
    best_score: float
    steps_per_second: float
    waited: float  # share of the time spent waiting for blocks


def train(
    state: TrainState,
    pool: BlockPool,
    validate: Callable[[Generator, ErrorNet | None], tuple[float, float | None]] | None,
    *,
    operator: Operator,
    prior: Prior | None,
    weights: Weights,
    batch: int,
    frames: int,
    crop: tuple[int, int],
    steps: int | None,
    minutes: float | None,
    likelihood_every: int = 1,
    precision: torch.dtype = torch.float32,
    averaging: float = 0.998,
    clip: float | None = None,
    warm_up: int = 0,
    decay: float = 1.0,
    decay_every: int = 400,
    cooling: float = 0.0,
    validate_every: int = 100,
    report_every: int = 10,
    device: torch.device | None = None,
    seed: int = 0,
    circle: int | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Progress]:
    """Train until the budget of steps or minutes is spent, yielding Progress.

    The windows and the theta of a step are a function of ``seed`` and the step. ``batch`` is that of all ``ranks``
    together; the first of them judges, and the ``validate`` of the others is not asked.

    The weights kept as best are those of the average with the least error on the withheld clouds, if it is less than
    before the first step by :data:`WORTH`; ``validate`` measures it, and the loss of what predicts the error, which is
    chosen by that. Both are measured before the first step too: there the model is its first guess. Where nothing
    could be withheld there is no ``validate``, and the last average is kept.

    Where blocks go once round the globe, ``circle`` is their columns: windows then lie across the seam too.

    Over the last ``cooling`` of the budget both learning rates fall to nothing, in a line: what was learned last weighs
    less then, and the noise of single steps goes out of the weights.

    Raises
    ------
    InputError
        When a loss is not finite, or the discriminator has collapsed; the best weights are in ``state``.
    """
    device = device or torch.device("cpu")
    is_periodic = crop[1] == circle
    operator, prior = operator.around(is_periodic), None if prior is None else prior.around(is_periodic)
    collapsed = 0
    began, before = time.perf_counter(), state.seconds
    first_step = state.step

    def draw(step: int) -> tuple[Film, Any]:
        random = dated_generator(seed, step, STREAM)
        windows = draw_windows(
            pool.at(step),
            batch=batch,
            frames=frames,
            crop=crop,
            generator=random,
            share=ranks.share,
            turned=prior is None or prior.stationary,
            tilted=isinstance(prior, GaussianPrior) and prior.tilt != 0,
            is_periodic=circle is not None,
        )
        if not _second(weights, step, likelihood_every) and (weights.prior == 0 or windows.clean is not None):
            return windows, None
        theta = operator.sample(ranks.whole(windows.values.shape), generator=random)  # type: ignore[arg-type]
        return windows, ranks.mine(theta)

    supply = Supply(draw, count(first_step) if steps is None else range(first_step, steps), device)

    def record(losses: dict[str, float], score: float | None) -> Progress:
        spent = time.perf_counter() - began
        state.seconds = before + spent
        speed = (state.step - first_step) / spent if spent > 0 else 0.0
        share = supply.waited / spent if spent > 0 else 0.0
        return Progress(state.step, state.seconds, losses, score, state.best_score, speed, share)

    def judge() -> float | None:
        error = state.error
        found = validate(state.average, None if error is None else error.average) if validate and ranks.first else None
        found = _told(found, ranks)
        margin = WORTH * abs(state.best_score) if state.best and state.best_step == 0 else 0.0
        if found is None or found[0] < state.best_score - margin:
            state.best_score = state.best_score if found is None else found[0]
            state.best_step = state.step
            state.best = {name: value.detach().clone() for name, value in state.average.state_dict().items()}
        if error is not None and (found is None or found[1] is None or found[1] < error.best_score):
            error.best_score = error.best_score if found is None or found[1] is None else found[1]
            error.best = {name: value.detach().clone() for name, value in error.average.state_dict().items()}
        return None if found is None else found[0]

    try:
        if state.step == 0:
            yield record({}, judge())
        while True:
            done = state.step >= steps if steps is not None else False
            used = 0.0 if steps is None else state.step / max(1, steps)
            if minutes is not None:
                (spent,) = ranks.told([before + time.perf_counter() - began])
                done = done or spent >= 60 * minutes
                used = max(used, spent / max(1e-9, 60 * minutes))
            if done:
                break
            windows, theta = supply.take()
            step = train_step(
                state,
                windows,
                operator,
                prior,
                weights,
                likelihood_every=likelihood_every,
                precision=precision,
                averaging=averaging,
                clip=clip,
                warm_up=warm_up,
                decay=decay,
                decay_every=decay_every,
                cooled=min(1.0, (1 - used) / cooling) if cooling > 0 else 1.0,
                theta=theta,
                is_periodic=is_periodic,
                ranks=ranks,
            )
            judged = state.step % validate_every == 0
            if judged or state.step % report_every == 0:
                means = ranks.mean(torch.stack(list(step.losses.values())).tolist())
                losses = dict(zip(step.losses, means, strict=True))
                collapsed = _sound(losses, state.step, collapsed, report_every)
                yield record(losses, judge() if judged else None)
        if state.step % validate_every:
            yield record({}, judge())
    finally:
        supply.close()


def _sound(losses: dict[str, float], step: int, collapsed: int, every: int) -> int:
    """For how many looks, one every so many steps, the discriminator has been too sure; too long is an error."""
    if not all(math.isfinite(value) for value in losses.values()):
        raise InputError(
            f"training stopped at step {step}: a loss is not finite ({losses}); the best weights so far are kept; "
            "train anew with --precision float32, or with another --seed"
        )
    collapsed = collapsed + 1 if losses.get("discriminator", math.inf) < COLLAPSED else 0
    if collapsed >= LOOKS:
        raise InputError(
            f"training stopped at step {step}: the discriminator has collapsed (loss under {COLLAPSED} for "
            f"{LOOKS * every} steps), so its gaps differ from the simulated ones; the best weights so far are kept; "
            "use --operator observed_gaps or lower --weight-prior"
        )
    return collapsed


def _told(found: tuple[float, float | None] | None, ranks: Ranks) -> tuple[float, float | None] | None:
    """What the first process measured, if anything, on all of them."""
    if ranks.size == 1:
        return found
    score, loss = (None, None) if found is None else found
    said = ranks.told([math.nan if part is None else part for part in (score, loss)] + [float(found is not None)])
    return (said[0], None if math.isnan(said[1]) else said[1]) if said[2] else None
