"""What changes while training: networks, optimisers, averages, and the best weights so far."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from geogan.model.networks import Critic, ErrorNet, Generator

# Learning rate of the error network: its objective is not adversarial, so it may learn quickly.
RATE_ERROR = 2e-3


@dataclass
class ErrorState:
    """The network that predicts the error of the reconstruction, and its training.

    Attributes
    ----------
    network : ErrorNet
    optimiser : Optimizer
    average : ErrorNet
        Exponential moving average of ``network``.
    best : dict of Tensor
        Weights of the best average so far.
    best_score : float
        Its negative log-likelihood on the withheld observations, see
        :func:`geogan.training.objective.error_likelihood`.
    """

    network: ErrorNet
    optimiser: torch.optim.Optimizer
    average: ErrorNet
    best: dict[str, Tensor] = field(default_factory=dict)
    best_score: float = math.inf

    @classmethod
    def start(cls, network: ErrorNet) -> ErrorState:
        """Return the state before the first step."""
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE_ERROR, fused=True)
        return cls(network, optimiser, copy.deepcopy(network).requires_grad_(False).eval())


@dataclass
class TrainState:
    """Everything that changes while training.

    Attributes
    ----------
    generator, discriminator : Generator, Critic
    generator_optimiser, discriminator_optimiser : Optimizer
    average : Generator
        Exponential moving average of the generator.
    random : torch.Generator
        For noise, and for theta where a step is given none; on the CPU.
    step : int
        Steps done.
    seconds : float
        Time spent, in all runs together.
    best : dict of Tensor
        Weights of the best average so far.
    best_score : float
        Its error on the withheld observations, in anomalies.
    best_step : int
        The step it is of; -1 before the first validation.
    error : ErrorState, optional
    whole : bool
        False in the middle of a step, where the parts of the state are of different steps.
    """

    generator: Generator
    discriminator: Critic
    generator_optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    average: Generator
    random: torch.Generator
    step: int = 0
    seconds: float = 0.0
    best: dict[str, Tensor] = field(default_factory=dict)
    best_score: float = math.inf
    best_step: int = -1
    error: ErrorState | None = None
    whole: bool = True

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
        """Return the state before the first step, with Adam for both networks."""
        return cls(
            generator,
            discriminator,
            torch.optim.Adam(generator.parameters(), lr=rate_generator, betas=betas, fused=True),
            torch.optim.Adam(discriminator.parameters(), lr=rate_discriminator, betas=betas, fused=True),
            copy.deepcopy(generator).requires_grad_(False).eval(),
            torch.Generator().manual_seed(seed),
            error=None if error is None else ErrorState.start(error),
        )


def weights_of(network: Any) -> dict[str, Tensor]:
    """Return a copy of the weights and buffers of a network."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def follow(average: Any, network: Any, step: int, averaging: float) -> None:
    """Update the exponential moving average of a network, whose decay is ``averaging``."""
    with torch.no_grad():
        # The decay rises from 0.1 to its value: an early average would otherwise remember the untrained weights.
        decay = min(averaging, (1 + step) / (10 + step))
        weights: list[Tensor] = list(average.parameters())
        latest: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(weights, latest, 1 - decay)
        # Buffers (batch statistics, singular vectors) are estimates of their own: they are copied, not averaged.
        for buffer, newest in zip(average.buffers(), network.buffers(), strict=True):
            buffer.copy_(newest)
