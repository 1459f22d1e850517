"""A small training: windows, networks and settings that several test files share."""

from typing import Any

import torch
from torch import nn

from geogan.model.networks import Discriminator, UNet
from geogan.prior import Film
from geogan.settings import Objective, TrainConfig
from geogan.training.state import TrainState
from geogan.training.step import Problem, train_step

FRAMES, CROP = 3, (12, 16)
# No warm-up, cooling or clipping: a step is Algorithm 1 and nothing else.
PLAIN: dict[str, Any] = {"clip": None, "warm_up": 0, "cooling": 0.0, "precision": "float32"}


def weights(prior: float, likelihood: float, withheld: float, paired: float = 0.0, *, every: int = 1) -> Objective:
    """Weights of the terms, with prior and likelihood terms in every step."""
    return Objective(prior, likelihood, withheld, paired, likelihood_every=every, prior_every=1)


PAPER = weights(1.0, 2.0, 0.0)
ALL = weights(0.5, 1.0, 1.0)


def windows_of(seed: int = 0, batch: int = 4, *, land: bool = True) -> Film:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, FRAMES, 1, *CROP)
    domain = torch.ones(batch, 1, 1, *CROP)
    if land:
        domain[..., :3, :5] = 0
    smooth = nn.functional.avg_pool2d(torch.randn(batch, FRAMES, CROP[0] + 4, CROP[1] + 4, generator=generator), 5, 1)
    mask = (torch.rand(shape, generator=generator) < 0.6).float() * domain
    values = 4 * smooth[:, :, None] * mask
    kept = mask * (torch.rand(shape, generator=generator) < 0.7)
    days = torch.arange(FRAMES, dtype=torch.float64).expand(batch, -1)
    return Film(values=values, mask=mask, kept=kept, guess=torch.zeros(shape), domain=domain, days=days)


def state_of(
    generator: Any = None, discriminator: Any = None, error: Any = None, *, seed: int = 0, rate: float = 1e-3
) -> TrainState:
    """Untrained networks, whose generator already departs from its first guess."""
    torch.manual_seed(seed)
    network = UNet(frames=FRAMES, width=4)
    nn.init.normal_(network.leave.weight, std=0.1)
    network = network.to(memory_format=torch.channels_last)  # as training has them, and a resumed run must find them
    return TrainState.start(
        generator or network,
        discriminator or Discriminator(frames=FRAMES, width=4).to(memory_format=torch.channels_last),
        error,
        rate_generator=rate,
        rate_discriminator=4 * rate,
        betas=(0.0, 0.9),
        seed=seed,
    )


class Identity(nn.Module):
    """A generator that returns what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, values, mask, guess, domain, extra=None):
        return values * mask + 0 * self.idle


def step(
    state: TrainState, windows: Film, operator: Any, prior: Any = None, objective: Objective = PAPER, **config: Any
) -> dict[str, torch.Tensor]:
    """Do one step, and return its losses."""
    return train_step(state, windows, Problem(operator, prior), objective, TrainConfig(**PLAIN | config))


def same(a: nn.Module, b: nn.Module) -> bool:
    """Return whether two networks have equal weights and buffers."""
    mine, other = a.state_dict(), b.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)
