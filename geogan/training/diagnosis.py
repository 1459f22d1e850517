"""Diagnosis of an adversarial training: what the networks do beside their losses, and the copy trap."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geogan.operators.operator import Observation, each_tensor
from geogan.prior import Film
from geogan.settings import Objective, TrainConfig
from geogan.training.state import TrainState
from geogan.training.step import Batch, Problem, Step, inside, what_is_shown

# Films by which the statistics of batch norm are estimated for averaged weights.
STATISTICS = 8


class RecentFilms:
    """The films of the last steps, for the statistics of batch norm under averaged weights.

    Statistics of the trained weights do not fit their average: the error rises (docs/experiments.md). A generator
    without batch norm keeps no films.
    """

    def __init__(self, state: TrainState) -> None:
        network: torch.nn.Module = state.average  # type: ignore[assignment]
        self._layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        self._films: deque[Film] = deque(maxlen=STATISTICS if self._layers else 0)

    def add(self, windows: Film) -> None:
        """Keep the films of a step."""
        self._films.append(windows)

    @torch.no_grad()
    def refresh(
        self, state: TrainState, problem: Problem, objective: Objective, config: TrainConfig, batch: Batch
    ) -> None:
        """Replace the statistics of the average by those of its own features on the films kept."""
        if not self._films:
            return
        network: torch.nn.Module = state.average  # type: ignore[assignment]
        momenta = [layer.momentum for layer in self._layers]
        for layer in self._layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all films
        network.train()
        has_withheld = objective.weight_withheld > 0
        for windows in self._films:
            step = Step(replace(state, generator=state.average), windows, problem, objective, config, batch)
            shown = what_is_shown(step, windows.kept if has_withheld else windows.mask)
            step.generate(*shown, windows.guess, windows.domain, extra=windows.covariates)
        network.eval()
        for layer, momentum in zip(self._layers, momenta, strict=True):
            layer.momentum = momentum
        batch.average_gradients(network)


class Diagnosis:
    """What a step does beside its losses: a :data:`geogan.training.step.Diagnose` that keeps its results.

    Attributes
    ----------
    values : dict of Tensor
        ``gradient_prior`` and ``gradient_likelihood``, see :func:`gradient_norms`; ``fill_spread``; ``logit_real`` and
        ``logit_fake``, the discriminator's mean logits, where it compares measurements.
    """

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}

    def __call__(self, step: Step, losses: dict[str, Tensor], reconstruction: Tensor) -> None:
        """Diagnose a step."""
        windows, operator = step.windows, step.problem.operator
        self.values = gradient_norms(step, losses)
        seen = Observation(windows.values, windows.mask)
        if operator.masks:
            self.values["fill_spread"] = fill_spread(reconstruction, seen, windows.domain)
        if windows.clean is not None:
            return
        theta = operator.sample(tuple(windows.values.shape), generator=torch.Generator().manual_seed(step.state.step))  # type: ignore[arg-type]
        theta = each_tensor(theta, lambda part: part.to(windows.values.device))
        with torch.no_grad(), step.cast:
            fake = inside(operator.apply(reconstruction, theta), windows.domain)
            self.values["logit_real"] = step.state.discriminator(*seen).mean()
            self.values["logit_fake"] = step.state.discriminator(*fake).mean()


def gradient_norms(step: Step, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the norms of the gradients of the weighted prior and likelihood terms with respect to the weights of G."""
    objective, weights = step.objective, list(step.state.generator.parameters())
    norms = {}
    for name, weight in (("prior", objective.weight_prior), ("likelihood", objective.weight_likelihood)):
        if name in losses and weight > 0:
            parts = torch.autograd.grad(weight * losses[name], weights, retain_graph=True, allow_unused=True)
            norms[f"gradient_{name}"] = torch.stack([p.detach().norm() for p in parts if p is not None]).norm()
    return norms


def fill_spread(reconstruction: Tensor, seen: Observation, domain: Tensor) -> Tensor:
    """Return the standard deviation of the fill between images, in units of that of observed values.

    A flat fill, the same in every image, has about 0; NaN where nothing is hidden.

    Parameters
    ----------
    reconstruction : Tensor, shape (B, T, C, H, W)
    seen : Observation
        The measurement that was reconstructed.
    domain : Tensor, shape (B, 1, 1, H, W)
    """

    def variance(values: Tensor, where: Tensor) -> Tensor:
        count = where.sum(0, keepdim=True)
        mean = (values * where).sum(0, keepdim=True) / count.clamp_min(1)
        return (where * (values - mean).square()).sum() / (count - 1).clamp_min(0).sum()

    hidden = domain * (1 - (seen.mask > 0).to(domain.dtype))
    return (variance(reconstruction.detach(), hidden) / variance(seen.values, (seen.mask > 0).float())).sqrt()


@dataclass
class CopyTrap:
    """Check for the trap in which G copies the observed cells and fills the others with a constant.

    A copy has a likelihood of 0, and a discriminator that cannot tell its flat fill from fields has a loss of
    ``2 log 2``: no term has a gradient, and training stands still.

    Attributes
    ----------
    likelihood : float
        Likelihood term below which observed cells count as copied.
    indifference : float
        Largest difference of the discriminator's loss from ``2 log 2`` at which it counts as undecided.
    flatness : float
        :func:`fill_spread` below which a fill counts as flat.
    patience : int
        Consecutive validations.
    """

    likelihood: float = 1e-3
    indifference: float = 0.15
    flatness: float = 0.5
    patience: int = 3
    records: int = 0
    is_reported: bool = False

    def check(self, losses: Mapping[str, float], diagnosis: Mapping[str, float]) -> str:
        """Return a sentence the first time that the trap is found, else an empty text."""
        is_caught = (
            losses.get("likelihood", math.inf) < self.likelihood
            and abs(losses.get("discriminator", math.inf) - 2 * math.log(2)) < self.indifference
            and diagnosis.get("fill_spread", math.inf) < self.flatness
        )
        self.records = self.records + 1 if is_caught else 0
        if self.records < self.patience or self.is_reported:
            return ""
        self.is_reported = True
        return (
            f"the generator copies observed cells and its fill is flat (likelihood {losses['likelihood']:.1g}, loss of "
            f"the discriminator {losses['discriminator']:.2f}, spread of the fill {diagnosis['fill_spread']:.2f} of "
            "that of the observations), so nothing more is learned; where few cells are observed use --preset "
            "unir-global, else raise rate_discriminator or lower rate_generator"
        )


def may_copy(objective: Objective) -> bool:
    """Return whether the copy trap is possible: nothing but prior and likelihood terms."""
    return objective.weight_prior > 0 and objective.weight_withheld == 0 and objective.weight_paired == 0
